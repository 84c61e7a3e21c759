"""Floor 2, engine: predictions, the error and its gradient over whole tables, by the kernels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.network import Layout, Loss

from .plan import ROWS_AT_A_TIME, Wiring, aligned
from .run import _block
from .source import kernels
from .threads import Team, available_threads, one_blas_thread

# The rows of a table are cut into at most this many shards, each with a gradient of its own.
_MOST_SHARDS = 8
# Below this many multiplications a second thread costs more to start than it saves.
_WORTH_A_THREAD = 20_000_000


def _together(n: int, function: Callable[[int], object]) -> None:
    with one_blas_thread():
        if n == 1:
            function(0)
            return
        with Team(n) as team:
            team.run(function)


def _threads(layout: Layout, rows: int, n_threads: int | None, most: int) -> int:
    n = available_threads() if n_threads is None else n_threads
    return max(1, min(n, most, rows * layout.n_weights // _WORTH_A_THREAD))


def predict(layout: Layout, w: np.ndarray, X: np.ndarray, n_threads: int | None = None) -> np.ndarray:
    """ŷ (N × D_L) of every row of X (N × D_0)."""
    X = _block(X, w.dtype, layout.sizes[0], "X")
    rows = max(1, min(ROWS_AT_A_TIME, len(X)))
    wiring = Wiring(layout, None, rows, w.dtype)
    layers, size = wiring.for_prediction()
    n = _threads(layout, len(X), n_threads, -(-len(X) // rows))
    work = aligned((n, size), w.dtype)
    out = np.empty((len(X), layout.sizes[-1]), w.dtype)
    kernel = kernels().predict_rows
    _together(n, lambda thread: kernel(thread, n, w, layers, wiring.parameters, X, rows, work, out))
    return out


def _shards(N: int) -> np.ndarray:
    """Where each shard begins, and the end: by the number of rows alone."""
    count = max(1, min(_MOST_SHARDS, N // ROWS_AT_A_TIME))
    return np.linspace(0, N, count + 1).astype(np.int64)


class _Pass:
    """What one pass over all rows needs; the same for the error and for its gradient."""

    def __init__(self, layout, loss, w, X, Y, weights, n_threads):
        self.X = _block(X, w.dtype, layout.sizes[0], "X")
        self.Y = _block(Y, w.dtype, layout.sizes[-1], "Y")
        self.weights = np.zeros(0, w.dtype) if weights is None else np.array(weights, w.dtype)
        self.begins = _shards(len(X))
        self.S = len(self.begins) - 1
        self.rows = max(1, min(ROWS_AT_A_TIME, len(X)))
        self.wiring = Wiring(layout, loss, self.rows, w.dtype)
        self.layers, self.tail, size = self.wiring.for_training()
        self.work = aligned((self.S, size), w.dtype)
        self.sums = np.zeros((self.S, 8))
        self.n = _threads(layout, len(X), n_threads, self.S)

    def head(self, thread, w):
        wiring = self.wiring
        return (thread, self.n, w, self.layers, wiring.parameters, wiring.loss, wiring.loss_parameters,
                self.X, self.Y, self.weights, self.begins, self.rows, self.work, self.tail)  # fmt: skip


def error(
    layout: Layout, loss: Loss, w: np.ndarray, X: np.ndarray, Y: np.ndarray,
    weights: np.ndarray | None = None, n_threads: int | None = None,
) -> float:  # fmt: skip
    """E(w) = Σ_i weight_i L(y_i, ŷ_i(w))."""
    p = _Pass(layout, loss, w, X, Y, weights, n_threads)
    kernel = kernels().total_error
    _together(p.n, lambda thread: kernel(*p.head(thread, w), p.sums))
    return float(p.sums[:, 0].sum())


def error_and_gradient(
    layout: Layout, loss: Loss, w: np.ndarray, X: np.ndarray, Y: np.ndarray,
    weights: np.ndarray | None = None, n_threads: int | None = None,
) -> tuple[float, np.ndarray]:  # fmt: skip
    """E(w) and ∇E(w), a vector laid out as w."""
    p = _Pass(layout, loss, w, X, Y, weights, n_threads)
    grads = aligned((p.S, layout.K), w.dtype)
    kernel = kernels().total_gradient
    _together(p.n, lambda thread: kernel(*p.head(thread, w), grads, p.sums))
    return float(p.sums[:, 0].sum()), grads.sum(axis=0)
