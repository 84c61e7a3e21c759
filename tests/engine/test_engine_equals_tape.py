"""Two ways to the same number: the compiled engine and the eager tape agree, for every row and depth."""

import numpy as np
import pytest

from chainrule.calculus import grad
from chainrule.engine import Network
from chainrule.network import ACTIVATIONS, LOSSES, Activation, Loss, eager_error, forward, own_loss

HIDDEN = [name for name, row in ACTIVATIONS.items() if not row.rowwise]
SIZES = {0: [3, 2], 1: [3, 5, 2], 2: [3, 5, 4, 2], 3: [3, 4, 5, 3, 2], 4: [3, 4, 3, 5, 4, 2]}


def for_outputs(loss, D):
    """The loss with as many numbers in each vector of parameters as there are outputs."""
    return loss.configured(**{name: np.linspace(0.2, 0.9, D) for name in loss.vectors})


def compare(net, X, Y, loss, weights=None, rtol=1e-10):
    def E(w):
        return eager_error(net.layout, loss, w, X, Y, weights)

    assert net.error(X, Y, loss, weights) == pytest.approx(float(E(net.w)), rel=rtol)
    exact = grad(E)(net.w)
    np.testing.assert_allclose(net.gradient(X, Y, loss, weights), exact, rtol=rtol, atol=rtol * np.abs(exact).max())


@pytest.mark.parametrize("depth", SIZES)
@pytest.mark.parametrize("loss", list(LOSSES.values()), ids=lambda row: row.name)
@pytest.mark.parametrize("activation", HIDDEN)
def test_gradient_by_engine_equals_gradient_by_tape(activation, loss, depth, targets):
    rng, loss = np.random.default_rng(depth), for_outputs(loss, 2)
    net = Network(SIZES[depth], activation, loss.link, seed=3)
    net.w += 0.1 * rng.normal(size=net.K)
    if activation == "exp":
        net.w *= 0.2  # e^{e^{…}} is soon beyond any float
    compare(net, rng.normal(size=(7, 3)), targets(loss, 7, 2, rng), loss)


@pytest.mark.parametrize("output", HIDDEN)
@pytest.mark.parametrize("loss", [row for row in LOSSES.values() if row.link == "identity"], ids=lambda row: row.name)
def test_losses_of_the_identity_link_work_on_any_output(output, loss):
    rng = np.random.default_rng(5)
    net = Network([3, 4, 2], "tanh", output, seed=1)
    compare(net, rng.normal(size=(6, 3)), rng.normal(size=(6, 2)), loss)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_outputs_equal_the_eager_ones(name):
    rng = np.random.default_rng(0)
    net = Network([4, 6, 3], "tanh", name, seed=0)
    X = rng.normal(size=(600, 4))  # more than one block of rows
    np.testing.assert_allclose(net(X), forward(net.layout, net.w, X)[1], rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(net(X[0]), net(X[:1])[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", HIDDEN)
def test_a_row_has_the_same_bits_alone_and_among_others_in_layers_of_any_width(name, dtype):
    rng = np.random.default_rng(0)
    for width in (1, 3, 16, 20):  # whole vectors or not
        net = Network([4, width, 2], name, seed=0, dtype=dtype)
        net.w += 0.1 * rng.normal(size=net.K).astype(dtype)
        X = rng.normal(size=(37, 4)).astype(dtype)
        found = net(X)
        tolerance = 1e-12 if dtype == "float64" else 1e-5
        exact = forward(net.layout, net.w.astype(float), X.astype(float))[1]
        np.testing.assert_allclose(found, exact, rtol=tolerance, atol=tolerance * np.abs(exact).max())
        np.testing.assert_array_equal(found, np.concatenate([net(x[None]) for x in X]))


@pytest.mark.parametrize("loss", ["squared", "softmax_cross_entropy"])
@pytest.mark.parametrize(
    "activation", [pytest.param(n, marks=[pytest.mark.slow] * (n not in ("tanh", "relu", "gelu"))) for n in HIDDEN]
)
def test_float32_agrees_to_its_own_precision(activation, loss, targets):
    row = LOSSES[loss]
    rng = np.random.default_rng(1)
    X, Y = rng.normal(size=(40, 3)), targets(row, 40, 2, rng)
    double = Network([3, 8, 2], activation, row.link, seed=2)
    single = Network([3, 8, 2], activation, row.link, seed=2, dtype="float32")
    g, g32 = double.gradient(X, Y, row), single.gradient(X, Y, row)
    assert g32.dtype == np.float32
    np.testing.assert_allclose(g32, g, rtol=2e-4, atol=2e-5 * np.abs(g).max())


def test_large_products_take_the_other_path_and_agree():
    """Products above and below the engine's border between loops and BLAS give the same gradient."""
    rng = np.random.default_rng(4)
    net = Network([60, 50, 40, 3], "tanh", "softmax", seed=0)
    X, Y = rng.normal(size=(700, 60)), rng.dirichlet(np.ones(3), 700)
    compare(net, X, Y, LOSSES["softmax_cross_entropy"])
    parts = sum(net.gradient(X[lo : lo + 5], Y[lo : lo + 5], "cross_entropy") for lo in range(0, 700, 5))
    np.testing.assert_allclose(parts, net.gradient(X, Y, "cross_entropy"), rtol=1e-9, atol=1e-10)


def test_weights_of_rows():
    rng = np.random.default_rng(6)
    net = Network([3, 5, 2], "sigmoid", seed=0)
    X, Y, weights = rng.normal(size=(30, 3)), rng.normal(size=(30, 2)), rng.integers(0, 3, 30).astype(float)
    compare(net, X, Y, LOSSES["huber"], weights)
    rows = np.repeat(np.arange(30), weights.astype(int))
    np.testing.assert_allclose(
        net.gradient(X, Y, "huber", weights), net.gradient(X[rows], Y[rows], "huber"), rtol=1e-10, atol=1e-12
    )


def test_parameters_of_rows_reach_the_engine():
    rng = np.random.default_rng(7)
    X, Y = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
    net = Network([3, 5, 2], ("leaky_relu", {"alpha": 0.3}), seed=0)
    compare(net, X, Y, LOSSES["huber"].configured(delta=0.2))
    other = Network([3, 5, 2], "leaky_relu", seed=0)
    assert net.error(X, Y) != other.error(X, Y)


def test_an_activation_and_a_loss_of_ones_own():
    def bent(z):
        return np.where(z > 0, np.log1p(np.abs(z)), 0.1 * z**3)

    def log_cosh(y, s):
        r = s - y
        return np.abs(r) + np.log1p(np.exp(-2 * np.abs(r))) - np.log(2.0)

    rng = np.random.default_rng(8)
    net = Network([3, 5, 4, 2], [bent, "tanh"], seed=0)
    compare(net, rng.normal(size=(9, 3)), rng.normal(size=(9, 2)), Loss("log_cosh", log_cosh))


def test_a_formula_that_cannot_be_compiled_is_named():
    net = Network([2, 3, 1], Activation("sorted", lambda z: np.sinc(z)), seed=0)
    with pytest.raises(ValueError, match=r"activation 'sorted' uses 'sinc'"):
        net(np.zeros((1, 2)))


def test_no_hidden_layer_is_the_linear_model():
    rng = np.random.default_rng(9)
    X = rng.normal(size=(50, 4))
    y = X @ [1.0, -2.0, 0.5, 3.0] + 0.7
    net = Network([4, 1], seed=0)
    solution = np.linalg.lstsq(np.column_stack([X, np.ones(50)]), y, rcond=None)[0]
    net.w = solution
    assert net.error(X, y) < 1e-20
    np.testing.assert_allclose(net.gradient(X, y), 0, atol=1e-10)


def test_views_are_the_vector():
    net = Network([2, 3, 1], seed=0)
    net.A[1][0, 2] = 7.0
    assert net.w[net.layout.index(("A", 1, 0, 2))] == 7.0
    net.w = np.zeros(net.K)
    assert net.A[1][0, 2] == 0.0
    net.b[2][0] = 4.0
    assert net(np.zeros((1, 2))).item() == 4.0


def test_an_empty_table_gives_an_empty_answer():
    net = Network([2, 3, 1], seed=0)
    assert net(np.zeros((0, 2))).shape == (0, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: net(np.zeros((3, 5))), r"X must be N × 2"),
        (lambda net: net([["a", "b"]]), "X must hold numbers"),
        (lambda net: net.error(np.zeros((3, 2)), np.zeros(4)), "y must be 3 × 1"),
        (lambda net: net.error(np.zeros((3, 2)), [0, np.nan, 0]), "row 1 of y"),
        (lambda net: net.error(np.zeros((3, 2)), np.zeros(3), weights=[1, -1, 1]), "weights must be 3 finite"),
        (lambda net: net.error(np.zeros((3, 2)), np.zeros(3), loss="poisson"), "goes with the output"),
        (lambda net: net.error(np.zeros((3, 2)), np.zeros(3), loss="sqared"), "Did you mean 'squared'"),
        (lambda net: setattr(net, "w", np.zeros(3)), r"w must have shape \(13,\)"),
        (lambda net: Network([2, 1], dtype="int8"), "dtype must be"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(Network([2, 3, 1], seed=0))


OWN_LOSSES = {
    "log-cosh": (lambda y, p: np.logaddexp(p - y, y - p) - np.log(2.0), "identity"),
    "fourth power of the row": (lambda y, p: np.sum((p - y) ** 2, axis=-1) ** 2, "identity"),
    "focal": (lambda y, p: -y * (1.0 - p) ** 2 * np.log(p), "softmax"),
    "brier": (lambda y, p: (p - y) ** 2, "sigmoid"),
    "of a branch": (lambda y, p: np.where(p > y, p - y, 3.0 * (y - p)), "exp"),
    "mean over outputs": (lambda y, p: np.mean((p - y) ** 2, axis=-1), "identity"),
    "weights of outputs": (lambda y, p: (p - y) ** 2 * np.array([1.0, 2.0, 5.0]), "identity"),
    "centred": (lambda y, p: (p - np.mean(p, axis=-1, keepdims=True) - y) ** 2, "identity"),
    "of the largest": (lambda y, p: np.max(np.abs(p - y), axis=-1), "identity"),
}


@pytest.mark.parametrize("name", OWN_LOSSES)
def test_a_loss_of_ones_own_is_compiled_from_its_record(name):
    function, output = OWN_LOSSES[name]
    loss, rng = own_loss(function, output), np.random.default_rng(0)
    net = Network([3, 4, 3], "tanh", output, seed=0)
    Y = rng.dirichlet(np.ones(3), 8)
    X = rng.normal(size=(8, 3))
    compare(net, X, Y, loss, rtol=1e-9)
    each = function(Y, net(X))
    assert net.error(X, Y, loss) == pytest.approx(each.sum(), rel=1e-12)


def test_a_loss_of_ones_own_must_return_a_number_an_output_or_a_row():
    with pytest.raises(ValueError, match=r"'<lambda>' must return one number for each output.*returned shape \(\)"):
        own_loss(lambda y, p: np.sum((p - y) ** 2))
    with pytest.raises(ValueError, match="take each row alone"):
        own_loss(lambda y, p: (p - np.mean(p)) ** 2)
