"""What it means here that an estimator of ours and one of scikit-learn's did the same."""

import warnings

import numpy as np
import sklearn.neural_network
from numpy.testing import assert_allclose, assert_array_equal

import chainrule


def task(name, N=42, D=5, seed=0):
    """(class name, parameters, X, y) of one of the six tasks."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((N, D))
    raw = np.tanh(X @ rng.standard_normal((D, 3))) + 0.3 * rng.standard_normal((N, 3))
    if name == "binary":
        return "MLPClassifier", {}, X, (raw[:, 0] > 0).astype(int)
    if name == "multiclass":
        return "MLPClassifier", {}, X, np.array(["ash", "beech", "cedar"])[raw.argmax(axis=1)]
    if name == "multilabel":
        return "MLPClassifier", {}, X, (raw > 0).astype(int)
    if name == "regression":
        return "MLPRegressor", {}, X, raw[:, 0]
    if name == "multi-output":
        return "MLPRegressor", {}, X, raw
    return "MLPRegressor", {"loss": "poisson"}, X, rng.poisson(np.exp(raw[:, 0])).astype(float)


TASKS = ["binary", "multiclass", "multilabel", "regression", "multi-output", "poisson"]
ACTIVATIONS = ["identity", "logistic", "tanh", "relu"]


def row_weights(N, seed=1):
    return np.random.RandomState(seed).uniform(0.2, 3.0, N)


def fitted(library, name, X, y, weights=None, **parameters):
    """(the fitted estimator, [(category, message) of each warning])."""
    model = getattr(library, name)(**parameters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y, sample_weight=weights)
    return model, [(w.category, str(w.message)) for w in caught]


def pair(name, X, y, weights=None, **parameters):
    """(ours, theirs), fitted with the same arguments; what they warned of must be the same."""
    ours, our_words = fitted(chainrule, name, X, y, weights, **parameters)
    theirs, their_words = fitted(sklearn.neural_network, name, X, y, weights, **parameters)
    assert our_words == their_words
    return ours, theirs


EXACT = [
    "n_iter_",
    "t_",
    "n_layers_",
    "n_outputs_",
    "out_activation_",
    "n_features_in_",
    "classes_",
    "feature_names_in_",
]
CLOSE = ["loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"]


def assert_same_attributes(ours, theirs):
    """Every public fitted attribute is there where scikit-learn has it, and absent where it has not."""
    for name in (*EXACT, *CLOSE):
        assert hasattr(ours, name) == hasattr(theirs, name), name
    public = {name for name in vars(theirs) if name.endswith("_") and not name.startswith("_")}
    assert public <= {*EXACT, *CLOSE, "coefs_", "intercepts_"}


def assert_same_fit(ours, theirs, rtol=1e-8, atol=0.0):
    """The same records: counts exactly, losses and scores to rtol."""
    assert_same_attributes(ours, theirs)
    for name in EXACT:
        if hasattr(theirs, name):
            assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
    for name in CLOSE:
        if hasattr(theirs, name):
            value, expected = getattr(ours, name), getattr(theirs, name)
            assert (value is None) == (expected is None), name
            if expected is not None:
                assert isinstance(value, list) == isinstance(expected, list), name
                # a score is 1 − a quotient, or a count: its rounding is that of 1
                size = 1.0 if "validation" in name else 0.0
                assert_allclose(value, expected, rtol=rtol, atol=max(atol, rtol * size), err_msg=name)


def assert_same_predictions(ours, theirs, X, rtol=1e-7):
    assert ours.predict(X).dtype == theirs.predict(X).dtype
    if hasattr(theirs, "classes_"):
        assert_array_equal(ours.predict(X), theirs.predict(X))
        assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=rtol, atol=rtol)
    else:
        assert_allclose(ours.predict(X), theirs.predict(X), rtol=rtol, atol=rtol)


def assert_same_weights(ours, theirs, rtol=1e-7):
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        assert mine.dtype == other.dtype
        assert_allclose(mine, other, rtol=rtol, atol=rtol)
