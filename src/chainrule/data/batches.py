"""Floor 1, data: splits of rows from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from .table import TableError


def split(n: int, fraction: float, *, seed: int, stratify: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """(rows to learn from, rows held out), each sorted; with `stratify` (N labels) every class keeps its share.

    Classes of a single row stay among the rows to learn from. Raises TableError where there are fewer than 2 rows.

    >>> [part.tolist() for part in split(5, 0.4, seed=0)]
    [[0, 1, 3], [2, 4]]
    """
    if n < 2:
        raise TableError(
            f"{n} row{'s' * (n != 1)} cannot be split into rows to learn from and rows to test on; "
            "at least 2 are needed"
        )
    if not 0 < fraction < 1:
        raise TableError(f"the held-out share must be between 0 and 1, got {fraction!r}")
    count = min(max(1, round(fraction * n)), n - 1)
    rng = np.random.default_rng(seed)
    if stratify is None:
        held = rng.permutation(n)[:count]
    else:
        held = _stratified(np.asarray(stratify), count, rng)
    mask = np.zeros(n, dtype=bool)
    mask[held] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def _stratified(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` rows, each class in proportion (largest remainders), one row of each at least left to learn from."""
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    exact = sizes * (count / len(labels))
    take = np.minimum(np.floor(exact).astype(int), sizes - 1)
    order = np.argsort(-(exact - take), kind="stable")
    while take.sum() < count:
        room = [k for k in order if take[k] < sizes[k] - 1]
        if not room:
            break
        for k in room[: count - int(take.sum())]:
            take[k] += 1
    chosen = [rng.permutation(np.flatnonzero(codes == k))[: take[k]] for k in range(len(sizes))]
    found = np.concatenate(chosen)
    if not found.size:  # every class has a single row
        found = rng.permutation(len(labels))[:count]
    return found
