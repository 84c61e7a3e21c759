"""The figure of a trace: every step stands where nothing covers it, with its value and derivative."""

import itertools

import matplotlib as mpl
import numpy as np
import pytest

import chainrule as cr
from chainrule.insight.plots.graphs import layered, plot_trace

mpl.use("Agg")
from matplotlib import pyplot as plt


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def network(A1, b1, A2, b2):
    h = np.tanh(np.array([0.5, 1.0]) @ A1 + b1)
    return 0.5 * (h @ A2 + b2 - 1.0) ** 2


def chain(x):
    for _ in range(14):
        x = np.sin(x) + x * np.cos(x)
    return x


RNG = np.random.default_rng(0)
TRACES = {
    "one step": (np.sin, 1.0),
    "an input": (lambda x: x, 1.0),
    "a constant": (lambda x: 2.0, 1.0),
    "two paths": (lambda x: np.exp(x * np.sin(x)), 1.0),
    "questions": (lambda x, y: np.where(x > 0, np.maximum(x, y), y) * x, 1.0, 1.0),
    "a network": (network, RNG.normal(size=(2, 2)), np.zeros(2), RNG.normal(size=2), 0.1),
    "57 steps": (chain, 0.4),
}


@pytest.mark.parametrize("name", TRACES)
def test_every_step_has_its_words_value_and_derivative(name):
    f, *args = TRACES[name]
    trace = cr.trace(f, *args)
    ax = trace.plot()
    words = [text.get_text() for text in ax.texts]
    for k, step in enumerate(trace.steps):
        assert any(w.replace("\n", " ").startswith((f"{step.name} = ", step.name)) for w in words), trace.words(k)
        for number in (step.value, step.derivative):
            assert f"{number + 0.0:.3g}".replace("-", "−") in words
    assert "above: value" in ax.get_title()


@pytest.mark.parametrize("name", TRACES)
def test_no_box_covers_another_and_none_is_cut_off(name):
    f, *args = TRACES[name]
    ax = cr.trace(f, *args).plot()
    figure = ax.figure
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    boxes = [t.get_bbox_patch().get_window_extent(renderer) for t in ax.texts if t.get_fontsize() == 9]
    assert len(boxes) == len(cr.trace(f, *args).steps)
    for n, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[:n])


def test_edges_carry_local_derivatives():
    ax = cr.trace(lambda x: 3.0 * np.sin(x), 0.0).plot()
    small = [t.get_text() for t in ax.texts if t.get_fontsize() == 7.5]
    assert sorted(small) == ["1", "3"]
    assert len(ax.lines) == 2
    twice = cr.trace(lambda x: x * x, 4.0).plot()
    assert [t.get_text() for t in twice.texts if t.get_fontsize() == 7.5] == ["4 + 4"]


def test_questions_are_dotted_and_kinks_shaded():
    ax = cr.trace(lambda x, y: np.where(x > 0, np.maximum(x, y), y), 1.0, 1.0).plot()
    assert [line.get_linestyle() for line in ax.lines].count(":") == 2
    assert "shaded: at a kink" in ax.get_title()


def test_it_draws_where_it_is_told():
    ax = plt.subplots()[1]
    assert plot_trace(cr.trace(np.sin, 1.0), ax) is ax


def test_more_than_sixty_steps_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"readable up to 60 steps, this trace has 201: print\(trace\) lists them"):
        cr.trace(lambda x: np.sum(np.exp(x)), np.ones(100)).plot()


# ---------------------------------------------------------------- the layout


def random_graph(seed, n):
    rng = np.random.default_rng(seed)
    return [tuple(rng.integers(0, k, size=rng.integers(0, min(k, 3) + 1)).tolist()) if k else () for k in range(n)]


@pytest.mark.parametrize("seed", range(10))
def test_steps_stand_above_what_they_use_and_apart(seed):
    inputs = random_graph(seed, 40)
    layout = layered(inputs)
    for k, used in enumerate(inputs):
        for i in used:
            assert layout.places[i][0] < layout.places[k][0]
            way = [layout.places[i], *layout.bends[k, i], layout.places[k]]
            assert [b[0] - a[0] for a, b in itertools.pairwise(way)] == [1.0] * (len(way) - 1)
    points = [*layout.places, *(p for bends in layout.bends.values() for p in bends)]
    for n, (layer, position) in enumerate(points):
        assert all(abs(position - other[1]) > 1 - 1e-9 for other in points[:n] if other[0] == layer)


def test_crossings_that_need_not_be_are_undone():
    # 0-5, 1-4, 2-3 cross three times as they are numbered
    layout = layered([(), (), (), (2,), (1,), (0,)])
    below = [layout.places[k][1] for k in (0, 1, 2)]
    above = [layout.places[k][1] for k in (5, 4, 3)]
    assert np.argsort(below).tolist() == np.argsort(above).tolist()
