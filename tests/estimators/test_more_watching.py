"""What scikit-learn's networks have not: rows of one's own to watch, scorers, histories, callbacks, limits."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer, log_loss, make_scorer, mean_absolute_error, r2_score, roc_auc_score
from sklearn.model_selection import GridSearchCV

import chainrule as cr
from chainrule.training import MLflow, TensorBoard

C, R = cr.MLPClassifier, cr.MLPRegressor
rng = np.random.default_rng(0)
X, X_new, X_third = (rng.normal(size=(n, 4)) for n in (50, 30, 20))


def number(X):
    return X[:, 0] * X[:, 1] + X[:, 2]


def labels(X):
    return np.digitize(X[:, 0], [-0.4, 0.4]).astype(str)


def two(X):
    return np.where(X[:, 0] + X[:, 1] > 0, "yes", "no")


def bits(X):
    return (X[:, :3] > 0).astype(int)


def numbers(X):
    return X[:, :2] ** 2


TARGETS = {"number": number, "labels": labels, "two": two, "bits": bits, "numbers": numbers}


def fitted(y, eval_set=None, X=X, sample_weight=None, **settings):
    settings = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0, "batch_size": 10,
                "learning_rate_init": 0.01, **settings}  # fmt: skip
    model = (R if y in (number, numbers) else C)(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y(np.asarray(X)), sample_weight, eval_set=eval_set)


def mean_loss(model, X, y, weights=None):
    if isinstance(model, C):
        encoded = model._label_binarizer.transform(y)
        p = model.predict_proba(X)
        if model.n_outputs_ == 1:
            p = p[:, 1:]
        each = -(encoded * np.log(p) + (0 if p.shape[1] == 3 and model.out_activation_ == "softmax" else
                                        (1 - encoded) * np.log(1 - p))).sum(axis=1)  # fmt: skip
    else:
        each = 0.5 * ((model.predict(X).reshape(len(X), -1) - y.reshape(len(X), -1)) ** 2).sum(axis=1)
    return np.average(each, weights=weights)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("y", TARGETS.values(), ids=TARGETS)
def test_a_set_of_ones_own_is_recorded_and_changes_nothing(y, solver):
    weights = np.linspace(0, 2, 30)
    seen = fitted(y, (X_new, y(X_new), weights), solver=solver)
    assert_array_equal(seen.network_.w, fitted(y, solver=solver).network_.w)
    assert len(seen.history_["validation_loss"]) == seen.n_iter_ == 5
    assert seen.history_["validation_loss"][-1] == pytest.approx(mean_loss(seen, X_new, y(X_new), weights))
    assert seen.history_["validation_score"][-1] == pytest.approx(seen.score(X_new, y(X_new), weights))
    assert not any(seen.history_["is_best"])
    assert getattr(seen, "validation_scores_", None) is None


FORMS = [
    ((X_new, labels(X_new)), ()),
    ([(X_new, labels(X_new)), (X_third, labels(X_third))], ("eval_1",)),
    ({"new": (X_new, labels(X_new)), "third": (X_third, labels(X_third))}, ("new", "third")),
    ({"validation": (X_new, labels(X_new)), "third": (X_third, labels(X_third))}, ("third",)),
    ([(sp.csc_matrix(X_new), labels(X_new)), (pd.DataFrame(X_third), list(labels(X_third)))], ("eval_1",)),
]


@pytest.mark.parametrize(("eval_set", "names"), FORMS)
def test_the_forms_of_an_eval_set_and_the_names_in_the_history(eval_set, names):
    model = fitted(labels, eval_set)
    others = {n for n in model.history_.columns() if n not in fitted(labels).history_.columns()}
    assert others == {"validation_loss", "validation_score"} | {
        f"{n}_{what}" for n in names for what in ("loss", "score")
    }
    assert model.history_["validation_loss"][-1] == pytest.approx(mean_loss(model, X_new, labels(X_new)))
    if "third" in names:
        assert model.history_["third_score"][-1] == pytest.approx(model.score(X_third, labels(X_third)))
    if "new" in names:
        assert model.history_["new_loss"] == model.history_["validation_loss"]


@pytest.mark.parametrize("y", TARGETS.values(), ids=TARGETS)
def test_with_early_stopping_the_best_weights_are_kept_and_all_rows_train(y):
    settings = {"max_iter": 60, "learning_rate_init": 0.1, "n_iter_no_change": 5}
    model = fitted(y, (X_new, y(X_new)), early_stopping=True, **settings)
    assert model.t_ == 50 * model.n_iter_  # none held out
    assert model.validation_scores_ == model.history_["validation_score"]
    assert model.best_validation_score_ == max(model.validation_scores_) == pytest.approx(model.score(X_new, y(X_new)))
    assert np.argmax(model.validation_scores_) < model.n_iter_ - 1
    assert "did not improve" in model.stopped_because_
    # it went as without it, up to the best epoch
    same = fitted(y, **{**settings, "max_iter": int(np.argmax(model.validation_scores_)) + 1, "n_iter_no_change": 1000})
    assert_array_equal(model.network_.w, same.network_.w)


def test_the_part_held_out_is_recorded_too():
    model = fitted(number, early_stopping=True, validation_fraction=0.3)
    assert model.history_["validation_score"] == model.validation_scores_
    assert all(loss > 0 for loss in model.history_["validation_loss"])
    assert model.t_ == 35 * model.n_iter_


def test_held_out_rows_count_by_their_sample_weights_and_not_by_classes():
    plain = fitted(labels, early_stopping=True, class_weight={"0": 5.0}, max_iter=1)
    from sklearn.model_selection import train_test_split

    state = np.random.RandomState(0)
    for shape in [(4, 6), 6, (6, 3), 3]:  # the first weights
        state.uniform(size=shape)
    held = train_test_split(X, labels(X), random_state=state, test_size=0.1)
    assert plain.validation_scores_[0] == pytest.approx(plain.score(held[1], held[3]))


@pytest.mark.parametrize(("y", "eval_set", "words"), [
    (number, (X_new[:, :3], number(X_new)), "eval_set 'validation': X has 3 features, but MLPRegressor is expecting 4"),
    (number, (X_new, numbers(X_new)), "eval_set 'validation': y has 2 columns, that of fit has 1"),
    (numbers, (X_new, number(X_new)), "eval_set 'validation': y has 1 columns, that of fit has 2"),
    (labels, (X_new, np.full(30, "9")), "eval_set 'validation': y has the class 9, which y of fit has not"),
    (labels, (X_new, bits(X_new)), "eval_set 'validation': y is multilabel-indicator, that of fit is multiclass"),
    (bits, (X_new, labels(X_new)), "eval_set 'validation': y is multiclass, that of fit is multilabel-indicator"),
    (bits, (X_new, bits(X_new)[:, :2]), "eval_set 'validation'"),
    (number, (X_new, number(X_new)[:9]), "eval_set 'validation': .*inconsistent numbers of samples"),
    (number, (X_new, number(X_new), np.ones(9)), "eval_set 'validation': sample_weight.shape"),
    (number, (X_new, number(X_new), -np.ones(30)), "eval_set 'validation': Negative values in data"),
    (number, (X_new, number(X_new), np.zeros(30)), "eval_set 'validation': .*zero"),
    (number, (X_new * np.nan, number(X_new)), "eval_set 'validation': Input X contains NaN"),
    (number, (X_new[:1], number(X_new)[:1]), "eval_set 'validation' has one row; a score needs at least two"),
    (number, [X_new, number(X_new)], "eval_set must be .*; 'validation' is ndarray"),
    (number, X_new, r"eval_set must be \(X, y\).*; got ndarray"),
    (number, (X_new,), "eval_set must be"),
    (number, {}, "eval_set must be .*; it is empty"),
    (number, {"a": (X_new, number(X_new)), "validation": (X_new, number(X_new))}, "only the first may be called 'validation'"),
])  # fmt: skip
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_eval_set_that_does_not_fit_is_refused_before_training(y, eval_set, words, solver):
    seen = []
    model = (R if y in (number, numbers) else C)((4,) if y not in (number, numbers) else "squared_error", solver=solver)
    with pytest.raises(ValueError, match=words):
        model.set_callbacks(seen.append).fit(X, y(X), eval_set=eval_set)
    assert not seen


def test_targets_that_the_loss_does_not_allow_in_an_eval_set():
    with pytest.raises(
        ValueError, match="eval_set 'validation': the loss 'gamma' needs y to be finite numbers > 0; row 3"
    ):
        R("gamma").fit(X, np.ones(50), eval_set=(X_new, np.where(np.arange(30) == 3, 0.0, 1.0)))


def test_an_eval_set_may_lack_a_class_also_with_warm_start():
    few = labels(X_new) != "2"
    for start in ({"warm_start": True}, {}):
        model = fitted(labels, (X_new[few], labels(X_new)[few]), **start)
        assert np.isfinite(model.history_["validation_loss"]).all()


# ---------------------------------------------------------------- scorers

SCORERS = [
    (number, "neg_mean_absolute_error"), (number, "r2"), (numbers, "neg_mean_squared_error"),
    (two, "roc_auc"), (two, "neg_log_loss"), (two, "f1_macro"), (labels, "neg_log_loss"), (labels, "balanced_accuracy"),
    (labels, "roc_auc_ovr"), (bits, "f1_samples"), (bits, "roc_auc"),
    (two, make_scorer(log_loss, response_method="predict_proba", greater_is_better=False)),
    (number, lambda model, X, y: -mean_absolute_error(y, model.predict(X))),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize(("y", "scoring"), SCORERS)
def test_any_scorer_of_scikit_learn_may_choose(y, scoring):
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    model = fitted(y, (X_new, y(X_new)), scoring=scoring, early_stopping=True, max_iter=15, learning_rate_init=0.05)
    assert model.best_validation_score_ == pytest.approx(scorer(model, X_new, y(X_new)))
    assert model.best_validation_score_ == max(model.validation_scores_)
    held = fitted(y, scoring=scoring, early_stopping=True, validation_fraction=0.4)
    assert np.isfinite(held.validation_scores_).all()


def test_a_scorer_is_given_the_weights_of_the_rows():
    weights = np.linspace(0.1, 3, 30)
    model = fitted(number, (X_new, number(X_new), weights), scoring="neg_mean_absolute_error")
    expected = -mean_absolute_error(number(X_new), model.predict(X_new), sample_weight=weights)
    assert model.history_["validation_score"][-1] == pytest.approx(expected)
    model = fitted(two, (X_new, two(X_new), weights), scoring="roc_auc", solver="lbfgs")
    expected = roc_auc_score(two(X_new), model.predict_proba(X_new)[:, 1], sample_weight=weights)
    assert model.history_["validation_score"][-1] == pytest.approx(expected)


@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
def test_data_frames_give_no_warnings_of_names(scoring):
    frame, new = (pd.DataFrame(Z, columns=list("abcd")) for Z in (X, X_new))
    model = fitted(two, (new, two(X_new)), frame, scoring=scoring, early_stopping=True)
    assert list(model.feature_names_in_) == list("abcd")
    model = fitted(two, None, frame, scoring=scoring, early_stopping=True)
    assert len(model.validation_scores_) == 5
    with pytest.raises(ValueError, match="eval_set 'validation': The feature names should match"):
        fitted(two, (new[list("abdc")], two(X_new)), frame)


@pytest.mark.parametrize(("settings", "more", "words"), [
    ({"scoring": "aucc"}, {"early_stopping": True}, "aucc"),
    ({"scoring": "r2"}, {}, "scoring='r2' scores rows that are watched, and there are none; set early_stopping=True"),
    ({"scoring": "r2", "solver": "lbfgs"}, {}, "there are none; give eval_set"),
    ({"scoring": "roc_auc"}, {"early_stopping": True}, "scoring='roc_auc' cannot score the rows of 'validation'"),
    ({"scoring": lambda m, X, y: "good"}, {"early_stopping": True}, "cannot score the rows of 'validation': could not convert"),
    ({"scoring": lambda m, X, y: float("nan")}, {"early_stopping": True}, "the score is not a number"),
    ({"scoring": lambda m, X, y: 1.0}, {"early_stopping": True, "sample_weight": np.ones(50)}, "it is given their sample_weight"),
    ({"scoring": "neg_max_error"}, {"early_stopping": True, "sample_weight": np.ones(50)}, "it is given their sample_weight"),
    ({"scoring": ["r2"]}, {"early_stopping": True}, "'scoring' parameter"),
])  # fmt: skip
def test_a_scorer_that_cannot_score_is_refused_before_training(settings, more, words):
    seen = []
    more = dict(more)
    weights = more.pop("sample_weight", None)
    with pytest.raises(ValueError, match=words):
        R(**settings, **more).set_callbacks(seen.append).fit(X, number(X), weights)
    assert not seen


def test_lbfgs_does_not_stop_early():
    with pytest.raises(ValueError, match="early_stopping=True does not go with solver='lbfgs'"):
        fitted(number, (X_new, number(X_new)), solver="lbfgs", early_stopping=True)
    fitted(number, solver="lbfgs", early_stopping=True)  # which scikit-learn does not look at


# ---------------------------------------------------------------- callbacks, limits


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_plain_functions_as_callbacks(solver):
    seen = []

    def stop(event):
        seen.append(event)
        return event.epoch == 3 and "three are enough"

    model = (
        R(hidden_layer_sizes=(5,), solver=solver, random_state=0)
        .set_callbacks(stop)
        .fit(X, number(X), eval_set=(X_new, number(X_new)))
    )
    assert [event.epoch for event in seen] == [1, 2, 3]
    assert model.n_iter_ == 3
    assert model.stopped_because_ == "three are enough"
    assert seen[-1].validation_score == pytest.approx(model.score(X_new, number(X_new)))
    assert_array_equal(model.history_["loss"], [event.loss for event in seen])


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_scikit_learns_callbacks(solver, capsys):
    from sklearn.callback import ProgressBar, ScoringMonitor

    monitor = ScoringMonitor(scoring="r2")
    model = R(hidden_layer_sizes=(5,), solver=solver, max_iter=4, random_state=0).set_callbacks(monitor, ProgressBar())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, number(X))
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(rows) == 4
    assert rows[-1]["r2"] == pytest.approx(model.score(X, number(X)))
    assert "100%" in capsys.readouterr().out


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_loggers_are_callbacks(solver):
    class Writer:
        def __init__(self):
            self.seen = []

        def add_scalar(self, name, value, global_step):
            self.seen.append((name, global_step))

        def log_metric(self, name, value, step):
            self.seen.append((name, step))

    board, flow = Writer(), Writer()
    model = R(solver=solver, max_iter=3).set_callbacks(TensorBoard(writer=board), MLflow(flow))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, number(X), eval_set={"new": (X_new, number(X_new))})
    for seen in (board.seen, flow.seen):
        assert {("loss", 3), ("validation_loss", 1), ("new_score", 2)} <= set(seen)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_max_time_ends_at_an_epoch_and_says_so(solver):
    model = R(solver=solver, max_time=1e-9, max_iter=50).fit(X, number(X))  # no warning: it was asked for
    assert model.n_iter_ == 1
    assert model.stopped_because_ == "the time limit of 1e-09 s was reached"


@pytest.mark.parametrize(("settings", "because"), [
    ({"max_iter": 2}, "all 2 epochs were done"),
    ({"tol": 10.0, "n_iter_no_change": 1}, "Training loss did not improve more than tol=10.000000 for 1 consecutive epochs."),
    ({"tol": 10.0, "n_iter_no_change": 1, "early_stopping": True}, "Validation score did not improve"),
    ({"solver": "lbfgs"}, "CONVERGENCE"),
    ({"solver": "lbfgs", "max_iter": 2}, "ITERATIONS"),
])  # fmt: skip
def test_why_it_stopped_is_kept(settings, because):
    assert because in fitted(number, **{"max_iter": 200, "tol": 1e-2, **settings}).stopped_because_


def test_warnings_point_at_the_line_that_called_fit():
    for make in (
        lambda: R(max_iter=1).fit(X, number(X)),
        lambda: C(max_iter=1).set_callbacks(lambda event: None).fit(X, two(X)),
        lambda: R(max_iter=1, batch_size=99, tol=10.0).fit(X, number(X)),
        lambda: GridSearchCV(R(max_iter=1), {"alpha": [0.0]}, cv=2).fit(X, number(X)),
    ):
        with pytest.warns() as caught:
            make()
        assert {w.filename for w in caught} == {__file__}


# ---------------------------------------------------------------- copies and searches

MORE = {"dropout": [0.2], "averaging": 0.5, "learning_rate": ("cosine", {"end": 0.1}), "warm_up": 0.2,
        "solver": ("rmsprop", {"rho": 0.95}), "clip_norm": 1.0, "activation": [("leaky_relu", {"alpha": 0.2})],
        "scoring": "neg_log_loss", "early_stopping": True, "class_weight": "balanced", "label_smoothing": 0.1,
        "weight_decay": 0.01, "l1": 0.01, "frozen": [2]}  # fmt: skip


def test_parameters_are_cloned_set_pickled_and_searched():
    model = fitted(labels, **MORE)
    assert {k: model.get_params()[k] for k in MORE} == MORE
    again = clone(model)
    assert {k: again.get_params()[k] for k in MORE} == MORE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert_array_equal(again.fit(X, labels(X)).network_.w, model.network_.w)
        for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
            assert_array_equal(other.predict_proba(X), model.predict_proba(X))
            assert_array_equal(other.fit(X, labels(X)).network_.w, model.network_.w)
        grid = {"dropout": [0.0, 0.5], "solver": ["adam", ("rmsprop", {"rho": 0.9})], "activation": ["tanh", [np.tanh]],
                "loss": ["log_loss", "squared_error"], "learning_rate": ["constant", "cosine"]}  # fmt: skip
        search = GridSearchCV(C((4,), max_iter=2, n_threads=1, random_state=0), grid, cv=2, scoring="neg_log_loss").fit(
            X, labels(X)
        )
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_model_with_a_schedule_can_be_pickled_and_goes_on():
    model = fitted(number, learning_rate="cosine", warm_up=0.2)
    other = pickle.loads(pickle.dumps(model)).set_params(learning_rate="constant", warm_up=0.0)
    model.set_params(learning_rate="constant", warm_up=0.0)
    assert_array_equal(other.partial_fit(X, number(X)).network_.w, model.partial_fit(X, number(X)).network_.w)


@pytest.mark.parametrize("y", [number, labels])
def test_a_pickle_from_before_a_parameter_was_there_takes_its_default(y):
    model = fitted(y, alpha=0.5)
    old = pickle.loads(pickle.dumps(model))
    for name in ("n_init", "initialiser"):
        del old.__dict__[name]
    again = pickle.loads(pickle.dumps(old))
    assert again.get_params() == model.get_params()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert_array_equal(again.fit(X, y(X)).network_.w, model.network_.w)


class Derived(R):
    def __init__(self, alpha=0.5, hidden_layer_sizes=(6,)):
        super().__init__(alpha=alpha, hidden_layer_sizes=hidden_layer_sizes, max_iter=5, random_state=0)


def test_a_pickle_of_a_derived_class_does_so_too():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = Derived().fit(X, number(X))
        old = pickle.loads(pickle.dumps(model))
        del old.__dict__["n_init"]
        again = pickle.loads(pickle.dumps(old)).fit(X, number(X))
    assert_array_equal(again.network_.w, model.network_.w)


@pytest.mark.parametrize("settings", [{"dropout": 0.3}, {"averaging": 0.5}, {"learning_rate": "cosine"}, {"l1": 0.1}])
def test_a_warm_start_goes_on_from_the_weights(settings):
    model = fitted(number, warm_start=True, max_iter=2, **settings)
    before = model.network_.w.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(learning_rate_init=1e-9).fit(X, number(X), eval_set=(X_new, number(X_new)))
    assert np.max(np.abs(model.network_.w - before)) < 1e-6
    assert len(model.history_) == 4
    assert model.history_["validation_loss"][:2] == [None, None]


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_warm_start_takes_the_activation_that_is_asked_for_now(solver):
    from sklearn.neural_network import MLPRegressor as Theirs

    def twice(cls):
        model = cls(hidden_layer_sizes=(5,), solver=solver, warm_start=True, max_iter=3, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(X, number(X)).set_params(activation="tanh").fit(X, number(X))

    np.testing.assert_allclose(twice(R).predict(X), twice(Theirs).predict(X), rtol=1e-6)
    assert r2_score(number(X), twice(R).predict(X)) == pytest.approx(twice(R).score(X, number(X)))
