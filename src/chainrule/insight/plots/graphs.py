"""Floor 5, insight.plots: the graph of a trace, laid out in layers: values above the steps, derivatives below."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chainrule.calculus import Trace

from .canvas import BLUE, GREY, RED, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_STEPS = 60
# Above this many edges their numbers would cover each other.
_MOST_NUMBERED_EDGES = 40
# Deeper graphs run from top to bottom, where a page is long.
_DEEP = 9
_LONGEST_WORDS = 26
_MOST_LINES = 3


Place = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """Where things stand: layers count from the inputs; `places` and the bends of an edge are (layer, position)."""

    places: list[Place]  # of every step
    bends: dict[tuple[int, int], list[Place]]  # (user, used) -> points on the way
    layers: int
    width: float


def plot_trace(trace: Trace, ax: Axes | None = None) -> Axes:
    """Draw the steps of a trace as boxes, the value above each, the derivative of the output by it below.

    The local derivatives stand on the edges, where there are few enough to be read; edges that pass no derivative are
    dotted.

    trace : what `cr.trace` returned, of at most 60 steps
    ax : where to draw; a new figure of a size that can be read without it

    Raises
    ------
    ValueError : for more steps than can be read.
    """
    n = len(trace.steps)
    if n > MOST_STEPS:
        raise ValueError(
            f"a figure is readable up to {MOST_STEPS} steps, this trace has {n:,}: print(trace) lists them, factors() "
            "and paths() show the ones that matter; or trace a smaller example"
        )
    layout = layered([step.inputs for step in trace.steps])
    deep = layout.layers > _DEEP
    boxes = [_words(trace, k) for k in range(n)]
    wide = 0.08 * max(len(line) for words in boxes for line in words.split("\n")) + 0.75
    across, along = (wide, 1.15) if deep else (1.15, wide)  # inches from step to step
    if deep:
        size = (max(4.0, across * layout.width + 1.5), along * layout.layers + 0.8)
    else:
        size = (along * layout.layers + 0.6, across * layout.width + 0.5)
    ax = axes_or_new(ax, figsize=size)

    def at(place: Place) -> Place:
        layer, position = place
        return (position * across, -layer * along) if deep else (layer * along, -position * across)

    _edges(trace, layout, at, ax)
    for k, place in enumerate(layout.places):
        _step(trace, k, boxes[k], at(place), ax)
    points = [at(place) for place in layout.places] + [at(p) for bends in layout.bends.values() for p in bends]
    xs, ys = zip(*points, strict=True)
    ax.set_xlim(min(xs) - wide / 2, max(xs) + wide / 2)
    ax.set_ylim(min(ys) - 0.55, max(ys) + 0.55)
    ax.set_axis_off()
    output = trace.steps[trace.output].name
    kinks = "; shaded: at a kink" if any(step.kink for step in trace.steps) else ""
    caption = f"above: value, below: ∂{output}/∂step, on the edges: local derivatives{kinks}"
    ax.set_title(caption, fontsize=9, color="#444444")
    return ax


def _words(trace: Trace, k: int) -> str:
    step = trace.steps[k]
    words = step.name if step.operation == "input" else f"{step.name} = {trace.words(k)}"
    if len(words) <= _LONGEST_WORDS:
        return words
    lines = re.sub(r" ([+-]) ", r"\n\1 ", words).split("\n")  # a sum, a term a line
    if len(lines) <= _MOST_LINES and max(map(len, lines)) <= _LONGEST_WORDS:
        return "\n".join(lines)
    return f"{step.name} = {step.operation}(…)"


def _step(trace: Trace, k: int, words: str, place: Place, ax: Axes) -> None:
    (x, y), step = place, trace.steps[k]
    edge = BLUE if step.operation == "input" else "black" if k == trace.output else GREY
    box = {
        "boxstyle": "round,pad=0.3", "fc": "#fff4d6" if step.kink else "white", "ec": edge,
        "lw": 1.6 if edge != GREY else 1.0,
    }  # fmt: skip
    ax.text(x, y, words, ha="center", va="center", fontsize=9, bbox=box, zorder=3)
    white = {"boxstyle": "square,pad=0.05", "fc": "white", "ec": "none", "alpha": 0.85}
    half = 12 + 5.5 * words.count("\n")  # points from the middle of the box
    for dy, va, value, color in ((half, "bottom", step.value, BLUE), (-half, "top", step.derivative, RED)):
        ax.annotate(
            _number(value), (x, y), (0, dy), textcoords="offset points", ha="center", va=va, fontsize=8.5, color=color,
            zorder=4, bbox=white,
        )  # fmt: skip


def _edges(trace: Trace, layout: Layout, at: Callable[[Place], Place], ax: Axes) -> None:
    edges = [
        (k, i, slope) for k, step in enumerate(trace.steps) for i, slope in zip(step.inputs, step.slopes, strict=True)
    ]
    numbered = len(edges) <= _MOST_NUMBERED_EDGES
    drawn: dict[tuple[int, int], list[float | None]] = {}
    for k, i, slope in edges:
        drawn.setdefault((k, i), []).append(slope)
    for (k, i), slopes in drawn.items():
        points = [at(layout.places[i]), *(at(p) for p in layout.bends.get((k, i), [])), at(layout.places[k])]
        xs, ys = zip(*points, strict=True)
        passes = [s for s in slopes if s is not None]
        ax.plot(xs, ys, color=GREY, lw=1.0, ls="-" if passes else ":", zorder=1, solid_joinstyle="round")
        if numbered and passes:
            (x0, y0), (x1, y1) = points[len(points) // 2 - 1], points[len(points) // 2]
            ax.text(
                (x0 + x1) / 2, (y0 + y1) / 2, " + ".join(map(_number, passes)), ha="center", va="center", fontsize=7.5,
                color="#444444", zorder=2, bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none"},
            )  # fmt: skip


def _number(x: float) -> str:
    return f"{x + 0.0:.3g}".replace("-", "−")


# ---------------------------------------------------------------- layout


def layered(inputs: Sequence[Sequence[int]]) -> Layout:
    """Place a graph in layers (Sugiyama, Tagawa and Toda 1981), each step above all that it uses.

    inputs : for each step the earlier steps that it uses

    Long edges get a bend in every layer that they cross, so that none runs through a step; within a layer the order is
    that of the mean place of the neighbours, taken from both sides in turn while it lowers the number of crossings.
    """
    layer = _layers(inputs)
    depth = max(layer, default=0) + 1
    bends: dict[tuple[int, int], list[int]] = {}
    layer_of = list(layer)
    links: list[tuple[int, int]] = []  # (below, above) in neighbouring layers
    for k, used in enumerate(inputs):
        for i in dict.fromkeys(used):
            chain = [i]
            for at in range(layer[i] + 1, layer[k]):
                layer_of.append(at)
                chain.append(len(layer_of) - 1)
            bends[k, i] = chain[1:]
            links += zip(chain, [*chain[1:], k], strict=True)
    rows: list[list[int]] = [[] for _ in range(depth)]
    for k, at in enumerate(layer_of):
        rows[at].append(k)
    down: list[list[int]] = [[] for _ in layer_of]
    up: list[list[int]] = [[] for _ in layer_of]
    for below, above in links:
        down[above].append(below)
        up[below].append(above)
    rows = _ordered(rows, down, up)
    positions = _positions(rows, down, up)
    width = max(positions, default=0.0) - min(positions, default=0.0) + 1
    places = [(float(layer_of[k]), positions[k]) for k in range(len(layer_of))]
    return Layout(
        places[: len(layer)],
        {edge: [places[k] for k in chain] for edge, chain in bends.items()},
        depth,
        width,
    )


def _layers(inputs: Sequence[Sequence[int]]) -> list[int]:
    """One above the highest that is used; an input stands right below the first step that uses it."""
    layer = [0] * len(inputs)
    for k, used in enumerate(inputs):
        layer[k] = 1 + max((layer[i] for i in used), default=-1)
    first = [min((layer[k] for k, used in enumerate(inputs) if i in used), default=1) for i in range(len(inputs))]
    return [layer[k] if used else max(0, first[k] - 1) for k, used in enumerate(inputs)]


def _ordered(rows: list[list[int]], down: list[list[int]], up: list[list[int]]) -> list[list[int]]:
    best, fewest = [list(row) for row in rows], _crossings(rows, down)
    for sweep in range(24):
        upward = sweep % 2 == 0
        neighbours = down if upward else up
        for at in range(len(rows)) if upward else reversed(range(len(rows))):
            other = rows[at - 1] if upward and at else rows[at + 1] if not upward and at + 1 < len(rows) else []
            place = {k: n for n, k in enumerate(other)}
            mean = {}
            for n, k in enumerate(rows[at]):
                near = [place[j] for j in neighbours[k] if j in place]
                mean[k] = sum(near) / len(near) if near else n * max(1, len(other)) / max(1, len(rows[at]))
            rows[at] = sorted(rows[at], key=mean.__getitem__)
        if (crossings := _crossings(rows, down)) < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _crossings(rows: Sequence[Sequence[int]], down: Sequence[Sequence[int]]) -> int:
    total = 0
    for below, above in itertools.pairwise(rows):
        place = {k: n for n, k in enumerate(below)}
        ends = [place[i] for k in above for i in sorted(down[k], key=lambda i: place.get(i, -1)) if i in place]
        total += sum(a > b for n, a in enumerate(ends) for b in ends[n + 1 :])
    return total


def _positions(
    rows: Sequence[Sequence[int]], down: Sequence[Sequence[int]], up: Sequence[Sequence[int]]
) -> list[float]:
    """Near the mean of the neighbours, at least 1 apart, in the order of the row."""
    position = [0.0] * sum(map(len, rows))
    for row in rows:
        for n, k in enumerate(row):
            position[k] = n - (len(row) - 1) / 2
    for sweep in range(16):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = []
            for k in row:
                near = [position[j] for j in (*down[k], *up[k])]
                wanted.append(sum(near) / len(near) if near else position[k])
            for k, x in zip(row, _apart(wanted), strict=True):
                position[k] = x
    return position


def _apart(wanted: Sequence[float]) -> list[float]:
    """The places nearest to those wanted (least squares) that are 1 apart in this order: pooled neighbours."""
    blocks: list[tuple[float, int]] = []  # mean of (wanted − n), and how many
    for n, x in enumerate(wanted):
        mean, size = x - n, 1
        while blocks and blocks[-1][0] > mean:
            other, count = blocks.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        blocks.append((mean, size))
    flat = [mean for mean, size in blocks for _ in range(size)]
    return [mean + n for n, mean in enumerate(flat)]
