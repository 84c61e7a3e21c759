"""Floor 4, estimators: one call of fit: what it is asked beside the parameters, and what its starts share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from chainrule.training import Checkpointer, EvaluationJournal, MaxTime, ProgressBar

from .follower import warn
from .heldout import HeldOut, split_off

# What warns of how a training ended: it is called once the fit is over.
LastWord = Callable[[], Any]
say_interrupted: LastWord = partial(warn, "Training interrupted by user.")


@dataclass
class Job:
    """What a fit is asked beside the parameters: the rows as they were given, sets to watch, where checkpoints go; and
    what the starts of a fit have in common.
    """

    X: Any
    y: Any
    incremental: bool = False
    sets: list[HeldOut] = field(default_factory=list)
    checkpoint: Checkpointer | None = None
    journal: EvaluationJournal | None = None
    objective: Any = None  # what the journal asks where it has no answer
    metadata: dict[str, Any] = field(default_factory=dict)
    starts: int = 1
    start: int = 1  # the number of the one that is made
    task: Any = None  # of the whole fit, for scikit-learn's callbacks, where it has several starts
    was_ended: bool = False  # by somebody: no start follows
    _parts: tuple[Any, ...] = ()
    _limit: MaxTime | None = None

    def split(self, model: Any, X: Any, Y: np.ndarray, weights: Any) -> tuple[Any, np.ndarray, Any]:
        """(X, Y, weights to train on), the rest in `sets`: drawn by the first start, of all starts the same."""
        if model.early_stopping and not (self.sets or self._parts):
            self._parts = split_off(model, X, Y, weights)
        if not self._parts:
            return X, Y, weights
        *trained, held = self._parts
        self.sets = [held]
        return trained[0], trained[1], trained[2]

    def time_limit(self, model: Any) -> list[MaxTime]:
        """The rule of `max_time`, if there is one: the starts share it."""
        if self._limit is None and model.max_time:
            self._limit = MaxTime(model.max_time)
        return [] if self._limit is None else [self._limit]

    @property
    def goes_on(self) -> bool:
        """Whether another start may follow."""
        return not (self.was_ended or (self._limit is not None and self._limit.is_over))

    @property
    def title(self) -> str:
        """Which start this is, where there are several."""
        return f"start {self.start} of {self.starts}" if self.starts > 1 else ""

    def bar(self, model: Any) -> AbstractContextManager[ProgressBar | None]:
        """The progress bar, where one is asked for."""
        words = [type(model).__name__, *([self.title] if self.title else [])]
        return ProgressBar(", ".join(words)) if model.progress else nullcontext()
