"""Floor 2, engine: words in vector instructions, of which tiles and the packing of panels are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from chainrule.engine.processor import VECTOR

I64 = ir.IntType(64)
_I32 = ir.IntType(32)


def whole(n: int) -> ir.Constant:
    return ir.Constant(I64, n)


def number_of(array_type: types.Array) -> ir.Type:
    """The float type of an array's entries."""
    return ir.FloatType() if array_type.dtype.bitwidth == 32 else ir.DoubleType()


def bytes_of(number: ir.Type) -> int:
    return 4 if isinstance(number, ir.FloatType) else 8


def vector_of(number: ir.Type) -> ir.VectorType:
    """As many numbers as a vector register holds."""
    return ir.VectorType(number, VECTOR // bytes_of(number))


def letters(vector: ir.VectorType) -> str:
    """The type as LLVM's intrinsics name it."""
    return f"v{vector.count}f{8 * bytes_of(vector.element)}"


def declared(module: ir.Module, name: str, result: ir.Type, operands: list[ir.Type]) -> ir.Function:
    """The function of this name, declared once in the module."""
    if name in module.globals:
        return module.globals[name]
    return ir.Function(module, ir.FunctionType(result, operands), name)


def function_of(module: ir.Module, name: str, operands: list[ir.Type]) -> tuple[ir.Function, bool]:
    """(a function of this object file without a result, whether it is new and wants a body)."""
    if name in module.globals:
        return module.globals[name], False
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), operands), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    return function, True


def load(builder: ir.IRBuilder, pointer: Any, vector: ir.VectorType) -> Any:
    loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    loaded.align = bytes_of(vector.element)
    return loaded


def store(builder: ir.IRBuilder, value: Any, pointer: Any) -> None:
    """Store a vector, or one number."""
    kind = value.type
    number = kind.element if isinstance(kind, ir.VectorType) else kind
    builder.store(value, builder.bitcast(pointer, kind.as_pointer())).align = bytes_of(number)


def fetch_ahead(builder: ir.IRBuilder, address: Any) -> None:
    """Bring the line of this address into the cache. There need not be any."""
    pointer = ir.IntType(8).as_pointer()
    function = declared(builder.module, "llvm.prefetch.p0", ir.VoidType(), [pointer, _I32, _I32, _I32])
    read, keep, data = (ir.Constant(_I32, n) for n in (0, 3, 1))
    builder.call(function, [builder.inttoptr(address, pointer), read, keep, data])


def spread(builder: ir.IRBuilder, x: Any, vector: ir.VectorType) -> Any:
    """A vector of this number everywhere."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, x, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, vector.count), None))


def multiply_add(builder: ir.IRBuilder, vector: ir.VectorType) -> Callable[[Any, Any, Any], Any]:
    """The words for x y + z of such vectors, rounded once where the processor can."""
    function = declared(builder.module, f"llvm.fmuladd.{letters(vector)}", vector, [vector] * 3)
    return lambda x, y, z: builder.call(function, [x, y, z])


def chosen(builder: ir.IRBuilder, a: Any, b: Any, places: list[int]) -> Any:
    """The entries of a and b, counted on from one to the other, at these places."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, len(places)), places))


def columns_mask(builder: ir.IRBuilder, columns: Any, start: int, lanes: int) -> Any:
    """Which lanes of the vector that starts in column `start` are columns that exist."""
    places = ir.Constant(ir.VectorType(I64, lanes), [start + k for k in range(lanes)])
    return builder.icmp_signed("<", places, spread(builder, columns, ir.VectorType(I64, lanes)))


def masked_load(builder: ir.IRBuilder, pointer: Any, mask: Any, vector: ir.VectorType) -> Any:
    """The numbers that the mask lets through, zeros elsewhere."""
    kinds = [vector.as_pointer(), _I32, ir.VectorType(ir.IntType(1), vector.count), vector]
    function = declared(builder.module, f"llvm.masked.load.{letters(vector)}.p0", vector, kinds)
    aligned = ir.Constant(_I32, bytes_of(vector.element))
    return builder.call(function, [builder.bitcast(pointer, kinds[0]), aligned, mask, ir.Constant(vector, None)])


def store_columns(builder: ir.IRBuilder, values: list[Any], pointers: list[Any], columns: Any) -> None:
    """Store of each vector as many numbers as there are columns: all of them, or the first."""
    with builder.if_else(builder.icmp_signed(">=", columns, whole(values[0].type.count))) as (then, otherwise):
        with then:
            for value, pointer in zip(values, pointers, strict=True):
                store(builder, value, pointer)
        with otherwise:
            store_first(builder, values, pointers, columns)


def store_first(builder: ir.IRBuilder, values: list[Any], pointers: list[Any], count: Any) -> None:
    """Store the first `count` numbers of each vector, by halves, quarters, …: masked stores take ten times as long
    on some processors."""
    half = values[0].type.count // 2
    while half:
        first = [_part(builder, value, list(range(half))) for value in values]
        rest = [_part(builder, value, list(range(half, 2 * half))) for value in values]
        further = [builder.gep(pointer, [whole(half)]) for pointer in pointers]
        before = builder.block
        with builder.if_then(builder.icmp_signed("!=", builder.and_(count, whole(half)), whole(0))):
            for value, pointer in zip(first, pointers, strict=True):
                store(builder, value, pointer)
            inside = builder.block
        values = [either(builder, old, before, new, inside) for old, new in zip(first, rest, strict=True)]
        pointers = [either(builder, old, before, new, inside) for old, new in zip(pointers, further, strict=True)]
        half //= 2


def _part(builder: ir.IRBuilder, value: Any, places: list[int]) -> Any:
    if len(places) == 1:
        return builder.extract_element(value, ir.Constant(_I32, places[0]))
    return chosen(builder, value, value, places)


def either(builder: ir.IRBuilder, a: Any, from_a: Any, b: Any, from_b: Any) -> Any:
    """a where the program comes from block `from_a`, b where from `from_b`."""
    phi = builder.phi(a.type)
    phi.add_incoming(a, from_a)
    phi.add_incoming(b, from_b)
    return phi


def repeat(builder: ir.IRBuilder, times: Any, state: list[Any], body: Callable[[list[Any]], list[Any]]) -> list[Any]:
    """state = body(state), so many times."""
    before, loop, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed(">", times, whole(0)), loop, done)
    builder.position_at_end(loop)
    left, inside = builder.phi(I64), [builder.phi(value.type) for value in state]
    after = body(inside)
    fewer = builder.sub(left, whole(1))
    for phi, first, value in zip([left, *inside], [times, *state], [fewer, *after], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed(">", fewer, whole(0)), loop, done)
    builder.position_at_end(done)
    return [either(builder, first, before, value, loop) for first, value in zip(state, after, strict=True)]


def opaque(builder: ir.IRBuilder, x: Any) -> Any:
    """x, of which the compiler is not to know where it comes from."""
    return builder.asm(ir.FunctionType(I64, [I64]), "", "=r,0", [x], False)
