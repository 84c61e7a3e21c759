"""Floor 4, estimators: how scikit-learn's three solvers are asked of the engine and the training loop."""

from __future__ import annotations

import time
import warnings
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from chainrule.descent import DivergenceError, get_method
from chainrule.descent.methods import Method
from chainrule.engine import Plan, error, error_and_gradient
from chainrule.training import Event, Outcome, ProgressBar, Training, run

from .blocks import dense_if_small, open_run, row_blocks

# scikit-learn's words: its users match on them.
NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)
INTERRUPTED = "Training interrupted by user."


@dataclass
class Descent:
    """What one partial_fit hands to the next: as scikit-learn's optimizer, it keeps the settings that it began with."""

    method: Method
    hyper: dict[str, float]
    schedule: str
    first_step: float
    power_t: float
    step: float
    state: np.ndarray | None = None
    t: int = 0

    @classmethod
    def of(cls, model: Any) -> Descent:
        if model.solver == "adam":
            method = get_method("adam")
            hyper = {"beta_1": model.beta_1, "beta_2": model.beta_2, "epsilon": model.epsilon}
            schedule = "constant"
        else:
            method = get_method("nesterov" if model.nesterovs_momentum else "momentum")
            hyper = {"momentum": model.momentum}
            schedule = model.learning_rate
        first = float(model.learning_rate_init)
        return cls(method, hyper, schedule, first, model.power_t, first)


def fit_stochastic(model: Any, X: Any, Y: np.ndarray, weights: Any, incremental: bool) -> None:
    """sgd and adam, epoch by epoch."""
    if model.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    descent = (model._descent if incremental else None) or Descent.of(model)
    held_out = None
    if model.early_stopping:
        X, Y, weights, held_out = _hold_out(model, X, Y, weights)
    w = model.network_.w
    X = dense_if_small(X, w.dtype)
    plan = Plan(
        layout=model.network_.layout,
        loss=model._loss_row(),
        method=descent.method,
        hyper=descent.hyper,
        batch_size=_batch_size(model, X.shape[0]),
        penalty=float(model.alpha),
        dtype=str(w.dtype),
    )
    with open_run(plan, w, X, Y, weights, model.n_threads) as engine_run:
        if descent.state is not None:
            engine_run.state[...], engine_run.t = descent.state, descent.t
        follower = _Follower(model, descent, engine_run, held_out)
        n_epochs = 1 if incremental else model.max_iter
        training = Training(engine_run, n_epochs, follower.order, lambda epoch: descent.step)
        outcome = _train(model, training, follower)
        descent.state, descent.t = engine_run.state.copy(), engine_run.t
    model._descent = descent
    if outcome.interrupted:
        warnings.warn(INTERRUPTED, stacklevel=5)
    elif not incremental and model.n_iter_ == model.max_iter and outcome.stopped_because.startswith("all "):
        _warn_not_converged(
            f"Stochastic Optimizer: Maximum iterations ({model.max_iter}) reached and the optimization hasn't "
            "converged yet."
        )


def _warn_not_converged(words: str) -> None:
    warnings.warn(words, ConvergenceWarning, stacklevel=6)


def _hold_out(model: Any, X: Any, Y: np.ndarray, weights: Any) -> tuple[Any, Any, Any, tuple]:
    stratify = Y if is_classifier(model) and model.n_outputs_ == 1 else None
    arrays = [X, Y] if weights is None else [X, Y, weights]
    parts = train_test_split(
        *arrays, random_state=model._random_state, test_size=model.validation_fraction, stratify=stratify
    )
    if parts[1].shape[0] < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    train_weights, held_weights = (parts[4], parts[5]) if weights is not None else (None, None)
    return parts[0], parts[2], train_weights, (parts[1], parts[3], held_weights)


def _batch_size(model: Any, N: int) -> int:
    if model.batch_size == "auto":
        return min(200, N)
    if model.batch_size > N:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=6
        )
    return int(min(model.batch_size, N))


class _Follower:
    """scikit-learn's bookkeeping beside the loop: order of rows, held-out score, progress, step size, when to stop."""

    def __init__(self, model: Any, descent: Descent, engine_run: Any, held_out: tuple | None):
        self.model, self.descent, self.held_out, self.w = model, descent, held_out, engine_run.w
        self._n = engine_run.n_rows
        self._order = np.arange(self._n)
        self._seen = len(model.history_)
        self._best_w = self.w.copy() if held_out is not None else None

    def order(self) -> np.ndarray:
        if not self.model.shuffle:
            return np.empty(0, np.int64)
        # As sklearn.utils.shuffle does it: a shuffled arange indexes the order of the epoch before.
        moved = np.arange(self._n)
        self.model._random_state.shuffle(moved)
        self._order = self._order[moved]
        return self._order

    def emit(self, event: Event) -> Event:
        model = self.model
        self._count(model._reported(event.loss, event.penalty))
        if self.held_out is not None:
            event = self._watch(event)
        model.history_.add(replace(event, epoch=self._seen + event.epoch))
        return event

    def _count(self, loss: float) -> None:
        model = self.model
        model.n_iter_ += 1
        model.t_ += self._n
        model.loss_ = loss
        model.loss_curve_.append(loss)
        if model.verbose:
            print(f"Iteration {model.n_iter_}, loss = {loss:.8f}")

    def _count_score(self, score: float) -> None:
        self.model.validation_scores_.append(score)
        if self.model.verbose:
            print(f"Validation score: {score:f}")

    def _watch(self, event: Event) -> Event:
        X, Y, weights = self.held_out  # type: ignore[misc]  # asked before
        model, net = self.model, self.model.network_
        score = model._score_of(model._outputs(X), Y, weights)
        self._count_score(score)
        is_best = score > model.best_validation_score_
        if is_best:
            self._best_w[:] = self.w  # type: ignore[index]  # there is one where rows are held out
        mass = float(X.shape[0] if weights is None else np.sum(weights))
        loss = sum(
            error(net.layout, model._loss_row(), net.w, block, Y[rows], _part(weights, rows), model.n_threads)
            for rows, block in row_blocks(X, self.w.dtype)
        )
        return replace(event, validation_loss=loss / mass, validation_score=score, is_best=is_best)

    def rule(self, event: Event) -> str | None:
        """scikit-learn's stopping: more than n_iter_no_change epochs that are not better by tol."""
        model, descent = self.model, self.descent
        if self.held_out is not None:
            score = model.validation_scores_[-1]
            worse = score < model.best_validation_score_ + model.tol
            model.best_validation_score_ = max(model.best_validation_score_, score)
        else:
            worse = model.loss_ > model.best_loss_ - model.tol
            model.best_loss_ = min(model.best_loss_, model.loss_)
        model._no_improvement_count = model._no_improvement_count + 1 if worse else 0
        if descent.schedule == "invscaling":
            descent.step = descent.first_step / (model.t_ + 1) ** descent.power_t
        if model._no_improvement_count <= model.n_iter_no_change:
            return None
        return self._give_up()

    def _give_up(self) -> str | None:
        model, descent = self.model, self.descent
        what = "Training loss" if self.held_out is None else "Validation score"
        said = f"{what} did not improve more than tol={model.tol:f} for {model.n_iter_no_change} consecutive epochs."
        if descent.schedule == "adaptive":
            if descent.step > 1e-6:
                descent.step /= 5.0
                if model.verbose:
                    print(f"{said} Setting learning rate to {descent.step:f}")
                model._no_improvement_count = 0
                return None
            said += " Learning rate too small."
        if model.verbose:
            print(f"{said} Stopping.")
        return said

    def diverged(self, why: DivergenceError) -> Outcome:
        """The end with held-out rows when numbers overflow: that epoch has the loss and score NaN, the best is kept."""
        self._count(float("nan"))
        self._count_score(float("nan"))
        _warn_not_converged(f"{NON_FINITE} {_sentence(why)}")
        return Outcome(self.model.history_, str(why), best_epoch=0)

    def keep_best(self) -> None:
        if self._best_w is not None:
            self.w[:] = self._best_w


def _sentence(why: Exception) -> str:
    said = str(why)
    return said[:1].upper() + said[1:]


def _part(weights: Any, rows: slice) -> Any:
    return None if weights is None else weights[rows]


def _train(model: Any, training: Training, follower: _Follower) -> Outcome:
    bar = ProgressBar(type(model).__name__) if model.progress else nullcontext()
    model.n_iter_ = 0
    with bar as drawn:

        def emit(event: Event) -> None:
            event = follower.emit(event)
            if drawn is not None:
                drawn(event)

        try:
            outcome = run(training, emit, [follower.rule])
        except DivergenceError as why:
            if follower.held_out is None:
                raise ValueError(f"{NON_FINITE} {_sentence(why)}") from why
            outcome = follower.diverged(why)
    follower.keep_best()
    return outcome


def fit_lbfgs(model: Any, X: Any, Y: np.ndarray, weights: Any, incremental: bool) -> None:
    """L-BFGS over all rows: SciPy's, on the mean loss and its penalty, in float64 whatever the width of w."""
    import scipy.optimize
    from sklearn.utils.optimize import _check_optimize_result

    net = model.network_
    objective = _MeanError(model, X, Y, weights)
    follower = _Iterations(model, objective, net.w.astype(np.float64))
    bar = ProgressBar(type(model).__name__) if model.progress else nullcontext()
    with bar as follower.drawn:
        try:
            found = scipy.optimize.minimize(
                objective, follower.x, method="L-BFGS-B", jac=True, callback=follower,
                options={"maxfun": model.max_fun, "maxiter": model.max_iter, "gtol": model.tol},
            )  # fmt: skip
        except KeyboardInterrupt:
            warnings.warn(INTERRUPTED, stacklevel=5)
            net.w[:], model.n_iter_ = follower.x, follower.n_iter
            return
    if not (np.isfinite(found.fun) and np.isfinite(found.x).all()):
        net.w[:] = follower.x
        raise ValueError(f"{NON_FINITE} The weights of the last good iteration were kept.")
    model.n_iter_ = _check_optimize_result("lbfgs", found, model.max_iter)
    net.w[:] = found.x
    penalty = objective.penalty(found.x)
    model.loss_ = model._reported(float(found.fun) - penalty, penalty)


class _MeanError:
    """w -> (E, ∇E): the mean over rows of the loss, and the penalty ½ α Σ‖A_l‖² / N."""

    def __init__(self, model: Any, X: Any, Y: np.ndarray, weights: Any):
        self.layout, self.loss, self.alpha = model.network_.layout, model._loss_row(), model.alpha
        self.X = dense_if_small(X, np.float64)
        self.Y = np.ascontiguousarray(Y, np.float64)
        self.weights, self.n_threads = weights, model.n_threads
        self.mass = float(X.shape[0] if weights is None else np.sum(weights))

    def penalty(self, w: np.ndarray) -> float:
        leading = w[: self.layout.n_weights]
        return 0.5 * self.alpha * float(leading @ leading) / self.mass

    def __call__(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        total, gradient = 0.0, np.zeros(self.layout.K)
        for rows, block in row_blocks(self.X, np.float64):
            part = _part(self.weights, rows)
            e, g = error_and_gradient(self.layout, self.loss, w, block, self.Y[rows], part, self.n_threads)
            total += e
            gradient += g
        n = self.layout.n_weights
        gradient[:n] += self.alpha * w[:n]
        return total / self.mass + self.penalty(w), gradient / self.mass


class _Iterations:
    """What is kept of every iteration of L-BFGS: its point, for Ctrl-C; its loss, for the history and the bar."""

    def __init__(self, model: Any, objective: _MeanError, x: np.ndarray):
        self.model, self.objective, self.x = model, objective, x
        self.n_iter = 0
        self.drawn: ProgressBar | None = None
        self._seen, self._start = len(model.history_), time.perf_counter()

    def __call__(self, intermediate_result: Any) -> None:
        if not np.isfinite(intermediate_result.fun):
            return
        self.x, self.n_iter = intermediate_result.x.copy(), self.n_iter + 1
        penalty = self.objective.penalty(self.x)
        loss = float(intermediate_result.fun) - penalty
        event = Event(
            epoch=self.n_iter,
            n_epochs=self.model.max_iter,
            loss=loss,
            penalty=penalty,
            seconds=time.perf_counter() - self._start,
            rows=self.n_iter * len(self.objective.Y),
            step_size=1.0,  # of the quasi-Newton direction; the line search shortens it where it must
        )
        self.model.loss_ = self.model._reported(loss, penalty)
        self.model.history_.add(replace(event, epoch=self._seen + self.n_iter))
        if self.drawn is not None:
            self.drawn(event)
