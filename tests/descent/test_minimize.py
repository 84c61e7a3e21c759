"""What minimize and maximize promise: why they stop, that divergence is an error, any point in, a whole path out."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.descent import METHODS, REASONS, Armijo, DivergenceError, Objective, Path, maximize, minimize


def bowl(x):
    return np.sum((x - 3.0) ** 2)


# ---------------------------------------------------------------- why it stopped


def interrupted():
    calls = []

    def F(x):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return (x - 3.0) ** 2

    return minimize(F, 0.0)


def diverged():
    with pytest.raises(DivergenceError) as caught:
        minimize(lambda x: x**2, 1.0, step=1.1)
    return caught.value.path


# One walk for each reason of the table. A reason without one fails.
STOPS = {
    "gradient": lambda: minimize(bowl, 0.0),
    "value": lambda: minimize(bowl, 0.0, tol_value=1e-3),
    "step": lambda: minimize(bowl, 0.0, tol_step=1e-3),
    "search": lambda: minimize(lambda x: np.abs(x**2 - 2.0), 1.0, step="armijo"),
    "lbfgs": lambda: minimize(lambda x: np.abs(x**2 - 2.0), 1.0, "lbfgs"),
    "no_better": lambda: minimize(lambda x: np.abs(x**2 - 2.0), 1.0, "newton_cg"),
    "limit": lambda: minimize(bowl, 0.0, max_iter=3),
    "worse": lambda: minimize(bowl, 0.0, step=1.1, max_iter=3),
    "callback": lambda: minimize(bowl, 0.0, callback=lambda x, value: value < 1.0),
    "interrupt": interrupted,
    "divergence": diverged,
}


@pytest.mark.parametrize("name", REASONS)
def test_every_reason_is_reached(name):
    path = STOPS[name]()
    assert path.stopped_because == REASONS[name].sentence
    assert path.converged == REASONS[name].converged


@pytest.mark.parametrize("name", ["gradient", "value", "step", "limit", "callback"])
def test_lbfgs_stops_for_the_same_reasons(name):
    def F(x):
        return np.sum(np.cosh(x - 3.0))

    options = {
        "gradient": {}, "value": {"tol_value": 0.1}, "step": {"tol_step": 0.1}, "limit": {"max_iter": 2},
        "callback": {"callback": lambda x, value: value < 1.5},
    }[name]  # fmt: skip
    path = minimize(F, 0.0, "lbfgs", **options)
    assert path.stopped_because == REASONS[name].sentence
    if name == "limit":
        assert path.n_iter == 2


@pytest.mark.parametrize("method", ["gradient_descent", "lbfgs"])
def test_no_step_is_made_where_there_is_nothing_to_do(method):
    at_bottom, none_wanted = minimize(bowl, 3.0, method), minimize(bowl, 0.0, method, max_iter=0)
    assert (at_bottom.n_iter, at_bottom.converged, len(at_bottom)) == (0, True, 1)
    assert (none_wanted.n_iter, none_wanted.converged, none_wanted.value) == (0, False, 9.0)
    empty = minimize(bowl, np.zeros(0), method)
    assert (empty.x.shape, empty.value, empty.converged) == ((0,), 0.0, True)


def test_tolerances_are_those_asked_for():
    path = minimize(bowl, 0.0, tol_gradient=0.5)
    assert abs(path.gradients[-1]) <= 0.5 < abs(path.gradients[-2])
    path = minimize(bowl, 0.0, tol_value=0.5)
    assert -np.diff(path.values)[-1] <= 0.5 < -np.diff(path.values)[-2]
    path = minimize(bowl, 0.0, tol_step=0.1)
    assert np.diff(path.points)[-1] <= 0.1 < np.diff(path.points)[-2]


# ---------------------------------------------------------------- divergence


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("adadelta",)])
def test_a_step_far_too_large_is_an_error_for_every_method(method):
    with pytest.raises(DivergenceError, match=f"{method} diverged: .* in step") as caught:
        minimize(lambda x: np.sum(np.exp(x**2)), np.array([1.0, -0.5]), method, step=1e3)
    path = caught.value.path
    assert isinstance(path, Path)
    assert not path.converged
    assert np.isfinite(path.points).all()
    assert np.isfinite(path.values).all()
    assert path.x.tolist() == [1.0, -0.5]


@pytest.mark.parametrize(
    ("F", "x0", "options"),
    [
        (lambda x: x**2, 1.0, {"step": 1.1}),  # grows for ever, without ever becoming infinite in 1000 steps
        (lambda x: -(x**2), 1.0, {}),
        (lambda x: -(x**2), 1.0, {"step": "armijo"}),
        (lambda x: -(x**2), np.float32(1.0), {"step": "armijo"}),
        (lambda x: -(x**2), 1.0, {"method": "lbfgs"}),
        (lambda x: -np.exp(x), 1.0, {"method": "lbfgs"}),
        (np.log, 1.0, {"step": "armijo"}),
        (np.log, 1.0, {}),
        (np.sqrt, 1.0, {}),
        (lambda x: -np.exp(x), np.float32(1.0), {}),
    ],
)
def test_divergence_is_never_a_result(F, x0, options):
    with pytest.raises(DivergenceError, match="in step") as caught:
        minimize(F, x0, max_iter=20_000, **options)
    assert np.isfinite(caught.value.path.values).all()
    with pytest.raises(DivergenceError) as mirrored:
        maximize(lambda x: -F(x), x0, max_iter=20_000, **options)
    np.testing.assert_array_equal(mirrored.value.path.values, 0.0 - caught.value.path.values)
    assert mirrored.value.path.sign == -1.0


@pytest.mark.parametrize("method", ["gradient_descent", "lbfgs"])
def test_a_start_where_F_is_not_finite_is_an_error(method):
    with pytest.raises(DivergenceError, match="the value is NaN or infinite at x0") as caught:
        minimize(np.log, -1.0, method)
    assert caught.value.path is None


def test_an_error_names_the_step_and_its_size():
    with pytest.raises(
        DivergenceError, match=r"the gradient became NaN.* in step 2, with step size 0.5. Try a smaller"
    ):
        minimize(lambda x: x, 1.0, step=0.5, gradient=lambda x: 1.0 if x > 0 else np.nan)


@pytest.mark.parametrize("options", [{"method": "lbfgs"}, {"step": "armijo"}, {"step": Armijo(initial=100.0)}])
def test_searches_turn_back_from_where_F_is_not_finite(options):
    path = minimize(lambda x: np.sum(x - np.log(x)), np.array([5.0, 0.2]), **options)
    np.testing.assert_allclose(path.x, [1.0, 1.0], atol=1e-7)


# ---------------------------------------------------------------- Armijo


def smooth(c, x):
    return np.sum(np.sin(c[0] * x) + c[1] * x**4 + np.cosh(c[2] * x) + c[3] * np.prod(np.tanh(x)))


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.floats(-1.5, 1.5), min_size=4, max_size=4),
    st.lists(st.floats(-2, 2), min_size=1, max_size=3),
    st.floats(1e-3, 1e3),
)
def test_armijo_is_monotone_on_any_smooth_function(c, x0, initial):
    c[1] = abs(c[1]) + 0.01  # bounded below
    path = minimize(lambda x: smooth(c, x), np.array(x0), step=Armijo(initial=initial), max_iter=60)
    assert np.all(np.diff(path.values) <= 0)  # not even by rounding
    assert path.is_monotone
    assert path.value == path.values[-1] == smooth(c, path.x)


def test_armijo_compares_like_with_like():
    """The value that comes with a gradient may be off by rounding (here far more): the search must not see it."""
    F = Objective(smooth_bowl, value_and_gradient=lambda x: (smooth_bowl(x) - 1e-3, np.sinh(x - 0.5)))
    path = minimize(F, np.array([2.0, -1.0]), step="armijo")
    assert path.converged
    assert path.values.tolist() == [smooth_bowl(x) for x in path.points]


def smooth_bowl(x):
    return np.sum(np.cosh(x - 0.5))


def test_armijo_takes_the_first_step_that_lowers_enough():
    rule = Armijo(initial=4.0, shrink=0.5, c1=0.5)
    # x² from 1 along −2: F(1 − 2s) ≤ 1 − c1·4s holds for s ≤ 1 − c1
    assert rule.find(lambda x: x * x, 1.0, 1.0, 2.0, -2.0, start=4.0) == 0.5
    assert rule.find(lambda x: x * x, 0.0, 0.0, 0.0, 0.0, start=4.0) is None
    assert rule.find(lambda x: -x, 1.0, 1.0, 2.0, 2.0, start=4.0) is None  # the slope promises a rise
    assert Armijo(most=3).find(lambda x: np.inf, 1.0, 1.0, 1.0, -1.0, start=1.0) is None


def test_armijo_grows_again_on_flat_ground():
    path = minimize(lambda x: np.sum(1e-4 * x**2), np.array([1.0]), step="armijo")
    assert path.converged
    assert path.n_iter < 60  # a fixed step of 1 would take 50,000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shrink": 1.0}, r"shrink must be a number in \(0, 1\), got 1.0"),
        ({"c1": 0.0}, r"c1 must be a number in \(0, 1\), got 0.0"),
        ({"initial": -1.0}, "initial must be"),
        ({"most": 0}, "most must be a whole number"),
    ],
)
def test_armijo_checks_its_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        Armijo(**options)


def test_a_fixed_step_is_monotone_only_while_it_is_small_enough():
    assert minimize(bowl, 0.0, step=0.9, max_iter=200).is_monotone
    assert not minimize(bowl, 0.0, step=1.05, max_iter=10).is_monotone


# ---------------------------------------------------------------- points of every kind


@pytest.mark.parametrize("method", [*METHODS, "lbfgs"])
@pytest.mark.parametrize(
    "x0",
    [0.0, 0, np.float64(0.0), np.zeros(1), np.zeros((2, 3)), [0, 1], np.float32(0), np.zeros((2, 1, 2), np.float32)],
)
def test_the_point_keeps_its_shape_and_width(method, x0):
    path = minimize(bowl, x0, method, max_iter=5)
    given = np.asarray(x0)
    width = np.float32 if given.dtype == np.float32 else np.float64
    assert np.shape(path.x) == given.shape
    assert path.x.dtype == width
    assert path.points.shape == path.gradients.shape == (len(path), *given.shape)
    assert path.points.dtype == path.gradients.dtype == width
    assert path.values.dtype == np.float64
    assert path.value < path.values[0]
    assert isinstance(path.value, float)


@pytest.mark.parametrize("method", [*METHODS, "lbfgs"])
def test_a_shape_is_only_a_shape(method):
    flat = minimize(lambda x: np.sum(np.cosh(x - 0.5)), np.linspace(-1, 1, 6), method, max_iter=10)
    square = minimize(lambda x: np.sum(np.cosh(x - 0.5)), np.linspace(-1, 1, 6).reshape(2, 3), method, max_iter=10)
    np.testing.assert_allclose(square.points.reshape(-1, 6), flat.points, rtol=1e-12)


@pytest.mark.parametrize("method", ["gradient_descent", "adam", "lbfgs"])
def test_float32_arrives(method):
    options = {} if method != "adam" else {"step": 0.1}
    path = minimize(bowl, np.zeros(2, np.float32), method, tol_gradient=1e-5, **options)
    np.testing.assert_allclose(path.x, 3.0, atol=1e-5)
    assert path.converged


def test_x0_is_left_alone():
    x0 = np.zeros(2)
    path = minimize(bowl, x0)
    assert x0.tolist() == [0.0, 0.0]
    path.points[0] = 7.0
    assert x0.tolist() == [0.0, 0.0]


# ---------------------------------------------------------------- the path


@pytest.mark.parametrize("method", [*METHODS, "lbfgs"])
def test_the_path_is_whole(method):
    path = minimize(bowl, np.array([0.0, 5.0]), method, max_iter=20)
    assert len(path) == path.n_iter + 1 == len(path.points)
    assert path.n_calls >= len(path)
    for x, value, g in zip(path.points, path.values, path.gradients, strict=True):
        assert value == pytest.approx(bowl(x))
        np.testing.assert_allclose(g, 2 * (x - 3.0))
    assert path.value == pytest.approx(path.values.min(), rel=1e-14)
    assert path.value == bowl(path.x)


@pytest.mark.parametrize("method", ["momentum", "lbfgs"])
def test_record_ends_keeps_the_first_and_the_last(method):
    every = minimize(bowl, np.array([0.0, 5.0]), method, max_iter=20)
    ends = minimize(bowl, np.array([0.0, 5.0]), method, max_iter=20, record="ends")
    np.testing.assert_array_equal(ends.points, every.points[[0, -1]])
    np.testing.assert_array_equal(ends.values, every.values[[0, -1]])
    np.testing.assert_array_equal(ends.x, every.x)
    assert ends.n_iter == every.n_iter


def test_the_best_point_is_kept_where_the_walk_goes_on():
    path = minimize(bowl, 0.0, "momentum", step=0.1, max_iter=5)
    assert path.values[-1] > path.value == path.values.min()
    assert path.x == path.points[np.argmin(path.values)]


def test_of_points_as_good_to_rounding_the_last_is_taken():
    path = minimize(lambda x: 1e6 + (x - 3.0) ** 2, 0.0, step=0.25)
    assert path.x == pytest.approx(3.0, abs=1e-8)  # values stop changing at a distance of 1e-5
    assert path.is_monotone


def test_n_calls_counts_every_evaluation():
    calls = []

    def F(x):
        calls.append(1)
        return bowl(x)

    for options in ({}, {"step": "armijo"}, {"method": "lbfgs"}):
        calls.clear()
        assert minimize(F, np.zeros(2), **options).n_calls == len(calls)


def test_the_callback_sees_every_step_and_cannot_disturb_it():
    seen = []

    def callback(x, value):
        seen.append((x.copy(), value))
        x[:] = 99.0

    path = minimize(bowl, np.zeros(2), callback=callback, max_iter=5)
    np.testing.assert_array_equal([x for x, _ in seen], path.points[1:])
    np.testing.assert_array_equal([v for _, v in seen], path.values[1:])


def test_an_interruption_keeps_the_best_point():
    def stop(x, value):
        if value < 1.0:
            raise KeyboardInterrupt

    for options in ({}, {"step": "armijo"}, {"method": "lbfgs"}):
        path = minimize(bowl, np.array([0.0, 1.0]), callback=stop, **options)
        assert path.stopped_because == REASONS["interrupt"].sentence
        assert path.value == path.values.min() < 1.0


def test_an_interruption_before_the_first_point_goes_through():
    def F(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        minimize(F, 0.0)


# ---------------------------------------------------------------- up instead of down


@pytest.mark.parametrize(
    "options", [*({"method": name} for name in METHODS), {"method": "lbfgs"}, {"step": "armijo"}], ids=str
)
def test_maximize_mirrors_minimize(options):
    def F(x):
        return np.sum(np.cosh(x - 0.5)) + 2.0

    seen = []
    down = minimize(F, np.array([0.0, 1.0]), max_iter=15, **options)
    up = maximize(lambda x: -F(x), np.array([0.0, 1.0]), max_iter=15, callback=lambda x, v: seen.append(v), **options)
    np.testing.assert_array_equal(up.points, down.points)
    np.testing.assert_array_equal(up.values, -down.values)
    np.testing.assert_array_equal(up.gradients, -down.gradients)
    np.testing.assert_array_equal(seen, up.values[1:])
    assert up.value == -down.value == up.values.max()
    for field in dataclasses.fields(Path):
        if field.name not in ("points", "values", "gradients", "x", "value", "sign", "function"):
            assert getattr(up, field.name) == getattr(down, field.name), field.name
    assert up.is_monotone == down.is_monotone


def test_maximize_takes_a_gradient_and_an_objective():
    given_gradient = maximize(lambda x: -(x**2), 1.0, gradient=lambda x: -2.0 * x)
    objective = maximize(Objective(lambda x: -(x**2), gradient=lambda x: -2.0 * x), 1.0)
    np.testing.assert_array_equal(given_gradient.points, objective.points)
    assert given_gradient.x == pytest.approx(0.0, abs=1e-8)


# ---------------------------------------------------------------- objectives


def residuals(x):
    return np.stack([x[0] - 1.0, 10.0 * (x[1] - x[0] ** 2), x[0] * x[1]])


def J(x):
    return np.array([[1.0, 0.0], [-20.0 * x[0], 10.0], [x[1], x[0]]])


OBJECTIVES = {
    "f": Objective(lambda x: 0.5 * np.sum(residuals(x) ** 2)),
    "gradient": Objective(lambda x: 0.5 * np.sum(residuals(x) ** 2), gradient=lambda x: J(x).T @ residuals(x)),
    "both": Objective(value_and_gradient=lambda x: (0.5 * np.sum(residuals(x) ** 2), J(x).T @ residuals(x))),
    "residuals": Objective(residuals=residuals),
    "jacobian": Objective(residuals=residuals, jacobian=J),
    "normal": Objective(residuals=residuals, normal=lambda x: (J(x).T @ J(x), J(x).T @ residuals(x))),
    "minus": -Objective(lambda x: -0.5 * np.sum(residuals(x) ** 2)),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_whatever_is_known_the_function_is_the_same(name):
    F, x, v = OBJECTIVES[name], np.array([0.4, -0.7]), np.array([1.0, 2.0])
    plain = OBJECTIVES["f"]
    np.testing.assert_allclose(F(x), plain(x))
    np.testing.assert_allclose(F.gradient(x), J(x).T @ residuals(x))
    value, g = F.value_and_gradient(x)
    np.testing.assert_allclose(value, plain(x))
    np.testing.assert_allclose(g, F.gradient(x))
    if name != "both":
        np.testing.assert_allclose(F.hvp(x, v), plain.hvp(x, v))
    if F.residuals is not None:
        np.testing.assert_allclose(F.jacobian(x), J(x))
        np.testing.assert_allclose(F.normal(x)[0], J(x).T @ J(x))
        np.testing.assert_allclose(F.normal(x)[1], F.gradient(x))
    np.testing.assert_allclose(minimize(F, x, "lbfgs").value, minimize(plain, x, "lbfgs").value, rtol=1e-9)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: minimize(bowl, 0.0, "adm"), ValueError, "there is no method 'adm'. Did you mean 'adam'.*lbfgs"),
        (lambda: minimize(bowl, 0.0, 3), TypeError, "method must be a name or a row, got 3.*lbfgs"),
        (lambda: minimize(bowl, 0.0, "adam", beta_1=1.0), ValueError, r"beta_1 must be a number in \[0, 1\), got 1.0"),
        (lambda: minimize(bowl, 0.0, "adam", beta1=0.9), ValueError, "has no 'beta1'. Did you mean 'beta_1'"),
        (lambda: minimize(bowl, 0.0, max_iters=9), ValueError, "has no 'max_iters'. Did you mean 'max_iter'"),
        (lambda: minimize(bowl, 0.0, step=0.0), ValueError, r"step must be a number in \(0, inf\), got 0.0"),
        (lambda: minimize(bowl, 0.0, step=np.nan), ValueError, "step must be a number"),
        (lambda: minimize(bowl, 0.0, step="armjo"), ValueError, "got 'armjo'. Did you mean 'armijo'"),
        (lambda: minimize(bowl, 0.0, step=lambda n: 1.0), TypeError, "step must be a number above 0, 'armijo' or a schedule"),
        (lambda: minimize(bowl, 0.0, "adam", step="armijo"), ValueError, "goes with gradient_descent, not with adam"),
        (lambda: minimize(bowl, 0.0, "lbfgs", step=0.1), ValueError, "lbfgs finds its own steps.*no 'step'"),
        (lambda: minimize(bowl, 0.0, "lbfgs", momentum=0.1), ValueError, "no 'momentum'"),
        (lambda: minimize(bowl, np.zeros(3), gradient=lambda x: x[:2]), ValueError, r"shape of x, \(3,\), got \(2,\)"),
        (lambda: minimize(lambda x: x, np.zeros(3)), TypeError, r"F must return one number, got an array of shape \(3,\)"),
        (lambda: minimize(lambda x: [x], 0.0), TypeError, "F must return one number, got a list"),
        (lambda: minimize(lambda x: None, 0.0), TypeError, "F must return one number, got None"),
        (lambda: maximize(lambda x: None, 0.0), TypeError, "F must return one number, got None"),
        (lambda: maximize(lambda x: x, np.zeros(3)), TypeError, r"F must return one number, got an array of shape \(3,\)"),
        (lambda: minimize(3, 0.0), TypeError, "F must be a function of x or an Objective, got 3"),
        (lambda: minimize(bowl, np.zeros(3, int)), TypeError, r"x0 must be .* got an array of int64; pass x0.astype\(float\)"),
        (lambda: minimize(bowl, "a"), TypeError, "x0 must be a number or an array of floats, got 'a'"),
        (lambda: minimize(bowl, True), TypeError, "x0 must be a number or an array of floats, got True"),
        (lambda: minimize(bowl, 1j), TypeError, "x0 must be a number or an array of floats"),
        (lambda: minimize(bowl, [0.0, np.nan]), ValueError, "x0 must be finite"),
        (lambda: minimize(bowl, 0.0, max_iter=-1), ValueError, "max_iter must be a whole number"),
        (lambda: minimize(bowl, 0.0, max_iter=2.5), ValueError, "max_iter must be a whole number"),
        (lambda: minimize(bowl, 0.0, tol_value=-1.0), ValueError, "tol_value must be"),
        (lambda: minimize(bowl, 0.0, tol_step="x"), TypeError, "tol_step must be"),
        (lambda: minimize(bowl, 0.0, record="some"), ValueError, "record must be 'all' or 'ends', got 'some'"),
        (lambda: minimize(bowl, 0.0, callback=3), TypeError, "callback must be a function"),
        (lambda: maximize(bowl, 0.0, callback=3), TypeError, "callback must be a function"),
        (lambda: minimize(Objective(bowl), 0.0, gradient=bowl), ValueError, "gradient is given twice"),
        (lambda: Objective(), TypeError, "an Objective needs a function f"),
        (lambda: Objective(bowl, gradient=3), TypeError, "gradient must be a function of x, got 3"),
        (lambda: Objective(bowl, residuals=bowl), ValueError, "f and residuals are both given"),
        (lambda: Objective(bowl, jacobian=bowl), ValueError, "there are no residuals"),
        (lambda: Objective(bowl).jacobian(0.0), TypeError, "it has no Jacobian; give residuals"),
    ],
)  # fmt: skip
def test_errors_name_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_numbers_of_other_kinds_are_numbers():
    assert minimize(bowl, 0.0, step=Fraction(1, 4), max_iter=np.int64(3)).n_iter == 3


def test_the_door_has_the_names():
    assert (cr.minimize, cr.maximize, cr.Armijo, cr.DivergenceError, cr.Objective, cr.Path) == (
        minimize, maximize, Armijo, DivergenceError, Objective, Path,
    )  # fmt: skip
