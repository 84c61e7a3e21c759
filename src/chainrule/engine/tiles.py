"""Floor 2, engine: the matrix product, as a tile of accumulators in the processor's vector registers.

C (M × D) = A (M × K) · B (K × D) is made of tiles of 6 × 4 vectors, say. Of each k a tile reads one number a row of A
and a few vectors of B, and makes rows × vectors fused multiply-adds, so that the multipliers are the bound and not the
loads. There is one tile for A and one for Aᵀ: an instruction more a row, to find where it is, would be a bound as well,
where the core is shared with another program. B comes packed in panels, the K lines that one column of tiles needs, one
after another: no stride of a power of two ever empties the cache.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing import signature
from numba.extending import intrinsic

from chainrule.engine.processor import ABREAST, heights
from chainrule.engine.vectors import (
    I64,
    columns_mask,
    either,
    fetch_ahead,
    function_of,
    load,
    masked_load,
    multiply_add,
    number_of,
    opaque,
    repeat,
    spread,
    store,
    store_columns,
    vector_of,
    whole,
)

# Steps of k written out in a round of a tile's loop.
STEPS = 2


def _tile_function(module: ir.Module, number: ir.Type, rows: int, vectors: int, across: bool) -> ir.Function:
    """void tile(A, its stride, B, its stride, C, its stride, K, columns, …): rows × (vectors · lanes) of C.

    A's rows lie a stride apart and the numbers of a row side by side; the last arguments say which address is fetched
    into the cache meanwhile, and how many bytes further it is in the next round. With `across` A's rows lie side by
    side and their numbers a stride apart; where the last argument is not 0, the products are added to C.
    """
    name = f"chainrule_tile_{number}_{rows}_{vectors}{'_across' if across else ''}"
    pointer = number.as_pointer()
    function, new = function_of(
        module, name, [pointer, I64, pointer, I64, pointer, I64, I64, I64] + [I64] * (1 if across else 2)
    )
    if new:
        A, a_stride, B, b_stride, C, c_stride, K, columns, *rest = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        vector = vector_of(number)
        sums = [[ir.Constant(vector, None)] * vectors] * rows
        if across:
            sums = _begun(builder, sums, (C, c_stride, columns, *rest))
        ahead = [] if across else rest
        found = _products(builder, number, (rows, vectors, across), (A, a_stride, B, b_stride, K), sums, ahead)
        _store(builder, number, found, (C, c_stride, columns))
        builder.ret_void()
    return function


def _begun(builder: ir.IRBuilder, zeros: list[list[Any]], where: Any) -> list[list[Any]]:
    """What the sums begin with: the numbers of C where there is `more` to add, else zeros."""
    C, c_stride, columns, more = where
    vector, last = zeros[0][0].type, len(zeros[0]) - 1
    before = builder.block
    with builder.if_then(builder.icmp_signed("!=", more, whole(0))):
        found, mask = [], columns_mask(builder, columns, last * vector.count, vector.count)
        for i in range(len(zeros)):
            at = [builder.gep(C, [builder.add(builder.mul(c_stride, whole(i)), whole(j * vector.count))])
                  for j in range(last + 1)]  # fmt: skip
            found.append([*(load(builder, a, vector) for a in at[:-1]), masked_load(builder, at[-1], mask, vector)])
        inside = builder.block
    return [
        [either(builder, zero, before, value, inside) for zero, value in zip(line, its, strict=True)]
        for line, its in zip(zeros, found, strict=True)
    ]


def _products(
    builder: ir.IRBuilder,
    number: ir.Type,
    shape: tuple[int, int, bool],
    where: Any,
    sums: list[list[Any]],
    ahead: list[Any],
) -> list[list[Any]]:
    """The loop over k, which adds to the accumulators; returns them, rows × vectors."""
    rows, vectors, across = shape
    A, a_stride, B, b_stride, K = where
    vector = vector_of(number)
    fma = multiply_add(builder, vector)
    # Known to be multiples of the stride, the offsets would be made in every step anew, by an addition each.
    offsets = [whole(i) if across else opaque(builder, builder.mul(a_stride, whole(i))) for i in range(rows)]

    def step(a: Any, b: Any, sums: list[Any], s: int) -> list[Any]:
        of_b = [load(builder, builder.gep(b, [whole(j * vector.count)]), vector) for j in range(vectors)]
        found = []
        for i, offset in enumerate(offsets):
            at = builder.gep(builder.gep(a, [offset]), [whole(0 if across else s)])
            x = spread(builder, builder.load(at), vector)
            found += [fma(x, of_b[j], sums[i * vectors + j]) for j in range(vectors)]
        return found

    def round_of(steps: int) -> Any:
        def body(state: list[Any]) -> list[Any]:
            a, b, at, *sums = state
            if ahead and steps > 1:
                fetch_ahead(builder, at)
                at = builder.add(at, ahead[1])
            for s in range(steps):
                sums = step(a, b, sums, s)
                b = builder.gep(b, [b_stride])
                if across:
                    a = builder.gep(a, [a_stride])
            return [a if across else builder.gep(a, [whole(steps)]), b, at, *sums]

        return body

    state = [A, B, ahead[0] if ahead else whole(0), *(value for line in sums for value in line)]
    left = K
    # Nearly all of a product is made of full tiles; written out in the others, too, they would take longer to compile.
    if rows == heights(vectors)[0]:
        state = repeat(builder, builder.sdiv(K, whole(STEPS)), state, round_of(STEPS))
        left = builder.srem(K, whole(STEPS))
    state = repeat(builder, left, state, round_of(1))
    return [state[3 + i * vectors :][:vectors] for i in range(rows)]


def _store(builder: ir.IRBuilder, number: ir.Type, sums: list[list[Any]], where: Any) -> None:
    """All columns that exist: the vectors before the last are whole."""
    C, c_stride, columns = where
    lanes, last = vector_of(number).count, len(sums[0]) - 1
    starts = [builder.gep(C, [builder.mul(c_stride, whole(i))]) for i in range(len(sums))]
    for j in range(last):
        for line, start in zip(sums, starts, strict=True):
            store(builder, line[j], builder.gep(start, [whole(j * lanes)]))
    values, pointers = [line[last] for line in sums], [builder.gep(start, [whole(last * lanes)]) for start in starts]
    store_columns(builder, values, pointers, builder.sub(columns, whole(last * lanes)))


def _called(across: bool) -> Any:
    """The code that calls the tile of the right size."""

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        number = number_of(sig.args[0])
        pointer = number.as_pointer()
        _, a, a_stride, b, b_stride, c, c_stride, rows, K, columns, *rest = args
        given = [builder.inttoptr(a, pointer), a_stride, builder.inttoptr(b, pointer), b_stride]
        given += [builder.inttoptr(c, pointer), c_stride, K, columns, *rest]
        lanes = vector_of(number).count
        abreast = builder.sdiv(builder.add(columns, whole(lanes - 1)), whole(lanes))
        done = builder.append_basic_block("tiled")
        choice = builder.switch(builder.add(builder.mul(rows, whole(ABREAST)), abreast), done)
        for vectors in range(1, ABREAST + 1):
            for r in heights(vectors):
                block = builder.append_basic_block(f"rows{r}_{vectors}")
                choice.add_case(whole(ABREAST * r + vectors), block)
                builder.position_at_end(block)
                builder.call(_tile_function(builder.module, number, r, vectors, across), given)
                builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return codegen


@intrinsic
def tile(typing_context, like, A, a_stride, B, b_stride, C, c_stride, rows, K, columns, ahead, step):
    """One tile of C = A B: `columns` (1 … a panel's) columns and `rows`, one of their `heights`; A, B, C are addresses.

    `like` is any array of the number type; strides lie between rows and count numbers. Of B whole vectors are read,
    whatever `columns` is. From address `ahead` on, `step` bytes a round of STEPS steps of k are fetched into the cache.
    """
    return signature(types.none, like, *[types.int64] * 11), _called(across=False)


@intrinsic
def tile_across(typing_context, like, A, a_stride, B, b_stride, C, c_stride, rows, K, columns, more):
    """One tile of C = Aᵀ B, or of C + Aᵀ B where `more` is not 0; arguments as in `tile`, A is K × rows."""
    return signature(types.none, like, *[types.int64] * 10), _called(across=True)
