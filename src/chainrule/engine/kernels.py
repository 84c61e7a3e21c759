"""Floor 2, engine: gather, forward and backward pass, reductions, the epoch; no formula of its own.

Formulas come in as the addresses of compiled rows (see `source`), so that no network, loss or method needs these
kernels compiled again. Blocks of numbers are named by their address or by their offset in a shard's line of `work`:
making an array view costs more than a small product. `layers` has one line a layer, its columns named in `columns`.
"""

# mypy: ignore-errors

import numpy as np

from chainrule.engine.columns import (
    ACTIVATION,
    ALPHA,
    AT_A,
    AT_B,
    AT_DELTA,
    AT_KEEP,
    AT_PANELS,
    AT_PASSED,
    AT_TURNED,
    AT_VALUE,
    AT_Z,
    BEGAN,
    CLIP,
    DECAY,
    INPUT,
    INPUTS,
    L1,
    MEETING,
    OUTPUTS,
    PACKED,
    PIECE,
    ROW_WEIGHTS,
    SLOPE,
    SPARE,
    TARGETS,
    TASKS,
    TRAINED,
)  # fmt: skip
from chainrule.engine.jit import address, atomic_add, atomic_load, call, compiled, copy, entry, give_way, written_out
from chainrule.engine.masks import keyed
from chainrule.engine.panels import pack_columns
from chainrule.engine.processor import PANEL_BYTES
from chainrule.engine.products import pack, pack_turned

SPINS_BEFORE_YIELD = 4_000
SPINS_BEFORE_SLEEP = 5_000
# A row of so few numbers is copied by a loop: the call of a copying function alone takes as long.
SHORT_ROW = 8


# ---------------------------------------------------------------- weights as panels


@compiled
def pack_weights(thread, n_threads, net):
    """The panels of every A_l, and of A_lᵀ for all but the first: each thread makes its share of them."""
    w, panels, layers = net.w, net.panels, net.layers
    size = w.itemsize
    width = PANEL_BYTES // size
    turn = 0
    for l in range(layers.shape[0]):
        m, D, at = layers[l, INPUTS], layers[l, OUTPUTS], layers[l, AT_A]
        for lo in range(0, D, width):
            if turn == thread:
                here = address(panels, layers[l, AT_PANELS] + lo * m)
                pack_columns(w, address(w, at + lo), D, here, m, min(width, D - lo))
            turn = turn + 1 if turn + 1 < n_threads else 0
        if l > 0 and layers[l, AT_TURNED] >= 0:
            for lo in range(0, m, width):
                if turn == thread:
                    pack_turned(w, at, m, D, panels, layers[l, AT_TURNED], lo)
                turn = turn + 1 if turn + 1 < n_threads else 0


# ---------------------------------------------------------------- forward, error, backward


@compiled
def forward(net, x, n, work, s, tail, key, rows, lo):
    """All layers over n rows at address x, which are rows lo, lo + 1, … (of their order, where there is one).

    Returns the offset of the last layer's values. Panels must be packed, or there are none, which pays for few rows.
    """
    layers, parameters = net.layers, net.parameters
    stride, a, at_value = work.shape[1] * s, x, 0
    for l in range(layers.shape[0]):
        m, D = layers[l, INPUTS], layers[l, OUTPUTS]
        z = address(work, stride + layers[l, AT_Z])
        if net.panels.size > 0:
            call(net.product, (a, address(net.panels, layers[l, AT_PANELS]), z, n, m, D))
        else:
            spare = address(work, stride + tail[PACKED])
            call(net.product_of_few, (a, address(net.w, layers[l, AT_A]), spare, z, n, m, D))
        at_value = layers[l, AT_VALUE]
        a = address(work, stride + at_value)
        b, own = address(net.w, layers[l, AT_B]), address(parameters, l * parameters.shape[1])
        call(layers[l, ACTIVATION], (z, a, b, own, n, D))
        if net.drop != 0 and net.dropout[l] > 0.0:
            keep, passed = address(work, stride + layers[l, AT_KEEP]), address(work, stride + layers[l, AT_PASSED])
            order = address(rows.order, 0) if rows.order.size > 0 else 0
            names = address(rows.names, 0) if rows.names.size > 0 else 0
            call(net.drop, (a, keep, passed, n, D, np.int64(keyed(key, l)), net.dropout[l], order, names, lo))
            a = passed
    return at_value


@compiled
def multiply_slope(net, l, n, work, s):
    """delta_l *= σ'(z_l), element by element."""
    layers, parameters = net.layers, net.parameters
    stride = work.shape[1] * s
    delta, z = address(work, stride + layers[l, AT_DELTA]), address(work, stride + layers[l, AT_Z])
    value, own = address(work, stride + layers[l, AT_VALUE]), address(parameters, l * parameters.shape[1])
    call(layers[l, SLOPE], (delta, z, value, own, n * layers[l, OUTPUTS]))


@written_out
def error_of_rows(net, x, y, n, work, s, tail, key, rows, lo):
    """Σ weight · L over the rows, with dL/dz_L left in the last delta."""
    layers = net.layers
    last = layers.shape[0] - 1
    D, stride = layers[last, OUTPUTS], work.shape[1] * s
    at_score = forward(net, x, n, work, s, tail, key, rows, lo)
    score, delta = address(work, stride + at_score), address(work, stride + layers[last, AT_DELTA])
    row_weights = address(work, stride + tail[ROW_WEIGHTS])
    total = call(net.loss, (y, score, delta, row_weights, address(net.loss_parameters, 0), n, D))
    if layers[last, SLOPE] != 0:
        multiply_slope(net, last, n, work, s)
    return total


@compiled
def backward(net, x, n, work, s, tail, g):
    """The chain rule from the last delta down to every A_l and b_l that is trained; g is the address of K numbers."""
    layers = net.layers
    size, stride, L = work.itemsize, work.shape[1] * s, layers.shape[0]
    packed, spare = address(work, stride + tail[PACKED]), address(work, stride + tail[SPARE])
    lowest = 0
    while lowest < L - 1 and layers[lowest, TRAINED] == 0:
        lowest += 1
    for l in range(L - 1, lowest - 1, -1):
        m, D = layers[l, INPUTS], layers[l, OUTPUTS]
        delta = address(work, stride + layers[l, AT_DELTA])
        if layers[l, TRAINED] != 0:
            below = x if l == 0 else address(work, stride + layers[l - 1, AT_PASSED])
            pack(work, delta, n, D, packed, g + layers[l, AT_B] * size)
            call(net.product_across, (below, spare, packed, g + layers[l, AT_A] * size, m, n, D))
        if l > lowest:
            passed = layers[l - 1, AT_DELTA]
            turned = address(net.panels, layers[l, AT_TURNED])
            call(net.product, (delta, turned, address(work, stride + passed), n, D, m))
            if net.drop != 0 and net.dropout[l - 1] > 0.0:
                at_keep = layers[l - 1, AT_KEEP]
                for i in range(n * m):
                    work[s, passed + i] *= work[s, at_keep + i]
            multiply_slope(net, l - 1, n, work, s)


@compiled
def fetch(rows, lo, hi, work, s, tail):
    """(addresses of the rows lo:hi of X and of Y, Σ of their weights); named by `order` they are copied together."""
    X, Y, order = rows.X, rows.Y, rows.order
    n, D0, DL, stride = hi - lo, X.shape[1], Y.shape[1], work.shape[1] * s
    mass = np.float64(n)
    if rows.weights.size > 0:
        mass = 0.0
        for i in range(n):
            weight = rows.weights[order[lo + i] if order.size > 0 else lo + i]
            work[s, tail[ROW_WEIGHTS] + i] = weight
            mass += weight
    else:
        for i in range(n):
            work[s, tail[ROW_WEIGHTS] + i] = 1.0
    if order.size == 0:
        return address(X, lo * D0), address(Y, lo * DL), mass
    x, y, size = address(work, stride + tail[INPUT]), address(work, stride + tail[TARGETS]), work.itemsize
    for i in range(n):
        row = order[lo + i]
        if D0 > SHORT_ROW:
            copy(x + i * D0 * size, address(X, row * D0), D0 * size)
        else:
            for j in range(D0):
                work[s, tail[INPUT] + i * D0 + j] = X[row, j]
        for j in range(DL):
            work[s, tail[TARGETS] + i * DL + j] = Y[row, j]
    return x, y, mass


@written_out
def shard_gradient(net, rows, lo, hi, work, s, tail, g, key):
    """Σ weight · L over rows lo:hi and its gradient to address g; returns the sum and the sum of weights."""
    x, y, mass = fetch(rows, lo, hi, work, s, tail)
    total = error_of_rows(net, x, y, hi - lo, work, s, tail, key, rows, lo)
    backward(net, x, hi - lo, work, s, tail, g)
    return total, mass


# ---------------------------------------------------------------- steps


@compiled
def enter(thread, n_threads, counter):
    """Thread 0 lets the others in; returns how many had come to meetings before, from which `meet` counts on."""
    if thread == 0:
        counter[BEGAN] = counter[MEETING]
        if n_threads > 1:
            atomic_add(counter, TASKS, 1)
    return counter[BEGAN]


@compiled
def meet(counter, n_threads, target):
    """Wait until all threads are here: each adds one, the last makes the counter reach the target."""
    if n_threads == 1:
        return
    atomic_add(counter, MEETING, 1)
    spins = 0
    while atomic_load(counter, MEETING) < target:
        spins += 1
        if spins > SPINS_BEFORE_YIELD:
            give_way()


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


@compiled
def sum_of_squares(x, lo, hi):
    """Σ x² of x[lo:hi] in float64, as eight sums side by side, which fit the vector registers in this order."""
    a, b, c, d, e, f, g, h = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    i = lo
    while i + 8 <= hi:
        a += np.float64(x[i]) * np.float64(x[i])
        b += np.float64(x[i + 1]) * np.float64(x[i + 1])
        c += np.float64(x[i + 2]) * np.float64(x[i + 2])
        d += np.float64(x[i + 3]) * np.float64(x[i + 3])
        e += np.float64(x[i + 4]) * np.float64(x[i + 4])
        f += np.float64(x[i + 5]) * np.float64(x[i + 5])
        g += np.float64(x[i + 6]) * np.float64(x[i + 6])
        h += np.float64(x[i + 7]) * np.float64(x[i + 7])
        i += 8
    while i < hi:
        a += np.float64(x[i]) * np.float64(x[i])
        i += 1
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


@compiled
def collect(w, grads, used, lo, hi, is_weight, rules, mass):
    """The gradient of the mean error on w[lo:hi], penalties included, into grads[0]; returns the penalties.

    `used` lines of grads are added up.
    """
    scale = w.dtype.type(1.0 / mass)
    for s in range(1, used - 1):
        for i in range(lo, hi):
            grads[0, i] += grads[s, i]
    if used > 1:
        for i in range(lo, hi):
            grads[0, i] = (grads[0, i] + grads[used - 1, i]) * scale
    else:
        for i in range(lo, hi):
            grads[0, i] *= scale
    penalty = 0.0
    if is_weight != 0 and rules[ALPHA] != 0.0:
        penalty += 0.5 * rules[ALPHA] * sum_of_squares(w, lo, hi)
        alpha = w.dtype.type(rules[ALPHA] / mass)
        for i in range(lo, hi):
            grads[0, i] += alpha * w[i]
    if is_weight != 0 and rules[L1] != 0.0:
        l1 = w.dtype.type(rules[L1] / mass)
        absolutes = 0.0
        for i in range(lo, hi):
            absolutes += abs(np.float64(w[i]))
            grads[0, i] += l1 if w[i] > 0.0 else (-l1 if w[i] < 0.0 else 0.0 * l1)
        penalty += rules[L1] * absolutes
    return penalty


@written_out
def advance(w, grads, how, lo, hi, is_weight, factor, t, step, mix):
    """One step of the method on w[lo:hi], by `factor` times the gradient; then the average of w moves towards w."""
    if factor != 1.0:
        short = w.dtype.type(factor)
        for i in range(lo, hi):
            grads[0, i] *= short
    if is_weight != 0 and how.rules[DECAY] > 0.0:
        left = w.dtype.type(1.0 - step * how.rules[DECAY])
        for i in range(lo, hi):
            w[i] *= left
    hyper = address(how.hyper, is_weight * how.hyper.shape[1])
    at, slope, state = address(w, lo), address(grads, lo), address(how.state, lo)
    call(how.method, (at, slope, state, hyper, np.float64(t), step, how.state.shape[1], hi - lo))
    average = how.average
    if average.size > 0:
        share = w.dtype.type(mix)
        for i in range(lo, hi):
            average[i] += share * (w[i] - average[i])


@written_out
def collect_all(thread, n_threads, net, desk, how, used, mass):
    """Collect this thread's pieces of the gradient before any moves: its norm is that of the whole."""
    for p in range(thread, how.pieces.shape[0], n_threads):
        lo, hi, is_weight = how.pieces[p, 0], how.pieces[p, 1], how.pieces[p, 2]
        how.penalties[p] = collect(net.w, desk.grads, used, lo, hi, is_weight, how.rules, mass)
        how.squares[p] = sum_of_squares(desk.grads[0], lo, hi)


@written_out
def move(thread, n_threads, net, desk, how, used, mass, factor, t, step, mix):
    """One step of the method on this thread's pieces of w."""
    for p in range(thread, how.pieces.shape[0], n_threads):
        lo, hi, is_weight = how.pieces[p, 0], how.pieces[p, 1], how.pieces[p, 2]
        if how.rules[CLIP] == 0.0:
            how.penalties[p] = collect(net.w, desk.grads, used, lo, hi, is_weight, how.rules, mass)
        advance(net.w, desk.grads, how, lo, hi, is_weight, factor, t, step, mix)


@entry
def train_steps(
    thread, n_threads, counter, net, rows, desk, how, seed, batch, first, last, t0, step_sizes, mixes, tally
):
    """Steps first:last of a run, several epochs if they reach that far; each thread runs this on its own shards.

    `rows.order` has the order of one epoch after another. `tally[epoch]` gathers rows × mean loss and rows × penalty
    of every batch, as scikit-learn weighs them.
    """
    N, S = rows.X.shape[0], desk.grads.shape[0]
    per_epoch = (N + batch - 1) // batch
    named = 1 if rows.order.size > 0 else 0
    target = enter(thread, n_threads, counter)
    for step in range(first, last):
        epoch, k, t = step // per_epoch, step % per_epoch, t0 + (step - first)
        lo = k * batch
        hi = min(N, lo + batch)
        size = (hi - lo + S - 1) // S
        used = (hi - lo + size - 1) // size  # a last, short batch may need fewer shards
        key = keyed(keyed(np.uint32(0), seed), t)
        pack_weights(thread, n_threads, net)
        target += n_threads
        meet(counter, n_threads, target)
        for s in range(thread, used, n_threads):
            begin = lo + s * size
            end = min(hi, begin + size)
            at = named * epoch * N
            desk.sums[s, 0], desk.sums[s, 1] = shard_gradient(
                net, rows, at + begin, at + end, desk.work, s, desk.tail,
                address(desk.grads, s * desk.grads.shape[1]), key,
            )  # fmt: skip
        target += n_threads
        meet(counter, n_threads, target)
        total, mass = 0.0, 0.0
        for s in range(used):
            total += desk.sums[s, 0]
            mass += desk.sums[s, 1]
        if mass > 0.0:
            factor = 1.0
            if how.rules[CLIP] > 0.0:
                collect_all(thread, n_threads, net, desk, how, used, mass)
                target += n_threads
                meet(counter, n_threads, target)
                norm = 0.0
                for p in range(how.pieces.shape[0]):
                    norm += how.squares[p]
                if np.sqrt(norm) > how.rules[CLIP]:
                    factor = how.rules[CLIP] / np.sqrt(norm)
            move(
                thread, n_threads, net, desk, how, used, mass, factor, t, step_sizes[step - first], mixes[step - first]
            )
        target += n_threads
        meet(counter, n_threads, target)
        if thread == 0 and mass > 0.0:
            penalty = 0.0
            for p in range(how.pieces.shape[0]):
                penalty += how.penalties[p]
            tally[epoch, 0] += (hi - lo) * total / mass
            tally[epoch, 1] += (hi - lo) * penalty / mass
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
            g = address(work, work.shape[1] * s + piece)
            total, _ = shard_gradient(net, rows, lo, hi, work, s, tail, g, np.uint32(0))
            desk.sums[s, 0] += total
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
        at = forward(net, address(X, lo * X.shape[1]), hi - lo, work, thread, tail, np.uint32(0), rows, lo)
        for i in range(hi - lo):
            for j in range(D):
                out[lo + i, j] = work[thread, at + i * D + j]
    meet(counter, n_threads, target + n_threads)
    return 0.0
