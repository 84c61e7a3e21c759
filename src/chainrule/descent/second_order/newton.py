"""Floor 1, descent: Newton's method whose systems are solved by conjugate gradients within a trust region."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from ..path import DivergenceError
from .solver import NO_BETTER, TOO_STEEP, Solver, goes_down, is_near, is_rounding

_LARGEST_RADIUS = 1e100


class NewtonCG(Solver):
    """d nearly of H d = −∇F, by conjugate gradients on products H v, within a ball that is trusted.

    The residual H d + ∇F is made at most `forcing` times as long as ∇F, and √(‖∇F‖/‖∇F_0‖) times where that is less, so
    that the last steps are Newton's. Where a direction has no positive curvature, it is followed to the edge of the
    ball. The ball grows and shrinks by the share of the promised fall that was got.

    Hv is exact where the objective has Hessian-vector products or is derived by the calculus; where it was given
    gradients alone, it is a difference of two of them.
    """

    reported: ClassVar[tuple[str, ...]] = ("radius", "products")

    def start(self, x: np.ndarray) -> None:
        super().start(x)
        self.numbers = {"radius": self.hyper["radius"], "first": float(np.linalg.norm(self.g)), "products": 0.0}

    def _times(self, v: np.ndarray) -> np.ndarray:
        self.numbers["products"] += 1.0
        return self.view.product(self.x, v, self.g, self.hyper["sigma"])

    def step(self) -> str:
        length = float(np.linalg.norm(self.g))
        if not np.isfinite(length):
            raise DivergenceError(TOO_STEEP)
        if not length > 0:
            return NO_BETTER
        enough = min(self.hyper["forcing"], float(np.sqrt(length / self.numbers["first"]))) * length
        while True:
            d, fall = truncated(self._times, self.g, self.numbers["radius"], enough)
            x = self.view.rounded(self.x + d)
            if np.array_equal(x, self.x):
                return NO_BETTER
            made = self._try(x, d, fall)
            if made is not None:
                return "" if made else NO_BETTER

    def _try(self, x: np.ndarray, d: np.ndarray, fall: float) -> bool | None:
        """Go to x if F is lower there; None where a smaller ball is due, False where there is no better point."""
        value = self.view.value(x)
        in_rounding = is_rounding(fall, self.value)
        if in_rounding and not is_near(value, self.value):
            return False
        share = (self.value - value) / fall if np.isfinite(value) else -1.0
        length = float(np.linalg.norm(d))
        if share < 0.25 and not in_rounding:
            self.numbers["radius"] = 0.25 * length
        elif share > 0.75 and length >= 0.99 * self.numbers["radius"]:
            self.numbers["radius"] = min(2.0 * self.numbers["radius"], _LARGEST_RADIUS)
        if share < 1e-4 and not in_rounding:
            return None
        _, g = self.view.value_and_gradient(x)
        if in_rounding and not (float(g @ g) <= 0.25 * float(self.g @ self.g) and goes_down(self.g, g, d)):
            return False
        self.x, self.value, self.g = x, value, g
        return True


class GaussNewtonCG(NewtonCG):
    """As NewtonCG, with the Gauss-Newton matrix in the place of the Hessian: it has no negative curvature."""

    def _times(self, v: np.ndarray) -> np.ndarray:
        self.numbers["products"] += 1.0
        return self.view.gauss_newton(self.x, v)


def truncated(
    times: Callable[[np.ndarray], np.ndarray], g: np.ndarray, radius: float, enough: float
) -> tuple[np.ndarray, float]:
    """(d, how far the quadratic g·d + ½ dᵀHd falls there), nearly the lowest point with ‖d‖ ≤ radius.

    times : v -> H v; enough : the length of the residual H d + g at which it is near enough

    >>> d, fall = truncated(lambda v: 2.0 * v, np.array([-4.0]), 10.0, 0.0)
    >>> float(d[0]), fall
    (2.0, 4.0)

    Source: Steihaug 1983.
    """
    d, r = np.zeros_like(g), g.copy()
    p, rr = -r, float(r @ r)
    fall = 0.0
    for _ in range(g.size):
        bent = times(p)
        bend = float(p @ bent)
        step = rr / bend if bend > 0 else np.inf
        if not (np.isfinite(step) and np.linalg.norm(d + step * p) < radius):
            step = _to_the_edge(d, p, radius)
            return d + step * p, fall + step * rr - 0.5 * step * step * (bend if np.isfinite(bend) else 0.0)
        d = d + step * p
        r = r + step * bent
        fall += 0.5 * step * rr
        before, rr = rr, float(r @ r)
        if np.sqrt(rr) <= enough:
            break
        p = -r + (rr / before) * p
    return d, fall


def _to_the_edge(d: np.ndarray, p: np.ndarray, radius: float) -> float:
    """t ≥ 0 with ‖d + t p‖ = radius."""
    a, b, c = float(p @ p), float(d @ p), float(d @ d) - radius * radius
    root = float(np.sqrt(max(b * b - a * c, 0.0)))
    return -c / (b + root) if b > 0 else (root - b) / a
