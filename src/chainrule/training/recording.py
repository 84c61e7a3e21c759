"""Floor 3, training: a recording of one fit: w and the method's state at epoch ends, thinned to a bound of memory."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.engine import Plan
from chainrule.network import LOSSES
from chainrule.network.rows import is_row

from .history import Event

# What the snapshots of a fit may take. Two are kept whatever they take: the first and the last.
RECORD_BYTES = 64 << 20

Snapshot = tuple[dict[str, Any], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Material:
    """What a fit was made of, so that an epoch can be computed again: the arrays are the fit's own, not copies.

    `orders` is a callable that gives the order of the next epoch's rows, as it was before the first epoch; it can be
    copied with its random numbers.
    """

    plan: Plan
    X: Any
    Y: np.ndarray
    weights: np.ndarray | None
    orders: Callable[[], np.ndarray]


class Recording:
    """Where one fit went: snapshots at epoch ends, from which any of its steps can be computed again.

    Every epoch is kept until `budget` bytes are full; then every second one is dropped, and from there on only every
    second is kept, and so on. The first (epoch 0, before any step) and the last are always there.

    Parameters
    ----------
    material : what `replay` computes with; None where steps cannot be computed again, and `why_not` says why
    budget : bytes that snapshots may take, RECORD_BYTES by default. Beside them it keeps a checksum an epoch,
        and the step sizes.

    Attributes
    ----------
    epochs : the epochs that are kept, ascending, 0 for the start
    points : w at these epochs, len(epochs) × K. That is the w which the steps moved: where a fit keeps the best
        epoch's weights, or an average, those of the model may be others.

    >>> recording = Recording(budget=64)
    >>> for epoch in range(8):
    ...     recording.note(epoch, ({"t": epoch}, {"w": np.full(2, float(epoch))}))
    >>> recording.epochs, recording.points[:, 0]
    (array([0, 4, 7]), array([0., 4., 7.]))
    """

    def __init__(self, material: Material | None = None, why_not: str = "", budget: int | None = None):
        self.material, self.why_not = material, why_not
        self.budget = RECORD_BYTES if budget is None else budget
        self.stride = 1
        self._kept: dict[int, Snapshot] = {}
        self._last = 0
        self._sizes: list[Any] = []
        self._marks: list[int] = []

    @property
    def epochs(self) -> np.ndarray:
        return np.array(sorted(self._kept), np.int64)

    @property
    def points(self) -> np.ndarray:
        return np.stack([self._kept[epoch][1]["w"] for epoch in sorted(self._kept)])

    @property
    def n_epochs(self) -> int:
        """How many epochs were recorded, kept or not."""
        return len(self._marks)

    @property
    def steps_per_epoch(self) -> int:
        """Updates in an epoch; 0 where the steps cannot be computed again."""
        return 0 if self.material is None else -(-self.material.X.shape[0] // self.material.plan.batch_size)

    @property
    def n_steps(self) -> int:
        """Updates that were recorded, counted from 1."""
        return self.n_epochs * self.steps_per_epoch

    @property
    def nbytes(self) -> int:
        """What the snapshots take: each of them the same."""
        return len(self._kept) * self._size_of(self._kept[0]) if self._kept else 0

    def _size_of(self, snapshot: Snapshot) -> int:
        return sum(array.nbytes for array in snapshot[1].values())

    def note(self, epoch: int, snapshot: Snapshot, step_size: Any = 0.0) -> None:
        """Keep the state after an epoch (0: before the first); `snapshot` must not move afterwards."""
        if epoch:
            self._marks.append(mark(snapshot[1]["w"]))
            self._sizes.append(step_size)
        if self._last % self.stride:  # it was there as the last one only
            del self._kept[self._last]
        self._kept[epoch], self._last = snapshot, epoch
        while self.nbytes > self.budget and len(self._kept) > 2:
            self.stride *= 2
            self._kept = {at: kept for at, kept in self._kept.items() if at % self.stride == 0 or at == epoch}

    def nearest(self, epoch: int) -> tuple[int, Snapshot]:
        """The last epoch at or before this one that is kept, and its snapshot."""
        at = max(kept for kept in self._kept if kept <= epoch)
        return at, self._kept[at]

    def step_sizes(self, epoch: int) -> np.ndarray:
        """The step size of every step of an epoch (from 1)."""
        return np.broadcast_to(np.asarray(self._sizes[epoch - 1], float), self.steps_per_epoch)

    def is_as_trained(self, epoch: int, w: np.ndarray) -> bool:
        """Whether w has the bits that training had at the end of this epoch, kept or not."""
        return mark(w) == self._marks[epoch - 1]

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if self.material is not None and not is_row(LOSSES, self.material.plan.loss):
            # the derived slope of a loss of one's own is not to be pickled
            why_not = "the model was copied or unpickled, and its loss is not of the table"
            state |= {"material": None, "why_not": why_not}
        return state

    def snapshot(self) -> Snapshot:
        """(plain data, arrays) that `restore` puts back: a recording is part of its fit's checkpoint."""
        sizes = [np.atleast_1d(np.asarray(size, float)) for size in self._sizes]
        data = {"epochs": sorted(self._kept), "t": [self._kept[at][0] for at in sorted(self._kept)]}
        data |= {"marks": list(self._marks), "stride": self.stride, "per epoch": sizes[0].size if sizes else 1}
        arrays = {f"{at} {name}": a for at, (_, own) in self._kept.items() for name, a in own.items()}
        return data, arrays | {"sizes": np.concatenate(sizes) if sizes else np.zeros(0)}

    def restore(self, data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Become what `snapshot` saw."""
        kept: dict[int, Snapshot] = {at: (numbers, {}) for at, numbers in zip(data["epochs"], data["t"], strict=True)}
        for name, array in arrays.items():
            if name != "sizes":
                at, own = name.split(" ", 1)
                kept[int(at)][1][own] = array
        self._kept, self._marks, self.stride = kept, list(data["marks"]), int(data["stride"])
        sizes = arrays["sizes"].reshape(-1, int(data["per epoch"]))
        self._last = max(kept)
        self._sizes = [float(line[0]) if line.size == 1 else line for line in sizes]

    def __repr__(self) -> str:
        return f"Recording({self.n_epochs} epochs, {len(self._kept)} kept, {self.nbytes / 1e6:.1f} MB)"


def mark(w: np.ndarray) -> int:
    """A checksum of the bits of w."""
    return zlib.crc32(np.ascontiguousarray(w).view(np.uint8).data)


class Where:
    """A run of which nothing is known but its point, for a recorder: `point()` gives a vector that does not move."""

    def __init__(self, point: Callable[[], np.ndarray]):
        self._point = point

    def snapshot(self) -> Snapshot:
        return {}, {"w": self._point()}


class Recorder:
    """A consumer of events that records the run; it copies at epoch ends, and the fit keeps every bit.

    Make it when the run stands where the fit begins and before the first order is drawn; `material.orders` is copied
    here. `watched(step_size)` is the function to give to `Training`. Without material the steps cannot be opened again,
    `why_not` says why, and of the run nothing is asked but `snapshot`.
    """

    def __init__(self, run: Any, material: Material | None, why_not: str = "", budget: int | None = None):
        own = None
        if material is not None:
            own = Material(material.plan, material.X, material.Y, material.weights, copy.deepcopy(material.orders))
        self.recording = Recording(own, why_not, budget)
        self._run, self._size = run, 0.0
        self.recording.note(0, run.snapshot())

    def watched(self, step_size: Callable[[int], Any]) -> Callable[[int], Any]:
        """`step_size`, with its answers noted."""

        def noted(epoch: int) -> Any:
            self._size = step_size(epoch)
            return self._size

        return noted

    def __call__(self, event: Event) -> None:
        self.recording.note(event.epoch, self._run.snapshot(), self._size)

    def snapshot(self) -> Snapshot:
        """As Recording.snapshot."""
        return self.recording.snapshot()

    def restore(self, data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """As Recording.restore."""
        self.recording.restore(data, arrays)
