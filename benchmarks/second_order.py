"""Error against time of second-order methods: python -m benchmarks.second_order [PROBLEM …] [--seeds 20] [--plot FILE]

Levenberg-Marquardt and its kin beside SciPy's least_squares, scikit-learn's MLP and our Adam, on the same rows and sizes
of network; then NIST's certified fits, Bayesian regularisation beside hand-picked penalties, and the goals that were
set, each with what was reached. What each method is given stands in docs/guides/which-method-when.md.
"""

from __future__ import annotations

import argparse
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
from chainrule.descent import get_method
from chainrule.engine import Plan, Run
from chainrule.network import get_loss

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
    """A problem with one seed's rows. Errors are the mean squared error over the variance of y, or mean cross-entropy."""

    def __init__(self, problem: Problem, seed: int):
        self.problem, self.seed = problem, seed
        (self.X, self.y), (self.X_test, self.y_test) = problem.data(seed)
        self.loss = "softmax_cross_entropy" if problem.classes else "squared"
        # E is a sum of halves of squares.
        self.scale = 1.0 / len(self.X) if problem.classes else 2.0 / (len(self.X) * float(np.var(self.y)))

    def network(self) -> cr.Network:
        outputs = self.problem.classes or 1
        return cr.Network(
            [self.X.shape[1], *self.problem.hidden, outputs], self.problem.activation,
            "softmax" if self.problem.classes else "identity", seed=self.seed,
        )  # fmt: skip

    def test(self, predict: Callable[[np.ndarray], np.ndarray]) -> float:
        """Mean squared error over the variance of y, or the share of wrong classes."""
        found = predict(self.X_test)
        if self.problem.classes:
            return float(np.mean(np.argmax(found, axis=1) != self.y_test))
        return float(np.mean((np.reshape(found, (-1, 1)) - self.y_test) ** 2) / np.var(self.y))


# ---------------------------------------------------------------- methods


def by_minimize(method: str, **options: Any) -> Callable[[Task, float], Trial]:
    def fit(task: Task, seconds: float) -> Trial:
        net, trial = task.network(), Trial()
        start = time.perf_counter()
        objective = net.objective(task.X, task.y, task.loss)

        def note(w: np.ndarray, value: float) -> bool:
            trial.note(time.perf_counter() - start, value * task.scale)
            return trial.took > seconds

        path = cr.minimize(
            objective, net.w, method=method, max_iter=100_000, tol_gradient=1e-12, callback=note, record="ends", **options
        )  # fmt: skip
        net.w = path.x
        trial.test = task.test(net)
        return trial

    return fit


def by_adam(task: Task, seconds: float) -> Trial:
    """Minibatches of 200 rows (all, where there are fewer), a constant step size."""
    net, trial, N = task.network(), Trial(), len(task.X)
    rng = np.random.default_rng(task.seed)
    Y = np.eye(task.problem.classes)[task.y] if task.problem.classes else task.y
    start = time.perf_counter()
    plan = Plan(net.layout, get_loss(task.loss), get_method("adam"), batch_size=min(200, N), dtype="float64")
    w = net.w.copy()
    with Run(plan, w, task.X, Y) as run:
        while trial.took > seconds or not np.isfinite(trial.took) or trial.took < seconds:
            orders = np.array([rng.permutation(N) for _ in range(max(1, 2000 // N))])
            run.epochs(orders, task.problem.step)
            spent = time.perf_counter() - start
            before = time.perf_counter()
            trial.note(spent, net.from_layout(net.layout, w).error(task.X, task.y, task.loss) * task.scale)
            start += time.perf_counter() - before  # looking at all rows is not part of the training
            if spent > seconds:
                break
    net.w = w
    trial.test = task.test(net)
    return trial


class _Enough(Exception):
    """SciPy's and scikit-learn's fits have no time limit of their own."""


def by_least_squares(task: Task, seconds: float) -> Trial:
    """SciPy's least_squares (MINPACK's Levenberg-Marquardt where N ≥ K), with our Jacobian instead of differences."""
    net, trial = task.network(), Trial()
    start = time.perf_counter()
    objective = net.objective(task.X, task.y, task.loss)

    def residuals(w: np.ndarray) -> np.ndarray:
        e = objective.residuals(w)  # type: ignore[misc]
        trial.note(time.perf_counter() - start, 0.5 * float(e @ e) * task.scale)
        if trial.took > seconds:
            raise _Enough
        if trial.errors[-1] == 0.5 * float(e @ e) * task.scale:
            net.w[:] = w
        return e

    method = "lm" if len(task.X) >= net.K else "trf"
    try:
        scipy.optimize.least_squares(
            residuals, net.w.copy(), objective.jacobian, method=method, ftol=1e-15, xtol=1e-15, gtol=1e-15,
            max_nfev=100_000,
        )  # fmt: skip
    except _Enough:
        pass
    trial.test = task.test(net)
    return trial


def by_sklearn(solver: str) -> Callable[[Task, float], Trial]:
    """scikit-learn's MLP without penalty, run to a tolerance that is as small as it takes; only its end is seen."""

    def fit(task: Task, seconds: float) -> Trial:
        trial, problem = Trial(), task.problem
        model = (MLPClassifier if problem.classes else MLPRegressor)(
            hidden_layer_sizes=problem.hidden, activation=problem.activation, solver=solver, alpha=0.0, tol=1e-10,
            max_iter=20_000 if solver == "lbfgs" else 2_000, max_fun=10**7, random_state=task.seed,
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
        found["Newton-CG"] = by_minimize("newton_cg")
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
        if fit.__qualname__.startswith(("by_minimize", "by_adam", "by_least")):
            fit(Task(problem, 0), 0.0)
    for seed in range(seeds):
        task = Task(problem, seed)
        for name, fit in methods.items():
            trials[name].append(fit(task, min(problem.seconds, limit)))
    return trials


# ---------------------------------------------------------------- certified fits, penalties that find themselves


def certified_digits() -> list[dict[str, Any]]:
    """Right digits of each of NIST's sets from each of its starts: ours, and SciPy's least_squares on the same terms."""
    found = []
    for reference in REFERENCES:
        for number, start in enumerate(reference.starts, 1):
            b0 = np.array(start, float)
            objective = cr.Objective(residuals=reference.residuals)
            try:
                path = cr.minimize(
                    objective, b0, "levenberg_marquardt", scaling=1.0, max_iter=10_000, tol_gradient=0.0, record="ends"
                )
                ours = reference.digits(path.x)
            except cr.DivergenceError:
                ours = 0.0
            theirs = 0.0
            for method in ("lm", "trf"):
                try:
                    scipys = scipy.optimize.least_squares(
                        reference.residuals, b0, cr.jacobian(reference.residuals), method=method, x_scale="jac",
                        ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=10_000,
                    )  # fmt: skip
                except ValueError:  # residuals that are not finite on the way
                    continue
                theirs = max(theirs, reference.digits(scipys.x))
            found.append({"set": reference.name, "start": number, "chainrule": ours, "scipy": theirs})
    return found


def bayesian_ratios(seeds: int) -> list[float]:
    """Of each seed: test error of Bayesian regularisation on the noisy sine over that of the best of five penalties.

    The rival is L-BFGS with each alpha of ALPHAS, the alpha chosen by the test error itself.
    """
    ratios = []
    for seed in range(seeds):
        (X, y), (X_test, y_test) = sine(seed, 0.2)
        net = cr.Network([1, 20, 1], "tanh", seed=seed)
        path = cr.minimize(
            net.objective(X, y), net.w, "bayesian_regularisation", max_iter=1000, tol_gradient=1e-7, record="ends"
        )
        net.w = path.x
        own = float(np.mean((net(X_test) - y_test) ** 2))
        rivals = [
            cr.MLPRegressor((20,), activation="tanh", solver="lbfgs", alpha=alpha, max_iter=5000, random_state=seed)
            if False
            else MLPRegressor(
                hidden_layer_sizes=(20,), activation="tanh", solver="lbfgs", alpha=alpha, max_iter=5000,
                max_fun=10**6, random_state=seed,
            )  # fmt: skip
            for alpha in ALPHAS
        ]
        best = min(float(np.mean((m.fit(X, y.ravel()).predict(X_test)[:, None] - y_test) ** 2)) for m in rivals)
        ratios.append(own / best)
    return ratios
