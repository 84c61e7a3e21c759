"""Figures of histories, inputs, decisions and scores: what is drawn is what was computed."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import confusion_matrix

import chainrule as cr
from chainrule.insight.inputs import integrated_gradients, partial_dependence, permutation_importance
from chainrule.insight.plots.decision import plot_decision_surface
from chainrule.insight.plots.history import plot_history
from chainrule.insight.plots.inputs import plot_attributions, plot_dependence, plot_filters, plot_importance
from chainrule.insight.plots.scores import plot_calibration, plot_confusion, plot_residuals
from chainrule.training import Event, History

matplotlib.use("Agg")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 2))
Y = X[:, 0] * X[:, 1]
CLASSES = np.array(["a", "b", "c"])[np.digitize(X[:, 0] + X[:, 1], [-0.7, 0.7])]
FRAME = pd.DataFrame({"size": X[:, 0], "colour": np.where(Y > 0, "red", "blue"), "$wide$": X[:, 1]})


@pytest.fixture(autouse=True)
def _closed():
    yield
    matplotlib.pyplot.close("all")


@pytest.fixture(scope="module")
def models():
    mlp = {"hidden_layer_sizes": (8,), "solver": "lbfgs", "random_state": 0, "alpha": 0.1, "max_iter": 500}
    return {
        "classes": cr.MLPClassifier(**mlp).fit(X, CLASSES),
        "two": cr.MLPClassifier(**mlp).fit(X, Y > 0),
        "numbers": cr.MLPRegressor(**mlp).fit(X, Y),
        "table": cr.TableClassifier((5,), epochs=8, random_state=0).fit(FRAME, CLASSES),
        "table of numbers": cr.TableRegressor((5,), epochs=8, random_state=0).fit(FRAME, Y),
    }


def labels_of(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


# ---------------------------------------------------------------- history


def test_a_history_is_drawn_with_the_epoch_that_was_kept(models):
    model = models["table"]
    ax = plot_history(model)
    learned, watched, kept = ax.lines
    assert list(learned.get_xdata()) == list(range(1, 9))
    assert list(learned.get_ydata()) == model.history_["loss"]
    assert list(watched.get_ydata()) == model.history_["validation_loss"]
    assert kept.get_xdata()[0] == model.outcome_.best_epoch
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "rows learned from", "rows to choose by", f"kept: epoch {model.outcome_.best_epoch}",
    ]  # fmt: skip


def test_a_history_with_gaps_and_a_wide_range():
    history = History()
    for k, seen in enumerate([None, 0.5, None, 0.1], 1):
        history.add(Event(k, 4, 10.0**-k, 0.0, 0.1 * k, 10 * k, 0.01, seen, scores={"r2": 0.2 * k}))
    ax = plot_history(history)
    assert ax.get_yscale() == "log"
    assert np.isnan(ax.lines[1].get_ydata()[[0, 2]]).all()
    assert list(plot_history(history, columns="r2").lines[0].get_ydata()) == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_the_method_of_an_estimator_draws_on_the_axes_given(models):
    _, ax = matplotlib.pyplot.subplots()
    assert models["table"].plot_history(ax=ax) is ax


# ---------------------------------------------------------------- inputs


def test_bars_of_importance_stand_in_order(models):
    found = permutation_importance(models["table"], FRAME, CLASSES, random_state=0)
    ax = plot_importance(found)
    order = found.order()
    assert [bar.get_width() for bar in ax.patches] == list(found.mean[order])
    assert labels_of(ax.yaxis) == [found.names[j].replace("$", r"\$") for j in order]
    assert ax.yaxis_inverted()
    ax.figure.canvas.draw()  # no mathematics in a name


def test_dependence_is_a_curve_for_numbers_and_points_for_words(models):
    found = partial_dependence(models["table"], FRAME, "size", resolution=5)
    ax = plot_dependence(found)
    assert len(ax.lines) == 3
    assert list(ax.lines[1].get_xdata()) == list(found.grid)
    assert list(ax.lines[1].get_ydata()) == list(found.average[1])
    ax = plot_dependence(partial_dependence(models["table"], FRAME, "colour"))
    assert labels_of(ax.xaxis) == ["blue", "red"]
    assert ax.get_xlabel() == "colour"


def test_attributions_as_bars_and_as_an_image(models):
    found = integrated_gradients(models["table"], FRAME[:2]).by_column()
    ax = plot_attributions(found, 1)
    order = np.argsort(-np.abs(found.values[1]))
    assert [bar.get_width() for bar in ax.patches] == list(found.values[1][order])
    assert ax.get_title().startswith(f"{found.outputs[1]}: {found.base[1]:.4g} at the baseline")
    net = cr.Network([6, 3, 1], seed=0)
    parts = integrated_gradients(net, RNG.normal(size=(1, 6)))
    ax = plot_attributions(parts, shape=(2, 3))
    assert np.array_equal(ax.images[0].get_array(), parts.values[0].reshape(2, 3))
    low, high = ax.images[0].get_clim()
    assert low == -high


def test_filters_are_the_columns_of_the_first_weights():
    net = cr.Network([9, 4, 1], seed=0)
    sheet = np.asarray(plot_filters(net).images[0].get_array().filled(np.nan))
    for k in range(4):
        i, j = divmod(k, 2)
        image = net.A[1][:, k].reshape(3, 3)
        assert sheet[4 * i : 4 * i + 3, 4 * j : 4 * j + 3] == pytest.approx(image / np.abs(image).max())
    assert np.isnan(sheet[3]).all()
    ax = plot_filters(cr.Network([6, 100, 1], seed=0), shape=(2, 3))
    assert ax.get_title() == "64 of the 100 units of layer 1"
    assert plot_filters(net, units=[2]).images[0].get_array().shape == (3, 3)


# ---------------------------------------------------------------- decisions


def test_the_colours_of_a_decision_surface_are_the_models_answers(models):
    model = models["classes"]
    ax = plot_decision_surface(model, X, CLASSES, resolution=21)
    image = np.asarray(ax.images[0].get_array())
    left, right, bottom, top = ax.images[0].get_extent()
    grid = np.stack(np.meshgrid(np.linspace(left, right, 21), np.linspace(bottom, top, 21)), -1).reshape(-1, 2)
    p = model.predict_proba(grid)
    winner, colours = p.argmax(axis=1), image.reshape(-1, 4)[:, :3]
    assert [len(np.unique(colours[winner == k], axis=0)) for k in range(3)] == [1, 1, 1]
    assert len(np.unique(colours, axis=0)) == 3
    assert image.reshape(-1, 4)[:, 3] == pytest.approx(0.08 + 0.5 * (p.max(axis=1) - 1 / 3) / (2 / 3))
    points = {c.get_label(): len(c.get_offsets()) for c in ax.collections if c.get_label() in "abc"}
    assert points == {c: CLASSES.tolist().count(c) for c in "abc"}


def test_a_decision_surface_of_numbers_and_of_two_columns_of_a_table(models):
    ax = plot_decision_surface(models["numbers"], X, Y, resolution=15)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x0", "x1")
    assert len(ax.figure.axes) == 2  # and its scale of colours
    ax = plot_decision_surface(models["table"], FRAME, CLASSES, features=("$wide$", "size"), resolution=9)
    assert (ax.get_xlabel(), ax.get_ylabel()) == (r"\$wide\$", "size")
    grid = FRAME[["size", "colour", "$wide$"]].iloc[:1].assign(colour=FRAME["colour"].mode()[0])
    left, _, bottom, _ = ax.images[0].get_extent()
    grid["$wide$"], grid["size"] = left, bottom
    p = models["table"].predict_proba(grid)[0]
    assert np.asarray(ax.images[0].get_array())[0, 0, 3] == pytest.approx(0.08 + 0.5 * (p.max() - 1 / 3) / (2 / 3))
    ax.figure.canvas.draw()


# ---------------------------------------------------------------- scores


def test_confusion_counts_and_shares(models):
    model = models["classes"]
    expected = confusion_matrix(CLASSES, model.predict(X))
    ax = plot_confusion(model, X, CLASSES)
    assert [int(t.get_text()) for t in ax.texts] == list(expected.ravel())
    assert labels_of(ax.xaxis) == ["a", "b", "c"]
    shares = [float(t.get_text()) for t in plot_confusion(model, X, CLASSES, normalize="true").texts]
    assert np.reshape(shares, (3, 3)).sum(axis=1) == pytest.approx(1, abs=0.02)


def test_residuals(models):
    model = models["table of numbers"]
    ax = plot_residuals(model, FRAME, Y)
    drawn = ax.collections[0].get_offsets()
    assert np.asarray(drawn[:, 1]) == pytest.approx(Y - model.predict(FRAME))
    assert ax.get_ylabel() == "y − ŷ"


def test_calibration_of_two_and_of_chosen_classes(models):
    ax = plot_calibration(models["two"], X, Y > 0, n_bins=4)
    assert [line.get_label() for line in ax.lines] == ["Perfectly calibrated", "True"]
    ax = plot_calibration(models["classes"], X, CLASSES, classes=["c", "a"], n_bins=4)
    assert [line.get_label() for line in ax.lines][1:] == ["c", "a"]
    p = models["classes"].predict_proba(X)[:, 2]
    first = p < 0.25
    assert ax.lines[1].get_xydata()[0] == pytest.approx([p[first].mean(), (CLASSES[first] == "c").mean()])


# ---------------------------------------------------------------- bad input


def test_bad_input_is_one_sentence(models):
    classes, numbers, table = models["classes"], models["numbers"], models["table"]
    three = cr.MLPRegressor(hidden_layer_sizes=(2,), solver="lbfgs", random_state=0).fit(np.c_[X, Y], Y)
    parts = integrated_gradients(numbers, X[:2])
    cases = [
        (lambda: plot_history(cr.MLPClassifier()), NotFittedError, "not fitted yet"),
        (lambda: plot_history(History()), ValueError, "there is no history to draw"),
        (lambda: plot_history(table, columns="vaildation_loss"), ValueError, "Did you mean 'validation_loss'?"),
        (lambda: plot_history(3), TypeError, "a fitted estimator or a History, got int"),
        (lambda: plot_attributions(parts, 2), ValueError, "there is no row 2: rows are numbered from 0 to 1"),
        (lambda: plot_attributions(parts, shape=(3, 3)), ValueError, "shape must be that of the 2 inputs, height × width = 2; got 3 × 3"),
        (lambda: plot_filters(numbers), ValueError, "the 2 inputs are no square image; if they are pixels, give shape"),
        (lambda: plot_filters(cr.Network([9, 4, 1]), units=[4]), ValueError, "there is no unit 4 in layer 1: they are numbered from 0 to 3"),
        (lambda: plot_filters(cr.MLPClassifier()), NotFittedError, "not fitted yet"),
        (lambda: plot_decision_surface(cr.MLPClassifier(), X), NotFittedError, "not fitted yet"),
        (lambda: plot_decision_surface(three, np.c_[X, Y]), ValueError, "a decision surface needs two features and X has 3"),
        (lambda: plot_decision_surface(three, np.c_[X, Y], features=(0, 3)), ValueError, "there is no feature 3"),
        (lambda: plot_decision_surface(three, np.c_[X, Y], features=(0,)), ValueError, "features must be two columns, got 1"),
        (lambda: plot_decision_surface(three, np.c_[X, Y], features=(1, 1)), ValueError, "got 'x1' twice"),
        (lambda: plot_decision_surface(numbers, X[:, :1]), ValueError, "X has 1"),
        (lambda: plot_decision_surface(table, FRAME, features=("size", "colour")), ValueError, "'colour' is not of numbers"),
        (lambda: plot_decision_surface(table, FRAME, features=("size", "widht")), ValueError, "Did you mean '$wide$'?"),
        (lambda: plot_decision_surface(classes, X, CLASSES[:2]), ValueError, "X has 80 rows and y has 2"),
        (lambda: plot_decision_surface(classes, X, resolution=1), ValueError, "resolution must be a whole number ≥ 2"),
        (lambda: plot_confusion(numbers, X, Y), ValueError, "needs a model that predicts classes; MLPRegressor does not"),
        (lambda: plot_residuals(classes, X, CLASSES), ValueError, "needs a model that predicts numbers; MLPClassifier does not"),
        (lambda: plot_residuals(numbers, X, Y, kind="x"), ValueError, "kind must be 'residual_vs_predicted' or"),
        (lambda: plot_calibration(classes, X, CLASSES, classes="d"), ValueError, "there is no class 'd'"),
        (lambda: plot_calibration(classes, X, CLASSES[:5]), ValueError, "X has 80 rows and y has 5"),
    ]  # fmt: skip
    for act, error, words in cases:
        with pytest.raises(error) as caught:
            act()
        assert words in str(caught.value)
