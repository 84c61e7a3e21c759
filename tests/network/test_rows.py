"""The tables of activations, losses and initialisers: every row held to its derivative, in both float widths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.calculus import grad
from chainrule.calculus.differentiate import slope
from chainrule.network import ACTIVATIONS, INITIALISERS, LOSSES, Activation, Layout, eager_error, get_loss, uses_link
from chainrule.tables import find, table

ELEMENTWISE = [row for row in ACTIVATIONS.values() if not row.rowwise]
# Points on both sides of every kink, far out, and none on a kink (kinks have a test of their own).
POINTS = np.array([-30.0, -3.1, -1.0, -0.4, -1e-3, 1e-3, 0.7, 1.3, 2.9, 20.0])


def central(f, x, h=1e-5):
    return (f(x + h) - f(x - h)) / (2 * h)


@pytest.mark.parametrize("row", ELEMENTWISE, ids=lambda row: row.name)
def test_the_stated_slope_is_the_slope(row):
    stated = row.slope_at(POINTS)
    np.testing.assert_allclose(stated, slope(row.__call__)(POINTS), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(stated, central(row, POINTS), rtol=1e-6, atol=1e-7)


KINKED = {"relu", "leaky_relu", "selu"}  # elu with alpha 1 has a slope at 0, but no second one


@pytest.mark.parametrize("row", [r for r in ELEMENTWISE if r.name not in KINKED], ids=lambda row: row.name)
def test_a_smooth_activation_has_its_derivatives_at_zero(row):
    """Stable forms made of |z| and max(z, 0) have a kink that the function has not: its derivatives must not show it."""
    once, zero = slope(row.__call__), np.array(0.0)
    # where the second derivative jumps, the central difference itself is off by as much as h = 1e-5
    assert once(zero) == pytest.approx(central(row, 0.0), abs=2e-5)
    if row.name not in ("elu", "softsign"):
        assert slope(once)(zero) == pytest.approx(central(once, np.array(0.0)), abs=1e-9)


@pytest.mark.parametrize("row", list(ACTIVATIONS.values()), ids=lambda row: row.name)
def test_an_activation_keeps_float32(row):
    z = POINTS.astype(np.float32)[None]
    assert row(z).dtype == np.float32
    np.testing.assert_allclose(row(z), row(z.astype(float)), rtol=3e-6, atol=1e-7)
    if not row.rowwise:
        assert np.asarray(row.slope_of(z, row(z))).dtype == np.float32


@pytest.mark.parametrize("row", [r for r in ELEMENTWISE if r.name != "exp"], ids=lambda row: row.name)
def test_an_activation_survives_large_scores(row):
    z = np.array([-800.0, 800.0])
    assert np.isfinite(row(z)).all()
    assert np.isfinite(row.slope_at(z)).all()


def test_slopes_at_the_kink_are_what_the_field_chose():
    assert ACTIVATIONS["relu"].slope_at(np.array(0.0)) == 0.0
    assert LOSSES["absolute"].slope_of(np.array(1.0), np.array(1.0)) == 0.0


def targets(row, n, D, rng):
    return {
        "real": rng.normal(size=(n, D)) * 2,
        "positive": rng.gamma(2.0, 1.0, (n, D)),
        "non-negative": rng.poisson(2.0, (n, D)).astype(float),
        "probability": rng.uniform(size=(n, D)),
        "distribution": rng.dirichlet(np.ones(D), n),
    }[row.targets]


def for_outputs(loss, D):
    """The loss with as many numbers in each vector of parameters as there are outputs."""
    return loss.configured(**{name: np.linspace(0.2, 0.9, D) for name in loss.vectors})


@pytest.mark.parametrize("row", list(LOSSES.values()), ids=lambda row: row.name)
def test_a_loss_has_the_slope_that_it_states(row):
    rng, row = np.random.default_rng(0), for_outputs(row, 3)
    y, s = targets(row, 6, 3, rng), rng.normal(size=(6, 3))
    derived = grad(lambda s: np.sum(row(y, s)))(s)
    np.testing.assert_allclose(row.slope_of(y, s), derived, rtol=1e-9, atol=1e-11)
    for _ in range(3):
        v = rng.normal(size=s.shape)
        numerical = central(lambda t, v=v: np.sum(row(y, s + t * v)), 0.0)
        np.testing.assert_allclose(np.sum(derived * v), numerical, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("row", list(LOSSES.values()), ids=lambda row: row.name)
def test_a_loss_is_not_negative_and_zero_at_its_best(row):
    rng, row = np.random.default_rng(1), for_outputs(row, 4)
    y = targets(row, 50, 4, rng)
    if row.name == "squared":
        assert row(y, y).sum() == 0
    assert np.all(row(y, rng.normal(size=y.shape) * 3) >= 0)


@settings(deadline=None, max_examples=60)
@given(st.floats(-900, 900), st.integers(0, 1))
def test_binary_cross_entropy_is_stable(z, y):
    value = LOSSES["binary_cross_entropy"](np.array(float(y)), np.array(z))
    exact = max(z, 0) - z * y + np.log1p(np.exp(-abs(z)))
    assert np.isfinite(value)
    assert value == pytest.approx(exact, rel=1e-14)


def test_cross_entropy_of_two_classes_is_the_binary_one():
    rng = np.random.default_rng(2)
    z, y = rng.normal(size=20) * 5, rng.integers(0, 2, 20).astype(float)
    two = LOSSES["softmax_cross_entropy"](np.stack([1 - y, y], 1), np.stack([np.zeros(20), z], 1))
    np.testing.assert_allclose(two, LOSSES["binary_cross_entropy"](y, z), rtol=1e-12, atol=1e-15)


def test_the_handouts_slip_learns_the_opposite():
    """Without the minus sign the slope points from the label, not to it."""
    right = LOSSES["binary_cross_entropy"].slope_of(np.array(1.0), np.array(0.3))
    assert right < 0  # descent raises the score of a positive case
    misprint = slope(lambda z: np.log(1 / (1 + np.exp(-z))))(0.3)
    assert misprint > 0


@pytest.mark.parametrize("row", list(INITIALISERS.values()), ids=lambda row: row.name)
def test_an_initialiser_has_its_deviation(row):
    A = row.draw(np.random.default_rng(0), 300, 200)
    assert A.shape == (300, 200)
    assert A.std() == pytest.approx(row.deviation(300, 200), rel=0.02)
    assert abs(A.mean()) < 0.01


def test_an_initialiser_that_spreads_wants_ranges():
    layout, rng = Layout.of([2, 5, 1], "tanh"), np.random.default_rng(0)
    with pytest.raises(ValueError, match="'nguyen_widrow' lays units over the rows that they are to see: give X"):
        layout.first_weights(rng, "nguyen_widrow")
    assert layout.first_weights(rng, "he_normal").shape == (layout.K,)


def test_a_wrong_row_is_noticed():
    wrong = Activation("wrong", lambda z: np.tanh(z), lambda z, a: 1.0005 * (1 - a * a))
    with pytest.raises(AssertionError):
        test_the_stated_slope_is_the_slope(wrong)


def test_a_loss_and_an_output_that_do_not_fit_are_both_named():
    layout = Layout.of([2, 1], output="sigmoid")
    with pytest.raises(ValueError, match=r"'poisson'.*'exp'.*'sigmoid'"):
        uses_link(layout.output, get_loss("poisson"))
    assert uses_link(layout.output, get_loss("binary_cross_entropy"))
    assert not uses_link(layout.output, get_loss("squared"))  # the 1986 experiments


def test_tables_refuse_two_rows_of_one_name():
    with pytest.raises(ValueError, match="two rows"):
        table([ACTIVATIONS["tanh"], Activation("x", np.tanh, aliases=("tanh",))])
    with pytest.raises(ValueError, match="Did you mean 'tanh'"):
        find(ACTIVATIONS, "tan", "activation")


def test_a_layout_names_every_parameter():
    layout = Layout.of([3, 4, 2], "tanh")
    assert layout.K == 3 * 4 + 4 * 2 + 4 + 2
    for k in range(layout.K):
        assert layout.index(layout.where(k)) == k
    w = np.arange(layout.K, dtype=float)
    A, b = layout.views(w)
    assert A[2][1, 0] == w[layout.index(("A", 2, 1, 0))]
    assert b[1][3] == w[layout.index(("b", 1, 3))]
    with pytest.raises(IndexError, match="count from 1"):
        A[0]
    with pytest.raises(IndexError, match="A_1 is 3 × 4"):
        layout.index(("A", 1, 3, 0))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [([3], "at least an input"), ([3, 0], "whole number"), ([3, 2.5, 1], "whole number"), (3, "must be a list")],
)
def test_bad_sizes_are_named(sizes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Layout.of(sizes)


def test_a_softmax_inside_is_refused():
    with pytest.raises(ValueError, match="only be the output"):
        Layout.of([2, 3, 1], "softmax")
    with pytest.raises(ValueError, match="2 entries for 1 hidden"):
        Layout.of([2, 3, 1], ["tanh", "relu"])


def test_weight_two_is_a_row_twice():
    layout = Layout.of([2, 3, 1], "tanh")
    rng = np.random.default_rng(0)
    w, X, Y = rng.normal(size=layout.K), rng.normal(size=(4, 2)), rng.normal(size=(4, 1))
    weights = np.array([1.0, 2.0, 1.0, 0.0])
    once = eager_error(layout, get_loss("squared"), w, X, Y, weights)
    rows = [0, 1, 1, 2]
    assert once == pytest.approx(eager_error(layout, get_loss("squared"), w, X[rows], Y[rows]), rel=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=9))
def test_ascending_outputs_never_cross(z):
    for width in (np.float32, np.float64):
        found = ACTIVATIONS["ascending"](np.array([z], width))
        assert np.all(np.diff(found[0]) >= 0)
        assert found[0, 0] == width(z[0])


def test_quantile_of_one_level_is_the_pinball_loss():
    y, s = np.array([[1.0], [-2.0]]), np.array([[0.5], [0.25]])
    loss = get_loss(("quantile", {"levels": 0.9}))
    np.testing.assert_allclose(loss(y, s), [0.9 * 0.5, 0.1 * 2.25])
    assert get_loss("pinball").vectors == ("levels",)
    with pytest.raises(ValueError, match="1 levels for 3 outputs"):
        loss.check_outputs(3)


def test_tweedie_lies_between_poisson_and_gamma():
    y, s = np.array([0.5, 2.0, 7.0]), np.array([0.3, -0.4, 1.5])
    near_poisson, near_gamma = (get_loss(("tweedie", {"power": p})) for p in (1.0 + 1e-7, 2.0 - 1e-7))
    np.testing.assert_allclose(near_poisson(y, s), LOSSES["poisson"](y, s), rtol=1e-5)
    np.testing.assert_allclose(near_gamma(y, s), LOSSES["gamma"](y, s), rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            ("quantile", {"levels": (0.1, 1.0)}),
            r"each of the levels of the loss 'quantile' must be a number in \(0, 1\), got 1.0",
        ),
        (("quantile", {"levels": (0.9, 0.1)}), "ascending order"),
        (("quantile", {"levels": ()}), "ascending order"),
        (("huber", {"delta": 0.0}), r"delta of the loss 'huber' must be a number in \(0, inf\)"),
        (("tweedie", {"power": 2.0}), r"power of the loss 'tweedie' must be a number in \(1, 2\)"),
        (("huber", {"width": 1.0}), "no parameter 'width'; its parameters: delta"),
        (("huber", {"delta": "1"}), "must be a number"),
    ],
)
def test_parameters_out_of_range_are_named(spec, message):
    with pytest.raises((ValueError, TypeError), match=message):
        get_loss(spec)
