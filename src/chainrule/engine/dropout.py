"""Floor 2, engine: the dropout factors that the kernels draw, once more in NumPy, to show them and to check by."""

from __future__ import annotations

from typing import Any

import numpy as np

_GOLDEN = np.uint32(0x9E3779B9)


def _mixed(x: np.ndarray) -> np.ndarray:
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def _keyed(key: np.ndarray, number: Any) -> np.ndarray:
    number = np.asarray(number, np.int64)
    for part in (number & 0xFFFFFFFF, (number >> 32) & 0xFFFFFFFF):
        key = _mixed(key ^ part.astype(np.uint32))
    return key


def dropout_factors(seed: int, t: int, l: int, rows: np.ndarray, units: int, rate: float) -> np.ndarray:
    """What the outputs of layer l are multiplied by in step t: 0 with probability `rate`, else 1/(1 − rate).

    Parameters
    ----------
    seed : the plan's seed
    t : the step, counted from 1 over the whole run
    l : the layer, counted from 1
    rows : the rows of the table, as numbers from 0
    units : D_l
    rate : the layer's dropout rate, in [0, 1)

    Returns
    -------
    rows × D_l factors of mean 1. They depend on nothing else: neither on threads nor on the order of rows.

    >>> dropout_factors(0, 1, 1, np.arange(2), 5, 0.5)
    array([[0., 2., 0., 0., 2.],
           [2., 0., 0., 2., 0.]])

    Source: Srivastava et al. 2014, with the factor moved from prediction to training as all libraries do.
    """
    with np.errstate(over="ignore"):
        key = _keyed(_keyed(_keyed(np.zeros(1, np.uint32), np.int64(seed)), np.int64(t)), np.int64(l - 1))
        by_row = _keyed(np.repeat(key, len(rows)), np.asarray(rows, np.int64))
        bits = _mixed(by_row[:, None] ^ (np.arange(units, dtype=np.uint32) * _GOLDEN))
    return np.where(bits >= np.uint32(rate * 4294967296.0), 1.0 / (1.0 - rate), 0.0)
