"""e^x, e^x − 1 and tanh as the engine has them, against NumPy in more digits: the bounds on their errors."""

import numpy as np
import pytest

from chainrule.engine import elementary
from chainrule.engine.jit import compiled

# The largest error, in units of the last place of the result.
BOUNDS = {"exp": 1.25, "expm1": 2.0, "tanh": 3.0}
LARGEST = {np.float32: 89.0, np.float64: 710.0}


@pytest.fixture(scope="module")
def loops():
    from numba import njit

    def loop(function):
        inner = compiled(lambda x: function(x))

        def run(x, out):
            for i in range(x.size):
                out[i] = inner(x[i])

        # with the flags that the engine's rows are compiled with: they must not undo the care taken
        return njit(run, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")

    return {
        (name, dtype): loop(getattr(elementary, f"{name}_{np.dtype(dtype).name}"))
        for name in BOUNDS
        for dtype in LARGEST
    }


def evaluate(loop, x):
    out = np.empty_like(x)
    loop(x, out)
    return out


@pytest.mark.parametrize("dtype", LARGEST, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("name", BOUNDS)
def test_errors_are_bounded(loops, name, dtype):
    rng, big = np.random.default_rng(0), LARGEST[dtype]
    parts = [rng.uniform(-big, big, 200_000), rng.normal(size=200_000), rng.normal(size=50_000) * 1e-4]
    x = np.concatenate([*parts, rng.uniform(-20, 20, 100_000), np.linspace(-1, 1, 2001)]).astype(dtype)
    found = evaluate(loops[name, dtype], x)
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(x.astype(np.longdouble))
        nearest = exact.astype(dtype)
        error = np.abs(found.astype(np.longdouble) - exact) / np.spacing(np.abs(nearest))
    normal = np.isfinite(nearest) & (np.abs(nearest) >= np.finfo(dtype).tiny)
    assert error[normal].max() <= BOUNDS[name]
    fading = np.isfinite(nearest) & ~normal
    assert np.abs(found[fading] - nearest[fading]).max(initial=0.0) <= 4 * np.finfo(dtype).smallest_subnormal
    np.testing.assert_array_equal(found[np.isinf(nearest)], nearest[np.isinf(nearest)])


@pytest.mark.parametrize("dtype", LARGEST, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("name", BOUNDS)
def test_special_values_are_numpys(loops, name, dtype):
    x = np.array([0.0, np.inf, -np.inf, np.nan, 1e30, -1e30], dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(evaluate(loops[name, dtype], x), getattr(np, name)(x))


@pytest.mark.parametrize("dtype", LARGEST, ids=lambda d: np.dtype(d).name)
def test_the_loop_is_vectorised(loops, dtype):
    loops["tanh", dtype](np.zeros(1, dtype), np.zeros(1, dtype))
    assembly = "".join(loops["tanh", dtype].inspect_asm().values())
    packed = ("divps", "fdiv\tv") if dtype is np.float32 else ("divpd", "fdiv\tv")
    assert any(word in assembly for word in packed)
