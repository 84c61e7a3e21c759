"""Time per epoch beside the peers: python -m benchmarks.speed [WORKLOAD …] [--peers sklearn,torch] [--plot FILE]

Every workload trains one epoch of Adam at a time, float32, mean loss, rows shuffled, standard-normal inputs. Peers,
each in its best form and a process of its own, take turns (A B A B …); the table has medians, and ratios to chainrule
in the same run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.peak import multiply_add_peak, products_seconds, step_flop


@dataclass(frozen=True)
class Workload:
    rows: int
    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    classes: bool
    batch: int
    activation: str = "relu"
    dtype: str = "float32"

    @property
    def steps(self) -> int:
        return -(-self.rows // self.batch)

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        X = rng.standard_normal((self.rows, self.inputs)).astype(self.dtype)
        if self.classes:
            return X, rng.integers(0, self.outputs, self.rows)
        return X, (X[:, 0] * X[:, 1] + 0.1 * rng.standard_normal(self.rows)).astype(self.dtype)


WORKLOADS = {
    "tiny": Workload(1_000, 2, (16, 16), 1, False, 32),
    "digits": Workload(1_797, 64, (100,), 10, True, 200),
    "table": Workload(20_000, 50, (128, 64), 1, False, 256),
    "wide": Workload(20_000, 100, (256, 256), 10, True, 256),
    "mnist": Workload(20_000, 784, (512, 256), 10, True, 256),
    "tanh": Workload(20_000, 50, (128, 64), 1, False, 256, "tanh"),
    "logistic": Workload(20_000, 50, (128, 64), 1, False, 256, "logistic"),
    "digits64": Workload(1_797, 64, (100,), 10, True, 200, dtype="float64"),
    "table64": Workload(20_000, 50, (128, 64), 1, False, 256, dtype="float64"),
}


# Each contestant is a function of a number of epochs, one by default. Where the call of one costs something beside the
# training, several short ones are a call: up to so many that take about this long together, as `fit` does it here.
TOGETHER, TOGETHER_SECONDS = 11, 0.05
Epochs = Callable[..., object]


def by_stretches(stretch: Callable[[int], object], alone: Callable[[], object]) -> Epochs:
    """Epochs in calls of TOGETHER, and the rest one by one; one by one too where they are long."""
    alone()
    started = time.perf_counter()
    alone()
    short = time.perf_counter() - started < TOGETHER_SECONDS / TOGETHER

    def epochs(count: int = 1) -> None:
        for _ in range(count // TOGETHER if short else 0):
            stretch(TOGETHER)
        for _ in range(count % TOGETHER if short else count):
            alone()

    return epochs


def chainrule_epoch(load: Workload, threads: int | None = None) -> Epochs:
    from chainrule.descent import get_method
    from chainrule.engine import Plan, Run
    from chainrule.network import Layout, get_loss

    X, y = load.data()
    Y = np.eye(load.outputs, dtype=load.dtype)[y] if load.classes else y[:, None]
    sizes = [load.inputs, *load.hidden, load.outputs]
    layout = Layout.of(sizes, load.activation, "softmax" if load.classes else "identity")
    loss = get_loss("softmax_cross_entropy" if load.classes else "squared")
    plan = Plan(layout, loss, get_method("adam"), batch_size=load.batch, dtype=load.dtype)
    w = layout.first_weights(np.random.default_rng(0)).astype(load.dtype)
    run = Run(plan, w, X, Y, n_threads=threads)
    rng = np.random.default_rng(0)

    def stretch(count: int) -> None:
        run.epochs(np.stack([rng.permutation(load.rows) for _ in range(count)]), 1e-3)

    return by_stretches(stretch, lambda: stretch(1))


def sklearn_epoch(load: Workload, threads: int) -> Epochs:
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from threadpoolctl import threadpool_limits

    X, y = load.data()
    model = (MLPClassifier if load.classes else MLPRegressor)(
        hidden_layer_sizes=load.hidden, activation=load.activation, batch_size=load.batch, alpha=0.0, warm_start=True,
        random_state=0, n_iter_no_change=10**9,
    )  # fmt: skip

    def epochs(count: int = 1) -> None:
        with warnings.catch_warnings(), threadpool_limits(threads):
            warnings.simplefilter("ignore")
            model.set_params(max_iter=count).fit(X, y)

    return epochs


def torch_epoch(load: Workload, threads: int) -> Epochs:
    import torch

    X, y = map(torch.from_numpy, load.data())
    y = y if load.classes else y[:, None]
    sigma = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "logistic": torch.nn.Sigmoid}[load.activation]
    sizes, layers = [load.inputs, *load.hidden], []
    for m, n in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(m, n), sigma()]
    net = torch.nn.Sequential(*layers, torch.nn.Linear(sizes[-1], load.outputs)).to(X.dtype)
    descent = torch.optim.Adam(net.parameters(), fused=True)
    loss = torch.nn.CrossEntropyLoss() if load.classes else torch.nn.MSELoss()

    def epochs(count: int = 1) -> None:
        torch.set_num_threads(threads)
        for _ in range(count):
            order = torch.randperm(load.rows)
            for lo in range(0, load.rows, load.batch):
                rows = order[lo : lo + load.batch]
                descent.zero_grad(set_to_none=True)
                loss(net(X[rows]), y[rows]).backward()
                descent.step()

    return epochs


def jax_epoch(load: Workload, threads: int) -> Epochs:
    import jax
    import jax.numpy as jnp

    if load.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    X, y = map(jnp.asarray, load.data())
    sigma = {"relu": jax.nn.relu, "tanh": jnp.tanh, "logistic": jax.nn.sigmoid}[load.activation]
    sizes, rng = [load.inputs, *load.hidden, load.outputs], np.random.default_rng(0)
    params = [
        (jnp.asarray(rng.normal(0, m**-0.5, (m, n)), X.dtype), jnp.zeros(n, X.dtype))
        for m, n in itertools.pairwise(sizes)
    ]

    def mean_loss(params, x, t):
        for A, b in params[:-1]:
            x = sigma(x @ A + b)
        z = x @ params[-1][0] + params[-1][1]
        if load.classes:
            return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), t[:, None], 1))
        return 0.5 * jnp.mean((z[:, 0] - t) ** 2)

    def step(carry, rows):
        params, m, v, k = carry
        g = jax.grad(mean_loss)(params, X[rows], y[rows])
        k = k + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**k) / (1 - 0.9**k)
        params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), params, m, v)
        return (params, m, v, k), None

    def epoch(carry, key):
        # scan needs equal batches: the last, shorter one is left out (a slight advantage for this peer)
        order = jax.random.permutation(key, load.rows)[: load.rows // load.batch * load.batch]
        return jax.lax.scan(step, carry, order.reshape(-1, load.batch))[0], None

    run = jax.jit(lambda carry, keys: jax.lax.scan(epoch, carry, keys)[0])
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = {"carry": (params, zeros, zeros, jnp.zeros((), X.dtype)), "key": jax.random.PRNGKey(0)}

    def stretch(count: int) -> None:
        state["key"], *keys = jax.random.split(state["key"], count + 1)
        state["carry"] = jax.block_until_ready(run(state["carry"], jnp.stack(keys)))

    return by_stretches(stretch, lambda: stretch(1))


# A processor that was idle meanwhile needs some hundredths of a second to come up to speed.
TURN_SECONDS = 0.4
EPOCHS = {"sklearn": sklearn_epoch, "torch": torch_epoch, "jax": jax_epoch, "chainrule": chainrule_epoch}


def serve(line: Connection, who: str, load: Workload, threads: int) -> None:
    """A contestant's process: seconds of so many epochs, as often as it is asked."""
    try:
        epochs = EPOCHS[who](load, threads)
    except ImportError as why:
        line.send(str(why))
        return
    line.send("")
    while (count := line.recv()) > 0:
        start = time.perf_counter()
        epochs(count)
        line.send(time.perf_counter() - start)


class Contestant:
    """One peer in a process of its own, where no idle threads of another wait for work."""

    def __init__(self, who: str, load: Workload, threads: int):
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, who, load, threads), daemon=True)
        self._process.start()
        self.missing: str = self._line.recv()

    def seconds(self, epochs: int) -> float:
        self._line.send(epochs)
        return self._line.recv()

    def close(self) -> None:
        if not self.missing:
            self._line.send(0)
        self._process.join()


def contestants(load: Workload, peers: list[str]) -> dict[str, Contestant]:
    """Every peer that is installed, at one and at two threads where that can be chosen (JAX takes what there is)."""
    found: dict[str, Contestant] = {}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for peer in [*peers, "chainrule"]:
        for threads in [cores] if peer == "jax" else sorted({1, cores}):
            contestant = Contestant(peer, load, threads)
            if contestant.missing:
                print(f"{peer} is left out: {contestant.missing} (pip install 'chainrule[peers]')")
                contestant.close()
                break
            found[f"{peer}/{threads}"] = contestant
    return found


def measure(load: Workload, peers: list[str], rounds: int) -> dict[str, float]:
    """Median seconds per epoch of each contestant, taking turns; short epochs are repeated to last a turn."""
    runners = contestants(load, peers)
    repeats = {}
    for name, runner in runners.items():
        runner.seconds(2)
        repeats[name] = max(1, int(TURN_SECONDS / runner.seconds(1)))
        runner.seconds(repeats[name])  # a turn that does not count: in the first one something may be compiled
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, runner in runners.items():
            times[name].append(runner.seconds(repeats[name]) / repeats[name])
    for runner in runners.values():
        runner.close()
    return {name: statistics.median(values) for name, values in times.items()}


def best(times: dict[str, float], peer: str) -> float | None:
    return min((t for name, t in times.items() if name.split("/")[0] == peer), default=None)


def report(name: str, load: Workload, times: dict[str, float], peers: list[str], cores: int) -> dict[str, Any]:
    """Print one workload's lines: times, ratios, GFLOP/s and what they are of the peak and of bare products."""
    sizes = [load.inputs, *load.hidden, load.outputs]
    ours = best(times, "chainrule")
    assert ours is not None
    flop = step_flop(sizes, load.batch)
    rate = flop * load.rows / load.batch / ours / 1e9
    peak = max(multiply_add_peak(load.dtype, n) for n in sorted({1, cores}))
    bare = min(products_seconds(sizes, load.batch, load.dtype, n) for n in sorted({1, cores}))
    ratios = {peer: t / ours for peer in peers if (t := best(times, peer)) is not None}
    per_step = "  ".join(f"{who} {1e6 * t / load.steps:,.1f}" for who, t in times.items())
    print(f"{name:10} µs per step: {per_step}")
    print(f"{'':10} times chainrule's best: " + "  ".join(f"{peer} {ratio:.2f}" for peer, ratio in ratios.items()))
    print(
        f"{'':10} {rate:.1f} GFLOP/s, {rate / peak:.0%} of the multiply-add peak ({peak:.0f}); bare products by BLAS "
        f"take {bare * 1e6:,.1f} µs, {bare / (ours / load.steps):.2f} of our step",
        flush=True,
    )
    return {"seconds": times, "ratios": ratios, "gflops": rate, "peak": peak, "bare_products_seconds": bare}


def draw(results: dict[str, Any], path: str) -> None:
    """Ratios as bars, one group a workload."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    peers = sorted({peer for entry in results.values() for peer in entry["ratios"]})
    figure, axes = plt.subplots(figsize=(8, 3.5), layout="constrained")
    for k, peer in enumerate(peers):
        places = [i + (k - (len(peers) - 1) / 2) * 0.8 / len(peers) for i in range(len(results))]
        axes.bar(places, [entry["ratios"].get(peer, 0.0) for entry in results.values()], 0.8 / len(peers), label=peer)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_yscale("log")
    axes.set_xticks(range(len(results)), list(results))
    axes.set_ylabel("time of an epoch / chainrule's")
    axes.legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS), metavar="WORKLOAD")
    parser.add_argument("--peers", default="sklearn,torch,jax")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="write times, ratios and rates to this file")
    parser.add_argument("--plot", help="draw the ratios to this picture")
    given = parser.parse_args()
    unknown = [name for name in given.workloads if name not in WORKLOADS]
    if unknown:
        parser.error(f"unknown workload {unknown[0]!r}; there are {', '.join(WORKLOADS)}")
    peers = [p for p in given.peers.split(",") if p]
    for peer in peers:
        if peer not in EPOCHS or peer == "chainrule":
            parser.error(f"--peers takes {', '.join(p for p in EPOCHS if p != 'chainrule')}, got {peer!r}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    everything = {}
    for name in given.workloads:
        load = WORKLOADS[name]
        everything[name] = report(name, load, measure(load, peers, given.rounds), peers, cores)
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump(everything, file, indent=1)
    if given.plot:
        draw(everything, given.plot)


if __name__ == "__main__":
    main()
