"""Whole epochs by the kernels: equal to a plain NumPy loop over the rows' own formulas, for every method."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.calculus import grad
from chainrule.descent import get_method
from chainrule.descent.methods import METHODS
from chainrule.engine import Network, Plan, Run
from chainrule.engine import plan as plan_module
from chainrule.engine.compiled import KERNELS
from chainrule.engine.dropout import dropout_factors
from chainrule.engine.processor import VECTOR
from chainrule.network import Layout, eager_error, get_loss


def problem(N=53, seed=0, outputs=2):
    rng = np.random.default_rng(seed)
    layout = Layout.of([3, 6, outputs], "tanh", "identity")
    w = layout.first_weights(rng)
    return layout, w, rng.normal(size=(N, 3)), rng.normal(size=(N, outputs))


def by_hand(plan, w, X, Y, order, step, weights=None, epochs=2):
    """The same training, slowly: the tape's gradient and the row's own update. Returns w, its average, the errors."""
    layout, method = plan.layout, plan.method
    w, state, t = w.copy(), [np.zeros_like(w) for _ in method.state], 0
    average = w.copy()
    weights = np.ones(len(X)) if weights is None else weights
    hyper = {**{k: v for k, v in method.defaults.items() if k != "step"}, **plan.hyper}
    leading = np.arange(layout.K) < layout.n_weights
    moves = np.ones(layout.K, bool)
    for (_, l), (start, stop, _) in layout.slices.items():
        moves[start:stop] = l not in plan.frozen
    reported = []
    for _ in range(epochs):
        total = 0.0
        for lo in range(0, len(X), plan.batch_size):
            rows, t = order[lo : lo + plan.batch_size], t + 1
            mass = weights[rows].sum()
            keep = [
                dropout_factors(plan.seed, t, l, rows, layout.sizes[l], rate) for l, rate in enumerate(plan.dropout, 1)
            ]

            def E(w, rows=rows, mass=mass, keep=keep):
                penalised = np.where(leading & moves, w, 0.0)
                data = eager_error(layout, plan.loss, w, X[rows], Y[rows], weights[rows], keep)
                size = 0.5 * plan.penalty * np.sum(penalised * penalised) + plan.l1 * np.sum(np.abs(penalised))
                return (data + size) / mass

            total += len(rows) * float(E(w))
            g = np.where(moves, grad(E)(w), 0.0)
            if plan.clip is not None:
                g = g * min(1.0, plan.clip / np.linalg.norm(g))
            before = np.where(leading, w * (1.0 - step * plan.decay), w)
            parts = [
                method.advance(before, g, state, t=float(t), step=step, **{**hyper, **decay})
                for decay in ([{}, {"decay": 0.0}] if "decay" in hyper else [{}, {}])
            ]
            moved = np.where(leading, parts[0][0], parts[1][0])
            w, state = np.where(moves, moved, w), list(parts[0][1])
            beta = plan.average
            average = average + (1.0 if beta is None else (1 - beta) / (1 - beta**t)) * (w - average)
        reported.append(total / len(X))
    return w, average, reported


def assert_equal_to_the_plain_loop(plan, w, X, Y, order, step=0.01, weights=None, whole_order=None):
    expected, average, errors = by_hand(plan, w, X, Y, order, step, weights)
    with Run(plan, w, X, Y, weights) as run:
        tally = run.epochs(np.stack([order, order]) if whole_order is None else whole_order, step)
    np.testing.assert_allclose(w, expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(run.result, average if plan.average is not None else expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(tally.sum(axis=1), errors, rtol=1e-10)
    return run


@pytest.mark.parametrize("name", METHODS)
def test_epochs_equal_the_plain_loop(name):
    layout, w, X, Y = problem()
    plan = Plan(layout, get_loss("squared"), get_method(name), {}, 10, 0.3, "float64")
    run = assert_equal_to_the_plain_loop(plan, w, X, Y, np.random.default_rng(1).permutation(len(X)))
    assert run.t == 12


def test_weights_of_rows_and_order_as_it_is():
    layout, w, X, Y = problem()
    weights = np.random.default_rng(2).uniform(0, 2, len(X))
    plan = Plan(layout, get_loss("squared"), get_method("adam"), {}, 16, 0.1, "float64")
    as_it_is = np.empty((2, 0), int)
    assert_equal_to_the_plain_loop(plan, w, X, Y, np.arange(len(X)), weights=weights, whole_order=as_it_is)


WISHES = {
    "l1": {"l1": 0.4},
    "both penalties": {"l1": 0.4, "penalty": 0.7},
    "decay": {"decay": 2.0},
    "clip": {"clip": 0.05},
    "clip that is never reached": {"clip": 1e6},
    "dropout": {"dropout": (0.4, 0.2), "seed": 7},
    "dropout of one layer": {"dropout": (0.0, 0.5), "seed": 2**40 + 3},
    "average": {"average": 0.9},
    "average of nothing but the last": {"average": 0.0},
    "frozen first layer": {"frozen": frozenset({1})},
    "frozen middle layer": {"frozen": frozenset({2}), "penalty": 0.3},
    "frozen last layer": {"frozen": frozenset({3}), "clip": 0.1},
    "all at once": {
        "l1": 0.1, "penalty": 0.2, "decay": 1.0, "clip": 0.2, "dropout": (0.3, 0.1), "average": 0.8, "frozen": frozenset({2}),
    },
}  # fmt: skip


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("name", ["adam", "momentum"])
def test_what_a_plan_asks_for_equals_the_plain_loop(name, wish):
    _, _, X, Y = problem()
    layout = Layout.of([3, 6, 5, 2], ["tanh", "relu"], "identity")
    w = layout.first_weights(np.random.default_rng(4))
    plan = Plan(layout, get_loss("squared"), get_method(name), {}, 12, dtype="float64", **WISHES[wish])
    weights = np.random.default_rng(2).uniform(0.5, 2, len(X))
    assert_equal_to_the_plain_loop(plan, w, X, Y, np.random.default_rng(1).permutation(len(X)), weights=weights)


@pytest.mark.parametrize("wish", ["none", "clip", "frozen first layer", "both penalties"])
def test_gradients_made_piece_by_piece_for_all_shards_equal_the_plain_loop(wish):
    rng = np.random.default_rng(5)
    layout = Layout.of([300, 400, 9, 2], "tanh", "identity")
    w = layout.first_weights(rng)
    X, Y = rng.normal(size=(450, 300)), rng.normal(size=(450, 2))
    plan = Plan(layout, get_loss("squared"), get_method("momentum"), {}, 192, dtype="float64", **WISHES.get(wish, {}))
    assert plan.shards == 2
    assert plan.own_gradients() == {1, 2}  # and not 0
    order, weights = rng.permutation(len(X)), rng.uniform(0.5, 2, len(X))
    assert_equal_to_the_plain_loop(plan, w.copy(), X, Y, order, weights=weights)
    found = []
    for n_threads in (1, 2):
        moved = w.copy()
        with Run(plan, moved, X, Y, weights, n_threads) as run:
            run.epochs(np.stack([order] * 2), 0.01)
        found.append(moved.tobytes())
    assert found[0] == found[1]


# ---------------------------------------------------------------- groups of units


@pytest.fixture
def always_in_groups(monkeypatch):
    """However few weights there are, the units of the first hidden layer are dealt out."""
    monkeypatch.setattr(plan_module, "_WORTH_GROUPS", 0)


def plan_in_groups(sizes=(20, 80, 9, 2), activations=("tanh", "relu"), method="adam", batch=192, **wishes):
    plan = Plan(
        Layout.of(list(sizes), list(activations), "identity"), get_loss("squared"), get_method(method), {}, batch,
        dtype="float64", **wishes,
    )  # fmt: skip
    assert plan.shards == 2
    return plan


def trained_in_groups(plan, rows=450, whole_order=None, order=None):
    rng = np.random.default_rng(5)
    w = plan.layout.first_weights(rng)
    X, Y = rng.normal(size=(rows, plan.layout.sizes[0])), rng.normal(size=(rows, plan.layout.sizes[-1]))
    order, weights = rng.permutation(len(X)) if order is None else order, rng.uniform(0.5, 2, len(X))
    assert_equal_to_the_plain_loop(plan, w.copy(), X, Y, order, weights=weights, whole_order=whole_order)
    found = []
    for n_threads in (1, 2):
        moved = w.copy()
        with Run(plan, moved, X, Y, weights, n_threads) as run:
            tally = [run.epochs(np.stack([order]), 0.01), run.epochs(np.stack([order] * 2), 0.01)]
            found.append(b"".join(a.tobytes() for a in (moved, run.state, run.average, *tally)))
    assert found[0] == found[1]


@pytest.mark.usefixtures("always_in_groups")
@pytest.mark.parametrize("method", ["adam", "momentum", "gradient_descent", "adadelta"])
@pytest.mark.parametrize("wish", [
    {}, WISHES["l1"], WISHES["both penalties"], WISHES["decay"], WISHES["average"], {"dropout": (0.0, 0.4), "seed": 7},
    {"frozen": frozenset({3})},
], ids=["none", "l1", "both penalties", "decay", "average", "dropout above", "frozen last layer"])  # fmt: skip
def test_units_dealt_out_in_groups_equal_the_plain_loop(method, wish):
    plan = plan_in_groups(method=method, **wish)
    assert plan.groups == ((0, 32), (32, 48))
    trained_in_groups(plan)


@pytest.mark.usefixtures("always_in_groups")
@pytest.mark.parametrize(("sizes", "activations"), [
    ((20, 96, 2), ["silu"]),  # two layers
    ((20, 64, 9, 8, 2), ["silu", "tanh", "silu"]),  # z is kept beside the value
    ((7, 288, 3), ["tanh"]),  # more units than a panel has columns
])  # fmt: skip
def test_groups_of_other_networks_equal_the_plain_loop(sizes, activations):
    plan = plan_in_groups(sizes, activations)
    assert plan.groups
    trained_in_groups(plan)


@pytest.mark.usefixtures("always_in_groups")
@pytest.mark.parametrize("rows", [192, 193, 200, 384 + 97])
def test_groups_and_a_last_batch_of_a_row_or_a_shard(rows):
    trained_in_groups(plan_in_groups(), rows)


@pytest.mark.usefixtures("always_in_groups")
def test_groups_and_rows_as_they_are():
    trained_in_groups(plan_in_groups(), whole_order=np.empty((2, 0), int), order=np.arange(450))


@pytest.mark.usefixtures("always_in_groups")
def test_a_batch_of_no_weight_moves_no_group():
    plan = plan_in_groups()
    rng = np.random.default_rng(5)
    w = plan.layout.first_weights(rng)
    X, Y, weights, moved = rng.normal(size=(192, 20)), rng.normal(size=(192, 2)), np.zeros(192), w.copy()
    with Run(plan, moved, X, Y, weights) as run:
        assert run.epochs(np.arange(192)[None], 0.01).tolist() == [[0.0, 0.0]]
    assert moved.tobytes() == w.tobytes()


@pytest.mark.usefixtures("always_in_groups")
def test_a_gradient_that_is_kept_is_laid_out_as_w():
    plan = plan_in_groups(method="gradient_descent")
    rng = np.random.default_rng(5)
    w = plan.layout.first_weights(rng)
    X, Y, before = rng.normal(size=(192, 20)), rng.normal(size=(192, 2)), w.copy()
    with Run(plan, w, X, Y, keeps_gradient=True) as run:
        run.epochs(np.arange(192)[None], 0.5)
        np.testing.assert_allclose(before - 0.5 * run.gradient, w, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("always_in_groups")
@pytest.mark.parametrize("wish", [
    {"clip": 1.0}, {"dropout": (0.5, 0.0)}, {"frozen": frozenset({1})}, {"frozen": frozenset({2})},
    {"sizes": (20, 85, 9, 2)}, {"sizes": (120, 16, 9, 2)}, {"sizes": (1000, 2), "activations": ()},
])  # fmt: skip
def test_what_needs_all_units_at_once_has_no_groups(wish):
    assert plan_in_groups(**wish).groups == ()


def test_only_many_weights_for_each_row_are_dealt_out():
    assert plan_in_groups().groups == ()
    wide = Plan(Layout.of([784, 512, 256, 10]), get_loss("squared"), get_method("adam"), {}, 256)
    assert wide.groups == ((0, 256), (256, 256))


@pytest.mark.usefixtures("always_in_groups")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(20, 80, 9, 2), (700, 288, 130, 1), (7, 288, 3)])
def test_pieces_of_groups_are_all_of_w_once(sizes, dtype):
    plan = Plan(Layout.of(list(sizes)), get_loss("squared"), get_method("adam"), {}, 192, dtype=dtype)
    assert plan.groups
    times, parts = np.zeros(plan.layout.K, int), plan.parts()
    for start, stop, is_weight, of, _, line, lines, group in plan.pieces():
        times[start:stop] += 1
        if group >= 0:
            m, D, at, at_b = parts[of]
            assert of // 2 == group
            assert (start, stop) == ((at + line * D, at + (line + lines) * D) if is_weight else (at_b, at_b + D))
            assert line + lines <= (m if is_weight else 1)
    assert (times == 1).all()


# ---------------------------------------------------------------- pieces


def check_pieces(sizes, batch, dtype, frozen):
    layout = Layout.of(sizes)
    plan = Plan(layout, get_loss("squared"), get_method("adam"), {}, batch, dtype=dtype, frozen=frozen)
    times = np.zeros(layout.K, int)
    for start, stop, is_weight, first, last, line, lines, group in plan.pieces():
        times[start:stop] += 1
        assert group == -1
        at, end = (layout.slices["A" if is_weight else "b", l + 1] for l in (first, last))
        if first == last and is_weight:
            D = layout.layers[first].outputs
            assert (start, stop) == (at[0] + line * D, at[0] + (line + lines) * D)
            assert first == 0 or line % (VECTOR // np.dtype(dtype).itemsize) == 0
        else:
            assert (start, stop) == (at[0], end[1])
    wanted = np.zeros(layout.K, int)
    for (_, l), (start, stop, _) in layout.slices.items():
        wanted[start:stop] = l not in frozen
    np.testing.assert_array_equal(times, wanted)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.integers(1, 90) | st.sampled_from([128, 513, 700]), min_size=2, max_size=6),
    st.integers(1, 400), st.sampled_from(["float32", "float64"]), st.data(),
)  # fmt: skip
def test_pieces_are_all_that_is_trained_once_and_whole_lines(sizes, batch, dtype, data):
    L = len(sizes) - 1
    check_pieces(sizes, batch, dtype, frozenset(data.draw(st.sets(st.integers(1, L), max_size=L - 1))))


def test_the_halves_of_a_first_matrix_are_equal_where_its_lines_allow_it():
    for sizes in ([50, 128, 64, 1], [64, 100, 10]):
        plan = Plan(Layout.of(sizes), get_loss("squared"), get_method("adam"), {}, 256)
        first = [stop - start for start, stop, is_weight, l, *_ in plan.pieces() if is_weight and l == 0]
        assert len(first) == 2
        assert first[0] == first[1]


def test_a_small_matrix_joins_no_piece_of_one_that_was_cut():
    check_pieces([513, 1, 1], 1, "float32", frozenset())


def test_numbers_too_small_for_full_precision_are_flushed_while_it_trains_and_only_then():
    layout, w, X, Y = problem()
    w, X, Y = (a.astype(np.float32) for a in (w, X, Y))
    plan = Plan(layout, get_loss("squared"), get_method("momentum"), {}, 53)
    with Run(plan, w, X, Y, n_threads=1) as run:
        run.state[:] = tiny = np.float32(1e-41)
        run.epochs(np.empty((1, 0), np.int64), 0.0)  # v ← μ v − 0 g
        assert (run.state == 0).all()
    assert np.float32(0.5) * tiny > 0
    assert (np.full(64, tiny) * np.float32(0.5) > 0).all()


def test_only_a_run_that_keeps_the_gradient_has_it():
    layout, w, X, Y = problem()
    plan = Plan(layout, get_loss("squared"), get_method("gradient_descent"), {}, len(X), dtype="float64")
    with Run(plan, w, X, Y) as run, pytest.raises(RuntimeError, match="keeps_gradient=True"):
        run.gradient  # noqa: B018
    before = w.copy()
    with Run(plan, w, X, Y, keeps_gradient=True) as run:
        run.epochs(np.empty((1, 0), np.int64), 0.5)
        np.testing.assert_allclose(before - 0.5 * run.gradient, w, rtol=1e-12)


def test_dropout_drops_its_share_and_keeps_the_mean():
    factors = dropout_factors(3, 11, 2, np.arange(4000), 50, 0.3)
    assert set(np.unique(factors)) == {0.0, 1.0 / 0.7}
    assert (factors == 0).mean() == pytest.approx(0.3, abs=0.005)
    assert np.abs((factors == 0).mean(axis=0) - 0.3).max() < 0.04  # no unit is favoured
    assert np.abs(np.corrcoef((factors == 0).T)[np.triu_indices(50, 1)]).max() < 0.08
    for other in ((4, 11, 2), (3, 12, 2), (3, 11, 3)):
        assert (dropout_factors(*other, np.arange(4000), 50, 0.3) != factors).mean() == pytest.approx(0.42, abs=0.01)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_thread_and_two_give_the_same_bits(dtype):
    rng = np.random.default_rng(3)
    layout = Layout.of([40, 60, 30, 5], "relu", "softmax")
    wishes = {"dropout": (0.2, 0.1), "clip": 0.5, "average": 0.99, "l1": 1e-3}
    X, Y = rng.normal(size=(3000, 40)).astype(dtype), np.eye(5, dtype=dtype)[rng.integers(0, 5, 3000)]
    plan = Plan(layout, get_loss("cross_entropy"), get_method("adam"), {}, 512, 0.01, dtype, **wishes)
    assert plan.shards > 1
    found = []
    for n_threads in (1, 2, 1):
        w = layout.first_weights(np.random.default_rng(0)).astype(dtype)
        with Run(plan, w, X, Y, n_threads=n_threads) as run:
            order = np.random.default_rng(1).permutation(3000)
            tally = run.epochs(np.stack([order, order[::-1]]), 1e-3)
        found.append((w.tobytes(), run.result.tobytes(), tally.tobytes()))
    assert found[0] == found[1] == found[2]


def test_slices_of_time_do_not_change_the_result(monkeypatch):
    from chainrule.engine import run as module
    from chainrule.engine import threads

    layout, w, X, Y = problem()
    plan = Plan(layout, get_loss("squared"), get_method("adam"), {}, 5, 0.0, "float64")
    order = np.arange(len(X))[None]
    with Run(plan, w, X, Y) as run:
        whole = run.epochs(order, np.linspace(0.01, 0.001, run.steps_per_epoch))
    monkeypatch.setattr(threads, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(threads, "_SAMPLE_SECONDS", 0.0)
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
    for wish, message in [
        ({"dropout": (0.1, 0.1)}, "2 rates for 1 hidden"), ({"dropout": (1.0,)}, "rate must lie in"),
        ({"clip": 0.0}, "clip must be"), ({"l1": -1.0}, "l1 must be"), ({"average": 1.0}, "average must lie"),
        ({"frozen": frozenset({3})}, "layers count from 1 to 2"), ({"frozen": frozenset({1, 2})}, "names all 2 layers"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            Plan(layout, get_loss("squared"), get_method("adam"), **wish)
    plan = Plan(layout, get_loss("squared"), get_method("adam"), dtype="float64")
    with pytest.raises(ValueError, match="contiguous float64 vector"):
        Run(plan, w.astype(np.float32), X, Y)
    with pytest.raises(ValueError, match="n_threads must be a whole number"):
        Run(plan, w, X, Y, n_threads=0)
    with pytest.warns(RuntimeWarning, match="more than the"), Run(plan, w, X, Y, n_threads=10_000):
        pass


def test_read_only_arrays_need_no_second_compilation():
    """Read-only rows and weights are read where they are, and nothing is compiled anew for them."""
    layout, w, X, Y = problem()
    names = ("train_steps", "predict_rows", "total_gradient")
    net = Network.from_layout(layout, w.copy())
    expected, slope = net(X), net.gradient(X, Y)
    counts = {name: len(getattr(KERNELS, name)._codes) for name in names}
    for array in (X, Y, w):
        array.flags.writeable = False
    locked = Network.from_layout(layout, w)
    np.testing.assert_array_equal(locked(X), expected)
    np.testing.assert_array_equal(locked.gradient(X, Y), slope)
    plan = Plan(layout, get_loss("squared"), get_method("adam"), {}, 10, 0.0, "float64")
    with Run(plan, w.copy(), X, Y) as run:
        run.epochs(np.empty((1, 0), int), 0.01)
        run.epochs(np.empty((1, 0), int), np.full(run.steps_per_epoch, 0.01))
    after = {name: len(getattr(KERNELS, name)._codes) for name in names}
    assert after["predict_rows"] == counts["predict_rows"]
    assert after["total_gradient"] == counts["total_gradient"]
    assert after["train_steps"] <= 2  # one for each float width
    with pytest.raises(ValueError, match="may be written to"):
        Run(plan, w, X, Y)


def test_the_pace_counts_rows_so_that_a_short_last_step_is_no_fast_one():
    layout, w, X, Y = problem(N=53)
    plan = Plan(layout, get_loss("squared"), get_method("adam"), {}, 10, dtype="float64")
    with Run(plan, w, X, Y) as run:
        assert run.steps_per_epoch == 6
        assert [run._whole_steps(*slice) for slice in [(0, 6), (3, 2), (5, 1), (0, 12), (4, 3)]] == pytest.approx(
            [5.3, 2, 0.3, 10.6, 2.3]
        )
