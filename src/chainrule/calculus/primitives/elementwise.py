"""Floor 0, calculus: element by element primitives: arithmetic, powers, exp, log, circular, hyperbolic, choices."""

from __future__ import annotations

import math

import numpy as np

from . import writing as w
from .row import Primitive, binary, own, unary

_LN2, _LN10 = math.log(2.0), math.log(10.0)
_erf = np.frompyfunc(math.erf, 1, 1)


def _power_base(g, out, x, y):
    # y x^(y−1), and 0 where y = 0: there 0^0 = 1 whatever x, and x^(−1) must not be asked for
    return g * np.where(y == 0, 0.0, y * np.power(x, np.where(y == 0, 1.0, y - 1.0)))


def _power_exponent(g, out, x, y):
    # x^y ln x, and 0 where x = 0, the limit for y > 0
    return g * out * np.log(np.where(x == 0, 1.0, x))


def _share(x, other, out):
    """1 where x alone is the chosen one, ½ where both are, 0 elsewhere."""
    return np.where(x == out, np.where(other == out, 0.5, 1.0), 0.0)


def _left_share(g, out, x, y):
    return g * _share(x, y, out)


def _right_share(g, out, x, y):
    return g * _share(y, x, out)


def _at_0(x):
    return x == 0


def _hypot_rule(g, out, x, y):
    return g * x / np.where(out == 0, 1.0, out)  # 0 at the origin, as that of a norm


def _sinc_rule(g, out, x):
    at_0 = x == 0
    safe = np.where(at_0, 1.0, x)
    return g * np.where(at_0, 0.0, (np.cos(np.pi * safe) - np.sinc(safe)) / safe)


@own
def erf(x):
    """The error function 2/√π ∫_0^x e^{−t²} dt, element by element (float in, float of the same width out).

    >>> float(erf(0.0)), round(float(erf(1.0)), 12)
    (0.0, 0.84270079295)
    """
    x = np.asarray(x)
    width = x.dtype if x.dtype in (np.float32, np.float64) else np.dtype(float)
    return np.asarray(_erf(x.astype(np.float64)), dtype=np.float64).astype(width)[()]


def _clip(a, a_min=None, a_max=None, *, min=None, max=None):
    """A bound that is not given is infinitely far away; NumPy 2.1 also calls the bounds min and max."""
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    return np.clip(a, -np.inf if low is None else low, np.inf if high is None else high)


ARITHMETIC = [
    binary("add", lambda g, out, x, y: g, lambda g, out, x, y: g, w.ADD),
    binary("subtract", lambda g, out, x, y: g, lambda g, out, x, y: -g, w.SUBTRACT),
    binary("multiply", lambda g, out, x, y: g * y, lambda g, out, x, y: g * x, w.MULTIPLY),
    binary("divide", lambda g, out, x, y: g / y, lambda g, out, x, y: -g * out / y, w.DIVIDE),
    binary("power", _power_base, _power_exponent, w.RAISED),
    binary("float_power", _power_base, _power_exponent, w.RAISED),
    binary(
        "remainder",
        lambda g, out, x, y: g,
        lambda g, out, x, y: -g * np.floor(x / y),
        w.named("mod", r"\operatorname{{mod}}", 2),
    ),
    unary("negative", lambda g, out, x: -g, w.NEGATIVE),
    unary("positive", lambda g, out, x: g, w.POSITIVE),
    unary("reciprocal", lambda g, out, x: -g * out * out, w.RECIPROCAL),
    unary("square", lambda g, out, x: 2.0 * g * x, w.SQUARED),
    unary("sqrt", lambda g, out, x: 0.5 * g / out, w.ROOT),
    unary("cbrt", lambda g, out, x: g / (3.0 * out * out), w.CUBE_ROOT),
]

EXPONENTIAL = [
    unary("exp", lambda g, out, x: g * out, w.EXP),
    unary("exp2", lambda g, out, x: g * out * _LN2, w.EXP2),
    unary("expm1", lambda g, out, x: g * (out + 1.0), w.EXPM1),
    unary("log", lambda g, out, x: g / x, w.named("ln", r"\ln")),
    unary("log2", lambda g, out, x: g / (x * _LN2), w.named("log2", r"\log_{{2}}")),
    unary("log10", lambda g, out, x: g / (x * _LN10), w.named("log10", r"\log_{{10}}")),
    unary("log1p", lambda g, out, x: g / (1.0 + x), w.LOG1P),
    binary(
        "logaddexp", lambda g, out, x, y: g * np.exp(x - out), lambda g, out, x, y: g * np.exp(y - out), w.LOGADDEXP
    ),
    binary(
        "logaddexp2", lambda g, out, x, y: g * np.exp2(x - out), lambda g, out, x, y: g * np.exp2(y - out), w.LOGADDEXP2
    ),
]

CIRCULAR = [
    unary("sin", lambda g, out, x: g * np.cos(x), w.named("sin", r"\sin")),
    unary("cos", lambda g, out, x: -g * np.sin(x), w.named("cos", r"\cos")),
    unary("tan", lambda g, out, x: g * (1.0 + out * out), w.named("tan", r"\tan")),
    unary("arcsin", lambda g, out, x: g / np.sqrt(1.0 - x * x), w.named("arcsin", r"\arcsin")),
    unary("arccos", lambda g, out, x: -g / np.sqrt(1.0 - x * x), w.named("arccos", r"\arccos")),
    unary("arctan", lambda g, out, x: g / (1.0 + x * x), w.named("arctan", r"\arctan")),
    binary("arctan2", lambda g, out, x, y: g * y / (x * x + y * y), lambda g, out, x, y: -g * x / (x * x + y * y)),
    binary("hypot", _hypot_rule, lambda g, out, x, y: _hypot_rule(g, out, y, x), w.LENGTH),
    unary("sinc", _sinc_rule),
    unary("deg2rad", lambda g, out, x: g * (np.pi / 180.0), w.TO_RADIANS),
    unary("rad2deg", lambda g, out, x: g * (180.0 / np.pi), w.TO_DEGREES),
    unary("radians", lambda g, out, x: g * (np.pi / 180.0), w.TO_RADIANS),
    unary("degrees", lambda g, out, x: g * (180.0 / np.pi), w.TO_DEGREES),
]

HYPERBOLIC = [
    unary("sinh", lambda g, out, x: g * np.cosh(x), w.named("sinh", r"\sinh")),
    unary("cosh", lambda g, out, x: g * np.sinh(x), w.named("cosh", r"\cosh")),
    unary("tanh", lambda g, out, x: g * (1.0 - out * out), w.named("tanh", r"\tanh")),
    unary("arcsinh", lambda g, out, x: g / np.sqrt(1.0 + x * x)),
    unary("arccosh", lambda g, out, x: g / np.sqrt(x * x - 1.0)),
    unary("arctanh", lambda g, out, x: g / (1.0 - x * x)),
    unary("erf", lambda g, out, x: g * (2.0 / math.sqrt(math.pi)) * np.exp(-x * x), function=erf),
]

_MAX, _MIN = w.named("max", r"\max", 2), w.named("min", r"\min", 2)

CHOICES = [
    unary("absolute", lambda g, out, x: g * np.sign(x), w.MODULUS, kink=_at_0),
    unary("fabs", lambda g, out, x: g * np.sign(x), w.MODULUS, kink=_at_0),
    binary("maximum", _left_share, _right_share, _MAX, kink=np.equal),
    binary("minimum", _left_share, _right_share, _MIN, kink=np.equal),
    binary("fmax", _left_share, _right_share, _MAX, kink=np.equal),
    binary("fmin", _left_share, _right_share, _MIN, kink=np.equal),
    Primitive(
        "where",
        np.where,
        ("condition", "x", "y"),
        (None, lambda g, out, c, x, y: np.where(c, g, 0.0), lambda g, out, c, x, y: np.where(c, 0.0, g)),
        writing=w.CHOICE,
        elementwise=True,
    ),
    Primitive(
        "clip",
        np.clip,
        ("a", "a_min", "a_max"),
        # the closed interval passes, as in PyTorch: at a bound the derivative is that of the inside
        (
            lambda g, out, x, low, high: np.where(np.logical_and(x >= low, x <= high), g, 0.0),
            lambda g, out, x, low, high: np.where(x < low, g, 0.0),
            lambda g, out, x, low, high: np.where(x > high, g, 0.0),
        ),
        writing=w.CLIPPED,
        elementwise=True,
        wider=_clip,
        kink=lambda x, low, high: np.logical_or(x == low, x == high),
    ),
]

# Steps and questions: recorded, but no derivative passes through them.
CONSTANT_UNARY: dict[str, w.Writing | None] = {
    "sign": None, "floor": w.FLOOR, "ceil": w.CEILING, "rint": None, "trunc": None, "isnan": None, "isinf": None,
    "isfinite": None, "logical_not": w.NOT, "signbit": None,
}  # fmt: skip
CONSTANT_BINARY: dict[str, w.Writing | None] = {
    "greater": w.compared(">", ">"), "greater_equal": w.compared(">=", r"\geq"), "less": w.compared("<", "<"),
    "less_equal": w.compared("<=", r"\leq"), "equal": w.compared("==", "="), "not_equal": w.compared("!=", r"\neq"),
    "logical_and": w.AND, "logical_or": w.OR, "logical_xor": None, "floor_divide": w.FLOOR_DIVIDED,
    "heaviside": None, "bitwise_and": None, "bitwise_or": None, "bitwise_xor": None,
}  # fmt: skip
STEPS = [unary(name, None, writing) for name, writing in CONSTANT_UNARY.items()]
STEPS += [binary(name, None, None, writing) for name, writing in CONSTANT_BINARY.items()]
STEPS.append(Primitive("invert", np.invert, ("x",), (None,), elementwise=True))

ELEMENTWISE = [*ARITHMETIC, *EXPONENTIAL, *CIRCULAR, *HYPERBOLIC, *CHOICES, *STEPS]
