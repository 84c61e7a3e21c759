"""Products of second order by the engine: equal to the calculus' own for every activation, loss and depth."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import chainrule as cr
from chainrule.engine import Network, curvature
from chainrule.engine.curvature import Curvature
from chainrule.network import ACTIVATIONS, LOSSES, Activation, Loss, eager_error, own_loss

HIDDEN = [name for name, row in ACTIVATIONS.items() if not row.rowwise]
SIZES = {0: [3, 2], 1: [3, 4, 2], 2: [3, 4, 3, 2], 3: [3, 4, 2, 3, 2]}


def compare(net, X, Y, loss, weights, rtol=1e-8):
    v = np.random.default_rng(1).normal(size=net.K)
    exact = cr.hvp(lambda w: eager_error(net.layout, loss, w, X, Y, weights))(net.w, v)
    found = net.objective(X, Y, loss, weights).hvp(net.w, v)
    assert_allclose(found, exact, rtol=rtol, atol=rtol * np.abs(exact).max())


# Every activation at every depth; the quick tests compile the second slopes of some.
QUICK = {("identity", 0), ("tanh", 2), ("relu", 1), ("sigmoid", 3)}


@pytest.mark.parametrize(
    ("activation", "depth"),
    [pytest.param(*case, marks=[pytest.mark.slow] * (case not in QUICK)) for case in itertools.product(HIDDEN, SIZES)],
)
def test_hessian_products_by_engine_equal_those_by_tape(activation, depth, targets):
    rng = np.random.default_rng(depth)
    for name in ("squared", "softmax_cross_entropy"):
        loss = LOSSES[name]
        net = Network(SIZES[depth], activation, loss.link, seed=3)
        net.w += 0.1 * rng.normal(size=net.K)
        if activation == "exp":
            net.w *= 0.2  # e^{e^{…}} is soon beyond any float
        compare(net, rng.normal(size=(5, 3)), targets(loss, 5, 2, rng), loss, rng.random(5))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda row: row.name)
def test_every_loss(loss, targets):
    loss = loss.configured(**{name: np.linspace(0.2, 0.9, 2) for name in loss.vectors})
    rng = np.random.default_rng(5)
    net = Network([3, 4, 2], "tanh", loss.link, seed=1)
    compare(net, rng.normal(size=(6, 3)), targets(loss, 6, 2, rng), loss, rng.random(6))


@pytest.mark.parametrize("output", HIDDEN)
def test_losses_of_the_identity_link_bend_with_any_output(output):
    rng = np.random.default_rng(5)
    for name in ("squared", "huber"):
        net = Network([3, 4, 2], "tanh", output, seed=1)
        compare(net, rng.normal(size=(6, 3)), rng.normal(size=(6, 2)), LOSSES[name], None)


def test_rows_of_ones_own():
    bent = Activation("bent", lambda z: np.where(z > 0, np.log1p(np.abs(z)), 0.1 * z**3))
    log_cosh = Loss("log_cosh", lambda y, s: np.logaddexp(s - y, y - s))
    focal = own_loss(lambda y, p: -y * (1.0 - p) ** 2 * np.log(p), "softmax")
    rng = np.random.default_rng(8)
    net = Network([3, 5, 4, 2], [bent, "tanh"], seed=0)
    compare(net, rng.normal(size=(9, 3)), rng.normal(size=(9, 2)), log_cosh, None)
    net = Network([3, 5, 3], "silu", "softmax", seed=0)
    compare(net, rng.normal(size=(9, 3)), rng.dirichlet(np.ones(3), 9), focal, None)


def test_the_hessian_is_symmetric_and_that_of_the_gradient():
    rng = np.random.default_rng(2)
    net = Network([3, 6, 5, 2], "tanh", "softmax", seed=0)
    X, Y = rng.normal(size=(30, 3)), rng.dirichlet(np.ones(2), 30)
    E = net.objective(X, Y, "cross_entropy")
    H = np.array([E.hvp(net.w, v) for v in np.eye(net.K)])
    assert_allclose(H, H.T, rtol=1e-9, atol=1e-12)
    v, h = rng.normal(size=net.K), 1e-5
    difference = (E.gradient(net.w + h * v) - E.gradient(net.w - h * v)) / (2 * h)
    assert_allclose(H @ v, difference, rtol=1e-6, atol=1e-7)


def test_gauss_newton_of_squares_is_that_of_the_jacobian():
    rng = np.random.default_rng(3)
    net = Network([3, 6, 2], "tanh", "sigmoid", seed=0)
    E = net.objective(rng.normal(size=(20, 3)), rng.random((20, 2)), "squared", rng.random(20))
    J, v = E.jacobian(net.w), rng.normal(size=net.K)
    assert_allclose(E.gauss_newton(net.w, v), J.T @ (J @ v), rtol=1e-10, atol=1e-12)
    assert not np.allclose(E.hvp(net.w, v), J.T @ (J @ v), rtol=1e-3)


@pytest.mark.parametrize("N", [1, 255, 256, 257, 1100])
def test_blocks_of_rows_add_up_and_threads_do_not_matter(N, monkeypatch):
    monkeypatch.setattr(curvature, "_threads", lambda layout, rows, n, most: min(n or 1, most))
    rng = np.random.default_rng(4)
    net = Network([20, 33, 17, 3], "tanh", "softmax", seed=0)  # panels with an edge
    X, Y, weights, v = rng.normal(size=(N, 20)), np.eye(3)[np.arange(N) % 3], rng.random(N), rng.normal(size=net.K)
    loss = LOSSES["softmax_cross_entropy"]
    found = [Curvature(net.layout, loss, X, Y, weights, n) for n in (1, 2, 3)]
    for product in (Curvature.hvp, Curvature.gauss_newton):
        whole = product(found[0], net.w, v)
        parts = [
            product(Curvature(net.layout, loss, X[k], Y[k], weights[k]), net.w, v)
            for k in np.array_split(np.arange(N), min(N, 3))
        ]
        assert_allclose(whole, sum(parts), rtol=1e-9, atol=1e-11)
        for rows in found[1:]:
            assert_array_equal(product(rows, net.w, v), whole)
        assert_allclose(product(found[0], net.w, 2.0 * v), 2.0 * whole, rtol=1e-13)


def test_bad_input_is_named():
    net = Network([3, 4, 1], "tanh", seed=0)
    E = net.objective(np.zeros((4, 3)), np.zeros(4))
    for door in (E.hvp, E.gauss_newton):
        with pytest.raises(ValueError, match=r"v must have shape \(21,\), got \(20,\)"):
            door(net.w, net.w[:-1])
    net = Network([2, 3, 2], "tanh", "softmax", seed=0)
    with pytest.raises(ValueError, match="goes with the output"):
        net.objective(np.zeros((3, 2)), np.zeros((3, 2)), "squared").hvp(net.w, net.w)
