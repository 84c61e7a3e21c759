"""How the time of a step grows: python -m benchmarks.scaling [--plot FILE] [--json FILE]

One of batch, width, depth and number of rows grows by factors of 2 over three decades while the others stay; beside the
time of a step stands the share of the machine's multiply-add peak that it reaches.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.peak import multiply_add_peak, step_flop
from benchmarks.speed import Workload, chainrule_epoch

BASE = Workload(20_000, 64, (64, 64), 1, False, 256)
SECONDS = 0.15  # of each measurement
# What grows -> its values, and the workload of each.
GROWTH: dict[str, list[tuple[int, Workload]]] = {
    "batch": [(b, dataclasses.replace(BASE, batch=b)) for b in (2**k for k in range(3, 14))],
    "width": [(d, dataclasses.replace(BASE, rows=4_096, hidden=(d, d))) for d in (2**k for k in range(1, 12))],
    "depth": [(n, dataclasses.replace(BASE, rows=4_096, hidden=(64,) * n)) for n in (2**k for k in range(10))],
    "rows": [(n, dataclasses.replace(BASE, rows=n)) for n in (2**k for k in range(8, 19))],
}


def seconds_of_a_step(load: Workload, rounds: int) -> float:
    """The median over rounds."""
    epoch = chainrule_epoch(load)
    epoch()
    started = time.perf_counter()
    epoch()
    repeats = max(1, int(SECONDS / (time.perf_counter() - started)))
    found = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(repeats):
            epoch()
        found.append((time.perf_counter() - started) / repeats / load.steps)
    return statistics.median(found)


def measure(rounds: int) -> dict[str, list[dict[str, Any]]]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    peak = multiply_add_peak("float32", cores)
    print(f"peak: {peak:.0f} GFLOP/s on {cores} cores")
    print(f"{'':8}{'':>8}{'MFLOP a step':>14}{'µs a step':>12}{'of the peak':>13}")
    results: dict[str, list[dict[str, Any]]] = {}
    for what, loads in GROWTH.items():
        results[what] = []
        for value, load in loads:
            flop = step_flop([load.inputs, *load.hidden, load.outputs], min(load.batch, load.rows))
            took = seconds_of_a_step(load, rounds)
            share = flop / took / 1e9 / peak
            results[what].append({"value": value, "flop": flop, "seconds": took, "share": share})
            print(f"{what:8}{value:8,}{flop / 1e6:14,.3f}{took * 1e6:12,.2f}{share:12.0%}", flush=True)
    return results


def draw(results: dict[str, list[dict[str, Any]]], path: str) -> None:
    """Time against multiplications, one line for each thing that grows."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for what, lines in results.items():
        axes.loglog([line["flop"] for line in lines], [line["seconds"] for line in lines], "o-", ms=4, label=what)
    most = max((line for lines in results.values() for line in lines), key=lambda line: line["share"])
    flops = [min(line["flop"] for lines in results.values() for line in lines), most["flop"]]
    rate = most["flop"] / most["seconds"]
    axes.loglog(flops, [flop / rate for flop in flops], "k--", lw=0.8, label="the best rate seen")
    axes.set_xlabel("floating-point operations of a step")
    axes.set_ylabel("seconds of a step")
    axes.legend(title="what grows")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plot", help="draw time against operations to this picture")
    parser.add_argument("--json", help="write all figures to this file")
    given = parser.parse_args()
    results = measure(given.rounds)
    if given.json:
        Path(given.json).write_text(json.dumps(results, indent=1), encoding="utf-8")
    if given.plot:
        draw(results, given.plot)


if __name__ == "__main__":
    main()
