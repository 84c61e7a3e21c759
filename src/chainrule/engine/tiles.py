"""Floor 2, engine: the matrix product, as a tile of accumulators in the processor's vector registers.

C (M × D) = A (M × K) · B (K × D) is made of tiles of ROWS × 2 vectors. Of each k a tile reads one number a row of A and
two vectors of B, and makes ROWS × 2 fused multiply-adds, so that the multipliers are the bound and not the loads. A is
read with a stride for rows and one for k (the same code serves A and Aᵀ); B comes packed in panels, the K × 2 vectors
that one column of tiles needs, one after another: no stride of a power of two ever empties the cache.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing import signature
from numba.extending import intrinsic

from chainrule.engine.processor import ROWS, VECTOR

I64 = ir.IntType(64)


def _tile_function(module: ir.Module, number: ir.Type, itemsize: int, rows: int, vectors: int) -> ir.Function:
    """void tile(A, row stride, k stride, B, its stride, C, its stride, K, columns): rows × (vectors · lanes) of C."""
    name = f"chainrule_tile_{number}_{rows}_{vectors}"
    if name in module.globals:
        return module.globals[name]
    pointer = number.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, I64, I64, pointer, I64, pointer, I64, I64, I64])
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    A, row_stride, k_stride, B, b_stride, C, c_stride, K, columns = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    sums = _products(builder, number, itemsize, rows, vectors, (A, row_stride, k_stride, B, b_stride, K))
    _store(builder, number, itemsize, vectors, sums, (C, c_stride, columns))
    builder.ret_void()
    return function


def _products(builder: ir.IRBuilder, number: ir.Type, itemsize: int, rows: int, vectors: int, where: Any) -> Any:
    """The loop over k; returns the accumulators."""
    A, row_stride, k_stride, B, b_stride, K = where
    lanes = VECTOR // itemsize
    vector = ir.VectorType(number, lanes)
    zero, one = ir.Constant(I64, 0), ir.Constant(I64, 1)
    offsets = [builder.mul(row_stride, ir.Constant(I64, i)) for i in range(rows)]
    before = builder.block
    loop, done = builder.append_basic_block("k"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed(">", K, zero), loop, done)
    builder.position_at_end(loop)
    k, a, b = builder.phi(I64), builder.phi(A.type), builder.phi(B.type)
    sums = [[builder.phi(vector) for _ in range(vectors)] for _ in range(rows)]
    fma = _vector_intrinsic(builder.module, f"llvm.fmuladd.{_kind(vector)}", vector, [vector] * 3)
    parts = [
        _load_vector(builder, builder.gep(b, [ir.Constant(I64, j * lanes)]), vector, itemsize) for j in range(vectors)
    ]
    new = []
    for i in range(rows):
        x = _spread(builder, builder.load(builder.gep(a, [offsets[i]])), vector)
        new.append([builder.call(fma, [x, parts[j], sums[i][j]]) for j in range(vectors)])
    next_k, next_a, next_b = builder.add(k, one), builder.gep(a, [k_stride]), builder.gep(b, [b_stride])
    for phi, start, value in ((k, zero, next_k), (a, A, next_a), (b, B, next_b)):
        phi.add_incoming(start, before)
        phi.add_incoming(value, loop)
    nothing = ir.Constant(vector, None)
    for i in range(rows):
        for j in range(vectors):
            sums[i][j].add_incoming(nothing, before)
            sums[i][j].add_incoming(new[i][j], loop)
    builder.cbranch(builder.icmp_signed("<", next_k, K), loop, done)
    builder.position_at_end(done)
    found = []
    for i in range(rows):
        line = []
        for j in range(vectors):
            phi = builder.phi(vector)
            phi.add_incoming(nothing, before)
            phi.add_incoming(new[i][j], loop)
            line.append(phi)
        found.append(line)
    return found


def _load_vector(builder: ir.IRBuilder, pointer: Any, vector: ir.VectorType, itemsize: int) -> Any:
    loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    loaded.align = itemsize
    return loaded


def _spread(builder: ir.IRBuilder, x: Any, vector: ir.VectorType) -> Any:
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, x, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None))


def _store(builder: ir.IRBuilder, number: ir.Type, itemsize: int, vectors: int, sums: Any, where: Any) -> None:
    """Whole vectors where all columns exist, masked ones at the right edge."""
    C, c_stride, columns = where
    lanes = VECTOR // itemsize
    vector = ir.VectorType(number, lanes)
    whole = builder.icmp_signed(">=", columns, ir.Constant(I64, vectors * lanes))
    with builder.if_else(whole) as (then, otherwise):
        with then:
            for i, line in enumerate(sums):
                for j, value in enumerate(line):
                    at = builder.gep(
                        C, [builder.add(builder.mul(c_stride, ir.Constant(I64, i)), ir.Constant(I64, j * lanes))]
                    )
                    builder.store(value, builder.bitcast(at, vector.as_pointer())).align = itemsize
        with otherwise:
            masked = _masked_store(builder.module, vector)
            for j in range(vectors):
                mask = _columns_mask(builder, columns, j, lanes)
                for i, line in enumerate(sums):
                    at = builder.gep(
                        C, [builder.add(builder.mul(c_stride, ir.Constant(I64, i)), ir.Constant(I64, j * lanes))]
                    )
                    aligned = ir.Constant(ir.IntType(32), itemsize)
                    builder.call(masked, [line[j], builder.bitcast(at, vector.as_pointer()), aligned, mask])


def _kind(vector: ir.VectorType) -> str:
    return f"v{vector.count}{'f32' if isinstance(vector.element, ir.FloatType) else 'f64'}"


def _vector_intrinsic(module: ir.Module, name: str, result: ir.Type, operands: list[ir.Type]) -> ir.Function:
    if name in module.globals:
        return module.globals[name]
    return ir.Function(module, ir.FunctionType(result, operands), name)


def _masked_store(module: ir.Module, vector: ir.VectorType) -> ir.Function:
    mask = ir.VectorType(ir.IntType(1), vector.count)
    operands = [vector, vector.as_pointer(), ir.IntType(32), mask]
    return _vector_intrinsic(module, f"llvm.masked.store.{_kind(vector)}.p0", ir.VoidType(), operands)


def _number(array_type: types.Array) -> tuple[ir.Type, int]:
    itemsize = array_type.dtype.bitwidth // 8
    return (ir.FloatType() if itemsize == 4 else ir.DoubleType()), itemsize


@intrinsic
def tile(typing_context, like, A, row_stride, k_stride, B, b_stride, C, c_stride, rows, K, columns):
    """One tile of C: `rows` (1 … ROWS) rows and `columns` (1 … a panel's) columns; A, B, C are addresses.

    `like` is any array of the number type; strides count numbers. Of B whole panels are read, whatever `columns` is.
    """

    def codegen(context, builder, sig, args):
        number, itemsize = _number(sig.args[0])
        pointer = number.as_pointer()
        _, a, row_stride, k_stride, b, b_stride, c, c_stride, rows, K, columns = args
        given = [builder.inttoptr(a, pointer), row_stride, k_stride, builder.inttoptr(b, pointer), b_stride]
        given += [builder.inttoptr(c, pointer), c_stride, K, columns]
        narrow = builder.icmp_signed("<=", columns, ir.Constant(I64, VECTOR // itemsize))
        done = builder.append_basic_block("tiled")
        with builder.if_else(narrow) as branches:
            for vectors, branch in zip((1, 2), branches, strict=True):
                with branch:
                    rest = builder.append_basic_block("no_rows")
                    choice = builder.switch(rows, rest)
                    for r in range(1, ROWS + 1):
                        block = builder.append_basic_block(f"rows{r}")
                        choice.add_case(ir.Constant(I64, r), block)
                        builder.position_at_end(block)
                        builder.call(_tile_function(builder.module, number, itemsize, r, vectors), given)
                        builder.branch(done)
                    builder.position_at_end(rest)
        builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return signature(types.none, like, *[types.int64] * 10), codegen


def _pack_function(module: ir.Module, number: ir.Type, itemsize: int) -> ir.Function:
    """void pack(B, B's stride, panel, K, columns): K × two vectors, columns that do not exist are 0."""
    name = f"chainrule_pack_{number}"
    if name in module.globals:
        return module.globals[name]
    pointer = number.as_pointer()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, I64, pointer, I64, I64]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    B, b_stride, panel, K, columns = function.args
    lanes = VECTOR // itemsize
    vector = ir.VectorType(number, lanes)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    masks = [_columns_mask(builder, columns, j, lanes) for j in range(2)]
    load = _masked_load(module, vector)
    before, loop, done = builder.block, builder.append_basic_block("k"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed(">", K, ir.Constant(I64, 0)), loop, done)
    builder.position_at_end(loop)
    k, b, to = builder.phi(I64), builder.phi(pointer), builder.phi(pointer)
    for j in range(2):
        at = ir.Constant(I64, j * lanes)
        source = builder.bitcast(builder.gep(b, [at]), vector.as_pointer())
        aligned = ir.Constant(ir.IntType(32), itemsize)
        value = builder.call(load, [source, aligned, masks[j], ir.Constant(vector, None)])
        builder.store(value, builder.bitcast(builder.gep(to, [at]), vector.as_pointer())).align = itemsize
    following = (
        builder.add(k, ir.Constant(I64, 1)),
        builder.gep(b, [b_stride]),
        builder.gep(to, [ir.Constant(I64, 2 * lanes)]),
    )
    for phi, start, value in zip((k, b, to), (ir.Constant(I64, 0), B, panel), following, strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following[0], K), loop, done)
    builder.position_at_end(done)
    builder.ret_void()
    return function


def _columns_mask(builder: ir.IRBuilder, columns: Any, j: int, lanes: int) -> Any:
    """Which lanes of vector j of a panel are columns that exist."""
    places = ir.Constant(ir.VectorType(I64, lanes), [j * lanes + k for k in range(lanes)])
    return builder.icmp_signed("<", places, _spread(builder, columns, ir.VectorType(I64, lanes)))


def _masked_load(module: ir.Module, vector: ir.VectorType) -> ir.Function:
    mask = ir.VectorType(ir.IntType(1), vector.count)
    operands = [vector.as_pointer(), ir.IntType(32), mask, vector]
    return _vector_intrinsic(module, f"llvm.masked.load.{_kind(vector)}.p0", vector, operands)


@intrinsic
def pack_columns(typing_context, like, B, b_stride, panel, K, columns):
    """Copy K × `columns` numbers at address B into the panel at address `panel`, filled up with zeros."""

    def codegen(context, builder, sig, args):
        number, itemsize = _number(sig.args[0])
        pointer = number.as_pointer()
        _, b, b_stride, panel, K, columns = args
        function = _pack_function(builder.module, number, itemsize)
        builder.call(function, [builder.inttoptr(b, pointer), b_stride, builder.inttoptr(panel, pointer), K, columns])
        return context.get_dummy_value()

    return signature(types.none, like, *[types.int64] * 5), codegen
