"""Floor 2, engine: products of whole matrices, made of tiles, and the panels that they read. See `tiles`."""

# mypy: ignore-errors

from chainrule.engine.jit import address, compiled, copy, written_out
from chainrule.engine.matvec import column_product, column_product_across, sum_of_row
from chainrule.engine.panels import pack_and_sum, pack_columns, pack_rows_across, turn_block
from chainrule.engine.processor import ABREAST, BLOCK_WIDTH, BLOCKS_AT_ONCE, COLLIDING, PANEL_BYTES, VECTOR, heights
from chainrule.engine.tiles import STEPS, tile, tile_across

# Aᵀ is packed where more panels of B than this read it, if its lines collide; so many lines of A at a time.
_PANELS_WORTH_PACKING = 2
_LINES_AT_ONCE = 16
_FULL = tuple(heights(vectors)[0] for vectors in range(1, ABREAST + 1))


@written_out
def line_of(like, columns):
    """Numbers in a line of the panel that has so many columns: whole vectors."""
    lanes = VECTOR // like.itemsize
    return (columns + lanes - 1) // lanes * lanes


@written_out
def height(like, left, columns):
    """Rows of the next tile, where so many are left: the full tile's, or else as many as there is a tile for."""
    lanes = VECTOR // like.itemsize
    full = _FULL[(columns + lanes - 1) // lanes - 1]
    if left >= full:
        return full
    return 4 if left >= 4 else min(left, 2)


@written_out
def strip(like, a, K, b, line, c, c_stride, M, columns, ahead, length):
    """M × columns of C = A B, all from one panel of B, whose lines lie `line` numbers apart.

    Meanwhile `length` bytes from address `ahead` on are fetched into the cache, evenly.
    """
    size, i = like.itemsize, 0
    rounds = K // STEPS
    step = length * height(like, M, columns) // max(1, rounds * M)
    while i < M:
        rows = height(like, M - i, columns)
        to = c + i * c_stride * size
        tile(like, a + i * K * size, K, b, line, to, c_stride, rows, K, columns, ahead, step)
        ahead += rounds * step
        i += rows


@written_out
def strip_across(like, a, a_stride, b, line, c, c_stride, M, K, columns, more):
    """As `strip`, of C = Aᵀ B, or of C + Aᵀ B where `more`."""
    size, i = like.itemsize, 0
    while i < M:
        rows = height(like, M - i, columns)
        to = c + i * c_stride * size
        tile_across(like, a + i * size, a_stride, b, line, to, c_stride, rows, K, columns, more)
        i += rows


@written_out
def product(like, a, panels, out, M, K, D):
    """out (M × D) = A B, A at address a, B packed in panels; `like` gives the float width."""
    size = like.itemsize
    width = PANEL_BYTES // size
    if D == 1:
        column_product(like, a, panels, out, M, K)
        return
    for lo in range(0, D, width):
        columns, panel = min(width, D - lo), panels + lo * K * size
        # another thread may have packed the next panel: it comes slowly from that one's cache
        coming = K * line_of(like, min(width, D - lo - columns)) * size
        line = line_of(like, columns)
        strip(like, a, K, panel, line, out + lo * size, D, M, columns, panel + K * line * size, coming)


@compiled
def pack_across(like, a, stride, i, M, K, spare):
    """The blocks of Aᵀ from row i on that are packed at once; A is K × M, its lines a stride apart.

    A block is K lines of BLOCK_WIDTH numbers and a vector that takes what is written behind them.

    A few lines of A for all blocks, then the next few: the cache keeps few lines that lie a power of two apart.
    """
    size = like.itemsize
    for k in range(0, K, _LINES_AT_ONCE):
        lines, to = min(_LINES_AT_ONCE, K - k), spare + k * BLOCK_WIDTH * size
        for j in range(i, min(M, i + BLOCKS_AT_ONCE * BLOCK_WIDTH), BLOCK_WIDTH):
            pack_rows_across(like, a + (k * stride + j) * size, stride, to, lines, min(BLOCK_WIDTH, M - j))
            to += K * BLOCK_WIDTH * size + VECTOR


@written_out
def product_across(like, a, a_stride, spare, panels, out, M, K, D, more):
    """out (M × D) = Aᵀ B, or out += Aᵀ B where `more`; A is K × M, its lines a stride apart.

    Address `spare` has room for BLOCKS_AT_ONCE × (K BLOCK_WIDTH numbers and a vector).
    """
    size = like.itemsize
    width = PANEL_BYTES // size
    if D == 1:
        column_product_across(like, a, a_stride, panels, out, M, K, more)
        return
    packs = a_stride * size % COLLIDING == 0 and _PANELS_WORTH_PACKING * width < D and K > BLOCK_WIDTH
    at_once = BLOCK_WIDTH if packs else M
    from_, stride, to = a, a_stride, spare
    for i in range(0, M, at_once):
        if packs:
            if i % (BLOCKS_AT_ONCE * BLOCK_WIDTH) == 0:
                pack_across(like, a, a_stride, i, M, K, spare)
                to = spare
            from_, stride = to, BLOCK_WIDTH
            to += K * BLOCK_WIDTH * size + VECTOR
        for lo in range(0, D, width):
            columns = min(width, D - lo)
            strip_across(
                like, from_, stride, panels + lo * K * size, line_of(like, columns), out + (i * D + lo) * size, D,
                min(at_once, M - i), K, columns, more,
            )  # fmt: skip


@written_out
def product_of_few(like, a, b, spare, out, M, K, D):
    """out (M × D) = A B for few rows: B is read where it is, but for columns at its edge, which are packed first."""
    size = like.itemsize
    width = PANEL_BYTES // size
    if D == 1:
        column_product(like, a, b, out, M, K)
        return
    for lo in range(0, D, width):
        columns, from_, line = min(width, D - lo), b + lo * size, D
        if columns < width:
            pack_columns(like, from_, D, spare, K, columns)
            from_, line = spare, line_of(like, columns)
        strip(like, a, K, from_, line, out + lo * size, D, M, columns, from_, 0)


@compiled
def pack(like, b, K, D, panels, sums):
    """The K × D numbers at address b as panels, filled up with zeros; the sums of the columns go to address `sums`."""
    size = like.itemsize
    width = PANEL_BYTES // size
    if D == 1:
        copy(panels, b, K * size)
        sum_of_row(like, b, b, sums, K)
        return
    for lo in range(0, D, width):
        pack_and_sum(like, b + lo * size, D, panels + lo * K * size, K, min(width, D - lo), sums + lo * size)


@compiled
def pack_plain(w, at, m, D, panels, to, first, count):
    """Lines first … of A, m × D at offset `at` of w, to where they belong in the panels of A at offset `to`."""
    size = w.itemsize
    width = PANEL_BYTES // size
    if D == 1:
        copy(address(panels, to + first), address(w, at + first), count * size)
        return
    for lo in range(0, D, width):
        columns = min(width, D - lo)
        here = address(panels, to + lo * m + first * line_of(w, columns))
        pack_columns(w, address(w, at + first * D + lo), D, here, count, columns)


@compiled
def pack_turned(w, at, m, D, panels, to, first, count):
    """Lines first … of A, m × D at offset `at` of w, as columns of the panels of Aᵀ at offset `to`.

    `first` is a multiple of a vector's numbers; the panel's columns that do not exist, behind the last line, are 0.
    """
    width, lanes = PANEL_BYTES // w.itemsize, VECTOR // w.itemsize
    if m == 1:
        copy(address(panels, to), address(w, at), D * w.itemsize)
        return
    for i in range(first, first + count, lanes):
        lo, start = i // width * width, at + i * D
        line = line_of(w, min(width, m - lo))
        column = to + lo * D + i - lo
        lines = min(lanes, first + count - i)
        blocks = D // lanes * lanes if lines == lanes else 0
        for k in range(0, blocks, lanes):
            turn_block(w, address(w, start + k), D, address(panels, column + k * line), line)
        for k in range(blocks, D):
            turned = panels[column + k * line : column + k * line + lines]
            for j in range(lines):
                turned[j] = w[start + j * D + k]
        for j in range(lines, lanes):
            for k in range(D):
                panels[column + k * line + j] = 0.0
