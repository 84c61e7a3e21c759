"""Floor 1, descent: line searches: how far to go along a direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.tables import COUNT, INSIDE, POSITIVE


@dataclass(frozen=True)
class Armijo:
    """Backtracking: the largest step of s, s·shrink, s·shrink², … that lowers F enough.

    Enough is F(x + s d) ≤ F(x) + c1 · s ∇F(x)·d, so that F falls at every step: the handout's F(x_0) ≥ F(x_1) ≥ …
    holds without knowing a small enough γ.

    Parameters
    ----------
    initial : the first step size tried in a descent; later searches begin one `shrink` above the last accepted one
    shrink : what a refused step is multiplied by, between 0 and 1
    c1 : the part of the fall promised by the slope that must be got, between 0 and 1
    most : how many step sizes to try before giving up

    Raises
    ------
    ValueError : for a parameter outside its range.

    >>> Armijo(initial=1.0).find(lambda x: x * x, 1.0, 1.0, 2.0, -2.0, start=1.0)
    0.5

    Source: Armijo 1966; Nocedal & Wright 2006, algorithm 3.1. SciPy's line_search also asks for a flat enough slope
    (Wolfe), which quasi-Newton methods need and steepest descent does not.
    """

    initial: float = 1.0
    shrink: float = 0.5
    c1: float = 1e-4
    most: int = 60

    def __post_init__(self) -> None:
        for name, interval in (("initial", POSITIVE), ("shrink", INSIDE), ("c1", INSIDE), ("most", COUNT)):
            interval.check(name, getattr(self, name))

    def find(
        self, F: Callable[[Any], float], x: Any, value: float, gradient: Any, direction: Any, start: float
    ) -> float | None:
        """The step size; None when F does not fall along d, or none of the first `most` steps from `start` on will do.

        F : what is searched; value, gradient : F and ∇F at x, of the shape of x; direction : d, of the shape of x.
        """
        slope = float(np.sum(np.multiply(gradient, direction, dtype=np.float64)))
        if not slope < 0:
            return None
        step = start
        for _ in range(self.most):
            there = x + step * direction
            if np.array_equal(there, x):
                return None
            if value + self.c1 * step * slope >= F(there) > -np.inf:
                return step
            step *= self.shrink
        return None
