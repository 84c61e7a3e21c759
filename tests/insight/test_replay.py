"""Replay: any step of a recorded fit again, to the bit; its gradient taken apart; the method's row agrees."""

import itertools
import json

import numpy as np
import pytest
from scipy import sparse

import chainrule as cr
from chainrule.descent import METHODS, Method
from chainrule.insight.replay import ReplayError, replay, replay_epoch
from chainrule.network import eager_error
from chainrule.training import recording as recorder

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4))
Y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
LABELS = np.array(["low", "mid", "high"])[np.digitize(Y, [-0.5, 0.5])]
FRAME = {"a": X[:, 0], "b": X[:, 1], "c": np.where(X[:, 2] > 0, "red", "blue")}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SETTINGS = {
    **{name: {"solver": name} for name in METHODS},
    "dropout and average": {"dropout": 0.3, "averaging": 0.9},
    "penalties, clip, decay": {"alpha": 0.5, "l1": 0.1, "clip_norm": 0.05, "weight_decay": 0.1},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 3, "validation_fraction": 0.2},
    "schedule": {"learning_rate": "cosine", "warm_up": 0.2},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling"},
    "as they are": {"shuffle": False},
    "frozen": {"frozen": [1]},
}


def fitted(cls=cr.MLPRegressor, y=Y, rows=X, fit=None, **settings):
    given = {"hidden_layer_sizes": (5, 4), "activation": "tanh", "max_iter": 5, "batch_size": 16, "tol": 0}
    return cls(**(given | {"random_state": 3, "record": True} | settings)).fit(rows, y, **(fit or {}))


def same(a, b):
    assert (np.asarray(a) == np.asarray(b)).all()


def check_epoch(model, epoch):
    """Every step of the epoch, one after another, from its recorded start to its recorded end."""
    recording = model.recording_
    at = dict(zip(recording.epochs.tolist(), recording.points, strict=True))
    steps = list(replay_epoch(model, epoch))
    assert [step.step for step in steps] == [(epoch - 1) * len(steps) + k + 1 for k in range(len(steps))]
    if epoch - 1 in at:
        same(steps[0].before, at[epoch - 1])
    if epoch in at:
        same(steps[-1].after, at[epoch])
    for before, after in itertools.pairwise(steps):
        same(before.after, after.before)
        for name in before.state_after:
            same(before.state_after[name], after.state_before[name])
    seen = np.concatenate([step.rows for step in steps])
    assert sorted(seen) == list(range(recording.material.X.shape[0]))
    return steps


def check_step(step, scale=1e-9):
    """The gradient is what its terms say, and the method's row in NumPy makes the same move."""
    layout, largest = step.plan.layout, np.abs(step.gradient).max()
    for name in [(letter, l) for l in range(1, layout.L + 1) for letter in "Ab"]:
        move = step.move(name)
        if name[1] in step.plan.frozen:
            same(move.before, move.after)
            continue
        parts = (move.data + move.penalty + move.l1) * move.clip
        np.testing.assert_allclose(parts, move.gradient, rtol=scale, atol=scale * largest)
        np.testing.assert_allclose(move.twin, move.after, rtol=scale, atol=scale)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))
def test_every_step_of_an_epoch_is_made_again_to_the_bit(settings):
    model = fitted(**settings)
    for epoch in (1, 3, model.recording_.n_epochs):
        for step in check_epoch(model, epoch):
            check_step(step)
    assert model.history_["loss"][2] == pytest.approx(
        sum(s.loss * len(s.rows) for s in replay_epoch(model, 3)) / model.recording_.material.X.shape[0], rel=1e-12
    )


@pytest.mark.parametrize("y", [LABELS, LABELS == "low"], ids=["softmax", "sigmoid"])
def test_a_classifier_in_single_precision_with_weights(y):
    fit = {"sample_weight": RNG.integers(0, 3, 90)}
    model = fitted(cr.MLPClassifier, y, X.astype(np.float32), fit, class_weight="balanced", label_smoothing=0.1)
    for epoch in (1, 5):
        for step in check_epoch(model, epoch):
            assert step.before.dtype == np.float32
            check_step(step, 2e-5)


def test_the_gradient_is_that_of_the_eager_error_of_the_same_rows():
    model = fitted(alpha=0.3, dropout=0.25)
    for number in (1, 8, 30):
        step = model.replay(number)
        keep = step.inside.keep[:-1]
        assert {float(v) for v in np.unique(keep[0])} <= {0.0, 4 / 3}
        layout, n = step.plan.layout, step.plan.layout.n_weights

        def E(w, step=step, keep=keep, layout=layout, n=n):
            total = eager_error(layout, step.plan.loss, w, X[step.rows], Y[step.rows][:, None], None, keep)
            return (total + 0.5 * 0.3 * np.sum(w[:n] ** 2)) / len(step.rows)

        np.testing.assert_allclose(cr.grad(E)(step.before), step.gradient, rtol=1e-9, atol=1e-12)
        assert step.loss + step.penalty == pytest.approx(E(step.before), rel=1e-12)


def test_from_a_thinned_recording_it_is_the_same(monkeypatch):
    whole = fitted(max_iter=20)
    monkeypatch.setattr(recorder, "RECORD_BYTES", 4 * whole.recording_.nbytes // 21)
    thin = fitted(max_iter=20)
    assert len(thin.recording_.epochs) <= 4
    for number in (1, 40, 77, 120):
        one, other = whole.replay(number), thin.replay(number)
        for name in ("rows", "before", "after", "gradient"):
            same(getattr(one, name), getattr(other, name))
    check_epoch(thin, 20)


def test_a_sparse_table_and_any_number_of_threads():
    dense, thin = (fitted(rows=rows, n_threads=n) for rows, n in ((X, 1), (sparse.csc_array(X), 2)))
    for number in (1, 14, 30):
        same(dense.replay(number).rows, thin.replay(number).rows)
        np.testing.assert_allclose(dense.replay(number).gradient, thin.replay(number).gradient, rtol=1e-12)
    check_epoch(thin, 4)


def test_a_batch_of_several_shards():
    rows, y = np.tile(X, (30, 1)), np.tile(Y, 30)
    model = fitted(rows=rows, y=y, hidden_layer_sizes=(80, 60), batch_size=1000, max_iter=2)
    assert model.recording_.material.plan.shards > 1
    for step in check_epoch(model, 2):
        check_step(step)


def test_units_that_are_dealt_out_in_groups():
    rows, y = np.tile(X, (10, 1)), np.tile(Y, 10)
    model = fitted(rows=rows, y=y, hidden_layer_sizes=(400, 400), batch_size=192, max_iter=2, activation="silu")
    assert model.recording_.material.plan.groups
    for step in check_epoch(model, 2):
        check_step(step)


@pytest.mark.parametrize("make", [cr.TableClassifier, cr.TableRegressor])
def test_table_models(make):
    y = LABELS if "C" in make.__name__ else Y
    given = {"hidden_layer_sizes": (6,), "epochs": 4, "batch_size": 16, "random_state": 0, "record": True}
    with pytest.raises(ReplayError, match="4 networks side by side; fit with networks=1"):
        make(**given).fit(FRAME, y).replay(step=3)
    model = make(**given, networks=1).fit(FRAME, y)
    for epoch in (1, 4):
        for step in check_epoch(model, epoch):
            check_step(step, 2e-5)
    move = model.replay(step=3, weight=("A", 1, 0, 2))
    assert move.decay < 1
    assert model.replay(step=3, weight=("b", 1, 2)).decay == 1


def test_fits_that_go_on_count_the_methods_steps_on():
    model = fitted(warm_start=True)
    model.fit(X, Y)
    check_epoch(model, 2)
    assert model.replay(1).t == 1  # scikit-learn's warm start begins with a fresh optimiser
    model.partial_fit(X, Y)
    step = check_epoch(model, 1)[0]
    assert (step.step, step.t) == (1, 31)


def test_numpys_global_random_numbers_are_drawn_again():
    np.random.seed(4)  # noqa: NPY002 (what random_state=None follows)
    check_epoch(fitted(random_state=None), 5)


def test_a_resumed_fit_replays_what_came_before_it(tmp_path):
    fitted(max_time=1e-9, fit={"checkpoint": tmp_path / "c"})
    model = fitted(fit={"checkpoint": tmp_path / "c"})
    for epoch in (1, 2, 5):
        check_epoch(model, epoch)


def test_a_method_of_ones_own():
    signs = Method("signs", lambda w, g, t, step: w - step * np.sign(g), (), {"step": 0.1})
    model = fitted(solver=signs)
    for step in check_epoch(model, 2):
        check_step(step)
    move = model.replay(2, ("A", 1, 0, 0))
    assert (move.state_after, move.corrections) == ({}, {})
    assert "signs" in str(move)


def test_rows_of_weight_zero_move_nothing():
    weights = np.ones(90)
    weights[16:32] = 0.0
    model = fitted(shuffle=False, fit={"sample_weight": weights})
    step = model.replay(2)
    same(step.before, step.after)
    assert (step.loss, step.mass) == (0.0, 0.0)
    assert "weight 0" in str(step.move(("A", 1, 0, 0)))
    check_step(step)


def test_what_is_said_of_a_step():
    model = fitted(alpha=0.5, clip_norm=0.05, averaging=0.5)
    step = model.replay(step=7)
    assert "Step 7 of 30: step 1 of epoch 2, 16 rows" in str(step)
    assert [name for name, _ in step.strongest(3)] == [
        step.plan.layout.where(k) for k in np.argsort(-np.abs(step.after - step.before))[:3]
    ]
    move = step.move(("A", 2, 1, 3))
    for words in ("+ α w / N", "× clip", "β₁", "1 − β₂ᵗ", "average", "the same bits"):
        assert words in str(move), words
    assert move.corrections["1 − β₁ᵗ"] == pytest.approx(1 - 0.9**7)
    assert move.change == move.after - move.before
    assert "frozen" in str(fitted(frozen=[2]).replay(1, ("b", 2, 0)))
    for found in (step, move, step.move(("A", 1))):
        assert "<table" in found._repr_html_()
        json.dumps(found.as_dict(), allow_nan=False)
    assert step.as_dict()["rows"] == step.rows.tolist()


def test_bad_input_is_one_sentence(tmp_path):
    model = fitted()
    for step in (0, 31, 2.0, True, -1):
        with pytest.raises(
            ReplayError, match=rf"step must be a whole number from 1 to 30 \(5 epochs of 6 steps\), got {step}"
        ):
            model.replay(step)
    with pytest.raises(ReplayError, match="epoch must be from 1 to 5, got 6"):
        replay_epoch(model, 6)
    for weight in (("A", 4, 0, 0), ("A", 1, 9, 0), ("c", 1), "A", ("A", 1, 0), ("A",)):
        with pytest.raises(IndexError, match=r"there is no weight .*There are A_1 \(4 × 5\), .*b_3 \(1\)"):
            model.replay(1, weight)
    with pytest.raises(ReplayError, match="this MLPRegressor was not recorded; set record=True"):
        replay(fitted(record=False), 1)
    with pytest.raises(ReplayError, match="cannot be opened again: L-BFGS is SciPy's"):
        fitted(solver="lbfgs", batch_size="auto").replay(1)
    with pytest.raises(Exception, match="not fitted"):
        cr.MLPRegressor().replay(1)
    cr.save(model, tmp_path / "m")
    with pytest.raises(ReplayError, match="not recorded"):
        cr.load(tmp_path / "m").replay(1)


def test_rows_that_were_changed_since_are_noticed():
    rows = X.copy()
    model = fitted(rows=rows)
    model.replay(1)
    rows[3] += 1.0
    with pytest.raises(ReplayError, match="does not end with the weights that training had: the rows of X or y"):
        model.replay(1)


def test_a_callback_that_writes_into_the_weights_is_noticed():
    model = cr.MLPRegressor(hidden_layer_sizes=(3,), max_iter=3, random_state=0, record=True)

    def halve(event):
        model.network_.w[:] *= 0.5

    model.set_callbacks(halve).fit(X, Y)
    model.replay(1)
    with pytest.raises(ReplayError, match="a callback wrote into the weights"):
        model.replay(2)
