"""What scikit-learn's networks have not: first weights of one's own, other models as a start, files, checkpoints."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.neural_network as theirs
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

import chainrule as cr
from chainrule.descent import get_schedule
from chainrule.network import LOSSES
from chainrule.training import CheckpointError

C, R = cr.MLPClassifier, cr.MLPRegressor
rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
TASKS = {
    "two": (C, np.where(X[:, 0] > 0, "yes", "no")),
    "three": (C, np.digitize(X[:, 0], [-0.4, 0.4])),
    "labels": (C, (X > 0).astype(int)),
    "number": (R, X[:, 0] ** 2),
    "numbers": (R, X[:, :2] ** 2),
}
SETTINGS = {"hidden_layer_sizes": (5, 4), "max_iter": 4, "random_state": 0, "batch_size": 10}


def quietly(model, *data, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*data, **more)


@pytest.fixture(params=TASKS)
def task(request):
    return TASKS[request.param]


# ---------------------------------------------------------------- initialize


@pytest.mark.parametrize(
    "settings", [{}, {"solver": "lbfgs"}, {"early_stopping": True}, {"dropout": 0.2}, {"solver": "sgd"}]
)
def test_initialize_and_fit_is_fit(task, settings):
    cls, y = task
    settings = {**SETTINGS, **settings}
    assert_array_equal(
        quietly(cls(**settings).initialize(X, y), X, y).network_.w, quietly(cls(**settings), X, y).network_.w
    )


def test_what_is_set_after_initialize_is_where_fit_begins(task):
    cls, y = task
    model = cls(**{**SETTINGS, "learning_rate_init": 1e-12, "alpha": 0.0}).initialize(X, y)
    assert [A.shape for A in model.coefs_][:2] == [(3, 5), (5, 4)]
    assert model.n_iter_ == 0
    model.coefs_[0][:] = 0.25
    model.intercepts_ = [np.full_like(b, 0.5) for b in model.intercepts_]
    model.coefs_[1] = np.eye(5, 4)
    outputs = model.predict(X)
    quietly(model, X, y)
    assert_allclose(model.coefs_[0], 0.25)
    assert_allclose(model.coefs_[1], np.eye(5, 4), atol=1e-9)
    assert_allclose(model.intercepts_[2], 0.5)
    assert_array_equal(model.predict(X), outputs) if cls is C else assert_allclose(model.predict(X), outputs)
    again = cls(**SETTINGS).initialize(X, y)
    quietly(again, X, y)
    assert_array_equal(
        quietly(again, X, y).network_.w, quietly(cls(**SETTINGS), X, y).network_.w
    )  # the second fit is anew


def test_initialize_is_not_confused():
    cls, y = TASKS["number"]
    model = cls(**SETTINGS).initialize(X, y)
    with pytest.raises(ValueError, match=r"layer sizes are \[3, 5, 4, 1\]; now they would be \[3, 5, 4, 2\]"):
        model.fit(X, TASKS["numbers"][1])
    quietly(model, X, TASKS["numbers"][1])
    with pytest.raises(ValueError, match="'hidden_layer_sizes' parameter"):
        cls(hidden_layer_sizes="many").initialize(X, y)
    model = C(**SETTINGS).initialize(X, TASKS["two"][1])
    with pytest.raises(ValueError, match="`y` has classes not in"):
        model.fit(X, TASKS["three"][1])
    quietly(clone(C(**SETTINGS).initialize(X, TASKS["two"][1])), X, TASKS["three"][1])  # a clone is not ready


def test_initialize_in_float32_and_with_sparse_rows():
    cls, y = TASKS["number"]
    model = cls(**SETTINGS).initialize(sp.csr_matrix(X.astype(np.float32)), y)
    assert model.network_.w.dtype == np.float32


# ---------------------------------------------------------------- from_sklearn


@pytest.mark.parametrize("settings", [{}, {"solver": "lbfgs"}, {"early_stopping": True}, {"activation": "logistic", "solver": "sgd"},
                                      {"hidden_layer_sizes": ()}])  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_model_of_scikit_learn_is_taken_over(task, settings, dtype):
    cls, y = task
    rows = X.astype(dtype)
    other = quietly(getattr(theirs, cls.__name__)(**{**SETTINGS, **settings}), rows, y)
    model = cls.from_sklearn(other)
    assert type(model) is cls
    rtol = 1e-4 if dtype == np.float32 else 1e-10
    if cls is C:
        assert_allclose(model.predict_proba(rows), other.predict_proba(rows), rtol=rtol)
        assert_array_equal(model.predict(rows), other.predict(rows))
        assert_array_equal(model.classes_, other.classes_)
    else:
        assert_allclose(model.predict(rows), other.predict(rows), rtol=rtol, atol=rtol)
    for name in ("n_iter_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_", "t_", "loss_"):
        assert getattr(model, name) == getattr(other, name)
    if hasattr(other, "loss_curve_"):
        assert model.loss_curve_ == other.loss_curve_
        assert model.loss_curve_ is not other.loss_curve_
    other.coefs_[0][:] = 0
    assert np.any(model.coefs_[0] != 0)
    quietly(model.set_params(warm_start=True), rows, y)
    assert np.isfinite(model.loss_)
    assert model.stopped_because_


def test_a_poisson_model_of_scikit_learn_and_names_of_columns():
    frame, y = pd.DataFrame(X, columns=list("abc")), np.exp(X[:, 0])
    other = quietly(theirs.MLPRegressor(loss="poisson", **SETTINGS), frame, y)
    model = R.from_sklearn(other)
    assert_allclose(model.predict(frame), other.predict(frame), rtol=1e-9)
    assert list(model.feature_names_in_) == list("abc")


def test_a_model_that_is_taken_over_goes_on_and_is_saved(tmp_path):
    cls, y = TASKS["three"]
    other = quietly(theirs.MLPClassifier(**SETTINGS), X, y)
    model = cls.from_sklearn(other).partial_fit(X, y)
    assert len(model.loss_curve_) == 5
    cr.save(model, tmp_path / "m.chainrule")
    assert_array_equal(cr.load(tmp_path / "m.chainrule").predict_proba(X), model.predict_proba(X))
    cr.save(cls.from_sklearn(quietly(theirs.MLPClassifier(**SETTINGS), X, y)), tmp_path / "n.chainrule")


@pytest.mark.parametrize(("what", "error", "words"), [
    (theirs.MLPRegressor(), TypeError, r"takes a fitted sklearn.neural_network.MLPClassifier, got sklearn.*MLPRegressor"),
    (C(), TypeError, "got chainrule.estimators.mlp.MLPClassifier"),
    (3, TypeError, "got builtins.int"),
    (theirs.MLPClassifier(), NotFittedError, "not fitted"),
])  # fmt: skip
def test_what_is_no_model_of_scikit_learn(what, error, words):
    with pytest.raises(error, match=words):
        C.from_sklearn(what)


# ---------------------------------------------------------------- a start from another model


def sources():
    y = TASKS["numbers"][1]
    fitted = quietly(R(**SETTINGS), X, y)
    other = quietly(theirs.MLPRegressor(**SETTINGS), X, y)
    return {"our model": fitted, "a network": fitted.network_, "theirs": other, "frozen": FrozenEstimator(fitted),
            "their frozen": FrozenEstimator(other)}  # fmt: skip


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("name", sources())
def test_training_starts_from_the_layers_that_fit(name, solver):
    source = sources()[name]
    A = list(source.A if name == "a network" else source.coefs_)
    cls, y = TASKS["three"]
    model = cls(**SETTINGS, start_from=source, solver=solver).initialize(X, y)
    assert_array_equal(model.coefs_[0], A[0])
    assert_array_equal(model.coefs_[1], A[1])
    fresh = cls(**SETTINGS).initialize(X, y)
    assert_array_equal(model.coefs_[2], fresh.coefs_[2])  # another number of outputs
    assert_array_equal(
        quietly(model, X, y).network_.w, quietly(cls(**SETTINGS, start_from=source, solver=solver), X, y).network_.w
    )


def test_a_start_with_frozen_layers_trains_the_rest():
    source = sources()["our model"]
    model = quietly(C(**SETTINGS, start_from=source, frozen=[1, 2]), X, TASKS["two"][1])
    assert_array_equal(model.coefs_[0], source.coefs_[0])
    assert_array_equal(model.intercepts_[1], source.intercepts_[1])
    assert np.any(model.coefs_[2] != C(**SETTINGS, start_from=source).initialize(X, TASKS["two"][1]).coefs_[2])


def test_searches_keep_a_network_and_a_frozen_model_and_say_why_not_a_model():
    cls, y = TASKS["two"]
    for name in ("a network", "frozen", "their frozen"):
        search = GridSearchCV(
            cls(**SETTINGS, start_from=sources()[name]), {"alpha": [0.0, 0.1]}, cv=2, error_score="raise"
        )
        quietly(search, X, y)
    with pytest.raises(ValueError, match="start_from is a MLPRegressor that is not fitted; clone and searches unfit"):
        clone(cls(**SETTINGS, start_from=sources()["our model"])).fit(X, y)


@pytest.mark.parametrize(("source", "error", "words"), [
    (np.ones(3), TypeError, "start_from must be a Network or a fitted model, got ndarray"),
    (R(), ValueError, "start_from is a MLPRegressor that is not fitted"),
    (cr.Network([4, 5, 1]), ValueError, "start_from has no layer that fits: its A_1 is 4 × 5, this network's is 3 × 5"),
])  # fmt: skip
def test_a_start_that_is_none(source, error, words):
    with pytest.raises(error, match=words):
        R(**SETTINGS, start_from=source).fit(X, X[:, 0])


# ---------------------------------------------------------------- files


def wiggle(z):
    return z + 0.1 * np.sin(3 * z)


def focal(y, p):
    return -np.sum(y * (1 - p) ** 2 * np.log(p), axis=-1)


def log_cosh(y, p):
    return np.log(np.cosh(p - y))


SAVED = {
    "many": ("three", {"dropout": [0.2, 0.0], "label_smoothing": 0.1, "class_weight": {0: 2.0}, "clip_norm": 1.0, "l1": 0.1,
                       "weight_decay": 0.01, "frozen": [1], "solver": ("rmsprop", {"rho": 0.95})}),
    "schedule": ("number", {"learning_rate": ("cosine", {"end": 0.1}), "warm_up": 0.1, "averaging": 0.9}),
    "row of a schedule": ("number", {"learning_rate": get_schedule("step_decay").configured(drop=0.5)}),
    "row of a schedule with a size": ("number", {"learning_rate": 0.1 * get_schedule("one_cycle")}),
    "row of a method": ("number", {"solver": cr.descent.get_method("nadam")}),
    "own loss, classes": ("three", {"loss": focal}),
    "own loss, number": ("number", {"loss": log_cosh}),
    "brier": ("labels", {"loss": "squared_error"}),
    "row of a loss": ("numbers", {"loss": LOSSES["huber"].configured(delta=0.2)}),
    "quantiles": ("number", {"loss": ("quantile", {"levels": (0.1, 0.9)})}),
    "own activations": ("two", {"activation": [wiggle, "tanh"]}),
    "own activation, lbfgs": ("two", {"activation": wiggle, "solver": "lbfgs"}),
    "start": ("number", {"start_from": cr.Network([3, 5, 4, 1], seed=0)}),
    "scorer": ("three", {"scoring": "accuracy", "early_stopping": True, "max_time": 60.0}),
}  # fmt: skip


@pytest.mark.parametrize("name", SAVED)
def test_a_file_keeps_the_parameters_and_what_training_goes_on_from(name, tmp_path):
    kind, settings = SAVED[name]
    cls, y = TASKS[kind]
    model = quietly(cls(**{**SETTINGS, **settings}), X, y, eval_set={"mine": (X, y)})
    cr.save(model, tmp_path / "m.chainrule")  # a parameter that stays behind would warn
    again = cr.load(tmp_path / "m.chainrule")
    assert_array_equal(again.predict(X), model.predict(X))
    assert again.score(X, y) == model.score(X, y)
    assert again.history_["mine_loss"] == model.history_["mine_loss"]
    assert again.stopped_because_ == model.stopped_because_
    assert_array_equal(quietly(again, X, y).network_.w, quietly(model, X, y).network_.w)
    assert again.score(X, y) == model.score(X, y)
    if (
        settings.keys() & {"learning_rate", "warm_up", "averaging", "early_stopping"}
        or settings.get("solver") == "lbfgs"
    ):
        return
    again = cr.load(tmp_path / "m.chainrule")
    model = quietly(cls(**{**SETTINGS, **settings}), X, y)
    assert_array_equal(again.partial_fit(X, y).network_.w, model.partial_fit(X, y).network_.w)


# ---------------------------------------------------------------- checkpoints


class Killed(Exception):
    pass


def kill_at(epoch):
    def kill(event):
        if event.epoch == epoch:
            raise Killed

    return kill


RESUMED = [
    {}, {"solver": "lbfgs"}, {"dropout": 0.3, "averaging": 0.5}, {"early_stopping": True, "solver": "sgd"},
    {"learning_rate": "one_cycle", "warm_up": 0.1, "solver": ("rmsprop", {"rho": 0.9})}, {"activation": wiggle},
]  # fmt: skip


@pytest.mark.parametrize("settings", RESUMED)
@pytest.mark.parametrize("kind", ["three", "number"])
def test_a_broken_off_fit_goes_on_to_the_same_bits(kind, settings, tmp_path):
    cls, y = TASKS[kind]
    settings, more = {**SETTINGS, "max_iter": 8, **settings}, {"eval_set": None}
    if settings.get("solver") != "lbfgs":
        more = {"eval_set": (X[::2] + 0.1, y[::2])}
    whole = quietly(cls(**settings), X, y, **more)
    path = tmp_path / "fit.checkpoint"
    with pytest.raises(Killed):
        quietly(cls(**settings).set_callbacks(kill_at(5)), X, y, checkpoint=path, every=2, **more)
    resumed = quietly(cls(**settings), X, y, checkpoint=path, **more)
    assert_array_equal(resumed.network_.w, whole.network_.w)
    assert resumed.history_["loss"] == whole.history_["loss"]
    assert resumed.n_iter_ == whole.n_iter_
    assert resumed.loss_ == whole.loss_


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_checkpoint_refuses_other_rows_sets_and_starts(solver, tmp_path):
    y, frame = X[:, 0] ** 2, pd.DataFrame(X)
    path, first = tmp_path / "fit.checkpoint", sources()["our model"]
    settings = {**SETTINGS, "solver": solver, "start_from": first}
    quietly(R(**settings), frame, y, checkpoint=path, eval_set=(frame, y))
    quietly(R(**{**settings, "start_from": first.network_, "n_threads": 1}), X, y, checkpoint=path, eval_set=(X, y))
    for data, more, words in (
        ((frame + 1, y), {}, "other data .X"),
        ((frame, y + 1), {}, "other data .y"),
        ((frame, y), {"sample_weight": np.ones(40)}, "sample_weight"),
        ((frame, y), {"eval_set": (frame + 1, y)}, "eval_set"),
    ):
        with pytest.raises(CheckpointError, match=words):
            R(**settings).fit(*data, **{"checkpoint": path, "eval_set": (frame, y), **more})
    for other, words in (
        ({"alpha": 0.5}, "alpha was 0.0001 and is 0.5"),
        ({"start_from": sources()["theirs"]}, "start_from"),
    ):
        with pytest.raises(CheckpointError, match=words):
            R(**{**settings, **other}).fit(frame, y, checkpoint=path, eval_set=(frame, y))
    model = R(**settings).initialize(frame, y)
    model.coefs_[0][:] = 0.0
    with pytest.raises(CheckpointError, match="initialize"):
        model.fit(frame, y, checkpoint=path, eval_set=(frame, y))
    with pytest.raises(ValueError, match="does not go with warm_start"):
        R(**settings, warm_start=True).fit(frame, y, checkpoint=path)
