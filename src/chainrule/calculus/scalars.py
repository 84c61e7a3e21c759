"""Floor 0, calculus: a graph of arrays as a graph of numbers, with the local derivative on every edge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .differentiate import is_step
from .formula import number_words, one_line
from .graph import Graph, Node, record
from .primitives import PRIMITIVES, Primitive, concrete, unbroadcast
from .primitives.writing import ATOM, Piece, write_row

MOST_NUMBERS = 100_000
_MOST_SLOPES = 4_000_000
_CONSTANT = -1  # in place of a step, for a number that depends on no input

Edges = tuple[tuple[int, ...], tuple[float | None, ...]]


class Scalars:
    """Every number of a recorded graph as a step of its own; where rows only move elements, no step is added.

    `places[k]` has the step of each element of node k, `own[k]` those that the node itself computed (None where it
    moved them), `edges[step]` the steps that it uses and the local derivatives by them.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.places: list[np.ndarray] = []
        self.own: list[list[int] | None] = []
        self.values: list[float] = []
        self.edges: list[Edges] = []
        self.kinks: list[bool] = []
        self._origin: list[tuple[int, int]] = []  # node, and element of it
        for k, node in enumerate(graph.nodes):
            self._add(k, node)
        self.output = int(self.places[graph.outputs[0]].flat[0])
        if self.output == _CONSTANT:
            self.output = self._steps(graph.outputs[0], [((), ())])[0]
        self._drop_unused()

    def _add(self, k: int, node: Node) -> None:
        shape = np.shape(node.value)
        if node.kind == "constant":
            self.places.append(np.full(shape, _CONSTANT))
            self.own.append(None)
        elif node.primitive is not None and node.primitive.moves:
            operands = [self.places[i] for i in node.inputs]
            cast = node.primitive.name == "cast"
            self.places.append(operands[0] if cast else np.asarray(node.primitive.evaluate(operands, node.keywords)))
            self.own.append(None)
        else:
            size = int(np.prod(shape))
            if len(self.values) + size > MOST_NUMBERS:
                raise ValueError(
                    f"trace keeps every number as a step, and this function has more than {MOST_NUMBERS:,}: trace it "
                    "with a smaller array, or take grad(f), which has no limit"
                )
            steps = self._steps(k, self._edges_of(node) if node.primitive is not None else [((), ())] * size)
            self.own.append(steps)
            self.places.append(np.reshape(np.array(steps, dtype=int), shape))

    def _steps(self, k: int, edges: Any) -> list[int]:
        node = self.graph.nodes[k]
        values = np.ravel(concrete(node.value)).tolist()
        first = len(self.values)
        self.values.extend(map(float, values))
        self.edges.extend(edges)
        self.kinks.extend(self._kinks_of(node, len(values)))
        self._origin.extend((k, e) for e in range(len(values)))
        return list(range(first, first + len(values)))

    def _operands(self, node: Node) -> list[Any]:
        return [self.graph.nodes[i].value for i in node.inputs]

    def _kinks_of(self, node: Node, size: int) -> list[bool]:
        if node.primitive is None or node.primitive.kink is None:
            return [False] * size
        found = node.primitive.kink(*self._operands(node), **node.keywords)
        return np.broadcast_to(found, np.shape(node.value)).ravel().tolist()

    # ------------------------------------------------------------ edges

    def _edges_of(self, node: Node) -> Iterator[Edges]:
        assert node.primitive is not None
        if node.primitive.elementwise:
            return self._elementwise(node, node.primitive)
        return self._dense(node, node.primitive)

    def _elementwise(self, node: Node, row: Primitive) -> Iterator[Edges]:
        """Each number from one of each operand; one call of a rule gives the slopes of all."""
        shape, operands = np.shape(node.value), self._operands(node)
        used, slopes = [], []
        for place, i in enumerate(node.inputs):
            used.append(_spread(self.places[i], shape))
            rule = row.pullback(place)
            if rule is None or self.graph.nodes[i].kind == "constant":
                slopes.append([None] * len(used[-1]))
            else:
                back = rule(np.ones(shape, np.result_type(node.value))[()], node.value, *operands, **node.keywords)
                slopes.append(_spread(back, shape))
        for steps, by in zip(zip(*used, strict=True), zip(*slopes, strict=True), strict=True):
            kept = [(s, d) for s, d in zip(steps, by, strict=True) if s != _CONSTANT]
            yield tuple(s for s, _ in kept), tuple(d for _, d in kept)

    def _dense(self, node: Node, row: Primitive) -> Iterator[Edges]:
        """Each number from many: the rule of a cotangent that is 1 there and 0 elsewhere gives its slopes."""
        size = int(np.prod(np.shape(node.value)))
        varying = [p for p, i in enumerate(node.inputs) if np.any(self.places[i] != _CONSTANT)]
        if size * sum(np.size(self.places[node.inputs[p]]) for p in varying) > _MOST_SLOPES:
            raise ValueError(
                f"np.{row.name} of arrays of {' and '.join(str(np.shape(x)) for x in self._operands(node))} has more "
                "local derivatives than a trace can show: trace it with smaller arrays, or take grad(f)"
            )
        for e in range(size):
            used, slopes = [], []
            for place in varying:
                steps = self.places[node.inputs[place]].ravel()
                by = self._slopes_of(node, row, place, e)
                for at in np.flatnonzero((steps != _CONSTANT) & self._linked(node, row, place, e, by)):
                    used.append(int(steps[at]))
                    slopes.append(float(by[at]) if row.pullback(place) else None)
            yield tuple(used), tuple(slopes)

    def _slopes_of(self, node: Node, row: Primitive, place: int, e: int, operands: Any = None) -> np.ndarray:
        rule, operands = row.pullback(place), operands or self._operands(node)
        if rule is None:
            return np.ones(np.size(operands[place]))
        seed = np.zeros(np.shape(node.value), np.result_type(node.value))
        seed.flat[e] = 1
        extra = {"k": place} if row.takes_sequence else {}
        back = rule(seed[()], node.value, *operands, **node.keywords, **extra)
        return np.ravel(unbroadcast(back, np.shape(operands[place])))

    def _linked(self, node: Node, row: Primitive, place: int, e: int, slopes: np.ndarray) -> np.ndarray:
        """Which numbers of an operand number e is made of; in a product of matrices also those that meet a 0."""
        if row.name != "matmul":
            return slopes != 0
        return self._slopes_of(node, row, place, e, [np.ones(np.shape(x)) for x in self._operands(node)]) != 0

    def _drop_unused(self) -> None:
        """Only the inputs and what the output needs."""
        needed = {s for k in self.graph.inputs for s in self.own[k] or ()} | {self.output}
        for s in range(len(self.values) - 1, -1, -1):
            if s in needed:
                needed.update(self.edges[s][0])
        kept = sorted(needed)
        new = dict(zip(kept, range(len(kept)), strict=True))
        if len(kept) == len(self.values):
            return
        self.values = [self.values[s] for s in kept]
        self.kinks = [self.kinks[s] for s in kept]
        self._origin = [self._origin[s] for s in kept]
        self.edges = [(tuple(new[i] for i in self.edges[s][0]), self.edges[s][1]) for s in kept]
        self.own = [None if own is None else [new.get(s, _CONSTANT) for s in own] for own in self.own]
        table = np.array([new.get(s, _CONSTANT) for s in range(max(new) + 1)] + [_CONSTANT])
        self.places = [table[np.where(x > max(new), _CONSTANT, x)] for x in self.places]
        self.output = new[self.output]

    # ------------------------------------------------------------ read

    def derivatives(self, cotangents: Mapping[int, Any]) -> list[float]:
        """∂output/∂step of every step: the cotangents of the walk back; what it does not pass on, from the edges."""
        found = [0.0] * len(self.values)
        found[self.output] = 1.0
        for s in range(self.output, -1, -1):
            k, e = self._origin[s]
            if k in cotangents and s != self.output:
                found[s] = float(np.ravel(cotangents[k])[e])
            elif not is_step(self.graph.nodes[k]) and s != self.output:
                found[s] = 0.0
            for i, slope in zip(*self.edges[s], strict=True):
                if slope is not None and found[s] != 0:
                    found[i] += found[s] * slope
        return found

    def operation(self, s: int) -> str:
        node = self.graph.nodes[self._origin[s][0]]
        return node.primitive.name if node.primitive is not None else node.kind

    def words(self, s: int, names: Sequence[str]) -> str:
        """How step s is computed from earlier ones: "sin(x)", "x[0]·0.5 + x[1]·0.25"."""
        k, e = self._origin[s]
        node = self.graph.nodes[k]
        row = node.primitive
        if row is None:
            return node.kind
        if row.elementwise:
            return write_row(row, self._pieces(node, e, names), node.keywords, "text")[0]
        if row.name == "matmul":
            times = PRIMITIVES["multiply"]
            assert isinstance(times, Primitive)
            pairs = [
                write_row(times, [piece for _, piece in pair], {}, "text")[0] for pair in self._pairs(node, e, names)
            ]
            return " + ".join(_some(pairs)).replace(" + -", " - ")
        operands = [names[i] for i in self.edges[s][0]]
        if row.name == "sum":
            return " + ".join(_some(operands)) or "0"
        return f"{row.name}({', '.join(_some(operands))})"

    def _pieces(self, node: Node, e: int, names: Sequence[str]) -> list[Piece]:
        return [self._piece(i, e, names, np.shape(node.value))[1] for i in node.inputs]

    def _piece(self, i: int, e: int, names: Sequence[str], shape: tuple[int, ...]) -> tuple[int, Piece]:
        step = int(np.broadcast_to(self.places[i], shape).flat[e])
        if step != _CONSTANT:
            return step, (names[step], ATOM)
        return step, number_words(np.broadcast_to(concrete(self.graph.nodes[i].value), shape).flat[e])

    def _pairs(self, node: Node, e: int, names: Sequence[str]) -> list[tuple[tuple[int, Piece], ...]]:
        """The factors, two by two, that are multiplied and added in entry e of a product of matrices."""
        row, sides = node.primitive, []
        assert row is not None
        for place, i in enumerate(node.inputs):
            shape = np.shape(self.graph.nodes[i].value)
            linked = np.flatnonzero(self._linked(node, row, place, e, np.zeros(0)))
            sides.append([self._piece(i, int(at), names, shape) for at in linked])
        return list(zip(*sides, strict=True))

    def slope_words(self, s: int, place: int, names: Sequence[str]) -> str:
        """A local derivative as a formula, "cos(n1)"; nothing where the row is neither elementwise nor a product."""
        k, e = self._origin[s]
        node = self.graph.nodes[k]
        if node.primitive is not None and node.primitive.name == "matmul":
            pairs = self._pairs(node, e, names)
            others = [pair[1 - side][1][0] for side in (0, 1) for pair in pairs if pair[side][0] != _CONSTANT]
            return others[place]
        graph, steps = self._slope(s, place)
        return one_line(graph, [names[i] for i in steps]) if graph is not None else ""

    def _slope(self, s: int, place: int) -> tuple[Graph | None, list[int]]:
        """The formula of a local derivative, and the steps that are its inputs; None where it is not elementwise."""
        k, e = self._origin[s]
        node = self.graph.nodes[k]
        row, shape = node.primitive, np.shape(node.value)
        if row is None or not row.elementwise:
            return None, []
        steps = [int(np.broadcast_to(self.places[i], shape).flat[e]) for i in node.inputs]
        operands = [np.broadcast_to(concrete(x), shape).flat[e] for x in self._operands(node)]
        varying = [p for p, step in enumerate(steps) if step != _CONSTANT]
        rule = row.pullback(varying[place])
        assert rule is not None

        def local(*given: Any) -> Any:
            mixed = list(operands)
            for p, x in zip(varying, given, strict=True):
                mixed[p] = x
            return rule(1.0, row.function(*mixed), *mixed, **node.keywords)

        return record(local, *(operands[p] for p in varying)), [steps[p] for p in varying]


def _spread(x: Any, shape: tuple[int, ...]) -> list[Any]:
    """The elements of x, broadcast to a shape."""
    return np.ravel(x if np.shape(x) == shape else np.broadcast_to(x, shape)).tolist()


def _some(words: list[str]) -> list[str]:
    return words if len(words) <= 6 else [*words[:3], "…", words[-1]]
