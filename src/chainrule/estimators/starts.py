"""Floor 4, estimators: one fit from several first weights, of which the one that ends best is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from chainrule.descent import SECOND_ORDER, DivergenceError

from .job import Job, LastWord, say_interrupted
from .settings import second_order, solver_name
from .solvers import fitted_now


def fit_starts(model: Any, job: Job, fit: Callable[[], LastWord | None]) -> LastWord | None:
    """Call `fit`, which makes a network and trains it, for each start; the model is then as the best one left it.

    A start whose numbers overflow counts as the worst; where all of them do, the last one's error is raised. Ctrl-C and
    the time limit end the whole fit. What is returned, to be said at the end, is that of the start that is kept, or
    that it was interrupted.
    """
    model.__dict__.pop("starts_", None)
    if job.starts == 1:
        said = fit()
        model.starts_ = [_end(model)]
        return said
    given = {"estimator": model, "X": job.X, "y": job.y, "metadata": job.metadata}
    job.task = model._init_callback_context(max_subtasks=job.starts)
    job.task.call_on_fit_task_begin(**given)
    found = _Best(model)
    try:
        for number in range(1, job.starts + 1):
            if not job.goes_on:
                break
            job.start = number
            if model.verbose:
                print(job.title)
            found.try_out(fit)
        return found.last_word()
    except KeyboardInterrupt:  # between two trainings, or as one is made ready
        if found.is_empty:
            raise
        return say_interrupted
    finally:
        found.put_back()
        fitted = fitted_now(model, model.network_) if hasattr(model, "network_") else None
        more = {} if fitted is None else {"reconstruction_attributes": lambda: fitted}
        job.task.call_on_fit_task_end(**given, **more)


class _Best:
    """What each start ended at, and all that the best one left in the model."""

    def __init__(self, model: Any):
        self.model = model
        self.ends: list[float] = []
        self._kept: dict[str, Any] | None = None
        self._good = -math.inf
        self._said: LastWord | None = None
        self._failure: ValueError | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no start came to an end yet."""
        return self._kept is None

    def try_out(self, fit: Callable[[], LastWord | None]) -> None:
        """Make one start."""
        self.ends.append(math.nan)
        try:
            said = fit()
        except ValueError as why:
            if not isinstance(why.__cause__, DivergenceError):
                raise
            self._failure = why
            return
        self.ends[-1] = _end(self.model)
        good = _goodness(self.model, self.ends[-1])
        if self.is_empty or good > self._good:
            self._kept, self._good, self._said = dict(vars(self.model)), good, said
        if said is say_interrupted:
            self._said = said

    def last_word(self) -> LastWord | None:
        """What is to be said; where no start came to an end, the error of the last one."""
        if self.is_empty and self._failure is not None:
            raise self._failure
        return self._said

    def put_back(self) -> None:
        """The model as the best start left it, or as it is where none came to an end."""
        own = dict(vars(self.model)) if self._kept is None else self._kept
        self.model.__dict__ = own | {"starts_": self.ends}  # at once, whenever Ctrl-C comes


def _chosen_by(model: Any) -> str:
    """What tells a better start: the score of held-out rows, a number that the solver reports, or the loss."""
    name = solver_name(model)
    if model.early_stopping and name != "lbfgs":
        return "score"
    return (second_order(model)[0].best_by if name in SECOND_ORDER else "") or "loss"


def _end(model: Any) -> float:
    """What the last start ended at; NaN where it has no finite number, or was interrupted before it had one."""
    by = _chosen_by(model)
    if by == "score":
        end = model.best_validation_score_
    elif by == "loss":
        end = getattr(model, "loss_", math.nan)
    else:
        end = model.history_[by][-1] if by in model.history_.names else math.nan
    return float(end) if end is not None and math.isfinite(end) else math.nan


def _goodness(model: Any, end: float) -> float:
    """Higher is better; not a number is worst."""
    if math.isnan(end):
        return -math.inf
    return -end if _chosen_by(model) == "loss" else end
