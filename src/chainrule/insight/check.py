"""Floor 5, insight: the gradient check of a fitted network on rows: backpropagation against central differences."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from chainrule.calculus import check_grad
from chainrule.engine import Network
from chainrule.network import Layout, Loss, eager_error

from .given import given

# Parameters and rows that are looked at unless more are asked for: some seconds at most.
PARAMETERS, ROWS = 300, 200
# Steps of the difference. A kink that lies between the two points of one spoils it; a smaller step passes it by.
_STEPS = (1e-5, 1e-6, 1e-7)
# A slope agrees within this share of the layer's largest slope, and what rounding of E leaves open.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class LayerCheck:
    """One matrix or vector of parameters, and the parameter at which gradient and difference are farthest apart."""

    name: str  # A_1, b_1 …
    checked: int
    of: int
    weight: str  # A_1[0, 2]
    stated: float
    numerical: float
    error: float  # |stated − numerical|, as a share of the largest |slope| of those checked of this layer
    ok: bool  # within TOLERANCE and what rounding leaves open


@dataclass(frozen=True)
class NetworkCheck:
    """What `check_network` found: true where every slope that was looked at agrees."""

    ok: bool
    rows: int
    layers: tuple[LayerCheck, ...]

    def __bool__(self) -> bool:
        return self.ok

    @property
    def worst(self) -> LayerCheck:
        """The layer in which the largest error is; one that does not agree before all others."""
        return max(self.layers, key=lambda layer: (not layer.ok, layer.error))

    def as_dict(self) -> dict[str, Any]:
        """Plain data, which JSON can hold."""
        return {
            "ok": self.ok,
            "rows": self.rows,
            "worst": asdict(self.worst),
            "layers": [asdict(l) for l in self.layers],
        }

    def __str__(self) -> str:
        checked, of = sum(l.checked for l in self.layers), sum(l.of for l in self.layers)
        worst = self.worst
        lines = [
            f"the gradient {'agrees' if self.ok else 'is WRONG'} at {checked:,} of {of:,} parameters, on "
            f"{self.rows:,} rows",
            f"worst: ∂E/∂{worst.weight} is {worst.stated:.9g} by backpropagation and {worst.numerical:.9g} by "
            f"differences, {worst.error:.1e} of the layer's largest slope",
        ]
        lines += [
            f"  {l.name:<4} {l.checked:>6,} of {l.of:>9,}   worst {l.error:.1e} at {l.weight}" for l in self.layers
        ]
        return "\n".join(lines)


def check_network(
    model: Any,
    X: Any,
    y: Any,
    *,
    loss: Any = None,
    n_parameters: int | None = PARAMETERS,
    n_rows: int = ROWS,
    seed: int = 0,
) -> NetworkCheck:
    """Compare the gradient of a network by the compiled backward pass with differences of its error in plain NumPy.

    E is the mean of the losses over the rows, in float64. Each parameter is moved up and down by a step h, relative to
    max(1, |w|); the slope is `(E(w + h) − E(w − h))/2h`. A kink of relu between the two points spoils it: where they
    part, smaller steps are tried, and a gradient that is wrong is so at every one.

    Parameters
    ----------
    model : a fitted MLPClassifier, MLPRegressor, TableClassifier or TableRegressor, or a Network
    X, y : rows and targets, as `fit` takes them
    loss : the loss of a Network, "squared" where it is not given
    n_parameters : how many are checked, spread over all layers at random; None is all of them
    n_rows : rows of X that are used, at most, evenly
    seed : of the choice of parameters

    Returns
    -------
    NetworkCheck : `.ok`, `.worst`, `.layers`; `print` shows where.

    Raises
    ------
    TypeError, ValueError : for an unfitted model, or rows that do not fit it.

    >>> import chainrule as cr
    >>> net = cr.Network([2, 3, 1], "tanh", seed=0)
    >>> check_network(net, [[0.0, 1.0], [1.0, -1.0]], [1.0, 0.0]).ok
    True

    Source: handout 4, 5. `check_grad` does the same for any function.
    """
    for name, value in (("n_parameters", n_parameters), ("n_rows", n_rows)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1):
            raise ValueError(f"{name} must be a whole number ≥ 1, got {value!r}")
    found = given(model, X, y, loss)
    if found.Y is None or found.loss is None:
        raise ValueError("a gradient check needs the targets y, which the error is measured by")
    keep = np.unique(np.linspace(0, len(found.X) - 1, min(len(found.X), n_rows)).astype(int))
    rows, targets = found.X[keep], found.Y[keep]
    layout, w = found.network.layout, found.network.w
    stated = _gradient(layout, found.loss, w, rows, targets)
    rng = np.random.default_rng(seed)
    # of every layer a fair part, and one parameter at least
    share = 1.0 if n_parameters is None else min(1.0, n_parameters / layout.K)
    layers = []
    for (letter, l), (start, stop, _) in layout.slices.items():
        count = max(1, round(share * (stop - start)))
        chosen = np.sort(rng.choice(np.arange(start, stop), count, replace=False))
        layers.append(_check_layer(layout, found.loss, w, rows, targets, stated, chosen, f"{letter}_{l}", stop - start))
    return NetworkCheck(all(layer.ok for layer in layers), len(rows), tuple(layers))


def _gradient(layout: Layout, loss: Loss, w: np.ndarray, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    net = Network.from_layout(layout, w.copy())
    return np.asarray(net.gradient(X, Y, loss) / len(X))


def _check_layer(
    layout: Layout, loss: Loss, w: np.ndarray, X: np.ndarray, Y: np.ndarray, gradient: np.ndarray, chosen: np.ndarray,
    name: str, of: int,
) -> LayerCheck:  # fmt: skip
    scale = max(float(np.abs(gradient[chosen]).max()), 1e-12)
    best, numerical = np.full(len(chosen), np.inf), np.zeros(len(chosen))  # the gap as a share of what is allowed
    left = np.arange(len(chosen))
    for h in _STEPS:
        at = chosen[left]

        def error(values: np.ndarray, at: np.ndarray = at) -> float:
            moved = w.copy()
            moved[at] = values
            return float(eager_error(layout, loss, moved, X, Y)) / len(X)

        found = check_grad(error, w[at], lambda _: gradient[at], h=h)  # noqa: B023, called within the turn
        # rounding of E divided by the step is no error of the gradient
        noise = 4 * np.finfo(float).eps * max(1.0, abs(error(w[at]))) / h
        gap = np.abs(found.stated - found.numerical) / (TOLERANCE * scale + noise)
        better = gap < best[left]
        best[left[better]], numerical[left[better]] = gap[better], found.numerical[better]
        left = left[best[left] > 1.0]
        if not len(left):
            break
    gaps = np.abs(gradient[chosen] - numerical) / scale
    k = int(np.argmax(best) if best.max() > 1.0 else np.argmax(gaps))
    letter, l, *unit = layout.where(int(chosen[k]))
    return LayerCheck(
        name, len(chosen), of, f"{letter}_{l}[{', '.join(map(str, unit))}]", float(gradient[chosen[k]]),
        float(numerical[k]), float(gaps[k]), bool(best.max() <= 1.0),
    )  # fmt: skip
