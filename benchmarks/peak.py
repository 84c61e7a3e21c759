"""What this processor can do at most: multiply-adds that touch no memory, and bare matrix products by BLAS."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.typing import signature
from numba.extending import intrinsic
from threadpoolctl import threadpool_limits

from chainrule.engine.columns import COUNTER_SIZE
from chainrule.engine.meeting import meet
from chainrule.engine.processor import REGISTERS, VECTOR

# As many independent sums as a tile has: enough to hide the latency of a multiply-add.
_SUMS = {16: 12, 32: 24}[REGISTERS]


@intrinsic
def _multiply_adds(typing_context, like, n):
    """n rounds of _SUMS vector multiply-adds in registers; a number that depends on all of them."""

    def codegen(context, builder, sig, args):
        itemsize = sig.args[0].bitwidth // 8
        number = ir.FloatType() if itemsize == 4 else ir.DoubleType()
        vector = ir.VectorType(number, VECTOR // itemsize)
        letters = f"v{vector.count}{'f32' if itemsize == 4 else 'f64'}"
        kind = ir.FunctionType(vector, [vector] * 3)
        fma = builder.module.declare_intrinsic(f"llvm.fmuladd.{letters}", (), kind)
        factor = ir.Constant(vector, [1.0 - 1e-6] * vector.count)
        start, loop, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(args[1].type)
        sums = [builder.phi(vector) for _ in range(_SUMS)]
        new = [builder.call(fma, [x, factor, factor]) for x in sums]
        following = builder.add(k, ir.Constant(args[1].type, 1))
        for phi, first, value in [(k, ir.Constant(args[1].type, 0), following)] + [
            (x, ir.Constant(vector, [float(i)] * vector.count), y)
            for i, (x, y) in enumerate(zip(sums, new, strict=True))
        ]:
            phi.add_incoming(first, start)
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[1]), loop, done)
        builder.position_at_end(done)
        total = new[0]
        for x in new[1:]:
            total = builder.fadd(total, x)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return signature(like, like, types.int64), codegen


@njit(nogil=True)
def _spin(like, n):
    return _multiply_adds(like, n)


def multiply_add_peak(dtype: str, threads: int, seconds: float = 0.15, rounds: int = 3) -> float:
    """GFLOP/s of multiply-adds in registers, on so many threads at once; the best of some rounds: it is a peak."""
    like = np.dtype(dtype).type(1.0)
    _spin(like, 1000)
    begun = time.perf_counter()
    _spin(like, 2_000_000)
    n = max(1, int(2_000_000 * seconds / (time.perf_counter() - begun)))
    taken = min(_together(lambda: _spin(like, n), threads) for _ in range(rounds))
    return 2.0 * _SUMS * (VECTOR // np.dtype(dtype).itemsize) * n * threads / taken / 1e9


def _together(work: Callable[[], object], threads: int) -> float:
    """Seconds that so many threads take, each with all of the work."""
    workers = [threading.Thread(target=work) for _ in range(threads)]
    begun = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - begun


@njit(nogil=True)
def _meetings(counter, many):
    for k in range(many):
        meet(counter, 2, 2 * (k + 1))


def meeting_seconds(many: int = 100_000) -> float:
    """Seconds of a meeting of two threads: how far apart, in time, the two cores are at the moment."""
    _meetings(np.zeros(COUNTER_SIZE, np.int64), 0)
    counter = np.zeros(COUNTER_SIZE, np.int64)
    return _together(lambda: _meetings(counter, many), 2) / many


def step_flop(sizes: list[int], batch: int) -> float:
    """Multiplications and additions of the matrix products of one step: forward, gradient of A_l, delta passed back."""
    products = [m * n for m, n in itertools.pairwise(sizes)]
    return 2.0 * batch * (3 * sum(products) - products[0])


def products_seconds(sizes: list[int], batch: int, dtype: str, threads: int) -> float:
    """Seconds of the bare matrix products of one step by NumPy's BLAS."""
    rng = np.random.default_rng(0)
    pairs = []
    for l, (m, n) in enumerate(itertools.pairwise(sizes)):
        a, A, d = (rng.standard_normal(shape).astype(dtype) for shape in ((batch, m), (m, n), (batch, n)))
        pairs += [(a, A), (a.T, d)] + ([(d, A.T)] if l else [])
    out = [np.empty((p.shape[0], q.shape[1]), dtype) for p, q in pairs]

    def once() -> None:
        for (p, q), o in zip(pairs, out, strict=True):
            np.matmul(p, q, out=o)

    with threadpool_limits(threads):
        once()
        begun = time.perf_counter()
        once()
        repeats = max(1, int(0.05 / (time.perf_counter() - begun)))
        times = []
        for _ in range(5):
            begun = time.perf_counter()
            for _ in range(repeats):
                once()
            times.append((time.perf_counter() - begun) / repeats)
    return min(times)
