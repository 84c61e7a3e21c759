"""Floor 2, engine: e^x, e^x − 1 and tanh in words that compile to vector instructions; the compiler's own do not.

All three are made of p = e^r − 1 by its series, where x = n ln 2 + r with |r| ≤ ½ ln 2. Inf and NaN pass through, and
results below the normal range fade as they should. Errors, in units of the last place, are bounded by a test.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.typing import signature
from numba.extending import intrinsic

_inlined = njit(forceinline=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


@intrinsic
def fma(typing_context, a, b, c):
    """a b + c, rounded once where the processor can."""

    def codegen(context, builder, sig, args):
        kind = args[0].type
        function = builder.module.declare_intrinsic("llvm.fmuladd", [kind], ir.FunctionType(kind, [kind] * 3))
        return builder.call(function, args)

    return signature(a, a, a, a), codegen


@intrinsic
def scaled(typing_context, x, n):
    """x 2^n, by adding n to the exponent of x, which must stay within its range; n is a whole number, as a float.

    Not by a product: the compiler would be free to multiply two powers of two first, and overflow.
    """

    def codegen(context, builder, sig, args):
        bits, fraction = (32, 23) if n == types.float32 else (64, 52)
        whole = ir.IntType(bits)
        exponent = builder.shl(builder.fptosi(args[1], whole), ir.Constant(whole, fraction))
        return builder.bitcast(builder.add(builder.bitcast(args[0], whole), exponent), args[0].type)

    return signature(x, x, n), codegen


# ln 2 in two parts, the first with zeros at its end: n times it is exact. The terms of the series of (e^r − 1 − r)/r².
_32 = np.float32
_LOG2E_32, _HALF_32, _ONE_32, _TWO_32 = _32(1 / math.log(2)), _32(0.5), _32(1.0), _32(2.0)
_HIGH_32 = _32(-0.693359375)
_LOW_32 = _32(0.693359375 - math.log(2))
# Beyond these, e^x is 0 or infinite, e^x − 1 is −1 or infinite, tanh is 1.
_LEAST_32, _MOST_32, _FLAT_32 = _32(-104.0), _32(90.0), _32(10.0)
_LEAST_M1_32, _MOST_M1_32 = _32(-60.0), _32(89.0)
_S2_32, _S3_32, _S4_32, _S5_32, _S6_32, _S7_32 = (_32(1 / math.factorial(k)) for k in range(2, 8))


@_inlined
def _parts_float32(x):
    """(n, e^r − 1)."""
    n = np.rint(x * _LOG2E_32)
    r = fma(n, _LOW_32, fma(n, _HIGH_32, x))
    p = fma(_S7_32, r, _S6_32)
    p = fma(p, r, _S5_32)
    p = fma(p, r, _S4_32)
    p = fma(p, r, _S3_32)
    p = fma(p, r, _S2_32)
    return n, fma(p * r, r, r)


@_inlined
def exp_float32(x):
    x = _LEAST_32 if x < _LEAST_32 else x
    x = _MOST_32 if x > _MOST_32 else x
    n, p = _parts_float32(x)
    half = np.floor(n * _HALF_32)
    return scaled(p + _ONE_32, half) * scaled(_ONE_32, n - half)


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
_S2_64, _S3_64, _S4_64, _S5_64, _S6_64, _S7_64 = (1 / math.factorial(k) for k in range(2, 8))
_S8_64, _S9_64, _S10_64, _S11_64, _S12_64, _S13_64 = (1 / math.factorial(k) for k in range(8, 14))


@_inlined
def _parts_float64(x):
    """(n, e^r − 1)."""
    n = np.rint(x * _LOG2E_64)
    r = fma(n, _LOW_64, fma(n, _HIGH_64, x))
    p = fma(_S13_64, r, _S12_64)
    p = fma(p, r, _S11_64)
    p = fma(p, r, _S10_64)
    p = fma(p, r, _S9_64)
    p = fma(p, r, _S8_64)
    p = fma(p, r, _S7_64)
    p = fma(p, r, _S6_64)
    p = fma(p, r, _S5_64)
    p = fma(p, r, _S4_64)
    p = fma(p, r, _S3_64)
    p = fma(p, r, _S2_64)
    return n, fma(p * r, r, r)


@_inlined
def exp_float64(x):
    x = -746.0 if x < -746.0 else x
    x = 711.0 if x > 711.0 else x
    n, p = _parts_float64(x)
    half = np.floor(n * 0.5)
    return scaled(p + 1.0, half) * scaled(1.0, n - half)


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
