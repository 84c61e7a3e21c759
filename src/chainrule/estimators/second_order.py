"""Floor 4, estimators: fits by second-order methods: all rows in every step, in float64, one step an epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning

from chainrule.descent import REASONS, DivergenceError, Objective
from chainrule.descent.second_order import Solver, View, check_memory
from chainrule.engine.objective import objective as engine_objective
from chainrule.training import Event, Watched
from chainrule.training.recording import Recorder, Where

from .follower import NON_FINITE, Follower, Shuffle, sentence, warn
from .job import Job, LastWord
from .settings import check_curvature, second_order, solver_name
from .solvers import last_word, train

# Outputs that differ by less, as a share of y's spread, are the same; scores that differ by more are not. So many rows
# are looked at before all are.
_FLAT, _VARIES, _LOOKED_AT = 1e-9, 1e-3, 200
_CONSTANT = (
    "{} ended at a constant: the output is the same for all rows, since all units of hidden layer {} are where their "
    "slopes are 0, and no gradient leads back. Scale X and y to about −1 … 1 (TransformedTargetRegressor scales y), or "
    "try other first weights (random_state, n_init)."
)


def fit_second_order(model: Any, X: Any, Y: np.ndarray, weights: Any, job: Job) -> LastWord | None:
    """Steps over all rows of the sum of the losses, its penalty ½ α Σ‖A_l‖² with it, as the solver's row makes them."""
    row, hyper, min_grad = second_order(model)
    check_curvature(row.name, row.needs, model._loss_row())
    net = model.network_
    if row.keeps_matrix:
        check_memory(row.name, net.K)
    X, Y, weights = job.split(model, X, Y, weights)
    weights = model._class_weights(Y, weights, job.incremental)
    whole = SecondOrderRun(model, X, model._smoothed(Y), weights, row.solver, hyper, min_grad)
    try:
        whole.begin(job.checkpoint is not None and job.checkpoint.resuming)
        follower = Steps(model, Own(), whole.n_rows)
        outcome = train(
            model, whole, job, follower, model.max_iter, lambda epoch: 1.0, _recorded(model, whole),
            whole.report, whole.ended,
        )  # fmt: skip
    except DivergenceError as why:
        raise ValueError(f"{NON_FINITE} {sentence(why)}") from why
    finally:
        net.w[...] = whole.w
    model.stopped_because_ = outcome.stopped_because
    said = last_word(outcome, follower, solver_name(model))
    return said if outcome.interrupted or follower.overflowed else _said_of_a_constant(model, X, Y) or said


def _said_of_a_constant(model: Any, X: Any, Y: np.ndarray) -> LastWord | None:
    """That the network gives every row the same where they are not: a long step can take all units of a layer to where
    their slopes are 0, from where no gradient leads back."""
    net = model.network_
    some = X[:: -(-X.shape[0] // _LOOKED_AT)]
    values = [np.asarray(some.toarray() if issparse(some) else some, np.float64)]
    with np.errstate(all="ignore"):
        scores = []
        for layer, A, b in zip(net.layout.layers, net.A, net.b, strict=True):
            scores.append(values[-1] @ A + b)
            values.append(layer.activation(scores[-1]))
    spread = float(np.max(np.ptp(Y.astype(float), axis=0)))
    if not spread or not _is_constant(values[-1], spread) or not _is_constant(model._outputs(X), spread):
        return None
    for l, (z, a) in enumerate(zip(scores[:-1], values[1:-1], strict=True), 1):
        if np.max(np.ptp(z, axis=0)) > _VARIES and _is_constant(a, max(1.0, float(np.max(np.abs(a))))):
            return partial(warn, _CONSTANT.format(solver_name(model), l), ConvergenceWarning)
    return None


def _is_constant(a: np.ndarray, scale: float) -> bool:
    """Whether all rows are finite and, beside numbers of this size, the same."""
    return bool(np.isfinite(a).all() and np.max(np.ptp(a, axis=0)) <= _FLAT * scale)


def _recorded(model: Any, whole: SecondOrderRun) -> list[Any]:
    """The rules to put first: with record=True one that keeps where w was, step by step."""
    if not model.record:
        return []
    why_not = f"a step of {solver_name(model)} takes all rows, and several trials of its own to find its length"
    recorder = Recorder(Where(lambda: whole.w.copy()), None, why_not)
    model.recording_ = recorder.recording
    return [recorder]


@dataclass
class Own:
    """Where the records of a stochastic method ask for its rule of step sizes: this one finds its own."""

    rule: str = "own"
    step: float = 1.0


class Steps(Follower):
    """The records of a second-order fit; only held-out rows can end it, tol does not: the method knows its end."""

    def __init__(self, model: Any, descent: Any, n_rows: int):
        super().__init__(model, descent, n_rows)
        self.order = Shuffle(n_rows, model._random_state, wanted=False)

    def _is_worse(self) -> bool:
        if self.model.early_stopping:
            return super()._is_worse()
        self.model.best_loss_ = min(self.model.best_loss_, self.model.loss_)
        return False


class SecondOrderRun:
    """What the training loop moves: w, by a second-order solver over all rows; an epoch is one step.

    min_grad : the largest entry of the mean loss's gradient at the end
    """

    def __init__(
        self, model: Any, X: Any, Y: np.ndarray, weights: Any, solver: type[Solver], hyper: dict[str, float],
        min_grad: float,
    ):  # fmt: skip
        self._net, self._min_grad = model.network_, min_grad
        layout, loss = self._net.layout, model._loss_row()
        dense = np.ascontiguousarray(X.toarray() if issparse(X) else X, np.float64)
        targets = np.ascontiguousarray(Y, np.float64)
        self.n_rows = len(dense)
        self.mass = float(self.n_rows if weights is None else np.sum(weights))
        data = engine_objective(layout, loss, dense, targets, weights, model.n_threads)
        self._chosen = "alpha" in solver.reported  # the penalty is found by the solver, and is of all of w
        self._penalised = layout.K if self._chosen else layout.n_weights
        self._alpha = float(model.alpha)
        asked = data if self._chosen else penalised(data, self._alpha, layout.n_weights)
        count = self.mass * targets.shape[1]
        self.solver = solver(View(asked, (layout.K,), np.float64, count, self._moment), **hyper)
        self.w = self._net.w.astype(np.float64)
        self.at_slice: Callable[[], None] | None = None
        self._reason = ""

    @property
    def steps_per_epoch(self) -> int:
        return 1

    def _moment(self) -> None:
        if self.at_slice is not None:
            self.at_slice()

    def begin(self, resumed: bool) -> None:
        """Look at the first weights; where a checkpoint brings others, that is not worth the while."""
        with np.errstate(all="ignore"):
            self.solver.start(self.w)
        if not resumed and not (np.isfinite(self.solver.value) and np.isfinite(self.solver.g).all()):
            raise DivergenceError("the loss or its gradient is not finite at the first weights")

    def epochs(self, orders: np.ndarray, step_sizes: Any) -> np.ndarray:
        """One step: (mean loss, mean penalty) where it led."""
        solver = self.solver
        self._reason = solver.step()
        self.w[...] = solver.x
        self._net.w[...] = solver.x
        if not self._reason and np.max(np.abs(solver.slope)) <= self._min_grad * self.mass:
            self._reason = "gradient"
        penalty = self._penalty()
        data = solver.value if self._chosen else solver.value - penalty
        return np.array([[data / self.mass, penalty / self.mass]])

    def _penalty(self) -> float:
        numbers = self.solver.numbers
        alpha = numbers["alpha"] / numbers["beta"] if self._chosen else self._alpha
        return 0.5 * alpha * float(np.sum(np.square(self.solver.x[: self._penalised])))

    def report(self, seen: Watched) -> Watched:
        """What was seen of the rows that are watched, and the solver's own numbers."""
        return replace(seen, scores={**seen.scores, **self.solver.report()})

    def ended(self, event: Event) -> str | None:
        """Why the method has come to its end, if it has."""
        if self._reason == "gradient":
            return f"the gradient is small: no entry of the mean loss's is larger than min_grad={self._min_grad:g}"
        return REASONS[self._reason].sentence if self._reason else None

    def snapshot(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(plain data, arrays) that `restore` puts back."""
        return self.solver.snapshot()

    def restore(self, data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Stand where `snapshot` stood."""
        self.solver.restore(data, arrays)
        self.w[...] = self.solver.x
        self._net.w[...] = self.solver.x


def penalised(data: Objective, alpha: float, n: int) -> Objective:
    """F(w) + ½ α Σ w² over the first n parameters, with every derivative that F has."""
    if not alpha:
        return data

    def part(w: np.ndarray, scale: float) -> np.ndarray:
        """scale · w where it is penalised, else 0."""
        found = np.zeros_like(w)
        found[:n] = scale * w[:n]
        return found

    def value(w: np.ndarray) -> float:
        return float(data(w)) + 0.5 * alpha * float(w[:n] @ w[:n])

    def value_and_gradient(w: np.ndarray) -> tuple[float, np.ndarray]:
        found, g = data.value_and_gradient(w)
        return float(found) + 0.5 * alpha * float(w[:n] @ w[:n]), g + part(w, alpha)

    def normal(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        G, g = data.normal(w)
        G.flat[: n * (len(G) + 1) : len(G) + 1] += alpha
        return G, g + part(w, alpha)

    def trial(w: np.ndarray, *given: Any) -> Any:
        assert data.trial is not None
        return data.trial(w, *given, part(np.ones_like(w), alpha))

    return Objective(
        value,
        value_and_gradient=value_and_gradient,
        normal=normal,
        chord=(lambda w, v: data.chord(w, v) + part(v, alpha)) if data.has_chord else None,
        trial=trial if data.trial is not None else None,
        hvp=lambda w, v: data.hvp(w, v) + part(v, alpha),
        gauss_newton=lambda w, v: data.gauss_newton(w, v) + part(v, alpha),
    )
