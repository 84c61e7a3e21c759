"""Killed with SIGKILL at random moments, while a checkpoint is being written too, training ends with the same bits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chainrule.files import load_arrays

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed process forks")

# method, options of the job, a checkpoint every so many epochs, written slowly?
KILLS = [
    ("adam", {"epochs": 30, "N": 1_500, "step": 0.005}, 3, False),
    ("adam", {"epochs": 25, "legacy": False, "held_score": True}, 1, True),
    ("lbfgs", {"epochs": 50, "N": 1_500}, 0, False),
    ("lbfgs", {"epochs": 40}, 0, True),
]
IDS = ["adam", "adam while writing", "lbfgs", "lbfgs while writing"]


@pytest.fixture(scope="module")
def killer():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killed.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip

    def kill(**order):
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield kill
    process.stdin.close()
    process.stdout.close()
    assert process.wait(60) == 0


def finish(job, method, options, every, path):
    j = job.Job(**options)
    return j.lbfgs(path, resume=True) if method == "lbfgs" else j.train(path, resume=True, every=every)[1:]


def expected(job, method, options):
    return job.Job(**options).lbfgs() if method == "lbfgs" else job.Job(**options).train()[1:]


def check(job, killer, path, case, seed):
    """Kill it up to three times, each time later on its way, then let it end here; how often it was killed midway."""
    method, options, every, slow = case
    rng, midway = np.random.default_rng(seed), 0
    for _ in range(3):
        fraction = float(rng.uniform(0.0, 0.6))
        said = killer(method=method, options=options, every=every, slow=slow, path=str(path), fraction=fraction)
        assert said in ("killed", 0)
        if said == 0:
            break
        midway += path.exists()
        if path.exists() and method != "lbfgs":
            load_arrays(path)  # whole, whatever happened
    assert finish(job, method, options, every, path) == expected(job, method, options)
    return midway


@pytest.mark.parametrize("case", KILLS[1::2], ids=IDS[1::2])
def test_killed_and_resumed(job, killer, tmp_path, case):
    # a training may be done before the signal comes: then it is tried with other moments
    assert any(check(job, killer, tmp_path / f"c{seed}", case, seed=seed) for seed in range(1, 9))


@pytest.mark.slow
@pytest.mark.parametrize("case", KILLS, ids=IDS)
def test_killed_and_resumed_twenty_times(job, killer, tmp_path, case):
    assert sum(check(job, killer, tmp_path / f"c{seed}", case, seed) for seed in range(100, 120)) > 20
