"""Floor 4, estimators: a start from another model: its first layers, as far as they fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.engine import Network


def copy_layers(source: Any, target: Network) -> int:
    """Copy A_l and b_l of `source` into `target` from layer 1 on, as long as the shapes are the same; how many.

    `source` is a Network, or a fitted model that has `network_` or scikit-learn's `coefs_` and `intercepts_`.
    """
    found = getattr(source, "network_", source)
    if isinstance(found, Network):
        layers = list(zip(found.A, found.b, strict=True))
    elif hasattr(source, "coefs_") and hasattr(source, "intercepts_"):
        layers = list(zip(source.coefs_, source.intercepts_, strict=True))
    else:
        raise TypeError(
            f"start_from must be a Network or a fitted model, got {type(source).__name__}, which is neither"
        )
    count = 0
    for (A, b), own_A, own_b in zip(layers, target.A, target.b, strict=False):
        if np.shape(A) != own_A.shape:
            break
        own_A[...], own_b[...] = A, b
        count += 1
    if not count:
        raise ValueError(
            f"start_from has no layer that fits: its A_1 is {' × '.join(map(str, np.shape(layers[0][0])))}, "
            f"this network's is {' × '.join(map(str, target.A[1].shape))}"
        )
    return count
