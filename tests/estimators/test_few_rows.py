"""Small plain arrays are predicted without scikit-learn's checks: the same numbers, and every complaint is still made."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn.neural_network
from numpy.testing import assert_array_equal
from sklearn.metrics import r2_score

import chainrule
from chainrule.estimators.base import _SMALL, BaseMLP
from chainrule.estimators.mlp import _r2

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
CASES = {
    "binary": ("MLPClassifier", X, X[:, 0] > 0),
    "binary, words": ("MLPClassifier", X, np.where(X[:, 0] > 0, "up", "down")),
    "multiclass": ("MLPClassifier", X, np.digitize(X[:, 0], [-0.5, 0.5])),
    "multiclass, words": ("MLPClassifier", X, np.array(["a", "b", "c"], object)[np.digitize(X[:, 0], [-0.5, 0.5])]),
    "multilabel": ("MLPClassifier", X, (X[:, :3] > 0).astype(int)),
    "one class": ("MLPClassifier", X, np.zeros(60, int)),
    "regression": ("MLPRegressor", X, X[:, 0]),
    "two numbers": ("MLPRegressor", X, X[:, :2]),
    "float32": ("MLPRegressor", X.astype(np.float32), X[:, 0].astype(np.float32)),
}


def fitted(name, package=chainrule):
    cls, X, y = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(package, cls)(hidden_layer_sizes=(6,), max_iter=3, random_state=0).fit(X, y)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("N", [1, 24, 25, 60])
def test_the_short_way_gives_the_same(name, dtype, N, monkeypatch):
    model, rows = fitted(name), X[:N].astype(dtype)
    methods = [m for m in ("predict", "predict_proba", "predict_log_proba") if hasattr(model, m)]
    assert model._needs_no_check(rows)
    short = [getattr(model, m)(rows) for m in methods]
    monkeypatch.setattr(BaseMLP, "_needs_no_check", lambda self, X: False)
    if hasattr(model, "_label_binarizer"):
        monkeypatch.setattr(
            type(model), "_labels",
            lambda self, P: self._label_binarizer.inverse_transform(P.ravel() if self.n_outputs_ == 1 else P),
        )  # fmt: skip
    for m, found in zip(methods, short, strict=True):
        whole = getattr(model, m)(rows)
        assert found.dtype == whole.dtype
        assert_array_equal(found, whole)


# what is given -> whether the model was fitted on named columns
CHECKED = {
    "a list": (X[:2].tolist(), False),
    "one row without its brackets": (X[0], False),
    "a number": (np.float64(1.0), False),
    "too narrow": (X[:2, :3], False),
    "too wide": (np.hstack([X, X])[:2], False),
    "no row": (X[:0], False),
    "a missing value": (np.array([[1.0, np.nan, 0.0, 0.0]]), False),
    "an infinite number": (np.array([[1.0, np.inf, 0.0, 0.0]]), False),
    "too large": (np.array([[1e200, -1e200, np.inf, -np.inf]]), False),
    "whole numbers": (np.arange(8).reshape(2, 4), False),
    "complex": (X[:2] + 1j, False),
    "numbers as objects": (X[:2].astype(object), False),
    "half precision": (X[:2].astype(np.float16), False),
    "bytes in the other order": (X[:2].astype(">f8"), False),
    "a matrix of three": (X[None, :2], False),
    "masked": (np.ma.masked_array(X[:2], X[:2] > 1), False),
    "a DataFrame": (pd.DataFrame(X[:2], columns=list("abcd")), False),
    "an array where there were names": (X[:2], True),
    "other names": (pd.DataFrame(X[:2], columns=list("abce")), True),
    "many numbers": (np.zeros((_SMALL, 4)), False),
}


@pytest.mark.parametrize("what", CHECKED)
def test_what_is_in_doubt_is_checked_as_scikit_learn_does(what):
    given, named = CHECKED[what]

    def outcome(package):
        table = pd.DataFrame(X, columns=list("abcd")) if named else X
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model = package.MLPRegressor(hidden_layer_sizes=(6,), max_iter=3, random_state=0).fit(table, X[:, 0])
            assert package is not chainrule or not model._needs_no_check(given)
            del said[:]
            try:
                found = np.round(model.predict(given), 6).tolist()
            except (ValueError, TypeError) as error:
                found = (type(error), str(error))
        return found, [(w.category, str(w.message)) for w in said]

    ours, theirs = outcome(chainrule), outcome(sklearn.neural_network)
    assert ours == theirs


def test_an_unfitted_model_still_says_so():
    with pytest.raises(sklearn.exceptions.NotFittedError):
        chainrule.MLPClassifier().predict(X[:1])


def test_weights_written_by_hand_are_used_at_once():
    model = fitted("regression")
    before = model.predict(X[:1])
    model.coefs_[-1][...] *= 2
    model.intercepts_[-1][...] *= 2
    np.testing.assert_allclose(model.predict(X[:1]), 2 * before, rtol=1e-14)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X[:1]), model.predict(X[:1]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("constant", [False, True])
def test_r2_is_scikit_learns_to_the_last_bit(dtype, outputs, weighted, constant):
    for N in (2, 3, 50):
        Y = rng.normal(size=(N, outputs)).astype(dtype)
        found = Y + rng.normal(size=Y.shape).astype(dtype)
        if constant:
            Y[:, 0] = 1
            found[:, -1] = Y[:, -1]
        weights = rng.random(N) if weighted else None
        assert _r2(Y, found, weights) == float(r2_score(Y, found, sample_weight=weights))
