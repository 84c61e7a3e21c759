"""Formulas: every row of the table is written so that its text and its code give the function's and grad's numbers."""

import dataclasses
import re

import numpy as np
import pytest
from matplotlib.mathtext import MathTextParser

import chainrule as cr
from chainrule.calculus import PRIMITIVES, erf, grad
from chainrule.calculus.primitives import BY_FUNCTION, Primitive
from chainrule.calculus.primitives.writing import NOTATIONS, SUM, write_row

DIFFERENTIABLE = [
    name
    for name, row in PRIMITIVES.items()
    if isinstance(row, Primitive) and row.elementwise and any(rule is not None for rule in row.pullbacks)
]
PARSER = MathTextParser("path")


def as_python(text):
    """The text of a formula in Python's signs."""
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda m: "**" + m[0].translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")), text)
    text = re.sub(r"\|([^|]*)\|", r"abs(\1)", text)
    return text.replace("·", "*").replace("^", "**").replace("√", "sqrt")


NUMPY = {name: getattr(np, name) for name in dir(np) if not name.startswith("_")}
NAMES = NUMPY | {"np": np, "ln": np.log, "π": np.pi, "erf": erf, "min": min, "max": max, "abs": abs}


def evaluated(written, point):
    """The function and its derivatives at a point, from the words."""
    names = NAMES | point
    for name, words in written.definitions.items():
        names[name] = eval(as_python(words), names)
    right = [written.function, *written.derivatives.values()]
    return [float(eval(as_python(words), names)) for words in right]


def balanced(words):
    assert words.count("{") == words.count("}")
    assert words.count(r"\left") == words.count(r"\right")


def compiles(words):
    balanced(words)
    PARSER.parse(f"${words}$")


def point_of(row):
    """A point where the row has a value."""
    n = len(row.signature)
    for first in (0.6, 1.6):
        with np.errstate(all="ignore"):
            args = [first, 1.7, 2.5][:n]
            if np.isfinite(row.function(*args)):
                return args
    raise AssertionError(row.name)


WRAPPERS = {
    "alone": lambda f: f,
    "taken away": lambda f: lambda *xs: 1 - f(*xs),
    "in a sum and a power": lambda f: lambda *xs: 1 - 2 * f(*(x + 0.1 for x in xs)) ** 3 / 5,
    "in a quotient": lambda f: lambda *xs: xs[0] / (3 * f(*(1.1 * x for x in xs))) - (-f(*xs)),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_every_row_is_written_as_it_is(name, wrapper):
    row = PRIMITIVES[name]
    f, args = WRAPPERS[wrapper](row.function), point_of(row)
    trace = cr.trace(lambda *x: f(*x), *args)
    expected = [float(f(*args)), *map(float, grad(f, tuple(range(len(args))))(*args))]
    point = dict(zip(trace.inputs, args, strict=True))
    for notation in ("text", "code"):
        found = evaluated(trace.formula(notation, digits=None), point)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13, err_msg=str(trace.formula(notation)))
    for words in {words for equation in trace.latex().equations for words in equation}:
        (compiles if wrapper == "alone" else balanced)(words)  # the parser takes most of the time


@pytest.mark.parametrize("name", [name for name, row in PRIMITIVES.items() if isinstance(row, Primitive)])
def test_every_row_has_words_in_every_notation(name):
    row = PRIMITIVES[name]
    pieces = [(letter, SUM) for letter in "abc"[: len(row.signature)]]
    for notation in NOTATIONS:
        words, _ = write_row(row, pieces, row.static, notation)
        assert all(letter in words for letter, _ in pieces)
        if notation == "latex":
            compiles(words)


# What a person would write: function and derivatives as they are printed.
PRINTED = [
    (lambda x: np.sin(x) * x, ("x·sin(x)", "sin(x) + x·cos(x)")),
    (lambda x: 0 * np.sin(x) + 1 * x + 0, ("x", "1")),
    (lambda x: x - (-x), ("2·x", "2")),
    (lambda x: np.negative(-np.exp(x)), ("exp(x)", "exp(x)")),
    (lambda x: x * x * x, ("x³", "3·x²")),
    (lambda x: 2 * (3 * x), ("6·x", "6")),
    (lambda x: x / 3 + 0.5 * x**2, ("x/3 + x²/2", "x + 1/3")),
    (lambda x: 0.1 * x, ("0.1·x", "0.1")),
    (lambda x: 1 / (1 + np.exp(-x)), ("1/(1 + exp(-x))", "exp(-x)/(1 + exp(-x))²")),
    (lambda x: np.tanh(x), ("tanh(x)", "1 - tanh(x)²")),
    (lambda x: (x - 1) ** 2, ("(x - 1)²", "2·(x - 1)")),
    (lambda x: 3.0 - 2 * np.cos(np.pi * x), ("3 - 2·cos(π·x)", "2·π·sin(π·x)")),
    (lambda x: np.abs(x), ("|x|", "sign(x)")),
    (lambda x: x**-2.0, ("1/x²", "-2/x³")),
    (lambda x: np.sqrt(x), ("√(x)", "1/(2·√(x))")),
    (lambda x: np.log(x) / x, ("ln(x)/x", "1/x² - ln(x)/x²")),
    (lambda x: np.where(x > 0, x, 0.5 * x), ("(x if x > 0 else x/2)", "(1 if x > 0 else 0) + (0 if x > 0 else 1)/2")),
    (lambda x: 4.0 + 0 * x, ("4", "0")),
    (lambda x: np.floor(x), ("floor(x)", "0")),
    (lambda x: x / x, ("x/x", "1/x - x/x²")),  # nothing is cancelled that may be 0
]


@pytest.mark.parametrize(("f", "expected"), PRINTED, ids=[words[0] for _, words in PRINTED])
def test_formulas_are_as_a_person_would_write_them(f, expected):
    written = cr.trace(f, 0.7).formula()
    assert (written.function, written.derivatives["x"]) == expected


def test_the_equations_have_a_left_side():
    assert str(cr.trace(np.sin, 0.5).formula()) == "f(x) = sin(x)\nf'(x) = cos(x)"
    assert str(cr.trace(lambda x, y: x * y, 2, 3.0).formula()) == "f(x, y) = x·y\n∂f/∂x = y\n∂f/∂y = x"
    assert str(cr.trace(lambda x: np.sum(x**2), [1.0, 2.0]).formula()) == "f(x) = sum(x²)\n∇f(x) = 2·x"


def test_entries_of_an_array_are_variables_of_their_own():
    written = cr.trace(lambda p: p[1] - p[0] ** 2, np.array([3.0, 2.0])).formula()
    assert written.function == "p[1] - p[0]²"
    assert written.derivatives == {"p[0]": "-2·p[0]", "p[1]": "1"}


def test_a_constant_array_keeps_its_shape():
    # sum(x·ones) is 3x and not x: a factor of ones is dropped only where the shape stays
    for factor in (1.0, 2.0):
        written = cr.trace(lambda x, factor=factor: np.sum(factor * x * np.ones(3)), 2.0).formula("code")
        assert eval(written.function, {"np": np, "x": 2.0}) == 6.0 * factor
        assert written.derivatives["x"] == f"{3 * factor:g}"


@pytest.mark.parametrize(
    "f",
    [
        lambda x, A: np.sum(np.tanh(x @ A) ** 2),
        lambda x, A: np.sum(A @ A.T) * np.sum(x[1:] * x[:-1]) + np.max(A),
        lambda x, A: np.linalg.norm(x) + np.sum(np.linalg.inv(A + 4 * np.eye(3)) * A) + np.mean(A, axis=0) @ x,
        lambda x, A: np.sum(np.concatenate([x, A[0]]) * 0.3) - np.std(x) + np.cumsum(x)[-1],
    ],
)
def test_code_of_array_functions_runs(f):
    rng = np.random.default_rng(3)
    x, A = rng.normal(size=3), rng.normal(size=(3, 3))
    written = cr.trace(f, x, A).formula("code")
    names = {"np": np, "x": x, "A": A, **{name: row.function for name, row in PRIMITIVES.items()}}
    for name, words in written.definitions.items():
        names[name] = eval(words, names)
    np.testing.assert_allclose(eval(written.function, names), f(x, A), rtol=1e-12)
    for words, g in zip(written.derivatives.values(), grad(f, (0, 1))(x, A), strict=True):
        np.testing.assert_allclose(np.broadcast_to(eval(words, names), g.shape), g, rtol=1e-11, atol=1e-12)


def test_long_formulas_name_what_they_use_twice():
    written = cr.trace(lambda x: np.exp(np.sin(x) * np.cos(x)) * np.log(1 + x**2) / np.sqrt(1 + x**2), 0.5).formula()
    assert "u1" in written.definitions
    assert str(written).startswith("u1 = ")
    assert len(str(written)) < 600


def test_formulas_of_thousands_of_steps_are_refused_in_one_sentence():
    def deep(x):
        for _ in range(400):
            x = np.sin(x) * 1.01
        return x

    with pytest.raises(ValueError, match="up to 500 steps, this one has 1,"):
        cr.trace(deep, 0.5).formula()


def test_names_of_inputs_in_latex():
    latex = cr.trace(lambda theta, x1, rate: theta * x1 * rate, 1.0, 2.0, 3.0).latex()
    assert latex.function == r"\theta \cdot x_{1} \cdot \mathrm{rate}"
    assert latex._repr_latex_().startswith(r"$$\begin{aligned}")
    assert cr.trace(np.sin, 1.0).formula()._repr_latex_() is None


def test_digits_and_notations():
    trace = cr.trace(lambda x: 1.23456789 * x, 1.0)
    assert trace.formula().function == "1.23457·x"
    assert trace.formula(digits=None).function == "1.23456789·x"
    assert trace.formula("code").function == "1.23456789 * x"
    with pytest.raises(ValueError, match="notation must be one of 'text', 'latex', 'code', got 'html'"):
        trace.formula("html")


def test_the_derivative_is_written_from_the_rule_itself(monkeypatch):
    row = PRIMITIVES["sin"]
    wrong = dataclasses.replace(row, pullbacks=(lambda g, out, x: g * np.cos(x) * 2.0,))
    monkeypatch.setitem(BY_FUNCTION, np.sin, wrong)
    assert cr.trace(np.sin, 1.0).formula().derivatives["x"] == "2·cos(x)"
