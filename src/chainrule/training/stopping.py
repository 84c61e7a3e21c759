"""Floor 3, training: rules that end a training early, each a callable event -> reason or None."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .history import Event
from .progress import Watched


@dataclass
class Patience:
    """Stop when the best epoch lies more than `epochs` epochs back (`factor` × its number is allowed too).

    What is compared: the validation score (higher is better) where there is one, else the validation loss, else the
    training loss. An epoch is better if it improves on the best by more than `min_delta`. The first `start_from_epoch`
    epochs are not looked at. An event of epoch 1 begins anew. A best at epoch 60 with epochs=20 and factor=0.5 stops at
    epoch 111, the first more than 20 + 0.5 · 60 epochs after it. Keras' EarlyStopping(patience=p) stops p epochs after
    the best, one earlier than Patience(p); scikit-learn's n_iter_no_change counts as here.

    >>> rule = Patience(epochs=1)
    >>> losses = [0.5, 0.4, 0.45, 0.41]
    >>> [rule(Event(k, 9, loss, 0.0, 0.0, 0, 0.1)) for k, loss in enumerate(losses, 1)][-2:]
    [None, 'the training loss has not improved since epoch 2']
    """

    epochs: int = 20
    factor: float = 0.0
    min_delta: float = 0.0
    start_from_epoch: int = 0
    _epoch: int = field(default=0, init=False)
    _best: float = field(default=float("nan"), init=False)

    def __post_init__(self) -> None:
        for name in ("epochs", "factor", "min_delta", "start_from_epoch"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} of Patience must be a number ≥ 0, got {getattr(self, name)!r}")

    def __call__(self, event: Event) -> str | None:
        if event.epoch == 1:  # another training begins
            self._epoch, self._best = 0, float("nan")
        if event.epoch <= self.start_from_epoch:
            return None
        watched = event.validation_score is not None or event.validation_loss is not None
        now = Watched(event.validation_loss if watched else event.loss, event.validation_score).goodness
        better = not np.isnan(now) if np.isnan(self._best) else now > self._best + self.min_delta
        if better:
            self._best = now
        if better or not self._epoch:
            self._epoch = event.epoch
        if event.epoch <= self._epoch + self.epochs + self.factor * self._epoch:
            return None
        what = "the held-out rows have" if watched else "the training loss has"
        by = f" by more than {self.min_delta:g}" if self.min_delta else ""
        return f"{what} not improved{by} since epoch {self._epoch}"

    def snapshot(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(plain data, arrays) that `restore` puts back."""
        return {"epoch": self._epoch, "best": self._best}, {}

    def restore(self, data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Wait as when `snapshot` was made."""
        self._epoch, self._best = int(data["epoch"]), float(data["best"])


@dataclass
class MaxTime:
    """Stop at the end of the epoch in which `seconds` have passed since the rule was made.

    It limits one call: a training resumed from a checkpoint has the whole time again.
    """

    seconds: float
    _start: float = field(default_factory=lambda: time.monotonic(), init=False)

    pauses: ClassVar[bool] = True  # a resumed training goes on

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError(f"the time limit must be a number of seconds > 0, got {self.seconds!r}")

    @property
    def is_over(self) -> bool:
        """Whether the time has passed."""
        return time.monotonic() - self._start >= self.seconds

    def __call__(self, event: Event) -> str | None:
        return f"the time limit of {self.seconds:g} s was reached" if self.is_over else None
