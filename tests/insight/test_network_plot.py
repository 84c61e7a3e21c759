"""The picture of a network: units, edges by their weights, outputs of a row, what is left out."""

import numpy as np
import pandas as pd
import pytest

import chainrule as cr
from chainrule.insight.plots.canvas import BLUE, ORANGE

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib.collections import LineCollection, PathCollection  # noqa: E402
from matplotlib.colors import to_rgb  # noqa: E402

from chainrule.insight.plots.networks import plot_network  # noqa: E402


@pytest.fixture(autouse=True)
def _close():
    yield
    matplotlib.pyplot.close("all")


def drawn(ax):
    edges = [c for c in ax.collections if isinstance(c, LineCollection)]
    units = [c for c in ax.collections if isinstance(c, PathCollection)]
    return edges, units, [t.get_text() for t in ax.texts]


def test_a_unit_for_each_and_an_edge_for_each_weight():
    net = cr.Network([2, 3, 1], "tanh", seed=0)
    edges, units, texts = drawn(plot_network(net))
    assert [len(c.get_offsets()) for c in units] == [2, 3, 1]
    assert [len(c.get_segments()) for c in edges] == [6, 3]
    assert {"x0", "x1", "ŷ", "x\n2 inputs", "a_1\n3 tanh", "a_2\n1 identity"} <= set(texts)


def test_width_is_the_size_of_a_weight_and_colour_its_sign():
    net = cr.Network([1, 3, 1], "tanh")
    net.w[:] = [1.0, -2.0, 0.5, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    edges, units, _ = drawn(plot_network(net))
    heights = units[1].get_offsets()[:, 1]
    assert (np.diff(heights) < 0).all()  # unit 0 on top
    by_unit = {}
    for line, width, colour in zip(
        edges[0].get_segments(), edges[0].get_linewidths(), edges[0].get_colors(), strict=True
    ):
        by_unit[int(np.argmin(np.abs(heights - line[1, 1])))] = (width, tuple(colour[:3]))
    widths = np.array([by_unit[k][0] for k in range(3)])
    np.testing.assert_allclose(widths / widths.max(), [0.5, 1.0, 0.25])
    assert [by_unit[k][1] for k in range(3)] == [to_rgb(BLUE), to_rgb(ORANGE), to_rgb(BLUE)]


def test_of_a_wide_layer_the_strongest_units_are_drawn_and_the_rest_is_said():
    net = cr.Network([50, 100, 3], "relu", seed=0)
    net.A[2][:] = 0.01
    net.A[2][[7, 31, 90]] = 5.0
    edges, units, texts = drawn(plot_network(net, most=3))
    assert [len(c.get_offsets()) for c in units] == [3, 3, 3]
    assert {"+ 47 weaker", "+ 97 weaker", "a_1\n100 relu"} <= set(texts)
    widest = edges[1].get_linewidths()
    assert np.allclose(widest, widest[0])  # the three strong ones, all of one weight
    assert len(drawn(plot_network(net))[1][1].get_offsets()) == 20


def test_a_rows_outputs_are_in_the_units():
    net = cr.Network([2, 2, 1], "relu")
    net.w[:] = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.5]
    _, units, texts = drawn(plot_network(net, [2.0, -1.0]))
    np.testing.assert_allclose([c.get_array() for c in units[:2]], [[2.0, -1.0], [2.0, 0.0]])
    assert units[2].get_array().tolist() == [2.5]
    assert {"2", "-1", "0", "2.5"} <= set(texts)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0"), (-0.64, "-0.6"), (0.043, "0.04"), (0.0092, "≈ 0"), (123.0, "1e2"), (-1234.0, "-1e3"), (0.25, "0.25")],
)
def test_a_number_fits_into_its_unit(value, written):
    net = cr.Network([1, 1])
    texts = drawn(net.plot_network([value]))[2]
    assert written in texts


def test_estimators_give_their_names_and_draw_on_given_axes():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=40), "colour": np.where(rng.normal(size=40) > 0, "red", "blue")})
    model = cr.TableClassifier((4,), epochs=2, random_state=0).fit(frame, np.repeat(["cat", "dog", "eel", "fox"], 10))
    ax = matplotlib.pyplot.subplots()[1]
    assert model.plot_network(frame[:1], ax=ax) is ax
    texts = drawn(ax)[2]
    assert {"size", *model.features_.names, "cat", "fox"} <= set(texts)


def test_bad_rows():
    net = cr.Network([2, 2, 1], seed=0)
    with pytest.raises(ValueError, match="x must be one row, got 3"):
        plot_network(net, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="2"):
        plot_network(net, [1.0])
    with pytest.raises(ValueError, match="nan"):
        plot_network(net, [np.nan, 1.0])
