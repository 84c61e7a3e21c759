"""Floor 4, estimators: MLPClassifier and MLPRegressor, with scikit-learn's names, defaults and meaning."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from chainrule.engine import Network, predict
from chainrule.engine.threads import one_blas_thread
from chainrule.network import Layout, check_targets, get_loss
from chainrule.training import History

from .blocks import dense_if_small, row_blocks
from .parameters import PARAMETERS, constraints, parameters_section, store
from .solvers import NON_FINITE, Descent, fit_lbfgs, fit_stochastic

_SHARED = [row for row in PARAMETERS.values() if row.name != "loss"]
_RECORDS = ("loss_curve_", "validation_scores_", "best_validation_score_", "best_loss_", "_no_improvement_count")


class _Parameters(list):
    """The list that scikit-learn has in `coefs_`: here the entries are views into w, and assigning one writes into w."""

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


class _BaseMLP(BaseEstimator):
    """What classifier and regressor share: checking, first weights, fitting, predicting."""

    _parameter_constraints: dict[str, list[Any]] = {}

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
        dtype = np.float32 if all(part.dtype == np.float32 for part in [*A, *b]) else np.float64
        self.network_ = Network.from_layout(layout, np.zeros(layout.K, dtype))
        self.coefs_, self.intercepts_ = A, b
        del self.__dict__["coefs_"], self.__dict__["intercepts_"]
        self.history_, self._descent = History(), None
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
        self.history_ = History()
        self._descent: Descent | None = None
        for name in _RECORDS:
            self.__dict__.pop(name, None)

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
            sample_weight = _check_sample_weight(sample_weight, X)
        Y = Y.reshape(X.shape[0], -1)
        self.n_outputs_ = Y.shape[1]
        self._random_state = check_random_state(self.random_state)
        sizes = [X.shape[1], *hidden, self.n_outputs_]
        if first:
            self._initialize(sizes, X.dtype)
        elif list(self._fitted_network().sizes) != sizes:
            raise ValueError(
                f"the fit goes on with the network of the last one, whose layer sizes are "
                f"{list(self.network_.sizes)}; now they would be {sizes}. Keep them, or set warm_start=False and call fit"
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


class MLPClassifier(ClassifierMixin, _BaseMLP):
    __doc__ = (
        """A multilayer perceptron classifier, minimising the cross-entropy −Σ y ln ŷ by sgd, adam or lbfgs.

A drop-in for scikit-learn's class of this name: the same parameters, defaults, random numbers and loss curve, trained
by the compiled engine. Two classes (and multilabel targets) have sigmoid outputs, more have a softmax.

"""
        + parameters_section(_SHARED)
        + """

Attributes
----------
classes_, coefs_, intercepts_, loss_, loss_curve_, best_loss_, validation_scores_, n_iter_, t_, n_layers_, n_outputs_,
out_activation_, n_features_in_, feature_names_in_ : as scikit-learn's.
network_ : the Network; its w holds all parameters, coefs_ and intercepts_ are views into it.
history_ : every epoch as plain data.

Examples
--------
>>> from chainrule import MLPClassifier
>>> from sklearn.datasets import load_iris
>>> X, y = load_iris(return_X_y=True)
>>> clf = MLPClassifier((16,), learning_rate_init=0.05, max_iter=400, random_state=0).fit(X, y)
>>> bool(clf.score(X, y) > 0.9)
True

Source: handout 1, 2, 4. Where scikit-learn differs: it reports the log-loss clipped at the float's resolution, here it
is exact (from the raw score).
"""
    )

    _parameter_constraints = constraints(_SHARED)

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        n_threads=None,
        progress=False,
    ):
        store(self, PARAMETERS, locals())

    def _output_activation(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _loss_row(self):
        return get_loss("softmax_cross_entropy" if self.out_activation_ == "softmax" else "binary_cross_entropy")

    def _validate_input(self, X, y, incremental, reset):
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=(np.float64, np.float32), reset=reset
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_classes(unique_labels(y))
        return X, self._label_binarizer.transform(y).astype(bool)

    def _check_classes(self, classes) -> None:
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _labels(self, outputs: np.ndarray) -> np.ndarray:
        return self._label_binarizer.inverse_transform(outputs.ravel() if self.n_outputs_ == 1 else outputs)

    def _score_of(self, outputs: np.ndarray, Y: np.ndarray, weights: Any) -> float:
        """The accuracy, NaN where an output is not finite; of codes, which are as good as labels and quicker."""
        if not np.isfinite(outputs).all():
            return float("nan")
        if self.out_activation_ == "softmax":
            right = outputs.argmax(axis=1) == Y.argmax(axis=1)
        else:
            right = ((outputs > 0.5) == Y).all(axis=1)
        return float(np.average(right, weights=weights))

    def predict(self, X):
        """The most probable class of each row of X: N labels (multilabel: N × classes of 0 and 1)."""
        return self._labels(self._checked_outputs(X))

    def predict_proba(self, X):
        """The probability of each class (N × classes, in the order of `classes_`)."""
        outputs = self._checked_outputs(X)
        if self.n_outputs_ == 1:
            return np.column_stack([1 - outputs, outputs])
        return outputs

    def predict_log_proba(self, X):
        """ln of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    @available_if(_BaseMLP._has_partial_fit)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """One epoch over the rows given; `classes` (all there will ever be) is needed at the first call."""
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            self._label_binarizer.fit(y if type_of_target(y).startswith("multilabel") else classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, _BaseMLP):
    __doc__ = (
        """A multilayer perceptron regressor, minimising ½(ŷ − y)² or half the Poisson deviance by sgd, adam or lbfgs.

A drop-in for scikit-learn's class of this name (1.7 and later, where `loss` comes first), trained by the compiled
engine.

"""
        + parameters_section(PARAMETERS.values())
        + """

Attributes
----------
As MLPClassifier, without classes_.

Examples
--------
>>> from chainrule import MLPRegressor
>>> import numpy as np
>>> X = np.linspace(-1, 1, 50)[:, None]
>>> model = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", random_state=0).fit(X, X[:, 0] ** 2)
>>> bool(model.score(X, X[:, 0] ** 2) > 0.99)
True

Source: handout 1, 2, 4. Where scikit-learn differs: with several outputs its gradient is that of the sum over outputs
while its loss is their mean (its issue 8349); here both are of the sum, and `loss_` is printed in its scale.
"""
    )

    _parameter_constraints = constraints(PARAMETERS.values())

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        n_threads=None,
        progress=False,
    ):
        store(self, PARAMETERS, locals())

    def _output_activation(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _loss_row(self):
        return get_loss(self.loss)

    def _validate_input(self, X, y, incremental, reset):
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True,
            dtype=(np.float64, np.float32), reset=reset,
        )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        y = y.astype(X.dtype, copy=False)
        check_targets(self._loss_row(), y.reshape(len(y), -1))
        return X, y

    def _score_of(self, outputs: np.ndarray, Y: np.ndarray, weights: Any) -> float:
        if not np.isfinite(outputs).all():
            return float("nan")
        return float(r2_score(Y, outputs, sample_weight=weights))

    def predict(self, X):
        """ŷ of each row of X: N numbers, or N × outputs."""
        outputs = self._checked_outputs(X)
        return outputs.ravel() if self.n_outputs_ == 1 else outputs

    @available_if(_BaseMLP._has_partial_fit)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """One epoch over the rows given."""
        return self._fit(X, y, sample_weight, incremental=True)
