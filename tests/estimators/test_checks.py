"""scikit-learn's estimator checks, all of them, none expected to fail; and the tools around an estimator."""

import copy
import inspect
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn.neural_network
from against_sklearn import fitted, row_weights, task
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import chainrule
from chainrule import MLPClassifier, MLPRegressor

CLASSES = ["MLPClassifier", "MLPRegressor"]
QUICK = {"hidden_layer_sizes": 5, "max_iter": 8, "random_state": 0, "solver": "sgd", "learning_rate_init": 0.1}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)])
def test_an_estimator_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([MLPClassifier(solver="lbfgs", max_iter=100), MLPRegressor(solver="lbfgs", max_iter=100)])
def test_an_estimator_check_passes_with_lbfgs(estimator, check):
    check(estimator)


def example(cls):
    _, _, X, y = task("multiclass" if cls == "MLPClassifier" else "regression")
    return X, y


def quick(cls, X, y, weights=None, **more):
    return fitted(chainrule, cls, X, y, weights, **{**QUICK, **more})[0]


@pytest.mark.parametrize("cls", CLASSES)
def test_the_constructor_has_scikit_learns_parameters_in_place(cls):
    ours, theirs = (
        list(inspect.signature(getattr(lib, cls)).parameters.values()) for lib in (chainrule, sklearn.neural_network)
    )
    for mine, other in zip(ours, theirs, strict=False):
        assert (mine.name, mine.default, mine.kind) == (other.name, other.default, other.kind)
    assert len(ours) >= len(theirs)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_public_method_of_scikit_learns_is_there_with_its_arguments(cls):
    theirs = getattr(sklearn.neural_network, cls)
    for name, method in inspect.getmembers(theirs, callable):
        if not name.startswith("_"):
            mine = getattr(getattr(chainrule, cls), name)
            own = list(inspect.signature(mine).parameters.values())
            shared = list(inspect.signature(method).parameters)
            if name.endswith("_request"):  # keywords in alphabetical order
                assert set(shared) <= {p.name for p in own}, name
                continue
            assert [p.name for p in own[: len(shared)]] == shared, name
            assert all(p.kind is p.KEYWORD_ONLY for p in own[len(shared) :]), name


def _through_joblib(model, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    return joblib.load(tmp_path / "model.joblib")


COPIES = {
    "pickle": lambda model, tmp_path: pickle.loads(pickle.dumps(model)),
    "joblib": _through_joblib,
    "deepcopy": lambda model, tmp_path: copy.deepcopy(model),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("cls", CLASSES)
def test_a_copy_predicts_the_same_bits_and_goes_on_training_alike(cls, how, tmp_path):
    X, y = example(cls)
    model = quick(cls, X, y)
    again = COPIES[how](model, tmp_path)
    assert_array_equal(again.predict(X), model.predict(X))
    again.coefs_[0][0, 0] += 1.0  # its views are of its own w
    assert again.network_.w[0] == model.network_.w[0] + 1.0
    again.network_.w[:] = model.network_.w
    model.partial_fit(X, y)
    again.partial_fit(X, y)
    assert_array_equal(again.network_.w, model.network_.w)
    assert again.loss_curve_ == model.loss_curve_


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.filterwarnings("ignore:.*converged yet")
def test_a_grid_search_in_parallel_finds_what_one_in_turn_finds(cls, backend, monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")  # in the worker processes
    X, y = example(cls)
    grid = {"alpha": [0.0001, 10.0]}
    with joblib.parallel_backend(backend):
        together = GridSearchCV(getattr(chainrule, cls)(**QUICK), grid, cv=2, n_jobs=2).fit(X, y)
    alone = GridSearchCV(getattr(chainrule, cls)(**QUICK), grid, cv=2).fit(X, y)
    assert_array_equal(together.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
    assert_array_equal(together.best_estimator_.network_.w, alone.best_estimator_.network_.w)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.filterwarnings("ignore:.*converged yet")
def test_weights_of_rows_are_routed(cls):
    X, y = example(cls)
    weights = row_weights(len(X))
    direct = quick(cls, StandardScaler().fit_transform(X), y, weights)
    with config_context(enable_metadata_routing=True):
        model = (
            getattr(chainrule, cls)(**QUICK).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        )
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model).fit(
            X, y, sample_weight=weights
        )
        assert_array_equal(pipe[-1].network_.w, direct.network_.w)
        cross_validate(pipe, X, y, cv=2, params={"sample_weight": weights}, error_score="raise")


@pytest.mark.parametrize("cls", CLASSES)
def test_names_of_columns_are_kept_and_held_to(cls):
    X, y = example(cls)
    frame = pd.DataFrame(X, columns=list("abcde"))
    model = quick(cls, frame, y)
    assert list(model.feature_names_in_) == list("abcde")
    assert_array_equal(model.predict(frame), quick(cls, X, y).predict(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("edcba")])


@pytest.mark.parametrize("cls", CLASSES)
def test_a_clone_is_not_fitted(cls):
    X, y = example(cls)
    model = clone(quick(cls, X, y))
    assert model.get_params()["max_iter"] == 8
    assert not hasattr(model, "coefs_")
    with pytest.raises(NotFittedError):
        model.predict(X)


@pytest.mark.parametrize("cls", CLASSES)
def test_coefs_and_intercepts_are_views_into_w(cls):
    X, y = example(cls)
    model = quick(cls, X, y)
    w = model.network_.w
    assert isinstance(model.coefs_, list)
    assert all(np.shares_memory(part, w) for part in model.coefs_ + model.intercepts_)
    before = model.predict(X[:5])
    model.coefs_[0] = np.zeros((5, 5))  # assigning an entry of the list writes into w
    assert (w[:25] == 0).all()
    model.coefs_ = [np.ones_like(A) for A in model.coefs_]
    assert (w[:25] == 1).all()
    assert not np.array_equal(before, model.predict_proba(X[:5]) if cls == "MLPClassifier" else model.predict(X[:5]))
    with pytest.raises(ValueError, match=r"shape \(5, 5\)"):
        model.coefs_[0] = np.zeros((4, 5))


def test_weights_set_by_hand_make_a_network_as_in_scikit_learn():
    X, _ = example("MLPRegressor")

    def by_hand(library):
        model = library.MLPRegressor(hidden_layer_sizes=(2,), activation="tanh")
        model.coefs_ = [np.full((5, 2), 0.5), np.array([[1.0], [-2.0]])]
        model.intercepts_ = [np.array([0.1, 0.2]), np.array([3.0])]
        model.n_layers_, model.n_outputs_, model.n_features_in_, model.out_activation_ = 3, 1, 5, "identity"
        return model.predict(X)

    np.testing.assert_allclose(by_hand(chainrule), by_hand(sklearn.neural_network), rtol=1e-13)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_docstring_has_every_parameter_and_every_attribute(cls):
    X, y = example(cls)
    model = quick(cls, pd.DataFrame(X, columns=list("abcde")), y, early_stopping=True)
    doc = getattr(chainrule, cls).__doc__
    fitted_attributes = {name for name in vars(model) if name.endswith("_")} | {"coefs_", "intercepts_"}
    for name in (*model.get_params(), *fitted_attributes):
        assert f"\n{name} : " in doc, name
