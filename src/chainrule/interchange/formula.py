"""Floor 5, interchange: a function of one's own as data: its recorded graph of known primitives."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.calculus import PRIMITIVES, record
from chainrule.calculus.graph import Graph, Node
from chainrule.calculus.primitives import Primitive
from chainrule.engine.emit import PASSED_ON, REDUCTIONS, VOCABULARY

# What a formula in a file may use: what the engine can compile. None of these makes an array larger than its operands.
WORDS: dict[str, Primitive] = {
    name: row
    for name in (*VOCABULARY, "clip", *REDUCTIONS, "cumsum", "positions", "expand_dims", "squeeze")
    if isinstance(row := PRIMITIVES.get(name), Primitive)
}
# Those along the last axis, for formulas of a whole row; what stays fixed of them.
_ALONG: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(REDUCTIONS, ("axis", "keepdims")),
    **dict.fromkeys(("cumsum", "expand_dims", "squeeze"), ("axis",)),
    "positions": (),
}
_MOST_STEPS = 500
_MOST_INPUTS = 20
_MOST_OUTPUTS = 256
# Beyond this an integer is no exact float.
_LARGEST_INTEGER = 2**53
_NON_FINITE = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}

# A step is ("constant", number or a number for each output) or (primitive, the numbers of its operands, what stays
# fixed); inputs come first.
Step = tuple[Any, ...]


class Formula:
    """A function that is a graph of known primitives: it can be called, differentiated, compiled, written and compared.

    A `rowwise` one works on whole rows along the last axis; `width` is the length of the rows, where it matters. The
    inputs called `numbers` are one number each, the others arrays.

    >>> bent = Formula.of(lambda z: np.maximum(z, 0.1 * z), ["z"], "the activation")
    >>> bent(np.array([-1.0, 2.0]))
    array([-0.1,  2. ])
    >>> Formula.from_state(bent.state()) == bent
    True
    """

    def __init__(
        self, name: str, names: Sequence[str], numbers: Sequence[str], steps: Sequence[Step], output: int,
        rowwise: bool = False, width: int | None = None,
    ):  # fmt: skip
        self.__name__, self.names, self.numbers, self.steps = name, tuple(names), tuple(numbers), tuple(steps)
        self.output, self.rowwise, self.width = output, rowwise, width

    @classmethod
    def of(
        cls, function: Callable[..., Any], names: Sequence[str], what: str, *, numbers: Sequence[str] = (),
        rowwise: bool = False, width: int = 3,
    ) -> Formula:  # fmt: skip
        """Record a function of the arguments called `names`, for rows of `width` numbers if rowwise.

        `what` it is called in the message of a refusal.

        Raises
        ------
        ValueError : for a function that cannot be recorded, or uses what no file holds.
        """
        if isinstance(function, Formula) and (function.names, function.rowwise) == (tuple(names), rowwise):
            return function
        name = str(getattr(function, "__name__", "custom"))[:100]
        found = cls(name, names, numbers, *_steps(function, names, numbers, width if rowwise else 0, what), rowwise)
        if rowwise:
            try:
                other = cls(name, names, numbers, *_steps(function, names, numbers, width + 1, what), rowwise)
            except ValueError:
                other = None
            found.width = None if found == other else width
        return found

    def __call__(self, *args: Any, **given: Any) -> Any:
        bound = dict(zip(self.names, args, strict=False)) | given
        values = [bound[name] for name in self.names]
        for step in self.steps:
            if step[0] == "constant":
                values.append(np.array(step[1]) if isinstance(step[1], tuple) else step[1])
            else:
                values.append(WORDS[step[0]].function(*(values[k] for k in step[1]), **step[2]))
        return values[self.output]

    def state(self) -> dict[str, Any]:
        """What JSON can hold."""
        steps = [
            ["constant", _written(s[1])] if s[0] == "constant" else [s[0], list(s[1]), dict(s[2])] for s in self.steps
        ]
        return {
            "name": self.__name__, "inputs": list(self.names), "numbers": list(self.numbers), "steps": steps,
            "output": self.output, "rowwise": self.rowwise, "width": self.width,
        }  # fmt: skip

    @classmethod
    def from_state(cls, state: Any) -> Formula:
        """The formula that `state` gave; everything in it is checked before it is used.

        Raises
        ------
        ValueError, TypeError, KeyError : for what is no formula of known primitives.
        """
        names, listed, rowwise, name = state["inputs"], state["steps"], state["rowwise"], state["name"]
        numbers, width, output = state["numbers"], state["width"], state["output"]
        if not isinstance(name, str) or len(name) > 100 or not isinstance(rowwise, bool):
            raise ValueError("a formula has no name, or not a short one")
        if not isinstance(names, list) or not 1 <= len(names) <= _MOST_INPUTS or not all(map(is_plain_name, names)):
            raise ValueError("the inputs of a formula are not names")
        if len(set(names)) < len(names) or not isinstance(numbers, list) or not set(numbers) <= set(names):
            raise ValueError("the inputs of a formula are not names")
        if width is not None and not (rowwise and type(width) is int and 1 <= width <= _MOST_OUTPUTS):
            raise ValueError("a formula has no width, or too large a one")
        if not isinstance(listed, list) or len(listed) > _MOST_STEPS:
            raise ValueError("a formula has no list of steps, or too long a one")
        steps = [_read_step(step, len(names) + k, rowwise, width) for k, step in enumerate(listed)]
        if type(output) is not int or not 0 <= output < len(names) + len(steps):
            raise ValueError("the output of a formula is none of its steps")
        found = cls(name, names, numbers, steps, output, rowwise, width)
        found._try()
        return found

    def _try(self) -> None:
        """Evaluate once: operands that do not go together are a ValueError or TypeError here and not in training."""
        x = _example(self.width or 3, 0)
        with np.errstate(all="ignore"):
            found = self(*[0.3 if name in self.numbers else x for name in self.names])
        shapes = ((), x.shape, (2,)) if self.rowwise else ((), x.shape)
        if np.shape(found) not in shapes or np.asarray(found).dtype.kind not in "fbiu":
            raise ValueError("a formula does not give one number for each that it is given")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Formula) and json.dumps(self.state()) == json.dumps(other.state())

    def __hash__(self) -> int:
        return hash(json.dumps(self.state()))

    def __reduce__(self):
        return Formula.from_state, (self.state(),)

    def __repr__(self) -> str:
        return f"<the formula {self.__name__!r} of {', '.join(self.names)}, {len(self.steps)} steps>"


def is_plain_name(name: Any) -> bool:
    """Whether it may name an argument: such names are printed into compiled code, so nothing else may pass."""
    return isinstance(name, str) and len(name) <= 60 and name.isascii() and name.isidentifier()


def _written(number: Any) -> Any:
    if isinstance(number, tuple):
        return [_written(each) for each in number]
    if isinstance(number, float) and not abs(number) < float("inf"):
        return next(word for word, value in _NON_FINITE.items() if repr(value) == repr(number))
    return number


# ---------------------------------------------------------------- recording


def _example(width: int, k: int) -> np.ndarray:
    """Two rows of different numbers."""
    return np.linspace(0.2, 0.7, 2 * width).reshape(2, width) + 0.1 * k


def _steps(
    function: Callable[..., Any], names: Sequence[str], numbers: Sequence[str], width: int, what: str
) -> tuple[list[Step], int]:
    """(steps, output) of a function recorded for numbers, or (width > 0) for whole rows of so many."""
    n = len(names)
    examples = [0.3 + 0.1 * k if not width or name in numbers else _example(width, k) for k, name in enumerate(names)]
    try:
        with np.errstate(all="ignore"):
            graph = record(function, *examples)
    except Exception as error:  # the function is the user's: it may raise anything
        raise ValueError(f"{what} cannot be recorded as a formula: {error}") from error
    if len(graph.outputs) != 1:
        raise ValueError(f"{what} returns {len(graph.outputs)} values; one is wanted")
    place = {index: k for k, index in enumerate(graph.inputs)}
    steps: list[Step] = []
    for index, node in enumerate(graph.nodes):
        if node.kind == "input":
            continue
        if node.kind == "call" and node.primitive is not None and node.primitive.name in PASSED_ON and not width:
            place[index] = place[node.inputs[0]]  # of single numbers: the same number
            continue
        steps.append(
            _constant(node, width, what) if node.kind == "constant" else _call(graph, node, place, width, what)
        )
        place[index] = n + len(steps) - 1
    if len(steps) > _MOST_STEPS:
        raise ValueError(f"{what} has {len(steps)} steps; a formula may have {_MOST_STEPS}")
    return steps, place[graph.outputs[0]]


def _constant(node: Node, width: int, what: str) -> Step:
    value = np.asarray(node.value)
    entries = value.ravel().tolist() if value.dtype.kind in "fiub" else []
    if entries and all(entry == entries[0] for entry in entries[1:]):
        return ("constant", _exact(entries[0]))
    if entries and len(entries) == value.shape[-1] == width <= _MOST_OUTPUTS:
        return ("constant", tuple(map(_exact, entries)))
    raise ValueError(
        f"{what} uses the constant {node.value!r:.60}; a formula holds numbers, or one number for each output"
    )


def _exact(number: Any) -> Any:
    whole = isinstance(number, bool) or (isinstance(number, int) and abs(number) <= _LARGEST_INTEGER)
    return number if whole else float(number)


def _call(graph: Graph, node: Node, place: dict[int, int], width: int, what: str) -> Step:
    assert node.primitive is not None
    name = node.primitive.name
    if name not in WORDS or (name in _ALONG and not width):
        raise ValueError(f"{what} uses {name!r}, which a formula does not hold; it holds " + ", ".join(sorted(WORDS)))
    fixed: dict[str, Any] = {}
    if "axis" in _ALONG.get(name, ()):
        ndim = np.ndim(graph.nodes[node.inputs[0]].value)
        last = ndim if name == "expand_dims" else ndim - 1
        if node.keywords.get("axis") not in (-1, last, (-1,), (last,)) or ndim < (1 if name == "expand_dims" else 2):
            raise ValueError(
                f"{what} uses {name} with axis={node.keywords.get('axis')!r}; a formula goes along the outputs, axis=-1"
            )
        fixed = {"axis": -1} | ({"keepdims": bool(node.keywords.get("keepdims"))} if name in REDUCTIONS else {})
    return (name, tuple(place[k] for k in node.inputs), fixed)


# ---------------------------------------------------------------- reading


def _read_step(step: Any, before: int, rowwise: bool, width: int | None) -> Step:
    if not isinstance(step, list) or not step or not isinstance(step[0], str):
        raise ValueError("a step of a formula is not a list")
    if step[0] == "constant":
        if isinstance(step[1], list) and len(step[1]) == width:
            return ("constant", tuple(map(_read_number, step[1])))
        return ("constant", _read_number(step[1]))
    name, operands, fixed = step
    if name not in WORDS or (name in _ALONG and not rowwise):
        raise ValueError(f"a formula uses {name!r:.40}, which is not among the known primitives")
    if not isinstance(operands, list) or len(operands) != len(WORDS[name].signature):
        raise ValueError(f"a formula gives {name!r} another number of operands than it takes")
    if not all(type(k) is int and 0 <= k < before for k in operands):
        raise ValueError("a step of a formula uses a later one, or none")
    if not isinstance(fixed, dict) or tuple(sorted(fixed)) != _ALONG.get(name, ()):
        raise ValueError(f"a formula gives {name!r} settings that it does not have")
    if fixed.get("axis", -1) != -1 or not isinstance(fixed.get("keepdims", False), bool):
        raise ValueError(f"a formula gives {name!r} another axis than the last")
    return (name, tuple(operands), dict(fixed))


def _read_number(value: Any) -> Any:
    if isinstance(value, str):
        return _NON_FINITE[value]
    if not isinstance(value, bool | int | float) or (isinstance(value, int) and abs(value) > _LARGEST_INTEGER):
        raise ValueError("a constant of a formula is not a number")
    return value
