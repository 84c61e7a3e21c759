"""Floor 3, training: rules that end a training early, each a callable event -> reason or None."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from .history import Event


@dataclass
class Patience:
    """Stop when the best of what is watched lies more than `epochs` epochs back (`factor` × its epoch is allowed too).

    A best at epoch 60 with epochs=20 and factor=0.5 stops at epoch 110: 20 + 0.5 · 60 after it.
    """

    epochs: int = 20
    factor: float = 0.0
    _best: int = field(default=0, init=False)

    def __call__(self, event: Event) -> str | None:
        if event.is_best or not self._best:
            self._best = event.epoch
        if event.epoch > self._best + self.epochs + self.factor * self._best:
            return f"the held-out rows have not improved since epoch {self._best}"
        return None


@dataclass
class MaxTime:
    """Stop at the end of the epoch in which `seconds` have passed since the rule was made."""

    seconds: float
    _start: float = field(default_factory=time.monotonic, init=False)

    def __call__(self, event: Event) -> str | None:
        if time.monotonic() - self._start >= self.seconds:
            return f"the time limit of {self.seconds:g} s was reached"
        return None
