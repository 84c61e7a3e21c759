"""Floor 1, descent: one descent while it runs: F evaluated and checked, points recorded, the rules of stopping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NoReturn

import numpy as np

from chainrule.tables import NOT_NEGATIVE, Interval

from .objective import Objective
from .path import REASONS, DivergenceError, Path, rounding

_ROSE = 1e12  # a value this far above the first one, on its scale, is not on its way to a minimum
UNBOUNDED = "F has no bound in this direction: its value became infinite"


@dataclass(frozen=True)
class Stopping:
    """When to stop; the tolerances as `minimize` describes them. ValueError for one out of range."""

    max_iter: int
    tol_gradient: float
    tol_value: float
    tol_step: float

    def __post_init__(self) -> None:
        Interval(0.0, low_included=True, whole=True).check("max_iter", self.max_iter)
        for name in ("tol_gradient", "tol_value", "tol_step"):
            NOT_NEGATIVE.check(name, getattr(self, name))

    def small(self, g: Any) -> bool:
        """Whether the gradient is small enough."""
        return _largest(g) <= self.tol_gradient

    def stalled(self, moved: Any, change: float) -> str | None:
        """The reason to stop after a step that moved x by `moved` and F by `change`; tolerances of 0 are off."""
        if self.tol_value > 0 and abs(change) <= self.tol_value:
            return "value"
        if self.tol_step > 0 and _largest(moved) <= self.tol_step:
            return "step"
        return None


def _is_finite(x: Any) -> bool:
    """Whether no entry is NaN or infinite. A sum is one look; only where it is not finite every entry is asked."""
    return isfinite(np.add.reduce(x, None)) or bool(np.isfinite(x).all())


def _largest(x: Any) -> float:
    return float(np.abs(x).max(initial=0.0))


@dataclass
class Walk:
    """A descent of `objective` by the method called `method`.

    `searched` : values alone will be compared with those of whole steps. They are then taken from F itself, since
    the value that comes with a gradient may differ from it in the last bit, which would let F rise by that bit.
    """

    objective: Objective
    method: str
    stopping: Stopping
    callback: Callable[[Any, float], Any] | None
    keep_all: bool
    searched: bool = False
    points: list = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    gradients: list = field(default_factory=list)
    numbers: list[dict[str, float]] = field(default_factory=list)
    keep_last: bool = False  # the method says that the last point is the best, whatever F is
    x: Any = None  # the best point,
    value: float = np.inf  # F there, and
    lowest: float = np.inf  # the smallest value seen, which F there equals to rounding
    n_iter: int = -1
    n_calls: int = 0

    def value_at(self, x: Any) -> float:
        """F(x), for a search; NaN and +∞ are values it may refuse, −∞ is the end."""
        self.n_calls += 1
        with np.errstate(all="ignore"):
            value = float(self.objective(x))
        if value == -np.inf:
            self.diverge(UNBOUNDED)
        return value

    def look(self, x: Any) -> tuple[float, Any]:
        """F and ∇F at x, the gradient in x's float type."""
        self.n_calls += 1
        with np.errstate(all="ignore"):
            value, g = self.objective.value_and_gradient(x)
        return self.value_at(x) if self.searched else float(value), np.asarray(g, np.asarray(x).dtype)[()]

    def arrive(
        self,
        x: Any,
        value: float,
        g: Any,
        size: float | None = None,
        numbers: dict[str, float] | None = None,
        slope: Any = None,
    ) -> str | None:
        """Record where a step (or the start) has led; the reason to stop here, if there is one.

        numbers : what the method reports of this point; slope : what must be small at the end, where that is not g
        """
        self._check(x, value, g, size)
        stopping, stalled = self.stopping, None
        if self.values and (stopping.tol_value or stopping.tol_step):
            stalled = stopping.stalled(x - self.points[-1], value - self.values[-1])
        self._note(x, value, g, numbers or {})
        if self.n_iter and self.callback is not None and self.callback(np.array(x)[()], value):
            return "callback"
        if stopping.small(g if slope is None else slope):
            return "gradient"
        if stalled or self.n_iter < stopping.max_iter:
            return stalled
        return "worse" if value > self.values[0] + rounding(self.values[0], np.asarray(x).dtype) else "limit"

    def _check(self, x: Any, value: float, g: Any, size: float | None) -> None:
        if not (isfinite(value) and _is_finite(x) and _is_finite(g)):
            named = (("the point", x), ("the value", value), ("the gradient", g))
            broken = next(name for name, number in named if not np.isfinite(number).all())
            if not self.values:
                raise DivergenceError(f"{broken} is NaN or infinite at x0; start where F and its gradient are finite")
            self.diverge(f"{broken} became NaN or infinite", size)
        if self.values and value - self.values[0] > _ROSE * (1.0 + abs(self.values[0])):
            self.diverge(f"the value grew to {abs(value):.3g} in size", size)

    def diverge(self, what: str, size: float | None = None) -> NoReturn:
        """End with the error that says what happened in the step after the last recorded one."""
        advice = "" if size is None else f", with step size {size:.3g}. Try a smaller step, or step='armijo'"
        message = f"{self.method} diverged: {what} in step {self.n_iter + 1}{advice}"
        raise DivergenceError(message, self.path("divergence"))

    def _note(self, x: Any, value: float, g: Any, numbers: dict[str, float]) -> None:
        if not self.keep_all and len(self.values) > 1:
            del self.points[-1], self.values[-1], self.gradients[-1], self.numbers[-1]
        self.n_iter += 1
        self.points.append(np.array(x))
        self.values.append(value)
        self.gradients.append(np.array(g))
        self.numbers.append(numbers)
        if self.keep_last or value <= self.lowest + rounding(self.lowest if self.n_iter else 0.0, np.asarray(x).dtype):
            self.x, self.value = self.points[-1][()], value
            self.lowest = min(value, self.lowest)

    def path(self, reason: str) -> Path:
        """What is left of the walk when it ends for this reason."""
        sentence, converged = REASONS[reason]
        return Path(
            self.x, self.value, np.array(self.points), np.array(self.values), np.array(self.gradients),
            sentence, converged, self.n_iter, self.n_calls, self.method,
            numbers={name: np.array([row[name] for row in self.numbers]) for name in self.numbers[0]},
            function=self.objective,
        )  # fmt: skip
