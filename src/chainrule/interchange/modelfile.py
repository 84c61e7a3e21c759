"""Floor 5, interchange: one file for a trained model: arrays by safetensors, the rest as JSON, nothing that runs."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.engine import Network
from chainrule.estimators.mlp import MLPClassifier, MLPRegressor
from chainrule.estimators.tabular import TableClassifier, TableRegressor
from chainrule.files import FileError, load_arrays, save_arrays
from chainrule.network import get_activation
from chainrule.training import History

from .kinds import ARGUMENTS, HOUSE, RECORDS, check_classes, is_number, put_network, require, take_network
from .plain import NotPlain, Shelf

# A fitted attribute: what scikit-learn calls one.
_FITTED = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*_")
# What else training goes on from after a load.
_PRIVATE = ("_descent", "_no_improvement_count", "_label_binarizer")
# What is not of the model but of the last call, or has a place of its own.
_NOT_KEPT = ("last_report_", "extra_", "coefs_", "intercepts_")
# What a damaged or forged description leads to while it is read.
_MISREAD = (
    KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, ArithmeticError, RecursionError,
    MemoryError,
)  # fmt: skip


def save(model: Any, path: str | os.PathLike, *, extra: dict[str, Any] | None = None) -> None:
    """Write a fitted estimator or a Network to one file.

    The file is written beside its place and renamed, so a crash leaves the old one whole. It can be read by the
    safetensors library (the weights are the arrays A_1 … A_L, b_1 … b_L); it holds no code and no pickle. An activation
    or loss of your own travels as its recorded formula.

    Parameters
    ----------
    model : a fitted MLPClassifier, MLPRegressor, TableClassifier, TableRegressor, or a Network
    path : where to
    extra : anything that JSON can hold, given back by `load` as `model.extra_` (of estimators; a Network has none)

    Raises
    ------
    TypeError : for another kind of object. ValueError : for a model that is not fitted, a weight that is not finite, an
    activation or loss that cannot be recorded. FileError : where nothing can be written.

    >>> import chainrule as cr, tempfile, os
    >>> net = cr.Network([2, 3, 1], "tanh", seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cr.save(net, os.path.join(folder, "net.chainrule"))
    ...     again = cr.load(os.path.join(folder, "net.chainrule"))
    >>> bool((again.w == net.w).all())
    True

    scikit-learn advises pickle, joblib or skops for its estimators; here the file is data that is checked when read.
    """
    shelf = Shelf(HOUSE)
    if type(model) is Network:
        if extra is not None:
            raise TypeError("extra goes with an estimator; a Network does not keep it")
        state = put_network(shelf, model, "")
    else:
        state = _put_estimator(shelf, _known(model), model)
        extra = getattr(model, "extra_", None) if extra is None else extra
    save_arrays(path, shelf.arrays, {"model": type(model).__name__, "state": state, "extra": extra})


def load(path: str | os.PathLike) -> Any:
    """Read a file that `save` wrote; the model predicts the same bits, and training goes on from where it was.

    Raises
    ------
    FileError : for a file that is missing, cut short, altered, from a later version or not a model.
    """
    arrays, metadata = load_arrays(path)
    shelf = Shelf(HOUSE, arrays)
    try:
        name, state, extra = metadata["model"], metadata["state"], metadata["extra"]
        if name == "Network":
            model: Any = take_network(shelf, state)
        elif name in ESTIMATORS:
            model = _take_estimator(shelf, ESTIMATORS[name], state)
            if extra is not None:
                model.extra_ = extra
        else:
            raise ValueError(f"there is no kind of model {name!r:.40}")
        shelf.check_empty()
        return model
    except _MISREAD as error:
        raise FileError(f"{os.fspath(path)} is not a model that can be read: {_said(error)}") from error


def _said(error: BaseException) -> str:
    text = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) and error.args else str(error)
    return (text or type(error).__name__).encode("utf-8", "replace").decode()[:300]


def check_can_be_saved(estimator: Any, n_outputs: int = 3) -> None:
    """An error before any training where an activation or loss of one's own could not be written to a file.

    `n_outputs` matters to a loss that has a constant for each output.

    Raises
    ------
    ValueError : naming the parameter's function and what of it cannot be recorded.

    >>> import numpy as np
    >>> check_can_be_saved(MLPRegressor(activation=lambda z: np.tanh(z) + 0.1 * z))
    >>> check_can_be_saved(MLPRegressor(activation=lambda z: z if z > 0 else 0.0))
    Traceback (most recent call last):
        ...
    ValueError: the activation '<lambda>' cannot be recorded as a formula: this formula is recorded for every value, ...
    """
    shelf = Shelf(HOUSE)
    shelf.n_outputs = n_outputs
    for name in ARGUMENTS:
        if hasattr(estimator, name):
            shelf.put(getattr(estimator, name), name)


# ---------------------------------------------------------------- estimators


@dataclass(frozen=True)
class _Estimator:
    """One kind of estimator: its class, and what must hold between its parts."""

    cls: type
    check: Callable[[Any], None]


def _known(model: Any) -> _Estimator:
    row = ESTIMATORS.get(type(model).__name__)
    if row is None or type(model) is not row.cls:
        raise TypeError(f"save takes a fitted {', '.join(ESTIMATORS)} or a Network, got {type(model).__name__}")
    if not hasattr(model, "network_"):
        raise ValueError(f"this {type(model).__name__} is not fitted yet; save takes a fitted one")
    return row


def _put_estimator(shelf: Shelf, row: _Estimator, model: Any) -> dict[str, Any]:
    model._validate_params()
    try:
        _check(row, model)
    except (AttributeError, ValueError) as error:
        raise ValueError(f"this {type(model).__name__} is not whole, so it is not saved: {error}") from error
    shelf.n_outputs = model.network_.sizes[-1]
    parameters = {}
    for name, value in model.get_params(deep=False).items():
        try:
            parameters[name] = shelf.put(value, name)
        except NotPlain as error:
            if name in ARGUMENTS:
                raise ValueError(f"the parameter {name} cannot be saved: {error}") from error
            warnings.warn(f"the parameter {error}; it stays behind, load gives its default", stacklevel=3)
    attributes = {}
    for name, value in vars(model).items():
        if name in parameters or name in _NOT_KEPT or not (_FITTED.fullmatch(name) or name in _PRIVATE):
            continue
        try:
            attributes[name] = shelf.put(value, name)
        except NotPlain:
            if name in _NEEDED:
                raise
    return {"parameters": parameters, "attributes": attributes}


def _take_estimator(shelf: Shelf, row: _Estimator, state: dict[str, Any]) -> Any:
    model = row.cls()
    known = model.get_params(deep=False)
    for name, value in state["parameters"].items():
        require(name in known, f"it has a parameter {name!r:.60} that this release does not know")
        setattr(model, name, shelf.take(value))
    model._validate_params()
    for name, value in state["attributes"].items():
        fitted = _FITTED.fullmatch(name) and name not in _NOT_KEPT
        require(fitted or name in _PRIVATE, f"it has an attribute {name!r:.60} that no model has")
        setattr(model, name, shelf.take(value))
    _check(row, model)
    return model


def _check(row: _Estimator, model: Any) -> None:
    """A ValueError or AttributeError where the parts of a fitted model do not fit each other."""
    for name, (rule, words) in _ATTRIBUTES.items():
        if name in vars(model):
            require(rule(vars(model)[name]), f"{name} must be {words}")
    require(isinstance(getattr(model, "network_", None), Network), "it has no network")
    require(hasattr(model, "history_"), "it has no history")
    row.check(model)


def _is_count(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= int(value) < 2**63


def _are_numbers(values: Any) -> bool:
    return type(values) is list and all(map(is_number, values))


def _are_names(values: Any) -> bool:
    return (
        isinstance(values, np.ndarray)
        and values.dtype == object
        and values.ndim == 1
        and all(isinstance(value, str) for value in values)
        and len(set(values)) == len(values)
    )


# What each fitted attribute must be, where it is there.
_ATTRIBUTES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(
        ("n_features_in_", "n_outputs_", "n_layers_", "n_iter_", "t_", "_no_improvement_count"),
        (_is_count, "a whole number ≥ 0"),
    ),
    **dict.fromkeys(("loss_",), (is_number, "a number")),
    **dict.fromkeys(
        ("best_loss_", "best_validation_score_"), (lambda v: v is None or is_number(v), "a number or None")
    ),
    **dict.fromkeys(("loss_curve_", "starts_"), (_are_numbers, "a list of numbers")),
    "validation_scores_": (lambda v: v is None or _are_numbers(v), "a list of numbers or None"),
    "out_activation_": (lambda v: isinstance(v, str), "the name of an activation"),
    "feature_names_in_": (_are_names, "different names"),
    "history_": (lambda v: type(v) is History, "a history"),
    "_descent": (lambda v: v is None or type(v) in (dict, *RECORDS.values()), "the state of a method of descent"),
}
# What training goes on from: of each line all or none.
_TOGETHER = (
    ("n_iter_", "t_"),
    ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_", "_no_improvement_count"),
)
# Without these a model cannot predict.
_NEEDED = ("network_", "classes_", "_label_binarizer", "features_", "target_", "n_outputs_", "n_features_in_")


def _check_mlp(model: Any) -> None:
    net = model.network_
    require(
        model.n_features_in_ == net.sizes[0] and model.n_outputs_ == net.sizes[-1], "its shape is not its network's"
    )
    require(model.n_layers_ == len(net.sizes), "it has another number of layers than its network")
    require(get_activation(model.out_activation_).name == net.layout.output.name, "it has another output activation")
    if hasattr(model, "feature_names_in_"):
        require(len(model.feature_names_in_) == model.n_features_in_, "it has another number of names than of columns")
    for names in _TOGETHER:
        require(len({name in vars(model) for name in names}) == 1, f"it has not all of {', '.join(names)}")
    _check_descent(getattr(model, "_descent", None), net)


def _check_descent(descent: Any, net: Network) -> None:
    """What partial_fit goes on from: the vectors of the method, its steps and its step size."""
    parts = descent if type(descent) is dict else vars(descent) if descent is not None else {}
    require(not parts or {"state", "t", "step"} <= set(parts), "the state of its method is not whole")
    vectors = parts.get("state")
    if vectors is not None:
        fits = isinstance(vectors, np.ndarray) and vectors.ndim == 2 and len(vectors) and vectors.shape[1] == net.K
        require(fits and vectors.dtype == net.w.dtype, "the state of its method does not fit its network")
        require(_is_count(parts["t"]) and is_number(parts["step"]) and parts["step"] > 0, "its steps are none")


def _check_classifier(model: Any) -> None:
    _check_mlp(model)
    require(hasattr(model, "_label_binarizer") and hasattr(model, "classes_"), "it has no labels")
    labels = model._label_binarizer
    check_classes(model.classes_)
    require(np.array_equal(labels.classes_, model.classes_), "it has two lists of labels")
    n_outputs = 1 if labels.y_type_ == "binary" else len(labels.classes_)
    require(n_outputs == model.n_outputs_, "its labels are not as many as its outputs")


def _check_table(model: Any) -> None:
    names = model.features_.names
    require(len(names) == model.network_.sizes[0], "its columns do not fit its network")
    columns = {kind.column for kind in model.features_.kinds}
    named = getattr(model, "feature_names_in_", None)
    require(named is None or set(named) == columns, "its names are not those of its columns")
    require(model.n_features_in_ == len(columns), "it has another number of columns than it says")
    require(model.target_.task == model.task, "its target is of another task")
    if hasattr(model, "outcome_"):
        model.outcome_.history = model.history_


def _check_table_classifier(model: Any) -> None:
    _check_table(model)
    count = len(check_classes(model.target_.classes))
    require(
        count >= 2 and model.network_.sizes[-1] == (1 if count == 2 else count), "its labels do not fit its network"
    )


def _check_table_regressor(model: Any) -> None:
    _check_table(model)
    require(model.network_.sizes[-1] == 1, "its network has several outputs")
    low, high = model.target_range_
    numbers = (model.target_mean_, model.target_scale_, low, high)
    require(all(is_number(v) and abs(v) < float("inf") for v in numbers), "its scale is not of finite numbers")
    require(model.target_scale_ > 0 and low <= high, "its scale or range is none")


ESTIMATORS: dict[str, _Estimator] = {
    "MLPClassifier": _Estimator(MLPClassifier, _check_classifier),
    "MLPRegressor": _Estimator(MLPRegressor, _check_mlp),
    "TableClassifier": _Estimator(TableClassifier, _check_table_classifier),
    "TableRegressor": _Estimator(TableRegressor, _check_table_regressor),
}
