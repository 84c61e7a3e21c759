"""Floor 4, estimators: scikit-learn's bookkeeping beside the training loop: order of rows, records, when to stop."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.descent import DivergenceError
from chainrule.training import Event, Material, Outcome, Recorder

from .settings import Descent

# scikit-learn's words: its users match on them.
NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)
# What a fit counts, beside its lists.
_COUNTERS = ("n_iter_", "t_", "loss_", "best_loss_", "best_validation_score_", "_no_improvement_count")
_LISTS = ("loss_curve_", "validation_scores_")
# Packages between the user's line and ours.
_BETWEEN = ("chainrule", "sklearn", "joblib")


def warn(words: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line that called fit: the nearest one that is neither ours nor scikit-learn's."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(words, category, stacklevel=level)


class Shuffle:
    """The order of rows of one epoch after another, as scikit-learn draws it; where it is not wanted, as they are."""

    def __init__(self, n_rows: int, generator: np.random.RandomState, wanted: bool):
        self.now = np.arange(n_rows)
        self._generator, self._wanted = generator, wanted

    def __call__(self) -> np.ndarray:
        """The rows of the next epoch."""
        if not self._wanted:
            return np.empty(0, np.int64)
        # sklearn.utils.shuffle has a shuffled arange index the order before; the same swaps move that order itself.
        self.now = self.now.copy()
        self._generator.shuffle(self.now)
        return self.now


class Permutation:
    """The order of rows of one epoch after another, each a permutation of its own."""

    def __init__(self, n_rows: int, generator: np.random.Generator):
        self._n, self._generator = n_rows, generator

    def __call__(self) -> np.ndarray:
        """The rows of the next epoch."""
        return self._generator.permutation(self._n)


class Follower:
    """A consumer of events that keeps the model's records as scikit-learn keeps them."""

    def __init__(self, model: Any, descent: Descent, n_rows: int):
        self.model, self.descent = model, descent
        self._n, self._reported = n_rows, model._reporter()
        self.order = Shuffle(n_rows, model._random_state, model.shuffle)
        self._seen = len(model.history_)
        self.overflowed = ""  # what is to be said of it

    def __call__(self, event: Event) -> str | None:
        """Record the event; a reason where scikit-learn would stop: too many epochs that are not better by tol."""
        model = self.model
        self._count(self._reported(event.loss, event.penalty))
        if model.early_stopping:
            self._count_score(event.validation_score)
        model.history_.add(replace(event, epoch=self._seen + event.epoch) if self._seen else event)
        worse = self._is_worse()
        model._no_improvement_count = model._no_improvement_count + 1 if worse else 0
        descent = self.descent
        if descent.rule == "invscaling":
            descent.step = descent.first_step / (model.t_ + 1) ** descent.power_t
        if model._no_improvement_count <= model.n_iter_no_change:
            return None
        return self._give_up()

    def epochs_at_once(self) -> int:
        """How many epochs are done at least before it ends training, or changes the step size."""
        if self.descent.rule == "invscaling":
            return 1
        return max(1, self.model.n_iter_no_change + 1 - self.model._no_improvement_count)

    def _count(self, loss: float) -> None:
        model = self.model
        model.n_iter_ += 1
        model.t_ += self._n
        model.loss_ = loss
        model.loss_curve_.append(loss)
        if model.verbose:
            print(f"Iteration {model.n_iter_}, loss = {loss:.8f}")

    def _count_score(self, score: float | None) -> None:
        self.model.validation_scores_.append(score)
        if self.model.verbose:
            print(f"Validation score: {score:f}")

    def _is_worse(self) -> bool:
        model = self.model
        if model.early_stopping:
            score = model.validation_scores_[-1]
            worse = score < model.best_validation_score_ + model.tol
            model.best_validation_score_ = max(model.best_validation_score_, score)
            return worse
        worse = model.loss_ > model.best_loss_ - model.tol
        model.best_loss_ = min(model.best_loss_, model.loss_)
        return worse

    def _give_up(self) -> str | None:
        model, descent = self.model, self.descent
        what = "Validation score" if model.early_stopping else "Training loss"
        said = f"{what} did not improve more than tol={model.tol:f} for {model.n_iter_no_change} consecutive epochs."
        if descent.rule == "adaptive":
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
        self.overflowed = f"{NON_FINITE} {sentence(why)}"
        return Outcome(self.model.history_, str(why), best_epoch=0)

    def snapshot(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(plain data, arrays) that `restore` puts back."""
        own = self.model.__dict__
        data = {name: own[name] for name in _COUNTERS if name in own}
        data |= {name: None if own[name] is None else list(own[name]) for name in _LISTS}
        data |= {"step": self.descent.step, "history": self.model.history_.snapshot()[0]}
        return data, {"order": self.order.now.astype(np.int64)}

    def restore(self, data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Go on where `snapshot` was made."""
        for name in (*_COUNTERS, *_LISTS):
            if name in data:
                setattr(self.model, name, data[name])
        self.descent.step = float(data["step"])
        self.model.history_.restore(data["history"], {})
        self.order.now = arrays["order"]


def recorded(model: Any, run: Any, rows: Any, order: Any, sizes: Any) -> tuple[Any, list[Any]]:
    """(the step sizes, the rules to put first): with record=True, of a fit that is recorded in `model.recording_`.

    `rows` is (X, Y, weights) as the run has them, `order` an object of this module, `sizes` a function of the epoch.
    """
    if not model.record:
        return sizes, []
    X, Y, weights = rows
    recorder = Recorder(run, Material(run.plan, X, Y, weights, order))
    model.recording_ = recorder.recording
    return recorder.watched(sizes), [recorder]


def sentence(why: Exception) -> str:
    """What it says, beginning with a capital."""
    said = str(why)
    return said[:1].upper() + said[1:]
