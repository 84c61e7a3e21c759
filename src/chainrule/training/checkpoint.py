"""Floor 3, training: checkpoints at epoch ends, from which a killed training goes on to the same bits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from chainrule.files import FileError, load_arrays, save_arrays

from .fingerprint import Fingerprint
from .history import from_json, to_json

_KIND = "checkpoint"
# A forged file may not ask for more memory than a record of so many epochs.
_MOST_EPOCHS = 10_000_000


class CheckpointError(FileError):
    """A checkpoint that training cannot go on from, and why, in one sentence."""


class Participant(Protocol):
    """Whatever has a part in a training and changes with it.

    `snapshot` gives its state as (plain data, arrays), copied; `restore` takes the same back.
    """

    def snapshot(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]: ...
    def restore(self, data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None: ...


class Randomness:
    """The whole state of a NumPy generator (RandomState or Generator) as plain data.

    >>> rng = np.random.default_rng(0)
    >>> saved = Randomness(rng).snapshot()
    >>> first = rng.random()
    >>> Randomness(rng).restore(*saved)
    >>> rng.random() == first
    True
    """

    def __init__(self, generator: np.random.RandomState | np.random.Generator):
        self._generator = generator

    def _state(self) -> Any:
        if isinstance(self._generator, np.random.RandomState):
            return self._generator.get_state(legacy=False)
        return self._generator.bit_generator.state

    def snapshot(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(plain data, no arrays) that `restore` puts back."""
        return _walk(self._state(), lambda value: value.tolist() if isinstance(value, np.ndarray) else value), {}

    def restore(self, data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Draw from here on what would have been drawn after `snapshot`; another kind of generator is a ValueError."""
        own = self._state()["bit_generator"]
        if data["bit_generator"] != own:
            raise ValueError(f"the random numbers came from a {data['bit_generator']}, the generator here is a {own}")
        unsigned = np.uint32 if own == "MT19937" else np.uint64
        state = _walk(data, lambda value: np.array(value, unsigned) if isinstance(value, list) else value)
        if isinstance(self._generator, np.random.RandomState):
            self._generator.set_state(state)
        else:
            self._generator.bit_generator.state = state


def _walk(value: Any, change: Any) -> Any:
    return {k: _walk(v, change) for k, v in value.items()} if isinstance(value, dict) else change(value)


# The parts of a checkpoint's description that grow with training: their lists of numbers are kept as arrays, for as
# text an epoch would be written again with every epoch after it.
_MOVING = ("start", "participants")


def _packed(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Plain data, its lists of numbers of one kind moved into `arrays`; a list of None alone becomes its length."""
    if isinstance(value, Mapping):
        return {key: _packed(entry, arrays) for key, entry in value.items()}
    if not isinstance(value, list) or not value:
        return value
    kinds = set(map(type, value))
    if kinds == {type(None)}:
        return {"nothing": len(value)}
    if kinds not in ({float}, {int}, {bool}):
        return value
    name = f"list {len(arrays)}"
    arrays[name] = np.array(value)
    return {"list": name}


def _unpacked(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """What `_packed` was given."""
    if not isinstance(value, dict):
        return value
    if value.keys() == {"nothing"}:
        return [None] * min(int(value["nothing"]), _MOST_EPOCHS)
    if value.keys() == {"list"}:
        return arrays[value["list"]].tolist()
    return {key: _unpacked(entry, arrays) for key, entry in value.items()}


class Checkpointer:
    """One checkpoint file, `path`, written whole or not at all.

    Parameters
    ----------
    path : where; its folder must exist
    every : a checkpoint is written after so many epochs, and when training ends or Ctrl-C ends it
    resume : go on from the file if there is one; else begin anew, and the first checkpoint replaces it
    data : name -> array or None: the rows, targets, weights, held-out rows
    parameters : name -> value: all that the result depends on
    generator : the random numbers of the training; a resumed one is put to where it stood when this was made, so that
        first weights and splits come out as they did

    Raises CheckpointError if the file is damaged, is none, or was written with other data or parameters.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        every: int = 1,
        resume: bool = False,
        data: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        generator: np.random.RandomState | np.random.Generator | None = None,
    ):
        self.path = check_path(path)
        self.every = check_every(every)
        self.ended = ""  # why the training that wrote the file ended, if it did so for good
        self._fingerprint = Fingerprint.of(data or {}, parameters or {})
        self._participants: dict[str, Participant] = {}
        self._latest: tuple[dict[str, Any], dict[str, np.ndarray]] | None = None
        self._loaded: tuple[dict[str, Any], dict[str, np.ndarray]] | None = None
        self._start: Any = None
        if resume and self.path.exists():
            self._load()
        if generator is not None:
            randomness = Randomness(generator)
            self._start = start(randomness, self._loaded[0]["start"] if self._loaded else None, self.path)
            self.follow(generator=randomness)

    @property
    def resuming(self) -> bool:
        """Whether there was a file to go on from."""
        return self._loaded is not None

    def follow(self, **participants: Participant) -> None:
        """Make these part of the checkpoint, each by its name."""
        self._participants.update(participants)

    def restore(self) -> None:
        """Put every participant where the checkpoint has it; without a checkpoint nothing happens."""
        if self._loaded is None:
            return
        metadata, arrays = self._loaded
        parts = metadata["participants"]
        if parts.keys() != self._participants.keys():
            names = ", ".join(sorted(parts.keys() ^ self._participants.keys()))
            raise CheckpointError(f"cannot resume from {self.path}: the training there has other parts ({names})")
        for name, participant in self._participants.items():
            own = {k.removeprefix(f"{name}/"): array for k, array in arrays.items() if k.startswith(f"{name}/")}
            try:
                participant.restore(parts[name], own)
            except (KeyError, TypeError, ValueError) as error:
                raise CheckpointError(f"cannot resume from {self.path}: {name} does not fit: {error}") from error

    def epoch_ended(self, epoch: int, ended: str | None = None) -> None:
        """Note the state of all participants after an epoch; write it if its turn has come or training `ended`."""
        parts = {name: participant.snapshot() for name, participant in self._participants.items()}
        metadata = {
            "kind": _KIND,
            "epoch": epoch,
            "ended": ended or "",
            "start": self._start,
            "fingerprint": self._fingerprint.to_json(),
            "participants": {name: data for name, (data, _) in parts.items()},
        }
        arrays = {f"{name}/{k}": array for name, (_, own) in parts.items() for k, array in own.items()}
        self._latest = metadata, arrays
        if ended or epoch % self.every == 0:
            self.flush()

    def flush(self) -> None:
        """Write what was noted last, if it is not in the file yet."""
        if self._latest is not None:
            metadata, arrays = self._latest
            lists: dict[str, np.ndarray] = {}
            moving = {name: _packed(metadata[name], lists) for name in _MOVING}
            save_arrays(self.path, arrays | lists, to_json(metadata | moving))
            self._latest = None

    def _load(self) -> None:
        try:
            arrays, metadata = load_arrays(self.path)
        except FileError as error:
            raise CheckpointError(f"cannot resume: {error}") from error
        if metadata.get("kind") != _KIND:
            raise CheckpointError(f"cannot resume from {self.path}: it is a file of chainrule's, but no checkpoint")
        check_same(self.path, metadata, self._fingerprint)
        try:
            moving = {name: _unpacked(metadata[name], arrays) for name in _MOVING}
            self._loaded, self.ended = (from_json(metadata) | from_json(moving), arrays), metadata["ended"]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"cannot resume from {self.path}: its parts do not fit together: {error}") from error


def check_every(every: Any) -> int:
    """The number of epochs between two checkpoints, if it is one."""
    if isinstance(every, bool) or not hasattr(every, "__index__") or int(every) < 1:
        raise ValueError(f"every must be a whole number of epochs ≥ 1, got {every!r}")
    return int(every)


def check_path(path: str | os.PathLike) -> Path:
    """`path`, if a file can be written there; said before training, not after the first epochs."""
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"the checkpoint {path} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise CheckpointError(f"the folder of the checkpoint {path} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise CheckpointError(f"the folder of the checkpoint {path} cannot be written to")
    return path


def check_same(path: Path, written: Mapping[str, Any], now: Fingerprint) -> None:
    """Refuse to go on from a file, by its description, that belongs to another training."""
    try:
        different = Fingerprint(**written["fingerprint"]).differences(now)
    except (AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(f"cannot resume from {path}: it does not say which training it belongs to") from error
    if different:
        raise CheckpointError(
            f"cannot resume from {path}: it was written with {different}. Give the same again, or another checkpoint "
            "file, or resume=False to begin anew"
        )


def start(randomness: Randomness, written: Any, path: Path) -> Any:
    """The state from which a training's random numbers start; that of the file, where there is one, is put back."""
    if written is not None:
        try:
            randomness.restore(written, {})
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"cannot resume from {path}: {error}") from error
    return randomness.snapshot()[0]
