"""The loop: one event an epoch, the best weights put back, whole weights however it ends."""

import os
import queue
import re
import signal
import threading
import time

import numpy as np
import pytest

from chainrule.descent import DivergenceError
from chainrule.engine.threads import Pace
from chainrule.training import Progress, Watched, ask, events, run
from chainrule.training.interrupts import Held, Window


def weights_after_each_epoch(job, **options):
    j = job.Job(**options)
    with j.start() as engine_run:
        found = [j.w.tobytes()]
        found += [j.w.tobytes() for _ in events(j.training(engine_run))]
    return found


@pytest.mark.parametrize("held_score", [False, True])
def test_one_event_an_epoch_and_the_best_weights_come_back(job, held_score):
    each = weights_after_each_epoch(job, step=0.2)
    j, got = job.Job(step=0.2, held_score=held_score), []
    outcome, w, history = j.train(emit=lambda event: got.append(event))
    assert [e.epoch for e in got] == list(range(1, 13)) == history["epoch"]
    assert got == outcome.history.events
    best = int(np.argmin(history["validation_loss"])) + 1
    assert 1 < best < 12  # else this test could not tell best from last
    assert outcome.best_epoch == best
    assert w == each[best]
    assert [e.is_best for e in got] == [
        x < min(history["validation_loss"][:k], default=np.inf) for k, x in enumerate(history["validation_loss"])
    ]
    assert history["rows"] == [300 * k for k in range(1, 13)]
    assert history["step_size"] == [0.2 * 0.95**k for k in range(12)]
    assert (np.diff(outcome.history["seconds"]) > 0).all()
    assert outcome.stopped_because == "all 12 epochs were done"


def test_without_held_out_rows_the_last_weights_stay(job):
    outcome, w, history = job.Job(watch=False).train()
    assert w == weights_after_each_epoch(job)[-1]
    assert outcome.best_epoch == 12
    assert "validation_loss" not in history


def test_a_training_is_paused_and_goes_on_between_events(job):
    each = weights_after_each_epoch(job)
    j = job.Job()
    with j.start() as engine_run:
        training = j.training(engine_run)
        first = events(training)
        for _ in range(5):
            next(first)
        first.close()
        assert j.w.tobytes() == each[5]
        assert [e.epoch for e in events(training)] == list(range(6, 13))
        assert list(events(training)) == []
        assert j.w.tobytes() == each[-1]
        assert len(training.history) == 12


@pytest.mark.parametrize(("answer", "reason"), [
    (True, "the callback .*consumer asked for it"), (np.True_, "asked for it"), ("enough", "^enough$"),
    (None, None), (False, None), ("", None), (1, None), ([3], None), (np.False_, None),
])  # fmt: skip
@pytest.mark.parametrize("place", ["emit", "rules"])
def test_a_consumer_ends_training_by_true_or_a_text(job, answer, reason, place):
    def consumer(event):
        return answer if event.epoch == 3 else None

    others = []
    j = job.Job(watch=False)
    options = {"emit": consumer, "rules": [others.append]} if place == "emit" else {"rules": [consumer, others.append]}
    outcome, w, _ = j.train(**options)
    if reason is None:
        assert len(outcome.history) == 12
    else:
        assert len(outcome.history) == 3 == len(others)  # who comes after the one that says stop sees the event too
        assert re.search(reason, outcome.stopped_because)
        assert w == weights_after_each_epoch(job)[3]


def test_the_first_reason_counts():
    said = ask([lambda e: None, lambda e: "first", lambda e: "second"], None)
    assert (said.reason, said.final) == ("first", "first")
    assert not ask([], None)


@pytest.mark.parametrize(("watch", "kept"), [(True, "best"), (False, "last")])
def test_an_error_of_a_callback_loses_nothing(job, watch, kept):
    class Mine(Exception):
        pass

    def emit(event):
        if event.epoch == 12:
            raise Mine

    j = job.Job(step=0.2, watch=watch)
    with j.start() as engine_run:
        training = j.training(engine_run)
        with pytest.raises(Mine):
            run(training, emit)
    each = weights_after_each_epoch(job, step=0.2)
    assert len(training.history) == 12
    best = training.progress.best_epoch
    assert j.w.tobytes() == each[best if kept == "best" else 12]
    assert (best == 0) == (kept == "last")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_of_watch_takes_the_epoch_back(job, error):
    j = job.Job(watch=False)
    with j.start() as engine_run:
        training = j.training(engine_run)
        calls = []

        def watch(w):
            calls.append(1)
            if len(calls) == 4:
                raise error
            return Watched()

        training.progress.watch = watch
        if error is KeyboardInterrupt:
            assert run(training).interrupted
        else:
            with pytest.raises(ValueError):  # noqa: PT011 (it is the one raised above)
                run(training)
        assert len(training.history) == 3
        assert j.w.tobytes() == weights_after_each_epoch(job)[3]
        assert engine_run.t == 3 * engine_run.steps_per_epoch


@pytest.mark.parametrize("score", [None, "score"])
def test_scores_that_are_nan_are_never_the_best(job, score):
    values = iter([np.nan, 0.5, np.nan, 0.4, 0.6, 0.7])
    j = job.Job(epochs=6, watch=False)

    def watch(w):
        value = next(values)
        return Watched(score=value) if score else Watched(loss=-value)

    with j.start() as engine_run:
        training = j.training(engine_run)
        training.progress.watch = watch
        outcome = run(training)
    assert [e.is_best for e in outcome.history] == [False, True, False, False, True, True]
    assert outcome.best_epoch == 6


def test_all_nan_keeps_the_last(job):
    j = job.Job(epochs=3)
    j.watch = lambda w: Watched(score=float("nan"))
    outcome, w, _ = j.train()
    assert outcome.best_epoch == 3
    assert w == weights_after_each_epoch(job, epochs=3)[3]


@pytest.mark.parametrize("watch", [True, False])
def test_divergence_keeps_good_weights_and_says_what_to_change(job, watch):
    j = job.Job(watch=watch, method="gradient_descent")
    sizes = [0.05, 0.05, 1e200]
    with j.start() as engine_run:
        training = j.training(engine_run)
        training.step_size = lambda epoch: sizes[epoch]
        with pytest.raises(DivergenceError, match=r"diverged in epoch 3: .*step size was 1e\+200: try a tenth of it"):
            run(training)
        assert len(training.history) == 2
        assert engine_run.t == 2 * engine_run.steps_per_epoch
        assert np.isfinite(engine_run.state).all()
    assert np.isfinite(j.w).all()
    again = job.Job(epochs=2, watch=watch, method="gradient_descent")
    with again.start() as engine_run:
        training = again.training(engine_run)
        training.step_size = lambda epoch: 0.05
        run(training)
    assert j.w.tobytes() == again.w.tobytes()


def interrupt():
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("where", ["slice", "second slice", "watch", "emit", "rule", "order"])
def test_ctrl_c_leaves_whole_weights_wherever_it_arrives(job, where, monkeypatch):
    from chainrule.engine import run as engine
    from chainrule.engine import threads

    monkeypatch.setattr(threads, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(threads, "_SAMPLE_SECONDS", 0.0)
    monkeypatch.setattr(engine, "_FIRST_SLICE_FLOP", 0.0)
    each = weights_after_each_epoch(job)
    j = job.Job(watch=where == "watch")
    with j.start() as engine_run:
        training = j.training(engine_run)
        at = {"slice": 31, "second slice": 32}.get(where)
        if at:
            steps, whole = engine_run._steps, []

            def counted(*arguments):
                whole.append(1)
                if len(whole) == at:
                    interrupt()  # held back: the slice is done first
                steps(*arguments)

            engine_run._steps = counted
        emit = rule = None
        if where == "watch":
            look = training.progress.watch
            training.progress.watch = lambda w: interrupt() if len(training.history) == 3 else look(w)
        if where == "emit":
            emit = lambda event: interrupt() if event.epoch == 3 else None  # noqa: E731
        if where == "rule":
            rule = lambda event: interrupt() if event.epoch == 3 else None  # noqa: E731
        if where == "order":
            rows = training.order
            training.order = lambda: (interrupt() if len(training.history) == 3 else None, rows())[1]
        outcome = run(training, emit, [rule] if rule else [])
        assert outcome.interrupted
        assert outcome.stopped_because == "you interrupted it"
        assert len(training.history) == 3
        assert engine_run.t == 30
    assert j.w.tobytes() == each[outcome.best_epoch]


@pytest.mark.parametrize("standalone", [True, False])
def test_a_second_ctrl_c_while_the_epoch_is_taken_back_waits_for_that(job, standalone):
    each, j = weights_after_each_epoch(job), job.Job(watch=False)
    with j.start() as engine_run:
        training = j.training(engine_run)
        stream, restore = events(training), engine_run.restore
        next(stream)
        engine_run.epochs = lambda *arguments: (engine_run.w.__iadd__(1.0), interrupt(), engine_run.at_slice())
        engine_run.restore = lambda *arguments: (interrupt(), restore(*arguments))
        with pytest.raises(KeyboardInterrupt):
            next(stream) if standalone else run(training)
    assert j.w.tobytes() == each[1]


@pytest.mark.parametrize("place", ["emit", "watch"])
def test_code_of_others_is_interrupted_at_once(job, place):
    went_on = []

    def hangs(_):
        interrupt()
        went_on.append(1)

    j = job.Job(watch=False)
    with j.start() as engine_run:
        training = j.training(engine_run)
        if place == "watch":
            training.progress.watch = hangs
        assert run(training, hangs if place == "emit" else None).interrupted
    assert went_on == []


@pytest.mark.parametrize("last", [4, 12])
def test_ctrl_c_at_the_end_of_an_epoch_lets_all_consumers_see_it(job, last):
    j, seen = job.Job(watch=False), []
    with j.start() as engine_run:
        training = j.training(engine_run)
        add = training.history.add
        training.history.add = lambda event: (add(event), interrupt() if event.epoch == last else None)
        outcome = run(training, seen.append, [lambda event: time.sleep(0.001)])
    assert outcome.interrupted
    assert [e.epoch for e in seen] == list(range(1, last + 1)) == outcome.history["epoch"]


# Contexts entered one after the other, Ctrl-C within the innermost, and after how many of their ends it arrives.
NESTED = [
    ([Window], 0),
    ([Held], 1),
    ([Held, Held], 2),
    ([Held, Window], 0),
    ([Held, Window, Held], 1),
    ([Held, Window, Held, Held], 2),
    ([Held, Window, Held, Window], 0),
    ([Held, Held, Window], 0),
]


@pytest.mark.parametrize(("contexts", "arrives"), NESTED)
@pytest.mark.parametrize("after_a_window", [False, True])
def test_where_ctrl_c_arrives(contexts, arrives, after_a_window):
    entered, arrived = [], None
    for context in contexts:
        entered.append(context().__enter__())
        if after_a_window and context is Held:
            with Window():
                pass
    try:
        interrupt()
    except KeyboardInterrupt:
        arrived = 0
    for ended in range(1, len(contexts) + 1):
        try:
            entered.pop().__exit__()
        except KeyboardInterrupt:
            arrived = ended
    assert arrived == arrives
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# A job whose batches two threads share.
TWO_SHARDS = {"hidden": 300, "batch": 400, "N": 800, "watch": False}


def test_ctrl_c_while_threads_are_being_woken_leaves_none_waiting(job):
    class Bell:
        def __init__(self, real):
            self.real, self.heard = real, threading.Event()

        def get(self):
            self.heard.set()
            return self.real.get()

        def put(self, message):
            self.real.put(message)
            if message:
                interrupt()  # now the worker is awake, and would wait for ever if the other half never came

    each = weights_after_each_epoch(job, **TWO_SHARDS)
    j = job.Job(**TWO_SHARDS)
    with j.start(n_threads=2) as engine_run:
        if engine_run._crew.n < 2:
            pytest.skip("one processor only")
        engine_run._pace = Pace((2,), 10)  # two threads, whatever is faster here
        training = j.training(engine_run)
        stream = events(training)
        next(stream)
        gate = engine_run._crew._gate
        while not gate.asleep[1]:
            time.sleep(0.01)
        old, gate.bells[1] = gate.bells[1], Bell(queue.SimpleQueue())
        old.put(True)  # leaves the old bell
        assert gate.bells[1].heard.wait(10)
        with pytest.raises(KeyboardInterrupt):
            next(stream)
    assert j.w.tobytes() == each[len(training.history)]


@pytest.mark.skipif(os.name == "nt", reason="no os.kill(SIGINT) to oneself there")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_storm_of_ctrl_c_always_leaves_whole_weights(job, n_threads):
    """A second thread interrupts at random times, sometimes twice; w is always that of some whole epoch."""
    options = {"epochs": 60}
    if n_threads == 2:
        options |= TWO_SHARDS | {"epochs": 25}
    each = weights_after_each_epoch(job, **options)
    j = job.Job(**options)
    with j.start(n_threads) as engine_run:
        training, began = j.training(engine_run), time.perf_counter()
        run(training)
        whole = time.perf_counter() - began
    assert j.w.tobytes() in each
    assert weights_after_each_epoch(job, **options) == each
    rng, ended, training_now = np.random.default_rng(0), [], False

    def storm(waits):
        for wait in waits:
            time.sleep(wait)
            os.kill(os.getpid(), signal.SIGINT)

    def as_python_does(number, frame):
        if training_now:  # not in the midst of this test's own affairs
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, as_python_does)
    try:
        for _ in range(12):
            j = job.Job(**options)
            assert j.plan.shards >= n_threads
            thread = threading.Thread(target=storm, args=((rng.uniform(0, whole), rng.choice([0.0, 1e-4])),))
            with j.start(n_threads) as engine_run:
                training = j.training(engine_run)
                try:
                    training_now = True
                    thread.start()
                    run(training)
                except KeyboardInterrupt:
                    pass
                finally:
                    training_now = False
                thread.join()
            ended.append(len(training.history))
            assert j.w.tobytes() in each
        assert signal.getsignal(signal.SIGINT) is as_python_does
    finally:
        signal.signal(signal.SIGINT, previous)
    assert len(set(ended)) > 3  # it was not always the same moment


def test_in_another_thread_there_is_no_signal_to_hold(job):
    found = []
    thread = threading.Thread(target=lambda: found.append(job.Job().train()))
    thread.start()
    thread.join()
    assert found[0][1] == job.Job().train()[1]


def test_a_handler_of_somebody_else_gets_the_signal(job):
    got = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: got.append(number))
    try:
        j = job.Job(watch=False)
        with j.start() as engine_run:
            steps = engine_run._steps
            engine_run._steps = lambda *arguments: (interrupt(), steps(*arguments))
            outcome = run(j.training(engine_run))
        assert not outcome.interrupted
        assert set(got) == {signal.SIGINT}
    finally:
        signal.signal(signal.SIGINT, previous)


def test_what_a_library_drives_keeps_its_record_with_progress_alone():
    import scipy.optimize

    progress = Progress(100, watch=lambda w: Watched(loss=float(abs(w[0] - 0.5))))
    seen = []

    def each(intermediate_result):
        seen.append(
            progress.finish(intermediate_result.x, loss=intermediate_result.fun, penalty=0, rows=7, step_size=1)
        )
        progress.begin()

    x = scipy.optimize.minimize(scipy.optimize.rosen, np.array([-1.0, 1.0]), method="L-BFGS-B", callback=each).x
    best = progress.settle(x)
    assert best == int(np.argmin(progress.history["validation_loss"])) + 1 < len(seen)
    assert abs(x[0] - 0.5) == min(progress.history["validation_loss"])
