"""Floor 2, engine: the kernels of second order: products with matrices never made, by the R-operator.

They are made of the pieces of `passes` and keep to its conventions: blocks are named by addresses or offsets, formulas
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
from chainrule.engine.passes import backward, fetch, forward, multiply_slope
from chainrule.engine.products import pack

# Columns of `turned`: offsets of R{z_l}, R{a_l} and R{delta_l} within a shard's line of work, the address of the row
# that turns a delta. `spare` has the offsets of a block and of a second gradient.
R_Z, R_VALUE, R_DELTA, BEND = range(4)
BLOCK, PIECE_2 = range(2)


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
    forward(net, x, n, work, s, tail, np.uint32(0), rows, lo, 0)
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
    forward(net, x, n, work, s, tail, np.uint32(0), rows, lo, 0)
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
