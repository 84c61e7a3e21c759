"""Floor 2, engine: a recorded formula -> the text of one compiled loop over a block.

Every node of the graph is one of three: uniform (the same for the whole block: constants, hyperparameters; computed
once, in float64), one number a row, or one number an element. A reduction over the outputs ends a pass along the row;
what a later pass needs again is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.calculus.graph import Graph

# How each primitive is written for scalars in compiled Python. `maximum(z, 0)` keeps a NaN z: it must be seen. What is
# computed once for a whole block is written with NumPy's functions, see `_WIDE`.
VOCABULARY: dict[str, str] = {
    "add": "({0} + {1})",
    "subtract": "({0} - {1})",
    "multiply": "({0} * {1})",
    "divide": "({0} / {1})",
    "negative": "(-{0})",
    "positive": "{0}",
    "reciprocal": "({one} / {0})",
    "square": "({0} * {0})",
    "sqrt": "np.sqrt({0})",
    "cbrt": "np.cbrt({0})",
    "power": "({0} ** {1})",
    "exp": "exp({0})",
    "exp2": "np.exp2({0})",
    "expm1": "expm1({0})",
    "log": "log({0})",
    "log2": "np.log2({0})",
    "log10": "np.log10({0})",
    "log1p": "log1p({0})",
    "sin": "sin({0})",
    "cos": "cos({0})",
    "tan": "np.tan({0})",
    "sinh": "np.sinh({0})",
    "cosh": "np.cosh({0})",
    "tanh": "tanh({0})",
    "arcsin": "np.arcsin({0})",
    "arccos": "np.arccos({0})",
    "arctan": "np.arctan({0})",
    "arcsinh": "np.arcsinh({0})",
    "arccosh": "np.arccosh({0})",
    "arctanh": "np.arctanh({0})",
    "arctan2": "np.arctan2({0}, {1})",
    "hypot": "np.hypot({0}, {1})",
    "logaddexp": "np.logaddexp({0}, {1})",
    "erf": "erf({0})",
    "absolute": "abs({0})",
    "fabs": "abs({0})",
    "sign": "({one} if {0} > 0 else (-{one} if {0} < 0 else {0}))",
    "floor": "np.floor({0})",
    "ceil": "np.ceil({0})",
    "maximum": "({1} if {1} > {0} or {1} != {1} else {0})",
    "minimum": "({1} if {1} < {0} or {1} != {1} else {0})",
    "fmax": "({1} if {1} > {0} or {0} != {0} else {0})",
    "fmin": "({1} if {1} < {0} or {0} != {0} else {0})",
    "where": "({1} if {0} else {2})",
    "greater": "({0} > {1})",
    "greater_equal": "({0} >= {1})",
    "less": "({0} < {1})",
    "less_equal": "({0} <= {1})",
    "equal": "({0} == {1})",
    "not_equal": "({0} != {1})",
    "logical_and": "({0} and {1})",
    "logical_or": "({0} or {1})",
    "logical_not": "(not {0})",
    "isnan": "({0} != {0})",
}
# The functions of `elementary`, by their names in NumPy (erf: in our calculus); there with the float width behind them.
WRITTEN = ("exp", "expm1", "tanh", "log", "log1p", "sin", "cos", "erf")
_WIDE = {name: f"np.{name}({{0}})" for name in WRITTEN} | {"erf": "math.erf({0})"}
# A constant operand cannot be NaN, which leaves one comparison: one machine instruction.
_WITH_CONSTANT = {"maximum": "({1} if {1} > {0} else {0})", "minimum": "({1} if {1} < {0} else {0})"}
# The same number in another shape: a row's one number spread over its elements, or a length-1 axis taken off.
PASSED_ON = {"broadcast_to", "expand_dims", "squeeze", "reshape", "copy", "astype", "positive", "ravel"}
CONSTANT_LIKE = {"ones_like": 1.0, "zeros_like": 0.0}
# name -> start value, how an element is folded in
REDUCTIONS: dict[str, tuple[str, str]] = {
    "sum": ("{zero}", "{0} + {1}"),
    "max": ("-{inf}", "({1} if {1} > {0} or {1} != {1} else {0})"),
    "min": ("{inf}", "({1} if {1} < {0} or {1} != {1} else {0})"),
}


class NotCompilable(ValueError):
    """A formula uses something that the compiled engine has no word for."""


@dataclass
class Step:
    """One node as it will be written: its name in the text, its kind, the pass that computes it."""

    name: str
    kind: str  # "uniform" | "row" | "element"
    stage: int
    text: str = ""
    reduces: tuple[str, str, str] | None = None  # reduction, operand, kept as
    scans: bool = False  # a running sum along the row: it starts at 0 and its text uses its own name
    table: tuple[str, ...] = ()  # a constant with one number for each output
    number: Any = None  # the value of a constant


@dataclass
class Block:
    """The steps of a loop, in order, and those that are its results."""

    steps: list[Step]
    outputs: list[Step]


# A constant array may have so many entries.
_LONGEST_CONSTANT = 256


def _literal(scalar: Any) -> str:
    if isinstance(scalar, bool):
        return repr(scalar)
    scalar = float(scalar)
    if scalar != scalar:
        return "np.nan"
    if abs(scalar) == float("inf"):
        return "np.inf" if scalar > 0 else "(-np.inf)"
    return repr(scalar)


# Powers by a small constant, written as products: a general power is a slow call.
_POWERS = {
    2.0: "({0} * {0})",
    3.0: "({0} * {0} * {0})",
    1.0: "{0}",
    0.5: "np.sqrt({0})",
    0.0: "{one}",
    -1.0: "({one} / {0})",
    -2.0: "({one} / ({0} * {0}))",
}


class Writer:
    """Turns the nodes of one graph into steps, equal nodes into one."""

    def __init__(self, graph: Graph, inputs: Sequence[tuple[str, str]], what: str):
        self.graph, self.what = graph, what
        self.inputs = dict(zip(graph.inputs, inputs, strict=True))  # node -> (text, kind)
        self.steps: list[Step] = []
        self.of_node: dict[int, Step] = {}
        self.seen: dict[Any, Step] = {}

    def run(self) -> Block:
        for index, node in enumerate(self.graph.nodes):
            if node.kind == "input":
                text, kind = self.inputs[index]
                self.of_node[index] = Step(text, kind, 0)
            elif node.kind == "constant":
                self.of_node[index] = self._constant(node.value)
            else:
                self.of_node[index] = self._call(node)
        return Block(self.steps, [self.of_node[i] for i in self.graph.outputs])

    def _constant(self, value: Any) -> Step:
        numbers = np.asarray(value)
        entries = numbers.ravel()
        if (entries.size and np.all(entries == entries[0])) or entries.size == 1:
            text = _literal(entries[0].item())
            number = None if text in ("True", "False") else float(entries[0])
            return self._add(("constant", text), Step("", "uniform", 0, text, number=number))
        if numbers.shape[-1] != numbers.size or not 0 < numbers.size <= _LONGEST_CONSTANT:
            raise NotCompilable(
                f"{self.what} holds a constant array of shape {numbers.shape}; a number can be compiled, or one for "
                f"each output (at most {_LONGEST_CONSTANT})"
            )
        table = tuple(_literal(float(x)) for x in entries)
        step = self._add(("constant", numbers.dtype == bool, table), Step("", "element", 0, table=table))
        step.text = f"dt({step.name}_[j])" if numbers.dtype != bool else f"({step.name}_[j] != 0.0)"
        return step

    def _add(self, key: Any, step: Step) -> Step:
        if key in self.seen:
            return self.seen[key]
        step.name = f"x{len(self.steps)}"
        self.steps.append(step)
        self.seen[key] = step
        return step

    def _call(self, node: Any) -> Step:
        name = node.primitive.name
        operands = [self.of_node[i] for i in node.inputs]
        if name in PASSED_ON:
            return operands[0]
        if name in CONSTANT_LIKE:
            return self._constant(CONSTANT_LIKE[name])
        if name in REDUCTIONS or name == "mean":
            return self._reduction(name, operands[0], node)
        key = (name, tuple(s.name for s in operands))
        if name == "cumsum":
            return self._running_sum(key, operands[0], node)
        if name == "positions":
            return self._add(key, Step("", "element", 0, "dt(j)"))
        order = ("uniform", "row", "element")
        kind = max((s.kind for s in operands), key=order.index)
        stage = max(s.stage for s in operands)
        return self._add(key, Step("", kind, stage, self._text(name, operands, kind == "uniform")))

    def _running_sum(self, key: Any, operand: Step, node: Any) -> Step:
        if node.keywords.get("axis") not in (-1, (-1,)):
            raise NotCompilable(f"{self.what}: cumsum is compiled along the last axis (the outputs) only: axis=-1")
        step = self._add(key, Step("", "element", operand.stage, scans=True))
        step.text = f"{step.name} + {operand.name}"
        return step

    def _text(self, name: str, operands: list[Step], wide: bool) -> str:
        words = [s.name + "_" if wide else s.name for s in operands]
        one = "1.0" if wide else "one"
        if name == "power" and operands[1].number in _POWERS:
            return _POWERS[operands[1].number].format(*words, one=one)
        if name == "clip":
            low, high = words[1], words[2]
            return f"({low} if {words[0]} < {low} else ({high} if {words[0]} > {high} else {words[0]}))"
        template = _WIDE.get(name) if wide and name in _WIDE else VOCABULARY.get(name)
        if name in _WITH_CONSTANT and operands[1].number is not None:
            template = _WITH_CONSTANT[name]
        elif name in _WITH_CONSTANT and operands[0].number is not None:
            template, words = _WITH_CONSTANT[name], words[::-1]
        if template is None:
            raise NotCompilable(
                f"{self.what} uses {name!r}, which the compiled engine cannot print; it knows "
                + ", ".join(sorted([*VOCABULARY, *REDUCTIONS, "clip", "mean"]))
            )
        return template.format(*words, one=one)

    def _reduction(self, name: str, operand: Step, node: Any) -> Step:
        axis = node.keywords.get("axis")
        if operand.kind != "element":
            # The same number all along the axis, as many times as the record says.
            times = np.size(self.graph.nodes[node.inputs[0]].value) // max(1, np.size(node.value))
            if name != "sum" or times == 1:
                return operand
            words = f"({{0}} * {float(times)!r})" if operand.kind == "uniform" else f"({{0}} * dt({float(times)!r}))"
            text = words.format(operand.name + ("_" if operand.kind == "uniform" else ""))
            return self._add(("times", operand.name, times), Step("", operand.kind, operand.stage, text))
        if axis not in (None, -1, (-1,)) and np.ndim(node.value) != np.ndim(self.graph.nodes[node.inputs[0]].value) - 1:
            raise NotCompilable(
                f"{self.what}: {name} over axis {axis!r}; only the last axis (the outputs) can be compiled"
            )
        fold = "sum" if name == "mean" else name
        step = self._add((fold, operand.name), Step("", "row", operand.stage + 1, reduces=(fold, operand.name, "")))
        if name == "mean":
            return self._add(("mean", operand.name), Step("", "row", step.stage, f"({step.name} / width)"))
        return step


def loop(
    block: Block, loads: Mapping[str, str], stores: Callable[[list[str]], list[str]], total: str | None = None
) -> list[str]:
    """The lines of the loop over rows i and elements j.

    `loads` maps names of inputs to the text that reads element (i, j); `stores` gives the lines that use the names
    of the outputs for element (i, j), `total` is one for row i. Lines assume `dt`, `one`, `zero`, `inf` and `width` of
    the block's dtype. A uniform step x is computed as x_ in float64 and rounded to the block's dtype once.
    """
    lines: list[str] = []
    for step in block.steps:
        if step.kind == "uniform":
            lines += [f"{step.name}_ = {step.text}", f"{step.name} = dt({step.name}_)"]
    tables = {f"{step.name}_": step.table for step in block.steps if step.table}
    for name, numbers in tables.items():
        lines += [f"room_{name} = taken(np.float64, {len(numbers)})", f"{name} = array(room_{name}, {len(numbers)})"]
        lines += [f"{name}[{k}] = {number}" for k, number in enumerate(numbers)]
    final = stores([s.name for s in block.outputs])
    if any(step.kind == "row" or step.scans for step in [*block.steps, *block.outputs]):
        return lines + _rows_together(block, loads, final, total, list(tables))
    body = [f"{s.name} = {s.text}" for s in block.steps if s.kind == "element"] + final
    lines += ["for i in range(n):", "    for j in range(D):"]
    lines += ["        " + line for line in _read(loads, body) + body]
    lines += ["    " + total] if total else []
    return lines + [f"given_back(room_{name})" for name in tables]


def _read(places: Mapping[str, str], lines: Sequence[str]) -> list[str]:
    """Lines that read what these lines mention."""
    text = "\n".join(lines)
    return [f"{name} = {place}" for name, place in places.items() if _mentions(text, name)]


# So many rows are worked on side by side: whole vectors, however few elements a row has.
_TOGETHER = 16


def _rows_together(
    block: Block, loads: Mapping[str, str], final: list[str], total: str | None, rooms: list[str]
) -> list[str]:
    """The loop over rows where elements of a row depend on one another: some rows side by side, in room of their own.

    There element j of row r stands at j · _TOGETHER + r. Sums along a row keep its order. The last rows may be fewer:
    the very last one stands for those that do not exist, since arithmetic with what happens to be in memory may take
    ten times as long.
    """
    R = _TOGETHER
    kept = [*loads, *_kept(block, final)]
    rows = [s.name for s in block.steps if s.kind == "row"]
    at_element = {name: f"of_{name}[j * {R} + r]" for name in kept}
    at_row = {name: f"of_{name}[r]" for name in rows}
    lines = []
    for name in at_element:
        lines += [f"room_{name} = taken(dt, D * {R})", f"of_{name} = array(room_{name}, D * {R})"]
    for name in [*(f"of_{name}" for name in rows), *(f"sum_{s.name}" for s in block.steps if s.scans)]:
        lines.append(f"{name} = array(local(dt, {R}), {R})")
    lines += [f"for first in range(0, n, {R}):", f"    there = min({R}, n - first)"]
    copied = [f"{at_element[name]} = {source}" for name, source in loads.items()]
    inner = [*_over("r", R, ["i = first + min(r, there - 1)", *_over("j", "D", copied)])]
    for stage in range(_last_stage(block) + 1):
        inner += _row_steps(block, stage, at_row)
        inner += _element_steps(block, stage, at_element, at_row)
    stored = [*_over("j", "D", [*_read(at_element, final), *final]), *([total] if total else [])]
    inner += _over("r", "there", ["i = first + r", *_read(at_row, stored), *stored])
    lines += ["    " + line for line in inner]
    return lines + [f"given_back(room_{name})" for name in [*rooms, *at_element]]


def _kept(block: Block, final: list[str]) -> list[str]:
    """Elements that a later pass reads again, or the last lines."""
    steps = [s for s in block.steps if s.kind == "element"]

    def readers(source: Step) -> list[str]:
        later = [s.text for s in steps if s.stage > source.stage]
        return later + [s.reduces[1] for s in block.steps if s.reduces and s.stage > source.stage + 1] + final

    return [s.name for s in steps if any(_mentions(text, s.name) for text in readers(s))]


def _over(index: str, count: str | int, body: list[str]) -> list[str]:
    return [f"for {index} in range({count}):", *("    " + line for line in body)] if body else []


def _row_steps(block: Block, stage: int, at_row: Mapping[str, str]) -> list[str]:
    """What there is one of a row, in this stage."""
    steps = [s for s in block.steps if s.kind == "row" and s.stage == stage and not s.reduces]
    made = {s.name for s in steps}
    body = [line for s in steps for line in (f"{s.name} = {s.text}", f"{at_row[s.name]} = {s.name}")]
    read = _read({name: place for name, place in at_row.items() if name not in made}, body)
    return _over("r", _TOGETHER, [*read, *body])


def _element_steps(block: Block, stage: int, at_element: Mapping[str, str], at_row: Mapping[str, str]) -> list[str]:
    """What there is one of an element, in this stage, and what is folded along the rows for the next."""
    elements = [s for s in block.steps if s.kind == "element" and s.stage == stage]
    folds = [s for s in block.steps if s.reduces and s.stage == stage + 1]
    if not elements and not folds:
        return []
    starts, body = [], []
    for s in elements:
        if s.scans:
            starts.append(f"sum_{s.name}[r] = zero")
            body.append(f"{s.name} = sum_{s.name}[r]")
        body.append(f"{s.name} = {s.text}")
        body += [f"{at_element[s.name]} = {s.name}"] if s.name in at_element else []
        body += [f"sum_{s.name}[r] = {s.name}"] if s.scans else []
    for s in folds:
        assert s.reduces is not None
        fold, operand, _ = s.reduces
        first, word = REDUCTIONS[fold]
        starts.append(f"{at_row[s.name]} = {first.format(zero='zero', inf='inf')}")
        body += [f"{s.name} = {word.format(s.name, operand)}", f"{at_row[s.name]} = {s.name}"]
    made = {s.name for s in elements}
    places = {name: place for name, place in {**at_element, **at_row}.items() if name not in made}
    body = [*_read(places, body), *body]
    return [*_over("r", _TOGETHER, starts), *_over("j", "D", _over("r", _TOGETHER, body))]


def _last_stage(block: Block) -> int:
    return max((s.stage for s in [*block.steps, *block.outputs]), default=0)


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None
