"""Several first weights for one fit: n_init trainings, of which the best is kept."""

import itertools
import math
import os
import signal
import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

from chainrule import MLPClassifier, MLPRegressor
from chainrule.descent import METHODS, SECOND_ORDER
from chainrule.training import stopping

X = np.linspace(-1.0, 1.0, 60)[:, None]
noisy = np.sin(np.pi * X[:, 0]) + 0.2 * np.random.default_rng(0).normal(size=60)
FLOWERS, KINDS = load_iris(return_X_y=True)
FLOWERS = scale(FLOWERS)
SOLVERS = ("lbfgs", "sgd", *METHODS, *SECOND_ORDER)


def regressor(**settings):
    own = {"hidden_layer_sizes": (5,), "activation": "tanh", "random_state": 0, "max_iter": 8, "tol": 0.0}
    return MLPRegressor(**(own | settings))


def classifier(**settings):
    return MLPClassifier(**({"hidden_layer_sizes": (4,), "random_state": 0, "max_iter": 6, "tol": 0.0} | settings))


def fitted(model, *data, **asked):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*data, **asked)


def one_after_another(make, *data, **settings):
    """Fits that draw from one generator, as the starts of a fit do."""
    generator = np.random.RandomState(0)
    return [fitted(make(random_state=generator, **settings), *data) for _ in range(4)]


@pytest.mark.parametrize("solver", SOLVERS)
def test_it_is_the_best_of_fits_one_after_another(solver):
    row = SECOND_ORDER.get(solver)
    for make, data in [(regressor, (X, noisy)), (classifier, (FLOWERS, KINDS))]:
        if make is classifier and row is not None and row.needs == "residuals":
            continue
        several = fitted(make(solver=solver, n_init=4), *data)
        fits = one_after_another(make, *data, solver=solver)
        ends = [fit.history_[row.best_by][-1] if row and row.best_by else fit.loss_ for fit in fits]
        best = fits[int(np.argmax(ends) if row and row.best_by else np.argmin(ends))]
        assert several.network_.w.tolist() == best.network_.w.tolist()
        assert several.history_["loss"] == best.history_["loss"]
        assert (several.loss_, several.n_iter_, several.t_) == (best.loss_, best.n_iter_, best.t_)
        assert several.starts_ == ends
        assert several.stopped_because_ == best.stopped_because_


@pytest.mark.parametrize(("losses", "kept"), [([3, 2, 1, 4], 2), ([1, 2, 3, 0], 3), ([2, 5, 2, 2], 0)])
def test_what_is_said_is_the_last_word_of_the_start_that_is_kept(losses, kept, monkeypatch):
    for silent in (True, False):
        heard, count = [], itertools.count()

        def trained(self, X, Y, weights, job, silent=silent, heard=heard, count=count):
            k = next(count)
            self.loss_ = float(losses[k])
            return None if silent and k == kept else lambda: heard.append(k)

        monkeypatch.setattr(MLPRegressor, "_train", trained)
        assert regressor(n_init=4).fit(X, noisy).loss_ == min(losses)
        assert heard == ([] if silent else [kept])


def test_of_lbfgs_too_only_the_end_that_is_kept_is_said():
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        regressor(n_init=4, solver="lbfgs").fit(X, noisy)
    assert len(heard) == 1


def test_the_evidence_and_not_the_loss_chooses_where_a_row_says_so():
    several = fitted(regressor(solver="bayesian_regularisation", n_init=6, max_iter=40), X, noisy)
    fits = [
        fitted(regressor(solver="bayesian_regularisation", max_iter=40, random_state=generator), X, noisy)
        for generator in [np.random.RandomState(0)]
        for _ in range(6)
    ]
    evidence = [fit.history_["evidence"][-1] for fit in fits]
    assert several.starts_ == evidence
    assert several.loss_ == fits[int(np.argmax(evidence))].loss_ > min(fit.loss_ for fit in fits)


@pytest.mark.parametrize("solver", ["adam", "levenberg_marquardt", "lbfgs"])
def test_sparse_rows_and_weights_of_classes_and_rows_are_those_of_every_start(solver):
    settings = {"solver": solver, "n_init": 3, "class_weight": {0: 2.0, 2: 0.5}, "early_stopping": solver != "lbfgs"}
    weights = np.linspace(0.5, 1.5, len(KINDS))
    dense = fitted(classifier(**settings), FLOWERS, KINDS, sample_weight=weights)
    sparse = fitted(classifier(**settings), scipy.sparse.csr_matrix(FLOWERS), KINDS, sample_weight=weights)
    assert dense.network_.w.tolist() == sparse.network_.w.tolist()
    assert dense.starts_ == sparse.starts_
    plain = fitted(classifier(**settings | {"class_weight": None}), FLOWERS, KINDS, sample_weight=weights)
    assert plain.history_["loss"] != dense.history_["loss"]


def test_one_start_is_the_first_of_several():
    one, several = fitted(regressor(), X, noisy), fitted(regressor(n_init=3), X, noisy)
    assert one.starts_ == [one.loss_]
    assert several.starts_[0] == one.loss_
    assert len(set(several.starts_)) == 3


@pytest.mark.parametrize("solver", ["adam", "levenberg_marquardt", "bayesian_regularisation"])
def test_all_starts_are_judged_by_the_same_held_out_rows(solver):
    seen = set()

    def score(estimator, X, y):
        seen.add((X.tobytes(), y.tobytes()))
        return -float(np.mean((estimator.predict(X) - y) ** 2))

    model = fitted(regressor(solver=solver, n_init=4, early_stopping=True, scoring=score), X, noisy)
    assert len(seen) == 1
    assert max(model.starts_) == model.best_validation_score_ == max(model.validation_scores_)
    assert len(set(model.starts_)) == 4
    ((rows, targets),) = seen
    held, y = np.frombuffer(rows).reshape(-1, 1), np.frombuffer(targets)
    assert -float(np.mean((model.predict(held) - y) ** 2)) == pytest.approx(max(model.starts_))
    watched = fitted(regressor(solver=solver, n_init=3, early_stopping=True), X, noisy, eval_set=(X[::7], noisy[::7]))
    assert watched.score(X[::7], noisy[::7]) == pytest.approx(max(watched.starts_))


def weights_that_overflow(monkeypatch, which):
    """First weights so large that the error is infinite, for these starts."""
    first, count = MLPRegressor._first_weights, iter(range(99))

    def drawn(self, layout, rows):
        w = first(self, layout, rows)
        return np.full_like(w, 1e200) if next(count) in which else w

    monkeypatch.setattr(MLPRegressor, "_first_weights", drawn)


@pytest.mark.parametrize("solver", ["adam", "levenberg_marquardt", "lbfgs"])
def test_a_start_that_overflows_is_the_worst(solver, monkeypatch):
    weights_that_overflow(monkeypatch, {0, 2})
    with np.errstate(all="ignore"):
        model = fitted(regressor(n_init=4, solver=solver, activation="relu"), X, noisy)
    assert [math.isnan(end) for end in model.starts_] == [True, False, True, False]
    assert model.loss_ == min(model.starts_[1::2])
    assert np.isfinite(model.predict(X)).all()


def test_where_all_starts_overflow_the_error_says_so(monkeypatch):
    weights_that_overflow(monkeypatch, range(99))
    model = regressor(n_init=3, activation="relu")
    with pytest.raises(ValueError, match=r"non-finite parameter weights.*epoch 1"):
        model.fit(X, noisy)
    assert all(math.isnan(end) for end in model.starts_)
    assert len(model.starts_) == 3


def test_another_error_ends_the_fit_and_what_was_found_is_kept():
    begun = []

    def broken(event):
        begun.extend([1] if event.epoch == 1 else [])
        if len(begun) == 3:
            raise RuntimeError("mine")

    model = regressor(n_init=5).set_callbacks(broken)
    with pytest.raises(RuntimeError, match="mine"):
        fitted(model, X, noisy)
    assert len(model.starts_) == 3
    assert model.loss_ == min(model.starts_[:2])
    assert math.isnan(model.starts_[2])


@pytest.mark.parametrize("solver", ["adam", "levenberg_marquardt"])
def test_held_out_rows_keep_what_was_there_before_numbers_overflowed(solver, monkeypatch):
    weights_that_overflow(monkeypatch, {1})
    settings = {"n_init": 3, "solver": solver, "activation": "relu", "early_stopping": True}
    with warnings.catch_warnings(record=True) as heard, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        model = regressor(**settings).fit(X, noisy)
    assert [math.isnan(end) for end in model.starts_] == [False, True, False]
    assert model.best_validation_score_ == np.nanmax(model.starts_)
    assert not [said for said in heard if "non-finite" in str(said.message)]  # of a start that is not kept


@pytest.mark.parametrize("solver", ["adam", "levenberg_marquardt", "lbfgs"])
def test_a_callback_ends_the_training_that_it_is_in(solver):
    stops = regressor(solver=solver, n_init=4).set_callbacks(lambda event: event.epoch == 2 and "enough")
    assert len(fitted(stops, X, noisy).starts_) == 4
    assert (stops.stopped_because_, stops.n_iter_) == ("enough", 2)


class Quiet:
    """scikit-learn's protocol, of which nothing is used."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        pass


class NoMore(Quiet):
    """No third start."""

    def on_fit_task_end(self, estimator, context):
        return context.task_name == "start" and context.task_id == 1


@pytest.mark.parametrize("solver", ["adam", "levenberg_marquardt", "lbfgs"])
def test_a_callback_of_scikit_learn_ends_the_starts(solver):
    assert len(fitted(regressor(solver=solver, n_init=5).set_callbacks(NoMore()), X, noisy).starts_) == 2


@pytest.mark.parametrize("solver", ["adam", "levenberg_marquardt", "lbfgs"])
def test_the_time_and_ctrl_c_end_the_whole_fit(solver):
    assert len(fitted(regressor(solver=solver, n_init=5, max_time=1e-6), X, noisy).starts_) == 1
    epochs = []

    def interrupt(event):
        epochs.append(event.epoch)
        if epochs.count(1) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    model = regressor(solver=solver, n_init=5).set_callbacks(interrupt)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, noisy)
    assert len(model.starts_) == 2
    assert model.loss_ == min(model.starts_)


def test_ctrl_c_between_two_trainings_keeps_the_best(monkeypatch):
    first, count = MLPRegressor._first_weights, iter(range(99))

    def interrupted(self, layout, rows):
        if next(count) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return first(self, layout, rows)

    monkeypatch.setattr(MLPRegressor, "_first_weights", interrupted)
    model = regressor(n_init=5)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, noisy)
    assert math.isnan(model.starts_[2])
    assert model.loss_ == min(model.starts_[:2])
    count = iter([2])  # at the first start nothing is there to be kept
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, noisy)


class AtOnce(Quiet):
    """Ctrl-C as the second start begins."""

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "epoch" and context.parent.task_id == 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("solver", ["adam", "levenberg_marquardt", "bayesian_regularisation"])
def test_a_start_that_is_interrupted_at_once_is_none(solver):
    model = regressor(n_init=4, solver=solver)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.set_callbacks(AtOnce()).fit(X, noisy)
    assert math.isnan(model.starts_[1])
    assert len(model.starts_) == 2
    assert model.loss_ == fitted(regressor(solver=solver), X, noisy).loss_


def test_a_fit_that_fails_leaves_no_ends_of_another():
    model = fitted(regressor(), X, noisy)
    model.set_params(learning_rate_init=1e300, solver="sgd", activation="relu")
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="non-finite"):
        model.fit(X, noisy)
    assert not hasattr(model, "starts_")


@pytest.mark.parametrize("solver", ["adam", "levenberg_marquardt", "lbfgs"])
def test_the_time_is_that_of_all_starts(solver, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(stopping.time, "monotonic", lambda: float(next(clock)))  # a second each time it is looked at
    model = fitted(regressor(n_init=50, max_time=40.0, solver=solver), X, noisy)
    assert 1 < len(model.starts_) < 10


def test_weights_that_are_there_are_one_start(tmp_path):
    model = fitted(regressor(n_init=3, warm_start=True), X, noisy)
    assert len(model.starts_) == 3
    assert len(fitted(model, X, noisy).starts_) == 1
    ready = regressor(n_init=3).initialize(X, noisy)
    by_hand = regressor().initialize(X, noisy)
    for model in (ready, by_hand):
        model.coefs_[0][:] = 0.25
    with pytest.raises(ValueError, match="eval_set must be"):
        ready.fit(X, noisy, eval_set=3)  # which leaves it ready
    fitted(ready, X, noisy, checkpoint=tmp_path / "fit")
    assert len(ready.starts_) == 1
    assert ready.network_.w.tolist() == fitted(by_hand, X, noisy).network_.w.tolist()
    assert len(fitted(ready, X, noisy).starts_) == 3
    assert len(regressor(n_init=3).partial_fit(X, noisy).starts_) == 1


def test_what_follows_goes_on_from_the_start_that_was_kept():
    fits = one_after_another(regressor, X, noisy, shuffle=False)
    best = min(fits, key=lambda fit: fit.loss_)
    assert best is not fits[-1]
    several = fitted(regressor(n_init=4, shuffle=False), X, noisy)
    for model in (several, best):
        model.partial_fit(X, noisy)
    assert several.network_.w.tolist() == best.network_.w.tolist()


@pytest.mark.parametrize("tol", [0.01, 0.02])
def test_only_the_end_of_the_start_that_is_kept_is_said(tol):
    ends_early = {"tol": tol, "n_iter_no_change": 3, "max_iter": 12, "learning_rate_init": 0.02}
    fits = one_after_another(regressor, X, noisy, **ends_early)
    best = min(fits, key=lambda fit: fit.loss_)
    assert (best.n_iter_ == 12) != (tol == 0.02)
    assert any((fit.n_iter_ == 12) == (tol == 0.02) for fit in fits)  # others end otherwise
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        regressor(n_init=4, **ends_early).fit(X, noisy)
    assert len(heard) == (best.n_iter_ == 12)


def test_a_recorded_fit_replays_the_start_that_was_kept():
    model = fitted(regressor(n_init=4, record=True, batch_size=16, random_state=3), X, noisy)
    assert model.starts_.index(model.loss_) not in (0, 3)
    assert model.replay(9).step == 9
    assert model.recording_.points[-1].tolist() == model.network_.w.tolist()


def test_verbose_names_the_start(capsys):
    fitted(regressor(n_init=2, verbose=True, max_iter=1), X, noisy)
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == [
        "start 1 of 2", "Iteration 1", "start 2 of 2", "Iteration 1",
    ]  # fmt: skip


def test_a_checkpoint_is_of_one_training(tmp_path):
    with pytest.raises(ValueError, match="checkpoint keeps one training, and n_init=2 makes several"):
        regressor(n_init=2).fit(X, noisy, checkpoint=tmp_path / "fit")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [0, -1, 1.5, "auto"])
def test_a_number_of_starts_that_is_none(given):
    with pytest.raises(ValueError, match="'n_init' parameter of MLPRegressor must be an int in the range"):
        regressor(n_init=given).fit(X, noisy)


class Tasks:
    """scikit-learn's protocol: the tasks that begin and end, and the model that a task ends with."""

    def __init__(self):
        self.seen, self.models = [], []

    def setup(self, estimator, context):
        self.seen.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.seen.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.seen.append(("begin", context.task_name, context.task_id, context.max_subtasks))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.seen.append(("end", context.task_name, context.task_id, context.max_subtasks))
        if context.task_name != "epoch":
            self.models.append(fitted_estimator)


@pytest.mark.parametrize("solver", ["adam", "levenberg_marquardt", "lbfgs"])
def test_for_scikit_learns_callbacks_a_start_is_a_task_of_the_fit(solver):
    tasks = Tasks()
    model = fitted(regressor(solver=solver, n_init=2, max_iter=1).set_callbacks(tasks), X, noisy)
    of_start = [("begin", "epoch", 0, 0), ("end", "epoch", 0, 0)]
    assert tasks.seen == [
        ("setup", "fit"),
        ("begin", "fit", 0, 2),
        *[("begin", "start", 0, 1), *of_start, ("end", "start", 0, 1)],
        *[("begin", "start", 1, 1), *of_start, ("end", "start", 1, 1)],
        ("end", "fit", 0, 2),
        ("teardown", "fit"),
    ]
    losses = [np.mean((seen.predict(X) - noisy) ** 2) for seen in tasks.models]
    assert losses[0] != losses[1]
    assert losses[2] in losses[:2]
    assert tasks.models[2].predict(X).tolist() == model.predict(X).tolist()
    assert not hasattr(model, "_callback_fit_ctx")
