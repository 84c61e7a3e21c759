"""Functions of one's own beside the built-in ones: python -m benchmarks.own_functions [--rounds 9] [--threads N]

Time of an epoch on the workload `table` of benchmarks.speed (Adam, float32, rows shuffled). The two take turns
(A B A B …); the table has medians and the share of the built-in's speed that the own function reaches. The goal is at
least a third; below it the exit status is 1.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.speed import WORKLOADS
from chainrule.descent import get_method
from chainrule.engine import Plan, Run
from chainrule.network import Layout, get_loss

LOAD = WORKLOADS["table"]
GOAL = 1 / 3


def half_square(y, p):
    return 0.5 * (p - y) ** 2


def huber(y, p):
    r = np.abs(p - y)
    return np.where(r <= 1.0, 0.5 * r**2, r - 0.5)


def log_cosh(y, p):
    return np.log(np.cosh(p - y))


def relu(z):
    return np.maximum(z, 0.0)


def silu(z):
    return z / (1.0 + np.exp(-z))


def wave(z):
    return z + 0.5 * np.sin(z) ** 2


# What is compared: (activation, loss) built in, (activation, loss) of one's own.
PAIRS: dict[str, tuple[tuple[Any, Any], tuple[Any, Any]]] = {
    "loss: half square": (("relu", "squared"), ("relu", half_square)),
    "loss: huber": (("relu", "huber"), ("relu", huber)),
    "loss: log cosh, to huber": (("relu", "huber"), ("relu", log_cosh)),
    "activation: relu": (("relu", "squared"), (relu, "squared")),
    "activation: tanh": (("tanh", "squared"), (np.tanh, "squared")),
    "activation: silu": (("silu", "squared"), (silu, "squared")),
    "activation: z + ½ sin² z, to silu": (("silu", "squared"), (wave, "squared")),
    "both: relu, half square": (("relu", "squared"), (relu, half_square)),
}


def epoch(activation: Any, loss: Any, n_threads: int | None) -> Callable[[], object]:
    """One epoch of the workload as a function; the run goes on from call to call."""
    X, y = LOAD.data()
    layout = Layout.of([LOAD.inputs, *LOAD.hidden, LOAD.outputs], activation, "identity")
    plan = Plan(layout, get_loss(loss), get_method("adam"), batch_size=LOAD.batch, dtype=LOAD.dtype)
    w = layout.first_weights(np.random.default_rng(0), "glorot_uniform").astype(LOAD.dtype)
    run = Run(plan, w, X, y[:, None], n_threads=n_threads)
    rng = np.random.default_rng(0)
    return lambda: run.epochs(rng.permutation(LOAD.rows)[None], 1e-3)


def medians(runners: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, taking turns, after two calls that compile and warm up."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(rounds + 2):
        for name, runner in runners.items():
            start = time.perf_counter()
            runner()
            if turn >= 2:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=None)
    given = parser.parse_args()
    worst = 1.0
    print(f"{'':36}{'built in':>10}{'own':>10}   own's speed")
    for name, (built_in, own) in PAIRS.items():
        found = medians({"built in": epoch(*built_in, given.threads), "own": epoch(*own, given.threads)}, given.rounds)
        share = found["built in"] / found["own"]
        worst = min(worst, share)
        print(f"{name:36}{1e3 * found['built in']:7.1f} ms{1e3 * found['own']:7.1f} ms   {share:.2f}", flush=True)
    print(f"the slowest has {worst:.2f} of the built-in's speed; the goal is {GOAL:.2f}")
    return 0 if worst >= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
