"""Floor 2, engine: everything compiled beforehand, for an image or a first lesson without waiting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.descent import METHODS, get_method
from chainrule.network import ACTIVATIONS, LOSSES, Layout, get_loss

from .evaluate import error, error_and_gradient, predict
from .plan import Plan
from .run import Run
from .source import activation_address, loss_address, method_address, slope_address


def warm(say: Callable[[str], None] = lambda words: None) -> int:
    """Compile the kernels and every row of the tables in both float widths, as far as they are not; how many rows."""
    rows = 0
    for dtype in ("float32", "float64"):
        say(f"the kernels in {dtype}")
        _kernels(dtype)
        say(f"activations, losses and methods in {dtype}")
        for activation in ACTIVATIONS.values():
            activation_address(activation, dtype, 3)
            if not activation.rowwise:
                slope_address(activation, dtype)
        for loss in LOSSES.values():
            loss_address(loss, dtype, 3)
        for method in METHODS.values():
            method_address(method, dtype)
        rows += len(ACTIVATIONS) + len(LOSSES) + len(METHODS)
    return rows


def _kernels(dtype: str) -> None:
    """One small training, error, gradient and prediction."""
    layout = Layout.of([2, 3, 1], "tanh")
    w = layout.first_weights(np.random.default_rng(0)).astype(dtype)
    X, Y, loss = np.zeros((40, 2), dtype), np.zeros((40, 1), dtype), get_loss("squared")
    with Run(Plan(layout, loss, get_method("adam"), dtype=dtype), w, X, Y) as run:
        run.epochs(np.arange(40)[None], 0.0)
    error(layout, loss, w, X, Y)
    error_and_gradient(layout, loss, w, X, Y)
    predict(layout, w, X)
    predict(layout, w, X[:1])
