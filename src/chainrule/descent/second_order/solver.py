"""Floor 1, descent: what all second-order methods share: their state, and when a step is a step."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..path import rounding
from .view import View

# Why a method ends by itself; the sentence is in REASONS.
NO_BETTER = "no_better"
TOO_STEEP = "the gradient grew so long that its square is infinite"
# F may be off by such a share of itself from rounding.
_INEXACT = 1e-8


class Solver:
    """A second-order descent while it runs: `start` at a point, then `step` until there is a reason to stop.

    All that the next step depends on is in x, value, g, `numbers` and `vectors`: a descent that is broken off goes on
    from its `snapshot` with the same bits.

    view : F, seen by vectors of float64
    hyper : the row's hyperparameters, each with a value

    x, value, g : the point, F and ∇F there
    slope : the gradient of what the method makes small: g, but for methods with a penalty of their own
    reported : which of `numbers` a history keeps
    """

    reported: ClassVar[tuple[str, ...]] = ()

    def __init__(self, view: View, **hyper: float):
        self.view, self.hyper = view, hyper
        self.x = self.g = np.zeros(0)
        self.value = np.inf
        self.numbers: dict[str, float] = {}
        self.vectors: dict[str, np.ndarray] = {}

    @property
    def slope(self) -> np.ndarray:
        return self.g

    def start(self, x: np.ndarray) -> None:
        """Begin at x."""
        self.x = self.view.rounded(x)
        self.value, self.g = self.view.value_and_gradient(self.x)

    def step(self) -> str:
        """Go to the next point: "" where it is lower, or lower to rounding; else why there is none, x unmoved."""
        raise NotImplementedError

    def report(self) -> dict[str, float]:
        """The numbers of this point for the history."""
        return {name: self.numbers[name] for name in self.reported}

    def snapshot(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(plain data, arrays) that `restore` puts back."""
        data = {"value": self.value, "numbers": dict(self.numbers)}
        return data, {"x": self.x.copy(), "g": self.g.copy(), **{k: v.copy() for k, v in self.vectors.items()}}

    def restore(self, data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Stand where `snapshot` stood."""
        self.value, self.numbers = float(data["value"]), {k: float(v) for k, v in data["numbers"].items()}
        self.x, self.g = arrays["x"].copy(), arrays["g"].copy()
        self.vectors = {name: arrays[name].copy() for name in self.vectors}


def is_rounding(fall: float, value: float) -> bool:
    """Whether F cannot show a fall of this size."""
    return not fall > rounding(value, np.float64)


def is_level(reached: float, value: float) -> bool:
    """Whether F did not rise, to rounding."""
    return bool(reached <= value + rounding(value, np.float64))


def goes_down(before: np.ndarray, after: np.ndarray, d: np.ndarray) -> bool:
    """Whether F falls by d as its gradients at both ends tell it, ½ (before + after)·d < 0."""
    return bool((before + after) @ d < 0.0)


def is_near(reached: float, value: float) -> bool:
    """Whether F rose by no more than rounding can explain where residuals are differences of far larger numbers.

    The rounding of a sum of squares is that of those numbers: F may seem to rise by more than `is_level` allows where
    it falls. NaN and infinity are not near.
    """
    return bool(reached <= value + _INEXACT * abs(value))
