"""Floor 2, engine: the kernels of lines of the Jacobian J, and of JᵀJ and Jᵀe, which are added up from them.

A line of ∂e_{io}/∂A_l is what layer l was given, x, times its delta: of layer l's own block of JᵀJ an entry is
Σ x_p x_q δ_h δ_k. It is the same for (p, h), (q, k) and for (p, k), (q, h), and the sum over outputs of δ_h δ_k has no
more numbers than for one: for larger hidden layers the block is the product of the pairs of x and of the pairs of δ,
which takes half the multiplications with one output, and less with more. All other entries are products of lines.
"""

# mypy: ignore-errors

import numpy as np

from chainrule.engine.columns import (
    AT_A,
    AT_B,
    AT_DELTA,
    AT_PASSED,
    AT_SQUARES,
    AT_TURNED,
    END,
    FIRST,
    IN_LINE_A,
    IN_LINE_B,
    INPUTS,
    OF_DELTAS,
    OF_INPUTS,
    OF_LAYER,
    OUTPUTS,
    ROW_WEIGHTS,
    SEGMENT,
    SLOPE,
)  # fmt: skip
from chainrule.engine.jit import address, call, compiled, entry, widest, written_out
from chainrule.engine.meeting import enter, meet
from chainrule.engine.panels import pack_columns, turn_block
from chainrule.engine.passes import fetch, forward, multiply_slope, pack_weights
from chainrule.engine.processor import BLOCK_WIDTH, PANEL_BYTES, VECTOR
from chainrule.engine.products import line_of, strip_across

# So many pairs of inputs are multiplied at a time.
INPUTS_AT_ONCE = 8 * BLOCK_WIDTH
# A square matrix is mirrored by strips of so many columns: they stay in the cache.
MIRRORED = 16


@written_out
def pairs_of(n):
    """How many pairs n numbers make, each with itself too."""
    return n * (n + 1) // 2


@written_out
def depth(lines):
    """Rows that panels of pairs have room for, where a block has so many lines: whole vectors of them."""
    lanes = VECTOR // lines.itemsize
    return (lines.shape[1] + lanes - 1) // lanes * lanes


# ---------------------------------------------------------------- lines of the Jacobian


@compiled
def residuals_of_rows(net, x, y, n, work, s, tail, rows, lo, e):
    """The residuals of n rows to address e; their slopes by z_L are left in the last delta."""
    layers = net.layers
    last = layers.shape[0] - 1
    stride = work.shape[1] * s
    at_score = forward(net, x, n, work, s, tail, np.uint32(0), rows, lo, 0)
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
def multiply_columns(own, at, size, count, first, more):
    """Of `count` columns of `size` numbers each, from `own[at]` on: the product of each with itself and all behind it,
    one after another, to own[first:], or added to what is there where `more`."""
    widest()
    for h in range(count):
        a = own[at + h * size : at + (h + 1) * size]
        for k in range(h, count):
            b, its = own[at + k * size : at + (k + 1) * size], own[first : first + size]
            if more:
                for i in range(size):
                    its[i] += a[i] * b[i]
            else:
                for i in range(size):
                    its[i] = a[i] * b[i]
            first += size


@compiled
def multiply_pairs(net, rows, begin, o, n, work, s, at_once, cut, own):
    """The pairs of n rows, from row `begin` on, to a thread's own room, a column each: x_p x_q of what a layer was
    given and of a 1 for the bias, δ_h δ_k of its deltas for output o, added to those for the outputs before."""
    layers, places = net.layers, cut.places
    at = BLOCK_WIDTH * PANEL_BYTES // own.itemsize
    pairs = at + cut.widest * at_once
    for l in range(layers.shape[0]):
        if places[l, OF_DELTAS] < 0:
            continue
        m, D = layers[l, INPUTS], layers[l, OUTPUTS]
        for i in range(n):
            for h in range(D):
                own[at + h * at_once + i] = work[s, layers[l, AT_DELTA] + i * D + h]
        multiply_columns(own, at, at_once, D, pairs + places[l, OF_DELTAS] * at_once, o > 0)
        if o > 0:
            continue
        for i in range(n):
            below = rows.X[begin + i] if l == 0 else work[s, layers[l - 1, AT_PASSED] + i * m :]
            for p in range(m):
                own[at + p * at_once + i] = below[p]
            own[at + m * at_once + i] = 1.0
        multiply_columns(own, at, at_once, m + 1, pairs + places[l, OF_INPUTS] * at_once, False)


@compiled
def turn_columns(own, at, at_once, n, count, pairs, to, width, deep, first):
    """`count` columns of n rows, from own[at] on, as lines first … of blocks of `width` columns and `deep` lines."""
    lanes = VECTOR // own.itemsize
    for j in range(0, count, lanes):
        block = to + j // width * width * deep + j % width
        for i in range(0, n, lanes):
            from_, line = address(own, at + j * at_once + i), address(pairs, block + (first + i) * width)
            turn_block(own, from_, at_once, line, width)


@compiled
def turn_pairs(net, cut, own, at_once, n, pairs, deep, first):
    """The pairs of n rows as lines first … of what `add_pairs` reads."""
    width = PANEL_BYTES // own.itemsize
    at = BLOCK_WIDTH * width + cut.widest * at_once
    for l in range(net.layers.shape[0]):
        of_x, of_delta = cut.places[l, OF_INPUTS], cut.places[l, OF_DELTAS]
        if of_delta >= 0:
            count = pairs_of(net.layers[l, INPUTS] + 1)
            turn_columns(own, at + of_x * at_once, at_once, n, count, pairs, of_x * deep, BLOCK_WIDTH, deep, first)
            count = pairs_of(net.layers[l, OUTPUTS])
            turn_columns(own, at + of_delta * at_once, at_once, n, count, pairs, of_delta * deep, width, deep, first)


@compiled
def lines_of_rows(net, rows, desk, s, lo, hi, at_once, cut, lines, pairs, own, first, e):
    """Residuals lo:hi into e, their lines of the Jacobian to lines[o, first:], their pairs. Weights must be packed."""
    work, tail = desk.work, desk.tail
    D, n = net.layers[net.layers.shape[0] - 1, OUTPUTS], hi - lo
    x, y, _ = fetch(rows, lo, hi, work, s, tail)
    residuals_of_rows(net, x, y, n, work, s, tail, rows, lo, address(e, lo * D))
    for o in range(D):
        one_output_down(net, o, n, work, s)
        write_lines(net, rows, lo, o, n, work, s, tail, cut.places, lines, first)
        multiply_pairs(net, rows, lo, o, n, work, s, at_once, cut, own)
    turn_pairs(net, cut, own, at_once, n, pairs, depth(lines), first)


@entry
def jacobian_lines(thread, n_threads, counter, net, rows, desk, at_once, lo, hi, cut, lines, pairs, part, e):
    """Residuals lo:hi into e (N × D_L), their lines of the Jacobian into `lines` (D_L × rows × an output's line), their
    pairs into `pairs`."""
    target = enter(thread, n_threads, counter)
    if lo == 0:
        pack_weights(thread, n_threads, net)
        target += n_threads
        meet(counter, n_threads, target)
    for begin in range(lo + thread * at_once, hi, n_threads * at_once):
        end = min(hi, begin + at_once)
        lines_of_rows(net, rows, desk, thread, begin, end, at_once, cut, lines, pairs, part[thread], begin - lo, e)
    meet(counter, n_threads, target + n_threads)
    return 0.0


# ---------------------------------------------------------------- JᵀJ and Jᵀe


@compiled
def add_gradient(thread, n_threads, lines, columns, e, lo, hi, part, g):
    """Add Jᵀe of the lines of rows lo:hi to g: a thread has some of a line's entries, a tile's worth at a time."""
    widest()
    line = lines.shape[2]
    width = BLOCK_WIDTH * PANEL_BYTES // lines.itemsize
    sums = part[thread]
    for o in range(lines.shape[0]):
        for j in range(thread * width, line, n_threads * width):
            some = sums[: min(width, line - j)]
            some[:] = 0.0
            for i in range(hi - lo):
                own, factor = lines[o, i, j : j + some.size], e[lo + i, o]
                for q in range(some.size):
                    some[q] += factor * own[q]
            for q in range(some.size):
                g[columns[o, j + q]] += some[q]


@compiled
def add_tile(part, s, i, height, j, count, columns, o, G):
    """Add a tile of an output's JᵀJ, from line i and column j on, to G, but for what is below the diagonal."""
    width = PANEL_BYTES // part.itemsize
    at = columns[o, j]
    side_by_side = columns[o, j + count - 1] - at == count - 1
    for p in range(height):
        row, first = columns[o, i + p], max(0, i + p - j)
        if side_by_side and first == 0 and row <= at:
            for q in range(np.uint64(count)):
                G[np.uint64(row), np.uint64(at) + q] += part[np.uint64(s), np.uint64(p * width) + q]
        else:
            for q in range(first, count):
                column = columns[o, j + q]
                G[min(row, column), max(row, column)] += part[s, p * width + q]


@compiled
def add_lines(thread, n_threads, lines, cut, n, panels, part, G):
    """Add JᵀJ of n lines an output to the upper triangle of G, but for what is made of pairs.

    Line i of output o has the columns `columns[o]` of J; in the others it is 0. A thread has some of a line's entries,
    the same for all outputs, so that no two add to the same number.
    """
    columns, segments, line, size = cut.columns, cut.segments, lines.shape[2], lines.itemsize
    width, lanes = PANEL_BYTES // size, VECTOR // size
    to = address(part, thread * part.shape[1])
    for o in range(lines.shape[0]):
        at = address(lines, o * lines.shape[1] * line)
        for k in range(thread, cut.panels.shape[0], n_threads):
            j = cut.panels[k, FIRST]
            count = cut.panels[k, END] - j
            pack_columns(lines, at + j * size, line, address(panels, k * width * n), n, count)
        for r in range(segments.shape[0]):
            for i in range(segments[r, FIRST], segments[r, END], BLOCK_WIDTH):
                height = min(BLOCK_WIDTH, segments[r, END] - i)
                for k in range(thread, cut.panels.shape[0], n_threads):
                    j, c = cut.panels[k, FIRST], cut.panels[k, SEGMENT]
                    count = cut.panels[k, END] - j
                    if c < r or (segments[r, OF_LAYER] >= 0 and segments[c, OF_LAYER] == segments[r, OF_LAYER]):
                        continue
                    # in the panel on the diagonal, whole vectors of columns may lie before line i
                    before = max(0, i - j) // lanes * lanes
                    if before >= count:
                        continue
                    panel = address(panels, k * width * n + before)
                    strip_across(
                        lines, at + i * size, line, panel, line_of(lines, count), to, width, height, n,
                        count - before, 0,
                    )  # fmt: skip
                    add_tile(part, thread, i, height, j + before, count - before, columns, o, G)


@compiled
def add_pairs(thread, n_threads, net, pairs, deep, cut, n, squares):
    """Add the products of the pairs of n rows to `squares`: a thread has some panels of pairs of deltas, which it
    multiplies by a few blocks of pairs of inputs after the other: these stay in the cache meanwhile."""
    width = PANEL_BYTES // pairs.itemsize
    for l in range(net.layers.shape[0]):
        if cut.places[l, OF_DELTAS] < 0:
            continue
        of_x, of_delta = pairs_of(net.layers[l, INPUTS] + 1), pairs_of(net.layers[l, OUTPUTS])
        for begin in range(0, of_x, INPUTS_AT_ONCE):
            for first in range(thread * width, of_delta, n_threads * width):
                panel, count = address(pairs, (cut.places[l, OF_DELTAS] + first) * deep), min(width, of_delta - first)
                for i in range(begin, min(of_x, begin + INPUTS_AT_ONCE), BLOCK_WIDTH):
                    x = address(pairs, (cut.places[l, OF_INPUTS] + i) * deep)
                    to = address(squares, cut.places[l, AT_SQUARES] + first * of_x + i * width)
                    strip_across(
                        pairs, x, BLOCK_WIDTH, panel, width, to, width, min(BLOCK_WIDTH, of_x - i), n, count, 1
                    )


@compiled
def unfold(squares, at, apart, D, block):
    """What the pairs of D deltas with one pair of inputs have added up to, as D × D numbers, lines of all D."""
    width = PANEL_BYTES // squares.itemsize
    panel, left = at, width
    for h in range(D):
        for k in range(h, D):
            if left == 0:
                panel, left = panel + apart, width
            found = squares[panel + width - left]
            block[h * D + k] = found
            block[k * D + h] = found
            left -= 1


@compiled
def spread_pairs(net, cut, squares, block, G):
    """What the pairs have added up to, where it belongs in the upper triangle of G; `block` is room."""
    width = PANEL_BYTES // G.itemsize
    for l in range(net.layers.shape[0]):
        if cut.places[l, OF_DELTAS] < 0:
            continue
        m, D, at_A, at_b = net.layers[l, INPUTS], net.layers[l, OUTPUTS], net.layers[l, AT_A], net.layers[l, AT_B]
        at = cut.places[l, AT_SQUARES]
        for p in range(m + 1):
            row = at_A + p * D if p < m else at_b
            for q in range(p, m + 1):
                column = at_A + q * D if q < m else at_b
                unfold(squares, at, pairs_of(m + 1) * width, D, block)
                at += width
                for h in range(D):
                    line, its = G[row + h, column : column + D], block[h * D : (h + 1) * D]
                    for k in range(D):
                        line[k] = its[k]


@compiled
def mirror_lines(G):
    """The lower triangle of G, from the upper one."""
    K = G.shape[0]
    for lo in range(0, K, MIRRORED):
        for i in range(lo, K):
            for j in range(lo, min(lo + MIRRORED, i)):
                G[i, j] = G[j, i]


@entry
def add_squares(thread, n_threads, counter, net, lines, pairs, cut, e, lo, hi, panels, part, squares, G, g):
    """JᵀJ and Jᵀe of the lines and pairs of rows lo:hi, added to the upper triangle of G and to `squares`, and to g."""
    target = enter(thread, n_threads, counter)
    add_gradient(thread, n_threads, lines, cut.columns, e, lo, hi, part, g)
    add_lines(thread, n_threads, lines, cut, hi - lo, panels, part, G)
    add_pairs(thread, n_threads, net, pairs, depth(lines), cut, hi - lo, squares)
    meet(counter, n_threads, target + n_threads)
    return 0.0


@compiled
def normal_of_shard(net, rows, desk, s, of_s, lines, pairs, cut, e, panels, part, squares, G, g):
    """The upper triangle of JᵀJ and Jᵀe of a shard's rows; of_s: its first row, its end, rows at once, in a block."""
    lo, hi, at_once, block = of_s
    for i in range(g.size):
        G[i, i:] = 0.0
    g[:] = 0.0
    squares[:] = 0.0
    for begin in range(lo, hi, block):
        end = min(hi, begin + block)
        for first in range(begin, end, at_once):
            last = min(end, first + at_once)
            lines_of_rows(net, rows, desk, s, first, last, at_once, cut, lines, pairs, part[0], first - begin, e)
        add_gradient(0, 1, lines, cut.columns, e, begin, end, part, g)
        add_lines(0, 1, lines, cut, end - begin, panels, part, G)
        add_pairs(0, 1, net, pairs, depth(lines), cut, end - begin, squares)


@entry
def normal_matrix(
    thread, n_threads, counter, net, rows, desk, begins, at_once, lines, pairs, cut, e, panels, part, squares, sums, G,
    g,
):  # fmt: skip
    """JᵀJ into G, Jᵀe into g, the residuals into e. Shard s has rows begins[s]:begins[s+1]; shard 0 sums in G and g,
    the others in `sums`, as line K of which stands their Jᵀe, and one thread adds them: it is the one that needs G."""
    S, K = begins.size - 1, g.size
    target = enter(thread, n_threads, counter)
    pack_weights(thread, n_threads, net)
    target += n_threads
    meet(counter, n_threads, target)
    for s in range(thread, S, n_threads):
        of_s = begins[s], begins[s + 1], at_once, lines.shape[2]
        own, its = (G, g) if s == 0 else (sums[s - 1, :K], sums[s - 1, K])
        normal_of_shard(
            net, rows, desk, s, of_s, lines[s], pairs[s], cut, e, panels[s], part[s : s + 1], squares[s], own, its
        )
    target += n_threads
    meet(counter, n_threads, target)
    if thread == 0:
        for s in range(1, S):
            for i in range(K):
                for j in range(i, K):
                    G[i, j] += sums[s - 1, i, j]
                g[i] += sums[s - 1, K, i]
            for i in range(squares.shape[1]):
                squares[0, i] += squares[s, i]
        spread_pairs(net, cut, squares[0], part[0], G)
        mirror_lines(G)
    return 0.0


@entry
def finish(net, cut, part, squares, G):
    """G from its upper triangle and what the pairs have added up to."""
    spread_pairs(net, cut, squares, part[0], G)
    mirror_lines(G)
    return 0.0
