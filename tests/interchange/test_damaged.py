"""Damaged and forged files: a sentence or a model that works, never another error, a hang or a flood of memory."""

import importlib.util
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
    import resource

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
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
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
