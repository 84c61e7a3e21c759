"""Floor 4, estimators: MLPClassifier and MLPRegressor, with scikit-learn's names, defaults and meaning."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, _fit_context
from sklearn.callback import with_callbacks
from sklearn.metrics import d2_pinball_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from chainrule.network import Loss, check_targets, get_activation, get_loss

from .base import BaseMLP, is_function
from .class_weights import class_weights
from .parameters import (
    ATTRIBUTES,
    CLASSIFIER_PARAMETERS,
    PARAMETERS,
    attributes_section,
    constraints,
    parameters_section,
    store,
)


class MLPClassifier(ClassifierMixin, BaseMLP):
    __doc__ = (
        """A multilayer perceptron classifier, minimising the cross-entropy −Σ y ln ŷ by sgd, adam, lbfgs and more.

A drop-in for scikit-learn's class of this name (1.9): the same parameters, defaults, random numbers and loss curve,
trained by the compiled engine. Two classes (and multilabel targets) have sigmoid outputs, more have a softmax. What is
minimised is the mean over rows, weighted by `sample_weight`, of the cross-entropy, plus ½ α Σ‖A_l‖² divided by the
number (or weight) of the rows.

"""
        + parameters_section(CLASSIFIER_PARAMETERS.values())
        + "\n\n"
        + attributes_section(ATTRIBUTES.values())
        + """

Raises
------
ValueError : by fit, for a parameter out of range, input that cannot be learned from, or numbers that overflow.

Examples
--------
>>> from chainrule import MLPClassifier
>>> from sklearn.datasets import load_iris
>>> X, y = load_iris(return_X_y=True)
>>> clf = MLPClassifier((16,), learning_rate_init=0.05, max_iter=400, random_state=0).fit(X, y)
>>> bool(clf.score(X, y) > 0.9)
True
>>> [A.shape for A in clf.coefs_], clf.out_activation_
([(4, 16), (16, 3)], 'softmax')

Source: handout 1, 2, 4; scikit-learn 1.9. Where it differs: scikit-learn reports the log-loss clipped at the float's
resolution, here it is exact (from the raw score). The guide "From scikit-learn" has the whole table.
"""
    )

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = constraints(CLASSIFIER_PARAMETERS.values())

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
        loss="log_loss",
        class_weight=None,
        label_smoothing=0.0,
        initialiser="auto",
        n_init=1,
        dropout=0.0,
        l1=0.0,
        weight_decay=None,
        clip_norm=None,
        warm_up=0.0,
        averaging=None,
        frozen=(),
        start_from=None,
        scoring=None,
        max_time=None,
        n_threads=None,
        progress=False,
        record=False,
        audit=False,
    ):
        store(self, CLASSIFIER_PARAMETERS, locals())

    def _set_outputs(self, D: int) -> None:
        self.n_outputs_ = D
        self.out_activation_ = "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _loss_row(self) -> Loss:
        output = get_activation(self.out_activation_).name
        if isinstance(self.loss, str) and self.loss == "log_loss":
            return get_loss("softmax_cross_entropy" if output == "softmax" else "binary_cross_entropy")
        if is_function(self.loss):
            return self._own_loss(self.loss, output)
        row = get_loss(self.loss)
        if row.link == output:
            return row
        if row.link != "identity":
            raise ValueError(
                f"the loss {row.name!r} goes with the output activation {row.link!r}, and these classes have a {output}"
            )
        return self._own_loss(row, output)

    def _class_weights(self, Y: np.ndarray, weights: Any, partial: bool) -> Any:
        if self.class_weight is None:
            return weights
        if partial and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all rows at once, partial_fit sees a part; give the weights as "
                "{label: weight}, from sklearn.utils.class_weight.compute_class_weight over all of y"
            )
        found = class_weights(self.class_weight, self.classes_.tolist(), Y, self._is_multilabel())
        return found if weights is None else found * weights

    def _is_multilabel(self) -> bool:
        return self._label_binarizer.y_type_.startswith("multilabel")

    def _smoothed(self, Y: np.ndarray) -> np.ndarray:
        if not self.label_smoothing:
            return Y
        count = Y.shape[1] if self.out_activation_ == "softmax" else 2
        return (1.0 - self.label_smoothing) * Y + self.label_smoothing / count

    def _decoded(self, Y: np.ndarray) -> np.ndarray:
        return self._label_binarizer.inverse_transform(Y.astype(int))

    def _watched_input(self, X, y):
        X, y = self._validated(X, y, reset=False)
        if self._is_multilabel() != type_of_target(y).startswith("multilabel"):
            raise ValueError(f"y is {type_of_target(y)}, that of fit is {self._label_binarizer.y_type_}")
        unseen = np.setdiff1d(unique_labels(y), self.classes_)
        if len(unseen):
            raise ValueError(f"y has the class {unseen[0]!s}, which y of fit has not")
        return X, self._encoded(y)

    def _encoded(self, y) -> np.ndarray:
        """Y of checked labels, as `transform` makes it without its checks, which cost more than an epoch."""
        kind, classes = self._label_binarizer.y_type_, self._label_binarizer.classes_
        if np.ndim(y) != 1 or kind not in ("binary", "multiclass") or len(classes) < 2:
            return self._label_binarizer.transform(y).astype(bool)
        codes = np.searchsorted(classes, y)
        return codes[:, None] == (1 if kind == "binary" else np.arange(len(classes)))

    def _validated(self, X, y, reset):
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=(np.float64, np.float32), reset=reset
        )
        return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _validate_input(self, X, y, incremental, reset):
        X, y = self._validated(X, y, reset)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_classes(unique_labels(y))
        return X, self._encoded(y)

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
        # As `inverse_transform` below does it, without its checks, which take longer than the prediction of a row.
        kind, classes = self._label_binarizer.y_type_, self._label_binarizer.classes_
        if kind == "multiclass":
            return classes[outputs.argmax(axis=1)]
        if kind == "binary" and len(classes) == 2:
            return classes[(outputs[:, 0] > 0.5).astype(np.intp)]
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

    @available_if(BaseMLP._has_partial_fit)
    @with_callbacks
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


class MLPRegressor(RegressorMixin, BaseMLP):
    __doc__ = (
        """A multilayer perceptron regressor, minimising ½(ŷ − y)² or another loss by sgd, adam, lbfgs and more.

A drop-in for scikit-learn's class of this name (1.9, where `loss` comes first): the same parameters, defaults, random
numbers and loss curve, trained by the compiled engine. What is minimised is the mean over rows, weighted by
`sample_weight`, of the loss summed over outputs, plus ½ α Σ‖A_l‖² divided by the number (or weight) of the rows.

"""
        + parameters_section(PARAMETERS.values())
        + "\n\n"
        + attributes_section(row for row in ATTRIBUTES.values() if row.name != "classes_")
        + """

Raises
------
ValueError : by fit, for a parameter out of range, input that cannot be learned from (negative y with the Poisson
    loss), or numbers that overflow.

Examples
--------
>>> from chainrule import MLPRegressor
>>> import numpy as np
>>> X = np.linspace(-1, 1, 50)[:, None]
>>> model = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", random_state=0).fit(X, X[:, 0] ** 2)
>>> bool(model.score(X, X[:, 0] ** 2) > 0.99)
True

Source: handout 1, 2, 4; scikit-learn 1.9. Where it differs: with several outputs scikit-learn's gradient is that of the
sum over outputs while its loss is their mean (its issue 8349); here both are of the sum, and `loss_` is printed in its
scale. The guide "From scikit-learn" has the whole table.
"""
    )

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = constraints(PARAMETERS.values())

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
        initialiser="auto",
        n_init=1,
        dropout=0.0,
        l1=0.0,
        weight_decay=None,
        clip_norm=None,
        warm_up=0.0,
        averaging=None,
        frozen=(),
        start_from=None,
        scoring=None,
        max_time=None,
        n_threads=None,
        progress=False,
        record=False,
        audit=False,
    ):
        store(self, PARAMETERS, locals())

    def _set_outputs(self, D: int) -> None:
        self.n_outputs_ = D
        row = self._loss_row()
        if row.repeats_target:
            if D != 1:
                raise ValueError(f"loss={row.name!r} has its outputs for one target, y has {D}; fit one model for each")
            self.n_outputs_ = len(row.parameters[row.vectors[0]])  # type: ignore[arg-type]
        row.check_outputs(self.n_outputs_)
        self.out_activation_ = "logistic" if row.link == "sigmoid" else row.link

    def _loss_row(self) -> Loss:
        return self._own_loss(self.loss, "identity") if is_function(self.loss) else get_loss(self.loss)

    def _spread(self, Y: np.ndarray) -> np.ndarray:
        return np.repeat(Y, self.n_outputs_, axis=1) if self._loss_row().repeats_target else Y

    def _decoded(self, Y: np.ndarray) -> np.ndarray:
        return Y[:, 0] if Y.shape[1] == 1 or self._loss_row().repeats_target else Y

    def _watched_input(self, X, y):
        X, y = self._validate_input(X, y, incremental=True, reset=False)
        targets = 1 if self._loss_row().repeats_target else self.n_outputs_
        if y.size != targets * len(y):
            raise ValueError(f"y has {y.size // len(y)} columns, that of fit has {targets}")
        return X, y

    def _validate_input(self, X, y, incremental, reset):
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True,
            dtype=(np.float64, np.float32), reset=reset,
        )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        y = y.astype(X.dtype, copy=False)
        if not is_function(self.loss):
            check_targets(get_loss(self.loss), y.reshape(len(y), -1))
        return X, y

    def _score_of(self, outputs: np.ndarray, Y: np.ndarray, weights: Any) -> float:
        if not np.isfinite(outputs).all():
            return float("nan")
        with np.errstate(over="ignore"):  # of weights that are about to overflow
            if self._loss_row().repeats_target:
                return self._quantile_score(Y[:, 0], outputs, weights)
            return _r2(Y, outputs, weights) if len(Y) > 1 else float(r2_score(Y, outputs, sample_weight=weights))

    def _quantile_score(self, y: np.ndarray, outputs: np.ndarray, weights: Any) -> float:
        levels: Any = self._loss_row().parameters["levels"]
        each = [
            d2_pinball_score(y, q, alpha=level, sample_weight=weights)
            for level, q in zip(levels, outputs.T, strict=True)
        ]
        return float(np.mean(each))

    def score(self, X, y, sample_weight=None):
        """R² of the predictions; with the quantile loss the mean over levels of D² (the share of the pinball loss of
        constant quantiles that is explained).
        """
        if not self._loss_row().repeats_target:
            return super().score(X, y, sample_weight)
        outputs = self._checked_outputs(X)
        return self._quantile_score(np.asarray(y, outputs.dtype).ravel(), outputs, sample_weight)

    def predict(self, X):
        """ŷ of each row of X: N numbers, or N × outputs (with the quantile loss, N × levels)."""
        outputs = self._checked_outputs(X)
        return outputs.ravel() if self.n_outputs_ == 1 else outputs

    @available_if(BaseMLP._has_partial_fit)
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """One epoch over the rows given."""
        return self._fit(X, y, sample_weight, incremental=True)


def _r2(Y: np.ndarray, outputs: np.ndarray, weights: Any) -> float:
    """The number of scikit-learn's `r2_score` to the last bit, without its checks: they took longer than an epoch of a
    small table, and early stopping asks after every one.
    """
    dtype = np.result_type(*(part for part in (Y, outputs, weights) if part is not None))
    Y, outputs = Y.astype(dtype, copy=False), outputs.astype(dtype, copy=False)
    weight = 1.0 if weights is None else weights.astype(dtype, copy=False)[:, None]
    left = np.sum(weight * (Y - outputs) ** 2, axis=0)
    around = np.sum(weight * (Y - np.average(Y, axis=0, weights=weights)) ** 2, axis=0)
    scores = (left == 0).astype(dtype)
    varies = around != 0
    scores[varies] = 1 - left[varies] / around[varies]
    return float(np.average(scores))
