"""A fit that is killed, interrupted or out of time and then resumed ends as the one that never was; all else is refused."""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import resumable
import scipy.sparse
from resumable import FITS, MLPS, Stop, X, fit, frame, labels, seen, weights

import chainrule as cr
from chainrule.estimators import blocks
from chainrule.files import load_arrays
from chainrule.training import CheckpointError


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", resumable.SMALL_BLOCK)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """name -> what the fit that was never broken off comes to; one without a seed starts as its checkpoint has it."""
    found = {}

    def look(name):
        if name not in found:
            unseeded = FITS[name]()[0].random_state is None
            found[name] = fit(name, **{"checkpoint": tmp_path_factory.mktemp("whole") / "c"} if unseeded else {})[1]
        return found[name]

    return look


# ---------------------------------------------------------------- broken off and resumed


@pytest.mark.parametrize("name", MLPS)
def test_broken_off_and_resumed_a_fit_ends_with_the_same_bits(name, tmp_path, expected):
    path = tmp_path / "c"
    for stop_at, entropy in ((3, 7), (4, 8), (9, 9)):
        with pytest.raises(Stop):
            fit(name, stop_at, entropy, checkpoint=path, every=stop_at % 3 + 1)
    assert fit(name, entropy=10, checkpoint=path)[1] == expected(name)
    # What is finished is the same again, and nothing is trained for it.
    before = path.read_bytes()
    assert fit(name, None if "lbfgs" in name else 1, 11, checkpoint=path)[1] == expected(name)
    assert path.read_bytes() == before


def test_threads_bars_and_time_limits_are_free_to_change(tmp_path, expected, capsys):
    with pytest.raises(Stop):
        fit("adam", 4, checkpoint=tmp_path / "c")
    model, X, y, _ = FITS["adam"]()
    model.set_params(n_threads=1, verbose=True, progress=True, max_time=1000.0)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        model.fit(X, y, checkpoint=tmp_path / "c")
    assert seen(model) == expected("adam")
    assert capsys.readouterr().out.startswith("Iteration 4, loss = ")


@pytest.mark.parametrize("name", ["adam", "early stopping", "lbfgs"])
def test_a_time_limit_pauses(name, tmp_path, expected):
    model, X, y, given = FITS[name]()
    model.set_params(max_time=1e-9).fit(X, y, **given, checkpoint=tmp_path / "c", every=5)
    assert model.n_iter_ == 1
    assert "time limit" in model.stopped_because_
    assert fit(name, checkpoint=tmp_path / "c")[1] == expected(name)


@pytest.mark.parametrize("name", [name for name in FITS if name not in MLPS])
def test_a_table_model_goes_on_where_its_time_was_up(name, tmp_path, expected):
    model, X, y, given = FITS[name]()
    model.set_params(max_time=1e-9)
    np.random.seed(7)  # noqa: NPY002 (a fit without a seed draws one from it)
    for turn in range(1, 4):
        assert model.fit(X, y, **given, checkpoint=tmp_path / "c", every=7).n_iter_ == turn
    assert fit(name, entropy=8, checkpoint=tmp_path / "c")[1] == expected(name)
    assert fit(name, entropy=9, checkpoint=tmp_path / "c")[1] == expected(name)


REFUSED_TABLES = {
    "a cell": (lambda m, a: a["X"].iloc.__setitem__((3, 0), "other"), r"other data \(X\)\."),
    "a name": (lambda m, a: a.update(X=a["X"].rename(columns={"a": "z"})), r"other data \(X\)\."),
    "a type": (lambda m, a: a.update(X=a["X"].astype({"c": "float32"})), r"other data \(X\)\."),
    "a target": (lambda m, a: a.update(y=a["y"][::-1]), r"other data \(y\)\."),
    "weights": (lambda m, a: a.update(sample_weight=None), r"other data \(sample_weight\)\."),
    "a kind": (lambda m, a: m.set_params(kinds={"c": "category"}), r"kinds was None and is \{'c': 'category'\}"),
    "a seed": (lambda m, a: m.set_params(random_state=1), r"random_state was 0 and is 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED_TABLES)
def test_another_table_is_refused(name, tmp_path):
    change, words = REFUSED_TABLES[name]
    model, X, y, given = FITS["table"]()
    asked = {"X": X.copy(), "y": y, "checkpoint": tmp_path / "c", **given}
    model.set_params(max_time=1e-9).fit(**asked)
    change(model, asked)
    with pytest.raises(CheckpointError, match=words):
        model.fit(**asked)
    assert model.fit(**asked, resume=False).n_iter_ == 1


@pytest.mark.parametrize("name", ["adam", "averaging", "sparse", "lbfgs"])
def test_ctrl_c_keeps_what_was_done(name, tmp_path, expected):
    model, X, y, given = FITS[name]()
    model.set_callbacks(lambda event: signal.raise_signal(signal.SIGINT) if event.epoch == 6 else None)
    with pytest.warns(UserWarning, match="interrupted by user"):
        model.fit(X, y, **given, checkpoint=tmp_path / "c", every=4)
    assert model.stopped_because_ == "you interrupted it"
    assert fit(name, checkpoint=tmp_path / "c")[1] == expected(name)


def test_a_callback_that_stopped_a_fit_has_ended_it(tmp_path):
    model, X, y, _ = FITS["adam"]()
    model.set_callbacks(lambda event: "enough" if event.epoch == 4 else None).fit(X, y, checkpoint=tmp_path / "c")
    again, found = fit("adam", checkpoint=tmp_path / "c")
    assert found == seen(model)
    assert (again.n_iter_, again.stopped_because_) == (4, "enough")


def test_partial_fit_goes_on_from_a_resumed_fit(tmp_path):
    whole = fit("dropout")[0].partial_fit(X, labels)
    with pytest.raises(Stop):
        fit("dropout", 4, checkpoint=tmp_path / "c")
    resumed = fit("dropout", checkpoint=tmp_path / "c")[0].partial_fit(X, labels)
    assert seen(resumed) == seen(whole)


def test_a_generator_of_ones_own_ends_where_it_would_have(tmp_path):
    whole = fit("RandomState")[0].random_state.random_sample(3).tolist()
    with pytest.raises(Stop):
        fit("RandomState", 4, checkpoint=tmp_path / "c")
    assert fit("RandomState", checkpoint=tmp_path / "c")[0].random_state.random_sample(3).tolist() == whole


def test_a_fit_without_a_seed_takes_one_number_of_numpys_global_ones(tmp_path):
    np.random.seed(7)  # noqa: NPY002 (it is the global state that is meant)
    expected = np.random.randint(2**31 - 1, size=2)[1]  # noqa: NPY002
    for epoch in (4, 7):
        with pytest.raises(Stop):
            fit("no seed", epoch, 7, checkpoint=tmp_path / "c")
        assert np.random.randint(2**31 - 1) == expected  # noqa: NPY002


def fit_until(epoch, model, path):
    """Fit it, broken off in that epoch."""

    def emit(event):
        if event.epoch == epoch:
            raise Stop

    with pytest.raises(Stop):
        model.set_callbacks(emit).fit(X, labels, checkpoint=path)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_first_weights_that_were_set_by_hand_belong_to_the_fit(solver, tmp_path):
    def halved(scale=0.5):
        model = resumable.classifier(max_iter=6, solver=solver).initialize(X, labels)
        model.network_.w *= scale
        return model

    fit_until(3, halved(), tmp_path / "c")
    with pytest.raises(CheckpointError, match=r"other data \(the weights after initialize\)"):
        halved(0.4).fit(X, labels, checkpoint=tmp_path / "c")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert seen(halved().fit(X, labels, checkpoint=tmp_path / "c")) == seen(halved().fit(X, labels))


def test_a_start_from_a_model_that_was_fitted_again_is_the_same_start(tmp_path):
    """Its history has other seconds; only its weights count."""

    def started(scale=1.0):
        source = fit("adam")[0]
        source.network_.w *= scale
        return resumable.classifier(start_from=source, max_iter=6)

    fit_until(3, started(), tmp_path / "c")
    with pytest.raises(CheckpointError, match=r"other data \(start_from\)"):
        started(0.5).fit(X, labels, checkpoint=tmp_path / "c")
    fit_until(5, started(), tmp_path / "c")
    assert load_arrays(tmp_path / "c")[1]["epoch"] == 4


# ---------------------------------------------------------------- refused


REFUSED = {
    "other rows": (lambda m, a: a.update(X=-X), r"other data \(X\)\."),
    "another width": (lambda m, a: a.update(X=X.astype(np.float32)), r"other data \(X"),
    "another DataFrame": (lambda m, a: a.update(X=frame + 1e-9), r"other data \(X\)\."),
    "a sparse table": (lambda m, a: a.update(X=scipy.sparse.csr_matrix(X)), r"other data \(X\)\."),
    "other labels": (lambda m, a: a.update(y=labels[::-1]), r"other data \(y\)\."),
    "other names of labels": (lambda m, a: a.update(y=np.char.add(labels, "!")), r"other data \(y\)\."),
    "weights": (lambda m, a: a.update(sample_weight=weights), r"other data \(sample_weight\)\."),
    "an eval_set": (lambda m, a: a.update(eval_set=(X[:9], labels[:9])), r"other data \(eval_set\)\."),
    "alpha": (lambda m, a: m.set_params(alpha=0.5), r"other parameters \(alpha was 0.0001 and is 0.5\)"),
    "max_iter": (lambda m, a: m.set_params(max_iter=99), r"other parameters \(max_iter was 25 and is 99\)"),
    "another seed": (lambda m, a: m.set_params(random_state=1), r"\(random_state was 0 and is 1\)"),
    "no seed": (lambda m, a: m.set_params(random_state=None), r"\(random_state was 0 and is None\)"),
    "another network": (lambda m, a: m.set_params(hidden_layer_sizes=(9,)), r"hidden_layer_sizes was \[8\] and is \[9\]"),
    "an activation": (lambda m, a: m.set_params(activation=np.sin), r"activation was 'relu' and is 'ufunc "),
    "a scorer": (
        lambda m, a: m.set_params(scoring=lambda m, X, y: 0.0, early_stopping=True), r"scoring was None and is 'function "
    ),
    "class weights": (lambda m, a: m.set_params(class_weight="balanced"), r"\(class_weight was None and is 'balanced'\)"),
    "the other way": (lambda m, a: m.set_params(solver="lbfgs"), "is not a journal of evaluations"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_another_fit_is_refused_and_what_differs_is_named(name, tmp_path):
    change, words = REFUSED[name]
    with pytest.raises(Stop):
        fit("adam", 3, checkpoint=tmp_path / "c")
    before = (tmp_path / "c").read_bytes()
    model, asked = FITS["adam"]()[0], {"X": X, "y": labels}
    change(model, asked)
    with pytest.raises(CheckpointError, match=words):
        model.fit(**asked, checkpoint=tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == before
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(**asked, checkpoint=tmp_path / "c", resume=False)  # begins anew
    assert (tmp_path / "c").read_bytes() != before


def test_a_journal_is_refused_as_a_checkpoint_is(tmp_path):
    with pytest.raises(Stop):
        fit("lbfgs", 3, checkpoint=tmp_path / "c")
    model, X, y, _ = FITS["lbfgs"]()
    with pytest.raises(CheckpointError, match=r"\(eval_set, y\) and other parameters \(alpha was 0.0001 and is 0.1\)"):
        model.set_params(alpha=0.1).fit(X, y + 1, checkpoint=tmp_path / "c")
    with pytest.raises(CheckpointError, match="is not a chainrule model file"):
        FITS["adam"]()[0].fit(X, labels, checkpoint=tmp_path / "c")


def test_the_same_data_in_other_clothes_are_the_same(tmp_path):
    with pytest.raises(Stop):
        fit("adam", 3, checkpoint=tmp_path / "c")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        FITS["adam"]()[0].fit(X.tolist(), list(labels), checkpoint=tmp_path / "c")


@pytest.mark.parametrize("name", ["adam", "lbfgs"])
def test_damaged_and_foreign_files_are_refused(name, tmp_path):
    path = tmp_path / "c"
    with pytest.raises(Stop):
        fit(name, 3, checkpoint=path)
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[40] ^= 4
    for case in (b"", b"hello", whole[:50], bytes(changed)):
        path.write_bytes(case)
        with pytest.raises(CheckpointError, match="cannot resume"):
            fit(name, checkpoint=path)
    cr.save(fit("adam")[0], path)
    with pytest.raises(CheckpointError, match=r"no checkpoint|not a journal"):
        fit(name, checkpoint=path)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_bad_places_and_settings_are_said_before_training(solver, tmp_path):
    model = resumable.classifier(solver=solver)

    def asked(**more):
        return model.fit(X, labels, **{"checkpoint": tmp_path / "c", **more})

    for every in (0, -1, 2.5, True, "3"):
        with pytest.raises(ValueError, match="every must be a whole number of epochs ≥ 1, got"):
            asked(every=every)
    with pytest.raises(CheckpointError, match="is a folder; give the name of a file"):
        asked(checkpoint=tmp_path)
    with pytest.raises(CheckpointError, match=r"the folder of the checkpoint .* does not exist"):
        asked(checkpoint=tmp_path / "no" / "c")
    model.set_params(warm_start=True)
    with pytest.raises(ValueError, match="does not go with warm_start=True"):
        asked()
    assert not hasattr(model, "network_")
    assert os.listdir(tmp_path) == []
    with pytest.raises(TypeError, match="unexpected keyword argument 'checkpoint'"):
        resumable.classifier().partial_fit(X, labels, classes=np.unique(labels), checkpoint=tmp_path / "c")


def test_a_folder_that_cannot_be_written_to_is_said_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)  # permissions do not bind every user
    with pytest.raises(CheckpointError, match="cannot be written to"):
        fit("adam", checkpoint=tmp_path / "c")


# ---------------------------------------------------------------- killed


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed process forks")
# fit, a checkpoint every so many epochs, written slowly?
KILLS = [
    ("early stopping", 1, True),
    ("no seed", 1, True),
    ("table, no seed", 2, False),
    ("lbfgs, no seed", 1, True),
]
MORE_KILLS = [(name, 1 + k % 3, k % 2 == 0) for k, name in enumerate(FITS)]


@pytest.fixture(scope="module")
def killer():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name("resumable.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip

    def kill(**order):
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield kill
    process.stdin.close()
    process.stdout.close()
    assert process.wait(60) == 0


def check(killer, path, case, seed, expected):
    """Kill the fit up to three times, each time later on its way, then let it end here; how often it had begun."""
    name, every, slow = case
    rng, midway = np.random.default_rng(seed), 0
    for turn in range(3):
        entropy = 7 if not path.exists() else 100 + turn  # without a checkpoint a fit without a seed has not begun
        said = killer(
            name=name, every=every, slow=slow, entropy=entropy, path=str(path), fraction=float(rng.uniform(0.0, 0.6))
        )
        assert said in ("killed", 0)
        if said == 0:
            break
        midway += path.exists()
        if path.exists() and "lbfgs" not in name:
            load_arrays(path)  # whole, whatever happened
    assert fit(name, entropy=99 if path.exists() else 7, checkpoint=path)[1] == expected(name)
    return midway


@forks
@pytest.mark.parametrize("case", KILLS, ids=str)
def test_killed_and_resumed(killer, tmp_path, case, expected):
    # a fit may be done before the signal comes: then it is tried with other moments
    assert any(check(killer, tmp_path / f"c{seed}", case, seed, expected) for seed in range(1, 9))


@forks
@pytest.mark.slow
@pytest.mark.parametrize("case", MORE_KILLS, ids=str)
def test_killed_and_resumed_twenty_times(killer, tmp_path, case, expected):
    for seed in range(100, 107):
        check(killer, tmp_path / f"c{seed}", case, seed, expected)
