"""Floor 2, engine: products, gather, reductions, the epoch; no formula of its own.

Formulas come in as the addresses of compiled rows (see `source`), so that no network, loss or method needs these
kernels compiled again. Arrays are C-contiguous; rows of X are samples. `layers` has one line a layer, its columns
named below.
"""

# mypy: ignore-errors

import numpy as np

from chainrule.engine.jit import atomic_add, atomic_load, call, compiled, entry, give_way

# Columns of `layers`: sizes, the addresses of the activation and of its slope, offsets (of A_l and b_l within w; of
# a_l, z_l, delta_l, of what is passed on to the next layer and of the dropout factors within a shard's workspace),
# and whether the layer is trained. What is passed on is a_l itself, but for layers with dropout.
INPUTS, OUTPUTS, ACTIVATION, SLOPE, AT_A, AT_B, AT_VALUE, AT_Z, AT_DELTA, AT_PASSED, AT_KEEP, TRAINED = range(12)
# `tail` has the offsets of what else a shard keeps.
TARGETS, ROW_WEIGHTS, SCRATCH, PIECE = range(4)
# Entries of `rules`, the numbers of a plan that belong to no row: α of the squared penalty, of the absolute one,
# decoupled decay of weights, bound on the gradient's norm (0: none).
ALPHA, L1, DECAY, CLIP = range(4)

# Below this many multiplications a product is a plain loop: a BLAS call alone costs half a microsecond.
SMALL_PRODUCT = 40_000
SPINS_BEFORE_YIELD = 4_000


@compiled
def product(a, b, out):
    """out = a b."""
    n, m = a.shape
    D = b.shape[1]
    if n * m * D > SMALL_PRODUCT:
        np.dot(a, b, out)
        return
    for i in range(n):
        row = out[i]
        for j in range(D):
            row[j] = 0.0
        for k in range(m):
            x = a[i, k]
            line = b[k]
            for j in range(D):
                row[j] += x * line[j]


@compiled
def transposed_product(a, d, out):
    """out = aᵀ d: the gradient of A_l from the layer's input a and delta d."""
    n, m = a.shape
    D = d.shape[1]
    if n * m * D > SMALL_PRODUCT:
        np.dot(a.T, d, out)
        return
    for k in range(m):
        line = out[k]
        for j in range(D):
            line[j] = 0.0
    for i in range(n):
        row = d[i]
        for k in range(m):
            x = a[i, k]
            line = out[k]
            for j in range(D):
                line[j] += x * row[j]


@compiled
def product_transposed(d, A, out, scratch):
    """out = d Aᵀ: delta passed back through A_l."""
    n, D = d.shape
    m = A.shape[0]
    if n * m * D > SMALL_PRODUCT:
        np.dot(d, A.T, out)
        return
    turned = scratch[: D * m].reshape(D, m)
    for k in range(m):
        for j in range(D):
            turned[j, k] = A[k, j]
    product(d, turned, out)


@compiled
def block(work, at, rows, columns):
    """rows × columns numbers of a workspace, from offset `at`."""
    return work[at : at + rows * columns].reshape(rows, columns)


@compiled
def gather(X, order, lo, hi, out):
    """The rows order[lo:hi] of X, copied to out."""
    for i in range(hi - lo):
        source = X[order[lo + i]]
        target = out[i]
        for j in range(X.shape[1]):
            target[j] = source[j]


@compiled
def mixed(x):
    """32 bits scrambled so that each bit of x decides each bit of the result (the finaliser "lowbias32" of Wellons)."""
    x = np.uint32(x)
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@compiled
def keyed(key, number):
    """A new key from a key and a whole number of 64 bits."""
    key = mixed(key ^ np.uint32(number & 0xFFFFFFFF))
    return mixed(key ^ np.uint32((number >> 32) & 0xFFFFFFFF))


@compiled
def drop(value, keep, passed, key, rate, order, lo):
    """Dropout: each unit of each row is 0 with probability `rate`, else multiplied by 1/(1 − rate).

    The random bits are a function of (key, row of the table, unit) alone: whoever works on a row draws the same.
    """
    n, D = value.shape
    threshold = np.uint32(rate * 4294967296.0)
    factor = value.dtype.type(1.0 / (1.0 - rate))
    zero = value.dtype.type(0.0)
    for i in range(n):
        row_key = keyed(key, order[lo + i] if order.size > 0 else lo + i)
        a, k, out = value[i], keep[i], passed[i]
        for j in range(D):
            bits = mixed(row_key ^ np.uint32(j * np.uint32(0x9E3779B9)))
            k[j] = factor if bits >= threshold else zero
            out[j] = a[j] * k[j]


@compiled
def multiply_slope(layer, parameters, n, work):
    """delta_l *= σ'(z_l), element by element."""
    delta, z, value = work[layer[AT_DELTA] :], work[layer[AT_Z] :], work[layer[AT_VALUE] :]
    call(layer[SLOPE], (delta, z, value, parameters, n * layer[OUTPUTS]))


@compiled
def forward(w, layers, parameters, x, work, dropout, key, order, lo):
    """All layers over the rows x, which are lo, lo + 1, … (of `order`, where there is one); `dropout` has a rate a layer."""
    n = x.shape[0]
    a = x
    L = layers.shape[0]
    for l in range(L):
        m, D = layers[l, INPUTS], layers[l, OUTPUTS]
        A = block(w, layers[l, AT_A], m, D)
        b = w[layers[l, AT_B] : layers[l, AT_B] + D]
        z = block(work, layers[l, AT_Z], n, D)
        value = block(work, layers[l, AT_VALUE], n, D)
        product(a, A, z)
        call(layers[l, ACTIVATION], (z, value, b, parameters[l], n, D))
        a = value
        if dropout.size > 0 and dropout[l] > 0.0:
            a = block(work, layers[l, AT_PASSED], n, D)
            drop(value, block(work, layers[l, AT_KEEP], n, D), a, keyed(key, l), dropout[l], order, lo)
    return a


@compiled
def backward(w, layers, parameters, x, work, g, scratch, dropout):
    """The chain rule from the last delta down to every A_l and b_l that is trained; g has the layout of w."""
    n = x.shape[0]
    L = layers.shape[0]
    lowest = 0
    while lowest < L - 1 and layers[lowest, TRAINED] == 0:
        lowest += 1
    for l in range(L - 1, lowest - 1, -1):
        m, D = layers[l, INPUTS], layers[l, OUTPUTS]
        delta = block(work, layers[l, AT_DELTA], n, D)
        if layers[l, TRAINED] != 0:
            below = x if l == 0 else block(work, layers[l - 1, AT_PASSED], n, m)
            transposed_product(below, delta, block(g, layers[l, AT_A], m, D))
            add_rows(delta, g[layers[l, AT_B] : layers[l, AT_B] + D])
        if l > lowest:
            passed = block(work, layers[l - 1, AT_DELTA], n, m)
            product_transposed(delta, block(w, layers[l, AT_A], m, D), passed, scratch)
            if dropout.size > 0 and dropout[l - 1] > 0.0:
                keep = block(work, layers[l - 1, AT_KEEP], n, m)
                for i in range(n):
                    for j in range(m):
                        passed[i, j] *= keep[i, j]
            multiply_slope(layers[l - 1], parameters[l - 1], n, work)


@compiled
def add_rows(d, out):
    """out = Σ over the rows of d: the gradient of b_l."""
    n, D = d.shape
    for j in range(D):
        out[j] = 0.0
    for i in range(n):
        for j in range(D):
            out[j] += d[i, j]


@compiled
def error_of_rows(
    w, layers, parameters, loss, loss_parameters, x, y, weights, work, dropout, key, order, lo
):  # fmt: skip
    """Σ weight · L over the rows, with dL/dz_L left in the last delta."""
    n = x.shape[0]
    last = layers.shape[0] - 1
    D = layers[last, OUTPUTS]
    s = forward(w, layers, parameters, x, work, dropout, key, order, lo)
    delta = block(work, layers[last, AT_DELTA], n, D)
    total = call(loss, (y, s, delta, weights, loss_parameters, n, D))
    if layers[last, SLOPE] != 0:
        multiply_slope(layers[last], parameters[last], n, work)
    return total


@compiled
def fetch(X, Y, weights, order, lo, hi, work, tail):
    """The rows lo:hi (of `order`, where there is one) of X, Y and the weights (1 where there are none)."""
    n = hi - lo
    D0, DL = X.shape[1], Y.shape[1]
    row_weights = work[tail[ROW_WEIGHTS] : tail[ROW_WEIGHTS] + n]
    if order.size == 0:
        x, y = X[lo:hi], Y[lo:hi]
        for i in range(n):
            row_weights[i] = weights[lo + i] if weights.size > 0 else 1.0
    else:
        x, y = block(work, 0, n, D0), block(work, tail[TARGETS], n, DL)
        gather(X, order, lo, hi, x)
        gather(Y, order, lo, hi, y)
        for i in range(n):
            row_weights[i] = weights[order[lo + i]] if weights.size > 0 else 1.0
    return x, y, row_weights


@compiled
def shard_gradient(
    w, layers, parameters, loss, loss_parameters, X, Y, weights, order, lo, hi, work, tail, g, dropout, key
):  # fmt: skip
    """Σ weight · L over rows lo:hi and its gradient into g; returns the sum and the sum of weights."""
    if hi <= lo:
        g[:] = 0.0
        return 0.0, 0.0
    x, y, row_weights = fetch(X, Y, weights, order, lo, hi, work, tail)
    total = error_of_rows(
        w, layers, parameters, loss, loss_parameters, x, y, row_weights, work, dropout, key, order, lo
    )  # fmt: skip
    backward(w, layers, parameters, x, work, g, work[tail[SCRATCH] :], dropout)
    mass = 0.0
    for i in range(hi - lo):
        mass += row_weights[i]
    return total, mass


@compiled
def meet(counter, n_threads, target):
    """Wait until all threads are here: each adds one, the last makes the counter reach the target."""
    if n_threads == 1:
        return
    atomic_add(counter, 0, 1)
    spins = 0
    while atomic_load(counter, 0) < target:
        spins += 1
        if spins > SPINS_BEFORE_YIELD:
            give_way()


@compiled
def collect(w, grads, piece, rules, mass):
    """The gradient of the mean error on one piece of w, penalties included, into grads[0]; returns the penalties."""
    lo, hi, is_weight = piece[0], piece[1], piece[2]
    here = w[lo:hi]
    g = grads[0, lo:hi]
    for s in range(1, grads.shape[0]):
        more = grads[s, lo:hi]
        for i in range(g.size):
            g[i] += more[i]
    scale = w.dtype.type(1.0 / mass)
    alpha, l1 = w.dtype.type(rules[ALPHA]), w.dtype.type(rules[L1])
    squares, absolutes = 0.0, 0.0
    if is_weight == 0 or (alpha == 0.0 and l1 == 0.0):
        for i in range(g.size):
            g[i] *= scale
        return 0.0
    for i in range(g.size):
        squares += here[i] * here[i]
        g[i] += alpha * here[i]
    if l1 != 0.0:
        for i in range(g.size):
            absolutes += abs(here[i])
            g[i] += l1 if here[i] > 0.0 else (-l1 if here[i] < 0.0 else 0.0 * l1)
    for i in range(g.size):
        g[i] *= scale
    return 0.5 * rules[ALPHA] * squares + rules[L1] * absolutes


@compiled
def advance(method, w, state, average, g, piece, rules, hyper, factor, t, step, mix):
    """One step of the method on one piece of w, by `factor` times the gradient; then the average of w moves towards w."""
    lo, hi, is_weight = piece[0], piece[1], piece[2]
    here, slope = w[lo:hi], g[lo:hi]
    if factor != 1.0:
        short = w.dtype.type(factor)
        for i in range(slope.size):
            slope[i] *= short
    if is_weight != 0 and rules[DECAY] > 0.0:
        left = w.dtype.type(1.0 - step * rules[DECAY])
        for i in range(here.size):
            here[i] *= left
    call(method, (here, slope, state[0, lo:hi], hyper[is_weight], np.float64(t), step, state.shape[1], hi - lo))
    if average.size > 0:
        mean, share = average[lo:hi], w.dtype.type(mix)
        for i in range(here.size):
            mean[i] += share * (here[i] - mean[i])


@compiled
def sum_of_squares(g, piece):
    """Σ g² over one piece, in float64."""
    total = 0.0
    for i in range(piece[0], piece[1]):
        total += np.float64(g[i]) * np.float64(g[i])
    return total


@entry
def train_steps(
    thread, n_threads, counter, round_,
    w, state, average, layers, parameters, loss, loss_parameters, method, hyper, rules, dropout, seed,
    X, Y, weights, orders, batch, first, last, t0, step_sizes, mixes,
    work, tail, grads, sums, pieces, penalties, squares, tally,
):  # fmt: skip
    """Steps first:last of a run, several epochs if they reach that far; each thread runs this on its own shards.

    `tally[epoch]` gathers rows × mean loss and rows × penalty of every batch, as scikit-learn weighs them.
    """
    N = X.shape[0]
    per_epoch = (N + batch - 1) // batch
    S = grads.shape[0]
    for step in range(first, last):
        epoch, k = step // per_epoch, step % per_epoch
        t = t0 + (step - first)
        lo = k * batch
        hi = min(N, lo + batch)
        size = (hi - lo + S - 1) // S
        key = keyed(keyed(np.uint32(0), seed), t)
        for s in range(thread, S, n_threads):
            begin = min(hi, lo + s * size)
            end = min(hi, begin + size)
            sums[s, 0], sums[s, 1] = shard_gradient(
                w, layers, parameters, loss, loss_parameters, X, Y, weights, orders[epoch],
                begin, end, work[s], tail, grads[s], dropout, key,
            )  # fmt: skip
        round_ += 1
        meet(counter, n_threads, round_ * n_threads)
        mass = 0.0
        for s in range(S):
            mass += sums[s, 1]
        if mass > 0.0:
            factor = 1.0
            if rules[CLIP] > 0.0:
                # the norm is that of the whole gradient, so all pieces must be there before the first may move
                for p in range(thread, pieces.shape[0], n_threads):
                    penalties[p] = collect(w, grads, pieces[p], rules, mass)
                    squares[p] = sum_of_squares(grads[0], pieces[p])
                round_ += 1
                meet(counter, n_threads, round_ * n_threads)
                norm = 0.0
                for p in range(pieces.shape[0]):
                    norm += squares[p]
                norm = np.sqrt(norm)
                if norm > rules[CLIP]:
                    factor = rules[CLIP] / norm
            for p in range(thread, pieces.shape[0], n_threads):
                if rules[CLIP] == 0.0:
                    penalties[p] = collect(w, grads, pieces[p], rules, mass)
                advance(
                    method, w, state, average, grads[0], pieces[p], rules, hyper, factor, t,
                    step_sizes[step - first], mixes[step - first],
                )  # fmt: skip
            if thread == 0:
                for s in range(S):
                    tally[epoch, 0] += (hi - lo) * sums[s, 0] / mass
        round_ += 1
        meet(counter, n_threads, round_ * n_threads)
        if thread == 0 and mass > 0.0:
            total = 0.0
            for p in range(pieces.shape[0]):
                total += penalties[p]
            tally[epoch, 1] += (hi - lo) * total / mass
    return round_


@entry
def total_gradient(
    thread, n_threads, w, layers, parameters, loss, loss_parameters, X, Y, weights, begins, rows,
    work, tail, grads, sums,
):  # fmt: skip
    """E and its gradient over all rows: shard s takes rows begins[s]:begins[s+1], `rows` at a time."""
    nobody, no_dropout = np.empty(0, np.int64), np.empty(0)
    for s in range(thread, grads.shape[0], n_threads):
        g, piece = grads[s], work[s, tail[PIECE] :][: w.size]
        g[:] = 0.0
        sums[s, 0] = 0.0
        for lo in range(begins[s], begins[s + 1], rows):
            total, _ = shard_gradient(
                w, layers, parameters, loss, loss_parameters, X, Y, weights, nobody,
                lo, min(begins[s + 1], lo + rows), work[s], tail, piece, no_dropout, np.uint32(0),
            )  # fmt: skip
            sums[s, 0] += total
            for i in range(g.size):
                g[i] += piece[i]


@entry
def total_error(
    thread, n_threads, w, layers, parameters, loss, loss_parameters, X, Y, weights, begins, rows,
    work, tail, sums,
):  # fmt: skip
    """E over all rows, no gradient; shards as in `total_gradient`."""
    nobody, no_dropout = np.empty(0, np.int64), np.empty(0)
    for s in range(thread, sums.shape[0], n_threads):
        sums[s, 0] = 0.0
        for lo in range(begins[s], begins[s + 1], rows):
            hi = min(begins[s + 1], lo + rows)
            x, y, row_weights = fetch(X, Y, weights, nobody, lo, hi, work[s], tail)
            sums[s, 0] += error_of_rows(
                w, layers, parameters, loss, loss_parameters, x, y, row_weights, work[s],
                no_dropout, np.uint32(0), nobody, lo,
            )  # fmt: skip


@entry
def predict_rows(thread, n_threads, w, layers, parameters, X, rows, work, out):
    """ŷ of every row into out, `rows` at a time (in link form: the raw score)."""
    N = X.shape[0]
    nobody, no_dropout = np.empty(0, np.int64), np.empty(0)
    for p in range(thread, (N + rows - 1) // rows, n_threads):
        lo, hi = p * rows, min(N, p * rows + rows)
        value = forward(w, layers, parameters, X[lo:hi], work[thread], no_dropout, np.uint32(0), nobody, lo)
        for i in range(hi - lo):
            for j in range(out.shape[1]):
                out[lo + i, j] = value[i, j]
