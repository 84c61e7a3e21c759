"""Floor 5, insight.plots: a descent as a picture (Figure 3 of the handout) and as a film."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule.descent import Path
from chainrule.files import FileError, write_atomically
from chainrule.insight.surface import Surface, descent_surface, function_of

from .canvas import BLUE, GREEN, axes_or_new, pyplot
from .surfaces import draw_best, draw_contours, draw_path, finish, size_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ARROWS = 12  # at most so many gradients or tangents are drawn
_ARROW = 0.09  # their length, as a share of the width of the picture
_APART = 0.1  # points nearer to one another than this share of the width get one
_CURVE = 401  # points of a curve
_FRAMES = 150  # of a film; of longer paths so many points are shown, the first and the last among them


class Film(NamedTuple):
    """A kind of film: matplotlib's writer, and what to do where it is missing."""

    writer: str
    missing: str


FILMS = {
    ".gif": Film("pillow", "a GIF needs Pillow: pip install pillow"),
    ".mp4": Film("ffmpeg", "an MP4 needs the program ffmpeg, and there is none; install it, or write a .gif"),
}


def plot_path(
    path: Path, ax: Axes | None = None, *, function: Any = None, directions: Any = None, resolution: int | None = None
) -> Axes:
    """Draw a descent: the handout's Figure 3 for two numbers, a curve with tangents for one, a slice for more.

    Two numbers: contour lines of F (through the points that have an arrow), the path, and arrows in the direction of
    ∇F there, all of one length, at a right angle to the contours; axes are equal, so that it is seen as one. One
    number: F as a curve, with its tangents at the points visited. More: F on the plane through the best point along
    the path's two principal directions, or two of your choice; arrows only where the whole path lies in the plane,
    since the contours are not those of other points. The share of variance and a warning are written under it.

    Parameters
    ----------
    path : of `minimize` or `maximize`
    ax : where to draw; a new figure by default
    function : F, where the path does not know it any more (it was pickled)
    directions : two indices of x, or two arrays of its shape
    resolution : points along each axis; by default 121 for two numbers, 61 for a slice

    Returns
    -------
    matplotlib's Axes

    Raises
    ------
    ValueError, TypeError, IndexError : for a path without its function, one point without principal directions,
        directions that make no plane, a function that does not return one number or is finite nowhere.
    ModuleNotFoundError : without matplotlib.

    Source: handout 3, Figure 3.
    """
    surface = _surface_of(path, function, directions, resolution)
    return _draw(path, surface, function, axes_or_new(ax, figsize=_size(surface)))[0]


def _surface_of(path: Path, function: Any, directions: Any, resolution: int | None) -> Surface | None:
    """The plane to draw on; None for x of one number, which has a curve."""
    if path.points[0].size == 1 and directions is None:
        return None
    return descent_surface(path, function, directions, resolution)


def _size(surface: Surface | None) -> tuple[float, float]:
    return (6.4, 4.6) if surface is None else size_for(surface)


def _draw(path: Path, surface: Surface | None, function: Any, ax: Axes) -> tuple[Axes, Any, np.ndarray]:
    """(axes, the line that is the path, its points as they are drawn)."""
    line, points = _draw_curve(path, function, ax) if surface is None else _draw_contoured(path, surface, ax)
    return ax, line, points


# ---------------------------------------------------------------- two numbers and more


def _draw_contoured(path: Path, surface: Surface, ax: Axes) -> tuple[Any, np.ndarray]:
    points: Any = surface.path
    arrowed, tips = _gradients(path, surface)
    draw_contours(ax, surface, _heights(path.values[arrowed], surface))
    if len(arrowed):
        ax.quiver(
            *points[arrowed].T, *tips.T, angles="xy", scale_units="xy", scale=1, color=GREEN, width=0.006, zorder=5
        )
        ax.plot([], [], linestyle="none", marker=r"$\rightarrow$", color=GREEN, markersize=14, label="direction of ∇F")
    line = draw_path(ax, points, _name(path))
    draw_best(ax, surface.centre, f"the {_best(path)}")
    finish(ax, _title(path), surface.warning)
    return line, points


def _heights(values: np.ndarray, surface: Surface) -> np.ndarray | None:
    """Heights of lines that pass through the points with an arrow; None where no such line would be seen."""
    finite = surface.values[np.isfinite(surface.values)]
    heights = np.unique(values)
    inside = heights[(heights > finite.min(initial=np.inf)) & (heights < finite.max(initial=-np.inf))]
    return inside if len(inside) else None


def _gradients(path: Path, surface: Surface) -> tuple[np.ndarray, np.ndarray]:
    """(numbers of the points that get an arrow, the arrows); none where the path leaves the plane.

    There the contours are not those of the points, and an arrow would not be orthogonal to them.
    """
    points: Any = surface.path
    width = float(np.ptp(surface.alphas))
    along = np.reshape(path.gradients, (len(path), -1)).astype(np.float64) @ surface.plane.directions.T
    sizes = np.linalg.norm(along, axis=1)
    chosen = _apart(points / width, (sizes > 0) & surface.in_plane.all())
    return chosen, _ARROW * width * along[chosen] / sizes[chosen, None]


def _apart(points: np.ndarray, may: np.ndarray) -> np.ndarray:
    """Numbers of points that are not too near to one another, at most so many, from all of the path."""
    chosen: list[int] = []
    for k in np.flatnonzero(may):
        if not chosen or np.linalg.norm(points[chosen] - points[k], axis=1).min() >= _APART:
            chosen.append(int(k))
    kept = np.linspace(0, len(chosen) - 1, min(_ARROWS, len(chosen))).round().astype(int)
    return np.array(chosen, np.int64)[kept]


def _name(path: Path) -> str:
    """The method in words; where it walks up, so that one reads it."""
    name = path.method.replace("_", " ")
    if path.sign > 0:
        return name
    return name.replace("descent", "ascent") if "descent" in name else f"{name}, upwards"


def _best(path: Path) -> str:
    return "lowest point" if path.sign > 0 else "highest point"


def _title(path: Path) -> str:
    steps = "1 step" if path.n_iter == 1 else f"{path.n_iter:,} steps"
    return f"{_name(path)}: {steps} to F = {path.value:.6g}"


# ---------------------------------------------------------------- one number


def _draw_curve(path: Path, function: Any, ax: Axes) -> tuple[Any, np.ndarray]:
    F, shape = function_of(path, function), path.points.shape[1:]
    visited = path.points.reshape(-1).astype(np.float64)
    low, high = visited.min(), visited.max()
    room = 0.4 * (high - low) or max(1.0, abs(low))
    x = np.linspace(low - room, high + room, _CURVE)
    with np.errstate(all="ignore"):
        values = np.array([float(F(np.full(shape, t, path.points.dtype)[()])) for t in x])
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ValueError("F is finite nowhere near the path, so there is nothing to draw")
    points = np.stack([visited, path.values], axis=1)
    ax.plot(x, np.where(np.isfinite(values), values, np.nan), color=BLUE, label="F")
    height = max(np.ptp(finite), np.ptp(path.values)) or 1.0
    _draw_tangents(ax, points, path.gradients.reshape(-1), x[-1] - x[0], height)
    line = draw_path(ax, points, _name(path))
    draw_best(ax, np.array([np.ravel(path.x)[0], path.value]), f"the {_best(path)}")
    ends = min(finite.min(), path.values.min()), max(finite.max(), path.values.max())
    ax.set(xlabel="x", ylabel="F(x)", ylim=(ends[0] - 0.08 * height, ends[1] + 0.05 * height))
    finish(ax, _title(path))
    return line, points


def _draw_tangents(ax: Axes, points: np.ndarray, slopes: np.ndarray, width: float, height: float) -> None:
    """Short pieces of y = F(a) + F'(a) (x − a), all about equally long in the picture."""
    for k in _apart(points / [width, height], np.ones(len(points), bool)):
        half = 1.5 * _ARROW / np.hypot(1 / width, slopes[k] / height)
        a, value = points[k]
        ends = np.array([a - half, a + half])
        label = "tangent" if k == 0 else None
        ax.plot(ends, value + slopes[k] * (ends - a), color=GREEN, linewidth=2, label=label, zorder=3)


# ---------------------------------------------------------------- films


def animate_path(
    path: Path,
    file: str | os.PathLike,
    *,
    function: Any = None,
    directions: Any = None,
    resolution: int | None = None,
    fps: int = 10,
    dpi: int = 100,
) -> File:
    """Write a descent as a film: the picture of `plot_path`, on which the path grows point by point.

    Parameters
    ----------
    path, function, directions, resolution : as in `plot_path`
    file : where to; ".gif" or ".mp4", the latter where the program ffmpeg is installed. It is written beside its place
        and then renamed: whatever happens, the file is the old one or the whole new one
    fps : frames a second; of paths of more than 150 points as many are shown
    dpi : dots an inch; the picture is about 6.4 inches wide

    Returns
    -------
    pathlib.Path of the file

    Raises
    ------
    FileError : for another ending, a writer that is not installed, a file that cannot be written.
    ValueError : for fps or dpi that are not above 0; the other errors are those of `plot_path`.
    """
    film = _film(file)
    for name, value in (("fps", fps), ("dpi", dpi)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1000:
            raise ValueError(f"{name} must be a number above 0 and below 1000, got {value!r}")
    surface = _surface_of(path, function, directions, resolution)
    with tempfile.TemporaryDirectory() as folder:
        made = File(folder, "film").with_suffix(File(file).suffix.lower())
        _shoot(path, surface, function, _writer(film, fps), made, dpi)
        with open(made, "rb") as whole:
            write_atomically(file, lambda to: shutil.copyfileobj(whole, to))
    return File(file)


def _film(file: Any) -> Film:
    """The kind of film, by the ending of its name, if it can be made here."""
    pyplot()  # or the sentence about what is missing
    from matplotlib.animation import writers

    ending = File(file).suffix.lower()
    if ending not in FILMS:
        raise FileError(f"cannot write {file}: a film is a {' or '.join(FILMS)} file, by the ending of its name")
    film = FILMS[ending]
    if not writers.is_available(film.writer):
        raise FileError(f"cannot write {file}: {film.missing}")
    return film


def _writer(film: Film, fps: Any) -> Any:
    from matplotlib.animation import writers

    return writers[film.writer](fps=fps)


def _shoot(path: Path, surface: Surface | None, function: Any, writer: Any, file: File, dpi: float) -> None:
    """Draw what stays once, as an image, and the growing path upon it; the last picture stays for a second."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    still = Figure(figsize=_size(surface), dpi=dpi, layout="constrained")
    canvas = FigureCanvasAgg(still)
    ax, line, points = _draw(path, surface, function, still.subplots())
    line.set_visible(False)
    ax.title.set_alpha(0.0)
    canvas.draw()
    film = Figure(figsize=(still.get_figwidth(), still.get_figheight()), dpi=dpi)
    film.figimage(np.asarray(canvas.buffer_rgba()).copy(), zorder=-1)
    top = film.add_axes(ax.get_position().bounds)
    top.set(xlim=ax.get_xlim(), ylim=ax.get_ylim())
    top.set_axis_off()
    growing = draw_path(top, points, "")
    shown = np.unique(np.linspace(0, len(points) - 1, min(_FRAMES, len(points))).round().astype(int))
    writer.setup(film, str(file), dpi)
    try:
        for k in [*shown, *[shown[-1]] * round(writer.fps)]:
            growing.set_data(*points[: k + 1].T)
            top.set_title(_step(path, k), fontsize="medium", pad=26)
            writer.grab_frame()
    except BaseException:
        with suppress(Exception):  # a program that waits for more frames is ended; its complaint is not the reason
            writer.finish()
        raise
    writer.finish()


def _step(path: Path, k: int) -> str:
    return (
        f"{path.method.replace('_', ' ')}, step {k if k < len(path) - 1 else path.n_iter:,}: F = {path.values[k]:.6g}"
    )
