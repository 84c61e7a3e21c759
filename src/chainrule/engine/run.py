"""Floor 2, engine: one training run under way, moved by whole epochs of minibatches without returning to Python."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from . import columns
from .compiled import KERNELS, UNITS, ahead
from .cores import check_threads
from .plan import Plan, Wiring, aligned, desk
from .records import Move, Rows
from .source import method_address
from .threads import Crew, Pace

_FIRST_SLICE_FLOP = 2e7
# What a first training waits for, and the first prediction after it.
_WANTED = "product", "product_across", KERNELS.predict_rows, "product_of_few"
# The arrays of a run that its steps move.
_MOVED = ("w", "state", "average")


class Run:
    """The state of one training: w, the method's state vectors and its step count; `epochs` moves them.

    X is N × D_0, Y is N × D_L, `weights` has one number ≥ 0 a row or is None; w is moved in place. The bits of the
    result depend on the plan and the order of rows, not on `n_threads`. Close it (or use it in a `with`) to end
    its threads. Only a run that `keeps_gradient` has the `gradient` of its last step.
    """

    def __init__(
        self,
        plan: Plan,
        w: np.ndarray,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None = None,
        n_threads: int | None = None,
        keeps_gradient: bool = False,
    ):
        self.plan, self.w = plan, w
        dtype = np.dtype(plan.dtype)
        self._kernel = UNITS.train_by_units if plan.groups else KERNELS.train_steps
        ahead((self._kernel, *_WANTED), str(dtype))
        self.X, self.Y = _block(X, dtype, plan.layout.sizes[0], "X"), _block(Y, dtype, plan.layout.sizes[-1], "Y")
        self.weights = np.zeros(0, dtype) if weights is None else np.array(weights, dtype)
        if w.dtype != dtype or w.shape != (plan.layout.K,) or not (w.flags.c_contiguous and w.flags.writeable):
            raise ValueError(
                f"w must be a contiguous {dtype} vector of {plan.layout.K} parameters that may be written to, "
                f"got {w.dtype}{w.shape}"
            )
        self.names = np.zeros(0, np.int64)  # what dropout knows the rows by; nothing: their numbers
        self.t = 0
        self.state = aligned((max(1, len(plan.method.state)), plan.layout.K), dtype)
        self.average = w.copy() if plan.average is not None else np.zeros(0, dtype)
        S = plan.shards
        wiring = Wiring(plan.layout, plan.loss, -(-min(plan.batch_size, len(self.X)) // S), dtype)
        pieces, parts = plan.pieces(), plan.parts()
        largest = int(max(pieces[:, columns.STOP] - pieces[:, columns.START], default=0))
        layers, tail, size, panels_size = wiring.for_training(
            plan.dropout, plan.frozen, largest, plan.own_gradients(), parts
        )
        self._net = wiring.net(w, layers, panels_size, plan.dropout_rates())
        self._nets = [self._net, self._net._replace(layers=wiring.of_parts(layers, parts))] if parts else [self._net]
        keeps = keeps_gradient or plan.clip is not None
        self._desk = desk(S, size, tail, (int(keeps), plan.layout.K), dtype)
        self._how = Move(
            method_address(plan.method, str(dtype)), plan.hyper_table(), plan.rules(), self.state, self.average,
            pieces, *np.zeros((2, len(pieces))),
        )  # fmt: skip
        self.at_slice: Callable[[], None] | None = None
        self._crew = Crew(min(check_threads(n_threads), S))
        flop = 6 * plan.batch_size * plan.layout.n_weights
        self._pace = Pace(_powers_of_two(self._crew.n), int(_FIRST_SLICE_FLOP / flop))

    @property
    def result(self) -> np.ndarray:
        """What the run is made for: the running average of w where the plan asks for one, else w itself."""
        return self.average if self.plan.average is not None else self.w

    @property
    def gradient(self) -> np.ndarray:
        """What the method was given in the last step: of the mean, with penalties, clipped; 0 where w is frozen."""
        if not self._desk.grads.size:
            raise RuntimeError("this run keeps no gradient; make it with keeps_gradient=True")
        found = np.zeros_like(self.w)
        for lo, hi in self._how.pieces[:, [columns.START, columns.STOP]]:
            found[lo:hi] = self._desk.grads[0, lo:hi]
        return found

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
        sizes = np.empty(total)
        sizes[...] = step_sizes
        tally = np.zeros((len(orders), 2))
        rows = Rows(self.X, self.Y, self.weights, orders.ravel(), self.names)
        done = 0
        while done < total:
            if self.at_slice is not None:
                self.at_slice()
            n, count = self._pace.next()
            count = min(total - done, count)
            started = time.perf_counter()
            self._steps(n, rows, done, done + count, sizes[done : done + count], tally)
            self._pace.note(n, self._whole_steps(done, count), time.perf_counter() - started)
            done += count
        return tally / len(self.X)

    def _whole_steps(self, first: int, count: int) -> float:
        """How many steps of a whole batch the rows of these would make: an epoch's last step may have fewer."""
        per_epoch, batch = self.steps_per_epoch, self.plan.batch_size
        last_ones = (first + count) // per_epoch - first // per_epoch
        return count - last_ones * (per_epoch - len(self.X) / batch)

    def _steps(self, n: int, rows: Rows, first: int, last: int, sizes: np.ndarray, tally: np.ndarray) -> None:
        arguments = (
            *self._nets, rows, self._desk, self._how, self.plan.seed, self.plan.batch_size, first, last, self.t + 1,
            sizes, self._mixes(last - first), tally,
        )  # fmt: skip
        self._crew.run(self._kernel, arguments, n)
        self.t += last - first

    def _mixes(self, count: int) -> np.ndarray:
        """The share of the new w in the average at each of the next steps: its weights always sum to 1."""
        beta = self.plan.average
        if beta is None:
            return np.zeros(count)
        t = self.t + 1.0 + np.arange(count)
        return (1.0 - beta) / (1.0 - beta**t) if beta > 0 else np.ones(count)

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
        self._crew.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _powers_of_two(most: int) -> list[int]:
    return sorted({1 << k for k in range(most.bit_length())} | {most})


def _block(array: np.ndarray, dtype: np.dtype, columns: int, name: str) -> np.ndarray:
    if array.ndim != 2 or array.shape[1] != columns:
        raise ValueError(f"{name} must be rows × {columns}, got shape {array.shape}")
    # aligned, too: the machine code is that of such arrays
    return np.require(array, dtype, ("C_CONTIGUOUS", "ALIGNED"))
