"""Floor 1, descent: a function to walk on, with the derivatives that are known; the calculus derives the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from chainrule.calculus import hvp, jacobian, value_and_grad


class Objective:
    """A function F of a point with what is known of its derivatives; what it lacks, the calculus derives.

    Parameters
    ----------
    f : F(x), one number, of a number or an array x
    gradient : x -> ∇F(x), of the shape of x
    value_and_gradient : x -> (F(x), ∇F(x)), where the two share work; it may stand without f
    residuals : x -> e(x), for a sum of squares F = ½ Σ e²; then f is left out
    jacobian : x -> ∂e/∂x, the shape of e followed by the shape of x
    normal : x -> (JᵀJ, Jᵀe), K × K and K numbers for x of K numbers, where that is cheaper than J. For an F that is no
        sum of squares, (G, ∇F) with a positive semidefinite G in the place of the Hessian (generalised Gauss-Newton)
    chord : (x, y) -> the gradient at y with the Jacobian of x, J(x)ᵀ e(y), of the shape of x
    trial : (x, G, g, damping, corrections, bounds) -> (fall, point, F there, evaluations of e) or None: a trial of
        levenberg_marquardt in one call, for x of K numbers in float64; see `second_order.levenberg_marquardt.trial`
    hvp : (x, v) -> the Hessian of F at x times v
    gauss_newton : (x, v) -> the matrix of `normal` times v, of the shape of x, without making the matrix
    groups : name -> slice of the numbers of x (flat): parameters of one kind, to which bayesian_regularisation gives a
        penalty of their own. Left out, all of x is one group

    Raises
    ------
    TypeError : when neither f nor residuals nor value_and_gradient is given, or something given is not a function, or
        groups are no slices.
    ValueError : when both f and residuals are given.

    >>> F = Objective(lambda x: x**2)
    >>> float(F(3.0)), float(F.gradient(3.0)), float(F.hvp(3.0, 1.0))
    (9.0, 6.0, 2.0)
    >>> E = Objective(residuals=lambda x: x - np.array([1.0, 2.0]))
    >>> float(E(np.zeros(2))), E.gradient(np.zeros(2))
    (2.5, array([-1., -2.]))
    """

    def __init__(
        self,
        f: Callable[[Any], Any] | None = None,
        *,
        gradient: Callable[[Any], Any] | None = None,
        value_and_gradient: Callable[[Any], tuple[Any, Any]] | None = None,
        residuals: Callable[[Any], Any] | None = None,
        jacobian: Callable[[Any], Any] | None = None,
        normal: Callable[[Any], tuple[Any, Any]] | None = None,
        chord: Callable[[Any, Any], Any] | None = None,
        trial: Callable[..., tuple[float, Any, float, int] | None] | None = None,
        hvp: Callable[[Any, Any], Any] | None = None,
        gauss_newton: Callable[[Any, Any], Any] | None = None,
        groups: Mapping[str, slice] | None = None,
    ):
        given = {
            "f": f, "gradient": gradient, "value_and_gradient": value_and_gradient, "residuals": residuals,
            "jacobian": jacobian, "normal": normal, "chord": chord, "trial": trial, "hvp": hvp,
            "gauss_newton": gauss_newton,
        }  # fmt: skip
        for name, function in given.items():
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function of x, got {function!r}")
        if f is None and residuals is None and value_and_gradient is None:
            raise TypeError("an Objective needs a function f, or value_and_gradient, or residuals e with F = ½ Σ e²")
        if f is not None and residuals is not None:
            raise ValueError("f and residuals are both given: with residuals e, F is ½ Σ e², so leave f out")
        if residuals is None and jacobian is not None:
            raise ValueError("jacobian is the derivative of residuals, and there are no residuals; give gradient")
        named = groups or {}
        if not (isinstance(named, Mapping) and all(isinstance(part, slice) for part in named.values())):
            raise TypeError(
                f"groups must name slices of the numbers of x, such as {{'a': slice(0, 3)}}, got {groups!r}"
            )
        self.groups = dict(named)
        self._f, self._gradient, self._both = f, gradient, value_and_gradient
        self.residuals, self._jacobian, self._normal = residuals, jacobian, normal
        self.trial = trial
        self._chord, self._hvp, self._gauss_newton = chord, hvp, gauss_newton

    @property
    def has_normal(self) -> bool:
        """Whether `normal` works: F is a sum of squares, or a Gauss-Newton matrix was given."""
        return self.residuals is not None or self._normal is not None

    @property
    def has_matrix(self) -> bool:
        """Whether `normal` was given, and is not made of J."""
        return self._normal is not None

    @property
    def has_exact_curvature(self) -> bool:
        """Whether `hvp` is exact: given, or derived of an F all of whose derivatives come from the calculus."""
        own = (self._gradient, self._both, self._jacobian, self._normal)
        return self._hvp is not None or all(function is None for function in own)

    def __call__(self, x: Any) -> Any:
        """F(x). TypeError when that is not one number."""
        if self._f is not None:
            return _one_number(self._f(x))
        if self.residuals is not None:
            squares = np.square(self.residuals(x))
            # np.sum, which recorded values need, takes longer to call than a small network to compute
            return 0.5 * (np.add.reduce(squares, None) if type(squares) is np.ndarray else np.sum(squares))
        return _one_number(self._both(x)[0])  # type: ignore[misc]

    def __neg__(self) -> Objective:
        """−F, with the derivatives that are known."""

        def value_and_gradient(x):
            value, g = self.value_and_gradient(x)
            return -value, -g

        def product(x, v):
            return -np.asarray(self.hvp(x, v))[()]

        exact = self.has_exact_curvature
        return Objective(lambda x: -self(x), value_and_gradient=value_and_gradient, hvp=product if exact else None)

    def value_and_gradient(self, x: Any) -> tuple[Any, Any]:
        """(F(x), ∇F(x)). TypeError or ValueError when that is not one number, and an array of the shape of x."""
        if self._both is not None:
            value, g = self._both(x)
            return _one_number(value), _shaped(g, x)
        if self._gradient is not None:
            return self(x), _shaped(self._gradient(x), x)
        if self._jacobian is not None:
            e = np.ravel(self.residuals(x))  # type: ignore[misc]
            J = np.reshape(self._jacobian(x), (e.size, np.size(x)))
            return 0.5 * np.sum(np.square(e)), np.reshape(J.T @ e, np.shape(x))[()]
        if self._normal is not None:
            return self(x), np.reshape(self._normal(x)[1], np.shape(x))[()]
        return value_and_grad(self)(x)

    def gradient(self, x: Any) -> Any:
        """∇F(x), of the shape of x."""
        if self._gradient is not None:
            return _shaped(self._gradient(x), x)
        return self.value_and_gradient(x)[1]

    def jacobian(self, x: Any) -> Any:
        """∂e/∂x of the residuals: the shape of e followed by the shape of x. TypeError without residuals."""
        if self.residuals is None:
            raise TypeError("this objective is not a sum of squared residuals, so it has no Jacobian; give residuals")
        return (self._jacobian or jacobian(self.residuals))(x)

    def normal(self, x: Any) -> tuple[Any, Any]:
        """(JᵀJ, Jᵀe), K × K and K numbers, of the residuals; or what was given as `normal`. TypeError without both."""
        if self._normal is not None:
            return self._normal(x)
        J = np.reshape(self.jacobian(x), (-1, np.size(x)))
        return J.T @ J, J.T @ np.ravel(self.residuals(x))  # type: ignore[misc]

    @property
    def has_chord(self) -> bool:
        """Whether `chord` was given, and makes no J."""
        return self._chord is not None

    def chord(self, x: Any, y: Any) -> Any:
        """J(x)ᵀ e(y), of the shape of x: the gradient at y with the Jacobian of x. TypeError without residuals."""
        if self._chord is not None:
            return self._chord(x, y)
        J = np.reshape(self.jacobian(x), (-1, np.size(x)))
        return np.reshape(J.T @ np.ravel(self.residuals(y)), np.shape(x))[()]  # type: ignore[misc]

    def hvp(self, x: Any, v: Any) -> Any:
        """The Hessian of F at x times v, of the shape of x."""
        return (self._hvp or hvp(self))(x, v)

    @property
    def has_products(self) -> bool:
        """Whether `gauss_newton` was given, and makes no matrix."""
        return self._gauss_newton is not None

    def gauss_newton(self, x: Any, v: Any) -> Any:
        """The matrix of `normal` at x times v, of the shape of x. TypeError where there is no such matrix."""
        if self._gauss_newton is not None:
            return self._gauss_newton(x, v)
        return np.reshape(self.normal(x)[0] @ np.ravel(v), np.shape(x))[()]


def _one_number(value: Any) -> Any:
    """`value` (recorded values pass too), or the error that says what is wrong with it."""
    if isinstance(value, list | tuple | dict):
        raise TypeError(f"F must return one number, got a {type(value).__name__}")
    if np.shape(value) != ():
        raise TypeError(f"F must return one number, got an array of shape {np.shape(value)}; add it up with np.sum")
    if not isinstance(value, Real) and getattr(getattr(value, "dtype", None), "kind", "") not in ("f", "i", "u"):
        raise TypeError(f"F must return one number, got {value!r}")
    return value


def _shaped(g: Any, x: Any) -> Any:
    """The gradient as an array (or number), if it has the shape of x."""
    if np.shape(g) != np.shape(x):
        raise ValueError(f"the gradient must have the shape of x, {np.shape(x)}, got {np.shape(g)}")
    return np.asarray(g)[()]
