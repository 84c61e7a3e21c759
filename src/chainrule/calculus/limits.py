"""Floor 0, calculus: the derivative as a limit: secant slopes, central differences, the table of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .differentiate import derivative


def secant_slope(f: Callable[[Any], Any], a: Any, h: Any) -> Any:
    """The slope of the secant, (f(a+h) − f(a))/h, whose limit for h → 0 is f'(a).

    h may be an array: then one slope for each. Raises ValueError where h is 0.

    >>> float(secant_slope(lambda x: x**2, 3.0, 0.5))
    6.5

    Source: handout 5.
    """
    h = np.asarray(h, dtype=float)
    if np.any(h == 0):
        raise ValueError("h must not be 0: the secant needs two points")
    a = np.float64(a)
    return (f(a + h) - f(a)) / h


def central_difference(f: Callable[[Any], Any], a: Any, h: Any) -> Any:
    """(f(a+h) − f(a−h))/2h, whose error falls with h² instead of h.

    >>> float(central_difference(lambda x: x**2, 3.0, 0.5))
    6.0
    """
    h = np.asarray(h, dtype=float)
    if np.any(h == 0):
        raise ValueError("h must not be 0: a difference needs two points")
    a = np.float64(a)
    return (f(a + h) - f(a - h)) / (2 * h)


@dataclass(frozen=True)
class Sides:
    """What a function does on the two sides of a point."""

    kind: str  # "smooth" | "kink" | "jump" | "vertical" | "edge"
    left: float  # the slope from the left: −∞ or ∞ where it grows without bound, NaN where f is not defined
    right: float


@dataclass(frozen=True)
class LimitTable:
    """How the slopes of secants approach the derivative: one row for each h. str() prints it, plot() draws it."""

    a: float
    exact: float
    h: np.ndarray
    secant: np.ndarray
    central: np.ndarray
    left: np.ndarray  # (f(a) − f(a−h))/h, the secants to the other side
    sides: Sides
    expected_h: float  # where truncation ½|f''|h and rounding 2ε|f|/h meet, by their formulas; NaN if there is no place

    @property
    def secant_error(self) -> np.ndarray:
        return np.abs(self.secant - self.exact)

    @property
    def central_error(self) -> np.ndarray:
        return np.abs(self.central - self.exact)

    @property
    def best_h(self) -> float:
        """The h at which the secant comes nearest: above it truncation rules, below it rounding."""
        errors = np.where(np.isnan(self.secant_error), np.inf, self.secant_error)
        return float(self.h[int(np.argmin(errors))])

    @property
    def regimes(self) -> list[str]:
        """What makes most of the secant's error in each row: "truncation", "rounding", or "least" where they meet."""
        best = self.best_h
        return ["least" if h == best else "truncation" if abs(h) > abs(best) else "rounding" for h in self.h]

    @property
    def remark(self) -> str:
        """What is to be seen, in a sentence."""
        left, right, a = self.sides.left, self.sides.right, self.a
        if self.sides.kind == "kink":
            return (
                f"a kink at {a:g}: the slope from the left is {left:.6g}, from the right {right:.6g}, so there is no "
                f"derivative; the calculus returns {self.exact:g}"
            )
        if self.sides.kind == "jump":
            return f"f jumps at {a:g}: the secants grow as 1/h, and there is no derivative"
        if self.sides.kind == "vertical":
            return f"the slope at {a:g} grows without bound: {left:g} from the left, {right:g} from the right"
        if self.sides.kind == "edge":
            missing = "the left" if np.isnan(left) else "the right"
            missing = "either side" if np.isnan(left) and np.isnan(right) else missing
            return f"f is not defined to {missing} of {a:g}"
        if not np.any(self.secant_error > 0):
            return "the secant is exact: f is a straight line here, as far as these steps tell"
        if self.best_h == np.max(self.h):
            return "rounding alone, which grows as 1/h: f is a straight line here, as far as these steps tell"
        if self.best_h == np.min(self.h):
            return "truncation alone, which falls with h: these steps do not reach rounding"
        meet = f" (expected: 2·√(ε·|f/f''|) = {self.expected_h:.0e})" if np.isfinite(self.expected_h) else ""
        regimes = "above it truncation, falling with h, below it rounding, growing as 1/h"
        return f"best at h = {self.best_h:.0e}{meet}: {regimes}"

    def __str__(self) -> str:
        lines = [f"f'({self.a:g}) = {self.exact:.12g}"]
        if self.sides.kind == "smooth":
            lines.append(
                f"{'h':>8}  {'secant slope':>20}  {'error':>9}  {'central difference':>20}  {'error':>9}  of the secant"
            )
            lines += [
                f"{h:8.0e}  {s:20.14g}  {e:9.1e}  {c:20.14g}  {d:9.1e}  {regime}"
                for h, s, e, c, d, regime in zip(
                    self.h, self.secant, self.secant_error, self.central, self.central_error, self.regimes, strict=True
                )
            ]
        else:
            lines.append(f"{'h':>8}  {'slope from the left':>20}  {'from the right':>20}")
            lines += [
                f"{h:8.0e}  {s:20.14g}  {r:20.14g}" for h, s, r in zip(self.h, self.left, self.secant, strict=True)
            ]
        return "\n".join([*lines, self.remark])

    def plot(self, ax: Any = None) -> Any:
        """Draw the errors against h, a V on logarithmic axes (at a kink the slopes), and return the Axes."""
        from chainrule.insight.plots.limits import plot_limit

        return plot_limit(self, ax)


def limit_table(f: Callable[[Any], Any], a: Any, h: Sequence[float] | None = None) -> LimitTable:
    """Secant slopes and central differences of f at a for h = 1e-1 … 1e-12, beside the exact derivative.

    Parameters
    ----------
    f : a function of one number in plain NumPy
    a : where
    h : other steps, if wanted, none of them 0

    Returns
    -------
    LimitTable : the slopes and their errors; `remark` names the two regimes, truncation and rounding, and where they
    meet; at a kink the slopes from both sides are shown, and it says that it is one.

    Raises
    ------
    ValueError : for an a that is not finite, or an h that is 0.

    >>> import numpy as np
    >>> table = limit_table(np.exp, 0.0)
    >>> float(table.exact), table.best_h
    (1.0, 1e-08)
    >>> limit_table(np.abs, 0.0).remark
    'a kink at 0: the slope from the left is -1, from the right 1, so there is no derivative; the calculus returns 0'

    Source: handout 5, the derivative as a limit. In exact arithmetic the error would fall for ever.
    """
    steps = np.asarray([10.0**-k for k in range(1, 13)] if h is None else h, dtype=float)
    point = float(np.float64(a))
    if not np.isfinite(point):
        raise ValueError(f"a must be a finite number, got {point}")
    with np.errstate(all="ignore"):
        secants = np.array([float(secant_slope(f, point, step)) for step in steps])
        centrals = np.array([float(central_difference(f, point, step)) for step in steps])
        lefts = np.array([float(secant_slope(f, point, -step)) for step in steps])
        exact = float(derivative(f, point))
        return LimitTable(point, exact, steps, secants, centrals, lefts, _sides(f, point), _meeting(f, point))


def _sides(f: Callable[[Any], Any], a: float) -> Sides:
    """The slopes on both sides, told apart from what differs only because the step is not 0 yet."""
    coarse, fine = (k * max(1.0, abs(a)) for k in (1e-5, 1e-7))
    slopes = {s: [float(secant_slope(f, a, s * h)) for h in (coarse, fine)] for s in (-1, 1)}
    noise = 20 * np.finfo(float).eps * abs(float(f(np.float64(a)))) / fine
    found = {}
    for s, (far, near) in slopes.items():
        # towards a value that is not a rounding error: 100 times for a jump, √100 for a root
        growing = abs(near) > 3 * abs(far) and abs(near) > 100 * (noise + 1e-6)
        limit = (100 * near - far) / 99  # what is left of the error at 1e-7 is a hundredth of that at 1e-5
        found[s] = float(np.copysign(np.inf, near)) if growing else round(limit, 7)
    left, right = found[-1], found[1]
    if np.isnan(left) or np.isnan(right):
        return Sides("edge", left, right)
    if np.isinf(left) or np.isinf(right):
        jumps = any(abs(near) > 50 * abs(far) for far, near in slopes.values())
        return Sides("jump" if jumps else "vertical", left, right)
    apart, before = abs(right - left), abs(slopes[1][0] - slopes[-1][0])
    if apart > 0.5 * before and apart > noise + 1e-6 * (1 + abs(left) + abs(right)):
        return Sides("kink", left, right)
    return Sides("smooth", left, right)


def _meeting(f: Callable[[Any], Any], a: float) -> float:
    """h at which ½|f''|h, the secant's truncation, is 2ε|f|/h, the rounding of two values."""
    bend = abs(float(derivative(lambda x: derivative(f, x), a)))
    size = abs(float(f(np.float64(a))))
    if not (np.isfinite(bend) and np.isfinite(size)) or bend == 0 or size == 0:
        return float("nan")
    return float(2 * np.sqrt(np.finfo(float).eps * size / bend))
