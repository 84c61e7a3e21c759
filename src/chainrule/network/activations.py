"""Floor 1, network: activations, one row each: the value, its slope, where it comes from.

A row is ordinary NumPy and it is all there is: the eager forward pass evaluates it, the compiled engine prints
what was recorded of it, and the tests hold its stated slope to the derived one and to differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule.calculus import erf, positions
from chainrule.calculus.differentiate import slope as derived_slope
from chainrule.tables import Interval, find, table

from .rows import is_row, with_parameters


@dataclass(frozen=True)
class Activation:
    """One activation σ: `a = value(z, **parameters)`, `da/dz = slope(z, a, **parameters)`.

    Both are NumPy, element by element (`rowwise` ones, softmax, work along the last axis and serve as an output
    only; their slope is that of the loss they are linked to). Without a slope the calculus derives it.

    >>> import numpy as np
    >>> cube = Activation("cube", value=lambda z: z**3, source="an example of one's own")
    >>> float(cube.slope_at(np.array(2.0)))
    12.0
    """

    name: str
    value: Callable[..., Any]
    slope: Callable[..., Any] | None = None
    source: str = ""
    aliases: tuple[str, ...] = ()
    parameters: dict[str, float] = field(default_factory=dict, hash=False)
    initialiser: str = "glorot_uniform"
    rowwise: bool = False
    formula: str = ""
    ranges: Mapping[str, Interval] = field(default_factory=dict, hash=False)

    def __call__(self, z):
        return self.value(z, **self.parameters)

    def slope_of(self, z, a):
        """The slope at raw score z, where a is the value there (stated, else derived)."""
        if self.slope is not None:
            return self.slope(z, a, **self.parameters)
        return derived_slope(self.__call__)(z)

    def slope_at(self, z):
        """The slope at raw score z alone."""
        return self.slope_of(z, self(z))

    def configured(self, **parameters: float) -> Activation:
        """The same row with other parameters, such as leaky_relu's `alpha`."""
        return replace(
            self, parameters=with_parameters(f"the activation {self.name!r}", self.parameters, self.ranges, parameters)
        )

    def __reduce_ex__(self, protocol):
        # Between processes a row of the table travels as its name: functions written in place cannot be sent.
        if is_row(ACTIVATIONS, self):
            return get_activation, ((self.name, dict(self.parameters)),)
        return super().__reduce_ex__(protocol)


def _fading(z):
    # e^{-|z|}, which never overflows. Not by |z|: its slope at 0 is 0, and with it the derivatives of what follows,
    # which are smooth, would be wrong there; so each half is written out, and 0 belongs to the upper one.
    return np.exp(np.where(z >= 0, -z, z))


def _sigmoid(z):
    e = _fading(z)
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


def _softplus(z):
    return np.where(z >= 0, z, 0.0) + np.log1p(_fading(z))


def _selu(z, alpha, scale):
    return scale * np.where(z > 0, z, alpha * np.expm1(np.where(z > 0, 0.0, z)))


def _gelu(z):
    return 0.5 * z * (1.0 + erf(z * 0.7071067811865476))


def _gelu_slope(z, a):
    return 0.5 * (1.0 + erf(z * 0.7071067811865476)) + z * 0.3989422804014327 * np.exp(-0.5 * z * z)


def _silu_slope(z, a):
    s = _sigmoid(z)
    return s + a * (1.0 - s)


def _mish_slope(z, a):
    t = np.tanh(_softplus(z))
    return t + z * _sigmoid(z) * (1.0 - t * t)


def _softmax(z):
    e = np.exp(z - np.max(z, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def _ascending(z):
    return np.cumsum(np.where(positions(z) == 0, z, _softplus(z)), axis=-1)


ACTIVATIONS = table(
    [
        Activation("identity", lambda z: z, lambda z, a: np.ones_like(z), "handout 2", ("linear",), formula="z"),
        Activation(
            "sigmoid",
            _sigmoid,
            lambda z, a: a * (1.0 - a),
            "handout 2; Verhulst 1845",
            ("logistic",),
            formula="1 / (1 + e^{-z})",
        ),
        Activation("tanh", lambda z: np.tanh(z), lambda z, a: 1.0 - a * a, "handout 2", formula="tanh z"),
        Activation(
            "relu",
            lambda z: np.maximum(z, 0.0),
            # 0 at the kink, as scikit-learn, PyTorch and JAX have it
            lambda z, a: np.where(a > 0, np.ones_like(a), 0.0),
            "Nair & Hinton 2010",
            initialiser="he_uniform",
            formula="max(z, 0)",
        ),
        Activation(
            "leaky_relu",
            lambda z, alpha: np.where(z > 0, z, alpha * z),
            lambda z, a, alpha: np.where(z > 0, np.ones_like(z), alpha),
            "Maas, Hannun & Ng 2013",
            parameters={"alpha": 0.01},
            initialiser="he_uniform",
            formula="z if z > 0 else alpha z",
        ),
        Activation(
            "elu",
            lambda z, alpha: np.where(z > 0, z, alpha * np.expm1(np.where(z > 0, 0.0, z))),
            lambda z, a, alpha: np.where(z > 0, 1.0, a + alpha),
            "Clevert, Unterthiner & Hochreiter 2015",
            parameters={"alpha": 1.0},
            initialiser="he_uniform",
            formula="z if z > 0 else alpha (e^z - 1)",
        ),
        Activation(
            "selu",
            _selu,
            lambda z, a, alpha, scale: np.where(z > 0, scale, a + alpha * scale),
            "Klambauer et al. 2017",
            parameters={"alpha": 1.6732632423543772, "scale": 1.0507009873554805},
            initialiser="lecun_normal",
            formula="scale (z if z > 0 else alpha (e^z - 1))",
        ),
        Activation("softplus", _softplus, lambda z, a: _sigmoid(z), "Dugas et al. 2001", formula="ln(1 + e^z)"),
        Activation(
            "softsign",
            lambda z: z / (1.0 + np.abs(z)),
            lambda z, a: 1.0 / np.square(1.0 + np.abs(z)),
            "Turian, Bergstra & Bengio 2009",
            formula="z / (1 + |z|)",
        ),
        Activation(
            "gelu",
            _gelu,
            _gelu_slope,
            "Hendrycks & Gimpel 2016, the exact form with erf",
            initialiser="he_uniform",
            formula="z Φ(z)",
        ),
        Activation(
            "silu",
            lambda z: z * _sigmoid(z),
            _silu_slope,
            "Elfwing, Uchibe & Doya 2017; Ramachandran, Zoph & Le 2017",
            ("swish",),
            initialiser="he_uniform",
            formula="z / (1 + e^{-z})",
        ),
        Activation(
            "mish",
            lambda z: z * np.tanh(_softplus(z)),
            _mish_slope,
            "Misra 2019",
            initialiser="he_uniform",
            formula="z tanh(ln(1 + e^z))",
        ),
        Activation(
            "sine", lambda z: np.sin(z), lambda z, a: np.cos(z), "Sitzmann et al. 2020", ("sin",), formula="sin z"
        ),
        Activation(
            "gaussian",
            lambda z: np.exp(-z * z),
            lambda z, a: -2.0 * z * a,
            "radial units; Broomhead & Lowe 1988",
            formula="e^{-z²}",
        ),
        Activation("exp", lambda z: np.exp(z), lambda z, a: a, "log link of the poisson loss", formula="e^z"),
        Activation("softmax", _softmax, None, "Bridle 1990", rowwise=True, formula="e^z / Σ e^z"),
        Activation(
            "ascending",
            _ascending,
            None,
            "outputs that cannot cross; increments as in Gasthaus et al. 2019",
            rowwise=True,
            formula="z_1, then each output the one before it + ln(1 + e^z)",
        ),
    ]
)


def get_activation(spec: str | Activation | Callable | tuple[str, dict]) -> Activation:
    """The row that `spec` names: a name or alias, a row, `(name, {parameter: value})`, or a NumPy function.

    >>> get_activation("logistic").name
    'sigmoid'
    >>> get_activation(("leaky_relu", {"alpha": 0.2})).parameters
    {'alpha': 0.2}
    >>> get_activation("rellu")
    Traceback (most recent call last):
        ...
    ValueError: there is no activation 'rellu'. Did you mean 'relu'? There are: identity, sigmoid, ...
    """
    if isinstance(spec, Activation):
        return spec
    if isinstance(spec, tuple) and len(spec) == 2 and isinstance(spec[1], dict):
        return find(ACTIVATIONS, spec[0], "activation").configured(**spec[1])
    if callable(spec):
        return Activation(getattr(spec, "__name__", "custom"), spec, source="given by the user")
    return find(ACTIVATIONS, spec, "activation")
