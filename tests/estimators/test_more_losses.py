"""What scikit-learn's networks have not: losses and activations, by name and of one's own, through the estimators."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import d2_pinball_score, mean_gamma_deviance, mean_poisson_deviance, mean_tweedie_deviance

import chainrule as cr
from chainrule.network import LOSSES

C, R = cr.MLPClassifier, cr.MLPRegressor
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
TARGETS = {
    "binary": np.where(X[:, 0] + X[:, 1] > 0, "yes", "no"),
    "classes": np.digitize(X[:, 0], [-0.5, 0.5]),
    "multilabel": (X[:, :3] > 0).astype(int),
    "number": X[:, 0] * X[:, 1],
    "numbers": X[:, :2] ** 2,
}
CLASSES = ("binary", "classes", "multilabel")


def fitted(task, **settings):
    """A small network after a few epochs, without the warning that they are few."""
    settings = {"hidden_layer_sizes": (6,), "max_iter": 4, "random_state": 0, "batch_size": 20, **settings}
    y = settings.pop("y", TARGETS[task])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (C if task in CLASSES else R)(**settings).fit(settings.pop("X", X), y)


def same_weights(one, other, rtol=1e-9):
    assert_allclose(one.network_.w, other.network_.w, rtol=rtol, atol=1e-11)


def cross_entropy(y, p):
    return -y * np.log(p)


def binary_cross_entropy(y, p):
    return -y * np.log(p) - (1 - y) * np.log(1 - p)


def half_square(y, p):
    return 0.5 * (y - p) ** 2


OWN = {"binary": binary_cross_entropy, "classes": cross_entropy, "multilabel": binary_cross_entropy,
       "number": half_square, "numbers": half_square}  # fmt: skip


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("task", TARGETS)
def test_a_loss_of_ones_own_trains_as_the_built_in_one(task, solver):
    built_in = fitted(task, solver=solver, alpha=0.0)
    own = fitted(task, solver=solver, loss=OWN[task], alpha=0.0)
    same_weights(own, built_in, 1e-6)
    assert own.loss_ == pytest.approx(
        built_in.loss_ * (2 if task == "numbers" else 1), rel=1e-6
    )  # ours is a mean there
    assert own.network_.layout.output == built_in.network_.layout.output
    assert_allclose(own.predict_proba(X) if task in CLASSES else own.predict(X),
                    built_in.predict_proba(X) if task in CLASSES else built_in.predict(X), rtol=1e-6)  # fmt: skip


@pytest.mark.parametrize("task", CLASSES)
@pytest.mark.parametrize("loss", ["squared_error", ("huber", {"delta": 0.3}), LOSSES["squared"], "absolute"])
def test_a_classifier_takes_losses_of_its_probabilities_by_name(task, loss):
    model = fitted(task, loss=loss)
    assert np.all((model.predict_proba(X) >= 0) & (model.predict_proba(X) <= 1))
    if loss in ("squared_error", LOSSES["squared"]):
        same_weights(model, fitted(task, loss=half_square))
    assert np.any(np.abs(model.network_.w - fitted(task).network_.w) > 1e-4)
    assert model.out_activation_ == fitted(task).out_activation_


def test_the_row_of_a_loss_serves_where_its_link_does():
    same_weights(fitted("binary", loss=LOSSES["binary_cross_entropy"]), fitted("binary"))
    same_weights(fitted("classes", loss=LOSSES["softmax_cross_entropy"]), fitted("classes"))
    for task, loss in (("classes", "binary_cross_entropy"), ("binary", "softmax_cross_entropy"), ("binary", "poisson")):
        with pytest.raises(ValueError, match=f"the loss '{loss}' goes with the output activation"):
            fitted(task, loss=LOSSES[loss])


def test_the_name_of_a_loss_of_ones_own_means_nothing():
    def squared(y, p):
        return half_square(y, p)

    assert fitted("numbers", loss=squared).loss_ == fitted("numbers", loss=half_square).loss_


def test_a_focal_loss_of_ones_own_learns():
    def focal(y, p):
        return -np.sum(y * (1 - p) ** 2 * np.log(p), axis=-1)

    model = fitted("classes", loss=focal, max_iter=60, learning_rate_init=0.02)
    assert model.score(X, TARGETS["classes"]) > 0.9
    Y = np.eye(3)[TARGETS["classes"]]
    assert model.history_["loss"][-1] < focal(Y, fitted("classes", max_iter=1).predict_proba(X)).mean() / 2


def test_a_loss_that_needs_numbers_above_one_may_be_written():
    own = fitted("number", y=np.abs(TARGETS["number"]) + 2, loss=lambda y, p: np.log(y - 1.0) * (y - p) ** 2)
    assert np.isfinite(own.loss_)


@pytest.mark.parametrize(("own", "name"), [(np.tanh, "tanh"), (lambda z: np.maximum(z, 0.0), "relu"), (lambda z: z.clip(-np.inf, 0) * 0.2 + np.clip(z, 0, None), ("leaky_relu", {"alpha": 0.2})),
                                       (lambda z: np.where(z > 0, z, 0.2 * z), ("leaky_relu", {"alpha": 0.2}))])  # fmt: skip
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_activation_of_ones_own_trains_as_the_built_in_one(own, name, solver):
    same_weights(
        fitted("number", activation=own, solver=solver), fitted("number", activation=name, solver=solver), 1e-6
    )


def test_parametric_activations_take_their_numbers():
    at = {a: fitted("number", activation=("leaky_relu", {"alpha": a})).predict(X) for a in (0.2, 0.4)}
    assert np.any(at[0.2] != at[0.4])
    assert_allclose(at[0.2], fitted("number", activation=lambda z: np.maximum(z, 0.2 * z)).predict(X))


def test_an_activation_for_each_layer():
    mixed = fitted("number", hidden_layer_sizes=(5, 4), activation=["tanh", "relu"])
    A, b = mixed.coefs_, mixed.intercepts_
    by_hand = np.maximum(np.tanh(X @ A[0] + b[0]) @ A[1] + b[1], 0) @ A[2] + b[2]
    assert_allclose(mixed.predict(X), by_hand.ravel())
    same_weights(fitted("number", hidden_layer_sizes=(5, 4), activation=["tanh", "tanh"]),
                 fitted("number", hidden_layer_sizes=(5, 4), activation="tanh"), 0)  # fmt: skip


@pytest.mark.parametrize("spelt", ["sigmoid", ["logistic"], ("sigmoid", {})])
def test_logistic_begins_the_same_however_it_is_spelt(spelt):
    assert_array_equal(C((4,), "logistic", random_state=0).initialize(X, TARGETS["binary"]).network_.w,
                       C((4,), spelt, random_state=0).initialize(X, TARGETS["binary"]).network_.w)  # fmt: skip


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("task", ["number", "numbers"])
@pytest.mark.parametrize("loss", ["huber", "absolute", ("huber", {"delta": 0.1}), "mae"])
def test_robust_losses_learn(loss, task, solver):
    model = fitted(task, loss=loss, solver=solver, max_iter=80, learning_rate_init=0.01)
    assert model.score(X, TARGETS[task]) > 0.4


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(("loss", "deviance"), [
    ("poisson", mean_poisson_deviance), ("gamma", mean_gamma_deviance),
    (("tweedie", {"power": 1.3}), lambda y, p: mean_tweedie_deviance(y, p, power=1.3)),
])  # fmt: skip
def test_deviances_are_half_of_scikit_learns_metrics(loss, deviance, solver):
    y = np.exp(X[:, 0]) + 0.1
    model = fitted("number", y=y, loss=loss, solver=solver, max_iter=60, learning_rate_init=0.02, alpha=0.0)
    assert model.out_activation_ == "exp"
    prediction = model.predict(X)
    assert prediction.min() > 0
    watched = fitted("number", y=y, loss=loss, solver=solver, max_iter=1, alpha=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        watched.fit(X, y, eval_set=(X, y))
    assert watched.history_["validation_loss"][-1] == pytest.approx(0.5 * deviance(y, watched.predict(X)))
    assert deviance(y, prediction) < 0.5 * deviance(y, np.full(60, y.mean()))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_several_quantiles_never_cross(solver):
    y = X[:, 0] + rng.normal(size=60)
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    model = fitted("number", y=y, loss=("quantile", {"levels": levels}), solver=solver, max_iter=150, batch_size=60,
                   learning_rate_init=0.02)  # fmt: skip
    q = model.predict(rng.normal(size=(500, 4)) * 20)
    assert q.shape == (500, 5)
    assert np.all(np.diff(q, axis=1) >= 0)
    covered = np.mean(y[:, None] <= model.predict(X), axis=0)
    assert_allclose(covered, levels, atol=0.2)
    each = [d2_pinball_score(y, q, alpha=a) for a, q in zip(levels, model.predict(X).T, strict=True)]
    assert model.score(X, y) == pytest.approx(np.mean(each))
    weights = np.arange(60.0)
    each = [
        d2_pinball_score(y, q, alpha=a, sample_weight=weights) for a, q in zip(levels, model.predict(X).T, strict=True)
    ]
    assert model.score(X, y, weights) == pytest.approx(np.mean(each))


def test_one_quantile_is_one_column_and_early_stopping_watches_its_score():
    model = fitted("number", loss="quantile", early_stopping=True, validation_fraction=0.3)
    assert model.predict(X).shape == (60,)
    several = fitted("number", loss=("quantile", {"levels": [0.1, 0.9]}), early_stopping=True, validation_fraction=0.3)
    assert several.predict(X).shape == (60, 2)
    assert several.validation_scores_[-1] <= several.best_validation_score_


def unrecordable(z):
    return z if z > 0 else 0.0 * z


@pytest.mark.parametrize(("task", "settings", "words"), [
    ("number", {"loss": ("quantile", {"levels": (0.5, 1.5)})}, r"each of the levels of the loss 'quantile' must be a number in \(0, 1\), got 1.5"),
    ("number", {"loss": ("quantile", {"levels": (0.5, 0.1)})}, "ascending order"),
    ("number", {"loss": ("quantile", {"level": 0.5})}, "no parameter 'level'"),
    ("numbers", {"loss": "quantile"}, r"loss='quantile' has its outputs for one target, y has 2"),
    ("number", {"loss": "gamma", "y": np.r_[np.ones(59), 0.0]}, r"the loss 'gamma' needs y to be finite numbers > 0; row 59"),
    ("number", {"loss": "tweedie", "y": np.r_[-1.0, np.ones(59)]}, r"the loss 'tweedie' needs y to be finite numbers ≥ 0; row 0"),
    ("number", {"loss": "poisson", "y": np.r_[-1.0, np.ones(59)]}, "row 0 of y"),
    ("number", {"loss": ("tweedie", {"power": 2.5})}, r"power of the loss 'tweedie' must be a number in \(1, 2\)"),
    ("number", {"loss": ("huber", {"delta": -1})}, r"delta of the loss 'huber' must be a number in \(0, inf\)"),
    ("number", {"loss": "hubert"}, "The 'loss' parameter of MLPRegressor must be"),
    ("number", {"loss": ("hubert", {})}, "there is no loss 'hubert'. Did you mean 'huber'"),
    ("binary", {"loss": "poisson"}, "The 'loss' parameter of MLPClassifier must be"),
    ("binary", {"loss": ("poisson", {})}, "the loss 'poisson' goes with the output activation 'exp'"),
    ("number", {"loss": lambda y, p: np.mean((y - p) ** 2)}, "must return one number for each output"),
    ("number", {"loss": lambda y, p: (y - p) ** 2 * np.mean(p)}, "must take each row alone"),
    ("number", {"loss": lambda y, p: (y - p) ** 2 if y > p else y - p}, "the loss '<lambda>' does not work on arrays"),
    ("number", {"loss": lambda y, p: np.linalg.norm(y - p, axis=-1, ord=4)}, "the loss '<lambda>' cannot be recorded"),
    ("number", {"activation": lambda z: np.sum(z) + 0 * z}, "one number for each element of z"),
    ("number", {"activation": lambda z: 1.0}, "one number for each element of z"),
    ("number", {"activation": lambda z: np.fft.fft(z)}, "the activation '<lambda>' cannot be recorded"),
    ("numbers", {"loss": lambda y, p: np.sum((y - p) ** 2, axis=1)}, "write axis=-1 for axis=1"),
    ("number", {"activation": unrecordable}, "the activation 'unrecordable' cannot be recorded"),
    ("number", {"activation": lambda z: z - np.mean(z, axis=-1, keepdims=True)}, "activation '<lambda>'"),
    ("number", {"activation": "rellu"}, "there is no activation 'rellu'. Did you mean 'relu'"),
    ("number", {"activation": ("leaky_relu", {"beta": 1})}, "no parameter 'beta'"),
    ("number", {"activation": ("relu", "tanh"), "hidden_layer_sizes": (3, 3)}, "activation must be a name, .*a list with one for each layer"),
    ("number", {"loss": ("huber", 0.3)}, r"loss must be a name, a function, or \(name, {number: value}\); got \('huber', 0.3\)"),
    ("binary", {"loss": ("huber",)}, "loss must be a name, a function, or"),
    ("number", {"activation": [None]}, "activation must be a name or a row, got None"),
    ("number", {"hidden_layer_sizes": ["a"]}, "hidden_layer_sizes must be whole numbers > 0, got 'a'"),
    ("number", {"hidden_layer_sizes": [[3]]}, "hidden_layer_sizes must be whole numbers > 0"),
    ("number", {"activation": "softmax"}, "couples the units of a layer"),
    ("number", {"activation": ["relu"], "hidden_layer_sizes": (3, 3)}, "activation has 1 entries for 2 hidden layers"),
    ("number", {"activation": ["relu", "rellu"], "hidden_layer_sizes": (3, 3)}, "there is no activation 'rellu'"),
    ("binary", {"label_smoothing": 1.0}, "'label_smoothing' parameter"),
])  # fmt: skip
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_what_is_no_loss_or_activation_is_refused_before_training(task, settings, words, solver):
    seen = []
    settings = dict(settings)
    y = settings.pop("y", TARGETS[task])
    model = (C if task in CLASSES else R)(**{"hidden_layer_sizes": (3,), "max_iter": 2, "solver": solver, **settings})
    with pytest.raises((ValueError, TypeError), match=words) as found:
        model.set_callbacks(seen.append).fit(X, y)
    assert not seen
    assert "\n" not in str(found.value).strip()


@pytest.mark.parametrize("what", ["loss", "activation"])
def test_what_could_not_be_saved_cannot_be_trained(what, tmp_path):
    """A function that cannot be recorded is refused before training, so what was trained can always be saved."""
    from chainrule.interchange import check_can_be_saved

    refused = {"loss": lambda y, p: np.sort(y - p, axis=-1) ** 2, "activation": unrecordable}[what]
    with pytest.raises(ValueError, match=r"recorded|does not hold"):
        check_can_be_saved(R(**{what: refused}))
    with pytest.raises(ValueError, match="recorded"):
        R(**{what: refused}).fit(X, TARGETS["number"])
    good = {"loss": lambda y, p: np.log(np.cosh(y - p)), "activation": lambda z: np.sin(z) * 0.5 + z}[what]
    model = fitted("number", **{what: good})
    cr.save(model, tmp_path / "own.chainrule")
    assert_array_equal(cr.load(tmp_path / "own.chainrule").predict(X), model.predict(X))
