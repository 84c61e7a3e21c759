"""Floor 2, engine: a frozen record of one training run, checked whole; and the tables that the kernels read."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.descent.methods import Method
from chainrule.network import ACTIVATIONS, Layout, Loss, uses_link

from . import columns
from .compiled import address_of
from .processor import BLOCK_WIDTH, BLOCKS_AT_ONCE, PANEL_BYTES, VECTOR
from .records import Desk, Net
from .source import activation_address, loss_address, needs_z, slope_address

# Rows that a shard works on at a time when it goes over a whole table: its activations stay in the second-level cache.
ROWS_AT_A_TIME = 256
# How much of w one thread moves at a time, about; and of how much on a matrix is cut for two threads, smaller ones are
# put together.
PIECE_SIZE = 16_384
_WORTH_CUTTING = 512
# Weights of the first two layers for each row of a batch from which on its units are dealt out (see `units`).
_WORTH_GROUPS = 800
NOTHING = np.zeros(0)
_ALIGN = 16  # numbers; 64 bytes in float32, whole vectors on every processor


@dataclass(frozen=True)
class Plan:
    """One training run: what is trained, by which method, in which batches, at which precision.

    Parameters
    ----------
    layout, loss, method : what is trained on what, and how it moves
    hyper : the method's hyperparameters but for the step size, which is given per step
    batch_size : rows of a step
    penalty, l1 : α and λ of ½ α Σ‖A_l‖² + λ Σ|A_l|, divided by the sum of the weights of the rows of a batch, as
        scikit-learn divides its α; biases are not penalised
    decay : every step first multiplies the weights (not the biases) by 1 − γ · decay, whatever the method
    clip : the gradient is shortened to this Euclidean norm where it is longer; None leaves it
    dropout : one rate for each hidden layer, or () for none: the share of its outputs that are 0 in a step
    average : β of the running average of w, v ← β v + (1 − β) w, its weights summing to 1 (v/(1 − βᵗ)); None keeps none
    frozen : layers (from 1) that keep their A_l and b_l
    dtype : "float32" or "float64"
    seed : of the dropout masks, which depend on it, the step, the layer and the row alone

    Raises
    ------
    ValueError : naming what makes no run.
    """

    layout: Layout
    loss: Loss
    method: Method
    hyper: Mapping[str, float] = field(default_factory=dict)
    batch_size: int = 200
    penalty: float = 0.0
    dtype: str = "float32"
    l1: float = 0.0
    decay: float = 0.0
    clip: float | None = None
    dropout: tuple[float, ...] = ()
    average: float | None = None
    frozen: frozenset[int] = frozenset()
    seed: int = 0

    def __post_init__(self) -> None:
        if np.dtype(self.dtype) not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, got {self.dtype!r}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size!r}")
        for name in ("penalty", "l1", "decay"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be a finite number ≥ 0, got {getattr(self, name)!r}")
        if self.clip is not None and not 0 < self.clip < float("inf"):
            raise ValueError(f"clip must be a finite number > 0, or None for no bound, got {self.clip!r}")
        if self.average is not None and not 0 <= self.average < 1:
            raise ValueError(f"average must lie in [0, 1), or be None for no average, got {self.average!r}")
        unknown = set(self.hyper) - set(self.method.defaults)
        if unknown:
            raise ValueError(f"the method {self.method.name!r} has no {', '.join(sorted(unknown))}")
        self._check_layers()
        self.loss.check_outputs(self.layout.sizes[-1])
        uses_link(self.layout.output, self.loss)

    def _check_layers(self) -> None:
        L = self.layout.L
        if self.dropout and len(self.dropout) != L - 1:
            raise ValueError(f"dropout has {len(self.dropout)} rates for {L - 1} hidden layers; give one for each")
        for rate in self.dropout:
            if not 0 <= rate < 1:
                raise ValueError(f"a dropout rate must lie in [0, 1), got {rate!r}")
        wrong = [l for l in sorted(self.frozen) if not 1 <= l <= L]
        if wrong:
            raise ValueError(f"frozen names layer {wrong[0]!r}; layers count from 1 to {L}")
        if len(self.frozen) == L:
            raise ValueError(f"frozen names all {L} layers; nothing would be trained")

    @property
    def shards(self) -> int:
        """In how many parts a batch is worked on: by its size and work alone, never by the number of threads."""
        flop = 2 * self.batch_size * sum(3 * layer.inputs * layer.outputs for layer in self.layout.layers)
        most = min(self.batch_size // 96, flop // 1_000_000, 16)
        return 1 << (most.bit_length() - 1) if most >= 1 else 1

    @property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """(first unit, number of units) of both groups of the first hidden layer, whose weights one thread keeps to
        itself (see `units`); none where rows are dealt out alone. By the plan, never by the number of threads."""
        if self.shards != 2 or self.layout.L == 1 or self.clip is not None or any(self.dropout[:1]):
            return ()
        first, second = self.layout.layers[:2]
        units = first.outputs
        weights = first.inputs * units + units * second.outputs
        if units % _ALIGN or units < 2 * _ALIGN or self.frozen & {1, 2} or weights < _WORTH_GROUPS * self.batch_size:
            return ()
        half = units // (2 * _ALIGN) * _ALIGN
        return (0, half), (half, units - half)

    def hyper_table(self) -> np.ndarray:
        """The hyperparameters in the order of the row, [for biases, for weights]."""
        names = [name for name in self.method.defaults if name != "step"]
        values = [float(self.hyper.get(name, self.method.defaults[name])) for name in names]
        biases = [0.0 if name == "decay" else value for name, value in zip(names, values, strict=True)]
        return np.array([[*biases, 0.0], [*values, 0.0]])

    def rules(self) -> np.ndarray:
        """The numbers that belong to no row, in the order of the kernels' names for them."""
        return np.array([self.penalty, self.l1, self.decay, self.clip or 0.0])

    def dropout_rates(self) -> np.ndarray:
        """One rate a layer (the output has none), or nothing where no layer has any."""
        return np.array([*self.dropout, 0.0]) if any(self.dropout) else np.zeros(0)

    def own_gradients(self) -> set[int]:
        """Layers (from 0) whose dE/dA_l is made by every shard for its own rows and added up later.

        The others' is made piece by piece, each for the rows of all shards, and stays in the cache until it has moved
        w. Then threads read each other's deltas and values, not gradients: more, where matrices are small.
        """
        B = self.batch_size if self.shards > 1 else 0
        sizes = enumerate((layer.inputs, layer.outputs) for layer in self.layout.layers)
        in_groups = 2 if self.groups else 0
        return {l for l, (m, D) in sizes if l >= in_groups and m * D <= B * (m / 2 + D)}

    def parts(self) -> list[tuple[int, int, int, int]]:
        """(inputs, outputs, where its weights begin in w, where its biases do) of both parts of every group: A_1 is
        taken to lie part by part."""
        if not self.groups:
            return []
        (m, _), (_, D) = ((layer.inputs, layer.outputs) for layer in self.layout.layers[:2])
        at = {name: start for name, (start, _, _) in self.layout.slices.items()}
        return [
            part
            for first, units in self.groups
            for part in (
                (m, units, at["A", 1] + m * first, at["b", 1] + first),
                (units, D, at["A", 2] + first * D, at["b", 2]),
            )
        ]

    def pieces(self) -> np.ndarray:
        """What is trained of w, cut into pieces, large ones first; see the kernels' names of the columns.

        A piece is whole lines of one A_l, or several small matrices or vectors that lie one after another in w. Most
        matrices are cut into an even number of like pieces.
        """
        lanes = VECTOR // np.dtype(self.dtype).itemsize
        found = self._pieces_of_parts(lanes)
        in_groups = {(1, 0), (1, 1), (0, 0)} if found else set()
        small: list[int] | None = None
        for is_weight in (1, 0):
            for l, layer in enumerate(self.layout.layers):
                if l + 1 in self.frozen or (is_weight, l) in in_groups:
                    continue
                start, stop, _ = self.layout.slices["A" if is_weight else "b", l + 1]
                m, D = layer.inputs if is_weight else 1, layer.outputs
                if m * D > _WORTH_CUTTING:
                    parts = 2 * max(1, round(m * D / (2 * PIECE_SIZE))) if is_weight else 1
                    # A_lᵀ is packed by blocks of `lanes` lines; there is none of A_1
                    unit = lanes if l > 0 else _lines_together(D, lanes)
                    found += _cut(start, (m, D), parts, unit, (is_weight, l, -1))
                elif small and small[1:3] == [start, is_weight] and stop - small[0] <= 2 * _WORTH_CUTTING:
                    small[1], small[4] = stop, l
                else:
                    small = [start, stop, is_weight, l, l, 0, m, -1]
                    found.append(small)
        found.sort(key=lambda piece: piece[0] - piece[1])
        return np.array(found, dtype=np.int64).reshape(-1, 8)

    def _pieces_of_parts(self, lanes: int) -> list[list[int]]:
        """The pieces of what belongs to groups of units."""
        found: list[list[int]] = []
        for p, (m, D, start, at_b) in enumerate(self.parts()):
            unit = lanes if p % 2 else _lines_together(D, lanes)
            found += _cut(start, (m, D), max(1, round(m * D / PIECE_SIZE)), unit, (1, p, p // 2))
            if p % 2 == 0:
                found += _cut(at_b, (1, D), 1, 1, (0, p, p // 2))
        return found


def _lines_together(D: int, lanes: int) -> int:
    """The fewest lines of D numbers that end where a vector does, four at most: cuts by more are less even."""
    return min(4, lanes // math.gcd(lanes, D))


def _cut(start: int, shape: tuple[int, int], parts: int, unit: int, of: tuple[int, int, int]) -> list[list[int]]:
    """The pieces of a matrix at `start` of w, as many as `parts` if their lines are a multiple of `unit`; `of` says
    whether it is weights, of which layer or part, of which group."""
    (m, D), (is_weight, l, group) = shape, of
    lines = -(-m // (parts * unit)) * unit
    ends = [(i, min(m, i + lines)) for i in range(0, m, lines)]
    return [[start + i * D, start + end * D, is_weight, l, l, i, end - i, group] for i, end in ends]


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Zeros that start at a multiple of 64 bytes."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.zeros(size + 64, dtype=np.uint8)
    start = -buffer.__array_interface__["data"][0] % 64  # `buffer.ctypes.data` takes ten times as long
    return buffer[start : start + size].view(dtype).reshape(shape)


class Wiring:
    """A layout (and loss) as the tables that the kernels read, for shards of at most `rows` rows in one float width."""

    def __init__(self, layout: Layout, loss: Loss | None, rows: int, dtype: Any):
        self.layout, self.rows, self.dtype = layout, rows, str(np.dtype(dtype))
        # Where the loss is written in the raw score, the last layer only adds its bias.
        self.link_form = loss is not None and uses_link(layout.output, loss)
        self.activations = [layer.activation for layer in layout.layers]
        if self.link_form:
            self.activations[-1] = ACTIVATIONS["identity"]
        self.loss = loss_address(loss, self.dtype, layout.sizes[-1]) if loss else 0
        self.loss_parameters = np.zeros(1)
        if loss is not None:
            loss.check_outputs(layout.sizes[-1])
            numbers = [np.ravel(loss.parameters[name]) for name in (*loss.scalars, *loss.vectors)]
            self.loss_parameters = np.concatenate([*numbers, [0.0]])
        most = max(len(row.parameters) for row in self.activations)
        self.parameters = np.zeros((layout.L, most + 1))
        for l, row in enumerate(self.activations):
            self.parameters[l, : len(row.parameters)] = list(row.parameters.values())
        self._width = PANEL_BYTES // np.dtype(dtype).itemsize
        self._size = 0

    def _take(self, size: int) -> int:
        at = self._size
        self._size += -(-size // _ALIGN) * _ALIGN
        return at

    def _panel_size(self, K: int, D: int) -> int:
        return K * -(-D // self._width) * self._width

    def _line(self, l: int, slope: bool, panels: tuple[int, int], places: Sequence[int], trained: bool) -> list[int]:
        layer, row = self.layout.layers[l], self.activations[l]
        skips = not slope or (self.link_form and l == self.layout.L - 1)
        addresses = [activation_address(row, self.dtype, layer.outputs), 0 if skips else slope_address(row, self.dtype)]
        at_A, at_b = self.layout.slices["A", l + 1][0], self.layout.slices["b", l + 1][0]
        return [layer.inputs, layer.outputs, *addresses, at_A, at_b, *panels, *places, int(trained)]

    def _panels(
        self, shapes: Sequence[tuple[int, int]], turned: Callable[[int], bool], at: int
    ) -> tuple[list[tuple[int, int]], int]:
        """(offsets of the panels of each A and, where there are any, of Aᵀ; where they end), beginning at `at`."""
        places = []
        for k, (m, D) in enumerate(shapes):
            forward, at = at, at + self._panel_size(m, D)
            places.append((forward, at if turned(k) else -1))
            at += self._panel_size(D, m) if turned(k) else 0
        return places, at

    def _panels_of_layers(self, turned: bool, parts: Sequence[tuple]) -> tuple[list[tuple[int, int]], int]:
        """As `_panels`, of all layers; the first two have none where they have parts, whose panels come first."""
        shapes = [(layer.inputs, layer.outputs) for layer in self.layout.layers]
        first, at = (2, self._panels_of_parts(parts)[1]) if parts else (0, 0)
        places, end = self._panels(shapes[first:], lambda k: turned and first + k > 0, at)
        return [(-1, -1)] * first + places, end

    def _panels_of_parts(self, parts: Sequence[tuple]) -> tuple[list[tuple[int, int]], int]:
        """As `_panels`: those of A_1 come first, since A_1 is laid there to be put in order (see `units.regroup`)."""
        below, at = self._panels([part[:2] for part in parts[::2]], lambda k: False, 0)
        above, at = self._panels([part[:2] for part in parts[1::2]], lambda k: True, at)
        return [places for pair in zip(below, above, strict=True) for places in pair], at

    def of_parts(self, layers: np.ndarray, parts: Sequence[tuple]) -> np.ndarray:
        """The table of the parts (see `Plan.parts`), its columns those of `layers`, two lines a group."""
        table = np.tile(layers[:2], (len(parts) // 2, 1))
        table[:, [columns.INPUTS, columns.OUTPUTS, columns.AT_A, columns.AT_B]] = parts
        table[:, [columns.AT_PANELS, columns.AT_TURNED]] = self._panels_of_parts(parts)[0]
        return table

    def for_training(
        self, dropout: Sequence[float] = (), frozen: frozenset[int] = frozenset(), piece: int | None = None,
        own_gradients: Container[int] = (), parts: Sequence[tuple] = (),
    ) -> tuple[np.ndarray, np.ndarray, int, int]:  # fmt: skip
        """(layers, tail, size of a shard's line of work, size of all panels).

        Every layer keeps its value and delta, z where its slope needs it, and with dropout the factors and what is
        passed on.

        piece : numbers of the largest piece of a gradient that is worked on at once; None is all of it
        own_gradients : layers whose dE/dA_l every shard makes for its own rows
        parts : what groups of units have (see `Plan.parts`): each has its units' values for the rows of all shards
        """
        self._size = 0
        layout, lines = self.layout, []
        panels, panels_size = self._panels_of_layers(True, parts)
        of_all = self.rows * max(1, len(parts) // 2)  # rows that are read at once
        tail = [
            self._take(of_all * layout.sizes[0]),
            self._take(self.rows * layout.sizes[-1]),
            self._take(self.rows),
        ]
        for l, layer in enumerate(layout.layers):
            rows, units = (
                (of_all, max(part[1] for part in parts[::2])) if parts and l == 0 else (self.rows, layer.outputs)
            )
            block = rows * units
            at_value = self._take(block)
            at_z = self._take(block) if needs_z(self.activations[l]) else at_value
            at_delta = self._take(block)
            drops = l < len(dropout) and dropout[l] > 0
            at_passed, at_keep = (self._take(block), self._take(block)) if drops else (at_value, 0)
            at_packed, at_sums = self._take(self._panel_size(rows, units)), self._take(units)
            at_gradient = self._take(layer.inputs * layer.outputs) if l in own_gradients else -1
            places = (at_value, at_z, at_delta, at_passed, at_keep, at_packed, at_sums, at_gradient)
            lines.append(self._line(l, True, panels[l], places, l + 1 not in frozen))
        tail.append(0)  # PACKED: all of w is packed
        tail.append(self._take(layout.K if piece is None else piece))
        lanes = VECTOR // np.dtype(self.dtype).itemsize
        tail.append(self._take(BLOCKS_AT_ONCE * (of_all * BLOCK_WIDTH + lanes)))
        tail.append(self._take(of_all * layout.sizes[2]) if parts else 0)
        return np.array(lines, np.int64), np.array(tail, np.int64), self._size, panels_size

    def for_prediction(self) -> tuple[np.ndarray, np.ndarray, int, int]:
        """As `for_training`, but layers take turns in two blocks."""
        self._size = 0
        panels, panels_size = self._panels_of_layers(False, ())
        block = self.rows * max(self.layout.sizes[1:])
        turns, at_z = (self._take(block), self._take(block)), self._take(block)
        lines = []
        for l in range(self.layout.L):
            at_value = turns[l % 2]
            places = (at_value, at_z if needs_z(self.activations[l]) else at_value, 0, at_value, 0, 0, 0, -1)
            lines.append(self._line(l, False, panels[l], places, True))
        spare = self._take(max(self._width * m for m in self.layout.sizes[:-1]))
        return np.array(lines, np.int64), np.array([0, 0, 0, spare, 0, 0, 0], np.int64), self._size, panels_size

    def net(self, w: np.ndarray, layers: np.ndarray, panels_size: int, dropout: np.ndarray = NOTHING) -> Net:
        """The bundle for the kernels; without room for panels they read w itself."""
        panels = aligned((panels_size,), self.dtype)
        product = address_of("product", self.dtype)
        across = address_of("product_across", self.dtype) if self.loss else 0
        of_few = 0 if panels_size else address_of("product_of_few", self.dtype)
        drop = address_of("drop", self.dtype) if dropout.size else 0
        products = product, across, of_few
        return Net(w, panels, layers, self.parameters, self.loss, self.loss_parameters, dropout, *products, drop)


def desk(shards: int, size: int, tail: np.ndarray, gradients: tuple[int, int], dtype: Any) -> Desk:
    """Room for shards to work in, and for so many gradients of so many numbers."""
    several, K = gradients
    line = -(-K // _ALIGN) * _ALIGN
    return Desk(aligned((shards, size), dtype), tail, aligned((several, line), dtype), np.zeros((shards, 8)))
