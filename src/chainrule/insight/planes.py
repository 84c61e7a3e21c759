"""Floor 5, insight: planes in the space of all parameters: which two directions a picture has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from chainrule.network import Layout

Kind = Literal["whole", "path", "random", "weights", "given"]

# Singular values this far below the largest are rounding.
_RANK = 1e-10


@dataclass(frozen=True, eq=False)
class Plane:
    """The points origin + α d_1 + β d_2 of R^K.

    Attributes
    ----------
    origin : K numbers
    directions : 2 × K, d_1 and d_2
    names : what each is called
    kind : "path" (principal directions), "random", "weights" (one parameter each), "given", or "whole" (K = 2)

    >>> plane = Plane(np.zeros(3), np.eye(3)[:2], ("x[0]", "x[1]"), "given")
    >>> plane.at(1.0, 2.0)
    array([1., 2., 0.])
    >>> plane.coordinates(np.array([[1.0, 2.0, 5.0]]))
    (array([[1., 2.]]), array([5.]))
    """

    origin: np.ndarray
    directions: np.ndarray
    names: tuple[str, str]
    kind: Kind

    def at(self, alpha: float, beta: float) -> np.ndarray:
        """The point with these coordinates."""
        return self.origin + alpha * self.directions[0] + beta * self.directions[1]

    def coordinates(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n × 2 coordinates, n distances): the nearest point of the plane to each of n points, and how far it is."""
        offsets = points - self.origin
        found = np.linalg.lstsq(self.directions.T, offsets.T, rcond=None)[0].T
        return found, np.linalg.norm(offsets - found @ self.directions, axis=1)

    def shares(self, points: np.ndarray) -> tuple[float, float] | None:
        """The share of the points' variance along d_1, and along what d_2 adds to it; None where they do not vary."""
        centred = points - points.mean(axis=0)
        total = float(np.sum(centred**2))
        if total == 0:
            return None
        Q = np.linalg.qr(self.directions.T)[0]
        first, second = np.sum((centred @ Q) ** 2, axis=0) / total
        return float(first), float(second)


def principal_plane(points: np.ndarray, through: np.ndarray) -> Plane:
    """The plane through one point along the two principal directions of n others: those of the largest variance.

    Signs are such that the first point is on the left and, where it can be, above. Points on one line have one
    principal direction; the second one is then the axis nearest to a right angle with it.

    Raises
    ------
    ValueError : for one point, or for points that are all the same.

    Source: principal component analysis by the singular value decomposition; Li et al. 2018, section 7, for paths of
    networks, whose offsets are from the last point where these are from the mean.
    """
    if len(points) < 2 or not np.any(points != points[0]):
        raise ValueError(
            f"the path has {count(len(points), 'point')}{' that are all the same' if len(points) > 1 else ''}, so it "
            "has no principal directions; give two directions"
        )
    _, sizes, rows = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    first, names = rows[0], ("1st principal direction", "2nd principal direction")
    if len(sizes) > 1 and sizes[1] > _RANK * sizes[0]:
        second = rows[1]
    else:
        k = int(np.argmin(np.abs(first)))
        second = np.eye(len(first))[k] - first[k] * first
        second /= np.linalg.norm(second)
        names = (names[0], f"axis {k}, made orthogonal")
    start = points[0] - through
    first, second = (-first if start @ first > 0 else first), (-second if start @ second < 0 else second)
    return Plane(through, np.stack([first, second]), names, "path")


def random_plane(layout: Layout, through: np.ndarray, rng: np.random.Generator) -> Plane:
    """The plane through w along two random directions, normalised unit by unit.

    The weights into each unit are drawn from a normal distribution and scaled to the length that these weights have in
    w; biases do not move. A step of 1 is then as large as the weights themselves, in every layer: networks whose
    weights differ in scale can be compared.

    Source: Li, Xu, Taylor, Studer & Goldstein 2018, section 4 (there a unit is a filter).
    """
    directions = np.zeros((2, layout.K))
    own = layout.views(through)[0]
    for direction in directions:
        for D, A in zip(layout.views(direction)[0], own, strict=True):
            D[...] = rng.standard_normal(A.shape)
            D *= np.linalg.norm(A, axis=0) / np.linalg.norm(D, axis=0)
    return Plane(through, directions, ("1st random direction", "2nd random direction"), "random")


def given_plane(directions: Any, through: np.ndarray) -> Plane:
    """The plane along two vectors of K numbers, taken as they are: a step of 1 is the whole vector."""
    K = len(through)
    try:
        found = np.stack([np.asarray(d, np.float64).ravel() for d in directions])
    except (TypeError, ValueError) as error:
        raise ValueError(f"directions must be two vectors of K = {K} numbers, got {directions!r:.80}") from error
    if found.shape != (2, K):
        raise ValueError(f"directions must be 2 × {K}, two vectors of K = {K} numbers; got shape {found.shape}")
    if not np.isfinite(found).all():
        raise ValueError("directions must be finite, and there is NaN or infinity in them")
    sizes = np.linalg.norm(found, axis=1)
    if not sizes.all():
        raise ValueError(
            f"the {'1st' if not sizes[0] else '2nd'} direction is 0 everywhere; a plane needs two directions"
        )
    if np.linalg.svd(found / sizes[:, None], compute_uv=False)[1] < 1e-8:
        raise ValueError("the two directions are parallel; a plane needs two that are not")
    return Plane(through, found, ("1st direction", "2nd direction"), "given")


def axes_plane(places: Sequence[int], names: Sequence[str], through: np.ndarray, kind: Kind) -> Plane:
    """The plane along two axes; the coordinates are the values of these two parameters."""
    if places[0] == places[1]:
        raise ValueError(f"the two directions are both {names[0]}; a plane needs two that differ")
    origin = through.copy()
    origin[list(places)] = 0.0
    return Plane(origin, np.eye(len(through))[list(places)], (names[0], names[1]), kind)


def orthonormal(plane: Plane) -> Plane:
    """The same plane with directions of length 1 at a right angle: the first keeps its direction."""
    Q, R = np.linalg.qr(plane.directions.T)
    return Plane(plane.origin, (Q * np.sign(np.diag(R))).T, plane.names, plane.kind)


def count(n: int, what: str) -> str:
    """A number of things, with its plural.

    >>> count(1, "row"), count(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{n:,} {what}" + ("" if n == 1 else "s")
