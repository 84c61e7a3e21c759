"""Floor 1, descent: minimize and maximize any function."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from chainrule.blas import one_blas_thread
from chainrule.tables import find, nearest

from .lbfgs import lbfgs
from .methods import METHODS, Method, check_hyperparameters
from .objective import Objective
from .path import DivergenceError, Path
from .schedules import SCHEDULES, Schedule, get_schedule
from .search import Armijo
from .second_order import SECOND_ORDER, SecondOrder
from .second_order.descend import descend
from .walk import Stopping, Walk

# The size of step n from x, where F and ∇F are known; None when no step is good.
StepSize = Callable[[int, Any, float, Any], float | None]

_STEP = f"step must be a number above 0, 'armijo' or a schedule ({', '.join(SCHEDULES)})"


def minimize(
    F: Callable[[Any], Any] | Objective,
    x0: Any,
    method: str | Method | SecondOrder = "gradient_descent",
    *,
    step: float | str | Schedule | Armijo | None = None,
    gradient: Callable[[Any], Any] | None = None,
    max_iter: int = 1000,
    tol_gradient: float = 1e-8,
    tol_value: float = 0.0,
    tol_step: float = 0.0,
    callback: Callable[[Any, float], Any] | None = None,
    record: str = "all",
    **hyperparameters: float,
) -> Path:
    """Walk down F from x0: a_{n+1} = a_n − γ ∇F(a_n) and its descendants.

    Parameters
    ----------
    F : a function of a number or an array in plain NumPy whose value is one number, or an Objective
    x0 : where to start: a number or a float array of any shape (Python's ints are taken as floats)
    method : "gradient_descent", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "adamw", "adamax",
        "nadam" (the rows of METHODS), a Method of one's own, "lbfgs" (SciPy's), or one that uses curvature (the rows
        of SECOND_ORDER): "levenberg_marquardt" and "bayesian_regularisation" for Objective(residuals=…),
        "scaled_conjugate_gradient", "newton_cg", "gauss_newton_cg"
    step : γ: a number; a schedule or its name, times γ (`0.5 * get_schedule("cosine")`; without a number, times the
        method's default), over max_iter steps; "armijo" or an Armijo, the backtracking that makes F fall at every
        step of gradient descent; None is the method's default
    gradient : ∇F, if it is not to be derived
    max_iter : at most so many steps
    tol_gradient : stop when no entry of ∇F is larger
    tol_value, tol_step : stop when a step changes F, or every entry of x, by no more than this; 0 is off
    callback : called as callback(x, value) after each step; a true answer stops
    record : "all" keeps every point, "ends" the first and the last
    hyperparameters : those of the method (momentum, beta_1, mu, …)

    Returns
    -------
    Path : the best point, the value there, all points, why it stopped. Ctrl-C ends the walk, not the program: the
    path up to there is returned.

    Raises
    ------
    DivergenceError : when F, ∇F or the point becomes NaN or infinite, or F grows beyond 10¹² times its start; its
        `path` has what came before.
    TypeError, ValueError : for an argument that is not as above, by name; an F that does not return one number, or is
        no sum of squares where the method needs one; a gradient that has not the shape of x; parameters too many for
        the matrix of a second-order method.

    >>> path = minimize(lambda x: (x - 3.0) ** 2, 0.0, step=0.25)
    >>> round(float(path.x), 6), path.is_monotone, path.converged
    (3.0, True, True)
    >>> path.stopped_because
    'the gradient is small: no entry is larger than tol_gradient'

    Least squares, for residuals in plain NumPy (Rosenbrock's valley):

    >>> e = Objective(residuals=lambda x: np.stack([1.0 - x[0], 10.0 * (x[1] - x[0] ** 2)]))
    >>> minimize(e, [-1.2, 1.0], "levenberg_marquardt").x.round(6)
    array([1., 1.])

    Source: handout 3; the papers of the methods are in their rows. scipy.optimize.minimize has no plain gradient
    descent, keeps no path, and returns a diverged point as a result.
    """
    objective = _objective(F, gradient)
    stopping = Stopping(max_iter, tol_gradient, tol_value, tol_step)
    if record not in ("all", "ends"):
        raise ValueError(f"record must be 'all' or 'ends', got {record!r}")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of x and the value, got {callback!r}")
    x = _start(x0)
    if isinstance(method, str) and method == "lbfgs":
        _no_step(method, step)
        for name in hyperparameters:
            raise ValueError(f"lbfgs finds its own steps and has no hyperparameters; it takes no {name!r}")
        walk = Walk(objective, "lbfgs", stopping, callback, record == "all")
        return _walked(walk, lambda: lbfgs(walk, x))
    row = _row(method)
    if isinstance(row, SecondOrder):
        _no_step(row.name, step)
        hyper = row.hyperparameters(hyperparameters, others=minimize.__kwdefaults__ or ())
        walk = Walk(objective, row.name, stopping, callback, record == "all")
        return _walked(walk, lambda: descend(walk, x, row, hyper))
    hyper = check_hyperparameters(row, hyperparameters, others=minimize.__kwdefaults__ or ())
    rule = _step_rule(step, row)
    walk = Walk(objective, row.name, stopping, callback, record == "all", searched=isinstance(rule, Armijo))
    next_size = _searched(rule, walk) if isinstance(rule, Armijo) else _planned(rule, max_iter)
    return _walked(walk, lambda: _iterate(walk, x, row, hyper, next_size))


def maximize(F: Callable[[Any], Any] | Objective, x0: Any, *args: Any, **options: Any) -> Path:
    """Walk up F from x0: a_{n+1} = a_n + γ ∇F(a_n), gradient ascent (handout 3) and its descendants.

    Everything is as in `minimize`, which walks down −F; values, gradients and what the callback gets are those of F.

    >>> path = maximize(lambda x: 5.0 - (x - 3.0) ** 2, 0.0, step=0.25)
    >>> round(float(path.x), 6), path.value, path.is_monotone
    (3.0, 5.0, True)
    """
    objective = _objective(F, options.pop("gradient", None))
    if callable(callback := options.get("callback")):
        options["callback"] = lambda x, value: callback(x, 0.0 - value)
    try:
        return minimize(-objective, x0, *args, **options).mirrored()
    except DivergenceError as error:
        raise DivergenceError(str(error), error.path and error.path.mirrored()) from None


def _objective(F: Any, gradient: Any) -> Objective:
    if isinstance(F, Objective):
        if gradient is not None:
            raise ValueError("gradient is given twice: F is an Objective, which has its own")
        return F
    if not callable(F):
        raise TypeError(f"F must be a function of x or an Objective, got {F!r}")
    return Objective(F, gradient=gradient)


def _start(x0: Any) -> Any:
    x = np.array(x0)
    own_array = isinstance(x0, np.ndarray | np.generic)
    if x.dtype.kind in "iu" and not own_array:
        x = x.astype(float)  # Python's own ints, alone or in lists
    if x.dtype.kind != "f":
        got = f"an array of {x.dtype}; pass x0.astype(float)" if own_array else repr(x0)
        raise TypeError(f"x0 must be a number or an array of floats, got {got}")
    if not np.isfinite(x).all():
        raise ValueError(f"x0 must be finite, got {np.array2string(x, threshold=6)}")
    return x[()]


def _row(method: Any) -> Method | SecondOrder:
    if isinstance(method, Method | SecondOrder):
        return method
    known: dict[str, Any] = {**METHODS, **SECOND_ORDER}
    try:
        return find(known, method, "method")
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error}, lbfgs") from None


def _no_step(name: str, step: Any) -> None:
    if step is not None:
        raise ValueError(f"{name} finds its own steps; it takes no 'step'")


def _step_rule(step: Any, row: Method) -> float | Schedule | Armijo:
    """`step` as one of the three that it can be, checked."""
    if step is None:
        return row.defaults["step"]
    if isinstance(step, str):
        if step != "armijo" and step not in SCHEDULES:
            raise ValueError(f"{_STEP}, got {step!r}.{nearest(step, ['armijo', *SCHEDULES])}")
        step = Armijo() if step == "armijo" else get_schedule(step)
    if not isinstance(step, Armijo | Schedule | Real):
        raise TypeError(f"{_STEP}, got {step!r}")
    if isinstance(step, Armijo) and row.name != "gradient_descent":
        raise ValueError(
            f"step='armijo' searches along the gradient: it goes with gradient_descent, not with {row.name}"
        )
    if isinstance(step, Schedule):
        return step if step.size is not None else row.defaults["step"] * step
    return step if isinstance(step, Armijo) else row.ranges["step"].check("step", step)


def _planned(rule: float | Schedule, max_iter: int) -> StepSize:
    """Sizes that are known beforehand: one number, or those of a schedule over max_iter steps."""
    if isinstance(rule, Schedule):
        return lambda n, x, value, g: rule(n, max_iter)
    return lambda n, x, value, g: rule


def _searched(rule: Armijo, walk: Walk) -> StepSize:
    """Sizes found by backtracking along −∇F, each search beginning one `shrink` above what the last one accepted."""
    last: list[float] = []

    def next_size(n: int, x: Any, value: float, g: Any) -> float | None:
        start = min(last[-1] / rule.shrink, 1e300) if last else rule.initial
        found = rule.find(walk.value_at, x, value, g, -g, start)
        if found is not None:
            last[:] = [found]
        return found

    return next_size


def _iterate(walk: Walk, x: Any, row: Method, hyper: dict[str, float], next_size: StepSize) -> str:
    """Steps of the row's update until there is a reason to stop."""
    dtype = np.asarray(x).dtype
    state: tuple = tuple(np.zeros_like(x)[()] for _ in row.state)
    value, g = walk.look(x)
    reason = walk.arrive(x, value, g)
    while reason is None:
        with np.errstate(all="ignore"):
            size = next_size(walk.n_iter, x, value, g)
            if size is None:
                return "search"
            x, state = row.advance(x, g, state, walk.n_iter + 1.0, **{**hyper, "step": size})
        x = np.asarray(x, dtype)[()]
        value, g = walk.look(x)
        reason = walk.arrive(x, value, g, size)
    return reason


def _walked(walk: Walk, run: Callable[[], str]) -> Path:
    """The path of a run; an interruption after the first point ends it like any other reason."""
    try:
        with one_blas_thread():
            reason = run()
    except KeyboardInterrupt:
        if not walk.values:
            raise
        reason = "interrupt"
    return walk.path(reason)
