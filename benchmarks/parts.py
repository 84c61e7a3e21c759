"""Where a step's time goes: python -m benchmarks.parts [WORKLOAD …] [--json FILE]

The parts of one step of Adam, each run alone over and over on one thread: gathering the rows of all shards, forward,
loss, backward, moving and packing the weights. Beside the products stand their GFLOP/s and what the machine's
multiply-add peak would make of them. On n threads all of it is shared out, and the threads meet twice a step. Where the
units of the first hidden layer are dealt out in groups (mnist), these are the parts of the step that deals out rows.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from benchmarks.peak import meeting_seconds, multiply_add_peak
from benchmarks.speed import WORKLOADS, Workload
from chainrule.descent import get_method
from chainrule.engine import Plan, Run, moving, passes
from chainrule.engine.columns import START, STOP
from chainrule.engine.records import Rows
from chainrule.network import Layout, get_loss


@njit(nogil=True)
def _gather(many, net, rows, desk, how, n):
    for _ in range(many):
        passes.fetch(rows, 0, n, desk.work, 0, desk.tail)


@njit(nogil=True)
def _forward(many, net, rows, desk, how, n):
    x, _, _ = passes.fetch(rows, 0, n, desk.work, 0, desk.tail)
    for _ in range(many):
        passes.forward(net, x, n, desk.work, 0, desk.tail, np.uint32(0), rows, 0, 0)


@njit(nogil=True)
def _forward_and_loss(many, net, rows, desk, how, n):
    x, y, _ = passes.fetch(rows, 0, n, desk.work, 0, desk.tail)
    for _ in range(many):
        passes.error_of_rows(net, x, y, n, desk.work, 0, desk.tail, np.uint32(0), rows, 0)


@njit(nogil=True)
def _backward(many, net, rows, desk, how, n):
    x, _, _ = passes.fetch(rows, 0, n, desk.work, 0, desk.tail)
    for _ in range(many):
        passes.deltas_down(net, n, desk.work, 0, 0)
        passes.own_gradients(net, x, n, desk.work, 0, desk.tail)


@njit(nogil=True)
def _gradients(many, net, rows, desk, how, n):
    sizes = desk.work.shape[0], n, n
    for _ in range(many):
        for p in range(how.pieces.shape[0]):
            g = moving.place_of(desk, 0, how.pieces[p, START], how.pieces[p, STOP])
            moving.gradient_of_piece(net, rows, desk, how.pieces[p], 0, 0, sizes, g)


@njit(nogil=True)
def _gradients_and_move(many, net, rows, desk, how, n):
    sizes = desk.work.shape[0], n, n
    for _ in range(many):
        moving.move(0, 1, net, rows, desk, how, 0, sizes, 256.0, 1.0, 5, 0.0, 0.0)


def seconds(part: Any, *arguments: Any) -> float:
    """The least of nine rounds of 20 ms each, for one time."""
    part(1, *arguments)
    started = time.perf_counter()
    part(1, *arguments)
    many = max(1, int(0.02 / (time.perf_counter() - started)))
    found = []
    for _ in range(9):
        started = time.perf_counter()
        part(many, *arguments)
        found.append((time.perf_counter() - started) / many)
    return min(found)


class ByRows(Plan):
    """A plan that deals out rows alone."""

    groups = ()


def parts(load: Workload) -> dict[str, float]:
    """Seconds of each part of a step, those of the shards for all shards."""
    sizes = [load.inputs, *load.hidden, load.outputs]
    layout = Layout.of(sizes, load.activation, "softmax" if load.classes else "identity")
    loss = get_loss("softmax_cross_entropy" if load.classes else "squared")
    plan = ByRows(layout, loss, get_method("adam"), batch_size=load.batch, dtype=load.dtype)
    X, y = load.data()
    Y = np.eye(load.outputs, dtype=load.dtype)[y] if load.classes else y[:, None]
    w = layout.first_weights(np.random.default_rng(0)).astype(load.dtype)
    with Run(plan, w, X, Y, n_threads=1) as run:
        order = np.random.default_rng(0).permutation(load.rows)
        run.epochs(order[None], 1e-3)
        S, n = plan.shards, load.batch // plan.shards
        given = run._net, Rows(run.X, run.Y, run.weights, order, run.names), run._desk, run._how, n
        forward, gradients = seconds(_forward, *given), seconds(_gradients, *given)
        return {
            "rows": S * seconds(_gather, *given), "forward": S * forward,
            "loss": S * (seconds(_forward_and_loss, *given) - forward),
            "backward": S * seconds(_backward, *given) + gradients,
            "move": seconds(_gradients_and_move, *given) - gradients,
        }  # fmt: skip


def report(name: str, load: Workload, peak: float) -> dict[str, Any]:
    found = parts(load)
    products = [m * n for m, n in itertools.pairwise([load.inputs, *load.hidden, load.outputs])]
    flop = {
        "forward": 2.0 * load.batch * sum(products),
        "backward": 2.0 * load.batch * (2 * sum(products) - products[0]),
    }
    print(f"\n{name}: µs a step on one thread")
    for part, took in found.items():
        words = f"  {part:10}{took * 1e6:10.1f}"
        if part in flop:
            words += f"   {flop[part] / took / 1e9:6.1f} GFLOP/s, {flop[part] / took / 1e9 / peak:.0%} of the peak"
        print(words)
    bound = sum(flop.values()) / peak / 1e9
    print(f"  {'all':10}{sum(found.values()) * 1e6:10.1f}   of which the products at the peak would take "
          f"{bound * 1e6:.1f}", flush=True)  # fmt: skip
    return {"seconds": found, "flop": flop, "products_at_the_peak": bound}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}; default the five")
    parser.add_argument("--json", help="write the numbers to this file")
    given = parser.parse_args()
    unknown = [name for name in given.workloads if name not in WORKLOADS]
    if unknown:
        parser.error(f"unknown workload {unknown[0]!r}; there are {', '.join(WORKLOADS)}")
    peak = {dtype: multiply_add_peak(dtype, 1) for dtype in ("float32", "float64")}
    print(f"peak of one core: {peak['float32']:.0f} GFLOP/s in float32; a meeting of two threads takes "
          f"{meeting_seconds() * 1e9:.0f} ns")  # fmt: skip
    names = given.workloads or list(WORKLOADS)[:5]
    found = {name: report(name, WORKLOADS[name], peak[WORKLOADS[name].dtype]) for name in names}
    if given.json:
        Path(given.json).write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
