"""A recording: bounded memory, first and last kept, the fit unchanged, carried by checkpoints."""

import copy
import pickle

import numpy as np
import pytest
from scipy import sparse

import chainrule as cr
from chainrule.descent import METHODS
from chainrule.training import Recording
from chainrule.training.audit import GradientError, audit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4))
Y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
LABELS = np.array(["low", "mid", "high"])[np.digitize(Y, [-0.5, 0.5])]
FRAME = {"a": X[:, 0], "b": X[:, 1], "c": LABELS}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def noted(epochs, budget, K=4):
    recording = Recording(budget=budget)
    for epoch in range(epochs + 1):
        recording.note(epoch, ({"t": epoch}, {"w": np.full(K, float(epoch)), "state": np.zeros((2, K))}))
    return recording


@pytest.mark.parametrize("epochs", [0, 1, 2, 7, 8, 9, 64, 500])
@pytest.mark.parametrize("budget", [0, 400, 1_000, 10**6])
def test_memory_is_bounded_and_both_ends_are_kept(epochs, budget):
    recording = noted(epochs, budget)
    assert recording.epochs[0] == 0
    assert recording.epochs[-1] == epochs
    assert recording.n_epochs == epochs
    assert recording.nbytes <= budget or len(recording.epochs) <= 2
    assert (recording.points[:, 0] == recording.epochs).all()
    inner = recording.epochs[:-1]
    assert (np.diff(inner) == recording.stride).all()
    if budget == 10**6:
        assert len(recording.epochs) == epochs + 1


def test_no_more_is_dropped_than_the_budget_asks():
    one = 12 * 8
    recording = noted(500, 40 * one)
    assert 20 <= len(recording.epochs) <= 40


def test_the_nearest_is_the_last_one_at_or_before():
    recording = noted(10, 400)
    for epoch in range(11):
        at, (numbers, arrays) = recording.nearest(epoch)
        assert at == recording.epochs[recording.epochs <= epoch].max() == numbers["t"] == arrays["w"][0]


SETTINGS = {
    **{name: {"solver": name, "learning_rate_init": 0.001} for name in METHODS},
    "lbfgs": {"solver": "lbfgs"},
    "dropout, averaging, clip, decay": {"dropout": 0.2, "averaging": 0.9, "clip_norm": 0.5, "weight_decay": 0.1},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 3, "validation_fraction": 0.2},
    "schedule": {"learning_rate": "cosine", "warm_up": 0.2},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1},
    "as they are": {"shuffle": False},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))
def test_recording_changes_no_bit_of_a_fit(settings):
    given = {"hidden_layer_sizes": (5,), "max_iter": 6, "batch_size": 16, "random_state": 3} | settings
    if given.get("solver") == "lbfgs":
        del given["batch_size"]
    plain = cr.MLPRegressor(**given).fit(X, Y)
    recorded = cr.MLPRegressor(**given, record=True).fit(X, Y)
    assert (plain.network_.w == recorded.network_.w).all()
    assert plain.history_["loss"] == recorded.history_["loss"]
    assert not hasattr(plain, "recording_")
    recording = recorded.recording_
    assert recording.epochs[0] == 0
    assert recording.epochs[-1] == len(recorded.history_)
    assert recording.points.shape == (len(recording.epochs), recorded.network_.K)
    if not given.get("early_stopping") and "averaging" not in given:
        assert (recording.points[-1] == recorded.network_.w).all()


def test_it_is_of_the_last_fit_alone():
    model = cr.MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, warm_start=True, random_state=0, record=True).fit(X, Y)
    first = model.recording_.points[-1].copy()
    model.fit(X, Y)
    assert (model.recording_.points[0] == first).all()
    assert model.recording_.n_epochs == 3
    model.partial_fit(X, Y)
    assert model.recording_.epochs.tolist() == [0, 1]
    model.set_params(record=False).fit(X, Y)
    assert not hasattr(model, "recording_")


def test_a_sparse_table_and_numpys_own_random_state():
    for random_state in (5, None):
        points = []
        for given in (X, sparse.csr_array(X)):
            np.random.seed(1)  # noqa: NPY002 (what random_state=None follows)
            model = cr.MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, random_state=random_state, record=True).fit(
                given, Y
            )
            points.append(model.recording_.points)
        np.testing.assert_allclose(points[0], points[1], rtol=1e-12)


@pytest.mark.parametrize("make", [cr.TableClassifier, cr.TableRegressor])
def test_table_models_record_too(make):
    y = LABELS if make is cr.TableClassifier else Y
    fits = [make(epochs=4, random_state=0, record=record).fit(FRAME, y) for record in (False, True)]
    assert (fits[0].network_.w == fits[1].network_.w).all()
    assert not hasattr(fits[0], "recording_")
    recording = fits[1].recording_
    assert recording.epochs.tolist() == [0, 1, 2, 3, 4]
    assert (recording.points[fits[1].outcome_.best_epoch] == fits[1].network_.w).all()


def test_a_resumed_fit_has_the_whole_recording(tmp_path):
    given = {"hidden_layer_sizes": (4,), "max_iter": 6, "learning_rate": "cosine", "random_state": 0, "record": True}
    whole = cr.MLPRegressor(**given).fit(X, Y).recording_
    cr.MLPRegressor(**given, max_time=1e-9).fit(X, Y, checkpoint=tmp_path / "c")
    model = cr.MLPRegressor(**given).fit(X, Y, checkpoint=tmp_path / "c")
    assert (model.recording_.epochs == whole.epochs).all()
    assert (model.recording_.points == whole.points).all()
    assert model.recording_._marks == whole._marks
    for epoch in range(1, 7):
        assert (model.recording_.step_sizes(epoch) == whole.step_sizes(epoch)).all()
    model = cr.TableRegressor(epochs=3, max_time=1e-9, random_state=0, record=True)
    model.fit(FRAME, Y, checkpoint=tmp_path / "t")
    model.set_params(max_time=None).fit(FRAME, Y, checkpoint=tmp_path / "t")
    assert model.recording_.epochs.tolist() == [0, 1, 2, 3]


def test_it_travels_with_a_copy_and_stays_behind_in_a_file(tmp_path):
    model = cr.MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, random_state=0, record=True).fit(X, Y)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert (again.recording_.points == model.recording_.points).all()
    cr.save(model, tmp_path / "m")
    loaded = cr.load(tmp_path / "m")
    assert loaded.record
    assert not hasattr(loaded, "recording_")


def huber(y, p):
    return np.sqrt(1.0 + (y - p) ** 2)


def test_with_a_loss_of_ones_own_the_points_are_pickled_and_the_steps_are_not():
    model = cr.MLPRegressor(loss=huber, hidden_layer_sizes=(4,), max_iter=3, random_state=0, record=True).fit(X, Y)
    assert model.replay(2).step == 2
    again = pickle.loads(pickle.dumps(model))
    assert (again.recording_.points == model.recording_.points).all()
    with pytest.raises(ValueError, match="cannot be opened again: the model was copied or unpickled, and its loss"):
        again.replay(2)


WRONG = cr.Activation("wrong", value=lambda z: z * z, slope=lambda z, a: 3.0 * z)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("given", [X, sparse.csr_array(X), X.astype(np.float32)], ids=["dense", "sparse", "single"])
def test_an_audit_finds_a_wrong_slope_before_training(given, solver):
    right = cr.MLPRegressor(
        hidden_layer_sizes=(6,), max_iter=2, random_state=0, solver=solver, audit=True, alpha=0.1
    ).fit(given, Y)
    same = cr.MLPRegressor(hidden_layer_sizes=(6,), max_iter=2, random_state=0, solver=solver, alpha=0.1).fit(given, Y)
    assert (right.network_.w == same.network_.w).all()
    net = cr.Network([4, 6, 1], WRONG, seed=0)
    with pytest.raises(GradientError, match=r"gradient is wrong at A_1\[\d, \d\], number \d+ of w: stated .*numerical"):
        audit(net, cr.network.get_loss("squared"), given, Y[:, None])


@pytest.mark.parametrize("given", [{}, {"solver": "lbfgs"}], ids=["adam", "lbfgs"])
def test_a_fit_with_a_wrong_slope_trains_nothing(given):
    model = cr.MLPRegressor(hidden_layer_sizes=(6,), activation=WRONG, random_state=0, audit=True, max_iter=2, **given)
    model.initialize(X, Y)
    first = model.network_.w.copy()
    with pytest.raises(GradientError, match=r"audit: the gradient is wrong at A_1.*Look at the slopes .*\(wrong\)"):
        model.fit(X, Y)
    assert (model.network_.w == first).all()
    own = model.set_params(activation=lambda z: z * z).fit(X, Y)  # the derived slope is right
    assert not (own.network_.w == first).all()


def test_table_models_are_audited(monkeypatch):
    seen = []
    monkeypatch.setattr("chainrule.estimators.tabular.audit", lambda *given: seen.append(given))
    cr.TableClassifier(epochs=1, random_state=0, audit=True).fit(FRAME, LABELS)
    assert len(seen) == 1
    monkeypatch.undo()
    cr.TableRegressor(epochs=1, random_state=0, audit=True).fit(FRAME, Y)


def test_an_audit_with_every_loss_and_link():
    for name, row in cr.network.LOSSES.items():
        D = 3
        loss = row.configured(**{vector: np.linspace(0.2, 0.8, D) for vector in row.vectors})
        y = {"distribution": np.eye(D)[RNG.integers(0, D, 90)], "probability": RNG.uniform(size=(90, D))}
        audit(
            cr.Network([4, 5, D], "tanh", row.link, seed=0), loss, X, y.get(row.targets, RNG.gamma(2.0, 1.0, (90, D)))
        )
        assert name
