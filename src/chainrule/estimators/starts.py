"""Floor 4, estimators: one fit from several first weights, of which the one that ends best is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from chainrule.descent import SECOND_ORDER, DivergenceError

from .settings import second_order, solver_name
from .solvers import Job, Said


def fit_starts(model: Any, job: Job, count: int, fit: Callable[[], Said | None]) -> Said | None:
    """Call `fit`, which makes a network and trains it, `count` times; the model is then as the best one left it.

    A start whose numbers overflow counts as the worst; where all of them do, the last one's error is raised. Ctrl-C,
    callbacks and the time limit end the whole fit: what follows the start that they ended is left out. What is
    returned, to be said at the end, is that of the start that is kept, or that somebody ended.
    """
    if count == 1:
        said = fit()
        model.starts_ = [_end(model)]
        return said
    given = {"estimator": model, "X": job.X, "y": job.y, "metadata": job.metadata}
    job.task = model._init_callback_context(max_subtasks=count)
    job.task.call_on_fit_task_begin(**given)
    ends: list[float] = []
    kept: dict[str, Any] | None = None
    said, best, failure = None, -math.inf, None
    try:
        while len(ends) < count and not (ends and _is_over(job)):
            ends.append(math.nan)
            job.title = f"start {len(ends)} of {count}"
            if model.verbose:
                print(job.title)
            try:
                heard = fit()
            except ValueError as why:
                if not isinstance(why.__cause__, DivergenceError):
                    raise
                failure = why
                continue
            ends[-1] = _end(model)
            good = _goodness(model, ends[-1])
            if kept is None or good > best:
                kept, said, best = dict(vars(model)), heard, good
            if job.is_over:
                said = heard
        if kept is None and failure is not None:
            raise failure
        return said
    finally:
        if kept is not None:
            vars(model).clear()
            vars(model).update(kept)
        model.starts_ = ends
        fitted = {name: value for name, value in vars(model).items() if name.endswith("_")}
        job.task.call_on_fit_task_end(**given, reconstruction_attributes=lambda: fitted)


def _is_over(job: Job) -> bool:
    return job.is_over or (job.limit is not None and job.limit.is_over)


def _chosen_by(model: Any) -> str:
    """What tells a better start: the score of held-out rows, a number that the solver reports, or the loss."""
    if getattr(model, "best_validation_score_", None) is not None:
        return "score"
    name = solver_name(model)
    return (second_order(model)[0].best_by if name in SECOND_ORDER else "") or "loss"


def _end(model: Any) -> float:
    """What the last start ended at."""
    by = _chosen_by(model)
    if by == "score":
        return float(model.best_validation_score_)
    if by == "loss":
        return float(getattr(model, "loss_", math.nan))  # none yet where it was interrupted at once
    return float(model.history_[by][-1]) if by in model.history_.names else math.nan


def _goodness(model: Any, end: float) -> float:
    """Higher is better; not a number is worst."""
    if math.isnan(end):
        return -math.inf
    return -end if _chosen_by(model) == "loss" else end
