"""Floor 2, engine: dropout in the kernels: random bits that are a function of what they are for, and nothing else."""

# mypy: ignore-errors

import numpy as np

from chainrule.engine.jit import compiled


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
def drop(work, s, at_value, at_keep, at_passed, n, D, key, rate, rows, lo):
    """Dropout: each unit of each row is 0 with probability `rate`, else multiplied by 1/(1 − rate).

    The random bits are a function of (key, row of the table, unit) alone: whoever works on a row draws the same.
    """
    threshold = np.uint32(rate * 4294967296.0)
    factor = work.dtype.type(1.0 / (1.0 - rate))
    zero = work.dtype.type(0.0)
    for i in range(n):
        row = rows.order[lo + i] if rows.order.size > 0 else lo + i
        row_key = keyed(key, rows.names[row] if rows.names.size > 0 else row)
        for j in range(D):
            bits = mixed(row_key ^ np.uint32(j * np.uint32(0x9E3779B9)))
            keep = factor if bits >= threshold else zero
            work[s, at_keep + i * D + j] = keep
            work[s, at_passed + i * D + j] = work[s, at_value + i * D + j] * keep
