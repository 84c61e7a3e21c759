"""Floor 2, engine: weights as panels, and the forward and backward pass of the rows of a shard; no formula of its own.

Formulas come in as the addresses of compiled rows (see `source`), so that no network, loss or method needs these
kernels compiled again. Blocks of numbers are named by their address or by their offset in a shard's line of `work`:
making an array view costs more than a small product. `layers` has one line a layer, its columns named in `columns`.
"""

# mypy: ignore-errors

import numpy as np

from chainrule.engine.columns import (
    ACTIVATION,
    AT_A,
    AT_B,
    AT_DELTA,
    AT_GRADIENT,
    AT_KEEP,
    AT_PACKED,
    AT_PANELS,
    AT_PASSED,
    AT_SUMS,
    AT_TURNED,
    AT_VALUE,
    AT_Z,
    INPUT,
    INPUTS,
    OUTPUTS,
    PACKED,
    ROW_WEIGHTS,
    SLOPE,
    SPARE,
    TARGETS,
    TRAINED,
)
from chainrule.engine.jit import address, bring, call, compiled, copy, written_out
from chainrule.engine.masks import keyed
from chainrule.engine.processor import PANEL_BYTES
from chainrule.engine.products import pack, pack_plain, pack_turned

# A row of so few numbers is copied by a loop: the call of a copying function alone takes as long.
SHORT_ROW = 8
# Where X is larger than this, rows of it that are named in any order are in no cache that is near: each is asked for
# while the one so many before it is copied (not the line more that it may reach into: that gained nothing).
ROWS_AHEAD, LINE_BYTES, NEAR_BYTES = 8, 64, 1 << 20


# ---------------------------------------------------------------- weights as panels


@compiled
def pack_lines(net, l, first, count):
    """Lines first … of A_l to where they belong in its panels, and in those of A_lᵀ where there are any."""
    w, panels, layers = net.w, net.panels, net.layers
    m, D, at = layers[l, INPUTS], layers[l, OUTPUTS], layers[l, AT_A]
    pack_plain(w, at, m, D, panels, layers[l, AT_PANELS], first, count)
    if layers[l, AT_TURNED] >= 0:
        pack_turned(w, at, m, D, panels, layers[l, AT_TURNED], first, count)


@compiled
def pack_weights(thread, n_threads, net):
    """The panels of every A_l, and of A_lᵀ for all but the first: each thread makes its share of them."""
    layers, turn = net.layers, 0
    width = PANEL_BYTES // net.w.itemsize
    for l in range(layers.shape[0]):
        for first in range(0, layers[l, INPUTS], width):
            if turn == thread:
                pack_lines(net, l, first, min(width, layers[l, INPUTS] - first))
            turn = turn + 1 if turn + 1 < n_threads else 0


# ---------------------------------------------------------------- forward, error, backward


@compiled
def activate(net, l, n, work, s, key, rows, lo):
    """σ(z_l + b_l), and what dropout leaves of it; the address of what is passed on."""
    layers, parameters = net.layers, net.parameters
    stride, D = work.shape[1] * s, layers[l, OUTPUTS]
    z, a = address(work, stride + layers[l, AT_Z]), address(work, stride + layers[l, AT_VALUE])
    b, own = address(net.w, layers[l, AT_B]), address(parameters, l * parameters.shape[1])
    call(layers[l, ACTIVATION], (z, a, b, own, n, D))
    if net.drop != 0 and net.dropout[l] > 0.0:
        keep, passed = address(work, stride + layers[l, AT_KEEP]), address(work, stride + layers[l, AT_PASSED])
        order = address(rows.order, 0) if rows.order.size > 0 else 0
        names = address(rows.names, 0) if rows.names.size > 0 else 0
        call(net.drop, (a, keep, passed, n, D, np.int64(keyed(key, l)), net.dropout[l], order, names, lo))
        return passed
    return a


@compiled
def forward(net, x, n, work, s, tail, key, rows, lo, lowest):
    """All layers, from the lowest one on, over n rows at address x, which are rows lo, lo + 1, … (of their order, where
    there is one).

    Returns the offset of the last layer's values. Panels must be packed, or there are none, which pays for few rows.
    """
    layers, stride, a = net.layers, work.shape[1] * s, x
    for l in range(lowest, layers.shape[0]):
        m, D = layers[l, INPUTS], layers[l, OUTPUTS]
        z = address(work, stride + layers[l, AT_Z])
        if net.panels.size > 0:
            call(net.product, (a, address(net.panels, layers[l, AT_PANELS]), z, n, m, D))
        else:
            spare = address(work, stride + tail[PACKED])
            call(net.product_of_few, (a, address(net.w, layers[l, AT_A]), spare, z, n, m, D))
        a = activate(net, l, n, work, s, key, rows, lo)
    return layers[layers.shape[0] - 1, AT_VALUE]


@compiled
def multiply_slope(net, l, n, work, s):
    """delta_l *= σ'(z_l), element by element."""
    layers, parameters = net.layers, net.parameters
    stride = work.shape[1] * s
    delta, z = address(work, stride + layers[l, AT_DELTA]), address(work, stride + layers[l, AT_Z])
    value, own = address(work, stride + layers[l, AT_VALUE]), address(parameters, l * parameters.shape[1])
    call(layers[l, SLOPE], (delta, z, value, own, n * layers[l, OUTPUTS]))


@compiled
def error_of_scores(net, y, n, work, s, tail):
    """Σ weight · L over the rows whose last values are there, with dL/dz_L left in the last delta."""
    layers = net.layers
    last = layers.shape[0] - 1
    D, stride, at_score = layers[last, OUTPUTS], work.shape[1] * s, layers[last, AT_VALUE]
    score, delta = address(work, stride + at_score), address(work, stride + layers[last, AT_DELTA])
    row_weights = address(work, stride + tail[ROW_WEIGHTS])
    total = call(net.loss, (y, score, delta, row_weights, address(net.loss_parameters, 0), n, D))
    if layers[last, SLOPE] != 0:
        multiply_slope(net, last, n, work, s)
    return total


@compiled
def error_of_rows(net, x, y, n, work, s, tail, key, rows, lo):
    """Σ weight · L over the rows, with dL/dz_L left in the last delta."""
    forward(net, x, n, work, s, tail, key, rows, lo, 0)
    return error_of_scores(net, y, n, work, s, tail)


@compiled
def deltas_down(net, n, work, s, lowest):
    """delta_l of every layer down to the lowest from the last one's; those of trained layers are packed, and summed
    over the rows."""
    layers = net.layers
    stride, L = work.shape[1] * s, layers.shape[0]
    while lowest < L - 1 and layers[lowest, TRAINED] == 0:
        lowest += 1
    for l in range(L - 1, lowest - 1, -1):
        m, D = layers[l, INPUTS], layers[l, OUTPUTS]
        delta = address(work, stride + layers[l, AT_DELTA])
        if layers[l, TRAINED] != 0:
            packed, sums = address(work, stride + layers[l, AT_PACKED]), address(work, stride + layers[l, AT_SUMS])
            pack(work, delta, n, D, packed, sums)
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
def gradient_of_lines(net, l, first, count, x, n, work, s, spare, g, more):
    """Lines first … of dE/dA_l of a shard's n rows at address x, to address g, or added to what is there."""
    layers, stride = net.layers, work.shape[1] * s
    m, D = layers[l, INPUTS], layers[l, OUTPUTS]
    below = x if l == 0 else address(work, stride + layers[l - 1, AT_PASSED])
    packed = address(work, stride + layers[l, AT_PACKED])
    call(net.product_across, (below + first * work.itemsize, m, spare, packed, g, count, n, D, more))


@compiled
def backward(net, x, n, work, s, tail, at_g):
    """The chain rule from the last delta down to every trained A_l and b_l, to offset at_g of the shard's line."""
    layers = net.layers
    stride = work.shape[1] * s
    spare = address(work, stride + tail[SPARE])
    deltas_down(net, n, work, s, 0)
    for l in range(layers.shape[0]):
        if layers[l, TRAINED] != 0:
            g = address(work, stride + at_g + layers[l, AT_A])
            gradient_of_lines(net, l, 0, layers[l, INPUTS], x, n, work, s, spare, g, 0)
            for j in range(layers[l, OUTPUTS]):
                work[s, at_g + layers[l, AT_B] + j] = work[s, layers[l, AT_SUMS] + j]


@compiled
def fetch_inputs(rows, lo, hi, work, s, tail):
    """The address of the rows lo:hi of X; named by `order` they are copied together."""
    X, order = rows.X, rows.order
    n, D = hi - lo, X.shape[1]
    if order.size == 0:
        return address(X, lo * D)
    at, named = tail[INPUT], order[lo:hi]
    x, size = address(work, work.shape[1] * s + at), work.itemsize
    if D > SHORT_ROW:
        is_far = X.size * size > NEAR_BYTES
        for i in range(n):
            if is_far and i + ROWS_AHEAD < n:
                ahead = address(X, named[i + ROWS_AHEAD] * D)
                for line in range(ahead, ahead + D * size, LINE_BYTES):
                    bring(line)
            copy(x + i * D * size, address(X, named[i] * D), D * size)
        return x
    room = work[s, at : at + n * D]  # where it is looked up once: no store could have changed it
    for i in range(n):
        row = X[named[i]]
        for j in range(D):
            room[i * D + j] = row[j]
    return x


@compiled
def fetch_targets(rows, lo, hi, work, s, tail):
    """(address of the rows lo:hi of Y, Σ of their weights), which are put in their place."""
    Y, order = rows.Y, rows.order
    n, D = hi - lo, Y.shape[1]
    mass, weights = np.float64(n), work[s, tail[ROW_WEIGHTS] : tail[ROW_WEIGHTS] + n]
    if rows.weights.size > 0:
        mass = 0.0
        for i in range(n):
            weights[i] = rows.weights[order[lo + i] if order.size > 0 else lo + i]
            mass += weights[i]
    else:
        for i in range(n):
            weights[i] = 1.0
    if order.size == 0:
        return address(Y, lo * D), mass
    at, named = tail[TARGETS], order[lo:hi]
    room = work[s, at : at + n * D]
    for i in range(n):
        row = Y[named[i]]
        for j in range(D):
            room[i * D + j] = row[j]
    return address(work, work.shape[1] * s + at), mass


@compiled
def fetch(rows, lo, hi, work, s, tail):
    """(addresses of the rows lo:hi of X and of Y, Σ of their weights)."""
    y, mass = fetch_targets(rows, lo, hi, work, s, tail)
    return fetch_inputs(rows, lo, hi, work, s, tail), y, mass


@compiled
def own_gradients(net, x, n, work, s, tail):
    """dE/dA_l of a shard's n rows, for the layers where it is made so."""
    layers, stride = net.layers, work.shape[1] * s
    spare = address(work, stride + tail[SPARE])
    for l in range(layers.shape[0]):
        if layers[l, TRAINED] != 0 and layers[l, AT_GRADIENT] >= 0:
            g = address(work, stride + layers[l, AT_GRADIENT])
            gradient_of_lines(net, l, 0, layers[l, INPUTS], x, n, work, s, spare, g, 0)


@written_out
def shard_deltas(net, rows, lo, hi, work, s, tail, key):
    """Σ weight · L over rows lo:hi, with the deltas of all layers and the gradients that a shard makes itself left in
    its line; returns the sum and the sum of weights."""
    x, y, mass = fetch(rows, lo, hi, work, s, tail)
    total = error_of_rows(net, x, y, hi - lo, work, s, tail, key, rows, lo)
    deltas_down(net, hi - lo, work, s, 0)
    own_gradients(net, x, hi - lo, work, s, tail)
    return total, mass
