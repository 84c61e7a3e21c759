"""Floor 5, insight: the health of a network: units that learn nothing, gradients that vanish, and what to try."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import numpy as np

from chainrule.calculus import grad
from chainrule.network import Activation, Layout, uses_link
from chainrule.tables import table

from .given import Given, given

# At most so many rows are looked at, evenly over those given.
MOST_ROWS = 2_000
# A slope below this share of the activation's greatest between z = −1 and 1 is flat.
FLAT = 0.01
# A unit that is flat on this share of the rows is saturated.
MOSTLY = 0.95
# Under this share of a layer's units an illness of some does little harm, and the report says so.
FEW = 0.1
# A gradient that falls below this share of the last layer's on the way back has vanished; over 1/share it explodes.
VANISHED = 1e-3
# Numbers that differ by less than this share of the largest are the same.
SAME = 1e-9
# Median change of a layer in an epoch, as a share of its length, under which it stands still and over which it jumps.
STILL, JUMPS = 1e-6, 0.5


@dataclass(frozen=True)
class LayerHealth:
    """One layer on the rows that were looked at; None where it could not be said."""

    layer: int  # from 1
    activation: str
    units: int
    dead: tuple[int, ...]  # units whose slope is 0 on every row
    saturated: tuple[int, ...]  # units whose slope is flat on nearly every row
    constant: tuple[int, ...]  # units that give the same on every row and are not dead
    flat: float | None  # share of slopes, over units and rows, that are flat
    signal: float | None  # root mean square of ∂E_i/∂z_l over rows and units
    weights: float  # root mean square of A_l
    update: float | None  # median change of A_l and b_l in an epoch, as a share of their length


@dataclass(frozen=True)
class Finding:
    """One illness: where it is (None: the network as a whole), what was seen, what to try."""

    illness: str
    layer: int | None
    seen: str
    remedy: str

    def __str__(self) -> str:
        where = "" if self.layer is None else f"layer {self.layer}: "
        return f"{self.illness}: {where}{self.seen}. Try: {self.remedy}."


@dataclass(frozen=True)
class Health:
    """What `health` found: a line for each layer, the findings, and what could not be looked at."""

    rows: int
    layers: tuple[LayerHealth, ...]
    findings: tuple[Finding, ...]
    not_seen: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data, which JSON can hold."""
        return {"ok": self.ok, **asdict(self)}

    def text(self) -> str:
        """All of it for the terminal."""
        lines = [f"looked at {self.rows:,} row{'s' * (self.rows != 1)}"]
        head, cells = self.cells()
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
        lines += ["  " + "  ".join(f"{c:>{w}}" for c, w in zip(row, widths, strict=True)) for row in [head, *cells]]
        lines += [str(finding) for finding in self.findings] or ["nothing is wrong in what was looked at"]
        return "\n".join(lines + [f"not looked at: {sentence}" for sentence in self.not_seen])

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """(head, a line for each layer) of the table that text and page show."""
        head = ["layer", "σ", "units", "dead", "saturated", "constant", "flat slopes", "gradient", "weights", "update"]
        return head, [
            [
                str(l.layer), l.activation, f"{l.units:,}", str(len(l.dead)), str(len(l.saturated)),
                str(len(l.constant)), "–" if l.flat is None else f"{l.flat:.0%}", _short(l.signal), _short(l.weights),
                _short(l.update),
            ]
            for l in self.layers
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        head, cells = self.cells()
        rows = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in cells)
        said = [str(f) for f in self.findings] or ["nothing is wrong in what was looked at"]
        items = "".join(f"<li>{escape(s)}</li>" for s in [*said, *(f"not looked at: {s}" for s in self.not_seen)])
        return (
            f"<table><tr>{''.join(f'<th>{escape(c)}</th>' for c in head)}</tr>{rows}</table>"
            f"<p>looked at {self.rows:,} rows</p><ul>{items}</ul>"
        )


def _short(x: float | None) -> str:
    return "–" if x is None else f"{x:.2g}"


@dataclass(frozen=True)
class _Seen:
    """What the illnesses are read from."""

    layout: Layout
    layers: tuple[LayerHealth, ...]
    outputs: np.ndarray  # N × D_L
    n_targets: int | None  # different targets among the rows


@dataclass(frozen=True)
class Illness:
    """One illness: how it shows, as (layer or None, what was seen), and what to try."""

    name: str
    find: Callable[[_Seen], list[tuple[int | None, str]]]
    remedy: str
    aliases: tuple[str, ...] = ()


def _some(units: tuple[int, ...]) -> str:
    return ", ".join(map(str, units[:8])) + (" …" if len(units) > 8 else "")


def _of_units(field: str, words: str) -> Callable[[_Seen], list[tuple[int | None, str]]]:
    def find(seen: _Seen) -> list[tuple[int | None, str]]:
        found: list[tuple[int | None, str]] = []
        for layer in seen.layers:
            units = getattr(layer, field)
            if units:
                few = "; so few do little harm" if len(units) < FEW * layer.units else ""
                found.append((layer.layer, f"{len(units)} of {layer.units} units {words} (unit {_some(units)}){few}"))
        return found

    return find


def _signals(seen: _Seen) -> list[tuple[int, float]]:
    """(layer, its signal as a share of the last layer's)."""
    last = seen.layers[-1].signal
    if not last:
        return []
    return [(layer.layer, (layer.signal or 0.0) / last) for layer in seen.layers[:-1]]


def _vanishing(seen: _Seen) -> list[tuple[int | None, str]]:
    if any(len(layer.dead) == layer.units for layer in seen.layers):
        return []  # dead units say why
    weak = [(layer, share) for layer, share in _signals(seen) if share < VANISHED]
    return [(l, f"the gradient of its raw scores is {share:.1e} of that of the last layer") for l, share in weak[:1]]


def _exploding(seen: _Seen) -> list[tuple[int | None, str]]:
    strong = [(layer, share) for layer, share in _signals(seen) if not share < 1 / VANISHED]
    return [
        (l, f"the gradient of its raw scores is {share:.1e} times that of the last layer") for l, share in strong[:1]
    ]


def _constant_outputs(seen: _Seen) -> list[tuple[int | None, str]]:
    if len(seen.outputs) < 2 or seen.n_targets == 1:
        return []
    D = seen.outputs.shape[1]
    same = tuple(int(k) for k in np.flatnonzero(_is_same(seen.outputs)))
    if len(same) == D:
        shown = ", ".join(f"{v:.4g}" for v in seen.outputs[0, :4]) + (" …" if D > 4 else "")
        return [(None, f"the network answers {shown} on all {len(seen.outputs):,} rows")]
    found: list[tuple[int | None, str]] = []
    if same:
        found.append((None, f"{len(same)} of {D} outputs are the same on every row (output {_some(same)})"))
    return found


def _updates(test: Callable[[float], bool], words: str) -> Callable[[_Seen], list[tuple[int | None, str]]]:
    def find(seen: _Seen) -> list[tuple[int | None, str]]:
        return [
            (layer.layer, f"its weights change by {layer.update:.1e} of their length in an epoch, {words}")
            for layer in seen.layers
            if layer.update is not None and test(layer.update)
        ]

    return find


ILLNESSES = table(
    [
        Illness(
            "dead units",
            _of_units("dead", "have slope 0 on every row, so no row moves them"),
            "a smaller step size, inputs of about unit size, or an activation without a flat side (leaky_relu, silu)",
        ),
        Illness(
            "saturated units",
            _of_units("saturated", f"have less than {FLAT:.0%} of their greatest slope on nearly every row"),
            "inputs of about unit size, smaller first weights, more weight decay (alpha), or relu in this layer",
        ),
        Illness(
            "constant units",
            _of_units("constant", "give the same on every row, so what follows cannot use them"),
            "first weights that are not 0, less weight decay (alpha), or fewer units",
        ),
        Illness(
            "vanishing gradient",
            _vanishing,
            "fewer layers, relu or silu in place of sigmoid or tanh, or He's or Glorot's first weights",
        ),
        Illness(
            "exploding gradient",
            _exploding,
            "smaller first weights, more weight decay (alpha), a smaller step size, or clip_norm=1",
        ),
        Illness(
            "constant outputs",
            _constant_outputs,
            "inputs of about unit size, less weight decay (alpha), another step size, more epochs; "
            "and see whether the columns tell the target at all",
        ),
        Illness(
            "layer stands still",
            _updates(lambda share: share < STILL, "which is next to nothing"),
            "a larger step size, or a look at the gradient of this layer; a frozen layer is meant to stand",
        ),
        Illness(
            "layer jumps",
            _updates(lambda share: share > JUMPS, "which forgets what was learned"),
            "a smaller step size, clip_norm=1, or a warm-up",
        ),
    ]
)


def health(model: Any, X: Any, y: Any = None, *, loss: Any = None) -> Health:
    """How well each layer of a fitted network can still learn, in words, with what to try.

    Slopes are those of the activation's row, at every row of X: a unit is dead where `σ'(z)` is 0 on all of them,
    saturated where it is below a hundredth of the greatest between z = −1 and 1 on nearly all. The signal of a layer is
    the root mean square of `∂E_i/∂z_l` over rows and units, by the calculus; it vanishes (explodes) where it is less
    than a thousandth of (more than a thousand times) that of the last layer.

    Parameters
    ----------
    model : a fitted MLPClassifier, MLPRegressor, TableClassifier or TableRegressor, or a Network
    X : N rows as `predict` takes them; of more than 2,000 as many are looked at, evenly
    y : their targets, optional; gradients need them
    loss : the loss of a Network, "squared" where it is not given; estimators have their own

    Returns
    -------
    Health : `.ok`, `.findings` (illness, layer, what was seen, what to try), `.layers`, `.not_seen`; `print` shows all.
    How far a layer moves in an epoch is read from `recording_`, which a fit with `record=True` leaves.

    Raises
    ------
    TypeError, ValueError : for an unfitted model, rows of the wrong width, NaN in the rows.

    >>> import numpy as np, chainrule as cr
    >>> net = cr.Network([1, 3, 1], "relu", seed=0)
    >>> net.b[1][:] = [0.0, -9.0, 0.0]
    >>> X = np.linspace(-1.0, 1.0, 9)[:, None]
    >>> for finding in health(net, X, X[:, 0]).findings:
    ...     print(finding)
    dead units: layer 1: 1 of 3 units have slope 0 on every row, so no row moves them (unit 1). Try: a smaller step
    size, inputs of about unit size, or an activation without a flat side (leaky_relu, silu).

    Source: Glorot & Bengio 2010 (saturation, signals by layer). Deep-learning toolkits show histograms of activations
    while they train; here the fitted network and any rows are enough.
    """
    found = given(model, X, y, loss)
    rows = np.unique(np.linspace(0, len(found.X) - 1, min(len(found.X), MOST_ROWS)).astype(int))
    looked = Given(found.network, found.names, found.X[rows], None if found.Y is None else found.Y[rows], found.loss)
    layers, outputs = _layers(looked, getattr(model, "recording_", None))
    n_targets = None if looked.Y is None else len(np.unique(looked.Y, axis=0))
    seen = _Seen(found.network.layout, layers, outputs, n_targets)
    findings = tuple(
        Finding(illness.name, layer, words, illness.remedy)
        for illness in ILLNESSES.values()
        for layer, words in illness.find(seen)
    )
    not_seen = [] if looked.Y is not None else ["gradients, which need y"]
    if not any(layer.update is not None for layer in layers):
        not_seen.append("how far the weights move in an epoch, which needs a recorded fit (record=True)")
    return Health(len(rows), layers, findings, tuple(not_seen))


def _layers(looked: Given, recording: Any) -> tuple[tuple[LayerHealth, ...], np.ndarray]:
    """(the layers, ŷ)."""
    layout, (A, _) = looked.network.layout, looked.network.layout.views(looked.network.w)
    raw = _raw_scores(layout, looked.network.w, looked.X)
    signals, updates = _signals_of(looked), _updates_of(layout, recording)
    layers, a = [], looked.X
    for l, (layer, z) in enumerate(zip(layout.layers, raw, strict=True), 1):
        row, is_last = layer.activation, l == layout.L
        a = row(z)
        # With its link the loss reads the raw score: the slope of the output is then no part of the gradient.
        linked = is_last and (looked.loss is None or uses_link(row, looked.loss))
        dead, saturated, flat = ((), (), None) if row.rowwise or linked else _slopes(row, z, a)
        same = () if is_last or len(a) < 2 else tuple(int(j) for j in np.flatnonzero(_is_same(a)) if j not in dead)
        weights = float(np.sqrt(np.mean(np.square(A[l]))))
        layers.append(
            LayerHealth(
                l, row.name, layer.outputs, dead, saturated, same, flat, signals[l - 1], weights, updates[l - 1]
            )
        )
    return tuple(layers), a


def _raw_scores(layout: Layout, w: Any, X: Any, shifts: Any = None) -> list[Any]:
    """z_1 … z_L of every row; `shifts` are added to them: the error's slope in a shift is that in the raw score."""
    A, b = layout.views(w)
    a, raw = X, []
    for l, layer in enumerate(layout.layers, 1):
        z = a @ A[l] + b[l]
        z = z if shifts is None else z + shifts[l - 1]
        a = layer.activation(z)
        raw.append(z)
    return raw


def _is_same(a: np.ndarray) -> np.ndarray:
    """Of each column whether it is the same on every row."""
    return np.ptp(a, axis=0) <= SAME * np.max(np.abs(a), axis=0)


def _slopes(row: Activation, z: np.ndarray, a: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...], float]:
    """(dead units, saturated units, share of flat slopes) of one layer."""
    middle = np.linspace(-1.0, 1.0, 201)
    greatest = float(np.max(np.abs(row.slope_of(middle, row(middle)))))
    slopes = np.abs(row.slope_of(z, a))
    flat = slopes < FLAT * greatest
    dead = ~slopes.any(axis=0)
    # A unit that is off on nearly every row, at slope 0 exactly, is a switch at work and no saturated one.
    saturated = (flat.mean(axis=0) >= MOSTLY) & ~dead & (flat & (slopes > 0)).any(axis=0)
    return tuple(map(int, np.flatnonzero(dead))), tuple(map(int, np.flatnonzero(saturated))), float(flat.mean())


def _signals_of(looked: Given) -> list[float | None]:
    """Of each layer the root mean square of ∂E_i/∂z_l."""
    layout, loss, Y = looked.network.layout, looked.loss, looked.Y
    if loss is None or Y is None:
        return [None] * layout.L

    def total(shifts: Any) -> Any:
        z = _raw_scores(layout, looked.network.w, looked.X, shifts)[-1]
        return np.sum(loss(Y, z if uses_link(layout.output, loss) else layout.output(z)))

    slopes = grad(total)([np.zeros((len(looked.X), layer.outputs)) for layer in layout.layers])
    return [float(np.sqrt(np.mean(np.square(slope)))) for slope in slopes]


def _updates_of(layout: Layout, recording: Any) -> list[float | None]:
    """Of each layer the median of ‖Δ‖/‖·‖ from one recorded epoch to the next."""
    if recording is None or len(recording.points) < 2:
        return [None] * layout.L
    points = np.asarray(recording.points, np.float64)
    epochs = np.diff(np.asarray(recording.epochs, np.float64))
    found: list[float | None] = []
    for l in range(1, layout.L + 1):
        parts = [points[:, slice(*layout.slices[letter, l][:2])] for letter in "Ab"]
        own = np.concatenate(parts, axis=1)
        length = np.maximum(np.linalg.norm(own[:-1], axis=1), np.finfo(float).tiny)
        found.append(float(np.median(np.linalg.norm(np.diff(own, axis=0), axis=1) / length / np.maximum(epochs, 1e-9))))
    return found
