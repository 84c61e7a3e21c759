"""Floor 5, insight.plots: what the inputs do: importance, dependence, attributions of a row, filters as images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.insight.given import network_of
from chainrule.insight.inputs import Attributions, Dependence, Importance

from .canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
# Bars in one figure, the largest; words of this length are cut.
_MOST_BARS, _MOST_LETTERS = 15, 28
# Images of filters in one figure.
_MOST_FILTERS = 64


def plain_label(text: str) -> str:
    """A name as matplotlib draws it letter by letter: no mathematics between dollars, no line breaks, not too long.

    >>> plain_label("$x$")
    '\\\\$x\\\\$'
    """
    text = " ".join(str(text).split())
    text = text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 1] + "…"
    return text.replace("$", r"\$")


def plot_importance(importance: Importance, ax: Axes | None = None) -> Axes:
    """Draw a bar for each column, the most important above, with the standard deviation over the shuffles."""
    order = importance.order()[:_MOST_BARS]
    ax = axes_or_new(ax, figsize=(6.4, 0.8 + 0.3 * len(order)))
    ax.barh(range(len(order)), importance.mean[order], xerr=importance.std[order], color=BLUE, ecolor=GREY, capsize=2)
    ax.set_yticks(range(len(order)), [plain_label(importance.names[j]) for j in order])
    ax.invert_yaxis()
    ax.set_xlabel("fall of the score when the column is shuffled")
    ax.axvline(0, color=GREY, linewidth=0.8)
    _say_rest(ax, len(importance.names) - len(order))
    return ax


def _say_rest(ax: Axes, n: int) -> None:
    if n > 0:
        ax.set_title(f"the strongest; {n:,} more are not drawn", fontsize="small", color=GREY)


def plot_dependence(dependence: Dependence, ax: Axes | None = None) -> Axes:
    """Draw the mean prediction over the values of one column: a curve for a number, points for words."""
    ax = axes_or_new(ax, figsize=(6.4, 3.8))
    places = dependence.grid.astype(float) if dependence.is_number else np.arange(len(dependence.grid))
    for k, (name, means) in enumerate(zip(dependence.outputs, dependence.average, strict=True)):
        style = "-" if dependence.is_number else "o"
        ax.plot(places, means, style, color=_COLOURS[k % len(_COLOURS)], label=plain_label(name))
    if not dependence.is_number:
        ax.set_xticks(places, [plain_label(v) for v in dependence.grid], rotation=30 if len(places) > 5 else 0)
        ax.margins(x=0.1)
    ax.set_xlabel(plain_label(dependence.feature))
    ax.set_ylabel("mean prediction")
    ax.grid(alpha=0.25)
    ax.legend()
    return ax


def plot_attributions(
    attributions: Attributions, row: int = 0, ax: Axes | None = None, *, shape: tuple[int, int] | None = None
) -> Axes:
    """Draw what each input did to the output in one row: bars, or an image where a shape is given.

    Raises
    ------
    ValueError : for a row that does not exist, a shape that is not that of the inputs.
    """
    if not 0 <= row < len(attributions.values):
        raise ValueError(f"there is no row {row}: rows are numbered from 0 to {len(attributions.values) - 1}")
    values = attributions.values[row]
    title = (
        f"{plain_label(attributions.outputs[row])}: {attributions.base[row]:.4g} at the baseline, "
        f"{attributions.base[row] + attributions.change[row]:.4g} here"
    )
    if shape is not None:
        return _image(values.reshape(check_pixels(len(values), shape)), title, ax)
    order = np.argsort(-np.abs(values), kind="stable")[:_MOST_BARS]
    ax = axes_or_new(ax, figsize=(6.4, 0.9 + 0.3 * len(order)))
    ax.barh(range(len(order)), values[order], color=[BLUE if v >= 0 else RED for v in values[order]])
    ax.set_yticks(range(len(order)), [plain_label(attributions.names[j]) for j in order])
    ax.invert_yaxis()
    ax.axvline(0, color=GREY, linewidth=0.8)
    rest = len(values) - len(order)
    ax.set_title(title + (f" ({rest:,} weaker ones not drawn)" if rest else ""), fontsize="medium")
    ax.set_xlabel(f"{attributions.method}: what it did to the output")
    return ax


def _image(values: np.ndarray, title: str, ax: Axes | None) -> Axes:
    ax = axes_or_new(ax, figsize=(4.4, 3.8))
    largest = float(np.nanmax(np.abs(values))) or 1.0
    drawn = ax.imshow(values, cmap="RdBu", vmin=-largest, vmax=largest)
    ax.figure.colorbar(drawn, ax=ax, shrink=0.8)
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize="medium")
    return ax


def check_pixels(n: int, shape: tuple[int, int] | None) -> tuple[int, int]:
    """(height, width) of n pixels: the given shape, or the square where n is one.

    >>> check_pixels(64, None)
    (8, 8)
    """
    if shape is None:
        side = math.isqrt(n)
        if side * side != n or n < 4:
            raise ValueError(f"the {n} inputs are no square image; if they are pixels, give shape=(height, width)")
        return side, side
    height, width = shape
    if height * width != n:
        raise ValueError(f"shape must be that of the {n} inputs, height × width = {n}; got {height} × {width}")
    return int(height), int(width)


def plot_filters(
    model: Any, ax: Axes | None = None, *, shape: tuple[int, int] | None = None, units: Any = None
) -> Axes:
    """Draw the weights that go into units of the first layer as images: what each unit looks for.

    Parameters
    ----------
    model : a fitted estimator or a Network, whose inputs are pixels, row by row
    ax : where to draw; a new figure where it is None
    shape : (height, width) of the image; the square where the number of inputs is one
    units : numbers of the units, from 0; the 64 with the longest weights where it is None

    Returns
    -------
    The Axes, with one picture in which the images stand side by side. Each is scaled by its largest weight, blue
    where a bright pixel raises the unit's raw score, red where it lowers it.

    Raises
    ------
    TypeError, ValueError : for an unfitted model, inputs that are no image of that shape, a unit that does not exist.

    >>> import chainrule as cr
    >>> ax = plot_filters(cr.Network([9, 4, 1], seed=0))
    >>> ax.images[0].get_array().shape                                     # 2 × 2 images of 3 × 3, with gaps
    (7, 7)
    """
    A = network_of(model).A[1]
    height, width = check_pixels(len(A), shape)
    chosen = _units(A, units)
    across = math.ceil(math.sqrt(len(chosen) * height / width))
    down = math.ceil(len(chosen) / across)
    sheet = np.full((down * (height + 1) - 1, across * (width + 1) - 1), np.nan)
    for k, unit in enumerate(chosen):
        i, j = divmod(k, across)
        image = A[:, unit].reshape(height, width)
        top, left = i * (height + 1), j * (width + 1)
        sheet[top : top + height, left : left + width] = image / (np.abs(image).max() or 1.0)
    ax = axes_or_new(ax, figsize=(5.2, 0.5 + 5.2 * sheet.shape[0] / sheet.shape[1]))
    ax.imshow(sheet, cmap="RdBu", vmin=-1, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set_visible(False)
    few = len(chosen) < A.shape[1]
    ax.set_title(f"{len(chosen)} of the {A.shape[1]} units of layer 1" if few else f"the {A.shape[1]} units of layer 1")
    if len(chosen) <= 20:
        for k, unit in enumerate(chosen):
            i, j = divmod(k, across)
            ax.text(j * (width + 1), i * (height + 1), str(unit), fontsize="x-small", va="top", ha="left")
    return ax


def _units(A: np.ndarray, units: Any) -> list[int]:
    n = A.shape[1]
    if units is None:
        longest = np.argsort(-np.linalg.norm(A, axis=0), kind="stable")[:_MOST_FILTERS]
        return sorted(int(j) for j in longest)
    chosen = [int(unit) for unit in np.ravel(units)]
    for unit in chosen:
        if not 0 <= unit < n:
            raise ValueError(f"there is no unit {unit} in layer 1: they are numbered from 0 to {n - 1}")
    if not chosen:
        raise ValueError("units must name at least one unit of layer 1")
    return chosen
