"""Floor 4, estimators: how a table model is trained: networks side by side, stopped at their best epoch together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.descent import DivergenceError, get_method
from chainrule.descent.schedules import get_schedule
from chainrule.engine import Committee, Network, Plan, Run, averaged, predict
from chainrule.network import Layout, get_activation, get_loss
from chainrule.training import Checkpointer, MaxTime, Patience, ProgressBar, Training, Watched, run
from chainrule.training.audit import audit
from chainrule.training.recording import Recorder, Where

from .follower import Permutation, recorded


@dataclass
class Prepared:
    """Rows as numbers, split into those to train on and those to watch; what `prepare` hands to `train`.

    `layout` is that of each network to train, `first` has a line with the first weights of each.
    """

    X: np.ndarray
    Y: np.ndarray
    weights: np.ndarray | None
    train: np.ndarray
    held: np.ndarray
    rng: np.random.Generator
    layout: Layout
    first: np.ndarray
    checkpoint: Checkpointer | None = None

    def part(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        return self.X[rows], self.Y[rows], None if self.weights is None else self.weights[rows]


def train_table(model: Any, given: Prepared) -> None:
    """Train the networks of a prepared table model and leave in it the one that averages them."""
    n, rows, W, loss = len(given.train), given.part(given.train), given.first.copy(), get_loss(model._loss())
    batch = model._batch(n)
    epochs = model._epochs(n, batch)
    plan = Plan(given.layout, loss, get_method("adamw"), {"decay": model._decay(n)}, batch, 0.0, "float32")
    schedule = get_schedule("cosine")
    model.__dict__.pop("recording_", None)
    if model.audit:
        audit(model.network_, loss, *rows[:2])
    with _run(plan, W, rows, model.n_threads) as trainee:
        total = epochs * trainee.steps_per_epoch

        def step_sizes(epoch: int) -> np.ndarray:
            steps = np.arange(trainee.steps_per_epoch) + epoch * trainee.steps_per_epoch
            return model.step_size * schedule(steps, total)

        order = Permutation(n, given.rng)
        if len(W) == 1:
            sizes, rules = recorded(model, trainee, rows, order, step_sizes)
        else:
            sizes, rules = step_sizes, _points(model, given.layout, W)
        rules += [Patience(model.patience)] if model.patience else []
        rules += [MaxTime(model.max_time)] if model.max_time else []
        orders = order if len(W) == 1 else lambda: np.concatenate([order() for _ in W])
        training = Training(trainee, epochs, orders, sizes, watch(model, given))
        with ProgressBar() if model.progress else nullcontext() as drawn:
            try:
                model.outcome_ = run(training, drawn or (lambda event: None), rules, given.checkpoint)
            finally:  # whatever stopped it: the last good weights are kept
                model.network_ = Network.from_layout(*averaged(given.layout, W))
    model.n_networks_ = len(W)
    model.history_ = model.outcome_.history
    model.n_iter_ = len(model.history_)


def _run(plan: Plan, W: np.ndarray, rows: tuple[Any, ...], n_threads: int | None) -> Any:
    X, Y, weights = rows
    return Run(plan, W[0], X, Y, weights, n_threads) if len(W) == 1 else Committee(plan, W, X, Y, weights, n_threads)


def _points(model: Any, layout: Layout, W: np.ndarray) -> list[Any]:
    """The rules to put first: with record=True one that keeps where the averaging network was, epoch by epoch."""
    if not model.record:
        return []
    why_not = f"the fit trained {len(W)} networks side by side; fit with networks=1 to open the steps of one"
    recorder = Recorder(Where(lambda: averaged(layout, W)[1]), None, why_not)
    model.recording_ = recorder.recording
    return [recorder]


def watch(model: Any, given: Prepared) -> Callable[[np.ndarray], Watched]:
    """The mean loss over the held-out rows, of the mean of the raw scores of the networks that are trained."""
    loss = get_loss(model._loss())
    X, Y, weights = given.part(given.held)
    mass = float(len(X) if weights is None else weights.sum())
    # as `averaged` has it, without making that network: it is wide, and these are quick
    last = replace(given.layout.layers[-1], activation=get_activation("identity"))
    raw, wide_Y = replace(given.layout, layers=(*given.layout.layers[:-1], last)), Y.astype(np.float64)

    def look(w: np.ndarray) -> Watched:
        scores = [predict(raw, own, X, model.n_threads) for own in w.reshape(given.first.shape)]
        value = loss(wide_Y, np.mean(scores, axis=0, dtype=np.float64))
        each = value if loss.rowwise else np.sum(value, axis=-1)
        mean = float(np.sum(each if weights is None else weights * each)) / mass
        if not np.isfinite(mean):
            raise DivergenceError(
                f"training diverged: the loss on the held-out rows became {mean}. "
                f"The step size was {model.step_size:g}: try a tenth of it"
            )
        return Watched(mean)

    return look
