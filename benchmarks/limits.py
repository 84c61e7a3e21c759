"""What else the engine must keep to: python -m benchmarks.limits [NAME …]

Each line is one measurement of this run, the goal beside it, and whether it is met: activations and float width beside
the workload `table`, a fit in a fresh process, the first compilation, L-BFGS, predictions, memory, several fits at
once, an oversubscribed machine, denormal numbers. The exit status is 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.speed import WORKLOADS, Workload, chainrule_epoch, jax_epoch, sklearn_epoch, torch_epoch

ROUNDS = 5
# A turn lasts about so long, and what runs before any is measured: a run finds out meanwhile how many threads pay, and
# what the first call wants compiled other processes may still be at.
TURN_SECONDS, WARMING_SECONDS = 0.2, 0.5
# What is measured -> (value, "≤" or "≥", goal, unit); a sign of "" has no goal: another line is to be read by it
Line = tuple[str, float, str, float, str]

DIGITS = """
import warnings
warnings.simplefilter("ignore")
from sklearn.datasets import load_digits
X, y = load_digits(return_X_y=True)
MLPClassifier(random_state=0).fit(X, y)
"""


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def side_by_side(*functions: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """The median seconds of each, taking turns; each is warmed up first."""
    counts = [warmed_up(function) for function in functions]
    times = [
        [seconds(several(function, count)) / count for function, count in zip(functions, counts, strict=True)]
        for _ in range(rounds)
    ]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def warmed_up(function: Callable[[], object]) -> int:
    """Run it until it is warm; how often it fits into a turn."""
    taken = [seconds(function)]
    while sum(taken) < WARMING_SECONDS:
        taken.append(seconds(function))
    return max(1, int(TURN_SECONDS / taken[-1]))


def several(function: Callable[[], object], times: int) -> Callable[[], object]:
    return lambda: [function() for _ in range(times)]


def python(code: str, **environment: str) -> str:
    """What a fresh process prints. It may keep its bytecode, as installed packages do."""
    surroundings = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=surroundings | environment
    )
    return done.stdout


def activations() -> Iterator[Line]:
    """tanh and logistic beside relu, on `table`."""
    epochs = [chainrule_epoch(WORKLOADS[name]) for name in ("table", "tanh", "logistic")]
    relu, tanh, logistic = side_by_side(*epochs)
    yield "tanh / relu on table", tanh / relu, "≤", 1.15, ""
    yield "logistic / relu on table", logistic / relu, "≤", 1.15, ""


def widths() -> Iterator[Line]:
    """float64 beside float32, and beside the peers in float64."""
    for name in ("digits", "table"):
        short, wide = (chainrule_epoch(WORKLOADS[n]) for n in (name, f"{name}64"))
        narrow, double = side_by_side(short, wide)
        yield f"float32 / float64 on {name}", narrow / double, "≥", 0.5, ""
        yield from _peers_in_float64(WORKLOADS[f"{name}64"], name)


def _peers_in_float64(load: Workload, name: str) -> Iterator[Line]:
    for peer, epoch in (("sklearn", sklearn_epoch), ("torch", torch_epoch), ("jax", jax_epoch)):
        try:
            runners = [epoch(load, n) for n in (1, 2)]
        except ModuleNotFoundError:
            continue
        own, *theirs = side_by_side(chainrule_epoch(load), *runners)
        yield f"{peer} / chainrule in float64 on {name}", min(theirs) / own, "≥", 1.0, ""


def fresh() -> Iterator[Line]:
    """A script that imports and fits digits, in a fresh process; the help of the command line."""
    modules = ("chainrule", "sklearn.neural_network")
    ours, theirs = (f"from {module} import MLPClassifier" + DIGITS for module in modules)
    a, b = side_by_side(lambda: python(ours), lambda: python(theirs))
    yield "import and fit digits, fresh: ours / scikit-learn's", a / b, "≤", 0.95, ""
    command = [sys.executable, "-c", "from chainrule.cli import main; main(['--help'])"]
    (help_,) = side_by_side(lambda: subprocess.run(command, check=False, capture_output=True))
    yield "chainrule --help", help_, "≤", 0.3, "s"


COMPILED = """
import time, warnings
warnings.simplefilter("ignore")
import numpy, numba, sklearn.neural_network, pandas
from sklearn.datasets import load_digits
X, y = load_digits(return_X_y=True)
wall, cpu = time.perf_counter(), time.process_time()
from chainrule import MLPClassifier
MLPClassifier(max_iter=1, random_state=0).fit(X, y).predict(X)
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def compilation() -> Iterator[Line]:
    """The first fit and prediction with an empty cache, and those of a later process, imports of others left out."""
    with tempfile.TemporaryDirectory() as folder:
        first = float(python(COMPILED, CHAINRULE_CACHE_DIR=folder).split()[0])
        later = statistics.median(float(python(COMPILED, CHAINRULE_CACHE_DIR=folder).split()[0]) for _ in range(ROUNDS))
    yield "first compilation: import, one epoch, prediction", first, "≤", 10.0, "s"
    yield "the same in a later process", later, "≤", 0.5, "s"


def lbfgs() -> Iterator[Line]:
    """L-BFGS on digits, 100 iterations at most, beside scikit-learn's."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier as Theirs

    from chainrule import MLPClassifier as Ours

    X, y = load_digits(return_X_y=True)
    fits = [lambda C=C: C(solver="lbfgs", max_iter=100, random_state=0).fit(X / 16, y) for C in (Ours, Theirs)]
    own, theirs = side_by_side(*fits)
    yield "L-BFGS on digits: scikit-learn's time / ours", theirs / own, "≥", 3.0, ""


def predictions() -> Iterator[Line]:
    """One row, and 100,000 rows beside the bare products of the same shapes."""
    from sklearn.datasets import load_digits

    from chainrule import MLPClassifier
    from chainrule.engine import Network, predict

    X, y = load_digits(return_X_y=True)
    model, row = MLPClassifier(max_iter=1, random_state=0).fit(X, y), X[:1]
    (many,) = side_by_side(lambda: [model.predict(row) for _ in range(2000)])
    yield "predict of one row", many / 2000 * 1e6, "≤", 30.0, "µs"
    load = WORKLOADS["table"]
    sizes = [load.inputs, *load.hidden, load.outputs]
    net = Network(sizes, seed=0, dtype="float32")
    rows = np.random.default_rng(0).standard_normal((100_000, load.inputs), np.float32)
    (own,) = side_by_side(lambda: predict(net.layout, net.w, rows))
    A = [net.A[l].copy() for l in range(1, len(sizes))]

    def bare() -> None:
        a = rows
        for part in A:
            a = a @ part

    (products,) = side_by_side(bare)
    yield "predict of 100,000 rows / its bare products by NumPy", own / products, "≤", 1.0, ""


MEMORY = """
import resource, warnings
warnings.simplefilter("ignore")
import numpy as np
from chainrule import MLPClassifier
rng = np.random.default_rng(0)
X = rng.standard_normal((20_000, 784), np.float32)
y = rng.integers(0, 10, 20_000)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
def fit():
    MLPClassifier((512, 256), batch_size=256, max_iter=1, random_state=0).fit(X, y)
MLPClassifier((512, 256), batch_size=256, max_iter=1, random_state=0).fit(X[:512], y[:512])
import gc; gc.collect()
def now():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
import threading, time
most, done, before = 0, False, now()
def watch():
    global most
    while not done:
        most = max(most, now())
        time.sleep(0.001)
watcher = threading.Thread(target=watch); watcher.start()
fit()
done = True; watcher.join()
print(most - before, X.nbytes)
"""


def memory() -> Iterator[Line]:
    """What a fit of mnist adds to a process that has fitted before, beside what it is allowed."""
    if not Path("/proc/self/statm").exists():
        return
    added, data = map(float, python(MEMORY).split())
    sizes = [784, 512, 256, 10]
    K = sum(m * n + n for m, n in itertools.pairwise(sizes)) * 4
    allowed = 0.1 * data + 4 * 3 * K + 2 * 256 * sum(sizes) * 2 * 4
    yield "memory that a fit of mnist adds", added / 1e6, "≤", allowed / 1e6, "MB"


def at_once() -> Iterator[Line]:
    """Twelve fits as a grid search with two threads, beside one after another; and what two cores make, in the same
    turns, of the engine's part of them."""
    from sklearn.datasets import load_digits

    from chainrule import MLPClassifier

    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)

    def fit(alpha: float) -> None:
        MLPClassifier(alpha=alpha, max_iter=60, random_state=0, n_threads=1).fit(X, y)

    alphas = list(np.logspace(-6, 0, 12))
    trainings = [chainrule_epoch(WORKLOADS["digits"], 1) for _ in alphas]

    def alone(work: Callable, on: list) -> Callable[[], object]:
        return lambda: [work(one) for one in on]

    def together(work: Callable, on: list) -> Callable[[], object]:
        def run() -> None:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(work, on))

        return run

    def train(epochs: Callable) -> None:
        epochs(60)

    one, two, bare_one, bare_two = side_by_side(
        alone(fit, alphas), together(fit, alphas), alone(train, trainings), together(train, trainings),
        rounds=2 * ROUNDS,
    )  # fmt: skip
    yield "12 trainings of the engine alone, likewise", bare_two / bare_one, "", 0.0, ""
    yield "12 fits by 2 threads / one after another", two / one, "≤", 0.55, ""


OVER = """
import sys, time
from benchmarks.speed import WORKLOADS, chainrule_epoch
epoch = chainrule_epoch(WORKLOADS["table"])
for _ in range(10):
    epoch()
print("ready", flush=True)
sys.stdin.readline()
started = time.perf_counter()
for _ in range(100):
    epoch()
print(time.perf_counter() - started)
"""


def oversubscribed() -> Iterator[Line]:
    """Two trainings of `table`, each with all threads, at the same time, beside one alone."""

    def run(count: int) -> float:
        started = [
            subprocess.Popen([sys.executable, "-c", OVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(count)
        ]
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        threads = [threading.Thread(target=lambda p=p: (p.stdin.write("\n"), p.stdin.flush())) for p in started]
        for thread in threads:
            thread.start()
        return max(float(process.communicate()[0]) for process in started)

    alone, both = (statistics.median(run(count) for _ in range(3)) for count in (1, 2))
    yield "two trainings at once / one alone", both / alone, "≤", 2.3, ""


def denormals() -> Iterator[Line]:
    """A step where moments and inputs have become denormal numbers, beside the same step with ordinary ones."""
    from chainrule.descent import get_method
    from chainrule.engine import Plan, Run
    from chainrule.network import Layout, get_loss

    load = WORKLOADS["table"]
    layout = Layout.of([load.inputs, *load.hidden, 1], "relu")
    plan = Plan(layout, get_loss("squared"), get_method("adam"), batch_size=load.batch)
    order = np.arange(load.rows)[None]

    def epoch(scale: float) -> Callable[[], object]:
        rng = np.random.default_rng(0)
        X = (rng.standard_normal((load.rows, load.inputs)) * scale).astype(np.float32)
        w = layout.first_weights(rng).astype(np.float32)
        run = Run(plan, w, X, np.zeros((load.rows, 1), np.float32))
        run.state[...] = np.float32(scale)
        return lambda: run.epochs(order, 0.0)

    ordinary, fading = side_by_side(epoch(1.0), epoch(1e-39))
    yield "a step with denormal numbers / an ordinary one", fading / ordinary, "≤", 1.2, ""


CHECKS = {f.__name__: f for f in (
    activations, widths, fresh, compilation, lbfgs, predictions, memory, at_once, oversubscribed, denormals,
)}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CHECKS)}; default all")
    parser.add_argument("--json", help="write the lines to this file")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # one epoch a fit is meant
    unknown = [name for name in given.names if name not in CHECKS]
    if unknown:
        parser.error(f"unknown name {unknown[0]!r}; there are {', '.join(CHECKS)}")
    found = []
    for name in given.names or CHECKS:
        for words, value, sign, goal, unit in CHECKS[name]():
            met = {"≤": value <= goal, "≥": value >= goal, "": True}[sign]
            aim = f"goal {sign} {goal:<8.3g}{'met' if met else 'MISSED'}" if sign else ""
            found.append(
                {"what": words, "value": value, "goal": f"{sign} {goal:g}" if sign else "", "unit": unit, "met": met}
            )
            print(f"{words:58}{value:9.3g} {unit:3} {aim}".rstrip(), flush=True)
    if given.json:
        Path(given.json).write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0 if all(line["met"] for line in found) else 1


if __name__ == "__main__":
    sys.exit(main())
