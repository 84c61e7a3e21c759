"""Floor 2, engine: a frozen record of one training run, checked whole; and the tables that the kernels read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.descent.methods import Method
from chainrule.network import ACTIVATIONS, Layout, Loss, uses_link

from .source import activation_address, loss_address, needs_z, slope_address

# Rows that a shard works on at a time when it goes over a whole table: its activations stay in the second-level cache.
ROWS_AT_A_TIME = 256
# How much of w one thread moves at a time.
PIECE_SIZE = 4096
# The largest matrix that the kernels turn into scratch (their SMALL_PRODUCT).
SCRATCH_SIZE = 40_000
_ALIGN = 16  # numbers; 64 bytes in float32


@dataclass(frozen=True)
class Plan:
    """One training run: what is trained, by which method, in which batches, at which precision.

    `hyper` are the method's hyperparameters but for the step size, which is given per step; `penalty` is α of
    ½ α Σ‖A_l‖², divided by the sum of the weights of the rows of a batch, as in scikit-learn; `decay` (of methods
    that have it) is not applied to biases.
    """

    layout: Layout
    loss: Loss
    method: Method
    hyper: Mapping[str, float] = field(default_factory=dict)
    batch_size: int = 200
    penalty: float = 0.0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if np.dtype(self.dtype) not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, got {self.dtype!r}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size!r}")
        if not 0 <= self.penalty < float("inf"):
            raise ValueError(f"the penalty must be a finite number ≥ 0, got {self.penalty!r}")
        unknown = set(self.hyper) - set(self.method.defaults)
        if unknown:
            raise ValueError(f"the method {self.method.name!r} has no {', '.join(sorted(unknown))}")
        uses_link(self.layout.output, self.loss)

    @property
    def shards(self) -> int:
        """In how many parts a batch is worked on: by its size and work alone, never by the number of threads."""
        flop = 2 * self.batch_size * sum(3 * layer.inputs * layer.outputs for layer in self.layout.layers)
        most = min(self.batch_size // 96, flop // 1_000_000, 16)
        return 1 << (most.bit_length() - 1) if most >= 1 else 1

    def hyper_table(self) -> np.ndarray:
        """The hyperparameters in the order of the row, [for biases, for weights]."""
        names = [name for name in self.method.defaults if name != "step"]
        values = [float(self.hyper.get(name, self.method.defaults[name])) for name in names]
        biases = [0.0 if name == "decay" else value for name, value in zip(names, values, strict=True)]
        return np.array([[*biases, 0.0], [*values, 0.0]])

    def pieces(self) -> np.ndarray:
        """w cut into pieces (start, stop, is it weights): none straddles the border between weights and biases."""
        cuts = [
            (lo, min(stop, lo + PIECE_SIZE), int(is_weight))
            for start, stop, is_weight in (
                (0, self.layout.n_weights, True),
                (self.layout.n_weights, self.layout.K, False),
            )
            for lo in range(start, stop, PIECE_SIZE)
        ]
        return np.array(cuts, dtype=np.int64)


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Zeros that start at a multiple of 64 bytes."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    buffer = np.zeros(size + 64, dtype=np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + size].view(dtype).reshape(shape)


class Wiring:
    """A layout (and loss) as the tables that the kernels read, for shards of at most `rows` rows in one float width."""

    def __init__(self, layout: Layout, loss: Loss | None, rows: int, dtype: Any):
        self.layout, self.rows, self.dtype = layout, rows, str(np.dtype(dtype))
        # Where the loss is written in the raw score, the last layer only adds its bias.
        link_form = loss is not None and uses_link(layout.output, loss)
        self.activations = [layer.activation for layer in layout.layers]
        if link_form:
            self.activations[-1] = ACTIVATIONS["identity"]
        self.link_form = link_form
        self.loss = loss_address(loss, self.dtype) if loss else 0
        self.loss_parameters = np.array([*(loss.parameters.values() if loss else ()), 0.0])
        most = max(len(row.parameters) for row in self.activations)
        self.parameters = np.zeros((layout.L, most + 1))
        for l, row in enumerate(self.activations):
            self.parameters[l, : len(row.parameters)] = list(row.parameters.values())
        self._size = 0

    def _take(self, size: int) -> int:
        at = self._size
        self._size += -(-size // _ALIGN) * _ALIGN
        return at

    def _line(self, l: int, slope: bool, places: tuple[int, int, int]) -> list[int]:
        layer, row = self.layout.layers[l], self.activations[l]
        skips = not slope or (self.link_form and l == self.layout.L - 1)
        addresses = [activation_address(row, self.dtype), 0 if skips else slope_address(row, self.dtype)]
        at_A, at_b = self.layout.slices["A", l + 1][0], self.layout.slices["b", l + 1][0]
        return [layer.inputs, layer.outputs, *addresses, at_A, at_b, *places]

    def for_training(self) -> tuple[np.ndarray, np.ndarray, int]:
        """(layers, tail, size of a shard's workspace): every layer keeps its value and delta, and z where needed."""
        self._size = 0
        self._take(self.rows * self.layout.sizes[0])
        lines = []
        for l, layer in enumerate(self.layout.layers):
            block = self.rows * layer.outputs
            at_value = self._take(block)
            at_z = self._take(block) if needs_z(self.activations[l]) else at_value
            lines.append(self._line(l, True, (at_value, at_z, self._take(block))))
        largest = max(layer.inputs * layer.outputs for layer in self.layout.layers)
        tail = [self._take(self.rows * self.layout.sizes[-1]), self._take(self.rows)]
        tail += [self._take(min(largest, SCRATCH_SIZE)), self._take(self.layout.K)]
        return np.array(lines, np.int64), np.array(tail, np.int64), self._size

    def for_prediction(self) -> tuple[np.ndarray, int]:
        """(layers, size of a workspace): layers take turns in two blocks."""
        self._size = 0
        block = self.rows * max(self.layout.sizes[1:])
        turns, at_z = (self._take(block), self._take(block)), self._take(block)
        lines = []
        for l in range(self.layout.L):
            at_value = turns[l % 2]
            places = (at_value, at_z if needs_z(self.activations[l]) else at_value, 0)
            lines.append(self._line(l, False, places))
        return np.array(lines, np.int64), self._size
