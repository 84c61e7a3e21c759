"""Floor 5, insight.plots: the curves of a training, epoch by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import NotFittedError

from chainrule.tables import nearest
from chainrule.training import History

from .canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
# What a column is called in a figure.
_WORDS = {
    "loss": "rows learned from",
    "validation_loss": "rows to choose by",
    "validation_score": "score on rows to choose by",
    "step_size": "step size",
}
# Where the largest of a curve is so many times its smallest, the axis is logarithmic.
_LOGARITHMIC = 50.0


def plot_history(model: Any, ax: Axes | None = None, *, columns: Any = None) -> Axes:
    """Draw columns of a training's history over its epochs, the losses where none are named; mark the epoch kept.

    Parameters
    ----------
    model : a fitted estimator, or a History
    ax : where to draw; a new figure where it is None
    columns : a name, or a list of names, of the history's columns, such as "validation_score"

    Returns
    -------
    The Axes. The vertical axis is logarithmic where all is positive and spreads over more than a factor of 50.

    Raises
    ------
    NotFittedError, ValueError : without a training, for a column that does not exist (the nearest is named).

    >>> import chainrule as cr
    >>> model = cr.MLPRegressor(hidden_layer_sizes=(2,), max_iter=9, random_state=0, tol=0.0)
    >>> import warnings; warnings.simplefilter("ignore")
    >>> ax = plot_history(model.fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0]))
    >>> ax.get_xlabel(), len(ax.lines[0].get_xdata())
    ('epoch', 9)
    """
    history = _history(model)
    known = history.columns()
    names = [name for name in ("loss", "validation_loss") if name in known] if columns is None else columns
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in known or name == "is_best":
            raise ValueError(f"the history has no {name!r}.{nearest(str(name), known)} It has: {', '.join(known)}")
    ax = axes_or_new(ax, figsize=(6.4, 3.8))
    epochs = np.array(known["epoch"], float)
    for k, name in enumerate(names):
        values = np.array([np.nan if v is None else v for v in known[name]], float)
        style: dict[str, Any] = {"marker": "o", "markersize": 3} if len(epochs) <= 30 else {}
        ax.plot(epochs, values, color=_COLOURS[k % len(_COLOURS)], label=_WORDS.get(name, name), **style)
    _scale(ax, [known[name] for name in names])
    best = _kept(model, history)
    if best is not None:
        ax.axvline(best, color=GREY, linestyle=":", label=f"kept: epoch {best}")
    ax.set_xlabel("epoch")
    ax.set_ylabel("mean error (loss)" if all("loss" in name for name in names) else " / ".join(names))
    ax.grid(alpha=0.25)
    ax.legend()
    return ax


def _history(model: Any) -> History:
    history = model if isinstance(model, History) else getattr(model, "history_", None)
    if history is None:
        if hasattr(model, "fit"):
            raise NotFittedError(f"this {type(model).__name__} is not fitted yet; call fit before its history is drawn")
        raise TypeError(f"model must be a fitted estimator or a History, got {type(model).__name__}")
    if not len(history):
        raise ValueError("there is no history to draw: no epoch was finished")
    return history


def _kept(model: Any, history: History) -> int | None:
    """The epoch whose weights are used, where it is not simply the last."""
    best = getattr(getattr(model, "outcome_", None), "best_epoch", None)
    if best is None and getattr(model, "early_stopping", False):
        marks = [epoch for epoch, is_best in zip(history["epoch"], history["is_best"], strict=True) if is_best]
        best = marks[-1] if marks else None
    return best


def _scale(ax: Axes, columns: list[list[Any]]) -> None:
    values = np.array([v for column in columns for v in column if v is not None], float)
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0 and values.max() > _LOGARITHMIC * values.min():
        ax.set_yscale("log")
