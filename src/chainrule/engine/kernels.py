"""Floor 2, engine: the kernels of training and of whole tables, as Python calls them."""

# mypy: ignore-errors

import numpy as np

from chainrule.engine.columns import CLIP, PIECE, TASKS
from chainrule.engine.jit import address, atomic_load, compiled, entry, flush_denormals, give_way, restore_floats
from chainrule.engine.masks import keyed
from chainrule.engine.meeting import SPINS_BEFORE_YIELD, enter, meet
from chainrule.engine.moving import clipped, move
from chainrule.engine.passes import backward, error_of_rows, fetch, forward, pack_weights, shard_deltas

SPINS_BEFORE_SLEEP = 5_000


@entry
def wait_for_task(counter, seen):
    """Whether there is a task after number `seen`, or soon will be: a moment is waited for it."""
    spins = 0
    while atomic_load(counter, TASKS) <= seen:
        spins += 1
        if spins > SPINS_BEFORE_YIELD:
            give_way()
        if spins > SPINS_BEFORE_SLEEP:
            return 0.0
    return 1.0


@entry
def train_steps(
    thread, n_threads, counter, net, rows, desk, how, seed, batch, first, last, t0, step_sizes, mixes, tally
):
    """Steps first:last of a run, several epochs if they reach that far; each thread runs this on its own shards.

    `rows.order` has the order of one epoch after another. `tally[epoch]` gathers rows × mean loss and rows × penalty
    of every batch, as scikit-learn weighs them.
    """
    N, S = rows.X.shape[0], desk.work.shape[0]
    per_epoch = (N + batch - 1) // batch
    named = 1 if rows.order.size > 0 else 0
    target = enter(thread, n_threads, counter)
    floats = flush_denormals()
    pack_weights(thread, n_threads, net)
    target += n_threads
    meet(counter, n_threads, target)
    for step in range(first, last):
        epoch, k, t = step // per_epoch, step % per_epoch, t0 + (step - first)
        lo = k * batch
        hi = min(N, lo + batch)
        size = (hi - lo + S - 1) // S
        used = (hi - lo + size - 1) // size  # a last, short batch may need fewer shards
        sizes = used, size, hi - lo - (used - 1) * size
        key = keyed(keyed(np.uint32(0), seed), t)
        begin = named * epoch * N + lo
        for s in range(thread, used, n_threads):
            n = size if s + 1 < used else sizes[2]
            at = begin + s * size
            desk.sums[s, 0], desk.sums[s, 1] = shard_deltas(net, rows, at, at + n, desk.work, s, desk.tail, key)
        target += n_threads
        meet(counter, n_threads, target)
        total, mass = 0.0, 0.0
        for s in range(used):
            total += desk.sums[s, 0]
            mass += desk.sums[s, 1]
        if mass > 0.0:
            factor = 1.0
            if how.rules[CLIP] > 0.0:
                target += n_threads
                factor = clipped(thread, n_threads, counter, target, net, rows, desk, how, begin, sizes, mass)
            now, mix = step_sizes[step - first], mixes[step - first]
            move(thread, n_threads, net, rows, desk, how, begin, sizes, mass, factor, t, now, mix)
        target += n_threads
        meet(counter, n_threads, target)
        if thread == 0 and mass > 0.0:
            penalty = 0.0
            for p in range(how.pieces.shape[0]):
                penalty += how.penalties[p]
            tally[epoch, 0] += (hi - lo) * total / mass
            tally[epoch, 1] += (hi - lo) * penalty / mass
    restore_floats(floats)
    return 0.0


# ---------------------------------------------------------------- whole tables


@entry
def prepare(net):
    """Pack the weights, for kernels that do not."""
    pack_weights(0, 1, net)
    return 0.0


@compiled
def packed_by_all(thread, n_threads, counter, net, target):
    """Pack the weights together; where there is no room for panels, w is read itself. Returns the next target."""
    if net.panels.size == 0:
        return target
    pack_weights(thread, n_threads, net)
    meet(counter, n_threads, target + n_threads)
    return target + n_threads


@entry
def total_gradient(thread, n_threads, counter, net, rows, desk, begins, at_once):
    """E and its gradient over all rows: shard s takes rows begins[s]:begins[s+1], `at_once` at a time."""
    target = enter(thread, n_threads, counter)
    target = packed_by_all(thread, n_threads, counter, net, target)
    work, tail, grads = desk.work, desk.tail, desk.grads
    K = net.w.size
    for s in range(thread, grads.shape[0], n_threads):
        piece = tail[PIECE]
        for i in range(K):
            grads[s, i] = 0.0
        desk.sums[s, 0] = 0.0
        for lo in range(begins[s], begins[s + 1], at_once):
            hi = min(begins[s + 1], lo + at_once)
            x, y, _ = fetch(rows, lo, hi, work, s, tail)
            desk.sums[s, 0] += error_of_rows(net, x, y, hi - lo, work, s, tail, np.uint32(0), rows, lo)
            backward(net, x, hi - lo, work, s, tail, piece)
            for i in range(K):
                grads[s, i] += work[s, piece + i]
    meet(counter, n_threads, target + n_threads)
    return 0.0


@entry
def total_error(thread, n_threads, counter, net, rows, desk, begins, at_once):
    """E over all rows, no gradient; shards as in `total_gradient`."""
    target = enter(thread, n_threads, counter)
    target = packed_by_all(thread, n_threads, counter, net, target)
    work, tail = desk.work, desk.tail
    for s in range(thread, desk.sums.shape[0], n_threads):
        desk.sums[s, 0] = 0.0
        for lo in range(begins[s], begins[s + 1], at_once):
            hi = min(begins[s + 1], lo + at_once)
            x, y, _ = fetch(rows, lo, hi, work, s, tail)
            desk.sums[s, 0] += error_of_rows(net, x, y, hi - lo, work, s, tail, np.uint32(0), rows, lo)
    meet(counter, n_threads, target + n_threads)
    return 0.0


@entry
def predict_rows(thread, n_threads, counter, net, rows, at_once, work, tail, out):
    """ŷ of every row into out, `at_once` at a time (in link form: the raw score)."""
    target = enter(thread, n_threads, counter)
    target = packed_by_all(thread, n_threads, counter, net, target)
    X = rows.X
    N, D = X.shape[0], out.shape[1]
    for p in range(thread, (N + at_once - 1) // at_once, n_threads):
        lo, hi = p * at_once, min(N, p * at_once + at_once)
        at = forward(net, address(X, lo * X.shape[1]), hi - lo, work, thread, tail, np.uint32(0), rows, lo, 0)
        for i in range(hi - lo):
            for j in range(D):
                out[lo + i, j] = work[thread, at + i * D + j]
    meet(counter, n_threads, target + n_threads)
    return 0.0
