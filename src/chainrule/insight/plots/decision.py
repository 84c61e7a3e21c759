"""Floor 5, insight.plots: what a model answers everywhere on the plane of two features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from chainrule.data import Table, array_names
from chainrule.insight.given import position_of

from .canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, YELLOW, axes_or_new
from .inputs import plain_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY)
_MARKERS = "os^Dvpx+"
# Rows drawn as points, at most.
_MOST_POINTS = 1_000
# Margin around the rows, as a share of their range.
_MARGIN = 0.05


def plot_decision_surface(
    model: Any, X: Any, y: Any = None, ax: Axes | None = None, *, features: Any = None, resolution: int = 150
) -> Axes:
    """Draw what a fitted model predicts over two features: classes as colours, numbers as contours, rows as points.

    Parameters
    ----------
    model : a fitted estimator
    X : N rows; of two columns, or of more with the two that vary named by `features`
    y : their targets, drawn as the points' colours; optional
    ax : where to draw; a new figure where it is None
    features : two names or positions of columns of numbers. The others stand at their median, columns of words at
        their most frequent value
    resolution : points of the grid in each direction

    Returns
    -------
    The Axes. The stronger a colour, the surer the model; white lines are where two classes are as probable.

    Raises
    ------
    ValueError : for an unfitted model, not two features, a feature that does not exist or is not of numbers.

    >>> import chainrule as cr
    >>> X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0]
    >>> model = cr.MLPClassifier((8,), "tanh", solver="lbfgs", random_state=0).fit(X, y)
    >>> ax = plot_decision_surface(model, X, y)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('x0', 'x1')
    """
    check_is_fitted(model)
    frame, named = _frame(model, X)
    if y is not None and len(y) != len(frame):
        raise ValueError(f"X has {len(frame)} rows and y has {len(y)}; y needs one entry for each row")
    first, second = _two(frame, features)
    points = [
        pd.to_numeric(frame.iloc[:, j], errors="coerce").to_numpy(float, na_value=np.nan) for j in (first, second)
    ]
    across, up = (
        _axis(values, resolution, str(frame.columns[j])) for values, j in zip(points, (first, second), strict=True)
    )
    grid = _grid(frame, first, second, across, up)
    ax = axes_or_new(ax, figsize=(5.6, 4.6))
    given = grid if named else grid.to_numpy()
    labels = np.asarray(getattr(model, "classes_", ()))
    if is_classifier(model):
        _draw_classes(ax, across, up, np.asarray(model.predict_proba(given)), labels)
    else:
        _draw_numbers(ax, across, up, np.asarray(model.predict(given), float), np.asarray(points), y)
    if is_classifier(model) or y is None:
        _draw_points(ax, points, None if y is None else np.asarray(y), labels)
    ax.set_xlim(across[0], across[-1])
    ax.set_ylim(up[0], up[-1])
    ax.set_xlabel(plain_label(frame.columns[first]))
    ax.set_ylabel(plain_label(frame.columns[second]))
    if frame.shape[1] > 2:
        ax.set_title("the other columns at their middle", fontsize="small", color=GREY)
    return ax


def _frame(model: Any, X: Any) -> tuple[pd.DataFrame, bool]:
    """(X as a frame, whether the model is given names); of a table model only the columns that it learned."""
    named = hasattr(model, "feature_names_in_")
    if hasattr(model, "features_") and named:
        return model._rows(X).frame[[column.name for column in model.features_.columns]], True
    if isinstance(X, pd.DataFrame | Table):
        frame = X.frame if isinstance(X, Table) else X
        return frame, named
    block = np.asarray(X.toarray() if hasattr(X, "toarray") else X)
    if block.ndim != 2:
        raise ValueError(f"X must be rows × columns, got shape {block.shape}")
    names = list(model.feature_names_in_) if named else array_names(block.shape[1])
    if len(names) != block.shape[1]:
        raise ValueError(f"X has {block.shape[1]} columns, the model was fitted to {len(names)}")
    return pd.DataFrame(block, columns=names), named


def _two(frame: pd.DataFrame, features: Any) -> tuple[int, int]:
    names = [str(c) for c in frame.columns]
    if features is None:
        if len(names) != 2:
            raise ValueError(
                f"a decision surface needs two features and X has {len(names)}; name two of them with features=(…, …): "
                + ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
            )  # fmt: skip
        chosen = [0, 1]
    else:
        given = [features] if isinstance(features, str) or not hasattr(features, "__iter__") else list(features)
        if len(given) != 2:
            raise ValueError(f"features must be two columns, got {len(given)}: {', '.join(map(str, given))}")
        chosen = [position_of(name, names) for name in given]
    if chosen[0] == chosen[1]:
        raise ValueError(f"features must be two different columns, got {names[chosen[0]]!r} twice")
    for j in chosen:
        values = frame.iloc[:, j]
        if (
            pd.to_numeric(values.dropna(), errors="coerce").isna().any()
            or not pd.to_numeric(values, errors="coerce").notna().any()
        ):
            raise ValueError(f"the feature {names[j]!r} is not of numbers; a decision surface needs two that are")
    return chosen[0], chosen[1]


def _axis(values: np.ndarray, resolution: int, name: str) -> np.ndarray:
    if isinstance(resolution, bool) or not isinstance(resolution, int) or resolution < 2:
        raise ValueError(f"resolution must be a whole number ≥ 2, got {resolution!r}")
    if np.isinf(values).any():
        raise ValueError(f"the feature {name!r} has an infinite value; a decision surface needs finite ones")
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = _MARGIN * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, resolution)


def _grid(frame: pd.DataFrame, first: int, second: int, across: np.ndarray, up: np.ndarray) -> pd.DataFrame:
    """One row for each point of the plane, the other columns at their middle."""
    x, z = np.meshgrid(across, up)
    columns: dict[Any, Any] = {}
    for j, name in enumerate(frame.columns):
        values = frame.iloc[:, j]
        if j in (first, second):
            columns[name] = (x if j == first else z).ravel()
        elif pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
            columns[name] = float(values.median())
        else:
            common = values.dropna().mode()
            columns[name] = common.iloc[0] if len(common) else None
    return pd.DataFrame(columns, index=range(x.size))


def _draw_classes(ax: Axes, across: np.ndarray, up: np.ndarray, p: np.ndarray, labels: np.ndarray) -> None:
    """An image in which the class's colour is the stronger the surer the model is, with the boundaries."""
    from matplotlib.colors import to_rgb

    if p.ndim != 2 or p.shape[1] != len(labels):
        raise ValueError("a decision surface shows one class a row; this model predicts several at once")
    shape = (len(up), len(across))
    winner = p.argmax(axis=1)
    surest = (p.max(axis=1) - 1 / p.shape[1]) / (1 - 1 / p.shape[1])
    colours = np.array([to_rgb(_COLOURS[k % len(_COLOURS)]) for k in range(len(labels))])
    image = np.concatenate([colours[winner], (0.08 + 0.5 * surest)[:, None]], axis=1).reshape(*shape, 4)
    ax.imshow(
        image, origin="lower", extent=(across[0], across[-1], up[0], up[-1]), aspect="auto", interpolation="bilinear"
    )
    for k in range(len(labels) if len(labels) > 2 else 1):
        others = np.delete(p, k, axis=1).max(axis=1)
        lead = (p[:, k] - others).reshape(shape)
        if lead.min() < 0 < lead.max():
            ax.contour(across, up, lead, levels=[0.0], colors="white", linewidths=1.2)


def _draw_numbers(ax: Axes, across: np.ndarray, up: np.ndarray, values: np.ndarray, points: np.ndarray, y: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    if values.ndim != 1:
        raise ValueError("a decision surface shows one number a row; this model predicts several")
    values = values.reshape(len(up), len(across))
    low, high = float(values.min()), float(values.max())
    targets = None if y is None else np.asarray(y, float)
    if targets is not None:
        low, high = min(low, float(targets.min())), max(high, float(targets.max()))
    levels = MaxNLocator(14).tick_values(low, high if high > low else low + 1.0)
    drawn = ax.contourf(across, up, values, levels=levels, cmap="viridis", extend="neither")
    ax.figure.colorbar(drawn, ax=ax, label="prediction" if y is None else "prediction (points: the targets)")
    if targets is not None:
        some = _some(len(targets))
        ax.scatter(
            points[0][some], points[1][some], c=targets[some], cmap="viridis", vmin=levels[0], vmax=levels[-1],
            edgecolors="white", linewidths=0.6, s=22,
        )  # fmt: skip


def _draw_points(ax: Axes, points: list[np.ndarray], y: np.ndarray | None, labels: np.ndarray) -> None:
    some = _some(len(points[0]))
    x, z = points[0][some], points[1][some]
    if y is None or not len(labels):
        ax.scatter(x, z, s=14, color=GREY, edgecolors="white", linewidths=0.4)
        return
    shown = y[some].astype(str)
    for k, label in enumerate(labels.astype(str)):
        own, colour = shown == label, _COLOURS[k % len(_COLOURS)]
        marker = _MARKERS[k % len(_MARKERS)]
        edge: dict[str, Any] = {} if marker in "x+" else {"edgecolors": "white", "linewidths": 0.6}
        ax.scatter(x[own], z[own], s=26, color=colour, marker=marker, label=plain_label(label), **edge)
    if len(labels) <= 10:
        ax.legend(loc="best", framealpha=0.85)


def _some(n: int) -> np.ndarray:
    """At most so many rows, evenly."""
    return np.unique(np.linspace(0, n - 1, min(n, _MOST_POINTS)).astype(int))
