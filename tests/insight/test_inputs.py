"""What the inputs do: scikit-learn's own numbers with the columns' names; attributions that add up to the change."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import inspection
from sklearn.exceptions import NotFittedError

import chainrule as cr
from chainrule.insight.inputs import (
    gradient_times_input,
    integrated_gradients,
    partial_dependence,
    permutation_importance,
)
from chainrule.network import ACTIVATIONS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
HIDDEN = [name for name, row in ACTIVATIONS.items() if not row.rowwise]
FRAME = pd.DataFrame(
    {
        "size": np.where(X[:, 0] > 1.5, np.nan, X[:, 0]),
        "colour": np.array(["red", "green", "blue"])[RNG.integers(0, 3, 60)],
        "sold": X[:, 1] > 0,
        "day": pd.date_range("2024-01-01", periods=60),
    }
)
NUMBERS = np.nan_to_num(FRAME["size"].to_numpy()) * 1000 + 500 * (FRAME["colour"] == "red").to_numpy() + 10_000
LABELS = np.array(["low", "mid", "high"])[np.digitize(NUMBERS, [9_700, 10_400])]


@pytest.fixture(scope="module")
def models():
    """One fitted model of each kind, with rows that it takes."""
    two = np.where(NUMBERS > 10_000, "yes", "no")
    mlp = {"hidden_layer_sizes": (8,), "solver": "lbfgs", "random_state": 0, "max_iter": 500, "alpha": 1.0}
    named = pd.DataFrame(X, columns=["p", "q", "r"])
    return {
        "table of classes": (cr.TableClassifier((6, 5), epochs=10, random_state=0).fit(FRAME, LABELS), FRAME, LABELS),
        "table of two classes": (cr.TableClassifier((6,), epochs=10, random_state=0).fit(FRAME, two), FRAME, two),
        "table of numbers": (cr.TableRegressor((6, 5), epochs=10, random_state=0).fit(FRAME, NUMBERS), FRAME, NUMBERS),
        "classes": (cr.MLPClassifier(**mlp).fit(named, LABELS), named, LABELS),
        "two classes": (cr.MLPClassifier(**mlp).fit(X, X[:, 0] > 0), X, X[:, 0] > 0),
        "numbers": (cr.MLPRegressor(**mlp).fit(X, X[:, 0] * X[:, 1]), X, X[:, 0] * X[:, 1]),
        "several numbers": (cr.MLPRegressor(**mlp).fit(X, X[:, :2]), X, X[:, :2]),
    }


KINDS = [
    "table of classes", "table of two classes", "table of numbers", "classes", "two classes", "numbers", "several numbers",
]  # fmt: skip


# ---------------------------------------------------------------- attributions


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("activation", HIDDEN)
def test_the_parts_add_up_to_the_change_of_the_output(activation, tolerance):
    """Completeness, of kinked and of smooth activations, as closely as was asked: the engine says what the change is."""
    net = cr.Network([3, 7, 5, 2], activation, seed=3)
    found = integrated_gradients(net, X[:6], output=1, tolerance=tolerance)
    change = (net(X[:6]) - net(np.zeros((1, 3))))[:, 1]
    assert np.abs(found.values.sum(axis=1) - change).max() <= tolerance
    assert found.change == pytest.approx(change, rel=1e-12)
    assert np.abs(found.gap).max() <= tolerance


@pytest.mark.parametrize("output", ["softmax", "sigmoid", "exp", "ascending"])
@pytest.mark.parametrize("of", ["output", "score"])
def test_it_is_complete_for_any_output_and_its_raw_score(output, of):
    net = cr.Network([3, 5, 3], "relu", output, seed=0)
    base = np.array([0.5, -0.5, 0.1])
    found = integrated_gradients(net, X[:4], output=2, of=of, baseline=base, tolerance=1e-8)
    z = lambda rows: np.maximum(rows @ net.A[1] + net.b[1], 0) @ net.A[2] + net.b[2]  # noqa: E731
    F = net if of == "output" else z
    assert found.values.sum(axis=1) == pytest.approx((F(X[:4]) - F(base[None]))[:, 2], abs=1e-8)


def test_the_integral_is_the_one_of_the_definition():
    """Against a sum of 200,000 slopes on the way."""
    net = cr.Network([2, 4, 1], "relu", seed=5)
    x, t = np.array([[1.2, -0.7]]), (np.arange(200_000) + 0.5) / 200_000
    points = t[:, None] * x
    on = points @ net.A[1] + net.b[1] > 0
    slopes = (on * net.A[2][:, 0]) @ net.A[1].T
    assert integrated_gradients(net, x, tolerance=1e-9).values == pytest.approx(x * slopes.mean(axis=0), abs=1e-5)


def test_on_a_line_both_ways_give_weight_times_input():
    net = cr.Network([3, 1], seed=0)
    expected = X[:5] * net.A[1][:, 0]
    assert integrated_gradients(net, X[:5]).values == pytest.approx(expected)
    assert gradient_times_input(net, X[:5]).values == pytest.approx(expected)


def test_gradient_times_input_says_how_far_it_is_from_complete():
    net = cr.Network([3, 5, 1], "tanh", seed=0)
    found = gradient_times_input(net, X[:5])
    assert found.gap == pytest.approx(found.values.sum(axis=1) - (net(X[:5]) - net(np.zeros((1, 3))))[:, 0])
    assert np.abs(found.gap).max() > 1e-3


def test_a_unit_that_does_not_matter_gets_nothing():
    net = cr.Network([3, 5, 1], "relu", seed=0)
    net.A[1][1] = 0.0
    assert (integrated_gradients(net, X[:5]).values[:, 1] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_estimators_explain_what_they_predict(models, kind):
    model, rows, _ = models[kind]
    some = rows[:7]
    found = integrated_gradients(model, some, tolerance=1e-6)
    assert len(found.outputs) == 7
    if hasattr(model, "classes_"):
        p = model.predict_proba(some)
        column = [list(map(str, model.classes_)).index(name) for name in found.outputs]
        predicted = p[np.arange(7), column]
    elif kind == "several numbers":
        predicted = model.predict(some).max(axis=1)
    else:
        predicted = model.predict(some)
    scale = getattr(model, "target_scale_", 1.0)
    reached = found.base + found.change
    if kind == "table of numbers":  # predictions are clamped to the range of training, attributions are not
        reached = np.clip(reached, *model.target_range_)
    assert reached == pytest.approx(predicted, rel=1e-4)
    assert np.abs(found.gap).max() <= 1e-6 * scale


def test_the_first_of_two_classes_is_the_mirror_of_the_second(models):
    model = models["two classes"][0]
    first, second = (integrated_gradients(model, X[:4], output=label) for label in (False, True))
    assert first.values == pytest.approx(-second.values)
    assert first.base + second.base == pytest.approx(1)
    assert first.base + first.change == pytest.approx(model.predict_proba(X[:4])[:, 0])


def test_a_column_of_a_table_is_the_sum_of_its_inputs(models):
    model = models["table of classes"][0]
    each = integrated_gradients(model, FRAME[:3])
    whole = each.by_column()
    assert whole.names == ("size", "colour", "sold", "day")
    colours = [j for j, name in enumerate(each.names) if name.startswith("colour=")]
    assert len(colours) == 3
    assert whole.values[:, 1] == pytest.approx(each.values[:, colours].sum(axis=1))
    assert whole.values.sum(axis=1) == pytest.approx(each.values.sum(axis=1))


def test_a_row_of_the_table_may_be_the_baseline(models):
    model = models["table of numbers"][0]
    found = integrated_gradients(model, FRAME[:3], baseline=FRAME[10:11], tolerance=1e-7)
    assert found.base == pytest.approx(np.tile(model.predict(FRAME[10:11]), 3), rel=1e-5)
    assert integrated_gradients(model, FRAME[10:11], baseline=FRAME[10:11]).values == pytest.approx(0)


def test_attributions_are_printed_and_plain(models):
    found = integrated_gradients(models["table of classes"][0], FRAME[:3]).by_column()
    said = found.text(1).splitlines()
    assert said[0].startswith(f"integrated gradients of {found.outputs[1]}, row 1: from ")
    assert said[1].split()[0] == found.names[np.argmax(np.abs(found.values[1]))]
    assert said[-1].split() == ["sum", f"{found.values[1].sum():+.4g}"]
    assert json.loads(json.dumps(found.as_dict()))["names"] == list(found.names)
    assert "<pre>" in found._repr_html_()


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize("kind", KINDS)
def test_importance_is_scikit_learns_with_names(models, kind):
    model, rows, y = models[kind]
    found = permutation_importance(model, rows, y, n_repeats=2, random_state=0)
    theirs = inspection.permutation_importance(model, rows, y, n_repeats=2, random_state=0)
    assert found.mean == pytest.approx(theirs.importances_mean)
    assert found.std == pytest.approx(theirs.importances_std)
    names = list(rows.columns) if hasattr(rows, "columns") else ["x0", "x1", "x2"]
    assert list(found.names) == names
    assert str(found).splitlines()[1].split()[0] == names[int(np.argmax(found.mean))]


def test_columns_that_a_table_model_does_not_know_are_not_shuffled(models):
    model = models["table of numbers"][0]
    more = FRAME.assign(price=NUMBERS, note="x")
    assert permutation_importance(model, more, NUMBERS, random_state=0).names == ("size", "colour", "sold", "day")


@pytest.mark.parametrize("kind", KINDS)
def test_dependence_is_the_mean_prediction_with_the_column_set(models, kind):
    model, rows, _ = models[kind]
    feature = "size" if kind.startswith("table") else 0
    found = partial_dependence(model, rows, feature, resolution=4)
    assert len(found.grid) == 4
    changed = rows.copy()
    if hasattr(rows, "columns"):
        changed[rows.columns[0]] = found.grid[2]
    else:
        changed[:, 0] = found.grid[2]
    predicted = model.predict_proba(changed) if hasattr(model, "classes_") else model.predict(changed)
    expected = np.atleast_2d(predicted.mean(axis=0)).ravel()
    assert found.average[:, 2] == pytest.approx(expected[-len(found.average) :], rel=1e-5)
    assert len(found.outputs) == len(found.average)


def test_dependence_on_words_and_truths(models):
    model = models["table of classes"][0]
    assert partial_dependence(model, FRAME, "colour").grid.tolist() == ["blue", "green", "red"]
    assert partial_dependence(model, FRAME, "sold").grid.tolist() == [False, True]
    said = str(partial_dependence(model, FRAME, "colour"))
    assert "blue: high" in said
    assert "low" in said


# ---------------------------------------------------------------- bad input


def test_bad_input_is_one_sentence(models):
    model, table = models["classes"][0], models["table of classes"][0]
    rows = models["classes"][1]
    holes = rows.copy()
    holes.iloc[2, 1] = np.nan
    jump = cr.Network([3, 4, 1], lambda z: np.where(z > 0, 1.0, 0.0), seed=0)
    cases = [
        (lambda: integrated_gradients(cr.MLPClassifier(), X), NotFittedError, "not fitted yet"),
        (lambda: integrated_gradients(model, holes), ValueError, "X has nan in row 2, column 'q'"),
        (lambda: integrated_gradients(models["numbers"][0], X[:, :2]), ValueError, "X has 2 features, but MLPRegressor is expecting 3"),
        (lambda: integrated_gradients(model, rows, output="hihg"), ValueError, "there is no class 'hihg'. Did you mean 'high'?"),
        (lambda: integrated_gradients(models["several numbers"][0], X, output=2), ValueError, "there is no output 2: they are numbered from 0 to 1"),
        (lambda: integrated_gradients(model, rows, of="logit"), ValueError, "of must be 'output' or 'score', got 'logit'"),
        (lambda: integrated_gradients(models["numbers"][0], X, baseline=[1.0]), ValueError, "baseline is one row as X has them: X has 1 features"),
        (lambda: integrated_gradients(models["numbers"][0], X, baseline=X[:2]), ValueError, "baseline must be one row as X has them, got 2 rows"),
        (lambda: integrated_gradients(model, rows, tolerance=0), ValueError, "tolerance must be a number"),
        (lambda: integrated_gradients(jump, X[:3]), ValueError, "an activation jumps on the way"),
        (lambda: partial_dependence(table, FRAME, "colur"), ValueError, "there is no feature 'colur'. Did you mean 'colour'?"),
        (lambda: partial_dependence(model, rows, 3), ValueError, "there is no feature 3: they are numbered from 0 to 2"),
        (lambda: partial_dependence(model, rows, "p", resolution=1), ValueError, "resolution must be a whole number ≥ 2"),
        (lambda: partial_dependence(table, FRAME.assign(size=np.nan), "size"), ValueError, "'size' has no value in X"),
        (lambda: permutation_importance(table, FRAME.drop(columns="size"), LABELS), cr.TableError, "has no column 'size'"),
        (lambda: permutation_importance(jump, X, X[:, 0]), TypeError, "a Network has none"),
        (lambda: partial_dependence(3, X, 0), TypeError, "model must be a fitted estimator, got int"),
    ]  # fmt: skip
    for act, error, words in cases:
        with pytest.raises(error) as caught:
            act()
        assert words in str(caught.value)
