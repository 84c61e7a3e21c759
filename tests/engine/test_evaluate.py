"""Predictions and total errors: the tables that are kept give what tables made anew give, from several threads too."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from chainrule.engine import Network, TotalError, error, error_and_gradient, evaluate, predict
from chainrule.engine.source import print_activation
from chainrule.network import ACTIVATIONS, get_loss

NETWORKS = {
    "two layers": ([5, 7, 3], "tanh", "softmax"),
    "three layers, z kept": ([5, 33, 17, 2], "silu", "identity"),
    "no hidden layer": ([5, 1], "relu", "sigmoid"),
}

LOSSES = {"softmax": "softmax_cross_entropy", "sigmoid": "binary_cross_entropy"}


@pytest.fixture(params=NETWORKS)
def net(request):
    return Network(*NETWORKS[request.param], seed=0)


@pytest.mark.parametrize("n", [1, 5, 16, 19])
def test_softmax_computes_with_no_numbers_but_those_of_rows(n):
    """Run as plain Python, in memory full of NaN: what is worked on side by side holds none of it afterwards."""
    text = print_activation(ACTIVATIONS["softmax"], "float64", 3).text
    lines = [line for line in text.splitlines() if not line.startswith("from chainrule")]
    taken = []

    def take(dtype, count):
        taken.append(np.full(count, np.nan))
        return taken[-1]

    space = {
        "array": lambda a, shape: np.reshape(a, shape), "taken": take, "local": take, "given_back": lambda room: None,
        "widest": lambda: None, "exp": np.exp,
    }  # fmt: skip
    exec("\n".join(lines), space)
    a = np.random.default_rng(0).normal(size=(n, 3))
    expected = np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)
    space["function"](a, a, np.zeros(3), np.zeros(1), n, 3)
    np.testing.assert_allclose(a, expected, rtol=1e-12)
    assert taken
    assert not any(np.isnan(room).any() for room in taken)


@pytest.mark.parametrize("N", [0, 1, 2, evaluate._FEW_ROWS, evaluate._FEW_ROWS + 1, 300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kept_tables_predict_as_new_ones(net, N, dtype):
    X, w = np.random.default_rng(0).normal(size=(N, 5)).astype(dtype), net.w.astype(dtype)
    first = predict(net.layout, w, X)
    for _ in range(2):
        assert_array_equal(predict(net.layout, w, X), first)
    evaluate._tables.cache_clear()
    assert_array_equal(predict(net.layout, w, X), first)
    if N:
        assert_array_equal(np.concatenate([predict(net.layout, w, X[i : i + 1]) for i in range(N)]), first)
    # other weights, other tables in between
    other = predict(net.layout, 2 * w, X)
    assert N == 0 or not np.array_equal(other, first)
    assert_array_equal(predict(net.layout, w, X), first)


def test_rows_that_differ_in_a_parameter_have_tables_of_their_own():
    X = np.array([[-1.0], [1.0]])  # one of them is negative whatever the sign of the weight
    found = [Network([1, 1], output=("leaky_relu", {"alpha": a}), seed=0)(X) for a in (0.1, 0.5)]
    assert not np.array_equal(*found)


@pytest.mark.parametrize("N", [evaluate._FEW_ROWS, 200])
def test_threads_that_predict_at_once_do_not_disturb_each_other(N):
    net = Network([20, 100, 100, 4], "tanh", "softmax", seed=1)
    X = np.random.default_rng(0).normal(size=(4, N, 20))  # each thread has rows of its own
    right, wrong = [net(block) for block in X], np.zeros(4)

    def work(thread):
        for _ in range(4000 // N):
            found = predict(net.layout, net.w, X[thread], n_threads=1)
            wrong[thread] += not np.array_equal(found, right[thread])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert wrong.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("N", [3, 700])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_total_error_is_good_for_one_w_after_another(net, N, weighted):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(N, 5)), np.full((N, net.sizes[-1]), 1 / net.sizes[-1])
    loss = get_loss(LOSSES.get(net.layout.output.name, "squared"))
    weights = rng.random(N) if weighted else None
    whole = TotalError(net.layout, loss, np.float64, X, Y, weights)
    kept = []
    for scale in (1.0, -0.5, 1.0):
        w = scale * net.w
        e, g = error_and_gradient(net.layout, loss, w, X, Y, weights)
        found = whole.error_and_gradient(w)
        kept.append(found[1])
        assert found[0] == e
        assert_array_equal(found[1], g)
        assert whole.error(w) == error(net.layout, loss, w, X, Y, weights)
    assert_array_equal(kept[0], kept[2])  # none was overwritten by the next
    assert not np.array_equal(kept[0], kept[1])
    frozen = net.w.copy()
    frozen.flags.writeable = False
    strided = np.repeat(net.w, 2)[::2]
    for w in (frozen, strided):
        assert_array_equal(whole.error_and_gradient(w)[1], kept[0])
    with pytest.raises(ValueError, match="w must have shape"):
        whole.error(net.w[:-1])
