"""Floor 3, training: how far a training has come: its history, and the best weights so far by what is watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .history import Event, History
from .interrupts import Held, Window


@dataclass(frozen=True)
class Watched:
    """What the held-out rows say of one w: their loss, a score, and further numbers by name for the history.

    Where they are only looked at and do not choose the weights that are kept, `decides` is False.
    """

    loss: float | None = None
    score: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    decides: bool = True

    @property
    def goodness(self) -> float:
        """What is compared, higher is better: the score where there is one, else −loss; NaN where there is neither."""
        if not self.decides:
            return float("nan")
        if self.score is not None:
            return float(self.score)
        return float("nan") if self.loss is None else -float(self.loss)

    def better_than(self, other: Watched | None) -> bool:
        """Is it strictly better? NaN is never better; everything else is better than None.

        >>> Watched(loss=0.5).better_than(Watched(loss=0.6)), Watched(score=float("nan")).better_than(None)
        (True, False)
        """
        if np.isnan(self.goodness):
            return False
        return other is None or self.goodness > other.goodness


class Progress:
    """The record of one training, whatever moves its weights: call `begin` before every epoch, `finish` after it.

    `watch(w)` looks at held-out rows; the best w by it is kept. A method that SciPy or another library drives keeps
    its record with this class alone, from that library's callback.
    """

    def __init__(self, n_epochs: int, watch: Callable[[np.ndarray], Watched] | None = None):
        self.n_epochs, self.watch = n_epochs, watch
        self.history = History()
        self.best: Watched | None = None
        self.best_epoch = 0  # 0: none was the best yet
        self.seconds, self.rows = 0.0, 0
        self._best_w: np.ndarray | None = None
        self.begin()

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.history)

    def start_from(self, best: Watched, w: np.ndarray) -> None:
        """The best so far is that of an earlier training, with weights w."""
        self.best, self._best_w = best, w.copy()

    def begin(self) -> None:
        """An epoch, or several that are done at once, begins now."""
        self._began, self._before = time.perf_counter(), self.seconds

    def finish(
        self, w: np.ndarray, *, loss: float, penalty: float, rows: int, step_size: float, part: float = 1.0
    ) -> Event:
        """An epoch over `rows` rows is done, which left `w`: look at the held-out rows, record and return the event.

        part : of the time since `begin` that had passed when it ended, where several were done at once
        """
        seen = self._look(w)
        is_best = seen.better_than(self.best)
        event = Event(
            epoch=self.epoch + 1,
            n_epochs=self.n_epochs,
            loss=float(loss),
            penalty=float(penalty),
            seconds=self._before + part * (time.perf_counter() - self._began),
            rows=self.rows + rows,
            step_size=float(step_size),
            validation_loss=None if seen.loss is None else float(seen.loss),
            validation_score=None if seen.score is None else float(seen.score),
            is_best=is_best,
            scores={name: float(value) for name, value in seen.scores.items()},
        )
        with Held():  # the best weights, their epoch and the history belong together
            self.history.add(event)
            self.seconds, self.rows = event.seconds, event.rows
            if is_best:
                self.best, self.best_epoch, self._best_w = seen, event.epoch, w.copy()
        return event

    def _look(self, w: np.ndarray) -> Watched:
        if self.watch is None:
            return Watched()
        with Window():
            return self.watch(w)

    def settle(self, w: np.ndarray) -> int:
        """Put the best weights into w, if any were; the epoch whose weights are there now (0: as training began)."""
        if self._best_w is not None:
            w[...] = self._best_w
        return self.best_epoch or self.epoch

    def snapshot(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(plain data, arrays) that `restore` puts back."""
        data = {
            "history": self.history.snapshot()[0],
            "best": None if self.best is None else vars(self.best) | {"scores": dict(self.best.scores)},
            "best_epoch": self.best_epoch,
            "seconds": self.seconds,
            "rows": self.rows,
        }
        return data, {} if self._best_w is None else {"best_w": self._best_w}

    def restore(self, data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Stand where `snapshot` stood."""
        self.history.restore(data["history"], {})
        self.best = None if data["best"] is None else Watched(**data["best"])
        self.best_epoch = int(data["best_epoch"])
        self.seconds, self.rows = float(data["seconds"]), int(data["rows"])
        self._best_w = arrays.get("best_w")
