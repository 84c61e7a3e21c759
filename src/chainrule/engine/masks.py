"""Floor 2, engine: dropout in the kernels: random bits that are a function of what they are for, and nothing else."""

# mypy: ignore-errors

import numpy as np

from chainrule.engine.jit import compiled, entry_of, written_out


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


@written_out
def drop(value, keep, passed, n, D, key, rate, order, names, lo):
    """Dropout: each unit of each row is 0 with probability `rate`, else multiplied by 1/(1 − rate).

    The random bits are a function of (key, row of the table, unit) alone: whoever works on a row draws the same.
    `order` and `names` are addresses of whole numbers, or 0 where rows are in order, or known by their numbers.
    """
    threshold = np.uint32(rate * 4294967296.0)
    factor = value.dtype.type(1.0 / (1.0 - rate))
    zero = value.dtype.type(0.0)
    for i in range(n):
        row = entry_of(order, lo + i) if order != 0 else lo + i
        row_key = keyed(key, entry_of(names, row) if names != 0 else row)
        for j in range(D):
            bits = mixed(row_key ^ np.uint32(j * np.uint32(0x9E3779B9)))
            k = factor if bits >= threshold else zero
            keep[i * D + j] = k
            passed[i * D + j] = value[i * D + j] * k
