"""Floor 5, insight.plots: a network as units and weighted edges, with what a row makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.engine.inside import activations
from chainrule.insight.given import given, input_names, network_of, output_names

from .canvas import BLUE, GREY, ORANGE, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A layer with more units is drawn by its strongest ones.
MOST = 20
_WIDEST = 3.0  # points, of an edge; where there are more edges than the second number, they are thinner and fainter
_MANY = 120
_LARGEST, _SMALLEST_WRITTEN = 20.0, 14.0  # points across a unit; numbers are written into those that are not smaller


def plot_network(model: Any, x: Any = None, ax: Axes | None = None, most: int = MOST) -> Axes:
    """Draw a network: a column of units a layer, edges as wide as |weight|, blue where it is positive, orange negative.

    Parameters
    ----------
    model : a Network or a fitted estimator
    x : one row as `predict` takes it (a row of numbers, or a table of one row); the units then have the colour of their
        outputs on it
    ax : axes to draw on; None makes a figure
    most : a layer with more units is drawn by its `most` strongest, and a line below says how many are left out.
        Strongest: by the sum of |a| |weight| over the edges that leave it; without x, |weight|

    Returns
    -------
    The Axes.

    Raises
    ------
    ValueError : for more than one row, or rows that do not fit.

    Source: the pictures of networks in handout 2. The widths are relative to the largest |weight| of a layer.
    """
    net = network_of(model)
    a = None if x is None else _outputs_of(model, net, x)
    shown = _strongest(net, a, most)
    tallest = max(len(units) for units in shown)
    size = (2.2 * len(shown) + 1.6, max(3.0, 0.34 * tallest + 1.4))
    ax = axes_or_new(ax, figsize=size)
    bottom, top = -tallest / 2 - 1.2, tallest / 2 + 1.8
    across = min(_LARGEST, 0.85 * ax.bbox.height / ax.figure.dpi * 72 / (top - bottom))
    places = [_places(len(units), tallest) for units in shown]
    for l in range(1, net.layout.L + 1):
        _draw_edges(ax, l, net.A[l][np.ix_(shown[l - 1], shown[l])], places[l - 1], places[l])
    for l, units in enumerate(shown):
        _draw_units(ax, l, places[l], None if a is None else a[l][units], across)
    _write(ax, model, net, shown, tallest, places)
    ax.set_ylim(bottom, top)
    return ax


def _outputs_of(model: Any, net: Any, x: Any) -> list[np.ndarray]:
    """The row and every layer's outputs."""
    if not hasattr(x, "columns") and not isinstance(x, dict):
        x = np.atleast_2d(np.asarray(x))
    rows = given(model, x).X
    if len(rows) != 1:
        raise ValueError(f"x must be one row, got {len(rows)}")
    return [rows[0], *(block[0] for block in activations(net.layout, net.w, rows))]


def _strongest(net: Any, a: list[np.ndarray] | None, most: int) -> list[np.ndarray]:
    """The units to draw, a layer each, in their own order."""
    L, found = net.layout.L, []
    for l, D in enumerate(net.sizes):
        edges = np.abs(net.A[l + 1]).sum(axis=1) if l < L else np.abs(net.A[L]).sum(axis=0)
        strength = edges if a is None else edges * np.abs(a[l]) if l < L else np.abs(a[l])
        found.append(np.sort(np.argsort(-strength, kind="stable")[: min(D, most)]))
    return found


def _places(count: int, tallest: int) -> np.ndarray:
    """Heights of the units of a layer, from the top, centred."""
    gap = 1.0 if count == tallest or count < 2 else min(1.6, (tallest - 1) / (count - 1))
    return gap * ((count - 1) / 2 - np.arange(count))


def _draw_edges(ax: Axes, l: int, weights: np.ndarray, below: np.ndarray, above: np.ndarray) -> None:
    from matplotlib.collections import LineCollection

    strength = np.abs(weights) / (np.abs(weights).max() or 1.0)
    order = np.argsort(strength, axis=None)  # the strongest on top
    i, j = np.unravel_index(order, weights.shape)
    starts, ends = (np.stack([np.full(len(i), x), y], axis=1) for x, y in ((l - 1.0, below[i]), (float(l), above[j])))
    share, positive = strength[i, j], weights[i, j] >= 0
    crowd = max(1.0, np.sqrt(len(i) / _MANY))
    ax.add_collection(
        LineCollection(
            list(np.stack([starts, ends], axis=1)), linewidths=_WIDEST / crowd * share,
            colors=[BLUE if up else ORANGE for up in positive], alpha=0.9 * share ** (0.6 * crowd), zorder=1,
        )
    )  # fmt: skip


def _draw_units(ax: Axes, l: int, places: np.ndarray, outputs: np.ndarray | None, across: float) -> None:
    if outputs is None:
        ax.scatter(np.full(len(places), l), places, s=across**2, color="white", edgecolors=GREY, zorder=2)
        return
    from matplotlib.colors import LinearSegmentedColormap

    # As the edges: blue for what is positive; paler, so that a number can be read on it.
    colours = LinearSegmentedColormap.from_list("outputs", [ORANGE, "white", BLUE])
    largest = 1.6 * (float(np.abs(outputs).max()) or 1.0)
    ax.scatter(
        np.full(len(places), l), places, s=across**2, c=outputs, cmap=colours, vmin=-largest, vmax=largest,
        edgecolors=GREY, zorder=2,
    )  # fmt: skip
    if across >= _SMALLEST_WRITTEN:
        for y, value in zip(places, outputs, strict=True):
            ax.annotate(_brief(value), (l, y), ha="center", va="center", fontsize=6.5, color="black", zorder=3)


def _brief(value: float) -> str:
    """A number that fits into a unit: two digits, or one of a small one."""
    if 0.0 < abs(value) < 1e-2:
        return "≈ 0"
    written = f"{value:.2g}"
    if "e" not in written and len(written) <= 4:
        return written
    return f"{value:.1g}".replace("e+0", "e")


def _write(ax: Axes, model: Any, net: Any, shown: list[np.ndarray], tallest: int, places: list[np.ndarray]) -> None:
    """Names at both ends, what each layer is, and how many units are left out."""
    L, bottom = net.layout.L, -tallest / 2
    ends = ((0, input_names(model), "right", -0.12), (L, output_names(model), "left", 0.12))
    for l, names, side, shift in ends:
        if len(shown[l]) <= MOST:
            for unit, y in zip(shown[l], places[l], strict=True):
                ax.annotate(
                    _short(names[unit]), (l + shift, y), ha=side, va="center", fontsize=8, annotation_clip=False
                )
    for l, D in enumerate(net.sizes):
        said = f"x\n{D} inputs" if l == 0 else f"a_{l}\n{D} {net.activations[l - 1].name}"
        ax.annotate(said, (l, tallest / 2 + 0.3), ha="center", va="bottom", fontsize=9)
        if len(shown[l]) < D:
            left = D - len(shown[l])
            ax.annotate(f"+ {left} weaker", (l, bottom - 0.3), ha="center", va="top", fontsize=8, color=GREY)
    longest = [max((len(_short(names[u])) for u in shown[l]), default=0) for l, names, _, _ in ends]
    ax.set_xlim(-0.3 - 0.055 * longest[0], L + 0.3 + 0.055 * longest[1])
    ax.axis("off")


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"
