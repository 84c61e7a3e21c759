"""Floor 0, calculus: a computation as nodes: record it, evaluate it, print it.

NumPy's dispatch protocols do the recording: a `Traced` value stands in for an array, every NumPy function that meets
it is looked up in the table of primitives and written on the value's tape. Tapes are numbered in the order they were
begun; where values of several tapes meet, the youngest records and the others are constants to it, so derivatives
of derivatives do not mix.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .primitives import BY_FUNCTION, PRIMITIVES, Composite, Primitive, concrete, getitem
from .primitives.reductions import UFUNC_METHODS
from .primitives.row import UnsupportedError
from .primitives.shapes import cast
from .primitives.writing import ATOM, write_row


@dataclass(frozen=True)
class Node:
    """One step of a computation: an input, a constant, or a primitive applied to earlier nodes."""

    kind: str  # "input" | "constant" | "call"
    value: Any
    primitive: Primitive | None = None
    inputs: tuple[int, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)
    name: str = ""


_levels = itertools.count()


class Tape:
    """Nodes in the order they were computed: each comes after the nodes it uses."""

    def __init__(self, symbolic: bool = False):
        self.level = next(_levels)
        self.nodes: list[Node] = []
        self.symbolic = symbolic  # a formula is being recorded, which must hold for every value

    def add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def input(self, value: Any, name: str = "") -> Traced:
        return Traced(self, self.add(Node("input", value, name=name)), value)


def apply(primitive: Primitive, operands: Sequence[Any], static: dict[str, Any]) -> Any:
    """Evaluate a primitive and write it on the youngest tape among its operands."""
    tape = max((x._tape for x in operands if isinstance(x, Traced)), key=lambda tape: tape.level)
    values, places = [], []
    for x in operands:
        if isinstance(x, Traced) and x._tape is tape:
            values.append(x._chainrule_value)
            places.append(x._index)
        else:
            values.append(x)
            places.append(tape.add(Node("constant", x)))
    value = primitive.evaluate(values, static)
    return Traced(tape, tape.add(Node("call", value, primitive, tuple(places), static)), value)


def _in_place(name: str) -> Callable[..., Any]:
    def rebinding(self, other):
        # x += y makes a new value, as for Python's numbers: what was recorded is never changed
        return getattr(np, name)(self, other)

    return rebinding


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """A value that is being recorded; it behaves like the array (or number) that it stands for."""

    __slots__ = ("_chainrule_value", "_index", "_tape")
    __array_priority__ = 1000

    def __init__(self, tape: Tape, index: int, value: Any):
        self._tape, self._index, self._chainrule_value = tape, index, value

    # ------------------------------------------------------------ NumPy's protocols

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if kwargs.pop("out", None) is not None:
            raise UnsupportedError(f"np.{ufunc.__name__}(..., out=...) writes in place; assign the result instead")
        if method == "__call__":
            return dispatch(ufunc, inputs, kwargs)
        if method == "outer":
            a, b = inputs
            return ufunc(np.reshape(a, (*np.shape(a), *(1,) * np.ndim(b))), b, **kwargs)
        if (ufunc, method) in UFUNC_METHODS:
            return UFUNC_METHODS[ufunc, method](*inputs, **{"axis": 0, **kwargs})
        known = ", ".join(f"np.{u.__name__}.{m}" for u, m in UFUNC_METHODS)
        raise UnsupportedError(
            f"np.{ufunc.__name__}.{method} cannot be differentiated; of such methods there are {known} and outer"
        )

    def __array_function__(self, function, types, args, kwargs):
        if kwargs.get("out") is not None:
            raise UnsupportedError(f"{function.__name__}(..., out=...) writes in place; assign the result instead")
        return dispatch(function, args, kwargs)

    def __array__(self, dtype=None, copy=None):
        raise UnsupportedError(
            "a recorded value cannot be turned into a plain array, which would lose the derivative: instead of "
            "np.array([x, y]) or np.sum([x, y]) use np.stack([x, y]); leave out np.asarray(x), or do it before"
        )

    # ------------------------------------------------------------ what an array tells of itself

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self._chainrule_value)

    @property
    def ndim(self) -> int:
        return np.ndim(self._chainrule_value)

    @property
    def size(self) -> int:
        return np.size(self._chainrule_value)

    @property
    def dtype(self):
        return concrete(self).dtype

    @property
    def T(self):
        return np.transpose(self)

    @property
    def mT(self):
        return np.swapaxes(self, -1, -2)

    @property
    def real(self):
        return self

    @property
    def imag(self):
        return np.zeros(self.shape, self.dtype)[()]

    def conj(self):
        return self

    @property
    def flat(self):
        return iter(np.reshape(self, -1))

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a number has no len()")
        return self.shape[0]

    def __iter__(self):
        return (self[k] for k in range(len(self)))

    def __getitem__(self, index):
        return getitem(self, index=_plain_index(index, self._tape))

    def __setitem__(self, index, value):
        raise UnsupportedError(
            "x[...] = value writes in place, which cannot be recorded; build a new array instead: "
            "np.where(mask, value, x), np.concatenate([...]) or np.stack([...])"
        )

    # ------------------------------------------------------------ plain Python numbers

    def __bool__(self) -> bool:
        if self._tape.symbolic:
            raise UnsupportedError(
                "this formula is recorded for every value, so it cannot branch on one (if x > 0, max(x, 0), and, or); "
                "use np.where(x > 0, a, b), np.maximum(x, 0)"
            )
        return bool(concrete(self))

    def __float__(self):
        raise UnsupportedError("float(x) and math.sin(x) take the number out of the recording; use NumPy: np.sin(x)")

    __int__ = __index__ = __complex__ = __float__

    def item(self, *args):
        raise UnsupportedError("x.item() takes the number out of the recording; keep x as it is")

    def tolist(self):
        raise UnsupportedError("x.tolist() takes the numbers out of the recording; keep x as it is")

    def __getattr__(self, name):
        raise AttributeError(
            f"a recorded value has no {name!r}, which has no derivative in chainrule; try np.{name}(x), or another way"
        )

    def __hash__(self):
        return id(self)

    def __repr__(self) -> str:
        return f"Traced({self._chainrule_value!r})"

    def __array_wrap__(self, array, context=None, return_scalar=False):
        return array

    # ------------------------------------------------------------ methods that are functions under another name

    def reshape(self, *shape, **kwargs):
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, **kwargs)

    def transpose(self, *axes):
        if not axes or axes == (None,):
            return np.transpose(self)
        return np.transpose(self, axes[0] if len(axes) == 1 and not np.isscalar(axes[0]) else axes)

    def flatten(self, order="C"):
        return np.ravel(self, order)

    def astype(self, dtype, **kwargs):
        if np.dtype(dtype).kind != "f":
            raise UnsupportedError(f"astype({np.dtype(dtype)}) has no derivative; only float types can be recorded")
        return +self if np.dtype(dtype) == self.dtype else cast(self, dtype=np.dtype(dtype))

    def sort(self, axis=-1):
        raise UnsupportedError("x.sort() sorts in place, which cannot be recorded; use np.sort(x)")

    def fill(self, value):
        raise UnsupportedError("x.fill() writes in place, which cannot be recorded; use np.full_like(x, value)")


def _method(name: str) -> Callable[..., Any]:
    def method(self, *args, **kwargs):
        return getattr(np, name)(self, *args, **kwargs)

    method.__name__ = name
    return method


for _name in (
    "sum", "mean", "prod", "max", "min", "var", "std", "cumsum", "ravel", "swapaxes", "squeeze", "dot", "clip",
    "take", "repeat", "trace", "diagonal", "copy", "argmax", "argmin", "argsort", "searchsorted", "nonzero",
    "any", "all", "round",
):  # fmt: skip
    setattr(Traced, _name, _method(_name))
for _operator, _name in {
    "__iadd__": "add", "__isub__": "subtract", "__imul__": "multiply", "__itruediv__": "divide",
    "__ipow__": "power", "__imatmul__": "matmul",
}.items():  # fmt: skip
    setattr(Traced, _operator, _in_place(_name))


def _plain_index(index: Any, tape: Tape) -> Any:
    """An index in plain numbers: what it names may depend on values, how much it names has no derivative."""
    if isinstance(index, Traced):
        if tape.symbolic:
            raise UnsupportedError(
                "this formula is recorded for every value, so x[mask] has no fixed size; use np.where"
            )
        return concrete(index)
    if isinstance(index, tuple):
        return tuple(_plain_index(part, tape) for part in index)
    return index


def _untraced(x: Any, name: str) -> Any:
    if isinstance(x, Traced) and x._tape.symbolic:
        raise UnsupportedError(f"this formula is recorded for every value, so np.{name} cannot be fixed now")
    return concrete(x) if isinstance(x, Traced) else x


# Functions of which only a plain answer makes sense.
_PLAIN = {
    f: f.__name__
    for f in (
        np.argmax, np.argmin, np.argsort, np.nonzero, np.flatnonzero, np.searchsorted, np.array_equal, np.allclose,
        np.isclose, np.count_nonzero, np.any, np.all, np.round, np.digitize, np.may_share_memory, np.shares_memory,
    )
}  # fmt: skip
_SHAPE_ONLY = {np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.empty_like, np.result_type, np.iscomplexobj}


def dispatch(function: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
    """What NumPy asks for when one of its functions meets a recorded value."""
    row = BY_FUNCTION.get(function)
    if isinstance(row, Composite):
        return row.call(args, kwargs)
    if row is not None:
        if row.wider is not None and row.is_wider(args, kwargs):
            return row.wider(*args, **{k: v for k, v in kwargs.items() if v is not np._NoValue})
        operands, static = row.bind(args, kwargs)
        if any(isinstance(x, Traced) for x in operands):
            return apply(row, operands, static)
        raise UnsupportedError(f"np.{row.name}: an argument that sets a shape or an axis depends on a recorded value")
    if function in _SHAPE_ONLY:
        return function(*(concrete(x) if isinstance(x, Traced) else x for x in args), **kwargs)
    if function in _PLAIN:
        return function(*(_untraced(x, _PLAIN[function]) for x in args), **kwargs)
    if function is np.full_like:
        x, value = args[0], args[1] if len(args) > 1 else kwargs["fill_value"]
        return np.broadcast_to(value, np.shape(x))
    raise UnsupportedError(_no_row(function))


def _no_row(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", str(function))
    near = difflib.get_close_matches(name, PRIMITIVES, n=3, cutoff=0.6)
    hint = f"; near it: {', '.join(near)}" if near else ""
    module = (getattr(function, "__module__", None) or "numpy").replace("numpy", "np", 1)  # ufuncs do not say theirs
    return (
        f"{module}.{name} has no derivative in chainrule's table{hint}. Write it in functions that have one "
        "(chainrule.calculus.primitives.PRIMITIVES lists them), or, if the result should count as a constant, "
        "compute it outside the function"
    )


# ---------------------------------------------------------------- a recorded formula


@dataclass(frozen=True)
class Graph:
    """A recorded computation: nodes in topological order, which of them are inputs and outputs.

    >>> import numpy as np
    >>> print(record(lambda x, y: x * np.sin(y), 2.0, 0.5, names=("x", "y")))
    n0 = x
    n1 = y
    n2 = sin(n1)
    n3 = n0·n2
    """

    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def evaluate(self, *args: Any) -> Any:
        """The outputs for other inputs, node by node, with NumPy; one output alone, several as a tuple."""
        if len(args) != len(self.inputs):
            raise TypeError(f"the graph has {len(self.inputs)} inputs, got {len(args)} values")
        values: list[Any] = []
        given = dict(zip(self.inputs, args, strict=True))
        for k, node in enumerate(self.nodes):
            if node.kind == "call":
                assert node.primitive is not None
                values.append(node.primitive.evaluate([values[i] for i in node.inputs], node.keywords))
            else:
                values.append(given.get(k, node.value))
        found = tuple(values[k] for k in self.outputs)
        return found[0] if len(found) == 1 else found

    def __str__(self) -> str:
        return "\n".join(f"n{k} = {_written(node)}" for k, node in enumerate(self.nodes))


def _written(node: Node) -> str:
    if node.kind == "input":
        return node.name or "input"
    if node.kind == "constant":
        return np.array2string(concrete(node.value), threshold=6)
    assert node.primitive is not None
    return write_row(node.primitive, [(f"n{i}", ATOM) for i in node.inputs], node.keywords, "text")[0]


def record(f: Callable[..., Any], *examples: Any, names: Sequence[str] = ()) -> Graph:
    """Record the formula of f, which must hold for every value of its arguments.

    Parameters
    ----------
    f : a function of numbers or arrays in plain NumPy; it may return one value or a tuple
    examples : one example (a float or an array) for each argument; they give the shapes
    names : what the inputs are called when the graph is printed

    Raises
    ------
    UnsupportedError : where f branches on a value or uses what has no row.
    """
    tape = Tape(symbolic=True)
    labels = [*names, *[""] * (len(examples) - len(names))]
    inputs = [tape.input(x, name) for x, name in zip(examples, labels, strict=True)]
    result = f(*inputs)
    results = result if isinstance(result, tuple | list) else (result,)
    outputs = []
    for out in results:
        if isinstance(out, Traced) and out._tape is tape:
            outputs.append(out._index)
        else:
            outputs.append(tape.add(Node("constant", out)))
    return pruned(tape.nodes, [x._index for x in inputs], outputs)


def pruned(nodes: list[Node], inputs: list[int], outputs: list[int]) -> Graph:
    """Only what the outputs need, and every input."""
    needed = set(inputs) | set(outputs)
    for k in range(len(nodes) - 1, -1, -1):
        if k in needed:
            needed.update(nodes[k].inputs)
    kept = sorted(needed)
    place = {old: new for new, old in enumerate(kept)}
    moved = tuple(
        Node(n.kind, n.value, n.primitive, tuple(place[i] for i in n.inputs), n.keywords, n.name)
        for n in (nodes[k] for k in kept)
    )
    return Graph(moved, tuple(place[i] for i in inputs), tuple(place[i] for i in outputs))
