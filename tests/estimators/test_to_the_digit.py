"""MLPClassifier and MLPRegressor against the installed scikit-learn, over the grid of solvers, activations and tasks."""

import itertools

import numpy as np
import pytest
import sklearn.neural_network
from against_sklearn import (
    ACTIVATIONS,
    TASKS,
    assert_same_attributes,
    assert_same_fit,
    assert_same_predictions,
    assert_same_weights,
    fitted,
    pair,
    row_weights,
    task,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from sklearn.neural_network import _multilayer_perceptron

import chainrule

# One line each: what is set for the solver, beside what all share.
STOCHASTIC = {
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
    "nesterov": {"solver": "sgd", "learning_rate_init": 0.05},
    "momentum": {"solver": "sgd", "learning_rate_init": 0.02, "nesterovs_momentum": False},
    "no momentum": {"solver": "sgd", "learning_rate_init": 0.05, "momentum": 0.0},
    "invscaling": {"solver": "sgd", "learning_rate_init": 0.02, "learning_rate": "invscaling", "power_t": 0.2},
    "adaptive": {"solver": "sgd", "learning_rate_init": 0.05, "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 2},
}  # fmt: skip
SHARED = {"hidden_layer_sizes": (7, 4), "batch_size": 16, "max_iter": 20, "alpha": 0.01, "random_state": 3}
EARLY_AND_WEIGHTED = list(itertools.product([False, True], [False, True]))


def assert_same(name, solver, activation, early_stopping, weighted, **more):
    cls, parameters, X, y = task(name)
    parameters = {**SHARED, **parameters, **solver, "activation": activation, "early_stopping": early_stopping, **more}
    ours, theirs = pair(cls, X, y, row_weights(len(X)) if weighted else None, **parameters)
    assert_same_fit(ours, theirs)
    assert_same_weights(ours, theirs)
    assert_same_predictions(ours, theirs, X)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", STOCHASTIC)
@pytest.mark.parametrize("name", TASKS)
def test_the_loss_curve_is_scikit_learns(name, kind, activation):
    for early_stopping, weighted in [(False, True), (True, False)]:
        assert_same(name, STOCHASTIC[kind], activation, early_stopping, weighted)


NON_FINITE = "Solver produced non-finite parameter weights."
ELSE = list(itertools.product(EARLY_AND_WEIGHTED, ["auto", 1, 42], [True, False], [0.0, 1.0], [(), 3, (5, 5, 5)]))
GRID = list(itertools.product(TASKS, STOCHASTIC, ACTIVATIONS))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(GRID)), ids=lambda k: "-".join(GRID[k]))
def test_the_loss_curve_is_scikit_learns_whatever_else_is_set(number):
    """Six of the other settings for each cell of the grid, others for each: all of them are met by several cells."""
    name, kind, activation = GRID[number]
    for k in range(6):
        (early, weighted), batch, shuffle, alpha, hidden = ELSE[(5 * number + 25 * k) % len(ELSE)]
        parameters = {
            "batch_size": 16 if early else batch, "shuffle": shuffle, "alpha": alpha, "hidden_layer_sizes": hidden,
            "random_state": 11, "max_iter": 4,
        }  # fmt: skip
        found = [
            _fit_or_complaint(lib, name, STOCHASTIC[kind], activation, early, weighted, **parameters)
            for lib in (chainrule, sklearn.neural_network)
        ]
        if any(isinstance(one, str) for one in found):  # steps of one row may diverge: then both do, and say the same
            assert found[1].startswith(NON_FINITE)
            assert found[0].startswith(NON_FINITE)
        else:
            assert_same(name, STOCHASTIC[kind], activation, early, weighted, **parameters)


def _fit_or_complaint(library, name, solver, activation, early_stopping, weighted, **more):
    cls, parameters, X, y = task(name)
    parameters = {**SHARED, **parameters, **solver, "activation": activation, "early_stopping": early_stopping, **more}
    try:
        model, words = fitted(library, cls, X, y, row_weights(len(X)) if weighted else None, **parameters)
    except ValueError as complaint:
        return str(complaint)
    # with held-out rows scikit-learn goes on with NaN and ours stops: both keep the best weights
    return NON_FINITE if np.isnan(model.loss_curve_).any() else (model, words)


def test_every_other_setting_is_met():
    met = {(5 * number + 25 * k) % len(ELSE) for number in range(len(GRID)) for k in range(6)}
    assert len(met) == len(ELSE)


@pytest.mark.parametrize("name", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("kind", ["adam", "nesterov", "adaptive"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_training_stops_in_the_same_epoch(name, kind, early_stopping):
    patience = {"tol": 0.02, "n_iter_no_change": 2, "max_iter": 150}
    solver = {**STOCHASTIC[kind], **patience}
    if kind == "adaptive":
        solver["learning_rate_init"] = 1e-4  # so that a dozen fifths end it
    assert_same(name, solver, "tanh", early_stopping, False)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_first_weights_are_scikit_learns(name, activation, dtype):
    cls, parameters, X, y = task(name)
    still = {"solver": "sgd", "learning_rate_init": 1e-300, "max_iter": 1, "momentum": 0.0}
    ours, theirs = pair(cls, X.astype(dtype), y, **{**SHARED, **parameters, **still, "activation": activation})
    for mine, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        assert mine.dtype == dtype
        assert_array_equal(mine, other)


@pytest.mark.parametrize("seed", [None, "RandomState"])
def test_a_random_state_that_is_no_number_is_followed(seed):
    cls, _, X, y = task("regression")

    def fit(library):
        np.random.seed(5)  # noqa: NPY002  # scikit-learn's None is the global state
        state = np.random.RandomState(5) if seed else None
        return fitted(library, cls, X, y, **{**SHARED, "early_stopping": True, "random_state": state})[0]

    ours, theirs = fit(chainrule), fit(sklearn.neural_network)
    assert_same_fit(ours, theirs)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", ["adam", "nesterov", "momentum"])
@pytest.mark.parametrize("name", TASKS)
def test_in_float32_five_epochs_agree(name, kind, activation):
    cls, parameters, X, y = task(name)
    parameters = {**SHARED, **parameters, **STOCHASTIC[kind], "activation": activation, "max_iter": 5}
    ours, theirs = pair(cls, X.astype(np.float32), y, **parameters)
    assert_same_attributes(ours, theirs)
    assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-4, atol=1e-6)
    assert_same_weights(ours, theirs, rtol=2e-3)
    assert ours.predict(X.astype(np.float32)).dtype == theirs.predict(X.astype(np.float32)).dtype


LBFGS = {**SHARED, "solver": "lbfgs", "max_iter": 15}


# What goes with an output: its loss in scikit-learn's table, and that loss in the raw score z, which needs no clip.
LOG_LOSSES = {
    "softmax": ("log_loss", lambda y, z: y * (z - logsumexp(z, axis=1, keepdims=True))),
    "logistic": ("binary_log_loss", lambda y, z: y * z - np.logaddexp(0, z)),
}


def is_clipped(p):
    eps = np.finfo(p.dtype).eps
    p = p if p.shape[1] > 1 else np.hstack([1 - p, p])
    return p.min() < eps or p.max() > 1 - eps


@pytest.fixture
def clipping(monkeypatch):
    """Whether scikit-learn clipped the log-loss, for each evaluation; it does not where `unclipped` is set."""

    class Seen(list):
        unclipped = False

    seen = Seen()

    def patch(output, name, each):
        activate = _multilayer_perceptron.ACTIVATIONS[output]
        reported = _multilayer_perceptron.LOSS_FUNCTIONS[name]
        scores = []

        def remember(z):
            scores[:] = [z.copy()]
            activate(z)

        def loss(y, p, sample_weight=None):
            seen.append(is_clipped(p))
            if not seen.unclipped:
                return reported(y, p, sample_weight)
            return -np.average(each(y, scores[0]), weights=sample_weight, axis=0).sum()

        monkeypatch.setitem(_multilayer_perceptron.ACTIVATIONS, output, remember)
        monkeypatch.setitem(_multilayer_perceptron.LOSS_FUNCTIONS, name, loss)

    for output, (name, each) in LOG_LOSSES.items():
        patch(output, name, each)
    return seen


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", [name for name in TASKS if name != "multi-output"])
def test_lbfgs_reaches_the_same_loss(name, activation, weighted, clipping):
    # A trial step of the line search may saturate the outputs, where scikit-learn's loss is clipped and its gradient
    # not: there it is compared without the clip.
    cls, parameters, X, y = task(name, N=150)
    weights = row_weights(len(X)) if weighted else None
    settings = {**LBFGS, **parameters, "activation": activation}
    ours, theirs = pair(cls, X, y, weights, **settings)
    if any(clipping):
        clipping.unclipped = True
        ours, theirs = pair(cls, X, y, weights, **settings)
    assert_same_fit(ours, theirs, rtol=1e-5)
    assert_same_predictions(ours, theirs, X, rtol=1e-4)
    assert not hasattr(ours, "loss_curve_")
    assert ours.history_["loss"][-1] + ours.history_["penalty"][-1] == pytest.approx(ours.loss_)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_lbfgs_with_several_outputs_is_scikit_learns_once_its_loss_fits_its_gradient(activation, monkeypatch):
    def summed(y, p, sample_weight=None):
        return 0.5 * np.average((y - p) ** 2, weights=sample_weight, axis=0).sum()

    monkeypatch.setitem(_multilayer_perceptron.LOSS_FUNCTIONS, "squared_error", summed)
    cls, _, X, Y = task("multi-output", N=150)
    for weights in (None, row_weights(len(X))):
        ours, theirs = pair(cls, X, Y, weights, **{**LBFGS, "activation": activation})
        assert ours.n_iter_ == theirs.n_iter_
        assert_same_predictions(ours, theirs, X, rtol=1e-4)
        # loss_ is printed in scikit-learn's scale, the mean over outputs
        mass = len(X) if weights is None else weights.sum()
        penalty = 0.5 * ours.alpha * sum(np.sum(A**2) for A in ours.coefs_) / mass
        assert ours.loss_ == pytest.approx((theirs.loss_ - penalty) / 3 + penalty, rel=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", TASKS)
def test_lbfgs_in_float32_scores_as_well(name, activation):
    cls, parameters, X, y = task(name, N=150)
    X = X.astype(np.float32)
    settings = {**LBFGS, **parameters, "activation": activation, "max_iter": 40}
    ours, theirs = (fitted(library, cls, X, y, **settings)[0] for library in (chainrule, sklearn.neural_network))
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=0.05)
    assert ours.coefs_[0].dtype == np.float32


@pytest.mark.parametrize("kind", ["adam", "nesterov", "invscaling", "adaptive"])
@pytest.mark.parametrize("name", TASKS)
def test_partial_fit_goes_on_as_scikit_learns_does(name, kind):
    cls, parameters, X, y = task(name)
    parameters = {**SHARED, **parameters, **STOCHASTIC[kind]}
    classes = np.arange(3) if name == "multilabel" else np.unique(y)
    first = {"classes": classes} if cls == "MLPClassifier" else {}
    ours, theirs = (getattr(lib, cls)(**parameters) for lib in (chainrule, sklearn.neural_network))
    weights = row_weights(len(X))
    for chunk in [slice(0, 22), slice(22, 42), slice(0, 42)] * 3:
        for model in (ours, theirs):
            model.partial_fit(X[chunk], y[chunk], sample_weight=weights[chunk], **first)
        first = {}
    assert_same_fit(ours, theirs)
    assert_same_weights(ours, theirs)


@pytest.mark.parametrize("kind", ["adam", "nesterov"])
def test_partial_fit_keeps_the_settings_that_it_began_with(kind):
    cls, _, X, y = task("regression")
    ours, theirs = (getattr(lib, cls)(**SHARED, **STOCHASTIC[kind]) for lib in (chainrule, sklearn.neural_network))
    for model in (ours, theirs):
        model.partial_fit(X, y).set_params(learning_rate_init=0.5, momentum=0.1, beta_1=0.1).partial_fit(X, y)
    assert_same_fit(ours, theirs)


@pytest.mark.parametrize("kind", [*STOCHASTIC, "lbfgs"])
@pytest.mark.parametrize("name", ["multiclass", "regression"])
def test_warm_starts_go_on_as_scikit_learns_do(name, kind):
    cls, _, X, y = task(name)
    parameters = {**SHARED, **STOCHASTIC.get(kind, {"solver": "lbfgs"}), "warm_start": True, "max_iter": 5}
    ours, theirs = pair(cls, X, y, **parameters)
    for _ in range(2):
        for model in (ours, theirs):
            with pytest.warns():
                model.fit(X[::-1], y[::-1])
        assert_same_fit(ours, theirs, rtol=1e-5 if kind == "lbfgs" else 1e-8)


def test_a_warm_start_with_early_stopping_keeps_the_best_of_all_fits():
    # scikit-learn trains its best weights in place there and hands back the last ones where no epoch was better.
    cls, _, X, y = task("regression")
    model, _ = fitted(chainrule, cls, X, y, **{**SHARED, "early_stopping": True, "warm_start": True, "max_iter": 40})
    best, w = model.best_validation_score_, model.network_.w.copy()
    model.set_params(solver="sgd", learning_rate_init=10.0, max_iter=1, activation=model.activation)
    with pytest.warns():
        model.fit(X, y)
    assert model.validation_scores_[-1] < best == model.best_validation_score_
    assert_array_equal(model.network_.w, w)
