"""Floor 2, engine: everything compiled beforehand, for an image or a first lesson without waiting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.descent import METHODS, get_method
from chainrule.network import ACTIVATIONS, LOSSES, Layout, get_loss

from .compiled import DAMPED, KERNELS, NORMAL, SECOND_ORDER, UNITS, ahead
from .curvature import Curvature
from .evaluate import error, error_and_gradient, predict
from .jacobian import GaussNewton, Residuals
from .plan import Plan
from .run import Run
from .source import (
    activation_address,
    bend_address,
    bent_loss_address,
    loss_address,
    method_address,
    slope_address,
)

# What takes long to compile, so that other processes help: of both float widths, and what float64 alone has.
_KERNELS = (
    KERNELS.train_steps, UNITS.train_by_units, KERNELS.total_gradient, KERNELS.total_error, KERNELS.predict_rows,
    "product", "product_across", "product_of_few", "drop",
)  # fmt: skip
_OF_SECOND_ORDER = (
    DAMPED.damped_trial, NORMAL.normal_matrix, NORMAL.jacobian_lines, NORMAL.add_squares, DAMPED.residual_rows,
    DAMPED.pull_back, SECOND_ORDER.hessian_product, SECOND_ORDER.gauss_newton_product,
)  # fmt: skip


def warm(say: Callable[[str], None] = lambda words: None) -> int:
    """Compile the kernels and every row of the tables in both float widths, as far as they are not; how many rows."""
    rows = 0
    for dtype in ("float32", "float64"):
        say(f"the kernels in {dtype}")
        ahead(_KERNELS if dtype == "float32" else (*_OF_SECOND_ORDER, *_KERNELS), dtype)
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
        if dtype == "float64":
            say("what methods of second order need")
            _second_order()
        rows += len(ACTIVATIONS) + len(LOSSES) + len(METHODS)
    return rows


def _second_order() -> None:
    """Second derivatives of all rows, and one small Jacobian and product of each kind."""
    for activation in ACTIVATIONS.values():
        if not activation.rowwise:
            bend_address(activation, "float64")
    for loss in LOSSES.values():
        bent_loss_address(loss, "float64", 3)
    layout, loss = Layout.of([2, 3, 1], "tanh"), get_loss("squared")
    w, X, Y = np.ones(layout.K), np.zeros((40, 2)), np.zeros((40, 1))
    residuals, curvature = Residuals(layout, loss, X, Y), Curvature(layout, loss, X, Y)
    residuals(w), residuals.chord(w, w), curvature.hvp(w, w), curvature.gauss_newton(w, w)
    GaussNewton(layout, loss, X, Y)(w)  # by blocks, as Levenberg-Marquardt goes with many parameters
    G, g = residuals.normal(w)
    residuals.trial(w, G, g, 1.0, 1, (1.0, 0.0, 1.0))


def _kernels(dtype: str) -> None:
    """A small training of each kind, error, gradient and prediction."""
    layout = Layout.of([2, 3, 1], "tanh")
    w = layout.first_weights(np.random.default_rng(0)).astype(dtype)
    X, Y, loss = np.zeros((40, 2), dtype), np.zeros((40, 1), dtype), get_loss("squared")
    with Run(Plan(layout, loss, get_method("adam"), dtype=dtype, dropout=(0.5,)), w, X, Y) as run:
        run.epochs(np.arange(40)[None], 0.0)
    wide = Layout.of([2, 400, 400, 1], "tanh")  # whose units are dealt out
    many = Plan(wide, loss, get_method("adam"), batch_size=192, dtype=dtype)
    with Run(many, np.zeros(wide.K, dtype), np.zeros((192, 2), dtype), np.zeros((192, 1), dtype)) as run:
        run.epochs(np.arange(192)[None], 0.0)
    error(layout, loss, w, X, Y)
    error_and_gradient(layout, loss, w, X, Y)
    predict(layout, w, X)
    predict(layout, w, X[:1])
