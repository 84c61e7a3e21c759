"""Floor 4, estimators: what MLPClassifier and MLPRegressor share: weights, fitting, outputs."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from chainrule.engine import Network, predict
from chainrule.engine.threads import one_blas_thread
from chainrule.network import Layout
from chainrule.training import History

from .blocks import dense_if_small, row_blocks
from .solvers import NON_FINITE, Descent, fit_lbfgs, fit_stochastic

_RECORDS = ("loss_curve_", "validation_scores_", "best_validation_score_", "best_loss_", "_no_improvement_count")


class _Parameters(list):
    """The list that scikit-learn has in `coefs_`: here its entries are views into w; assigning one writes into w."""

    def __setitem__(self, index: Any, value: Any) -> None:
        views, values = (self[index], value) if isinstance(index, slice) else ([self[index]], [value])
        if len(views) != len(values):
            raise ValueError(f"{len(views)} arrays are needed, one for each layer; got {len(values)}")
        for view, new in zip(views, values, strict=True):
            if np.shape(new) != view.shape:
                raise ValueError(f"an array of shape {view.shape} is needed for this layer, got {np.shape(new)}")
            view[...] = new


def _parameters(name: str, letter: str, sentence: str) -> property:
    """`coefs_` and `intercepts_`: views into w; before there is a network, the arrays that were given for it."""

    def get(self: Any) -> list[Any]:
        if name in self.__dict__ and "network_" not in self.__dict__:
            return self.__dict__[name]
        return _Parameters(getattr(self._fitted_network(), letter))

    def put(self: Any, values: Any) -> None:
        if "network_" in self.__dict__:
            get(self)[:] = values
        else:
            self.__dict__[name] = list(values)

    return property(get, put, doc=sentence)


class BaseMLP(BaseEstimator):
    """What classifier and regressor share: checking, first weights, fitting, predicting."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    coefs_ = _parameters("coefs_", "A", "A_1 … A_L, as views into `network_.w`: what is written there is used.")
    intercepts_ = _parameters("intercepts_", "b", "b_1 … b_L, as views into `network_.w`.")

    def _hidden(self) -> list[int]:
        sizes = self.hidden_layer_sizes
        sizes = [sizes] if not hasattr(sizes, "__iter__") else list(sizes)
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes

    def _has_weights(self) -> bool:
        return "network_" in self.__dict__ or {"coefs_", "intercepts_"} <= self.__dict__.keys()

    def _fitted_network(self) -> Network:
        """The network; where `coefs_` and `intercepts_` were set by hand it is made of them."""
        if "network_" in self.__dict__:
            return self.__dict__["network_"]
        if not self._has_weights():
            raise AttributeError(f"this {type(self).__name__} is not fitted yet")
        A, b = ([np.asarray(part) for part in self.__dict__[name]] for name in ("coefs_", "intercepts_"))
        sizes = [*(part.shape[0] for part in A), A[-1].shape[1]]
        layout = Layout.of(sizes, self.activation, self.out_activation_)
        w = np.concatenate([part.ravel() for part in [*A, *b]])
        self.network_ = Network.from_layout(layout, w.astype(np.result_type(w, np.float32), copy=False))
        del self.__dict__["coefs_"], self.__dict__["intercepts_"]
        self._forget()
        return self.network_

    def _first_weights(self, layout: Layout, dtype: Any) -> np.ndarray:
        """Glorot & Bengio's bound for weights and biases alike, drawn as scikit-learn draws them, layer by layer."""
        w = np.empty(layout.K)
        factor = 2.0 if self.activation == "logistic" else 6.0
        for A, b in zip(*layout.views(w), strict=True):
            bound = np.sqrt(factor / sum(A.shape))
            A[...] = self._random_state.uniform(-bound, bound, A.shape)
            b[...] = self._random_state.uniform(-bound, bound, b.shape)
        return w.astype(dtype, copy=False)

    def _initialize(self, sizes: list[int], dtype: Any) -> None:
        self.n_iter_ = 0
        self.t_ = 0
        self.out_activation_ = self._output_activation()
        layout = Layout.of(sizes, self.activation, self.out_activation_)
        self.n_layers_ = layout.L + 1
        self.network_ = Network.from_layout(layout, self._first_weights(layout, dtype))
        self._forget()
        for name in _RECORDS:
            self.__dict__.pop(name, None)

    def _forget(self) -> None:
        self.history_ = History()
        self._descent: Descent | None = None

    def _start_records(self) -> None:
        """What sgd and adam report epoch by epoch; scikit-learn has none of it for lbfgs."""
        self.loss_curve_: list[float] = []
        self._no_improvement_count = 0
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else np.inf

    def _fit(self, X: Any, y: Any, sample_weight: Any = None, incremental: bool = False):
        hidden = self._hidden()
        first = not self._has_weights() or (not self.warm_start and not incremental)
        X, Y = self._validate_input(X, y, incremental, reset=first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        Y = Y.reshape(X.shape[0], -1)
        self.n_outputs_ = Y.shape[1]
        self._random_state = check_random_state(self.random_state)
        sizes = [X.shape[1], *hidden, self.n_outputs_]
        if first:
            self._initialize(sizes, X.dtype)
        elif list(self._fitted_network().sizes) != sizes:
            raise ValueError(
                f"the fit goes on with the network of the last one, whose layer sizes are {list(self.network_.sizes)}; "
                f"now they would be {sizes}. Keep them, or set warm_start=False and call fit"
            )
        if self.solver != "lbfgs" and not self._has_records():
            self._start_records()
        fit = fit_lbfgs if self.solver == "lbfgs" else fit_stochastic
        with one_blas_thread():
            fit(self, X, Y, sample_weight, incremental)
        if not np.isfinite(self.network_.w).all():
            raise ValueError(NON_FINITE)
        return self

    def _has_records(self) -> bool:
        """Whether there are records to go on with: none after lbfgs, others if early_stopping was turned on or off."""
        watched = getattr(self, "validation_scores_", None) is not None
        return hasattr(self, "loss_curve_") and watched == self.early_stopping

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the network to X (N × D_0) and y.

        Parameters
        ----------
        X : array-like or sparse matrix, N × D_0
            float32 is trained in float32, all else in float64. A large sparse matrix is made dense 32 MB (or one
            batch) at a time.
        y : array-like, N (labels or numbers) or N × outputs
        sample_weight : array-like of N numbers ≥ 0, optional

        Returns
        -------
        self

        Raises
        ------
        ValueError : for parameters out of range, input that cannot be learned from, or numbers that overflowed in
            training (the last finite weights are kept; with `early_stopping` it is a ConvergenceWarning).
        """
        return self._fit(X, y, sample_weight)

    def _checked_outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._outputs(
            validate_data(self, X, accept_sparse=["csr", "csc"], reset=False, dtype=(np.float64, np.float32))
        )

    def _outputs(self, X: Any) -> np.ndarray:
        """ŷ in the wider of the two float widths, that of X and that of w."""
        net = self._fitted_network()
        w = net.w.astype(np.result_type(X, net.w), copy=False)
        X = dense_if_small(X, w.dtype)
        parts = [predict(net.layout, w, block, self.n_threads) for _, block in row_blocks(X, w.dtype)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _reported(self, data: float, penalty: float) -> float:
        """Our mean loss in scikit-learn's scale: its squared error is averaged over outputs, the penalty is not."""
        share = self.n_outputs_ if self._loss_row().name == "squared" else 1
        return data / share + penalty

    def _has_partial_fit(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic."
            )
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
