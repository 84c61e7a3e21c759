"""Floor 1, network: losses, one row each: the error of one sample, its slope, its link, the targets it allows.

A loss is written in the raw score z of the output layer when the output activation is its link (stable: no
logarithm of a probability is ever taken); a loss whose link is the identity also works on any ŷ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule.calculus.differentiate import slope as derived_slope
from chainrule.tables import find, table

from .activations import Activation, _sigmoid, _softmax, _softplus
from .rows import is_row, with_parameters


@dataclass(frozen=True)
class Loss:
    """One loss L: `value(y, s, **parameters)` and `dL/ds = slope(y, s, **parameters)`, s the score before the link.

    The value is per output, and the error of a sample is its sum over outputs; a `rowwise` loss couples the
    outputs and returns one number a row. Without a slope the calculus derives it.
    """

    name: str
    value: Callable[..., Any]
    slope: Callable[..., Any] | None = None
    link: str = "identity"
    targets: str = "real"
    source: str = ""
    aliases: tuple[str, ...] = ()
    parameters: dict[str, float] = field(default_factory=dict, hash=False)
    rowwise: bool = False
    formula: str = ""

    def __call__(self, y, s):
        return self.value(y, s, **self.parameters)

    def slope_of(self, y, s):
        """The slope in s (stated, else derived)."""
        if self.slope is not None:
            return self.slope(y, s, **self.parameters)
        return derived_slope(self.__call__, 1)(y, s)

    def configured(self, **parameters: float) -> Loss:
        """The same row with other parameters, such as huber's `delta`."""
        return replace(self, parameters=with_parameters("loss", self.name, self.parameters, parameters))

    def __reduce_ex__(self, protocol):
        if is_row(LOSSES, self):
            return get_loss, ((self.name, dict(self.parameters)),)
        return super().__reduce_ex__(protocol)


def _huber(y, s, delta):
    r = np.abs(s - y)
    inner = np.minimum(r, delta)
    return inner * (r - 0.5 * inner)


def _softmax_cross_entropy(y, s):
    top = np.max(s, axis=-1, keepdims=True)
    log_sum = np.log(np.sum(np.exp(s - top), axis=-1, keepdims=True))
    return np.sum(y * (log_sum - (s - top)), axis=-1)


def _poisson(y, s):
    # half the deviance: y ln(y/ŷ) − y + ŷ with ŷ = e^s, and 0 ln 0 = 0
    return np.exp(s) - y * s + y * np.log(np.where(y > 0, y, 1.0)) - y


LOSSES = table(
    [
        Loss(
            "squared",
            lambda y, s: 0.5 * np.square(s - y),
            lambda y, s: s - y,
            source="handout 1",
            aliases=("squared_error", "mse"),
            formula="½ (ŷ − y)²",
        ),
        Loss(
            "absolute",
            lambda y, s: np.abs(s - y),
            lambda y, s: np.sign(s - y),
            source="Laplace; slope 0 at the kink",
            aliases=("absolute_error", "mae"),
            formula="|ŷ − y|",
        ),
        Loss(
            "huber",
            _huber,
            lambda y, s, delta: np.clip(s - y, -delta, delta),
            parameters={"delta": 1.0},
            source="Huber 1964",
            formula="½ r² if |r| ≤ delta else delta (|r| − ½ delta)",
        ),
        Loss(
            "binary_cross_entropy",
            lambda y, s: _softplus(s) - y * s,
            lambda y, s: _sigmoid(s) - y,
            link="sigmoid",
            targets="probability",
            source="handout 1, with the minus sign that its print lacks",
            aliases=("binary_log_loss", "bce"),
            formula="−[y ln ŷ + (1 − y) ln(1 − ŷ)]",
        ),
        Loss(
            "softmax_cross_entropy",
            _softmax_cross_entropy,
            lambda y, s: _softmax(s) * np.sum(y, axis=-1, keepdims=True) - y,
            link="softmax",
            targets="distribution",
            source="handout 1; Bridle 1990",
            aliases=("cross_entropy", "log_loss"),
            rowwise=True,
            formula="−Σ y ln ŷ",
        ),
        Loss(
            "poisson",
            _poisson,
            lambda y, s: np.exp(s) - y,
            link="exp",
            targets="non-negative",
            source="half the poisson deviance, McCullagh & Nelder 1989",
            formula="y ln(y / ŷ) − y + ŷ",
        ),
    ]
)


def get_loss(spec: str | Loss | Callable | tuple[str, dict]) -> Loss:
    """The row that `spec` names: a name or alias, a row, `(name, {parameter: value})`, or a NumPy function of (y, ŷ).

    >>> get_loss("mse").name
    'squared'
    >>> get_loss(("huber", {"delta": 2})).parameters
    {'delta': 2.0}
    """
    if isinstance(spec, Loss):
        return spec
    if isinstance(spec, tuple) and len(spec) == 2 and isinstance(spec[1], dict):
        return find(LOSSES, spec[0], "loss").configured(**spec[1])
    if callable(spec):
        return Loss(getattr(spec, "__name__", "custom"), spec, source="given by the user")
    return find(LOSSES, spec, "loss")


def uses_link(output: Activation, loss: Loss) -> bool:
    """True where the loss is written in the raw score of this output, False where in ŷ; any other pairing is an error."""
    if output.name == loss.link:
        return True
    if loss.link == "identity" and not output.rowwise:
        return False
    raise ValueError(
        f"the loss {loss.name!r} goes with the output activation {loss.link!r}, not with {output.name!r}; "
        f"set output={loss.link!r}, or choose a loss for {output.name!r}: "
        + ", ".join(
            row.name for row in LOSSES.values() if row.link in (output.name, "" if output.rowwise else "identity")
        )
    )


_TARGET_RULES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "real": (lambda y: np.isfinite(y), "finite numbers"),
    "non-negative": (lambda y: np.isfinite(y) & (y >= 0), "finite numbers ≥ 0"),
    "probability": (lambda y: (y >= 0) & (y <= 1), "numbers from 0 to 1"),
    "distribution": (
        lambda y: (y >= 0) & (np.abs(np.sum(y, axis=-1, keepdims=True) - 1.0) <= 1e-4),
        "rows of numbers ≥ 0 that sum to 1 (one-hot for class labels)",
    ),
}


def check_targets(loss: Loss, y: np.ndarray) -> None:
    """An error that names the first row of y (N × D_L) which the loss does not allow."""
    rule, words = _TARGET_RULES[loss.targets]
    good = np.broadcast_to(rule(y), y.shape).all(axis=-1)
    if not good.all():
        row = int(np.argmin(good))
        raise ValueError(f"the loss {loss.name!r} needs y to be {words}; row {row} of y is {y[row].tolist()}")
