"""The table of primitives is walked: value, first and second derivative of every row, broadcast and in both widths.

A row without an entry in CASES fails, so a new row cannot go untested.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.calculus import PRIMITIVES, check_grad, erf, grad, jacobian
from chainrule.calculus.primitives import Primitive
from chainrule.calculus.primitives.products import log_abs_det
from chainrule.calculus.primitives.shapes import getitem, scatter_add

ANY, POSITIVE, INSIDE, ABOVE_1, AWAY = (-2.5, 2.5), (0.2, 3.0), (-0.9, 0.9), (1.2, 4.0), (0.3, 2.0)

# Element by element rows: the interval of each argument. Intervals keep away from kinks, which have their own tests.
DOMAINS = {
    **dict.fromkeys(
        [
            "negative",
            "positive",
            "square",
            "exp",
            "exp2",
            "expm1",
            "sin",
            "cos",
            "sinh",
            "cosh",
            "tanh",
            "arctan",
            "arcsinh",
            "sinc",
            "erf",
        ],
        (ANY,),
    ),
    **dict.fromkeys(["deg2rad", "rad2deg", "radians", "degrees"], (ANY,)),
    **dict.fromkeys(["sqrt", "log", "log2", "log10", "log1p", "cbrt", "reciprocal", "absolute", "fabs"], (POSITIVE,)),
    **dict.fromkeys(["arcsin", "arccos", "arctanh"], (INSIDE,)),
    "tan": [(-1.2, 1.2)],
    "arccosh": [ABOVE_1],
    **dict.fromkeys(["add", "subtract", "multiply", "logaddexp", "logaddexp2"], (ANY, ANY)),
    **dict.fromkeys(["maximum", "minimum", "fmax", "fmin"], ((-2.0, 0.0), (0.1, 2.0))),
    "divide": [ANY, POSITIVE],
    "remainder": [(2.1, 2.9), (0.9, 1.0)],
    **dict.fromkeys(["power", "float_power"], (POSITIVE, ANY)),
    **dict.fromkeys(["arctan2", "hypot"], (AWAY, AWAY)),
    "clip": [ANY, (-9.0, -8.0), (8.0, 9.0)],
}


def matrix(rng, *shape):
    return rng.uniform(-2, 2, shape)


def regular(rng, n=3):
    """A matrix far from singular."""
    return matrix(rng, n, n) + 4.0 * np.eye(n)


STACK = np.stack([4 * np.eye(3) + 1, 5 * np.eye(3) - 1])
MASK = np.array([[True, False, True], [True, True, False]])

# The other rows: functions of one array, and how to draw it.
CASES = {
    "where": [(lambda x: np.where(np.array([True, False, True]), x, 2 * x), (2, 3)),
              (lambda x: np.where(MASK, x, 1.0), (3,)), (lambda x: np.where(MASK, x, x * x), (2, 1)), (lambda x: np.where(MASK[:, None], 0.0, x), (2, 3))],
    "sum": [(np.sum, (2, 3)), (lambda x: np.sum(x, axis=0), (2, 3)), (lambda x: np.sum(x, 0, initial=3.0, where=MASK), (2, 3)), (lambda x: np.add.reduce(x), (2, 3)), (lambda x: x.sum((0, 2), keepdims=True), (2, 3, 2))],
    "max": [(np.max, (5,)), (lambda x: np.max(x, axis=1), (3, 4)), (lambda x: x.max(axis=(0, 1), keepdims=True), (2, 3)),
            (lambda x: np.max(x, axis=1, initial=0.3), (3, 4)), (lambda x: x.max(0, initial=-9.0, where=MASK), (2, 3)), (lambda x: np.maximum.reduce(x), (2, 3))],
    "min": [(np.min, (5,)), (lambda x: x.min(axis=-1), (3, 4)), (np.amin, (4,)), (lambda x: np.min(x, initial=9.0, where=MASK), (2, 3)), (lambda x: np.minimum.reduce(x, axis=1), (2, 3))],
    "cumsum": [(np.cumsum, (2, 3)), (lambda x: np.cumsum(x, axis=0), (3, 2)), (lambda x: x.cumsum(-1), (2, 3)), (lambda x: np.add.accumulate(x), (2, 3))],
    "mean": [(np.mean, (2, 3)), (lambda x: x.mean(axis=0, keepdims=True), (2, 3)), (lambda x: np.mean(x, (0, 1)), (2, 3)), (lambda x: np.mean(x, axis=1, where=MASK), (2, 3))],
    "var": [(np.var, (5,)), (lambda x: np.var(x, axis=0, ddof=1), (4, 2)), (lambda x: x.var(1), (2, 3)), (lambda x: np.var(x, axis=1, keepdims=True, where=MASK), (2, 3)), (lambda x: np.var(x, correction=1), (4,))],
    "std": [(np.std, (5,)), (lambda x: x.std(axis=1, ddof=1, keepdims=True), (2, 4))],
    "average": [(lambda x: np.average(x, axis=0, weights=np.array([1.0, 2.0, 3.0])), (3, 2)), (np.average, (4,)),
                (lambda x: np.average(np.ones((3, 2)) * [[1.0], [2.0], [4.0]], axis=0, weights=1.5 + 0.3 * x), (3,))],
    "prod": [(np.prod, (5,)), (lambda x: np.prod(x, axis=1), (2, 3)), (lambda x: x.prod((0, 2), keepdims=True), (2, 2, 2)),
             (lambda x: np.prod(x, axis=0, initial=2.0, where=MASK), (2, 3)), (lambda x: np.multiply.reduce(x), (3, 2))],
    "ptp": [(np.ptp, (4,)), (lambda x: np.ptp(x, axis=0), (3, 2))],
    "matmul": [
        (lambda x: x @ np.arange(6.0).reshape(3, 2), (2, 3)), (lambda x: np.ones(2) @ x, (2, 3)), (lambda x: x @ x, (3, 3)),
        (lambda x: x @ x, (3,)), (lambda x: np.arange(24.0).reshape(2, 3, 4) @ x, (4, 2)), (lambda x: np.ones((2, 2, 3)) @ x, (3,)),
        (lambda x: x @ np.arange(12.0).reshape(2, 3, 2), (3,)), (lambda x: x @ np.arange(24.0).reshape(2, 1, 3, 4), (2, 2, 3)),
    ],
    "dot": [(lambda x: np.dot(x, x), (3,)), (lambda x: x.dot(np.ones((3, 2))), (2, 3)), (lambda x: np.dot(2.0, x), (2, 3)),
            (lambda x: np.dot(x, np.arange(12.0).reshape(2, 3, 2)), (2, 3))],
    "einsum": [
        (lambda x: np.einsum("ij,jk->ik", x, np.arange(6.0).reshape(3, 2)), (2, 3)), (lambda x: np.einsum("ij->ji", x), (2, 3)),
        (lambda x: np.einsum("ij,ij->", x, x), (2, 3)), (lambda x: np.einsum("i,j", x, np.ones(2)), (3,)),
        (lambda x: np.einsum("...ij,jk", x, np.ones((3, 2))), (2, 2, 3)), (lambda x: np.einsum("bij,bjk->bik", x, x), (2, 2, 2)),
        (lambda x: np.einsum("ij->j", x), (2, 3)),
    ],
    "tensordot": [(lambda x: np.tensordot(x, np.arange(24.0).reshape(3, 2, 4)), (2, 3, 2)),
                  (lambda x: np.tensordot(x, np.ones((4, 3)), axes=([1], [1])), (2, 3)), (lambda x: np.tensordot(x, x, axes=0), (2,))],
    "inner": [(lambda x: np.inner(x, np.ones((4, 3))), (2, 3)), (lambda x: np.inner(x, x), (3,))],
    "outer": [(lambda x: np.outer(x, x), (3,)), (lambda x: np.outer(np.ones(2), x), (2, 2)),
              (lambda x: np.multiply.outer(x, np.arange(3.0)), (2, 2)), (lambda x: np.subtract.outer(x, x), (3,))],
    "vdot": [(lambda x: np.vdot(x, x), (2, 3))],
    "vecdot": [(lambda x: np.vecdot(x, x), (2, 3)), (lambda x: np.vecdot(np.ones((2, 1)), x, axis=0), (2, 3))],
    "kron": [(lambda x: np.kron(x, np.arange(4.0).reshape(2, 2)), (2, 3))],
    "trace": [(np.trace, (3, 3)), (lambda x: x.trace(1), (3, 4)), (lambda x: np.trace(x, axis1=1, axis2=2), (2, 3, 3))],
    "inv": [(np.linalg.inv, regular), (lambda x: np.linalg.inv(np.stack([x, 2 * x])), regular)],
    "solve": [(lambda x: np.linalg.solve(x, np.arange(3.0)), regular), (lambda x: np.linalg.solve(x, np.arange(6.0).reshape(3, 2)), regular),
              (lambda b: np.linalg.solve(4 * np.eye(3) + 1, b), (3,)), (lambda b: np.linalg.solve(4 * np.eye(3) + 1, b), (3, 2)),
              (lambda x: np.linalg.solve(np.stack([x, 2 * x]), np.arange(3.0)), regular), (lambda x: np.linalg.solve(x, np.arange(12.0).reshape(2, 3, 2)), regular),
              (lambda b: np.linalg.solve(STACK, b), (3,)), (lambda b: np.linalg.solve(STACK, b), (3, 2)), (lambda b: np.linalg.solve(STACK[:1], b), (2, 3, 1))],
    "det": [(np.linalg.det, regular), (lambda x: np.linalg.det(np.stack([x, 2 * x])), regular)],
    "log_abs_det": [(log_abs_det, regular), (lambda x: log_abs_det(-1.0 * x), regular)],
    "slogdet": [(lambda x: np.linalg.slogdet(x)[1], regular)],
    "cholesky": [(lambda x: np.linalg.cholesky(x @ x.T), regular), (lambda x: np.linalg.cholesky(np.stack([x @ x.T, x.T @ x])), regular)],
    "norm": [(np.linalg.norm, (4,)), (np.linalg.norm, (2, 3)), (lambda x: np.linalg.norm(x, axis=1), (2, 3)),
             (lambda x: np.linalg.norm(x, "fro", keepdims=True), (2, 2)), (lambda x: np.linalg.norm(x, 1), (4,)),
             (lambda x: np.linalg.norm(x, np.inf, axis=1), (2, 3)), (lambda x: np.linalg.norm(x, -np.inf, axis=0), (2, 3))],
    "reshape": [(lambda x: np.reshape(x, (3, 2)), (2, 3)), (lambda x: x.reshape(-1), (2, 3)), (lambda x: x.reshape(3, 2), (2, 3)), (lambda x: x.reshape(3, 2, order="F"), (2, 3))],
    "ravel": [(np.ravel, (2, 3)), (lambda x: x.flatten(), (2, 3)), (lambda x: np.ravel(x, "F"), (2, 3)), (lambda x: x.flatten("F"), (2, 3, 2))],
    "transpose": [(np.transpose, (2, 3)), (lambda x: x.T, (2, 3)), (lambda x: np.transpose(x, (2, 0, 1)), (2, 3, 2)), (lambda x: x.transpose(1, 0, 2), (2, 3, 2))],
    "matrix_transpose": [(np.matrix_transpose, (2, 3)), (np.linalg.matrix_transpose, (2, 3, 2)), (lambda x: x.mT, (2, 3, 2))],
    "swapaxes": [(lambda x: np.swapaxes(x, 0, 2), (2, 3, 2))],
    "moveaxis": [(lambda x: np.moveaxis(x, 0, -1), (2, 3, 2)), (lambda x: np.moveaxis(x, [0, 1], [2, 0]), (2, 3, 2))],
    "expand_dims": [(lambda x: np.expand_dims(x, 1), (3,)), (lambda x: x[:, None], (3,))],
    "squeeze": [(np.squeeze, (1, 3)), (lambda x: x.squeeze(1), (2, 1))],
    "broadcast_to": [(lambda x: np.broadcast_to(x, (2, 3)), (3,)), (lambda x: np.broadcast_to(x, (2, 4, 3)), (4, 1))],
    "concatenate": [(lambda x: np.concatenate([x, np.ones(2), x * 2]), (3,)), (lambda x: np.concatenate([x, x], axis=1), (2, 3)),
                    (lambda x: np.concatenate([x, np.ones((1, 3))], axis=None), (2, 3))],
    "stack": [(lambda x: np.stack([x, x**2]), (3,)), (lambda x: np.stack([x, np.ones(3)], axis=-1), (3,))],
    "vstack": [(lambda x: np.vstack([x, x]), (3,))],
    "hstack": [(lambda x: np.hstack([x, x]), (3,)), (lambda x: np.hstack([x, x]), (2, 3))],
    "dstack": [(lambda x: np.dstack([x, x**2]), (3,)), (lambda x: np.dstack([x, x]), (2, 3)), (lambda x: np.dstack([x, x]), (2, 3, 1))],
    "append": [(lambda x: np.append(x, [1.0, 2.0]), (3,)), (lambda x: np.append(x, x, axis=1), (2, 3))],
    "column_stack": [(lambda x: np.column_stack([x, x**2]), (3,))],
    "split": [(lambda x: np.split(x, 3)[1], (6,)), (lambda x: np.split(x, [1, 3], axis=1)[2], (2, 5))],
    "array_split": [(lambda x: np.array_split(x, 3)[0], (7,))],
    "flip": [(np.flip, (2, 3)), (lambda x: np.flip(x, 1), (2, 3))],
    "flipud": [(np.flipud, (2, 3))],
    "fliplr": [(np.fliplr, (2, 3))],
    "rot90": [(np.rot90, (2, 3))],
    "roll": [(lambda x: np.roll(x, 2), (5,)), (lambda x: np.roll(x, 1, axis=1), (2, 3))],
    "take": [(lambda x: np.take(x, [0, 2, 2]), (4,)), (lambda x: x.take([1, 0], axis=1), (2, 3))],
    "take_along_axis": [(lambda x: np.take_along_axis(x, np.array([[0, 0], [1, 0]]), 1), (2, 3))],
    "repeat": [(lambda x: np.repeat(x, 2), (3,)), (lambda x: x.repeat(2, axis=0), (2, 3))],
    "tile": [(lambda x: np.tile(x, (2, 2)), (2, 3)), (lambda x: np.tile(x, 3), (2,))],
    "pad": [(lambda x: np.pad(x, 1), (2, 3)), (lambda x: np.pad(x, ((0, 1), (2, 0)), constant_values=3.0), (2, 2))],
    "sort": [(np.sort, (5,)), (lambda x: np.sort(x, axis=0), (3, 2)), (lambda x: np.sort(x, axis=None), (2, 2))],
    "diagonal": [(np.diagonal, (3, 4)), (lambda x: x.diagonal(-1), (3, 3)), (lambda x: np.diagonal(x, 1, 0, 2), (3, 2, 3))],
    "diag": [(np.diag, (3,)), (np.diag, (3, 3)), (lambda x: np.diag(x, -1), (2,)), (lambda x: np.diag(x, 1), (3, 4))],
    "triu": [(np.triu, (3, 3)), (lambda x: np.triu(x, 1), (2, 3))],
    "tril": [(np.tril, (3, 3)), (lambda x: np.tril(x, -1), (2, 3, 3))],
    "diff": [(np.diff, (5,)), (lambda x: np.diff(x, 2, axis=0), (4, 2))],
    "atleast_1d": [(lambda x: np.atleast_1d(x[0]), (2,))],
    "atleast_2d": [(np.atleast_2d, (3,))],
    "cast": [(lambda x: x.astype(np.longdouble).astype(float), (2, 3))],
    "copy": [(np.copy, (3,)), (lambda x: x.copy(), (2, 2)), (lambda x: x.astype(float), (2,))],
    "getitem": [
        (lambda x: x[1], (3, 2)), (lambda x: x[..., ::2], (2, 5)), (lambda x: x[[0, 0, 2]], (3,)), (lambda x: x[:, [1, 0], None], (2, 3)),
        (lambda x: x[x > 0], (6,)), (lambda x: x[np.array([True, False, True])], (3, 2)), (lambda x: getitem(x, index=(0, 1)), (2, 3)),
    ],
    "scatter_add": [(lambda x: scatter_add(x, index=np.array([0, 2, 0]), shape=(4,)), (3,))],
}  # fmt: skip


def draw(case, rng):
    return case(rng) if callable(case) else matrix(rng, *case)


def weighted(f, x):
    """One number that depends on every entry of f(x) differently, so that a gradient of all ones hides no error."""
    out = f(x)
    size = int(np.prod(np.shape(out)))
    return np.sum(np.sin(np.reshape(out, -1)) * np.cos(np.arange(size) + 1.0))


def agrees(f, x):
    """First and second order, along a random direction."""

    def first(x):
        return weighted(f, x)

    report = check_grad(first, x, rtol=2e-5, atol=1e-6)
    assert report.ok, str(report)
    v = np.cos(3.0 * np.arange(x.size)).reshape(x.shape)
    report = check_grad(lambda x: np.sum(grad(first)(x) * v), x, rtol=2e-4, atol=2e-5)
    assert report.ok, f"second order: {report}"


ROWS = list(PRIMITIVES)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_checked(name):
    row = PRIMITIVES[name]
    if isinstance(row, Primitive) and all(rule is None for rule in row.pullbacks):
        return  # questions and steps: test_no_derivative_passes_a_step
    assert (name in DOMAINS) != (name in CASES), f"the row {name!r} needs an entry in DOMAINS or CASES"


@pytest.mark.parametrize("name", DOMAINS)
@settings(deadline=None, max_examples=8, derandomize=True)
@given(data=st.data())
def test_elementwise_rows(name, data):
    """Every argument in turn, with shapes that broadcast."""
    row = PRIMITIVES[name]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shapes = data.draw(
        st.sampled_from(
            [[(), (), ()], [(3,), (), ()], [(2, 3), (3,), (1,)], [(1, 3), (2, 1), (3,)], [(), (2, 2), (2,)]]
        )
    )
    args = [rng.uniform(*interval, shape) for interval, shape in zip(DOMAINS[name], shapes, strict=False)]
    for k in range(len(args)):

        def f(x, k=k):
            return row.function(*args[:k], x, *args[k + 1 :])

        agrees(f, args[k])


@pytest.mark.parametrize(("name", "number"), [(name, k) for name in CASES for k in range(len(CASES[name]))])
@settings(deadline=None, max_examples=3, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_other_rows(name, number, seed):
    f, case = CASES[name][number]
    agrees(f, draw(case, np.random.default_rng(seed)))


@pytest.mark.parametrize(("name", "number"), [(name, k) for name in CASES for k in range(len(CASES[name]))])
def test_recorded_values_are_numpys(name, number):
    f, case = CASES[name][number]
    x = draw(case, np.random.default_rng(5))
    seen = []

    def watched(t):
        out = f(t)
        seen.append(out)
        return np.sum(out)

    grad(watched)(x)
    np.testing.assert_allclose(seen[0]._chainrule_value, f(x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "bounds"),
    [
        (lambda x: np.clip(x, None, 1.0), (-np.inf, 1.0)),
        (lambda x: np.clip(x, -0.5, None), (-0.5, np.inf)),
        (lambda x: np.clip(x, a_min=-0.5, a_max=1.0), (-0.5, 1.0)),
        (lambda x: np.clip(x, min=-0.5), (-0.5, np.inf)),
        (lambda x: x.clip(max=1.0), (-np.inf, 1.0)),
        (lambda x: x.clip(-0.5, 1.0), (-0.5, 1.0)),
    ],
)
def test_clip_takes_its_bounds_in_every_way(call, bounds):
    x = np.array([-2.0, -0.5, 0.0, 1.0, 3.0])
    inside = (x >= bounds[0]) & (x <= bounds[1])
    np.testing.assert_array_equal(grad(lambda x: np.sum(call(x) ** 2))(x), np.where(inside, 2 * x, 0.0))


@pytest.mark.parametrize("name", [n for n in DOMAINS if n != "float_power"])
def test_float32_stays_float32(name):
    args = [np.float32(0.5 * (low + high)) * np.ones(3, np.float32) for low, high in DOMAINS[name]]
    g = grad(lambda x: np.sum(PRIMITIVES[name].function(x, *args[1:])))(args[0])
    assert g.dtype == np.float32


STEPS = [n for n, r in PRIMITIVES.items() if isinstance(r, Primitive) and all(rule is None for rule in r.pullbacks)]


@pytest.mark.parametrize("name", [n for n in STEPS if not n.startswith(("bitwise", "invert"))])
def test_no_derivative_passes_a_step(name):
    row = PRIMITIVES[name]
    args = [1.5] * (len(row.signature) - 1)
    g = grad(lambda x: np.sum(x * 2.0 + row.function(x, *args) * 1.0))(np.array([0.3, 0.7]))
    np.testing.assert_array_equal(g, [2.0, 2.0])


def test_there_are_at_least_sixty_functions_with_a_derivative():
    assert len(set(PRIMITIVES) - set(STEPS)) >= 100


@settings(deadline=None, max_examples=50)
@given(st.floats(-6, 6))
def test_erf_is_erf(x):
    import math

    assert float(erf(x)) == math.erf(x)


def test_jacobian_of_a_matrix_function():
    x = np.arange(6.0).reshape(2, 3)
    J = jacobian(lambda x: np.sin(x).T)(x)
    assert J.shape == (3, 2, 2, 3)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_allclose(J[j, i, i, j], np.cos(x[i, j]))
    assert np.count_nonzero(J) == np.count_nonzero(np.cos(x))
