"""Floor 0, calculus: how a row is written: as text, as LaTeX, as NumPy code, and where parentheses are needed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .row import Primitive

NOTATIONS = ("text", "latex", "code")
# How strongly a piece of a formula holds together; one that holds less strongly than its place needs is put in
# parentheses.
ENCLOSED, LOGIC, COMPARE, SUM, PRODUCT, POWER, ATOM = range(7)


@dataclass(frozen=True)
class Words:
    """A template with a place {0}, {1}, … for each operand, and {index}, {axis}, … for what stays fixed."""

    template: str
    binds: int = ATOM  # how strongly the whole holds together
    needs: tuple[int, ...] = ()  # how strongly each operand must; any does where this ends


@dataclass(frozen=True)
class Writing:
    """The words of one row. Without `code` it is a call of the NumPy function."""

    text: Words
    latex: Words
    code: Words | None = None


def transposed(static: Mapping[str, Any]) -> Writing | None:
    """Aᵀ where the axes are turned round, and a plain call for other orders."""
    axes = static["axes"]
    return TRANSPOSED if axes is None or list(axes) == list(range(len(axes)))[::-1] else None


def infix(text: str, latex: str, code: str, binds: int, needs: tuple[int, ...]) -> Writing:
    """A sign between two operands (or before one)."""
    return Writing(Words(text, binds, needs), Words(latex, binds, needs), Words(code, binds, needs) if code else None)


def named(text: str, latex: str, operands: int = 1) -> Writing:
    """A function with a name of its own in mathematics."""
    places = ", ".join(f"{{{k}}}" for k in range(operands))
    return Writing(Words(f"{text}({places})"), Words(rf"{latex}\left({places}\right)"))


def compared(text: str, latex: str, code: str = "") -> Writing:
    """A question about two values."""
    return infix(f"{{0}} {text} {{1}}", rf"{{0}} {latex} {{1}}", f"{{0}} {code or text} {{1}}", COMPARE, (SUM, SUM))


ADD = infix("{0} + {1}", "{0} + {1}", "{0} + {1}", SUM, (SUM, SUM))
SUBTRACT = infix("{0} - {1}", "{0} - {1}", "{0} - {1}", SUM, (SUM, PRODUCT))
MULTIPLY = infix("{0}·{1}", r"{0} \cdot {1}", "{0} * {1}", PRODUCT, (PRODUCT, PRODUCT))
DIVIDE = Writing(
    Words("{0}/{1}", PRODUCT, (PRODUCT, POWER)),
    Words(r"\frac{{{0}}}{{{1}}}", PRODUCT),
    Words("{0} / {1}", PRODUCT, (PRODUCT, POWER)),
)
NEGATIVE = infix("-{0}", "-{0}", "-{0}", SUM, (PRODUCT,))
POSITIVE = infix("{0}", "{0}", "{0}", SUM, ())
RECIPROCAL = Writing(
    Words("1/{0}", PRODUCT, (POWER,)), Words(r"\frac{{1}}{{{0}}}", PRODUCT), Words("1 / {0}", PRODUCT, (POWER,))
)
RAISED = Writing(
    Words("{0}^{1}", POWER, (ATOM, ATOM)),
    Words("{0}^{{{1}}}", POWER, (ATOM,)),
    Words("{0} ** {1}", POWER, (ATOM, ATOM)),
)
SQUARED = Writing(Words("{0}²", POWER, (ATOM,)), Words("{0}^{{2}}", POWER, (ATOM,)), Words("{0} ** 2", POWER, (ATOM,)))
ROOT = Writing(Words("√({0})"), Words(r"\sqrt{{{0}}}"))
CUBE_ROOT = Writing(Words("cbrt({0})"), Words(r"\sqrt[3]{{{0}}}"))
LENGTH = Writing(
    Words("√({0}² + {1}²)", ATOM, (ATOM, ATOM)), Words(r"\sqrt{{{0}^{{2}} + {1}^{{2}}}}", ATOM, (ATOM, ATOM))
)
MODULUS = Writing(Words("|{0}|"), Words(r"\left|{0}\right|"))
TO_RADIANS = Writing(
    Words("π/180·{0}", PRODUCT, (PRODUCT,)), Words(r"\frac{{\pi}}{{180}} \cdot {0}", PRODUCT, (PRODUCT,))
)
TO_DEGREES = Writing(
    Words("180/π·{0}", PRODUCT, (PRODUCT,)), Words(r"\frac{{180}}{{\pi}} \cdot {0}", PRODUCT, (PRODUCT,))
)

EXP = Writing(Words("exp({0})"), Words("e^{{{0}}}", POWER))
EXP2 = Writing(Words("2^{0}", POWER, (ATOM,)), Words("2^{{{0}}}", POWER))
EXPM1 = Writing(Words("exp({0}) - 1", SUM), Words("e^{{{0}}} - 1", SUM))
LOG1P = Writing(Words("ln(1 + {0})", ATOM, (SUM,)), Words(r"\ln\left(1 + {0}\right)", ATOM, (SUM,)))
LOGADDEXP = Writing(Words("ln(exp({0}) + exp({1}))"), Words(r"\ln\left(e^{{{0}}} + e^{{{1}}}\right)"))
LOGADDEXP2 = Writing(
    Words("log2(2^{0} + 2^{1})", ATOM, (ATOM, ATOM)), Words(r"\log_{{2}}\left(2^{{{0}}} + 2^{{{1}}}\right)")
)
CHOICE = Writing(
    Words("({1} if {0} else {2})", ATOM, (LOGIC, LOGIC, LOGIC)),
    Words(r"\left({1} \;\mathrm{{if}}\; {0} \;\mathrm{{else}}\; {2}\right)"),
)
CLIPPED = Writing(Words("min(max({0}, {1}), {2})"), Words(r"\min\left(\max\left({0}, {1}\right), {2}\right)"))
FLOOR = Writing(Words("floor({0})"), Words(r"\left\lfloor {0} \right\rfloor"))
CEILING = Writing(Words("ceil({0})"), Words(r"\left\lceil {0} \right\rceil"))
FLOOR_DIVIDED = Writing(
    Words("floor({0}/{1})", ATOM, (PRODUCT, POWER)), Words(r"\left\lfloor \frac{{{0}}}{{{1}}} \right\rfloor")
)
NOT = infix("not {0}", r"\neg {0}", "", LOGIC, (COMPARE,))
AND = infix("{0} and {1}", r"{0} \wedge {1}", "", LOGIC, (COMPARE, COMPARE))
OR = infix("{0} or {1}", r"{0} \vee {1}", "", LOGIC, (COMPARE, COMPARE))

PRODUCT_OF_MATRICES = Writing(
    # not a product of numbers: (a·b) @ c is not a·(b @ c)
    Words("{0} @ {1}", SUM, (POWER, POWER)), Words(r"{0} \, {1}", SUM, (POWER, POWER)),
    Words("{0} @ {1}", SUM, (POWER, POWER)),
)  # fmt: skip
TRANSPOSED = Writing(Words("{0}ᵀ", POWER, (ATOM,)), Words(r"{0}^{{\top}}", POWER, (ATOM,)))
ENTRY = Writing(
    Words("{0}[{index}]", ATOM, (ATOM,)), Words("{0}_{{{index}}}", ATOM, (ATOM,)), Words("{0}[{index}]", ATOM, (ATOM,))
)
INVERSE = Writing(Words("inv({0})"), Words("{0}^{{-1}}", POWER, (ATOM,)))


# ---------------------------------------------------------------- rows put into words

# Words of a piece, and how strongly they hold together.
Piece = tuple[str, int]
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_BRACKETS = {"text": "({})", "code": "({})", "latex": r"\left({}\right)"}


def enclosed(piece: Piece, needs: int, notation: str) -> str:
    """The words, in parentheses where the place needs them."""
    words, binds = piece
    return words if binds >= needs else _BRACKETS[notation].format(words)


def write_row(row: Primitive, pieces: Sequence[Piece], static: Mapping[str, Any], notation: str) -> Piece:
    """A call of a primitive in its own words, or as name(operands, what is not at its default)."""
    writing = row.writing(static) if callable(row.writing) else row.writing
    own: Words | None = getattr(writing, notation) if writing else None
    if own:
        needs = [*own.needs, *[ENCLOSED] * (len(pieces) - len(own.needs))]
        words = [enclosed(p, n, notation) for p, n in zip(pieces, needs, strict=True)]
        if writing is RAISED and notation == "text" and words[1].isdecimal():
            return words[0] + words[1].translate(_SUPERSCRIPTS), POWER
        fixed = {k: _index(v) if k == "index" else str(v) for k, v in static.items()}
        return own.template.format(*words, **fixed), own.binds
    operands = ", ".join(words for words, _ in pieces)
    if row.takes_sequence:
        operands = f"[{operands}]"
    options = [(k, v) for k, v in static.items() if k not in row.static or v is not row.static[k]]
    if notation == "latex":
        title = row.name.replace("_", r"\_")
        extra = [rf"\mathrm{{{k}}}={_plain(v)}" for k, v in options]
        return rf"\mathrm{{{title}}}\left({', '.join([operands, *extra])}\right)", ATOM
    title = _in_numpy(row) if notation == "code" else row.name
    return f"{title}({', '.join([operands, *(f'{k}={v!r}' for k, v in options)])})", ATOM


def _plain(v: Any) -> str:
    return re.sub(r"([_{}#%&$])", r"\\\1", repr(v))


def _in_numpy(row: Primitive) -> str:
    """What the function is called in code: np.sin, np.linalg.inv, or a name of ours."""
    for module, prefix in ((np, "np."), (np.linalg, "np.linalg.")):
        if getattr(module, row.name, None) is row.function:
            return prefix + row.name
    return row.name


def _index(index: Any) -> str:
    """An index as it stands between the brackets."""
    if isinstance(index, tuple):
        return ", ".join(map(_index, index)) or "()"
    if isinstance(index, slice):
        ends = ["" if part is None else str(part) for part in (index.start, index.stop)]
        return ":".join([*ends, *([] if index.step is None else [str(index.step)])])
    if isinstance(index, np.ndarray):
        return f"[{', '.join(map(_index, index))}]" if index.ndim else str(index)
    return "..." if index is Ellipsis else str(index)
