"""How many threads run, and for how long at a time."""

import sys
import threading
import time

import numpy as np
import pytest

from chainrule.engine import threads
from chainrule.engine.cores import available_threads, check_threads
from chainrule.engine.threads import Crew, Pace


def follow(pace, rate, slices):
    """Slices of a machine that makes `rate[n]` steps a second on n threads: the threads of each."""
    used = []
    for _ in range(slices):
        n, units = pace.next()
        used.append((n, units))
        pace.note(n, units, units / rate[n])
    return used


@pytest.mark.parametrize(("rate", "best"), [({1: 1000.0, 2: 1800.0}, 2), ({1: 1000.0, 2: 50.0}, 1)])
def test_the_faster_number_of_threads_does_the_work(rate, best):
    used = follow(Pace((1, 2), 10), rate, 200)
    steps = {n: sum(units for m, units in used if m == n) for n in (1, 2)}
    assert steps[best] > 20 * steps[3 - best] > 0
    assert max(units for _, units in used) == int(rate[best] * threads.SLICE_SECONDS)


def test_a_machine_that_changes_is_noticed():
    pace = Pace((1, 2), 10)
    follow(pace, {1: 1000.0, 2: 1800.0}, 50)
    used = follow(pace, {1: 1000.0, 2: 100.0}, 100)
    assert [n for n, _ in used[-20:]].count(1) >= 18


def test_the_slice_in_which_threads_wake_says_little():
    """Where a call is one short slice, the first one on two threads is slow, the others are fast."""
    pace, before, used, believed = Pace((1, 2), 10), 0, [], set()
    for _ in range(300):
        n, _ = pace.next()
        woken = n == 2 and before != 2
        pace.note(n, 10, 10 / {1: 1000.0, 2: 600.0 if woken else 1800.0}[n])
        used.append(n)
        before = n
        believed.add(round(pace._rates.get(2, 0.0)))
    assert used[-100:].count(2) >= 90
    assert believed == {600, 1800}  # the very first slice is all that is known; later ones of its kind leave no trace


def test_a_trial_ends_with_the_first_slice_that_is_far_too_slow():
    pace, used = Pace((1, 2), 1), ""
    for _ in range(20_000):  # calls of one step each
        n, _ = pace.next()
        pace.note(n, 1, {1: 1e-4, 2: 1e-3}[n])
        used += str(n)
    runs = [len(run) for run in used.lstrip("2").split("1") if run]
    assert len(runs) > 3
    assert max(runs) == 1


def test_one_choice_is_never_sampled():
    used = follow(Pace((1,), 7), {1: 100.0}, 5)
    assert used == [(1, 7), (1, 20), (1, 20), (1, 20), (1, 20)]


MARK = """
from chainrule.engine.jit import entry
from chainrule.engine.meeting import enter, meet

@entry
def mark(thread, n_threads, counter, came):
    target = enter(thread, n_threads, counter)
    target += n_threads
    meet(counter, n_threads, target)
    came[thread] += 1
    meet(counter, n_threads, target + n_threads)
    return 0.0
"""


@pytest.fixture(scope="module")
def mark(kernel_of):
    """A kernel whose threads meet twice and each count their coming."""
    return kernel_of(MARK, "mark", "together I1")


def test_a_crew_runs_one_kernel_after_another_on_as_many_threads_as_asked(mark):
    came, expected = np.zeros(3, np.int64), np.zeros(3, np.int64)
    with Crew(3) as crew:
        for k in range(300):
            n = (3, 1, 2)[k % 3]
            if k % 100 == 50:
                time.sleep(0.05)  # workers fall asleep
            crew.run(mark, (came,), n)
            expected[:n] += 1
            assert came.tolist() == expected.tolist()


def test_threads_end_with_their_crew(mark):
    before = threading.active_count()
    crew = Crew(3)
    crew.run(mark, (np.zeros(3, np.int64),))
    assert threading.active_count() == before + 2
    workers = crew._workers
    del crew  # nobody closes it
    for worker in workers:
        worker.join(10)
    assert threading.active_count() == before


def interrupted_at(instruction, code, function):
    """Call it with a KeyboardInterrupt before that instruction of `code`; whether it came so far."""
    seen = 0

    def trace(frame, event, arg):
        nonlocal seen
        if frame.f_code is not code:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            seen += 1
            if seen == instruction:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_an_interruption_anywhere_loses_no_thread(mark):
    """Threads that wait for one another all come, or none begins; the crew goes on."""
    came, instruction = np.zeros(2, np.int64), 1
    with Crew(2) as crew:
        crew.run(mark, (came,))
        came[:] = 0
        while interrupted_at(instruction, Crew.run.__code__, lambda: crew.run(mark, (came,))):
            assert came.tolist() in ([0, 0], [1, 1])
            came[:] = 0
            crew.run(mark, (came,))
            assert came.tolist() == [1, 1]
            came[:] = 0
            instruction += 1
    assert instruction > 50


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "2", True])
def test_a_number_of_threads_that_is_none_is_named(wrong):
    with pytest.raises(ValueError, match="n_threads must be a whole number"):
        check_threads(wrong)


def test_omp_num_threads_is_a_bound(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert available_threads() == 1
    with pytest.warns(RuntimeWarning, match="more than the 1 available"):
        assert check_threads(3) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "nonsense")
    assert available_threads() >= 1
