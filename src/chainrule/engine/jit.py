"""Floor 2, engine: how functions are compiled, and the few machine words that Python lacks (calls by address, atomics).

`contract` fuses multiply and add. Sums keep the order in which they are written: with `reassoc` the compiler may choose
another for each copy of a loop, and the same call gave other last bits in the process that compiled it than in those
that loaded it. NaN and inf keep their meaning (they are how divergence is seen): no flag assumes them away.
"""

from __future__ import annotations

import sys

from llvmlite import ir
from numba import cfunc, njit, typeof, types
from numba.core import cgutils
from numba.core.typing import signature
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

_OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "nsz"},
    "boundscheck": False,
}

# The counter that the threads of a kernel share, an entry a line of the processor's cache: how many have come to a
# meeting, how many tasks there were, how many had come when this one began.
MEETING, TASKS, BEGAN, COUNTER_SIZE = 0, 8, 16, 24

# Inner functions are never called from Python: without their wrappers they compile in half the time.
compiled = njit(**_OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)
# Only what Python calls is cached on disk: the rest is compiled into it.
entry = njit(**_OPTIONS, cache=True)


def machine_code(kernel, arguments: tuple):
    """The kernel for arguments of these types, to be called without looking up their types, which takes longest."""
    kinds = tuple(typeof(argument) for argument in arguments)
    kernel.compile(kinds)
    return kernel.overloads[kinds].entry_point


def row_function(pattern: str, dtype: str):
    """Compile a row's loop as a machine function that is called by its address; it always returns a float64.

    `pattern` has a letter an argument: p a pointer to numbers of `dtype`, n a whole number, x a float64, P a pointer
    to float64.
    """
    pointer = types.CPointer(types.float32 if dtype == "float32" else types.float64)
    words = {"p": pointer, "P": types.CPointer(types.float64), "n": types.intp, "x": types.float64}
    options = {key: value for key, value in _OPTIONS.items() if key != "nogil"}
    return cfunc(types.float64(*(words[letter] for letter in pattern)), cache=True, **options)


@intrinsic
def call(typing_context, address, arguments):
    """Call the row function at `address`; whole numbers are passed on as they are, addresses of arrays among them."""

    def codegen(context, builder, sig, args):
        values = []
        for k, kind in enumerate(sig.args[1].types):
            value = builder.extract_value(args[1], k)
            if isinstance(kind, types.Integer):
                value = context.cast(builder, value, kind, types.intp)
            else:
                value = context.cast(builder, value, kind, types.float64)
            values.append(value)
        function_type = ir.FunctionType(ir.DoubleType(), [value.type for value in values])
        function = builder.inttoptr(args[0], function_type.as_pointer())
        return builder.call(function, values)

    return signature(types.float64, types.intp, arguments), codegen


@intrinsic
def address(typing_context, array, offset):
    """Where entry number `offset` of a contiguous array is, as a whole number."""

    def codegen(context, builder, sig, args):
        data = make_array(sig.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(builder.gep(data, [args[1]]), ir.IntType(64))

    return signature(types.int64, array, types.int64), codegen


@intrinsic
def copy(typing_context, target, source, size):
    """Copy `size` bytes from address `source` to address `target`; the two do not overlap."""

    def codegen(context, builder, sig, args):
        byte = ir.IntType(8).as_pointer()
        target, source = builder.inttoptr(args[0], byte), builder.inttoptr(args[1], byte)
        cgutils.raw_memcpy(builder, target, source, args[2], 1, align=4)
        return context.get_dummy_value()

    return signature(types.none, types.int64, types.int64, types.int64), codegen


def _pointer(context, builder, array_type, array, index):
    view = make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, array_type, view, [index])


@intrinsic
def atomic_add(typing_context, array, index, amount):
    """array[index] += amount as one indivisible step."""

    def codegen(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], args[0], args[1])
        return builder.atomic_rmw("add", pointer, args[2], ordering="acq_rel")

    return signature(types.int64, array, types.intp, types.int64), codegen


@intrinsic
def atomic_load(typing_context, array, index):
    """array[index], read after everything that another thread wrote before its `atomic_add`."""

    def codegen(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], args[0], args[1])
        return builder.load_atomic(pointer, ordering="acquire", align=8)

    return signature(types.int64, array, types.intp), codegen


@intrinsic
def give_way(typing_context):
    """Let another thread have this processor."""
    symbol = "SwitchToThread" if sys.platform == "win32" else "sched_yield"

    def codegen(context, builder, sig, args):
        function_type = ir.FunctionType(ir.IntType(32), [])
        function = cgutils.get_or_insert_function(builder.module, function_type, symbol)
        return builder.call(function, [])

    return signature(types.int32), codegen
