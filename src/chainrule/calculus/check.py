"""Floor 0, calculus: check_grad: the stated gradient against a numerical one, where they part and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .differentiate import argument_names, grad
from .reasons import Entry, Evidence, reasons_of


@dataclass(frozen=True)
class GradientCheck:
    """The report of `check_grad`: plain numbers, printed by str()."""

    ok: bool
    worst: float  # the largest |stated − numerical| / (atol + rtol · |numerical|); 1 is the limit
    argument: str  # where it is
    index: tuple[int, ...]
    stated: Any  # the arrays that were compared; a tuple of them where f has several arguments
    numerical: Any
    failures: tuple[Entry, ...]  # the entries that do not agree, the worst first
    kinks: tuple[Entry, ...]  # where the slopes from the left and the right differ
    reasons: tuple[str, ...]  # why it fails, as far as the numbers tell

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        lines = [self._verdict()]
        lines += [f"  {entry}" for entry in self.failures[:5]]
        if len(self.failures) > 5:
            lines.append(f"  and {len(self.failures) - 5} more")
        lines += [f"why: {reason}" for reason in self.reasons]
        if self.kinks:
            places = ", ".join(entry.where for entry in self.kinks[:5])
            more = f" and {len(self.kinks) - 5} more" if len(self.kinks) > 5 else ""
            lines.append(
                f"kinks, where the slopes from the left and from the right differ and any value between is a "
                f"derivative: {places}{more}"
            )
        return "\n".join(lines)

    def _verdict(self) -> str:
        single = not isinstance(self.stated, tuple)
        stated = self.stated if single else np.concatenate([np.ravel(x) for x in self.stated])
        if self.failures:
            return f"the gradient is WRONG in {len(self.failures)} of {np.size(stated)} entries"
        if not single or np.size(stated) == 0:
            return f"the gradient agrees in all {np.size(stated)} entries"
        at = Entry(self.argument, self.index, self.stated[self.index], self.numerical[self.index], 0.0, 0.0)
        return f"the gradient agrees; worst at {at.where}: stated {at.stated:.9g}, numerical {at.numerical:.9g}"


def check_grad(
    f: Callable[..., Any],
    x: Any,
    gradient: Callable[..., Any] | None = None,
    *,
    h: float = 1e-5,
    rtol: float = 1e-5,
    atol: float = 1e-7,
) -> GradientCheck:
    """Compare the gradient of f at x with central differences (f(x+h e_i) − f(x−h e_i))/2h.

    Parameters
    ----------
    f : a function of an array (or number) whose value is one number; or of several
    x : the point, float64; a tuple of points for a function of several arguments
    gradient : the function to check, of the same arguments (a tuple of gradients for several); by default the one that
        the calculus derives
    h : the step, relative to max(1, |x_i|); 1e-5 is best in float64
    rtol, atol : an entry agrees when |stated − numerical| ≤ atol + rtol · |numerical|

    Returns
    -------
    GradientCheck : true when all entries agree. At a kink (|x| at 0, ties of max) any number between the two
    one-sided slopes agrees, and the kink is named; at a jump nothing agrees. Where entries do not agree, `failures`
    has their argument, index, stated and numerical value, and `reasons` what the numbers tell of the cause: a sign, a
    factor, a transposition, a kink, a jump, a function that is not the same twice, the rule of one primitive.

    Raises
    ------
    ValueError : for a point that is not finite, or a gradient of another shape.
    TypeError : for an f whose value is not one number.

    >>> import numpy as np
    >>> print(check_grad(lambda x: np.sum(np.abs(x)), np.array([1.0, 0.0])))
    the gradient agrees; worst at x[0]: stated 1, numerical 1
    kinks, where the slopes from the left and from the right differ and any value between is a derivative: x[1]
    >>> print(check_grad(lambda x, y: x * np.exp(y), (2.0, 0.0), lambda x, y: (np.exp(y), -x * np.exp(y))))
    the gradient is WRONG in 1 of 2 entries
      y: stated -2, numerical 2 (off by 4)
    why: the stated gradient by y is -1 times the numerical one: a minus is missing or too many

    Source: handout 5. PyTorch's gradcheck fails at kinks and gives two numbers; here kinks and causes are named.
    """
    several = isinstance(x, tuple)
    points = [np.array(part, dtype=np.float64) for part in (x if several else (x,))]
    names = argument_names(f, len(points))
    for name, point in zip(names, points, strict=True):
        if not np.isfinite(point).all():
            raise ValueError(f"{name} must be finite")
    stated = _stated(gradient or grad(f, tuple(range(len(points))) if several else 0), points, names, several)
    entries = _entries(f, points, names, stated, h)
    kinks = tuple(entry for entry in entries if entry.is_kink(h) and not entry.jump)
    off = [entry.off(h, rtol, atol) for entry in entries]
    at = int(np.argmax(off)) if off else None
    worst = off[at] if at is not None else 0.0
    order = sorted((k for k in range(len(off)) if off[k] > 1.0), key=lambda k: -off[k])
    failures = tuple(entries[k] for k in order)
    numerical = _shaped([entry.numerical for entry in entries], points)
    evidence = Evidence(f, points, names, stated, numerical, entries, failures, gradient is None, h, rtol, atol)
    return GradientCheck(
        not failures,
        worst,
        entries[at].argument if at is not None else names[0],
        entries[at].index if at is not None else (),
        tuple(stated) if several else stated[0],
        tuple(numerical) if several else numerical[0],
        failures,
        kinks,
        tuple(reasons_of(evidence)) if failures else (),
    )


def _stated(
    gradient: Callable[..., Any], points: list[np.ndarray], names: list[str], several: bool
) -> list[np.ndarray]:
    """What the gradient returns at the points, as one array for each argument."""
    found = gradient(*(point if point.ndim else point[()] for point in points))
    if several and (not isinstance(found, tuple | list) or len(found) != len(points)):
        raise ValueError(f"the gradient must be a tuple of {len(points)}, one for each argument of f")
    arrays = [np.asarray(part, dtype=np.float64) for part in (found if several else (found,))]
    for name, array, point in zip(names, arrays, points, strict=True):
        if array.shape != point.shape:
            raise ValueError(f"the gradient must have the shape of {name}, {point.shape}, got {array.shape}")
    return arrays


def _shaped(values: list[float], points: list[np.ndarray]) -> list[np.ndarray]:
    ends = np.cumsum([0, *(point.size for point in points)])
    return [
        np.reshape(np.array(values[a:b], dtype=float), point.shape)
        for a, b, point in zip(ends, ends[1:], points, strict=False)
    ]


def _entries(f: Callable[..., Any], points: list[np.ndarray], names: list[str], stated: Any, h: float) -> list[Entry]:
    """The differences at every entry of every argument."""
    middle = value_at(f, points)
    found = []
    for n, (name, point) in enumerate(zip(names, points, strict=True)):
        for index in np.ndindex(point.shape):
            step = h * max(1.0, abs(float(point[index])))
            above, below = (value_at(f, shifted(points, n, index, s)) for s in (step, -step))
            left, right = (middle - below) / step, (above - middle) / step
            entry = Entry(name, index, float(stated[n][index]), (above - below) / (2 * step), left, right)
            if entry.is_kink(h):
                near = [value_at(f, shifted(points, n, index, s / 10)) for s in (step, -step)]
                apart = abs(near[0] + near[1] - 2 * middle) * 10 / step
                entry = replace(entry, jump=bool(apart > 5 * abs(right - left)))
            found.append(entry)
    return found


def value_at(f: Callable[..., Any], points: list[np.ndarray]) -> float:
    """f, whose value must be one number."""
    value = np.asarray(f(*(point if point.ndim else point[()] for point in points)))
    if value.shape != ():
        raise TypeError(f"f must return one number, got an array of shape {value.shape}; add it up with np.sum")
    return float(value)


def shifted(points: list[np.ndarray], n: int, index: tuple[int, ...], step: float) -> list[np.ndarray]:
    """The points with one entry moved."""
    moved = [point.copy() for point in points]
    moved[n][index] += step
    return moved
