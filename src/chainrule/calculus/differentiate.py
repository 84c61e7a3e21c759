"""Floor 0, calculus: grad, value_and_grad, derivative, jacobian, hessian, Hessian-vector products.

One forward pass records the function, one walk back over the tape multiplies and adds the local derivatives: the
chain rule for several variables (handout 5, remark 2). The walk is a loop over the tape, so depth has no limit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .graph import Tape, Traced
from .primitives import unbroadcast

# ---------------------------------------------------------------- what may be differentiated by


def leaf(x: Any, name: str) -> Any:
    """A number or float array as it will be recorded; anything else is refused by name."""
    if isinstance(x, Traced):
        return x
    if isinstance(x, bool | np.bool_):
        raise TypeError(f"{name} is a bool, which has no derivative; give a float")
    if isinstance(x, int | float):
        return np.float64(x)
    array = np.asarray(x, float) if _is_list_of_numbers(x) else np.asarray(x)
    if array.dtype.kind == "c":
        raise TypeError(f"{name} is complex; derivatives here are of real functions of real numbers")
    if array.dtype.kind in "iub":
        raise TypeError(f"{name} is an array of {array.dtype}; derivatives need floats: pass {name}.astype(float)")
    if array.dtype.kind != "f":
        raise TypeError(f"{name} must be a float or an array of floats, got {type(x).__name__} of dtype {array.dtype}")
    return array if array.ndim else array[()]


def _is_list_of_numbers(x: Any) -> bool:
    return isinstance(x, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in x)


def map_leaves(f: Callable[[Any, str], Any], x: Any, name: str) -> Any:
    """f on every leaf of nested lists, tuples and dicts, the structure kept."""
    if isinstance(x, dict):
        return {key: map_leaves(f, value, f"{name}[{key!r}]") for key, value in x.items()}
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*(map_leaves(f, value, f"{name}.{k}") for k, value in zip(x._fields, x, strict=True)))
    if isinstance(x, tuple):
        return tuple(map_leaves(f, value, f"{name}[{k}]") for k, value in enumerate(x))
    if isinstance(x, list) and not _is_list_of_numbers(x):
        return [map_leaves(f, value, f"{name}[{k}]") for k, value in enumerate(x)]
    return f(x, name)


def _numbers(argnum: int | Sequence[int], n: int) -> tuple[int, ...]:
    numbers = (argnum,) if isinstance(argnum, int) else tuple(argnum)
    for k in numbers:
        if not isinstance(k, int) or not -n <= k < n:
            raise ValueError(f"argnum {k!r} names no argument: the function was called with {n}")
    return tuple(k % n for k in numbers)


def argument_names(f: Callable[..., Any], n: int) -> list[str]:
    """What f calls its first n arguments; x, or x1, x2, … where it does not say."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in parameters if p.kind in positional][:n]
    rest = next((p.name for p in parameters if p.kind is inspect.Parameter.VAR_POSITIONAL), "x")
    missing = n - len(names)
    return names + ([rest] if missing == 1 and not names else [f"{rest}{k}" for k in range(1, missing + 1)])


# ---------------------------------------------------------------- forward, then back


def walk_back(tape: Tape, start: int, seed: Any, seen: dict[int, Any] | None = None) -> dict[int, Any]:
    """Cotangents of the inputs that the node at `start` depends on: Σ over paths, each node when all its uses are in.

    Those of the nodes between are dropped as soon as they have been passed on, or kept in `seen`.
    """
    found = {start: seed}
    for k in range(start, -1, -1):
        node = tape.nodes[k]
        if k not in found or node.primitive is None:
            continue
        g = found.pop(k)
        if seen is not None:
            seen[k] = g
        operands = [tape.nodes[i].value for i in node.inputs]
        for place, i in enumerate(node.inputs):
            rule = node.primitive.pullback(place)
            if rule is None or tape.nodes[i].kind == "constant" or is_step(tape.nodes[i]):
                continue
            extra = {"k": place} if node.primitive.takes_sequence else {}
            back = rule(g, node.value, *operands, **node.keywords, **extra)
            if node.primitive.elementwise or node.primitive.name == "matmul":
                back = unbroadcast(back, np.shape(operands[place]))
            found[i] = back if i not in found else found[i] + back
    return found


def is_step(node: Any) -> bool:
    """Whether a node is a step or a question, which no derivative passes."""
    return node.primitive is not None and all(rule is None for rule in node.primitive.pullbacks)


def _forward(f: Callable[..., Any], args: Sequence[Any], numbers: Sequence[int]) -> tuple[Tape, list[Any], Any]:
    tape = Tape()
    args = list(args)
    wanted = []
    for k in numbers:
        args[k] = map_leaves(lambda x, name: tape.input(leaf(x, name)), args[k], f"argument {k}")
        wanted.append(args[k])
    return tape, wanted, f(*args)


def _cotangents(tape: Tape, wanted: Sequence[Any], out: Any, seed: Any) -> list[Any]:
    """The gradient in the structure of each argument; an input that is not used gets zeros of its shape."""
    on_tape = isinstance(out, Traced) and out._tape is tape
    found = walk_back(tape, out._index, seed) if on_tape else {}

    def pick(x: Any, name: str) -> Any:
        value = x._chainrule_value
        back = found.get(x._index)
        if back is None:
            return np.zeros(np.shape(value), _dtype(value))[()]
        if isinstance(back, Traced):
            return back
        return np.asarray(back, dtype=_dtype(value))[()]

    return [map_leaves(pick, x, "") for x in wanted]


def _dtype(value: Any) -> Any:
    return value.dtype if hasattr(value, "dtype") else np.float64


def _value(tape: Tape, out: Any) -> Any:
    return out._chainrule_value if isinstance(out, Traced) and out._tape is tape else out


def vjp(f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """The value of f and its pullback: cotangent of the value -> cotangents of all arguments.

    >>> value, pullback = vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> float(value), [float(g) for g in pullback(1.0)]
    (6.0, [3.0, 2.0])
    """
    tape, wanted, out = _forward(f, args, range(len(args)))
    return _value(tape, out), lambda g: tuple(_cotangents(tape, wanted, out, g))


def slope(f: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    """df_i/dx_i of an element by element function, as a function of the same arguments (the pullback of ones).

    >>> import numpy as np
    >>> slope(np.tanh)(np.array([0.0, 50.0]))
    array([1., 0.])
    """

    def slope_f(*args: Any) -> Any:
        tape, wanted, out = _forward(f, args, (argnum,))
        value = _value(tape, out)
        return _cotangents(tape, wanted, out, np.ones(np.shape(value), _dtype(value))[()])[0]

    return slope_f


def value_and_grad(f: Callable[..., Any], argnum: int | Sequence[int] = 0) -> Callable[..., tuple[Any, Any]]:
    """The function that returns f(…) and its gradient, from one forward and one backward pass.

    Parameters
    ----------
    f : a function in plain NumPy whose value is one number
    argnum : the argument to differentiate by, or a tuple of several (the gradient is then a tuple)

    Returns
    -------
    A function of f's arguments: (value, gradient); the gradient has the structure and shapes of the argument.

    Raises
    ------
    TypeError : for integer or complex arguments, and for an f whose value is not one number.
    UnsupportedError : for what cannot be recorded, with the way around it.

    >>> import numpy as np
    >>> value, g = value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    >>> float(value), g
    (5.0, array([2., 4.]))

    Source: handout 5; the walk back is Linnainmaa's (1970). JAX and autograd offer the same function for their own
    numpy modules; here it is NumPy itself.
    """
    single = isinstance(argnum, int)

    def value_and_grad_f(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        numbers = _numbers(argnum, len(args))
        tape, wanted, out = _forward(lambda *a: f(*a, **kwargs), args, numbers)
        value = _value(tape, out)
        if np.shape(value) != () or not _is_number(value):
            shape = f"an array of shape {np.shape(value)}" if np.shape(value) else repr(value)
            raise TypeError(
                f"the gradient is that of one number, but the function returned {shape}; "
                "add it up with np.sum, or use jacobian"
            )
        one = np.ones((), _dtype(value))[()]
        gradients = _cotangents(tape, wanted, out, one)
        return value, gradients[0] if single else tuple(gradients)

    return value_and_grad_f


def _is_number(value: Any) -> bool:
    return isinstance(value, Traced | int | float | np.number) or (
        isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
    )


def grad(f: Callable[..., Any], argnum: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The gradient of f as a function: ∇f(x), whose entry i is ∂f/∂x_i.

    Arguments, errors and source as `value_and_grad`. Gradients of gradients work to any order.

    >>> import numpy as np
    >>> grad(lambda x: np.sum(np.sin(x)))(np.array([0.0, np.pi]))
    array([ 1., -1.])
    >>> float(grad(grad(lambda x: x**3))(2))
    12.0
    """
    both = value_and_grad(f, argnum)

    def grad_f(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return grad_f


def derivative(f: Callable[[Any], Any], a: Any) -> Any:
    """f'(a) = lim_{h→0} (f(a+h) − f(a))/h of a function of one number, by the chain rule and not by a limit.

    a : a number, or an array for a function that works element by element.

    >>> float(derivative(lambda x: x**2, 3))
    6.0

    Source: handout 5. `secant_slope` and `limit_table` show the limit.
    """
    return slope(f)(a)


def jacobian(f: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    """The matrix of all derivatives: shape of f's value × shape of the argument, J[i, j] = ∂f_i/∂x_j.

    One forward pass and one backward pass for each entry of the value.

    >>> import numpy as np
    >>> jacobian(lambda x: np.stack([x[0] * x[1], x[0]]))(np.array([2.0, 3.0]))
    array([[3., 2.],
           [1., 0.]])
    """

    def jacobian_f(*args: Any, **kwargs: Any) -> Any:
        (number,) = _numbers(argnum, len(args))
        tape, wanted, out = _forward(lambda *a: f(*a, **kwargs), args, (number,))
        if not isinstance(wanted[0], Traced):
            raise TypeError("jacobian takes one array (or number) to differentiate by, not a container of several")
        value = _value(tape, out)
        if not _is_number(value):
            raise TypeError(
                f"the function must return an array, got {type(value).__name__}; join several with np.stack"
            )
        shape = np.shape(value)
        rows = []
        for k in range(int(np.prod(shape))):
            seed = np.zeros(int(np.prod(shape)), _dtype(value))
            seed[k] = 1.0
            rows.append(_cotangents(tape, wanted, out, seed.reshape(shape)[()])[0])
        argument = np.shape(wanted[0]._chainrule_value)
        return np.reshape(np.stack(rows), (*shape, *argument)) if rows else np.zeros((*shape, *argument))

    return jacobian_f


def hessian(f: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    """The matrix of second derivatives of a function whose value is one number: H[i, j] = ∂²f/∂x_i∂x_j.

    >>> import numpy as np
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 3.0]))
    array([[6., 2.],
           [2., 0.]])
    """
    return jacobian(grad(f, argnum), argnum)


def hvp(f: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """The function (x, v) -> H(x) v, the Hessian of f times a vector, without ever making the matrix.

    It is the gradient of ∇f(x)·v: about twice the cost of a gradient, whatever the size of x (Pearlmutter 1994).

    >>> import numpy as np
    >>> hvp(lambda x: np.sum(x**3))(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """

    def hvp_f(x: Any, v: Any) -> Any:
        if np.shape(v) != np.shape(x):
            raise ValueError(f"v must have the shape of x, {np.shape(x)}, got {np.shape(v)}")
        return grad(lambda x: np.sum(grad(f)(x) * v))(x)

    return hvp_f
