"""Floor 1, descent: methods, one row each: how a step is made from the gradient and what is remembered.

An update is elementwise NumPy over w, the gradient g and the state vectors, without branches: `minimize` evaluates
it on arrays, the compiled engine prints what was recorded of it. The step size may be another number at every step.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Interval:
    """The numbers that a hyperparameter may be."""

    low: float
    high: float = float("inf")
    low_included: bool = False

    def __contains__(self, x: float) -> bool:
        return (self.low <= x if self.low_included else self.low < x) and x < self.high

    def __str__(self) -> str:
        return f"{'[' if self.low_included else '('}{self.low:g}, {self.high:g})"


_POSITIVE = Interval(0.0)
_FRACTION = Interval(0.0, 1.0, low_included=True)
_NOT_NEGATIVE = Interval(0.0, low_included=True)
RANGES: dict[str, Interval] = {
    "step": _POSITIVE,
    "momentum": _FRACTION,
    "beta_1": _FRACTION,
    "beta_2": _FRACTION,
    "rho": _FRACTION,
    "epsilon": _POSITIVE,
    "decay": _NOT_NEGATIVE,
}


@dataclass(frozen=True)
class Method:
    """One method of descent: `update(w, g, *state, t, **hyperparameters) -> w, *state` (w alone without state).

    t counts steps from 1; `state` names the vectors that are remembered, all zeros at the start; `defaults` are the
    hyperparameters, the step size γ among them as "step".
    """

    name: str
    update: Callable[..., Any]
    state: tuple[str, ...]
    defaults: Mapping[str, float] = field(hash=False)
    source: str = ""
    formula: str = ""
    aliases: tuple[str, ...] = ()


def _gradient_descent(w, g, t, step):
    return w - step * g


def _momentum(w, g, v, t, step, momentum):
    v = momentum * v - step * g
    return w + v, v


def _nesterov(w, g, v, t, step, momentum):
    v = momentum * v - step * g
    return w + momentum * v - step * g, v


def _adagrad(w, g, s, t, step, epsilon):
    s = s + g * g
    return w - step * g / (np.sqrt(s) + epsilon), s


def _rmsprop(w, g, s, t, step, rho, epsilon):
    s = rho * s + (1.0 - rho) * g * g
    return w - step * g / (np.sqrt(s) + epsilon), s


def _adadelta(w, g, s, d, t, step, rho, epsilon):
    s = rho * s + (1.0 - rho) * g * g
    move = np.sqrt(d + epsilon) / np.sqrt(s + epsilon) * g
    return w - step * move, s, rho * d + (1.0 - rho) * move * move


def _adam(w, g, m, v, t, step, beta_1, beta_2, epsilon):
    m = beta_1 * m + (1.0 - beta_1) * g
    v = beta_2 * v + (1.0 - beta_2) * g * g
    corrected = step * np.sqrt(1.0 - beta_2**t) / (1.0 - beta_1**t)
    return w - corrected * m / (np.sqrt(v) + epsilon), m, v


def _adamw(w, g, m, v, t, step, beta_1, beta_2, epsilon, decay):
    moved, m, v = _adam(w * (1.0 - step * decay), g, m, v, t, step, beta_1, beta_2, epsilon)
    return moved, m, v


def _adamax(w, g, m, u, t, step, beta_1, beta_2, epsilon):
    m = beta_1 * m + (1.0 - beta_1) * g
    u = np.maximum(beta_2 * u, np.abs(g))
    return w - step / (1.0 - beta_1**t) * m / (u + epsilon), m, u


def _nadam(w, g, m, v, t, step, beta_1, beta_2, epsilon):
    m = beta_1 * m + (1.0 - beta_1) * g
    v = beta_2 * v + (1.0 - beta_2) * g * g
    ahead = beta_1 * m / (1.0 - beta_1 ** (t + 1.0)) + (1.0 - beta_1) * g / (1.0 - beta_1**t)
    return w - step * ahead / (np.sqrt(v / (1.0 - beta_2**t)) + epsilon), m, v


_MOMENTS = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}

_rows = [
    Method(
        "gradient_descent", _gradient_descent, (), {"step": 0.1}, "Cauchy 1847; handout 3",
        "w ← w − γ g", ("steepest_descent",),
    ),
    Method(
        "momentum", _momentum, ("v",), {"step": 0.01, "momentum": 0.9}, "Polyak 1964; Rumelhart, Hinton & Williams 1986",
        "v ← μ v − γ g;  w ← w + v (PyTorch scales by γ last: v ← μ v + g, w ← w − γ v)", ("sgd",),
    ),
    Method(
        "nesterov", _nesterov, ("v",), {"step": 0.01, "momentum": 0.9}, "Nesterov 1983; Sutskever et al. 2013",
        "v ← μ v − γ g;  w ← w + μ v − γ g", (),
    ),
    Method(
        "adagrad", _adagrad, ("s",), {"step": 0.1, "epsilon": 1e-10}, "Duchi, Hazan & Singer 2011",
        "s ← s + g²;  w ← w − γ g/(√s + ε)", (),
    ),
    Method(
        "rmsprop", _rmsprop, ("s",), {"step": 0.01, "rho": 0.9, "epsilon": 1e-8}, "Tieleman & Hinton 2012, lecture 6.5",
        "s ← ρ s + (1 − ρ) g²;  w ← w − γ g/(√s + ε)", (),
    ),
    Method(
        "adadelta", _adadelta, ("s", "d"), {"step": 1.0, "rho": 0.95, "epsilon": 1e-6}, "Zeiler 2012",
        "Δ = √(d + ε)/√(s + ε) g with s, d running means of g², Δ²;  w ← w − γ Δ", (),
    ),
    Method(
        "adam", _adam, ("m", "v"), {"step": 0.001, **_MOMENTS}, "Kingma & Ba 2015, the form before section 2.1",
        "w ← w − γ √(1 − β₂ᵗ)/(1 − β₁ᵗ) m/(√v + ε): scikit-learn's ε; PyTorch adds ε to the corrected √v̂", (),
    ),
    Method(
        "adamw", _adamw, ("m", "v"), {"step": 0.001, **_MOMENTS, "decay": 0.01}, "Loshchilov & Hutter 2019",
        "adam on w (1 − γ λ); the engine decays weights, not biases", (),
    ),
    Method(
        "adamax", _adamax, ("m", "u"), {"step": 0.002, **_MOMENTS}, "Kingma & Ba 2015, section 7.1",
        "u ← max(β₂ u, |g|);  w ← w − γ/(1 − β₁ᵗ) m/(u + ε)", (),
    ),
    Method(
        "nadam", _nadam, ("m", "v"), {"step": 0.002, **_MOMENTS}, "Dozat 2016, with constant μ",
        "adam with m̂ looked ahead: β₁ m/(1 − β₁ᵗ⁺¹) + (1 − β₁) g/(1 − β₁ᵗ)", (),
    ),
]  # fmt: skip
METHODS: dict[str, Method] = {row.name: row for row in _rows}


def get_method(name: str | Method) -> Method:
    """The row called `name` (aliases count).

    >>> get_method("sgd").name
    'momentum'
    >>> get_method("adm")
    Traceback (most recent call last):
        ...
    ValueError: there is no method 'adm'. Did you mean 'adam'? There are: gradient_descent, momentum, ...
    """
    if isinstance(name, Method):
        return name
    for row in _rows:
        if name == row.name or name in row.aliases:
            return row
    near = difflib.get_close_matches(str(name), METHODS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"there is no method {name!r}.{hint} There are: {', '.join(METHODS)}")


def check_hyperparameters(row: Method, given: Mapping[str, Any]) -> dict[str, float]:
    """The row's hyperparameters with the given ones in place; unknown names and numbers out of range are errors."""
    merged = dict(row.defaults)
    for name, value in given.items():
        if name not in merged:
            near = difflib.get_close_matches(name, merged, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"the method {row.name!r} has no {name!r}.{hint} It has: {', '.join(merged)}")
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or float(value) not in RANGES[name]:
            raise ValueError(f"{name} must be a number in {RANGES[name]}, got {value!r}")
        merged[name] = float(value)
    return merged
