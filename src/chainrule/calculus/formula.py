"""Floor 0, calculus: a function and its derivative written out: as text, as LaTeX, as NumPy code."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .expression import Algebra, Expression, expressions, fraction_or_float
from .graph import Graph
from .primitives import PRIMITIVES, Primitive
from .primitives.writing import ATOM, NOTATIONS, PRODUCT, SUM, Piece, write_row

# A formula larger than this (symbols and signs, written out) gets names for the pieces that it uses twice.
_LONG = 60
MOST_STEPS = 500


@dataclass(frozen=True)
class Written:
    """A function and its derivatives as words; str() puts one equation on a line."""

    notation: str
    function: str  # the right side of f(x) = …
    derivatives: Mapping[str, str]  # input -> the right side of its derivative
    definitions: Mapping[str, str]  # names of pieces -> what they stand for, each using those before it only
    equations: tuple[tuple[str, str], ...]  # all of it, (left side, right side)

    def __str__(self) -> str:
        return "\n".join(f"{left} = {right}" for left, right in self.equations)

    def _repr_latex_(self) -> str | None:
        if self.notation != "latex":
            return None
        lines = r" \\ ".join(f"{left} &= {right}" for left, right in self.equations)
        return rf"$$\begin{{aligned}} {lines} \end{{aligned}}$$"


def written(
    function: Graph, gradient: Graph, names: Sequence[str], notation: str, digits: int | None, arguments: Sequence[str]
) -> Written:
    """The words of a function and of its derivatives, whose graphs have the same inputs, called by `names`.

    arguments : what stands in f(…)
    notation : "text", "latex" or "code" (Python with NumPy as np)
    digits : significant digits of constants; None for all that they have
    """
    if notation not in NOTATIONS:
        raise ValueError(f"notation must be one of {', '.join(map(repr, NOTATIONS))}, got {notation!r}")
    algebra = Algebra()
    whole = [*expressions(function, algebra, names), *expressions(gradient, algebra, names)]
    order = _in_order(whole)
    shared = _shared(order, whole, names) if sum(_sizes(order, whole)) > _LONG else {}
    printer = _Printer(notation, digits)
    definitions = {}
    for x in order:
        words = printer.write(x)
        if x in shared:
            definitions[shared[x]] = words[0]
            words = (_name(shared[x], notation), ATOM)
        printer.known[x] = words
    value, *slopes = [printer.known[x][0] for x in whole]
    derivatives = dict(zip(names, slopes, strict=True))
    arrays = {name for name, k in zip(names, function.inputs, strict=True) if np.ndim(function.nodes[k].value)}
    equations = [(_name(name, notation), words) for name, words in definitions.items()]
    equations += [(_left_of_value(arguments, notation), value)]
    equations += [(_left_of_slope(name, names, arrays, notation), words) for name, words in derivatives.items()]
    return Written(notation, value, derivatives, definitions, tuple(equations))


def _left_of_value(names: Sequence[str], notation: str) -> str:
    arguments = ", ".join(_name(name, notation) for name in names)
    return {"text": f"f({arguments})", "latex": rf"f\left({arguments}\right)", "code": "f"}[notation]


def _left_of_slope(name: str, names: Sequence[str], arrays: set[str], notation: str) -> str:
    """f'(x) for one number, ∇f(x) for one array, ∂f/∂x for one of several."""
    x = _name(name, notation)
    if notation == "code":
        return "df_d" + re.sub(r"\W+", "_", name).strip("_")
    if len(names) > 1:
        return rf"\frac{{\partial f}}{{\partial {x}}}" if notation == "latex" else f"∂f/∂{x}"
    symbol = ("\\nabla f" if notation == "latex" else "∇f") if name in arrays else "f'"
    return rf"{symbol}\left({x}\right)" if notation == "latex" else f"{symbol}({x})"


def one_line(graph: Graph, names: Sequence[str]) -> str:
    """The one output of a graph as text."""
    whole = expressions(graph, Algebra(), names)
    printer = _Printer("text", 6)
    for x in _in_order(whole):
        printer.known[x] = printer.write(x)
    return printer.known[whole[0]][0]


def number_words(value: Any) -> Piece:
    """A number as text with six digits."""
    return _Printer("text", 6).scalar(value)


# ---------------------------------------------------------------- pieces


def _in_order(whole: Sequence[Expression]) -> list[Expression]:
    """Every piece once, after its parts; a loop, for depth has no limit."""
    found: dict[Expression, None] = {}
    for top in whole:
        stack = [(top, False)]
        while stack:
            x, ready = stack.pop()
            if x in found:
                continue
            if ready:
                found[x] = None
            else:
                stack.append((x, True))
                stack.extend((part, False) for part in reversed(x.parts))
    return list(found)


def _sizes(order: Sequence[Expression], whole: Sequence[Expression]) -> list[int]:
    size: dict[Expression, int] = {}
    for x in order:
        size[x] = 1 + sum(size[part] for part in x.parts)
    return [size[x] for x in whole]


def _shared(order: Sequence[Expression], whole: Sequence[Expression], names: Sequence[str]) -> dict[Expression, str]:
    """Names for the pieces with parts that are used more than once."""
    uses = Counter(part for x in order for part in x.parts)
    uses.update(whole)
    letter = next(c for c in "uvwqk" if not any(re.fullmatch(rf"{c}\d+", name) for name in names))
    several = [x for x in order if uses[x] > 1 and _worth_a_name(x)]
    return {x: f"{letter}{k}" for k, x in enumerate(several, 1)}


def _worth_a_name(x: Expression) -> bool:
    if x.primitive is not None and all(rule is None for rule in x.primitive.pullbacks):
        return False  # a question reads best where it is asked
    return bool(x.parts) and not (len(x.parts) == 1 and x.parts[0].kind in ("symbol", "number", "constant"))


# ---------------------------------------------------------------- words

_GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
}  # fmt: skip
_CONSTANTS = {
    "π": ("π", r"\pi", "np.pi"),
    "e": ("e", "e", "np.e"),
    "ln2": ("ln(2)", r"\ln\left(2\right)", "np.log(2)"),
    "ln10": ("ln(10)", r"\ln\left(10\right)", "np.log(10)"),
    "√2": ("√(2)", r"\sqrt{2}", "np.sqrt(2)"),
    "√π": ("√(π)", r"\sqrt{\pi}", "np.sqrt(np.pi)"),
    "√2π": ("√(2·π)", r"\sqrt{2 \cdot \pi}", "np.sqrt(2 * np.pi)"),
}


def _name(name: str, notation: str) -> str:
    """A name as the notation writes it: x1 is x₁ in LaTeX, words stand upright."""
    if notation != "latex":
        return name
    if component := re.fullmatch(r"(.+)\[(.+)\]", name):  # x[0, 1] is x with its place below
        place = re.sub(r"[\[\]'\"]+", ",", component[2])
        return f"{_name(component[1], notation)}_{{{place}}}"
    stem = name.rstrip("0123456789")
    stem, index = stem.rstrip("_") or name, name[len(stem) :]
    if stem in _GREEK:
        stem = f"\\{stem}"
    elif len(stem) > 1:
        escaped = re.sub(r"([_#%&$])", r"\\\1", stem)
        stem = rf"\mathrm{{{escaped}}}"
    return f"{stem}_{{{index}}}" if index else stem


class _Printer:
    """Writes pieces whose parts are written already."""

    def __init__(self, notation: str, digits: int | None):
        self.notation, self.digits = notation, digits
        self.known: dict[Expression, Piece] = {}

    def write(self, x: Expression) -> Piece:
        if x.kind == "number":
            return self.number(x.value)
        if x.kind == "symbol":
            return _name(x.name, self.notation), ATOM
        if x.kind == "constant":
            return _CONSTANTS[x.name][NOTATIONS.index(self.notation)], ATOM
        if x.kind == "sum":
            return self.sum(x)
        if x.kind == "product":
            return self.product(x, positive=False)
        return self.call(x)

    # ------------------------------------------------------------ numbers

    def number(self, value: np.ndarray) -> Piece:
        if value.ndim == 0:
            return self.scalar(value[()])
        if self.notation == "code":
            words = np.array2string(value, separator=", ", threshold=value.size + 1, floatmode="unique")
            return f"np.array({words})", ATOM
        words = np.array2string(
            value, separator=", ", threshold=8, edgeitems=2, formatter={"all": lambda v: self.scalar(v)[0]}
        )
        return re.sub(r"\s+", " ", words).replace("...", "…" if self.notation == "text" else r"\ldots "), ATOM

    def scalar(self, value: Any) -> Piece:
        if isinstance(value, bool | np.bool_):
            return (rf"\mathrm{{{value}}}" if self.notation == "latex" else str(bool(value))), ATOM
        v = float(value)
        if not np.isfinite(v):
            word = {"text": ("∞", "NaN"), "latex": (r"\infty", r"\mathrm{NaN}"), "code": ("np.inf", "np.nan")}
            return ("-" if v < 0 else "") + word[self.notation][v != v], SUM if v < 0 else ATOM
        exact = fraction_or_float(v) if isinstance(value, float) else Fraction(1)
        if isinstance(exact, Fraction) and exact.denominator in (3, 6, 7, 9) and self.notation != "code":
            over, under = self.scalar(abs(exact.numerator)), self.scalar(exact.denominator)
            piece = self.put("divide", over, under)
            return piece if v > 0 else self.put("negative", piece)
        words = repr(v) if self.digits is None or self.notation == "code" else f"{v:.{self.digits}g}"
        words = re.sub(r"\.0$", "", words)
        binds = SUM if v < 0 else ATOM
        if "e" in words:
            base, exponent = words.split("e")
            words = f"{base}e{int(exponent)}"
            if self.notation == "latex":
                words, binds = rf"{base} \cdot 10^{{{int(exponent)}}}", min(binds, PRODUCT)
        return words, binds

    # ------------------------------------------------------------ rows

    def put(self, name: str, *pieces: Piece) -> Piece:
        """The words of the row called `name` with pieces in its places."""
        row = PRIMITIVES[name]
        assert isinstance(row, Primitive)
        return write_row(row, pieces, {}, self.notation)

    def call(self, x: Expression) -> Piece:
        assert x.primitive is not None
        pieces = [self.known[part] for part in x.parts]
        return write_row(x.primitive, pieces, x.static, self.notation)

    # ------------------------------------------------------------ sums and products

    def sum(self, x: Expression) -> Piece:
        """Terms one after the other, one that is added first, those that are taken away by a minus."""
        terms = list(x.parts)
        first = next((k for k, part in enumerate(terms) if not _is_minus(part)), 0)
        terms.insert(0, terms.pop(first))
        piece = self.known[terms[0]]
        for part in terms[1:]:
            if _is_minus(part):
                piece = self.put("subtract", piece, self.positive(part))
            else:
                piece = self.put("add", piece, self.known[part])
        return piece

    def positive(self, x: Expression) -> Piece:
        """What is written after a minus."""
        return self.product(x, positive=True) if x.kind == "product" else self.scalar(-x.value[()])

    def product(self, x: Expression, positive: bool) -> Piece:
        c = abs(x.coefficient)
        over, under = (c.numerator, c.denominator) if isinstance(c, Fraction) else (c, 1)
        above = [self.scalar(over)] if over != 1 else []
        below = [self.scalar(under)] if under != 1 else []
        for base, k in zip(x.parts, x.exponents, strict=True):
            (above if k > 0 else below).append(self.raised(self.known[base], abs(k)))
        piece = self._times(above) or self.scalar(1)
        if below:
            piece = self.put("divide", piece, self._times(below))
        return piece if x.coefficient > 0 or positive else self.put("negative", piece)

    def _times(self, pieces: Sequence[Piece]) -> Any:
        piece = None
        for p in pieces:
            piece = p if piece is None else self.put("multiply", piece, p)
        return piece

    def raised(self, piece: Piece, k: int) -> Piece:
        return piece if k == 1 else self.put("power", piece, (str(k), ATOM))


def _is_minus(x: Expression) -> bool:
    if x.kind == "number":
        return bool(x.value.ndim == 0 and x.value < 0)
    return x.kind == "product" and x.coefficient < 0
