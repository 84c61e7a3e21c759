"""Floor 1, descent: what a descent leaves behind: where it went, what it found, why it stopped."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .objective import Objective


class Reason(NamedTuple):
    """Why a descent stopped, in plain words, and whether that means that it has arrived."""

    sentence: str
    converged: bool


REASONS: dict[str, Reason] = {
    "gradient": Reason("the gradient is small: no entry is larger than tol_gradient", True),
    "value": Reason("the value no longer changes by more than tol_value", True),
    "step": Reason("the last step moved no entry by more than tol_step", True),
    "search": Reason("no step along the gradient improves the value any more, to rounding", True),
    "lbfgs": Reason("L-BFGS found no better point, to rounding", True),
    "no_better": Reason("the method found no step that improves the value any more, to rounding", True),
    "limit": Reason("max_iter steps were made", False),
    "worse": Reason("max_iter steps were made and the last value is worse than the first; try a smaller step", False),
    "callback": Reason("the callback asked to stop", False),
    "interrupt": Reason("you interrupted it; the best point so far is kept", False),
    "divergence": Reason("it diverged: the value, the gradient or the point grew beyond all bounds", False),
}

_ULPS = 64  # values that differ by no more units in the last place are the same, to rounding: F may be a long sum


@dataclass(frozen=True, eq=False)
class Path:
    """Where a descent went: points, values and gradients, why it stopped.

    Attributes
    ----------
    x, value : the best point (of several that are equally good to rounding, the last; of a second-order method the
        last, since it makes no step to a worse one) and F there
    points : all points, (n_iter + 1) × the shape of x; only the first and the last with record="ends"
    values, gradients : F and ∇F at these points
    stopped_because : the reason in a sentence
    converged : whether that reason means that a minimum (maximum) was reached, to the tolerances
    n_iter : steps made
    n_calls : how often F was evaluated, with or without its gradient
    method : the method's name
    sign : 1.0 for a minimum, −1.0 for a maximum
    numbers : what a second-order method reports of each of these points, by name: its damping "mu", and for
        bayesian_regularisation "alpha", "beta", "gamma", "evidence" and, with groups, each one's "alpha_…"
    function : F itself, for pictures; the path keeps alive what F refers to. Copies of the path share it, a pickle of
        the path leaves it behind (None)

    >>> from chainrule.descent import minimize
    >>> path = minimize(lambda x: (x - 3.0) ** 2, 1.0, step=0.25, max_iter=2)
    >>> path.points, path.values
    (array([1. , 2. , 2.5]), array([4.  , 1.  , 0.25]))
    >>> path
    Path(gradient_descent: 2 steps to value 0.25; max_iter steps were made)
    """

    x: Any
    value: float
    points: np.ndarray
    values: np.ndarray
    gradients: np.ndarray
    stopped_because: str
    converged: bool
    n_iter: int
    n_calls: int
    method: str
    sign: float = field(default=1.0, repr=False)
    numbers: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    function: Objective | None = field(default=None, repr=False)

    @property
    def is_monotone(self) -> bool:
        """Whether no recorded value is worse than the one before it, to rounding: F(x_0) ≥ F(x_1) ≥ … (handout 3)."""
        before, after = self.sign * self.values[:-1], self.sign * self.values[1:]
        return bool(np.all(after - before <= rounding(before, self.points.dtype)))

    def __len__(self) -> int:
        """How many points were recorded."""
        return len(self.values)

    def __repr__(self) -> str:
        steps = "1 step" if self.n_iter == 1 else f"{self.n_iter} steps"
        return f"Path({self.method}: {steps} to value {self.value:.6g}; {self.stopped_because})"

    def mirrored(self) -> Path:
        """The same path on −F: what went down there goes up here."""
        # 0 − v instead of −v, so that a value of 0 is not written −0
        return replace(
            self, value=0.0 - self.value, values=0.0 - self.values, gradients=0.0 - self.gradients, sign=-self.sign,
            function=self.function and -self.function,
        )  # fmt: skip

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Draw the descent, as Figure 3 of the handout: see `chainrule.insight.plots.paths.plot_path`."""
        from chainrule.insight.plots.paths import plot_path

        return plot_path(self, ax, **options)

    def animate(self, file: Any, **options: Any) -> Any:
        """Write the descent as a film, GIF or MP4: see `chainrule.insight.plots.paths.animate_path`."""
        from chainrule.insight.plots.paths import animate_path

        return animate_path(self, file, **options)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "function"}

    def __copy__(self) -> Path:
        return replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Path:
        own = {f.name: copy.deepcopy(getattr(self, f.name), memo) for f in fields(self) if f.name != "function"}
        return Path(**own, function=self.function)


@cache
def _few_ulps(dtype: Any) -> float:
    return float(_ULPS * np.finfo(dtype).eps)


def rounding(value: Any, dtype: Any) -> Any:
    """How far a value may be off from rounding alone, for a point of this float type."""
    return _few_ulps(dtype) * abs(value)


class DivergenceError(ArithmeticError):
    """The value, the gradient, the loss or a weight became NaN or infinite, or grew beyond all bounds.

    `path` has what came before, its best point too; it is None where there was nothing before (F not finite at x0).
    """

    def __init__(self, message: str, path: Path | None = None):
        super().__init__(message)
        self.path = path
