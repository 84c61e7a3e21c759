"""Floor 2, engine: shards, workers and the barrier's bookkeeping."""

from __future__ import annotations

import os
import queue
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

# A kernel call returns at least this often, so that bars, Ctrl-C and time limits work.
SLICE_SECONDS = 0.2
# Numbers of threads are compared by slices of this length, so many of each at first, then one in so many slices.
_SAMPLE_SECONDS = 0.005
_SAMPLES = 3
_SLICES_BETWEEN_SAMPLES = 25


def available_threads() -> int:
    """How many threads may run: the affinity mask, bounded by OMP_NUM_THREADS."""
    try:
        n = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity mask to ask for
        n = os.cpu_count() or 1
    bound = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if bound.isdigit() and int(bound) >= 1:
        n = min(n, int(bound))
    return n


def check_threads(n_threads: Any) -> int:
    """The number of threads to use: None is what is available; more than that is clipped with a warning."""
    available = available_threads()
    if n_threads is None:
        return available
    if isinstance(n_threads, bool) or not hasattr(n_threads, "__index__") or int(n_threads) < 1:
        raise ValueError(f"n_threads must be a whole number ≥ 1, or None for all available; got {n_threads!r}")
    if int(n_threads) > available:
        warnings.warn(
            f"n_threads={int(n_threads)} is more than the {available} available; using {available}",
            RuntimeWarning,
            stacklevel=3,
        )
    return min(int(n_threads), available)


class Pace:
    """How long the next slice of the work is, and on how many threads: what is faster is found out as the work goes on.

    The bits of a training do not depend on the number of threads, so it may change at any slice. A small network is
    faster on one thread, and so is any network on a machine whose processors others use: there every meeting of the
    threads waits for the one that was put aside.

    choices : numbers of threads to choose from
    first : units of work (steps) of the first slices
    """

    def __init__(self, choices: Sequence[int], first: int):
        self._choices, self._first = tuple(choices), max(1, first)
        self._rates: dict[int, float] = {}
        self._samples = dict.fromkeys(self._choices, 0)
        self._slices = 0

    def next(self) -> tuple[int, int]:
        """(threads, units of work) of the next slice."""
        waiting = [n for n in self._choices if self._samples[n] < _SAMPLES]
        if len(self._choices) > 1 and waiting:
            n = min(waiting, key=lambda n: (self._samples[n], -n))
            return n, self._units(n, _SAMPLE_SECONDS)
        best = max(self._choices, key=lambda n: self._rates.get(n, 0.0))
        self._slices += 1
        if len(self._choices) > 1 and self._slices % _SLICES_BETWEEN_SAMPLES == 0:
            others = [n for n in self._choices if n != best]
            other = others[self._slices // _SLICES_BETWEEN_SAMPLES % len(others)]
            return other, self._units(other, _SAMPLE_SECONDS)
        return best, self._units(best, SLICE_SECONDS)

    def _units(self, n: int, seconds: float) -> int:
        return max(1, int(self._rates[n] * seconds)) if n in self._rates else self._first

    def note(self, n: int, units: int, seconds: float) -> None:
        """What a slice took."""
        self._rates[n] = units / max(seconds, 1e-9)
        self._samples[n] += 1


# One function that a team runs: its answers (an error or None, one a thread), and a bell that is rung after each.
_Task = tuple[Callable[[int], Any], list[BaseException | None], queue.SimpleQueue]


class Team:
    """n threads that run one function together, `function(thread)` for thread 0 … n−1, while the caller waits.

    The caller is none of them (but of a team of one): Ctrl-C arrives between any two instructions of the main thread,
    and threads that wait for one another would wait for ever for one that it took away.
    """

    def __init__(self, n: int):
        self.n = n
        self._inbox: list[queue.SimpleQueue] = [queue.SimpleQueue() for _ in range(n if n > 1 else 0)]
        self._workers = [
            threading.Thread(target=self._work, args=(k, inbox), name=f"chainrule-{k}", daemon=True)
            for k, inbox in enumerate(self._inbox)
        ]
        for worker in self._workers:
            worker.start()

    @staticmethod
    def _work(thread: int, inbox: queue.SimpleQueue) -> None:
        last: _Task | None = None
        while (task := inbox.get()) is not None:
            if task is last:  # a caller that was interrupted sends it again, not knowing how far it had come
                continue
            function, answers, bell = last = task
            error: BaseException | None = None
            try:
                function(thread)
            except BaseException as raised:
                error = raised
            answers.append(error)
            bell.put(None)

    def run(self, function: Callable[[int], Any], n: int | None = None) -> None:
        """Run it on the first n threads (all by default) and wait for them; an error of any thread is raised here.

        An interruption is raised after all of them are done.
        """
        n = self.n if n is None else n
        if n == 1:
            function(0)
            return
        answers: list[BaseException | None] = []
        task: _Task = function, answers, queue.SimpleQueue()
        interruption: BaseException | None = None
        while len(answers) < n:
            try:
                for inbox in self._inbox[:n]:
                    inbox.put(task)
                while len(answers) < n:
                    task[2].get()
            except BaseException as raised:
                interruption = raised
        for error in (interruption, *answers):
            if error is not None:
                raise error

    def close(self) -> None:
        for inbox in self._inbox:
            inbox.put(None)
        for worker in self._workers:
            worker.join()

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
