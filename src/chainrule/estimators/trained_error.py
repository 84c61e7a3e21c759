"""Floor 4, estimators: the error that a fit made small, as a function of w, on rows of one's choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from chainrule.engine import Network, TotalError, error
from chainrule.network import Loss, get_loss

from .base import BaseMLP
from .blocks import dense_if_small, row_blocks
from .settings import WHOLE_BATCH, solver_name
from .tabular import _check_lengths, _check_weights, _named, _TableModel


@dataclass(frozen=True)
class TrainedError:
    """E(w) = Σ_i weight_i L(y_i, ŷ_i(w)) / Σ_i weight_i + (½ α Σ‖A_l‖² + λ Σ|A_l|) · batches / Σ_i weight_i.

    The penalty is divided by the rows of a batch in training, so over an epoch it counts as often as there are batches.

    Attributes
    ----------
    network : the fitted network: its layout, and the float width that is computed in
    loss, X, Y, weights : as the engine takes them; weights None is one for each row
    alpha, l1 : α and λ
    batches : steps of an epoch over these rows
    """

    network: Network
    loss: Loss
    X: Any
    Y: np.ndarray
    weights: np.ndarray | None = None
    alpha: float = 0.0
    l1: float = 0.0
    batches: int = 1

    @property
    def mass(self) -> float:
        """The sum of the weights of the rows."""
        return float(len(self.Y) if self.weights is None else np.sum(self.weights))

    def penalty(self, w: np.ndarray) -> float:
        """The part of E that does not depend on the rows."""
        A = np.asarray(w[: self.network.layout.n_weights], np.float64)
        return (0.5 * self.alpha * float(A @ A) + self.l1 * float(np.abs(A).sum())) * self.batches / self.mass

    def function(self, n_threads: int | None = None) -> Callable[[np.ndarray], float]:
        """w -> E(w), on so many threads. It works in room of its own: each thread that calls one needs its own."""
        layout, dtype, mass = self.network.layout, self.network.w.dtype, self.mass
        X = dense_if_small(self.X, dtype)
        if isinstance(X, np.ndarray) and X.dtype == dtype:
            whole = TotalError(layout, self.loss, dtype, X, self.Y, self.weights, n_threads)
            return lambda w: whole.error(w) / mass + self.penalty(w)

        def by_blocks(w: np.ndarray) -> float:
            w = np.ascontiguousarray(w, dtype)
            parts = (
                error(layout, self.loss, w, block, self.Y[rows], self._part(rows), n_threads)
                for rows, block in row_blocks(X, dtype)
            )
            return sum(parts) / mass + self.penalty(w)

        return by_blocks

    def _part(self, rows: slice) -> np.ndarray | None:
        return None if self.weights is None else self.weights[rows]


def trained_error(model: Any, X: Any, y: Any, sample_weight: Any = None) -> TrainedError:
    """The error that the fit of `model` made small, with its loss, mean, weights and penalty, on the rows (X, y).

    Dropout is left out, as in `predict`; so is decoupled weight decay, which is a part of the steps and not of E. A
    table model's y is scaled, and its rows are not split, so this is over training and held-out rows.

    Raises
    ------
    TypeError : for another kind of model. NotFittedError : for one that is not fitted.
    ValueError : for X and y that the model would not be fitted to: another width, NaN, unknown classes.

    >>> from chainrule import MLPRegressor
    >>> import numpy as np
    >>> X, y = np.linspace(-1, 1, 20)[:, None], np.linspace(0, 3, 20)
    >>> model = MLPRegressor(hidden_layer_sizes=(3,), solver="lbfgs", random_state=0).fit(X, y)
    >>> E = trained_error(model, X, y).function()
    >>> bool(np.isclose(E(model.network_.w), model.loss_))
    True
    """
    if isinstance(model, type) or not isinstance(model, BaseMLP | _TableModel):
        raise TypeError(
            "the error of a fit is known of MLPClassifier, MLPRegressor, TableClassifier and TableRegressor, "
            f"got {model!r:.80}"
        )
    check_is_fitted(model)
    return (
        _of_table(model, X, y, sample_weight) if isinstance(model, _TableModel) else _of_mlp(model, X, y, sample_weight)
    )


def _of_mlp(model: Any, X: Any, y: Any, sample_weight: Any) -> TrainedError:
    X, Y = model._watched_input(X, y)
    N = X.shape[0]
    Y = model._spread(Y.reshape(N, -1))
    weights = model._class_weights(Y, model._checked_weights(sample_weight, X), False)
    batch = N if solver_name(model) in WHOLE_BATCH else min(N, 200 if model.batch_size == "auto" else model.batch_size)
    return TrainedError(
        model._fitted_network(), model._loss_row(), X, model._smoothed(Y), weights,
        float(model.alpha), float(model.l1), -(-N // int(batch)),
    )  # fmt: skip


def _of_table(model: Any, X: Any, y: Any, sample_weight: Any) -> TrainedError:
    table, y = model._rows(X), _named(y)
    _check_lengths(table, y)
    block, _ = model.features_.transform(table, dtype=np.float32)
    Y = model._targets(model.target_.encode(y, table))
    return TrainedError(model.network_, get_loss(model._loss()), block, Y, _check_weights(sample_weight, len(table)))
