"""Floor 3, training: consumers of events: how they are asked, and the progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .history import Event

# A function of the event, or an object that can be called with it. True, or a text that says why, ends the training;
# whatever else it returns does not.
Consumer = Callable[[Event], Any]


@dataclass(frozen=True)
class Said:
    """Whether consumers want the training to end: why, and whether for good (not where a resumed one goes on)."""

    reason: str = ""
    for_good: bool = True

    def __bool__(self) -> bool:
        return bool(self.reason)

    @property
    def final(self) -> str | None:
        """The reason, if it is one for good."""
        return self.reason if self.reason and self.for_good else None


def ask(consumers: Iterable[Consumer], event: Event) -> Said:
    """Show the event to every consumer; what the first one said that wants the training to end.

    A consumer with a true attribute `pauses` (a time limit) ends this training only, not the resumed one.

    >>> event = Event(3, 9, loss=0.5, penalty=0.0, seconds=2.0, rows=3000, step_size=0.01)
    >>> ask([print, lambda event: event.loss < 1 and "good enough"], event).reason
    Event(epoch=3, n_epochs=9, loss=0.5, ...)
    'good enough'
    """
    found = Said()
    for consumer in consumers:
        reason = reason_of(consumer(event), consumer)
        if reason and not found:
            found = Said(reason, not getattr(consumer, "pauses", False))
    return found


def epochs_at_once(consumers: Iterable[Consumer]) -> int:
    """How many epochs may be done before their events are shown, all together: as few as any consumer says.

    A consumer's own method `epochs_at_once` says it: of so many it ends training after the last at the earliest, and
    the weights after the others are nothing to it. One without this method sees each epoch when it ends.

    >>> class Counts:
    ...     def __call__(self, event):
    ...         return event.epoch == 20
    ...     def epochs_at_once(self):
    ...         return 20
    >>> epochs_at_once([Counts()]), epochs_at_once([Counts(), print])
    (20, 1)
    """
    return min((getattr(consumer, "epochs_at_once", lambda: 1)() for consumer in consumers), default=1)


def reason_of(answer: Any, consumer: Any) -> str:
    """Why the consumer wants to stop, by its answer: its text, or its name where it answered True; '' to go on."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, bool | np.bool_) and answer:
        return f"the callback {getattr(consumer, '__qualname__', type(consumer).__name__)} asked for it"
    return ""


class ProgressBar:
    """A bar on standard error: epoch, loss, validation loss, rows per second, time left.

    Use it in a `with`, call it with every event. Where standard error is not a terminal nothing is drawn.
    """

    def __init__(self, description: str = "training"):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("epoch"),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=Console(stderr=True),
            transient=True,
            disable=not Console(stderr=True).is_terminal,
        )
        # Until the first event it only shows that something is going on.
        self._task = self._progress.add_task(description, total=None, numbers="")

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        self._progress.update(self._task, total=event.n_epochs, completed=event.epoch, numbers=describe(event))


def describe(event: Event) -> str:
    """The numbers of an event in one line.

    >>> describe(Event(3, 9, loss=0.5, penalty=0.0, seconds=2.0, rows=3000, step_size=0.01, validation_loss=0.25))
    'loss 0.5000 · validation 0.2500 · 1,500 rows/s'
    """
    parts = [f"loss {event.loss:.4f}"]
    if event.validation_loss is not None:
        parts.append(f"validation {event.validation_loss:.4f}")
    if event.validation_score is not None:
        parts.append(f"score {event.validation_score:.4f}")
    if event.seconds > 0:
        parts.append(f"{event.rows / event.seconds:,.0f} rows/s")
    return " · ".join(parts)
