"""Whole epochs by the kernels: equal to a plain NumPy loop over the rows' own formulas, for every method."""

import numpy as np
import pytest

from chainrule.calculus import grad
from chainrule.descent import get_method
from chainrule.descent.methods import METHODS
from chainrule.engine import Plan, Run
from chainrule.network import Layout, eager_error, get_loss


def problem(N=53, seed=0, outputs=2):
    rng = np.random.default_rng(seed)
    layout = Layout.of([3, 6, outputs], "tanh", "identity")
    w = layout.first_weights(rng)
    return layout, w, rng.normal(size=(N, 3)), rng.normal(size=(N, outputs))


def by_hand(layout, w, X, Y, method, hyper, batch, penalty, order, step, weights=None, epochs=2):
    """The same training, slowly: the tape's gradient and the row's own update."""
    loss, state, t, w = get_loss("squared"), [np.zeros_like(w) for _ in method.state], 0, w.copy()
    weights = np.ones(len(X)) if weights is None else weights
    hyper = {**{k: v for k, v in method.defaults.items() if k != "step"}, **hyper}
    leading = np.arange(layout.K) < layout.n_weights
    reported = []
    for _ in range(epochs):
        total = 0.0
        for lo in range(0, len(X), batch):
            rows = order[lo : lo + batch]
            mass = weights[rows].sum()

            def E(w, rows=rows, mass=mass):
                penalised = np.where(leading, w, 0.0)
                data = eager_error(layout, loss, w, X[rows], Y[rows], weights[rows])
                return (data + 0.5 * penalty * np.sum(penalised * penalised)) / mass

            total += len(rows) * float(E(w))
            g, t = grad(E)(w), t + 1
            if "decay" in hyper:
                parts = [
                    method.update(w, g, *state, t=float(t), step=step, **{**hyper, "decay": d})
                    for d in (hyper["decay"], 0.0)
                ]
                moved = [np.where(leading, a, b) for a, b in zip(*parts, strict=True)]
            else:
                moved = method.update(w, g, *state, t=float(t), step=step, **hyper)
                moved = moved if isinstance(moved, tuple | list) else (moved,)
            w, state = moved[0], list(moved[1:])
        reported.append(total / len(X))
    return w, reported


@pytest.mark.parametrize("name", METHODS)
def test_epochs_equal_the_plain_loop(name):
    layout, w, X, Y = problem()
    method = get_method(name)
    order = np.random.default_rng(1).permutation(len(X))
    expected, losses = by_hand(layout, w, X, Y, method, {}, 10, 0.3, order, 0.01)
    plan = Plan(layout, get_loss("squared"), method, {}, 10, 0.3, "float64")
    with Run(plan, w, X, Y) as run:
        tally = run.epochs(np.stack([order, order]), 0.01)
    np.testing.assert_allclose(w, expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(tally.sum(axis=1), losses, rtol=1e-10)
    assert run.t == 12


def test_weights_of_rows_and_order_as_it_is():
    layout, w, X, Y = problem()
    weights = np.random.default_rng(2).uniform(0, 2, len(X))
    method = get_method("adam")
    expected, losses = by_hand(layout, w, X, Y, method, {}, 16, 0.1, np.arange(len(X)), 0.01, weights)
    with Run(Plan(layout, get_loss("squared"), method, {}, 16, 0.1, "float64"), w, X, Y, weights) as run:
        tally = run.epochs(np.empty((2, 0), int), 0.01)
    np.testing.assert_allclose(w, expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(tally.sum(axis=1), losses, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_thread_and_two_give_the_same_bits(dtype):
    rng = np.random.default_rng(3)
    layout = Layout.of([40, 60, 30, 5], "relu", "softmax")
    X, Y = rng.normal(size=(3000, 40)).astype(dtype), np.eye(5, dtype=dtype)[rng.integers(0, 5, 3000)]
    plan = Plan(layout, get_loss("cross_entropy"), get_method("adam"), {}, 512, 0.01, dtype)
    assert plan.shards > 1
    found = []
    for n_threads in (1, 2, 1):
        w = layout.first_weights(np.random.default_rng(0)).astype(dtype)
        with Run(plan, w, X, Y, n_threads=n_threads) as run:
            order = np.random.default_rng(1).permutation(3000)
            tally = run.epochs(np.stack([order, order[::-1]]), 1e-3)
        found.append((w.tobytes(), tally.tobytes()))
    assert found[0] == found[1] == found[2]


def test_slices_of_time_do_not_change_the_result(monkeypatch):
    import chainrule.engine.run as module

    layout, w, X, Y = problem()
    plan = Plan(layout, get_loss("squared"), get_method("adam"), {}, 5, 0.0, "float64")
    order = np.arange(len(X))[None]
    with Run(plan, w, X, Y) as run:
        whole = run.epochs(order, np.linspace(0.01, 0.001, run.steps_per_epoch))
    monkeypatch.setattr(module, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(module, "_FIRST_SLICE_FLOP", 0.0)
    _, again, _, _ = problem()
    with Run(plan, again, X, Y) as run:
        sliced = run.epochs(order, np.linspace(0.01, 0.001, run.steps_per_epoch))
    np.testing.assert_array_equal(w, again)
    np.testing.assert_array_equal(whole, sliced)


def test_a_batch_of_no_weight_moves_nothing():
    layout, w, X, Y = problem(N=20)
    before = w.copy()
    with Run(
        Plan(layout, get_loss("squared"), get_method("adam"), {}, 10, 0.1, "float64"), w, X, Y, np.zeros(20)
    ) as run:
        tally = run.epochs(np.empty((1, 0), int), 0.1)
    np.testing.assert_array_equal(w, before)
    assert (tally == 0).all()


def test_adam_learns_and_nan_is_seen():
    layout, w, X, _ = problem(N=400, outputs=1)
    Y = X[:, :1] * X[:, 1:2]
    plan = Plan(layout, get_loss("squared"), get_method("adam"), {}, 32, 0.0, "float64")
    with Run(plan, w, X, Y) as run:
        losses = run.epochs(np.stack([np.random.default_rng(k).permutation(400) for k in range(60)]), 0.02)[:, 0]
        assert losses[-1] < 0.2 * losses[0]
        X[3, 0] = np.nan
    with Run(plan, w, X, Y) as run:
        assert np.isnan(run.epochs(np.arange(400)[None], 0.02)).any()


@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu", "gelu"])
def test_nan_is_not_swallowed_by_an_activation(activation):
    layout = Layout.of([2, 3, 1], activation)
    X = np.array([[1.0, 2.0], [np.nan, 1.0]])
    plan = Plan(layout, get_loss("squared"), get_method("adam"), {}, 2, 0.0, "float64")
    with Run(plan, layout.first_weights(np.random.default_rng(0)), X, np.zeros((2, 1))) as run:
        assert np.isnan(run.epochs(np.empty((1, 0), int), 0.1)).any()


def test_bad_plans_are_named():
    layout, w, X, Y = problem()
    with pytest.raises(ValueError, match="goes with the output"):
        Plan(layout, get_loss("poisson"), get_method("adam"))
    with pytest.raises(ValueError, match="dtype"):
        Plan(layout, get_loss("squared"), get_method("adam"), dtype="float16")
    with pytest.raises(ValueError, match="has no beta_3"):
        Plan(layout, get_loss("squared"), get_method("adam"), {"beta_3": 0.1})
    plan = Plan(layout, get_loss("squared"), get_method("adam"), dtype="float64")
    with pytest.raises(ValueError, match="contiguous float64 vector"):
        Run(plan, w.astype(np.float32), X, Y)
    with pytest.raises(ValueError, match="n_threads must be a whole number"):
        Run(plan, w, X, Y, n_threads=0)
    with pytest.warns(RuntimeWarning, match="more than the"), Run(plan, w, X, Y, n_threads=10_000):
        pass
