"""The table of methods: every row walks down a bowl, equals a loop written by hand, and refuses what is out of range."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.calculus import record
from chainrule.descent import METHODS, Method, Objective, check_hyperparameters, get_method, get_schedule, minimize

RNG = np.random.default_rng(0)
_B = RNG.normal(size=(5, 5))
A = _B @ _B.T + np.eye(5)
b = RNG.normal(size=5)
BOTTOM = np.linalg.solve(A, b)
L = float(np.linalg.eigvalsh(A).max())  # the largest curvature: steps above 2/L diverge


def bowl(x):
    return 0.5 * x @ A @ x - b @ x


def bowls_slope(x):
    return A @ x - b


# What each method needs to reach the bottom, and how near it comes. Methods that divide by a decaying mean of g² never
# rest at a constant γ, so theirs falls; weight decay has its own minimum. A row without an entry here fails.
WALKS = {
    "gradient_descent": ({"step": 1 / L}, 1e-8),
    "momentum": ({"step": 0.5 / L}, 1e-8),
    "nesterov": ({"step": 0.5 / L}, 1e-8),
    "lbfgs": ({}, 1e-8),
    "adagrad": ({}, 1e-7),
    "rmsprop": ({"step": 0.01 * get_schedule("linear")}, 1e-4),
    "adadelta": ({"step": get_schedule("linear")}, 1e-3),
    "adam": ({"step": 0.01}, 1e-7),
    "adamw": ({"step": 0.01, "decay": 1e-9}, 1e-7),
    "adamax": ({"step": 0.01}, 1e-7),
    "nadam": ({"step": 0.01}, 1e-7),
}


@pytest.mark.parametrize("name", [*METHODS, "lbfgs"])
def test_every_method_walks_a_convex_quadratic_down(name):
    options, near = WALKS[name]
    path = minimize(bowl, np.zeros(5), name, gradient=bowls_slope, max_iter=5000, **options)
    np.testing.assert_allclose(path.x, BOTTOM, rtol=0, atol=near)
    assert path.value == pytest.approx(bowl(BOTTOM), abs=10 * near**2 + 1e-14)
    assert path.converged or name in ("rmsprop", "adadelta")
    assert path.method == name


@pytest.mark.parametrize("name", METHODS)
def test_every_method_walks_rosenbrock_down(name):
    path = minimize(rosenbrock, np.array([-1.2, 1.0]), name, max_iter=100, step=METHODS[name].defaults["step"] / 100)
    assert path.value < path.values[0]


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def rosenbrocks_slope(x):
    return np.array([-2 * (1 - x[0]) - 400 * x[0] * (x[1] - x[0] ** 2), 200 * (x[1] - x[0] ** 2)])


@pytest.mark.parametrize(
    ("method", "options"),
    [("adam", {"step": 0.05}), ("lbfgs", {}), ("gradient_descent", {"step": "armijo"})],
)
def test_rosenbrock_is_walked_to_its_minimum(method, options):
    F = Objective(rosenbrock, gradient=rosenbrocks_slope)
    path = minimize(F, np.array([-1.2, 1.0]), method, max_iter=20_000, record="ends", **options)
    np.testing.assert_allclose(path.x, [1.0, 1.0], atol=1e-6)


# ---------------------------------------------------------------- the same in plain loops, as the papers write them


def by_hand(name, w, gradient, steps, h):
    """The walk of a method, number by number: no vectors, no table, the formula as it is in the paper."""
    w = [float(x) for x in w]
    n = len(w)
    one, two = [0.0] * n, [0.0] * n
    walk = [list(w)]
    for t in range(1, steps + 1):
        g = [float(x) for x in gradient(np.array(w))]
        for i in range(n):
            if name == "gradient_descent":
                w[i] -= h["step"] * g[i]
            elif name == "momentum":
                one[i] = h["momentum"] * one[i] - h["step"] * g[i]
                w[i] += one[i]
            elif name == "nesterov":
                before = one[i]
                one[i] = h["momentum"] * one[i] - h["step"] * g[i]
                # Bengio, Boulanger-Lewandowski & Pascanu 2013: the point looked ahead to is the one that is kept
                w[i] += -h["momentum"] * before + (1 + h["momentum"]) * one[i]
            elif name == "adagrad":
                one[i] += g[i] ** 2
                w[i] -= h["step"] / (one[i] ** 0.5 + h["epsilon"]) * g[i]
            elif name == "rmsprop":
                one[i] = h["rho"] * one[i] + (1 - h["rho"]) * g[i] ** 2
                w[i] -= h["step"] / (one[i] ** 0.5 + h["epsilon"]) * g[i]
            elif name == "adadelta":
                one[i] = h["rho"] * one[i] + (1 - h["rho"]) * g[i] ** 2
                move = -((two[i] + h["epsilon"]) ** 0.5) / (one[i] + h["epsilon"]) ** 0.5 * g[i]
                two[i] = h["rho"] * two[i] + (1 - h["rho"]) * move**2
                w[i] += h["step"] * move
            elif name == "adamax":
                one[i] = h["beta_1"] * one[i] + (1 - h["beta_1"]) * g[i]
                two[i] = max(h["beta_2"] * two[i], abs(g[i]))
                w[i] -= h["step"] / (1 - h["beta_1"] ** t) * one[i] / (two[i] + h["epsilon"])
            elif name in ("adam", "adamw", "nadam"):
                if name == "adamw":
                    w[i] -= h["step"] * h["decay"] * w[i]
                one[i] = h["beta_1"] * one[i] + (1 - h["beta_1"]) * g[i]
                two[i] = h["beta_2"] * two[i] + (1 - h["beta_2"]) * g[i] ** 2
                m, v = one[i] / (1 - h["beta_1"] ** t), two[i] / (1 - h["beta_2"] ** t)
                if name == "nadam":
                    m = h["beta_1"] * one[i] / (1 - h["beta_1"] ** (t + 1)) + (1 - h["beta_1"]) * g[i] / (
                        1 - h["beta_1"] ** t
                    )
                    w[i] -= h["step"] * m / (v**0.5 + h["epsilon"])
                else:  # ε̂ of Kingma & Ba: ε beside the uncorrected root
                    w[i] -= h["step"] * m / (v**0.5 + h["epsilon"] / (1 - h["beta_2"] ** t) ** 0.5)
            else:
                raise AssertionError(f"{name} has no loop here")
        walk.append(list(w))
    return np.array(walk)


@pytest.mark.parametrize("name", METHODS)
@settings(deadline=None, max_examples=10, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(0.1, 3.0))
def test_a_method_is_its_loop_by_hand(name, seed, factor):
    row = METHODS[name]
    start = np.random.default_rng(seed).normal(size=5)
    hyper = {**row.defaults, "step": row.defaults["step"] * factor / 10}
    path = minimize(bowl, start, name, max_iter=25, gradient=bowls_slope, **hyper)
    expected = by_hand(name, start, bowls_slope, 25, hyper)
    np.testing.assert_allclose(path.points, expected, rtol=1e-10, atol=1e-12)


def test_the_first_steps_of_adam_are_known():
    """With a constant gradient both corrected means are the gradient itself: every step is γ, whatever the slope."""
    for slope in (1e-3, 1.0, 1e6):
        path = minimize(lambda x, s=slope: s * x, 1.0, "adam", step=0.1, max_iter=4)
        np.testing.assert_allclose(path.points, [1.0, 0.9, 0.8, 0.7, 0.6], rtol=1e-3 if slope < 1 else 1e-6)
    # x² from 1: by hand, g = 2, 1.8, …; m̂ = (0.9·0.2 + 0.1·1.8)/0.19, v̂ = (0.999·0.004 + 0.001·3.24)/0.001999
    path = minimize(lambda x: x * x, 1.0, "adam", step=0.1, max_iter=2, epsilon=1e-12)
    m, v = (0.9 * 0.2 + 0.1 * 1.8) / 0.19, (0.999 * 0.004 + 0.001 * 3.24) / 0.001999
    np.testing.assert_allclose(path.points, [1.0, 0.9, 0.9 - 0.1 * m / v**0.5], rtol=1e-9)


def test_the_first_step_of_adamw_decays_first():
    path = minimize(lambda x: x, 2.0, "adamw", step=0.1, decay=0.5, max_iter=1)
    assert path.points[1] == pytest.approx(2.0 * (1 - 0.05) - 0.1, rel=1e-6)


# ---------------------------------------------------------------- what a row must be


@pytest.mark.parametrize("row", METHODS.values(), ids=METHODS)
def test_a_row_is_whole(row):
    assert row.source
    assert "γ" in row.formula
    assert row.defaults["step"] > 0
    assert set(row.ranges) == set(row.defaults)
    for name in (row.name, *row.aliases):
        assert get_method(name) is row


@pytest.mark.parametrize("row", METHODS.values(), ids=METHODS)
def test_an_update_is_a_formula_without_branches(row):
    """The engine prints what is recorded here; the state stays in the float type of w."""
    n = 2 + len(row.state)
    graph = record(lambda *x: row.update(*x[:n], t=x[n], **row.defaults), *np.ones(n) * 0.5, 3.0)
    x = [0.7, -0.2, *[0.3] * len(row.state), 5.0]
    found = graph.evaluate(*x)
    expected = row.update(*x[:n], t=x[n], **row.defaults)
    np.testing.assert_allclose(np.ravel(found), np.ravel(expected), rtol=1e-14)
    ones = np.ones(3, np.float32)
    _, state = row.advance(ones, ones, [ones] * len(row.state), t=1.0, **row.defaults)
    assert {np.asarray(v).dtype for v in state} <= {np.dtype(np.float32)}


@pytest.mark.parametrize(("name", "key"), [(row.name, key) for row in METHODS.values() for key in row.defaults])
def test_a_hyperparameter_out_of_range_is_named(name, key):
    with pytest.raises(ValueError, match=f"{key} must be a number in .*got -0.5"):
        check_hyperparameters(METHODS[name], {key: -0.5})
    with pytest.raises(ValueError, match=f"{key} must be a number in .*got nan"):
        check_hyperparameters(METHODS[name], {key: float("nan")})
    with pytest.raises(TypeError, match=f"{key} must be a number in .*got '1'"):
        check_hyperparameters(METHODS[name], {key: "1"})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: get_method("adm"), "there is no method 'adm'. Did you mean 'adam'"),
        (lambda: get_method(3), "method must be a name or a row, got 3"),
        (lambda: check_hyperparameters(METHODS["adam"], {"momentum": 0.5}), "the method 'adam' has no 'momentum'"),
        (lambda: check_hyperparameters(METHODS["adam"], {"beta1": 0.5}), "Did you mean 'beta_1'"),
        (lambda: Method("mine", lambda w, g, t: w, (), {}), "the method 'mine' needs a default for 'step'"),
        (lambda: Method("mine", lambda w, g, t, step: w, (), {"step": -1.0}), "the default of step in the method 'mine'"),
        (lambda: Method("mine", lambda w, g, t, step: w, ("v",), {"step": 1.0}).advance(1.0, 1.0, (0.0,), 1.0, step=1.0), "."),
    ],
)  # fmt: skip
def test_errors_show_the_way(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_an_update_must_return_its_whole_state():
    row = Method("mine", lambda w, g, v, t, step: w - step * g, ("v",), {"step": 1.0})
    with pytest.raises(TypeError, match=r"must return w and 1 state vectors \(v\), got 0"):
        minimize(lambda x: x * x, 1.0, row)


def test_a_method_of_ones_own_is_walked():
    signs = Method("signs", lambda w, g, t, step: w - step * np.sign(g), (), {"step": 0.25})
    path = minimize(lambda x: np.sum(x**2), np.array([1.0, -0.5]), signs)
    assert path.points.tolist()[:4] == [[1.0, -0.5], [0.75, -0.25], [0.5, 0.0], [0.25, 0.0]]
    assert path.method == "signs"
    assert path.converged
