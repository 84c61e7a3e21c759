"""Floor 5, interchange: formulas in ONNX's words: one row for each primitive, and the graph that is being written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .formula import Formula

# What onnxruntime computes in float32 only; a float64 graph goes through float32 there (an error near 1e-7).
_NARROW = {"Tan", "Sinh", "Cosh", "Asin", "Acos", "Atan", "Asinh", "Acosh", "Atanh", "Erf"}


class Scribe:
    """An ONNX graph while it is written: nodes and constants; values are known by their names."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[tuple, tuple[str, np.ndarray]] = {}
        self._count = 0

    def name(self, word: str) -> str:
        """A name that no column of a table has: they do not begin with a slash and a number."""
        self._count += 1
        return f"/{self._count}/{word}"

    def op(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Apply an operator; the name of its one result."""
        from onnx import helper

        out = self.name(op)
        self.nodes.append(helper.make_node(op, list(inputs), [out], domain=domain, **attributes))
        return out

    def constant(self, value: Any, dtype: Any) -> str:
        """A constant, kept once. Text is of dtype object."""
        array = np.asarray(value, dtype=dtype)
        content: Any = tuple(array.ravel().tolist()) if array.dtype == object else array.tobytes()
        key = (str(array.dtype), array.shape, content)
        if key not in self.constants:
            self.constants[key] = (self.name("constant"), array)
        return self.constants[key][0]

    def cast(self, x: str, dtype: Any) -> str:
        """x as another type of number."""
        from onnx import helper

        return self.op("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


class Speaker:
    """Writes arithmetic of one float width; truth values and numbers are told apart, as ONNX wants it."""

    def __init__(self, scribe: Scribe, dtype: Any):
        self.scribe, self.dtype = scribe, np.dtype(dtype)
        self.truths: set[str] = set()

    def number(self, value: float) -> str:
        return self.scribe.constant(value, self.dtype)

    def op(self, op: str, *inputs: str, **attributes: Any) -> str:
        """An operator on numbers."""
        words = [self.as_number(x) for x in inputs]
        if op in _NARROW and self.dtype == np.float64:
            narrow = self.scribe.op(op, *(self.scribe.cast(x, np.float32) for x in words), **attributes)
            return self.scribe.cast(narrow, np.float64)
        return self.scribe.op(op, *words, **attributes)

    def ask(self, op: str, *inputs: str) -> str:
        """An operator that gives truth values, of numbers."""
        return self._truth(self.scribe.op(op, *map(self.as_number, inputs)))

    def join(self, op: str, *inputs: str) -> str:
        """An operator on truth values."""
        return self._truth(self.scribe.op(op, *map(self.as_truth, inputs)))

    def where(self, condition: str, x: str, y: str) -> str:
        return self.scribe.op("Where", self.as_truth(condition), self.as_number(x), self.as_number(y))

    def along_sum(self, x: str) -> str:
        """The sum along the last axis, kept at length 1."""
        return self.scribe.op("ReduceSum", self.as_number(x), self.last_axis(), keepdims=1)

    def as_number(self, x: str) -> str:
        return self.scribe.cast(x, self.dtype) if x in self.truths else x

    def as_truth(self, x: str) -> str:
        return x if x in self.truths else self._truth(self.scribe.cast(x, np.bool_))

    def _truth(self, x: str) -> str:
        self.truths.add(x)
        return x

    def last_axis(self) -> str:
        return self.scribe.constant([-1], np.int64)


Word = Callable[..., str]


def _op(op: str) -> Word:
    return lambda s, *x: s.op(op, *x)


def _ask(op: str) -> Word:
    return lambda s, *x: s.ask(op, *x)


def _join(op: str) -> Word:
    return lambda s, *x: s.join(op, *x)


def _fold(op: str) -> Word:
    def word(s: Speaker, x: str, axis: int = -1, keepdims: bool = False) -> str:
        return s.scribe.op(op, s.as_number(x), s.last_axis(), keepdims=int(keepdims))

    return word


def _log_to(base: float) -> Word:
    return lambda s, x: s.op("Div", s.op("Log", x), s.number(math.log(base)))


def _expm1(s: Speaker, x: str) -> str:
    # e^x − 1 = tanh(x/2) (e^x + 1): no digits are lost near 0
    half = s.op("Tanh", s.op("Mul", x, s.number(0.5)))
    return s.op("Mul", half, s.op("Add", s.op("Exp", x), s.number(1.0)))


def _log1p(s: Speaker, x: str) -> str:
    return s.op("Log", s.op("Add", x, s.number(1.0)))


def _cbrt(s: Speaker, x: str) -> str:
    return s.op("Mul", s.op("Sign", x), s.op("Pow", s.op("Abs", x), s.number(1.0 / 3.0)))


def _hypot(s: Speaker, x: str, y: str) -> str:
    return s.op("Sqrt", s.op("Add", s.op("Mul", x, x), s.op("Mul", y, y)))


def _arctan2(s: Speaker, y: str, x: str) -> str:
    zero, pi = s.number(0.0), s.number(math.pi)
    right = s.op("Atan", s.op("Div", y, x))
    turn = s.where(s.ask("Less", y, zero), s.op("Neg", pi), pi)
    left = s.where(s.ask("Less", x, zero), s.op("Add", right, turn), right)
    return s.where(s.ask("Equal", x, zero), s.op("Mul", s.op("Sign", y), s.number(math.pi / 2)), left)


def _logaddexp(s: Speaker, x: str, y: str) -> str:
    apart = s.op("Neg", s.op("Abs", s.op("Sub", x, y)))
    return s.op("Add", s.op("Max", x, y), _log1p(s, s.op("Exp", apart)))


def _but_nan(op: str) -> Word:
    """fmax and fmin: of a number and NaN, the number."""

    def word(s: Speaker, x: str, y: str) -> str:
        return s.where(s.ask("IsNaN", x), y, s.where(s.ask("IsNaN", y), x, s.op(op, x, y)))

    return word


def _positions(s: Speaker, x: str) -> str:
    from onnx import numpy_helper

    one = numpy_helper.from_array(np.ones(1, s.dtype))
    ones = s.scribe.op("ConstantOfShape", s.scribe.op("Shape", s.as_number(x)), value=one)
    return s.op("Sub", s.scribe.op("CumSum", ones, s.scribe.constant(-1, np.int64)), s.number(1.0))


# primitive -> how it is said in ONNX
WORDS: dict[str, Word] = {
    "add": _op("Add"), "subtract": _op("Sub"), "multiply": _op("Mul"), "divide": _op("Div"), "power": _op("Pow"),
    "negative": _op("Neg"), "positive": lambda s, x: s.as_number(x), "reciprocal": _op("Reciprocal"),
    "square": lambda s, x: s.op("Mul", x, x), "sqrt": _op("Sqrt"), "cbrt": _cbrt,
    "exp": _op("Exp"), "exp2": lambda s, x: s.op("Pow", s.number(2.0), x), "expm1": _expm1,
    "log": _op("Log"), "log2": _log_to(2.0), "log10": _log_to(10.0), "log1p": _log1p, "logaddexp": _logaddexp,
    "sin": _op("Sin"), "cos": _op("Cos"), "tan": _op("Tan"), "sinh": _op("Sinh"), "cosh": _op("Cosh"),
    "tanh": _op("Tanh"), "arcsin": _op("Asin"), "arccos": _op("Acos"), "arctan": _op("Atan"),
    "arcsinh": _op("Asinh"), "arccosh": _op("Acosh"), "arctanh": _op("Atanh"), "arctan2": _arctan2,
    "hypot": _hypot, "erf": _op("Erf"),
    "absolute": _op("Abs"), "fabs": _op("Abs"), "sign": _op("Sign"), "floor": _op("Floor"), "ceil": _op("Ceil"),
    "maximum": _op("Max"), "minimum": _op("Min"), "fmax": _but_nan("Max"), "fmin": _but_nan("Min"),
    "clip": lambda s, x, low, high: s.op("Min", s.op("Max", x, low), high),
    "where": lambda s, c, x, y: s.where(c, x, y),
    "greater": _ask("Greater"), "greater_equal": _ask("GreaterOrEqual"), "less": _ask("Less"),
    "less_equal": _ask("LessOrEqual"), "equal": _ask("Equal"), "isnan": _ask("IsNaN"),
    "not_equal": lambda s, x, y: s.join("Not", s.ask("Equal", x, y)),
    "logical_and": _join("And"), "logical_or": _join("Or"), "logical_not": _join("Not"),
    "sum": _fold("ReduceSum"), "max": _fold("ReduceMax"), "min": _fold("ReduceMin"),
    "cumsum": lambda s, x, axis: s.scribe.op("CumSum", s.as_number(x), s.scribe.constant(-1, np.int64)),
    "positions": _positions,
    "expand_dims": lambda s, x, axis: s.scribe.op("Unsqueeze", s.as_number(x), s.last_axis()),
    "squeeze": lambda s, x, axis: s.scribe.op("Squeeze", s.as_number(x), s.last_axis()),
}  # fmt: skip


def speak(s: Speaker, formula: Formula, given: Mapping[str, Any], what: str) -> str:
    """Write a formula; `given` has the name of a value, or a number, for each of its inputs.

    Raises
    ------
    ValueError : naming the first primitive that has no row.
    """
    values = [x if isinstance(x, str) else s.number(x) for x in (given[name] for name in formula.names)]
    for step in formula.steps:
        if step[0] == "constant":
            values.append(s.scribe.constant(step[1], s.dtype))
        elif step[0] in WORDS:
            values.append(WORDS[step[0]](s, *(values[k] for k in step[1]), **step[2]))
        else:
            raise ValueError(f"{what} uses {step[0]!r}, which has no translation to ONNX")
    found = s.as_number(values[formula.output])
    array = next(x for x in given.values() if isinstance(x, str))
    if not any(found == node.output[0] for node in s.scribe.nodes) and found != array:
        found = s.scribe.op("Expand", found, s.scribe.op("Shape", array))  # a constant
    return found


@dataclass(frozen=True)
class Port:
    """An input or output of the graph: its name, element type and shape, and how it is to be read."""

    name: str
    dtype: Any
    shape: tuple[Any, ...]
    doc: str = ""
