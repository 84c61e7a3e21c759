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

from .callbacks import Consumer, ask
from .checkpoint import Checkpointer
from .history import Event, History
from .interrupts import Held, Window
from .progress import Progress, Watched


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

    def __post_init__(self) -> None:
        self.progress = Progress(self.n_epochs, self.watch)

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
    while training.progress.epoch < training.n_epochs:
        with Held() as held:
            event = _epoch(training, held)
        yield event


def _epoch(training: Training, held: Held) -> Event:
    run, progress = training.run, training.progress
    done, before = progress.epoch, run.snapshot()
    progress.begin()
    run.at_slice = held.deliver
    try:
        sizes = training.step_size(done)
        order = np.asarray(training.order(), np.int64)
        with np.errstate(all="ignore"):
            loss, penalty = run.epochs(order[None], sizes)[0]
        if not (math.isfinite(loss) and math.isfinite(penalty) and np.isfinite(run.w).all()):
            raise DivergenceError(_advice(done + 1, float(loss), float(np.max(sizes))))
        step_size = np.asarray(sizes).flat[-1]
        return progress.finish(training.weights, loss=loss, penalty=penalty, rows=run.n_rows, step_size=step_size)
    except BaseException:
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

    `checkpoint` is written at epoch ends and when training ends, and is where a resumed training starts.
    """
    consumers = [*([] if emit is None else [emit]), *rules]
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
            with closing(events(training)) as stream:
                for event in stream:
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
