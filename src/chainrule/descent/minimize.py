"""Floor 1, descent: minimize and maximize any function: where it went, what it found, why it stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.calculus import grad, hvp, jacobian, value_and_grad

from .methods import Method, check_hyperparameters, get_method
from .schedules import SCHEDULES, Schedule
from .search import Armijo

# Why a descent stopped, in plain words.
REASONS = {
    "gradient": "the gradient is small: no entry is larger than tol_gradient",
    "value": "the value no longer changes by more than tol_value",
    "step": "the last step moved no entry by more than tol_step",
    "limit": "max_iter steps were made",
    "search": "no step along the gradient lowers the value any more, to rounding",
    "callback": "the callback asked to stop",
    "interrupt": "you interrupted it; the best point so far is kept",
    "lbfgs": "L-BFGS found no better point, to its tolerance",
}
_CONVERGED = {"gradient", "value", "step", "search", "lbfgs"}


class DivergenceError(ArithmeticError):
    """The value, the gradient, the loss or a weight became NaN or infinite; `path` has what came before."""

    def __init__(self, message: str, path: Path | None = None):
        super().__init__(message)
        self.path = path


class Objective:
    """A function F of a point, with the derivatives that are known; what it lacks, the calculus derives.

    Parameters
    ----------
    f : F(x), one number; or None with `residuals`
    gradient, value_and_gradient, hvp : functions of x (hvp of x and v), each optional
    residuals, jacobian : e(x) and ∂e/∂x; then F = ½ Σ e²
    normal : x -> (JᵀJ, Jᵀe), where it is cheaper than J

    >>> F = Objective(lambda x: x**2)
    >>> float(F(3.0)), float(F.gradient(3.0))
    (9.0, 6.0)
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
        hvp: Callable[[Any, Any], Any] | None = None,
    ):
        if f is None and residuals is None:
            raise TypeError("an Objective needs a function f, or residuals e with F = ½ Σ e²")
        self._f = f if f is not None else lambda x: 0.5 * np.sum(np.square(residuals(x)))  # type: ignore[misc]
        self._gradient, self._both = gradient, value_and_gradient
        self.residuals, self._jacobian, self._normal, self._hvp = residuals, jacobian, normal, hvp

    def __call__(self, x: Any) -> Any:
        return self._f(x)

    def value_and_gradient(self, x: Any) -> tuple[Any, Any]:
        if self._both is not None:
            return self._both(x)
        if self._gradient is not None:
            return self._f(x), self._gradient(x)
        return value_and_grad(self._f)(x)

    def gradient(self, x: Any) -> Any:
        if self._gradient is not None:
            return self._gradient(x)
        return self._both(x)[1] if self._both is not None else grad(self._f)(x)

    def jacobian(self, x: Any) -> Any:
        """∂e/∂x of the residuals."""
        if self.residuals is None:
            raise TypeError("this objective is not a sum of squared residuals: it has no Jacobian")
        return (self._jacobian or jacobian(self.residuals))(x)

    def normal(self, x: Any) -> tuple[Any, Any]:
        """(JᵀJ, Jᵀe)."""
        if self._normal is not None:
            return self._normal(x)
        J = self.jacobian(x)
        return J.T @ J, J.T @ self.residuals(x)  # type: ignore[misc]

    def hvp(self, x: Any, v: Any) -> Any:
        """The Hessian times v."""
        return (self._hvp or hvp(self._f))(x, v)


@dataclass
class Path:
    """Where a descent went: points, values and gradients, why it stopped.

    `points` is (n+1) × the shape of x (all of them, or the first and last with record="ends"); `values` and
    `gradients` go with them. `x`, `value` are the best point and the value there.
    """

    points: np.ndarray
    values: np.ndarray
    gradients: np.ndarray
    x: Any
    value: float
    n_iter: int
    n_calls: int
    stopped_because: str
    converged: bool
    method: str
    sign: float = field(default=1.0, repr=False)

    @property
    def is_monotone(self) -> bool:
        """Whether no recorded value is worse than the one before it: F(x_0) ≥ F(x_1) ≥ … (handout 3)."""
        return bool(np.all(self.sign * np.diff(self.values) <= 0))

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Path({self.method}: {self.n_iter} steps to value {self.value:.6g}; {self.stopped_because})"


@dataclass
class _Walk:
    """The state of one descent."""

    objective: Objective
    sign: float
    record: str
    points: list = field(default_factory=list)
    values: list = field(default_factory=list)
    gradients: list = field(default_factory=list)
    best: tuple[float, Any] = (np.inf, None)
    n_calls: int = 0

    def look(self, x: Any) -> tuple[float, Any]:
        """F and ∇F at x, checked; F has the sign that makes it a descent."""
        with np.errstate(all="ignore"):
            value, g = self.objective.value_and_gradient(x)
        self.n_calls += 1
        if np.shape(value) != ():
            raise TypeError(f"F must return one number, got an array of shape {np.shape(value)}; add it up with np.sum")
        if np.shape(g) != np.shape(x):
            raise ValueError(f"the gradient must have the shape of x, {np.shape(x)}, got {np.shape(g)}")
        return self.sign * float(value), self.sign * np.asarray(g)[()]

    def value(self, x: Any) -> float:
        self.n_calls += 1
        with np.errstate(all="ignore"):
            return self.sign * float(self.objective(x))

    def note(self, x: Any, value: float, g: Any) -> None:
        if self.record == "ends" and len(self.values) > 1:
            for history in (self.points, self.values, self.gradients):
                history.pop()
        self.points.append(np.array(x))
        self.values.append(self.sign * value)
        self.gradients.append(self.sign * g)
        if value < self.best[0]:
            self.best = (value, np.array(x)[()])

    def path(self, reason: str, n_iter: int, method: str) -> Path:
        value, x = self.best
        return Path(
            np.array(self.points), np.array(self.values), np.array(self.gradients), x, self.sign * value,
            n_iter, self.n_calls, REASONS[reason], reason in _CONVERGED, method, self.sign,
        )  # fmt: skip


def _start(x0: Any) -> Any:
    if isinstance(x0, int | float) and not isinstance(x0, bool):
        x0 = np.float64(x0)
    x = np.array(x0)
    if x.dtype.kind != "f":
        raise TypeError(f"x0 must be a float or an array of floats, got dtype {x.dtype}; pass x0.astype(float)")
    if not np.isfinite(x).all():
        raise ValueError("x0 must be finite")
    return x[()]


def _steps(step: Any, row: Method) -> tuple[Callable[[int, int], float], Armijo | None]:
    """(step size at step n of N, line search)."""
    if isinstance(step, str) and step == "armijo":
        step = Armijo()
    if isinstance(step, Armijo):
        if row.name != "gradient_descent":
            raise ValueError(
                f"step='armijo' searches along the gradient; it goes with gradient_descent, not {row.name}"
            )
        return lambda n, total: step.first, step
    if isinstance(step, str | Schedule):
        if isinstance(step, str) and step not in SCHEDULES:
            raise ValueError(f"step must be a number, 'armijo' or a schedule ({', '.join(SCHEDULES)}), got {step!r}")
        schedule = SCHEDULES[step] if isinstance(step, str) else step
        return lambda n, total: row.defaults["step"] * schedule(n, total), None
    if callable(step):
        return lambda n, total: float(step(n)), None
    size = check_hyperparameters(row, {} if step is None else {"step": step})["step"]
    return lambda n, total: size, None


def minimize(
    F: Callable[[Any], Any] | Objective,
    x0: Any,
    method: str | Method = "gradient_descent",
    *,
    step: Any = None,
    gradient: Callable[[Any], Any] | None = None,
    max_iter: int = 1000,
    tol_gradient: float = 1e-8,
    tol_value: float = 0.0,
    tol_step: float = 0.0,
    callback: Callable[[Any, float], Any] | None = None,
    record: str = "all",
    **hyperparameters: float,
) -> Path:
    """Walk down F from x0: `a_{n+1} = a_n − γ ∇F(a_n)` and its descendants.

    Parameters
    ----------
    F : a function of a number or an array in plain NumPy, or an Objective
    x0 : where to start (float; a Python int is taken as a float)
    method : a row of METHODS ("gradient_descent", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", …)
        or "lbfgs" (SciPy's)
    step : γ: a number, "armijo" (backtracking, which makes F fall at every step), a schedule, or a function of n;
        None takes the method's default
    gradient : ∇F, if it is not to be derived
    max_iter : at most so many steps
    tol_gradient, tol_value, tol_step : stop when no entry of ∇F, when no change of F, no move of an entry is larger
    callback : called as callback(x, value) after each step; a true answer stops
    record : "all" keeps every point, "ends" the first and the last
    hyperparameters : of the method (momentum, beta_1, …)

    Returns
    -------
    Path : the best point, all points, why it stopped.

    Raises
    ------
    DivergenceError : when F, ∇F or the point becomes NaN or infinite; its `path` has what came before.

    >>> path = minimize(lambda x: (x - 3.0) ** 2, 0.0, step=0.25)
    >>> round(float(path.x), 6), path.is_monotone, path.converged
    (3.0, True, True)

    Source: handout 3. scipy.optimize.minimize has no plain gradient descent and keeps no path.
    """
    return _descend(F, x0, method, 1.0, locals(), hyperparameters)


def maximize(
    F: Callable[[Any], Any] | Objective, x0: Any, method: str | Method = "gradient_descent", **options: Any
) -> Path:
    """Walk up F from x0: `minimize` with the opposite sign (handout 3); arguments as there, values are of F itself.

    >>> round(float(maximize(lambda x: -((x - 3.0) ** 2), 0.0, step=0.25).x), 6)
    3.0
    """
    names = ("step", "gradient", "callback")
    known = dict.fromkeys(names) | {
        "max_iter": 1000, "tol_gradient": 1e-8, "tol_value": 0.0, "tol_step": 0.0, "record": "all",
    }  # fmt: skip
    given = {name: options.pop(name, default) for name, default in known.items()}
    return _descend(F, x0, method, -1.0, given, options)


def _descend(
    F: Any, x0: Any, method: Any, sign: float, given: dict[str, Any], hyperparameters: dict[str, float]
) -> Path:
    objective = F if isinstance(F, Objective) else Objective(F, gradient=given["gradient"])
    if isinstance(F, Objective) and given["gradient"] is not None:
        raise ValueError("gradient is given twice: F is an Objective that has its own")
    if given["record"] not in ("all", "ends"):
        raise ValueError(f"record must be 'all' or 'ends', got {given['record']!r}")
    if not isinstance(given["max_iter"], int | np.integer) or given["max_iter"] < 0:
        raise ValueError(f"max_iter must be a whole number ≥ 0, got {given['max_iter']!r}")
    for name in ("tol_gradient", "tol_value", "tol_step"):
        if not given[name] >= 0:
            raise ValueError(f"{name} must be a number ≥ 0, got {given[name]!r}")
    walk = _Walk(objective, sign, given["record"])
    if method == "lbfgs":
        if hyperparameters or given["step"] is not None:
            raise ValueError(f"lbfgs finds its own steps; it takes no {next(iter(hyperparameters), 'step')!r}")
        return _lbfgs(walk, _start(x0), given)
    row = get_method(method)
    hyper = check_hyperparameters(row, hyperparameters)
    return _iterate(walk, _start(x0), row, hyper, given)


def _iterate(walk: _Walk, x: Any, row: Method, hyper: dict[str, float], given: dict[str, Any]) -> Path:
    step_at, search = _steps(given["step"], row)
    hyper = {name: value for name, value in hyper.items() if name != "step"}
    state = [np.zeros_like(x) for _ in row.state]
    size, n = (search.first if search else 0.0), 0
    try:
        value, g = walk.look(x)
        _check_finite(walk, x, value, g, 0, row, step_at(0, given["max_iter"]))
        walk.note(x, value, g)
        while (reason := _done(walk, value, g, n, given)) is None:
            if search:
                found = search.find(walk.value, x, value, g, -g, start=min(2.0 * size, 1e300) if n else size)
                if found is None:
                    reason = "search"
                    break
                size = found[0]
            else:
                size = step_at(n, given["max_iter"])
            with np.errstate(all="ignore"):
                moved = row.update(x, g, *state, t=float(n + 1), step=size, **hyper)
            new_x, *state = moved if isinstance(moved, tuple) else (moved,)
            new_x = np.asarray(new_x, np.asarray(x).dtype)[()]
            new_value, g = walk.look(new_x)
            n += 1
            _check_finite(walk, new_x, new_value, g, n, row, size)
            walk.note(new_x, new_value, g)
            still = _stalled(x, new_x, value, new_value, given)
            x, value = new_x, new_value
            if given["callback"] is not None and given["callback"](x, walk.sign * value):
                reason = "callback"
                break
            if still:
                reason = still
                break
    except KeyboardInterrupt:
        if not walk.values:
            raise
        reason = "interrupt"
    return walk.path(reason, n, row.name)


def _done(walk: _Walk, value: float, g: Any, n: int, given: dict[str, Any]) -> str | None:
    if np.max(np.abs(g), initial=0.0) <= given["tol_gradient"]:
        return "gradient"
    return "limit" if n >= given["max_iter"] else None


def _stalled(x: Any, new_x: Any, value: float, new_value: float, given: dict[str, Any]) -> str | None:
    if given["tol_value"] > 0 and abs(new_value - value) <= given["tol_value"]:
        return "value"
    if given["tol_step"] > 0 and np.max(np.abs(new_x - x), initial=0.0) <= given["tol_step"]:
        return "step"
    return None


def _check_finite(walk: _Walk, x: Any, value: float, g: Any, n: int, row: Method, size: float) -> None:
    what = next(
        (
            name
            for name, number in (("the point", x), ("the value", value), ("the gradient", g))
            if not np.isfinite(number).all()
        ),
        None,
    )
    if what is None:
        return
    path = walk.path("limit", max(n - 1, 0), row.name) if walk.values else None
    if path is not None:
        path.stopped_because = f"{what} became NaN or infinite in step {n}"
    where = f"in step {n}, with step size {size:g}. Try a smaller step, or step='armijo'" if n else "at x0"
    raise DivergenceError(f"{row.name} diverged: {what} became NaN or infinite {where}.", path)


def _lbfgs(walk: _Walk, x0: Any, given: dict[str, Any]) -> Path:
    """SciPy's L-BFGS-B, its iterates recorded; values that are not finite end it as divergence."""
    from scipy.optimize import minimize as scipy_minimize

    shape, dtype = np.shape(x0), np.asarray(x0).dtype
    last: dict[str, Any] = {}

    def flat(point: np.ndarray) -> tuple[float, np.ndarray]:
        x = point.reshape(shape).astype(dtype)[()]
        value, g = walk.look(x)
        last.update(x=x, value=value, g=g)
        return value, np.ravel(np.asarray(g, float))

    value, g = walk.look(x0)
    _check_finite(walk, x0, value, g, 0, get_method("gradient_descent"), 0.0)
    walk.note(x0, value, g)

    def each(intermediate_result: Any) -> None:
        x = intermediate_result.x.reshape(shape).astype(dtype)[()]
        value, g = walk.look(x)
        walk.note(x, value, g)
        if given["callback"] is not None and given["callback"](x, walk.sign * value):
            raise StopIteration

    options = {"maxiter": given["max_iter"], "gtol": given["tol_gradient"], "ftol": given["tol_value"], "maxfun": 10**9}
    found = scipy_minimize(
        flat, np.ravel(np.asarray(x0, float)), jac=True, method="L-BFGS-B", callback=each, options=options
    )
    if not np.isfinite(found.fun) or not np.isfinite(found.x).all():
        raise DivergenceError(
            "lbfgs diverged: the value became NaN or infinite.", walk.path("limit", found.nit, "lbfgs")
        )
    g = walk.gradients[-1]
    small = np.max(np.abs(g), initial=0.0) <= given["tol_gradient"]
    reason = "gradient" if small else "limit" if found.status == 1 else "callback" if found.status == 99 else "lbfgs"
    return walk.path(reason, int(found.nit), "lbfgs")
