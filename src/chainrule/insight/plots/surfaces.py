"""Floor 5, insight.plots: error surfaces: contours and a view in three dimensions, with the path of the training."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.insight.surface import Surface, error_surface

from .canvas import GREY, ORANGE, RED, axes_or_new, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = "Blues_r"  # the lower, the darker
# Levels follow the logarithm where the median lies in this lowest part of the range.
_LOW = 0.2
# The lowest step of such levels: where this share of the values lies below it, but no smaller share of the range.
_SEEN, _FINEST = 0.05, 1e-4
_COLUMNS = 84  # of the small text under a figure


def contour_levels(values: np.ndarray, n: int = 16) -> np.ndarray:
    """Heights for contour lines: evenly spaced, or above the lowest value in equal ratios where the range demands it.

    The range demands it where half of the values lie in its lowest fifth. NaN and infinity do not count.

    >>> contour_levels(np.linspace(0.0, 4.0, 100), 5)
    array([0., 1., 2., 3., 4.])
    >>> contour_levels(np.logspace(-9.0, 0.0, 100), 5).round(4).tolist()
    [0.0, 0.0001, 0.001, 0.01, 0.1, 1.0]
    """
    finite = values[np.isfinite(values)]
    low, high = finite.min(), finite.max()
    if np.median(finite) - low >= _LOW * (high - low):
        return np.linspace(low, high, n)
    first = max(_FINEST * (high - low), float(np.quantile(finite, _SEEN)) - low)
    return np.concatenate([[low], low + np.geomspace(first, high - low, n)])


def plot_surface(surface: Surface, ax: Axes | None = None, *, colorbar: bool = True) -> Axes:
    """Draw contours of the error on the plane, the path of the training, the solution as a star.

    Axes are equal. The path's shadow on the plane is drawn: E at its points is `surface.path_values`, and only for
    points in the plane is it what the contours say. The text under the picture says how much the slice leaves out.

    Parameters
    ----------
    surface : of `chainrule.insight.surface.error_surface`
    ax : where to draw; a new figure by default
    colorbar : whether to draw the scale beside it

    Returns
    -------
    matplotlib's Axes

    Raises
    ------
    ValueError : where no value of the surface is finite. ModuleNotFoundError : without matplotlib.
    """
    ax = axes_or_new(ax, figsize=size_for(surface, colorbar))
    filled = draw_contours(ax, surface)
    if colorbar and filled is not None:
        draw_scale(ax, filled)
    if surface.path is not None:
        draw_path(ax, surface.path, _span_of(surface))
    draw_best(ax, surface.centre, "the solution")
    finish(ax, surface.what, surface.warning)
    return ax


def _span_of(surface: Surface) -> str:
    if surface.epochs is None:
        return "the training"
    return f"the training, epoch {surface.epochs[0]} to {surface.epochs[-1]}"


def size_for(surface: Surface, scale: bool = False) -> tuple[float, float]:
    """Width and height (inches) of a figure in which axes of this shape, and what is written around them, find room."""
    ratio = float(np.ptp(surface.betas) / np.ptp(surface.alphas))
    wide, high = (5.4, 5.4 * ratio) if ratio <= 1 else (4.8 / ratio, 4.8)
    return max(5.6, wide + 0.9) + (0.9 if scale else 0.0), high + 1.4 + (0.5 if surface.warning else 0.0)


def draw_scale(ax: Axes, filled: Any) -> None:
    """The scale of the colours, as high as the axes; with so many digits that no two of its labels are the same."""
    ticks = filled.levels[:: max(1, len(filled.levels) // 8)]
    digits = next((d for d in range(3, 12) if len({f"{t:.{d}g}" for t in ticks}) == len(ticks)), 12)
    bar = pyplot().colorbar(filled, cax=ax.inset_axes((1.03, 0.0, 0.04, 1.0)), ticks=ticks, format=f"%.{digits}g")
    bar.ax.tick_params(labelsize="small")
    bar.ax.minorticks_off()


def draw_contours(ax: Axes, surface: Surface, lines: np.ndarray | None = None) -> Any:
    """Colours between levels and thin lines on them, equal axes, their names; None where the values are all the same.

    lines : heights of the lines, if they are not to be those of the colours
    """
    from matplotlib.colors import BoundaryNorm

    values = np.where(np.isfinite(surface.values), surface.values, np.nan)
    check_finite(surface)
    ax.set(xlabel=surface.label(0), ylabel=surface.label(1))
    ax.set(xlim=surface.alphas[[0, -1]], ylim=surface.betas[[0, -1]])
    ax.set_aspect("equal", adjustable="box")
    if np.nanmin(values) == np.nanmax(values):
        ax.text(0.5, 0.9, "the same value everywhere", transform=ax.transAxes, ha="center", color=GREY)
        return None
    levels = contour_levels(values)
    grid = (surface.alphas, surface.betas, values)
    norm = BoundaryNorm(levels, pyplot().get_cmap(COLOURS).N)
    filled = ax.contourf(*grid, levels=levels, norm=norm, cmap=COLOURS, extend="neither")
    width = 0.6 if lines is None else 1.0
    ax.contour(*grid, levels=levels if lines is None else lines, colors="white", linewidths=width)
    return filled


def check_finite(surface: Surface) -> None:
    """A ValueError where nothing can be drawn."""
    if not np.isfinite(surface.values).any():
        raise ValueError("no value on this plane is finite, so there is nothing to draw; choose a smaller span")


def draw_path(ax: Axes, points: np.ndarray, label: str) -> Any:
    """The path as a line with a dot at each point, and a ring where it starts; the line."""
    size = 7 if len(points) <= 60 else 3
    (line,) = ax.plot(*points.T, ".-", color=ORANGE, linewidth=1.4, markersize=size, label=label, zorder=4)
    (ring,) = ax.plot(*points[0], "o", color="white", markersize=8, label="its start", zorder=5)
    ring.set(markeredgecolor=ORANGE, markeredgewidth=1.8)
    return line


def draw_best(ax: Axes, at: np.ndarray, label: str) -> None:
    """A star where the path led."""
    ax.plot(*at, "*", color=RED, markersize=13, markeredgecolor="white", label=label, zorder=6)


def finish(ax: Axes, title: str, text: str = "") -> None:
    """Title and legend above the axes, where they hide nothing; small grey text under their labels."""
    ax.set_title(title, fontsize="medium", pad=26)
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=6, frameon=False, fontsize="small", columnspacing=1.2,
        handletextpad=0.4, borderaxespad=0.3,
    )  # fmt: skip
    if text:
        ax.annotate(
            textwrap.fill(text, _COLUMNS), (0.5, 0), xycoords="axes fraction", xytext=(0, -38),
            textcoords="offset points", ha="center", va="top", fontsize="small", color="#555555",
        )  # fmt: skip


def plot_surface_3d(
    surface: Surface, ax: Axes | None = None, *, elevation: float = 35.0, azimuth: float = -60.0
) -> Axes:
    """Draw the error as a landscape in three dimensions, the path of the training at its true height.

    Where the path floats above or dives below the landscape it is off the slice. Where the range demands it the height
    is the logarithm of E.

    Parameters
    ----------
    surface : of `chainrule.insight.surface.error_surface`
    ax : axes with projection="3d"; a new figure by default
    elevation, azimuth : where it is looked at from, in degrees

    Returns
    -------
    matplotlib's Axes3D

    Raises
    ------
    TypeError : for axes that are flat. ValueError : where no value is finite.
    """
    ax = axes_or_new(ax, figsize=(7.0, 6.0), subplot_kw={"projection": "3d"})
    if ax.name != "3d":
        raise TypeError("ax must have three dimensions: make it with plt.subplots(subplot_kw={'projection': '3d'})")
    check_finite(surface)
    view: Any = ax
    height, name = _heights(surface)
    Z = height(np.where(np.isfinite(surface.values), surface.values, np.nan))
    view.plot_surface(
        *np.meshgrid(surface.alphas, surface.betas), Z, cmap=COLOURS, rcount=60, ccount=60, alpha=0.8, linewidth=0
    )
    if surface.path is not None and surface.path_values is not None:
        line = (*surface.path.T, height(surface.path_values))
        view.plot(*line, ".-", color=ORANGE, linewidth=1.8, markersize=4, label="the training", zorder=10)
    at = ([surface.centre[0]], [surface.centre[1]], [height(np.array(surface.centre_value))])
    view.plot(*at, "*", color=RED, markersize=13, label="the solution", zorder=11)
    view.view_init(elevation, azimuth)
    view.locator_params(nbins=5)
    for side, label in zip("xyz", (*surface.plane.names, name), strict=True):
        getattr(view, f"set_{side}label")(label, labelpad=8)
    view.set_title(surface.what, fontsize="medium")
    if surface.warning:
        text = textwrap.fill(f"{surface.warning} Where it leaves the landscape it is off the slice.", _COLUMNS)
        view.text2D(0.5, -0.04, text, transform=ax.transAxes, ha="center", va="top", fontsize="small", color="#555555")
    view.legend(loc="upper right", fontsize="small")
    return ax


def _heights(surface: Surface) -> tuple[Any, str]:
    """(from E to what is drawn upwards, its name): the logarithm where levels would follow it."""
    finite = surface.values[np.isfinite(surface.values)]
    low, high = finite.min(), finite.max()
    if low > 0 and np.median(finite) - low < _LOW * (high - low):
        return np.log10, "log₁₀ E"
    return (lambda values: values), "E"


def plot_error_surface(model: Any, X: Any, y: Any, ax: Axes | None = None, **options: Any) -> Axes:
    """Compute and draw the error of a fitted network around its solution, with the path of its training.

    Parameters
    ----------
    model, X, y, options : as `chainrule.insight.surface.error_surface` takes them
    ax : where to draw; a new figure by default

    Returns
    -------
    matplotlib's Axes
    """
    return plot_surface(error_surface(model, X, y, **options), ax)
