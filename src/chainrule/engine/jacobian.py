"""Floor 2, engine: residuals, their Jacobian J by batched backpropagation, and JᵀJ and Jᵀe without ever keeping J.

For methods of second order on sums of squares, E(w) = ½ Σ e². Everything is in float64.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

import numpy as np

from chainrule.calculus.differentiate import vjp
from chainrule.network import ACTIVATIONS, LOSSES, Layout, Loss, uses_link

from .columns import EVALUATIONS, FALL, FOUND, NUMBERS, REACHED
from .compiled import DAMPED, NORMAL, Kernel
from .cores import enough_threads
from .evaluate import _NOBODY, _nothing
from .plan import Wiring, aligned, desk
from .processor import BLOCK_WIDTH, PANEL_BYTES, VECTOR
from .records import Rows, Squares
from .run import _block
from .source import residual_address
from .squares import how_squared, whole_lines, work_of_a_row, worth_pairs
from .threads import Crew, Pace

# A block of lines of J has so many rows, fewer where that would be more numbers (16 MB); a thread takes some at a time.
_FEWEST_LINES, _MOST_LINES, _BLOCK_NUMBERS = 16, 256, 1 << 21
_ROWS_AT_A_TIME = 32
# Multiplications of JᵀJ that are worth a thread, where each has some of its columns; or where the matrix is no larger
# than this, those that are worth a shard of the rows with a matrix of its own: less goes from core to core. It costs as
# many for each number of that matrix, which one thread adds to the others.
_WORTH_A_THREAD, _WORTH_A_SHARD, _WORTH_A_NUMBER = 20_000_000, 16_000_000, 150
_LARGEST_OF_SHARDS, _MOST_SHARDS, _ROWS_OF_SHARD = 1000, 8, 64
# Lines of a K × K matrix that Cholesky factors at a time: more, where all of it is read from far away each time.
_LINES_OF_FACTOR = {300: 16, 600: 32, math.inf: 64}
_WIDTH = np.dtype(np.float64)
_LANES, _PANEL = VECTOR // _WIDTH.itemsize, PANEL_BYTES // _WIDTH.itemsize  # numbers in a vector, in a panel's line


class _Lines:
    """Lines of the Jacobian of residuals (or, of scores, with the target 0), a block of rows after another.

    Of the output layer each output sees its own weights alone; those zeros are neither computed nor multiplied. It
    works in room of its own, made once, so threads take turns. Bits do not depend on the number of the engine's.
    """

    def __init__(
        self, layout: Layout, loss: Loss, X, Y, roots: np.ndarray, n_threads: int | None, by_pairs: bool = False
    ):
        self.K, self.D, self.N = layout.K, layout.sizes[-1], len(X)
        X, Y = _block(X, _WIDTH, layout.sizes[0], "X"), _block(Y, _WIDTH, self.D, "Y")
        self._rows = Rows(X, Y, roots, _NOBODY, _NOBODY)
        self._plain, _, _ = how_squared(layout, frozenset())
        self._columns = self._plain.columns
        self._line = self._columns.shape[1]
        paired = worth_pairs(layout, self.N) if by_pairs else frozenset[int]()
        self._cut, self._pairs_line, self._squares_size = how_squared(layout, paired)
        most = max(_FEWEST_LINES, _BLOCK_NUMBERS // (self.D * self._line + self._pairs_line))
        self._block = max(1, min(_MOST_LINES, most, self.N))
        self._at_once = min(_ROWS_AT_A_TIME, -(-self._block // _LANES) * _LANES)
        multiplications = self.N * work_of_a_row(layout, paired)
        self._has_shards = self.K <= _LARGEST_OF_SHARDS
        worth_one = max(_WORTH_A_SHARD, _WORTH_A_NUMBER * self.K**2)
        S = min(_MOST_SHARDS, multiplications // worth_one, self.N // _ROWS_OF_SHARD) if self._has_shards else 1
        S = 1 << (S.bit_length() - 1) if S else 1
        self._begins = np.array([self.N * s // S for s in range(S + 1)])
        worth = S if self._has_shards else multiplications // _WORTH_A_THREAD
        self._crew = Crew(enough_threads(worth, n_threads))
        self._pace, self._n = Pace((1, self._crew.n), 1), 1
        wiring = Wiring(layout, loss, self._at_once, _WIDTH)
        layers, tail, size, panels_size = wiring.for_training()
        self._w = aligned((self.K,), _WIDTH)
        residual = residual_address(loss, str(_WIDTH), self.D)
        self._net = wiring.net(self._w, layers, panels_size)._replace(loss=residual)
        self._desk = desk(max(S, self._crew.n), size, tail, (0, 0), _WIDTH)
        self._lock = threading.Lock()

    @cached_property
    def _lines(self) -> tuple[np.ndarray, np.ndarray]:
        """A block of lines of each output, and of pairs."""
        return aligned((self.D, self._block, self._line), _WIDTH), aligned((self._of_pairs(self._block),), _WIDTH)

    def _of_pairs(self, rows: int) -> int:
        """Numbers of a block of pairs of so many rows."""
        return self._pairs_line * -(-rows // _LANES) * _LANES

    def _of_panels(self, rows: int) -> int:
        """Numbers of a block of lines that is packed as panels (it may have all columns)."""
        return max(len(self._cut.panels), -(-self.K // _PANEL)) * _PANEL * rows

    def _tiles(self, workers: int) -> np.ndarray:
        """A tile of JᵀJ, and room for the pairs of the rows that are worked on at once, each."""
        size = BLOCK_WIDTH * _PANEL + max((self._cut.widest + self._pairs_line) * self._at_once, self._cut.widest**2)
        return aligned((workers, -(-size // _LANES) * _LANES), _WIDTH)

    @cached_property
    def _room(self) -> tuple[np.ndarray, ...]:
        """Panels, tiles of threads, and what pairs add up to."""
        panels, squares = aligned((self._of_panels(self._block),), _WIDTH), aligned((self._squares_size,), _WIDTH)
        return panels, self._tiles(self._crew.n), squares

    @cached_property
    def _room_of_shards(self) -> tuple[np.ndarray, ...]:
        """Of each shard: a block of lines and one of pairs; panels, tiles and what pairs add up to; and of all but the
        first JᵀJ and Jᵀe."""
        S = len(self._begins) - 1
        numbers = S * (self.D * self._line + self._pairs_line)
        rows = max(1, min(self._block, int(np.diff(self._begins).max()), _BLOCK_NUMBERS // numbers))
        lines, pairs = aligned((S, self.D, rows, self._line), _WIDTH), aligned((S, self._of_pairs(rows)), _WIDTH)
        panels, squares = aligned((S, self._of_panels(rows)), _WIDTH), aligned((S, self._squares_size), _WIDTH)
        return lines, pairs, panels, self._tiles(S), squares, aligned((S - 1, self.K + 1, self.K), _WIDTH)

    def _put(self, w: np.ndarray, room: np.ndarray) -> None:
        if np.shape(w) != (self.K,):  # the machine code trusts it
            raise ValueError(f"w must have shape ({self.K},), got {np.shape(w)}")
        room[:] = w

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One caller at a time; on how many threads is found out from how long it takes."""
        with self._lock:
            if self._crew.n == 1:
                yield
                return
            self._n, _ = self._pace.next()
            started = time.perf_counter()
            yield
            self._pace.note(self._n, 1, time.perf_counter() - started)

    def _blocks(self, w: np.ndarray, e: np.ndarray, cut: Squares) -> Iterator[tuple[int, int, np.ndarray]]:
        """(lo, hi, lines D_L × rows × an output's line) of one block of rows after another; e gets all residuals."""
        self._put(w, self._w)
        fixed, (lines, pairs) = (self._net, self._rows, self._desk, self._at_once), self._lines
        for lo in range(0, self.N, self._block):
            hi = min(self.N, lo + self._block)
            self._crew.run(NORMAL.jacobian_lines, (*fixed, lo, hi, cut, lines, pairs, self._room[1], e), self._n)
            yield lo, hi, lines

    def _add(self, lines: np.ndarray, cut: Squares, e: np.ndarray, lo: int, hi: int, G, g) -> None:
        """Add the JᵀJ of a block of lines to the upper triangle of G (of pairs, to room of its own), its Jᵀe to g."""
        given = self._net, lines, self._lines[1], cut, e, lo, hi, *self._room, G, g
        self._crew.run(NORMAL.add_squares, given, self._n)


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
        super().__init__(layout, loss, X, Y, roots, n_threads, by_pairs=True)
        self._e = np.empty((self.N, self.D))
        room = aligned((7, -(-self.K // _LANES) * _LANES), _WIDTH)[:, : self.K]
        self._x, self._y, self._d, self._g, self._best, self._damping, self._penalty = room
        self._numbers, self._few = np.empty(NUMBERS), np.empty((self._at_once, self.D))

    @cached_property
    def _residuals(self) -> Callable[[], float]:
        """Residuals at `_y` into `_e`."""
        return self._crew.alone(
            DAMPED.residual_rows, (self._net, self._y, self._rows, self._desk, self._at_once, self._e)
        )

    @cached_property
    def _pull_back(self) -> Callable[[], float]:
        """J(`_x`)ᵀ `_e` into `_d`."""
        given = self._net, self._x, self._rows, self._desk, self._at_once, self._e, self._few, self._d
        return self._crew.alone(DAMPED.pull_back, given)

    @cached_property
    def _room_of_trial(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A factor, its lines whole vectors; some lines and a panel of it."""
        lines, line = next(lines for K, lines in _LINES_OF_FACTOR.items() if self.K <= K), -(-self.K // _LANES) * _LANES
        return aligned((self.K, line), _WIDTH), aligned((lines, line), _WIDTH), aligned((lines * _PANEL,), _WIDTH)

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """e(w), N · D_L numbers: all outputs of the first row, then of the second."""
        with self._lock:
            return self._at(w).ravel().copy()

    def _at(self, w: np.ndarray) -> np.ndarray:
        """e(w), N × D_L, in room that the next call needs too."""
        self._put(w, self._y)
        self._residuals()
        return self._e

    def chord(self, w: np.ndarray, v: np.ndarray) -> np.ndarray:
        """J(w)ᵀ e(v), K numbers: the gradient at v with the Jacobian of w."""
        with self._lock:
            self._at(v)
            self._put(w, self._x)
            self._pull_back()
            return self._d.copy()

    def trial(
        self, x: np.ndarray, G: np.ndarray, g: np.ndarray, damping: np.ndarray | float, corrections: int,
        bounds: tuple[float, float, float], penalty: np.ndarray | float = 0.0,
    ) -> tuple[float, np.ndarray, float, int] | None:  # fmt: skip
        """As `Objective.trial`, of ½ Σ e² + ½ Σ penalty w², whose matrix and gradient G and g are."""
        with self._lock:
            self._put(x, self._x)
            numbers, (factor, *room) = self._numbers, self._room_of_trial
            self._g[:], self._damping[:], self._penalty[:] = g, damping, penalty
            numbers[:FOUND] = *bounds, corrections
            fixed = self._net, self._rows, self._desk, self._at_once, self._x, G, factor, self._g
            given = *fixed, self._damping, self._penalty, numbers, *room, self._d, self._y, self._best
            self._crew.run(DAMPED.damped_trial, (*given, self._e, self._few), 1)
            if not numbers[FOUND]:
                return None
            return float(numbers[FALL]), self._best.copy(), float(numbers[REACHED]), int(numbers[EVALUATIONS])

    def jacobian(self, w: np.ndarray) -> np.ndarray:
        """J = ∂e/∂w, N · D_L × K, laid out as e and w."""
        J = np.zeros((self.N, self.D, self.K))
        with self._turn():
            for lo, hi, lines in self._blocks(w, np.empty((self.N, self.D)), self._plain):
                for o, columns in enumerate(self._columns):
                    J[lo:hi, o, columns] = lines[o, : hi - lo]
        return J.reshape(-1, self.K)

    def normal(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(JᵀJ, Jᵀe), K × K and K numbers."""
        G, g, e = np.empty((self.K, self.K)), np.empty(self.K), np.empty((self.N, self.D))
        with self._turn():
            if self._has_shards:
                self._by_shards(w, e, G, g)
                return G, g
            G[...], g[...], self._room[-1][...] = 0.0, 0.0, 0.0
            for lo, hi, lines in self._blocks(w, e, self._cut):
                self._add(lines, self._cut, e, lo, hi, G, g)
            NORMAL.finish(self._net, self._cut, *self._room[1:], G)
        return G, g

    def _by_shards(self, w: np.ndarray, e: np.ndarray, G: np.ndarray, g: np.ndarray) -> None:
        self._put(w, self._w)
        lines, pairs, *room = self._room_of_shards
        fixed = self._net, self._rows, self._desk, self._begins, self._at_once
        self._crew.run(NORMAL.normal_matrix, (*fixed, lines, pairs, self._cut, e, *room, G, g), self._n)


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
        self._whole = whole_lines(scored)
        self._weights = np.ones(self.N) if weights is None else np.asarray(weights, _WIDTH)

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """The matrix at w, K × K."""
        G, g, scores = np.zeros((self.K, self.K)), np.zeros(self.K), np.empty((self.N, self.D))
        with self._turn():
            for lo, hi, lines in self._blocks(w, scores, self._plain):
                roots = self._roots(lo, hi, scores[lo:hi])
                if self.D == 1 or not self._loss.rowwise:
                    lines[:, : hi - lo] *= np.diagonal(roots, axis1=1, axis2=2).T[:, :, None]
                    self._add(lines, self._plain, scores, lo, hi, G, g)
                    continue
                for k in range(self.D):
                    mixed = np.zeros((1, hi - lo, self.K))
                    for o, columns in enumerate(self._columns):
                        mixed[0][:, columns] += roots[:, k, o, None] * lines[o, : hi - lo]
                    self._add(mixed, self._whole, scores, lo, hi, G, g)
            NORMAL.finish(self._net, self._plain, *self._room[1:], G)
        return G

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


def wanted_by_trials(layout: Layout) -> tuple[Kernel | str, ...]:
    """What the first steps by `normal` and `trial` wait for, to be compiled ahead."""
    by_blocks = NORMAL.jacobian_lines, NORMAL.add_squares, NORMAL.finish
    matrix = (NORMAL.normal_matrix,) if layout.K <= _LARGEST_OF_SHARDS else by_blocks
    return DAMPED.damped_trial, *matrix, DAMPED.residual_rows, "product", "product_across"


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
