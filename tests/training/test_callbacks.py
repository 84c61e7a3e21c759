"""Consumers of events: scikit-learn's protocol, loggers, the progress bar."""

import os
import pickle
import re
import sys

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.callback import ProgressBar as SklearnProgressBar
from sklearn.callback import ScoringMonitor, with_callbacks
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from chainrule.descent import get_method
from chainrule.engine import Network, Plan, Run
from chainrule.estimators.callbacks import CallbackMixin, FitTasks
from chainrule.network import Layout, get_loss
from chainrule.training import Event, MLflow, TensorBoard, Training, run


class Small(CallbackMixin, RegressorMixin, BaseEstimator):
    """The least estimator that trains by our loop and supports callbacks."""

    def __init__(self, epochs=5, step=0.01):
        self.epochs, self.step = epochs, step

    @with_callbacks
    def fit(self, X, y, sample_weight=None):
        layout = Layout.of([X.shape[1], 3, 1], "tanh", "identity")
        self.network_ = Network.from_layout(layout, layout.first_weights(np.random.default_rng(0)))
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        tasks = FitTasks(self, X, y, self.epochs, self._fitted, metadata)
        plan = Plan(layout, get_loss("squared"), get_method("adam"), {}, 16, 0.0, "float64")
        with Run(plan, self.network_.w, np.asarray(X), np.reshape(y, (-1, 1)), n_threads=1) as engine_run:
            training = Training(
                engine_run, self.epochs, tasks.before(lambda: np.empty(0, int)), lambda epoch: self.step
            )
            self.outcome_ = run(training, rules=[tasks])
        self.n_iter_ = len(training.history)
        tasks.end()
        return self

    def _fitted(self):
        return {"network_": Network.from_layout(self.network_.layout, self.network_.w.copy())}

    def predict(self, X):
        return self.network_(np.asarray(X)).ravel()


def data(N=40):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 2))
    return X, X[:, 0] * 2


class Recorder:
    """Every hook of the protocol, noted; `answer` is what the end of a task returns."""

    def __init__(self, answer=None, fail=None, error=RuntimeError):
        self.calls, self.answer, self.fail, self.error = [], answer, fail, error

    def note(self, hook, context, **kwargs):
        self.calls.append((hook, context.task_name, context.task_id, kwargs))
        if self.fail == (hook, context.task_id):
            raise self.error("mine")

    def setup(self, estimator, context):
        self.note("setup", context)

    def teardown(self, estimator, context):
        self.note("teardown", context)

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.note("begin", context, X=X, y=y, metadata=metadata)

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.note(
            "end", context, X=X, y=y, metadata=metadata, fitted=fitted_estimator, event=getattr(context, "event", None)
        )
        return self.answer is not None and context.task_name == "epoch" and context.task_id == self.answer


def tree(recorder):
    return [(hook, name, k) for hook, name, k, _ in recorder.calls]


EPOCHS = [step for k in range(5) for step in (("begin", "epoch", k), ("end", "epoch", k))]


def test_the_tree_of_tasks_and_what_the_hooks_are_given():
    X, y = data()
    weights = np.ones(len(X))
    recorder = Recorder()
    model = Small().set_callbacks(recorder).fit(X, y, sample_weight=weights)
    assert tree(recorder) == [
        ("setup", "fit", 0),
        ("begin", "fit", 0),
        *EPOCHS,
        ("end", "fit", 0),
        ("teardown", "fit", 0),
    ]
    for _, _, _, given in recorder.calls[1:-1]:
        assert given["X"] is X
        assert given["y"] is y
        assert given["metadata"]["sample_weight"] is weights
    fitted = [given["fitted"] for hook, name, _, given in recorder.calls if (hook, name) == ("end", "epoch")]
    losses = [np.mean((f.predict(X) - y) ** 2) for f in fitted]
    assert (np.diff(losses) < 0).all()  # each of its own epoch, not all of the last
    np.testing.assert_array_equal(fitted[-1].predict(X), model.predict(X))
    events = [given["event"] for hook, name, _, given in recorder.calls if (hook, name) == ("end", "epoch")]
    assert [event.epoch for event in events] == [1, 2, 3, 4, 5]
    assert not hasattr(model, "_callback_fit_ctx")


def test_a_callback_of_scikit_learns_stops():
    recorder = Recorder(answer=2)
    model = Small().set_callbacks(recorder).fit(*data())
    assert model.n_iter_ == 3
    assert model.outcome_.stopped_because == "a callback asked for it"
    assert tree(recorder)[-2:] == [("end", "fit", 0), ("teardown", "fit", 0)]


@pytest.mark.parametrize(("answer", "reason"), [(True, "the callback .* asked for it"), ("enough", "^enough$")])
def test_plain_functions_see_events_and_stop(answer, reason):
    seen, after = [], []

    def mine(event):
        seen.append(event)
        return answer if event.epoch == 2 else None

    model = Small().set_callbacks(mine, after.append).fit(*data())
    assert [type(event) for event in seen] == [Event] * 2
    assert len(after) == 2
    re.search(reason, model.outcome_.stopped_because).group()


@pytest.mark.parametrize("fail", [("setup", 0), ("begin", 0), ("begin", 3), ("end", 3)])
def test_an_error_of_a_callback_comes_out_after_the_teardown(fail):
    failing, other = Recorder(fail=fail), Recorder()
    model = Small().set_callbacks(other, failing)
    with pytest.raises(RuntimeError, match="mine"):
        model.fit(*data())
    assert tree(failing)[-1] == tree(other)[-1] == ("teardown", "fit", 0)
    assert np.isfinite(model.network_.w).all()


def test_ctrl_c_ends_the_open_task():
    recorder = Recorder(fail=("begin", 3), error=KeyboardInterrupt)
    model = Small().set_callbacks(recorder).fit(*data())
    assert model.outcome_.interrupted
    assert model.n_iter_ == 3
    assert tree(recorder)[-4:] == [
        ("begin", "epoch", 3),
        ("end", "epoch", 3),
        ("end", "fit", 0),
        ("teardown", "fit", 0),
    ]
    assert recorder.calls[-3][3]["fitted"] is recorder.calls[-3][3]["event"] is None


def test_what_is_no_callback_is_refused():
    for wrong in (3, Recorder, ScoringMonitor):
        with pytest.raises(TypeError, match="FitCallback protocol"):
            Small().set_callbacks(wrong)
    model = Small().set_callbacks(print)
    model.set_callbacks()
    assert not hasattr(model, "_skl_callbacks")


def module_level(event):
    return event.epoch == 3


def test_clone_pickle_and_no_callbacks():
    model = clone(Small().set_callbacks(module_level))
    assert model.fit(*data()).n_iter_ == 3
    assert Small().fit(*data()).n_iter_ == 5
    assert len(pickle.loads(pickle.dumps(Recorder())).calls) == 0


def test_scikit_learns_own_scoring_monitor_in_pipeline_and_search():
    X, y = data()
    monitor = ScoringMonitor(scoring="r2")
    model = make_pipeline(StandardScaler(), Small().set_callbacks(monitor)).fit(X, y)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(rows) == 5
    assert rows[-1]["r2"] == pytest.approx(model.score(X, y))
    search = GridSearchCV(Small().set_callbacks(monitor), {"step": [0.01, 0.1]}, cv=2).fit(X, y)
    assert search.best_params_ == {"step": 0.1}
    assert len({log.run_id for log in monitor.get_logs(select="all")}) >= 2


def test_scikit_learns_own_progress_bar(capsys):
    X, y = data()
    GridSearchCV(Small(), {"step": [0.01, 0.1]}, cv=2).set_callbacks(
        SklearnProgressBar(max_propagation_depth=None)
    ).fit(X, y)
    Small().set_callbacks(SklearnProgressBar()).fit(X, y)
    shown = capsys.readouterr().out
    assert "Small" in shown
    assert "100%" in shown


EVENTS = [
    Event(1, 2, 0.5, 0.1, 0.1, 10, 0.01, validation_loss=0.75, scores={"validation_accuracy": 0.5}),
    Event(2, 2, 0.25, 0.1, 0.2, 20, 0.01, validation_loss=0.5, scores={"validation_accuracy": 1.0}),
]


def test_tensorboard_with_a_fake_writer():
    class Writer:
        rows, closed = [], 0

        def add_scalar(self, name, value, global_step):
            self.rows.append((name, value, global_step))

        def close(self):
            self.closed += 1

    writer = Writer()
    with TensorBoard(writer=writer) as log:
        for event in EVENTS:
            assert log(event) is None
    assert [row for row in writer.rows if row[0] in ("loss", "validation_accuracy")] == [
        ("loss", 0.5, 1), ("validation_accuracy", 0.5, 1), ("loss", 0.25, 2), ("validation_accuracy", 1.0, 2),
    ]  # fmt: skip
    assert writer.closed == 1


def test_tensorboard_for_real(job, tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event as Record

    with TensorBoard(tmp_path) as log:
        outcome, _, _ = job.Job(epochs=3).train(emit=log)
    (path,) = tmp_path.iterdir()
    content, at, found = path.read_bytes(), 0, {}
    while at < len(content):  # length, its checksum, the record, its checksum
        size = int.from_bytes(content[at : at + 8], "little")
        record = Record.FromString(content[at + 12 : at + 12 + size])
        for value in record.summary.value:
            found.setdefault(value.tag, []).append((record.step, value.simple_value))
        at += 16 + size
    assert found.keys() == {"loss", "penalty", "seconds", "rows", "step_size", "validation_loss", "validation_rmse"}
    assert [step for step, _ in found["loss"]] == [1, 2, 3]
    np.testing.assert_allclose(
        [value for _, value in found["validation_loss"]], outcome.history["validation_loss"], rtol=1e-6
    )


@pytest.mark.parametrize("several", [True, False])
def test_mlflow_by_its_methods(several):
    logged = []

    class Several:
        def log_metrics(self, numbers, step):
            logged.extend((name, value, step) for name, value in numbers.items())

    class Single:
        def log_metric(self, name, value, step):
            logged.append((name, value, step))

    logger = MLflow(Several() if several else Single())
    for event in EVENTS:
        assert logger(event) is None
    assert ("validation_accuracy", 1.0, 2) in logged
    assert all(type(value) is float for _, value, _ in logged)


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match="pip install 'mlflow'"):
        MLflow()
    with pytest.raises(ImportError, match=r"pip install 'chainrule\[tensorboard\]'"):
        TensorBoard()
    with pytest.raises(TypeError, match="log_metrics or log_metric, got int"):
        MLflow(3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a terminal to draw on")
def test_the_bar_on_a_terminal():
    import pty
    import subprocess

    ours, theirs = pty.openpty()
    script = (
        "import time\nfrom chainrule.training import Event, ProgressBar\n"
        "with ProgressBar('mine') as bar:\n"
        "    for k in range(1, 7):\n"
        "        time.sleep(0.15)\n"
        "        bar(Event(k, 6, 1 / k, 0.0, 0.15 * k, 3000 * k, 0.1, 0.5 / k, 0.25 * k))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen([sys.executable, "-c", script], stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # how the end of a terminal looks on Linux
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait(30) == 0
    for words in ("mine", "3/6", "loss 0.3333 · validation 0.1667 · score 0.7500 · 20,000 rows/s", "left"):
        assert words in shown.decode()


def test_the_bar_is_silent_where_there_is_no_terminal(job, capfd):
    from chainrule.training import ProgressBar

    with ProgressBar() as bar:
        job.Job(epochs=2).train(emit=bar)
    assert capfd.readouterr() == ("", "")
