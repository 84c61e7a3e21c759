"""Floor 2, engine: training where the units of the first hidden layer are dealt out to the threads, not only the rows.

There are two groups of units. Each has its columns of A_1, its entries of b_1 and its lines of A_2: one thread makes
their gradients, moves, packs and reads them, so they stay in its core's cache. What goes from core to core are not
panels of weights but what each group adds to z_2, and delta_2. `parts` is a net whose layers are a group's part of A_1
and its part of A_2, then the other's; while the kernel runs, A_1 lies part by part in all that is laid out as w.
"""

# mypy: ignore-errors

import numpy as np

from chainrule.engine.columns import (
    ACTIVATION,
    ADDED,
    AT_A,
    AT_B,
    AT_DELTA,
    AT_PACKED,
    AT_PANELS,
    AT_SUMS,
    AT_TURNED,
    AT_VALUE,
    AT_Z,
    FROM_LINE,
    GROUP,
    INPUTS,
    IS_WEIGHT,
    LAST_LAYER,
    LAYER,
    LINES,
    OUTPUTS,
    SLOPE,
    SPARE,
    START,
    STOP,
)
from chainrule.engine.jit import address, call, compiled, copy, entry, flush_denormals, restore_floats
from chainrule.engine.masks import keyed
from chainrule.engine.meeting import enter, meet
from chainrule.engine.moving import advance, gradient_of_piece, lines_of, of_the_mean, place_of
from chainrule.engine.passes import (
    activate,
    deltas_down,
    error_of_scores,
    fetch_inputs,
    fetch_targets,
    forward,
    own_gradients,
    pack_lines,
)
from chainrule.engine.products import pack

# ---------------------------------------------------------------- A_1 part by part


@compiled
def regroup(thread, n_threads, counter, target, net, parts, numbers, back):
    """Put A_1 within `numbers`, which are laid out as w, part by part, or back line by line; returns the next target.

    The panels are room for it.
    """
    m, D, at = net.layers[0, INPUTS], net.layers[0, OUTPUTS], net.layers[0, AT_A]
    size = numbers.itemsize
    for g in range(2 * thread, parts.layers.shape[0], 2 * n_threads):
        first, units = (parts.layers[g, AT_A] - at) // m, parts.layers[g, OUTPUTS]
        for i in range(m):
            in_lines, in_parts = i * D + first, m * first + i * units
            from_, to = (in_parts, in_lines) if back != 0 else (in_lines, in_parts)
            copy(address(net.panels, to), address(numbers, at + from_), units * size)
    meet(counter, n_threads, target + n_threads)
    lo, hi = m * D * thread // n_threads, m * D * (thread + 1) // n_threads
    copy(address(numbers, at + lo), address(net.panels, lo), (hi - lo) * size)
    meet(counter, n_threads, target + 2 * n_threads)
    return target + 2 * n_threads


@compiled
def regroup_all(thread, n_threads, counter, target, net, parts, desk, how, back):
    """All that is laid out as w: w itself, the method's state, the average, the gradient that is kept."""
    target = regroup(thread, n_threads, counter, target, net, parts, net.w, back)
    for k in range(how.state.shape[0]):
        target = regroup(thread, n_threads, counter, target, net, parts, how.state[k], back)
    if how.average.size > 0:
        target = regroup(thread, n_threads, counter, target, net, parts, how.average, back)
    for k in range(desk.grads.shape[0]):
        target = regroup(thread, n_threads, counter, target, net, parts, desk.grads[k], back)
    return target


@compiled
def pack_all(thread, n_threads, net, parts):
    """The panels of all parts by those whose they are, and of the layers above."""
    for p in range(parts.layers.shape[0]):
        if p // 2 % n_threads == thread:
            pack_lines(parts, p, 0, parts.layers[p, INPUTS])
    for l in range(2, net.layers.shape[0]):
        if l % n_threads == thread:
            pack_lines(net, l, 0, net.layers[l, INPUTS])


# ---------------------------------------------------------------- forward and backward


@compiled
def group_forward(parts, c, x, n, work, tail):
    """The values of a group's units for all n rows at address x, and what they add to z_2."""
    below, above = parts.layers[2 * c], parts.layers[2 * c + 1]
    stride, units = work.shape[1] * c, below[OUTPUTS]
    z, a = address(work, stride + below[AT_Z]), address(work, stride + below[AT_VALUE])
    call(parts.product, (x, address(parts.panels, below[AT_PANELS]), z, n, below[INPUTS], units))
    call(below[ACTIVATION], (z, a, address(parts.w, below[AT_B]), address(parts.parameters, 0), n, units))
    added = address(work, stride + tail[ADDED])
    call(parts.product, (a, address(parts.panels, above[AT_PANELS]), added, n, units, above[OUTPUTS]))


@compiled
def add_up(net, work, s, skipped, n, tail):
    """z_2 of a shard's n rows, before which the batch has `skipped` others, from what both groups add to it."""
    D, z = net.layers[1, OUTPUTS], net.layers[1, AT_Z]
    total = work[s, z : z + n * D]
    at = tail[ADDED] + skipped * D
    one, two = work[0, at : at + n * D], work[1, at : at + n * D]
    for i in range(total.size):
        total[i] = one[i] + two[i]


@compiled
def error_of_shard(net, rows, begin, skipped, n, work, s, tail, key):
    """(Σ weight · L over a shard's n rows, the sum of their weights), with the deltas of all layers but the first, and
    the gradients that a shard makes itself, left in its line. The batch begins at row `begin`."""
    lo = begin + skipped
    y, mass = fetch_targets(rows, lo, lo + n, work, s, tail)
    add_up(net, work, s, skipped, n, tail)
    a = activate(net, 1, n, work, s, key, rows, lo)
    if net.layers.shape[0] > 2:
        forward(net, a, n, work, s, tail, key, rows, lo, 2)
    total = error_of_scores(net, y, n, work, s, tail)
    deltas_down(net, n, work, s, 1)
    own_gradients(net, 0, n, work, s, tail)
    return total, mass


@compiled
def group_delta(parts, c, work, sizes):
    """delta_1 of a group's units for the rows of all shards, packed, and summed over the rows."""
    used, size, last = sizes
    below, above = parts.layers[2 * c], parts.layers[2 * c + 1]
    stride, units, D = work.shape[1] * c, below[OUTPUTS], above[OUTPUTS]
    turned, n = address(parts.panels, above[AT_TURNED]), (used - 1) * size + last
    for s in range(used):
        delta = address(work, work.shape[1] * s + above[AT_DELTA])
        to = address(work, stride + below[AT_DELTA] + s * size * units)
        call(parts.product, (delta, turned, to, size if s + 1 < used else last, D, units))
    delta, z = address(work, stride + below[AT_DELTA]), address(work, stride + below[AT_Z])
    value, own = address(work, stride + below[AT_VALUE]), address(parts.parameters, 0)
    call(below[SLOPE], (delta, z, value, own, n * units))
    pack(work, delta, n, units, address(work, stride + below[AT_PACKED]), address(work, stride + below[AT_SUMS]))


# ---------------------------------------------------------------- how w moves


@compiled
def gradient_of_part(parts, desk, piece, x, thread, sizes, g):
    """As `gradient_of_piece`, of a piece of a group's part; x is the address of all rows."""
    work, (used, size, last) = desk.work, sizes
    spare = address(work, work.shape[1] * thread + desk.tail[SPARE])
    p, c, line, lines = piece[LAYER], piece[GROUP], piece[FROM_LINE], piece[LINES]
    part, stride = parts.layers[p], work.shape[1] * c
    m, D, to = part[INPUTS], part[OUTPUTS], address(g, 0)
    if piece[IS_WEIGHT] == 0:
        for j in range(D):
            g[j] = work[c, part[AT_SUMS] + j]
    elif p % 2 == 0:
        packed = address(work, stride + part[AT_PACKED])
        n = (used - 1) * size + last
        call(parts.product_across, (x + line * work.itemsize, m, spare, packed, to, lines, n, D, 0))
    else:
        for s in range(used):
            values = address(work, stride + parts.layers[p - 1, AT_VALUE] + s * size * m + line)
            packed = address(work, work.shape[1] * s + part[AT_PACKED])
            n = size if s + 1 < used else last
            call(parts.product_across, (values, m, spare, packed, to, lines, n, D, s))


@compiled
def move_parts(thread, n_threads, net, parts, rows, desk, how, x, begin, sizes, mass, t, step, mix):
    """As `move`: this thread's groups, and its share of what belongs to none."""
    for p in range(how.pieces.shape[0]):
        c, is_weight = how.pieces[p, GROUP], how.pieces[p, IS_WEIGHT]
        if (c if c >= 0 else p) % n_threads != thread:
            continue
        lo, hi, l = how.pieces[p, START], how.pieces[p, STOP], how.pieces[p, LAYER]
        w, g = net.w[lo:hi], place_of(desk, thread, lo, hi)
        if c >= 0:
            gradient_of_part(parts, desk, how.pieces[p], x, thread, sizes, g)
        else:
            gradient_of_piece(net, rows, desk, how.pieces[p], thread, begin, sizes, g)
        how.penalties[p] = of_the_mean(w, g, is_weight, how.rules, mass)
        advance(w, g, how, lo, is_weight, 1.0, t, step, mix)
        if is_weight != 0 and c >= 0:
            pack_lines(parts, l, how.pieces[p, FROM_LINE], how.pieces[p, LINES])
        elif is_weight != 0:
            for k in range(l, how.pieces[p, LAST_LAYER] + 1):
                line, lines = lines_of(net.layers, how.pieces[p], k)
                pack_lines(net, k, line, lines)


@compiled
def noted(thread, how, tally, epoch, share, total):
    """Thread 0 adds a step's loss and penalty to those of its epoch."""
    if thread == 0 and share > 0.0:
        penalty = 0.0
        for p in range(how.pieces.shape[0]):
            penalty += how.penalties[p]
        tally[epoch, 0] += share * total
        tally[epoch, 1] += share * penalty


@entry
def train_by_units(
    thread, n_threads, counter, net, parts, rows, desk, how, seed, batch, first, last, t0, step_sizes, mixes, tally
):
    """As `train_steps`. The threads meet twice a step: what one of them moves, the others do not read before they have
    met once more."""
    N, S = rows.X.shape[0], desk.work.shape[0]  # as many groups as shards: two
    per_epoch = (N + batch - 1) // batch
    named = 1 if rows.order.size > 0 else 0
    target = enter(thread, n_threads, counter)
    floats = flush_denormals()
    target = regroup_all(thread, n_threads, counter, target, net, parts, desk, how, 0)
    pack_all(thread, n_threads, net, parts)
    epoch, share, total = 0, 0.0, 0.0
    for step in range(first, last):
        k, t = step % per_epoch, t0 + (step - first)
        lo = k * batch
        hi = min(N, lo + batch)
        size = (hi - lo + S - 1) // S
        used = (hi - lo + size - 1) // size
        sizes = used, size, hi - lo - (used - 1) * size
        key = keyed(keyed(np.uint32(0), seed), t)
        begin = named * (step // per_epoch) * N + lo
        x = fetch_inputs(rows, begin, begin + hi - lo, desk.work, thread, desk.tail)
        for c in range(thread, S, n_threads):
            group_forward(parts, c, x, hi - lo, desk.work, desk.tail)
        target += n_threads
        meet(counter, n_threads, target)
        noted(thread, how, tally, epoch, share, total)  # of the step before: all pieces have moved by now
        for s in range(thread, used, n_threads):
            n = size if s + 1 < used else sizes[2]
            desk.sums[s, 0], desk.sums[s, 1] = error_of_shard(
                net, rows, begin, s * size, n, desk.work, s, desk.tail, key
            )
        target += n_threads
        meet(counter, n_threads, target)
        epoch, share, total, mass = step // per_epoch, 0.0, 0.0, 0.0
        for s in range(used):
            total += desk.sums[s, 0]
            mass += desk.sums[s, 1]
        if mass > 0.0:
            share = (hi - lo) / mass
            for c in range(thread, S, n_threads):
                group_delta(parts, c, desk.work, sizes)
            now, mix = step_sizes[step - first], mixes[step - first]
            move_parts(thread, n_threads, net, parts, rows, desk, how, x, begin, sizes, mass, t, now, mix)
    target += n_threads
    meet(counter, n_threads, target)
    noted(thread, how, tally, epoch, share, total)
    target = regroup_all(thread, n_threads, counter, target, net, parts, desk, how, 1)
    restore_floats(floats)
    return 0.0
