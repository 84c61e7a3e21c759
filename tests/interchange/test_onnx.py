"""Exported graphs, computed by onnxruntime, agree with the models: networks, estimators and whole tables."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import chainrule as cr
from chainrule.files import FileError
from chainrule.interchange import onnx_inputs
from chainrule.interchange.formula import WORDS as KNOWN
from chainrule.interchange.formula import Formula
from chainrule.interchange.onnxwords import WORDS
from chainrule.network import ACTIVATIONS

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

_spec = importlib.util.spec_from_file_location("interchange_models", Path(__file__).with_name("models.py"))
models = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(models)


def outputs(model, feeds, path):
    """name -> what onnxruntime computes."""
    cr.to_onnx(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [out.name for out in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def agree(found, expected):
    """To 1e-5, relative to the largest number."""
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * max(1.0, float(np.abs(expected).max())))


# ---------------------------------------------------------------- networks


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_networks_of_every_activation(name, dtype, tmp_path):
    row = ACTIVATIONS[name]
    net = cr.Network([3, 6, 5, 4], "tanh" if row.rowwise else name, name, seed=0, dtype=dtype)
    X = 3 * models.rows(50).astype(dtype)
    agree(outputs(net, {"X": X}, tmp_path / "m")["prediction"], net(X))


def both(function):
    return [function] if isinstance(function, tuple) else [(function, -3.0, 3.0)]


# primitive -> a formula of it, and between which numbers it is tried
SAID = {
    "add": lambda z: z + 1.5, "subtract": lambda z: 1.0 - z, "multiply": lambda z: (z > 0) * z, "divide": lambda z: z / 3,
    "power": lambda z: z**3, "negative": lambda z: -z, "square": lambda z: np.square(z),
    "reciprocal": (lambda z: np.reciprocal(z), 0.5, 3), "sqrt": (lambda z: np.sqrt(z), 0, 3), "cbrt": lambda z: np.cbrt(z),
    "exp": lambda z: np.exp(z), "exp2": lambda z: np.exp2(z), "expm1": lambda z: np.expm1(z),
    "log": (lambda z: np.log(z), 0.1, 3), "log2": (lambda z: np.log2(z), 0.1, 3), "log10": (lambda z: np.log10(z), 0.1, 3),
    "log1p": (lambda z: np.log1p(z), -0.9, 3), "logaddexp": lambda z: np.logaddexp(z, 1 - z),
    "sin": lambda z: np.sin(z), "cos": lambda z: np.cos(z), "tan": (lambda z: np.tan(z), -1, 1), "sinh": lambda z: np.sinh(z),
    "cosh": lambda z: np.cosh(z), "tanh": lambda z: np.tanh(z), "arcsin": (lambda z: np.arcsin(z), -0.9, 0.9),
    "arccos": (lambda z: np.arccos(z), -0.9, 0.9), "arctan": lambda z: np.arctan(z), "arcsinh": lambda z: np.arcsinh(z),
    "arccosh": (lambda z: np.arccosh(z), 1.1, 3), "arctanh": (lambda z: np.arctanh(z), -0.9, 0.9),
    "arctan2": lambda z: np.arctan2(z, 1 - z) + np.arctan2(z, 0 * z) + np.arctan2(z, z - 1) + np.arctan2(0 * z * z, z),
    "hypot": lambda z: np.hypot(z, 1 + z), "erf": lambda z: ACTIVATIONS["gelu"].value(z), "absolute": lambda z: abs(z),
    "fabs": lambda z: np.fabs(z), "sign": lambda z: np.sign(z), "floor": lambda z: np.floor(z), "ceil": lambda z: np.ceil(z),
    "maximum": lambda z: np.maximum(z, 0.5), "minimum": lambda z: np.minimum(z, 1 - z),
    "fmax": lambda z: np.fmax(z, 0.5 - z), "fmin": lambda z: np.fmin(z, 0.5), "clip": lambda z: np.clip(z, -1, 0.5),
    "where": lambda z: np.where(z > 0, z, 2.0), "greater": lambda z: np.where(z > 1, z, 2.0),
    "greater_equal": lambda z: np.where(z >= 1, z, 2.0), "less": lambda z: np.where(z < 1, z, 2.0),
    "less_equal": lambda z: np.where(z <= 1, z, 2.0), "equal": lambda z: np.where(np.floor(z) == 1, z, 2.0),
    "not_equal": lambda z: np.where(np.floor(z) != 1, z, 2.0), "isnan": lambda z: np.where(np.isnan(z), 0.0, z),
    "logical_and": lambda z: np.where(np.logical_and(z > 0, z < 1), z, 2.0),
    "logical_or": lambda z: np.where(np.logical_or(z > 1, z < 0), z, 2.0),
    "logical_not": lambda z: np.where(np.logical_not(z > 1), z, 2.0),
}  # fmt: skip
ROWS = {
    "positive": lambda z: +z,
    "sum": lambda z: z / np.sum(np.exp(z), axis=-1, keepdims=True), "max": lambda z: z - np.max(z, axis=-1, keepdims=True),
    "min": lambda z: z * np.min(z, axis=-1, keepdims=True), "cumsum": lambda z: np.cumsum(z, axis=-1),
    "expand_dims": lambda z: z + np.expand_dims(np.sum(z, axis=-1), -1),
    "squeeze": lambda z: z + np.expand_dims(np.squeeze(np.sum(z, axis=-1, keepdims=True), -1), -1),
}  # fmt: skip


def test_every_word_of_a_formula_has_a_translation_and_is_tried():
    assert set(KNOWN) <= set(WORDS)
    assert set(KNOWN) - {"positions"} <= set(SAID) | set(ROWS)
    for name, formula in {**{k: both(f)[0][0] for k, f in SAID.items()}, **ROWS}.items():
        steps = Formula.of(formula, ["z"], name, rowwise=name in ROWS).steps
        assert name in [step[0] for step in steps], name


def graph_of(formula, dtype, path):
    from chainrule.interchange.onnxfile import _assemble
    from chainrule.interchange.onnxwords import Port, Scribe, Speaker, speak

    scribe = Scribe()
    found = speak(Speaker(scribe, dtype), formula, {"z": "Z"}, "it")
    written = _assemble(scribe, "it", [Port("Z", dtype, ("N", 4))], [(Port("out", dtype, ("N", 4)), found)])
    onnx.checker.check_model(written)
    return onnxruntime.InferenceSession(written.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*SAID, *ROWS])
def test_every_primitive(name, dtype, tmp_path):
    function, low, high = (ROWS[name], -3, 3) if name in ROWS else both(SAID[name])[0]
    formula = Formula.of(function, ["z"], name, rowwise=name in ROWS)
    Z = np.linspace(low, high, 44).reshape(11, 4).astype(dtype)
    (found,) = graph_of(formula, np.dtype(dtype), tmp_path).run(None, {"Z": Z})
    assert found.dtype == dtype
    with np.errstate(all="ignore"):
        agree(found, function(Z))


def test_an_activation_that_is_a_constant(tmp_path):
    net = cr.Network([3, 4, 2], lambda z: 0.25, seed=0)
    X = models.rows(9)
    agree(outputs(net, {"X": X}, tmp_path / "m")["prediction"], net(X))


def test_what_has_no_translation_is_refused_by_name(tmp_path, monkeypatch):
    net = cr.Network([3, 4, 2], lambda z: np.sinc(z), seed=0)
    with pytest.raises(ValueError, match="'sinc'"):
        cr.to_onnx(net, tmp_path / "m")
    monkeypatch.delitem(WORDS, "tanh")
    with pytest.raises(ValueError, match=r"the activation 'tanh' uses 'tanh', which has no translation"):
        cr.to_onnx(cr.Network([3, 4, 2], "tanh", seed=0), tmp_path / "m")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- estimators


@pytest.mark.parametrize("name", [name for name in models.MODELS if "table" not in name])
def test_estimators(name, tmp_path):
    model, X = models.fitted(name)
    found = outputs(model, {"X": X}, tmp_path / "m")
    if hasattr(model, "classes_"):
        agree(found["probabilities"], model.predict_proba(X))
        expected = model.predict(X)
        assert found["label"].tolist() == expected.astype(int).tolist() if expected.dtype == bool else expected.tolist()
    else:
        agree(found["prediction"], model.predict(X))


def test_one_class_alone(tmp_path):
    X = models.rows()
    model = cr.MLPClassifier((3,), random_state=0).partial_fit(X, np.full(len(X), "a"), classes=["a"])
    found = outputs(model, {"X": X}, tmp_path / "m")
    assert found["label"].tolist() == model.predict(X).tolist()
    agree(found["probabilities"], model.predict_proba(X))


# ---------------------------------------------------------------- tables


def holes(frame, seed=0):
    """The frame with gaps in every column, and with words in place of some of its words."""
    rng, found = np.random.default_rng(seed), frame.copy()
    for column in found:
        gone = rng.random(len(found)) < 0.1
        if found[column].dtype == bool:
            found[column] = found[column].astype(object)
        found.loc[gone, column] = None
        if not (pd.api.types.is_numeric_dtype(found[column]) or pd.api.types.is_datetime64_any_dtype(found[column])):
            if found[column].map(type).isin([bool, type(None)]).all():
                continue
            found.loc[rng.random(len(found)) < 0.1, column] = "never seen"
    return found


def compare_table(model, frame, path):
    for rows in (frame, holes(frame), holes(frame, 1)):
        found = outputs(model, onnx_inputs(model, rows), path)
        if hasattr(model, "classes_"):
            agree(found["probabilities"], model.predict_proba(rows))
            assert found["label"].tolist() == model.predict(rows).tolist()
        else:
            agree(found["prediction"], model.predict(rows))


SHIPPED = {"penguins": "species", "titanic": "survived", "auto-mpg": "mpg"}


@pytest.mark.parametrize("hidden", [(16,), (12, 8)])
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_tables(name, hidden, tmp_path):
    frame = cr.load_dataset(name)
    y, X = frame[SHIPPED[name]], frame.drop(columns=SHIPPED[name])
    cls = cr.TableRegressor if name == "auto-mpg" else cr.TableClassifier
    model = cls(hidden, epochs=4, random_state=0).fit(X, y)
    compare_table(model, X, tmp_path / "m")
    report = model.features_.transform(holes(X))[1]  # the comparison did meet gaps and words that were not in training
    assert report.missing
    assert report.unseen or name == "auto-mpg"


@pytest.mark.parametrize("name", ["table of words", "table of truth", "table of numbers"])
def test_every_kind_of_column(name, tmp_path):
    model, X = models.fitted(name)
    assert {column.kind for column in model.features_.columns} == {"number", "category", "boolean", "date"}
    compare_table(model, X, tmp_path / "m")


def test_dates_of_four_centuries_and_times(tmp_path):
    rng = np.random.default_rng(0)
    days = pd.Series(pd.date_range("1800-01-01", "2200-03-01", freq="D", unit="us"))
    times = days + pd.to_timedelta(rng.integers(0, 86_400, len(days)), unit="s").astype("timedelta64[us]")
    y = rng.normal(size=len(days))
    for when in (days, times):
        X = pd.DataFrame({"when": when, "x": y})
        model = cr.TableRegressor((4,), epochs=1, random_state=0).fit(X, y)
        assert any(column.kind == "date" for column in model.features_.columns)
        agree(outputs(model, onnx_inputs(model, X), tmp_path / "m")["prediction"], model.predict(X))


def test_more_categories_than_are_kept_apart(tmp_path):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "word": [f"w{k % 90}" for k in range(600)],
            "number": [k % 80 * 10 for k in range(600)],
            "half": rng.choice([0.5, 1.5], 600),
        }
    )
    model = cr.TableClassifier((8,), epochs=2, random_state=0, kinds=dict.fromkeys(X, "category"))
    model.fit(X, np.where(rng.random(600) < 0.5, 1, 7))
    assert [column.has_other for column in model.features_.columns] == [True, True, False]
    assert [port.type.tensor_type.elem_type for port in exported(model, tmp_path).graph.input] == [8, 11, 11]
    X.loc[::9, "number"] = np.nan
    X.loc[::7, "number"] = -1
    compare_table(model, X, tmp_path / "m")


def exported(model, folder):
    cr.to_onnx(model, folder / "m")
    return onnx.load(folder / "m")


def test_the_graph_says_how_it_is_fed(tmp_path):
    model, _ = models.fitted("table of words")
    written = exported(model, tmp_path)
    described = {port.name: port.doc_string for port in written.graph.input}
    assert "days since 1970-01-01" in described["when"]
    assert "NaN where missing" in described["size"]
    assert '""' in described["colour"]
    stored = {item.key: item.value for item in written.metadata_props}
    assert stored["chainrule.model"] == "TableClassifier"
    assert json.loads(stored["chainrule.inputs"]) == described


def test_a_loaded_model_exports_the_same_graph(tmp_path):
    for name in ("own activations", "table of numbers"):
        model, _ = models.fitted(name)
        cr.save(model, tmp_path / "f")
        assert exported(model, tmp_path) == exported(cr.load(tmp_path / "f"), tmp_path)


# ---------------------------------------------------------------- refusals


def test_without_onnx_the_way_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "chainrule\[onnx\]"'):
        cr.to_onnx(cr.Network([2, 1], seed=0), tmp_path / "m")


def test_what_cannot_be_exported(tmp_path, monkeypatch):
    with pytest.raises(TypeError, match="to_onnx takes one of"):
        cr.to_onnx(3, tmp_path / "m")
    with pytest.raises(ValueError, match="not fitted"):
        cr.to_onnx(cr.MLPRegressor(), tmp_path / "m")
    with pytest.raises(FileError, match="does not exist"):
        cr.to_onnx(cr.Network([2, 1], seed=0), tmp_path / "no" / "m")
    X = pd.DataFrame({"label": np.arange(40.0)})
    model = cr.TableClassifier((2,), epochs=1, random_state=0).fit(X, np.arange(40) % 2)
    with pytest.raises(ValueError, match="called 'label'"):
        cr.to_onnx(model, tmp_path / "m")
    monkeypatch.setattr("chainrule.interchange.onnxfile._MOST_BYTES", 10)
    with pytest.raises(FileError, match="2 GiB"):
        cr.to_onnx(cr.Network([2, 1], seed=0), tmp_path / "m")
    model, X = models.fitted("table of truth")
    with pytest.raises(ValueError, match="must hold datetimes"):
        onnx_inputs(model, X.assign(when=X["when"].astype(str)))


def test_export_from_the_command_line(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from chainrule.cli import app

    model, X = models.fitted("table of words")
    cr.save(model, tmp_path / "m")
    done = CliRunner().invoke(app, ["export", str(tmp_path / "m"), "--onnx", str(tmp_path / "m.onnx")])
    assert done.exit_code == 0, done.output
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    assert session.run(["label"], onnx_inputs(model, X))[0].tolist() == model.predict(X).tolist()
    assert CliRunner().invoke(app, ["export", str(tmp_path / "no"), "--onnx", str(tmp_path / "x")]).exit_code == 2
    monkeypatch.setitem(sys.modules, "onnx", None)
    done = CliRunner().invoke(app, ["export", str(tmp_path / "m"), "--onnx", str(tmp_path / "x")])
    assert done.exit_code == 1
    assert 'pip install "chainrule[onnx]"' in done.output
    assert "should not happen" not in done.output
