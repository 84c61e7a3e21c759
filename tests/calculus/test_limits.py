"""limit_table: the error of secants, its two regimes, and what is said where there is no derivative."""

import math

import numpy as np
import pytest

from chainrule.calculus import central_difference, limit_table, secant_slope

SMOOTH = [
    (np.sin, 0.7, math.cos(0.7)),
    (np.exp, 0.7, math.exp(0.7)),
    (lambda x: x**3, 0.7, 3 * 0.49),
    (lambda x: np.log(x), 1e-3, 1e3),
    (lambda x: x**2 + 1e6, 3.0, 6.0),
    (lambda x: np.exp(-x) * 1e3, 40.0, -1e3 * math.exp(-40)),
]


@pytest.mark.parametrize(("f", "a", "exact"), SMOOTH)
def test_truncation_falls_and_rounding_rises(f, a, exact):
    table = limit_table(f, a)
    assert table.exact == pytest.approx(exact, rel=1e-14)
    np.testing.assert_allclose(table.h, [10.0**-k for k in range(1, 13)])
    assert table.sides.kind == "smooth"
    best = int(np.argmin(table.secant_error))
    assert table.regimes == ["truncation"] * best + ["least"] + ["rounding"] * (11 - best)
    assert table.secant_error[0] > table.secant_error[best] < table.secant_error[-1]
    assert abs(math.log10(table.best_h / table.expected_h)) < 1.5  # where the two formulas say that they meet
    assert "above it truncation" in table.remark
    assert str(table).count("\n") == 14


def test_the_errors_fall_as_they_should():
    table = limit_table(np.exp, 0.0)
    assert table.secant_error[1] / table.secant_error[0] == pytest.approx(0.1, rel=0.05)
    assert table.central_error[1] / table.central_error[0] == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize(
    ("f", "a", "kind", "left", "right"),
    [
        (np.abs, 0.0, "kink", -1.0, 1.0),
        (lambda x: np.maximum(x, 0) + x**2, 0.0, "kink", 0.0, 1.0),
        (lambda x: np.maximum(x, 2 * x - 1e3), 1e3, "kink", 1.0, 2.0),
        (lambda x: 100 + np.where(x > 1, 3 * x, 4 - x), 1.0, "kink", -1.0, 3.0),
        (np.floor, 2.0, "jump", math.inf, 0.0),
        (np.cbrt, 0.0, "vertical", math.inf, math.inf),
        (lambda x: np.sqrt(np.abs(x)), 0.0, "vertical", -math.inf, math.inf),
        (np.sqrt, 0.0, "edge", math.nan, math.inf),
        (lambda x: np.log(1 - x * x), 2.0, "edge", math.nan, math.nan),
        (lambda x: np.tanh(1e4 * x), 1e-5, "smooth", 9900.66, 9900.66),
        (lambda x: np.abs(x), 1e-3, "smooth", 1.0, 1.0),
    ],
)
def test_the_two_sides(f, a, kind, left, right):
    with np.errstate(all="ignore"):
        table = limit_table(f, a)
    assert table.sides.kind == kind
    assert table.sides.left == pytest.approx(left, rel=1e-4, abs=1e-6, nan_ok=True)
    assert table.sides.right == pytest.approx(right, rel=1e-4, abs=1e-6, nan_ok=True)
    if kind != "smooth":
        assert str(table).splitlines()[1].split() == ["h", "slope", "from", "the", "left", "from", "the", "right"]


def test_a_kink_is_called_one():
    table = limit_table(np.abs, 0.0)
    assert table.remark == (
        "a kink at 0: the slope from the left is -1, from the right 1, so there is no derivative; "
        "the calculus returns 0"
    )
    assert (table.left == -1).all()
    assert (table.secant == 1).all()


@pytest.mark.parametrize(
    ("f", "a", "words"),
    [
        (lambda x: 3.0 * x, 1.0, "rounding alone"),
        (lambda x: x**2, 0.0, "truncation alone"),
        (lambda x: 0.0 * x, 1.0, "the secant is exact"),
        (np.floor, 2.0, "f jumps at 2"),
        (np.cbrt, 0.0, "grows without bound"),
        (np.sqrt, 0.0, "f is not defined to the left of 0"),
    ],
)
def test_the_remark(f, a, words):
    assert words in limit_table(f, a).remark


def test_other_steps_and_bad_ones():
    table = limit_table(np.sin, 0.5, h=[0.5, 0.25])
    assert table.h.tolist() == [0.5, 0.25]
    with pytest.raises(ValueError, match="h must not be 0"):
        limit_table(np.sin, 0.5, h=[0.1, 0.0])
    with pytest.raises(ValueError, match="a must be a finite number, got nan"):
        limit_table(np.sin, math.nan)


def test_the_secants_slope_is_between_points():
    assert secant_slope(lambda x: x**2, 1.0, np.array([1.0, 0.5])).tolist() == [3.0, 2.5]
    assert central_difference(lambda x: x**2, 1.0, np.array([1.0, 0.5])).tolist() == [2.0, 2.0]
