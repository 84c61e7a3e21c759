"""Floor 0, calculus: a recorded graph as an expression, lightly simplified while it is built.

An expression is a number, a symbol, a sum, a product of powers, or a call of a primitive. Equal ones are one object,
so that what occurs twice is seen. Sums and products are flat lists: x·2·x becomes 2·x², x + x becomes 2·x. Nothing is
cancelled that may be 0: x/x stays. What is dropped (0·x, x + 0, 1·x) is dropped only where the shape stays the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from .graph import Graph
from .primitives import PRIMITIVES, Primitive, concrete

Coefficient = Fraction | float


@dataclass(frozen=True, eq=False)
class Expression:
    """One piece of a formula; `parts` are the pieces that it is made of."""

    kind: str  # "number" | "constant" | "symbol" | "sum" | "product" | "call"
    shape: tuple[int, ...]
    parts: tuple[Expression, ...] = ()
    name: str = ""  # of a symbol, or of a constant like π
    value: Any = None  # of a number
    coefficient: Coefficient = Fraction(1)  # of a product
    exponents: tuple[int, ...] = ()  # of a product, one a part
    primitive: Primitive | None = None  # of a call
    static: Mapping[str, Any] = field(default_factory=dict)  # what stays fixed in a call


# Constants that are written by name: value -> (number in front, name, exponent).
_NAMED = {
    math.pi: (Fraction(1), "π", 1), 2 * math.pi: (Fraction(2), "π", 1), math.pi / 2: (Fraction(1, 2), "π", 1),
    math.pi / 180: (Fraction(1, 180), "π", 1), 180 / math.pi: (Fraction(180), "π", -1),
    math.e: (Fraction(1), "e", 1), math.log(2): (Fraction(1), "ln2", 1), math.log(10): (Fraction(1), "ln10", 1),
    math.sqrt(2): (Fraction(1), "√2", 1), math.sqrt(2 * math.pi): (Fraction(1), "√2π", 1),
    math.sqrt(math.pi): (Fraction(1), "√π", 1), 2 / math.sqrt(math.pi): (Fraction(2), "√π", -1),
}  # fmt: skip
# Numbers are fractions where the denominator is one of these: 0.5 is 1/2, 0.333… is 1/3, and 0.1 stays a decimal.
_DENOMINATORS = {1, 2, 3, 4, 6, 7, 8, 9}
_EXACT = 2.0**53


def fraction_or_float(value: float) -> Coefficient:
    """The number as a fraction with a small denominator, if it is one to the last bit."""
    if math.isfinite(value) and abs(value) < _EXACT:
        fraction = Fraction(value).limit_denominator(9)
        if fraction.denominator in _DENOMINATORS and float(fraction) == value:
            return fraction
    return value


class Algebra:
    """Makes expressions and keeps one object for all that are equal."""

    def __init__(self) -> None:
        self._kept: dict[Any, Expression] = {}

    def _keep(self, key: Any, made: Expression) -> Expression:
        return self._kept.setdefault((made.kind, made.shape, key), made)

    # ------------------------------------------------------------ leaves

    def symbol(self, name: str, shape: tuple[int, ...]) -> Expression:
        return self._keep(name, Expression("symbol", shape, name=name))

    def _constant(self, name: str) -> Expression:
        return self._keep(name, Expression("constant", (), name=name))

    def number(self, value: Any) -> Expression:
        """A constant, with π and its like by their names."""
        array = np.asarray(concrete(value))
        if array.ndim == 0 and array.dtype.kind == "f" and float(array) in _NAMED:
            front, name, exponent = _NAMED[float(array)]
            return self.product(front, [(self._constant(name), exponent)], ())
        return self._number(array)

    def _number(self, array: np.ndarray) -> Expression:
        return self._keep((array.dtype.kind, array.tobytes()), Expression("number", array.shape, value=array))

    def full(self, value: Coefficient, shape: tuple[int, ...]) -> Expression:
        return self._number(np.full(shape, float(value)))

    # ------------------------------------------------------------ sums

    def sum(self, terms: Sequence[tuple[Coefficient, Expression]], shape: tuple[int, ...]) -> Expression:
        """Σ cᵢ·termᵢ: nested sums opened, equal terms and numbers put together."""
        found: dict[Expression, Coefficient] = {}
        number: Coefficient = Fraction(0)
        place = len(terms)
        for c, term in terms:
            for inner_c, inner in self._terms(term):
                if (value := _uniform(inner)) is not None and _plain(inner):
                    number = number + c * inner_c * fraction_or_float(value)
                    place = min(place, len(found))
                else:
                    found[inner] = found.get(inner, Fraction(0)) + c * inner_c
        parts = [self._times(c, x) for x, c in found.items() if c != 0]
        if number != 0 or not parts or _broadcast(parts) != shape:
            extra = () if parts and _broadcast(parts) == shape else shape
            parts.insert(place, self.full(number, extra))
        if len(parts) == 1 and parts[0].shape == shape:
            return parts[0]
        return self._keep(tuple(map(id, parts)), Expression("sum", shape, tuple(parts)))

    def _terms(self, x: Expression) -> list[tuple[Coefficient, Expression]]:
        if x.kind == "sum":
            return [self._split(part) for part in x.parts]
        return [self._split(x)]

    def _split(self, x: Expression) -> tuple[Coefficient, Expression]:
        """A term as its number in front and the rest."""
        if x.kind != "product" or x.coefficient == 1:
            return Fraction(1), x
        return x.coefficient, self.product(Fraction(1), list(zip(x.parts, x.exponents, strict=True)), x.shape)

    def _times(self, c: Coefficient, x: Expression) -> Expression:
        return x if c == 1 else self.product(c, [(x, 1)], x.shape)

    # ------------------------------------------------------------ products

    def product(self, c: Coefficient, powers: Sequence[tuple[Expression, int]], shape: tuple[int, ...]) -> Expression:
        """c · Π baseᵢ^exponentᵢ: nested products opened, powers of one sign put together."""
        found: dict[tuple[Expression, bool], int] = {}
        for base, exponent in powers:
            c = self._open(c, base, exponent, found)
        if c == 0:
            return self.full(0.0, shape)
        self._narrow(found, shape)
        parts = sorted(((x, k) for (x, _), k in found.items() if k), key=lambda p: _rank(p[0]))
        if not parts or _broadcast([x for x, _ in parts]) != shape:
            if not parts:
                return self.full(c, shape)
            parts.insert(0, (self.full(1.0, shape), 1))
        if c == 1 and len(parts) == 1 and parts[0][1] == 1:
            return parts[0][0]
        if c == -1 and len(parts) == 1 and parts[0][1] == 1 and parts[0][0].kind == "sum":
            return (
                self.sum([(Fraction(-1), parts[0][0])], shape)
                if _plain_sum(parts[0][0])
                else self._made(c, parts, shape)
            )
        return self._made(c, parts, shape)

    def _made(self, c: Coefficient, parts: Sequence[tuple[Expression, int]], shape: tuple[int, ...]) -> Expression:
        bases, exponents = tuple(x for x, _ in parts), tuple(k for _, k in parts)
        key = (c, tuple(map(id, bases)), exponents)
        return self._keep(key, Expression("product", shape, bases, coefficient=c, exponents=exponents))

    def _open(
        self, c: Coefficient, base: Expression, exponent: int, found: dict[tuple[Expression, bool], int]
    ) -> Coefficient:
        """Put base^exponent into `found`; what is a number goes into c, which is returned."""
        value = _uniform(base)
        if value is not None and (value != 0 or exponent > 0) and math.isfinite(value):
            return _multiplied(c, fraction_or_float(value), exponent)
        if base.kind == "product":
            c = _multiplied(c, base.coefficient, exponent)
            for inner, k in zip(base.parts, base.exponents, strict=True):
                found[inner, k * exponent > 0] = found.get((inner, k * exponent > 0), 0) + k * exponent
            return c
        found[base, exponent > 0] = found.get((base, exponent > 0), 0) + exponent
        return c

    def _narrow(self, found: dict[tuple[Expression, bool], int], shape: tuple[int, ...]) -> None:
        """x in place of broadcast_to(x, shape), where another factor has the shape."""
        for (base, up), k in list(found.items()):
            if base.kind != "call" or base.primitive is not PRIMITIVES["broadcast_to"]:
                continue
            inner = base.parts[0]
            others = [x for (x, _) in found if x is not base]
            if _broadcast([*others, inner]) == shape:
                del found[base, up]
                found[inner, up] = found.get((inner, up), 0) + k

    # ------------------------------------------------------------ calls

    def call(self, row: Primitive, operands: Sequence[Expression], static: Mapping[str, Any], shape: Any) -> Expression:
        """A primitive applied, as a sum or product where it is one."""
        if all(x.kind == "number" for x in operands):
            with np.errstate(all="ignore"):
                return self.number(row.evaluate([x.value[()] for x in operands], static))
        simpler = _RULES.get(row.name)
        made = simpler(self, operands, shape, static) if simpler else None
        if made is not None and made.shape == shape:
            return made
        key = (row.name, tuple(map(id, operands)), _static_key(static))
        return self._keep(key, Expression("call", shape, tuple(operands), primitive=row, static=static))

    def power(self, x: Expression, exponent: Expression, shape: tuple[int, ...]) -> Expression | None:
        value = _uniform(exponent)
        if value is None or exponent.shape or not float(value).is_integer() or abs(value) > 1000:
            return None
        k = int(value)
        if k == 0:
            return self.full(1.0, shape)
        if x.kind == "product" and (len(x.parts) > 1 or x.coefficient != 1 or x.exponents[0] * k < 0):
            return None if k != 1 else x
        return self.product(Fraction(1), [(x, k)], shape)


def _multiplied(c: Coefficient, value: Coefficient, exponent: int) -> Coefficient:
    try:
        found: Coefficient = c * value**exponent
        exact = isinstance(found, Fraction) and max(abs(found.numerator), found.denominator) < _EXACT
        return found if exact else float(found)
    except OverflowError:
        return math.copysign(math.inf, c)


def _uniform(x: Expression) -> float | None:
    """The one value of a constant that has the same everywhere."""
    if x.kind != "number" or x.value.size == 0 or x.value.dtype.kind not in "fiu":
        return None
    first = x.value.flat[0]
    return float(first) if x.value.ndim == 0 or bool(np.all(x.value == first)) else None


def _plain(x: Expression) -> bool:
    value = _uniform(x)
    return value is not None and math.isfinite(value)


def _plain_sum(x: Expression) -> bool:
    return all(part.kind != "number" or _plain(part) for part in x.parts)


def _broadcast(parts: Sequence[Expression]) -> tuple[int, ...]:
    return np.broadcast_shapes(*(x.shape for x in parts))


def _rank(x: Expression) -> int:
    """Constants first, then variables, then the rest as it came."""
    return {"number": 0, "constant": 0, "symbol": 1}.get(x.kind, 2)


def _static_key(x: Any) -> Any:
    if isinstance(x, Mapping):
        return tuple((k, _static_key(v)) for k, v in x.items())
    if isinstance(x, np.ndarray):
        return (x.shape, x.tobytes())
    if isinstance(x, tuple | list):
        return tuple(map(_static_key, x))
    return repr(x)


# ---------------------------------------------------------------- which rows are sums, products or nothing


def _same(algebra, operands, shape, static):
    """A row that leaves its operand as it is, where the shape is the same."""
    return operands[0] if operands[0].shape == shape else None


def _spread(algebra, operands, shape, static):
    value = _uniform(operands[0])
    return algebra.full(value, shape) if value is not None else _same(algebra, operands, shape, static)


def _choice(algebra, operands, shape, static):
    condition, yes, no = operands
    if yes is no:
        return yes
    if condition.kind == "number" and condition.value.size and bool(np.all(condition.value == condition.value.flat[0])):
        return yes if condition.value.flat[0] else no
    a, b = _uniform(yes), _uniform(no)
    return algebra.full(a, shape) if a is not None and a == b else None


_RULES: dict[str, Any] = {
    "add": lambda A, x, shape, _: A.sum([(Fraction(1), x[0]), (Fraction(1), x[1])], shape),
    "subtract": lambda A, x, shape, _: A.sum([(Fraction(1), x[0]), (Fraction(-1), x[1])], shape),
    "negative": lambda A, x, shape, _: A.product(Fraction(-1), [(x[0], 1)], shape),
    "positive": _same,
    "multiply": lambda A, x, shape, _: A.product(Fraction(1), [(x[0], 1), (x[1], 1)], shape),
    "divide": lambda A, x, shape, _: A.product(Fraction(1), [(x[0], 1), (x[1], -1)], shape),
    "reciprocal": lambda A, x, shape, _: A.product(Fraction(1), [(x[0], -1)], shape),
    "square": lambda A, x, shape, _: A.power(x[0], A.number(2.0), shape),
    "power": lambda A, x, shape, _: A.power(x[0], x[1], shape),
    "float_power": lambda A, x, shape, _: A.power(x[0], x[1], shape),
    "where": _choice,
    "cast": _same,
    "reshape": _spread,
    "broadcast_to": _spread,
}


def expressions(graph: Graph, algebra: Algebra, names: Sequence[str]) -> list[Expression]:
    """One expression for every output of the graph, its inputs called by `names`."""
    called = dict(zip(graph.inputs, names, strict=True))
    made: list[Expression] = []
    for k, node in enumerate(graph.nodes):
        shape = np.shape(concrete(node.value))
        if k in called:
            made.append(algebra.symbol(called[k], shape))
        elif node.primitive is None:
            made.append(algebra.number(node.value))
        else:
            made.append(algebra.call(node.primitive, [made[i] for i in node.inputs], node.keywords, shape))
    return [made[k] for k in graph.outputs]
