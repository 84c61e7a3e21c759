"""Floor 2, engine: a look inside: the numbers that the kernels hold while they go forward and backward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.network import Layout, Loss, uses_link

from . import columns
from .evaluate import TotalError, predict
from .plan import ROWS_AT_A_TIME, Plan
from .run import Run, _block
from .source import needs_z

# Rows that are gathered for a replay take about this much memory, or one batch if that is more.
_CHUNK_BYTES = 32 << 20


@dataclass(frozen=True, eq=False)
class Pass:
    """One pass over N rows, forward and backward, as the kernels left it, in the float width that they computed in.

    Tuples have an entry a layer, the first of layer 1.

    Attributes
    ----------
    X, Y : N × D_0, N × D_L
    weights : N, of the rows; they are in the last delta and so in all
    z : raw scores N × D_l. The kernels keep z_l where the slope is written with it, and z_L where the loss is; the
        others are computed again from the kernels' a_{l−1}
    a : outputs σ(z_l), N × D_l, before dropout
    keep : what dropout multiplied them by, N × D_l; None without dropout
    delta : ∂E/∂z_l, N × D_l, row by row
    gradient : K numbers, laid out as w: of the sum over rows; in a step of training, what the method was given
    error : Σ weight · L
    in_score : whether the loss is written in z_L, so that dE/dz_L was never the product of two slopes
    """

    X: np.ndarray
    Y: np.ndarray
    weights: np.ndarray
    z: tuple[np.ndarray, ...]
    a: tuple[np.ndarray, ...]
    keep: tuple[np.ndarray | None, ...]
    delta: tuple[np.ndarray, ...]
    gradient: np.ndarray
    error: float
    in_score: bool

    def passed(self, l: int) -> np.ndarray:
        """What layer l + 1 was given: the outputs of layer l, dropped out where that was so; for l = 0 the rows."""
        if l == 0:
            return self.X
        keep = self.keep[l - 1]
        return self.a[l - 1] if keep is None else self.a[l - 1] * keep


def activations(layout: Layout, w: np.ndarray, X: np.ndarray) -> list[np.ndarray]:
    """The outputs a_1 … a_L of every layer on the rows of X (N × D_0), N × D_l each, by the kernels.

    >>> from chainrule.engine import Network
    >>> net = Network([2, 2, 1], "relu")
    >>> net.w[:] = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.5]
    >>> activations(net.layout, net.w, np.array([[2.0, -1.0]]))
    [array([[2., 0.]]), array([[2.5]])]
    """
    found, below = [], _block(X, w.dtype, layout.sizes[0], "X")
    A, b = layout.views(w)
    for l, layer in enumerate(layout.layers, 1):
        # A layer by itself is a network of one layer.
        below = predict(Layout((layer,)), np.concatenate([A[l].ravel(), b[l]]), below)
        found.append(below)
    return found


def backward_pass(
    layout: Layout, loss: Loss, w: np.ndarray, X: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None
) -> Pass:
    """The forward and backward pass that gives E(w) = Σ_i weight_i L(y_i, ŷ_i) and ∇E, with all that was in between.

    Parameters
    ----------
    layout, loss : the network and its loss
    w : K parameters; their float width is the one that is computed in
    X, Y : N × D_0 and N × D_L, N ≥ 1; all that is returned is kept for every row
    weights : N numbers ≥ 0, or None

    >>> from chainrule.engine import Network
    >>> from chainrule.network import get_loss
    >>> net = Network([1, 1, 1], "tanh")
    >>> net.w[:] = [0.5, 2.0, 0.0, 0.0]
    >>> seen = backward_pass(net.layout, get_loss("squared"), net.w, np.array([[1.0]]), np.array([[0.0]]))
    >>> seen.delta[1], seen.gradient[1:2]  # ŷ − y, and times a_1
    (array([[0.92423431]]), array([0.42710453]))
    """
    dtype = w.dtype
    X, Y = _block(X, dtype, layout.sizes[0], "X"), _block(Y, dtype, layout.sizes[-1], "Y")
    masses = np.ones(len(X), dtype) if weights is None else np.array(weights, dtype)
    parts = []
    for lo in range(0, len(X), ROWS_AT_A_TIME):  # so many rows are one shard, which is worked on at once
        rows = slice(lo, lo + ROWS_AT_A_TIME)
        whole = TotalError(layout, loss, dtype, X[rows], Y[rows], masses[rows], n_threads=1)
        error, gradient = whole.error_and_gradient(w)
        held = (X[rows], Y[rows], masses[rows], whole.net.layers, whole.desk.work, [len(X[rows])], ())
        parts.append(_read(layout, loss, w, held, gradient, error))
    return parts[0] if len(parts) == 1 else _joined(parts)


def _read(layout: Layout, loss: Loss, w: np.ndarray, held: Any, gradient: np.ndarray, error: float) -> Pass:
    """The pass that shards have left in their lines of work: `held` is X, Y, weights, the kernels' layers, the lines,
    the rows of each shard, and the groups of units of layer 1, whose lines are those of a group.
    """
    X, Y, weights, layers, work, counts, groups = held

    def block(l: int, column: int) -> np.ndarray:
        D, at = layout.layers[l].outputs, layers[l, column]
        if groups and l == 0:
            n, units = sum(counts), [many for _, many in groups]
            return np.hstack([line[at : at + n * D].reshape(n, D) for line, D in zip(work, units, strict=True)])
        return np.concatenate([line[at : at + n * D].reshape(n, D) for line, n in zip(work, counts, strict=False)])

    L, (A, b), in_score = layout.L, layout.views(w), uses_link(layout.output, loss)
    drops = [layers[l, columns.AT_PASSED] != layers[l, columns.AT_VALUE] for l in range(L)]
    keep = tuple(block(l, columns.AT_KEEP) if drops[l] else None for l in range(L))
    a = [block(l, columns.AT_VALUE) for l in range(L)]
    delta = tuple(block(l, columns.AT_DELTA) for l in range(L))
    z, below = [], X
    for l, layer in enumerate(layout.layers):
        if in_score and l == L - 1:
            z.append(a[l])
            a[l] = np.asarray(layer.activation(a[l]), w.dtype)
        else:
            z.append(block(l, columns.AT_Z) if needs_z(layer.activation) else below @ A[l + 1] + b[l + 1])
        kept = keep[l]
        below = a[l] if kept is None else a[l] * kept
    return Pass(X, Y, weights, tuple(z), tuple(a), keep, delta, gradient, error, in_score)


def _joined(parts: list[Pass]) -> Pass:
    """Passes over one block of rows after the other, as one; there is no dropout in them."""

    def rows(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    def layers(name: str) -> Any:
        return tuple(np.concatenate(blocks) for blocks in zip(*(getattr(part, name) for part in parts), strict=True))

    gradient, error = sum(part.gradient for part in parts), sum(part.error for part in parts)
    return Pass(
        rows("X"), rows("Y"), rows("weights"), layers("z"), layers("a"), parts[0].keep, layers("delta"),
        np.asarray(gradient), error, parts[0].in_score,
    )  # fmt: skip


class Reopened:
    """A training run that is opened again at a snapshot: it makes the same steps to the bit, and can be looked into.

    Parameters
    ----------
    plan, X, Y, weights : as for `Run`; X may be a sparse matrix with rows
    snapshot : what `Run.snapshot` gave
    """

    def __init__(self, plan: Plan, X: Any, Y: np.ndarray, weights: np.ndarray | None, snapshot: Any, n_threads=None):
        numbers, arrays = snapshot
        self.plan, self.w = plan, arrays["w"].copy()
        self._X, self._Y, self._weights = X.tocsr() if hasattr(X, "tocsr") else X, Y, weights
        first = np.arange(min(plan.batch_size, X.shape[0]))
        self._run = Run(plan, self.w, *self._rows(first), n_threads, keeps_gradient=True)
        self._run.restore(numbers, arrays)

    @property
    def t(self) -> int:
        """Steps that the method has counted."""
        return self._run.t

    @property
    def state(self) -> np.ndarray:
        """The method's state vectors, one a line."""
        return self._run.state[: len(self.plan.method.state)]

    @property
    def average(self) -> np.ndarray | None:
        """The running average of w, where the plan has one."""
        return None if self.plan.average is None else self._run.average

    def _rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        X, dtype = self._X[rows], np.dtype(self.plan.dtype)
        X = np.ascontiguousarray(X.toarray() if hasattr(X, "toarray") else X, dtype)
        weights = None if self._weights is None else np.ascontiguousarray(self._weights[rows], dtype)
        return X, np.ascontiguousarray(self._Y[rows], dtype), weights

    def _lay(self, rows: np.ndarray) -> None:
        self._run.X, self._run.Y, weights = self._rows(rows)
        if weights is not None:
            self._run.weights = weights
        self._run.names = np.ascontiguousarray(rows, np.int64)

    def move(self, rows: np.ndarray, step_sizes: np.ndarray) -> None:
        """Make the steps of these rows, batch after batch, one step size each."""
        batch = self.plan.batch_size
        row_bytes = self._X.shape[1] * np.dtype(self.plan.dtype).itemsize
        chunk = batch * max(1, _CHUNK_BYTES // (batch * row_bytes))
        for lo in range(0, len(rows), chunk):
            part = rows[lo : lo + chunk]
            self._lay(part)
            first = lo // batch
            self._run.epochs(np.empty((1, 0), np.int64), step_sizes[first : first + -(-len(part) // batch)])

    def look(self, rows: np.ndarray, step_size: float) -> Pass:
        """Make the one step of these rows, a batch; returns the pass that it was made of."""
        run, before = self._run, self.w.copy()
        self._lay(rows)
        loss = run.epochs(np.empty((1, 0), np.int64), step_size)[0, 0]
        n, S = len(rows), self.plan.shards
        size = -(-n // S)
        counts = [min(size, n - lo) for lo in range(0, n, size)]
        weights = np.ones(n, self.w.dtype) if self._weights is None else run.weights
        mass = float(np.sum(weights, dtype=np.float64))
        held = (run.X, run.Y, weights, run._net.layers, run._desk.work, counts, self.plan.groups)
        return _read(self.plan.layout, self.plan.loss, before, held, run.gradient, float(loss) * mass)

    def close(self) -> None:
        """End its threads."""
        self._run.close()

    def __enter__(self) -> Reopened:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
