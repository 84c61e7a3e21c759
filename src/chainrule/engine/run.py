"""Floor 2, engine: one training run under way, moved by whole epochs of minibatches without returning to Python."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from .plan import Plan, Wiring, aligned
from .source import kernels, method_address
from .threads import Team, check_threads, one_blas_thread

# A kernel call returns at least this often, so that bars, Ctrl-C and time limits work.
SLICE_SECONDS = 0.2
_FIRST_SLICE_FLOP = 2e7
# The arrays of a run that its steps move.
_MOVED = ("w", "state")


class Run:
    """The state of one training: w, the method's state vectors and its step count; `epochs` moves them.

    X is N × D_0, Y is N × D_L, `weights` has one number ≥ 0 a row or is None; w is moved in place. The bits of the
    result depend on the plan and the order of rows, not on `n_threads`. Close it (or use it in a `with`) to end
    its threads.
    """

    def __init__(
        self,
        plan: Plan,
        w: np.ndarray,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None = None,
        n_threads: int | None = None,
    ):
        self.plan, self.w = plan, w
        dtype = np.dtype(plan.dtype)
        self.X, self.Y = _block(X, dtype, plan.layout.sizes[0], "X"), _block(Y, dtype, plan.layout.sizes[-1], "Y")
        self.weights = np.zeros(0, dtype) if weights is None else np.array(weights, dtype)
        if w.dtype != dtype or w.shape != (plan.layout.K,) or not w.flags.c_contiguous:
            raise ValueError(
                f"w must be a contiguous {dtype} vector of {plan.layout.K} parameters, got {w.dtype}{w.shape}"
            )
        self.t = 0
        self.state = aligned((max(1, len(plan.method.state)), plan.layout.K), dtype)
        S = plan.shards
        self._wiring = Wiring(plan.layout, plan.loss, -(-min(plan.batch_size, len(self.X)) // S), dtype)
        self._layers, self._tail, size = self._wiring.for_training()
        self._work, self._grads = aligned((S, size), dtype), aligned((S, plan.layout.K), dtype)
        self._sums = np.zeros((S, 8))  # a line of its own for each shard
        self._pieces, self._hyper = plan.pieces(), plan.hyper_table()
        self._squares = np.zeros(len(self._pieces))
        self._method = method_address(plan.method, str(dtype))
        self._counter, self._round = np.zeros(8, np.int64), 0
        self._rate = 0.0  # steps per second
        self.at_slice: Callable[[], None] | None = None
        self._team = Team(min(check_threads(n_threads), S))

    @property
    def n_rows(self) -> int:
        return len(self.X)

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.X) // self.plan.batch_size)

    def epochs(self, orders: np.ndarray, step_sizes: Sequence[float] | np.ndarray | float) -> np.ndarray:
        """Move through one epoch for each line of `orders` (E × N row numbers; E × 0 for the order as it is).

        `step_sizes` is one number or one a step. Returns E × 2: the mean over rows of the loss, and of the penalty,
        each batch as it was before its step. Between slices of the work, when no thread moves anything, it calls
        `at_slice` if that is set; what it raises breaks the epoch off.
        """
        orders = np.ascontiguousarray(orders, np.int64)
        total = len(orders) * self.steps_per_epoch
        sizes = np.broadcast_to(np.asarray(step_sizes, float), total)
        tally = np.zeros((len(orders), 2))
        done = 0
        while done < total:
            if self.at_slice is not None:
                self.at_slice()
            count = min(total - done, self._slice())
            started = time.perf_counter()
            self._steps(orders, done, done + count, np.ascontiguousarray(sizes[done : done + count]), tally)
            self._rate = count / max(time.perf_counter() - started, 1e-9)
            done += count
        return tally / len(self.X)

    def _slice(self) -> int:
        if self._rate:
            return max(1, int(self._rate * SLICE_SECONDS))
        flop = 6 * self.plan.batch_size * self.plan.layout.n_weights
        return max(1, int(_FIRST_SLICE_FLOP / flop))

    def _steps(self, orders: np.ndarray, first: int, last: int, sizes: np.ndarray, tally: np.ndarray) -> None:
        kernel = kernels().train_steps
        rounds = [self._round] * self._team.n

        def work(thread: int) -> None:
            rounds[thread] = kernel(
                thread, self._team.n, self._counter, self._round,
                self.w, self.state, self._layers, self._wiring.parameters,
                self._wiring.loss, self._wiring.loss_parameters, self._method, self._hyper, self.plan.penalty,
                self.X, self.Y, self.weights, orders, self.plan.batch_size, first, last, self.t + 1, sizes,
                self._work, self._tail, self._grads, self._sums, self._pieces, self._squares, tally,
            )  # fmt: skip

        with one_blas_thread():
            self._team.run(work)
        self._round = rounds[0]
        self.t += last - first

    def snapshot(self) -> tuple[dict[str, int], dict[str, np.ndarray]]:
        """All that `epochs` moves, copied: (numbers, arrays) that `restore` puts back."""
        return {"t": self.t}, {name: getattr(self, name).copy() for name in _MOVED}

    def restore(self, numbers: dict[str, int], arrays: dict[str, np.ndarray]) -> None:
        """Put back what `snapshot` gave; arrays of another shape or dtype are a ValueError."""
        for name in _MOVED:
            own, array = getattr(self, name), arrays[name]
            if (own.shape, own.dtype) != (array.shape, array.dtype):
                raise ValueError(f"{name} is {own.dtype}{own.shape} here, {array.dtype}{array.shape} there")
            own[...] = array
        self.t = int(numbers["t"])

    def close(self) -> None:
        self._team.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _block(array: np.ndarray, dtype: np.dtype, columns: int, name: str) -> np.ndarray:
    if array.ndim != 2 or array.shape[1] != columns:
        raise ValueError(f"{name} must be rows × {columns}, got shape {array.shape}")
    array = np.ascontiguousarray(array, dtype)
    # Kernels are compiled for arrays that can be written to; a read-only one (memory-mapped, say) is copied.
    return array if array.flags.writeable else array.copy()
