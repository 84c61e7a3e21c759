"""Where fits begin: the initialiser that is asked for, or the one that a second-order solver prefers."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

from chainrule import MLPClassifier, MLPRegressor
from chainrule.descent import SECOND_ORDER, get_second_order
from chainrule.engine.ranges import input_ranges
from chainrule.network import Initialiser

X = np.linspace(-1.0, 1.0, 60)[:, None]
sine = np.sin(np.pi * X[:, 0])
noisy = sine + 0.2 * np.random.default_rng(0).normal(size=60)
FLOWERS, KINDS = load_iris(return_X_y=True)
FLOWERS = scale(FLOWERS)


def regressor(solver, **settings):
    own = {"hidden_layer_sizes": (6,), "activation": "tanh", "solver": solver, "random_state": 0, "max_iter": 12}
    return MLPRegressor(**(own | settings))


def fitted(model, *data, **asked):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*data, **asked)


@pytest.mark.parametrize("solver", SECOND_ORDER)
def test_the_first_weights_are_those_that_the_row_names(solver):
    name = get_second_order(solver).initialiser
    model, drawn = regressor(solver).initialize(FLOWERS, KINDS), regressor("adam").initialize(FLOWERS, KINDS)
    if name == "auto":
        assert model.network_.w.tolist() == drawn.network_.w.tolist()
    else:
        layout = model.network_.layout
        own = layout.first_weights(np.random.RandomState(0), name, lambda w, l: input_ranges(layout, w, FLOWERS, l))
        assert model.network_.w.tolist() == own.tolist()
    given = regressor(solver, initialiser="lecun"), regressor("adam", initialiser="lecun_normal")
    assert len({model.initialize(FLOWERS, KINDS).network_.w.tobytes() for model in given}) == 1
    assert not given[0].intercepts_[0].any()


def test_first_weights_do_not_see_rows_of_weight_0():
    lm = regressor("levenberg_marquardt", hidden_layer_sizes=(5, 4))
    plain = fitted(lm, X, noisy).network_.w.tolist()
    more, y = np.vstack([X, [[1e3]]]), np.append(noisy, 7.0)
    assert fitted(lm, more, y, sample_weight=np.append(np.ones(60), 0.0)).network_.w.tolist() == plain
    classifier = MLPClassifier(
        (5, 4), "tanh", solver="levenberg_marquardt", initialiser="nguyen_widrow", random_state=0, max_iter=3,
        class_weight={2: 0.0},
    )  # fmt: skip
    far = np.where((KINDS == 2)[:, None], 1e3, FLOWERS)
    one, other = (fitted(classifier, rows, KINDS).network_.w.tolist() for rows in (FLOWERS, far))
    assert one == other


def test_units_above_layers_that_are_copied_are_laid_over_what_these_make():
    base = fitted(regressor("adam"), X, sine)
    model = regressor("levenberg_marquardt", hidden_layer_sizes=(6, 5), start_from=base.network_).initialize(X, sine)
    a = np.tanh(X @ base.coefs_[0] + base.intercepts_[0])
    assert np.array_equal(model.coefs_[0], base.coefs_[0])
    half = (a.max(0) - a.min(0)) / 2
    np.testing.assert_allclose(np.linalg.norm(model.coefs_[1] * half[:, None], axis=0), 0.7 * 5 ** (1 / 6))


def test_a_sparse_table_is_fitted_from_where_its_dense_one_is():
    rows = np.where(FLOWERS > 0, FLOWERS, 0.0)
    lm = regressor("levenberg_marquardt", hidden_layer_sizes=(5, 4), max_iter=4)
    dense, sparse = (fitted(lm, x, KINDS).network_.w.tolist() for x in (rows, scipy.sparse.csc_matrix(rows)))
    assert dense == sparse


def test_what_was_initialised_is_fitted_as_without():
    for settings in ({}, {"initialiser": "he_normal", "early_stopping": True}):
        model = regressor("levenberg_marquardt", **settings)
        plain = fitted(model, X, noisy).network_.w.tolist()
        assert fitted(model.initialize(X, noisy), X, noisy).network_.w.tolist() == plain


def test_inputs_may_have_any_unit_where_units_are_laid_over_them():
    """Of inputs that are not scaled, drawn weights leave every unit where it is flat."""
    for inputs in (X, 1e3 * X + 7e4):
        assert fitted(regressor("levenberg_marquardt", max_iter=3), inputs, sine).loss_ < 0.1 * np.var(sine)
    drawn = fitted(regressor("levenberg_marquardt", max_iter=3, initialiser="glorot_uniform"), inputs, sine)
    assert drawn.loss_ > 0.3 * np.var(sine)


def test_an_unknown_initialiser_is_named():
    for solver in ("adam", "levenberg_marquardt", "lbfgs"):
        with pytest.raises(ValueError, match="Did you mean 'nguyen_widrow'"):
            regressor(solver, initialiser="nguyen_widow").fit(X, sine)


def test_a_row_of_ones_own_draws_them():
    own = Initialiser("narrow", lambda fan_in, fan_out: 1e-6)
    for solver in ("adam", "levenberg_marquardt", "lbfgs"):
        model = regressor(solver, initialiser=own)
        w = model.initialize(X, noisy).network_.w
        assert 0 < np.max(np.abs(w)) < 1e-5
        assert clone(model).initialize(X, noisy).network_.w.tolist() == w.tolist()
    with pytest.raises(ValueError, match="'initialiser' parameter of MLPRegressor must be"):
        regressor("adam", initialiser=lambda n, m: 1.0).fit(X, noisy)


@pytest.mark.parametrize("solver", SECOND_ORDER)
def test_a_network_that_is_a_constant_says_so(solver):
    """Where inputs are not scaled, drawn weights leave every unit flat."""
    far, flat = 1e3 * X + 7e4, regressor(solver, initialiser="glorot_uniform", hidden_layer_sizes=(6, 5), max_iter=3)
    with pytest.warns(ConvergenceWarning, match=f"{solver} ended at a constant.*hidden layer 1 are where their slopes"):
        flat.fit(far, sine)
    assert np.ptp(flat.predict(far)) < 1e-9
    rows = scipy.sparse.csr_matrix(far)
    with pytest.warns(ConvergenceWarning, match="Scale X and y to about −1 … 1"):
        flat.fit(rows, sine)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus", "relu", "silu"])
def test_units_that_are_flat_are_seen_whatever_they_are(activation, sign):
    """All scores of a hidden layer at about ±40, and y of mean 0 with the same spread."""
    model = regressor("levenberg_marquardt", activation=activation, max_iter=1).initialize(X, sine - sine.mean())
    model.coefs_[0][:] *= 0.1 / np.abs(model.coefs_[0]).max()
    model.intercepts_[0][:] = 40.0 * sign
    flat = sign < 0 or activation in ("tanh", "sigmoid")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        model.fit(X, sine - sine.mean())
    assert any("ended at a constant" in str(said.message) for said in heard) == flat


@pytest.mark.parametrize("solver", SECOND_ORDER)
def test_a_constant_that_is_right_is_no_failure(solver):
    far = 1e3 * X + 7e4
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        model = regressor(solver, initialiser="glorot_uniform", max_iter=3).fit(far, np.full(60, 2.0))
        shrunk = regressor(solver, alpha=1e6, max_iter=30).fit(X, sine)
    assert np.ptp(model.predict(far)) < 1e-9
    assert np.ptp(shrunk.predict(X)) < 1e-3 or solver == "bayesian_regularisation"
    assert not [said for said in heard if "constant" in str(said.message)]


def test_one_row_is_enough_to_begin_with():
    model = regressor("adam", initialiser="nguyen_widrow", hidden_layer_sizes=(5, 4)).partial_fit(X[:1], sine[:1])
    assert np.isfinite(model.network_.w).all()
