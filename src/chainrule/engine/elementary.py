"""Floor 2, engine: elementary functions in words that compile to vector instructions; the compiler's own do not.

e^x, e^x − 1 and tanh are made of p = e^r − 1, where x = n ln 2 + r with |r| ≤ ½ ln 2, by its series or a polynomial of
fewer terms that was fitted; logarithms of the series of artanh; sine and cosine of theirs, within ¼π of a multiple of
½π; erf of its series, and far from 0 of 1 − e^(−x²) times a polynomial that was fitted. Inf and NaN pass through, and
results below the normal range fade as they should. Errors, in units of the last place, are bounded by a test.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.typing import signature
from numba.extending import intrinsic

from chainrule.engine.processor import SCALES

_inlined = njit(forceinline=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


@intrinsic
def fma(typing_context, a, b, c):
    """a b + c, rounded once where the processor can."""

    def codegen(context, builder, sig, args):
        kind = args[0].type
        function = builder.module.declare_intrinsic("llvm.fmuladd", [kind], ir.FunctionType(kind, [kind] * 3))
        return builder.call(function, args)

    return signature(a, a, a, a), codegen


def polynomial(*coefficients):
    """A function x -> c_0 + c_1 x + c_2 x² + … by Horner's scheme, in the float width of x."""
    descending = [float(c) for c in reversed(coefficients)]

    @intrinsic
    def value(typing_context, x):
        def codegen(context, builder, sig, args):
            kind = args[0].type
            function = builder.module.declare_intrinsic("llvm.fmuladd", [kind], ir.FunctionType(kind, [kind] * 3))
            total = ir.Constant(kind, descending[0])
            for c in descending[1:]:
                total = builder.call(function, [total, args[0], ir.Constant(kind, c)])
            return total

        return signature(x, x), codegen

    return value


def _power(builder, x, exponent):
    """x 2^exponent in words, by adding to the exponent of x.

    Not by a product: the compiler would be free to multiply two powers of two first, and overflow.
    """
    whole = exponent.type
    shifted = builder.shl(exponent, ir.Constant(whole, 23 if whole.width == 32 else 52))
    return builder.bitcast(builder.add(builder.bitcast(x, whole), shifted), x.type)


def _whole(builder, n):
    return builder.fptosi(n, ir.IntType(32 if isinstance(n.type, ir.FloatType) else 64))


@intrinsic
def scaled(typing_context, x, n):
    """x 2^n, which must stay within the range of x; n is a whole number, as a float."""

    def codegen(context, builder, sig, args):
        return _power(builder, args[0], _whole(builder, args[1]))

    return signature(x, x, n), codegen


def _by_halves(builder, x, exponent):
    """x 2^exponent as x 2^h · 2^(exponent − h) in words, where h is half of it."""
    half = builder.ashr(exponent, ir.Constant(exponent.type, 1))
    rest = _power(builder, ir.Constant(x.type, 1.0), builder.sub(exponent, half))
    return builder.fmul(_power(builder, x, half), rest)


def _by_instruction(builder, x, exponent):
    """x 2^exponent by the instruction that such processors have for it."""
    letters = "f32.i32" if exponent.type.width == 32 else "f64.i64"
    kind = ir.FunctionType(x.type, [x.type, exponent.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.ldexp.{letters}"), [x, exponent])


def far_scaling(words):
    """A function (x, n) -> x 2^n, n a whole number as a float, for results below the normal range, or above all numbers
    too; `words(builder, x, exponent)` writes it, for a whole exponent."""

    @intrinsic
    def scaled_far(typing_context, x, n):
        def codegen(context, builder, sig, args):
            return words(builder, args[0], _whole(builder, args[1]))

        return signature(x, x, n), codegen

    return scaled_far


scaled_far = far_scaling(_by_instruction if SCALES else _by_halves)


# ---------------------------------------------------------------- e^x, e^x − 1, tanh

# ln 2 in two parts, the first with zeros at its end: n times it is exact. (e^r − 1 − r)/r²: the terms of its series,
# and polynomials that were fitted with the least largest error, 7e-9 and 2e-19 of e^r.
_32 = np.float32
_LOG2E_32, _HALF_32, _ONE_32, _TWO_32 = _32(1 / math.log(2)), _32(0.5), _32(1.0), _32(2.0)
_HIGH_32 = _32(-0.693359375)
_LOW_32 = _32(0.693359375 - math.log(2))
# Beyond these, e^x is 0 or infinite, e^x − 1 is −1 or infinite, tanh is 1.
_LEAST_32, _MOST_32, _FLAT_32 = _32(-104.0), _32(90.0), _32(10.0)
_LEAST_M1_32, _MOST_M1_32 = _32(-60.0), _32(89.0)
_series_32 = polynomial(*(1 / math.factorial(k) for k in range(2, 8)))
_fitted_32 = polynomial(0.4999999816, 0.1666657978, 0.04166780055, 0.008362868596, 0.001382198998)


@_inlined
def _reduced_float32(x):
    """(n, r)."""
    n = np.rint(x * _LOG2E_32)
    return n, fma(n, _LOW_32, fma(n, _HIGH_32, x))


@_inlined
def _parts_float32(x):
    """(n, e^r − 1), right to rounding beside e^r − 1 itself, which takes a term more than beside e^r."""
    n, r = _reduced_float32(x)
    return n, fma(_series_32(r) * r, r, r)


@_inlined
def exp_float32(x):
    x = _LEAST_32 if x < _LEAST_32 else x
    x = _MOST_32 if x > _MOST_32 else x
    n, r = _reduced_float32(x)
    return scaled_far(fma(_fitted_32(r) * r, r, r) + _ONE_32, n)


@_inlined
def expm1_float32(x):
    x = _LEAST_M1_32 if x < _LEAST_M1_32 else x
    x = _MOST_M1_32 if x > _MOST_M1_32 else x
    n, p = _parts_float32(x)
    s = scaled(_HALF_32, n)  # half of 2^n, which would overflow before its product with a p below 0 comes back
    return _TWO_32 * fma(p, s, s - _HALF_32)


@_inlined
def tanh_float32(x):
    y = abs(x)
    y = _FLAT_32 if y > _FLAT_32 else y
    n, p = _parts_float32(_TWO_32 * y)
    s = scaled(_ONE_32, n)
    e = fma(p, s, s - _ONE_32)
    t = e / (e + _TWO_32)
    return -t if x < 0 else t


_LOG2E_64 = 1 / math.log(2)
_HIGH_64 = -float.fromhex("0x1.62e42fee00000p-1")
_LOW_64 = -float.fromhex("0x1.a39ef35793c76p-33")
_fitted_64 = polynomial(
    0.50000000000000000043, 0.16666666666666670796, 0.04166666666666648983, 0.0083333333333263521597,
    0.0013888888889004117276, 0.0001984126987416900932, 0.000024801587044078957701, 2.7557256124386487361e-6,
    2.7557542066109551495e-7, 2.5104948823564448995e-8, 2.0825142755437302397e-9,
)  # fmt: skip


@_inlined
def _parts_float64(x):
    """(n, e^r − 1)."""
    n = np.rint(x * _LOG2E_64)
    r = fma(n, _LOW_64, fma(n, _HIGH_64, x))
    return n, fma(_fitted_64(r) * r, r, r)


@_inlined
def exp_float64(x):
    x = -746.0 if x < -746.0 else x
    x = 711.0 if x > 711.0 else x
    n, p = _parts_float64(x)
    return scaled_far(p + 1.0, n)


@_inlined
def expm1_float64(x):
    x = -600.0 if x < -600.0 else x
    x = 710.0 if x > 710.0 else x
    n, p = _parts_float64(x)
    s = scaled(0.5, n)
    return 2.0 * fma(p, s, s - 0.5)


@_inlined
def tanh_float64(x):
    y = abs(x)
    y = 22.0 if y > 22.0 else y
    n, p = _parts_float64(2.0 * y)
    s = scaled(1.0, n)
    e = fma(p, s, s - 1.0)
    t = e / (e + 2.0)
    return -t if x < 0 else t


# ---------------------------------------------------------------- logarithms


@intrinsic
def split(typing_context, x):
    """(e, m) with x = m 2^e and √½ ≤ m < √2, for a normal x > 0."""

    def codegen(context, builder, sig, args):
        bits, fraction = (32, 23) if x == types.float32 else (64, 52)
        whole = ir.IntType(bits)
        pattern = builder.bitcast(args[0], whole)
        # the bits of √½: what lies above them, in whole powers of two, is the exponent
        least = ir.Constant(whole, 0x3F3504F3 if bits == 32 else 0x3FE6A09E667F3BCD)
        exponent = builder.ashr(builder.sub(pattern, least), ir.Constant(whole, fraction))
        mantissa = builder.sub(pattern, builder.shl(exponent, ir.Constant(whole, fraction)))
        return context.make_tuple(
            builder, sig.return_type,
            (builder.sitofp(exponent, args[0].type), builder.bitcast(mantissa, args[0].type)),
        )  # fmt: skip

    return signature(types.UniTuple(x, 2), x), codegen


# ln(1 + f) = f − ½f² + s (½f² + the rest of the series of 2 artanh s), where s = f / (2 + f).
_artanh_32 = polynomial(*(2 / (2 * k + 1) for k in range(1, 6)))
_artanh_64 = polynomial(*(2 / (2 * k + 1) for k in range(1, 11)))
_TINY_32, _LIFT_32, _LIFTED_32 = _32(2.0**-126), _32(2.0**25), _32(25.0)
_ZERO_32, _INF_32, _NAN_32 = _32(0.0), _32(np.inf), _32(np.nan)


@_inlined
def log_float32(x):
    faded = x < _TINY_32
    e, m = split(x * _LIFT_32 if faded else x)
    e -= _LIFTED_32 if faded else _ZERO_32
    f = m - _ONE_32
    s = f / (_TWO_32 + f)
    half, z = _HALF_32 * f * f, s * s
    rest = s * fma(_artanh_32(z), z, half)
    found = fma(-e, _HIGH_32, f - (half - fma(-e, _LOW_32, rest)))
    found = found if x < _INF_32 else x  # +inf and NaN
    found = found if x != _ZERO_32 else -_INF_32
    return _NAN_32 if x < _ZERO_32 else found


@_inlined
def log1p_float32(x):
    u = _ONE_32 + x
    missed = (x - (u - _ONE_32)) / u if u > _ZERO_32 and x < _INF_32 else _ZERO_32  # what rounding u took away
    found = log_float32(u) + missed
    return x if x == _ZERO_32 else found  # −0


@_inlined
def log_float64(x):
    faded = x < 2.0**-1022
    e, m = split(x * 2.0**54 if faded else x)
    e -= 54.0 if faded else 0.0
    f = m - 1.0
    s = f / (2.0 + f)
    half, z = 0.5 * f * f, s * s
    rest = s * fma(_artanh_64(z), z, half)
    found = fma(-e, _HIGH_64, f - (half - fma(-e, _LOW_64, rest)))
    found = found if x < np.inf else x
    found = found if x != 0.0 else -np.inf
    return np.nan if x < 0.0 else found


@_inlined
def log1p_float64(x):
    u = 1.0 + x
    missed = (x - (u - 1.0)) / u if u > 0.0 and x < np.inf else 0.0
    found = log_float64(u) + missed
    return x if x == 0.0 else found


# ---------------------------------------------------------------- sine, cosine

# ½π in three parts, the first two with zeros at their end: n times them is exact while n < 2²⁰, and with a fused
# multiply-add, which nearly every processor has, for as long as a float64 resolves a period. Of larger numbers (beyond
# 2⁵²) the result is some number between −1 and 1.
_PI_1 = float.fromhex("0x1.921fb54400000p+0")
_PI_2 = float.fromhex("0x1.0b4611a600000p-34")
_PI_3 = float.fromhex("0x1.3198a2e037073p-69")
_TWO_OVER_PI = 2 / math.pi
# sin r = r + r³ S(r²), cos r = 1 − ½r² + r⁴ C(r²)
_sine_64 = polynomial(*((-1) ** k / math.factorial(2 * k + 1) for k in range(1, 9)))
_cosine_64 = polynomial(*((-1) ** k / math.factorial(2 * k) for k in range(2, 10)))
_sine_32 = polynomial(*((-1) ** k / math.factorial(2 * k + 1) for k in range(1, 5)))
_cosine_32 = polynomial(*((-1) ** k / math.factorial(2 * k) for k in range(2, 6)))


@_inlined
def _turned(x, quarters):
    """(r, whether the cosine is wanted, the sign) of sin(x + quarters · ½π)."""
    n = np.rint(x * _TWO_OVER_PI)
    r = fma(-n, _PI_3, fma(-n, _PI_2, fma(-n, _PI_1, x)))
    r = 1.0 if r > 1.0 else r
    r = -1.0 if r < -1.0 else r
    n += quarters
    pairs = np.floor(n * 0.5)
    odd = n - 2.0 * pairs
    return r, odd != 0.0, 1.0 - 2.0 * (pairs - 2.0 * np.floor(pairs * 0.5))


@_inlined
def _wave_float64(x, quarters):
    r, other, sign = _turned(x, quarters)
    z = r * r
    sine, cosine = fma(r * z, _sine_64(z), r), 1.0 - fma(-z * z, _cosine_64(z), 0.5 * z)
    return sign * (cosine if other else sine)


@_inlined
def _wave_float32(x, quarters):
    wide, other, wide_sign = _turned(np.float64(x), quarters)
    r, sign = _32(wide), _32(wide_sign)
    z = r * r
    sine, cosine = fma(r * z, _sine_32(z), r), _ONE_32 - fma(-z * z, _cosine_32(z), _HALF_32 * z)
    return sign * (cosine if other else sine)


@_inlined
def sin_float32(x):
    return x if x == _ZERO_32 else _wave_float32(x, 0.0)


@_inlined
def cos_float32(x):
    return _wave_float32(x, 1.0)


@_inlined
def sin_float64(x):
    return x if x == 0.0 else _wave_float64(x, 0.0)


@_inlined
def cos_float64(x):
    return _wave_float64(x, 1.0)


# ---------------------------------------------------------------- erf

# erf x = x · series in x² below this; 1 − e^(−x²) h(u) above, where e^(x²) erfc x was fitted by Chebyshev polynomials
# (errors 2e-10 and 3e-17) in u, which runs from −1 to 1 as 1 / (1 + c x) does for x from here to 4 or 6.
_TURN = 0.84
_erf_32 = polynomial(*(2 / math.sqrt(math.pi) * (-1) ** k / (math.factorial(k) * (2 * k + 1)) for k in range(9)))
_erf_64 = polynomial(*(2 / math.sqrt(math.pi) * (-1) ** k / (math.factorial(k) * (2 * k + 1)) for k in range(17)))
_h_32 = polynomial(
    0.2717853029, 0.1652967559, 0.03447070247, 0.00405303481, 4.546868123e-5, -5.021996151e-5, -1.535449989e-6,
    9.103514878e-7,
)  # fmt: skip
_h_64 = polynomial(
    0.227117076270436265, 0.178976431655988464, 0.0553614412649250587, 0.0123749216615714117, 0.00173493868288755695,
    0.000063641170137801988, -0.0000254468029832944213, -3.15916622980405307e-6, 4.99348496557705602e-7,
    9.29587830160443948e-8, -1.57369906323623087e-8, -2.46866889260676321e-9, 6.54327407182265749e-10,
    4.37846170139825847e-11, -2.46239967756326897e-11, 5.69985618936728829e-13,
)  # fmt: skip
_TURN_32, _END_32 = _32(_TURN), _32(4.0)
_MID_32, _SCALE_32 = _32(0.51877934272300469484), _32(1 / 0.1854460093896713615)
_MID_64, _SCALE_64 = 0.52131032053539977767, 1 / 0.22719267347657625978


@_inlined
def erf_float32(x):
    y = abs(x)
    y = _END_32 if y > _END_32 else y
    far = _ONE_32 - exp_float32(-y * y) * _h_32((_ONE_32 / fma(_HALF_32, y, _ONE_32) - _MID_32) * _SCALE_32)
    near = y * _erf_32(y * y)
    found = near if y < _TURN_32 else far
    return -found if x < _ZERO_32 else (found if x != _ZERO_32 else x)


@_inlined
def erf_float64(x):
    y = abs(x)
    y = 6.0 if y > 6.0 else y
    far = 1.0 - exp_float64(-y * y) * _h_64((1.0 / fma(0.4, y, 1.0) - _MID_64) * _SCALE_64)
    near = y * _erf_64(y * y)
    found = near if y < _TURN else far
    return -found if x < 0.0 else (found if x != 0.0 else x)
