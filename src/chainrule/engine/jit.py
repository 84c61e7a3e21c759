"""Floor 2, engine: how functions are compiled to object code, and the few machine words that Python lacks.

This and what imports it needs the compiler, Numba, whose own import takes longer than a small training: a process that
finds all object code on disk never comes here.

`contract` fuses multiply and add. Sums keep the order in which they are written: with `reassoc` the compiler may choose
another for each copy of a loop, and the same call gave other last bits in the process that compiled it than in those
that loaded it. NaN and inf keep their meaning (they are how divergence is seen): no flag assumes them away.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable

import llvmlite.binding as llvm
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.typing import signature
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from .machine import target_machine
from .vectors import fetch_ahead

_OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "nsz"},
    "boundscheck": False,
}
# Without wrappers for Python: only object code is wanted. No function makes an array, so none counts references to any.
_BARE = {**_OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}

compiled = njit(**_BARE)
# Written into their callers before anything is compiled: for what has one caller, which shortens its compilation.
written_out = njit(**_OPTIONS, inline="always", _nrt=False)
# What Python calls, by a frame (see `compiled.Kernel`); it returns a float64 ≥ 0.
entry = written_out

# Functions called from no more places are written into them.
_FEW_CALLS = 2

_I64 = ir.IntType(64)
_WIDTHS = {"float32": types.float32, "float64": types.float64}


def object_code(function: Callable, pattern: str, dtype: str, symbol: str) -> tuple[bytes, list[str]]:
    """Machine code of a function as an object file that defines `symbol`, and the outer functions that it calls.

    `pattern` has a letter an argument: p a pointer to numbers of `dtype`, n a whole number, x a float64, P a pointer
    to float64. The machine function takes them as C does, and returns a float64.
    """
    pointer = types.CPointer(_WIDTHS[dtype])
    words = {"p": pointer, "P": types.CPointer(types.float64), "n": types.int64, "x": types.float64}
    kinds = tuple(words[letter] for letter in pattern)
    compiling = njit(types.float64(*kinds), **_BARE)(function)
    (text,) = compiling.inspect_llvm().values()
    native = compiling.overloads[kinds].fndesc.llvm_func_name
    module = llvm.parse_assembly(text + _as_in_c(native, pattern, symbol))
    for inner in module.functions:
        if not inner.is_declaration and inner.name != symbol:
            inner.linkage = "internal"  # each object file has its own copy of what several call
    module.verify()
    machine = target_machine()
    _join(module, symbol, machine)
    outer = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    return machine.emit_object(module), outer


def _join(module: llvm.ModuleRef, symbol: str, machine: llvm.TargetMachine) -> None:
    """Write functions that are called from few places into them, and hand the others only what they read.

    The compiler makes each function apart and for any caller: it hands over whole bundles of arrays, entry by entry.
    That was a fifth of a step of a small network.
    """
    mentions = Counter(re.findall(r'@"?([\w.$]+)"?\(', str(module)))  # once where it is defined
    for inner in module.functions:
        kept = inner.is_declaration or inner.name == symbol or any(b"noinline" in words for words in inner.attributes)
        if not kept and mentions[inner.name] - 1 <= _FEW_CALLS:
            inner.add_function_attribute("alwaysinline")
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_ipsccp_pass()
    passes.add_dead_arg_elimination_pass()
    passes.add_instruction_combine_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))


def _as_in_c(native: str, pattern: str, symbol: str) -> str:
    """A C function around the compiler's own, which returns a status and its result through a pointer."""
    letters = {"p": "ptr", "P": "ptr", "n": "i64", "x": "double"}
    given = ", ".join(f"{letters[letter]} %a{k}" for k, letter in enumerate(pattern))
    return f"""
define double @"{symbol}"({given}) {{
  %found = alloca double
  %error = alloca ptr
  store double 0.0, ptr %found
  %status = call i32 @"{native}"(ptr %found, ptr %error, {given})
  %value = load double, ptr %found
  ret double %value
}}
"""


# ---------------------------------------------------------------- arrays


def _view(context, builder, kind, data, shape):
    """An array over memory that someone else holds."""
    size = context.get_constant(types.intp, kind.dtype.bitwidth // 8)
    strides = [size]
    for extent in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], extent))
    found = make_array(kind)(context, builder)
    populate_array(found, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
    return found._getvalue()


@intrinsic
def array(typing_context, pointer, shape):
    """The numbers from `pointer` on as a contiguous array of this shape (a whole number, or several)."""
    several = isinstance(shape, types.BaseTuple)
    kind = types.Array(pointer.dtype, shape.count if several else 1, "C")

    def codegen(context, builder, sig, args):
        extents = cgutils.unpack_tuple(builder, args[1]) if several else [args[1]]
        return _view(context, builder, kind, args[0], extents)

    return signature(kind, pointer, shape), codegen


@intrinsic
def taken(typing_context, dtype, n):
    """Memory for n numbers of this float width; who takes it gives it back."""
    pointer = types.CPointer(dtype.dtype)

    def codegen(context, builder, sig, args):
        size = builder.mul(args[1], ir.Constant(_I64, sig.args[0].dtype.bitwidth // 8))
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.IntType(8).as_pointer(), [_I64]), "malloc"
        )
        return builder.bitcast(builder.call(function, [size]), context.get_value_type(pointer))

    return pointer(dtype, types.int64), codegen


@intrinsic(prefer_literal=True)
def local(typing_context, dtype, n):
    """Memory for n numbers of this float width until the function returns; n is written out as a number."""
    pointer, size = types.CPointer(dtype.dtype), n.literal_value

    def codegen(context, builder, sig, args):
        return cgutils.alloca_once(builder, context.get_value_type(dtype.dtype), size=size)

    return pointer(dtype, n), codegen


@intrinsic
def given_back(typing_context, pointer):
    """Let go of what `taken` gave."""

    def codegen(context, builder, sig, args):
        byte = ir.IntType(8).as_pointer()
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [byte]), "free")
        builder.call(function, [builder.bitcast(args[0], byte)])
        return context.get_dummy_value()

    return types.none(pointer), codegen


# Where an array of NumPy has what, in bytes after the head that every object of Python has (`PyArrayObject_fields` of
# NumPy's C interface): its memory, its number of axes, its shape, its type, its flags; and a type its number.
_HEAD = object.__basicsize__
_DATA, _AXES, _SHAPE, _TYPE, _FLAGS = 0, 8, 16, 40, 48
_NUMBER = 12
_CONTIGUOUS_AND_ALIGNED = 0x101


def _field(builder, base, offset, kind):
    place = builder.add(base, ir.Constant(_I64, offset))
    return builder.load(builder.inttoptr(place, kind.as_pointer()))


def array_reader(dtype: str, ndim: int):
    """Two words: the array of the object at an address, and whether it is contiguous, aligned, of so many axes and of
    this dtype, which `number` names."""
    kind = types.Array(getattr(types, dtype), ndim, "C")

    @intrinsic
    def read(typing_context, at):
        def codegen(context, builder, sig, args):
            pointer = context.get_value_type(types.CPointer(kind.dtype))
            data = builder.inttoptr(_field(builder, args[0], _HEAD + _DATA, _I64), pointer)
            shape = _field(builder, args[0], _HEAD + _SHAPE, _I64)
            return _view(context, builder, kind, data, [_field(builder, shape, 8 * k, _I64) for k in range(ndim)])

        return kind(types.int64), codegen

    @intrinsic
    def fits(typing_context, at, number):
        def codegen(context, builder, sig, args):
            I32 = ir.IntType(32)
            axes = _field(builder, args[0], _HEAD + _AXES, I32)
            type_number = _field(builder, _field(builder, args[0], _HEAD + _TYPE, _I64), _HEAD + _NUMBER, I32)
            wanted = ir.Constant(I32, _CONTIGUOUS_AND_ALIGNED)
            flags = builder.and_(_field(builder, args[0], _HEAD + _FLAGS, I32), wanted)
            right = builder.icmp_signed("==", builder.sext(type_number, _I64), args[1])
            right = builder.and_(right, builder.icmp_signed("==", axes, ir.Constant(I32, ndim)))
            return builder.and_(right, builder.icmp_signed("==", flags, wanted))

        return types.boolean(types.int64, types.int64), codegen

    return read, fits


@intrinsic
def entry_of(typing_context, frame, k):
    """Entry k of the 64-bit numbers at address `frame`."""

    def codegen(context, builder, sig, args):
        return builder.load(builder.gep(builder.inttoptr(args[0], _I64.as_pointer()), [args[1]]))

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def widest(typing_context):
    """The loops of this function use the widest vectors that the processor has: the compiler's own choice is half as
    wide on some, for fear that they slow it down, which the matrix products would have done anyway."""

    def codegen(context, builder, sig, args):
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')  # llvmlite's own `add` knows no such pairs
        return context.get_dummy_value()

    return types.none(), codegen


# ---------------------------------------------------------------- calls and addresses


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


@intrinsic
def bring(typing_context, where):
    """Have the line of memory at this address brought into the cache, and go on meanwhile."""

    def codegen(context, builder, sig, args):
        fetch_ahead(builder, args[0])
        return context.get_dummy_value()

    return signature(types.none, types.int64), codegen


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


def _machine() -> str:
    return llvm.get_process_triple().partition("-")[0]


@intrinsic
def flush_denormals(typing_context):
    """From here on this thread takes numbers too small for full precision as 0; returns what `restore_floats` wants.

    On some processors one of them takes as long as a hundred others; moments of units that are off decay to them.
    """

    def codegen(context, builder, sig, args):
        if _machine() == "x86_64":
            return builder.zext(_x86_control(builder, None), _I64)
        if _machine() in ("aarch64", "arm64"):
            get = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_I64, []), "llvm.aarch64.get.fpcr")
            before = builder.call(get, [])
            _set_arm_control(builder, builder.or_(before, ir.Constant(_I64, 1 << 24)))
            return before
        return ir.Constant(_I64, 0)

    return signature(types.int64), codegen


@intrinsic
def restore_floats(typing_context, before):
    """Undo `flush_denormals`."""

    def codegen(context, builder, sig, args):
        if _machine() == "x86_64":
            _x86_control(builder, builder.trunc(args[0], ir.IntType(32)))
        if _machine() in ("aarch64", "arm64"):
            _set_arm_control(builder, args[0])
        return context.get_dummy_value()

    return signature(types.none, types.int64), codegen


def _x86_control(builder, wanted):
    """Set the control register to `wanted`, or else to flush and take denormals as 0; returns what it was."""
    I32, byte = ir.IntType(32), ir.IntType(8).as_pointer()
    place = cgutils.alloca_once(builder, I32)
    kind = ir.FunctionType(ir.VoidType(), [byte])
    store = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse.stmxcsr")
    load = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse.ldmxcsr")
    builder.call(store, [builder.bitcast(place, byte)])
    before = builder.load(place)
    builder.store(builder.or_(before, ir.Constant(I32, 0x8040)) if wanted is None else wanted, place)
    builder.call(load, [builder.bitcast(place, byte)])
    return before


def _set_arm_control(builder, value):
    kind = ir.FunctionType(ir.VoidType(), [_I64])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.set.fpcr"), [value])


@intrinsic
def give_way(typing_context):
    """Let another thread have this processor."""
    symbol = "SwitchToThread" if sys.platform == "win32" else "sched_yield"

    def codegen(context, builder, sig, args):
        function_type = ir.FunctionType(ir.IntType(32), [])
        function = cgutils.get_or_insert_function(builder.module, function_type, symbol)
        return builder.call(function, [])

    return signature(types.int32), codegen
