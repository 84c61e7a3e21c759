"""Elementary functions as the engine has them, against NumPy in more digits: the bounds on their errors."""

import math

import numpy as np
import pytest

from chainrule.calculus import erf
from chainrule.engine import elementary
from chainrule.engine.jit import _OPTIONS

# The largest error, in units of the last place of the result.
BOUNDS = {"exp": 1.25, "expm1": 2.0, "tanh": 3.0, "log": 1.5, "log1p": 2.5, "sin": 2.5, "cos": 2.5, "erf": 2.5}
LARGEST = {np.float32: 89.0, np.float64: 710.0}


def exactly(name, x):
    """The function in more digits than x has; erf in float64 is the C library's, itself within one unit."""
    if name == "erf":
        return np.array([math.erf(v) for v in x.astype(np.float64)]).astype(np.longdouble)
    return getattr(np, name)(x.astype(np.longdouble))


def arguments(name, dtype):
    rng, big = np.random.default_rng(0), LARGEST[dtype]
    parts = [rng.uniform(-big, big, 200_000), rng.normal(size=200_000), rng.normal(size=50_000) * 1e-4]
    parts += [rng.uniform(-20, 20, 100_000), np.linspace(-1, 1, 2001)]
    if name in ("sin", "cos"):
        parts += [rng.uniform(-1e5, 1e5, 100_000), np.arange(-3000, 3000) * (math.pi / 4)]
    if name in ("log", "log1p"):
        parts += [np.exp(rng.uniform(-87, 87, 100_000)), 1 + rng.normal(size=20_000) * 1e-3]
    x = np.concatenate(parts).astype(dtype)
    if name == "log":
        x = np.abs(x[x != 0])
    if name == "erf":
        x = x[::5]  # each is asked of the C library by itself
    return x[x > -1] if name == "log1p" else x


@pytest.fixture(scope="module")
def loops():
    from numba import njit

    def loop(function):
        inner = elementary._inlined(lambda x: function(x))

        def run(x, out):
            for i in range(x.size):
                out[i] = inner(x[i])

        # with the flags that the engine's rows are compiled with: they must not undo the care taken
        return njit(run, fastmath=_OPTIONS["fastmath"], error_model="numpy")

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
    x = arguments(name, dtype)
    found = evaluate(loops[name, dtype], x)
    with np.errstate(all="ignore"):
        exact = exactly(name, x)
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
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, tiny, 1.0, -1.0, -2.0], dtype)
    if name not in ("sin", "cos"):
        x = np.append(x, np.array([1e30, -1e30], dtype))
    with np.errstate(all="ignore"):
        expected = erf(x) if name == "erf" else getattr(np, name)(x)
    np.testing.assert_allclose(evaluate(loops[name, dtype], x), expected, rtol=4 * np.finfo(dtype).eps, atol=2 * tiny)


@pytest.mark.parametrize("dtype", LARGEST, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("name", ["sin", "cos"])
def test_waves_stay_within_their_bounds(loops, name, dtype):
    found = evaluate(loops[name, dtype], np.array([1e18, -1e18, 1e30, 3e38], dtype))
    assert np.all(np.abs(found) <= 1)


@pytest.mark.parametrize("dtype", LARGEST, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("name", BOUNDS)
def test_the_loop_is_vectorised(loops, name, dtype):
    loops[name, dtype](np.zeros(1, dtype), np.zeros(1, dtype))
    assembly = "".join(loops[name, dtype].inspect_asm().values())
    packed = (
        ("mulps", "fmadd213ps", "fmul\tv", "fmla\tv")
        if dtype is np.float32
        else ("mulpd", "fmadd213pd", "fmul\tv", "fmla\tv")
    )
    assert any(word in assembly for word in packed)


@pytest.mark.parametrize("words", [elementary._by_halves, elementary._by_instruction])
@pytest.mark.parametrize("dtype", LARGEST, ids=lambda d: np.dtype(d).name)
def test_far_powers_of_two_are_those_of_the_c_library(words, dtype):
    from numba import njit

    scaled_far = elementary.far_scaling(words)

    @njit(error_model="numpy")
    def run(x, n, out):
        for i in range(x.size):
            out[i] = scaled_far(x[i], n[i])

    info = np.finfo(dtype)
    n = np.arange(info.minexp - info.nmant - 3, info.maxexp + 3)
    x = np.repeat(np.random.default_rng(0).uniform(0.7, 1.5, 16), len(n)).astype(dtype)
    out = np.empty_like(x)
    run(x, np.tile(n, 16).astype(dtype), out)
    with np.errstate(all="ignore"):
        expected = np.ldexp(x, np.tile(n, 16))
    assert out.tolist() == expected.tolist()
    assert np.isinf(out).any()
    assert (out == 0).any()
