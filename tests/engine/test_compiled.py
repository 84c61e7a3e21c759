"""Object code on disk and kernels by frames: damaged files, other arrays, a process that needs no compiler."""

import os
import subprocess
import sys

import numpy as np
import pytest

from chainrule.engine import cache, machine

DOUBLE = "def function(x):\n    return 2.0 * x\n"


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A cache of its own, in which nothing is."""
    monkeypatch.setattr(cache, "directory", lambda: tmp_path)
    monkeypatch.setattr(cache, "_addresses", {})
    return tmp_path


def call(address, x):
    import ctypes

    return ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(address)(x)


def test_object_code_is_kept_and_loaded(empty, monkeypatch):
    assert call(cache.machine_function("double", DOUBLE, "x", "float64"), 21.0) == 42.0
    (kept,) = empty.iterdir()
    monkeypatch.setattr(cache, "_addresses", {})
    monkeypatch.setattr(cache, "_compile", lambda *a: pytest.fail("it was there"))
    assert call(cache.machine_function("double", DOUBLE, "x", "float64"), 4.0) == 8.0
    assert list(empty.iterdir()) == [kept]


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"[1]\nx", b'{"outer": [], "sha256": "0"}\nx', b"\xff\n"])
def test_a_damaged_file_is_not_read(tmp_path, damage):
    (tmp_path / "x.o").write_bytes(damage)
    assert cache._read(tmp_path / "x.o") is None
    (tmp_path / "x.o").write_bytes(cache._packed(b"code", ["free"]))
    assert cache._read(tmp_path / "x.o") == (b"code", ["free"])


@pytest.mark.parametrize("damage", [b"", b'{"outer": [], "sha256": "0"}\nx', None])
def test_a_damaged_file_is_compiled_anew(empty, monkeypatch, damage):
    cache.machine_function("double", DOUBLE, "x", "float64")
    (kept,) = empty.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-7] if damage is None else damage)
    monkeypatch.setattr(cache, "_addresses", {})
    assert call(cache.machine_function("double", DOUBLE, "x", "float64"), 21.0) == 42.0
    assert cache._read(kept) is not None


def test_a_function_that_the_process_lacks_is_an_error_and_no_end_of_the_process():
    with pytest.raises(OSError, match="no_such_function"):
        machine.load("anything", b"", ["no_such_function"])


JOINED = """
from chainrule.engine.jit import compiled

@compiled
def inner(x, n):
    total = 0.0
    for k in range(n):
        for i in range(k):
            total = x / (total + 1.0) if total < i else total / x
    return total

def function(x):
    n = int(x)
    return inner(x, n + 5) + inner(x + 1.0, n + 10)
"""


def test_a_function_with_few_callers_is_written_into_them(monkeypatch):
    """Only then is it gone from the machine code; how often it is called decides, and the result is the same."""
    from chainrule.engine import jit

    names: dict = {"__name__": "joined"}
    exec(JOINED, names)
    expected = names["inner"].py_func(2.0, 7) + names["inner"].py_func(3.0, 12)
    for few, stands_apart in ((2, False), (1, True)):
        monkeypatch.setattr(jit, "_FEW_CALLS", few)
        code, outer = jit.object_code(names["function"], "x", "float64", f"joined_{few}")
        assert (b"_ZN6joined5inner" in code) == stands_apart  # as the compiler mangles its name
        assert call(machine.load(f"joined_{few}", code, outer), 2.0) == pytest.approx(expected, rel=1e-15)


ADD = """
from chainrule.engine.jit import entry

@entry
def add(x, y):
    for i in range(x.size):
        y[i, 0] += x[i]
    return 0.0
"""


@pytest.mark.parametrize(
    "wrong", [np.zeros(2), np.zeros((2, 1), np.float32), np.zeros((2, 1), np.int64), np.zeros((2, 2))[:, :1]]
)
def test_an_array_of_another_type_is_refused_by_the_machine_code(kernel_of, wrong):
    add = kernel_of(ADD, "add", "F1 F2")
    y = np.zeros((2, 1))
    add(np.ones(2), y)
    assert y.tolist() == [[1.0], [1.0]]
    with pytest.raises(TypeError, match="add: entry 1 is no contiguous array of the type"):
        add(np.ones(2), wrong)
    assert not wrong.any()


PROGRAM = """
import sys, warnings
import numpy as np
import chainrule as cr
X = np.random.default_rng(0).normal(size=(60, 3))
warnings.simplefilter("ignore")
model = cr.MLPClassifier((5,), max_iter=2, random_state=0).fit(X, X[:, 0] > 0)
net = cr.Network([3, 4, 1], "tanh", seed=0)
cr.minimize(net.objective(X, X[:, 1]), net.w, "levenberg_marquardt", max_iter=2)
print(model.predict_proba(X).tobytes().hex()[:64], "numba" in sys.modules)
"""


@pytest.mark.slow
def test_what_is_on_disk_is_used_without_the_compiler_and_has_the_same_bits():
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.split())
    assert found[0][0] == found[1][0]
    assert found[1][1] == "False"
