"""check_grad: where a gradient is wrong, and the cause that the numbers tell."""

import dataclasses
import itertools
import re

import numpy as np
import pytest

from chainrule.calculus import PRIMITIVES, check_grad
from chainrule.calculus.primitives import BY_FUNCTION, Primitive

RNG = np.random.default_rng(0)
SQUARE = RNG.normal(size=(3, 3))


NUMBERS = itertools.count(1.0)

WRONG = {
    "a transposition": (lambda X: np.sum(np.sin(X) * SQUARE), SQUARE + 1, lambda X: (np.cos(X) * SQUARE).T, "by X is transposed"),
    "a factor": (lambda x: np.sum(x**2), np.arange(3.0) + 1, lambda x: x, "by x is 0.5 times the numerical one: a factor"),
    "a sign": (np.sin, 1.0, lambda x: -np.cos(x), "by x is -1 times the numerical one: a minus"),
    "a term": (lambda x: x[0] ** 2 + x[1], np.array([1.0, 2.0]), lambda x: np.array([2 * x[0], 0.0]), r"0 is stated at x\[1\]"),
    "a kink": (lambda x: np.sum(np.abs(x)), np.array([0.0, 1.0]), lambda x: np.array([1.5, 1.0]),
               r"x\[0\] is a kink: any number from -1 to 1 would do, 1.5 does not"),
    "a jump": (lambda x: np.floor(x) + x, 2.0, lambda x: 1.0, "f jumps at x, by about 1"),
    "a NaN": (lambda x: np.sum(x**2), np.ones(2), lambda x: np.array([2.0, np.nan]), r"the stated gradient at x\[1\] is nan"),
    "an edge": (lambda x: np.log(x) if x > 0 else np.nan, 1e-9, lambda x: 1e9, "f is not finite at x or a step"),
    "no function": (lambda x: next(NUMBERS) * x, 1.0, lambda x: 1.0, "f is not the same twice"),
    "float32": (lambda x: np.sum(x.astype(np.float32) ** 3), np.arange(3.0) + 1, None, "the difference itself is uncertain"),
}  # fmt: skip


@pytest.mark.parametrize("cause", WRONG)
def test_the_cause_is_named(cause):
    f, x, gradient, words = WRONG[cause]
    report = check_grad(f, x, gradient)
    assert not report
    assert report.failures
    assert any(re.search(words, reason) for reason in report.reasons), str(report)
    assert "WRONG" in str(report)
    assert "why: " in str(report)


def test_a_right_gradient_has_no_reasons():
    report = check_grad(lambda x: np.sum(np.sin(x)), np.linspace(0, 1, 4))
    assert report
    assert (report.failures, report.reasons, report.kinks) == ((), (), ())


def test_the_failing_entries_are_listed_the_worst_first():
    report = check_grad(lambda x: np.sum(x**2), np.ones((2, 4)), lambda x: 2 * x + np.arange(8).reshape(2, 4) * 0.01)
    assert [e.index for e in report.failures[:2]] == [(1, 3), (1, 2)]
    lines = str(report).splitlines()
    assert lines[0] == "the gradient is WRONG in 7 of 8 entries"
    assert lines[1].startswith("  x[1, 3]: stated 2.07, numerical 2")
    assert lines[6] == "  and 2 more"


def test_several_arguments_are_told_apart():
    x, A = np.array([1.0, 2.0]), np.array([[0.5, 1.0], [-1.0, 2.0]])
    f = lambda x, A: np.sum(np.tanh(A @ x))  # noqa: E731
    assert check_grad(f, (x, A))
    slope = lambda x, A: 1 - np.tanh(A @ x) ** 2  # noqa: E731
    report = check_grad(f, (x, A), lambda x, A: (A.T @ slope(x, A), np.outer(x, slope(x, A))))
    assert not report
    assert report.argument == "A"
    assert {e.argument for e in report.failures} == {"A"}
    assert "by A is transposed" in str(report)
    with pytest.raises(ValueError, match="the gradient must have the shape of A"):
        check_grad(f, (x, A), lambda x, A: (x, x))
    with pytest.raises(ValueError, match="a tuple of 2, one for each argument"):
        check_grad(f, (x, A), lambda x, A: x)
    with pytest.raises(ValueError, match="A must be finite"):
        check_grad(f, (x, A * np.nan))


def test_what_passes_at_a_kink_and_what_at_a_jump():
    assert check_grad(lambda x: np.abs(x), 0.0, lambda x: 0.3).kinks
    assert not check_grad(lambda x: np.floor(x), 2.0, lambda x: 1.0)
    assert not check_grad(lambda x: np.floor(x), 2.0, lambda x: 1.0).kinks


RULES = {
    "sin": lambda x: np.sum(np.sin(x) * x),
    "matmul": lambda x: np.sum((np.ones((2, 3)) @ x) ** 2),
    "sum": lambda x: np.sum(x * x),
    "concatenate": lambda x: np.sum(np.concatenate([x, 2 * x]) ** 2),
}


@pytest.mark.parametrize("name", RULES)
def test_a_wrong_rule_is_named(name, monkeypatch):
    row = PRIMITIVES[name]
    assert isinstance(row, Primitive)

    def off(rule):
        return lambda *args, **kwargs: 1.01 * rule(*args, **kwargs)

    wrong = dataclasses.replace(row, pullbacks=tuple(off(rule) for rule in row.pullbacks))
    monkeypatch.setitem(BY_FUNCTION, row.function, wrong)
    report = check_grad(RULES[name], np.array([0.5, 1.0, 2.0]))
    assert not report
    assert report.reasons[0] == f"the rule of {name} in chainrule's table does not fit its function"


def test_a_rule_wrong_by_a_twentieth_of_a_percent_fails():
    x = np.linspace(0.1, 1, 4)
    assert check_grad(lambda x: np.sum(np.sin(x)), x)
    report = check_grad(lambda x: np.sum(np.sin(x)), x, lambda x: 1.0005 * np.cos(x))
    assert not report
    assert "WRONG" in str(report)


def test_a_check_says_where():
    def wrong(x):
        g = 2 * x
        g[1, 2] += 0.01
        return g

    report = check_grad(lambda x: np.sum(x * x), np.ones((2, 3)), wrong)
    assert report.index == (1, 2)
    assert "x[1, 2]" in str(report)


def test_kinks_are_named_and_no_failure():
    report = check_grad(lambda x: np.sum(np.maximum(x, 0)), np.array([0.0, 1.0]))
    assert report.ok
    assert [kink.index for kink in report.kinks] == [(0,)]


def test_kinks_do_not_excuse_nonsense():
    assert not check_grad(lambda x: np.sum(np.abs(x)), np.array([0.0]), lambda x: np.array([1.5]))
