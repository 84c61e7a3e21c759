"""Floor 4, estimators: how a model's solver is asked of the engine, the training loop and SciPy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from chainrule.descent import DivergenceError
from chainrule.engine import TotalError, error_and_gradient
from chainrule.training import Event, Outcome, ProgressBar, Recording, Training, Watched, run

from .blocks import dense_if_small, open_run, row_blocks
from .callbacks import FitTasks
from .follower import NON_FINITE, Follower, recorded, sentence, warn
from .heldout import Watcher, _part, at_weights
from .job import Job, LastWord, say_interrupted
from .settings import Descent, plan_of, schedule_of

# Why a recording of lbfgs has points and no steps.
_HIDDEN = "L-BFGS is SciPy's and hides its workspace; recording_ has the point of every iteration that is kept"


def fit_stochastic(model: Any, X: Any, Y: np.ndarray, weights: Any, job: Job) -> LastWord | None:
    """Minibatches, epoch by epoch; returns what there is to be said of their end."""
    descent = (model._descent if job.incremental else None) or Descent.of(model)
    if job.incremental:
        _check_incremental(model)
    X, Y, weights = job.split(model, X, Y, weights)
    weights = model._class_weights(Y, weights, job.incremental)
    w = model.network_.w
    X = dense_if_small(X, w.dtype)
    size = _batch_size(model, X.shape[0], job.start == 1)
    plan = plan_of(model, model.network_.layout, model._loss_row(), descent, size)
    rows = X, model._smoothed(Y), weights
    with open_run(plan, w, *rows, model.n_threads) as engine_run:
        if descent.state is not None:
            engine_run.state[...], engine_run.t = descent.state, descent.t
        per_epoch = -(-engine_run.n_rows // plan.batch_size)
        schedule, n_epochs = schedule_of(model), 1 if job.incremental else model.max_iter
        follower = Follower(model, descent, engine_run.n_rows)
        sizes = lambda epoch: descent.sizes(schedule, epoch, n_epochs, per_epoch)  # noqa: E731
        sizes, first = recorded(model, engine_run, rows, follower.order, sizes)
        outcome = train(model, engine_run, job, follower, n_epochs, sizes, first)
        descent.state, descent.t = engine_run.state.copy(), engine_run.t
    model._descent = descent
    model.stopped_because_ = outcome.stopped_because
    # Where a schedule is laid out over all epochs, to have done them all is no failure.
    return last_word(outcome, follower, "Stochastic Optimizer", not job.incremental and schedule is None)


def last_word(outcome: Outcome, follower: Follower, who: str, may_be_short: bool = True) -> LastWord | None:
    """That numbers overflowed, that the fit was interrupted, or (where that means it was too short) that all its
    iterations were made."""
    model = follower.model
    if follower.overflowed:
        return partial(warn, follower.overflowed, ConvergenceWarning)
    if outcome.interrupted:
        return say_interrupted
    if may_be_short and outcome.stopped_because.startswith("all "):
        said = f"{who}: Maximum iterations ({model.max_iter}) reached and the optimization hasn't converged yet."
        return partial(warn, said, ConvergenceWarning)
    return None


def _check_incremental(model: Any) -> None:
    """What partial_fit, which sees a part of the rows once, cannot do."""
    if model.early_stopping:
        raise ValueError("partial_fit does not support early_stopping=True")
    if model.averaging is not None:
        raise ValueError(
            f"partial_fit does not support averaging={model.averaging!r}: the average would take the place of the "
            "weights after every call; leave it out"
        )
    if (schedule := schedule_of(model)) is not None:
        raise ValueError(
            f"partial_fit does not know how many steps there will be, which the schedule {schedule.name!r} needs; "
            "use learning_rate='constant' and warm_up=0"
        )


def _batch_size(model: Any, N: int, says: bool) -> int:
    if model.batch_size == "auto":
        return min(200, N)
    if model.batch_size > N and says:
        warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
    return int(min(model.batch_size, N))


def train(
    model: Any,
    engine_run: Any,
    job: Job,
    follower: Follower,
    n_epochs: int,
    step_size: Callable[[int], float | np.ndarray],
    first: Sequence[Any] = (),
    report: Callable[[Watched], Watched] | None = None,
    ended: Callable[[Event], Any] | None = None,
) -> Outcome:
    """Train a run to its end, with records, callbacks, early stopping, time limit and checkpoint of the model.

    first : rules that come before all others; report : adds to what held-out rows say the numbers that the method
    itself has; ended : the method's own rule
    """
    watch: Callable[[np.ndarray], Watched] | None = Watcher(model, job.sets) if job.sets else None
    if report is not None:
        looked, said = watch, report
        watch = lambda w: said(looked(w) if looked is not None else Watched(decides=False))  # noqa: E731
    tasks = FitTasks(model, job.X, job.y, n_epochs, lambda: fitted_now(model, engine_run), job.metadata, job.task)
    training = Training(engine_run, n_epochs, tasks.before(follower.order), step_size, watch)
    if model.early_stopping and np.isfinite(model.best_validation_score_):
        training.progress.start_from(Watched(score=model.best_validation_score_), engine_run.w)
    model.n_iter_ = 0
    rules: list[Any] = [*first, follower, tasks, *([ended] if ended is not None else []), *job.time_limit(model)]
    with job.bar(model) as drawn:
        try:
            outcome = run(training, drawn, rules, job.checkpoint)
            job.was_ended = outcome.interrupted
            return outcome
        except DivergenceError as why:
            if not model.early_stopping:
                raise ValueError(f"{NON_FINITE} {sentence(why)}") from why
            return follower.diverged(why)
        finally:
            job.was_ended = tasks.end() or job.was_ended


def fitted_now(model: Any, moved: Any) -> dict[str, Any]:
    """The attributes of the model as if training ended now, with the weights of what is moved."""
    seen = at_weights(model, getattr(moved, "result", moved.w))
    fixed = {"network_": seen.network_}
    return {name: value for name, value in vars(model).items() if name.endswith("_")} | fixed


# ---------------------------------------------------------------- L-BFGS


def fit_lbfgs(model: Any, X: Any, Y: np.ndarray, weights: Any, job: Job) -> LastWord | None:
    """L-BFGS over all rows: SciPy's, on the mean loss and its penalty, in float64 whatever the width of w."""
    import scipy.optimize
    from sklearn.utils.optimize import _check_optimize_result

    net = model.network_
    weights = model._class_weights(Y, weights, job.incremental)
    objective = _MeanError(model, X, model._smoothed(Y), weights)
    watch = Watcher(model, job.sets) if job.sets else None
    tasks = FitTasks(model, job.X, job.y, model.max_iter, lambda: fitted_now(model, net), job.metadata, job.task)
    follower = _Iterations(model, objective, net.w.astype(np.float64), [tasks, *job.time_limit(model)], watch)

    def end() -> None:
        job.was_ended = tasks.end() or job.was_ended

    with ExitStack() as stack:
        stack.callback(end)
        follower.drawn = stack.enter_context(job.bar(model))
        job.objective = objective
        try:
            found = scipy.optimize.minimize(
                job.journal or objective, follower.x, method="L-BFGS-B", jac=True, callback=follower,
                options={"maxfun": model.max_fun, "maxiter": model.max_iter, "gtol": model.tol},
            )  # fmt: skip
        except KeyboardInterrupt:
            net.w[:], model.n_iter_, model.stopped_because_ = follower.x, follower.n_iter, "you interrupted it"
            job.was_ended = True
            return say_interrupted
    if not (np.isfinite(found.fun) and np.isfinite(found.x).all()):
        net.w[:] = follower.x
        why = DivergenceError(f"L-BFGS ended where the loss is {found.fun}")
        raise ValueError(f"{NON_FINITE} The weights of the last good iteration were kept.") from why
    model.n_iter_ = min(found.nit, model.max_iter)
    model.stopped_because_ = follower.reason or str(found.message)
    net.w[:] = found.x
    penalty = objective.penalty(found.x)
    model.loss_ = model._reporter()(float(found.fun) - penalty, penalty)
    return None if follower.reason else partial(_check_optimize_result, "lbfgs", found, model.max_iter)


class _MeanError:
    """w -> (E, ∇E): the mean over rows of the loss, and the penalty ½ α Σ‖A_l‖² / N."""

    def __init__(self, model: Any, X: Any, Y: np.ndarray, weights: Any):
        self.layout, self.loss, self.alpha = model.network_.layout, model._loss_row(), model.alpha
        self.X = dense_if_small(X, np.float64)
        self.Y = np.ascontiguousarray(Y, np.float64)
        self.weights, self.n_threads = weights, model.n_threads
        self.mass = float(X.shape[0] if weights is None else np.sum(weights))
        is_whole = isinstance(self.X, np.ndarray) and self.X.dtype == np.float64
        self._whole = (
            TotalError(self.layout, self.loss, np.float64, self.X, self.Y, weights, self.n_threads)
            if is_whole
            else None  # made dense, or wider, block by block at every evaluation
        )

    def penalty(self, w: np.ndarray) -> float:
        leading = w[: self.layout.n_weights]
        return 0.5 * self.alpha * float(leading @ leading) / self.mass

    def __call__(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        total, gradient = self._whole.error_and_gradient(w) if self._whole is not None else self._by_blocks(w)
        n = self.layout.n_weights
        gradient[:n] += self.alpha * w[:n]
        return total / self.mass + self.penalty(w), gradient / self.mass

    def _by_blocks(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        total, gradient = 0.0, np.zeros(self.layout.K)
        for rows, block in row_blocks(self.X, np.float64):
            part = _part(self.weights, rows)
            e, g = error_and_gradient(self.layout, self.loss, w, block, self.Y[rows], part, self.n_threads)
            total += e
            gradient += g
        return total, gradient


class _Iterations:
    """What is kept of every iteration of L-BFGS: its point, for Ctrl-C; its loss, for history, bar and callbacks."""

    def __init__(self, model: Any, objective: _MeanError, x: np.ndarray, rules: list[Any], watch: Watcher | None):
        self.model, self.objective, self.x, self.watch = model, objective, x, watch
        self.n_iter, self.reason, self._reported = 0, "", model._reporter()
        self.drawn: ProgressBar | None = None
        if model.record:
            model.recording_ = Recording(why_not=_HIDDEN)
            model.recording_.note(0, ({"t": 0}, {"w": x}))
        self._begin = rules[0].before(lambda: np.empty(0))
        self._consumers = rules  # the tasks first
        self._seen, self._start = len(model.history_), time.perf_counter()
        self._begin()

    def __call__(self, intermediate_result: Any) -> None:
        if not np.isfinite(intermediate_result.fun):
            return
        self.x, self.n_iter = intermediate_result.x.copy(), self.n_iter + 1
        penalty = self.objective.penalty(self.x)
        loss = float(intermediate_result.fun) - penalty
        seen = self.watch(self.x) if self.watch is not None else Watched()
        event = Event(
            epoch=self.n_iter,
            n_epochs=self.model.max_iter,
            loss=loss,
            penalty=penalty,
            seconds=time.perf_counter() - self._start,
            rows=self.n_iter * len(self.objective.Y),
            step_size=1.0,  # of the quasi-Newton direction; the line search shortens it where it must
            validation_loss=seen.loss,
            validation_score=seen.score,
            scores=seen.scores,
        )
        if self.model.record:
            self.model.recording_.note(self.n_iter, ({"t": self.n_iter}, {"w": self.x}))
        self.model.network_.w[:] = self.x
        self.model.loss_ = self._reported(loss, penalty)
        self.model.history_.add(replace(event, epoch=self._seen + self.n_iter))
        if self.drawn is not None:
            self.drawn(event)
        for consumer in self._consumers:
            self.reason = self.reason or consumer(event) or ""
        if self.reason:
            raise StopIteration
        if self.n_iter < self.model.max_iter:
            self._begin()
