"""Health: every illness made on purpose and found; a healthy network has none; bad input is one sentence."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

import chainrule as cr
from chainrule.insight.health import FLAT, ILLNESSES, MOST_ROWS, health
from chainrule.network import ACTIVATIONS

X = np.random.default_rng(0).normal(size=(200, 3))
Y = np.sin(X[:, :1]) + X[:, 1:2]
HIDDEN = [name for name, row in ACTIVATIONS.items() if not row.rowwise]


def network(activation="tanh", sizes=(3, 8, 8, 1), seed=1):
    return cr.Network(list(sizes), activation, seed=seed)


def recorded(changes):
    """A fitted model with a recording in which all weights change by these shares, epoch by epoch."""
    model = cr.MLPRegressor(hidden_layer_sizes=(8,), activation="tanh", max_iter=3, random_state=0)
    model.initialize(X, Y[:, 0])
    points = [model.network_.w.copy()]
    for share in changes:
        points.append(points[-1] * (1 + share))
    model.recording_ = SimpleNamespace(epochs=np.arange(len(points)), points=np.array(points))
    return model


def dead():
    net = network("relu")
    net.b[2][[1, 4]] = -100.0
    return net, {"layer": 2, "seen": "2 of 8 units have slope 0 on every row, so no row moves them (unit 1, 4)"}


def saturated():
    net = network("sigmoid")
    net.b[1][:3] = 9.0
    return net, {"layer": 1, "seen": "3 of 8 units have less than 1% of their greatest slope on nearly every row"}


def constant():
    net = network("tanh")
    net.A[2][:, 5] = 0.0
    return net, {"layer": 2, "seen": "1 of 8 units give the same on every row"}


def vanishing():
    net = network("sigmoid", (3, *[6] * 8, 1))
    net.A[1][...] *= 0.5
    return net, {"layer": 1, "seen": "of that of the last layer"}


def exploding():
    net = network("leaky_relu", (3, *[20] * 6, 1))
    for A in net.A:
        A[...] *= 6.0
    return net, {"layer": 1, "seen": "times that of the last layer"}


def constant_outputs():
    net = network("tanh")
    net.A[3][...] = 0.0
    net.b[3][:] = 0.25
    return net, {"layer": None, "seen": "the network answers 0.25 on all 200 rows"}


def still():
    return recorded([1e-8] * 4), {"layer": 1, "seen": "by 1.0e-08 of their length in an epoch"}


def jumps():
    return recorded([2.0, 2.0, 2.0]), {"layer": 1, "seen": "by 2.0e+00 of their length in an epoch"}


MAKERS = {
    "dead units": dead,
    "saturated units": saturated,
    "constant units": constant,
    "vanishing gradient": vanishing,
    "exploding gradient": exploding,
    "constant outputs": constant_outputs,
    "layer stands still": still,
    "layer jumps": jumps,
}


@pytest.mark.parametrize("name", ILLNESSES)
def test_each_illness_is_found_where_it_is_and_says_what_to_try(name):
    model, where = MAKERS[name]()
    targets = Y if isinstance(model, cr.Network) else Y[:, 0]
    found = health(model, X, targets)
    own = [finding for finding in found.findings if finding.illness == name]
    assert own, str(found)
    assert own[0].layer == where["layer"]
    assert where["seen"] in own[0].seen
    assert own[0].remedy == ILLNESSES[name].remedy
    assert str(own[0]) in found.text()
    assert not found.ok


@pytest.mark.parametrize("activation", HIDDEN)
def test_a_fresh_network_is_healthy_whatever_its_activation(activation):
    found = health(network(activation, (3, 16, 16, 1), seed=2), X, Y)
    assert found.ok, str(found)
    assert "nothing is wrong" in found.text()
    assert all(layer.signal > 0 for layer in found.layers)


@pytest.mark.parametrize("activation", HIDDEN)
def test_flatness_is_read_from_the_row(activation):
    """The share of flat slopes is that of slopes of the row, stated or derived, under a hundredth of its greatest."""
    net, row = network(activation, (3, 16, 1)), ACTIVATIONS[activation]
    net.A[1][...] *= 4.0
    middle = np.linspace(-1, 1, 2001)
    greatest = np.abs(row.slope_at(middle)).max()
    slopes = np.abs(row.slope_at(X @ net.A[1] + net.b[1]))
    found = health(net, X, Y).layers[0]
    assert found.flat == pytest.approx(np.mean(slopes < FLAT * greatest), abs=1e-3)
    assert found.dead == tuple(np.flatnonzero(~slopes.any(axis=0)))


def test_an_activation_of_ones_own_needs_no_name():
    """A clipped line, with no stated slope, has dead units where a relu would have none."""
    net = cr.Network([3, 4, 1], lambda z: np.minimum(np.maximum(z, -1.0), 1.0), seed=0)
    net.b[1][2] = 50.0
    (finding,) = health(net, X, Y).findings
    assert (finding.illness, finding.layer) == ("dead units", 1)
    assert "unit 2" in finding.seen


def test_a_relu_that_is_seldom_on_is_a_switch_and_not_saturated():
    net = network("relu", (3, 8, 1))
    net.A[1][:, 0] = [1.0, 0.0, 0.0]
    net.b[1][0] = -np.sort(X[:, 0])[-4]
    assert health(net, X, Y).ok


def test_saturated_outputs_count_only_where_their_slope_is_in_the_gradient():
    net = cr.Network([3, 4, 1], "tanh", "sigmoid", seed=0)
    net.b[2][:] = 12.0
    labels = (Y > 0).astype(float)
    linked = health(net, X, labels, loss="binary_cross_entropy")
    assert [f.illness for f in linked.findings] == []
    assert linked.layers[-1].flat is None
    apart = health(net, X, labels, loss="squared")
    assert "saturated units" in {f.illness for f in apart.findings if f.layer == 2}


def test_signals_are_the_slopes_of_each_rows_error():
    """The root mean square of ∂E_i/∂z_l, against backpropagation written out."""
    net = network("tanh", (3, 5, 1))
    z = X @ net.A[1] + net.b[1]
    a = np.tanh(z)
    top = a @ net.A[2] + net.b[2] - Y
    below = (top @ net.A[2].T) * (1 - a * a)
    found = health(net, X, Y)
    for layer, slope in zip(found.layers, (below, top), strict=True):
        assert layer.signal == pytest.approx(np.sqrt(np.mean(slope**2)))


def test_updates_are_medians_of_the_recording_and_count_epochs_that_were_left_out():
    model = recorded([0.1, 0.1, 0.1])
    assert [layer.update for layer in health(model, X, Y[:, 0]).layers] == pytest.approx([0.1, 0.1])
    model.recording_.epochs = np.array([0, 2, 4, 6])
    assert [layer.update for layer in health(model, X, Y[:, 0]).layers] == pytest.approx([0.05, 0.05])


def test_a_fit_that_was_recorded_says_how_far_it_went():
    model = cr.MLPRegressor(hidden_layer_sizes=(8,), max_iter=30, random_state=0, record=True, tol=0.0)
    with pytest.warns(match="Maximum iterations"):
        model.fit(X, Y[:, 0])
    found = health(model, X, Y[:, 0])
    assert all(1e-6 < layer.update < 0.5 for layer in found.layers)
    assert found.not_seen == ()


def test_what_cannot_be_looked_at_is_said():
    found = health(network(), X)
    assert found.not_seen[0] == "gradients, which need y"
    assert "record=True" in found.not_seen[1]
    assert found.layers[0].signal is None
    assert "not looked at: gradients" in found.text()


def test_many_rows_are_thinned_and_one_row_is_enough():
    rows = np.random.default_rng(0).normal(size=(5_000, 3))
    assert health(network(), rows, rows[:, :1]).rows == MOST_ROWS
    assert health(network(), X[:1], Y[:1]).rows == 1


def test_it_is_plain_data_and_html():
    found = health(dead()[0], X, Y)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["layers"][1]["dead"] == [1, 4]
    page = found._repr_html_()
    assert "<td>relu</td>" in page
    assert "dead units: layer 2" in page


def test_estimators_of_all_kinds():
    frame = pd.DataFrame(
        {"size": X[:, 0], "colour": np.where(X[:, 1] > 0, "red", "blue"), "gap": np.where(X[:, 2] > 1, np.nan, 1.0)}
    )
    labels = np.array(["low", "mid", "high"])[np.digitize(Y[:, 0], [-0.5, 0.5])]
    for model, target in (
        (cr.TableClassifier((6,), "tanh", epochs=2, random_state=0), labels),
        (cr.TableRegressor((6,), "tanh", epochs=2, random_state=0), Y[:, 0]),
    ):
        found = health(model.fit(frame, target), frame, target)
        assert [layer.units for layer in found.layers] == list(model.network_.sizes[1:])
        assert found.layers[0].signal > 0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_bad_input_is_one_sentence():
    fitted = cr.MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0).fit(X, Y[:, 0])
    holes = X.copy()
    holes[4, 1] = np.nan
    for model, rows, targets, error, words in (
        (cr.MLPRegressor(), X, None, NotFittedError, "not fitted yet"),
        (cr.TableRegressor(), X, None, NotFittedError, "not fitted yet"),
        (fitted, X[:, :2], None, ValueError, "X has 2 features, but MLPRegressor is expecting 3 features"),
        (fitted, holes, None, ValueError, "X has nan in row 4, column 'x1'; the network needs finite numbers"),
        (fitted, X, Y[:3, 0], ValueError, "X has 200 rows and y has 3"),
        (
            network(),
            X[:, :2],
            None,
            ValueError,
            r"X must be N × 3, a column for each input of the network; got \(200, 2\)",
        ),
        (network(), [["a", "b", "c"]], None, ValueError, "X must hold numbers only"),
        (network(), X[:0], None, ValueError, "X has no rows"),
        ("a text", X, None, TypeError, "model must be a fitted MLPClassifier.*got str"),
    ):
        with pytest.raises(error, match=words):
            health(model, rows, targets)
