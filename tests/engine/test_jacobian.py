"""Residuals and their Jacobian by the engine: equal to the eager ones for every activation and depth."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import chainrule as cr
from chainrule.descent.second_order.levenberg_marquardt import trial
from chainrule.descent.second_order.view import View
from chainrule.engine import Network, jacobian, squares
from chainrule.engine.jacobian import GaussNewton, Residuals, outputs_jacobian, scores_jacobian
from chainrule.estimators.second_order import penalised
from chainrule.network import ACTIVATIONS, LOSSES, Loss, forward

HIDDEN = [name for name, row in ACTIVATIONS.items() if not row.rowwise]
SQUARES = [row for row in LOSSES.values() if row.residual is not None]
SIZES = {0: [3, 2], 1: [3, 4, 2], 2: [3, 4, 3, 2], 3: [3, 4, 2, 3, 2]}
# A square with another slope than 1, on an output that is not its link.
RELATIVE = Loss(
    "relative",
    lambda y, s: 0.5 * np.square(s / (1.0 + y * y) - y),
    residual=lambda y, s: s / (1.0 + y * y) - y,
)


def random_rows(net, N, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, net.sizes[0])), rng.normal(size=(N, net.sizes[-1])), rng.integers(0, 3, N) + 0.5


def eager_residuals(net, loss, X, Y, weights):
    def e(w):
        a = forward(net.layout, w, X)[1]
        return np.reshape(np.sqrt(weights)[:, None] * loss.residual(Y, a), -1)

    return e


def compare(net, loss, N=5):
    X, Y, weights = random_rows(net, N)
    e = eager_residuals(net, loss, X, Y, weights)
    J = cr.jacobian(e)(net.w)
    E = net.objective(X, Y, loss, weights)
    scale = np.abs(J).max()
    assert_allclose(E.residuals(net.w), e(net.w), rtol=1e-10, atol=1e-13)
    assert_allclose(E.jacobian(net.w), J, rtol=1e-10, atol=1e-10 * scale)
    JJ, Je = E.normal(net.w)
    assert_allclose(JJ, J.T @ J, rtol=1e-10, atol=1e-10 * scale**2)
    assert_allclose(Je, J.T @ e(net.w), rtol=1e-10, atol=1e-10 * scale * np.abs(e(net.w)).max())
    assert_array_equal(JJ, JJ.T)
    value, g = E.value_and_gradient(net.w)
    assert float(E(net.w)) == pytest.approx(value, rel=1e-12)
    assert_allclose(g, Je, rtol=1e-9, atol=1e-10 * scale)


@pytest.mark.parametrize("depth", SIZES)
@pytest.mark.parametrize("loss", SQUARES, ids=lambda row: row.name)
@pytest.mark.parametrize("activation", HIDDEN)
def test_jacobian_by_engine_equals_jacobian_by_tape(activation, loss, depth):
    net = Network(SIZES[depth], activation, loss.link, seed=3)
    net.w += 0.1 * np.random.default_rng(depth).normal(size=net.K)
    if activation == "exp":
        net.w *= 0.2  # e^{e^{…}} is soon beyond any float
    compare(net, loss)


@pytest.mark.parametrize("output", HIDDEN)
def test_any_output(output):
    compare(Network([3, 4, 2], "tanh", output, seed=1), LOSSES["squared"])


def test_a_square_of_ones_own():
    compare(Network([2, 3, 3], "tanh", "sigmoid", seed=1), RELATIVE)


def test_residuals_are_the_loss():
    rng = np.random.default_rng(0)
    y, s = rng.normal(size=(2, 50))
    for loss in SQUARES:
        assert_allclose(0.5 * loss.residual(y, s) ** 2, loss(y, s), rtol=1e-14)


@pytest.mark.parametrize("shared", ["rows", "columns"])
@pytest.mark.parametrize("sizes", [[3, 7, 1], [4, 9, 5, 3], [9, 12, 1], [7, 11, 10, 3]])
def test_bits_do_not_depend_on_threads_nor_sums_on_blocks(sizes, shared, monkeypatch):
    monkeypatch.setattr(jacobian, "_BLOCK_NUMBERS", 1 << 11)
    monkeypatch.setattr(jacobian, "_WORTH_A_THREAD", 1 << 12)
    monkeypatch.setattr(jacobian, "_WORTH_A_SHARD", 1 << 12)
    monkeypatch.setattr(jacobian, "_WORTH_A_NUMBER", 0)
    monkeypatch.setattr(jacobian, "_LARGEST_OF_SHARDS", 1000 if shared == "rows" else 0)
    net = Network(sizes, "tanh", seed=0)
    X, Y, weights = random_rows(net, 501)
    found = [Residuals(net.layout, LOSSES["squared"], X, Y, weights, n) for n in (1, 2, 3)]
    assert [rows._crew.n for rows in found] == [1, 2, 3]
    assert found[0]._block < 250
    assert (len(found[0]._begins) > 3) == (shared == "rows")
    J, e = found[0].jacobian(net.w), found[0](net.w)
    for rows in found:
        JJ, Je = rows.normal(net.w)
        assert_array_equal(JJ, found[0].normal(net.w)[0])
        assert_array_equal(Je, found[0].normal(net.w)[1])
        assert_array_equal(rows.jacobian(net.w), J)
        assert_array_equal(rows(net.w), e)
    assert_allclose(JJ, J.T @ J, rtol=1e-10, atol=1e-10)
    assert_allclose(Je, J.T @ e, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("N", [1, 7, 33, 300])
@pytest.mark.parametrize("paired", [{0}, {1}, {0, 1}])
@pytest.mark.parametrize("sizes", [[3, 2, 4, 1], [5, 9, 7, 2], [1, 1, 1, 3], [22, 3, 12, 5, 1]])
def test_pairs_add_up_to_what_lines_do(sizes, paired, N, monkeypatch):
    monkeypatch.setattr(jacobian, "worth_pairs", lambda layout, N: frozenset(paired))
    monkeypatch.setattr(jacobian, "_BLOCK_NUMBERS", 1 << 13)
    for shared in (0, 1000):
        monkeypatch.setattr(jacobian, "_LARGEST_OF_SHARDS", shared)
        monkeypatch.setattr(jacobian, "_WORTH_A_SHARD", 1 << 12)
        monkeypatch.setattr(jacobian, "_WORTH_A_NUMBER", 0)
        compare(Network(sizes, "tanh", seed=1), LOSSES["squared"], N)


def test_pairs_are_made_where_they_are_worth_it():
    def paired(sizes, N=500):
        return squares.worth_pairs(Network(sizes, "tanh").layout, N)

    assert paired([10, 20, 1]) == {0}
    assert paired([10, 20, 20, 1]) == {0, 1}
    assert paired([10, 20, 1], N=10) == set()  # too few rows
    assert paired([2, 20, 1]) == set()  # too few inputs
    assert paired([500, 4, 1]) == set()  # no fewer multiplications
    assert paired([200, 10, 1]) == set()  # ten times as many pairs of inputs as lines have numbers


@pytest.mark.parametrize(("hidden", "N", "shards"), [(25, 3_000, 4), (25, 30_000, 8), (5, 3_000, 2)])
def test_large_matrices_are_worth_fewer_shards(hidden, N, shards):
    net = Network([30, hidden, 1], "tanh")
    rows = Residuals(net.layout, LOSSES["squared"], np.zeros((N, 30)), np.zeros((N, 1)), None, 1)
    assert len(rows._begins) - 1 == shards


@pytest.mark.parametrize("activation", ["tanh", "relu", "softplus", "sin"])
@pytest.mark.parametrize("loss", [LOSSES["squared"], RELATIVE], ids=lambda row: row.name)
def test_the_gradient_by_an_older_jacobian(activation, loss):
    net = Network([3, 4, 3, 2], activation, loss.link, seed=3)
    net.w += 0.1 * np.random.default_rng(1).normal(size=net.K)  # biases of 0 are a kink of relu, where a row is off
    X, Y, weights = random_rows(net, 75)
    e = eager_residuals(net, loss, X, Y, weights)
    E, there = net.objective(X, Y, loss, weights), net.w + 0.1 * np.random.default_rng(0).normal(size=net.K)
    expected = cr.jacobian(e)(net.w).T @ e(there)
    assert E.has_chord
    assert_allclose(E.chord(net.w, there), expected, rtol=1e-10, atol=1e-11 * np.abs(expected).max())
    for w, v in ((net.w[:-1], there), (net.w, there[:-1])):
        with pytest.raises(ValueError, match="w must have shape"):
            E.chord(w, v)


# Fewer parameters than are factored without products, just as many, more; several blocks and panels of them.
TRIALS = [[1, 3, 1], [2, 3, 3, 1], [1, 15, 1], [3, 16, 1], [4, 9, 7, 2], [10, 20, 1], [10, 27, 1], [10, 53, 1]]


@pytest.mark.parametrize("penalty", [0.0, 0.3])
@pytest.mark.parametrize("mu", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("corrections", [0, 1, 3])
@pytest.mark.parametrize("sizes", TRIALS, ids=str)
def test_a_trial_in_one_call_is_the_trial_step_by_step(sizes, corrections, mu, penalty):
    net = Network(sizes, "tanh", seed=1)
    X, Y, weights = random_rows(net, 70)
    data = net.objective(X, Y, "squared", weights)
    E = penalised(data, penalty, net.layout.n_weights)
    view, value = View(E, (net.K,)), float(E(net.w))
    model = view.model(net.w)
    damping = mu * np.linspace(0.5, 2.0, net.K)
    given = view, model, net.w, damping, corrections, lambda x, F: F, (value, 0.0, 20.0)
    fall, x, reached = trial(*given)
    model.trial = None
    slow_fall, slow_x, slow_reached = trial(*given)
    assert fall == pytest.approx(slow_fall, rel=1e-9)
    assert_allclose(x, slow_x, rtol=1e-7, atol=1e-8 * np.abs(slow_x).max())
    assert reached == pytest.approx(slow_reached, rel=1e-8)
    assert reached == pytest.approx(float(E(x)), rel=1e-12)


def test_corrections_are_made_where_they_may_help():
    net = Network([1, 10, 1], "tanh", seed=0)
    X = np.linspace(-1, 1, 60)[:, None]
    E = net.objective(X, np.sin(2 * np.pi * X))
    G, g = E.normal(net.w)
    value = float(E(net.w))
    asked = {
        (corrections, invisible, hopeless): E.trial(net.w, G, g, 0.1, corrections, (value, invisible, hopeless))
        for corrections in (0, 1, 2)
        for invisible in (0.0, 1e9)
        for hopeless in (0.0, 20.0)
    }
    for (corrections, invisible, hopeless), (_, x, reached, evaluations) in asked.items():
        if not corrections or invisible or not hopeless:
            assert evaluations == 1
            assert_array_equal(x, asked[0, 0.0, 20.0][1])
        else:
            assert 2 <= evaluations <= 1 + corrections
            assert reached < asked[0, 0.0, 20.0][2]


def test_a_trial_of_what_is_not_positive_definite_is_none():
    for sizes in ([1, 3, 1], [10, 20, 1]):
        net = Network(sizes, "tanh", seed=0)
        E = net.objective(*random_rows(net, 20)[:2])
        G, g = E.normal(net.w)
        for k in (0, net.K // 2, net.K - 1):
            for bad in (-1.0, np.nan):
                broken = G + np.eye(net.K)
                broken[k, k] = bad
                assert E.trial(net.w, broken, g, 0.0, 2, (1.0, 0.0, 20.0)) is None
        assert E.trial(net.w, G, g, 1.0, 2, (1.0, 0.0, 20.0)) is not None


def test_a_block_never_has_more_lines_than_fit():
    net = Network([30, 200, 1], "tanh", seed=0)
    rows = Residuals(net.layout, LOSSES["squared"], *random_rows(net, 2000)[:2])
    assert rows._block * net.K <= jacobian._BLOCK_NUMBERS


def test_outputs_and_scores():
    net = Network([3, 4, 2], "tanh", "sigmoid", seed=0)
    X = random_rows(net, 5)[0]
    found = outputs_jacobian(net.layout, net.w, X), scores_jacobian(net.layout, net.w, X)
    for J, pick in zip(found, (1, 0), strict=True):
        expected = cr.jacobian(lambda w, pick=pick: forward(net.layout, w, X)[pick])(net.w)
        assert_allclose(J, expected, rtol=1e-10, atol=1e-13)
    net = Network([3, 4, 2], "tanh", "softmax", seed=0)
    expected = cr.jacobian(lambda w: forward(net.layout, w, X)[0])(net.w)
    assert_allclose(scores_jacobian(net.layout, net.w, X), expected, rtol=1e-10, atol=1e-13)
    with pytest.raises(ValueError, match="goes with the output"):
        outputs_jacobian(net.layout, net.w, X)


def test_a_linear_model_is_solved_by_its_normal_equations():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    net = Network([3, 2], seed=0)
    JJ, Je = net.objective(X, Y).normal(net.w)
    net.w -= np.linalg.solve(JJ, Je)
    expected = np.linalg.lstsq(np.column_stack([X, np.ones(40)]), Y, rcond=None)[0]
    assert_allclose(net.A[1], expected[:3], rtol=1e-10)
    assert_allclose(net.b[1], expected[3], rtol=1e-10)


def test_a_float32_network_is_computed_in_float64():
    net = Network([3, 4, 1], "tanh", seed=0, dtype="float32")
    X, Y, _ = random_rows(net, 9)
    E = net.objective(X, Y)
    wide = Network([3, 4, 1], "tanh", seed=0)
    wide.w = net.w
    expected = wide.objective(X.astype(np.float32), Y.astype(np.float32)).jacobian(wide.w)
    assert_array_equal(E.jacobian(net.w), expected)


def test_no_rows_and_no_weight():
    net = Network([3, 4, 2], "tanh", seed=0)
    E = net.objective(np.zeros((0, 3)), np.zeros((0, 2)))
    assert E.residuals(net.w).shape == (0,)
    assert E.jacobian(net.w).shape == (0, net.K)
    assert not E.normal(net.w)[0].any()
    X, Y, _ = random_rows(net, 4)
    J = net.objective(X, Y, weights=[1.0, 0.0, 2.0, 0.0]).jacobian(net.w)
    assert np.isfinite(J).all()
    assert not J[[2, 3, 6, 7]].any()


@pytest.mark.parametrize("loss", [row for row in LOSSES.values() if row.residual is None], ids=lambda row: row.name)
def test_a_loss_that_is_no_square_says_so(loss):
    net = Network([3, 4, 2], "tanh", loss.link, seed=0)
    with pytest.raises(ValueError, match=f"'{loss.name}' is no sum of squares.*use 'squared'"):
        Residuals(net.layout, loss, np.zeros((4, 3)), np.zeros((4, 2)))


def test_wrong_shapes_are_named():
    net = Network([3, 4, 1], "tanh", seed=0)
    E = net.objective(np.zeros((4, 3)), np.zeros(4))
    for door in (E.residuals, E.jacobian, E.normal):
        with pytest.raises(ValueError, match=r"w must have shape \(21,\), got \(20,\)"):
            door(net.w[:-1])


CONVEX = ["binary_cross_entropy", "softmax_cross_entropy", "poisson", "gamma", "tweedie", "huber"]


@pytest.mark.parametrize("name", CONVEX)
@pytest.mark.parametrize("sizes", [[3, 4, 3], [2, 3]])
def test_the_gauss_newton_matrix_of_other_losses(name, sizes):
    loss, rng = LOSSES[name], np.random.default_rng(0)
    net = Network(sizes, "tanh", loss.link, seed=0)
    X, Y, weights = random_rows(net, 6)
    Y = rng.dirichlet(np.ones(3), 6)
    J = scores_jacobian(net.layout, net.w, X)
    S = forward(net.layout, net.w, X)[0]
    H = [cr.hessian(lambda s, y=y: np.sum(loss(y[None], s[None])))(s) for y, s in zip(Y, S, strict=True)]
    expected = sum(c * j.T @ h @ j for c, j, h in zip(weights, J, H, strict=True))
    E = net.objective(X, Y, loss, weights)
    G, g = E.normal(net.w)
    assert_allclose(G, expected, rtol=1e-9, atol=1e-11)
    assert_array_equal(g, E.gradient(net.w))
    assert np.linalg.eigvalsh(G).min() > -1e-12
    v = rng.normal(size=net.K)
    assert_allclose(E.gauss_newton(net.w, v), expected @ v, rtol=1e-9, atol=1e-11)


def test_negative_curvature_of_a_loss_is_left_out():
    hill = Loss("hill", lambda y, s: np.square(s - y) / (1.0 + np.square(s - y)))
    net = Network([2, 3, 1], "tanh", seed=0)
    X, Y, _ = random_rows(net, 20)
    values = np.linalg.eigvalsh(GaussNewton(net.layout, hill, X, 5.0 * Y)(net.w))
    assert values.min() > -1e-12
    assert values.max() > 1e-3
