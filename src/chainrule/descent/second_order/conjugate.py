"""Floor 1, descent: scaled conjugate gradient: conjugate directions, their length by curvature."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..path import DivergenceError
from .solver import NO_BETTER, TOO_STEEP, Solver, is_level, is_rounding
from .view import View

_LEAST = 1e-300


class ScaledConjugateGradient(Solver):
    """Møller's algorithm: no line search; along p the curvature is pᵀHp + λ‖p‖², and λ is what keeps it positive.

    Hp is exact where the objective has Hessian-vector products or is derived by the calculus; where it was given
    gradients alone, it is Møller's difference of two of them, σ/‖p‖ apart. The directions begin anew with −∇F after
    every K steps, and where p no longer goes down.
    """

    reported: ClassVar[tuple[str, ...]] = ("lambda",)

    def __init__(self, view: View, **hyper: float):
        super().__init__(view, **hyper)
        self.vectors = {"p": np.zeros(0)}

    def start(self, x: np.ndarray) -> None:
        super().start(x)
        self.vectors["p"] = -self.g
        self.numbers = {"lambda": self.hyper["lambda_0"], "steps": 0.0}

    def step(self) -> str:
        p = self._direction()
        size = float(np.linalg.norm(p))
        if not np.isfinite(size):
            raise DivergenceError(TOO_STEEP)
        if not size > 0:
            return NO_BETTER
        u = p / size  # by a direction of length 1 nothing overflows before F does
        bend = float(u @ self.view.product(self.x, u, self.g, self.hyper["sigma"]))
        if not np.isfinite(bend):
            bend = 0.0
        slope = float(u @ self.g)
        while True:
            delta = self._raised(bend)
            x = self.view.rounded(self.x - (slope / delta) * u)
            if np.array_equal(x, self.x):
                return NO_BETTER
            made = self._try(x, slope, delta, size)
            if made is not None:
                return "" if made else NO_BETTER

    def _direction(self) -> np.ndarray:
        """p, or −∇F where p does not go down."""
        if not float(self.vectors["p"] @ self.g) < 0:
            self.vectors["p"] = -self.g
            self.numbers["steps"] = 0.0
        return self.vectors["p"]

    def _raised(self, bend: float) -> float:
        """The curvature along p/‖p‖ with λ in it, λ raised until it is positive."""
        delta = bend + self.numbers["lambda"]
        if delta <= 0:
            self.numbers["lambda"] = 2.0 * (self.numbers["lambda"] - delta) or 1.0
            delta = bend + self.numbers["lambda"]
        return delta

    def _try(self, x: np.ndarray, slope: float, delta: float, size: float) -> bool | None:
        """Go to x if F is lower there; None where λ rose and a shorter step is due, False where there is none."""
        value = self.view.value(x)
        fall = 0.5 * slope * (slope / delta)
        in_rounding = is_rounding(fall, self.value)
        if in_rounding and not is_level(value, self.value):
            return False
        # the share of the promised fall that was got
        share = (self.value - value) / fall if np.isfinite(value) and fall > 0 else -1.0
        if share >= 0 or in_rounding:
            _, g = self.view.value_and_gradient(x)
            if in_rounding and not float(g @ g) < float(self.g @ self.g):
                return False
            self._arrive(x, value, g, -slope * size)
        if share < 0.25:
            self.numbers["lambda"] += delta * (1.0 - max(share, -1.0))
        elif share >= 0.75:
            self.numbers["lambda"] = max(0.25 * self.numbers["lambda"], _LEAST)
        return True if share >= 0 or in_rounding else None

    def _arrive(self, x: np.ndarray, value: float, g: np.ndarray, mu: float) -> None:
        self.numbers["steps"] += 1.0
        again = self.numbers["steps"] % x.size == 0
        turn = 0.0 if again else (float(g @ g) - float(g @ self.g)) / mu
        self.vectors["p"] = turn * self.vectors["p"] - g
        self.x, self.value, self.g = x, value, g
