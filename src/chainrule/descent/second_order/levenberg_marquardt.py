"""Floor 1, descent: Levenberg-Marquardt: Gauss-Newton's step, shortened where it does not lower F, then corrected."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import isfinite
from typing import ClassVar

import numpy as np

from ..path import rounding
from .solver import NO_BETTER, Solver, goes_down, is_near, is_rounding
from .view import Quadratic, View

_EPS = float(np.finfo(float).eps)
# From this condition number of JᵀJ on (by the factor's diagonal), steps are solved by J itself, which has its root.
_POOR = 1e-10
_LEAST_MU = 1e-20
# Where F rose to more than so many times what it was, the step is too long to be corrected.
_HOPELESS = 20.0


@cache
def _cholesky() -> tuple[Callable, Callable]:
    """LAPACK's solution of a positive definite system, and of another one by the factor of the first."""
    from scipy.linalg import lapack

    return lapack.dposv, lapack.dpotrs


def damped_step(model: Quadratic, damping: np.ndarray | float) -> tuple[np.ndarray, Callable | None] | None:
    """(d of (G + diag(damping)) d = −g, the function v → −(G + diag(damping))⁻¹ v, where there is a factor for it);
    None where the matrix is not positive definite to rounding.

    Parameters may be of very different sizes: Cholesky's rounding is that of the matrix with a diagonal of ones. Where
    J is at hand and G has lost half of its digits, the least squares of J and √damping are solved by QR.
    """
    A = np.array(model.G, order="C")
    diagonal = A.ravel()[:: len(A) + 1]
    diagonal += damping
    whole = diagonal.copy() if model.J is not None else diagonal
    solution, by_factor = _cholesky()
    factor, found, failed = solution(A.T, model.g, lower=True, overwrite_a=True)
    if model.J is not None and (failed or not (np.square(factor.diagonal()) / whole).min(initial=1.0) >= _POOR):
        d = _by_qr(model, damping, 1.0 / np.sqrt(whole))
        return None if d is None else (d, None)
    if failed:
        return None
    d = -found
    return (d, lambda v: -by_factor(factor, v, lower=True)[0]) if isfinite(d @ d) else None


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


def trial(
    view: View, model: Quadratic, x: np.ndarray, damping: np.ndarray | float, corrections: int,
    merit: Callable[[np.ndarray, float], float], bounds: tuple[float, float, float],
) -> tuple[float, np.ndarray, float] | None:  # fmt: skip
    """The step d of (G + diag(damping)) d = −g from x, and up to `corrections` more with the same matrix.

    bounds : what is made small (the `merit` of a point and of F there) at x; how small a fall cannot be seen there,
        and is not corrected; how many times as much is beyond hope, and is not corrected either

    Returns the fall that the model promises of d, the lowest of the points, and F there; None where the matrix is not
    positive definite to rounding.
    """
    if model.trial is not None:
        found = model.trial(x, model.G, model.g, damping, corrections, bounds)
        for _ in range(found[3] if found is not None else 0):
            view.asked()
        return None if found is None else found[:3]
    step = damped_step(model, damping)
    if step is None:
        return None
    d, back = step
    fall, y = model.fall(d), view.rounded(x + d)
    value = view.value(y)
    best, reached, bound = (y, value), merit(y, value), bounds[2] * bounds[0]
    lowest = reached
    left = corrections if back is not None and fall > bounds[1] else 0
    while left and reached < bound and (g := view.chord(model, x, y)) is not None:
        assert back is not None
        d = back(g + damping * (y - x))
        if not isfinite(d @ d):
            break
        y = view.rounded(y + d)
        value = view.value(y)
        bound, reached, left = reached, merit(y, value), left - 1
        if reached < lowest:
            best, lowest = (y, value), reached
    return fall, *best


class LevenbergMarquardt(Solver):
    """(G + μ D) d = −∇F with G = JᵀJ, or the generalised Gauss-Newton matrix of another loss.

    A step that lowers F is made and μ multiplied by mu_dec; else μ is multiplied by mu_inc and the step tried again.
    D is diag(G)^scaling: 0 gives the identity, Levenberg's and trainlm's; 1 Marquardt's diagonal, which makes the steps
    independent of the units of each parameter.

    A step d is followed by up to `corrections` more with the same matrix: d ← d − (G + μ D)⁻¹ (J(x)ᵀ e(x + d) + μ D d).
    They make small what the damped step would, ½ ‖e(x + d)‖² + ½ μ dᵀD d, with e itself in the place of its linear
    model: the first one is half the second derivative of e along d, the way along which the valley bends. The lowest
    of the points is the one that counts. They cost little beside J and the factor, and steps get longer.

    Where the promised fall is smaller than F's rounding, a step is made if ∇F gets at most half as long and F falls by
    what its gradients at both ends say: the last digits come from the gradient.
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
        corrections, bounds = int(self.hyper.get("corrections", 0)), (merit, rounding(merit, np.float64), _HOPELESS)
        lowered = False
        while self.numbers["mu"] <= self.hyper["mu_max"]:
            found = trial(self.view, model, self.x, self.numbers["mu"] * damping, corrections, self._merit, bounds)
            made = self._try(model, merit, *found) if found is not None else None
            if made:
                return ""
            if made is None and not lowered:
                self.numbers["mu"] *= self.hyper["mu_inc"]
            elif made is False and self.numbers["mu"] > _LEAST_MU:
                # F cannot tell, and the gradient did not get shorter: the damping may hold the last digits back
                self.numbers["mu"], lowered = max(self.numbers["mu"] * self.hyper["mu_dec"], _LEAST_MU), True
            else:
                return NO_BETTER
        return NO_BETTER

    def _damping(self, model: Quadratic) -> np.ndarray | float:
        """D, with a floor where the diagonal has zeros; 1 for the identity."""
        if self.hyper["scaling"] == 0:
            return 1.0
        diagonal = np.diagonal(model.G)
        floor = max(_EPS * float(diagonal.max(initial=0.0)), np.finfo(float).tiny)
        return np.maximum(diagonal, floor) ** self.hyper["scaling"]

    def _try(self, model: Quadratic, merit: float, fall: float, x: np.ndarray, value: float) -> bool | None:
        """Go to x if it is good; None where μ must rise, False where no step can be seen to be better."""
        reached = self._merit(x, value)
        if not is_rounding(fall, merit):
            if not reached < merit:
                return None
            self._arrive(x, value, self.view.model(x))
            return True
        if not is_near(reached, merit):
            return False
        there = self.view.model(x)
        found = self._system(there, x)
        if not (found.length() <= 0.5 * model.length() and goes_down(model.g, found.g, x - self.x)):
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
