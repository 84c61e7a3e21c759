"""Floor 2, engine: how many threads are worth it, for how long at a time, and the crew that runs a kernel together."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .columns import COUNTER_SIZE, TASKS
from .compiled import KERNELS, Kernel
from .plan import aligned

# A kernel call returns at least this often, so that bars, Ctrl-C and time limits work.
SLICE_SECONDS = 0.2
# Numbers of threads are compared by slices of this length, for so long: each at first, then another than the best after
# so many seconds, twice as many each time, since a trial may have met something else that ran.
_SAMPLE_SECONDS, _TRIAL_SECONDS = 0.005, 0.01
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
_SHARES_OF_SLOW = 0.1, 0.5


class Pace:
    """How long the next slice of the work is, and on how many threads: what is faster is found out as the work goes on.

    The bits of a training do not depend on the number of threads, so it may change at any slice. A small network is
    faster on one thread, and so is any network on a machine whose processors others use: there every meeting of the
    threads waits for the one that was put aside. The first slice after a change says little: threads wake up in it, and
    each processor fetches what the other had in its cache.

    choices : numbers of threads to choose from
    first : units of work (steps) of the first slices
    """

    def __init__(self, choices: Sequence[int], first: int):
        self._choices, self._first = tuple(choices), max(1, first)
        self._rates: dict[int, float] = {}
        self._now, self._before, self._best = self._choices[-1], 0, 0
        self._trial = _TRIAL_SECONDS if len(self._choices) > 1 else 0.0  # what is left of looking at `_now`
        self._since, self._wait, self._turn = 0.0, _FIRST_WAIT, 0

    def next(self) -> tuple[int, int]:
        """(threads, units of work) of the next slice."""
        if len(self._choices) > 1 and self._trial <= 0.0:
            self._choose()
        return self._now, self._units(self._now, _SAMPLE_SECONDS if self._trial > 0.0 else SLICE_SECONDS)

    def _choose(self) -> None:
        """What was not tried yet; or, from time to time, another than the best; or else the best."""
        untried = [n for n in self._choices if n not in self._rates]
        best = max(self._choices, key=lambda n: self._rates.get(n, 0.0))
        if best != self._best:
            self._best, self._wait = best, _FIRST_WAIT
        if untried:
            self._now, self._trial = untried[-1], _TRIAL_SECONDS
        elif self._since >= self._wait:
            others = [n for n in self._choices if n != best]
            self._now, self._trial = others[self._turn % len(others)], _TRIAL_SECONDS
            self._since, self._wait, self._turn = 0.0, min(2 * self._wait, _LONGEST_WAIT), self._turn + 1
        else:
            self._now = best

    def _units(self, n: int, seconds: float) -> int:
        return max(1, int(self._rates[n] * seconds)) if n in self._rates else self._first

    def note(self, n: int, units: float, seconds: float) -> None:
        """What a slice took. One that was slow counts for a part: it may have met another process. One that was very
        slow ends a trial, and counts for more: the others may be faster now."""
        self._since += seconds
        changed, self._before = n != self._before, n
        rate, before = units / max(seconds, 1e-9), self._rates.get(n, 0.0)
        lost = 2.0 * rate < max(self._rates.values(), default=0.0)
        if not changed or n not in self._rates:
            self._rates[n] = max(rate, before + _SHARES_OF_SLOW[lost] * (rate - before))
        if not changed or lost:
            self._trial = 0.0 if lost else self._trial - seconds


class _Task(NamedTuple):
    """What the first n threads of a crew do: its number, the machine code, its frame; and what that names."""

    number: int
    n: int
    code: Callable
    frame: bytes
    arguments: tuple


class _Gate:
    """What a crew and its workers share: the counter of their kernels, the task, who is asleep and how to wake them."""

    def __init__(self, n: int):
        self.counter = aligned((COUNTER_SIZE,), np.int64)
        self.task: _Task | None = None
        self.asleep = [False] * n
        self.bells: list[queue.SimpleQueue] = [queue.SimpleQueue() for _ in range(n)]

    def close(self) -> None:
        for bell in self.bells[1:]:
            bell.put(False)


def _serve(gate: _Gate, thread: int) -> None:
    """What a worker does: wait for the next task in compiled code for a moment, then asleep until a bell rings."""
    seen = 0
    while True:
        if KERNELS.wait_for_task(gate.counter, seen):
            seen = int(gate.counter[TASKS])
            task = gate.task
            # a task of fewer threads may be over by now, and the next one already laid out
            if task is not None and task.number == seen and thread < task.n:
                task.code(thread, task.n, task.frame)
            task = None  # holds no arrays while it sleeps
            continue
        gate.asleep[thread] = True
        # Either this sees the task that the crew laid out, or the crew sees that this is asleep.
        if (gate.task is None or gate.task.number <= seen) and not gate.bells[thread].get():
            return
        gate.asleep[thread] = False


class Crew:
    """n threads, of which the caller is the first, that run one kernel together after another.

    A kernel takes (thread, number of threads, counter, …), calls `enter` first and lets its threads `meet` last. The
    workers begin when thread 0 enters, in compiled code: Ctrl-C arrives between any two instructions of Python, and so
    before all of them begin or after all are done. Close it (or let it go) to end its threads.
    """

    def __init__(self, n: int):
        self.n = n
        self._gate = _Gate(n)
        self._workers: list[threading.Thread] = []
        if n > 1:
            KERNELS.wait_for_task(self._gate.counter, -1)  # compiled before any worker calls it
            self._workers = [
                threading.Thread(target=_serve, args=(self._gate, k), name=f"chainrule-{k}", daemon=True)
                for k in range(1, n)
            ]
            for worker in self._workers:
                worker.start()
        self._end = weakref.finalize(self, self._gate.close)

    def run(self, kernel: Kernel, arguments: tuple, n: int | None = None) -> None:
        """Run it on the first n threads (all by default); the first argument is a Net, or else an array."""
        n, gate = self.n if n is None else n, self._gate
        code, frame = kernel.prepared(arguments, gate.counter)
        if n == 1:
            kernel.checked(code(0, 1, frame))
            return
        try:
            gate.task = _Task(int(gate.counter[TASKS]) + 1, n, code, frame, arguments)
            for k in range(1, n):
                if gate.asleep[k]:
                    gate.bells[k].put(True)
            kernel.checked(code(0, n, frame))
        finally:
            gate.task = None

    def alone(self, kernel: Kernel, arguments: tuple) -> Callable[[], float]:
        """What runs it on this thread alone, again and again with the same arguments, whose contents may change."""
        code, frame = kernel.prepared(arguments, self._gate.counter)

        def run(kept: tuple = arguments) -> float:  # what the frame names must live
            return kernel.checked(code(0, 1, frame))

        return run

    def close(self) -> None:
        """End the threads."""
        self._end()
        for worker in self._workers:
            worker.join()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
