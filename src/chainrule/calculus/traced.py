"""Floor 0, calculus: trace: every number that a function computes at a point, and the chain rule that joins them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .differentiate import argument_names, grad, leaf, map_leaves, walk_back
from .formula import MOST_STEPS, Written, written
from .graph import Graph, Node, Tape, Traced, pruned, record
from .paths import Factor, Factors, Paths, PathTerm, factors_of, largest_paths, product
from .primitives.row import UnsupportedError
from .scalars import Scalars


@dataclass(frozen=True)
class Step:
    """One number of a trace: an input, or a primitive applied to earlier scalars."""

    name: str  # "x", "x[0]", "n3", "n3[0, 1]"; the last one is "f"
    operation: str  # "input", or the name of the primitive
    value: float
    derivative: float  # of the output by this number
    inputs: tuple[int, ...]  # the earlier numbers that it uses
    slopes: tuple[float | None, ...]  # the local derivatives by them; None where no derivative passes
    kink: bool  # the slopes on both sides differ, the local derivative is a choice between them


@dataclass(frozen=True)
class Trace:
    """A function at a point, number by number: str() prints the table, the methods read the chain rule off it."""

    steps: tuple[Step, ...]
    inputs: Mapping[str, int]  # name -> step, in the order of the arguments
    output: int
    graph: Graph
    _names: tuple[str, ...] = field(repr=False)  # of the graph's inputs
    _scalars: Scalars = field(repr=False)

    @property
    def value(self) -> float:
        """f at the point."""
        return self.steps[self.output].value

    @property
    def derivatives(self) -> dict[str, float]:
        """The derivative by each input number: what `grad` gives, entry by entry."""
        return {name: self.steps[k].derivative for name, k in self.inputs.items()}

    def words(self, k: int) -> str:
        """Step k as it is computed from the names of others: "sin(n1)"."""
        return self._scalars.words(k, [step.name for step in self.steps])

    # ------------------------------------------------------------ the chain rule

    def factors(self, by: str | None = None) -> Factors:
        """The factors of the chain rule from the output back to one input; their product is the derivative.

        The graph is cut at every step that all paths pass (handout 5, remark 1); where several paths lead from one cut
        to the next, the factor is the sum over them (remark 2), and says so.

        by : the name of the input, "x" or "x[0]"; may be left out where there is one

        >>> import numpy as np
        >>> print(trace(lambda x: np.exp(np.sin(x)), 1.0).factors())
        ∂f/∂x = 1.25338 = ∂f/∂n1 · ∂n1/∂x
          ∂f/∂n1 = exp(n1) = 2.31978
          ∂n1/∂x = cos(x) = 0.540302
        """
        name, k = self._input(by)
        found = []
        for a, b, value, n in factors_of(self.output, k, self._inputs, self._slopes):
            places = [p for p, i in enumerate(self._inputs[a]) if i == b and self._slopes[a][p] is not None]
            words = self._slope_words(a, places[0]) if n == 1 and places else ""
            found.append(Factor(self.steps[a].name, self.steps[b].name, value, n, words))
        return Factors(self.steps[self.output].name, name, self.steps[k].derivative, tuple(found))

    def paths(self, by: str | None = None, most: int = 10) -> Paths:
        """The derivative by one input as a sum over paths, the `most` largest in absolute value.

        Handout 5, remark 2. The number of paths and what those not listed add up to are exact, however many there are.

        by : the name of the input, "x" or "x[0]"; may be left out where there is one
        most : how many to list

        >>> import numpy as np
        >>> print(trace(lambda x: x * np.sin(x), 1.0).paths())
        ∂f/∂x = 1.38177, the sum over 2 paths
              0.841471   f → x   0.841471
              0.540302   f → n1 → x   1 · 0.540302
        """
        if isinstance(most, bool) or not isinstance(most, int) or most < 0:
            raise ValueError(f"most is how many paths to list, a whole number from 0, got {most!r}")
        name, k = self._input(by)
        count, found = largest_paths(self.output, k, self._inputs, self._slopes, most)
        terms = tuple(
            PathTerm(tuple(self.steps[i].name for i in steps), tuple(factors), product(factors))
            for steps, factors in found
        )
        return Paths(self.steps[self.output].name, name, self.steps[k].derivative, count, terms)

    def _input(self, by: str | None) -> tuple[str, int]:
        if by is None and len(self.inputs) == 1:
            return next(iter(self.inputs.items()))
        if by is None or by not in self.inputs:
            names = list(self.inputs)
            shown = ", ".join(map(repr, names if len(names) <= 8 else [*names[:6], "…", names[-1]]))
            given = "say by which input" if by is None else f"there is no input {by!r}"
            raise ValueError(f"{given}; this trace has {shown}")
        return by, self.inputs[by]

    @cached_property
    def _inputs(self) -> list[tuple[int, ...]]:
        return [step.inputs for step in self.steps]

    @cached_property
    def _slopes(self) -> list[tuple[float | None, ...]]:
        return [step.slopes for step in self.steps]

    def _slope_words(self, k: int, place: int) -> str:
        return self._scalars.slope_words(k, place, [step.name for step in self.steps])

    # ------------------------------------------------------------ words

    def formula(self, notation: str = "text", digits: int | None = 6) -> Written:
        """The function and its derivatives as formulas, lightly simplified; derived from the rules that `grad` uses.

        Where the function branched in Python (`if x > 0`), they are those of the branch taken at this point.

        notation : "text", "latex", or "code" (Python with NumPy as np, which runs)
        digits : significant digits of constants in text and LaTeX; None for all

        Returns
        -------
        Written : `function`, `derivatives[name]`, and str() with one equation a line.

        Raises
        ------
        ValueError : for more than 500 steps, which nobody would read.

        >>> import numpy as np
        >>> print(trace(lambda x: np.sin(x) * x, 1.0).formula())
        f(x) = x·sin(x)
        f'(x) = sin(x) + x·cos(x)
        """
        if len(self.graph.nodes) > MOST_STEPS:
            raise ValueError(
                f"formula() writes functions of up to {MOST_STEPS} steps, this one has {len(self.graph.nodes):,}: "
                "print(trace) lists the steps, factors() and paths() read the derivative off them"
            )
        graph, names = _by_components(self.graph, self._names)
        points = [graph.nodes[k].value for k in graph.inputs]
        gradient = record(grad(graph.evaluate, tuple(range(len(points)))), *points)
        return written(graph, gradient, names, notation, digits, self._names)

    def latex(self, digits: int | None = 6) -> Written:
        """The formulas of `formula()` in LaTeX; a notebook shows them typeset."""
        return self.formula("latex", digits)

    def __str__(self) -> str:
        return _table(self)

    def as_dict(self) -> dict[str, Any]:
        """The trace as plain data that JSON can hold."""
        steps = [
            {
                "name": step.name, "operation": step.operation, "words": self.words(k), "value": step.value,
                "derivative": step.derivative, "kink": step.kink,
                "inputs": [self.steps[i].name for i in step.inputs], "slopes": list(step.slopes),
            }
            for k, step in enumerate(self.steps)
        ]  # fmt: skip
        return {"value": self.value, "derivatives": self.derivatives, "steps": steps}

    def plot(self, ax: Any = None) -> Any:
        """Draw the graph, values above the steps, derivatives below; needs matplotlib. Returns the Axes."""
        from chainrule.insight.plots.graphs import plot_trace

        return plot_trace(self, ax)


def _table(shown: Trace) -> str:
    """A line a step; of a long trace the two ends."""
    rows = [("step", "value", f"∂{shown.steps[shown.output].name}/∂step", "local derivatives")]
    numbers = range(len(shown.steps))
    for k in numbers if len(numbers) <= 80 else [*numbers[:40], None, *numbers[-20:]]:
        rows.append(("…", "", "", f"{len(numbers) - 60:,} more steps") if k is None else _line(shown, k))
    first, second, third = (max(len(row[c]) for row in rows) for c in range(3))
    lines = [f"{a:<{first}}   {b:>{second}}   {c:>{third}}   {d}".rstrip() for a, b, c, d in rows]
    bad = next((k for k in numbers if not math.isfinite(shown.steps[k].value)), None)
    if bad is not None:
        lines.append(f"the first step that is not finite: {shown.steps[bad].name} = {shown.words(bad)}")
    if any(step.kink for step in shown.steps):
        lines.append("at a kink the slopes on both sides differ, and the local derivative is a choice between them")
    return "\n".join(lines)


def _line(shown: Trace, k: int) -> tuple[str, str, str, str]:
    step = shown.steps[k]
    name = step.name if step.operation == "input" else f"{step.name} = {shown.words(k)}"
    slopes = [
        f"∂/∂{shown.steps[i].name} {slope + 0.0:.6g}"
        for i, slope in zip(step.inputs, step.slopes, strict=True)
        if slope is not None
    ]
    if len(slopes) > 4:
        slopes = [*slopes[:3], f"… ({len(slopes)} in all)"]
    kink = "   at a kink" if step.kink else ""
    return name, f"{step.value:.6g}", f"{step.derivative + 0.0:.6g}", ", ".join(slopes) + kink


def trace(f: Callable[..., Any], *args: Any) -> Trace:
    """Record f at a point, number by number: values, local derivatives, and the chain rule that joins them.

    Parameters
    ----------
    f : a function in plain NumPy whose value is one number
    args : its arguments: numbers, arrays of floats, or lists, tuples and dicts of them. Each number of an array is an
        input of its own, x[0], x[1], …; the elements of arrays computed on the way are steps of their own too.

    Returns
    -------
    Trace : `value`, `derivatives`, `steps`; `factors()`, `paths()`, `formula()`, `latex()`, `plot()`.

    Raises
    ------
    TypeError : for integer arrays or complex arguments, and for an f whose value is not one number.
    ValueError : for a NaN among the arguments, and for more numbers than a trace can show.

    >>> import numpy as np
    >>> print(trace(lambda x: x * np.sin(x), 1.0))
    step                value      ∂f/∂step   local derivatives
    x                       1       1.38177
    n1 = sin(x)      0.841471             1   ∂/∂x 0.540302
    f = x·n1         0.841471             1   ∂/∂x 0.841471, ∂/∂n1 1

    Source: handout 5, proposition 1 and its remarks. The derivatives are those of `grad`, to the bit.
    """
    if not args:
        raise TypeError("trace needs the point: trace(f, x), with a number or an array for each argument of f")
    tape, names = Tape(), []

    def begin(x: Any, name: str) -> Traced:
        value = leaf(x, name)
        if isinstance(value, Traced):
            raise UnsupportedError("trace reads numbers, so it cannot stand inside a function that is differentiated")
        if np.isnan(value).any():
            raise ValueError(f"{name} {'is' if np.ndim(value) == 0 else 'has a'} NaN: every step after it would be NaN")
        names.append(name)
        return tape.input(value, name)

    called = argument_names(f, len(args))
    out = f(*(map_leaves(begin, x, name) for x, name in zip(args, called, strict=True)))
    value = out._chainrule_value if isinstance(out, Traced) else out
    if not isinstance(value, int | float | np.number | np.ndarray) or np.shape(value):
        what = f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        raise TypeError(
            f"trace follows one number, but the function returned {what}; add it up with np.sum, or trace one entry: "
            "lambda x: f(x)[0]"
        )
    index = out._index if isinstance(out, Traced) else tape.add(Node("constant", np.float64(value)))
    return _traced(pruned(tape.nodes, list(range(len(names))), [index]), tuple(names))


def _traced(graph: Graph, names: tuple[str, ...]) -> Trace:
    tape = Tape()
    cotangents: dict[int, Any] = {}
    tape.nodes = list(graph.nodes)
    one = np.ones((), np.asarray(graph.nodes[graph.outputs[0]].value).dtype)[()]
    with np.errstate(all="ignore"):
        cotangents.update(walk_back(tape, graph.outputs[0], one, cotangents))
        scalars = Scalars(graph)
    called, inputs = _called(scalars, graph, names)
    derivatives = scalars.derivatives(cotangents)
    steps = tuple(
        Step(name, scalars.operation(k), scalars.values[k], derivatives[k], *scalars.edges[k], scalars.kinks[k])
        for k, name in enumerate(called)
    )
    return Trace(steps, inputs, scalars.output, graph, names, scalars)


def _called(scalars: Scalars, graph: Graph, names: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """The name of every step, and the steps of the inputs by name."""
    taken = {re.split(r"[\[.]", name)[0] for name in names}
    letter = next(c for c in ("n", "u", "v", "s", "node") if not any(re.fullmatch(rf"{c}\d*", name) for name in taken))
    last = next(c for c in ("f", "y", "out", "output") if c not in taken)
    found, inputs, n = [""] * len(scalars.values), {}, 0
    for k, node in enumerate(graph.nodes):
        own = scalars.own[k]
        if own is None:
            continue
        if k in graph.inputs:
            stem = names[graph.inputs.index(k)]
        else:
            n += 1
            stem = f"{letter}{n}"
        shape = np.shape(node.value)
        for place, step in zip(np.ndindex(shape), own, strict=True):
            if step < 0:  # computed, but the output does not need it
                continue
            found[step] = f"{stem}[{', '.join(map(str, place))}]" if shape else stem
            if k in graph.inputs:
                inputs[found[step]] = step
    if found[scalars.output] not in inputs:
        found[scalars.output] = last
    return found, inputs


def _by_components(graph: Graph, names: Sequence[str]) -> tuple[Graph, list[str]]:
    """The graph with an input for each entry x[0], x[1] of an array of which single entries are all that is used."""
    places = {k: dict[tuple[int, ...], list[int]]() for k in graph.inputs if np.ndim(graph.nodes[k].value)}
    for k, node in enumerate(graph.nodes):
        for i in node.inputs:
            if i in places:
                entry = _entry(node, np.shape(graph.nodes[i].value))
                if entry is None:
                    del places[i]
                else:
                    places[i].setdefault(entry, []).append(k)
    for k in graph.outputs:
        places.pop(k, None)
    nodes, inputs, called = [], [], []
    for k, name in zip(graph.inputs, names, strict=True):
        if not places.get(k):
            inputs.append(k)
            called.append(name)
            continue
        for entry in sorted(places[k]):
            inputs.append(places[k][entry][0])
            called.append(f"{name}[{', '.join(map(str, entry))}]")
    first = {other: uses[0] for entries in places.values() for uses in entries.values() for other in uses}
    for k, node in enumerate(graph.nodes):
        if first.get(k) == k:
            nodes.append(Node("input", node.value))
        else:
            operands = tuple(first.get(i, i) for i in node.inputs) if first.get(k, k) == k else ()
            nodes.append(Node(node.kind, node.value, node.primitive, operands, node.keywords, node.name))
    return pruned(nodes, inputs, [first.get(k, k) for k in graph.outputs]), called


def _entry(node: Node, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The place of the one number that a node takes out of an array, or None."""
    if node.primitive is None or node.primitive.name != "getitem" or np.shape(node.value):
        return None
    index = node.keywords["index"]
    parts = index if isinstance(index, tuple) else (index,)
    if len(parts) != len(shape) or not all(isinstance(i, int | np.integer) for i in parts):
        return None
    return tuple(int(i) % n for i, n in zip(parts, shape, strict=True))
