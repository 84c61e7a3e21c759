"""Second-order solvers behind the estimators: what they find, in what scale, and all that a fit can be asked."""

import signal
import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale
from sklearn.utils.estimator_checks import check_class_weight_classifiers, parametrize_with_checks

import chainrule as cr
from chainrule import MLPClassifier, MLPRegressor
from chainrule.descent import REASONS, SECOND_ORDER, get_second_order
from chainrule.descent.second_order import memory
from chainrule.engine import Network
from chainrule.engine.jacobian import outputs_jacobian
from chainrule.engine.objective import objective
from chainrule.estimators.second_order import penalised
from chainrule.network import get_loss

RNG = np.random.default_rng(0)
X = np.linspace(-1.0, 1.0, 60)[:, None]
sine = np.sin(np.pi * X[:, 0])
noisy = sine + 0.2 * RNG.normal(size=60)
weights = RNG.integers(1, 4, 60).astype(float)
FLOWERS, KINDS = load_iris(return_X_y=True)
FLOWERS = scale(FLOWERS)
TWO = np.column_stack([sine, noisy])

SOLVERS = pytest.mark.parametrize("solver", SECOND_ORDER)
# Those that need no sum of squares.
OF_CLASSES = pytest.mark.parametrize("solver", [name for name, row in SECOND_ORDER.items() if row.needs != "residuals"])


def regressor(solver, **settings):
    return MLPRegressor(
        **{
            "hidden_layer_sizes": (6,),
            "activation": "tanh",
            "solver": solver,
            "random_state": 0,
            "max_iter": 12,
            **settings,
        }
    )


def fitted(model, *data, **asked):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*data, **asked)


# ---------------------------------------------------------------- what they find


def test_a_sine_is_fitted_to_1e_minus_8():
    solver = ("levenberg_marquardt", {"min_grad": 1e-9})
    model = regressor(solver, hidden_layer_sizes=(10,), alpha=0.0, random_state=3, max_iter=60)
    assert fitted(model, X, sine).loss_ < 1e-8


@pytest.mark.parametrize(
    ("solver", "steps"), [("levenberg_marquardt", 20), ("scaled_conjugate_gradient", 150), ("newton_cg", 40)]
)
def test_xor_is_solved(solver, steps):
    corners, xor = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]), np.array([0, 1, 1, 0.0])
    model = fitted(regressor(solver, hidden_layer_sizes=(4,), alpha=0.0, max_iter=steps), corners, xor)
    np.testing.assert_allclose(model.predict(corners), xor, atol=1e-3)


@SOLVERS
def test_every_solver_lowers_the_loss_of_a_regression(solver):
    model = fitted(regressor(solver, max_iter=60), X, noisy)
    assert model.loss_curve_[-1] < 0.3 * model.loss_curve_[0]
    assert model.score(X, noisy) > 0.8


@OF_CLASSES
@pytest.mark.parametrize("y", [KINDS, KINDS == 1, np.eye(3, dtype=int)[KINDS]], ids=["three", "two", "labels"])
def test_every_solver_learns_classes(solver, y):
    model = MLPClassifier((4,), "tanh", solver=solver, alpha=0.1, random_state=0, max_iter=30)
    assert fitted(model, FLOWERS, y).score(FLOWERS, y) > 0.93


@OF_CLASSES
def test_it_ends_where_the_gradient_of_the_mean_is_small(solver):
    model = MLPClassifier((3,), "tanh", solver=(solver, {"min_grad": 1e-5}), alpha=1.0, random_state=0, max_iter=400)
    model.fit(FLOWERS, KINDS)  # no ConvergenceWarning
    net, loss = model.network_, get_loss("softmax_cross_entropy")
    g = net.gradient(FLOWERS, np.eye(3)[KINDS], loss)
    g[: net.layout.n_weights] += net.w[: net.layout.n_weights]
    assert np.abs(g / 150).max() <= 1e-5
    assert model.stopped_because_ == "the gradient is small: no entry of the mean loss's is larger than min_grad=1e-05"


def test_the_first_step_is_that_of_a_direct_solve():
    model = regressor(("trainlm", {"mu": 0.5}), alpha=0.3, max_iter=1)
    start = model.initialize(X, noisy).network_.w.copy()
    net = model.network_
    J = outputs_jacobian(net.layout, start, X)[:, 0]
    e = net(X)[:, 0] - noisy
    penalty = 0.3 * (np.arange(net.K) < net.layout.n_weights)
    expected = start - np.linalg.solve(J.T @ J + np.diag(penalty) + 0.5 * np.eye(net.K), J.T @ e + penalty * start)
    np.testing.assert_allclose(fitted(model, X, noisy).network_.w, expected, rtol=1e-9)


@pytest.mark.parametrize("loss", ["squared", "poisson", "softmax_cross_entropy", "binary_cross_entropy"])
def test_every_derivative_of_the_penalised_sum_is_that_of_its_value(loss):
    """A wrong product, gradient or matrix shows against differences of the value and gradient."""
    row = get_loss(loss)
    net = Network([4, 3, 3], "tanh", row.link, seed=1)
    Y = np.eye(3)[KINDS]
    F = penalised(objective(net.layout, row, FLOWERS, Y, weights=RNG.uniform(0.5, 2.0, 150)), 0.7, net.layout.n_weights)
    w, v, h = net.w, np.sin(np.arange(net.K)), 1e-6
    value, g = F.value_and_gradient(w)
    assert value == pytest.approx(F(w), rel=1e-14)
    assert g @ v == pytest.approx((F(w + h * v) - F(w - h * v)) / (2 * h), rel=1e-6)
    np.testing.assert_allclose(
        F.hvp(w, v), (F.gradient(w + h * v) - F.gradient(w - h * v)) / (2 * h), rtol=1e-5, atol=1e-5
    )
    G, slope = F.normal(w)
    np.testing.assert_allclose(slope, g, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(G @ v, F.gauss_newton(w, v), rtol=1e-9, atol=1e-9)
    assert np.linalg.eigvalsh(G).min() > -1e-9


# ---------------------------------------------------------------- scale, weights, width, bits


@SOLVERS
@pytest.mark.parametrize("y", [noisy, TWO], ids=["one output", "two"])
def test_the_loss_is_in_scikit_learns_scale(solver, y):
    model = fitted(regressor(solver, alpha=0.2, max_iter=4), X, y, weights)
    squares = ((model.predict(X) - y) ** 2).reshape(60, -1)
    data = 0.5 * np.average(squares.mean(axis=1), weights=weights)
    numbers, n = model.history_, model.network_.layout.n_weights
    if solver == "bayesian_regularisation":
        penalty = 0.5 * numbers["alpha"][-1] / numbers["beta"][-1] * np.sum(model.network_.w**2) / weights.sum()
    else:
        penalty = 0.5 * 0.2 * np.sum(model.network_.w[:n] ** 2) / weights.sum()
    assert model.loss_ == model.loss_curve_[-1] == pytest.approx(data + penalty, rel=1e-10)
    assert numbers["penalty"][-1] == pytest.approx(penalty, rel=1e-10)
    assert len(model.loss_curve_) == model.n_iter_ == len(numbers) == 4
    assert model.t_ == 4 * 60


@SOLVERS
def test_a_weight_of_2_is_a_row_twice(solver):
    rows = np.repeat(np.arange(60), weights.astype(int))
    one = fitted(regressor(solver, max_iter=6), X, noisy, weights)
    other = fitted(regressor(solver, max_iter=6), X[rows], noisy[rows])
    np.testing.assert_allclose(one.network_.w, other.network_.w, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-9)


@SOLVERS
def test_class_and_row_weights_smoothing_and_threads(solver):
    if solver == "bayesian_regularisation":
        return
    settings = {"class_weight": "balanced", "label_smoothing": 0.1, "solver": solver, "random_state": 0, "max_iter": 4}
    one, two = (
        fitted(MLPClassifier((4,), n_threads=n, **settings), FLOWERS, KINDS, np.linspace(1, 2, 150)) for n in (1, None)
    )
    assert one.network_.w.tobytes() == two.network_.w.tobytes()


@SOLVERS
def test_two_fits_have_the_same_bits(solver):
    one, two = (fitted(regressor(solver), X, noisy) for _ in range(2))
    assert one.network_.w.tobytes() == two.network_.w.tobytes()
    assert one.loss_curve_ == two.loss_curve_


@pytest.mark.parametrize(
    "alias", ["trainlm", ("trainbr", {"mu": 0.005}), "trainscg", SECOND_ORDER["newton_cg"]], ids=str
)
def test_matlabs_names_and_rows_are_solvers_too(alias):
    row = get_second_order(alias[0] if isinstance(alias, tuple) else alias)
    one, two = (fitted(regressor(solver, max_iter=3), X, noisy) for solver in (alias, row.name))
    assert one.network_.w.tobytes() == two.network_.w.tobytes()
    assert one.loss_curve_ == two.loss_curve_


@SOLVERS
def test_float32_is_trained_in_float64_and_kept_in_float32(solver):
    narrow = fitted(regressor(solver, max_iter=5), X.astype(np.float32), noisy.astype(np.float32))
    wide = fitted(regressor(solver, max_iter=5), X, noisy)
    assert narrow.network_.w.dtype == np.float32
    np.testing.assert_allclose(narrow.loss_curve_, wide.loss_curve_, rtol=1e-3)


@SOLVERS
def test_a_sparse_table_is_its_dense_one(solver):
    rows = FLOWERS * (FLOWERS > 0)
    dense, thin = (
        fitted(regressor(solver, max_iter=4), x, FLOWERS[:, 0]) for x in (rows, scipy.sparse.csr_matrix(rows))
    )
    assert dense.network_.w.tobytes() == thin.network_.w.tobytes()


# ---------------------------------------------------------------- Bayesian regularisation


def test_bayesian_regularisation_reports_what_it_finds():
    model = fitted(regressor("bayesian_regularisation", hidden_layer_sizes=(12,), max_iter=300), X, noisy)
    gamma = np.array(model.history_["gamma"])
    assert np.all((gamma > 0) & (gamma <= model.network_.K))
    assert gamma[-1] < 15 < model.network_.K  # a sine needs few of the 37
    assert 1 / (2 * model.history_["beta"][-1]) == pytest.approx(0.2**2, rel=0.5)  # the variance of the noise
    assert model.history_["evidence"][-1] > model.history_["evidence"][10]  # the first after the held steps
    plain = fitted(regressor("levenberg_marquardt", hidden_layer_sizes=(12,), alpha=0.0, max_iter=300), X, noisy)
    fresh = np.linspace(-0.95, 0.95, 200)[:, None]
    truth = np.sin(np.pi * fresh[:, 0])
    assert np.mean((model.predict(fresh) - truth) ** 2) < 0.7 * np.mean((plain.predict(fresh) - truth) ** 2)


def test_bayesian_regularisation_does_not_give_up_on_small_weights():
    """With trainbr's α from the first step on, this fit goes where all weights are 0."""
    rng = np.random.default_rng(11)
    x = rng.uniform(-1, 1, (60, 1))
    y = np.cos(np.pi * x[:, 0]) + 0.2 * rng.normal(size=60)
    settings = {"hidden_layer_sizes": (10,), "random_state": 11, "max_iter": 200}
    ours = fitted(regressor("bayesian_regularisation", **settings), x, y)
    theirs = fitted(regressor(("bayesian_regularisation", {"first": 1.0, "hold": 0.0}), **settings), x, y)
    assert theirs.history_["gamma"][-1] < 1 < 4 < ours.history_["gamma"][-1]
    assert ours.history_["evidence"][-1] > theirs.history_["evidence"][-1] + 20


def test_each_layers_weights_and_biases_have_an_alpha_of_their_own():
    """The targets are odd in x, and so is a network without biases: theirs is the largest."""
    model = fitted(regressor("bayesian_regularisation", hidden_layer_sizes=(12,), max_iter=300), X, noisy)
    named = {name for name in model.history_.names if name.startswith("alpha_")}
    assert named == {"alpha_A_1", "alpha_A_2", "alpha_b_1", "alpha_b_2"}
    net = model.network_
    objective = net.objective(X, noisy)
    one = cr.Objective(residuals=objective.residuals, jacobian=objective.jacobian)
    start = cr.Network([1, 12, 1], "tanh", seed=0).w
    many, single = (cr.minimize(F, start, "trainbr", max_iter=300, record="ends") for F in (objective, one))
    assert many.numbers["evidence"][-1] > single.numbers["evidence"][-1] + 2


def test_bayesian_regularisation_finds_its_own_alpha():
    one, two = (fitted(regressor("bayesian_regularisation", alpha=a), X, noisy) for a in (0.0, 5.0))
    assert one.network_.w.tobytes() == two.network_.w.tobytes()


# ---------------------------------------------------------------- what a fit can be asked


class Stop(Exception):
    pass


@SOLVERS
@pytest.mark.parametrize("at", [1, 4])
def test_broken_off_and_resumed_a_fit_ends_with_the_same_bits(solver, at, tmp_path):
    def emit(event):
        if event.epoch == at:
            raise Stop

    whole = fitted(regressor(solver), X, noisy)
    with pytest.raises(Stop):
        fitted(regressor(solver).set_callbacks(emit), X, noisy, checkpoint=tmp_path / "c")
    again = fitted(regressor(solver), X, noisy, checkpoint=tmp_path / "c")
    assert again.network_.w.tobytes() == whole.network_.w.tobytes()
    assert again.loss_curve_ == whole.loss_curve_
    numbers = SECOND_ORDER[solver].solver.reported
    assert [again.history_[name] for name in numbers] == [whole.history_[name] for name in numbers]
    done = fitted(regressor(solver), X, noisy, checkpoint=tmp_path / "c")
    assert done.network_.w.tobytes() == whole.network_.w.tobytes()


@SOLVERS
def test_ctrl_c_keeps_what_was_done(solver):
    model = regressor(solver).set_callbacks(
        lambda event: signal.raise_signal(signal.SIGINT) if event.epoch == 3 else None
    )
    with pytest.warns(UserWarning, match="interrupted by user"):
        model.fit(X, noisy)
    assert model.stopped_because_ == "you interrupted it"
    assert model.n_iter_ == 3
    assert model.network_.w.tobytes() == fitted(regressor(solver, max_iter=3), X, noisy).network_.w.tobytes()


@SOLVERS
def test_time_limits_callbacks_and_all_iterations(solver):
    timed = regressor(solver, max_time=1e-9).fit(X, noisy)
    assert timed.n_iter_ == 1
    assert "time limit" in timed.stopped_because_
    called = regressor(solver).set_callbacks(lambda event: event.epoch == 2 and "enough").fit(X, noisy)
    assert (called.n_iter_, called.stopped_because_) == (2, "enough")
    with pytest.warns(ConvergenceWarning, match=rf"{solver}: Maximum iterations \(2\) reached"):
        regressor(solver, max_iter=2).fit(X, noisy)


def test_lines_and_the_bar(capsys):
    fitted(regressor("levenberg_marquardt", verbose=True, progress=True, max_iter=2), X, noisy)
    out = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in out] == ["Iteration 1", "Iteration 2"]
    assert ", loss = 0." in out[0]


def test_held_out_rows_stop_it_and_choose_the_weights():
    settings = {"hidden_layer_sizes": (30,), "alpha": 0.0, "max_iter": 200, "early_stopping": True}
    model = regressor("levenberg_marquardt", n_iter_no_change=6, validation_fraction=0.3, **settings).fit(X, noisy)
    scores = model.validation_scores_
    assert "Validation score did not improve" in model.stopped_because_
    assert model.n_iter_ < 100
    assert model.best_validation_score_ == max(scores)
    assert scores[-1] < max(scores)
    assert model.history_["validation_score"] == scores
    held = (X[::2] + 0.01, np.sin(np.pi * (X[::2, 0] + 0.01)))
    watched = regressor("levenberg_marquardt", **settings).fit(X, noisy, eval_set=held)
    assert watched.score(*held) == pytest.approx(max(watched.validation_scores_), rel=1e-12)


@SOLVERS
def test_sets_of_ones_own_are_only_recorded(solver):
    held = (X[::3], noisy[::3])
    plain = fitted(regressor(solver), X, noisy)
    watched = fitted(regressor(solver), X, noisy, eval_set={"test": held})
    assert watched.network_.w.tobytes() == plain.network_.w.tobytes()
    assert watched.history_["test_score"][-1] == pytest.approx(plain.score(*held), rel=1e-9)
    assert set(SECOND_ORDER[solver].solver.reported) <= set(watched.history_.names)


@SOLVERS
def test_warm_start_goes_on(solver):
    model = fitted(regressor(solver, warm_start=True, max_iter=5), X, noisy)
    before = model.loss_
    fitted(model, X, noisy)
    assert model.loss_ < before or solver == "bayesian_regularisation"
    assert len(model.loss_curve_) == len(model.history_) == 10


def test_where_no_step_helps_it_says_so():
    model = regressor(("levenberg_marquardt", {"min_grad": 0.0}), hidden_layer_sizes=(), alpha=0.0, max_iter=50).fit(
        X, noisy
    )
    assert model.stopped_because_ == REASONS["no_better"].sentence
    line = np.polyfit(X[:, 0], noisy, 1)
    np.testing.assert_allclose(model.network_.w, line, rtol=1e-10)


@SOLVERS
def test_it_is_saved_and_loaded(solver, tmp_path):
    model = fitted(regressor(solver, max_iter=3), X, noisy)
    cr.save(model, tmp_path / "m")
    again = cr.load(tmp_path / "m")
    assert again.predict(X).tobytes() == model.predict(X).tobytes()
    assert again.history_.columns() == model.history_.columns()


# ---------------------------------------------------------------- errors


LM = "levenberg_marquardt"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": LM, "batch_size": 32}, r"batch_size=32 asks for minibatches, and solver='levenberg_marquardt' looks at all rows"),
        ({"solver": "bayesian_regularisation", "loss": "poisson"}, "needs a sum of squares, and the loss 'poisson' is none"),
        ({"solver": LM, "loss": "absolute"}, "steps by the curvature of the loss, and 'absolute' has none; use solver='lbfgs'"),
        ({"solver": LM, "dropout": 0.1}, "dropout=0.1 does not go with solver='levenberg_marquardt'"),
        ({"solver": "newton_cg", "l1": 0.1}, "l1=0.1 does not go with solver='newton_cg': it needs a smooth loss"),
        ({"solver": "newton_cg", "learning_rate": "cosine"}, "learning_rate='cosine' does not go with solver='newton_cg'"),
        ({"solver": (LM, {"mu": -1.0})}, r"mu must be a number in \(0, inf\), got -1.0"),
        ({"solver": (LM, {"mu_ink": 2.0})}, "the method 'levenberg_marquardt' has no 'mu_ink'. Did you mean 'mu_inc'"),
        ({"solver": (LM, {"min_grad": -1.0})}, "min_grad must be a number"),
        ({"solver": (LM, {"min_grat": 1.0})}, "Did you mean 'min_grad'"),
        ({"solver": (LM, 3)}, r"solver must be a name, a SecondOrder, or \(name, \{hyperparameter: value\}\)"),
    ],
)  # fmt: skip
def test_errors_name_what_is_wrong(settings, message):
    with pytest.raises(ValueError, match=message):
        MLPRegressor(random_state=0, **settings).fit(X, np.abs(noisy))


def test_a_classifier_is_told_what_bayesian_regularisation_needs():
    with pytest.raises(ValueError, match="needs a sum of squares, and the loss 'softmax_cross_entropy' is none; use"):
        MLPClassifier(solver="bayesian_regularisation").fit(FLOWERS, KINDS)


def test_a_matrix_that_does_not_fit_is_said_before_training(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 10_000_000)
    with pytest.raises(ValueError, match=r"for K = 1,501 parameters that is 0.1 GB, and 0.0 GB are free. Use scaled"):
        regressor(LM, hidden_layer_sizes=(500,)).fit(X, noisy)
    fitted(regressor("scaled_conjugate_gradient", hidden_layer_sizes=(500,), max_iter=1), X, noisy)


@SOLVERS
def test_numbers_that_overflow_are_an_error(solver):
    with pytest.raises(ValueError, match=r"non-finite parameter weights.* not finite at the first weights"):
        regressor(solver).fit(X, noisy * 1e200)


@SOLVERS
def test_there_is_no_partial_fit(solver):
    assert not hasattr(regressor(solver), "partial_fit")


# ---------------------------------------------------------------- scikit-learn's checks


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mu", [10.0, 100.0])
def test_large_class_weights_may_have_a_mu_in_their_scale(mu):
    check_class_weight_classifiers("MLPClassifier", MLPClassifier(8, solver=(LM, {"mu": mu})))


# Few steps: on 15 rows that a network fits to rounding, more of newton_cg's make a difference of that rounding.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [MLPRegressor(hidden_layer_sizes=8, solver=name, max_iter=5) for name in SECOND_ORDER]
    + [MLPClassifier(8, solver=name, max_iter=5) for name, row in SECOND_ORDER.items() if row.needs != "residuals"],
)
def test_an_estimator_check_of_scikit_learn_passes(estimator, check):
    check(estimator)
