"""Floor 3, training: the loop as a generator of events, one per epoch.

Bars, histories, early stopping, checkpoints and callbacks are consumers of the events; none of them is known here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from chainrule.descent import DivergenceError
from chainrule.engine import Run

from .history import Event, History


@dataclass(frozen=True)
class Watched:
    """What the held-out rows say of one w; `value` is what is compared, lower is better."""

    loss: float | None = None
    score: float | None = None

    def better_than(self, other: Watched | None) -> bool:
        """A score (higher is better) decides where there is one, else the loss (lower is better)."""
        if other is None:
            return True
        if self.score is not None and other.score is not None:
            return self.score > other.score
        return self.loss is not None and other.loss is not None and self.loss < other.loss


@dataclass
class Training:
    """One training: a run, the order of rows and the step sizes of each epoch, and what to watch.

    `order()` gives the row numbers of the next epoch (or an empty array: as they are), `step_size(epoch)` one number
    or one a step (epoch from 0), `watch(w)` looks at held-out rows.
    """

    run: Run
    n_epochs: int
    order: Callable[[], np.ndarray]
    step_size: Callable[[int], float | np.ndarray]
    watch: Callable[[np.ndarray], Watched] | None = None


@dataclass
class Outcome:
    """How a training ended: its history, why it stopped, the epoch whose weights are kept."""

    history: History
    stopped_because: str
    best_epoch: int
    interrupted: bool = False


def events(training: Training) -> Generator[Event, None, None]:
    """Train, yielding after every epoch; between two yields w stands still, closing the generator stops.

    Raises DivergenceError when the loss or a weight is NaN or infinite, with the weights of the last good epoch put
    back.
    """
    run = training.run
    start = time.perf_counter()
    last_good = run.w.copy()
    best: Watched | None = None
    for epoch in range(training.n_epochs):
        sizes = training.step_size(epoch)
        with np.errstate(all="ignore"):
            loss, penalty = run.epochs(np.asarray(training.order(), np.int64)[None], sizes)[0]
        if not (np.isfinite(loss) and np.isfinite(penalty) and np.isfinite(run.w).all()):
            run.w[:] = last_good
            raise DivergenceError(_advice(epoch + 1, float(loss), float(np.max(sizes))))
        last_good[:] = run.w
        event = Event(
            epoch=epoch + 1,
            n_epochs=training.n_epochs,
            loss=float(loss),
            penalty=float(penalty),
            seconds=time.perf_counter() - start,
            rows=(epoch + 1) * run.n_rows,
            step_size=float(np.ravel(sizes)[-1]),
        )
        if training.watch is not None:
            seen = training.watch(run.w)
            is_best = seen.better_than(best)
            best = seen if is_best else best
            event = replace(event, validation_loss=seen.loss, validation_score=seen.score, is_best=is_best)
        yield event


def _advice(epoch: int, loss: float, step: float) -> str:
    what = f"the training loss became {loss}" if not np.isfinite(loss) else "a weight became infinite or NaN"
    return (
        f"training diverged in epoch {epoch}: {what}. The step size was {step:g}: try a tenth of it. If that does not "
        "help, scale the inputs and targets to about −1 … 1. The weights of the last good epoch were kept."
    )


def run(
    training: Training,
    emit: Callable[[Event], None] = lambda event: None,
    rules: Sequence[Callable[[Event], str | None]] = (),
) -> Outcome:
    """Train to the end, or until a rule gives a reason; the best weights are put back where rows were held out.

    Ctrl-C ends the training and keeps the best so far (without held-out rows: the last); the outcome says so.
    """
    history, best_w, best_epoch = History(), training.run.w.copy(), 0
    reason, interrupted = f"all {training.n_epochs} epochs were done", False
    try:
        for event in events(training):
            history.add(event)
            if event.is_best:
                best_w[:], best_epoch = training.run.w, event.epoch
            emit(event)
            found = next((said for rule in rules if (said := rule(event))), None)
            if found:
                reason = found
                break
    except KeyboardInterrupt:
        reason, interrupted = "you interrupted it", True
    if best_epoch:
        training.run.w[:] = best_w
    return Outcome(history, reason, best_epoch or len(history), interrupted)
