"""Floor 2, engine: predictions, the error and its gradient over whole tables, by the kernels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.network import Layout, Loss

from .plan import ROWS_AT_A_TIME, Wiring, aligned, desk
from .records import Rows
from .run import _block
from .source import kernels
from .threads import Team, available_threads

# The rows of a table are cut into at most this many shards, each with a gradient of its own.
_MOST_SHARDS = 8
# So few rows are predicted without packing the weights first.
_FEW_ROWS = 24
# Below this many multiplications a second thread costs more to start than it saves.
_WORTH_A_THREAD = 20_000_000


_NOBODY = np.zeros(0, np.int64)


def _nothing(dtype: np.dtype) -> np.ndarray:
    return np.zeros(0, dtype)


def _together(n: int, function: Callable[[int], object]) -> None:
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
    at_once = max(1, min(ROWS_AT_A_TIME, len(X)))
    wiring = Wiring(layout, None, at_once, w.dtype)
    layers, tail, size, panels_size = wiring.for_prediction()
    n = _threads(layout, len(X), n_threads, -(-len(X) // at_once))
    net = wiring.net(w, layers, panels_size if len(X) > _FEW_ROWS else 0)
    if net.panels.size:
        kernels().prepare(net)
    work, out = aligned((n, size), w.dtype), np.empty((len(X), layout.sizes[-1]), w.dtype)
    kernel, rows = kernels().predict_rows, Rows(X, out, _nothing(w.dtype), _NOBODY, _NOBODY)
    _together(n, lambda thread: kernel(thread, n, net, rows, at_once, work, tail, out))
    return out


def _shards(N: int) -> np.ndarray:
    """Where each shard begins, and the end: by the number of rows alone."""
    count = max(1, min(_MOST_SHARDS, N // ROWS_AT_A_TIME))
    return np.linspace(0, N, count + 1).astype(np.int64)


class _Pass:
    """What one pass over all rows needs; the same for the error and for its gradient."""

    def __init__(self, layout, loss, w, X, Y, weights, n_threads):
        X, Y = _block(X, w.dtype, layout.sizes[0], "X"), _block(Y, w.dtype, layout.sizes[-1], "Y")
        weights = _nothing(w.dtype) if weights is None else np.array(weights, w.dtype)
        self.rows = Rows(X, Y, weights, _NOBODY, _NOBODY)
        self.begins = _shards(len(X))
        S = len(self.begins) - 1
        self.at_once = max(1, min(ROWS_AT_A_TIME, len(X)))
        wiring = Wiring(layout, loss, self.at_once, w.dtype)
        layers, tail, size, panels_size = wiring.for_training()
        self.net = wiring.net(w, layers, panels_size)
        self.desk = desk(S, size, tail, layout.K, w.dtype)
        self.n = _threads(layout, len(X), n_threads, S)
        kernels().prepare(self.net)

    def run(self, kernel) -> float:
        _together(
            self.n, lambda thread: kernel(thread, self.n, self.net, self.rows, self.desk, self.begins, self.at_once)
        )
        return float(self.desk.sums[:, 0].sum())


def error(
    layout: Layout, loss: Loss, w: np.ndarray, X: np.ndarray, Y: np.ndarray,
    weights: np.ndarray | None = None, n_threads: int | None = None,
) -> float:  # fmt: skip
    """E(w) = Σ_i weight_i L(y_i, ŷ_i(w))."""
    return _Pass(layout, loss, w, X, Y, weights, n_threads).run(kernels().total_error)


def error_and_gradient(
    layout: Layout, loss: Loss, w: np.ndarray, X: np.ndarray, Y: np.ndarray,
    weights: np.ndarray | None = None, n_threads: int | None = None,
) -> tuple[float, np.ndarray]:  # fmt: skip
    """E(w) and ∇E(w), a vector laid out as w."""
    whole = _Pass(layout, loss, w, X, Y, weights, n_threads)
    total = whole.run(kernels().total_gradient)
    return total, whole.desk.grads[:, : layout.K].sum(axis=0)
