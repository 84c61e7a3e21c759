"""Floor 4, estimators: tables that are sparse or in another float width, made dense and cast by blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import issparse

from chainrule.engine import Plan, Run

# A block of dense rows takes about this much memory, or one batch if that is more.
BLOCK_BYTES = 32 << 20


def block_rows(columns: int, dtype: Any) -> int:
    """How many rows of so many numbers a block has."""
    return max(1, BLOCK_BYTES // max(1, columns * np.dtype(dtype).itemsize))


def dense_if_small(X: Any, dtype: Any) -> Any:
    """X as a dense array of `dtype` if it fits into one block; else X, with a sparse one by rows."""
    if X.shape[0] <= block_rows(X.shape[1], dtype):
        return _dense(X, dtype)
    return X.tocsr() if issparse(X) else X


def _dense(X: Any, dtype: Any) -> np.ndarray:
    return np.asarray(X.toarray() if issparse(X) else X, dtype)


def bare(X: Any) -> Any:
    """X as arrays and nothing else, to be hashed: a sparse table notes what it was asked before."""
    return (X.data, X.indices, X.indptr, X.shape) if issparse(X) else X


def row_blocks(X: Any, dtype: Any) -> Iterator[tuple[slice, np.ndarray]]:
    """(which rows, these rows dense in `dtype`): the whole of X where that needs no copy."""
    N = X.shape[0]
    needs_copy = issparse(X) or X.dtype != dtype
    size = block_rows(X.shape[1], dtype) if needs_copy else N
    for lo in range(0, N, size):
        rows = slice(lo, min(N, lo + size))
        yield rows, _dense(X[rows], dtype)


class SparseRun:
    """A Run over a sparse table: an epoch is made of blocks of whole batches, each made dense when its turn comes.

    The batches, and so the steps, are those of the dense table. It has what the training loop asks of a Run.
    """

    def __init__(self, plan: Plan, w: np.ndarray, X: Any, Y: np.ndarray, weights: Any, n_threads: int | None):
        self.plan, self._X, self._Y, self._weights = plan, X.tocsr(), Y, weights
        self._dtype = np.dtype(plan.dtype)
        batches = max(1, block_rows(X.shape[1], self._dtype) // plan.batch_size)
        self._size = min(X.shape[0], batches * plan.batch_size)
        self._run = Run(plan, w, *self._rows(slice(0, self._size)), n_threads)
        self.w, self.state, self.n_rows = w, self._run.state, X.shape[0]

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.n_rows // self.plan.batch_size)

    @property
    def t(self) -> int:
        return self._run.t

    @t.setter
    def t(self, steps: int) -> None:
        self._run.t = steps

    @property
    def at_slice(self) -> Any:
        return self._run.at_slice

    @at_slice.setter
    def at_slice(self, function: Any) -> None:
        self._run.at_slice = function

    @property
    def result(self) -> np.ndarray:
        return self._run.result

    def snapshot(self) -> Any:
        """As Run.snapshot."""
        return self._run.snapshot()

    def restore(self, numbers: Any, arrays: Any) -> None:
        """As Run.restore."""
        self._run.restore(numbers, arrays)

    def _rows(self, rows: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        weights = None if self._weights is None else np.ascontiguousarray(self._weights[rows], self._dtype)
        return _dense(self._X[rows], self._dtype), np.ascontiguousarray(self._Y[rows], self._dtype), weights

    def epochs(self, orders: np.ndarray, step_sizes: Any) -> np.ndarray:
        """As Run.epochs."""
        per_epoch = self.steps_per_epoch
        sizes = np.broadcast_to(np.asarray(step_sizes, float), len(orders) * per_epoch).reshape(len(orders), per_epoch)
        return np.array([self._epoch(*one) for one in zip(orders, sizes, strict=True)])

    def _epoch(self, order: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        run, tally, done = self._run, np.zeros(2), 0
        for lo in range(0, self.n_rows, self._size):
            hi = min(self.n_rows, lo + self._size)
            rows = order[lo:hi] if len(order) else slice(lo, hi)
            run.X, run.Y, weights = self._rows(rows)
            run.names = np.ascontiguousarray(order[lo:hi]) if len(order) else np.arange(lo, hi)
            if weights is not None:
                run.weights = weights
            steps = run.steps_per_epoch
            tally += len(run.X) * run.epochs(np.empty((1, 0), np.int64), sizes[done : done + steps])[0]
            done += steps
        return tally / self.n_rows

    def __enter__(self) -> SparseRun:
        return self

    def __exit__(self, *exc: object) -> None:
        self._run.close()


def open_run(plan: Plan, w: np.ndarray, X: Any, Y: np.ndarray, weights: Any, n_threads: int | None) -> Any:
    """The Run over X, dense or sparse."""
    return (SparseRun if issparse(X) else Run)(plan, w, X, Y, weights, n_threads)
