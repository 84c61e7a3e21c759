"""Floor 1, network: losses, one row each: the error of one sample, its slope, its link, the targets it allows.

A loss is written in the raw score z of the output layer when the output activation is its link (stable: no
logarithm of a probability is ever taken); a loss whose link is the identity also works on any ŷ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule.calculus import positions
from chainrule.calculus.differentiate import slope as derived_slope
from chainrule.tables import INSIDE, POSITIVE, Interval, find, table

from .activations import Activation, _ascending, _sigmoid, _softmax, _softplus, get_activation
from .rows import is_row, with_parameters


@dataclass(frozen=True)
class Loss:
    """One loss L: `value(y, s, **parameters)` and `dL/ds = slope(y, s, **parameters)`, s the score before the link.

    The value is per output, and the error of a sample is its sum over outputs; a `rowwise` loss couples the
    outputs and returns one number a row. Without a slope the calculus derives it. A parameter that is a tuple has one
    number for each output. Where `repeats_target`, all outputs have one and the same target. A loss that is a square
    has a `residual(y, s)` r with L = ½ r²: its sum is what Levenberg-Marquardt and its kin minimise.
    """

    name: str
    value: Callable[..., Any]
    slope: Callable[..., Any] | None = None
    link: str = "identity"
    targets: str = "real"
    source: str = ""
    aliases: tuple[str, ...] = ()
    parameters: dict[str, float | tuple[float, ...]] = field(default_factory=dict, hash=False)
    rowwise: bool = False
    formula: str = ""
    repeats_target: bool = False
    ranges: Mapping[str, Interval] = field(default_factory=dict, hash=False)
    residual: Callable[..., Any] | None = None

    def __call__(self, y, s):
        return self.value(y, s, **self._arrays())

    def slope_of(self, y, s):
        """The slope in s (stated, else derived)."""
        if self.slope is not None:
            return self.slope(y, s, **self._arrays())
        return derived_slope(self.__call__, 1)(y, s)

    def _arrays(self) -> dict[str, Any]:
        """The parameters as formulas want them: what has one number an output as an array."""
        return {k: np.array(v) if isinstance(v, tuple) else v for k, v in self.parameters.items()}

    @property
    def scalars(self) -> tuple[str, ...]:
        """The parameters that are one number."""
        return tuple(k for k, v in self.parameters.items() if not isinstance(v, tuple))

    @property
    def vectors(self) -> tuple[str, ...]:
        """The parameters that have one number for each output."""
        return tuple(k for k, v in self.parameters.items() if isinstance(v, tuple))

    def check_outputs(self, D: int) -> None:
        """A ValueError where a parameter that has one number an output has not D of them."""
        for name in self.vectors:
            count = len(self.parameters[name])  # type: ignore[arg-type]
            if count != D:
                raise ValueError(
                    f"the loss {self.name!r} has {count} {name} for {D} outputs; it needs one for each output"
                )

    def configured(self, **parameters: float | Sequence[float]) -> Loss:
        """The same row with other parameters, such as huber's `delta`."""
        return replace(
            self, parameters=with_parameters(f"the loss {self.name!r}", self.parameters, self.ranges, parameters)
        )

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


def _gamma(y, s):
    # half the deviance: ŷ = e^s, y/ŷ − 1 − ln(y/ŷ)
    return s - np.log(y) + y * np.exp(-s) - 1.0


def _tweedie(y, s, power):
    # half the deviance with ŷ = e^s, 1 < power < 2; the y alone part makes it 0 at ŷ = y
    p, q = 1.0 - power, 2.0 - power
    return np.exp(q * s) / q - y * np.exp(p * s) / p + np.power(y, q) / (p * q)


def _quantile(y, s, levels):
    r = y - _ascending(s)
    return np.sum(np.maximum(levels * r, (levels - 1.0) * r), axis=-1)


def _quantile_slope(y, s, levels):
    q = _ascending(s)
    d = np.where(q > y, 1.0 - levels, np.where(q < y, -levels, 0.0))
    # an increment moves its own output and all later ones: the sum from it to the end
    to_the_end = np.sum(d, axis=-1, keepdims=True) - np.cumsum(d, axis=-1) + d
    return to_the_end * np.where(positions(s) == 0, 1.0, _sigmoid(s))


LOSSES = table(
    [
        Loss(
            "squared",
            lambda y, s: 0.5 * np.square(s - y),
            lambda y, s: s - y,
            source="handout 1",
            aliases=("squared_error", "mse"),
            formula="½ (ŷ − y)²",
            residual=lambda y, s: s - y,
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
            ranges={"delta": POSITIVE},
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
        Loss(
            "gamma",
            _gamma,
            lambda y, s: 1.0 - y * np.exp(-s),
            link="exp",
            targets="positive",
            source="half the gamma deviance, McCullagh & Nelder 1989",
            formula="y/ŷ − 1 − ln(y/ŷ)",
        ),
        Loss(
            "tweedie",
            _tweedie,
            lambda y, s, power: np.exp((2.0 - power) * s) - y * np.exp((1.0 - power) * s),
            link="exp",
            targets="non-negative",
            parameters={"power": 1.5},
            ranges={"power": Interval(1.0, 2.0)},
            source="half the Tweedie deviance, Jørgensen 1987; power 1 would be poisson, 2 gamma",
            formula="ŷ^(2−p)/(2−p) − y ŷ^(1−p)/(1−p) + y^(2−p)/((1−p)(2−p))",
        ),
        Loss(
            "quantile",
            _quantile,
            _quantile_slope,
            link="ascending",
            parameters={"levels": (0.5,)},
            ranges={"levels": INSIDE},
            source="Koenker & Bassett 1978; slope 0 at the kink",
            aliases=("pinball",),
            rowwise=True,
            repeats_target=True,
            formula="Σ over levels τ of max(τ (y − ŷ), (τ − 1)(y − ŷ)); outputs in ascending order by construction",
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
        return own_loss(spec)
    return find(LOSSES, spec, "loss")


def own_loss(function: Callable[[Any, Any], Any], output: str | Activation = "identity", outputs: int = 3) -> Loss:
    """A row for an error of one's own, L = function(y, ŷ), with `output` as its link: the slope is derived.

    Parameters
    ----------
    function : plain NumPy of y and ŷ (both N × D_L); it returns N × D_L numbers, added up over outputs, or N
    output : the activation that makes ŷ of the raw score; the slope dL/dz is derived through it
    outputs : D_L, which matters to a function with a constant for each output

    Raises
    ------
    ValueError : when it returns another shape, or mixes rows. UnsupportedError : for what cannot be recorded.

    >>> row = own_loss(lambda y, p: np.square(p - y), "sigmoid")
    >>> float(row.slope_of(np.array([[1.0]]), np.array([[0.0]]))[0, 0])  # 2 (½ − 1) · ¼
    -0.25

    Where the function takes a logarithm of ŷ it is as unstable as it is written; the table's cross-entropies are not.
    """
    row = get_activation(output)
    name = getattr(function, "__name__", "custom")
    per_output, separable = _probe(function, name, row, outputs)
    rowwise = row.rowwise or not separable

    def value(y, z):
        each = function(y, row(z))
        return np.sum(each, axis=-1) if rowwise and per_output else each

    def slope(y, z):
        # through the output's own slope, which is stated more stably than it could be derived
        p = row(z)
        return derived_slope(function, 1)(y, p) * row.slope_of(z, p)

    return Loss(name, value, None if rowwise else slope, row.name, source="given by the user", rowwise=rowwise)


def _probe(function: Callable[[Any, Any], Any], name: str, output: Activation, D: int) -> tuple[bool, bool]:
    """(does it return a number an output, is each of them its own output's alone), tried out on two rows."""
    y = np.linspace(0.2, 0.6, 2 * D).reshape(2, D)
    p = output(np.linspace(0.7, -0.4, 2 * D).reshape(2, D))
    with np.errstate(all="ignore"):  # it may be made for other numbers than these
        return _probe_at(function, name, y, p)


def _probe_at(function: Callable[[Any, Any], Any], name: str, y: np.ndarray, p: np.ndarray) -> tuple[bool, bool]:
    D = y.shape[1]
    try:
        each = np.asarray(function(y, p))
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"the loss {name!r} does not work on arrays y and ŷ of 2 × {D}: {error}") from error
    if each.shape not in ((2, D), (2,)):
        raise ValueError(
            f"the loss {name!r} must return one number for each output (N × D_L) or for each row (N); "
            f"for y and ŷ of 2 × {D} it returned shape {each.shape}"
        )
    alone = np.concatenate([np.asarray(function(y[i : i + 1], p[i : i + 1])) for i in range(2)])
    if not np.allclose(alone, each, rtol=1e-9, atol=0.0, equal_nan=True):
        raise ValueError(f"the loss {name!r} must take each row alone: the error of a row changed with another row's ŷ")
    if each.ndim == 1:
        return False, False
    try:
        single = np.array(
            [[float(function(u, v)) for u, v in zip(*pair, strict=True)] for pair in zip(y, p, strict=True)]
        )
    except (TypeError, ValueError, IndexError):  # it needs an axis, or has a constant for each output
        return True, False
    return True, np.allclose(single, each, rtol=1e-9, atol=0.0, equal_nan=True)


def uses_link(output: Activation, loss: Loss) -> bool:
    """True where the loss is written in the raw score of this output, False where in ŷ; else an error."""
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
    "positive": (lambda y: np.isfinite(y) & (y > 0), "finite numbers > 0"),
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
