"""Damaged and forged files: a sentence or a model that works, never another error, a hang or a flood of memory."""

import importlib.util
import json
import sys
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.files import FileError
from chainrule.interchange.formula import Formula


def beside(name):
    spec = importlib.util.spec_from_file_location(f"interchange_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


models, mutate = beside("models"), beside("mutate")

NAMES = ["network", *models.MODELS]


@cache
def source(name):
    """(bytes of a good file, rows to predict on)."""
    import tempfile

    if name == "network":
        model, X = cr.Network([3, 4, 2], [("elu", {"alpha": 0.5})], models.bent, seed=0), models.rows()
    else:
        model, X = models.fitted(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m")
        cr.save(model, path)
        return path.read_bytes(), X


def use(model, X):
    """What a model is loaded for; formulas that were changed are evaluated, not compiled, to keep this fast."""
    net = model if isinstance(model, cr.Network) else model.network_
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        repr(model)
        for row in net.activations:
            if isinstance(row.value, Formula):
                row(np.ones((2, 3)))
                return False
        N = len(X)
        if isinstance(model, cr.Network):
            assert model(np.ones((N, net.sizes[0]))).shape == (N, net.sizes[-1])
            return True
        found = model.predict(X)
        assert len(found) == N
        if hasattr(model, "predict_proba"):
            assert model.predict_proba(X).shape[0] == N
        assert len(model.history_.rows()) == len(model.history_)
    return True


def campaign(count, seed, tmp_path):
    """(loaded, used, sentences) of so many mutated files."""
    resource = pytest.importorskip("resource")
    megabyte = 2**20 if sys.platform == "darwin" else 2**10
    mutator, path = mutate.Mutator(seed), tmp_path / "m"
    loaded, used, said, slowest = 0, 0, set(), 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for k in range(count):
        data, X = source(NAMES[k % len(NAMES)])
        path.write_bytes(mutator(data))
        start = time.perf_counter()
        try:
            model = cr.load(path)
        except FileError as error:
            sentence = str(error)
            said.add(sentence.split(": ", 1)[-1][:50] if len(sentence) < 600 else "too long")
        else:
            loaded += 1
            used += use(model, X)
        slowest = max(slowest, time.perf_counter() - start)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / megabyte
    assert grown < 500, f"{grown:.0f} MB more"
    assert slowest < 30, f"{slowest:.1f} s for one file"
    assert "too long" not in said
    return loaded, used, said


def test_a_few_hundred_mutated_files(tmp_path):
    loaded, used, said = campaign(400, 0, tmp_path)
    # the fuzzer reaches far: many different sentences, and some files that are still models
    assert len(said) > 60
    assert 5 < used <= loaded < 200


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_ten_thousand_mutated_files(seed, tmp_path):
    loaded, used, said = campaign(2000, seed, tmp_path)
    assert len(said) > 200
    assert 50 < used <= loaded < 1000


# ---------------------------------------------------------------- forged with care, under the right checksum


def at(*keys):
    """A change of one place of the description."""

    def change(value):
        def forge(header, metadata):
            mutate.parent(metadata, keys)[keys[-1]] = value

        return forge

    return change


own = ("state", "attributes", "network_", "activations", 0)
FORGED = {
    # names of parameters are printed into compiled code
    "code as a parameter's name": ("own activations", lambda h, m: forge_parameter(m, "k = 1\nimport os #"), "has no parameters"),
    "a word of Python": ("own activations", at(*own, "value", "inputs")(["z", "__import__('os')"]), "inputs of a formula"),
    "a primitive that grows": ("own activation", at(*own, "value", "steps")([["concatenate", [0, 0], {}]]), "not among the known"),
    "a step that is itself": ("own activation", at(*own, "value", "steps")([["exp", [1], {}]]), "uses a later one"),
    "more steps than are sane": ("own activation", at(*own, "value", "steps")([["exp", [0], {}]] * 10_000), "too long"),
    "a kind that is none": ("linear", at("state", "attributes", "loss_")({"kind": "pickle", "data": "gASV"}), "no kind of value"),
    "a method as an attribute": ("linear", at("state", "attributes", "predict")(3), "no model has"),
    "an attribute of Python": ("linear", at("state", "attributes", "__class__")(3), "no model has"),
    "a parameter of the future": ("linear", at("state", "parameters", "brain_size")(3), "does not know"),
    "a parameter out of range": ("linear", at("state", "parameters", "max_iter")(-3), "max_iter"),
    "a label of gigabytes": (
        "two words",
        at("state", "attributes", "classes_")({"kind": "text", "shape": [2], "letters": 2**30, "items": ["no", "yes"]}),
        "more memory",
    ),
    "labels out of order": ("two words", at("state", "attributes", "classes_", "items")(["yes", "no"]), "in order"),
    "other labels": ("two words", at("state", "attributes", "classes_", "items")(["no", "yet"]), "two lists of labels"),
    "a layer more": ("linear", at("state", "attributes", "network_", "sizes")([3, 1, 1]), "numbers of layers"),
    "another size": ("linear", at("state", "attributes", "network_", "sizes")([4, 1]), "does not fit"),
    "a size without end": ("linear", at("state", "attributes", "network_", "sizes")([2**62, 1]), "does not fit"),
    "a width of 0": ("table of truth", lambda h, m: forge_width(m, 0.0), "width must be"),
    "an array that is left": ("linear", at("state", "attributes", "t_")(None), "t_ must be"),
    "another model": ("linear", at("model")("MLPClassifier"), "no labels"),
    "no model": ("linear", at("model")("os.system"), "no kind of model"),
    "no state": ("linear", lambda h, m: m.pop("state"), "'state' is missing"),
    "an array of nobody": ("linear", lambda h, m: forge_array(h), "belongs to nothing"),
    "half a record": ("linear", lambda h, m: m["state"]["attributes"].pop("best_loss_"), "not all of loss_curve_"),
}  # fmt: skip


def forge_parameter(metadata, name):
    row = metadata["state"]["attributes"]["network_"]["activations"][2]
    row["parameters"] = {name: 0.5}
    row["value"]["inputs"] = ["z", name]


def forge_array(header):
    end = max(entry["data_offsets"][1] for entry in header.values())
    header["spare"] = {"dtype": "F64", "shape": [0, 3], "data_offsets": [end, end]}


def forge_width(metadata, value):
    columns = dict(metadata["state"]["attributes"]["features_"]["state"]["items"])["columns"]
    (entry,) = (pair for pair in columns[0]["items"] if pair[0] == "width")
    entry[1] = value


@pytest.mark.parametrize("what", FORGED)
def test_forged_with_care(what, tmp_path):
    name, forge, words = FORGED[what]
    header, metadata, block = mutate.parts(source(name)[0])
    forge(header, metadata)
    (tmp_path / "m").write_bytes(mutate.whole(header, json.dumps(metadata), block))
    with pytest.raises(FileError, match=words):
        cr.load(tmp_path / "m")


def test_the_forger_leaves_a_good_file_good(tmp_path):
    for name in NAMES:
        data, X = source(name)
        header, metadata, block = mutate.parts(data)
        (tmp_path / "m").write_bytes(mutate.whole(header, json.dumps(metadata), block))
        use(cr.load(tmp_path / "m"), X)


def test_a_file_of_a_later_release_says_so(tmp_path):
    header, metadata, block = mutate.parts(source("linear")[0])
    (tmp_path / "m").write_bytes(mutate.whole(header, json.dumps(metadata), block, version="2"))
    with pytest.raises(FileError, match="later release; upgrade"):
        cr.load(tmp_path / "m")


def test_other_doors(tmp_path):
    for bad in (3, None, b"x"):
        with pytest.raises(TypeError, match="name of a file"):
            cr.load(bad)
        with pytest.raises(TypeError, match="name of a file"):
            cr.save(cr.Network([2, 1], seed=0), bad)
    for bad in (tmp_path, tmp_path / "no", "/dev/null"):
        with pytest.raises(FileError):
            cr.load(bad)
