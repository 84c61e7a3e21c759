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
class LimitTable:
    """How the slopes of secants approach the derivative: one row for each h."""

    a: float
    exact: float
    h: np.ndarray
    secant: np.ndarray
    central: np.ndarray

    @property
    def secant_error(self) -> np.ndarray:
        return np.abs(self.secant - self.exact)

    @property
    def central_error(self) -> np.ndarray:
        return np.abs(self.central - self.exact)

    @property
    def best_h(self) -> float:
        """The h at which the secant comes nearest: above it truncation rules, below it rounding."""
        return float(self.h[int(np.argmin(self.secant_error))])

    def __str__(self) -> str:
        lines = [
            f"f'({self.a:g}) = {self.exact:.12g}",
            f"{'h':>8}  {'secant slope':>20}  {'error':>9}  {'central difference':>20}  {'error':>9}",
        ]
        lines += [
            f"{h:8.0e}  {s:20.14g}  {e:9.1e}  {c:20.14g}  {d:9.1e}"
            for h, s, e, c, d in zip(
                self.h, self.secant, self.secant_error, self.central, self.central_error, strict=True
            )
        ]
        return "\n".join([*lines, f"best at h = {self.best_h:.0e}: above it truncation, below it rounding"])


def limit_table(f: Callable[[Any], Any], a: Any, h: Sequence[float] | None = None) -> LimitTable:
    """Secant slopes and central differences of f at a for h = 1e-1 … 1e-12, beside the exact derivative.

    Parameters
    ----------
    f : a function of one number in plain NumPy
    a : where
    h : other steps, if wanted, none of them 0

    >>> import numpy as np
    >>> table = limit_table(np.exp, 0.0)
    >>> float(table.exact), table.best_h
    (1.0, 1e-08)

    Source: handout 5, the derivative as a limit. In exact arithmetic the error would fall for ever.
    """
    steps = np.asarray([10.0**-k for k in range(1, 13)] if h is None else h, dtype=float)
    point = float(np.float64(a))
    secants = np.array([float(secant_slope(f, point, step)) for step in steps])
    centrals = np.array([float(central_difference(f, point, step)) for step in steps])
    return LimitTable(point, float(derivative(f, point)), steps, secants, centrals)
