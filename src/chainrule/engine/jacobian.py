"""Floor 2, engine: residuals, their Jacobian J by batched backpropagation, and JᵀJ and Jᵀe without ever keeping J.

For methods of second order on sums of squares, E(w) = ½ Σ e². Everything is in float64.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from chainrule.blas import one_blas_thread
from chainrule.calculus.differentiate import vjp
from chainrule.network import ACTIVATIONS, LOSSES, Layout, Loss, uses_link

from .compiled import KERNELS, SECOND_ORDER
from .evaluate import _NOBODY, _nothing, _threads, _together
from .plan import Wiring, desk
from .records import Net, Rows
from .run import _block
from .source import residual_address
from .threads import available_threads

# A block of lines of J has at most so many numbers (16 MB), but for networks where few lines are more.
_BLOCK_NUMBERS = 1 << 21
_FEWEST_LINES, _MOST_LINES = 16, 512
# Multiplications that are worth a shard, with a JᵀJ of its own; so many numbers may all of those have.
_WORTH_A_SHARD = 100_000_000
_MOST_SHARDS, _SHARD_NUMBERS = 4, 1 << 26
_WIDTH = np.dtype(np.float64)


class _Lines:
    """Lines of the Jacobian of residuals (or, of scores, with the target 0), a block of rows after another.

    Of the output layer each output sees its own weights alone; those zeros are neither computed nor multiplied.
    """

    def __init__(self, layout: Layout, loss: Loss, X, Y, roots: np.ndarray, n_threads: int | None):
        self.K, self.D, self.N = layout.K, layout.sizes[-1], len(X)
        X, Y = _block(X, _WIDTH, layout.sizes[0], "X"), _block(Y, _WIDTH, self.D, "Y")
        self._rows = Rows(X, Y, roots, _NOBODY, _NOBODY)
        self._places, self._columns, self._shared = _lines_of_one_output(layout)
        self._line = self._columns.shape[1]
        self._at_once = min(_MOST_LINES, max(_FEWEST_LINES, _BLOCK_NUMBERS // (self.D * self._line)), max(1, self.N))
        wiring = Wiring(layout, loss, self._at_once, _WIDTH)
        layers, tail, size, panels_size = wiring.for_training()
        residual = residual_address(loss, str(_WIDTH), self.D)
        self._net = wiring.net(_nothing(_WIDTH), layers, panels_size)._replace(loss=residual)
        self._begins = _shards(self.N, self._at_once, self.D * self._line**2, self.K)
        self._S = len(self._begins) - 1
        self._desk = desk(self._S, size, tail, 0, _WIDTH)
        self._n = min(self._S, available_threads() if n_threads is None else n_threads)
        self._lock = threading.Lock()

    def _at(self, w: np.ndarray) -> Net:
        if np.shape(w) != (self.K,):  # the machine code trusts it
            raise ValueError(f"w must have shape ({self.K},), got {np.shape(w)}")
        net = self._net._replace(w=np.ascontiguousarray(w, _WIDTH))
        KERNELS.prepare(net)
        return net

    def _over_lines(self, w: np.ndarray, use: Callable[[int, int, int, np.ndarray, np.ndarray], None]) -> None:
        """`use(s, lo, hi, lines, e)` of every block of rows, shard s by shard, on all threads; e has all residuals."""
        net, n, kernel, e = self._at(w), self._n, SECOND_ORDER.jacobian_lines, np.empty((self.N, self.D))

        def work(thread: int) -> None:
            lines = np.empty((self.D, self._at_once, self._line))
            for s in range(thread, self._S, n):
                for lo in range(self._begins[s], self._begins[s + 1], self._at_once):
                    hi = min(int(self._begins[s + 1]), lo + self._at_once)
                    block = lines if hi - lo == self._at_once else np.empty((self.D, hi - lo, self._line))
                    kernel(net, self._rows, self._desk, s, lo, hi, self._places, block, e)
                    use(s, lo, hi, block, e)

        _together(n, work)

    def _add_squares(self, lines: np.ndarray, room: np.ndarray, square: np.ndarray) -> None:
        """Add JᵀJ of a block of lines to K × K `square`: what outputs share at once, what is an output's own apart."""
        if self.D == 1:
            np.matmul(lines[0].T, lines[0], out=room)
            square += room
            return
        H = self._shared
        shared = lines.reshape(-1, self._line)[:, :H]
        np.matmul(shared.T, shared, out=room)
        SECOND_ORDER.add_square(self._columns[0, :H], room, square)
        for own, columns in zip(lines, self._columns, strict=True):
            last = own[:, H:]
            SECOND_ORDER.add_square(columns[H:], last.T @ last, square)
            SECOND_ORDER.add_cross(columns[:H], columns[H:], own[:, :H].T @ last, square)

    def _sums(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Room for each shard's sums: (K × K, K, a product of lines)."""
        S, K = self._S, self.K
        return np.zeros((S, K, K)), np.zeros((S, K)), np.empty((S, self._shared, self._shared))


def _whole(parts: np.ndarray) -> np.ndarray:
    """The sum of the shards' parts."""
    for part in parts[1:]:
        parts[0] += part
    return parts[0]


class Residuals(_Lines):
    """The residuals e(w) of rows that stay, for one w after another: E(w) = ½ Σ e² for a loss L = ½ r².

    Parameters
    ----------
    layout : Layout
    loss : a loss that has a residual r (`squared`); e_{io} = √weight_i · r(y_{io}, ŷ_{io})
    X, Y : N × D_0 and N × D_L
    weights : N numbers ≥ 0, or None
    n_threads : None for all available; bits do not depend on it

    Raises
    ------
    ValueError : for a loss that is not a square, or shapes that do not fit.

    >>> layout = Layout.of([1, 1])
    >>> rows = Residuals(layout, LOSSES["squared"], np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]]))
    >>> w = np.array([3.0, 0.5])                                  # ŷ = 3 x + ½
    >>> rows(w), rows.jacobian(w)
    (array([3.5, 5.5]), array([[1., 1.],
           [2., 1.]]))
    >>> rows.normal(w)
    (array([[5., 3.],
           [3., 2.]]), array([14.5,  9. ]))

    Source: Hagan & Menhaj 1994. J costs one backward pass an output, over a block of rows at a time.
    """

    def __init__(
        self,
        layout: Layout,
        loss: Loss,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None = None,
        n_threads: int | None = None,
    ):
        if loss.residual is None:
            squares = ", ".join(repr(row.name) for row in LOSSES.values() if row.residual is not None)
            raise ValueError(
                f"the loss {loss.name!r} is no sum of squares, so it has no residuals; use {squares}, or a method that "
                "needs none"
            )
        roots = _nothing(_WIDTH) if weights is None else np.sqrt(np.asarray(weights, _WIDTH))
        super().__init__(layout, loss, X, Y, roots, n_threads)
        self._n_forward = _threads(layout, self.N, n_threads, self._S)

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """e(w), N · D_L numbers: all outputs of the first row, then of the second."""
        e, kernel, n = np.empty((self.N, self.D)), SECOND_ORDER.residual_rows, self._n_forward
        with self._lock:
            net = self._at(w)
            _together(n, lambda thread: kernel(thread, n, net, self._rows, self._desk, self._at_once, e))
        return e.ravel()

    def jacobian(self, w: np.ndarray) -> np.ndarray:
        """J = ∂e/∂w, N · D_L × K, laid out as e and w."""
        J = np.zeros((self.N, self.D, self.K))

        def keep(s: int, lo: int, hi: int, lines: np.ndarray, e: np.ndarray) -> None:
            for o, columns in enumerate(self._columns):
                J[lo:hi, o, columns] = lines[o]

        with self._lock:
            self._over_lines(w, keep)
        return J.reshape(-1, self.K)

    def normal(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(JᵀJ, Jᵀe), K × K and K numbers."""
        squares, slopes, room = self._sums()

        def add(s: int, lo: int, hi: int, lines: np.ndarray, e: np.ndarray) -> None:
            self._add_squares(lines, room[s], squares[s])
            for o, columns in enumerate(self._columns):
                slopes[s, columns] += e[lo:hi, o] @ lines[o]

        with self._lock, one_blas_thread():
            self._over_lines(w, add)
        return _whole(squares), _whole(slopes)


class GaussNewton(_Lines):
    """JᵀH_L J of a loss that is no square: J of the scores it is written in, H_L its second derivatives there.

    Arguments as in `Residuals`. Of each row's H_L the part without negative eigenvalues is taken (all of it, for a
    convex loss), so that the matrix has none either.

    >>> rows = GaussNewton(Layout.of([1, 1], output="exp"), LOSSES["poisson"], np.array([[2.0]]), np.array([[1.0]]))
    >>> rows(np.zeros(2))                                            # ŷ = e^0, and H_L = e^0
    array([[4., 2.],
           [2., 1.]])

    Source: Schraudolph 2002.
    """

    def __init__(
        self,
        layout: Layout,
        loss: Loss,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None = None,
        n_threads: int | None = None,
    ):
        scored = with_scores(layout) if uses_link(layout.output, loss) else layout
        super().__init__(scored, LOSSES["squared"], X, np.zeros(np.shape(Y)), _nothing(_WIDTH), n_threads)
        self._Y = _block(Y, _WIDTH, self.D, "Y")
        self._loss = loss
        self._weights = np.ones(self.N) if weights is None else np.asarray(weights, _WIDTH)

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """The matrix at w, K × K."""
        squares, _, room = self._sums()

        def add(s: int, lo: int, hi: int, lines: np.ndarray, scores: np.ndarray) -> None:
            roots = self._roots(lo, hi, scores[lo:hi])
            if self.D == 1 or not self._loss.rowwise:
                lines *= np.diagonal(roots, axis1=1, axis2=2).T[:, :, None]
                self._add_squares(lines, room[s], squares[s])
                return
            for k in range(self.D):
                mixed = np.zeros((hi - lo, self.K))
                for o, columns in enumerate(self._columns):
                    mixed[:, columns] += roots[:, k, o, None] * lines[o]
                squares[s] += mixed.T @ mixed

        with self._lock, one_blas_thread():
            self._over_lines(w, add)
        return _whole(squares)

    def _roots(self, lo: int, hi: int, scores: np.ndarray) -> np.ndarray:
        """B of each row with BᵀB = weight · H_L, D_L × D_L."""
        y, units = self._Y[lo:hi], np.eye(self.D)
        _, back = vjp(lambda s: self._loss.slope_of(y, s), scores)
        H = np.stack([np.broadcast_to(back(np.broadcast_to(u, scores.shape))[0], scores.shape) for u in units], axis=1)
        H = H * self._weights[lo:hi, None, None]
        if not self._loss.rowwise:
            return np.sqrt(np.maximum(H, 0.0))
        values, vectors = np.linalg.eigh(0.5 * (H + np.swapaxes(H, 1, 2)))
        return np.sqrt(np.maximum(values, 0.0))[:, :, None] * np.swapaxes(vectors, 1, 2)


def with_scores(layout: Layout) -> Layout:
    """The layout whose output is the raw score z_L."""
    last = replace(layout.layers[-1], activation=ACTIVATIONS["identity"])
    return Layout((*layout.layers[:-1], last))


def outputs_jacobian(layout: Layout, w: np.ndarray, X: np.ndarray, n_threads: int | None = None) -> np.ndarray:
    """∂ŷ/∂w of every row of X, N × D_L × K; ValueError where the output couples its units (see `scores_jacobian`).

    >>> outputs_jacobian(Layout.of([1, 1]), np.array([3.0, 0.5]), np.array([[1.0], [2.0]]))
    array([[[1., 1.]],
           [[2., 1.]]])
    """
    N, D = len(X), layout.sizes[-1]
    rows = Residuals(layout, LOSSES["squared"], X, np.zeros((N, D)), None, n_threads)  # e = ŷ − 0
    return rows.jacobian(w).reshape(N, D, layout.K)


def scores_jacobian(layout: Layout, w: np.ndarray, X: np.ndarray, n_threads: int | None = None) -> np.ndarray:
    """∂z_L/∂w of every row of X, N × D_L × K: of the raw scores, before the output's activation.

    >>> scores_jacobian(Layout.of([1, 1], output="exp"), np.array([3.0, 0.5]), np.array([[1.0], [2.0]]))
    array([[[1., 1.]],
           [[2., 1.]]])
    """
    return outputs_jacobian(with_scores(layout), w, X, n_threads)


def _lines_of_one_output(layout: Layout) -> tuple[np.ndarray, np.ndarray, int]:
    """What an output sees of w: (where each layer stands in such a line, the columns of each output, shared ones).

    Columns that all outputs share, those of hidden layers, come first; a single output's line is in the order of w.
    """
    L, D = layout.L, layout.sizes[-1]
    names = list(layout.slices)
    if D > 1:
        names.sort(key=lambda name: name[1] == L)
    places, columns = np.empty((L, 2), np.int64), list[np.ndarray]()
    for letter, l in names:
        start, stop, _ = layout.slices[letter, l]
        places[l - 1, "Ab".index(letter)] = sum(part.shape[1] for part in columns)
        last = l == L
        columns.append(np.array([np.arange(start + last * o, stop, D if last else 1) for o in range(D)], np.int64))
    whole = np.concatenate(columns, axis=1)
    own = layout.layers[-1].inputs + 1 if D > 1 else 0
    return places, whole, whole.shape[1] - own


def _shards(N: int, at_once: int, multiplications: int, K: int) -> np.ndarray:
    """Where each shard begins, and the end: by sizes alone, never by the number of threads."""
    most = min(_MOST_SHARDS, N // (2 * at_once), N * multiplications // _WORTH_A_SHARD, _SHARD_NUMBERS // K**2)
    return np.linspace(0, N, max(1, most) + 1).astype(np.int64)
