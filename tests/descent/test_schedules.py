"""The table of schedules: every factor in [0, 1], vectorised over time, with the ends that its row states."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.descent import METHODS, SCHEDULES, Schedule, get_schedule, minimize, warm_up

# (factor at the first step, limit at the last one) of each row as it is. A row without an entry here fails.
ENDS = {
    "constant": (1.0, 1.0),
    "inverse_scaling": (1.0, 1001**-0.5),
    "step_decay": (1.0, 0.01),
    "exponential": (1.0, 0.01),
    "linear": (1.0, 0.0),
    "cosine": (1.0, 0.0),
    "flat_cos": (1.0, 0.0),
    "coslog": (0.0, 0.0),
    "one_cycle": (0.04, 0.0),
}
ROWS = pytest.mark.parametrize("row", SCHEDULES.values(), ids=SCHEDULES)


@ROWS
def test_the_ends_are_those_of_the_row(row):
    assert (row(0, 1000), row(1000, 1000)) == pytest.approx(ENDS[row.name], abs=1e-12)
    assert row.source
    assert row.formula


@ROWS
@settings(deadline=None, max_examples=25, derandomize=True)
@given(T=st.integers(1, 5000), data=st.data())
def test_every_factor_lies_between_0_and_1_and_is_vectorised(row, T, data):
    shapes = {name: data.draw(_inside(row.ranges[name])) for name in row.parameters}
    schedule = row.configured(**shapes)
    times = np.array(data.draw(st.lists(st.integers(0, T), min_size=1, max_size=20)))
    found = schedule(times, T)
    assert found.shape == times.shape
    assert np.all((found >= 0) & (found <= 1))
    assert [schedule(t, T) for t in times.tolist()] == pytest.approx(found.tolist(), rel=1e-14, abs=1e-15)
    warmed = warm_up(schedule, 0.25)(times, T)
    assert np.all((warmed >= 0) & (warmed <= 1))


def _inside(interval):
    low, high = max(interval.low, 0.0), min(interval.high, 6.0)
    if interval.whole:
        return st.integers(int(low), int(high))
    return st.floats(low, high, exclude_min=not interval.low_included, exclude_max=not interval.high_included).filter(
        lambda x: x in interval and (x == 0 or x > 1e-6)
    )


def test_known_points_between_the_ends():
    assert SCHEDULES["step_decay"]([0, 333, 334, 667, 1000], 1000) == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    assert SCHEDULES["cosine"](500, 1000) == pytest.approx(0.5)
    assert SCHEDULES["flat_cos"]([250, 500, 750], 1000) == pytest.approx([1.0, 1.0, 0.5])
    assert SCHEDULES["exponential"](500, 1000) == pytest.approx(0.1)
    assert SCHEDULES["one_cycle"](300, 1000) == pytest.approx(1.0)
    # four cycles, each twice as long: zeros where 1 + 15 s is a power of 2
    assert SCHEDULES["coslog"]([0, 1, 3, 7, 15], 15) == pytest.approx([0] * 5, abs=1e-12)
    assert warm_up("cosine", 0.1)([0, 9, 100], 1000) == pytest.approx([1 / 101, 10 / 101, 1.0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: get_schedule("cosin"), ValueError, "there is no schedule 'cosin'. Did you mean 'cosine'"),
        (lambda: get_schedule(1.0), TypeError, "schedule must be a name or a row, got 1.0"),
        (lambda: SCHEDULES["cosine"].configured(stop=0.1), ValueError, "the schedule 'cosine' has no 'stop'"),
        (lambda: SCHEDULES["cosine"].configured(end=1.5), ValueError, r"end must be a number in \[0, 1\], got 1.5"),
        (lambda: SCHEDULES["cosine"](11, 10), ValueError, r"t must lie in \[0, 10\]"),
        (lambda: SCHEDULES["cosine"](0, 0), ValueError, "T, the number of steps, must be a whole number"),
        (lambda: -1.0 * SCHEDULES["cosine"], ValueError, "the step size of a schedule must be a number"),
        (lambda: warm_up("cosine", 1.0), ValueError, r"share must be a number in \(0, 1\), got 1.0"),
    ],
)
def test_errors_name_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_schedule_times_a_size_is_a_step():
    gamma = 0.2 * get_schedule("linear")
    assert (np.float64(0.2) * get_schedule("linear"))(0, 4) == gamma(0, 4) == 0.2
    path = minimize(lambda x: x, 1.0, step=gamma, max_iter=4)  # F' = 1: a step is γ_n itself
    np.testing.assert_allclose(-np.diff(path.points), [0.2, 0.15, 0.1, 0.05], rtol=1e-12)


@pytest.mark.parametrize("step", ["linear", SCHEDULES["linear"]])
def test_a_schedule_alone_takes_the_methods_default(step):
    path = minimize(lambda x: x, 1.0, step=step, max_iter=2)
    gamma = METHODS["gradient_descent"].defaults["step"]
    np.testing.assert_allclose(-np.diff(path.points), [gamma, gamma / 2], rtol=1e-12)


def test_a_schedule_of_ones_own_is_walked():
    harmonic = Schedule("harmonic", lambda t, T: 1.0 / (t + 1.0))
    path = minimize(lambda x: x, 1.0, step=0.6 * harmonic, max_iter=3)
    np.testing.assert_allclose(-np.diff(path.points), [0.6, 0.3, 0.2], rtol=1e-12)
