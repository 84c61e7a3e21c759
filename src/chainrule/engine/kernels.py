"""Floor 2, engine: products, gather, reductions, the epoch; no formula of its own.

Formulas come in as the addresses of compiled rows (see `source`), so that no network, loss or method needs these
kernels compiled again. Arrays are C-contiguous; rows of X are samples. `layers` has one line a layer, its columns
named below.
"""

# mypy: ignore-errors

import numpy as np

from chainrule.engine.jit import atomic_add, atomic_load, call, compiled, entry, give_way

# Columns of `layers`: sizes, the addresses of the activation and of its slope, and offsets: of A_l and b_l
# within w, of a_l, z_l and delta_l within a shard's workspace. `tail` has the offsets of what else a shard keeps.
INPUTS, OUTPUTS, ACTIVATION, SLOPE, AT_A, AT_B, AT_VALUE, AT_Z, AT_DELTA = range(9)
TARGETS, ROW_WEIGHTS, SCRATCH, PIECE = range(4)

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
def multiply_slope(layer, parameters, n, work):
    """delta_l *= σ'(z_l), element by element."""
    delta, z, value = work[layer[AT_DELTA] :], work[layer[AT_Z] :], work[layer[AT_VALUE] :]
    call(layer[SLOPE], (delta, z, value, parameters, n * layer[OUTPUTS]))


@compiled
def forward(w, layers, parameters, x, work):
    """All layers over the rows x."""
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
    return a


@compiled
def backward(w, layers, parameters, x, work, g, scratch):
    """The chain rule from the last delta down to every A_l and b_l; g has the layout of w."""
    n = x.shape[0]
    L = layers.shape[0]
    for l in range(L - 1, -1, -1):
        m, D = layers[l, INPUTS], layers[l, OUTPUTS]
        delta = block(work, layers[l, AT_DELTA], n, D)
        below = x if l == 0 else block(work, layers[l - 1, AT_VALUE], n, m)
        transposed_product(below, delta, block(g, layers[l, AT_A], m, D))
        bias = g[layers[l, AT_B] : layers[l, AT_B] + D]
        for j in range(D):
            bias[j] = 0.0
        for i in range(n):
            for j in range(D):
                bias[j] += delta[i, j]
        if l > 0:
            passed = block(work, layers[l - 1, AT_DELTA], n, m)
            product_transposed(delta, block(w, layers[l, AT_A], m, D), passed, scratch)
            multiply_slope(layers[l - 1], parameters[l - 1], n, work)


@compiled
def error_of_rows(w, layers, parameters, loss, loss_parameters, x, y, weights, work):
    """Σ weight · L over the rows, with dL/dz_L left in the last delta."""
    n = x.shape[0]
    last = layers.shape[0] - 1
    D = layers[last, OUTPUTS]
    s = forward(w, layers, parameters, x, work)
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
def shard_gradient(w, layers, parameters, loss, loss_parameters, X, Y, weights, order, lo, hi, work, tail, g):
    """Σ weight · L over rows lo:hi and its gradient into g; returns the sum and the sum of weights."""
    if hi <= lo:
        g[:] = 0.0
        return 0.0, 0.0
    x, y, row_weights = fetch(X, Y, weights, order, lo, hi, work, tail)
    total = error_of_rows(w, layers, parameters, loss, loss_parameters, x, y, row_weights, work)
    backward(w, layers, parameters, x, work, g, work[tail[SCRATCH] :])
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
def move(method, w, state, grads, piece, penalty, mass, hyper, t, step):
    """One step of the method on one piece of w; returns Σ w² of the piece where it is penalised."""
    lo, hi, is_weight = piece[0], piece[1], piece[2]
    here = w[lo:hi]
    g = grads[0, lo:hi]
    for s in range(1, grads.shape[0]):
        more = grads[s, lo:hi]
        for i in range(g.size):
            g[i] += more[i]
    squares = 0.0
    shrink = w.dtype.type(penalty if is_weight else 0.0)
    scale = w.dtype.type(1.0 / mass)
    if is_weight and penalty > 0.0:
        for i in range(g.size):
            squares += here[i] * here[i]
            g[i] = (g[i] + shrink * here[i]) * scale
    else:
        for i in range(g.size):
            g[i] *= scale
    call(method, (here, g, state[0, lo:hi], hyper[is_weight], np.float64(t), step, state.shape[1], hi - lo))
    return squares


@entry
def train_steps(
    thread, n_threads, counter, round_,
    w, state, layers, parameters, loss, loss_parameters, method, hyper, penalty,
    X, Y, weights, orders, batch, first, last, t0, step_sizes,
    work, tail, grads, sums, pieces, squares, tally,
):  # fmt: skip
    """Steps first:last of a run, several epochs if they reach that far; each thread runs this on its own shards.

    `tally[epoch]` gathers rows × mean loss and rows × penalty of every batch, as scikit-learn weighs them.
    """
    N = X.shape[0]
    per_epoch = (N + batch - 1) // batch
    S = grads.shape[0]
    for step in range(first, last):
        epoch, k = step // per_epoch, step % per_epoch
        lo = k * batch
        hi = min(N, lo + batch)
        size = (hi - lo + S - 1) // S
        for s in range(thread, S, n_threads):
            begin = min(hi, lo + s * size)
            end = min(hi, begin + size)
            sums[s, 0], sums[s, 1] = shard_gradient(
                w, layers, parameters, loss, loss_parameters, X, Y, weights, orders[epoch],
                begin, end, work[s], tail, grads[s],
            )  # fmt: skip
        round_ += 1
        meet(counter, n_threads, round_ * n_threads)
        mass = 0.0
        for s in range(S):
            mass += sums[s, 1]
        if mass > 0.0:
            for p in range(thread, pieces.shape[0], n_threads):
                squares[p] = move(
                    method, w, state, grads, pieces[p], penalty, mass, hyper,
                    t0 + (step - first), step_sizes[step - first],
                )  # fmt: skip
            if thread == 0:
                for s in range(S):
                    tally[epoch, 0] += (hi - lo) * sums[s, 0] / mass
        round_ += 1
        meet(counter, n_threads, round_ * n_threads)
        if thread == 0 and mass > 0.0:
            total = 0.0
            for p in range(pieces.shape[0]):
                total += squares[p]
            tally[epoch, 1] += (hi - lo) * 0.5 * penalty * total / mass
    return round_


@entry
def total_gradient(
    thread, n_threads, w, layers, parameters, loss, loss_parameters, X, Y, weights, begins, rows,
    work, tail, grads, sums,
):  # fmt: skip
    """E and its gradient over all rows: shard s takes rows begins[s]:begins[s+1], `rows` at a time."""
    nobody = np.empty(0, np.int64)
    for s in range(thread, grads.shape[0], n_threads):
        g, piece = grads[s], work[s, tail[PIECE] :][: w.size]
        g[:] = 0.0
        sums[s, 0] = 0.0
        for lo in range(begins[s], begins[s + 1], rows):
            total, _ = shard_gradient(
                w, layers, parameters, loss, loss_parameters, X, Y, weights, nobody,
                lo, min(begins[s + 1], lo + rows), work[s], tail, piece,
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
    nobody = np.empty(0, np.int64)
    for s in range(thread, sums.shape[0], n_threads):
        sums[s, 0] = 0.0
        for lo in range(begins[s], begins[s + 1], rows):
            hi = min(begins[s + 1], lo + rows)
            x, y, row_weights = fetch(X, Y, weights, nobody, lo, hi, work[s], tail)
            sums[s, 0] += error_of_rows(w, layers, parameters, loss, loss_parameters, x, y, row_weights, work[s])


@entry
def predict_rows(thread, n_threads, w, layers, parameters, X, rows, work, out):
    """ŷ of every row into out, `rows` at a time (in link form: the raw score)."""
    N = X.shape[0]
    for p in range(thread, (N + rows - 1) // rows, n_threads):
        lo, hi = p * rows, min(N, p * rows + rows)
        value = forward(w, layers, parameters, X[lo:hi], work[thread])
        for i in range(hi - lo):
            for j in range(out.shape[1]):
                out[lo + i, j] = value[i, j]
