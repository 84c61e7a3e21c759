"""Floor 2, engine: one trial of a damped Gauss-Newton step in one call: factor, step, error there, corrections.

Matrices are upper triangles; what stands below their diagonals means nothing. Their lines begin at whole vectors.
"""

# mypy: ignore-errors

import numpy as np

from chainrule.engine.columns import (
    AT_DELTA,
    CORRECTIONS,
    EVALUATIONS,
    FALL,
    FOUND,
    HOPELESS,
    INVISIBLE,
    MERIT,
    OUTPUTS,
    PIECE,
    REACHED,
)
from chainrule.engine.jit import address, array, compiled, entry, local, widest
from chainrule.engine.meeting import enter, meet
from chainrule.engine.moving import sum_of_squares
from chainrule.engine.normal import residuals_of_rows
from chainrule.engine.panels import pack_columns
from chainrule.engine.passes import backward, fetch, pack_weights
from chainrule.engine.processor import PANEL_BYTES, VECTOR
from chainrule.engine.products import line_of, strip_across

# Matrices of up to so many lines are factored without products.
LINES_WITHOUT_PRODUCTS = 48
LANES = VECTOR // 8  # numbers in a vector; they are float64


# ---------------------------------------------------------------- Cholesky


@compiled
def factor_lines(A, K, first, last):
    """Lines first:last of R from those of A, whose lines before are R's already and taken off; 0 where a pivot is not
    above 0."""
    widest()
    for i in range(first, last):
        begin = i // LANES * LANES  # a whole vector: a few numbers below the diagonal come along
        line = A[i, begin:K]
        for p in range(first, i):
            other, factor = A[p, begin:K], A[p, i]
            for j in range(line.size):
                line[j] -= factor * other[j]
        pivot = A[i, i]
        if not pivot > 0.0:
            return 0.0
        root = 1.0 / np.sqrt(pivot)
        for j in range(line.size):
            line[j] *= root
    return 1.0


@compiled
def take_off(A, K, first, last, negative, panel):
    """A −= R₁ᵀ R₁ below line `last`, R₁ the lines first:last; `negative` and `panel` are room for −R₁ and for its
    columns."""
    n, stride = last - first, A.shape[1]
    width = PANEL_BYTES // A.itemsize
    for p in range(n):
        line, own = A[first + p, last:K], negative[p, last:K]
        for j in range(line.size):
            own[j] = -line[j]
    for lo in range(last, K, width):
        columns = min(width, K - lo)
        pack_columns(A, address(A, first * stride + lo), stride, address(panel, 0), n, columns)
        strip_across(
            A, address(negative, last), negative.shape[1], address(panel, 0), line_of(A, columns),
            address(A, last * stride + lo), stride, lo + columns - last, n, columns, 1,
        )  # fmt: skip


@compiled
def factor(A, K, negative, panel):
    """A = RᵀR of K × K, R in A's place; 0 where A is not positive definite."""
    at_once = K if K <= LINES_WITHOUT_PRODUCTS else negative.shape[0]
    for first in range(0, K, at_once):
        last = min(K, first + at_once)
        if factor_lines(A, K, first, last) == 0.0:
            return 0.0
        if last < K:
            take_off(A, K, first, last, negative, panel)
    return 1.0


@compiled
def dot(x, y):
    """Σ x y, as sixteen sums side by side, which fit vector registers in this order."""
    sums = array(local(np.float64, 16), 16)
    sums[:] = 0.0
    whole = x.size // 16 * 16
    for i in range(0, whole, 16):
        its, others = x[i : i + 16], y[i : i + 16]
        for j in range(16):
            sums[j] += its[j] * others[j]
    for i in range(whole, x.size):
        sums[0] += x[i] * y[i]
    found = 0.0
    for j in range(8):
        found += sums[j] + sums[8 + j]
    return found


@compiled
def solve(R, v):
    """v ← −(RᵀR)⁻¹ v. What is left of a line is worked on from a whole vector on, and what lies before it apart."""
    widest()
    K = v.size
    for i in range(K):
        x = v[i] / R[i, i]
        v[i] = x
        begin = min(K, (i + LANES) // LANES * LANES)
        for j in range(i + 1, begin):
            v[j] -= x * R[i, j]
        line, rest = R[i, begin:K], v[begin:]
        for j in range(line.size):
            rest[j] -= x * line[j]
    for i in range(K - 1, -1, -1):
        begin = min(K, (i + LANES) // LANES * LANES)
        found = v[i] - dot(R[i, begin:K], v[begin:])
        for j in range(i + 1, begin):
            found -= v[j] * R[i, j]
        v[i] = found / R[i, i]
    for i in range(K):
        v[i] = -v[i]


# ---------------------------------------------------------------- the error and its gradient by an older Jacobian


@compiled
def residuals_at(net, w, rows, desk, at_once, e):
    """Residuals of all rows at w, which the net then stands at, into e."""
    for k in range(w.size):
        net.w[k] = w[k]
    pack_weights(0, 1, net)
    N = rows.X.shape[0]
    for lo in range(0, N, at_once):
        n = min(N, lo + at_once) - lo
        x, y, _ = fetch(rows, lo, lo + n, desk.work, 0, desk.tail)
        residuals_of_rows(net, x, y, n, desk.work, 0, desk.tail, rows, lo, address(e, lo * e.shape[1]))


@compiled
def pulled_back(net, w, rows, desk, at_once, v, room, g):
    """J(w)ᵀ v into g, v of N × D_L; `room` is for the residuals of `at_once` rows."""
    work, tail, layers, N = desk.work, desk.tail, net.layers, rows.X.shape[0]
    last = layers.shape[0] - 1
    D, at = layers[last, OUTPUTS], layers[last, AT_DELTA]
    for k in range(w.size):
        net.w[k] = w[k]
        g[k] = 0.0
    pack_weights(0, 1, net)
    for lo in range(0, N, at_once):
        n = min(N, lo + at_once) - lo
        x, y, _ = fetch(rows, lo, lo + n, work, 0, tail)
        residuals_of_rows(net, x, y, n, work, 0, tail, rows, lo, address(room, 0))
        for i in range(n):
            for j in range(D):
                work[0, at + i * D + j] *= v[lo + i, j]
        backward(net, x, n, work, 0, tail, tail[PIECE])
        for k in range(g.size):
            g[k] += work[0, tail[PIECE] + k]


@entry
def residual_rows(thread, n_threads, counter, net, w, rows, desk, at_once, e):
    """Residuals of all rows at w into e (N × D_L). For one thread."""
    target = enter(thread, n_threads, counter)
    residuals_at(net, w, rows, desk, at_once, e)
    meet(counter, n_threads, target + n_threads)
    return 0.0


@entry
def pull_back(thread, n_threads, counter, net, w, rows, desk, at_once, v, room, g):
    """J(w)ᵀ v into g. For one thread."""
    target = enter(thread, n_threads, counter)
    pulled_back(net, w, rows, desk, at_once, v, room, g)
    meet(counter, n_threads, target + n_threads)
    return 0.0


# ---------------------------------------------------------------- the trial


@compiled
def error_at(net, y, rows, desk, at_once, e, penalty):
    """½ Σ e² + ½ Σ penalty y², the residuals left in e."""
    residuals_at(net, y, rows, desk, at_once, e)
    total = 0.0
    for i in range(e.shape[0]):
        total += sum_of_squares(e[i])
    for k in range(y.size):
        total += penalty[k] * y[k] * y[k]
    return 0.5 * total


@entry
def damped_trial(
    thread, n_threads, counter, net, rows, desk, at_once, x, G, A, g, damping, penalty, numbers, negative, panel, d, y,
    best, e, room,
):  # fmt: skip
    """The step d of (G + diag(damping)) d = −g from x, and corrections with the same matrix, each from the gradient at
    the point that was reached, with J of x: the lowest point into `best`, what is found into `numbers`.

    F is ½ Σ e² + ½ Σ penalty w², g and G are its own, A is room for a factor. Nothing is corrected where F rose beyond
    hope, or the fall that the model promises cannot be seen. For one thread.
    """
    K = x.size
    target = enter(thread, n_threads, counter)
    for i in range(K):
        line, its = A[i, i:K], G[i, i:]
        for j in range(line.size):
            line[j] = its[j]
        line[0] += damping[i]
        d[i] = g[i]
    numbers[FOUND] = factor(A, K, negative, panel)
    if numbers[FOUND] > 0.0:
        solve(A, d)
        along, damped = dot(g, d), 0.0
        for k in range(K):
            damped += damping[k] * d[k] * d[k]
            y[k] = x[k] + d[k]
            best[k] = y[k]
        numbers[FALL] = -0.5 * along + 0.5 * damped  # for dᵀGd = −gᵀd − Σ damping d²
        reached = error_at(net, y, rows, desk, at_once, e, penalty)
        numbers[REACHED], numbers[EVALUATIONS] = reached, 1.0
        bound = numbers[HOPELESS] * numbers[MERIT]
        left = int(numbers[CORRECTIONS]) if numbers[FALL] > numbers[INVISIBLE] else 0
        while left > 0 and reached < bound:
            pulled_back(net, x, rows, desk, at_once, e, room, d)
            for k in range(K):
                d[k] += penalty[k] * y[k] + damping[k] * (y[k] - x[k])
            solve(A, d)
            for k in range(K):
                y[k] += d[k]
            bound = reached
            reached = error_at(net, y, rows, desk, at_once, e, penalty)
            if reached < numbers[REACHED]:
                numbers[REACHED] = reached
                for k in range(K):
                    best[k] = y[k]
            numbers[EVALUATIONS] += 1.0
            left -= 1
    meet(counter, n_threads, target + n_threads)
    return 0.0
