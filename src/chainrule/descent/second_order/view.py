"""Floor 1, descent: F as second-order methods see it: points are vectors of float64, curvature is at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..objective import Objective
from ..path import DivergenceError

UNBOUNDED = "F has no bound in this direction: its value became infinite"


@dataclass
class Quadratic:
    """F(x + d) ≈ F(x) + g·d + ½ dᵀG d around a point; J and e too where G is JᵀJ of a J that is at hand; and what
    makes a whole trial of a damped step where F has that."""

    g: np.ndarray
    G: np.ndarray
    J: np.ndarray | None = None
    e: np.ndarray | None = None
    trial: Callable[..., tuple[float, np.ndarray, float, int] | None] | None = None

    def fall(self, d: np.ndarray) -> float:
        """How far the model falls along d."""
        along = self.J @ d if self.J is not None else None
        bend = float(along @ along) if along is not None else float(d @ (self.G @ d))
        return -float(self.g @ d) - 0.5 * bend

    def length(self) -> float:
        """The length of g, each entry by its own curvature: it has no units, so rounding can be judged by it."""
        diagonal = np.diagonal(self.G)
        bent = diagonal > 0
        return float(np.sqrt(np.sum(np.square(self.g[bent]) / diagonal[bent])))


class View:
    """What a method asks of an Objective, by vectors of float64, whatever the shape and width of x.

    shape, dtype : of x; points are rounded to its width before F is asked
    count : the number of residuals, where rows with weights make it another than their number
    asked : called before F is evaluated, which may be a moment to break off
    """

    def __init__(
        self,
        objective: Objective,
        shape: tuple[int, ...],
        dtype: Any = np.float64,
        count: float | None = None,
        asked: Callable[[], Any] = lambda: None,
    ):
        self.objective, self.shape, self.dtype = objective, shape, np.dtype(dtype)
        self.asked = asked
        self._count = count
        self._plain = self.dtype == np.float64 and len(shape) == 1
        self._exact = objective.has_exact_curvature
        self._groups: tuple[tuple[str, ...], np.ndarray] | None = None
        self._latest: tuple[np.ndarray, Quadratic] | None = None  # for products, where there are only matrices

    def shaped(self, x: np.ndarray) -> Any:
        """The point as the caller of the method knows it, a copy."""
        if self._plain:
            return x.copy()
        return np.array(x.reshape(self.shape), self.dtype)[()]

    def rounded(self, x: np.ndarray) -> np.ndarray:
        """The nearest point of x's width, a copy."""
        if self._plain:
            return x.copy()
        return x.astype(self.dtype).astype(np.float64)

    def value(self, x: np.ndarray) -> float:
        """F(x). NaN and +∞ are values that a method refuses; −∞ is the end."""
        self.asked()
        value = float(self.objective(self.shaped(x)))
        if value == -np.inf:
            raise DivergenceError(UNBOUNDED)
        return value

    def value_and_gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """F and ∇F."""
        self.asked()
        value, g = self.objective.value_and_gradient(self.shaped(x))
        if value == -np.inf:
            raise DivergenceError(UNBOUNDED)
        return float(value), _flat(g)

    def model(self, x: np.ndarray) -> Quadratic:
        """∇F and the Gauss-Newton matrix in the place of the Hessian."""
        self.asked()
        objective, at = self.objective, self.shaped(x)
        if objective.has_matrix:
            G, g = objective.normal(at)
            return Quadratic(_flat(g), np.asarray(G, np.float64), trial=objective.trial if self._plain else None)
        e = _flat(objective.residuals(at))  # type: ignore[misc]
        J = np.asarray(objective.jacobian(at), np.float64).reshape(e.size, x.size)
        return Quadratic(J.T @ e, J.T @ J, J, e)

    def chord(self, model: Quadratic, x: np.ndarray, y: np.ndarray) -> np.ndarray | None:
        """∇F at y with J of x, whose model is given; None where that is not to be had without making J again."""
        if model.J is None and not self.objective.has_chord:
            return None
        self.asked()
        if model.J is not None:
            return model.J.T @ _flat(self.objective.residuals(self.shaped(y)))  # type: ignore[misc]
        return _flat(self.objective.chord(self.shaped(x), self.shaped(y)))

    def groups(self, K: int) -> tuple[tuple[str, ...], np.ndarray]:
        """(names, the number of its group for each of K parameters): the objective's, or one without a name."""
        if self._groups is None:
            named = self.objective.groups or {"": slice(0, K)}
            group, taken = np.zeros(K, np.intp), np.zeros(K, np.intp)
            for number, part in enumerate(named.values()):
                group[part] = number
                taken[part] += 1
            if not (taken == 1).all():
                at = int(np.argmax(taken != 1))
                raise ValueError(f"groups must hold each of the {K} numbers of x once; number {at} is in {taken[at]}")
            self._groups = tuple(named), group
        return self._groups

    def residual_count(self, x: np.ndarray) -> float:
        """How many residuals there are."""
        if self._count is None:
            self._count = float(np.size(self.objective.residuals(self.shaped(x))))  # type: ignore[misc]
        return self._count

    def product(self, x: np.ndarray, v: np.ndarray, g: np.ndarray, sigma: float) -> np.ndarray:
        """The Hessian at x times v: exact, or where only gradients are given, from their change over sigma/‖v‖ · v."""
        self.asked()
        if self._exact:
            return _flat(self.objective.hvp(self.shaped(x), self.shaped(v)))
        h = sigma / float(np.linalg.norm(v))
        there = self.rounded(x + h * v)
        return (_flat(self.objective.gradient(self.shaped(there))) - g) / h

    def gauss_newton(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The Gauss-Newton matrix at x times v."""
        if not self.objective.has_products:
            if self._latest is None or not np.array_equal(self._latest[0], x):
                self._latest = x, self.model(x)
            return self._latest[1].G @ v
        self.asked()
        return _flat(self.objective.gauss_newton(self.shaped(x), self.shaped(v)))


def _flat(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64).ravel()
