"""Floor 2, engine: how many threads may run."""

from __future__ import annotations

import os
import warnings
from typing import Any


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


def enough_threads(worth: int, n_threads: int | None) -> int:
    """How many of the available threads (or of n_threads) to use, where the work is worth so many."""
    if worth <= 1:
        return 1  # without asking the system, which takes longer than a row
    return max(1, min(available_threads() if n_threads is None else n_threads, worth))


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
