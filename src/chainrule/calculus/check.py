"""Floor 0, calculus: check_grad: the stated gradient against a numerical one, and where they part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .differentiate import grad


@dataclass(frozen=True)
class GradientCheck:
    """The report of `check_grad`: plain numbers, printed by str()."""

    ok: bool
    worst: float  # the largest |stated − numerical| / (atol + rtol · |numerical|); 1 is the limit
    index: tuple[int, ...]  # where it is
    stated: np.ndarray
    numerical: np.ndarray
    kinks: tuple[tuple[int, ...], ...]  # where the slopes from the left and the right differ

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        at = f"x[{', '.join(map(str, self.index))}]" if self.index else "x"
        here = f"stated {self.stated[self.index]:.12g}, numerical {self.numerical[self.index]:.12g}"
        lines = [f"{'the gradient agrees' if self.ok else 'the gradient is WRONG'}; worst at {at}: {here}"]
        if self.kinks:
            places = ", ".join(f"x[{', '.join(map(str, k))}]" if k else "x" for k in self.kinks[:5])
            more = f" and {len(self.kinks) - 5} more" if len(self.kinks) > 5 else ""
            lines.append(
                f"kinks, where the slopes from the left and from the right differ and any value between is a "
                f"derivative: {places}{more}"
            )
        return "\n".join(lines)


def check_grad(
    f: Callable[[Any], Any],
    x: Any,
    gradient: Callable[[Any], Any] | None = None,
    *,
    h: float = 1e-5,
    rtol: float = 1e-5,
    atol: float = 1e-7,
) -> GradientCheck:
    """Compare the gradient of f at x with central differences (f(x+h e_i) − f(x−h e_i))/2h.

    Parameters
    ----------
    f : a function of an array (or number) whose value is one number
    x : the point, float64
    gradient : the function to check; by default the one that the calculus derives
    h : the step, relative to max(1, |x_i|); 1e-5 is best in float64
    rtol, atol : an entry agrees when |stated − numerical| ≤ atol + rtol · |numerical|

    Returns
    -------
    GradientCheck : true when all entries agree. At a kink (|x| at 0, ties of max) any number between the two
    one-sided slopes agrees, and the kink is named.

    >>> import numpy as np
    >>> print(check_grad(lambda x: np.sum(np.abs(x)), np.array([1.0, 0.0])))
    the gradient agrees; worst at x[0]: stated 1, numerical 1
    kinks, where the slopes from the left and from the right differ and any value between is a derivative: x[1]
    >>> bool(check_grad(np.sin, 1.0, lambda x: -np.cos(x)))
    False

    Source: handout 5. PyTorch's gradcheck fails at kinks; here they are named.
    """
    point = np.array(x, dtype=np.float64)
    if not np.isfinite(point).all():
        raise ValueError("x must be finite")
    stated = np.asarray((gradient or grad(f))(point if point.ndim else point[()]), dtype=np.float64)
    if stated.shape != point.shape:
        raise ValueError(f"the gradient must have the shape of x, {point.shape}, got {stated.shape}")
    middle = _call(f, point)
    numerical, left, right = (np.empty(point.shape) for _ in range(3))
    for index in np.ndindex(point.shape):
        step = h * max(1.0, abs(float(point[index])))
        above, below = _shifted(f, point, index, step), _shifted(f, point, index, -step)
        numerical[index] = (above - below) / (2 * step)
        right[index], left[index] = (above - middle) / step, (middle - below) / step
    return _report(stated, numerical, left, right, h, rtol, atol)


def _call(f: Callable[[Any], Any], point: np.ndarray) -> float:
    value = np.asarray(f(point if point.ndim else point[()]))
    if value.shape != ():
        raise TypeError(f"f must return one number, got an array of shape {value.shape}; add it up with np.sum")
    return float(value)


def _shifted(f: Callable[[Any], Any], point: np.ndarray, index: tuple[int, ...], step: float) -> float:
    moved = point.copy()
    moved[index] += step
    return _call(f, moved)


def _report(stated, numerical, left, right, h, rtol, atol) -> GradientCheck:
    allowed = atol + rtol * np.abs(numerical)
    off = np.abs(stated - numerical) / allowed
    # The two one-sided slopes of a smooth function differ by about h f''; at a kink by a jump that does not fall.
    jump = np.abs(right - left) > 1e-3 * (1.0 + np.abs(numerical)) + 100 * h * np.abs(numerical)
    low, high = np.minimum(left, right) - allowed, np.maximum(left, right) + allowed
    off = np.where(jump & (stated >= low) & (stated <= high), 0.0, off)
    off = np.where(np.isfinite(off), off, np.inf)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(off)), off.shape)) if off.size else ()
    kinks = tuple(tuple(int(i) for i in k) for k in np.argwhere(jump)) if off.ndim else (((),) if jump else ())
    worst = float(np.max(off)) if off.size else 0.0
    return GradientCheck(worst <= 1.0, worst, index, stated, numerical, kinks)
