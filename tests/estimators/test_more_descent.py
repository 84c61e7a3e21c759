"""What scikit-learn's networks have not: how the weights move, through the estimators, against the eager tape."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

import chainrule as cr
from chainrule.descent import METHODS, SCHEDULES, Method, get_schedule, warm_up
from chainrule.engine.dropout import dropout_factors
from chainrule.estimators import blocks
from chainrule.estimators.class_weights import class_weights
from chainrule.estimators.settings import _dropout_seed
from chainrule.network.layout import eager_error, forward

C, R = cr.MLPClassifier, cr.MLPRegressor
rng = np.random.default_rng(0)
X = rng.normal(size=(30, 4))
y = X[:, 0] * X[:, 1] + 0.5
LABELS = np.where(X[:, 0] > 0.5, "c", np.where(X[:, 1] > 0, "b", "a"))
Y = (LABELS[:, None] == ["a", "b", "c"]).astype(float)
BITS = (X[:, :3] > 0.4).astype(int)
STEP = 0.1


def quietly(model, *data, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(*data, **more)


def plain(cls=R, **settings):
    """One epoch of plain gradient descent is one step: what a step does is seen in the weights."""
    settings = {"hidden_layer_sizes": (5, 4), "activation": "tanh", "solver": "gradient_descent", "alpha": 0.0,
                "batch_size": 30, "shuffle": False, "learning_rate_init": STEP, "max_iter": 1, "random_state": 3,
                **settings}  # fmt: skip
    return cls(**settings)


def first(cls=R, target=y, **settings):
    """(layout, w) as training begins."""
    net = plain(cls, **settings).initialize(X, target).network_
    return net.layout, net.w.copy()


def gradient(layout, loss, w, targets, weights=None, keep=()):
    """Of the mean error, by the tape."""
    mass = len(X) if weights is None else weights.sum()
    loss = cr.network.get_loss(loss) if isinstance(loss, str) else loss
    return cr.grad(lambda w: eager_error(layout, loss, w, X, targets, weights, keep) / mass)(w)


def moved(model, target=y, **more):
    return quietly(model, X, target, **more).network_.w


def test_a_step_of_gradient_descent_is_minus_gamma_times_the_gradient():
    layout, w = first()
    assert_allclose(moved(plain()), w - STEP * gradient(layout, "squared", w, y[:, None]), rtol=1e-10)


# ---------------------------------------------------------------- class weights, smoothing

CLASS_WEIGHTS = [
    ({"a": 1.0, "b": 2.0, "c": 5.0}, [1.0, 2.0, 5.0]),
    ({"c": 3}, [1.0, 1.0, 3.0]),
    ("balanced", 10.0 / Y.sum(axis=0)),
]


@pytest.mark.parametrize(("given", "of_class"), CLASS_WEIGHTS)
@pytest.mark.parametrize("sample_weight", [None, np.linspace(0, 2, 30)])
def test_class_weights_multiply_the_weights_of_rows(given, of_class, sample_weight):
    layout, w = first(C, LABELS)
    weights = (Y @ of_class) * (1 if sample_weight is None else sample_weight)
    g = gradient(layout, "softmax_cross_entropy", w, Y, weights)
    assert_allclose(moved(plain(C, class_weight=given), LABELS, sample_weight=sample_weight), w - STEP * g, rtol=1e-9)
    whole = plain(C, class_weight=given, solver="lbfgs", max_iter=5)
    other = plain(C, solver="lbfgs", max_iter=5)
    assert_allclose(
        moved(whole, LABELS, sample_weight=sample_weight), moved(other, LABELS, sample_weight=weights), rtol=1e-6
    )


def test_class_weights_of_two_classes_and_of_several_labels():
    layout, w = first(C, BITS[:, 0])
    weights = np.where(BITS[:, 0], 4.0, 0.5)
    g = gradient(layout, "binary_cross_entropy", w, BITS[:, :1], weights)
    assert_allclose(moved(plain(C, class_weight={0: 0.5, 1: 4.0}), BITS[:, 0]), w - STEP * g, rtol=1e-9)
    from sklearn.utils.class_weight import compute_sample_weight

    for spec in ([{0: 1, 1: 3}, {0: 2, 1: 1}, {0: 1, 1: 1}], "balanced"):
        layout, w = first(C, BITS)
        g = gradient(layout, "binary_cross_entropy", w, BITS, compute_sample_weight(spec, BITS))
        assert_allclose(moved(plain(C, class_weight=spec), BITS), w - STEP * g, rtol=1e-9)


def test_class_weights_in_partial_fit_do_not_mind_a_class_that_a_part_lacks():
    model = plain(C, class_weight={"c": 3.0})
    few = LABELS != "c"
    model.set_params(batch_size=5)
    model.partial_fit(X[few], LABELS[few], classes=["a", "b", "c"])
    unweighted = plain(C, batch_size=5).partial_fit(X[few], LABELS[few], classes=["a", "b", "c"])
    assert_array_equal(model.network_.w, unweighted.network_.w)
    assert_array_equal(class_weights({"c": 3.0}, ["a", "b", "c"], Y[few], multilabel=False), np.ones(few.sum()))
    with pytest.raises(ValueError, match="class_weight='balanced' needs all rows at once"):
        plain(C, class_weight="balanced").partial_fit(X, LABELS, classes=["a", "b", "c"])


@pytest.mark.parametrize(("given", "target", "words"), [
    ({"d": 2.0}, LABELS, "class_weight has 'd', which is no class of y; they are a, b, c"),
    ({"a": -1.0}, LABELS, r"class_weight\['a'\] must be a number in \[0, inf\), got -1.0"),
    ({"a": 0.0, "b": 0, "c": 0}, LABELS, "gives no class any weight"),
    ({"a": "much"}, LABELS, r"class_weight\['a'\] must be a number"),
    ([{0: 1}], LABELS, "class_weight must be {label: weight} or 'balanced' for labels"),
    ({0: 1}, BITS, "class_weight must be 'balanced' or a list of 3"),
    ([{0: 1}] * 2, BITS, "class_weight must be 'balanced' or a list of 3"),
    ([1.0] * 3, BITS, "class_weight must be {label: weight}, got 1.0"),
    ("equal", LABELS, "The 'class_weight' parameter of MLPClassifier"),
])  # fmt: skip
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_class_weights_that_are_none(given, target, words, solver):
    seen = []
    with pytest.raises((ValueError, TypeError), match=words):
        plain(C, class_weight=given, solver=solver).set_callbacks(seen.append).fit(X, target)
    assert not seen


@pytest.mark.parametrize(("target", "encoded", "loss"), [(LABELS, Y, "softmax_cross_entropy"),
                                                   (BITS[:, 0], BITS[:, :1], "binary_cross_entropy"),
                                                   (BITS, BITS, "binary_cross_entropy")])  # fmt: skip
def test_label_smoothing(target, encoded, loss):
    layout, w = first(C, target)
    count = 3 if loss.startswith("softmax") else 2
    smooth = 0.8 * encoded + 0.2 / count
    model = plain(C, label_smoothing=0.2)
    assert_allclose(moved(model, target), w - STEP * gradient(layout, loss, w, smooth), rtol=1e-9)
    row = cr.network.get_loss(loss)
    assert model.history_["loss"][0] == pytest.approx(eager_error(layout, row, w, X, smooth) / 30)
    # held-out rows have the labels that they have
    model = plain(C, label_smoothing=0.2)
    w = moved(model, target, eval_set=(X, target))
    assert model.history_["validation_loss"][0] == pytest.approx(eager_error(layout, row, w, X, encoded) / 30)
    lbfgs = plain(C, label_smoothing=0.2, solver="lbfgs", max_iter=200)
    assert moved(lbfgs, target) is not None
    assert lbfgs.predict_proba(X).max() < 0.95


# ---------------------------------------------------------------- dropout


@pytest.mark.parametrize(
    ("dropout", "rates"), [(0.5, (0.5, 0.5)), ([0.0, 0.3], (0.0, 0.3)), (np.array([0.2, 0]), (0.2, 0))]
)
def test_dropout_drops_in_training_only(dropout, rates):
    layout, w = first()
    model = plain(dropout=dropout)
    seed = _dropout_seed(_after_first_weights(layout))
    keep = [dropout_factors(seed, 1, l, np.arange(30), D, rate) if rate else 1.0
            for l, D, rate in zip((1, 2), (5, 4), rates, strict=True)]  # fmt: skip
    assert_allclose(moved(model), w - STEP * gradient(layout, "squared", w, y[:, None], keep=keep), rtol=1e-9)
    assert_allclose(model.predict(X), forward(layout, model.network_.w, X)[1].ravel())


def _after_first_weights(layout):
    """The generator as it stands when the first weights are drawn."""
    found = np.random.RandomState(3)
    for A, b in zip(*layout.views(np.empty(layout.K)), strict=True):
        found.uniform(size=A.shape), found.uniform(size=b.shape)
    return found


def test_dropout_leaves_the_order_of_rows_and_of_weights():
    settings = {"solver": "adam", "shuffle": True, "batch_size": 10, "max_iter": 3}
    none, all_but_none = plain(**settings), plain(**settings, dropout=1e-9)
    assert_allclose(moved(all_but_none), moved(none), rtol=1e-6)
    assert_array_equal(moved(plain(**settings, dropout=[0, 0.0])), none.network_.w)


@pytest.mark.parametrize("early", [{"early_stopping": True}, {}])
def test_held_out_rows_are_looked_at_without_dropout(early):
    model = plain(dropout=0.5, max_iter=4, **early)
    moved(model, eval_set=(X, y))
    best = int(np.argmax(model.history_["validation_score"])) if early else 3
    assert model.history_["validation_score"][best] == pytest.approx(model.score(X, y))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_dropout_on_a_large_sparse_table_has_the_bits_of_the_dense_one(shuffle, weighted, monkeypatch):
    settings = {"dropout": 0.4, "solver": "adam", "max_iter": 3, "batch_size": 4, "shuffle": shuffle,
                "class_weight": {"c": 2.0}, "averaging": 0.5, "learning_rate": "cosine"}  # fmt: skip
    more = {"sample_weight": np.linspace(0.5, 2, 30)} if weighted else {}
    dense = moved(plain(C, **settings), LABELS, **more)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 8 * 4 * 9)
    sparse = quietly(plain(C, **settings), sp.csr_matrix(X), LABELS, **more)
    assert_array_equal(sparse.network_.w, dense)


def test_dropout_is_the_same_for_any_number_of_threads_and_goes_on_in_partial_fit():
    settings = {"dropout": 0.4, "solver": "adam", "hidden_layer_sizes": (64, 64)}
    assert_array_equal(moved(plain(**settings, n_threads=1)), moved(plain(**settings, n_threads=2)))
    twice = plain(**settings, learning_rate_init=1e-9).partial_fit(X, y)
    before = twice.network_.w.copy()
    losses = [twice.partial_fit(X, y).history_["loss"][-1] for _ in range(2)]
    assert np.max(np.abs(before - twice.network_.w)) < 1e-7
    assert abs(losses[0] - losses[1]) > 1e-6  # another mask at every step


# ---------------------------------------------------------------- penalties, decay, clipping, averages, frozen layers


def test_l1_and_alpha_are_divided_by_the_rows():
    layout, w = first()
    g = gradient(layout, "squared", w, y[:, None])
    n = layout.n_weights
    g[:n] += (0.3 * np.sign(w[:n]) + 0.2 * w[:n]) / 30
    assert_allclose(moved(plain(l1=0.3, alpha=0.2)), w - STEP * g, rtol=1e-9)


def test_weight_decay_shrinks_the_weights_and_not_the_biases():
    layout, w = first()
    g = gradient(layout, "squared", w, y[:, None])
    n = layout.n_weights
    shrunk = np.concatenate([w[:n] * (1 - STEP * 0.25), w[n:]])
    assert_allclose(moved(plain(weight_decay=0.25)), shrunk - STEP * g, rtol=1e-9)
    settings = {"max_iter": 3, "learning_rate_init": 0.01}
    for solver in ("sgd", "adam"):
        assert np.any(
            moved(plain(solver=solver, weight_decay=0.1, **settings)) != moved(plain(solver=solver, **settings))
        )


def test_adamw_has_its_decay_by_default():
    settings = {"max_iter": 3, "learning_rate_init": 0.01}
    default = moved(plain(solver="adamw", **settings))
    assert_allclose(default, moved(plain(solver="adamw", weight_decay=0.01, **settings)), rtol=0)
    assert_allclose(default, moved(plain(solver=("adamw", {"decay": 0.01}), **settings)), rtol=0)
    assert_allclose(default, moved(plain(solver="adam", weight_decay=0.01, **settings)), rtol=1e-9)
    assert_allclose(moved(plain(solver="adamw", weight_decay=0.0, **settings)), moved(plain(solver="adam", **settings)))


def test_clipping_shortens_a_longer_gradient():
    layout, w = first()
    g = gradient(layout, "squared", w, y[:, None])
    size = np.linalg.norm(g)
    assert_allclose(moved(plain(clip_norm=size / 4)), w - STEP * g / 4, rtol=1e-8)
    assert_array_equal(moved(plain(clip_norm=2 * size)), moved(plain()))


def test_the_average_is_watched_and_kept():
    beta, points = 0.6, [first()[1]]
    model = plain(max_iter=4)
    for k in range(1, 5):
        points.append(moved(plain(max_iter=k)))
    shares = beta ** np.arange(3, -1, -1)
    average = shares @ np.array(points[1:]) / shares.sum()
    model = plain(max_iter=4, averaging=beta)
    assert_allclose(moved(model, eval_set=(X, y)), average, rtol=1e-9)
    assert model.history_["validation_score"][-1] == pytest.approx(model.score(X, y))
    assert_array_equal(moved(plain(max_iter=4, averaging=0.0)), points[-1])


@pytest.mark.parametrize("solver", ["adam", "sgd", "adamw"])
def test_frozen_layers_keep_their_weights(solver):
    settings = {"frozen": [1, 3], "solver": solver, "l1": 0.1, "weight_decay": 0.1, "alpha": 0.1, "max_iter": 3}
    before = plain(**settings).initialize(X, y).network_
    model = plain(**settings)
    moved(model)
    for l, same in ((1, True), (2, False), (3, True)):
        assert np.array_equal(before.A[l], model.network_.A[l]) == same
        assert np.array_equal(before.b[l], model.network_.b[l]) == same


# ---------------------------------------------------------------- methods, schedules


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_a_solver(name):
    row, settings = METHODS[name], {"max_iter": 3, "learning_rate_init": 0.02}
    own = {k: getattr(R(), k) for k in row.defaults if hasattr(R(), k)}
    hyper = {**row.defaults, **own, "step": 0.02}
    layout, w = first()
    state = tuple(np.zeros_like(w) for _ in row.state)
    n = layout.n_weights
    for t in range(1, 4):
        g = gradient(layout, "squared", w, y[:, None])
        if "decay" in hyper:
            w, hyper = np.concatenate([w[:n] * (1 - 0.02 * hyper["decay"]), w[n:]]), {**hyper, "decay": 0.0}
        w, state = row.advance(w, g, state, t=float(t), **hyper)
        hyper["decay"] = row.defaults.get("decay", 0.0) if "decay" in row.defaults else hyper.pop("decay", None)
        hyper = {k: v for k, v in hyper.items() if k in row.defaults}
    assert_allclose(moved(plain(solver=name, **settings)), w, rtol=1e-7)
    assert_allclose(moved(plain(solver=row, **settings)), w, rtol=1e-7)
    if name not in ("gradient_descent",):
        assert plain(solver=name).partial_fit(X, y).partial_fit(X, y).t_ == 60


def test_hyperparameters_come_with_the_solver():
    rms = {rho: moved(plain(solver=("rmsprop", {"rho": rho}), max_iter=3)) for rho in (0.9, 0.99)}
    assert_array_equal(rms[0.9], moved(plain(solver="rmsprop", max_iter=3)))
    assert np.any(rms[0.9] != rms[0.99])
    assert_array_equal(
        moved(plain(solver=("adam", {"beta_1": 0.5}), max_iter=3)), moved(plain(solver="adam", beta_1=0.5, max_iter=3))
    )
    signs = Method("signs", lambda w, g, t, step: w - step * np.sign(g), (), {"step": 0.25})
    layout, w = first()
    assert_allclose(moved(plain(solver=signs)), w - STEP * np.sign(gradient(layout, "squared", w, y[:, None])))


SPECS = [*SCHEDULES, ("step_decay", {"drop": 0.5, "stairs": 2}), get_schedule("cosine").configured(end=0.5)]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("rise", [0.0, 0.4])
def test_a_schedule_sets_the_size_of_every_step(spec, rise):
    row = spec if not isinstance(spec, tuple) else get_schedule(spec[0]).configured(**spec[1])
    row = warm_up(row, rise) if rise else get_schedule(row)
    model = plain(learning_rate=spec, warm_up=rise, max_iter=3, batch_size=10)
    layout, w = first()
    for t in range(9):
        rows = slice(10 * (t % 3), 10 * (t % 3) + 10)
        g = cr.grad(lambda w: eager_error(layout, cr.network.get_loss("squared"), w, X[rows], y[rows, None]) / 10)(w)  # noqa: B023
        w = w - STEP * row(t, 9) * g
    assert_allclose(moved(model), w, rtol=1e-8)
    last = [STEP * row(t, 9) for t in (2, 5, 8)]
    assert_allclose(model.history_["step_size"], last, atol=1e-15)


def test_a_schedule_with_a_step_size_of_its_own():
    model = plain(learning_rate=0.02 * get_schedule("linear"), max_iter=2)
    moved(model)
    assert_allclose(model.history_["step_size"], [0.02, 0.01])


def test_all_epochs_of_a_schedule_are_no_failure():
    plain(learning_rate="cosine", tol=0.0, n_iter_no_change=100, max_iter=3).fit(X, y)  # warnings are errors here
    with pytest.warns(match="Maximum iterations"):
        plain(max_iter=3).fit(X, y)


@pytest.mark.parametrize("rule", ["constant", "invscaling", "adaptive"])
def test_scikit_learns_rules_keep_their_meaning_also_for_other_methods(rule):
    from sklearn.neural_network import MLPRegressor as Theirs

    settings = {"hidden_layer_sizes": (5,), "solver": "sgd", "learning_rate": rule, "learning_rate_init": 0.2, "tol": 0.1,
                "n_iter_no_change": 2, "max_iter": 12, "random_state": 0, "momentum": 0.0}  # fmt: skip
    theirs, ours = quietly(Theirs(**settings), X, y), quietly(R(**settings), X, y)
    assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    other = quietly(R(**{**settings, "solver": "gradient_descent"}), X, y)  # sgd without momentum
    assert_allclose(other.loss_curve_, theirs.loss_curve_, rtol=1e-9)


# ---------------------------------------------------------------- what is refused


REFUSED = [
    ({"dropout": 1.0}, "'dropout' parameter"),
    ({"dropout": [0.1]}, "dropout has 1 rates for 2 hidden layers; give one number, or one for each"),
    ({"dropout": [0.1, 1.5]}, r"dropout, the share of a layer's outputs that are dropped, must be a number in \[0, 1\), got 1.5"),
    ({"dropout": [0.1, "a"]}, "must be a number in"),
    ({"dropout": 0.5, "hidden_layer_sizes": ()}, "dropout=0.5 drops outputs of hidden layers, and there is none"),
    ({"l1": -1.0}, "'l1' parameter"),
    ({"weight_decay": -1.0}, "'weight_decay' parameter"),
    ({"weight_decay": 0.1, "solver": ("adamw", {"decay": 0.2})}, "say the same; leave one out"),
    ({"clip_norm": 0.0}, "'clip_norm' parameter"),
    ({"averaging": 1.0}, "'averaging' parameter"),
    ({"warm_up": 1.0}, "'warm_up' parameter"),
    ({"warm_up": 0.1, "solver": "sgd", "learning_rate": "adaptive"}, "warm_up=0.1 needs step sizes that are known beforehand"),
    ({"frozen": [0]}, "frozen names layer 0; the layers of this network count from 1 to 3"),
    ({"frozen": ["1"]}, "frozen names layer '1'"),
    ({"frozen": [1, 2, 3]}, "frozen names all 3 layers; nothing would be trained"),
    ({"frozen": 1}, "'frozen' parameter"),
    ({"solver": "adm"}, "'solver' parameter"),
    ({"solver": ("adm", {})}, "there is no method 'adm'. Did you mean 'adam'"),
    ({"solver": ("rmsprop",)}, r"solver must be a name, a Method, or \(name, {hyperparameter: value}\); got \('rmsprop',\)"),
    ({"solver": ()}, "solver must be a name, a Method"),
    ({"solver": ("rmsprop", {"roh": 0.9})}, "the method 'rmsprop' has no 'roh'. Did you mean 'rho'"),
    ({"solver": ("rmsprop", {"rho": 1.5})}, r"rho must be a number in \[0, 1\), got 1.5"),
    ({"solver": ("rmsprop", {"step": 0.1})}, "the step size of 'rmsprop' is learning_rate_init"),
    ({"learning_rate": "cosin"}, "'learning_rate' parameter"),
    ({"learning_rate": ("cosin", {})}, "there is no schedule 'cosin'. Did you mean 'cosine'"),
    ({"learning_rate": ("cosine", {"ende": 1})}, "the schedule 'cosine' has no 'ende'. Did you mean 'end'"),
    ({"learning_rate": ("cosine", {"end": 2})}, r"end must be a number in \[0, 1\], got 2"),
    ({"max_time": 0}, "'max_time' parameter"),
    *[({"solver": "lbfgs", k: v}, f"{k}=.* does not go with solver='lbfgs'") for k, v in
      {"dropout": 0.1, "l1": 0.1, "weight_decay": 0.1, "clip_norm": 1.0, "averaging": 0.9, "warm_up": 0.1, "frozen": [1],
       "learning_rate": "cosine"}.items()],
    ({"solver": ("lbfgs", {"m": 3})}, "the solver 'lbfgs' takes no hyperparameters of its own"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "words"), REFUSED)
def test_settings_that_make_no_sense_are_refused_before_training(settings, words):
    seen = []
    with pytest.raises((ValueError, TypeError), match=words) as found:
        plain(**settings).set_callbacks(seen.append).fit(X, y)
    assert not seen
    assert "\n" not in str(found.value)
    if "parameter" not in words:
        with pytest.raises((ValueError, TypeError), match=words):
            plain(**settings).initialize(X, y)


@pytest.mark.parametrize(("settings", "words"), [
    ({"averaging": 0.9}, "partial_fit does not support averaging=0.9"),
    ({"learning_rate": "cosine"}, "the schedule 'cosine' needs"),
    ({"warm_up": 0.1}, "how many steps there will be"),
    ({"early_stopping": True}, "partial_fit does not support early_stopping=True"),
    ({"dropout": [0.5]}, "dropout has 1 rates"),
])  # fmt: skip
def test_what_partial_fit_cannot_do(settings, words):
    with pytest.raises(ValueError, match=words):
        plain(**settings).partial_fit(X, y)


def test_partial_fit_with_what_it_can_do():
    settings = {"clip_norm": 1.0, "l1": 0.1, "weight_decay": 0.1, "frozen": [1], "solver": "adam", "max_time": 60.0}
    model = plain(**settings).partial_fit(X, y).partial_fit(X, y)
    again = moved(plain(**settings, max_iter=2))
    assert_allclose(model.network_.w, again, rtol=1e-12)


def test_a_fit_with_a_schedule_can_go_on_in_partial_fit_without_it():
    model = plain(learning_rate="cosine", warm_up=0.1, max_iter=3)
    moved(model)
    model.set_params(learning_rate="constant", warm_up=0.0).partial_fit(X, y)
    assert model.history_["step_size"][-1] == STEP
