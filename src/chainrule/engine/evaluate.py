"""Floor 2, engine: predictions, the error and its gradient over whole tables, by the kernels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from chainrule.network import Layout, Loss

from .compiled import KERNELS, Kernel
from .cores import enough_threads
from .plan import ROWS_AT_A_TIME, Wiring, aligned, desk
from .records import Rows
from .run import _block
from .threads import Crew

# The rows of a table are cut into at most this many shards, each with a gradient of its own.
_MOST_SHARDS = 8
# So few rows are predicted without packing the weights first.
_FEW_ROWS = 24
# Below this many multiplications a second thread costs more to start than it saves.
_WORTH_A_THREAD = 20_000_000
# Room to predict in is kept if it is no larger: making it anew takes longer than predicting a hundred rows.
_KEPT_BYTES = 2 << 20


_NOBODY = np.zeros(0, np.int64)


def _nothing(dtype: np.dtype) -> np.ndarray:
    return np.zeros(0, dtype)


def _threads(layout: Layout, rows: int, n_threads: int | None, most: int) -> int:
    return enough_threads(min(most, rows * layout.n_weights // _WORTH_A_THREAD), n_threads)


class _Tables:
    """What a prediction of at most `rows` rows at a time needs beside w and X, in one float width."""

    def __init__(self, layout: Layout, dtype: np.dtype, rows: int):
        wiring = Wiring(layout, None, rows, dtype)
        layers, self.tail, self.size, panels_size = wiring.for_prediction()
        self.rows, self.dtype, self.nothing = rows, dtype, _nothing(dtype)
        self.panels_size = 0 if rows <= _FEW_ROWS else panels_size
        self.net = wiring.net(self.nothing, layers, self.panels_size)._replace(panels=self.nothing)
        self.alone = Crew(1)
        self._spare: list[tuple[np.ndarray, np.ndarray]] = []

    def room(self, threads: int) -> tuple[np.ndarray, np.ndarray]:
        """(where so many threads work, where panels are packed): what is not large is kept from call to call."""
        try:
            if threads == 1:
                return self._spare.pop()  # two callers never get the same: pop and append are one step each
        except IndexError:
            pass
        return aligned((threads, self.size), self.dtype), aligned((self.panels_size,), self.dtype)

    def give_back(self, work: np.ndarray, panels: np.ndarray) -> None:
        if len(work) == 1 and work.nbytes + panels.nbytes <= _KEPT_BYTES:
            self._spare.append((work, panels))


@lru_cache(maxsize=32)
def _tables(layout: Layout, dtype: np.dtype, rows: int) -> _Tables:
    return _Tables(layout, dtype, rows)


def predict(layout: Layout, w: np.ndarray, X: np.ndarray, n_threads: int | None = None) -> np.ndarray:
    """ŷ (N × D_L) of every row of X (N × D_0)."""
    X = _block(X, w.dtype, layout.layers[0].inputs, "X")
    N = len(X)
    tables = _tables(layout, w.dtype, _FEW_ROWS if N <= _FEW_ROWS else ROWS_AT_A_TIME)
    at_once, tail = tables.rows, tables.tail
    n = _threads(layout, N, n_threads, -(-N // at_once))
    work, panels = tables.room(n)
    net = tables.net._replace(w=w, panels=panels)
    out = np.empty((N, layout.layers[-1].outputs), w.dtype)
    rows = Rows(X, out, tables.nothing, _NOBODY, _NOBODY)
    arguments = net, rows, at_once, work, tail, out
    if n == 1:
        tables.alone.run(KERNELS.predict_rows, arguments)
    else:
        with Crew(n) as crew:
            crew.run(KERNELS.predict_rows, arguments)
    tables.give_back(work, panels)
    return out


def _shards(N: int) -> np.ndarray:
    """Where each shard begins, and the end: by the number of rows alone."""
    count = max(1, min(_MOST_SHARDS, N // ROWS_AT_A_TIME))
    return np.linspace(0, N, count + 1).astype(np.int64)


class TotalError:
    """E(w) = Σ_i weight_i L(y_i, ŷ_i(w)) over rows that stay, and its gradient, for one w after another.

    What does not depend on w is made once, threads among it. It works in room of its own: two callers at once need two
    of them.

    dtype : the float width of w and of all that is computed; the other arguments are those of `error`
    """

    def __init__(self, layout, loss, dtype, X, Y, weights=None, n_threads=None):
        self.dtype = np.dtype(dtype)
        X, Y = _block(X, self.dtype, layout.sizes[0], "X"), _block(Y, self.dtype, layout.sizes[-1], "Y")
        weights = _nothing(self.dtype) if weights is None else np.array(weights, self.dtype)
        self.rows = Rows(X, Y, weights, _NOBODY, _NOBODY)
        self.begins = _shards(len(X))
        S = len(self.begins) - 1
        self.at_once = max(1, min(ROWS_AT_A_TIME, len(X)))
        wiring = Wiring(layout, loss, self.at_once, self.dtype)
        layers, tail, size, panels_size = wiring.for_training()
        self.K = layout.K
        self.net = wiring.net(_nothing(self.dtype), layers, panels_size)
        self.desk = desk(S, size, tail, (S, layout.K), self.dtype)
        self.crew = Crew(_threads(layout, len(X), n_threads, S))

    def _run(self, kernel: Kernel, w: np.ndarray) -> float:
        # The machine code trusts the length of w.
        if w.shape != (self.K,):
            raise ValueError(f"w must have shape ({self.K},), got {w.shape}")
        net = self.net._replace(w=np.ascontiguousarray(w, self.dtype))
        self.crew.run(kernel, (net, self.rows, self.desk, self.begins, self.at_once))
        return float(self.desk.sums[:, 0].sum())

    def error(self, w: np.ndarray) -> float:
        """E(w)."""
        return self._run(KERNELS.total_error, w)

    def error_and_gradient(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        """E(w) and ∇E(w), a new vector laid out as w."""
        total = self._run(KERNELS.total_gradient, w)
        return total, self.desk.grads[:, : self.K].sum(axis=0)


def error(
    layout: Layout, loss: Loss, w: np.ndarray, X: np.ndarray, Y: np.ndarray,
    weights: np.ndarray | None = None, n_threads: int | None = None,
) -> float:  # fmt: skip
    """E(w) = Σ_i weight_i L(y_i, ŷ_i(w))."""
    return TotalError(layout, loss, w.dtype, X, Y, weights, n_threads).error(w)


def error_and_gradient(
    layout: Layout, loss: Loss, w: np.ndarray, X: np.ndarray, Y: np.ndarray,
    weights: np.ndarray | None = None, n_threads: int | None = None,
) -> tuple[float, np.ndarray]:  # fmt: skip
    """E(w) and ∇E(w), a vector laid out as w."""
    return TotalError(layout, loss, w.dtype, X, Y, weights, n_threads).error_and_gradient(w)
