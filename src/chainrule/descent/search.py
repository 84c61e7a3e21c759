"""Floor 1, descent: line searches: how far to go along a direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Armijo:
    """Backtracking: the largest step of first, first·shrink, first·shrink², … that lowers F enough.

    Enough is F(x + s d) ≤ F(x) + slack · s ∇F(x)·d (Armijo 1966), so that F falls at every step: the handout's
    F(x_0) ≥ F(x_1) ≥ … holds without knowing a small enough γ. The first step tried is twice the last accepted one.

    >>> Armijo().find(lambda x: x * x, 1.0, 1.0, 2.0, -2.0, start=1.0)
    (0.5, 0.0)
    """

    first: float = 1.0
    shrink: float = 0.5
    slack: float = 1e-4
    most: int = 60

    def __post_init__(self) -> None:
        if not 0 < self.first < np.inf:
            raise ValueError(f"first must be a number > 0, got {self.first!r}")
        if not 0 < self.shrink < 1:
            raise ValueError(f"shrink must be between 0 and 1, got {self.shrink!r}")
        if not 0 < self.slack < 1:
            raise ValueError(f"slack must be between 0 and 1, got {self.slack!r}")

    def find(
        self, f: Callable[[Any], Any], x: Any, value: float, gradient: Any, direction: Any, start: float
    ) -> tuple[float, float] | None:
        """(step, F there), or None where no step of the first `most` lowers F: x is at a minimum, to rounding."""
        falls = float(np.sum(gradient * direction))
        step = start
        for _ in range(self.most):
            there = float(f(x + step * direction))
            if np.isfinite(there) and there <= value + self.slack * step * falls:
                return step, there
            step *= self.shrink
        return None
