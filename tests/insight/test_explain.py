"""Explain: the engine's own numbers, equal to the eager tape, to training's gradient and to the limit; all paths."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest

import chainrule as cr
from chainrule.calculus import grad
from chainrule.engine.inside import activations, backward_pass
from chainrule.insight.chains import digits_of
from chainrule.insight.explain import explain
from chainrule.insight.replay import ReplayError
from chainrule.network import ACTIVATIONS, LOSSES, eager_error, forward, get_loss

HIDDEN = [name for name, row in ACTIVATIONS.items() if not row.rowwise]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
LABELS = np.array(["low", "mid", "high"])[np.digitize(Y, [-0.5, 0.5])]
FRAME = pd.DataFrame({"size": X[:, 0], "colour": np.where(X[:, 2] > 0, "red", "blue"), "age": X[:, 1]})

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def network(sizes, activation="tanh", output="identity", seed=1, **given):
    net = cr.Network(sizes, activation, output, seed=seed, **given)
    net.w += 0.1 * np.random.default_rng(seed).normal(size=net.K).astype(net.w.dtype)
    return net


def names_of(layout):
    return [layout.where(k) for k in range(layout.K)]


@pytest.mark.parametrize("depth", [1, pytest.param(2, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("row", list(LOSSES.values()), ids=lambda row: row.name)
@pytest.mark.parametrize("activation", ["tanh", pytest.param("gelu", marks=pytest.mark.slow), "relu"])
def test_a_pass_holds_what_the_tape_derives(activation, row, depth, targets):
    loss = row.configured(**dict.fromkeys(row.vectors, (0.2, 0.7)))
    net = network([*[3, 5, 4, 3][:depth], 2], activation, loss.link)
    rows, y, weights = X[:7, :3], targets(loss, 7, 2, RNG), RNG.uniform(0.5, 2.0, 7)
    seen = backward_pass(net.layout, loss, net.w, rows, y, weights)
    assert (seen.gradient == net.gradient(rows, y, loss, weights)).all()
    assert seen.error == net.error(rows, y, loss, weights)
    exact = grad(lambda w: eager_error(net.layout, loss, w, rows, y, weights))(net.w)
    np.testing.assert_allclose(seen.gradient, exact, rtol=1e-10, atol=1e-10 * np.abs(exact).max())
    z, a = forward(net.layout, net.w, rows)
    np.testing.assert_allclose(seen.z[-1], z, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(seen.a[-1], a, rtol=1e-12, atol=1e-13)
    for i in range(7):  # δ_l of a row is its slope in b_l
        own = grad(lambda w, i=i: weights[i] * eager_error(net.layout, loss, w, rows[i : i + 1], y[i : i + 1]))(net.w)
        for l, slope in enumerate(net.layout.views(own)[1], 1):
            np.testing.assert_allclose(seen.delta[l - 1][i], slope, rtol=1e-9, atol=1e-12)


def test_a_pass_over_many_rows():
    net = network([4, 5, 2])
    rows, y = RNG.normal(size=(600, 4)), RNG.normal(size=(600, 2))
    seen = backward_pass(net.layout, get_loss("squared"), net.w, rows, y)
    np.testing.assert_allclose(seen.gradient, net.gradient(rows, y), rtol=1e-11)
    assert seen.error == pytest.approx(net.error(rows, y), rel=1e-13)
    np.testing.assert_allclose(seen.a[-1], net(rows), rtol=1e-12)
    np.testing.assert_allclose(seen.a[0].T @ seen.delta[1], net.layout.views(seen.gradient)[0][2], rtol=1e-10)


@pytest.mark.parametrize("name", HIDDEN)
def test_outputs_of_every_layer_in_both_widths(name):
    for dtype, rtol in (("float64", 1e-12), ("float32", 1e-5)):
        net = network([3, 4, 4, 1], name, dtype=dtype)
        if name == "exp":
            net.w *= 0.3
        seen = backward_pass(net.layout, get_loss("squared"), net.w, X[:5, :3], np.ones((5, 1)))
        assert {part.dtype for part in (*seen.a, *seen.z, *seen.delta, seen.gradient)} == {net.w.dtype}
        for l, (a, z, alone) in enumerate(
            zip(seen.a, seen.z, activations(net.layout, net.w, X[:5, :3]), strict=True), 1
        ):
            np.testing.assert_allclose(a, alone, rtol=rtol, atol=rtol)
            np.testing.assert_allclose(net.layout.layers[l - 1].activation(z), a, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("loss", ["squared", "huber", "binary_cross_entropy"])
def test_every_weight_of_a_network(loss, targets):
    row = get_loss(loss)
    net = network([2, 3, 2, 2], "sigmoid", row.link)
    x, y = X[0, :2], targets(row, 1, 2, RNG)[0]
    gradient = net.gradient(x, y[None], loss)
    for k, name in enumerate(names_of(net.layout)):
        found = net.explain(x, y, weight=name, loss=loss)
        assert (found.index, found.value, found.derivative) == (k, net.w[k], gradient[k])
        assert found.contributions[0] == pytest.approx(gradient[k], rel=1e-12)
        assert found.chain.product == pytest.approx(gradient[k], rel=1e-12)
        assert found.check.digits > 7 or abs(found.derivative - found.check.numerical) < 1e-10
        for link in found.chain.links:
            np.testing.assert_allclose(link.back * link.slope, link.delta, rtol=1e-12)
        assert math.fsum([*(p.value for p in found.paths.listed), found.paths.rest]) == pytest.approx(
            gradient[k], rel=1e-12
        )


def every_path(net, found):
    """All paths of a weight with what they carry, by enumeration."""
    links, l = found.chain.links[::-1], found.weight[1]
    A = net.A
    carried = {}
    for way in itertools.product(*(range(len(link.delta)) for link in links[1:])):
        units = (found.chain.unit, *way)
        value = found.chain.input * links[-1].delta[units[-1]]
        for link, unit in zip(links[:-1], units, strict=False):
            value *= link.slope[unit]
        for m, (i, j) in enumerate(itertools.pairwise(units), l + 1):
            value *= A[m][i, j]
        carried[units] = float(value)
    return carried


@pytest.mark.parametrize("weight", [("A", 1, 1, 2), ("b", 1, 0), ("A", 2, 3, 1), ("A", 3, 0, 2), ("A", 4, 2, 1)])
@pytest.mark.parametrize("count", [1, 4, 1000])
def test_the_strongest_paths_are_those_of_an_enumeration(weight, count):
    net = network([3, 4, 5, 4, 2], "tanh")
    found = explain(net, X[0, :3], RNG.normal(size=2), weight, paths=count)
    all_ = every_path(net, found)
    assert found.paths.count == len(all_)
    best = sorted(all_.items(), key=lambda item: -abs(item[1]))[:count]
    assert [path.units for path in found.paths.listed] == [units for units, _ in best]
    np.testing.assert_allclose([path.value for path in found.paths.listed], [value for _, value in best], rtol=1e-12)
    listed = {path.units for path in found.paths.listed}
    left = math.fsum(value for units, value in all_.items() if units not in listed)
    assert found.paths.rest == pytest.approx(left, abs=1e-14)
    assert math.fsum(all_.values()) == pytest.approx(found.derivative, rel=1e-10)


def test_the_paths_of_a_wide_network_are_counted_not_walked():
    net = network([2, 200, 300, 200, 1])
    found = net.explain(X[0, :2], [1.0], weight=("A", 1, 0, 0))
    assert found.paths.count == 300 * 200
    sizes = [abs(path.value) for path in found.paths.listed]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(path.value for path in found.paths.listed) + found.paths.rest == pytest.approx(found.derivative)


def test_several_rows_are_a_sum_and_training_has_their_mean():
    model = cr.MLPRegressor(hidden_layer_sizes=(5,), alpha=0.4, l1=0.2, max_iter=4, random_state=0).fit(X, Y)
    name = ("A", 1, 2, 3)
    found = model.explain(X[:9], Y[:9], weight=name)
    alone = [model.explain(X[i : i + 1], Y[i : i + 1], weight=name).derivative for i in range(9)]
    np.testing.assert_allclose(found.contributions, alone, rtol=1e-12)
    assert found.derivative == pytest.approx(sum(alone))
    assert found.row == int(np.argmax(np.abs(alone)))
    assert found.chain.product == pytest.approx(alone[found.row])
    assert found.mean == found.derivative / 9
    assert found.penalty == pytest.approx(0.4 * found.value / 9)
    assert found.l1 == pytest.approx(0.2 * np.sign(found.value) / 9)
    assert found.total == found.mean + found.penalty + found.l1
    assert model.explain(X[:9], Y[:9], weight=("b", 1, 3)).penalty == 0.0
    assert "What training goes down" in str(found)


MODELS = {
    "regressor": (cr.MLPRegressor, {"hidden_layer_sizes": (5, 4)}, X, Y),
    "quantile": (cr.MLPRegressor, {"loss": ("quantile", {"levels": (0.1, 0.9)})}, X, Y),
    "softmax": (cr.MLPClassifier, {"hidden_layer_sizes": (5, 4), "label_smoothing": 0.1}, X, LABELS),
    "sigmoid": (cr.MLPClassifier, {"hidden_layer_sizes": (5,), "activation": "tanh"}, X, LABELS == "low"),
    "Brier": (cr.MLPClassifier, {"loss": "squared_error"}, X, LABELS),
    "single": (cr.MLPClassifier, {"hidden_layer_sizes": (5,)}, X.astype(np.float32), LABELS),
    "table, classes": (
        cr.TableClassifier,
        {"hidden_layer_sizes": (6,), "activation": "tanh", "networks": 1},
        FRAME,
        LABELS,
    ),
    "table, numbers": (cr.TableRegressor, {"hidden_layer_sizes": (6,), "activation": "tanh", "networks": 1}, FRAME, Y),
}


@pytest.mark.parametrize("kind", MODELS)
def test_every_estimator_and_its_training(kind):
    cls, given, rows, y = MODELS[kind]
    epochs = {"epochs": 3} if "table" in kind else {"max_iter": 3}
    model = cls(**given, **epochs, batch_size=16, random_state=0, record=True).fit(rows, y)
    single = model.network_.w.dtype == np.float32
    L = model.network_.layout.L
    for name in (("A", 1, 1, 2), ("b", L, 0)):
        found = model.explain(rows[:1], y[:1], weight=name)
        allowed = (2e-3 if single else 1e-6) * max(abs(found.check.numerical), 1e-3)
        assert abs(found.derivative - found.check.numerical) <= allowed or found.check.kink
        assert found.update is None
        # the rows of a step: the mean's slope and the penalties are what the method was given
        found = model.explain(weight=name, step=5)
        step = model.replay(5)
        assert found.update.step == 5
        assert found.n_rows == len(step.rows)
        assert found.total == pytest.approx(step.gradient[found.index], rel=1e-4 if single else 1e-9, abs=1e-7)
        assert found.value == step.before[found.index]
        assert found.update.after == step.after[found.index]
        # rows of one's own at the weights before that step
        assert model.explain(rows[:2], y[:2], weight=name, step=5).value == step.before[found.index]
        json.dumps(found.as_dict(), allow_nan=False)


def test_names_of_inputs_and_outputs():
    model = cr.TableClassifier((4,), epochs=2, random_state=0).fit(FRAME, LABELS)
    found = model.explain(FRAME[:1], LABELS[:1], weight=("A", 1, 1, 2))
    assert found.input_name == model.features_.names[1]
    assert found.output_names == ("high", "low", "mid")
    assert model.features_.names[1] in str(found)
    assert found.dtype == "float32"


def test_a_kink_is_named():
    net = cr.Network([1, 1, 1], "relu")
    net.w[:] = [1.0, 1.0, 0.0, 0.0]
    found = net.explain([0.0], [1.0], weight=("b", 1, 0))
    assert found.check.kink
    assert "this is a kink: the slope from the left is 0, from the right -1" in str(found).replace("-0.999999", "-1")
    assert not net.explain([0.5], [1.0], weight=("b", 1, 0)).check.kink
    dead = net.explain([-1.0], [1.0], weight=("A", 1, 0, 0))
    assert dead.derivative == 0.0
    assert "both are exactly 0" in str(dead)


def test_a_wrong_derivative_has_no_digits():
    wrong = cr.Activation("wrong", value=lambda z: z * z, slope=lambda z, a: 3.0 * z)
    found = network([2, 2, 1], wrong).explain(X[0, :2], [1.0], weight=("A", 1, 0, 1))
    assert found.check.digits < 1
    assert found.derivative == pytest.approx(1.5 * found.check.numerical, rel=1e-6)


def test_digits():
    assert digits_of(1.0, 1.0) == 16.0
    assert digits_of(1.0, 1.001) == pytest.approx(3.0, abs=0.01)
    assert digits_of(1.0, -1.0) == 0.0
    assert digits_of(math.inf, 1.0) == 0.0


def test_text_latex_and_html():
    net = network([2, 3, 3, 1], "sigmoid")
    found = net.explain(X[0, :2], [1.0], weight=("A", 2, 0, 1))
    text = str(found)
    for words in ("∂E/∂A_2[0, 1] = ", "the error's slope", "the output's slope: identity", "Σ_k A_3[1, k] δ_3[k]",
                  "σ_2'(z_2[1])", "a_1[0]", "the input: unit 0 of layer 1", "they agree to"):  # fmt: skip
        assert words in text, words
    assert max(map(len, text.splitlines())) < 120
    assert found._repr_html_().count("<table") == text.count("The factors") + text.count("The limit") + 1
    latex = found.latex()
    assert latex.startswith("\\begin{align*}")
    assert r"\frac{\partial E}{\partial A_{2}[0, 1]} &= a_{1}[0] \cdot \delta_{2}[1]" in latex
    assert latex.count("{") == latex.count("}")
    deep = net.explain(X[0, :2], [1.0], weight=("b", 1, 2))
    assert r"\begin{pmatrix}" in deep.latex()
    assert "The strongest of 3 paths" in str(deep)
    assert json.loads(json.dumps(deep.as_dict()))["paths"]["count"] == 3


def test_bad_input_is_one_sentence():
    net = network([4, 3, 1])
    model = cr.MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0).fit(X, Y)
    for weight in (("A", 3, 0, 0), ("A", 1, 4, 0), ("A", 1, -1, 0), ("b", 1, 3), ("A", 1, 0, 0.0), "A_1", None):
        with pytest.raises(
            IndexError, match=r"there is no weight .* There are A_1 \(4 × 3\), A_2 \(3 × 1\), b_1 \(3\), b_2"
        ):
            model.explain(X[:1], Y[:1], weight=weight)
    with pytest.raises(IndexError, match="explain takes one weight"):
        net.explain(X[0], [1.0], weight=("A", 1))
    spoilt = X[:2].copy()
    spoilt[1, 2] = np.nan
    for one in (model, net):
        with pytest.raises(ValueError, match="nan in row 1, column 'x2'"):
            explain(one, spoilt, Y[:2], ("A", 1, 0, 0))
        with pytest.raises(ValueError, match="4"):
            explain(one, X[:2, :3], Y[:2], ("A", 1, 0, 0))
        with pytest.raises(ValueError, match="y"):
            explain(one, X[:2], Y[:3], ("A", 1, 0, 0))
    with pytest.raises(Exception, match="not fitted"):
        cr.MLPRegressor().explain(X, Y, weight=("A", 1, 0, 0))
    with pytest.raises(ReplayError, match="was not recorded; set record=True"):
        model.explain(X[:1], Y[:1], weight=("A", 1, 0, 0), step=1)
    with pytest.raises(ValueError, match="X and y are missing: give rows to explain, or a step"):
        model.explain(weight=("A", 1, 0, 0))
    with pytest.raises(ValueError, match="y is missing"):
        model.explain(X[:1], weight=("A", 1, 0, 0))
    with pytest.raises(ValueError, match="loss is for a Network"):
        explain(model, X[:1], Y[:1], ("A", 1, 0, 0), loss="squared")
    with pytest.raises(ValueError, match="paths must be"):
        explain(net, X[:1], Y[:1], ("A", 1, 0, 0), paths=0)
    with pytest.raises(TypeError, match="model must be a fitted MLPClassifier"):
        explain("model", X[:1], Y[:1], ("A", 1, 0, 0))
