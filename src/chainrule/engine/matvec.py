"""Floor 2, engine: matrix-vector products: B has one column, and is its own panel.

As a panel of the usual kind all but one number of each vector would be zeros: a tile would multiply sixteen for one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing import signature
from numba.extending import intrinsic

from chainrule.engine.jit import written_out
from chainrule.engine.processor import VECTOR
from chainrule.engine.vectors import (
    I64,
    chosen,
    columns_mask,
    either,
    function_of,
    load,
    masked_load,
    multiply_add,
    number_of,
    repeat,
    spread,
    store,
    store_columns,
    vector_of,
    whole,
)

# Rows of A that are worked on side by side, and sums in which its lines are added up.
ABREAST = 4


def _sums(builder: ir.IRBuilder, values: list[Any]) -> list[Any]:
    """The sum of each vector's numbers, side by side in as few vectors as there need be.

    The half of a vector is added to its other half, until one number is left: in the same order however many there are.
    """
    width = values[0].type.count  # of what is left of a vector
    while width > 1:
        half, n = width // 2, values[0].type.count
        low = [part + k for part in range(0, n, width) for k in range(half)]
        if len(values) > 1:
            low += [n + k for k in low]
        high, others = [k + half for k in low], values[1::2] or values
        values = [
            builder.fadd(chosen(builder, a, b, low), chosen(builder, a, b, high))
            for a, b in zip(values[::2], others, strict=True)
        ]
        width = half
    return values


def _product_function(module: ir.Module, number: ir.Type, rows: int, ones: bool) -> ir.Function:
    """void product(A, b, c, K): so many numbers of c = A b, A's rows one after another; b is all ones where `ones`."""
    pointer, vector = number.as_pointer(), vector_of(number)
    name = f"chainrule_product_{number}_{rows}{'_ones' if ones else ''}"
    function, new = function_of(module, name, [pointer, pointer, pointer, I64])
    if not new:
        return function
    A, b, c, K = function.args
    lanes = vector.count
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    fma = multiply_add(builder, vector)
    starts = [A, *(builder.gep(A, [builder.mul(K, whole(i))]) for i in range(1, rows))]

    def added(sums: list[Any], k: Any, read: Callable[[Any], Any]) -> list[Any]:
        of_b = ir.Constant(vector, [1.0] * lanes) if ones else read(builder.gep(b, [k]))
        return [fma(read(builder.gep(start, [k])), of_b, z) for start, z in zip(starts, sums, strict=True)]

    def body(state: list[Any]) -> list[Any]:
        k, *sums = state
        return [builder.add(k, whole(lanes)), *added(sums, k, lambda at: load(builder, at, vector))]

    zeros = [ir.Constant(vector, None)] * rows
    k, *sums = repeat(builder, builder.sdiv(K, whole(lanes)), [whole(0), *zeros], body)
    mask = columns_mask(builder, builder.sub(K, k), 0, lanes)
    found = _sums(builder, added(sums, k, lambda at: masked_load(builder, at, mask, vector)))
    for i, values in enumerate(found):
        store(builder, values, builder.gep(c, [whole(i * values.type.count)]))
    builder.ret_void()
    return function


def _across_function(module: ir.Module, number: ir.Type) -> ir.Function:
    """void across(A, its stride, b, c, K, columns, more): a vector's numbers of c = Aᵀ b, or of c + Aᵀ b, of which
    there may be fewer columns."""
    pointer, vector = number.as_pointer(), vector_of(number)
    name = f"chainrule_across_{number}"
    function, new = function_of(module, name, [pointer, I64, pointer, pointer, I64, I64, I64])
    if not new:
        return function
    A, stride, b, c, K, columns, more = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    fma = multiply_add(builder, vector)
    mask = columns_mask(builder, columns, 0, vector.count)
    zero = ir.Constant(vector, None)

    def body(state: list[Any]) -> list[Any]:
        a, at, *sums = state
        for s, total in enumerate(sums):
            x = spread(builder, builder.load(builder.gep(at, [whole(s)])), vector)
            sums[s] = fma(masked_load(builder, a, mask, vector), x, total)
            a = builder.gep(a, [stride])
        return [a, builder.gep(at, [whole(len(sums))]), *sums]

    a, at, *sums = repeat(builder, builder.sdiv(K, whole(ABREAST)), [A, b, *[zero] * ABREAST], body)
    *_, rest = repeat(builder, builder.srem(K, whole(ABREAST)), [a, at, zero], body)
    while len(sums) > 1:
        sums = [builder.fadd(x, y) for x, y in zip(sums[::2], sums[1::2], strict=True)]
    found, before = builder.fadd(sums[0], rest), builder.block
    with builder.if_then(builder.icmp_signed("!=", more, whole(0))):
        longer, inside = builder.fadd(masked_load(builder, c, mask, vector), found), builder.block
    found = either(builder, found, before, longer, inside)
    store_columns(builder, [found], [c], columns)
    builder.ret_void()
    return function


def _by_rows(rows: int, ones: bool) -> Callable:
    """The code that calls it."""

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        number = number_of(sig.args[0])
        _, A, b, c, K = args
        pointers = [builder.inttoptr(x, number.as_pointer()) for x in (A, b, c)]
        builder.call(_product_function(builder.module, number, rows, ones), [*pointers, K])
        return context.get_dummy_value()

    return codegen


@intrinsic
def rows_by_column(typing_context, like, A, b, c, K):
    """ABREAST numbers of c = A b, of K numbers a row; A, b, c are addresses."""
    return signature(types.none, like, *[types.int64] * 4), _by_rows(ABREAST, ones=False)


@intrinsic
def row_by_column(typing_context, like, A, b, c, K):
    """One number of c = A b, with the same bits as by `rows_by_column`."""
    return signature(types.none, like, *[types.int64] * 4), _by_rows(1, ones=False)


@intrinsic
def sum_of_row(typing_context, like, A, b, c, K):
    """The sum of K numbers at address A to address c; b is not read."""
    return signature(types.none, like, *[types.int64] * 4), _by_rows(1, ones=True)


@intrinsic
def lines_by_column(typing_context, like, A, stride, b, c, K, columns, more):
    """A vector's numbers of c = Aᵀ b, or of c + Aᵀ b where `more` is not 0, but no more than `columns` of them: A has
    K lines, a stride apart; addresses."""

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        number = number_of(sig.args[0])
        _, A, stride, b, c, K, columns, more = args
        A, b, c = (builder.inttoptr(x, number.as_pointer()) for x in (A, b, c))
        builder.call(_across_function(builder.module, number), [A, stride, b, c, K, columns, more])
        return context.get_dummy_value()

    return signature(types.none, like, *[types.int64] * 7), codegen


@written_out
def column_product(like, A, b, c, M, K):
    """c = A b, A with M rows of K numbers; addresses."""
    size, i = like.itemsize, 0
    while i + ABREAST <= M:
        rows_by_column(like, A + i * K * size, b, c + i * size, K)
        i += ABREAST
    while i < M:
        row_by_column(like, A + i * K * size, b, c + i * size, K)
        i += 1


@written_out
def column_product_across(like, A, stride, b, c, M, K, more):
    """c = Aᵀ b, or c + Aᵀ b where `more`; A has K lines of M numbers, a stride apart; addresses."""
    size = like.itemsize
    lanes = VECTOR // size
    for i in range(0, M, lanes):
        lines_by_column(like, A + i * size, stride, b, c + i * size, K, M - i, more)
