"""Floor 5, insight.plots: right and wrong answers, by scikit-learn's displays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.utils.validation import check_is_fitted

from chainrule.insight.given import check_length, position_of

from .canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, axes_or_new
from .inputs import plain_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
# Curves of calibration in one figure.
_MOST_CURVES = 6


def plot_confusion(model: Any, X: Any, y: Any, ax: Axes | None = None, *, normalize: str | None = None) -> Axes:
    """Draw how many rows of each class were taken for each class, by scikit-learn's `ConfusionMatrixDisplay`.

    `normalize` is "true", "pred" or "all", for shares in place of counts.

    Raises
    ------
    ValueError : for an unfitted model, one that predicts numbers, or rows that it cannot predict.
    """
    from sklearn.metrics import ConfusionMatrixDisplay

    _check(model, X, y, "a confusion matrix", classes=True)
    found = [str(label) for label in np.ravel(model.predict(X))]
    labels = [str(label) for label in model.classes_]
    n = len(labels)
    ax = axes_or_new(ax, figsize=(min(2.4 + 0.55 * n, 9.0), min(1.9 + 0.5 * n, 8.0)))
    ConfusionMatrixDisplay.from_predictions(
        [str(label) for label in np.ravel(np.asarray(y))], found, labels=labels, normalize=normalize, cmap="Blues",
        display_labels=[plain_label(label) for label in labels], ax=ax, colorbar=False,
        values_format=None if normalize is None else ".2f",
        xticks_rotation=45 if max(map(len, labels)) > 3 and n > 4 else "horizontal",
        text_kw={"fontsize": "medium" if n <= 8 else "x-small"}, include_values=n <= 20,
    )  # fmt: skip
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    return ax


def plot_residuals(model: Any, X: Any, y: Any, ax: Axes | None = None, *, kind: str = "residual_vs_predicted") -> Axes:
    """Draw y − ŷ over ŷ (or, with kind "actual_vs_predicted", y over ŷ), by scikit-learn's `PredictionErrorDisplay`.

    Raises
    ------
    ValueError : for an unfitted model, one that predicts classes or several numbers, or rows that it cannot predict.
    """
    from matplotlib.ticker import AutoLocator
    from sklearn.metrics import PredictionErrorDisplay

    _check(model, X, y, "a figure of residuals", classes=False)
    if kind not in ("residual_vs_predicted", "actual_vs_predicted"):
        raise ValueError(f"kind must be 'residual_vs_predicted' or 'actual_vs_predicted', got {kind!r}")
    found = np.asarray(model.predict(X), float)
    if found.ndim != 1:
        raise ValueError(f"a figure of residuals needs one number a row; this model predicts {found.shape[1]}")
    ax = axes_or_new(ax, figsize=(5.6, 4.0))
    PredictionErrorDisplay.from_predictions(
        np.asarray(y, float), found, kind=kind, ax=ax, random_state=0,
        scatter_kwargs={"color": BLUE, "alpha": 0.5, "s": 16}, line_kwargs={"color": GREY},
    )  # fmt: skip
    for axis in (ax.xaxis, ax.yaxis):  # scikit-learn divides the range in five, whatever the numbers are
        axis.set_major_locator(AutoLocator())
    ax.set_xlabel("prediction ŷ")
    ax.set_ylabel("y − ŷ" if kind == "residual_vs_predicted" else "target y")
    return ax


def plot_calibration(
    model: Any, X: Any, y: Any, ax: Axes | None = None, *, classes: Any = None, n_bins: int = 10
) -> Axes:
    """Draw how often a class came true over the probability that it was given, by scikit-learn's `CalibrationDisplay`.

    A curve below the diagonal says that the model is too sure. `classes` are those to draw, one curve each: of two the
    second, of more the first six, where it is not given.

    Raises
    ------
    ValueError : for an unfitted model, one that predicts numbers, a class that does not exist.
    """
    from sklearn.calibration import CalibrationDisplay

    _check(model, X, y, "a figure of calibration", classes=True)
    labels = [str(label) for label in model.classes_]
    if classes is None:
        chosen = [1] if len(labels) == 2 else list(range(min(len(labels), _MOST_CURVES)))
    else:
        asked = [classes] if isinstance(classes, str) or not hasattr(classes, "__iter__") else classes
        chosen = [position_of(str(label), labels, "class") for label in asked]
    p = np.asarray(model.predict_proba(X))
    true = np.array([str(label) for label in np.ravel(np.asarray(y))])
    ax = axes_or_new(ax, figsize=(4.8, 4.4))
    for at, k in enumerate(chosen):
        CalibrationDisplay.from_predictions(
            (true == labels[k]).astype(int), np.clip(p[:, k], 0.0, 1.0), n_bins=n_bins, ax=ax,
            name=plain_label(labels[k]), ref_line=at == 0, color=_COLOURS[at % len(_COLOURS)],
        )  # fmt: skip
    ax.lines[0].set_color(GREY)  # the diagonal, which is black, on a page of any colour
    ax.set_xlabel("probability that was predicted")
    ax.set_ylabel("share of these rows in which it came true")
    ax.legend(fontsize="small")
    return ax


def _check(model: Any, X: Any, y: Any, what: str, classes: bool) -> None:
    right = is_classifier(model) if classes else is_regressor(model)
    if not right:
        said = "classes" if classes else "numbers"
        raise ValueError(f"{what} needs a model that predicts {said}; {type(model).__name__} does not")
    check_is_fitted(model)
    rows = getattr(X, "shape", (len(X),))[0]
    check_length(y, rows)
