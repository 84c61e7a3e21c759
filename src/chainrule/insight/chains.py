"""Floor 5, insight: the factors of the chain rule in one row, its paths, and the limit that they are held to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.engine.inside import Pass
from chainrule.network import Layout, Loss, eager_error

# Candidates of the paths are sorted in blocks of about so many numbers.
_BLOCK = 4_000_000
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Link:
    """One layer of a chain, from the row that is shown: arrays have an entry a unit.

    layer : l. z, a : raw scores and outputs. keep : what dropout multiplied the outputs by, None without
    back : what comes from above: Σ_k A_{l+1}[j, k] δ_{l+1}[k]; of the last layer the error's slope dE/dŷ, where it is
        defined unit by unit
    slope : σ'(z), None where the loss is written in z and the outputs are coupled (softmax)
    delta : δ_l = ∂E/∂z_l, what the kernels hold
    """

    layer: int
    activation: str
    z: np.ndarray
    a: np.ndarray
    keep: np.ndarray | None
    back: np.ndarray | None
    slope: np.ndarray | None
    delta: np.ndarray


@dataclass(frozen=True, eq=False)
class Chain:
    """∂E_i/∂w of one row as a product: the links from the output down to the weight's layer, then its input.

    y, output : target and ŷ of the row, row_weight : what its error is multiplied by
    fused : whether the kernels take dE/dŷ and dŷ/dz together, as the loss is written in z_L
    links : of layers L, L − 1, …, l
    input : a_{l−1}[i], or 1 for a bias
    product : input · δ_l[j], in the float width of training
    """

    y: np.ndarray
    output: np.ndarray
    row_weight: float
    fused: bool
    links: tuple[Link, ...]
    input: float
    unit: int
    product: float


@dataclass(frozen=True)
class Path:
    """One way from the weight to an output: the unit in each layer from l to L, and what it carries of ∂E_i/∂w."""

    units: tuple[int, ...]
    value: float


@dataclass(frozen=True)
class Paths:
    """The strongest paths, largest |value| first; all `count` of them sum to the derivative of the row (Remark 2).

    rest : what all the others carry together: the row's derivative less those listed
    """

    listed: tuple[Path, ...]
    count: int
    rest: float


@dataclass(frozen=True)
class NumericalCheck:
    """Central differences (E(w + h) − E(w − h))/2h in float64, by the eager forward pass.

    h, slopes : the steps, and what each gave
    numerical, best_h : the slope where two neighbouring steps agree best, chosen without the stated number
    uncertainty : how far those two were apart
    left, right : one-sided slopes at a small h
    kink : whether these two differ by a jump that does not fall with h: then any number between is a derivative
    stated : the engine's number
    digits : to how many digits stated and numerical agree, at most 16
    """

    h: tuple[float, ...]
    slopes: tuple[float, ...]
    numerical: float
    best_h: float
    uncertainty: float
    left: float
    right: float
    kink: bool
    stated: float
    digits: float


def chain_of(layout: Layout, loss: Loss, w: np.ndarray, seen: Pass, name: tuple, row: int) -> Chain:
    """The chain of one row."""
    letter, l, *rest = name
    A = layout.views(w)[0]
    links: list[Link] = []
    for m in range(layout.L, l - 1, -1):
        activation = layout.layers[m - 1].activation
        z, a, delta = (part[m - 1][row] for part in (seen.z, seen.a, seen.delta))
        keep = None if seen.keep[m - 1] is None else seen.keep[m - 1][row]  # type: ignore[index]
        slope = None if activation.rowwise else np.asarray(activation.slope_of(z, a), w.dtype)
        if m == layout.L:
            back = _error_slope(loss, seen, row, slope)
        else:
            back = A[m + 1] @ links[-1].delta
        links.append(Link(m, activation.name, z, a, keep, back, slope, delta))
    below = float(seen.passed(l - 1)[row, rest[0]]) if letter == "A" else 1.0
    product = float(w.dtype.type(below) * links[-1].delta[rest[-1]])
    output, weight = seen.a[-1][row], float(seen.weights[row])
    return Chain(seen.Y[row], output, weight, seen.in_score, tuple(links), below, rest[-1], product)


def _error_slope(loss: Loss, seen: Pass, row: int, slope: np.ndarray | None) -> np.ndarray | None:
    """dE/dŷ of a row; where the loss is written in z it is dE/dz over the output's slope."""
    if not seen.in_score:
        return np.asarray(seen.weights[row] * loss.slope_of(seen.Y[row], seen.a[-1][row]), seen.Y.dtype)
    if slope is None or not np.all(slope):
        return None
    return np.asarray(seen.delta[-1][row] / slope)


# ---------------------------------------------------------------- paths


def strongest_paths(layout: Layout, w: np.ndarray, chain: Chain, count: int) -> Paths:
    """The `count` paths of largest |value|, by dynamic programming layer by layer: a prefix of a strongest path to a
    unit is itself among the strongest to its own last unit, as all that follows multiplies it alike.
    """
    A, links = layout.views(w)[0], chain.links[::-1]  # from the weight's layer up
    last = links[-1].layer
    # What the strongest paths to each unit carry so far, and for each layer above where each of them came from: the
    # unit's place among those of the layer below, and its rank there.
    units = [np.array([chain.unit])]
    carried = np.array([[chain.input * _node(links[0], last)[chain.unit]]])
    came: list[tuple[np.ndarray, np.ndarray]] = []
    for link in links[1:]:
        node = _node(link, last)
        places, ranks, carried = _step(carried, A[link.layer][units[-1]].astype(np.float64) * node, count)
        came.append((places, ranks))
        units.append(np.arange(len(node)))
    order = np.argsort(-np.abs(carried), axis=None, kind="stable")[:count]
    ends = [divmod(int(k), carried.shape[1]) for k in order]
    listed = tuple(_trail(units, came, carried, end) for end in ends if carried[end])  # a path of 0 is none
    whole = chain.input * float(links[0].delta[chain.unit])
    rest = math.fsum([whole, *(-path.value for path in listed)])
    return Paths(listed, math.prod(len(link.delta) for link in links[1:]), rest)


def _trail(units: list[np.ndarray], came: list[Any], carried: np.ndarray, end: tuple[int, int]) -> Path:
    """The path that ends at this place and rank of the last layer."""
    at, rank = end
    way = [int(units[-1][at])]
    for below, (places, ranks) in zip(units[-2::-1], reversed(came), strict=True):
        at, rank = int(places[at, rank]), int(ranks[at, rank])
        way.append(int(below[at]))
    return Path(tuple(reversed(way)), float(carried[end]))


def _node(link: Link, last: int) -> np.ndarray:
    """What a path is multiplied by at each unit of a layer: δ_L at the output, σ' (and dropout's factor) below."""
    if link.layer == last:
        return link.delta.astype(np.float64)
    assert link.slope is not None
    slope = link.slope.astype(np.float64)
    return slope if link.keep is None else slope * link.keep


def _step(carried: np.ndarray, through: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(place below, rank there, what is carried) of the strongest paths to each unit above: D × (at most count)."""
    below, ranks = carried.shape
    k, D = min(count, below * ranks), through.shape[1]
    places, rank, found = np.empty((D, k), np.int64), np.empty((D, k), np.int64), np.empty((D, k))
    width = max(1, _BLOCK // (below * ranks))
    for lo in range(0, D, width):
        part = (carried[:, :, None] * through[:, None, lo : lo + width]).reshape(below * ranks, -1)
        order = np.argsort(-np.abs(part), axis=0, kind="stable")[:k]
        places[lo : lo + width], rank[lo : lo + width] = (order // ranks).T, (order % ranks).T
        found[lo : lo + width] = np.take_along_axis(part, order, axis=0).T
    return places, rank, found


# ---------------------------------------------------------------- the limit


def numerical_check(layout: Layout, loss: Loss, w: np.ndarray, index: int, seen: Pass, stated: float) -> NumericalCheck:
    """Central differences of E over the rows of the pass in one parameter."""
    w64 = w.astype(np.float64)
    X, Y, weights = (part.astype(np.float64) for part in (seen.X, seen.Y, seen.weights))
    keep: Any = [1.0 if factors is None else factors.astype(np.float64) for factors in seen.keep]

    def E(v: float) -> float:
        moved = w64.copy()
        moved[index] = v
        return float(eager_error(layout, loss, moved, X, Y, weights, keep))

    at = float(w64[index])
    steps = [10.0**-k * max(1.0, abs(at)) for k in range(1, 10)]
    with np.errstate(all="ignore"):
        middle = E(at)
        sides = [(E(at + h), E(at - h)) for h in steps]
        slopes = [(above - below) / (2 * h) for h, (above, below) in zip(steps, sides, strict=True)]
        gaps = np.abs(np.diff(slopes))
        gaps[~np.isfinite(gaps)] = np.inf
    # Each slope is judged by the farther of its two neighbours: two may agree by chance.
    apart = np.maximum(gaps[:-1], gaps[1:])
    best = int(np.argmin(apart)) + 1
    jumps = []
    for k in (4, 5):  # h = 1e-5, 1e-6
        (above, below), h = sides[k], steps[k]
        left, right = (middle - below) / h, (above - middle) / h
        jumps.append(abs(right - left))
    noise = 50 * _EPS * abs(middle) / steps[5]
    kink = jumps[1] > 0.5 * jumps[0] and jumps[1] > 1e-4 * max(abs(left), abs(right)) and jumps[1] > noise
    return NumericalCheck(
        tuple(steps), tuple(slopes), slopes[best], steps[best], float(apart[best - 1]), left, right, kink, stated,
        digits_of(stated, slopes[best]),
    )  # fmt: skip


def digits_of(a: float, b: float) -> float:
    """To how many digits two numbers agree, 0 … 16."""
    if a == b:
        return 16.0
    size = max(abs(a), abs(b))
    if not math.isfinite(size):
        return 0.0
    return min(16.0, max(0.0, -math.log10(abs(a - b) / size)))
