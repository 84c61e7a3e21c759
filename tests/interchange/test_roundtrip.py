"""What comes back from a file is what went in, bit by bit, and goes on training from there."""

import hashlib
import importlib.util
import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.base import clone

import chainrule as cr
from chainrule.files import FileError, load_arrays
from chainrule.interchange import check_can_be_saved
from chainrule.interchange.formula import Formula
from chainrule.network import ACTIVATIONS, LOSSES

_spec = importlib.util.spec_from_file_location("interchange_models", Path(__file__).with_name("models.py"))
models = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(models)


def again(model, tmp_path, **more):
    path = tmp_path / "model.chainrule"
    cr.save(model, path, **more)
    return cr.load(path)


def same(a, b):
    """Equal to the last bit, and of the same types."""
    if isinstance(a, np.ndarray):
        return type(b) is np.ndarray and a.dtype == b.dtype and a.shape == b.shape and (
            a.tolist() == b.tolist() if a.dtype == object else a.tobytes() == b.tobytes()
        )  # fmt: skip
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, float):
        return a == b or (a != a and b != b)
    return type(a) is type(b) and a == b


# What belongs to the process: what the last prediction met, which parameters were checked.
NOT_KEPT = ("last_report_", "_valid_params")
PLAIN = (np.ndarray, list, tuple, dict, str, int, float, bool, type(None))


@pytest.mark.parametrize("name", models.MODELS)
def test_everything_comes_back(name, tmp_path):
    model, X = models.fitted(name)
    back = again(model, tmp_path)
    assert type(back) is type(model)
    for method in ("predict", "predict_proba", "predict_log_proba"):
        if hasattr(model, method):
            assert same(getattr(model, method)(X), getattr(back, method)(X)), method
    assert model.network_.w.tobytes() == back.network_.w.tobytes()
    assert all(map(np.array_equal, getattr(model, "coefs_", []), getattr(back, "coefs_", [])))
    kept = {k: v for k, v in vars(model).items() if isinstance(v, PLAIN) and k not in NOT_KEPT}
    different = [k for k, v in kept.items() if not callable_within(v) and not same(v, vars(back).get(k, "none"))]
    assert not different
    assert set(vars(model)) - set(vars(back)) <= {*NOT_KEPT, "_random_state"}
    assert model.history_.rows() == back.history_.rows()
    if hasattr(model, "classes_"):
        assert same(model.classes_, back.classes_)
    if hasattr(model, "outcome_"):
        assert back.outcome_.history is back.history_
        assert back.outcome_.stopped_because == model.outcome_.stopped_because
        assert same(model.features_.transform(X)[0], back.features_.transform(X)[0])


def callable_within(value):
    return callable(value) or (isinstance(value, list | tuple) and any(map(callable_within, value)))


@pytest.mark.parametrize("name", ["two words", "integers", "multilabel", "two numbers", "own activation"])
def test_partial_fit_goes_on_as_if_nothing_had_been(name, tmp_path):
    model, X = models.MODELS[name]()
    y = model.predict(X)
    back = again(model, tmp_path)
    for _ in range(3):
        model.partial_fit(X, y)
        back.partial_fit(X, y)
    assert model.network_.w.tobytes() == back.network_.w.tobytes()
    assert same(model.loss_curve_, back.loss_curve_)
    assert model.t_ == back.t_


@pytest.mark.parametrize("name", ["three words", "lbfgs", "a stream"])
def test_fit_again_is_the_same(name, tmp_path):
    model, X = models.MODELS[name]()
    y, back = model.predict(X), again(model, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for each in (model, back):
            each.set_params(warm_start=True).fit(X, y)
    assert model.network_.w.tobytes() == back.network_.w.tobytes()


def test_a_saved_file_saves_to_the_same_file(tmp_path):
    for name in ("own activations", "table of words"):
        model, _ = models.fitted(name)
        cr.save(model, tmp_path / "a")
        cr.save(cr.load(tmp_path / "a"), tmp_path / "b")
        a, b = load_arrays(tmp_path / "a"), load_arrays(tmp_path / "b")
        assert same(a[0], b[0])
        assert json.dumps(a[1]) == json.dumps(b[1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_networks_of_every_activation(name, dtype, tmp_path):
    row = ACTIVATIONS[name]
    hidden = "tanh" if row.rowwise else (name, {k: v * 1.5 for k, v in row.parameters.items()})
    net = cr.Network([3, 4, 2], hidden, "softmax" if row.rowwise else "identity", seed=0, dtype=dtype)
    back = again(net, tmp_path)
    X = models.rows(7)
    assert same(net(X), back(X))
    assert back.activations == net.activations
    assert [row.parameters for row in back.activations] == [row.parameters for row in net.activations]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_as_one_of_your_own(name, tmp_path):
    # the table's rows under other names: their values and slopes travel as formulas
    row = ACTIVATIONS[name]
    mine = cr.Activation("my own", row.value, row.slope, parameters=row.parameters, rowwise=row.rowwise)
    net = cr.Network([3, 4, 2], "tanh" if row.rowwise else mine, mine if row.rowwise else "identity", seed=0)
    back = again(net, tmp_path)
    X, found = models.rows(7), back.activations[-1 if row.rowwise else 0]
    assert isinstance(found.value, Formula)
    np.testing.assert_array_equal(found(X), mine(X))
    if not row.rowwise:
        np.testing.assert_array_equal(found.slope_at(X), mine.slope_at(X))
    if name in ("gelu", "selu", "softmax"):  # compiled too
        assert same(net(X), back(X))
    if name == "selu":
        assert same(net.gradient(X, X[:, :2]), back.gradient(X, X[:, :2]))


def test_losses_are_values_of_a_file_too():
    from chainrule.interchange.kinds import HOUSE
    from chainrule.interchange.plain import Shelf

    y, s = np.full((2, 3), 1 / 3), models.rows(2)
    for row in LOSSES.values():
        for loss in (
            row,
            cr.Loss(
                "mine", row.value, row.slope, row.link, row.targets, parameters=row.parameters, rowwise=row.rowwise
            ),
        ):
            shelf = Shelf(HOUSE)
            back = Shelf(HOUSE, shelf.arrays).take(json.loads(json.dumps(shelf.put(loss, "loss"))))
            np.testing.assert_array_equal(back(y, s), loss(y, s))
            np.testing.assert_array_equal(back.slope_of(y, s), loss.slope_of(y, s))
            assert (back.link, back.targets, back.name) == (loss.link, loss.targets, loss.name)
    shelf = Shelf(HOUSE)
    back = Shelf(HOUSE).take(shelf.put(lambda y, f: np.square(y - f) / (1 + np.abs(y)), "loss"))
    np.testing.assert_allclose(back(y, s), np.square(y - s) / (1 + np.abs(y)), rtol=1e-15)


def test_a_formula_goes_to_another_process_and_is_compared_by_what_it_does():
    formula = Formula.of(models.bent, ["z"], "it")
    assert pickle.loads(pickle.dumps(formula)) == formula
    assert hash(formula) == hash(Formula.of(formula, ["z"], "it"))
    assert formula != Formula.of(np.tanh, ["z"], "it")


REFUSED = {
    "if z > 0": lambda z: z if z > 0 else 0.0,
    "math.tanh": lambda z: __import__("math").tanh(z),
    "an array": lambda z: z * np.array([1.0, 2.0]),
    "another primitive": lambda z: np.sinc(z),
    "a fold": lambda z: np.cumsum(z),
    "an error of its own": lambda z: {}["x"],
    "two values": lambda z: (z, z),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_recorded_is_refused_before_training(why, tmp_path):
    with pytest.raises(ValueError, match="the activation '<lambda>'"):
        check_can_be_saved(cr.MLPRegressor(activation=["relu", REFUSED[why]]))
    net = cr.Network([2, 3, 1], REFUSED[why], seed=0)
    with pytest.raises(ValueError, match="the activation '<lambda>'"):
        cr.save(net, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_the_check_before_training_passes_what_can_be_saved():
    for name in models.MODELS:
        check_can_be_saved(models.fitted(name)[0])


def test_a_formula_of_whole_rows_may_know_how_many_outputs_there_are(tmp_path):
    centred = cr.Activation("centred", lambda z: z - np.mean(z, axis=1, keepdims=True), rowwise=True)
    cr.save(cr.Network([2, 4], output=centred, seed=0), tmp_path / "x")
    (row,) = cr.load(tmp_path / "x").activations
    z = models.rows(5, 4)
    np.testing.assert_allclose(row(z), centred(z), rtol=1e-15)
    assert row.value.width == 4
    assert Formula.of(ACTIVATIONS["softmax"].value, ["z"], "it", rowwise=True).width is None


LOSSES_OF_ONES_OWN = {
    "an output each": lambda y, p: np.abs(y - p) ** 1.5,
    "a row": lambda y, p: np.sqrt(np.sum((y - p) ** 2, axis=-1) + 1.0),
    "the mean of a row": lambda y, p: np.mean((y - p) ** 2, axis=1),
    "a constant each": lambda y, p: np.array([1.0, 2.0, 3.0]) * (y - p) ** 2,
}


@pytest.mark.parametrize("which", LOSSES_OF_ONES_OWN)
def test_losses_of_ones_own(which):
    from chainrule.interchange.kinds import HOUSE
    from chainrule.interchange.plain import Shelf

    loss, y, p = LOSSES_OF_ONES_OWN[which], models.rows(5), models.rows(5, seed=1)
    shelf = Shelf(HOUSE)
    back = Shelf(HOUSE).take(json.loads(json.dumps(shelf.put(loss, "loss"))))
    np.testing.assert_allclose(back(y, p), loss(y, p), rtol=1e-15)
    with pytest.raises(ValueError, match="the loss '<lambda>'"):
        shelf.put(lambda y, p: np.sum((y - p) ** 2), "loss")


def test_extra_is_given_back_and_kept(tmp_path):
    model, _ = models.fitted("linear")
    back = again(model, tmp_path, extra={"source": "a.csv", "scores": [1, None, {"ü": True}]})
    assert back.extra_ == {"source": "a.csv", "scores": [1, None, {"ü": True}]}
    assert again(back, tmp_path).extra_ == back.extra_
    assert not hasattr(again(model, tmp_path), "extra_")
    with pytest.raises(FileError, match="not JSON"):
        cr.save(model, tmp_path / "x", extra={"a": float("nan")})
    with pytest.raises(TypeError, match="extra"):
        cr.save(model.network_, tmp_path / "x", extra={"a": 1})


def test_safetensors_reads_the_weights(tmp_path):
    model, _ = models.fitted("two numbers")
    cr.save(model, tmp_path / "a")
    arrays = load_file(tmp_path / "a")
    for l in (1, 2, 3):
        assert same(arrays[f"network_.A_{l}"], model.network_.A[l].copy())
        assert same(arrays[f"network_.b_{l}"], model.network_.b[l].copy())
    cr.save(model.network_, tmp_path / "b")
    assert sorted(load_file(tmp_path / "b")) == ["A_1", "A_2", "A_3", "b_1", "b_2", "b_3"]


def test_what_is_no_model_is_refused(tmp_path):
    from sklearn.linear_model import LinearRegression

    for other in (LinearRegression(), 3, None, np.zeros(3), type("Mine", (cr.MLPRegressor,), {})()):
        with pytest.raises(TypeError, match="save takes a fitted"):
            cr.save(other, tmp_path / "x")
    with pytest.raises(ValueError, match="not fitted"):
        cr.save(cr.MLPRegressor(), tmp_path / "x")
    for name in ("n_outputs_", "history_", "_label_binarizer", "t_"):
        model, _ = models.MODELS["two words"]()
        delattr(model, name)
        with pytest.raises(ValueError, match="not whole"):
            cr.save(model, tmp_path / "x")
    net = cr.Network([2, 1], seed=0)
    net.w[0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        cr.save(net, tmp_path / "x")


def test_a_setting_that_stays_behind_is_named(tmp_path):
    model, X = models.MODELS["linear"]()
    model.tol = np.float16(0.25)  # a type that no file holds
    with pytest.warns(UserWarning, match=r"tol.*stays behind") as caught:
        back = again(model, tmp_path)
    assert caught[0].filename == __file__
    assert back.tol == 1e-4
    assert same(back.predict(X), model.predict(X))


# ---------------------------------------------------------------- elsewhere


_ELSEWHERE = """
import hashlib, sys
import numpy as np, chainrule as cr
for path in sys.argv[2:]:
    X = np.load(sys.argv[1])
    model = cr.load(path)
    print(hashlib.sha256(model.predict(X).tobytes() + model.network_.w.tobytes()).hexdigest())
"""


def test_another_process_predicts_the_same_bits(tmp_path):
    np.save(tmp_path / "X.npy", models.rows())
    expected, paths = [], []
    for name in ("own activation", "three words", "poisson"):
        model, X = models.fitted(name)
        paths.append(tmp_path / name)
        cr.save(model, paths[-1])
        expected.append(hashlib.sha256(model.predict(X).tobytes() + model.network_.w.tobytes()).hexdigest())
    command = [sys.executable, "-c", _ELSEWHERE, tmp_path / "X.npy", *paths]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split() == expected


def test_a_loaded_model_can_be_copied_and_fitted_anew(tmp_path):
    model, X = models.fitted("own activations")
    back = again(model, tmp_path)
    y = model.predict(X)
    weights = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for each in (model, back, pickle.loads(pickle.dumps(back))):
            weights.append(clone(each).fit(X, y).network_.w.tobytes())
    assert weights[0] == weights[1] == weights[2]
