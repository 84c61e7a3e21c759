"""The error on a plane is the engine's, as training had it; the path lies where it is drawn; clear refusals."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.contour import QuadContourSet
from scipy.sparse import csr_array
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import chainrule as cr
from chainrule.estimators.trained_error import trained_error
from chainrule.insight.plots.surfaces import (
    contour_levels,
    plot_error_surface,
    plot_surface,
    plot_surface_3d,
)
from chainrule.insight.surface import error_surface, percent
from chainrule.network.layout import eager_error

plt.switch_backend("Agg")
X, y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fitted():
    """A classifier and its weights at the start and after each epoch."""
    points = []
    clf = cr.MLPClassifier((5,), learning_rate_init=0.02, max_iter=25, random_state=0)
    clf.initialize(X, y)
    points.append(clf.network_.w.copy())
    clf.set_callbacks(lambda event: points.append(clf.network_.w.copy()))
    with pytest.warns(ConvergenceWarning):
        clf.fit(X, y)
    return clf, np.array(points)


# ---------------------------------------------------------------- the error is that of training

STILL = {"learning_rate_init": 1e-300, "max_iter": 1, "random_state": 0}
WEIGHTS = np.linspace(0.5, 2.0, len(y))
# An epoch of steps too small to move anything reports the error of the first weights.
TRAINED = {
    "as it is": (cr.MLPClassifier((4,), **STILL), X, y, None),
    "with penalties": (cr.MLPClassifier((4,), alpha=0.3, l1=0.2, **STILL), X, y, None),
    "in batches of 7": (cr.MLPClassifier((4,), alpha=0.3, l1=0.2, batch_size=7, **STILL), X, y, None),
    "a batch that is too large": (cr.MLPClassifier((4,), alpha=0.3, batch_size=150, solver="sgd", **STILL), X, y, None),
    "two classes": (cr.MLPClassifier((4,), **STILL), X, y > 0, None),
    "names of classes": (cr.MLPClassifier((4,), **STILL), X, np.array(["a", "b", "c"])[y], None),
    "several labels": (cr.MLPClassifier((4,), **STILL), X, np.stack([y > 0, y > 1], axis=1), None),
    "weights of rows": (cr.MLPClassifier((4,), alpha=0.3, **STILL), X, y, WEIGHTS),
    "weights of classes": (cr.MLPClassifier((4,), class_weight={0: 1, 1: 2, 2: 5}, **STILL), X, y, WEIGHTS),
    "smooth labels": (cr.MLPClassifier((4,), label_smoothing=0.2, **STILL), X, y, None),
    "float32": (cr.MLPClassifier((4,), **STILL), X.astype(np.float32), y, None),
    "sparse": (cr.MLPClassifier((4,), **STILL), csr_array(np.where(X > 0, X, 0.0)), y, None),
    "numbers": (cr.MLPRegressor(hidden_layer_sizes=(4,), alpha=0.3, **STILL), X, X[:, 0] * 2, None),
    "huber": (cr.MLPRegressor(("huber", {"delta": 0.5}), (4,), **STILL), X, X[:, 0] * 2, WEIGHTS),
    "quantiles": (cr.MLPRegressor(("quantile", {"levels": (0.1, 0.5)}), (4,), **STILL), X, X[:, 0], None),
    "a loss of one's own": (cr.MLPRegressor(lambda y, p: np.log(np.cosh(p - y)), (4,), **STILL), X, X[:, 0], None),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAINED)
def test_it_is_the_error_that_training_had(name):
    model, X, y, weights = TRAINED[name]
    model.fit(X, y, sample_weight=weights)
    E = trained_error(model, X, y, weights).function()
    exact = name != "float32"
    assert E(model.network_.w) == pytest.approx(model.loss_curve_[0], rel=1e-12 if exact else 1e-5)


def test_it_is_the_error_that_lbfgs_made_small():
    model = cr.MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", alpha=0.5, random_state=0).fit(X, X[:, :2])
    E = trained_error(model, X, X[:, :2])
    assert E.function()(model.network_.w) - E.penalty(model.network_.w) == pytest.approx(model.history_["loss"][-1])
    assert E.penalty(model.network_.w) == pytest.approx(model.history_["penalty"][-1])
    assert min(error_surface(model, X, X[:, :2], resolution=5).values.ravel()) > E.function()(model.network_.w) * 0.999


def test_a_table_model_has_its_mean_loss_over_the_rows():
    data, target = X[:, :3], np.array(["a", "b", "c"])[y]
    model = cr.TableClassifier(hidden_layer_sizes=(4,), epochs=2, random_state=0).fit(data, target)
    own = -np.mean(np.log(model.predict_proba(data)[np.arange(len(y)), y]))
    assert error_surface(model, data, target, resolution=3).centre_value == pytest.approx(own, rel=1e-5)


# ---------------------------------------------------------------- the grid


def test_every_value_is_that_of_the_eager_network_there(fitted):
    clf, points = fitted
    E = trained_error(clf, X, y)
    found = error_surface(clf, X, y, path=points, resolution=7)
    assert found.values.shape == (7, 7)
    for i, j in ((0, 0), (6, 0), (2, 5), (3, 3)):
        w = found.plane.at(found.alphas[j], found.betas[i])
        eager = eager_error(clf.network_.layout, E.loss, w, X, np.eye(3)[y]) / len(y) + E.penalty(w)
        assert found.values[i, j] == pytest.approx(eager, rel=1e-10)


def test_a_network_has_the_handouts_sum():
    net = cr.Network([4, 3, 1], activation="tanh", seed=0)
    before = net.w.copy()
    found = error_surface(net, X, y, directions="random", resolution=5, seed=3)
    np.testing.assert_array_equal(net.w, before)
    other = cr.Network.from_layout(net.layout, found.plane.at(found.alphas[1], found.betas[3]))
    assert found.values[3, 1] == pytest.approx(other.error(X, y), rel=1e-12)
    assert found.centre_value == pytest.approx(net.error(X, y), rel=1e-13)
    weighted = error_surface(net, X, y, loss="huber", sample_weight=WEIGHTS, resolution=3)
    assert weighted.centre_value == pytest.approx(net.error(X, y, loss="huber", weights=WEIGHTS), rel=1e-13)
    assert "huber loss summed over 150 rows" in weighted.what


def test_the_bits_do_not_depend_on_the_number_of_threads(fitted, monkeypatch):
    from chainrule.insight import surface

    clf, points = fitted
    monkeypatch.setattr(surface, "_WORTH_THREADS", 0)
    monkeypatch.setattr(surface, "check_threads", lambda n: n)
    one, three = (error_surface(clf, X, y, path=points, resolution=7, n_threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one.values, three.values)
    np.testing.assert_array_equal(one.path_values, three.path_values)


# ---------------------------------------------------------------- directions and the path


def test_the_plane_of_the_path_goes_through_the_solution(fitted):
    clf, points = fitted
    found, theirs = error_surface(clf, X, y, path=points, resolution=5), PCA(2).fit(points)
    assert found.plane.kind == "path"
    np.testing.assert_allclose(np.abs(found.plane.directions @ theirs.components_.T), np.eye(2), atol=1e-8)
    np.testing.assert_allclose(found.share, theirs.explained_variance_ratio_)
    np.testing.assert_allclose(found.plane.at(*found.centre), clf.network_.w, atol=1e-12)
    E = trained_error(clf, X, y).function()
    assert found.centre_value == E(clf.network_.w)
    np.testing.assert_array_equal(found.path_values, [E(w) for w in points])
    gaps = points - np.array([found.plane.at(*at) for at in found.path])
    np.testing.assert_allclose(found.distances, np.linalg.norm(gaps, axis=1), atol=1e-12)
    np.testing.assert_allclose(gaps @ found.plane.directions.T, 0, atol=1e-12)
    for (low, high), at in zip((found.alphas[[0, -1]], found.betas[[0, -1]]), found.path.T, strict=True):
        assert low < at.min()
        assert at.max() < high


def test_the_recording_of_a_fit_is_its_path(fitted):
    clf, points = fitted
    clf.recording_ = SimpleNamespace(epochs=np.arange(0, 26, 5), points=points[::5])
    try:
        found = error_surface(clf, X, y, resolution=3)
        np.testing.assert_array_equal(found.epochs, [0, 5, 10, 15, 20, 25])
        np.testing.assert_array_equal(found.path, error_surface(clf, X, y, path=points[::5], resolution=3).path)
        ax = plot_error_surface(clf, X, y, resolution=3)
        assert "the training, epoch 0 to 25" in [line.get_label() for line in ax.lines]
    finally:
        del clf.recording_


def test_the_path_of_minimize_is_one_too():
    net = cr.Network([4, 3, 1], activation="tanh", seed=0)
    path = cr.minimize(net.objective(X, y), net.w, "lbfgs", max_iter=8)
    net.w = path.x
    found = error_surface(net, X, y, path=path, resolution=3)
    np.testing.assert_allclose(found.path_values, path.values)


def test_random_directions_are_as_long_as_each_units_weights(fitted):
    clf, _ = fitted
    found = error_surface(clf, X, y, resolution=3, seed=1)
    assert found.plane.kind == "random"
    assert found.path is None
    for direction in found.plane.directions:
        A, b = clf.network_.layout.views(direction)
        for D, own in zip(A, clf.network_.A, strict=True):
            np.testing.assert_allclose(np.linalg.norm(D, axis=0), np.linalg.norm(own, axis=0))
        assert not any(part.any() for part in b)
    np.testing.assert_array_equal(found.values, error_surface(clf, X, y, resolution=3, seed=1).values)
    assert np.any(found.values != error_surface(clf, X, y, resolution=3, seed=2).values)
    np.testing.assert_allclose(found.alphas, [-1, 0, 1])


def test_the_coordinates_of_chosen_weights_are_their_values(fitted):
    clf, points = fitted
    found = error_surface(clf, X, y, directions=[("A", 1, 2, 3), ("b", 2, 1)], path=points, resolution=5)
    assert found.plane.names == ("A_1[2, 3]", "b_2[1]")
    np.testing.assert_allclose(found.centre, [clf.network_.A[1][2, 3], clf.network_.b[2][1]], atol=1e-12)
    np.testing.assert_allclose(found.path[:, 0], [clf.network_.layout.views(w)[0][1][2, 3] for w in points], atol=1e-12)
    moved = cr.Network.from_layout(clf.network_.layout, clf.network_.w.copy())
    moved.A[1][2, 3], moved.b[2][1] = found.alphas[4], found.betas[1]
    assert found.values[1, 4] == pytest.approx(trained_error(clf, X, y).function()(moved.w), rel=1e-12)


def test_given_directions_are_taken_as_they_are(fitted):
    clf, points = fitted
    back = points[0] - clf.network_.w  # a step of 1 leads to the start
    found = error_surface(clf, X, y, directions=[back, np.eye(len(back))[0]], span=((0, 1), (0, 0.1)), resolution=3)
    assert found.values[0, 2] == pytest.approx(trained_error(clf, X, y).function()(points[0]))
    assert found.values[0, 0] == found.centre_value


def test_what_a_slice_leaves_out_is_said(fitted):
    clf, points = fitted
    path, random = (error_surface(clf, X, y, path=points, directions=d, resolution=3) for d in ("path", "random"))
    assert sum(random.share) < 0.7 < sum(path.share)
    for found in (path, random):
        assert "Slices mislead: this is 2 of 43 dimensions" in found.warning
        assert f"{percent(sum(found.share))} of the path's variance" in found.warning
        assert f"up to {found.distances.max():.2g} off it" in found.warning
    assert "at the centre" in str(path)


def refusals(clf, points):
    K = clf.network_.K
    net = cr.Network([4, 3, 1], seed=0)
    new = cr.MLPClassifier()
    broken = points.copy()
    broken[3, 1] = np.nan
    spoilt = X.copy()
    spoilt[5, 1] = np.nan

    def ask(model=clf, X=X, y=y, **options):
        return lambda: error_surface(model, X, y, resolution=options.pop("resolution", 3), **options)

    return {
        "unfitted": (ask(new), NotFittedError, "not fitted yet"),
        "a class": (ask(cr.MLPClassifier), TypeError, "the error of a fit is known of MLPClassifier"),
        "another model": (ask(PCA()), TypeError, "the error of a fit is known of MLPClassifier"),
        "no model": (ask(3.0), TypeError, "takes a fitted MLPClassifier.* or a Network; got float"),
        "another width": (ask(X=X[:, :2]), ValueError, "X has 2 features, but MLPClassifier is expecting 4"),
        "NaN in X": (ask(X=spoilt), ValueError, "Input X contains NaN"),
        "unknown class": (ask(y=y + 1), ValueError, "y has the class 3, which y of fit has not"),
        "loss of an estimator": (ask(loss="huber"), ValueError, "is for a Network; an estimator's error has the loss"),
        "path without path": (ask(directions="path"), ValueError, "fit with record=True, or give path"),
        "one point": (ask(path=points[:1]), ValueError, "the path has 1 point, so it has no principal directions"),
        "one place": (ask(path=points[[0, 0]]), ValueError, "has 2 points that are all the same"),
        "another K": (ask(path=points[:, 1:]), ValueError, f"path must be n × {K} numbers"),
        "a path of words": (ask(path=[["a"] * K]), ValueError, f"path must be n × {K} numbers"),
        "a flat path": (ask(path=points[0]), ValueError, f"path must be n × {K} numbers"),
        "NaN in the path": (ask(path=broken), ValueError, "line 3 of it has NaN"),
        "too few epochs": (ask(path=SimpleNamespace(points=points, epochs=[1, 2])), ValueError, "26 points and 2 epochs"),
        "a word": (ask(directions="pca"), ValueError, "directions must be 'path', 'random', two parameters"),
        "three": (ask(directions=np.zeros((3, K))), ValueError, "directions must be 'path', 'random', two parameters"),
        "shape": (ask(directions=np.zeros((2, 5))), ValueError, rf"2 × {K}, two vectors of K = {K} numbers; got shape \(2, 5\)"),
        "ragged": (ask(directions=[[1.0], [1.0, 2.0]]), ValueError, f"two vectors of K = {K} numbers"),
        "parallel": (ask(directions=[points[0], points[0] * 3]), ValueError, "parallel"),
        "no such weight": (ask(directions=[("A", 1, 9, 0), ("b", 2, 0)]), IndexError, "A_1 is 4 × 5, counted from 0"),
        "no such layer": (ask(directions=[("A", 3, 0, 0), ("b", 2, 0)]), IndexError, "with l from 1 to 2"),
        "twice": (ask(directions=[("b", 2, 0)] * 2), ValueError, r"both b_2\[0\]"),
        "span": (ask(span=-1.0), ValueError, "span must be a number > 0"),
        "span of words": (ask(span="wide"), ValueError, "span must be a number > 0"),
        "resolution": (ask(resolution=1.5), ValueError, "resolution must be a whole number ≥ 3"),
        "weights": (ask(net, sample_weight=[1.0]), ValueError, "weights must be 150 finite numbers"),
        "targets": (ask(net, y=np.full(len(y), np.nan)), ValueError, "finite"),
    }  # fmt: skip


@pytest.mark.parametrize("name", refusals(SimpleNamespace(network_=SimpleNamespace(K=43)), np.ones((26, 43))))
def test_what_makes_no_surface_is_refused_in_one_sentence(name, fitted):
    call, kind, sentence = refusals(*fitted)[name]
    with pytest.raises(kind, match=sentence):
        call()


# ---------------------------------------------------------------- pictures


def test_the_picture_has_path_solution_scale_and_warning(fitted):
    clf, points = fitted
    found = error_surface(clf, X, y, path=points, resolution=9)
    _, own = plt.subplots()
    ax = plot_surface(found, own)
    assert ax is own
    assert ax.get_aspect() == 1.0
    lines = {line.get_label(): np.transpose(line.get_data()) for line in ax.lines}
    np.testing.assert_array_equal(lines["the training"], found.path)
    np.testing.assert_array_equal(lines["its start"][0], found.path[0])
    np.testing.assert_array_equal(lines["the solution"][0], found.centre)
    assert "Slices mislead" in ax.texts[0].get_text()
    assert ax.get_xlabel() == f"1st principal direction ({100 * found.share[0]:.0f} % of the variance)"
    (scale,) = ax.child_axes
    shown = [text.get_text() for text in scale.get_yticklabels()]
    assert len(set(shown)) == len(shown) > 3
    filled = next(artist for artist in ax.get_children() if isinstance(artist, QuadContourSet))
    np.testing.assert_array_equal(filled.levels, contour_levels(found.values))


def test_the_landscape_has_the_path_at_its_true_height(fitted):
    clf, points = fitted
    found = error_surface(clf, X, y, path=points, resolution=9)
    ax = plot_surface_3d(found)
    line = next(line for line in ax.lines if line.get_label() == "the training")
    heights = found.path_values if ax.get_zlabel() == "E" else np.log10(found.path_values)
    np.testing.assert_allclose(np.transpose(line.get_data_3d()), np.column_stack([found.path, heights]))
    assert any("Slices mislead" in text.get_text() for text in ax.texts)
    with pytest.raises(TypeError, match="ax must have three dimensions"):
        plot_surface_3d(found, plt.subplots()[1])


@pytest.mark.parametrize(("low", "is_log"), [(1.0, False), (1e-6, True)])
def test_levels_follow_the_logarithm_where_the_range_demands_it(low, is_log):
    steps = np.diff(contour_levels(np.geomspace(low, 2.0, 400)))
    assert (steps.max() > 100 * steps[1:].min()) == is_log
    values = np.append(np.geomspace(low, 2.0, 400), [np.nan, np.inf])
    assert (np.diff(contour_levels(values)) > 0).all()
    assert contour_levels(values)[[0, -1]] == pytest.approx([low, 2.0])


@pytest.mark.parametrize("draw", [plot_surface, plot_surface_3d])
def test_values_that_are_not_finite_are_left_out(draw):
    net = cr.Network([1, 1], output="exp", seed=0)
    data = ([[1.0], [2.0]], [1.0, 2.0])
    far = error_surface(net, *data, loss="poisson", directions=[("A", 1, 0, 0), ("b", 1, 0)], span=900.0, resolution=9)
    assert np.isinf(far.values).any()
    draw(far).figure.canvas.draw()
    nowhere = error_surface(net, *data, loss="poisson", directions=np.eye(2), span=((800, 900), (0, 1)), resolution=3)
    with pytest.raises(ValueError, match="no value on this plane is finite"):
        draw(nowhere)
