"""Floor 4, estimators: how scikit-learn's three solvers are asked of the engine and the training loop."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from chainrule.descent import DivergenceError, get_method
from chainrule.engine import Plan, Run, error, error_and_gradient
from chainrule.training import Event, Outcome, ProgressBar, Training, Watched, run

_NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


def fit_stochastic(model: Any, X: np.ndarray, Y: np.ndarray, weights: Any, incremental: bool) -> None:
    """sgd and adam, epoch by epoch."""
    if model.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    held_out = None
    if model.early_stopping:
        X, Y, weights, held_out = _hold_out(model, X, Y, weights)
    plan = _plan(model, len(X))
    # the weights that are best on held-out rows are put back by training.run
    with Run(plan, model.network_.w, X, Y, weights, model.n_threads) as engine_run:
        follower = _Follower(model, plan, engine_run, held_out, incremental)
        training = Training(
            engine_run,
            n_epochs=1 if incremental else model.max_iter,
            order=follower.order,
            step_size=lambda epoch: follower.step,
            watch=follower.watch if held_out is not None else None,
        )
        outcome = _train(model, training, follower)
        model._descent = {"state": engine_run.state.copy(), "t": engine_run.t, "step": follower.step}
    _report(model, outcome, follower, incremental)


def _hold_out(model: Any, X: np.ndarray, Y: np.ndarray, weights: Any) -> tuple[Any, Any, Any, tuple]:
    stratify = Y if is_classifier(model) and model.n_outputs_ == 1 else None
    arrays = [X, Y] if weights is None else [X, Y, weights]
    parts = train_test_split(
        *arrays, random_state=model._random_state, test_size=model.validation_fraction, stratify=stratify
    )
    if len(parts[1]) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    train_weights, held_weights = (parts[4], parts[5]) if weights is not None else (None, None)
    return parts[0], parts[2], train_weights, (parts[1], parts[3], held_weights)


def _plan(model: Any, N: int) -> Plan:
    if model.batch_size == "auto":
        batch = min(200, N)
    else:
        if model.batch_size > N:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=4
            )
        batch = int(min(model.batch_size, N))
    if model.solver == "adam":
        method = get_method("adam")
        hyper = {"beta_1": model.beta_1, "beta_2": model.beta_2, "epsilon": model.epsilon}
    else:
        method = get_method("nesterov" if model.nesterovs_momentum else "momentum")
        hyper = {"momentum": model.momentum}
    return Plan(
        layout=model.network_.layout,
        loss=model._loss_row(),
        method=method,
        hyper=hyper,
        batch_size=batch,
        penalty=float(model.alpha),
        dtype=str(model.network_.w.dtype),
    )


class _Follower:
    """scikit-learn's bookkeeping beside the loop: order of rows, step size, progress, when to stop."""

    def __init__(self, model: Any, plan: Plan, engine_run: Run, held_out: tuple | None, incremental: bool):
        self.model, self.plan, self.held_out = model, plan, held_out
        self._order = np.arange(engine_run.n_rows)
        self._n = engine_run.n_rows
        self.step = model.learning_rate_init
        if incremental and model._descent:
            engine_run.state[...] = model._descent["state"]
            engine_run.t = model._descent["t"]
            self.step = model._descent["step"]

    def order(self) -> np.ndarray:
        if not self.model.shuffle:
            return np.empty(0, np.int64)
        # As sklearn.utils.shuffle does it: a shuffled arange indexes the order of the epoch before.
        moved = np.arange(self._n)
        self.model._random_state.shuffle(moved)
        self._order = self._order[moved]
        return self._order

    def watch(self, w: np.ndarray) -> Watched:
        X, Y, weights = self.held_out  # type: ignore[misc]
        score = self.model._score_of(self.model._outputs(X, check_input=False), Y, weights)
        total = len(X) if weights is None else float(np.sum(weights))
        loss = error(self.plan.layout, self.plan.loss, w, X, Y, weights, self.model.n_threads) / total
        return Watched(loss=loss, score=score)

    def emit(self, event: Event) -> None:
        model = self.model
        model.n_iter_ += 1
        model.t_ += self._n
        model.loss_ = model._reported(event.loss, event.penalty)
        model.loss_curve_.append(model.loss_)
        if model.verbose:
            print(f"Iteration {model.n_iter_}, loss = {model.loss_:.8f}")
        model.history_.add(replace(event, epoch=len(model.history_) + 1))

    def rule(self, event: Event) -> str | None:
        """scikit-learn's stopping: n_iter_no_change epochs not better by tol."""
        model = self.model
        if model.early_stopping:
            score = event.validation_score
            model.validation_scores_.append(score)
            if model.verbose:
                print(f"Validation score: {score:f}")
            worse = score < model.best_validation_score_ + model.tol
            if score > model.best_validation_score_:
                model.best_validation_score_ = score
        else:
            worse = model.loss_ > model.best_loss_ - model.tol
            model.best_loss_ = min(model.best_loss_, model.loss_)
        model._no_improvement_count = model._no_improvement_count + 1 if worse else 0
        if model.solver == "sgd" and model.learning_rate == "invscaling":
            self.step = model.learning_rate_init / (model.t_ + 1) ** model.power_t
        if model._no_improvement_count <= model.n_iter_no_change:
            return None
        return self._give_up()

    def _give_up(self) -> str | None:
        model = self.model
        what = "Validation score" if model.early_stopping else "Training loss"
        said = f"{what} did not improve more than tol={model.tol:f} for {model.n_iter_no_change} consecutive epochs."
        if model.solver == "sgd" and model.learning_rate == "adaptive":
            if self.step > 1e-6:
                self.step /= 5.0
                if model.verbose:
                    print(f"{said} Setting learning rate to {self.step:f}")
                model._no_improvement_count = 0
                return None
            said += " Learning rate too small."
        if model.verbose:
            print(f"{said} Stopping.")
        return said


def _train(model: Any, training: Training, follower: _Follower) -> Outcome:
    bar = ProgressBar(type(model).__name__) if model.progress else nullcontext()
    model.n_iter_ = 0
    with bar as drawn:

        def emit(event: Event) -> None:
            follower.emit(event)
            if drawn is not None:
                drawn(event)

        try:
            return run(training, emit, [follower.rule])
        except DivergenceError as diverged:
            raise ValueError(f"{_NON_FINITE} {diverged}") from diverged


def _report(model: Any, outcome: Outcome, follower: _Follower, incremental: bool) -> None:
    if outcome.interrupted:
        warnings.warn("Training interrupted by user.", stacklevel=5)
    elif not incremental and model.n_iter_ == model.max_iter and outcome.stopped_because.startswith("all "):
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({model.max_iter}) reached and the optimization hasn't "
            "converged yet.",
            ConvergenceWarning,
            stacklevel=5,
        )


def fit_lbfgs(model: Any, X: np.ndarray, Y: np.ndarray, weights: Any, incremental: bool) -> None:
    """L-BFGS over all rows: SciPy's, on the mean loss and its penalty."""
    import scipy.optimize
    from sklearn.utils.optimize import _check_optimize_result

    net, loss = model.network_, model._loss_row()
    mass = float(len(X) if weights is None else np.sum(weights))
    Y = np.ascontiguousarray(Y, net.w.dtype)
    n_weights = net.layout.n_weights

    def mean_error(point: np.ndarray) -> tuple[float, np.ndarray]:
        w = point.astype(net.w.dtype)
        total, gradient = error_and_gradient(net.layout, loss, w, X, Y, weights, model.n_threads)
        leading = point[:n_weights]
        penalty = 0.5 * model.alpha * float(leading @ leading) / mass
        gradient = gradient.astype(np.float64)
        gradient[:n_weights] += model.alpha * leading
        return total / mass + penalty, gradient / mass

    found = scipy.optimize.minimize(
        mean_error, net.w.astype(np.float64), method="L-BFGS-B", jac=True,
        options={"maxfun": model.max_fun, "maxiter": model.max_iter, "gtol": model.tol},
    )  # fmt: skip
    model.n_iter_ = _check_optimize_result("lbfgs", found, model.max_iter)
    if not np.isfinite(found.x).all():
        raise ValueError(_NON_FINITE)
    net.w[:] = found.x
    penalty = 0.5 * model.alpha * float(found.x[:n_weights] @ found.x[:n_weights]) / mass
    model.loss_ = model._reported(float(found.fun) - penalty, penalty)
