"""What grad and its kin promise: accumulation, depth, nesting, containers, edges, and errors that show the way."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.calculus import (
    UnsupportedError,
    derivative,
    grad,
    hessian,
    hvp,
    jacobian,
    record,
    secant_slope,
    slope,
    value_and_grad,
    vjp,
)


def test_accumulation_does_not_depend_on_order():
    def c(a):
        b = a + a
        return b + b

    assert grad(c)(1) == 4.0


def test_reuse_of_a_node_in_different_depths():
    def f(x):
        y = x * x
        return y * x + y * np.sin(y) + x

    x = 0.7
    assert grad(f)(x) == pytest.approx(3 * x**2 + 2 * x * np.sin(x**2) + x**2 * np.cos(x**2) * 2 * x + 1, rel=1e-14)


def test_a_hundred_thousand_nodes_deep():
    def f(x):
        for _ in range(100_000):
            x = x + 0.5
        return x * x

    value, g = value_and_grad(f)(1.0)
    assert (value, g) == (50_001.0**2, 2 * 50_001.0)


def test_an_input_that_is_not_used_has_zero_gradient():
    g = grad(lambda x, y: np.sum(x), argnum=(0, 1))(np.ones((2, 3)), np.ones(4))
    np.testing.assert_array_equal(g[0], np.ones((2, 3)))
    np.testing.assert_array_equal(g[1], np.zeros(4))
    assert grad(lambda x: 3.0)(1.0) == 0.0


def test_derivatives_of_derivatives_do_not_mix():
    assert derivative(lambda x: x * derivative(lambda y: x + y, 1.0), 2.0) == 1.0
    assert derivative(lambda x: x * derivative(lambda y: x * y * y, 3.0), 2.0) == 24.0


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_any_order(order):
    f = np.sin
    for _ in range(order):
        f = grad(f)
    assert f(0.4) == pytest.approx(
        [math.cos, lambda x: -math.sin(x), lambda x: -math.cos(x), math.sin][(order - 1) % 4](0.4), rel=1e-12
    )


def test_containers_come_back_in_their_structure():
    class Point(NamedTuple):
        x: float
        y: np.ndarray

    def f(p):
        return np.sum(p["a"] * p["b"][0]) + p["b"][1].x * np.sum(p["b"][1].y)

    g = grad(f)({"a": np.array([1.0, 2.0]), "b": (np.array([3.0, 4.0]), Point(2.0, np.array([5.0])))})
    np.testing.assert_array_equal(g["a"], [3.0, 4.0])
    np.testing.assert_array_equal(g["b"][0], [1.0, 2.0])
    assert g["b"][1].x == 5.0
    np.testing.assert_array_equal(g["b"][1].y, [2.0])


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_hessian_and_its_product_agree(n, seed):
    rng = np.random.default_rng(seed)
    x, v, A = rng.normal(size=n), rng.normal(size=n), rng.normal(size=(n, n))

    def f(x):
        return np.sum(np.tanh(A @ x)) + np.sum(x**3)

    H = hessian(f)(x)
    np.testing.assert_allclose(H, H.T, atol=1e-12)
    np.testing.assert_allclose(hvp(f)(x, v), H @ v, atol=1e-10)


def test_vjp_is_the_transposed_jacobian():
    x, g = np.array([0.3, 0.8]), np.array([1.0, -2.0, 0.5])

    def f(x):
        return np.stack([x[0] * x[1], np.sin(x[0]), x[1] ** 2])

    value, pullback = vjp(f, x)
    np.testing.assert_allclose(value, f(x))
    np.testing.assert_allclose(pullback(g)[0], jacobian(f)(x).T @ g)


# ---------------------------------------------------------------- edges, as docs/calculus-edges.md lists them


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (np.abs, 0.0, 0.0),
        (lambda x: np.maximum(x, 0.0), 0.0, 0.5),
        (lambda x: x**2, 0.0, 0.0),
        (lambda x: x**1, 0.0, 1.0),
        (lambda x: x**0, 0.0, 0.0),
        (lambda x: x**x, 1.0, 1.0),
        (lambda y: 0.0**y, 2.0, 0.0),
        (lambda x: np.linalg.norm(np.stack([x, 0.0 * x])), 0.0, 0.0),
        (lambda x: np.clip(x, 0.0, 1.0), 1.0, 1.0),
        (lambda x: np.sinc(x), 0.0, 0.0),
        (lambda x: np.prod(np.stack([x, x * 0.0, x])), 2.0, 0.0),
    ],
)
def test_edges(f, x, expected):
    assert grad(f)(x) == expected


def test_ties_of_max_share():
    np.testing.assert_allclose(grad(np.max)(np.array([1.0, 3.0, 3.0])), [0, 0.5, 0.5])


def test_sqrt_at_zero_is_steep():
    with np.errstate(divide="ignore"):
        assert grad(np.sqrt)(0.0) == np.inf


def test_prod_with_zeros():
    np.testing.assert_array_equal(grad(np.prod)(np.array([0.0, 2.0, 3.0])), [6.0, 0.0, 0.0])


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grad(np.sum)(np.array([1, 2])), r"argument 0 is an array of int64.*astype\(float\)"),
        (lambda: grad(np.sum)(np.array([1j])), "complex"),
        (lambda: grad(lambda x: x)(True), "bool"),
        (lambda: grad(lambda x: x)("a"), "must be a float"),
        (lambda: grad(lambda x: x * 2)(np.ones(3)), r"shape \(3,\).*np.sum, or use jacobian"),
        (lambda: grad(lambda x: math.sin(x))(1.0), r"use NumPy: np.sin"),
        (lambda: grad(lambda x: np.sum(np.array([x, x])))(1.0), "np.stack"),
        (lambda: grad(lambda x: np.add(x, 1.0, out=np.zeros(())))(1.0), "writes in place"),
        (lambda: grad(lambda x: np.logaddexp.reduce(x))(np.ones(3)), "of such methods there are np.add.reduce"),
        (lambda: grad(lambda x: np.sum(np.unwrap(x)))(np.ones(3)), "np.unwrap has no derivative"),
        (lambda: grad(lambda x: np.sum(np.logaddexp3(x)) if hasattr(np, "logaddexp3") else np.sum(np.cumprod(x)))(np.ones(3)), "near it: .*prod"),
        (lambda: grad(lambda x: x.item())(1.0), "item"),
        (lambda: grad(lambda x: np.sum(x.astype(int)))(np.ones(2)), "astype"),
        (lambda: grad(lambda x: np.einsum("ii->", x))(np.ones((2, 2))), "np.diagonal or np.trace"),
        (lambda: grad(lambda x: np.linalg.norm(x, 3))(np.ones(2)), "ord=3 of vectors"),
        (lambda: grad(lambda x: np.linalg.norm(x, 1))(np.ones((2, 2))), "ord=1 of matrices"),
        (lambda: grad(lambda x: np.sum(np.linalg.svd(x)[1]))(np.ones((2, 2))), r"np\.linalg\.svd has no derivative"),
        (lambda: grad(lambda x: np.sum([x, x]))(1.0), "np.stack"),
        (lambda: grad(lambda x: np.sum(np.asarray(x)))(np.ones(2)), r"leave out np.asarray"),
        (lambda: grad(lambda x: np.var(x, spread=1))(np.ones(2)), "argument 'spread'"),
        (lambda: grad(lambda x: np.sum(np.ravel(x, "K")))(np.ones((2, 2))), "order must be 'C' or 'F'"),
        (lambda: grad(lambda x: np.max(x, where=x > 0))(np.ones(2)), "needs initial="),
        (lambda: grad(lambda x: np.exp(x, where=x > 0))(1.0), "'where' of np.exp"),
        (lambda: grad(lambda x: x, argnum=3)(1.0), "argnum 3 names no argument"),
        (lambda: hvp(np.sum)(np.ones(3), np.ones(2)), "shape of x"),
        (lambda: secant_slope(np.sin, 0.0, 0.0), "h must not be 0"),
    ],
)  # fmt: skip
def test_errors_show_the_way(call, message):
    with pytest.raises((TypeError, ValueError, NotImplementedError), match=message):
        call()


def test_a_method_that_is_not_there_is_named():
    with pytest.raises(AttributeError, match="has no 'partition', which has no derivative"):
        grad(lambda x: x.partition(1))(np.ones(3))


def test_writing_in_place_is_refused():
    def f(x):
        x[0] = 1.0
        return np.sum(x)

    with pytest.raises(UnsupportedError, match=r"np\.where"):
        grad(f)(np.ones(3))


def test_augmented_assignment_makes_a_new_value():
    def f(x):
        y = x
        y *= 3.0
        y += x
        return np.sum(y * x)

    np.testing.assert_allclose(grad(f)(np.array([1.0, 2.0])), [8.0, 16.0])


def test_branching_on_a_value_is_allowed_here_and_refused_in_a_formula():
    def f(x):
        return x * 2.0 if x > 0 else -x

    assert grad(f)(1.0) == 2.0
    assert grad(f)(-1.0) == -1.0
    with pytest.raises(UnsupportedError, match=r"np\.where"):
        record(f, 1.0)


# ---------------------------------------------------------------- recorded formulas


def test_a_recorded_formula_holds_for_other_values():
    def f(x, y):
        return np.where(x > y, np.exp(-x) * y, np.log1p(np.abs(x)) + y**2)

    g = record(f, 0.5, 0.2)
    for x, y in [(0.1, 0.9), (2.0, -1.0), (-3.0, 3.0)]:
        assert g.evaluate(x, y) == pytest.approx(f(x, y), rel=1e-15)


def test_the_derivative_of_a_formula_is_a_formula():
    g = record(slope(lambda z: z * np.tanh(z)), 0.5)
    for z in (-1.0, 0.0, 2.5):
        assert g.evaluate(z) == pytest.approx(np.tanh(z) + z * (1 - np.tanh(z) ** 2), rel=1e-14)


def test_only_what_the_output_needs_is_kept():
    def f(x, y):
        np.exp(y)
        return x * 2.0

    g = record(f, 1.0, 2.0, names=("x", "y"))
    assert str(g) == "n0 = x\nn1 = y\nn2 = 2.\nn3 = n0·n2"
