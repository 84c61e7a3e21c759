"""Floor 3, training: what was seen, epoch by epoch, as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Event:
    """One finished epoch.

    `loss` is the mean over rows of the training loss, each batch as it was before its step; `penalty` what was added
    to it. `validation_loss` and `validation_score` are of the held-out rows with the weights after the epoch.
    """

    epoch: int  # from 1
    n_epochs: int  # at most so many
    loss: float
    penalty: float
    seconds: float  # since training began
    rows: int  # seen since training began
    step_size: float  # at the end of the epoch
    validation_loss: float | None = None
    validation_score: float | None = None
    is_best: bool = False  # the best so far, by what the run watches


class History:
    """The events of one training, as columns.

    >>> h = History()
    >>> h.add(Event(epoch=1, n_epochs=9, loss=0.5, penalty=0.0, seconds=0.1, rows=10, step_size=0.01))
    >>> h["loss"], len(h)
    ([0.5], 1)
    """

    names = tuple(field.name for field in fields(Event) if field.name != "n_epochs")

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, event: Event) -> None:
        self.events.append(event)

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self.names:
            raise KeyError(f"the history has no {name!r}; it has {', '.join(self.names)}")
        return [getattr(event, name) for event in self.events]

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def columns(self) -> dict[str, list[Any]]:
        """Every column that was recorded."""
        return {name: self[name] for name in self.names if any(v is not None for v in self[name])}

    @classmethod
    def from_columns(cls, columns: dict[str, list[Any]]) -> History:
        """The history that `columns` gave."""
        history = cls()
        n = len(columns.get("epoch", []))
        for i in range(n):
            known = {name: values[i] for name, values in columns.items() if name in cls.names}
            history.add(Event(**{"n_epochs": n, **known}))
        return history

    def rows(self) -> list[dict[str, Any]]:
        return [asdict(event) for event in self.events]

    def __repr__(self) -> str:
        if not self.events:
            return "History(no epochs)"
        last = self.events[-1]
        seen = "" if last.validation_loss is None else f", validation loss {last.validation_loss:.6g}"
        return f"History({len(self)} epochs, last loss {last.loss:.6g}{seen})"
