"""The figure of a limit table: the V of errors, its regimes named; slopes where there is no derivative."""

import matplotlib as mpl
import numpy as np
import pytest

from chainrule import limit_table

mpl.use("Agg")
from matplotlib import pyplot as plt


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def words(ax):
    return " | ".join(text.get_text() for text in ax.texts)


def test_the_errors_are_drawn_on_logarithmic_axes():
    table = limit_table(np.exp, 0.0)
    ax = table.plot()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    secant, central = ax.lines[:2]
    np.testing.assert_allclose(secant.get_xdata()[::-1], table.h)
    np.testing.assert_allclose(secant.get_ydata()[::-1], table.secant_error)
    np.testing.assert_allclose(central.get_ydata()[::-1], table.central_error)
    assert "rounding: error ~ ε/h" in words(ax)
    assert "truncation: error ~ h" in words(ax)
    assert "they meet at 1e-08" in words(ax)


def test_an_error_of_zero_is_on_the_figure():
    table = limit_table(lambda x: x**2, 1.0, h=[0.5, 0.25, 1e-12])
    assert (table.central_error == 0).any()
    ax = table.plot()
    assert all((line.get_ydata() > 0).all() for line in ax.lines[:2])
    assert ax.lines[2].get_markerfacecolor() == "white"


@pytest.mark.parametrize(("f", "a", "there", "not_there"), [
    (lambda x: 3.0 * x, 1.0, "rounding", "truncation"),
    (lambda x: x**2, 0.0, "truncation", "rounding"),
    (lambda x: 0.0 * x, 1.0, "no error at all", "meet"),
])  # fmt: skip
def test_one_regime_alone(f, a, there, not_there):
    text = words(limit_table(f, a).plot())
    assert there in text
    assert not_there not in text


def test_at_a_kink_the_slopes_are_drawn():
    ax = limit_table(np.abs, 0.0).plot()
    left, right, exact = ax.lines
    assert set(left.get_ydata()) == {-1.0}
    assert set(right.get_ydata()) == {1.0}
    assert set(exact.get_ydata()) == {0.0}
    assert "kink" in ax.get_title()


@pytest.mark.parametrize(("f", "a"), [(np.floor, 2.0), (np.cbrt, 0.0), (np.sqrt, 0.0)])
def test_other_places_without_a_derivative(f, a):
    ax = plt.subplots()[1]
    assert limit_table(f, a).plot(ax) is ax
    assert "slope at" in ax.get_ylabel()
    assert ax.get_yscale() == "symlog"
