"""Floor 2, engine: shards, workers, the barrier's bookkeeping, and BLAS held to one thread."""

from __future__ import annotations

import os
import queue
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


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


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


_blas_lock = threading.Lock()
_blas_users = 0
_blas_limit: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS runs on one thread inside: the limit is the process's, so users are counted and the last one lifts it."""
    global _blas_users, _blas_limit
    with _blas_lock:
        if _blas_users == 0:
            _blas_limit = _controller().limit(limits=1, user_api="blas")
        _blas_users += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas_users -= 1
            if _blas_users == 0:
                _blas_limit.restore_original_limits()


class Team:
    """n threads that run one function together, `function(thread)` for thread 0 … n−1; the caller is thread 0."""

    def __init__(self, n: int):
        self.n = n
        self._inbox: list[queue.SimpleQueue] = [queue.SimpleQueue() for _ in range(n - 1)]
        self._outbox: queue.SimpleQueue = queue.SimpleQueue()
        self._workers = [
            threading.Thread(target=self._work, args=(k + 1, inbox), name=f"chainrule-{k + 1}", daemon=True)
            for k, inbox in enumerate(self._inbox)
        ]
        for worker in self._workers:
            worker.start()

    def _work(self, thread: int, inbox: queue.SimpleQueue) -> None:
        while (function := inbox.get()) is not None:
            try:
                function(thread)
                self._outbox.put(None)
            except BaseException as error:
                self._outbox.put(error)

    def run(self, function: Callable[[int], Any]) -> None:
        """Run it on every thread and wait for all; an error of any thread is raised here."""
        for inbox in self._inbox:
            inbox.put(function)
        errors: list[BaseException | None] = []
        try:
            function(0)
        finally:
            errors = [self._outbox.get() for _ in self._workers]
        for error in errors:
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
