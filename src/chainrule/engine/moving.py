"""Floor 2, engine: how a step moves w: piece by piece, each from its gradient to its new panels."""

# mypy: ignore-errors

import numpy as np

from chainrule.engine.columns import (
    ALPHA,
    AT_A,
    AT_B,
    AT_GRADIENT,
    AT_SUMS,
    CLIP,
    DECAY,
    FROM_LINE,
    INPUT,
    INPUTS,
    IS_WEIGHT,
    L1,
    LAST_LAYER,
    LAYER,
    LINES,
    OUTPUTS,
    PIECE,
    SPARE,
    START,
    STOP,
)
from chainrule.engine.jit import address, array, call, compiled, local, written_out
from chainrule.engine.meeting import meet
from chainrule.engine.passes import gradient_of_lines, pack_lines


@compiled
def sum_of_squares(x):
    """Σ x² in float64, as eight sums side by side, which fit the vector registers in this order."""
    sums = array(local(np.float64, 8), 8)
    sums[:] = 0.0
    whole = x.size // 8 * 8
    for i in range(0, whole, 8):
        its = x[i : i + 8]
        for j in range(8):
            sums[j] += np.float64(its[j]) * np.float64(its[j])
    for i in range(whole, x.size):
        sums[0] += np.float64(x[i]) * np.float64(x[i])
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))


@compiled
def total(g, work, at, used):
    """The sum over the first shards of what their lines have from offset `at` on, one after another, into g."""
    n = g.size
    first, second = work[0, at : at + n], work[min(1, used - 1), at : at + n]
    if used == 1:
        for j in range(n):
            g[j] = first[j]
    else:
        for j in range(n):
            g[j] = first[j] + second[j]
    for s in range(2, used):
        further = work[s, at : at + n]
        for j in range(n):
            g[j] += further[j]


@written_out
def lines_of(layers, piece, l):
    """(first line, number of lines) of A_l that a piece has."""
    if piece[LAYER] == piece[LAST_LAYER]:
        return piece[FROM_LINE], piece[LINES]
    return 0, layers[l, INPUTS]


@compiled
def gradient_of_piece(net, rows, desk, piece, thread, first, sizes, g):
    """Σ weight · dL of a batch by a piece of w, into g. `sizes` are those of all shards and of the last one."""
    work, tail, layers = desk.work, desk.tail, net.layers
    used, size, last = sizes
    spare = address(work, work.shape[1] * thread + tail[SPARE])
    for l in range(piece[LAYER], piece[LAST_LAYER] + 1):
        D = layers[l, OUTPUTS]
        if piece[IS_WEIGHT] == 0:
            at = layers[l, AT_B] - piece[START]
            total(g[at : at + D], work, layers[l, AT_SUMS], used)
            continue
        line, lines = lines_of(layers, piece, l)
        at = layers[l, AT_A] + line * D - piece[START]
        if layers[l, AT_GRADIENT] >= 0:
            total(g[at : at + lines * D], work, layers[l, AT_GRADIENT] + line * D, used)
            continue
        for s in range(used):
            n = size if s + 1 < used else last
            x = address(work, work.shape[1] * s + tail[INPUT])
            if rows.order.size == 0:
                x = address(rows.X, (first + s * size) * rows.X.shape[1])
            gradient_of_lines(net, l, line, lines, x, n, work, s, spare, address(g, at), s)


@compiled
def of_the_mean(w, g, is_weight, rules, mass):
    """Make g, a sum over rows, the gradient of the mean error on w, penalties included; returns the penalties."""
    scale = w.dtype.type(1.0 / mass)
    for i in range(w.size):
        g[i] *= scale
    penalty = 0.0
    if is_weight != 0 and rules[ALPHA] != 0.0:
        penalty += 0.5 * rules[ALPHA] * sum_of_squares(w)
        alpha = w.dtype.type(rules[ALPHA] / mass)
        for i in range(w.size):
            g[i] += alpha * w[i]
    if is_weight != 0 and rules[L1] != 0.0:
        l1 = w.dtype.type(rules[L1] / mass)
        absolutes = 0.0
        for i in range(w.size):
            absolutes += abs(np.float64(w[i]))
            g[i] += l1 if w[i] > 0.0 else (-l1 if w[i] < 0.0 else 0.0 * l1)
        penalty += rules[L1] * absolutes
    return penalty


@written_out
def advance(w, g, how, lo, is_weight, factor, t, step, mix):
    """One step of the method on w, which starts at number lo of all, by `factor` times the gradient; then the average
    of w moves towards w."""
    if factor != 1.0:
        short = w.dtype.type(factor)
        for i in range(w.size):
            g[i] *= short
    if is_weight != 0 and how.rules[DECAY] > 0.0:
        left = w.dtype.type(1.0 - step * how.rules[DECAY])
        for i in range(w.size):
            w[i] *= left
    hyper = address(how.hyper, is_weight * how.hyper.shape[1])
    state = address(how.state, lo)
    call(how.method, (address(w, 0), address(g, 0), state, hyper, np.float64(t), step, how.state.shape[1], w.size))
    average = how.average
    if average.size > 0:
        share = w.dtype.type(mix)
        for i in range(w.size):
            average[lo + i] += share * (w[i] - average[lo + i])


@written_out
def place_of(desk, thread, lo, hi):
    """Where the gradient of piece lo:hi is put: among the others where they are kept, else in the thread's own room."""
    if desk.grads.size > 0:
        return desk.grads[0, lo:hi]
    at = desk.tail[PIECE]
    return desk.work[thread, at : at + hi - lo]


@written_out
def clipped(thread, n_threads, counter, target, net, rows, desk, how, first, sizes, mass):
    """The gradient before any piece of w moves, since its norm is that of the whole; returns the factor that makes it
    short enough."""
    for p in range(thread, how.pieces.shape[0], n_threads):
        lo, hi, is_weight = how.pieces[p, START], how.pieces[p, STOP], how.pieces[p, IS_WEIGHT]
        g = place_of(desk, thread, lo, hi)
        gradient_of_piece(net, rows, desk, how.pieces[p], thread, first, sizes, g)
        how.penalties[p] = of_the_mean(net.w[lo:hi], g, is_weight, how.rules, mass)
        how.squares[p] = sum_of_squares(g)
    meet(counter, n_threads, target)
    norm = 0.0
    for p in range(how.pieces.shape[0]):
        norm += how.squares[p]
    return how.rules[CLIP] / np.sqrt(norm) if np.sqrt(norm) > how.rules[CLIP] else 1.0


@compiled
def move(thread, n_threads, net, rows, desk, how, first, sizes, mass, factor, t, step, mix):
    """One step of the method on this thread's pieces of w, each right after its gradient and before its packing:
    meanwhile it stays in the cache."""
    for p in range(thread, how.pieces.shape[0], n_threads):
        lo, hi, is_weight = how.pieces[p, START], how.pieces[p, STOP], how.pieces[p, IS_WEIGHT]
        w, g = net.w[lo:hi], place_of(desk, thread, lo, hi)
        if how.rules[CLIP] == 0.0:
            gradient_of_piece(net, rows, desk, how.pieces[p], thread, first, sizes, g)
            how.penalties[p] = of_the_mean(w, g, is_weight, how.rules, mass)
        advance(w, g, how, lo, is_weight, factor, t, step, mix)
        if is_weight != 0:
            for l in range(how.pieces[p, LAYER], how.pieces[p, LAST_LAYER] + 1):
                line, lines = lines_of(net.layers, how.pieces[p], l)
                pack_lines(net, l, line, lines)
