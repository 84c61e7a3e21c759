"""The picture of a descent is right: arrows at right angles to contours, tangents, slices, films; clear refusals."""

import copy
import pickle
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.contour import QuadContourSet
from matplotlib.quiver import Quiver

import chainrule as cr
from chainrule.files import FileError
from chainrule.insight.plots.paths import FILMS, animate_path, plot_path
from chainrule.insight.surface import descent_surface

plt.switch_backend("Agg")


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    plt.close("all")


def bowl(x):
    return x[0] ** 2 + 4 * x[1] ** 2 + x[0] * x[1]


def banana(x):
    return (1 - x[0]) ** 2 + 2 * (x[1] - x[0] ** 2) ** 2


def oblong(x):
    return x @ (np.array([1.0, 4.0, 9.0, 2.0]) * x) / 2


PATHS = {
    "bowl": lambda: cr.minimize(bowl, np.array([4.0, 2.5]), step=0.09, max_iter=40),
    "banana by lbfgs": lambda: cr.minimize(banana, np.array([-1.2, 1.0]), "lbfgs"),
    "hill": lambda: cr.maximize(lambda x: np.sin(x[0]) * np.cos(x[1]), np.array([0.3, 1.0]), step=0.3),
    "column": lambda: cr.minimize(lambda x: bowl(x[:, 0]), np.array([[4.0], [2.5]]), step=0.09, max_iter=40),
    "in a plane of R^4": lambda: cr.minimize(oblong, np.array([1.0, 1.0, 0.0, 0.0]), step=0.15, max_iter=40),
}


def drawn(ax, kind):
    return [artist for artist in ax.get_children() if isinstance(artist, kind)]


def label(ax, text):
    return next(line for line in ax.lines if line.get_label() == text)


def words(ax):
    return " ".join(text.get_text() for text in ax.texts).replace("\n", " ")


def pieces_of(level):
    """The connected pieces of a contour line (`to_polygons` would simplify them)."""
    starts = np.flatnonzero(level.codes == level.MOVETO) if level.codes is not None else [0]
    return [piece for piece in np.split(level.vertices, starts[1:]) if len(piece) > 2]


def tangent_at(pieces, corner):
    """The direction of a contour line (pieces in pixels) at a corner; None where it is not near, or bends too much."""
    near = min(pieces, key=lambda piece: np.hypot(*(piece - corner).T).min())
    middles, along = (near[1:] + near[:-1]) / 2, np.diff(near, axis=0)
    along = along / np.hypot(*along.T)[:, None]
    k = int(np.argmin(np.hypot(*(middles - corner).T)))
    around = along[max(k - 2, 0) : k + 3]
    if np.hypot(*(middles[k] - corner)) > 3 or (around @ along[k]).min() < 0.995:
        return None
    return along[k]


@pytest.mark.parametrize("name", PATHS)
def test_arrows_point_along_the_gradient_at_a_right_angle_to_the_contours_as_one_sees_them(name):
    path = PATHS[name]()
    ax = path.plot()
    ax.figure.canvas.draw()
    (arrows,) = drawn(ax, Quiver)
    _, lines = drawn(ax, QuadContourSet)
    assert ax.get_aspect() == 1.0
    on_screen = ax.transData.transform
    pieces = [on_screen(piece) for level in lines.get_paths() for piece in pieces_of(level)]
    seen = 0
    for start, u, v in zip(arrows.XY, arrows.U, arrows.V, strict=True):
        corner, tip = on_screen(start), on_screen(start + np.array([u, v]))
        tangent = tangent_at(pieces, corner)
        if tangent is None:
            continue
        seen += 1
        arrow = (tip - corner) / np.hypot(*(tip - corner))
        assert abs(arrow @ tangent) < 0.1
    assert seen >= 2
    surface = descent_surface(path, resolution=3)
    for start, u, v in zip(arrows.XY, arrows.U, arrows.V, strict=True):
        k = int(np.argmin(np.hypot(*(surface.path - start).T)))
        along = surface.plane.directions @ np.ravel(path.gradients[k])
        np.testing.assert_allclose(np.array([u, v]) / np.hypot(u, v), along / np.hypot(*along), atol=1e-9)
        assert np.hypot(u, v) == pytest.approx(np.hypot(arrows.U[0], arrows.V[0]))


def test_two_numbers_are_drawn_as_they_are():
    path = PATHS["bowl"]()
    ax = path.plot()
    np.testing.assert_allclose(np.transpose(label(ax, "gradient descent").get_data()), path.points, atol=1e-12)
    np.testing.assert_allclose(np.ravel(label(ax, "its start").get_data()), path.points[0])
    np.testing.assert_allclose(np.ravel(label(ax, "the lowest point").get_data()), path.x, atol=1e-12)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x[0]", "x[1]")
    assert not words(ax)  # nothing is left out, so nothing misleads
    surface = descent_surface(path, resolution=31)
    assert surface.values[30, 7] == pytest.approx(bowl([surface.alphas[7], surface.betas[30]]))
    inside = (surface.alphas[[0, -1]], surface.betas[[0, -1]])
    assert all(
        low < points.min() and points.max() < high for (low, high), points in zip(inside, path.points.T, strict=True)
    )


def test_it_draws_on_axes_that_are_given():
    _, ax = plt.subplots()
    assert plot_path(PATHS["bowl"](), ax, resolution=5) is ax
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_number_is_a_curve_with_tangents(shape):
    F = lambda x: np.sum(0.25 * x**4 - x**2 + 0.3 * x)  # noqa: E731
    path = cr.minimize(F, np.full(shape, 2.4)[()], step=0.05)
    ax = path.plot()
    x, y = label(ax, "F").get_data()
    np.testing.assert_allclose(y, 0.25 * x**4 - x**2 + 0.3 * x, atol=1e-12)
    dots = np.transpose(label(ax, "gradient descent").get_data())
    np.testing.assert_allclose(dots, np.stack([path.points.ravel(), path.values], axis=1))
    tangents = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linewidth() == 2]
    assert len(tangents) > 3
    for tangent in tangents:
        (a, b), (c, d) = tangent.get_xdata(), tangent.get_ydata()
        k = int(np.argmin(np.abs(path.points.ravel() - (a + b) / 2)))
        assert (d - c) / (b - a) == pytest.approx(path.gradients.ravel()[k])
        assert (c + d) / 2 == pytest.approx(path.values[k])


# ---------------------------------------------------------------- slices


@cache
def scattered():
    return cr.minimize(
        lambda x: x @ (np.array([1.0, 2.0, 5.0, 9.0]) * x) / 2 + np.sum(x**4), np.ones(4), step=0.02, max_iter=60
    )


def test_the_principal_directions_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA

    path = scattered()
    found, theirs = descent_surface(path, resolution=5), PCA(2).fit(path.points)
    np.testing.assert_allclose(np.abs(found.plane.directions @ theirs.components_.T), np.eye(2), atol=1e-10)
    np.testing.assert_allclose(found.share, theirs.explained_variance_ratio_)
    np.testing.assert_allclose(found.plane.at(*found.centre), path.x, atol=1e-12)
    rebuilt = found.plane.origin + found.path @ found.plane.directions
    np.testing.assert_allclose(np.linalg.norm(path.points - rebuilt, axis=1), found.distances, atol=1e-12)
    np.testing.assert_allclose(found.path_values, path.values)
    assert found.path[0, 0] < found.centre[0]  # read from left to right


def test_a_slice_says_how_much_it_holds_and_that_it_misleads():
    path = scattered()
    ax = path.plot(resolution=21)
    share = descent_surface(path, resolution=3).share
    assert "Slices mislead" in words(ax)
    assert "2 of 4 dimensions" in words(ax)
    assert f"{100 * share[0]:.0f} % of the variance" in ax.get_xlabel()
    assert not drawn(ax, Quiver)  # the path leaves the plane: arrows would not be orthogonal to its contours


@pytest.mark.parametrize(
    ("directions", "names"),
    [((0, 3), ("x[0]", "x[3]")), ((3, 1), ("x[3]", "x[1]")), (np.eye(4)[[2, 0]], ("1st direction", "2nd direction"))],
)
def test_directions_of_ones_choice(directions, names):
    path = scattered()
    found = descent_surface(path, directions=directions, resolution=5)
    assert found.plane.names == names
    x = found.plane.at(found.alphas[1], found.betas[4])
    assert found.values[4, 1] == pytest.approx(path.function(x))
    ax = path.plot(directions=directions, resolution=5)
    assert (ax.get_xlabel(), ax.get_ylabel()) == names
    if isinstance(directions, tuple):  # coordinates are the numbers themselves
        np.testing.assert_allclose(found.path, path.points[:, list(directions)], atol=1e-12)


def test_directions_that_are_given_are_made_orthonormal():
    found = descent_surface(scattered(), directions=[[3, 0, 0, 0], [1, 2, 0, 0]], resolution=3)
    np.testing.assert_allclose(found.plane.directions, np.eye(4)[:2], atol=1e-12)


def test_a_path_on_a_line_has_a_picture_too():
    ax = cr.minimize(lambda x: np.sum((x - 3.0) ** 2), np.zeros(3), step=0.1, max_iter=20).plot(resolution=21)
    assert "100 % of the path's variance; the path lies in it" in words(ax)
    assert drawn(ax, Quiver)


def test_matrices_are_walked_on_too():
    path = cr.minimize(
        lambda x: np.sum((x - np.arange(6.0).reshape(2, 3)) ** 2), np.zeros((2, 3)), step=0.1, max_iter=5
    )
    assert descent_surface(path, directions=((0, 1), (1, 2)), resolution=3).plane.names == ("x[0, 1]", "x[1, 2]")


def test_the_error_of_a_network_is_drawn_with_the_path_of_any_method():
    net = cr.Network([2, 3, 1], activation="tanh", seed=1)
    path = cr.minimize(net.objective([[0.0, 0.0], [0.0, 1.0]], [0.0, 1.0]), net.w, "lbfgs", max_iter=5)
    assert "2 of 13 dimensions" in words(path.plot(resolution=5))


# ---------------------------------------------------------------- what a path knows of F


def test_a_path_knows_its_function_up_and_down():
    down, up = cr.minimize(bowl, np.ones(2), max_iter=5), cr.maximize(lambda x: -bowl(x), np.ones(2), max_iter=5)
    assert down.function(down.x) == down.value
    assert up.function(up.x) == up.value
    with pytest.raises(cr.DivergenceError) as caught:
        cr.maximize(lambda x: bowl(x), np.ones(2), step=1.0)
    assert caught.value.path.function(np.ones(2)) == bowl(np.ones(2))


def test_copies_share_the_function_and_a_pickle_leaves_it_behind():
    path = PATHS["bowl"]()
    for same in (copy.copy(path), copy.deepcopy(path)):
        assert same.function is path.function
        assert repr(same) == repr(path)
    assert copy.deepcopy(path).points is not path.points
    back = pickle.loads(pickle.dumps(path))
    np.testing.assert_array_equal(back.points, path.points)
    with pytest.raises(ValueError, match="does not know its function"):
        back.plot()
    assert back.plot(function=bowl, resolution=11).get_xlabel() == "x[0]"


def test_the_function_is_asked_in_the_float_width_of_the_path():
    seen = set()

    def F(x):
        seen.add(str(np.asarray(x).dtype) if isinstance(x, np.ndarray) else "recorded")
        return np.sum(x**2)

    cr.minimize(F, np.ones(2, np.float32), max_iter=3).plot(resolution=5)
    assert seen <= {"float32", "recorded"}


# ---------------------------------------------------------------- edges of F


def test_points_where_F_is_not_finite_are_left_out():
    path = cr.minimize(lambda x: np.sum(x - np.log(x)), np.array([0.1, 2.0]), step="armijo", max_iter=30)
    filled = drawn(path.plot(resolution=31), QuadContourSet)[0]
    assert np.isfinite(filled.levels).all()
    curve = cr.minimize(lambda x: x - np.log(x), 0.1, step="armijo").plot()
    assert np.isnan(label(curve, "F").get_ydata()).any()


def test_a_walk_without_steps_and_a_flat_function_are_drawn():
    still = cr.minimize(bowl, np.array([1.0, 2.0]), max_iter=0).plot(resolution=11)
    assert still.get_xlim()[0] < 1 < still.get_xlim()[1]
    assert "same value everywhere" in words(cr.minimize(lambda x: 0.0 * x[0], np.ones(2)).plot(resolution=5))
    cr.minimize(lambda x: 0.0 * x, 1.0).plot()


def two():
    return cr.minimize(bowl, np.array([4.0, 2.5]), step=0.09, max_iter=3)


def one():
    return cr.minimize(lambda x: x**2, 1.0, step=0.1, max_iter=3)


REFUSED = {
    "one point": (lambda: cr.minimize(oblong, np.ones(4), max_iter=0).plot(), ValueError, "has 1 point, so it has no principal directions; give two"),
    "not scalar": (lambda: two().plot(function=lambda x: x), TypeError, r"F must return one number, got an array of shape \(2,\)"),
    "not a function": (lambda: two().plot(function=3.0), TypeError, "must be a function of x, got 3.0"),
    "nowhere finite": (lambda: two().plot(function=lambda x: np.nan), ValueError, "no value on this plane is finite"),
    "no curve": (lambda: one().plot(function=lambda x: np.nan), ValueError, "F is finite nowhere near the path"),
    "one direction": (lambda: scattered().plot(directions=(0,)), ValueError, "directions must be two indices of x"),
    "a word": (lambda: scattered().plot(directions="path"), ValueError, "directions must be two indices of x"),
    "no such entry": (lambda: scattered().plot(directions=(0, 4)), IndexError, r"shape \(4,\), counted from 0; it has no entry"),
    "the same twice": (lambda: scattered().plot(directions=(1, 1)), ValueError, r"both x\[1\]"),
    "wrong shape": (lambda: scattered().plot(directions=np.eye(3)[:2]), ValueError, r"must be 2 × 4.*got shape \(2, 3\)"),
    "parallel": (lambda: scattered().plot(directions=[np.ones(4), 2 * np.ones(4)]), ValueError, "parallel"),
    "zero": (lambda: scattered().plot(directions=[np.ones(4), np.zeros(4)]), ValueError, "2nd direction is 0 everywhere"),
    "NaN": (lambda: scattered().plot(directions=[np.ones(4), np.full(4, np.nan)]), ValueError, "directions must be finite"),
    "a plane of one": (lambda: one().plot(directions=(0, 1)), ValueError, "a path of one number is drawn as a curve"),
    "resolution": (lambda: two().plot(resolution=2), ValueError, "resolution must be a whole number ≥ 3"),
    "ending": (lambda: two().animate("film.webp"), FileError, r"a film is a \.gif or \.mp4 file"),
    "fps": (lambda: two().animate("film.gif", fps=0), ValueError, "fps must be a number above 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_drawn_is_refused_in_one_sentence(name):
    call, kind, sentence = REFUSED[name]
    with pytest.raises(kind, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- films


@pytest.mark.parametrize("start", [np.array([4.0, 2.5]), 4.0])
def test_a_film_grows_point_by_point(start, tmp_path):
    from PIL import Image

    F = bowl if np.ndim(start) else (lambda x: x**2)
    path = cr.minimize(F, start, step=0.09, max_iter=5)
    file = tmp_path / "walk.gif"
    assert path.animate(file, dpi=30, fps=2, resolution=11) == file
    with Image.open(file) as film:
        shown = []
        for k in range(film.n_frames):
            film.seek(k)
            shown.append(np.asarray(film.convert("RGB")).astype(int))
            assert film.info["duration"] >= 500
    assert len(shown) >= len(path)
    changed = [np.abs(a - b).sum() for a, b in pairwise(shown)]
    assert all(changed[: len(path) - 1])
    assert [entry.name for entry in tmp_path.iterdir()] == ["walk.gif"]


def test_a_long_path_is_thinned_to_a_film_of_bounded_length(tmp_path, monkeypatch):
    from PIL import Image

    from chainrule.insight.plots import paths

    monkeypatch.setattr(paths, "_FRAMES", 5)
    path = cr.minimize(bowl, np.array([4.0, 2.5]), step=0.01, max_iter=200)
    with Image.open(path.animate(tmp_path / "walk.GIF", dpi=30, fps=1, resolution=5)) as film:
        assert film.n_frames == 5 + 1 or film.n_frames == 5  # the last one may be one long frame


def test_a_film_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    from matplotlib.animation import PillowWriter

    file = tmp_path / "walk.gif"
    file.write_bytes(b"the old one")

    def broken(self, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(PillowWriter, "grab_frame", broken)
    with pytest.raises(KeyboardInterrupt):
        PATHS["bowl"]().animate(file, resolution=5)
    assert file.read_bytes() == b"the old one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["walk.gif"]


@pytest.mark.parametrize("ending", FILMS)
def test_a_writer_that_is_missing_is_named_before_anything_is_drawn(ending, tmp_path, monkeypatch):
    from matplotlib.animation import writers

    monkeypatch.setattr(writers, "is_available", lambda name: False)
    with pytest.raises(FileError, match=FILMS[ending].missing.split(":")[0]):
        animate_path(PATHS["bowl"](), tmp_path / f"walk{ending}", function=lambda x: 1 / 0)
    assert not list(tmp_path.iterdir())


def test_an_mp4_is_written_where_ffmpeg_is(tmp_path):
    from matplotlib.animation import writers

    if not writers.is_available("ffmpeg"):
        pytest.skip("there is no ffmpeg here")
    file = PATHS["bowl"]().animate(tmp_path / "walk.mp4", dpi=40, resolution=11)
    assert file.read_bytes()[4:8] == b"ftyp"
