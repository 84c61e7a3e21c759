"""Floor 2, engine: matrices packed as the panels that tiles read, in vector instructions."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing import signature
from numba.extending import intrinsic

from chainrule.engine.processor import ABREAST, BLOCK_WIDTH
from chainrule.engine.vectors import (
    I64,
    chosen,
    columns_mask,
    function_of,
    load,
    masked_load,
    number_of,
    repeat,
    store,
    store_columns,
    vector_of,
    whole,
)


def _pack_function(module: ir.Module, number: ir.Type, line: int, summed: bool) -> ir.Function:
    """void pack(B, B's stride, to, K, columns, sums): K lines of `line` numbers, columns that do not exist are 0.

    Where a line is no whole number of vectors, something is written behind the last. Where `summed`, the sums over k
    go to the last address.
    """
    pointer, vector = number.as_pointer(), vector_of(number)
    name = f"chainrule_pack_{number}_{line}{'_summed' if summed else ''}"
    function, new = function_of(module, name, [pointer, I64, pointer, I64, I64, pointer])
    if not new:
        return function
    B, b_stride, to, K, columns, sums = function.args
    lanes = vector.count
    starts = range(0, line, lanes)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    masks = [columns_mask(builder, columns, j, lanes) for j in starts]

    def body(state: list[Any]) -> list[Any]:
        b, at, *totals = state
        values = [
            masked_load(builder, builder.gep(b, [whole(j)]), mask, vector)
            for j, mask in zip(starts, masks, strict=True)
        ]
        for j, value in zip(starts, values, strict=True):
            store(builder, value, builder.gep(at, [whole(j)]))
        totals = [builder.fadd(total, value) for total, value in zip(totals, values, strict=False)]
        return [builder.gep(b, [b_stride]), builder.gep(at, [whole(line)]), *totals]

    zeros = [ir.Constant(vector, None)] * len(starts) if summed else []
    _, _, *totals = repeat(builder, K, [B, to, *zeros], body)
    for j, total in zip(starts, totals, strict=False):
        at, left = builder.gep(sums, [whole(j)]), builder.sub(columns, whole(j))
        with builder.if_then(builder.icmp_signed(">", left, whole(0))):
            store_columns(builder, [total], [at], left)
    builder.ret_void()
    return function


def _packed(whole_lines: bool, summed: bool) -> Any:
    """The code that calls it: for lines of BLOCK_WIDTH numbers, or a panel's, as many vectors as its columns need."""

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        number = number_of(sig.args[0])
        pointer, lanes = number.as_pointer(), vector_of(number).count
        _, b, b_stride, to, K, columns, *rest = args
        sums = builder.inttoptr(rest[0] if summed else whole(0), pointer)
        given = [builder.inttoptr(b, pointer), b_stride, builder.inttoptr(to, pointer), K, columns, sums]
        if whole_lines:
            builder.call(_pack_function(builder.module, number, BLOCK_WIDTH, summed), given)
            return context.get_dummy_value()
        done = builder.append_basic_block("packed")
        choice = builder.switch(builder.sdiv(builder.add(columns, whole(lanes - 1)), whole(lanes)), done)
        for vectors in range(1, ABREAST + 1):
            block = builder.append_basic_block(f"vectors{vectors}")
            choice.add_case(whole(vectors), block)
            builder.position_at_end(block)
            builder.call(_pack_function(builder.module, number, vectors * lanes, summed), given)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return codegen


@intrinsic
def pack_columns(typing_context, like, B, b_stride, panel, K, columns):
    """Copy K × `columns` numbers at address B into the panel at address `panel`, with zeros up to whole vectors."""
    return signature(types.none, like, *[types.int64] * 5), _packed(whole_lines=False, summed=False)


@intrinsic
def pack_and_sum(typing_context, like, B, b_stride, panel, K, columns, sums):
    """As `pack_columns`; the sum of each column goes to address `sums`."""
    return signature(types.none, like, *[types.int64] * 6), _packed(whole_lines=False, summed=True)


@intrinsic
def pack_rows_across(typing_context, like, A, a_stride, to, K, rows):
    """Copy K × `rows` numbers at address A to lines of BLOCK_WIDTH numbers, which `tile_across` reads."""
    return signature(types.none, like, *[types.int64] * 5), _packed(whole_lines=True, summed=False)


@intrinsic
def turn_block(typing_context, like, source, stride, target, target_stride):
    """A square block of as many rows and columns as a vector has numbers, turned: rows become columns."""

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        number = number_of(sig.args[0])
        pointer, vector = number.as_pointer(), vector_of(number)
        _, source, stride, target, target_stride = args
        source, target = builder.inttoptr(source, pointer), builder.inttoptr(target, pointer)
        n = vector.count
        lines = [load(builder, builder.gep(source, [builder.mul(stride, whole(i))]), vector) for i in range(n)]
        half = n // 2
        while half:  # the blocks above and below the diagonal change places, ever smaller ones
            below = [i for i in range(n) if i & half]
            upper = [k if not k & half else n + (k ^ half) for k in range(n)]
            lower = [k ^ half if not k & half else n + k for k in range(n)]
            for i in below:
                a, b = lines[i ^ half], lines[i]
                lines[i ^ half], lines[i] = chosen(builder, a, b, upper), chosen(builder, a, b, lower)
            half //= 2
        for i, line in enumerate(lines):
            store(builder, line, builder.gep(target, [builder.mul(target_stride, whole(i))]))
        return context.get_dummy_value()

    return signature(types.none, like, *[types.int64] * 4), codegen
