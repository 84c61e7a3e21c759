"""Floor 2, engine: products of whole matrices, made of tiles, and the panels that they read. See `tiles`."""

# mypy: ignore-errors

from chainrule.engine.jit import address, compiled, written_out
from chainrule.engine.panels import pack_and_sum, pack_columns, pack_rows_across, turn_block
from chainrule.engine.processor import BLOCKS_AT_ONCE, PANEL_BYTES, ROWS
from chainrule.engine.tiles import tile, tile_across

# Aᵀ is packed where more panels of B than this read it, so many lines of A at a time.
_PANELS_WORTH_PACKING = 8
_LINES_AT_ONCE = 16


@written_out
def height(left):
    """Rows of the next tile of so many that are left: the last two share what is more than one has."""
    return min(ROWS, left) if left <= ROWS or left >= 2 * ROWS else (left + 1) // 2


@written_out
def product(like, a, panels, out, M, K, D):
    """out (M × D) = A B, A at address a, B packed in panels; `like` gives the float width."""
    size = like.itemsize
    width = PANEL_BYTES // size
    for lo in range(0, D, width):
        columns, i = min(width, D - lo), 0
        while i < M:
            rows = height(M - i)
            to = out + (i * D + lo) * size
            tile(like, a + i * K * size, K, panels + lo * K * size, width, to, D, rows, K, columns)
            i += rows


@compiled
def pack_across(like, a, i, M, K, spare):
    """The blocks of Aᵀ from row i on that are packed at once, each K lines of ROWS numbers and one that takes what is
    written behind them; A is K × M.

    A few lines of A for all blocks, then the next few: the cache keeps few lines that lie a power of two apart.
    """
    size = like.itemsize
    for k in range(0, K, _LINES_AT_ONCE):
        lines, j, to = min(_LINES_AT_ONCE, K - k), i, spare + k * ROWS * size
        for _ in range(BLOCKS_AT_ONCE):
            rows = height(M - j)
            pack_rows_across(like, a + (k * M + j) * size, M, to, lines, rows)
            j += rows
            to += (K + 1) * ROWS * size
            if j == M:
                break


@written_out
def product_across(like, a, spare, panels, out, M, K, D):
    """out (M × D) = Aᵀ B, A is K × M; address `spare` has room for BLOCKS_AT_ONCE × (K + 1) × ROWS numbers."""
    size = like.itemsize
    width = PANEL_BYTES // size
    packs = _PANELS_WORTH_PACKING * width < D and K > ROWS
    i, block = 0, 0
    while i < M:
        if packs and block % BLOCKS_AT_ONCE == 0:
            pack_across(like, a, i, M, K, spare)
        rows, from_, stride = height(M - i), a + i * size, M
        if packs:
            from_, stride = spare + block % BLOCKS_AT_ONCE * (K + 1) * ROWS * size, ROWS
        for lo in range(0, D, width):
            panel, to, columns = panels + lo * K * size, out + (i * D + lo) * size, min(width, D - lo)
            tile_across(like, from_, stride, panel, width, to, D, rows, K, columns)
        i += rows
        block += 1


@written_out
def product_of_few(like, a, b, spare, out, M, K, D):
    """out (M × D) = A B for few rows: B is read where it is, but for columns at its edge, which are packed first."""
    size = like.itemsize
    width = PANEL_BYTES // size
    for lo in range(0, D, width):
        columns, from_, stride = min(width, D - lo), b + lo * size, D
        if columns < width:
            pack_columns(like, from_, D, spare, K, columns)
            from_, stride = spare, width
        for i in range(0, M, ROWS):
            to = out + (i * D + lo) * size
            tile(like, a + i * K * size, K, from_, stride, to, D, min(ROWS, M - i), K, columns)


@compiled
def pack(like, b, K, D, panels, sums):
    """The K × D numbers at address b as panels, filled up with zeros; the sums of the columns go to address `sums`."""
    size = like.itemsize
    width = PANEL_BYTES // size
    for lo in range(0, D, width):
        pack_and_sum(like, b + lo * size, D, panels + lo * K * size, K, min(width, D - lo), sums + lo * size)


@compiled
def pack_turned(w, at, m, D, panels, to, lo):
    """The panel from column lo on of the D × m matrix Aᵀ, where A is m × D at offset `at` of w."""
    width = PANEL_BYTES // w.itemsize
    lanes, columns = width // 2, min(width, m - lo)
    to += lo * D
    for j in range(0, columns, lanes):
        start = at + (lo + j) * D
        blocks = D // lanes * lanes if j + lanes <= columns else 0
        for k in range(0, blocks, lanes):
            turn_block(w, address(w, start + k), D, address(panels, to + k * width + j), width)
        for i in range(min(lanes, columns - j)):
            for k in range(blocks, D):
                panels[to + k * width + j + i] = w[start + i * D + k]
    for j in range(columns, width):
        for k in range(D):
            panels[to + k * width + j] = 0.0
