"""Floor 2, engine: the kernels of second order: lines of the Jacobian, and products with matrices never made.

They are made of the pieces of `kernels` and keep to its conventions: blocks are named by addresses or offsets, formulas
come in as addresses. R{x} is the derivative of x along a direction v of w (Pearlmutter 1994).
"""

# mypy: ignore-errors

import numpy as np

from chainrule.engine.columns import (
    AT_A,
    AT_B,
    AT_DELTA,
    AT_PACKED,
    AT_PANELS,
    AT_PASSED,
    AT_TURNED,
    AT_VALUE,
    AT_Z,
    INPUTS,
    OUTPUTS,
    PIECE,
    ROW_WEIGHTS,
    SLOPE,
    SPARE,
)  # fmt: skip
from chainrule.engine.jit import address, call, compiled, copy, entry
from chainrule.engine.meeting import enter, meet
from chainrule.engine.panels import pack_columns
from chainrule.engine.passes import backward, fetch, forward, multiply_slope, pack_weights
from chainrule.engine.processor import BLOCK_WIDTH, PANEL_BYTES, VECTOR
from chainrule.engine.products import line_of, pack, strip_across

# Columns of `places`, where a layer's entries stand within a line of the Jacobian of one output.
IN_LINE_A, IN_LINE_B = range(2)
# Columns of `turned`: offsets of R{z_l}, R{a_l} and R{delta_l} within a shard's line of work, the address of the row
# that turns a delta. `spare` has the offsets of a block and of a second gradient.
R_Z, R_VALUE, R_DELTA, BEND = range(4)
BLOCK, PIECE_2 = range(2)
# A square matrix is mirrored by strips of so many columns: they stay in the cache.
MIRRORED = 16


# ---------------------------------------------------------------- lines of the Jacobian


@compiled
def residuals_of_rows(net, x, y, n, work, s, tail, rows, lo, e):
    """The residuals of n rows to address e; their slopes by z_L are left in the last delta."""
    layers = net.layers
    last = layers.shape[0] - 1
    stride = work.shape[1] * s
    at_score = forward(net, x, n, work, s, tail, np.uint32(0), rows, lo)
    score, delta = address(work, stride + at_score), address(work, stride + layers[last, AT_DELTA])
    roots, own = address(work, stride + tail[ROW_WEIGHTS]), address(net.loss_parameters, 0)
    call(net.loss, (y, score, e, delta, roots, own, n, layers[last, OUTPUTS]))
    if layers[last, SLOPE] != 0:
        multiply_slope(net, last, n, work, s)


@compiled
def one_output_down(net, o, n, work, s):
    """The deltas of all hidden layers for output o alone, whose own delta is its column of the last one."""
    layers = net.layers
    last = layers.shape[0] - 1
    stride, D, m = work.shape[1] * s, layers[last, OUTPUTS], layers[last, INPUTS]
    if last == 0:
        return
    at, at_A = layers[last - 1, AT_DELTA], layers[last, AT_A] + o
    for i in range(n):
        d = work[s, layers[last, AT_DELTA] + i * D + o]
        for p in range(m):
            work[s, at + i * m + p] = d * net.w[at_A + p * D]
    multiply_slope(net, last - 1, n, work, s)
    for l in range(last - 1, 0, -1):
        m, D = layers[l, INPUTS], layers[l, OUTPUTS]
        delta, turned = address(work, stride + layers[l, AT_DELTA]), address(net.panels, layers[l, AT_TURNED])
        call(net.product, (delta, turned, address(work, stride + layers[l - 1, AT_DELTA]), n, D, m))
        multiply_slope(net, l - 1, n, work, s)


@compiled
def write_lines(net, rows, begin, o, n, work, s, tail, places, lines, first):
    """∂e_{io}/∂w of n rows, from row `begin` on, to lines[o, first:], without the zeros of the other outputs' own
    parameters. A layer's part of a line is what the layer was given, a column, times its delta, a row."""
    layers = net.layers
    last = layers.shape[0] - 1
    for l in range(last + 1):
        m, D = layers[l, INPUTS], layers[l, OUTPUTS]
        width, start = (1, o) if l == last else (D, 0)
        at_A, at_b = places[l, IN_LINE_A], places[l, IN_LINE_B]
        for i in range(n):
            below = rows.X[begin + i] if l == 0 else work[s, layers[l - 1, AT_PASSED] + i * m :]
            delta = work[s, layers[l, AT_DELTA] + i * D + start :]
            line = lines[o, first + i]
            if width == 1:
                for p in range(m):
                    line[at_A + p] = below[p] * delta[0]
            else:
                for p in range(m):
                    part = line[at_A + p * width :]
                    for q in range(width):
                        part[q] = below[p] * delta[q]
            for q in range(width):
                line[at_b + q] = delta[q]


@compiled
def lines_of_rows(net, rows, desk, s, lo, hi, places, lines, first, e):
    """Residuals lo:hi into e, their lines of the Jacobian to lines[o, first:]. Weights must be packed."""
    work, tail = desk.work, desk.tail
    D, n = net.layers[net.layers.shape[0] - 1, OUTPUTS], hi - lo
    x, y, _ = fetch(rows, lo, hi, work, s, tail)
    residuals_of_rows(net, x, y, n, work, s, tail, rows, lo, address(e, lo * D))
    for o in range(D):
        one_output_down(net, o, n, work, s)
        write_lines(net, rows, lo, o, n, work, s, tail, places, lines, first)


@entry
def jacobian_lines(thread, n_threads, counter, net, rows, desk, at_once, lo, hi, places, lines, e):
    """Residuals lo:hi into e (N × D_L), their lines of the Jacobian into `lines` (D_L × rows × an output's line)."""
    target = enter(thread, n_threads, counter)
    if lo == 0:
        pack_weights(thread, n_threads, net)
        target += n_threads
        meet(counter, n_threads, target)
    for begin in range(lo + thread * at_once, hi, n_threads * at_once):
        lines_of_rows(net, rows, desk, thread, begin, min(hi, begin + at_once), places, lines, begin - lo, e)
    meet(counter, n_threads, target + n_threads)
    return 0.0


@compiled
def add_tile(part, s, i, height, j, count, columns, o, G):
    """Add a tile of an output's JᵀJ, from line i and column j on, to G, but for what is below the diagonal."""
    width = PANEL_BYTES // part.itemsize
    at = columns[o, j]
    side_by_side = columns[o, j + count - 1] - at == count - 1
    for p in range(height):
        row, first = columns[o, i + p], max(0, i + p - j)
        if side_by_side and first == 0:
            for q in range(np.uint64(count)):
                G[np.uint64(row), np.uint64(at) + q] += part[np.uint64(s), np.uint64(p * width) + q]
        else:
            for q in range(first, count):
                G[row, columns[o, j + q]] += part[s, p * width + q]


@compiled
def add_squares_of_rows(thread, n_threads, lines, columns, e, lo, hi, panels, part, G, g):
    """Add JᵀJ of the lines of rows lo:hi to the upper triangle of G, Jᵀe to g.

    Line i of output o has the columns `columns[o]` of J, in rising order; in the others it is 0. A thread has some of
    a line's entries, the same for all outputs, so that no two add to the same number.
    """
    n, line, size = hi - lo, lines.shape[2], lines.itemsize
    width, lanes = PANEL_BYTES // size, VECTOR // size
    to = address(part, thread * part.shape[1])
    for o in range(lines.shape[0]):
        at, its = address(lines, o * lines.shape[1] * line), address(e, lo * e.shape[1] + o)
        for j in range(thread * width, line, n_threads * width):
            count, panel = min(width, line - j), address(panels, j * n)
            pack_columns(lines, at + j * size, line, panel, n, count)
            strip_across(lines, its, e.shape[1], panel, line_of(lines, count), to, width, 1, n, count, 0)
            for q in range(count):
                g[columns[o, j + q]] += part[thread, q]
        for i in range(0, line, BLOCK_WIDTH):
            height = min(BLOCK_WIDTH, line - i)
            first = i // width // n_threads * n_threads + thread
            for j in range(first * width, line, n_threads * width):
                count, panel = min(width, line - j), address(panels, j * n)
                # in the panel on the diagonal, whole vectors of columns may lie before line i
                before = max(0, i - j) // lanes * lanes
                if before >= count:
                    continue
                strip_across(
                    lines, at + i * size, line, panel + before * size, line_of(lines, count), to, width, height, n,
                    count - before, 0,
                )  # fmt: skip
                add_tile(part, thread, i, height, j + before, count - before, columns, o, G)


@compiled
def mirror_lines(G):
    """The lower triangle of G, from the upper one."""
    K = G.shape[0]
    for lo in range(0, K, MIRRORED):
        for i in range(lo, K):
            for j in range(lo, min(lo + MIRRORED, i)):
                G[i, j] = G[j, i]


@entry
def add_squares(thread, n_threads, counter, lines, columns, e, lo, hi, panels, part, G, g):
    """JᵀJ and Jᵀe of the lines of rows lo:hi, added to the upper triangle of G and to g."""
    target = enter(thread, n_threads, counter)
    add_squares_of_rows(thread, n_threads, lines, columns, e, lo, hi, panels, part, G, g)
    meet(counter, n_threads, target + n_threads)
    return 0.0


@compiled
def normal_of_shard(net, rows, desk, s, of_s, places, lines, e, columns, panels, part, G, g):
    """The upper triangle of JᵀJ and Jᵀe of a shard's rows; of_s: its first row, its end, rows at once, in a block."""
    lo, hi, at_once, block = of_s
    for i in range(g.size):
        for j in range(i, g.size):
            G[i, j] = 0.0
        g[i] = 0.0
    for begin in range(lo, hi, block):
        end = min(hi, begin + block)
        for first in range(begin, end, at_once):
            lines_of_rows(net, rows, desk, s, first, min(end, first + at_once), places, lines, first - begin, e)
        add_squares_of_rows(0, 1, lines, columns, e, begin, end, panels, part, G, g)


@entry
def normal_matrix(
    thread, n_threads, counter, net, rows, desk, begins, at_once, block, places, lines, e, columns, panels, part, sums,
    G, g,
):  # fmt: skip
    """JᵀJ into G, Jᵀe into g, the residuals into e. Shard s has rows begins[s]:begins[s+1]; shard 0 sums in G and g,
    the others in `sums`, as line K of which stands their Jᵀe, and one thread adds them: it is the one that needs G."""
    S, K = begins.size - 1, g.size
    target = enter(thread, n_threads, counter)
    pack_weights(thread, n_threads, net)
    target += n_threads
    meet(counter, n_threads, target)
    for s in range(thread, S, n_threads):
        of_s = begins[s], begins[s + 1], at_once, block
        if s == 0:
            normal_of_shard(net, rows, desk, s, of_s, places, lines[s], e, columns, panels[s], part[s : s + 1], G, g)
        else:
            own, its = sums[s - 1, :K], sums[s - 1, K]
            normal_of_shard(
                net, rows, desk, s, of_s, places, lines[s], e, columns, panels[s], part[s : s + 1], own, its
            )
    target += n_threads
    meet(counter, n_threads, target)
    if thread == 0:
        for s in range(S - 1):
            for i in range(K):
                for j in range(i, K):
                    G[i, j] += sums[s, i, j]
                g[i] += sums[s, K, i]
        mirror_lines(G)
    return 0.0


@entry
def mirror(G):
    """The lower triangle of G from the upper one."""
    mirror_lines(G)
    return 0.0


# ---------------------------------------------------------------- products by the R-operator


@compiled
def turn_forward(net, along, x, n, work, s, turned, spare):
    """R{z_l} and R{a_l} of every layer, after `forward`: R{z_l} = R{a_{l−1}} A_l + a_{l−1} V_l + v_l."""
    layers, stride = net.layers, work.shape[1] * s
    for l in range(layers.shape[0]):
        m, D = layers[l, INPUTS], layers[l, OUTPUTS]
        r_z, at_b = turned[l, R_Z], layers[l, AT_B]
        below = x if l == 0 else address(work, stride + layers[l - 1, AT_VALUE])
        its = address(along.panels, layers[l, AT_PANELS])
        call(net.product, (below, its, address(work, stride + r_z), n, m, D))
        for i in range(n):
            for j in range(D):
                work[s, r_z + i * D + j] += along.w[at_b + j]
        if l > 0:
            r_below = address(work, stride + turned[l - 1, R_VALUE])
            block = address(work, stride + spare[BLOCK])
            call(net.product, (r_below, address(net.panels, layers[l, AT_PANELS]), block, n, m, D))
            for i in range(n * D):
                work[s, r_z + i] += work[s, spare[BLOCK] + i]
        r_value = address(work, stride + turned[l, R_VALUE])
        copy(r_value, address(work, stride + r_z), n * D * work.itemsize)
        if layers[l, SLOPE] != 0:
            z, value = address(work, stride + layers[l, AT_Z]), address(work, stride + layers[l, AT_VALUE])
            own = address(net.parameters, l * net.parameters.shape[1])
            call(layers[l, SLOPE], (r_value, z, value, own, n * D))


@compiled
def bend(net, l, n, work, s, turned):
    """(delta_l, R{delta_l}) from what came back to layer l: times σ'(z_l), which turns too."""
    layers, stride = net.layers, work.shape[1] * s
    delta, z = address(work, stride + layers[l, AT_DELTA]), address(work, stride + layers[l, AT_Z])
    value, own = address(work, stride + layers[l, AT_VALUE]), address(net.parameters, l * net.parameters.shape[1])
    r_z, r_delta = address(work, stride + turned[l, R_Z]), address(work, stride + turned[l, R_DELTA])
    call(turned[l, BEND], (delta, z, value, r_z, r_delta, own, n * layers[l, OUTPUTS]))


@compiled
def turn_backward(net, along, x, n, work, s, tail, turned, spare):
    """R{∇E} of n rows into the shard's piece, from the last delta and R{delta} down."""
    layers, size, stride = net.layers, work.itemsize, work.shape[1] * s
    room = address(work, stride + tail[SPARE])
    g, g_2 = address(work, stride + tail[PIECE]), address(work, stride + spare[PIECE_2])
    for l in range(layers.shape[0] - 1, -1, -1):
        m, D, at_A = layers[l, INPUTS], layers[l, OUTPUTS], layers[l, AT_A]
        delta = address(work, stride + layers[l, AT_DELTA])
        r_delta = address(work, stride + turned[l, R_DELTA])
        below = x if l == 0 else address(work, stride + layers[l - 1, AT_VALUE])
        packed = address(work, stride + layers[l, AT_PACKED])
        pack(work, r_delta, n, D, packed, g + layers[l, AT_B] * size)
        call(net.product_across, (below, m, room, packed, g + at_A * size, m, n, D, 0))
        if l == 0:
            return
        pack(work, delta, n, D, packed, g_2 + layers[l, AT_B] * size)
        r_below = address(work, stride + turned[l - 1, R_VALUE])
        call(net.product_across, (r_below, m, room, packed, g_2 + at_A * size, m, n, D, 0))
        for i in range(at_A, at_A + m * D):
            work[s, tail[PIECE] + i] += work[s, spare[PIECE_2] + i]
        r_passed, block = turned[l - 1, R_DELTA], address(work, stride + spare[BLOCK])
        own, its = address(net.panels, layers[l, AT_TURNED]), address(along.panels, layers[l, AT_TURNED])
        call(net.product, (r_delta, own, address(work, stride + r_passed), n, D, m))
        call(net.product, (delta, its, block, n, D, m))
        for i in range(n * m):
            work[s, r_passed + i] += work[s, spare[BLOCK] + i]
        call(net.product, (delta, own, address(work, stride + layers[l - 1, AT_DELTA]), n, D, m))
        bend(net, l - 1, n, work, s, turned)


@compiled
def turned_loss(net, bent_loss, y, n, work, s, tail, r_score, out):
    """weight · H R{s} of n rows to address out: how dL/ds turns with the scores."""
    layers = net.layers
    last, stride = layers.shape[0] - 1, work.shape[1] * s
    score, weights = address(work, stride + layers[last, AT_VALUE]), address(work, stride + tail[ROW_WEIGHTS])
    own = address(net.loss_parameters, 0)
    call(bent_loss, (y, score, r_score, out, weights, own, n, layers[last, OUTPUTS]))


@compiled
def hessian_shard(net, along, bent_loss, rows, lo, hi, work, s, tail, turned, spare):
    """The part of H v of rows lo:hi, into the shard's piece."""
    layers, n = net.layers, hi - lo
    last, stride = layers.shape[0] - 1, work.shape[1] * s
    x, y, _ = fetch(rows, lo, hi, work, s, tail)
    forward(net, x, n, work, s, tail, np.uint32(0), rows, lo)
    turn_forward(net, along, x, n, work, s, turned, spare)
    score, delta = address(work, stride + layers[last, AT_VALUE]), address(work, stride + layers[last, AT_DELTA])
    weights, own = address(work, stride + tail[ROW_WEIGHTS]), address(net.loss_parameters, 0)
    call(net.loss, (y, score, delta, weights, own, n, layers[last, OUTPUTS]))
    r_score, r_delta = address(work, stride + turned[last, R_VALUE]), address(work, stride + turned[last, R_DELTA])
    turned_loss(net, bent_loss, y, n, work, s, tail, r_score, r_delta)
    if layers[last, SLOPE] != 0:
        bend(net, last, n, work, s, turned)
    turn_backward(net, along, x, n, work, s, tail, turned, spare)


@compiled
def gauss_newton_shard(net, along, bent_loss, rows, lo, hi, work, s, tail, turned, spare):
    """The part of Jᵀ H_L J v of rows lo:hi, into the shard's piece: J v forward, H_L, then plain backpropagation."""
    layers, n = net.layers, hi - lo
    last, stride = layers.shape[0] - 1, work.shape[1] * s
    x, y, _ = fetch(rows, lo, hi, work, s, tail)
    forward(net, x, n, work, s, tail, np.uint32(0), rows, lo)
    turn_forward(net, along, x, n, work, s, turned, spare)
    r_score, delta = address(work, stride + turned[last, R_VALUE]), address(work, stride + layers[last, AT_DELTA])
    turned_loss(net, bent_loss, y, n, work, s, tail, r_score, delta)
    if layers[last, SLOPE] != 0:
        multiply_slope(net, last, n, work, s)
    backward(net, x, n, work, s, tail, tail[PIECE])


@entry
def hessian_product(thread, n_threads, counter, net, along, bent_loss, rows, desk, turned, spare, begins, at_once):
    """H v over all rows, shards as in `total_gradient`; `along` is v as a net of the same layers."""
    K = net.w.size
    target = enter(thread, n_threads, counter)
    for s in range(thread, desk.grads.shape[0], n_threads):
        desk.grads[s, :K] = 0.0
        for lo in range(begins[s], begins[s + 1], at_once):
            hi = min(begins[s + 1], lo + at_once)
            hessian_shard(net, along, bent_loss, rows, lo, hi, desk.work, s, desk.tail, turned, spare)
            for i in range(K):
                desk.grads[s, i] += desk.work[s, desk.tail[PIECE] + i]
    meet(counter, n_threads, target + n_threads)
    return 0.0


@entry
def gauss_newton_product(thread, n_threads, counter, net, along, bent_loss, rows, desk, turned, spare, begins, at_once):
    """Jᵀ H_L J v over all rows, arguments as in `hessian_product`."""
    K = net.w.size
    target = enter(thread, n_threads, counter)
    for s in range(thread, desk.grads.shape[0], n_threads):
        desk.grads[s, :K] = 0.0
        for lo in range(begins[s], begins[s + 1], at_once):
            hi = min(begins[s + 1], lo + at_once)
            gauss_newton_shard(net, along, bent_loss, rows, lo, hi, desk.work, s, desk.tail, turned, spare)
            for i in range(K):
                desk.grads[s, i] += desk.work[s, desk.tail[PIECE] + i]
    meet(counter, n_threads, target + n_threads)
    return 0.0
