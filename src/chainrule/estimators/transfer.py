"""Floor 4, estimators: a start from another model: its first layers, as far as they fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.engine import Network


def layers_of(source: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """(A_l, b_l) of a Network, or of a fitted model with `network_` or scikit-learn's `coefs_` and `intercepts_`."""
    found = getattr(source, "network_", source)
    if isinstance(found, Network):
        return list(zip(found.A, found.b, strict=True))
    if hasattr(source, "coefs_") and hasattr(source, "intercepts_"):
        return list(zip(source.coefs_, source.intercepts_, strict=True))
    if hasattr(source, "fit"):
        raise ValueError(
            f"start_from is a {type(source).__name__} that is not fitted; clone and searches unfit models among the "
            "parameters: give the fitted one's network_, or sklearn.frozen.FrozenEstimator of it"
        )
    raise TypeError(f"start_from must be a Network or a fitted model, got {type(source).__name__}, which is neither")


def copy_layers(source: Any, target: Network) -> int:
    """Copy A_l and b_l of `source` into `target` from layer 1 on, as long as the shapes are the same; how many."""
    layers, count = layers_of(source), 0
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
