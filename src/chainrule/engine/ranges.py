"""Floor 2, engine: the ranges of what comes to each layer over rows, for initialisers that lay units over them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule.network import Layout

from .evaluate import predict

# Rows that are made dense, and sent through the layers below, at once: so many numbers, 32 MB.
_NUMBERS_AT_ONCE = 1 << 22
# A range this small beside the numbers themselves is their rounding; one smaller than this, next to no range at all.
_ROUNDING, _LEAST = 8, 1e-30


def input_ranges(layout: Layout, w: np.ndarray, X: Any, l: int) -> tuple[np.ndarray, np.ndarray]:
    """(least, largest) value of each input of layer l over the rows of X, N × D_0, dense or sparse; by w below it.

    Where the two differ by no more than rounding they are the same. Bits depend neither on threads nor on whether X is
    sparse. Raises ValueError where they are not finite.

    >>> layout = Layout.of([1, 2, 1], "relu")
    >>> input_ranges(layout, np.array([1.0, -1.0, 9, 9, 0.5, 0.0, 9]), np.array([[1.0], [3.0], [2.0]]), 2)
    (array([1.5, 0. ]), array([3.5, 0. ]))
    """
    if not X.shape[0]:
        raise ValueError("X must have a row, got none")
    ends = [(block.min(axis=0), block.max(axis=0)) for block in _values(layout, w, X, l - 1)]
    low, high = np.min([end[0] for end in ends], axis=0), np.max([end[1] for end in ends], axis=0)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ValueError(
            "X must be finite, got NaN or infinity" if l == 1 else
            f"the first weights make values of layer {l - 1} that are infinite or NaN: scale X, or choose another "
            "initialiser or activation"
        )  # fmt: skip
    precision = np.finfo(X.dtype).eps if X.dtype.kind == "f" else np.finfo(float).eps
    least = np.maximum(_ROUNDING * precision * np.maximum(np.abs(low), np.abs(high)), _LEAST)
    same = high / 2 - low / 2 <= least / 2
    return low, np.where(same, low, high)


def _values(layout: Layout, w: np.ndarray, X: Any, l: int) -> Iterator[np.ndarray]:
    """The values of layer l (0: the rows themselves) in float64, some rows after another."""
    below = Layout(layout.layers[:l]) if l else None
    if below is not None:
        v, parts = np.zeros(below.K), layout.views(w)
        for own, part in zip(below.views(v), parts, strict=True):
            for k in range(1, l + 1):
                own[k][...] = part[k]
    X = X.tocsr() if hasattr(X, "tocsr") else X
    at_once = max(1, _NUMBERS_AT_ONCE // max(layout.sizes[: l + 1]))
    for lo in range(0, X.shape[0], at_once):
        block = X[lo : lo + at_once]
        block = np.asarray(block.toarray() if hasattr(block, "toarray") else block, float)
        yield block if below is None else predict(below, v, block)
