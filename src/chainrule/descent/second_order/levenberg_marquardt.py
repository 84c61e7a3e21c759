"""Floor 1, descent: Levenberg-Marquardt: Gauss-Newton's step, shortened where it does not lower F."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import isfinite
from typing import ClassVar

import numpy as np

from .solver import NO_BETTER, Solver, is_level, is_rounding
from .view import Quadratic

_EPS = float(np.finfo(float).eps)
# From this condition number of JᵀJ on (by the factor's diagonal), steps are solved by J itself, which has its root.
_POOR = 1e-10
_LEAST_MU = 1e-20


@cache
def _cholesky() -> Callable:
    """LAPACK's solution of a positive definite system."""
    from scipy.linalg import lapack

    return lapack.dposv


def damped_step(model: Quadratic, damping: np.ndarray | float) -> np.ndarray | None:
    """d of (G + diag(damping)) d = −g; None where the matrix is not positive definite to rounding.

    Parameters may be of very different sizes: Cholesky's rounding is that of the matrix with a diagonal of ones. Where
    J is at hand and G has lost half of its digits, the least squares of J and √damping are solved by QR.
    """
    A = np.array(model.G, order="C")
    diagonal = A.ravel()[:: len(A) + 1]
    diagonal += damping
    whole = diagonal.copy() if model.J is not None else diagonal
    factor, found, failed = _cholesky()(A.T, model.g, lower=True, overwrite_a=True)
    if model.J is not None and (failed or not (np.square(factor.diagonal()) / whole).min(initial=1.0) >= _POOR):
        return _by_qr(model, damping, 1.0 / np.sqrt(whole))
    if failed:
        return None
    d = -found
    return d if isfinite(d @ d) else None


def _by_qr(model: Quadratic, damping: np.ndarray | float, scale: np.ndarray) -> np.ndarray | None:
    from scipy.linalg import qr, solve_triangular

    J, e = model.J, model.e
    assert J is not None
    assert e is not None
    tall = np.vstack([J * scale, np.diag(np.sqrt(damping) * scale)])
    if not np.isfinite(tall).all():
        return None
    Q, R = qr(tall, mode="economic", overwrite_a=True, check_finite=False)
    if np.abs(np.diagonal(R)).min(initial=1.0) < _EPS:
        return None
    return scale * solve_triangular(R, -(Q[: e.size].T @ e), check_finite=False)


class LevenbergMarquardt(Solver):
    """(G + μ D) d = −∇F with G = JᵀJ, or the generalised Gauss-Newton matrix of another loss.

    A step that lowers F is made and μ multiplied by mu_dec; else μ is multiplied by mu_inc and the step tried again.
    D is diag(G)^scaling: 0 gives the identity, Levenberg's and trainlm's; 1 Marquardt's diagonal, which makes the steps
    independent of the units of each parameter.

    Where the promised fall is smaller than F's rounding, a step is made if F does not rise, to rounding, and ∇F gets at
    most half as long: the last digits come from the gradient.
    """

    reported: ClassVar[tuple[str, ...]] = ("mu",)

    def start(self, x: np.ndarray) -> None:
        self.x = self.view.rounded(x)
        self.value = self.view.value(self.x)
        self._stand(self.view.model(self.x))
        self.numbers["mu"] = self.hyper["mu"]

    def _stand(self, model: Quadratic) -> None:
        self._model: Quadratic | None = model
        self.g = model.g

    def restore(self, data, arrays):
        super().restore(data, arrays)
        self._model = None  # made again where it is needed: it is too large to keep

    def step(self) -> str:
        if self._model is None:
            self._stand(self.view.model(self.x))
        assert self._model is not None
        model = self._system(self._model)
        damping = self._damping(model)
        merit = self._merit(self.x, self.value)
        while self.numbers["mu"] <= self.hyper["mu_max"]:
            d = damped_step(model, self.numbers["mu"] * damping)
            if d is not None:
                made = self._try(model, merit, d)
                if made is not None:
                    return "" if made else NO_BETTER
            self.numbers["mu"] *= self.hyper["mu_inc"]
        return NO_BETTER

    def _damping(self, model: Quadratic) -> np.ndarray | float:
        """D, with a floor where the diagonal has zeros; 1 for the identity."""
        if self.hyper["scaling"] == 0:
            return 1.0
        diagonal = np.diagonal(model.G)
        floor = max(_EPS * float(diagonal.max(initial=0.0)), np.finfo(float).tiny)
        return np.maximum(diagonal, floor) ** self.hyper["scaling"]

    def _try(self, model: Quadratic, merit: float, d: np.ndarray) -> bool | None:
        """Make the step d if it is good; None where μ must rise, False where no step can be seen to be better."""
        x = self.view.rounded(self.x + d)
        value = self.view.value(x)
        reached = self._merit(x, value)
        fall = model.fall(d)
        if not is_rounding(fall, merit):
            if not reached < merit:
                return None
            self._arrive(x, value, self.view.model(x))
            return True
        if not is_level(reached, merit):
            return False
        there = self.view.model(x)
        if not self._system(there, x).length() <= 0.5 * model.length():
            return False
        self._arrive(x, value, there)
        return True

    def _arrive(self, x: np.ndarray, value: float, model: Quadratic) -> None:
        self.x, self.value = x, value
        self._stand(model)
        self.numbers["mu"] = max(self.numbers["mu"] * self.hyper["mu_dec"], _LEAST_MU)

    def _system(self, model: Quadratic, x: np.ndarray | None = None) -> Quadratic:
        """The model of what is made small, at x (the point where the descent stands)."""
        return model

    def _merit(self, x: np.ndarray, value: float) -> float:
        """What is made small, at x with F(x) = value."""
        return value
