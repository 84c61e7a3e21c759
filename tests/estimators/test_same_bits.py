"""Same seed, same bits: on one thread and two, again, after save and load, in other processes, in pools and pools in pools."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import same_bits
from same_bits import FITS, SCENARIOS, SECONDS, fit, labels, mark, mark_of

import chainrule as cr
from chainrule.engine.cores import available_threads

# Six epochs are never enough to converge.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def expected():
    """name -> the mark of the fit on one thread, in this process, alone."""
    found = {}

    def look(name):
        if name not in found:
            found[name] = mark(name, 1)
        return found[name]

    return look


def test_different_fits_differ(expected):
    assert len({expected(name) for name in FITS}) == len(FITS)


@pytest.mark.skipif(available_threads() < 2, reason="needs two threads")
@pytest.mark.parametrize("name", FITS)
def test_threads_and_repetition_change_no_bit(name, expected):
    assert [mark(name, n) for n in (1, 2, 2, None)] == [expected(name)] * 4


@pytest.mark.parametrize("name", FITS)
def test_saved_and_loaded_it_is_the_same(name, tmp_path, expected):
    model = fit(name)
    cr.save(model, tmp_path / "m")
    assert mark_of(cr.load(tmp_path / "m"), FITS[name][1]) == expected(name)


@pytest.mark.parametrize("name", ["adam", "sgd, large batches", "float32", "sparse"])
def test_partial_fit_of_a_loaded_model_goes_on_as_that_of_the_saved_one(name, tmp_path, expected):
    model, X, y = fit(name), *FITS[name][1:]
    cr.save(model, tmp_path / "m")
    marks = [
        mark_of(m.partial_fit(X[:500], y[:500]).partial_fit(X[200:], y[200:]), X)
        for m in (model, cr.load(tmp_path / "m"))
    ]
    assert marks[0] == marks[1] != expected(name)


def test_one_estimator_fitted_twice_is_the_same(expected):
    assert mark_of(fit("adam").fit(same_bits.X, labels), same_bits.X) == expected("adam")


# what a process does, one after the other; under which settings; whether it is one of the slow ones
PROCESSES = {
    "every fit, one thread": (["every fit"], {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "5"}, False),
    "every fit": (["every fit"], {}, True),
    "forks": (["forks", "processes by fork"], {}, False),
    "spawn": (["processes by spawn"], {}, True),
    "forkserver": (["processes by forkserver"], {}, True),
    "threads": (["threads", "predictions"], {}, False),
    "pools in pools": (["processes in threads", "threads in processes"], {}, True),
}


def program(names, environment):
    """The (fit, mark) pairs of these scenarios in a process of its own, which ends in `SECONDS` with all its children."""
    paths = os.pathsep.join([str(Path(same_bits.__file__).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", f"import same_bits; same_bits.main(*{names})"],
        env=os.environ | {"PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        said, complaints = process.communicate(timeout=SECONDS + 20)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, complaints
    return json.loads(said)


@pytest.mark.parametrize(
    "case",
    [pytest.param(name, marks=[pytest.mark.slow] * slow) for name, (_, _, slow) in PROCESSES.items()],
)
def test_in_processes_and_pools_the_bits_are_the_same(case, expected):
    names, environment, _ = PROCESSES[case]
    if not set(names) <= SCENARIOS.keys() or ("forks" in names and not hasattr(os, "fork")):
        pytest.skip("not on this system")
    found = program(names, environment)
    assert found == [[name, expected(name)] for name, _ in found] != []


@pytest.mark.slow
def test_a_process_that_compiles_has_the_bits_of_those_that_load(tmp_path):
    """The first process of a machine compiles, later ones load its machine code: sums must not be free to differ."""
    environment = {"CHAINRULE_CACHE_DIR": str(tmp_path)}
    assert program(["every fit"], environment) == program(["every fit"], environment)
