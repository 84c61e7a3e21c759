"""Floor 2, engine: how JᵀJ is put together of lines of J and of pairs: the tables that the kernels of `normal` read."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from chainrule.network import Layout

from .processor import BLOCK_WIDTH, PANEL_BYTES
from .records import Squares

_WIDTH = PANEL_BYTES // 8  # numbers of float64 in a line of a panel
# Making a pair, turning it and putting what pairs add up to in its place take as long as so many multiplications; a
# layer is worth pairs from so many rows on.
_COST_OF_A_PAIR, _FEWEST_ROWS = 20, 64
# A block of pairs may have so many times as many numbers as one of lines.
_MOST_PAIRS = 4


def _pairs(n: int) -> int:
    return n * (n + 1) // 2


def _whole(n: int, width: int) -> int:
    return -(-n // width) * width


def _of_pairs(layout: Layout, l: int) -> tuple[int, int]:
    return _pairs(layout.layers[l].inputs + 1), _pairs(layout.layers[l].outputs)


def _of_lines(layout: Layout, l: int) -> int:
    return (layout.layers[l].inputs + 1) * layout.layers[l].outputs


def worth_pairs(layout: Layout, N: int) -> frozenset[int]:
    """Hidden layers (from 0) whose block of JᵀJ is made of pairs, see `normal`, for N rows."""
    found = set[int]()
    for l in range(layout.L - 1):
        D, entries, (of_x, of_delta) = layout.sizes[-1], _of_lines(layout, l), _of_pairs(layout, l)
        saved = D * entries**2 // 2 - _whole(of_x, 2) * _whole(of_delta, _WIDTH // 4)
        few = of_x + of_delta <= _MOST_PAIRS * D * entries
        if few and N >= _FEWEST_ROWS and saved > _COST_OF_A_PAIR * (of_x + D * of_delta):
            found.add(l)
    return frozenset(found)


def work_of_a_row(layout: Layout, paired: frozenset[int]) -> int:
    """Multiplications of JᵀJ that a row takes."""
    line = sum(_of_lines(layout, l) for l in range(layout.L - 1)) + layout.layers[-1].inputs + 1
    spared = sum(_of_lines(layout, l) ** 2 for l in paired)
    return layout.sizes[-1] * (line**2 - spared) // 2 + sum(
        x * delta for x, delta in (_of_pairs(layout, l) for l in paired)
    )


@lru_cache(maxsize=32)
def how_squared(layout: Layout, paired: frozenset[int]) -> tuple[Squares, int, int]:
    """(the tables for these layers' pairs, numbers that the pairs of a row take, how many numbers they add up to)."""
    L, D, at = layout.L, layout.sizes[-1], 0
    places, columns, segments = np.full((L, 5), -1, np.int64), list[np.ndarray](), list[list[int]]()
    # Layers with pairs come first, so that what they are multiplied by stands together.
    for (letter, l), (start, stop, _) in sorted(layout.slices.items(), key=lambda item: item[0][1] - 1 not in paired):
        places[l - 1, "Ab".index(letter)] = at
        last = l == L
        columns.append(np.array([np.arange(start + last * o, stop, D if last else 1) for o in range(D)], np.int64))
        end = at + columns[-1].shape[1]
        owner = l - 1 if l - 1 in paired else -1
        if segments and segments[-1][2] == owner:
            segments[-1][1] = end
        else:
            segments.append([at, end, owner])
        at = end
    of_lines = [[lo, min(end, lo + _WIDTH), c] for c, (first, end, _) in enumerate(segments)
                for lo in range(first, end, _WIDTH) if _wants_panels(segments, c)]  # fmt: skip
    line, size, widest = 0, 0, 0
    for l in sorted(paired):
        of_x, of_delta = _of_pairs(layout, l)
        places[l, 2:] = line, line + _whole(of_x, BLOCK_WIDTH), size
        line += _whole(of_x, BLOCK_WIDTH) + _whole(of_delta, _WIDTH)
        size += of_x * _whole(of_delta, _WIDTH)
        widest = max(widest, layout.layers[l].inputs + 1, layout.layers[l].outputs)
    cut, panels = np.array(segments, np.int64), np.array(of_lines, np.int64).reshape(-1, 3)
    return Squares(places, np.concatenate(columns, axis=1), cut, panels, widest), line, size


def _wants_panels(segments: list[list[int]], c: int) -> bool:
    """Whether lines are multiplied by segment c: not where all before it and it are of one layer's pairs."""
    owner = segments[c][2]
    return owner < 0 or any(other[2] != owner for other in segments[:c])


def whole_lines(layout: Layout) -> Squares:
    """The tables for lines that have all columns, and no pairs."""
    K = layout.K
    panels = np.array([[lo, min(K, lo + _WIDTH), 0] for lo in range(0, K, _WIDTH)], np.int64)
    return Squares(
        np.full((layout.L, 5), -1, np.int64), np.arange(K)[None], np.array([[0, K, -1]], np.int64), panels, 0
    )
