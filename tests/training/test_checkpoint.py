"""A training that is stopped and resumed ends with the bits of the one that never stopped; anything else is refused."""

import functools
import os
import signal

import numpy as np
import pytest

from chainrule.files import FileError, load_arrays, save_arrays
from chainrule.training import Checkpointer, CheckpointError, MaxTime, Patience, Randomness
from chainrule.training.fingerprint import Fingerprint, digest


class Stop(Exception):
    pass


def stop_in(epoch, how):
    def emit(event):
        if event.epoch == epoch:
            raise how

    return emit


@pytest.mark.parametrize("options", [
    {}, {"legacy": False}, {"watch": False}, {"held_score": True}, {"step": 0.2}, {"method": "nesterov"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("every", [1, 5])
def test_resumed_bits_are_those_of_the_training_that_never_stopped(job, tmp_path, options, every):
    expected = job.Job(**options).train()
    path = tmp_path / "c"
    for epoch in (3, 4, 11):
        with pytest.raises(Stop):
            job.Job(**options).train(path, stop_in(epoch, Stop), every=every, resume=True)
    # Written after the last epoch that all consumers saw, whatever `every` is.
    assert load_arrays(path)[1]["epoch"] == 10
    found = job.Job(**options).train(path, every=every, resume=True)
    assert found[1:] == expected[1:]
    assert (found[0].best_epoch, found[0].stopped_because) == (expected[0].best_epoch, expected[0].stopped_because)
    # What has ended for good ends at once, with the same.
    shown = []
    again = job.Job(**options).train(path, shown.append, resume=True)
    assert again[1:] == expected[1:]
    assert (again[0].best_epoch, again[0].stopped_because) == (expected[0].best_epoch, expected[0].stopped_because)
    assert shown == []


def test_the_checkpoint_itself_changes_no_bit(job, tmp_path):
    assert job.Job().train(tmp_path / "c")[1:] == job.Job().train()[1:]


def test_seconds_go_on(job, tmp_path):
    with pytest.raises(Stop):
        job.Job().train(tmp_path / "c", stop_in(5, Stop))
    outcome, _, _ = job.Job().train(tmp_path / "c", resume=True)
    assert (np.diff(outcome.history["seconds"]) > 0).all()


@pytest.mark.parametrize("every", [1, 4, 100])
def test_ctrl_c_writes_a_checkpoint(job, tmp_path, every):
    path = tmp_path / "c"
    outcome, _, _ = job.Job().train(
        path, lambda event: signal.raise_signal(signal.SIGINT) if event.epoch == 7 else None, every=every
    )
    assert outcome.interrupted
    assert load_arrays(path)[1]["epoch"] == 6
    assert job.Job().train(path, resume=True)[1:] == job.Job().train()[1:]


def test_every(job, tmp_path):
    written = []
    job.Job().train(
        tmp_path / "c",
        lambda event: written.append(load_arrays(tmp_path / "c")[1]["epoch"] if event.epoch > 5 else 0),
        every=5,
    )
    assert written == [0] * 5 + [5] * 5 + [10] * 2
    assert load_arrays(tmp_path / "c")[1]["epoch"] == 12


@pytest.mark.parametrize("final", [True, False])
def test_a_rule_ends_for_good_but_a_time_limit_only_pauses(job, tmp_path, final):
    expected = job.Job().train()
    rule = (lambda event: "enough" if event.epoch == 4 else None) if final else MaxTime(1e-9)
    outcome, _, _ = job.Job().train(tmp_path / "c", rules=[rule, Patience(50)])
    assert len(outcome.history) == (4 if final else 1)
    outcome, w, _ = job.Job().train(tmp_path / "c", rules=[Patience(50)], resume=True)
    assert (outcome.stopped_because == "enough") == final
    assert (w == expected[1]) == (not final)


def test_without_a_file_resume_begins(job, tmp_path):
    assert job.Job().train(tmp_path / "c", resume=True)[1:] == job.Job().train()[1:]


def test_without_resume_it_begins_anew(job, tmp_path):
    with pytest.raises(Stop):
        job.Job(step=0.1).train(tmp_path / "c", stop_in(5, Stop))
    assert job.Job().train(tmp_path / "c")[1:] == job.Job().train()[1:]


def test_random_numbers_without_a_seed_start_where_they_started(job, tmp_path):
    """With random_state=None nobody can give the seed again: the file has the state from which the training began."""
    first, second = job.Job(), job.Job()
    first.rng.seed(1)
    with pytest.raises(Stop):
        first.train(tmp_path / "c", stop_in(5, Stop))
    second.rng.seed(2)
    found = second.train(tmp_path / "c", resume=True)
    whole = job.Job()
    whole.rng.seed(1)
    assert found[1:] == whole.train()[1:]
    assert second.rng.random(3).tolist() == whole.rng.random(3).tolist()


@pytest.mark.parametrize(("change", "words"), [
    (lambda j: j.X.__setitem__((7, 2), 0.0), r"other data \(X\)\."),
    (lambda j: setattr(j, "Y", j.Y.astype(np.float32)), r"other data \(Y\)\."),
    (lambda j: (setattr(j, "X", -j.X), setattr(j, "Y", -j.Y)), r"other data \(X, Y\)\."),
    (lambda j: setattr(j, "step", 0.5), r"other parameters \(step was 0.02 and is 0.5\)\."),
    (lambda j: (setattr(j, "X", -j.X), setattr(j, "step", np.nan)), r"\(X\) and other parameters \(step was 0.02 and is nan\)"),
    (lambda j: setattr(j, "rng", np.random.default_rng(5)), "came from a MT19937, the generator here is a PCG64"),
])  # fmt: skip
def test_other_data_or_parameters_are_refused_and_named(job, tmp_path, change, words):
    with pytest.raises(Stop):
        job.Job().train(tmp_path / "c", stop_in(3, Stop))
    before = (tmp_path / "c").read_bytes()
    j = job.Job()
    change(j)
    with pytest.raises(CheckpointError, match=words):
        j.train(tmp_path / "c", resume=True)
    assert (tmp_path / "c").read_bytes() == before


def test_another_kind_of_training_is_refused(job, tmp_path):
    with pytest.raises(Stop):
        job.Job().train(tmp_path / "c", stop_in(3, Stop))
    with pytest.raises(CheckpointError, match=r"has other parts \(rule 1\)"):
        job.Job().train(tmp_path / "c", rules=[Patience(50), Patience(60)], resume=True)
    with pytest.raises(
        CheckpointError, match=r"run does not fit: state is float64\(1, 49\) here, float64\(2, 49\) there"
    ):
        job.Job(method="nesterov").train(tmp_path / "c", resume=True)


def test_damaged_files_are_refused(job, tmp_path):
    path = tmp_path / "c"
    with pytest.raises(Stop):
        job.Job().train(path, stop_in(3, Stop))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    cases = [whole[: int(n)] for n in rng.integers(0, len(whole), 40)]
    for place in rng.integers(0, len(whole), 60):
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.integers(8)
        cases.append(bytes(changed))
    for case in cases:
        path.write_bytes(case)
        with pytest.raises(CheckpointError, match=r"cannot resume"):
            job.Job().train(path, resume=True)
    path.write_bytes(whole)
    job.Job().train(path, resume=True)


@pytest.mark.parametrize(("metadata", "words"), [
    ({"model": "TableRegressor"}, "but no checkpoint"),
    ({"kind": "checkpoint"}, "does not say which training"),
    ({"kind": "checkpoint", "fingerprint": {"data": 3}}, "does not say which training"),
])  # fmt: skip
def test_files_that_are_no_checkpoint_are_refused(tmp_path, metadata, words):
    save_arrays(tmp_path / "c", {}, metadata)
    with pytest.raises(CheckpointError, match=words):
        Checkpointer(tmp_path / "c", resume=True)


def test_bad_places_and_settings_are_said_before_training(tmp_path):
    with pytest.raises(CheckpointError, match="is a folder; give the name of a file"):
        Checkpointer(tmp_path)
    with pytest.raises(CheckpointError, match=r"the folder of the checkpoint .* does not exist"):
        Checkpointer(tmp_path / "no" / "c")
    for every in (0, -1, 2.5, True, "3"):
        with pytest.raises(ValueError, match="every must be a whole number of epochs ≥ 1, got"):
            Checkpointer(tmp_path / "c", every=every)


def test_a_full_disk_says_so_and_keeps_the_weights(job, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    j = job.Job()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises((FileError, OSError), match="No space left"):
        j.train(tmp_path / "c", every=3)
    assert j.w.tobytes() == job.Job(epochs=3).train()[1]
    assert os.listdir(tmp_path) == []


class Records:
    """A participant that keeps whatever it is given."""

    def __init__(self, data=None):
        self.data = data

    def snapshot(self):
        return self.data, {}

    def restore(self, data, arrays):
        self.data = data


def test_lists_come_back_as_they_were(tmp_path):
    data = {
        "floats": [0.1, float("nan"), float("-inf"), -0.0], "ints": [1, 2**53 + 1], "truths": [True, False], "none": [None] * 3,
        "some": [None, 0.5], "mixed": [1, 2.0], "empty": [], "words": ["a"], "deep": {"lists": [[1.0], [2]]}, "one": 3,
    }  # fmt: skip
    written, read = Checkpointer(tmp_path / "c"), Records()
    written.follow(records=Records(data))
    written.epoch_ended(1)
    again = Checkpointer(tmp_path / "c", resume=True)
    again.follow(records=read)
    again.restore()
    assert repr(read.data) == repr({k: data[k] for k in sorted(data)})


@pytest.mark.parametrize("parts", [{"a": {"list": "no"}}, {"a": {"nothing": "x"}}, {"a": {"list": [1]}}])
def test_parts_that_are_not_there_are_refused(tmp_path, parts):
    same = Fingerprint.of({}, {}).to_json()
    metadata = {"kind": "checkpoint", "fingerprint": same, "participants": parts, "start": None, "ended": ""}
    save_arrays(tmp_path / "c", {}, metadata)
    with pytest.raises(CheckpointError, match="its parts do not fit together"):
        Checkpointer(tmp_path / "c", resume=True)


@pytest.mark.parametrize("make", [
    lambda: np.random.RandomState(3), lambda: np.random.default_rng(3), lambda: np.random.Generator(np.random.MT19937(3)),
    lambda: np.random.Generator(np.random.Philox(3)), lambda: np.random.Generator(np.random.SFC64(3)),
    lambda: np.random.Generator(np.random.PCG64DXSM(3)), lambda: np.random.RandomState(np.random.PCG64(3)),
])  # fmt: skip
def test_generators_go_on_where_they_were(make, tmp_path):
    rng = make()
    rng.standard_normal(3)
    (getattr(rng, "integers", None) or rng.randint)(0, 9, 5, dtype=np.int32)  # leaves half a word behind
    save_arrays(tmp_path / "r", {}, Randomness(rng).snapshot()[0])
    expected = rng.standard_normal(7).tolist(), rng.permutation(50).tolist()
    other = make()
    Randomness(other).restore(load_arrays(tmp_path / "r")[1], {})
    assert (other.standard_normal(7).tolist(), other.permutation(50).tolist()) == expected


def power(x, n=2):
    return x**n


def other_power(x, n=2):
    return x**n + 1


def recursive(n):
    def inner(k):
        return inner(k - 1) if k else n

    return inner


DIFFERENT = [
    None, 0, 1, 1.0, True, "1", b"1", [1], (1,), {1: 2}, {2: 1}, np.zeros(2), np.zeros((2, 1)), np.zeros(2, int), np.zeros(0),
    np.float32(1), np.array(1.0), [np.zeros(2), None], power, other_power, functools.partial(power, n=3),
    functools.partial(power, n=4), functools.partial(other_power, n=4), lambda x, n=3: x**n, lambda x, n=4: x**n,
    recursive(1), recursive(2), np.sin, np.cos, int, len, np.random.RandomState(0), np.random.RandomState(1),
    np.random.default_rng(0), Patience(3), Patience(4), Patience(3).__call__, np.array(["a", None], object),
]  # fmt: skip


def test_digests_of_different_things_differ_and_of_equal_ones_agree():
    found = [digest(value) for value in DIFFERENT]
    assert len(set(found)) == len(found)
    assert found == [digest(value) for value in DIFFERENT]
    a = np.arange(12.0).reshape(3, 4)
    assert digest(a) == digest(np.asfortranarray(a)) == digest(np.stack([a, a], -1)[..., 0])
    assert digest(recursive(1)) == digest(recursive(1))
    assert digest(np.datetime64("2020-01-01")) != digest(np.array(["2020-01-01"], "M8[D]"))


def test_a_parameter_that_came_or_went_is_named():
    old, new = Fingerprint.of({}, {"a": 1}), Fingerprint.of({}, {"b": (1, 2.0)})
    assert old.differences(new) == "other parameters (a was 1 and is 'not given', b was 'not given' and is [1, 2.0])"
    assert new.differences(Fingerprint.of({}, {"b": [1, np.float64(2.0)]})) == ""
    assert Fingerprint.of({}, {"f": power}).differences(Fingerprint.of({}, {"f": other_power})).count("function ") == 2
