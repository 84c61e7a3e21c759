"""Floor 2, engine: products of whole matrices, made of tiles, and the panels that they read. See `tiles`."""

# mypy: ignore-errors

from chainrule.engine.jit import compiled, written_out
from chainrule.engine.processor import PANEL_BYTES, ROWS
from chainrule.engine.tiles import pack_columns, tile


@written_out
def product(like, a, row_stride, k_stride, panels, out, M, K, D):
    """out (M × D) = A B, A read with its strides from address a, B packed in panels; `like` gives the float width."""
    size = like.itemsize
    width = PANEL_BYTES // size
    for lo in range(0, D, width):
        columns = min(width, D - lo)
        for i in range(0, M, ROWS):
            tile(
                like, a + i * row_stride * size, row_stride, k_stride, panels + lo * K * size, width,
                out + (i * D + lo) * size, D, min(ROWS, M - i), K, columns,
            )  # fmt: skip


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
            tile(like, a + i * K * size, K, 1, from_, stride, to, D, min(ROWS, M - i), K, columns)


@compiled
def pack(like, b, K, D, panels):
    """The K × D numbers at address b as panels: zeros fill the last one up."""
    size = like.itemsize
    width = PANEL_BYTES // size
    for lo in range(0, D, width):
        pack_columns(like, b + lo * size, D, panels + lo * K * size, K, min(width, D - lo))


@compiled
def pack_turned(w, at, m, D, panels, to, lo):
    """The panel from column lo on of the D × m matrix Aᵀ, where A is m × D at offset `at` of w."""
    width = PANEL_BYTES // w.itemsize
    to += lo * D
    for j in range(min(width, m - lo)):
        start = at + (lo + j) * D
        for k in range(D):
            panels[to + k * width + j] = w[start + k]
    for j in range(m - lo, width):
        for k in range(D):
            panels[to + k * width + j] = 0.0
