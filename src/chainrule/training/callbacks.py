"""Floor 3, training: consumers of events: the progress bar."""

from __future__ import annotations

from typing import Any

from .history import Event


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
        self._description = description
        self._task: Any = None

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        if self._task is None:
            self._task = self._progress.add_task(self._description, total=event.n_epochs, numbers="")
        self._progress.update(self._task, completed=event.epoch, numbers=describe(event))


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
