"""Floor 0, calculus: element by element primitives: arithmetic, powers, exp, log, circular, hyperbolic, choices."""

from __future__ import annotations

import math

import numpy as np

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
    binary("add", lambda g, out, x, y: g, lambda g, out, x, y: g, "{0} + {1}"),
    binary("subtract", lambda g, out, x, y: g, lambda g, out, x, y: -g, "{0} - {1}"),
    binary("multiply", lambda g, out, x, y: g * y, lambda g, out, x, y: g * x, "{0} * {1}"),
    binary("divide", lambda g, out, x, y: g / y, lambda g, out, x, y: -g * out / y, "{0} / {1}"),
    binary("power", _power_base, _power_exponent, "{0} ** {1}"),
    binary("float_power", _power_base, _power_exponent, "{0} ** {1}"),
    binary("remainder", lambda g, out, x, y: g, lambda g, out, x, y: -g * np.floor(x / y), "{0} % {1}"),
    unary("negative", lambda g, out, x: -g, "-{0}"),
    unary("positive", lambda g, out, x: g, "+{0}"),
    unary("reciprocal", lambda g, out, x: -g * out * out, "1 / {0}"),
    unary("square", lambda g, out, x: 2.0 * g * x, "{0}²"),
    unary("sqrt", lambda g, out, x: 0.5 * g / out, "√{0}"),
    unary("cbrt", lambda g, out, x: g / (3.0 * out * out)),
]

EXPONENTIAL = [
    unary("exp", lambda g, out, x: g * out),
    unary("exp2", lambda g, out, x: g * out * _LN2),
    unary("expm1", lambda g, out, x: g * (out + 1.0)),
    unary("log", lambda g, out, x: g / x, "ln {0}"),
    unary("log2", lambda g, out, x: g / (x * _LN2)),
    unary("log10", lambda g, out, x: g / (x * _LN10)),
    unary("log1p", lambda g, out, x: g / (1.0 + x)),
    binary("logaddexp", lambda g, out, x, y: g * np.exp(x - out), lambda g, out, x, y: g * np.exp(y - out)),
    binary("logaddexp2", lambda g, out, x, y: g * np.exp2(x - out), lambda g, out, x, y: g * np.exp2(y - out)),
]

CIRCULAR = [
    unary("sin", lambda g, out, x: g * np.cos(x)),
    unary("cos", lambda g, out, x: -g * np.sin(x)),
    unary("tan", lambda g, out, x: g * (1.0 + out * out)),
    unary("arcsin", lambda g, out, x: g / np.sqrt(1.0 - x * x)),
    unary("arccos", lambda g, out, x: -g / np.sqrt(1.0 - x * x)),
    unary("arctan", lambda g, out, x: g / (1.0 + x * x)),
    binary("arctan2", lambda g, out, x, y: g * y / (x * x + y * y), lambda g, out, x, y: -g * x / (x * x + y * y)),
    binary("hypot", _hypot_rule, lambda g, out, x, y: _hypot_rule(g, out, y, x)),
    unary("sinc", _sinc_rule),
    unary("deg2rad", lambda g, out, x: g * (np.pi / 180.0)),
    unary("rad2deg", lambda g, out, x: g * (180.0 / np.pi)),
    unary("radians", lambda g, out, x: g * (np.pi / 180.0)),
    unary("degrees", lambda g, out, x: g * (180.0 / np.pi)),
]

HYPERBOLIC = [
    unary("sinh", lambda g, out, x: g * np.cosh(x)),
    unary("cosh", lambda g, out, x: g * np.sinh(x)),
    unary("tanh", lambda g, out, x: g * (1.0 - out * out)),
    unary("arcsinh", lambda g, out, x: g / np.sqrt(1.0 + x * x)),
    unary("arccosh", lambda g, out, x: g / np.sqrt(x * x - 1.0)),
    unary("arctanh", lambda g, out, x: g / (1.0 - x * x)),
    unary("erf", lambda g, out, x: g * (2.0 / math.sqrt(math.pi)) * np.exp(-x * x), function=erf),
]

CHOICES = [
    unary("absolute", lambda g, out, x: g * np.sign(x), "|{0}|"),
    unary("fabs", lambda g, out, x: g * np.sign(x), "|{0}|"),
    binary("maximum", lambda g, out, x, y: g * _share(x, y, out), lambda g, out, x, y: g * _share(y, x, out)),
    binary("minimum", lambda g, out, x, y: g * _share(x, y, out), lambda g, out, x, y: g * _share(y, x, out)),
    binary("fmax", lambda g, out, x, y: g * _share(x, y, out), lambda g, out, x, y: g * _share(y, x, out)),
    binary("fmin", lambda g, out, x, y: g * _share(x, y, out), lambda g, out, x, y: g * _share(y, x, out)),
    Primitive(
        "where",
        np.where,
        ("condition", "x", "y"),
        (None, lambda g, out, c, x, y: np.where(c, g, 0.0), lambda g, out, c, x, y: np.where(c, 0.0, g)),
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
        elementwise=True,
        wider=_clip,
    ),
]

# Steps and questions: recorded, but no derivative passes through them.
CONSTANT_UNARY = ["sign", "floor", "ceil", "rint", "trunc", "isnan", "isinf", "isfinite", "logical_not", "signbit"]
CONSTANT_BINARY = {
    "greater": ">", "greater_equal": ">=", "less": "<", "less_equal": "<=", "equal": "==", "not_equal": "!=",
    "logical_and": "and", "logical_or": "or", "logical_xor": "xor", "floor_divide": "//", "heaviside": "",
    "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^",
}  # fmt: skip
STEPS = [unary(name, None) for name in CONSTANT_UNARY]
STEPS += [binary(name, None, None, f"{{0}} {sign} {{1}}" if sign else "") for name, sign in CONSTANT_BINARY.items()]
STEPS.append(Primitive("invert", np.invert, ("x",), (None,), elementwise=True))

ELEMENTWISE = [*ARITHMETIC, *EXPONENTIAL, *CIRCULAR, *HYPERBOLIC, *CHOICES, *STEPS]
