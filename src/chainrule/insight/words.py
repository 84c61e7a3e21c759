"""Floor 5, insight: how results are printed: one sheet of sections, as text or as HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .replay import Move, Step

# Of a vector so many entries are written, the strongest.
_ENTRIES = 5


@dataclass
class Section:
    """A heading, lines of cells (symbol, number, words) that stand in columns, and sentences below."""

    heading: str
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Sheet:
    """A title and sections."""

    title: str
    sections: list[Section] = field(default_factory=list)

    def text(self) -> str:
        rows = [row for section in self.sections for row in section.rows]
        widths = [max((len(row[k]) for row in rows), default=0) for k in range(2)]
        lines = [self.title]
        for section in self.sections:
            lines += ["", section.heading] if section.heading else [""]
            for symbol, number, words in section.rows:
                lines.append(f"  {symbol:<{widths[0]}}  {number:>{widths[1]}}  {words}".rstrip())
            lines += [f"  {note}" for note in section.notes]
        return "\n".join(lines)

    def html(self) -> str:
        """A table that takes its colours from the page, light or dark."""
        cell = "padding:1px 12px 1px 0;border:0;text-align:"
        parts = [f"<p><strong>{html.escape(self.title)}</strong></p>"]
        for section in self.sections:
            if section.heading:
                parts.append(f"<p style='margin:8px 0 2px 0'><em>{html.escape(section.heading)}</em></p>")
            if section.rows:
                lines = [
                    f"<tr><td style='{cell}left'><code>{html.escape(symbol)}</code></td><td style='{cell}right'>"
                    f"<code>{html.escape(number)}</code></td><td style='{cell}left'>{html.escape(words)}</td></tr>"
                    for symbol, number, words in section.rows
                ]
                parts.append(f"<table style='border-collapse:collapse'>{''.join(lines)}</table>")
            parts += [f"<p style='margin:2px 0'>{html.escape(note)}</p>" for note in section.notes]
        return f"<div>{''.join(parts)}</div>"


class Printed:
    """A result whose `sheet()` is printed: text for the terminal, HTML in notebooks; `as_dict` is for JSON."""

    def sheet(self) -> Sheet:
        raise NotImplementedError

    def text(self) -> str:
        """The result in plain text."""
        return self.sheet().text()

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.sheet().html()

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, texts, lists and dicts, as JSON takes them."""
        return {entry.name: plain(getattr(self, entry.name)) for entry in fields(self)}  # type: ignore[arg-type]


def plain(value: Any) -> Any:
    """Plain data: arrays and tuples as lists, NumPy numbers as Python's, NaN and infinities as texts."""
    if isinstance(value, Printed):
        return value.as_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def number(value: Any, digits: int = 6) -> str:
    """A number in so many significant digits."""
    return f"{float(value) + 0.0:.{digits}g}"


def vector(values: Any, digits: int = 4) -> str:
    """A vector: all of a short one, of a long one its length and norm."""
    values = np.ravel(values)
    if values.size == 1:
        return number(values[0], digits + 2)
    if values.size <= _ENTRIES:
        return "[" + ", ".join(number(v, digits) for v in values) + "]"
    return f"{values.size} numbers, norm {number(np.linalg.norm(values), digits)}"


def label(name: tuple) -> str:
    """("A", 2, 0, 1) as it is written: A_2[0, 1]."""
    letter, l, *rest = name
    return f"{letter}_{l}[{', '.join(map(str, rest))}]" if rest else f"{letter}_{l}"


def counted(n: int, what: str) -> str:
    """1 row, 2 rows."""
    return f"{n:,} {what}{'s' * (n != 1)}"


# ---------------------------------------------------------------- a step of training


def step_sheet(step: Step) -> Sheet:
    """A whole step in words."""
    plan, layout = step.plan, step.plan.layout
    shown = ", ".join(map(str, step.rows[:8])) + (" …" if len(step.rows) > 8 else "")
    about = Section(
        "",
        [
            ("loss", number(step.loss), "mean over the batch, before the step"),
            ("penalty", number(step.penalty), "what is added to it"),
            ("γ", number(step.step_size), f"the step size; the method has counted {counted(step.t, 'step')}"),
        ],
        [f"rows {shown} of those that were trained on", f"{plan.method.name}: {plan.method.formula}".rstrip(": ")],
    )
    layers = Section("Each layer: the norm of its weights, of their gradient and of their change")
    for (letter, l), (start, stop, _) in layout.slices.items():
        w, g, after = (x[start:stop].astype(np.float64) for x in (step.before, step.gradient, step.after))
        frozen = ", not trained" if l in plan.frozen else ""
        layers.rows.append(
            (f"{letter}_{l}", number(np.linalg.norm(w), 4),
             f"gradient {number(np.linalg.norm(g), 4)}, change {number(np.linalg.norm(after - w), 4)}{frozen}")
        )  # fmt: skip
    moved = Section("What moved most")
    for name, change in step.strongest():
        at = layout.index(name)
        words = f"from {number(step.before[at])} to {number(step.after[at])}"
        moved.rows.append((label(name), number(change), words))
    return Sheet(
        f"Step {step.step} of {step.n_steps}: step {step.step_in_epoch} of epoch {step.epoch}, "
        f"{counted(len(step.rows), 'row')}",
        [about, layers, moved],
    )


def move_sheet(move: Move) -> Sheet:
    """What a step made of one parameter, or a layer's."""
    name, many = label(move.name), np.ndim(move.before) > 0
    title = f"{name} in step {move.step} (epoch {move.epoch}, {counted(move.n_rows, 'row')})"
    return Sheet(title, [*update_sections(move)] if not many else [_block_section(move)])


def _block_section(move: Move) -> Section:
    names = {"before": move.before, "data": move.data, "gradient g": move.gradient, "change": move.change}
    names |= {f"{k} after": v for k, v in move.state_after.items()}
    rows = [(k, number(np.linalg.norm(np.ravel(v)), 5), f"largest {number(np.abs(v).max(), 5)}")
            for k, v in names.items()]  # fmt: skip
    return Section(f"{' × '.join(map(str, np.shape(move.before)))} numbers: their norms", rows, [_method(move)])


def _method(move: Move) -> str:
    return f"{move.method}: {move.formula}" if move.formula else move.method


def update_sections(move: Move) -> list[Section]:
    """The gradient's terms, and what the method made of it, for one parameter."""
    if move.is_frozen:
        return [Section("The update", notes=[f"layer {move.name[1]} is frozen: it is not trained"])]
    if not move.mass:
        return [Section("The update", notes=["all rows of the batch have weight 0: nothing moved"])]
    g = Section(f"The gradient that step {move.step} was given")
    g.rows.append(("Σ ∂E_i/∂w / N", number(move.data, 8), f"slope of the mean loss, N = {number(move.mass)}"))
    if move.penalty:
        g.rows.append(("+ α w / N", number(move.penalty, 8), "slope of the penalty"))
    if move.l1:
        g.rows.append(("+ λ sign(w) / N", number(move.l1, 8), "slope of the absolute penalty"))
    if move.clip != 1.0:
        g.rows.append(("× clip", number(move.clip, 8), "the whole gradient was longer than clip_norm"))
    g.rows.append(("g", number(move.gradient, 8), "the engine's"))
    how = Section(f"What {move.method} made of it{': ' * bool(move.formula)}{move.formula}")
    how.rows.append(("γ", number(move.step_size), f"the step size at t = {move.t}"))
    symbols = {"momentum": "μ", "beta_1": "β₁", "beta_2": "β₂", "epsilon": "ε", "rho": "ρ", "decay": "λ"}
    for key, value in move.hyper.items():
        how.rows.append((symbols.get(key, key), number(value), "" if symbols.get(key, key) == key else key))
    for key, value in move.corrections.items():
        how.rows.append((key, number(value, 8), "the moment's correction"))
    for key, value in move.state_after.items():
        how.rows.append((key, number(value, 8), f"before the step {number(move.state_before[key], 8)}"))
    if move.decay != 1.0:
        how.rows.append(("1 − γ λ", number(move.decay, 10), "the weight is first multiplied by it"))
    how.rows.append(("w before", number(move.before, 8), ""))
    how.rows.append(("w after", number(move.after, 8), f"changed by {number(move.change, 6)}"))
    if move.average_after is not None:
        how.rows.append(("average", number(move.average_after, 8), f"before the step {number(move.average_before, 8)}"))
    off = abs(move.twin - move.after)
    same = "the same bits" if off == 0 else f"{number(off, 2)} away, by rounding"
    how.notes.append(f"the method's row in NumPy gives {number(move.twin, 8)}: {same}")
    return [g, how]
