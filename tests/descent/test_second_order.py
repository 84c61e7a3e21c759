"""The table of second-order methods: one step where one is enough, exact against direct solves, the same after a pause."""

import numpy as np
import pytest
from scipy import optimize

import chainrule as cr
from chainrule.descent import REASONS, SECOND_ORDER, DivergenceError, Objective, get_second_order, maximize, minimize
from chainrule.descent.second_order import View, memory
from chainrule.descent.second_order.levenberg_marquardt import damped_step
from chainrule.descent.second_order.newton import truncated
from chainrule.descent.second_order.solver import goes_down, is_near
from chainrule.descent.second_order.view import Quadratic

RNG = np.random.default_rng(0)
M, y = RNG.normal(size=(12, 5)), RNG.normal(size=12)
BOTTOM = np.linalg.lstsq(M, y, rcond=None)[0]
LINEAR = Objective(residuals=lambda x: M @ x - y)
ROWS = pytest.mark.parametrize("row", SECOND_ORDER.values(), ids=SECOND_ORDER)


def valley(x):
    """Rosenbrock's function is the sum of these squares."""
    return np.stack([1.0 - x[0], 10.0 * (x[1] - x[0] ** 2)])


def curve(x):
    """A sum of two exponentials at 30 places, less its values at (2, 0.5, −1, 1.5)."""
    t = np.linspace(0.0, 4.0, 30)
    return x[0] * np.exp(-x[1] * t) + x[2] * np.exp(-x[3] * t) - (2.0 * np.exp(-0.5 * t) - np.exp(-1.5 * t))


# What each method needs to walk Rosenbrock's valley to its end, and how near it comes: Bayesian regularisation
# finds that two residuals cannot tell of two parameters. A row without an entry here fails.
VALLEYS = {
    "levenberg_marquardt": ({}, 1e-8),
    "trainlm": ({}, 1e-8),
    "bayesian_regularisation": ({}, None),
    "scaled_conjugate_gradient": ({}, 1e-8),
    "newton_cg": ({}, 1e-8),
    "gauss_newton_cg": ({}, 1e-8),
}


@ROWS
def test_every_row_walks_rosenbrocks_valley_down(row):
    options, near = VALLEYS[row.name]
    path = minimize(Objective(residuals=valley), np.array([-1.2, 1.0]), row.name, max_iter=200, **options)
    assert path.value < path.values[0]
    assert path.method == row.name
    if near is not None:
        np.testing.assert_allclose(path.x, [1.0, 1.0], atol=near)
        assert path.converged
        assert path.is_monotone
        assert np.abs(path.gradients[-1]).max() <= 1e-8
    assert set(path.numbers) == set(row.solver.reported)
    assert all(len(column) == len(path) for column in path.numbers.values())


@ROWS
def test_every_row_is_described(row):
    assert row.source
    assert row.formula
    assert get_second_order(row.name) is row
    assert row.hyperparameters({}) == dict(row.defaults)
    for alias in row.aliases:
        assert minimize(LINEAR, np.zeros(5), alias, max_iter=1).method == row.name


@ROWS
def test_values_and_gradients_of_the_path_are_those_of_F(row):
    path = minimize(LINEAR, np.zeros(5), row.name, max_iter=4)
    for x, value, g in zip(path.points, path.values, path.gradients, strict=True):
        assert value == pytest.approx(0.5 * np.sum((M @ x - y) ** 2), rel=1e-13)
        np.testing.assert_allclose(g, M.T @ (M @ x - y), rtol=1e-10, atol=1e-11)


@ROWS
@pytest.mark.parametrize("x0", [np.zeros((5, 1)), np.zeros(5, np.float32)], ids=["5 × 1", "float32"])
def test_a_point_keeps_its_shape_and_width(row, x0):
    path = minimize(Objective(residuals=lambda x: np.reshape(M @ np.reshape(x, 5), 12) - y), x0, row.name, max_iter=5)
    assert path.x.shape == x0.shape
    assert path.x.dtype == path.points.dtype == path.gradients.dtype == x0.dtype
    assert path.value < path.values[0]


@ROWS
def test_no_step_is_made_where_there_is_nothing_to_do(row):
    none_wanted = minimize(LINEAR, np.zeros(5), row.name, max_iter=0)
    assert (none_wanted.n_iter, none_wanted.converged) == (0, False)
    if row.name != "bayesian_regularisation":  # whose minimum is another
        at_bottom = minimize(LINEAR, BOTTOM, row.name)
        assert (at_bottom.n_iter, at_bottom.converged) == (0, True)


@ROWS
def test_the_same_walk_twice_has_the_same_bits(row):
    start = np.array([1.0, 1.0, -0.5, 2.0])
    one, two = (minimize(Objective(residuals=curve), start, row.name, max_iter=40) for _ in range(2))
    np.testing.assert_array_equal(one.points, two.points)
    np.testing.assert_array_equal(one.values, two.values)


def walked_on(row, objective, steps, at):
    """The steps of a walk, which one that is broken off after step `at` and goes on from its snapshot repeats."""

    def solver():
        return row.solver(View(objective, (4,)), **row.defaults)

    def walk(own, steps):
        return [(own.step(), own.x.tobytes(), own.value, own.report()) for _ in range(steps)]

    whole, broken, resumed = solver(), solver(), solver()
    whole.start(np.array([1.0, 1.0, -0.5, 2.0]))
    broken.start(np.array([1.0, 1.0, -0.5, 2.0]))
    expected = walk(whole, steps)
    walk(broken, at)
    resumed.restore(*broken.snapshot())
    assert walk(resumed, steps - at) == expected[at:]
    return expected


@ROWS
@pytest.mark.parametrize("at", [1, 3])
def test_a_solver_goes_on_from_its_snapshot_with_the_same_bits(row, at):
    walked_on(row, Objective(residuals=curve), 7, at)


@ROWS
def test_a_point_that_is_not_finite_is_refused_and_a_shorter_step_made(row):
    """ln x is not defined where a whole step would lead."""
    path = minimize(Objective(residuals=lambda x: np.log(x) - 1.0), np.array([30.0, 0.1]), row.name)
    assert np.isfinite(path.points).all()
    assert path.n_iter > 2
    if row.name != "bayesian_regularisation":  # to which two residuals are no reason for two parameters
        np.testing.assert_allclose(path.x, np.e, rtol=1e-7)


@ROWS
def test_an_interruption_keeps_the_best_point(row):
    def stop(x, value):
        raise KeyboardInterrupt

    path = minimize(LINEAR, np.zeros(5), row.name, callback=stop)
    assert path.stopped_because == REASONS["interrupt"].sentence
    assert path.n_iter == 1
    assert path.value < path.values[0]


@ROWS
def test_a_start_where_F_is_not_finite_is_an_error(row):
    with pytest.raises(DivergenceError, match="the value is NaN or infinite at x0"):
        minimize(Objective(residuals=lambda x: np.log(x)), np.array([-1.0]), row.name)


# ---------------------------------------------------------------- Levenberg-Marquardt


def test_a_quadratic_takes_one_newton_step():
    for method, options in (
        ("levenberg_marquardt", {"mu": 1e-14}),
        ("newton_cg", {"radius": 1e3, "forcing": 1e-14}),
        ("gauss_newton_cg", {"radius": 1e3, "forcing": 1e-14}),
    ):
        path = minimize(LINEAR, np.zeros(5), method, **options)
        assert path.n_iter == 1, method
        np.testing.assert_allclose(path.x, BOTTOM, rtol=1e-10)


@pytest.mark.parametrize("scaling", [0.0, 1.0])
@pytest.mark.parametrize("mu", [1e-3, 1.0, 1e3])
def test_its_step_is_that_of_a_direct_solve(mu, scaling):
    path = minimize(LINEAR, np.zeros(5), "levenberg_marquardt", mu=mu, scaling=scaling, max_iter=1)
    G = M.T @ M
    D = np.eye(5) if scaling == 0 else np.diag(np.diag(G))
    np.testing.assert_allclose(path.points[1], np.linalg.solve(G + mu * D, M.T @ y), rtol=1e-10)
    np.testing.assert_allclose(path.numbers["mu"], [mu, mu / 10], rtol=1e-12)


def test_marquardts_scaling_does_not_see_units():
    units = np.array([1e4, 1.0, 1e-4, 10.0, 1e3])
    own = minimize(LINEAR, np.zeros(5), "levenberg_marquardt", scaling=1.0, max_iter=3)
    other = Objective(residuals=lambda x: M @ (x * units) - y)
    scaled = minimize(other, np.zeros(5), "levenberg_marquardt", scaling=1.0, max_iter=3)
    np.testing.assert_allclose(scaled.points * units, own.points, rtol=1e-9, atol=1e-13)


def test_mu_rises_until_the_step_is_good():
    path = minimize(Objective(residuals=valley), np.array([-1.2, 1.0]), "levenberg_marquardt", mu=1e-9)
    rises = np.log10(path.numbers["mu"][1:] / path.numbers["mu"][:-1])
    assert np.all(np.isclose(rises, np.round(rises)))  # powers of ten
    assert rises.max() >= 1
    assert path.is_monotone
    assert path.converged


@pytest.mark.parametrize("scaling", [0.0, 1.0])
@pytest.mark.parametrize("corrections", [0, 1, 2, 5])
def test_corrections_go_on_with_the_same_matrix_while_F_falls(corrections, scaling):
    """Beside the formula written out: from a point where the steps overshoot the bend of the valley."""
    E, x = Objective(residuals=valley), np.array([-1.2, 1.0])
    path = minimize(E, x, "levenberg_marquardt", max_iter=1, corrections=corrections, scaling=scaling)
    J, value, lengths = E.jacobian(x), float(E(x)), []
    for mu in 10.0 ** np.arange(-3, 9):
        D = mu * np.diag(np.diagonal(J.T @ J) ** scaling)
        y = x - np.linalg.solve(J.T @ J + D, J.T @ E.residuals(x))
        points, bound = [y], 20.0 * value
        while len(points) <= corrections and float(E(y)) < bound:
            bound = float(E(y))
            y = y - np.linalg.solve(J.T @ J + D, J.T @ E.residuals(y) + D @ (y - x))
            points.append(y)
        lengths.append(len(points))
        best = min(points, key=lambda point: float(E(point)))
        if float(E(best)) < value:
            break
    assert max(lengths) > 1 or not corrections
    np.testing.assert_allclose(path.x, best, rtol=1e-10)
    assert path.numbers["mu"][-1] == pytest.approx(mu / 10)


def test_corrections_need_fewer_steps_and_trainlm_makes_none():
    start = np.array([1.0, 1.0, -0.5, 2.0])
    E = Objective(residuals=curve)
    corrected, plain, trainlm = (
        minimize(E, start, method, **options)
        for method, options in (
            ("levenberg_marquardt", {}), ("levenberg_marquardt", {"corrections": 0}), ("trainlm", {}),
        )
    )  # fmt: skip
    assert corrected.n_iter < plain.n_iter
    np.testing.assert_array_equal(trainlm.points, plain.points)


def test_where_J_would_have_to_be_made_again_nothing_is_corrected():
    E = Objective(residuals=valley)
    given = Objective(residuals=valley, normal=lambda x: E.normal(x))
    own = Objective(residuals=valley, normal=lambda x: E.normal(x), chord=lambda x, y: E.chord(x, y))
    start = np.array([-1.2, 1.0])
    plain, matrix, chord, jacobian = (
        minimize(F, start, method, max_iter=5)
        for F, method in ((given, "trainlm"), (given, "levenberg_marquardt"), (own, "levenberg_marquardt"),
                          (E, "levenberg_marquardt"))
    )  # fmt: skip
    np.testing.assert_array_equal(matrix.points, plain.points)
    assert np.abs(chord.points - plain.points).max() > 1e-3
    np.testing.assert_allclose(chord.points, jacobian.points, rtol=1e-6)


def test_the_gradient_by_an_older_jacobian():
    x, z = np.array([1.0, 1.0, -0.5, 2.0]), np.array([0.5, 1.0, 1.0, 1.0])
    E = Objective(residuals=curve)
    np.testing.assert_allclose(E.chord(x, z), E.jacobian(x).T @ curve(z), rtol=1e-14)
    assert not E.has_chord
    with pytest.raises(TypeError, match="no Jacobian; give residuals"):
        Objective(lambda x: x @ x).chord(x, z)


def test_where_no_step_helps_it_says_so():
    # the slope is a lie: every step goes up
    F = Objective(residuals=lambda x: x, normal=lambda x: (np.eye(2), -x))
    path = minimize(F, np.ones(2), "levenberg_marquardt")
    assert path.stopped_because == REASONS["no_better"].sentence
    assert path.n_iter == 0


def test_where_JtJ_has_lost_its_digits_J_is_solved_itself():
    J = np.vander(np.linspace(0.9, 1.1, 20), 7)  # its condition number is 10¹⁰
    e = J @ np.ones(7)
    d, by_factor = damped_step(Quadratic(J.T @ e, J.T @ J, J, e), np.full(7, 1e-30))
    assert by_factor is None
    assert np.linalg.norm(J @ d + e) < 1e-10
    # without J: Cholesky fails or loses the digits
    rough = damped_step(Quadratic(J.T @ e, J.T @ J), np.full(7, 1e-30))
    assert rough is None or np.linalg.norm(J @ rough[0] + e) > 1e-10


def test_a_matrix_that_is_not_positive_definite_makes_no_step():
    assert damped_step(Quadratic(np.ones(2), np.array([[1.0, 2.0], [2.0, 1.0]])), np.zeros(2)) is None
    assert damped_step(Quadratic(np.ones(2), np.array([[np.nan, 0.0], [0.0, 1.0]])), np.zeros(2)) is None
    assert damped_step(Quadratic(np.ones(2), np.zeros((2, 2))), np.zeros(2)) is None


def test_the_last_digits_come_from_the_gradient():
    """F is flat to rounding within 1e-8 of its minimum; the gradient is not."""
    off = 0.02 * np.sin(5.0 * np.arange(30.0))

    def e(x):
        return curve(x) + off

    start = np.array([2.0, 0.5, -1.0, 1.5])
    ours = minimize(Objective(residuals=e), start, "levenberg_marquardt", tol_gradient=0.0)
    assert ours.stopped_because == REASONS["no_better"].sentence
    assert ours.is_monotone
    theirs = optimize.least_squares(e, start, method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15)
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-6)
    assert np.abs(ours.gradients[-1]).max() < 1e-10  # where F falls below its rounding it is 6e-10


@pytest.mark.parametrize("start", [[500.0, 0.0001], [250.0, 0.0005]], ids=["far", "near"])
@pytest.mark.parametrize("scaling", [0.0, 1.0])
def test_nists_certified_parameters_are_found(start, scaling):
    """Misra1a of NIST's nonlinear regression sets: two parameters of very different sizes."""
    t = np.array([77.6, 114.9, 141.1, 190.8, 239.9, 289, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760])
    v = np.array([10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.4, 75.47, 81.78])
    F = Objective(residuals=lambda b: b[0] * (1 - np.exp(-b[1] * t)) - v)
    path = minimize(F, start, "levenberg_marquardt", scaling=scaling, tol_gradient=0.0)
    np.testing.assert_allclose(path.x, [238.94212918, 0.00055015643181], rtol=1e-8)
    assert 2 * path.value == pytest.approx(0.12455138894, rel=1e-10)


# MGH17 of NIST's nonlinear regression sets, and its certified parameters
MGH17_T = np.arange(0.0, 321.0, 10.0)
MGH17_Y = np.array([
    0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.85, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628, 0.603,
    0.58, 0.558, 0.538, 0.522, 0.506, 0.49, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.42, 0.414, 0.411, 0.406,
])  # fmt: skip
MGH17_FOUND = [0.37541005211, 1.9358469127, -1.4646871366, 0.01286753464, 0.022122699662]


def mgh17(b):
    return b[0] + b[1] * np.exp(-MGH17_T * b[3]) + b[2] * np.exp(-MGH17_T * b[4]) - MGH17_Y


@pytest.mark.parametrize("scaling", [0.0, 1.0])
def test_the_damping_does_not_hold_the_last_digits_back(scaling):
    """Corrections come to where F is level before μ is small, with 7 digits."""
    F = Objective(residuals=mgh17)
    path = minimize(F, [0.5, 1.5, -1.0, 0.01, 0.02], "levenberg_marquardt", scaling=scaling, tol_gradient=0.0)
    np.testing.assert_allclose(path.x, MGH17_FOUND, rtol=3e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_rounding_of_the_residuals_does_not_hold_the_last_digits_back(seed):
    """F is ½ 5.5e-5, of residuals that are differences of numbers of 1: its rounding is thousands of its own ulps."""

    def rounded(b):
        noise = np.random.default_rng([seed, *np.asarray(b).view(np.uint32)]).uniform(-1e-15, 1e-15, MGH17_T.size)
        return mgh17(b) + noise

    F = Objective(residuals=rounded, jacobian=cr.jacobian(mgh17))
    path = minimize(F, [0.5, 1.5, -1.0, 0.01, 0.02], "levenberg_marquardt", tol_gradient=0.0)
    np.testing.assert_allclose(path.x, MGH17_FOUND, rtol=1e-9)


def test_gradients_at_both_ends_tell_whether_a_step_falls():
    """Exactly, where F is a parabola: 3 (x − 1)² + (y + 2)², to the point and beyond it."""

    def gradient(x):
        return np.array([6.0 * (x[0] - 1.0), 2.0 * (x[1] + 2.0)])

    x, way = np.array([2.0, 1.0]), np.array([-1.0, -3.0])
    for times, falls in ((0.1, True), (1.0, True), (1.99, True), (2.01, False), (-0.1, False)):
        assert goes_down(gradient(x), gradient(x + times * way), times * way) == falls


def test_a_rise_that_rounding_cannot_explain_is_no_step():
    assert is_near(2.0 + 1e-9, 2.0)
    assert is_near(1.0, 2.0)
    assert not any(is_near(reached, 2.0) for reached in (2.0 + 1e-6, np.inf, np.nan))


@pytest.mark.parametrize("method", ["levenberg_marquardt", "newton_cg"])
def test_no_step_is_made_to_where_f_jumps_up(method):
    """F is 1e12, so the fall to x = 0 is rounding; near there it is four times as large, which ∇F does not tell."""
    seen = []

    def residuals(x):
        seen.append(float(x[0]))
        return np.stack([2e6 if x[0] < 1e-7 else 1e6, x[0]])

    F = Objective(residuals=residuals, jacobian=lambda x: np.array([[0.0], [1.0]]))
    path = minimize(F, np.array([1e-6]), method, tol_gradient=0.0)
    assert min(seen) < 1e-7  # it was tried
    assert path.x[0] == 1e-6


def test_it_minimises_any_function_with_a_gauss_newton_matrix():
    """Logistic regression: no sum of squares, but convex in its scores."""
    t = (y > 0).astype(float)

    def p(x):
        return 1 / (1 + np.exp(-(M @ x)))

    def F(x):
        return np.sum(np.log1p(np.exp(M @ x)) - t * (M @ x)) + 0.05 * x @ x

    def normal(x):
        q = p(x)
        return (M.T * (q * (1 - q))) @ M + 0.1 * np.eye(5), M.T @ (q - t) + 0.1 * x

    best = minimize(F, np.zeros(5), "lbfgs")
    for method in ("levenberg_marquardt", "gauss_newton_cg"):
        path = minimize(Objective(F, normal=normal), np.zeros(5), method)
        np.testing.assert_allclose(path.x, best.x, atol=1e-6)
        assert path.n_iter < 15


# ---------------------------------------------------------------- Bayesian regularisation


def test_gamma_lies_between_0_and_the_number_of_parameters():
    path = minimize(LINEAR, np.full(5, 0.1), "bayesian_regularisation")
    assert np.all((path.numbers["gamma"] >= 0) & (path.numbers["gamma"] <= 5))
    assert np.all(path.numbers["alpha"] > 0)
    assert np.all(path.numbers["beta"] > 0)
    assert path.converged


def test_the_evidence_of_a_linear_model_is_that_of_its_formula_and_largest_at_the_end():
    """ln P(y | α, β) of y ~ N(0, MMᵀ/2α + I/2β), written out; its fixed point is where its slope is 0."""
    path = minimize(LINEAR, np.full(5, 0.1), "bayesian_regularisation")
    alpha, beta = path.numbers["alpha"], path.numbers["beta"]

    def evidence(a, b):
        C = M @ M.T / (2 * a) + np.eye(12) / (2 * b)
        return -0.5 * (y @ np.linalg.solve(C, y) + np.linalg.slogdet(2 * np.pi * C)[1])

    assert path.numbers["evidence"][-1] == pytest.approx(evidence(alpha[-2], beta[-2]), rel=1e-9)
    assert evidence(alpha[-1], beta[-1]) > evidence(alpha[0], beta[0])
    ratios = np.array([0.7, 0.9, 1.1, 1.4])
    assert all(evidence(alpha[-1] * r, beta[-1]) < evidence(alpha[-1], beta[-1]) for r in ratios)
    assert all(evidence(alpha[-1], beta[-1] * r) < evidence(alpha[-1], beta[-1]) for r in ratios)
    gamma = 5 - alpha[-1] * np.trace(np.linalg.inv(beta[-1] * M.T @ M + alpha[-1] * np.eye(5)))
    assert path.numbers["gamma"][-1] == pytest.approx(gamma, rel=1e-6)
    ridge = np.linalg.solve(M.T @ M + alpha[-1] / beta[-1] * np.eye(5), M.T @ y)
    np.testing.assert_allclose(path.x, ridge, rtol=1e-6)


def test_parameters_that_no_residual_sees_are_not_counted():
    path = minimize(Objective(residuals=lambda x: M @ x[:5] - y), np.full(9, 0.1), "bayesian_regularisation")
    assert path.numbers["gamma"][-1] < 5
    np.testing.assert_allclose(path.x[5:], 0.0, atol=1e-6)


# Three parameters of size 30, and two of size 2.
SIZED = M @ np.array([30.0, -20.0, 40.0, 2.0, -1.5]) + 0.3 * y
GROUPS = {"large": slice(0, 3), "small": slice(3, 5)}
SORTED = Objective(residuals=lambda x: M @ x - SIZED, groups=GROUPS)


def test_each_group_has_the_alpha_that_makes_the_evidence_largest():
    path = minimize(SORTED, np.full(5, 0.1), "bayesian_regularisation", max_iter=400)
    assert path.converged
    large, small, beta = (path.numbers[name][-1] for name in ("alpha_large", "alpha_small", "beta"))

    def evidence(a, b, c):
        C = M @ np.diag(np.repeat([1 / (2 * a), 1 / (2 * b)], [3, 2])) @ M.T + np.eye(12) / (2 * c)
        return -0.5 * (SIZED @ np.linalg.solve(C, SIZED) + np.linalg.slogdet(2 * np.pi * C)[1])

    best = evidence(large, small, beta)
    assert path.numbers["evidence"][-1] == pytest.approx(best, rel=1e-6)
    for r in (0.7, 0.9, 1.1, 1.4):
        assert max(evidence(large * r, small, beta), evidence(large, small * r, beta)) < best
    one = minimize(Objective(residuals=SORTED.residuals), np.full(5, 0.1), "bayesian_regularisation", max_iter=400)
    assert best > one.numbers["evidence"][-1] + 2
    assert set(path.numbers) - set(one.numbers) == {"alpha_large", "alpha_small"}
    ridge = np.linalg.solve(M.T @ M + np.diag(np.repeat([large, small], [3, 2])) / beta, M.T @ SIZED)
    np.testing.assert_allclose(path.x, ridge, rtol=1e-6)


def test_alpha_of_all_groups_gives_the_whole_penalty():
    path = minimize(SORTED, np.full(5, 0.1), "bayesian_regularisation", max_iter=30)
    squares = np.square(path.points)
    each = path.numbers["alpha_large"] * squares[:, :3].sum(axis=1)
    each += path.numbers["alpha_small"] * squares[:, 3:].sum(axis=1)
    np.testing.assert_allclose(path.numbers["alpha"] * squares.sum(axis=1), each, rtol=1e-12)


def test_a_group_that_the_data_do_not_want_is_held_at_0_and_the_descent_ends():
    """The last two columns are not in the targets at all: their α has no largest value, but a ceiling."""
    Q = np.linalg.qr(M)[0]
    e = Objective(residuals=lambda x: Q @ x - 10.0 * Q[:, :3].sum(axis=1) - (y - Q @ (Q.T @ y)), groups=GROUPS)
    path = minimize(e, np.full(5, 0.1), "bayesian_regularisation", max_iter=400)
    assert path.converged
    np.testing.assert_allclose(path.x[3:], 0.0, atol=1e-7)
    assert path.numbers["alpha_small"][-1] > 1e6 * path.numbers["alpha_large"][-1]
    assert 2.0 < path.numbers["gamma"][-1] < 3.0


@pytest.mark.parametrize("at", [3, 15])
def test_with_groups_it_goes_on_from_its_snapshot_with_the_same_bits(at):
    row = SECOND_ORDER["bayesian_regularisation"]

    groups = {"sizes": slice(0, None, 2), "rates": slice(1, None, 2)}
    expected = walked_on(row, Objective(residuals=curve, groups=groups), 20, at)
    assert expected[-1][-1]["alpha_sizes"] != expected[-1][-1]["alpha_rates"]


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ({"a": slice(0, 3)}, ValueError, "groups must hold each of the 5 numbers of x once; number 3 is in 0"),
        ({"a": slice(0, 3), "b": slice(2, 5)}, ValueError, "groups must hold each .* once; number 2 is in 2"),
        ({"a": [0, 1, 2, 3, 4]}, TypeError, "groups must name slices of the numbers of x"),
        ([slice(0, 5)], TypeError, "groups must name slices of the numbers of x"),
    ],
)
def test_groups_that_do_not_fit_are_an_error(groups, error, message):
    with pytest.raises(error, match=message):
        minimize(Objective(residuals=lambda x: M @ x - y, groups=groups), np.zeros(5), "bayesian_regularisation")


def test_the_last_point_is_the_one_kept():
    path = minimize(LINEAR, np.full(5, 0.1), "bayesian_regularisation")
    np.testing.assert_array_equal(path.x, path.points[-1])
    assert path.value == path.values[-1]


# ---------------------------------------------------------------- conjugate gradients


def test_scaled_conjugate_gradient_is_the_exact_method_on_a_quadratic():
    G, h = M.T @ M, M.T @ y
    x, r = np.zeros(5), h
    p, exact = r, [x]
    for _ in range(5):
        step = (r @ r) / (p @ G @ p)
        x, before = x + step * p, r
        r = r - step * (G @ p)
        p = r + (r @ r) / (before @ before) * p
        exact.append(x)
    F = Objective(lambda x: 0.5 * x @ G @ x - h @ x)
    path = minimize(F, np.zeros(5), "scaled_conjugate_gradient", lambda_0=1e-14, max_iter=5)
    np.testing.assert_allclose(path.points, exact, atol=1e-9)
    np.testing.assert_allclose(path.x, BOTTOM, rtol=1e-8)


def test_where_only_gradients_are_given_their_difference_is_the_curvature():
    def F(x):
        return np.sum(np.cosh(x - 0.5)) + 0.1 * np.sum(x) ** 2

    def slope(x):
        return np.sinh(x - 0.5) + 0.2 * np.sum(x)

    x0 = np.linspace(-2, 2, 6)
    for method, options in (("scaled_conjugate_gradient", {}), ("newton_cg", {"radius": 100.0})):
        exact = minimize(F, x0, method, **options)
        differences = minimize(Objective(F, gradient=slope), x0, method, **options)
        np.testing.assert_allclose(differences.x, exact.x, atol=1e-8)
        np.testing.assert_allclose(differences.points[1], exact.points[1], rtol=1e-3)
        assert np.any(differences.points[1] != exact.points[1])


@pytest.mark.parametrize("method", ["scaled_conjugate_gradient", "newton_cg"])
def test_a_wrong_product_is_seen(method):
    """What the methods are told of the curvature matters: with another one they take other, and more, steps."""
    G, h = M.T @ M + np.eye(5), M.T @ y
    f = {"value_and_gradient": lambda x: (0.5 * x @ G @ x - h @ x, G @ x - h)}
    right = minimize(Objective(**f, hvp=lambda x, v: G @ v), np.zeros(5), method)
    wrong = minimize(Objective(**f, hvp=lambda x, v: G @ v * np.linspace(0.2, 3.0, 5)), np.zeros(5), method)
    np.testing.assert_allclose(right.x, np.linalg.solve(G, h), atol=1e-8)
    assert right.n_iter <= 9 < wrong.n_iter


def test_truncated_conjugate_gradients_solve_within_the_ball_and_go_to_its_edge():
    G, h = M.T @ M, M.T @ y
    d, fall = truncated(lambda v: G @ v, -h, 1e3, 0.0)
    np.testing.assert_allclose(d, BOTTOM, rtol=1e-8)
    assert fall == pytest.approx(0.5 * h @ BOTTOM)
    d, fall = truncated(lambda v: G @ v, -h, 0.3 * np.linalg.norm(BOTTOM), 0.0)
    assert np.linalg.norm(d) == pytest.approx(0.3 * np.linalg.norm(BOTTOM))
    assert fall == pytest.approx(h @ d - 0.5 * d @ G @ d)
    d, fall = truncated(lambda v: -v, -h, 2.0, 0.0)  # no bottom: straight down to the edge
    np.testing.assert_allclose(d, 2.0 * h / np.linalg.norm(h))
    assert fall == pytest.approx(2.0 * np.linalg.norm(h) + 2.0)


@pytest.mark.parametrize("method", ["scaled_conjugate_gradient", "newton_cg"])
def test_saddles_are_left_behind(method):
    path = minimize(lambda x: np.sum(x**4) - np.sum(x**2), np.array([1e-3, -1e-3]), method)
    np.testing.assert_allclose(path.x, [np.sqrt(0.5), -np.sqrt(0.5)], atol=1e-8)


@pytest.mark.parametrize("method", ["scaled_conjugate_gradient", "newton_cg"])
@pytest.mark.parametrize("F", [lambda x: -np.sum(x**2), lambda x: -np.sum(np.exp(x))], ids=["−x²", "−eˣ"])
def test_no_bound_below_is_an_error(method, F):
    with pytest.raises(DivergenceError, match="in step") as caught:
        minimize(F, np.array([1.0, 2.0]), method, max_iter=20_000)
    assert np.isfinite(caught.value.path.values).all()


@pytest.mark.parametrize("method", ["scaled_conjugate_gradient", "newton_cg"])
def test_maximize_mirrors_minimize(method):
    def F(x):
        return np.sum(np.cosh(x - 0.5)) + 2.0

    down, up = minimize(F, np.zeros(3), method), maximize(lambda x: -F(x), np.zeros(3), method)
    np.testing.assert_allclose(up.points, down.points, rtol=1e-12)
    np.testing.assert_allclose(up.values, -down.values, rtol=1e-12)


# ---------------------------------------------------------------- errors


def plain(x):
    return np.sum(x**2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: minimize(plain, np.ones(2), "levenberg_marquardt"), TypeError,
         r"levenberg_marquardt needs a sum of squares: give Objective\(residuals=…\).* normal, .*scaled_conjugate_gradient"),
        (lambda: minimize(plain, np.ones(2), "bayesian_regularisation"), TypeError, "needs a sum of squares"),
        (lambda: minimize(Objective(plain, normal=lambda x: (np.eye(2), x)), np.ones(2), "bayesian_regularisation"), TypeError,
         "needs a sum of squares"),
        (lambda: maximize(LINEAR, np.zeros(5), "levenberg_marquardt"), TypeError, "needs a sum of squares"),
        (lambda: minimize(LINEAR, np.zeros(5), "levenberg_marquart"), ValueError, "Did you mean 'levenberg_marquardt'"),
        (lambda: minimize(LINEAR, np.zeros(5), "levenberg_marquardt", step=0.1), ValueError, "finds its own steps.*no 'step'"),
        (lambda: minimize(LINEAR, np.zeros(5), "levenberg_marquardt", mu=0.0), ValueError, r"mu must be a number in \(0, inf\)"),
        (lambda: minimize(LINEAR, np.zeros(5), "levenberg_marquardt", mu_inc=1.0), ValueError, "mu_inc must be"),
        (lambda: minimize(LINEAR, np.zeros(5), "levenberg_marquardt", mu_dek=0.5), ValueError, "Did you mean 'mu_dec'"),
        (lambda: minimize(LINEAR, np.zeros(5), "newton_cg", max_iters=5), ValueError, "Did you mean 'max_iter'"),
        (lambda: get_second_order("newton"), ValueError, "Did you mean 'newton_cg'"),
    ],
)  # fmt: skip
def test_errors_name_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_matrix_that_does_not_fit_is_said_before_it_starts(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 1_000_000_000)
    words = (
        r"levenberg_marquardt needs matrices of K × K numbers and the Jacobian of N × K: for K = 50,000 parameters, "
        r"N = 50,000 residuals that is 100.0 GB, and 1.0 GB are free. Use scaled_conjugate_gradient, newton_cg or lbfgs"
    )
    with pytest.raises(ValueError, match=words):
        minimize(Objective(residuals=lambda x: x), np.zeros(50_000), "levenberg_marquardt")
    with pytest.raises(ValueError, match=r"for K = 50,000 parameters that is 65\.0 GB"):
        minimize(Objective(residuals=lambda x: x, normal=lambda x: 1 / 0), np.zeros(50_000), "bayesian_regularisation")
    assert memory.free_bytes() > 0


def test_the_door_has_the_table():
    assert cr.minimize(LINEAR, np.zeros(5), SECOND_ORDER["levenberg_marquardt"]).converged
