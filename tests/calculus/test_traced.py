"""trace: numbers, local derivatives, factors and paths against grad and against paths listed one by one."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.calculus import PRIMITIVES, UnsupportedError, grad
from chainrule.calculus.primitives import BY_FUNCTION

UNARY = [np.sin, np.cos, np.tanh, np.negative, np.arctan, lambda x: x * x, lambda x: 0.5 * x, lambda x: np.exp(-x * x)]
BINARY = [np.add, np.subtract, np.multiply, np.maximum, np.hypot, lambda x, y: x / (2.0 + y * y)]


def program(seed, steps):
    """A random function of two numbers: each step takes earlier ones, recent ones more often."""

    def f(x, y):
        rng = np.random.default_rng(seed)
        known = [x, y]
        for _ in range(steps):
            a, b = (known[-1 - int(min(len(known) - 1, rng.exponential(2.0)))] for _ in range(2))
            if rng.random() < 0.5:
                known.append(UNARY[rng.integers(len(UNARY))](a))
            else:
                known.append(BINARY[rng.integers(len(BINARY))](a, b))
        return known[-1] + 0.0 * x

    return f


def listed(trace, by):
    """The value of every path, one by one."""
    end, found, stack = trace.inputs[by], [], [(trace.output, 1.0)]
    while stack:
        k, product = stack.pop()
        if k == end:
            found.append(product)
        step = trace.steps[k]
        stack += [(i, product * s) for i, s in zip(step.inputs, step.slopes, strict=True) if s is not None]
    return found


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(-2, 2), st.floats(-2, 2))
def test_paths_of_random_functions(seed, steps, x, y):
    f = program(seed, steps)
    trace = cr.trace(f, x, y)
    for name, g in zip(("x", "y"), grad(f, (0, 1))(x, y), strict=True):
        every = listed(trace, name)
        paths = trace.paths(name, most=10**6)
        scale = 1.0 + sum(map(abs, every))
        assert paths.count == len(every) == len(paths)
        assert trace.derivatives[name] == float(g)
        assert math.fsum(term.value for term in paths) == pytest.approx(float(g), rel=1e-12, abs=1e-12 * scale)
        few = trace.paths(name, most=3)
        assert [abs(t.value) for t in few] == pytest.approx(sorted(map(abs, every), reverse=True)[:3], rel=1e-12)
        assert few.rest == pytest.approx(float(g) - math.fsum(t.value for t in few), rel=1e-12, abs=1e-15 * scale)
        assert all(term.value == pytest.approx(math.prod(term.factors), rel=1e-14) for term in few)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.floats(-2, 2), st.floats(-2, 2))
def test_factors_of_random_functions_multiply_to_the_derivative(seed, steps, x, y):
    trace = cr.trace(program(seed, steps), x, y)
    for name in ("x", "y"):
        factors = trace.factors(name)
        if len(factors):
            expected = trace.derivatives[name]
            assert math.prod(f.value for f in factors) == pytest.approx(expected, rel=1e-9, abs=1e-11)
            assert math.prod(f.paths for f in factors) == trace.paths(name, most=0).count
            assert [f.of for f in factors][1:] == [f.by for f in factors][:-1]
            assert (factors[0].of, factors[-1].by) == ("f", name)
        else:
            assert trace.derivatives[name] == 0.0


ARRAYS = [
    lambda x, A: np.sum(np.tanh(x @ A + 0.1) ** 2),
    lambda x, A: np.sum(np.linalg.inv(A @ A.T + 3 * np.eye(3)) @ x) + np.linalg.det(A),
    lambda x, A: np.max(x) * np.min(A) + np.sum(np.concatenate([x[::-1], A[1]]) * np.cumsum(np.arange(6.0))),
    lambda x, A: np.std(np.where(A > 0, A, x)) + np.prod(x) + np.sum(np.sort(A, axis=0)[0] * x),
    lambda x, A: np.einsum("ij,j->", A, x) + np.sum(A.astype(np.longdouble)).astype(float),
    lambda x, A: np.sum(np.pad(x, 1)[:-2] * x) + np.linalg.norm(A[:, 0]) + np.trace(A),
]


@pytest.mark.parametrize("number", range(len(ARRAYS)))
def test_arrays_are_traced_number_by_number(number):
    f, rng = ARRAYS[number], np.random.default_rng(number)
    x, A = rng.normal(size=3), rng.normal(size=(3, 3))
    trace = cr.trace(f, x, A)
    assert trace.value == pytest.approx(float(f(x, A)), rel=1e-14)
    gx, gA = grad(f, (0, 1))(x, A)
    expected = {f"x[{i}]": gx[i] for i in range(3)} | {f"A[{i}, {j}]": gA[i, j] for i, j in np.ndindex(3, 3)}
    assert trace.derivatives == pytest.approx({k: float(v) for k, v in expected.items()}, rel=1e-14, abs=0)
    for name in trace.inputs:
        paths = trace.paths(name, most=10**5)
        assert len(paths) == paths.count
        assert sum(t.value for t in paths) == pytest.approx(float(expected[name]), rel=1e-10, abs=1e-12)
    assert all(step.derivative == pytest.approx(s) for step, s in zip(trace.steps, adjoints(trace), strict=True))


def adjoints(trace):
    """∂output/∂step of all steps by the edges alone."""
    found = [0.0] * len(trace.steps)
    found[trace.output] = 1.0
    for k in range(trace.output, -1, -1):
        for i, s in zip(trace.steps[k].inputs, trace.steps[k].slopes, strict=True):
            if s is not None:
                found[i] += s * found[k]
    return found


def test_the_table():
    assert str(cr.trace(lambda x, y: np.exp(x * y) - 0.5 * x, 1.0, 2)).splitlines() == [
        "step             value   ∂f/∂step   local derivatives",
        "x                    1    14.2781",
        "y                    2    7.38906",
        "n1 = x·y             2    7.38906   ∂/∂x 2, ∂/∂y 1",
        "n2 = exp(n1)   7.38906          1   ∂/∂n1 7.38906",
        "n3 = 0.5·x         0.5         -1   ∂/∂x 0.5",
        "f = n2 - n3    6.88906          1   ∂/∂n2 1, ∂/∂n3 -1",
    ]


def test_a_product_of_matrices_is_written_term_by_term():
    trace = cr.trace(lambda w: np.array([0.0, -2.0]) @ w, [3.0, 4.0])
    assert trace.words(trace.output) == "0·w[0] + (-2)·w[1]"
    assert trace.derivatives == {"w[0]": 0.0, "w[1]": -2.0}
    assert trace.paths("w[0]").count == 1  # an input that meets a 0 is still on a path
    assert trace.factors("w[1]")[0].words == "-2"


def test_a_node_that_is_used_twice_has_two_paths():
    paths = cr.trace(lambda x: x * x, 3.0).paths()
    assert (paths.count, [t.value for t in paths], paths.derivative) == (2, [3.0, 3.0], 6.0)


def test_factors_stop_where_all_paths_meet():
    factors = cr.trace(lambda x: np.exp(x * np.sin(x)), 1.0).factors()
    assert [(f.of, f.by, f.paths, f.words) for f in factors] == [("f", "n2", 1, "exp(n2)"), ("n2", "x", 2, "")]
    assert "the sum over 2 paths" in str(factors)


def test_counts_beyond_any_list():
    def doubled(x):
        for _ in range(1500):
            x = 0.5 * x + 0.5 * x
        return x

    paths = cr.trace(doubled, 1.0).paths(most=2)
    assert paths.count == 2**1500
    assert paths.derivative == 1.0
    assert "the sum over about 10^452 paths" in str(paths)
    assert paths.rest == 1.0


def test_the_largest_paths_are_found_though_products_underflow():
    def f(x):
        small = 1e-200 * x
        return (1e-180 * small) * 1e200 * 1e180 + 0.25 * x

    assert [t.value for t in cr.trace(f, 1.0).paths()] == pytest.approx([1.0, 0.25])


def test_kinks_are_marked():
    trace = cr.trace(lambda x: np.abs(x) + np.maximum(x, 1.0) + np.clip(x, 0.0, 2.0) + np.max(np.stack([x, x])), 0.0)
    assert {s.operation for s in trace.steps if s.kink} == {"absolute", "clip", "max"}
    assert "at a kink" in str(trace)
    assert "kink" not in str(cr.trace(np.abs, 1.0))


def test_where_no_derivative_passes():
    trace = cr.trace(lambda x: np.where(x > 0, x, 2 * x) + np.floor(x), 1.5)
    assert trace.derivatives == {"x": 1.0}
    assert trace.paths().count == 2  # both branches, and no path by the question or the step
    assert cr.trace(np.floor, 1.5).paths().count == 0
    assert "no path leads there" in str(cr.trace(np.floor, 1.5).factors())


def test_constants_inputs_and_what_is_not_used():
    constant = cr.trace(lambda x: 3.0, 1)
    assert (constant.value, constant.derivatives, constant.paths().count) == (3.0, {"x": 0.0}, 0)
    itself = cr.trace(lambda x: x, 2)
    assert (itself.derivatives, itself.paths().count, len(itself.factors())) == ({"x": 1.0}, 1, 0)
    assert cr.trace(lambda x, y: y, 1.0, 2.0).derivatives == {"x": 0.0, "y": 1.0}
    dropped = cr.trace(lambda x: np.sum(np.exp(x)[:1]), [1.0, 2.0])
    assert [s.name for s in dropped.steps] == ["x[0]", "x[1]", "n1[0]", "f"]


def test_names_of_inputs():
    assert list(cr.trace(np.hypot, 3.0, 4.0).inputs) == ["x1", "x2"]
    assert list(cr.trace(lambda *u: u[0], 3.0, 4.0).inputs) == ["u1", "u2"]
    assert list(cr.trace(lambda p: p["a"] * p["b"][1], {"a": 1.0, "b": [1.0, 2.0]}).inputs) == [
        "p['a']", "p['b'][0]", "p['b'][1]",
    ]  # fmt: skip
    clash = cr.trace(lambda n1, f: np.sin(n1 * f), 1.0, 2.0)
    assert len({s.name for s in clash.steps}) == len(clash.steps)


def test_what_is_not_finite_is_pointed_at():
    with np.errstate(all="ignore"):
        trace = cr.trace(lambda x: np.exp(np.log(x - 1.0) * 0.0), 1.0)
    assert "the first step that is not finite: n2 = ln(n1)" in str(trace)


def test_a_long_table_shows_its_ends():
    def deep(x):
        for _ in range(500):
            x = np.sin(x)
        return x

    trace = cr.trace(deep, 1.0)
    assert len(str(trace).splitlines()) == 62
    assert "441 more steps" in str(trace)
    assert len(trace.factors()) == 500


def test_plain_data():
    data = json.loads(json.dumps(cr.trace(lambda x: np.sum(np.where(x > 0, x, 0.0)), [1.0, -2.0]).as_dict()))
    assert data["derivatives"] == {"x[0]": 1.0, "x[1]": 0.0}
    assert data["steps"][-1]["words"] == "n2[0] + n2[1]"


@pytest.mark.parametrize(
    ("f", "args", "error", "words"),
    [
        (lambda x: 2 * x, (np.ones(3),), TypeError, r"one number, but the function returned an array of shape \(3,\)"),
        (lambda x: (x, x), (1.0,), TypeError, "returned a tuple"),
        (lambda x: "a", (1.0,), TypeError, "returned a str"),
        (lambda x: x, (math.nan,), ValueError, "x is NaN"),
        (lambda x: np.sum(x), ([1.0, math.nan],), ValueError, "x has a NaN"),
        (lambda x: np.sum(x), (np.arange(3),), TypeError, r"pass x.astype\(float\)"),
        (lambda x: x, (1j,), TypeError, "x is complex"),
        (lambda: 1.0, (), TypeError, "trace needs the point"),
        (lambda x: math.sin(x), (1.0,), UnsupportedError, r"np.sin\(x\)"),
        (lambda x: np.sum(x**2), (np.ones(200_000),), ValueError, "more than 100,000"),
        (lambda x: np.sum(x @ x), (np.ones((60, 60)),), ValueError, "more local derivatives than a trace can show"),
    ],
)  # fmt: skip
def test_what_cannot_be_traced_is_one_clear_sentence(f, args, error, words):
    with pytest.raises(error, match=words):
        cr.trace(f, *args)


def test_a_trace_inside_a_gradient_is_refused():
    with pytest.raises(UnsupportedError, match="trace reads numbers"):
        grad(lambda x: cr.trace(np.sin, x).value)(1.0)


@pytest.mark.parametrize("x", [np.float32(0.5), np.array(0.5), [0.5], np.longdouble(0.5)])
def test_every_kind_of_float_is_a_point(x):
    trace = cr.trace(lambda x: np.sum(np.sin(x)), x)
    assert list(trace.derivatives.values()) == pytest.approx([math.cos(0.5)], rel=1e-6)
    assert trace.formula("code").function in ("np.sum(np.sin(x))", "np.sin(x)")


def test_which_input():
    trace = cr.trace(lambda x, y: x * y, 1.0, 2.0)
    with pytest.raises(ValueError, match="say by which input; this trace has 'x', 'y'"):
        trace.paths()
    with pytest.raises(ValueError, match="there is no input 'z'; this trace has 'x', 'y'"):
        trace.factors("z")
    with pytest.raises(ValueError, match="a whole number from 0, got -1"):
        trace.paths("x", most=-1)


def test_an_integer_is_taken_as_a_float():
    assert cr.trace(lambda x: x**3, 2).derivatives == {"x": 12.0}


def test_a_wrong_rule_shows(monkeypatch):
    f = lambda x: np.sin(x) * x  # noqa: E731
    numerical = (f(1.0 + 1e-6) - f(1.0 - 1e-6)) / 2e-6
    assert cr.trace(f, 1.0).derivatives["x"] == pytest.approx(numerical, rel=1e-8)
    wrong = dataclasses.replace(PRIMITIVES["sin"], pullbacks=(lambda g, out, x: 1.001 * g * np.cos(x),))
    monkeypatch.setitem(BY_FUNCTION, np.sin, wrong)
    trace = cr.trace(f, 1.0)
    assert trace.derivatives["x"] != pytest.approx(numerical, rel=1e-5)
    assert trace.paths()[1].factors[-1] == pytest.approx(1.001 * math.cos(1.0))
