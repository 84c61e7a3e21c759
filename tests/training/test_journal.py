"""The journal of evaluations: killed anywhere, the method asks the same points again and goes on to the same bits."""

import numpy as np
import pytest
import scipy.optimize

from chainrule.blas import one_blas_thread
from chainrule.training import CheckpointError, EvaluationJournal


def rosenbrock(calls):
    def f(x):
        calls.append(x.copy())
        return scipy.optimize.rosen(x), scipy.optimize.rosen_der(x)

    return f


def minimise(path, stop=None, **options):
    calls = []
    with one_blas_thread(), EvaluationJournal(rosenbrock(calls), path, **options) as journal:

        def asked(x):
            if stop is not None and len(calls) >= stop:
                raise KeyboardInterrupt
            return journal(x)

        found = scipy.optimize.minimize(
            asked, np.linspace(-1, 1, 6), jac=True, method="L-BFGS-B", options={"gtol": 1e-9}
        )
    return found.x.tobytes(), found.nfev, len(calls), journal


@pytest.fixture
def whole(tmp_path):
    return minimise(tmp_path / "whole")


def test_stopped_and_resumed_it_ends_with_the_same_bits(tmp_path, whole):
    x, nfev, calls, _ = whole
    assert calls == nfev > 40
    done = 0
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            minimise(tmp_path / "j", stop=10, resume=True)
        done += 10
    found = minimise(tmp_path / "j", resume=True)
    assert found[:2] == (x, nfev)
    assert (found[2], found[3].replayed) == (nfev - done, done)
    assert (tmp_path / "j").read_bytes() == (tmp_path / "whole").read_bytes()


def test_cut_anywhere_the_torn_tail_is_dropped(tmp_path, whole):
    data = (tmp_path / "whole").read_bytes()
    record = 12 + 24 + 8 * 6
    first = len(data) - whole[1] * record
    cuts = [
        first,
        first + 1,
        first + record - 1,
        first + record,
        len(data) - 1,
        *np.random.default_rng(0).integers(first, len(data), 12),
    ]
    for cut in cuts:
        (tmp_path / "j").write_bytes(data[:cut])
        x, nfev, calls, journal = minimise(tmp_path / "j", resume=True)
        assert (x, nfev) == whole[:2]
        assert journal.replayed == (cut - first) // record == nfev - calls
        assert (tmp_path / "j").read_bytes() == data


def test_a_damaged_record_and_what_follows_is_evaluated_again(tmp_path, whole):
    data = (tmp_path / "whole").read_bytes()
    record = 12 + 24 + 8 * 6
    first = len(data) - whole[1] * record
    for k in np.random.default_rng(1).integers(0, 8 * (len(data) - first), 20):
        damaged = bytearray(data)
        damaged[first + k // 8] ^= 1 << k % 8
        (tmp_path / "j").write_bytes(damaged)
        x, _, _, journal = minimise(tmp_path / "j", resume=True)
        assert x == whole[0]
        assert journal.replayed == k // 8 // record
        assert (tmp_path / "j").read_bytes() == data
    (tmp_path / "j").write_bytes(data[: first + record] + bytes(5 * record))  # blocks that never reached the disk
    assert minimise(tmp_path / "j", resume=True)[0] == whole[0]


def test_a_damaged_head_is_refused(tmp_path, whole):
    data = (tmp_path / "whole").read_bytes()
    first = len(data) - whole[1] * (12 + 24 + 8 * 6)
    for place in range(0, first, 7):
        damaged = bytearray(data)
        damaged[place] ^= 16
        (tmp_path / "j").write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"is damaged|is not a journal"):
            minimise(tmp_path / "j", resume=True)
    for cut in (0, 5, first - 1):
        (tmp_path / "j").write_bytes(data[:cut])
        with pytest.raises(CheckpointError, match=r"is damaged|is not a journal"):
            minimise(tmp_path / "j", resume=True)


def test_another_point_data_or_parameter_is_refused(tmp_path):
    X = np.zeros(3)
    minimise(tmp_path / "j", data={"X": X}, parameters={"alpha": 1})
    with pytest.raises(CheckpointError, match=r"other data \(X\) and other parameters \(alpha was 1 and is 2\)"):
        minimise(tmp_path / "j", data={"X": X + 1}, parameters={"alpha": 2}, resume=True)
    with EvaluationJournal(
        rosenbrock([]), tmp_path / "j", data={"X": X}, parameters={"alpha": 1}, resume=True
    ) as journal:
        journal(np.linspace(-1, 1, 6))
        with pytest.raises(CheckpointError, match="its evaluation 2 was at another point"):
            journal(np.zeros(6))


def test_a_generator_starts_where_it_started(tmp_path):
    rng = np.random.RandomState(1)
    with EvaluationJournal(rosenbrock([]), tmp_path / "j", generator=rng):
        first = rng.uniform(size=3)
    again = np.random.RandomState(2)
    with EvaluationJournal(rosenbrock([]), tmp_path / "j", generator=again, resume=True):
        np.testing.assert_array_equal(again.uniform(size=3), first)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.0, 5e-324])
def test_every_bit_of_value_and_gradient_is_kept(tmp_path, value):
    def f(x):
        return value, np.full(3, value)

    with EvaluationJournal(f, tmp_path / "j") as journal:
        fresh = journal(np.zeros(3))
    with EvaluationJournal(None, tmp_path / "j", resume=True) as journal:
        replayed = journal(np.zeros(3))
        assert journal.replayed == 1
    for a, b in zip(fresh, replayed, strict=True):
        assert type(a) is type(b)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_a_write_that_fails_leaves_no_half_record(tmp_path, monkeypatch):
    with EvaluationJournal(rosenbrock([]), tmp_path / "j") as journal:
        journal(np.zeros(6))
        size = (tmp_path / "j").stat().st_size

        class Full:
            def __getattr__(self, name):
                return getattr(real, name)

            def write(self, data):
                real.write(data[:20])
                real.flush()
                raise OSError(28, "No space left on device")

        real = journal._file
        journal._file = Full()
        with pytest.raises(OSError, match="No space"):
            journal(np.ones(6))
        journal._file = real
        assert (tmp_path / "j").stat().st_size == size
        journal(np.ones(6))
    with EvaluationJournal(None, tmp_path / "j", resume=True) as journal:
        journal(np.zeros(6))
        journal(np.ones(6))
        assert journal.replayed == 2
