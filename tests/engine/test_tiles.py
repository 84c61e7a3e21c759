"""The matrix product made of tiles: every shape and stride, whatever the processor's vectors are."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chainrule.engine import products
from chainrule.engine.jit import address
from chainrule.engine.processor import BLOCK_WIDTH, BLOCKS_AT_ONCE, COLLIDING, PANEL_BYTES, VECTOR


@pytest.fixture(scope="module")
def multiply():
    def run(A, turned, b, panels, sums, out, M, K, D, few):
        if few:
            products.product_of_few(A, address(A, 0), address(b, 0), address(panels, 0), address(out, 1), M, K, D)
            return
        products.pack(A, address(b, 0), K, D, address(panels, 0), address(sums, 1))
        if turned > 0:
            spare = np.empty(BLOCKS_AT_ONCE * (K * BLOCK_WIDTH + VECTOR // A.itemsize), A.dtype)
            room, read, to = address(spare, 0), address(panels, 0), address(out, 1)
            products.product_across(A, address(A, 0), M, room, read, to, M, K, D, 0)
            if turned > 1 and M > 1:  # once more from the second line on, added
                to = address(out, 1 + D)
                products.product_across(A, address(A, 1), M, room, read, to, M - 1, K, D, 1)
        else:
            products.product(A, address(A, 0), address(panels, 0), address(out, 1), M, K, D)

    from numba import njit

    return njit(run)


sizes = st.integers(1, BLOCK_WIDTH + 2) | st.integers(1, (2 * BLOCKS_AT_ONCE + 1) * BLOCK_WIDTH)


@settings(deadline=None, max_examples=80)
@given(
    sizes, st.integers(1, 40), st.integers(1, 150), st.sampled_from([np.float32, np.float64]), st.sampled_from("nct+")
)
@example(COLLIDING // 4, 40, 300, np.float32, "t")  # lines that collide: packed by parts, in more than one round
@example(COLLIDING // 8, 40, 300, np.float64, "+")
@example((BLOCKS_AT_ONCE + 1) * BLOCK_WIDTH + 1, 40, 300, np.float32, "t")  # those that do not
@example(7, 1, 1, np.float32, "n")  # one column: by rows, four at a time, and by lines
@example(30, 16, 1, np.float64, "c")
@example(33, 40, 1, np.float32, "t")
@example(16, 3, 1, np.float64, "+")
def test_a_product_of_tiles_is_the_product(multiply, M, K, D, dtype, way):
    rng = np.random.default_rng(M * 10_000 + K * 100 + D)
    A, b = rng.integers(-8, 8, (M, K)).astype(dtype), rng.integers(-8, 8, (K, D)).astype(dtype)  # exact in any order
    width = PANEL_BYTES // A.itemsize
    panels = np.full(-(-D // width) * width * K, np.nan, dtype)
    out = np.full(M * D + 2, np.nan, dtype)  # a number before and after, which must not be touched
    stored = np.ascontiguousarray(A.T) if way in "t+" else A
    sums = np.full(D + 2, np.nan, dtype)
    multiply(stored.ravel(), "nt+".find(way), b.ravel(), panels, sums, out, M, K, D, way == "c")
    expected = A @ b
    expected[1:] *= 2 if way == "+" else 1
    np.testing.assert_array_equal(out[1:-1].reshape(M, D), expected)
    assert np.isnan(out[[0, -1]]).all()
    if way != "c":
        np.testing.assert_array_equal(sums[1:-1], b.sum(0))
        assert np.isnan(sums[[0, -1]]).all()


@settings(deadline=None, max_examples=20)
@given(sizes, st.integers(1, 300), st.integers(1, 40))
@example(9, 100, 1)
def test_an_entry_has_the_same_bits_in_every_tile(multiply, M, K, D):
    """Each entry is summed over k in one order, so a row is predicted alike alone and among others, in any way."""
    rng = np.random.default_rng(M + 100 * K + D)
    A, b = rng.normal(size=(M, K)).astype(np.float32), rng.normal(size=(K, D)).astype(np.float32)
    panels, sums = np.zeros((D + PANEL_BYTES // 4) * K, np.float32), np.zeros(D + 2, np.float32)
    found = []
    for few in (False, True):
        out = np.zeros(M * D + 2, np.float32)
        multiply(A.ravel(), 0, b.ravel(), panels, sums, out, M, K, D, few)
        found.append(out[1:-1].reshape(M, D))
    alone = np.zeros(D + 2, np.float32)
    multiply(A[-1].copy(), 0, b.ravel(), panels, sums, alone, 1, K, D, False)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0][-1], alone[1:-1])


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 70), st.integers(1, 40), st.sampled_from([np.float32, np.float64]))
@example(1, 40, np.float32)
def test_a_turned_panel_is_the_transpose(turn, m, D, dtype):
    w = np.arange(m * D + 1).astype(dtype)
    width, lanes = PANEL_BYTES // w.itemsize, VECTOR // w.itemsize
    panels = np.full(-(-m // width) * width * D + 1, np.nan, dtype)
    turn(w, m, D, panels)
    for lo in range(0, m, width):
        line = min(width, -(-(m - lo) // lanes) * lanes) if m > 1 else 1  # of whole vectors, but for a column
        expected = np.zeros((D, line))
        expected[:, : m - lo] = w[1:].reshape(m, D)[lo : lo + width].T
        np.testing.assert_array_equal(panels[1 + lo * D :][: D * line].reshape(D, line), expected)
    assert np.isnan(panels[0])


@pytest.fixture(scope="module")
def turn():
    def run(w, m, D, panels):
        lines = 3 * VECTOR // w.itemsize  # not as many as a panel has columns
        for first in range(0, m, lines):
            products.pack_turned(w, 1, m, D, panels, 1, first, min(lines, m - first))

    from numba import njit

    return njit(run)


OTHER_PROCESSOR = """
import sys
import llvmlite.binding as llvm
real = llvm.get_host_cpu_features()
class Features(dict):
    def flatten(self):
        return real.flatten()
llvm.get_host_cpu_features = lambda: Features({sys.argv[1]: True})
from chainrule.engine import processor
assert processor.VECTOR == int(sys.argv[2])
import numpy as np
from chainrule.engine import Network, Plan, Run
from chainrule.descent import get_method
from chainrule.network import Layout, eager_error, get_loss
from chainrule.calculus import grad
rng = np.random.default_rng(0)
net = Network([29, 150, 21, int(sys.argv[3])], "tanh", seed=0)
X, Y = rng.normal(size=(300, 29)), rng.normal(size=(300, net.layout.sizes[-1]))
exact = grad(lambda w: eager_error(net.layout, get_loss("squared"), w, X, Y))(net.w)
np.testing.assert_allclose(net.gradient(X, Y), exact, rtol=1e-10, atol=1e-11)
np.testing.assert_allclose(net(X[:5]), net(X)[:5], rtol=1e-12)
w = net.w.copy()
with Run(Plan(net.layout, get_loss("squared"), get_method("adam"), batch_size=64, dtype="float64"), w, X, Y) as run:
    run.epochs(np.stack([rng.permutation(300) for _ in range(3)]), 0.01)
print(w.tobytes().hex())
"""


@pytest.mark.slow
@pytest.mark.parametrize("outputs", [1, 3])
def test_processors_with_other_vectors_reach_the_same_numbers(tmp_path, outputs):
    found = []
    for number, unit in enumerate([("none", 16), ("avx", 32), ("avx512f", 64)]):
        env = {"CHAINRULE_CACHE_DIR": str(tmp_path / str(number)), "PATH": "", "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", OTHER_PROCESSOR, *map(str, unit), str(outputs)],
            capture_output=True,
            text=True,
            env=env,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found.append(np.frombuffer(bytes.fromhex(done.stdout.strip())))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-9)
