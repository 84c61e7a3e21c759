"""What is printed, warned of and raised; divergence, Ctrl-C, kinds of input, threads: as scikit-learn's classes do."""

import warnings

import numpy as np
import pytest
import scipy.sparse
import sklearn.neural_network
from against_sklearn import assert_same_fit, fitted, pair, task
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

import chainrule
from chainrule import MLPClassifier, MLPRegressor
from chainrule.engine import Run
from chainrule.estimators import blocks

NON_FINITE = "Solver produced non-finite parameter weights"
SGD = {"solver": "sgd", "hidden_layer_sizes": (6,), "batch_size": 16, "random_state": 0}
SETTINGS = {
    "adam": {**SGD, "solver": "adam", "max_iter": 3},
    "early stopping": {**SGD, "early_stopping": True, "tol": 0.5, "n_iter_no_change": 2, "max_iter": 60},
    "tol": {**SGD, "tol": 0.5, "n_iter_no_change": 2, "max_iter": 60},
    "adaptive": {**SGD, "learning_rate": "adaptive", "learning_rate_init": 1e-5, "tol": 0.5, "n_iter_no_change": 1, "max_iter": 60},
    "lbfgs": {**SGD, "solver": "lbfgs", "max_iter": 4},
    "clipped batch": {**SGD, "batch_size": 1000, "max_iter": 2},
}  # fmt: skip


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("name", ["binary", "regression"])
def test_verbose_prints_scikit_learns_lines_and_the_same_is_warned_of(name, kind, capsys):
    cls, _, X, y = task(name)
    _, our_warnings = fitted(chainrule, cls, X, y, verbose=True, **SETTINGS[kind])
    ours = capsys.readouterr()
    _, their_warnings = fitted(sklearn.neural_network, cls, X, y, verbose=True, **SETTINGS[kind])
    theirs = capsys.readouterr()
    assert ours.out == theirs.out
    assert ours.err == theirs.err == ""
    assert our_warnings == their_warnings
    assert kind == "lbfgs" or ours.out.startswith("Iteration 1, loss = ")


@pytest.mark.parametrize("kind", ["adam", "early stopping", "lbfgs"])
def test_progress_draws_on_standard_error_alone(kind, capsys, monkeypatch):
    cls, _, X, y = task("binary")
    fitted(chainrule, cls, X, y, progress=True, **SETTINGS[kind])
    assert capsys.readouterr() == ("", "")  # no terminal, no bar
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    fitted(chainrule, cls, X, y, progress=True, **SETTINGS[kind])
    out, err = capsys.readouterr()
    assert out == ""
    assert "MLPClassifier" in err
    assert "epoch" in err


DIVERGING = {"solver": "sgd", "learning_rate_init": 1e6, "activation": "identity", "max_iter": 20, "random_state": 0}


def test_numbers_that_overflow_stop_the_fit_and_the_last_finite_weights_go_back():
    _, _, X, y = task("regression")
    model = MLPRegressor(**DIVERGING)
    with pytest.raises(ValueError, match=f"^{NON_FINITE}.*diverged in epoch [0-9]+.*try a tenth of it"):
        model.fit(X, y)
    assert np.isfinite(model.network_.w).all()
    assert np.isfinite(model.predict(X)).all()
    assert len(model.loss_curve_) == model.n_iter_
    assert np.isfinite(model.loss_curve_).all()


def test_with_early_stopping_an_overflow_is_a_score_of_nan_and_a_warning():
    cls, _, X, y = task("regression")
    model, words = fitted(chainrule, cls, X, y, early_stopping=True, **DIVERGING)
    assert [category for category, _ in words] == [ConvergenceWarning]
    assert NON_FINITE in words[0][1]
    assert np.isnan(model.validation_scores_[-1])
    assert np.isnan(model.loss_curve_[-1])
    assert len(model.validation_scores_) == len(model.loss_curve_) == model.n_iter_ < 20
    best = np.nanmax(model.validation_scores_) if len(model.validation_scores_) > 1 else -np.inf
    assert model.best_validation_score_ == best
    assert np.isfinite(model.predict(X)).all()


def test_lbfgs_stops_at_a_loss_that_is_not_finite():
    _, _, X, y = task("regression")
    model = MLPRegressor(solver="lbfgs", random_state=0)
    with pytest.raises(ValueError, match=NON_FINITE):
        model.fit(X * 1e300, y)
    assert np.isfinite(model.network_.w).all()


def _interrupt_after(n, monkeypatch, owner, name):
    """Ctrl-C when `name` of `owner` is called for the n-th time."""
    calls, original = [], getattr(owner, name)

    def interrupted(*arguments, **named):
        calls.append(1)
        if len(calls) == n:
            raise KeyboardInterrupt
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, interrupted)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_ctrl_c_warns_and_keeps_what_was_learned(early_stopping, monkeypatch):
    cls, _, X, y = task("binary")
    settings = {**SGD, "early_stopping": early_stopping}
    with monkeypatch.context() as patched:
        _interrupt_after(5, patched, Run, "epochs")
        model, words = fitted(chainrule, cls, X, y, **settings, max_iter=50)
    assert words == [(UserWarning, "Training interrupted by user.")]
    assert 4 <= model.n_iter_ < 50  # a call may do several epochs
    whole, _ = fitted(chainrule, cls, X, y, **settings, max_iter=model.n_iter_)
    assert_array_equal(model.network_.w, whole.network_.w)


def test_ctrl_c_in_lbfgs_keeps_the_last_iteration(monkeypatch):
    from chainrule.estimators import solvers

    cls, _, X, y = task("binary")
    _interrupt_after(9, monkeypatch, solvers.TotalError, "error_and_gradient")
    model, words = fitted(chainrule, cls, X, y, solver="lbfgs", random_state=0)
    assert words == [(UserWarning, "Training interrupted by user.")]
    assert 1 <= model.n_iter_ < 9
    assert model.n_iter_ == len(model.history_)
    assert model.loss_ < model.history_["loss"][0]


def test_lbfgs_has_no_records_of_epochs_even_after_adam():
    cls, _, X, y = task("binary")
    model, _ = fitted(chainrule, cls, X, y, max_iter=2)
    model.set_params(solver="lbfgs", max_iter=500).fit(X, y)
    for name in ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"):
        assert not hasattr(model, name)
    assert not hasattr(model, "partial_fit")
    model.set_params(solver="adam").partial_fit(X, y)  # goes on from there
    assert len(model.loss_curve_) == 1


KINDS = {
    "not contiguous": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "by columns": np.asfortranarray,
    "list": lambda X: X.tolist(),
    "csr": scipy.sparse.csr_matrix,
    "csc": scipy.sparse.csc_array,
}


def _read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


KINDS["read-only"] = _read_only


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_the_kind_of_array_changes_no_bit(kind, solver):
    cls, _, X, y = task("multiclass")
    settings = {**SGD, "solver": solver, "max_iter": 4}
    plain, _ = fitted(chainrule, cls, X, y, **settings)
    other, _ = fitted(chainrule, cls, KINDS[kind](X), y, **settings)
    assert_array_equal(other.network_.w, plain.network_.w)
    assert_array_equal(other.predict_proba(KINDS[kind](X)), plain.predict_proba(X))


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_sparse_table_that_is_made_dense_by_blocks_trains_alike(early_stopping, weighted, shuffle, monkeypatch):
    cls, _, X, y = task("multiclass")
    X = X * (np.abs(X) > 0.7)
    weights = np.linspace(0.5, 2.0, len(X)) if weighted else None
    settings = {**SGD, "batch_size": 4, "early_stopping": early_stopping, "shuffle": shuffle, "max_iter": 6}
    dense, _ = fitted(chainrule, cls, X, y, weights, **settings)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 9 * 5 * 8)  # nine rows: two batches
    biggest = []
    made = blocks._dense
    monkeypatch.setattr(
        blocks, "_dense", lambda X, dtype: biggest.append(X.shape[0] * scipy.sparse.issparse(X)) or made(X, dtype)
    )
    sparse, _ = fitted(chainrule, cls, scipy.sparse.csc_matrix(X), y, weights, **settings)
    assert_array_equal(sparse.network_.w, dense.network_.w)
    assert_allclose(sparse.loss_curve_, dense.loss_curve_, rtol=1e-13)
    assert sparse.validation_scores_ == dense.validation_scores_
    assert_allclose(sparse.predict_proba(scipy.sparse.csr_array(X)), dense.predict_proba(X), rtol=1e-13)
    assert 0 < max(biggest) <= 9


@pytest.mark.parametrize("make", [np.asarray, scipy.sparse.csr_matrix])
def test_lbfgs_over_blocks_of_rows_trains_alike(make, monkeypatch):
    cls, _, X, y = task("multiclass")
    X = (X * (np.abs(X) > 0.7)).astype(np.float32)
    settings = {"solver": "lbfgs", "hidden_layer_sizes": (4,), "max_iter": 8, "random_state": 0}
    whole, _ = fitted(chainrule, cls, X, y, **settings)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 9 * 5 * 8)
    parts, _ = fitted(chainrule, cls, make(X), y, **settings)
    assert parts.loss_ == pytest.approx(whole.loss_, rel=1e-9)


@pytest.mark.parametrize("name", ["multiclass", "regression"])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_float32_goes_in_and_float32_comes_out(name, solver):
    cls, _, X, y = task(name)
    model, _ = fitted(chainrule, cls, X.astype(np.float32), y, **{**SGD, "solver": solver, "max_iter": 3})
    assert model.network_.w.dtype == np.float32
    assert {part.dtype for part in model.coefs_ + model.intercepts_} == {np.dtype(np.float32)}
    X32 = X.astype(np.float32)
    out = model.predict_proba(X32) if name == "multiclass" else model.predict(X32)
    assert out.dtype == np.float32
    # scikit-learn computes in the wider of the two widths
    wide = model.predict_proba(X) if name == "multiclass" else model.predict(X)
    assert wide.dtype == np.float64


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_the_number_of_threads_changes_no_bit(solver):
    X = np.random.RandomState(0).standard_normal((2500, 30))
    y = np.tanh(X[:, 0] * X[:, 1])
    settings = {"solver": solver, "max_iter": 3, "batch_size": 500, "random_state": 0, "hidden_layer_sizes": (64, 32)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where fewer threads are available
        one, two = (MLPRegressor(n_threads=n, **settings).fit(X, y) for n in (1, 2))
        assert_array_equal(one.network_.w, two.network_.w)
        assert_array_equal(one.predict(X), two.predict(X))
    assert one.loss_ == two.loss_


def test_max_fun_ends_lbfgs_as_in_scikit_learn():
    cls, _, X, y = task("binary")
    ours, theirs = pair(cls, X, y, solver="lbfgs", max_fun=7, random_state=0)
    assert_same_fit(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden_layer_sizes": (3, 0)}, r"hidden_layer_sizes must be > 0, got \[3, 0\]"),
        ({"alpha": -1.0}, "'alpha' parameter of MLPRegressor must be"),
        ({"loss": "poisson"}, "the loss 'poisson' needs y to be finite numbers ≥ 0; row 0 of y is"),
        ({"early_stopping": True, "validation_fraction": 0.01}, "validation set is too small"),
        ({"solver": "newton"}, "'solver' parameter of MLPRegressor must be"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_sentence(settings, words):
    _, _, X, y = task("regression")
    with pytest.raises(ValueError, match=words):
        MLPRegressor(**settings).fit(X, -np.abs(y))


@pytest.mark.parametrize("weights", [-np.ones(42), np.zeros(42), np.ones(7)])
def test_weights_that_weigh_nothing_are_refused(weights):
    _, _, X, y = task("regression")
    with pytest.raises(ValueError, match=r"[Ww]eight"):
        MLPRegressor(max_iter=1).fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("before", [False, True])
def test_training_goes_on_when_early_stopping_is_turned_on_or_off(before):
    cls, _, X, y = task("regression")
    model, _ = fitted(chainrule, cls, X, y, **SGD, max_iter=3, warm_start=True, early_stopping=before)
    w = model.network_.w.copy()
    with pytest.warns(ConvergenceWarning):
        model.set_params(early_stopping=not before).fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == 3
    assert len(model.history_) == 6
    assert not np.array_equal(model.network_.w, w)


def test_a_batch_whose_weights_are_all_zero_makes_no_step():
    X = np.arange(10.0)[:, None]
    model, _ = fitted(
        chainrule,
        "MLPRegressor",
        X,
        X[:, 0],
        [1.0] * 5 + [0.0] * 5,
        **{**SGD, "batch_size": 5},
        shuffle=False,
        max_iter=1,
    )
    alone, _ = fitted(chainrule, "MLPRegressor", X[:5], X[:5, 0], **{**SGD, "batch_size": 5}, shuffle=False, max_iter=1)
    assert_array_equal(model.network_.w, alone.network_.w)


def test_a_warm_start_refuses_another_network_and_other_classes():
    cls, _, X, y = task("binary")
    model, _ = fitted(chainrule, cls, X, y, max_iter=1, warm_start=True, hidden_layer_sizes=(3,))
    with pytest.raises(ValueError, match=r"layer sizes are \[5, 3, 1\]; now they would be \[5, 4, 1\]"):
        model.set_params(hidden_layer_sizes=(4,)).fit(X, y)
    model.set_params(hidden_layer_sizes=(3,))
    with pytest.raises(ValueError, match="same classes as in the previous call to fit"):
        model.fit(X, y + 1)


def test_probabilities_that_are_zero_have_the_logarithm_minus_infinity():
    model = MLPClassifier(hidden_layer_sizes=(), tol=1.0).fit([[0.0], [1.0]] * 20, [0, 1] * 20)
    model.coefs_[0][:] = 1e4
    assert model.predict_log_proba([[1.0]])[0, 0] == -np.inf
