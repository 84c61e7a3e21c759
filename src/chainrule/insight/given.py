"""Floor 5, insight: a fitted model and rows as its network sees them: numbers in, targets out, with their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from chainrule.data import array_names
from chainrule.engine import Network
from chainrule.estimators.base import BaseMLP
from chainrule.estimators.tabular import TableClassifier, TableRegressor
from chainrule.network import Loss, get_loss

_TABLE_MODELS = (TableClassifier, TableRegressor)


@dataclass(frozen=True)
class Given:
    """What is looked at: a network in float64, rows of its inputs, and where y was given its targets and loss."""

    network: Network
    names: tuple[str, ...]  # of the D_0 inputs
    X: np.ndarray  # N × D_0
    Y: np.ndarray | None = None  # N × D_L
    loss: Loss | None = None


def network_of(model: Any) -> Network:
    """The network of a fitted estimator, or the network itself.

    Raises
    ------
    TypeError : for what has none. NotFittedError : for an estimator that is not fitted.
    """
    if isinstance(model, Network):
        return model
    if isinstance(model, BaseMLP):
        check_is_fitted(model)
        return model._fitted_network()
    if isinstance(model, _TABLE_MODELS):
        check_is_fitted(model, "network_")
        return model.network_
    hint = "; of a Pipeline give the last step, and X as that step is given it" if hasattr(model, "steps") else ""
    raise TypeError(
        "model must be a fitted MLPClassifier, MLPRegressor, TableClassifier or TableRegressor, or a Network; got "
        f"{type(model).__name__}{hint}"
    )


def input_names(model: Any) -> tuple[str, ...]:
    """The names of the D_0 numbers that go in; x0, x1 … where nobody named them."""
    net = network_of(model)
    if isinstance(model, _TABLE_MODELS):
        return tuple(model.features_.names)
    named = getattr(model, "feature_names_in_", None)
    return tuple(array_names(net.sizes[0]) if named is None else map(str, named))


def column_groups(model: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """(columns, of each input the number of its column): a category of a table has several inputs."""
    if not isinstance(model, _TABLE_MODELS):
        names = input_names(model)
        return names, np.arange(len(names))
    columns = model.features_.columns
    return tuple(c.name for c in columns), np.repeat(np.arange(len(columns)), [len(c.outputs) for c in columns])


def output_names(model: Any) -> tuple[str, ...]:
    """What each of the D_L outputs is called: the class whose probability it is, or the target."""
    D = network_of(model).sizes[-1]
    classes = getattr(model, "classes_", None)
    if classes is not None:
        return tuple(str(c) for c in (classes[-1:] if D == 1 else classes))
    if isinstance(model, _TABLE_MODELS):
        return (model.target_.name,)
    return ("ŷ",) if D == 1 else tuple(f"ŷ[{k}]" for k in range(D))


def given(model: Any, X: Any, y: Any = None, loss: Any = None) -> Given:
    """Rows X (and y) as the network of `model` is given them; `loss` is for a Network, which has none of its own.

    Raises
    ------
    TypeError, ValueError : for an unfitted model, rows of the wrong width, NaN or infinities in the rows.
    """
    net, names = network_of(model), input_names(model)
    if isinstance(model, _TABLE_MODELS):
        X, Y, row = _of_table(model, X, y)
    elif isinstance(model, Network):
        X = _finite(_numbers(X, names), names)
        row = None if y is None else get_loss("squared" if loss is None else loss)
        Y = None if row is None else net._checked(X, y, row, None)[2]
    else:
        X, Y, row = _of_mlp(model, X, y, names)
    net64 = Network.from_layout(net.layout, net.w.astype(np.float64))
    if not np.isfinite(net64.w).all():
        raise ValueError("the network has a weight that is not finite; there is nothing to look at")
    return Given(net64, names, np.asarray(X, np.float64), None if Y is None else np.asarray(Y, np.float64), row)


def _of_table(model: Any, X: Any, y: Any) -> tuple[Any, Any, Loss | None]:
    import pandas as pd

    table = model._rows(X)
    block, _ = model.features_.transform(table, dtype=np.float64)
    if y is None:
        return block, None, None
    y = y if isinstance(y, pd.Series) else pd.Series(np.asarray(y))
    check_length(y, len(block))
    return block, model._targets(model.target_.encode(y, None)), get_loss(model._loss())


def _of_mlp(model: Any, X: Any, y: Any, names: Sequence[str]) -> tuple[Any, Any, Loss | None]:
    X = X.toarray() if hasattr(X, "toarray") else X
    checked = validate_data(model, X, reset=False, dtype=np.float64, ensure_all_finite=False)
    block = _finite(_numbers(checked, names), names)
    if y is None:
        return block, None, None
    check_length(y, len(block))
    _, Y = model._watched_input(X, y)
    return block, model._spread(Y.reshape(len(block), -1)), model._loss_row()


def check_length(y: Any, N: int) -> None:
    """A ValueError where y has not one entry for each row."""
    if len(y) != N:
        raise ValueError(f"X has {N} rows and y has {len(y)}; y needs one entry for each row")


def _numbers(X: Any, names: Sequence[str]) -> np.ndarray:
    """X as a float64 block of the right width."""
    try:
        block = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            "X must hold numbers only; a table as it is goes with TableClassifier or TableRegressor"
        ) from None
    if block.ndim != 2 or block.shape[1] != len(names):
        raise ValueError(f"X must be N × {len(names)}, a column for each input of the network; got {block.shape}")
    if not len(block):
        raise ValueError("X has no rows; at least one is needed")
    return block


def _finite(block: np.ndarray, names: Sequence[str]) -> np.ndarray:
    wrong = ~np.isfinite(block)
    if wrong.any():
        row, column = (int(k) for k in np.argwhere(wrong)[0])
        raise ValueError(
            f"X has {block[row, column]} in row {row}, column {names[column]!r}; the network needs finite numbers"
        )
    return block


def position_of(name: Any, names: Sequence[str], what: str = "feature") -> int:
    """The position of a name, or a number that is one already; otherwise an error with the nearest name."""
    from chainrule.data import suggestion

    if isinstance(name, str) and name in names:
        return list(names).index(name)
    if isinstance(name, int | np.integer) and not isinstance(name, bool):
        if 0 <= name < len(names):
            return int(name)
        raise ValueError(f"there is no {what} {name}: they are numbered from 0 to {len(names) - 1}")
    said = suggestion(str(name), names).replace("Its columns:", "There are:")
    raise ValueError(f"there is no {what} {name!r}.{said}")
