"""Floor 2, engine: E(w) of a network on rows that stay, as an Objective with every derivative that the engine has."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.descent import Objective
from chainrule.network import Layout, Loss

from .compiled import ahead
from .curvature import Curvature
from .evaluate import TotalError
from .jacobian import GaussNewton, Residuals, wanted_by_trials


class _Rows:
    """What each door of the objective works with, made when it is first asked, in float64."""

    def __init__(self, *given):
        self.given = given
        self.lock = threading.Lock()

    @cached_property
    def total(self) -> TotalError:
        layout, loss, X, Y, weights, n_threads = self.given
        return TotalError(layout, loss, np.float64, X, Y, weights, n_threads)

    @cached_property
    def residuals(self) -> Residuals:
        ahead(wanted_by_trials(self.given[0]), "float64")
        return Residuals(*self.given)

    @cached_property
    def matrix(self) -> GaussNewton:
        return GaussNewton(*self.given)

    @cached_property
    def curvature(self) -> Curvature:
        return Curvature(*self.given)

    def value(self, w):
        with self.lock:
            return self.total.error(np.asarray(w))

    def value_and_gradient(self, w):
        with self.lock:
            return self.total.error_and_gradient(np.asarray(w))


def objective(
    layout: Layout,
    loss: Loss,
    X: np.ndarray,
    Y: np.ndarray,
    weights: np.ndarray | None = None,
    n_threads: int | None = None,
) -> Objective:
    """E(w) = Σ_i weight_i L(y_i, ŷ_i(w)) with its gradient, H v and the Gauss-Newton matrix, in float64.

    Where the loss is a square, `residuals`, `jacobian` and `normal` are those of E = ½ Σ e²; for another loss `normal`
    gives (Jᵀ H_L J, ∇E). Its groups are the A_l and the b_l. Arguments as in `error`. Threads may call it at
    the same time; they take turns.
    """
    rows = _Rows(layout, loss, X, Y, weights, n_threads)
    parts = layout.slices.items()
    shared: dict[str, Any] = {
        "value_and_gradient": rows.value_and_gradient,
        "hvp": lambda w, v: rows.curvature.hvp(w, v),
        "gauss_newton": lambda w, v: rows.curvature.gauss_newton(w, v),
    }
    if loss.residual is None:
        return Objective(rows.value, normal=lambda w: (rows.matrix(w), rows.value_and_gradient(w)[1]), **shared)
    return Objective(
        residuals=lambda w: rows.residuals(w),
        jacobian=lambda w: rows.residuals.jacobian(w),
        chord=lambda w, v: rows.residuals.chord(w, v),
        trial=lambda *given: rows.residuals.trial(*given),
        groups={f"{letter}_{l}": slice(start, stop) for (letter, l), (start, stop, _) in parts if stop > start},
        normal=lambda w: rows.residuals.normal(w),
        **shared,
    )
