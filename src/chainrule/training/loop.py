"""Floor 3, training: the loop as a generator of events, one per epoch.

Bars, histories, early stopping, checkpoints and callbacks are consumers of the events; none of them is known here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from chainrule.descent import DivergenceError

from .callbacks import Consumer, ask, epochs_at_once
from .checkpoint import Checkpointer
from .history import Event, History
from .interrupts import Held, Window
from .progress import Progress, Watched

# Epochs are done at once that take about this long together: nobody sees that their events come later.
_AT_ONCE_SECONDS = 0.05


class Trainee(Protocol):
    """What the loop moves: `chainrule.engine.Run`, or any other method that has these.

    `epochs` moves w through one epoch for each line of row numbers and returns (mean loss, mean penalty) for each.
    While it runs, it calls `at_slice` (if set) at moments where it may be broken off by an exception. `snapshot` copies
    all that `epochs` moves as (plain data, arrays); `restore` puts it back.
    """

    w: np.ndarray
    at_slice: Callable[[], None] | None

    @property
    def n_rows(self) -> int: ...
    @property
    def steps_per_epoch(self) -> int: ...
    def epochs(self, orders: np.ndarray, step_sizes: Any) -> np.ndarray: ...
    def snapshot(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]: ...
    def restore(self, data: dict[str, Any], arrays: dict[str, np.ndarray]) -> None: ...


@dataclass
class Training:
    """One training: a run, the order of rows and the step sizes of each epoch, and what to watch.

    `order()` gives the row numbers of the next epoch (or an empty array: as they are), `step_size(epoch)` one number
    or one a step (epoch from 0), `watch(w)` looks at held-out rows. `progress` is how far it has come.
    """

    run: Trainee
    n_epochs: int
    order: Callable[[], np.ndarray]
    step_size: Callable[[int], float | np.ndarray]
    watch: Callable[[np.ndarray], Watched] | None = None
    progress: Progress = field(init=False)
    drawn: list[np.ndarray] = field(default_factory=list, init=False)  # orders of epochs that were taken back

    def __post_init__(self) -> None:
        self.progress = Progress(self.n_epochs, self.watch)

    def next_order(self) -> np.ndarray:
        """The order of rows of the next epoch."""
        return self.drawn.pop(0) if self.drawn else np.asarray(self.order(), np.int64)

    @property
    def history(self) -> History:
        """What was seen so far; it is here also when training ended by an exception."""
        return self.progress.history

    @property
    def weights(self) -> np.ndarray:
        """The weights that are watched and kept: the running average where the run makes one, else w."""
        return getattr(self.run, "result", self.run.w)

    def settle(self) -> int:
        """Leave in w what is to be kept: the best weights where held-out rows chose, else the last ones."""
        self.run.w[...] = self.weights
        return self.progress.settle(self.run.w)


@dataclass
class Outcome:
    """How a training ended: its history, why it stopped, the epoch whose weights are kept."""

    history: History
    stopped_because: str
    best_epoch: int
    interrupted: bool = False


def events(training: Training) -> Generator[Event, None, None]:
    """Train, yielding after every epoch that remains; between two yields w stands still, closing the generator stops.

    Called again on the same training, it goes on where the other one stopped. An epoch that does not come to its end
    (Ctrl-C, an error of `watch`, divergence) is taken back: the run is then as that epoch found it. Ctrl-C waits for
    the end of a slice of the kernel's work, at most about 0.2 s.

    Raises DivergenceError when the loss or a weight is NaN or infinite.
    """
    for (event,) in _stretches(training, lambda: 1):
        yield event


def _stretches(training: Training, at_once: Callable[[], int]) -> Generator[list[Event], None, None]:
    """As `events`, of as many epochs at a time as nobody minds, while these are short: their events, w that of the
    last. Where one of them diverges, all are taken back and done again one after another, up to that one."""
    progress, seconds = training.progress, math.inf
    while progress.epoch < training.n_epochs:
        count = 1
        if not (training.drawn or progress.watch):
            count = min(at_once(), training.n_epochs - progress.epoch, int(_AT_ONCE_SECONDS / seconds))
        began, count = progress.seconds, max(1, count)
        with Held() as held:
            try:
                found = _stretch(training, held, count)
            except DivergenceError:
                if count == 1:
                    raise
                continue
        seconds = max((progress.seconds - began) / count, 1e-9)
        yield found


def _stretch(training: Training, held: Held, count: int) -> list[Event]:
    run, progress, orders = training.run, training.progress, list[np.ndarray]()
    done, before = progress.epoch, run.snapshot()
    progress.begin()
    run.at_slice = held.deliver
    try:
        sizes = [np.asarray(training.step_size(done + k), float) for k in range(count)]
        while len(orders) < count:
            orders.append(training.next_order())
        of_steps = np.empty((count, run.steps_per_epoch))
        for k, size in enumerate(sizes):
            of_steps[k] = size
        with np.errstate(all="ignore"):
            tally = run.epochs(np.array(orders), of_steps.ravel())
        if not (np.isfinite(tally).all() and np.isfinite(run.w).all()):
            raise DivergenceError(_advice(done + 1, float(tally[0, 0]), float(np.max(sizes[0]))))
        w, rows, parts = training.weights, run.n_rows, [(k + 1) / count for k in range(count)]
        return [
            progress.finish(w, loss=loss, penalty=penalty, rows=rows, step_size=step.flat[-1], part=part)
            for (loss, penalty), step, part in zip(tally, sizes, parts, strict=True)
        ]
    except BaseException:
        training.drawn[:0] = orders
        run.restore(*before)
        raise
    finally:
        run.at_slice = None


def _advice(epoch: int, loss: float, step: float) -> str:
    what = f"the training loss became {loss}" if not math.isfinite(loss) else "a weight became infinite or NaN"
    return (
        f"training diverged in epoch {epoch}: {what}. The step size was {step:g}: try a tenth of it. If that does not "
        "help, scale the inputs and targets to about −1 … 1. The weights from before it were kept."
    )


def run(
    training: Training,
    emit: Consumer | None = None,
    rules: Sequence[Consumer] = (),
    checkpoint: Checkpointer | None = None,
) -> Outcome:
    """Train to the end, or until a consumer of the events says stop: `emit`, then each of `rules`, sees every event.

    However it ends, by Ctrl-C or an error of a consumer too, w holds whole weights: the best ones where rows were held
    out, else those of the last finished epoch; `training.history` has what was seen.

    Consumers that say how many epochs may pass before they look (see `epochs_at_once`) see several short ones together.

    `checkpoint` is written at epoch ends and when training ends, and is where a resumed training starts.
    """
    consumers = [*([] if emit is None else [emit]), *rules]
    at_once = (lambda: epochs_at_once(consumers)) if checkpoint is None else (lambda: 1)
    interrupted, reason = False, f"all {training.n_epochs} epochs were done"
    if checkpoint is not None:
        checkpoint.follow(run=training.run, progress=training.progress)
        waiting: list[Any] = [rule for rule in rules if hasattr(rule, "snapshot")]
        checkpoint.follow(**{f"rule {k}": rule for k, rule in enumerate(waiting)})
        checkpoint.restore()
        if checkpoint.ended:
            return Outcome(training.history, checkpoint.ended, training.settle())
    with Held() as held:
        try:
            with closing(_stretches(training, at_once)) as stream:
                for *before, event in stream:
                    for earlier in before:  # Ctrl-C waits meanwhile: w has gone further
                        ask(consumers, earlier)
                    with Window():
                        said = ask(consumers, event)
                    if checkpoint is not None:
                        last = reason if event.epoch == training.n_epochs else None
                        checkpoint.epoch_ended(event.epoch, ended=said.final or last)
                    held.deliver()
                    if said:
                        reason = said.reason
                        break
        except KeyboardInterrupt:
            interrupted, reason = True, "you interrupted it"
        finally:
            kept = training.settle()
            if checkpoint is not None:
                checkpoint.flush()
    return Outcome(training.history, reason, kept, interrupted)
