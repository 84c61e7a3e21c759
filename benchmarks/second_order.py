"""Error against time, second-order methods: python -m benchmarks.second_order [PROBLEM …] [--seeds 20] [--plot FILE]

Levenberg-Marquardt and its kin beside SciPy's least_squares, scikit-learn's MLP and our Adam, on the same rows and
sizes of network; then NIST's certified fits, Bayesian regularisation beside hand-picked penalties, and the goals that
were set, each with what was reached. What each method is given stands in docs/guides/which-method-when.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.optimize
from sklearn.neural_network import MLPClassifier, MLPRegressor

import chainrule as cr
from benchmarks.curved_problems import PROBLEMS, Problem, sine
from benchmarks.nist import REFERENCES
from chainrule.descent import SECOND_ORDER, get_method
from chainrule.engine import Plan, Run
from chainrule.network import get_loss

# First weights that the estimator tries, with so many steps each: MATLAB's number of epochs.
STARTS, STEPS = 4, 1000
# The best of so many hand-picked penalties is what Bayesian regularisation is held against.
ALPHAS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# An error this far below the variance of y is 0 to rounding: ratios of smaller ones mean nothing.
ROUNDING = 1e-24
WEIGHTS_OF_SMALL = 2000


@dataclass
class Trial:
    """One fit: the smallest error so far, point by point, and what the end scores on rows it was not shown."""

    seconds: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    test: float = np.nan

    def note(self, seconds: float, error: float) -> None:
        if np.isfinite(error):
            self.seconds.append(seconds)
            self.errors.append(min(error, self.errors[-1]) if self.errors else error)

    @property
    def end(self) -> float:
        return self.errors[-1] if self.errors else np.inf

    @property
    def took(self) -> float:
        return self.seconds[-1] if self.seconds else np.inf

    def time_to(self, error: float) -> float:
        """When the error was first this small; infinite if it never was."""
        return next((s for s, e in zip(self.seconds, self.errors, strict=True) if e <= error), np.inf)


class Task:
    """A problem with one seed's rows. Errors: mean squared error over the variance of y, or mean cross-entropy."""

    def __init__(self, problem: Problem, seed: int):
        self.problem, self.seed = problem, seed
        (self.X, self.y), (self.X_test, self.y_test) = problem.data(seed)
        self.loss = "softmax_cross_entropy" if problem.classes else "squared"
        # E is a sum of halves of squares.
        self.scale = 1.0 / len(self.X) if problem.classes else 2.0 / (len(self.X) * float(np.var(self.y)))

    def network(self, initialiser: str = "auto") -> cr.Network:
        return self.with_seed(self.seed, initialiser)

    def with_seed(self, seed: Any, initialiser: str) -> cr.Network:
        outputs = self.problem.classes or 1
        return cr.Network(
            [self.X.shape[1], *self.problem.hidden, outputs], self.problem.activation,
            "softmax" if self.problem.classes else "identity", seed=seed, initialiser=initialiser, X=self.X,
        )  # fmt: skip

    def test(self, predict: Callable[[np.ndarray], np.ndarray]) -> float:
        """Mean squared error over the variance of y, or the share of wrong classes."""
        found = predict(self.X_test)
        if self.problem.classes:
            return float(np.mean(np.argmax(found, axis=1) != self.y_test))
        return float(np.mean((np.reshape(found, (-1, 1)) - self.y_test) ** 2) / np.var(self.y))


# ---------------------------------------------------------------- methods


def by_minimize(method: str, initialiser: str | None = None, **options: Any) -> Callable[[Task, float], Trial]:
    """By a method of `cr.minimize`, from the first weights that its row names if none are asked for."""
    if initialiser is None:
        initialiser = SECOND_ORDER[method].initialiser if method in SECOND_ORDER else "auto"

    def fit(task: Task, seconds: float) -> Trial:
        trial, start = Trial(), time.perf_counter()
        net = task.network(initialiser)
        objective = net.objective(task.X, task.y, task.loss)

        def note(w: np.ndarray, value: float) -> bool:
            trial.note(time.perf_counter() - start, value * task.scale)
            return trial.took > seconds

        note(net.w, float(objective(net.w)))
        with contextlib.suppress(cr.DivergenceError):
            net.w = cr.minimize(
                objective, net.w, method=method, max_iter=100_000, tol_gradient=1e-12, callback=note, record="ends",
                **options,
            ).x  # fmt: skip
        trial.test = task.test(net)
        return trial

    return fit


def by_starts(task: Task, seconds: float) -> Trial:
    """The estimator's Levenberg-Marquardt from several first weights, one after another; watched by a callback."""
    trial, start, half_variance = Trial(), time.perf_counter(), float(np.var(task.y)) / 2.0
    model = cr.MLPRegressor(
        hidden_layer_sizes=task.problem.hidden, activation=task.problem.activation, alpha=0.0, n_init=STARTS,
        solver=("levenberg_marquardt", {"min_grad": 1e-12}), max_iter=STEPS, max_time=max(seconds, 1e-3),
        random_state=task.seed,
    )  # fmt: skip
    model.set_callbacks(lambda event: trial.note(time.perf_counter() - start, event.loss / half_variance))
    model.fit(task.X, task.y.ravel())
    trial.test = task.test(model.predict)
    return trial


def by_adam(task: Task, seconds: float) -> Trial:
    """Minibatches of 200 rows (all, where there are fewer), a constant step size."""
    trial, N, start = Trial(), len(task.X), time.perf_counter()
    net, rng = task.network(), np.random.default_rng(task.seed)
    Y = np.eye(task.problem.classes)[task.y] if task.problem.classes else task.y
    plan = Plan(net.layout, get_loss(task.loss), get_method("adam"), batch_size=min(200, N), dtype="float64")
    w = net.w.copy()
    with Run(plan, w, task.X, Y) as run:
        spent = 0.0
        while spent <= seconds:
            orders = np.array([rng.permutation(N) for _ in range(max(1, 2000 // N))])
            run.epochs(orders, task.problem.step)
            spent = time.perf_counter() - start
            before = time.perf_counter()
            trial.note(spent, net.from_layout(net.layout, w).error(task.X, task.y, task.loss) * task.scale)
            start += time.perf_counter() - before  # looking at all rows is not part of the training
    net.w = w
    trial.test = task.test(net)
    return trial


class _Enough(Exception):
    """SciPy's and scikit-learn's fits have no time limit of their own."""


def by_least_squares(task: Task, seconds: float) -> Trial:
    """SciPy's least_squares (MINPACK's Levenberg-Marquardt where N ≥ K), with our Jacobian instead of differences."""
    trial, start = Trial(), time.perf_counter()
    net = task.network()
    best = net.w.copy()
    objective = net.objective(task.X, task.y, task.loss)

    def residuals(w: np.ndarray) -> np.ndarray:
        e = objective.residuals(w)  # type: ignore[misc]
        error = 0.5 * float(e @ e) * task.scale
        if error < trial.end:
            best[:] = w
        trial.note(time.perf_counter() - start, error)
        if trial.took > seconds:
            raise _Enough
        return e

    method = "lm" if len(task.X) >= net.K else "trf"
    with contextlib.suppress(_Enough):
        scipy.optimize.least_squares(
            residuals, net.w, objective.jacobian, method=method, ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=100_000
        )
    net.w = best
    trial.test = task.test(net)
    return trial


def by_sklearn(solver: str) -> Callable[[Task, float], Trial]:
    """scikit-learn's MLP without penalty, run to a tolerance that is as small as it takes; only its end is seen."""

    def fit(task: Task, seconds: float) -> Trial:
        trial, problem = Trial(), task.problem
        model = (MLPClassifier if problem.classes else MLPRegressor)(
            hidden_layer_sizes=problem.hidden, activation=problem.activation, solver=solver, alpha=0.0, tol=1e-10,
            max_iter=problem.most[0 if solver == "lbfgs" else 1], max_fun=10**7, random_state=task.seed,
            learning_rate_init=problem.step, n_iter_no_change=50,
        )  # fmt: skip
        start = time.perf_counter()
        model.fit(task.X, task.y.ravel())
        spent = time.perf_counter() - start
        if problem.classes:
            p = model.predict_proba(task.X)[np.arange(len(task.y)), task.y]
            trial.note(spent, -float(np.mean(np.log(np.maximum(p, 1e-300)))))
            trial.test = task.test(model.predict_proba)
        else:
            trial.note(spent, float(np.mean((model.predict(task.X)[:, None] - task.y) ** 2) / np.var(task.y)))
            trial.test = task.test(model.predict)
        return trial

    return fit


def methods_for(problem: Problem) -> dict[str, Callable[[Task, float], Trial]]:
    found: dict[str, Callable[[Task, float], Trial]] = {}
    if problem.classes:
        found["Gauss-Newton CG"] = by_minimize("gauss_newton_cg")
    else:
        found["Levenberg-Marquardt"] = by_minimize("levenberg_marquardt")
        found["the same, μ × ½ or × 4"] = by_minimize("levenberg_marquardt", mu_dec=0.5, mu_inc=4.0)
        found["the same, Glorot's weights"] = by_minimize("levenberg_marquardt", "auto")
        found[f"the same, n_init={STARTS}"] = by_starts
        found["Newton-CG"] = by_minimize("newton_cg")
        if problem.keeps_jacobian:
            found["SciPy least_squares"] = by_least_squares
    found["scaled conjugate gradient"] = by_minimize("scaled_conjugate_gradient")
    found["L-BFGS"] = by_minimize("lbfgs")
    found["Adam"] = by_adam
    found["scikit-learn L-BFGS"] = by_sklearn("lbfgs")
    found["scikit-learn Adam"] = by_sklearn("adam")
    return found


def run_problem(problem: Problem, seeds: int, limit: float) -> dict[str, list[Trial]]:
    """Every method on every seed, methods taking turns; what a first call compiles is compiled before."""
    methods = methods_for(problem)
    trials: dict[str, list[Trial]] = {name: [] for name in methods}
    for fit in methods.values():
        if not fit.__qualname__.startswith("by_sklearn"):
            fit(Task(problem, 0), 0.0)
    for seed in range(seeds):
        task = Task(problem, seed)
        for name, fit in methods.items():
            trials[name].append(fit(task, min(problem.seconds, limit)))
    return trials


# ---------------------------------------------------------------- certified fits, penalties that find themselves


def certified_digits() -> list[dict[str, Any]]:
    """Right digits of each of NIST's sets from each of its starts: of ours, and of SciPy's least_squares.

    The best of ours with the damping's scaling at 0, at 1, and at 1 from where 0 ended (the last digits of badly scaled
    parameters); the best of SciPy's methods "lm", "trf", and "lm" from where "trf" ended. Both have the Jacobian by the
    calculus and run until nothing improves.
    """
    found = []
    for reference in REFERENCES:
        for number, start in enumerate(reference.starts, 1):
            b0 = np.array(start, float)
            e = reference.residuals
            walked, trusted = _fitted(e, b0, 0.0), _fitted_by_scipy(e, b0, "trf")
            ours = [reference.digits(b) for b in (walked, _fitted(e, b0, 1.0), _fitted(e, walked, 1.0))]
            others = (trusted, _fitted_by_scipy(e, b0, "lm"), _fitted_by_scipy(e, trusted, "lm"))
            scipys = [reference.digits(b) for b in others]
            found.append({"set": reference.name, "start": number, "chainrule": max(ours), "scipy": max(scipys)})
    return found


def _fitted(residuals: Callable, b0: np.ndarray, scaling: float) -> np.ndarray:
    with contextlib.suppress(cr.DivergenceError):
        return cr.minimize(
            cr.Objective(residuals=residuals), b0, "levenberg_marquardt", scaling=scaling, max_iter=10_000,
            tol_gradient=0.0, record="ends",
        ).x  # fmt: skip
    return b0


def _fitted_by_scipy(residuals: Callable, b0: np.ndarray, method: str) -> np.ndarray:
    with contextlib.suppress(ValueError):  # residuals that are not finite on the way
        return scipy.optimize.least_squares(
            residuals, b0, cr.jacobian(residuals), method=method, x_scale="jac", ftol=1e-15, xtol=1e-15, gtol=1e-15,
            max_nfev=10_000,
        ).x  # fmt: skip
    return b0


def bayesian_ratios(seeds: int) -> list[float]:
    """Of each seed: test error of Bayesian regularisation on the noisy sine over that of the best of five penalties.

    The rival is scikit-learn's L-BFGS with each alpha of ALPHAS, the alpha chosen by the test error itself.
    """
    ratios = []
    for seed in range(seeds):
        (X, y), (X_test, y_test) = sine(seed, 0.2)
        net = cr.Network([1, 20, 1], "tanh", seed=seed)
        objective = net.objective(X, y)
        path = cr.minimize(objective, net.w, "bayesian_regularisation", max_iter=1000, tol_gradient=1e-7, record="ends")
        net.w = path.x
        own = float(np.mean((net(X_test) - y_test) ** 2))
        settings = {"hidden_layer_sizes": (20,), "activation": "tanh", "solver": "lbfgs", "random_state": seed}
        rivals = [MLPRegressor(**settings, alpha=alpha, max_iter=5000, max_fun=10**6) for alpha in ALPHAS]
        best = min(float(np.mean((m.fit(X, y.ravel()).predict(X_test)[:, None] - y_test) ** 2)) for m in rivals)
        ratios.append(own / best)
    return ratios


# ---------------------------------------------------------------- goals


@dataclass(frozen=True)
class Goal:
    """One goal: what was to be reached, what was."""

    name: str
    reached: float
    at_most: float

    @property
    def passed(self) -> bool:
        return self.reached <= self.at_most

    def __str__(self) -> str:
        verdict = "pass" if self.passed else "FAIL"
        return f"{verdict}  {self.name}: {self.reached:.3g} (goal: at most {self.at_most:g})"


def regression_goals(name: str, trials: dict[str, list[Trial]]) -> list[Goal]:
    """Levenberg-Marquardt beside the scikit-learn solver that ends lowest, seed by seed; medians of the ratios."""
    rivals = [
        min(pair, key=lambda t: t.end)
        for pair in zip(trials["scikit-learn L-BFGS"], trials["scikit-learn Adam"], strict=True)
    ]
    goals = []
    for own in (m for m in trials if m.startswith(("Levenberg", "the same"))):
        times = [t.time_to(r.end) / r.took for t, r in zip(trials[own], rivals, strict=True)]
        words = f"{name}, {own}: time to scikit-learn's best error, over its time"
        goals.append(Goal(words, float(np.median(times)), 0.1))
        if PROBLEMS[name].noise_free:
            ends = [max(t.end, ROUNDING) / max(r.end, ROUNDING) for t, r in zip(trials[own], rivals, strict=True)]
            words = f"{name}, {own}: error at the end, over scikit-learn's best"
            goals.append(Goal(words, float(np.median(ends)), 0.1))
    return goals


def certified_goal(found: list[dict[str, Any]]) -> Goal:
    """By how many digits the worst of NIST's sets misses 8, or SciPy's digits where those are fewer."""
    missing = [min(8.0, row["scipy"]) - row["chainrule"] for row in found]
    return Goal("NIST: digits missing of 8, or of SciPy's where fewer, in the worst set", max(0.0, *missing), 0.0)


def bayesian_goals(ratios: list[float]) -> list[Goal]:
    name = "noisy sine: test error of Bayesian regularisation over that of the best of 5 alphas"
    return [Goal(f"{name}, median", float(np.median(ratios)), 1.05), Goal(f"{name}, worst", max(ratios), 1.5)]


# ---------------------------------------------------------------- printing


def quartiles(values: list[float]) -> str:
    low, middle, high = np.percentile(values, [25, 50, 75], method="nearest")
    return f"{middle:9.2e} ({low:.1e} – {high:.1e})"


def print_problem(name: str, trials: dict[str, list[Trial]]) -> None:
    problem, seeds = PROBLEMS[name], len(next(iter(trials.values())))
    net = Task(problem, 0).network()
    print(f"\n{name}: {net.sizes}, K = {net.K}, {seeds} seeds; median (quartiles)")
    print(f"  {'':26}{'error at the end':^30}{'on test rows':^30}{'seconds to 1.1 × its end':^30}")
    for method, runs in trials.items():
        reach = [t.time_to(1.1 * t.end) for t in runs]
        columns = (quartiles([t.end for t in runs]), quartiles([t.test for t in runs]), quartiles(reach))
        print(f"  {method:26}" + "".join(f"{text:^30}" for text in columns))


def plot(results: dict[str, dict[str, list[Trial]]], file: str) -> None:
    """A panel a problem: the median error against time, with its quartiles; scikit-learn's ends are points."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from chainrule.insight.plots.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, YELLOW

    columns = 2
    rows = -(-len(results) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(10, 3.2 * rows), squeeze=False, layout="constrained")
    names = list(dict.fromkeys(name for trials in results.values() for name in trials))
    colours = (RED, SKY, ORANGE, "#9e1f63", PURPLE, BLUE, GREEN, GREY, YELLOW, "#000000", "#7a4b1e", "#00695c")
    colour_of = dict(zip(names, colours, strict=False))
    for axes, (problem, trials) in zip(panels.flat, results.items(), strict=False):
        for name, runs in trials.items():
            _draw_runs(axes, name, runs, colour_of[name])
        axes.set(xscale="log", yscale="log", title=problem, xlabel="seconds", ylabel="error")
    for axes in panels.flat[len(results) :]:
        axes.set_axis_off()
    handles = {h.get_label(): h for axes in panels.flat for h in axes.get_legend_handles_labels()[0]}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(file, dpi=120)


def _draw_runs(axes: Any, name: str, runs: list[Trial], colour: Any) -> None:
    if name.startswith("scikit-learn"):
        marker = "s" if name.endswith("BFGS") else "D"
        at = np.median([t.took for t in runs]), np.median([t.end for t in runs])
        axes.plot(*at, marker, color=colour, label=name)
        return
    first, last = min(t.seconds[0] for t in runs), max(t.took for t in runs)
    grid = np.geomspace(first, last, 200)
    curves = np.array([_at(t, grid) for t in runs])
    low, middle, high = np.percentile(curves, [25, 50, 75], axis=0, method="nearest")
    axes.plot(grid, middle, color=colour, label=name)
    axes.fill_between(grid, low, high, color=colour, alpha=0.15, linewidth=0)


def _at(trial: Trial, grid: np.ndarray) -> np.ndarray:
    """The smallest error so far at each moment; before the first point, the error there."""
    place = np.searchsorted(trial.seconds, grid, side="right") - 1
    return np.maximum(np.array(trial.errors)[np.maximum(place, 0)], ROUNDING)


def as_data(results: dict[str, dict[str, list[Trial]]], **more: Any) -> dict[str, Any]:
    def of(trial: Trial) -> dict[str, Any]:
        keep = np.unique(np.geomspace(1, len(trial.seconds), 60).astype(int)) - 1
        points = [(trial.seconds[k], trial.errors[k]) for k in keep]
        return {"end": trial.end, "seconds": trial.took, "test": trial.test, "points": points}

    problems = {p: {m: [of(t) for t in runs] for m, runs in trials.items()} for p, trials in results.items()}
    return {"problems": problems, **more}


def read(files: list[str]) -> dict[str, dict[str, list[Trial]]]:
    """The trials of earlier runs, as `as_data` kept them: sixty points of each."""
    found: dict[str, dict[str, list[Trial]]] = {}
    for name in files:
        with open(name, encoding="utf-8") as file:
            problems = json.load(file)["problems"]
        for problem, methods in problems.items():
            found[problem] = {
                method: [Trial([s for s, _ in t["points"]], [e for _, e in t["points"]], t["test"]) for t in runs]
                for method, runs in methods.items()
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.second_order", description=__doc__.split("\n\n")[0])
    parser.add_argument("problems", nargs="*", metavar="PROBLEM", help=f"of: {', '.join(PROBLEMS)}; default: all")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=np.inf, help="at most so long a fit (of those that can stop)")
    parser.add_argument("--goals-only", action="store_true", help="NIST and Bayesian regularisation alone")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--plot", metavar="FILE")
    parser.add_argument(
        "--from", nargs="+", metavar="FILE", dest="earlier", help="draw what --json kept of earlier runs"
    )
    options = parser.parse_args()
    if options.earlier:
        if not options.plot:
            parser.error("--from draws earlier runs: say with --plot where the picture goes")
        plot(read(options.earlier), options.plot)
        return
    unknown = [name for name in options.problems if name not in PROBLEMS]
    if unknown:
        parser.error(f"there is no problem {unknown[0]!r}; there are: {', '.join(PROBLEMS)}")
    warnings.simplefilter("ignore")  # fits that end at their limit say so, twenty times each
    results, goals = {}, []
    for name in [] if options.goals_only else options.problems or PROBLEMS:
        results[name] = run_problem(PROBLEMS[name], options.seeds, options.seconds)
        print_problem(name, results[name])
        if PROBLEMS[name].smooth:
            goals += regression_goals(name, results[name])
    digits, ratios = certified_digits(), bayesian_ratios(options.seeds)
    print("\nNIST's certified parameters: right digits (of 11)")
    for row in digits:
        print(f"  {row['set']:10} start {row['start']}: chainrule {row['chainrule']:4.1f}, SciPy {row['scipy']:4.1f}")
    goals += [certified_goal(digits), *bayesian_goals(ratios)]
    print("\nGoals")
    for goal in goals:
        print(f"  {goal}")
    if options.json:
        reached = [{"goal": g.name, "reached": g.reached, "at_most": g.at_most, "passed": g.passed} for g in goals]
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(as_data(results, nist=digits, bayesian_ratios=ratios, goals=reached), file)
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
