"""Functions as people write them: loops, closures, views of every kind; each derivative against central differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.calculus import UnsupportedError, check_grad, grad, jacobian, value_and_grad

MASK = np.array([[True, False, True, True], [False, True, True, False], [True, True, False, True]])


def loop(x):
    total = 0.0
    for row in x:
        total = total + np.sin(row).sum() * 0.5
    return total


def nested(x):
    def outer(y):
        def inner(z):
            return z * y + x[0, 0]

        return inner(y).sum()

    return outer(x)


def augmented(x):
    y = x * 1
    y += x
    y *= 2
    y /= 3
    y -= 1
    y **= 2
    return y.sum()


def keywords(x, power=2, *, factor=3):
    return np.sum(x**power) * factor


def cross_entropy(x):
    z = x - np.max(x, axis=1, keepdims=True)
    return -np.mean(z[np.arange(3), [0, 1, 2]] - np.log(np.sum(np.exp(z), axis=1)))


def attention(x):
    scores = x @ x.T / np.sqrt(x.shape[1])
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.sum((weights / weights.sum(-1, keepdims=True)) @ x)


def standardised(x):
    return np.sum(((x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-3)) ** 3)


def newton_root(x):
    y = np.ones_like(x)
    for _ in range(6):
        y = 0.5 * (y + (x**2 + 1.0) / y)
    return np.sum(y)


def branching(x):
    return x.sum() if x.sum() > 100 else (x**2).sum()


def recursion(x, depth=5):
    return np.sum(x) if depth == 0 else recursion(np.tanh(x + 0.1 * depth), depth - 1)


FUNCTIONS = {
    "a loop over rows": loop,
    "closures": nested,
    "augmented assignment": augmented,
    "keyword arguments": keywords,
    "cross-entropy": cross_entropy,
    "attention": attention,
    "standardised columns": standardised,
    "Newton's square root": newton_root,
    "a branch": branching,
    "recursion": recursion,
    "Python's sum": lambda x: sum([row @ row for row in x]),
    "Python's abs, pow, max": lambda x: abs(x[0, 0]) + pow(x[1, 1], 2) + max(x[0, 1], x[2, 2]) ** 2,
    "floats on both sides": lambda x: np.sum(2.0**x + 3.0 / (x**2 + 1) - x + (1 - x) * 2),
    "integers on both sides": lambda x: np.sum(2 * x + x * np.arange(4) - (x > 0) * x),
    "size-1 axes": lambda x: np.sum((x[:1] * x[:, :1]) ** 2),
    "all pairs": lambda x: np.sum(np.exp(-((x[:, None, :] - x[None]) ** 2).sum(-1))),
    "a mask": lambda x: np.sum(x[MASK] ** 2),
    "a mask of its own": lambda x: np.sum(x[x > 0] ** 2),
    "index arrays": lambda x: np.sum(x[np.ix_([0, 2], [1, 3])] * x[[0, 0, 1, 2], [1, 1, 2, 3]].sum()),
    "where and log": lambda x: np.sum(np.where(x > 0, np.log(np.where(x > 0, x, 1.0)), x)),
    "where with inf and NaN": lambda x: np.sum(np.where(MASK, x**2, np.inf)[MASK]) + np.sum(np.where(MASK, x, np.nan)[MASK]),
    "sum with where": lambda x: np.sum(x**2, where=MASK) + np.mean(x, where=MASK) + x.std(axis=1, where=MASK).sum(),
    "max with initial": lambda x: np.max(x, initial=0.0) ** 2 + x.min(axis=0, initial=0.1).sum(),
    "clip with one bound": lambda x: np.sum(np.clip(x, None, 0.5) ** 2 + x.clip(min=-0.5)),
    "norms along an axis": lambda x: np.sum(x / np.linalg.norm(x, axis=-1, keepdims=True)) + np.linalg.norm(x, axis=0).sum(),
    "means and extremes": lambda x: np.mean(x, axis=0, keepdims=True).sum() + np.sum(x.max(axis=1) ** 2) + np.mean(x, axis=(-1, -2)),
    "outer products of ufuncs": lambda x: np.sum(np.add.outer(x[0], x[1]) ** 2 * np.multiply.outer(x[1], x[0])),
    "reductions of ufuncs": lambda x: np.sum(np.add.reduce(x) ** 2) + np.maximum.reduce(x, axis=None) + np.add.accumulate(x, axis=1)[0, 2] ** 2,
    "pieces": lambda x: sum(np.sum(piece**k) for k, piece in enumerate(np.array_split(x, 3, axis=1), 2)),
    "stacks": lambda x: np.sum(np.stack([x, x**2])[1] * np.concatenate((x, x))[1:4]),
    "unpacking": lambda x: (lambda a, b, c: np.sum(a * b + c))(*x),
    "views": lambda x: np.sum(x.T @ x) + np.sum(x.reshape(2, 6)[::-1] * x.flatten().reshape(2, 6)) + x[..., -1] @ x[:, 0],
    "linear algebra": lambda x: np.linalg.det(x[:, :3] + 4 * np.eye(3)) + np.linalg.solve(x[:, :3] + 4 * np.eye(3), x[:, 3]).sum(),
    "a Gaussian likelihood": lambda x: np.linalg.slogdet(x @ x.T + np.eye(3))[1] + np.sum(np.linalg.cholesky(x @ x.T + np.eye(3))),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x, optimize=True).sum() + np.einsum("...j,j", x, x[0]).sum(),
    "order of elements": lambda x: np.sum(np.sort(x, axis=1) * np.arange(4.0)) + x.ravel()[np.argmax(x)] ** 2 + x[0][np.argsort(x[0])][1],
    "questions": lambda x: np.sum(x) * (2.0 if np.isfinite(x).all() and x.any() else 1.0) + x.round().sum() + np.sum(x[x.nonzero()]),
    "shapes": lambda x: np.sum(x) / x.shape[0] / len(x) / x.size / x.ndim + np.sum(np.zeros_like(x) + np.ones_like(x) * x),
    "a constant array first": lambda x: np.sum(np.ones((3, 4)) - x + np.float64(2.0) * x + np.eye(3) @ x),
    "full_like": lambda x: np.sum(np.full_like(x, x[0, 0]) * x),
    "methods": lambda x: x.sum() + x.mean() + x.prod() + x.var() + x.std(0).sum() + x.cumsum()[3] + x.dot(np.ones(4)).sum()
    + x.trace() + x.diagonal().sum() + x.swapaxes(0, 1)[0, 1] + x.squeeze()[1, 1] + x.repeat(2).sum() + x.take([0, 3]).sum()
    + x.transpose()[0, 2] + x.copy()[0, 0] + x.mT[1, 2] + x.astype(float)[1, 1] + x.flat.__next__() + x.real[0, 0] + x.imag[0, 0] + x.conj()[2, 2],
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(deadline=None, max_examples=4, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_function_as_people_write_it(name, seed):
    f, x = FUNCTIONS[name], np.random.default_rng(seed).normal(size=(3, 4))
    report = check_grad(f, x, rtol=1e-5, atol=1e-6)
    assert report.ok, str(report)
    assert value_and_grad(f)(x)[0] == pytest.approx(f(x), rel=1e-12)


# These work in float64 whatever they are given (np.eye, np.ones, np.float64 and the like).
WIDENING = {
    "a constant array first", "linear algebra", "a Gaussian likelihood", "methods", "integers on both sides",
    "order of elements", "attention", "where with inf and NaN", "questions",
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_in_is_float32_out(name):
    x = np.random.default_rng(1).normal(size=(3, 4))
    value, g = value_and_grad(FUNCTIONS[name])(x.astype(np.float32))
    assert g.dtype == np.float32
    assert g.shape == x.shape
    np.testing.assert_allclose(g, grad(FUNCTIONS[name])(x), rtol=2e-3, atol=2e-4)
    if name not in WIDENING:
        assert value.dtype == np.float32 == np.asarray(FUNCTIONS[name](x.astype(np.float32))).dtype


def test_keyword_arguments_are_passed_on():
    assert grad(keywords)(np.array([2.0]), power=3, factor=1).tolist() == [12.0]


def test_numbers_and_arrays_without_axes_are_one():
    for x in (2, 2.0, np.float64(2.0), np.array(2.0)):
        g = grad(lambda x: x * x)(x)
        assert (g, type(g), np.shape(g)) == (4.0, np.float64, ())


def test_a_list_of_pythons_numbers_is_an_array_of_floats():
    assert grad(lambda x: np.sum(x * x))([1, 2, 3]).tolist() == [2.0, 4.0, 6.0]
    assert grad(lambda x: np.sum(x * x))([1, 2.5]).tolist() == [2.0, 5.0]


@pytest.mark.parametrize(
    "f", [np.sum, np.prod, lambda x: np.sum(np.sin(x)), lambda x: np.linalg.norm(x), lambda x: np.sum(x @ x)]
)
def test_empty_arrays_have_empty_gradients(f):
    assert grad(f)(np.zeros(0)).shape == (0,)


def test_empty_axes_pass_through():
    assert grad(lambda x: np.sum(x @ np.ones((0, 2))))(np.ones((3, 0))).shape == (3, 0)
    assert jacobian(lambda x: x * 2.0)(np.zeros(0)).shape == (0, 0)
    assert jacobian(lambda x: x[:0])(np.zeros(3)).shape == (0, 3)


def test_a_wider_type_in_between_comes_back():
    g = grad(lambda x: np.sum(x.astype(np.float64) ** 2))(np.array([1.5, 2.0], np.float32))
    assert g.dtype == np.float32
    assert g.tolist() == [3.0, 4.0]
    value, g = value_and_grad(lambda x: np.sum(x, dtype=np.float64))(np.array([1.5, 2.0], np.float32))
    assert (value.dtype, g.dtype) == (np.float64, np.float32)
    assert value_and_grad(lambda x: np.sum(x.astype("f4")))(np.array([0.1]))[0] == np.float32(0.1)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.unravel_index(x, (2, 2)), lambda x: np.add.at(x, 0, 1.0), lambda x: np.copyto(x, 1.0), lambda x: x.fill(0),
        lambda x: x.sort(), lambda x: x.tolist(), lambda x: complex(x[0]), lambda x: [1, 2][x[0]], lambda x: np.fft.fft(x),
    ],
)  # fmt: skip
def test_what_cannot_be_recorded_says_so(f):
    with pytest.raises(UnsupportedError):
        grad(f)(np.ones(2))
