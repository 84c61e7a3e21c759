"""Floor 3, training: a gradient check of a few random weights before a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse

from chainrule.calculus import check_grad
from chainrule.engine import Network, error_and_gradient
from chainrule.network import ACTIVATIONS, Loss, eager_error

# So many weights are looked at, on so many rows: a fit waits some milliseconds for it.
WEIGHTS, ROWS = 12, 32


class GradientError(ValueError):
    """The gradient that training would use is not the slope of the error."""


def audit(net: Network, loss: Loss, X: Any, Y: np.ndarray, alpha: float = 0.0, seed: int = 0) -> None:
    """Hold the engine's gradient to central differences of the eager error, at random weights, in float64.

    Parameters
    ----------
    net, loss : what will be trained
    X, Y : rows as the network and the loss take them; `ROWS` random ones are used
    alpha : of the penalty ½ α Σ‖A_l‖² beside the sum of the losses
    seed : of the choice; training's own random numbers are not touched

    Raises
    ------
    GradientError : naming the weight, the number that the engine states and the numerical one.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(X.shape[0])[:ROWS])
    part = X[rows].toarray() if issparse(X) else X[rows]
    x, y = np.ascontiguousarray(part, np.float64), np.ascontiguousarray(Y[rows], np.float64)
    w, n = net.w.astype(np.float64), net.layout.n_weights
    chosen = np.sort(rng.permutation(net.K)[:WEIGHTS])

    def error(values: np.ndarray) -> float:
        moved = w.copy()
        moved[chosen] = values
        return float(eager_error(net.layout, loss, moved, x, y)) + 0.5 * alpha * float(moved[:n] @ moved[:n])

    gradient = error_and_gradient(net.layout, loss, w, x, y)[1]
    gradient[:n] += alpha * w[:n]
    scale = max(1.0, float(np.abs(gradient).max()))
    found = check_grad(error, w[chosen], lambda values: gradient[chosen], atol=1e-7 * scale)
    if not found:
        at = int(chosen[found.index[0]])
        stated = {row.name for row in net.activations if row.slope is not None}
        own = sorted(stated - set(ACTIVATIONS)) or sorted(stated)
        raise GradientError(
            f"audit: the gradient is wrong at {label(net.layout.where(at))}, number {at} of w: stated "
            f"{found.stated[found.index]:.9g}, numerical {found.numerical[found.index]:.9g}. Look at the slopes that "
            f"the loss {loss.name!r} and the activations ({', '.join(own) or 'none'}) state; without one it is derived"
        )


def label(name: tuple) -> str:
    """("A", 2, 0, 1) as it is written: A_2[0, 1]."""
    letter, l, *rest = name
    return f"{letter}_{l}[{', '.join(map(str, rest))}]"
