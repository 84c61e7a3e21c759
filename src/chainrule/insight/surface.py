"""Floor 5, insight: slices of an error surface through a solution, and the path of the descent on them; plain data."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.descent import Objective, Path
from chainrule.engine import Network
from chainrule.engine.cores import check_threads
from chainrule.network import Layout

from .planes import Plane, axes_plane, count, given_plane, orthonormal, principal_plane, random_plane

# The shorter side of a slice is at least this share of the longer one: axes are equal, and a strip shows nothing.
_SQUARE = 0.6
# How far a slice reaches beyond the path, as a share of the path's extent.
_MARGIN = 0.15
# A point is in the plane if it is no farther off than this share of the picture's width.
_IN_PLANE = 1e-8
# Below this many multiplications a value is found sooner than a second thread is woken.
_WORTH_THREADS = 200_000


@dataclass(frozen=True, eq=False)
class Surface:
    """The values of E on a plane, and the path of a descent as it is seen from there.

    Attributes
    ----------
    plane : where the values were taken
    alphas, betas : n and m coordinates along the two directions
    values : m × n, E at (alphas[j], betas[i]); NaN or infinite where E is
    what : what E is, in words
    centre, centre_value : the coordinates of the solution, which lies in the plane, and E there
    path : P × 2, the coordinates of the nearest points of the plane to those of the path; None without a path
    path_values : E at the points of the path themselves, not at their shadows on the plane
    distances : how far each point of the path is from the plane
    epochs : the epoch of each point of the path, where it is known
    share : the share of the path's variance along each direction; None without a path
    """

    plane: Plane
    alphas: np.ndarray
    betas: np.ndarray
    values: np.ndarray
    what: str
    centre: np.ndarray
    centre_value: float
    path: np.ndarray | None = None
    path_values: np.ndarray | None = None
    distances: np.ndarray | None = None
    epochs: np.ndarray | None = None
    share: tuple[float, float] | None = None

    @property
    def K(self) -> int:
        """How many parameters there are."""
        return len(self.plane.origin)

    @property
    def in_plane(self) -> np.ndarray:
        """Which points of the path lie in the plane, to rounding; none without a path."""
        if self.distances is None:
            return np.zeros(0, bool)
        return self.distances <= _IN_PLANE * np.ptp(self.alphas)

    @property
    def warning(self) -> str:
        """What a slice does not show, in one or two sentences; empty where it shows everything (K = 2)."""
        if self.plane.kind == "whole":
            return ""
        text = f"Slices mislead: this is 2 of {self.K:,} dimensions; a valley here may fall away in another."
        if self.share is None:
            return text
        assert self.distances is not None
        where = "the path lies in it" if self.in_plane.all() else f"the path is up to {self.distances.max():.2g} off it"
        return f"{text} It holds {percent(sum(self.share))} of the path's variance; {where}."

    def __str__(self) -> str:
        finite = self.values[np.isfinite(self.values)]
        reach = f"from {finite.min():.4g} to {finite.max():.4g}" if finite.size else "nowhere finite"
        lines = [
            f"{self.what} on {len(self.alphas)} × {len(self.betas)} points, {reach}; {self.centre_value:.4g} at the "
            f"centre",
            f"across: {self.label(0)}; up: {self.label(1)}",
        ]
        return "\n".join([*lines, *([self.warning] if self.warning else [])])

    def label(self, axis: int) -> str:
        """The name of a direction, with the share of the path's variance where it is a principal one.

        >>> plane = Plane(np.zeros(3), np.eye(3)[:2], ("first", "second"), "path")
        >>> Surface(plane, *[np.zeros(1)] * 2, np.zeros((1, 1)), "E", np.zeros(2), 0.0, share=(0.91, 0.05)).label(1)
        'second (5 % of the variance)'
        """
        name = self.plane.names[axis]
        if self.plane.kind != "path" or self.share is None:
            return name
        return f"{name} ({percent(self.share[axis])} of the variance)"


def percent(share: float) -> str:
    """A share in per cent, never rounded up to all or down to nothing.

    >>> percent(0.93), percent(0.9996), percent(1.0), percent(0.0002)
    ('93 %', '99.9 %', '100 %', '0.02 %')
    """
    if share >= 1 - 1e-9:
        return "100 %"
    if share > 0.99:
        return f"{np.floor(share * 1000) / 10:g} %"
    return f"{100 * share:.0f} %" if share >= 0.01 or share < 1e-9 else f"{100 * share:.1g} %"


# ---------------------------------------------------------------- the error of a network


def error_surface(
    model: Any,
    X: Any,
    y: Any,
    *,
    loss: Any = None,
    sample_weight: Any = None,
    directions: Any = None,
    path: Any = None,
    span: Any = None,
    resolution: int = 41,
    seed: Any = 0,
    n_threads: int | None = None,
) -> Surface:
    """The error of a network on a plane through its w, and the path of its training there: E(origin + α d_1 + β d_2).

    Every value is computed by the engine on the rows (X, y). For an estimator E is what its fit made small: the mean
    over rows, weighted as in training, plus its penalty. For a Network it is the handout's sum over rows, no penalty.

    Parameters
    ----------
    model : a fitted MLPClassifier, MLPRegressor, TableClassifier or TableRegressor, or a Network
    X, y : N rows and their targets, as `fit` (or `Network.error`) takes them
    loss : of a Network only; "squared" by default
    sample_weight : N numbers ≥ 0
    directions : "path", the two principal directions of the path; "random", normalised unit by unit; two parameters
        such as [("A", 1, 0, 0), ("b", 2, 0)], whose values are then the coordinates; or two vectors of K numbers. By
        default "path" where there is one, else "random"
    path : n × K, w along the training; an object with `points` (and `epochs`), such as the recording of an estimator or
        the Path of `minimize`. By default what the estimator recorded (`record=True`), if it did
    span : ((lowest, highest) α, the same of β), or one number r for −r to r; by default what shows path and solution
    resolution : points along each direction
    seed : of the random directions
    n_threads : None is what is available

    Returns
    -------
    Surface : grid, values, directions, the path's coordinates, its distance from the plane, its share of variance

    Raises
    ------
    NotFittedError, TypeError, ValueError, IndexError : for a model that is not fitted, another width of X or of the
        path, a path of one point without directions, NaN, directions that are parallel, a weight that does not exist.

    >>> from chainrule import Network
    >>> net = Network([1, 1], seed=0)
    >>> net.w[:] = [2.0, 1.0]
    >>> found = error_surface(net, [[0.0], [1.0]], [1.0, 3.0], directions=[("A", 1, 0, 0), ("b", 1, 0)], resolution=5)
    >>> found.alphas, found.centre, found.centre_value
    (array([0., 1., 2., 3., 4.]), array([2., 1.]), 0.0)
    >>> found.values[2].round(9)  # b = 1: E = 0 + ½ (A + 1 − 3)²
    array([2. , 0.5, 0. , 0.5, 2. ])

    Source: Li et al. 2018, Visualizing the loss landscape of neural nets. Handout 3 for the path.
    """
    n = _resolution(resolution)
    network, make, rows, what = _error_of(model, X, y, loss, sample_weight)
    layout, w = network.layout, np.asarray(network.w, np.float64)
    path = getattr(model, "recording_", None) if path is None else path
    points, epochs = (None, None) if path is None else _points(path, layout.K)
    plane = _plane(directions, points, layout, w, seed)
    workers = check_threads(n_threads) if rows * layout.n_weights > _WORTH_THREADS else 1
    spans = _spans(plane, points, w, span)
    return _surface(plane, spans, n, make, workers, what, w, points, epochs)


def _error_of(
    model: Any, X: Any, y: Any, loss: Any, sample_weight: Any
) -> tuple[Network, Callable[[], Callable[[np.ndarray], float]], int, str]:
    """(the network, how to make a function w -> E(w) for one thread, rows, what E is)."""
    if isinstance(model, Network):
        name = getattr(loss, "name", loss) or "squared"
        how = {"loss": loss or "squared", "weights": sample_weight}
        model.error(X, y, **how)  # whatever is wrong is said here
        rows = len(np.atleast_2d(X))
        return (
            model,
            lambda: model.objective(X, y, **how),
            rows,
            f"E(w), the {name} loss summed over {count(rows, 'row')}",
        )
    if not hasattr(model, "get_params"):
        raise TypeError(
            "error_surface takes a fitted MLPClassifier, MLPRegressor, TableClassifier or TableRegressor, or a "
            f"Network; got {type(model).__name__}"
        )
    if loss is not None:
        raise ValueError(f"loss={loss!r} is for a Network; an estimator's error has the loss that it was fitted with")
    from chainrule.estimators.trained_error import trained_error

    E = trained_error(model, X, y, sample_weight)
    penalty = " + penalty" if E.alpha or E.l1 else ""
    what = f"E(w), the mean {E.loss.name.replace('_', ' ')} over {count(len(E.Y), 'row')}{penalty}"
    return E.network, lambda: E.function(1), len(E.Y), what


def _points(path: Any, K: int) -> tuple[np.ndarray, np.ndarray | None]:
    """(n × K, n epochs if they are known), checked."""
    epochs = getattr(path, "epochs", None)
    found = np.asarray(getattr(path, "points", path))
    if found.dtype.kind not in "fiu" or found.ndim < 2 or found[0].size != K:
        raise ValueError(f"path must be n × {K} numbers, one w of K = {K} a line; got {found.dtype}, {found.shape}")
    found = found.reshape(len(found), K).astype(np.float64)
    if not np.isfinite(found).all():
        line = int(np.argmin(np.isfinite(found).all(axis=1)))
        raise ValueError(f"path must be finite, and line {line} of it has NaN or infinity")
    if epochs is not None and np.shape(epochs) != (len(found),):
        raise ValueError(f"path has {len(found)} points and {np.size(epochs)} epochs; it needs one for each")
    return found, None if epochs is None else np.asarray(epochs)


def _plane(directions: Any, points: np.ndarray | None, layout: Layout, w: np.ndarray, seed: Any) -> Plane:
    if directions is None:
        directions = "random" if points is None else "path"
    if isinstance(directions, str):
        if directions == "path":
            if points is None:
                raise ValueError(
                    "directions='path' needs the path of the training: fit with record=True, or give path, n × K"
                )
            return principal_plane(points, w)
        if directions == "random":
            return random_plane(layout, w, np.random.default_rng(seed))
    elif not np.isscalar(directions) and len(directions) == 2:
        if all(isinstance(d, tuple | list) and len(d) and isinstance(d[0], str) for d in directions):
            places = [layout.index(tuple(d)) for d in directions]
            return axes_plane(places, [_named(d) for d in directions], w, "weights")
        return given_plane(directions, w)
    raise ValueError(
        "directions must be 'path', 'random', two parameters such as [('A', 1, 0, 0), ('b', 2, 0)], or two vectors of "
        f"K = {layout.K} numbers; got {directions!r:.80}"
    )


def _named(d: Any) -> str:
    letter, l, *rest = d
    return f"{letter}_{l}[{', '.join(map(str, rest))}]"


# ---------------------------------------------------------------- the function of a Path


def descent_surface(path: Path, function: Any = None, directions: Any = None, resolution: int | None = None) -> Surface:
    """F on the plane in which a Path is drawn: all of it for x of two numbers, else a slice through the best point.

    Parameters
    ----------
    path : of x with at least two numbers
    function : F, where the path does not know it any more
    directions : two indices of x (numbers, or tuples for x of several axes), or two arrays of the shape of x (made
        orthonormal, so that right angles are seen as such); by default the path's two principal directions
    resolution : points along each direction; by default 121 for x of two numbers, 61 for a slice

    Raises
    ------
    ValueError, TypeError, IndexError : for a path that does not know its function, one of one point, an F that does
        not return one number, directions that make no plane.

    >>> from chainrule import minimize
    >>> path = minimize(lambda x: x @ (np.array([1.0, 2.0, 3.0]) * x), np.ones(3), step=0.1, max_iter=3)
    >>> found = descent_surface(path, directions=(0, 2), resolution=5)
    >>> found.plane.names, found.values.shape
    (('x[0]', 'x[2]'), (5, 5))
    """
    F = function_of(path, function)
    shape, dtype = path.points.shape[1:], path.points.dtype
    points = np.reshape(path.points, (len(path), -1)).astype(np.float64)
    if points.shape[1] < 2:
        raise ValueError("a path of one number is drawn as a curve; it has no plane, so leave directions out")
    best = np.ravel(np.asarray(path.x, np.float64))
    plane = _descent_plane(directions, shape, points, best)
    n = _resolution((121 if plane.kind == "whole" else 61) if resolution is None else resolution)

    def value(x: np.ndarray) -> float:
        with np.errstate(all="ignore"):
            return float(F(x.astype(dtype).reshape(shape)))

    spans = _spans(plane, points, best, None)
    what = "F" if plane.kind == "whole" else "F on a slice"
    return _surface(plane, spans, n, lambda: value, 1, what, best, points, None)


def function_of(path: Path, function: Any) -> Objective:
    """F of a path, or the one that is given for it."""
    if function is None:
        if path.function is None:
            raise ValueError("this path does not know its function any more (it was pickled); give function=F")
        return path.function
    return function if isinstance(function, Objective) else Objective(function)


def _descent_plane(directions: Any, shape: tuple[int, ...], points: np.ndarray, best: np.ndarray) -> Plane:
    if directions is None:
        if len(best) > 2:
            return principal_plane(points, best)
        return axes_plane((0, 1), [_entry(shape, k) for k in (0, 1)], best, "whole")
    if np.isscalar(directions) or isinstance(directions, str) or len(directions) != 2:
        raise ValueError(
            f"directions must be two indices of x, or two arrays of its shape {shape}; got {directions!r:.80}"
        )
    if all(_is_index(d) for d in directions):
        places = [_place(d, shape) for d in directions]
        return axes_plane(places, [_entry(shape, k) for k in places], best, "weights")
    return orthonormal(given_plane(directions, best))


def _is_index(d: Any) -> bool:
    entries = d if isinstance(d, tuple) else (d,)
    return all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in entries)


def _place(index: Any, shape: tuple[int, ...]) -> int:
    index = index if isinstance(index, tuple) else (index,)
    if len(index) != len(shape) or not all(0 <= i < D for i, D in zip(index, shape, strict=True)):
        raise IndexError(f"x has the shape {shape}, counted from 0; it has no entry {index}")
    return int(np.ravel_multi_index(index, shape))


def _entry(shape: tuple[int, ...], place: int) -> str:
    return f"x[{', '.join(str(int(i)) for i in np.unravel_index(place, shape))}]"


# ---------------------------------------------------------------- grids


def _surface(
    plane: Plane, spans: np.ndarray, n: int, make: Callable[[], Callable[[np.ndarray], float]], workers: int, what: str,
    solution: np.ndarray, points: np.ndarray | None, epochs: np.ndarray | None,
) -> Surface:  # fmt: skip
    """Evaluate E on the grid, at the solution and on the path."""
    alphas, betas = (np.linspace(low, high, n) for low, high in spans)
    grid = [(float(a), float(b)) for b in betas for a in alphas]
    more = [solution, *(points if points is not None else [])]

    def point(k: int) -> np.ndarray:
        return plane.at(*grid[k]) if k < len(grid) else more[k - len(grid)]

    found = _evaluated(point, len(grid) + len(more), make, workers)
    rest = found[len(grid) :]
    coordinates, distances = plane.coordinates(points) if points is not None else (None, None)
    return Surface(
        plane, alphas, betas, found[: len(grid)].reshape(n, n), what, plane.coordinates(solution[None])[0][0],
        float(rest[0]), coordinates, rest[1:] if points is not None else None, distances, epochs,
        None if points is None else plane.shares(points),
    )  # fmt: skip


def _evaluated(
    point: Callable[[int], np.ndarray], count: int, make: Callable[[], Callable[[np.ndarray], float]], workers: int
) -> np.ndarray:
    """E at point 0 … count − 1. Each value is one thread's alone: its bits do not depend on how many there are."""
    values = np.empty(count)
    stopped: list[bool] = []

    def work(thread: int) -> None:
        E = make()
        with np.errstate(all="ignore"):
            for k in range(thread, count, workers):
                if stopped:
                    return
                values[k] = E(point(k))

    if workers == 1:
        work(0)
        return values
    with ThreadPoolExecutor(workers) as pool:
        try:
            list(pool.map(work, range(workers)))
        finally:
            stopped.append(True)  # Ctrl-C ends the others too
    return values


def _resolution(resolution: Any) -> int:
    if isinstance(resolution, bool) or not isinstance(resolution, int | np.integer) or resolution < 3:
        raise ValueError(f"resolution must be a whole number ≥ 3, points along a direction; got {resolution!r}")
    return int(resolution)


def _spans(plane: Plane, points: np.ndarray | None, solution: np.ndarray, span: Any) -> np.ndarray:
    """[[lowest, highest] α, the same of β]."""
    if span is not None:
        return _given_spans(span)
    centre = plane.coordinates(solution[None])[0][0]
    shown = [centre[None]]
    if points is not None:
        shown.append(plane.coordinates(points)[0])
    low, high = np.concatenate(shown).min(axis=0), np.concatenate(shown).max(axis=0)
    room = _MARGIN * np.max(high - low)
    low, high = low - room, high + room
    if plane.kind in ("random", "given", "weights") and (points is None or plane.kind == "random"):
        # a step as large as the weights; of single weights, as far as 0 and as far on the other side
        reach = np.maximum(1.0, np.abs(centre)) if plane.kind == "weights" else np.ones(2)
        low, high = np.minimum(low, centre - reach), np.maximum(high, centre + reach)
    half = (high - low) / 2
    if not half.any():
        half = np.maximum(1.0, np.abs(centre))
    half = np.maximum(half, _SQUARE * half.max())
    middle = (low + high) / 2
    return np.stack([middle - half, middle + half], axis=1)


def _given_spans(span: Any) -> np.ndarray:
    try:
        found = np.asarray(span, np.float64)
        found = np.array([[-found, found]] * 2) if found.ndim == 0 else found
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.shape != (2, 2) or not np.isfinite(found).all() or not (found[:, 0] < found[:, 1]).all():
        raise ValueError(f"span must be a number > 0, or ((lowest, highest), (lowest, highest)); got {span!r:.80}")
    return found
