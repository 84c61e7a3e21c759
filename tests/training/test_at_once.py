"""Several epochs done at once, where nobody looks in between: the same training, seen a little later."""

import signal
import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.descent import DivergenceError
from chainrule.training import loop, run
from chainrule.training.callbacks import epochs_at_once


class Patient:
    """Looks at epochs in groups of five."""

    def __init__(self, act=lambda event: None):
        self.seen, self.act = [], act

    def __call__(self, event):
        self.seen.append(event)
        return self.act(event)

    def epochs_at_once(self):
        return 5 - len(self.seen) % 5


def trained(job, rules, monkeypatch, watch=False, sizes=None, checkpoint=None, seconds=1e9, emit=None):
    """(outcome or error, w, training, epochs of every call of the run)."""
    monkeypatch.setattr(loop, "_AT_ONCE_SECONDS", seconds)
    j, calls = job.Job(watch=watch, method="adam" if sizes is None else "gradient_descent"), []
    with j.start() as engine_run:
        training, epochs = j.training(engine_run), engine_run.epochs
        if sizes is not None:
            training.step_size = lambda epoch: sizes[epoch]
        engine_run.epochs = lambda orders, steps: (calls.append(len(orders)), epochs(orders, steps))[1]
        try:
            outcome = run(training, emit, rules, checkpoint)
        except DivergenceError as error:
            outcome = error
        assert engine_run.t == engine_run.steps_per_epoch * len(training.history)
    return outcome, j.w.tobytes(), training, calls


def test_the_same_training_in_fewer_calls(job, monkeypatch):
    one, w, alone, calls = trained(job, [], monkeypatch, seconds=0.0)
    assert calls == [1] * 12
    rule = Patient()
    other, w2, together, calls = trained(job, [rule], monkeypatch)
    assert calls == [1, 4, 5, 2]  # how long an epoch takes is known after the first
    assert w2 == w
    assert job.seen(other.history) == job.seen(one.history)
    assert [event.epoch for event in rule.seen] == list(range(1, 13))
    assert rule.seen == together.history.events
    seconds = np.array(other.history["seconds"])
    assert (np.diff(seconds) > 0).all()
    assert seconds[1] - seconds[0] < 0.6 * (seconds[4] - seconds[0])  # four at once share their time
    assert together.drawn == alone.drawn == []


def test_whoever_looks_at_every_epoch_sees_it_alone(job, monkeypatch):
    def weights_at_its_end(event):
        looked.append(event.epoch)

    for given in ({"rules": [Patient(), weights_at_its_end]}, {"rules": [Patient()], "emit": weights_at_its_end}):
        looked = []
        assert trained(job, given["rules"], monkeypatch, emit=given.get("emit"))[3] == [1] * 12
        assert looked == list(range(1, 13))
    assert trained(job, [Patient()], monkeypatch, watch=True)[3] == [1] * 12
    assert trained(job, [Patient()], monkeypatch, seconds=0.0)[3] == [1] * 12
    assert epochs_at_once([]) == 1


def test_with_a_checkpoint_every_epoch_ends_alone(job, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_AT_ONCE_SECONDS", 1e9)
    j, calls = job.Job(watch=False), []
    start = j.start

    def counted(n_threads=1):
        engine_run = start(n_threads)
        epochs = engine_run.epochs
        engine_run.epochs = lambda orders, steps: (calls.append(len(orders)), epochs(orders, steps))[1]
        return engine_run

    j.start = counted
    j.train(tmp_path / "c", rules=[Patient()])
    assert calls == [1] * 12


@pytest.mark.parametrize("epoch", [2, 4, 7, 12])
def test_divergence_is_found_in_its_own_epoch(job, epoch, monkeypatch):
    sizes = [0.05] * 12
    sizes[epoch - 1] = 1e200
    rule = Patient()
    error, w, training, _ = trained(job, [rule], monkeypatch, sizes=sizes)
    assert f"diverged in epoch {epoch}:" in str(error)
    assert [event.epoch for event in rule.seen] == list(range(1, epoch)) == training.history["epoch"]
    other, w2, alone, _ = trained(job, [], monkeypatch, sizes=sizes, seconds=0.0)
    assert str(other) == str(error)
    assert w2 == w
    assert job.seen(alone.history) == job.seen(training.history)


@pytest.mark.parametrize("where", ["in the kernel", "between their events"])
def test_ctrl_c_leaves_w_and_history_of_one_epoch(job, where, monkeypatch):
    monkeypatch.setattr(loop, "_AT_ONCE_SECONDS", 1e9)
    each = trained(job, [], monkeypatch, seconds=0.0)
    monkeypatch.setattr(loop, "_AT_ONCE_SECONDS", 1e9)
    j = job.Job(watch=False)
    with j.start() as engine_run:
        training, steps = j.training(engine_run), engine_run._steps
        rule = Patient(
            lambda event: signal.raise_signal(signal.SIGINT) if where[0] == "b" and event.epoch == 7 else None
        )
        if where[0] == "i":
            engine_run._steps = lambda *given: (
                signal.raise_signal(signal.SIGINT) if engine_run.t >= 50 and not training.drawn else None,
                steps(*given),
                engine_run.at_slice(),
            )
        outcome = run(training, None, [rule])
        assert outcome.interrupted
        done = 5 if where[0] == "i" else 10
        assert len(training.history) == done == len(rule.seen)
        assert engine_run.t == 10 * done
        engine_run._steps = steps
        assert run(training, None, [Patient()]).stopped_because == "all 12 epochs were done"
    assert j.w.tobytes() == each[1]  # it went on with the rows that had been drawn


SOLVERS = [
    {"solver": "adam"},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 1e-2, "learning_rate_init": 0.3, "n_iter_no_change": 2},
    {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.3},
    {"solver": "adam", "learning_rate": "cosine"},
    {"solver": "adam", "learning_rate_init": 0.05, "tol": 1e-3, "n_iter_no_change": 3},
    {"solver": "adam", "early_stopping": True},
    {"solver": "adam", "n_iter_no_change": np.inf},
]


@pytest.mark.parametrize("options", SOLVERS, ids=str)
def test_a_fit_is_the_same_in_every_bit(options, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = np.sin(X[:, 0]) + 0.1 * rng.normal(size=120)
    calls, epochs = [], cr.engine.Run.epochs

    def counted(self, orders, sizes):
        calls.append(len(orders))
        return epochs(self, orders, sizes)

    monkeypatch.setattr(cr.engine.Run, "epochs", counted)

    def fitted(seconds):
        calls.clear()
        monkeypatch.setattr(loop, "_AT_ONCE_SECONDS", seconds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = cr.MLPRegressor(hidden_layer_sizes=(6,), max_iter=150, random_state=0, **options).fit(X, y)
        state = model._random_state.get_state()[1].tobytes()
        return model.network_.w.tobytes(), model.loss_curve_, model.n_iter_, model.stopped_because_, state

    alone = fitted(0.0)
    assert max(calls) == 1
    assert fitted(1e9) == alone
    together = options.get("learning_rate") != "invscaling" and not options.get("early_stopping")
    assert (max(calls) > 1) == together
    assert sum(calls) == alone[2]
