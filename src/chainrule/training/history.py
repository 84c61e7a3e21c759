"""Floor 3, training: what was seen, epoch by epoch, as plain data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Event:
    """One finished epoch.

    `loss` is the mean over rows of the training loss, each batch as it was before its step; `penalty` what was added
    to it. `validation_loss` and `validation_score` are of the held-out rows with the weights after the epoch; `scores`
    are further numbers by name, of any set of rows.
    """

    epoch: int  # from 1
    n_epochs: int  # at most so many
    loss: float
    penalty: float
    seconds: float  # spent in epochs and on held-out rows since training began; time between events is not counted
    rows: int  # seen since training began
    step_size: float  # at the end of the epoch
    validation_loss: float | None = None
    validation_score: float | None = None
    is_best: bool = False  # the best so far, by what the run watches
    scores: Mapping[str, float] = field(default_factory=dict)

    def numbers(self) -> dict[str, float]:
        """What a logger writes down: every number of the epoch by name, those that are missing left out.

        >>> Event(2, 9, loss=0.5, penalty=0.0, seconds=2.0, rows=30, step_size=0.1, scores={"r2": 0.75}).numbers()
        {'loss': 0.5, 'penalty': 0.0, 'seconds': 2.0, 'rows': 30.0, 'step_size': 0.1, 'r2': 0.75}
        """
        own = {name: getattr(self, name) for name in COLUMNS if name not in ("epoch", "is_best")}
        return {name: float(value) for name, value in (own | dict(self.scores)).items() if value is not None}


# The columns that every history has; named scores are columns after them.
COLUMNS = tuple(f.name for f in fields(Event) if f.name not in ("n_epochs", "scores"))
_RESERVED = {f.name for f in fields(Event)}


class History:
    """The events of one training, as columns.

    `history[name]` is a list with one entry an epoch: the fields of `Event` and every named score (None where an epoch
    did not have it). `columns()` is what pandas makes a table of; `to_json()` the same in strict JSON, which
    `from_columns` reads back exactly.

    >>> h = History()
    >>> h.add(Event(epoch=1, n_epochs=9, loss=0.5, penalty=0.0, seconds=0.1, rows=10, step_size=0.01))
    >>> h.add(Event(2, 9, 0.25, 0.0, 0.2, 20, 0.01, scores={"validation_accuracy": 0.9}))
    >>> h["loss"], h["validation_accuracy"], len(h)
    ([0.5, 0.25], [None, 0.9], 2)
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        self._n_epochs: list[int] = []

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._columns)

    @property
    def events(self) -> list[Event]:
        """The events again, one an epoch."""
        return list(self)

    def add(self, event: Event) -> None:
        """Append an event; a score with the name of a field of events is a ValueError."""
        own, scores = vars(event), event.scores
        if scores:
            taken = _RESERVED.intersection(scores)
            if taken:
                raise ValueError(f"a score may not be called {min(taken)!r}: every history has a column of that name")
            for name in scores.keys() - self._columns.keys():
                self._columns[name] = [None] * len(self)
        for name, column in self._columns.items():
            value = own[name] if name in own else scores.get(name)
            column.append(value.item() if isinstance(value, np.generic) else value)
        self._n_epochs.append(int(event.n_epochs))

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self._columns:
            raise KeyError(f"the history has no {name!r}; it has {', '.join(self.names)}")
        return list(self._columns[name])

    def __len__(self) -> int:
        return len(self._n_epochs)

    def __iter__(self) -> Iterator[Event]:
        named = [name for name in self._columns if name not in COLUMNS]
        for i, n_epochs in enumerate(self._n_epochs):
            own = {name: self._columns[name][i] for name in COLUMNS}
            scores = {name: self._columns[name][i] for name in named if self._columns[name][i] is not None}
            yield Event(n_epochs=n_epochs, scores=scores, **own)

    def columns(self) -> dict[str, list[Any]]:
        """Every column in which something was recorded."""
        return {name: list(values) for name, values in self._columns.items() if any(v is not None for v in values)}

    def to_json(self) -> dict[str, list[Any]]:
        """As `columns()`, with `n_epochs`, and NaN and infinities as strict JSON can hold them."""
        return to_json(self.columns() | {"n_epochs": list(self._n_epochs)}) if len(self) else {}

    @classmethod
    def from_columns(cls, columns: Mapping[str, list[Any]]) -> History:
        """The history that `columns()` or `to_json()` gave; columns of different lengths are a ValueError."""
        given: dict[str, list[Any]] = from_json(dict(columns))
        lengths = {len(values) for values in given.values()}
        if len(lengths) > 1:
            raise ValueError(f"the columns of a history must be of one length, got {sorted(lengths)}")
        history, n = cls(), lengths.pop() if lengths else 0
        history._n_epochs = list(given.pop("n_epochs", [n] * n))
        history._columns = {name: list(given.pop(name, [None] * n)) for name in COLUMNS}
        history._columns |= {name: list(values) for name, values in given.items()}
        return history

    def snapshot(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(plain data, arrays) that `restore` puts back."""
        return {"columns": {k: list(v) for k, v in self._columns.items()}, "n_epochs": list(self._n_epochs)}, {}

    def restore(self, data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Become what `snapshot` saw."""
        self._columns = {name: list(values) for name, values in data["columns"].items()}
        self._n_epochs = list(data["n_epochs"])

    def rows(self) -> list[dict[str, Any]]:
        """One dict an epoch."""
        return [
            {"n_epochs": n, **{name: column[i] for name, column in self._columns.items()}}
            for i, n in enumerate(self._n_epochs)
        ]

    def __repr__(self) -> str:
        if not len(self):
            return "History(no epochs)"
        loss, seen = self._columns["loss"][-1], self._columns["validation_loss"][-1]
        said = "" if seen is None else f", validation loss {seen:.6g}"
        return f"History({len(self)} epochs, last loss {loss:.6g}{said})"


def _number(value: Any) -> Any:
    """A NumPy number as Python's, anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def to_json(value: Any) -> Any:
    """Plain data that strict JSON can hold: NumPy numbers as Python's, tuples as lists, NaN as {"float": "nan"}.

    >>> to_json({"loss": [0.5, float("inf")]})
    {'loss': [0.5, {'float': 'inf'}]}
    """
    value = _number(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} is not plain data: {value!r:.60}")


def from_json(value: Any) -> Any:
    """What `to_json` was given, but for tuples."""
    if isinstance(value, dict):
        if value.keys() == {"float"} and isinstance(value["float"], str):
            return float(value["float"])
        return {key: from_json(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [from_json(entry) for entry in value]
    return value
