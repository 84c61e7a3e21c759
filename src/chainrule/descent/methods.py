"""Floor 1, descent: methods, one row each: how a step is made from the gradient and what is remembered.

An update is elementwise NumPy over w, the gradient g and the state vectors, without branches: `minimize` evaluates
it on arrays, the compiled engine prints what was recorded of it. The step size may be another number at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.tables import ANY, FRACTION, NOT_NEGATIVE, POSITIVE, Interval, find, table, with_given

# What a hyperparameter of this name may be, where the row does not say otherwise.
RANGES: dict[str, Interval] = {
    "step": POSITIVE,
    "momentum": FRACTION,
    "beta_1": FRACTION,
    "beta_2": FRACTION,
    "rho": FRACTION,
    "epsilon": POSITIVE,
    "decay": NOT_NEGATIVE,
}


@dataclass(frozen=True)
class Method:
    """One method of descent: `update(w, g, *state, t, **hyperparameters) -> w, *state` (w alone without state).

    Parameters
    ----------
    name : what it is called
    update : the step, in elementwise NumPy without branches or in-place writes; w, g and the state vectors have one
        shape (or are numbers), t counts steps from 1
    state : names of the vectors that are remembered; all are zero at the start
    defaults : the hyperparameters and their defaults, the step size γ among them as "step"
    source, formula : the paper, and the step as it is written there with the handout's γ for the step size
    aliases : other names for it
    note : where other libraries differ
    ranges : the interval of each hyperparameter; what is missing is filled from `RANGES`, or may be any number

    Raises
    ------
    ValueError : when "step" has no default, or a default lies outside its own range.

    A row of one's own works wherever a name does:

    >>> signs = Method("signs", lambda w, g, t, step: w - step * np.sign(g), (), {"step": 0.25})
    >>> signs.advance(np.array([1.0, 1.0]), np.array([0.1, -3.0]), (), t=1.0, step=0.25)
    (array([0.75, 1.25]), ())
    """

    name: str
    update: Callable[..., Any]
    state: tuple[str, ...]
    defaults: Mapping[str, float] = field(hash=False)
    source: str = ""
    formula: str = ""
    aliases: tuple[str, ...] = ()
    note: str = ""
    ranges: Mapping[str, Interval] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if "step" not in self.defaults:
            raise ValueError(f"the method {self.name!r} needs a default for 'step'; it has {', '.join(self.defaults)}")
        full = {name: self.ranges.get(name, RANGES.get(name, ANY)) for name in self.defaults}
        object.__setattr__(self, "ranges", full)
        for name, value in self.defaults.items():
            full[name].check(f"the default of {name} in the method {self.name!r}", value)

    def advance(self, w: Any, g: Any, state: Sequence[Any], t: float, **hyperparameters: float) -> tuple[Any, tuple]:
        """One step: (the new w, the new state), with the state as a tuple however many vectors it has."""
        moved = self.update(w, g, *state, t=t, **hyperparameters)
        new_w, *new_state = moved if isinstance(moved, tuple) else (moved,)
        if len(new_state) != len(self.state):
            raise TypeError(
                f"the update of the method {self.name!r} must return w and {len(self.state)} state vectors "
                f"({', '.join(self.state) or 'none'}), got {len(new_state)}"
            )
        return new_w, tuple(new_state)


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
    return _adam(w * (1.0 - step * decay), g, m, v, t, step, beta_1, beta_2, epsilon)


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

METHODS: dict[str, Method] = table([
    Method(
        "gradient_descent", _gradient_descent, (), {"step": 0.1}, "Cauchy 1847; handout 3",
        "w ← w − γ g", ("steepest_descent",),
    ),
    Method(
        "momentum", _momentum, ("v",), {"step": 0.01, "momentum": 0.9},
        "Polyak 1964; Rumelhart, Hinton & Williams 1986", "v ← μ v − γ g;  w ← w + v", ("sgd",),
        "scikit-learn's 'sgd' with nesterovs_momentum=False. PyTorch multiplies by γ last (v ← μ v + g; w ← w − γ v): "
        "the same for a constant γ, but a changed γ there acts on all that v remembers",
    ),
    Method(
        "nesterov", _nesterov, ("v",), {"step": 0.01, "momentum": 0.9}, "Nesterov 1983; Sutskever et al. 2013",
        "v ← μ v − γ g;  w ← w + μ v − γ g", (),
        "scikit-learn's 'sgd' as it is by default; g is taken at w, which is already the point looked ahead to",
    ),
    Method(
        "adagrad", _adagrad, ("s",), {"step": 0.1, "epsilon": 1e-10}, "Duchi, Hazan & Singer 2011",
        "s ← s + g²;  w ← w − γ g/(√s + ε)", (),
        "Keras starts s at 0.1 instead of 0",
    ),
    Method(
        "rmsprop", _rmsprop, ("s",), {"step": 0.01, "rho": 0.9, "epsilon": 1e-8}, "Tieleman & Hinton 2012, lecture 6.5",
        "s ← ρ s + (1 − ρ) g²;  w ← w − γ g/(√s + ε)", (),
        "PyTorch calls ρ alpha and takes 0.99; Keras has ε under the root",
    ),
    Method(
        "adadelta", _adadelta, ("s", "d"), {"step": 1.0, "rho": 0.95, "epsilon": 1e-6}, "Zeiler 2012",
        "s ← ρ s + (1 − ρ) g²;  Δ = √(d + ε)/√(s + ε) g;  d ← ρ d + (1 − ρ) Δ²;  w ← w − γ Δ", (),
        "the paper has no γ, which is γ = 1; PyTorch takes ρ = 0.9",
    ),
    Method(
        "adam", _adam, ("m", "v"), {"step": 0.001, **_MOMENTS}, "Kingma & Ba 2015, the order at the end of section 2",
        "m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  w ← w − γ √(1 − β₂ᵗ)/(1 − β₁ᵗ) m/(√v + ε)", (),
        "scikit-learn's form. PyTorch adds ε to the corrected root √(v/(1 − β₂ᵗ)) instead, so its first steps differ "
        "where gradients are as small as ε: our ε acts there as ε/√(1 − β₂ᵗ)",
    ),
    Method(
        "adamw", _adamw, ("m", "v"), {"step": 0.001, **_MOMENTS, "decay": 0.01}, "Loshchilov & Hutter 2019",
        "w ← w (1 − γ λ), then the step of adam", (),
        "λ is multiplied by the scheduled γ, as in PyTorch; the paper multiplies it by the schedule's factor alone. "
        "The training of networks decays weights, not biases",
    ),
    Method(
        "adamax", _adamax, ("m", "u"), {"step": 0.002, **_MOMENTS}, "Kingma & Ba 2015, section 7.1",
        "m ← β₁ m + (1 − β₁) g;  u ← max(β₂ u, |g|);  w ← w − γ/(1 − β₁ᵗ) m/(u + ε)", (),
        "the paper has no ε; PyTorch has it inside the maximum, |g| + ε",
    ),
    Method(
        "nadam", _nadam, ("m", "v"), {"step": 0.002, **_MOMENTS}, "Dozat 2016, with a constant μ = β₁",
        "w ← w − γ [β₁ m/(1 − β₁ᵗ⁺¹) + (1 − β₁) g/(1 − β₁ᵗ)]/(√(v/(1 − β₂ᵗ)) + ε), with adam's m and v", (),
        "PyTorch and Keras let μ grow over the steps (momentum_decay 0.004)",
    ),
])  # fmt: skip


def get_method(name: str | Method) -> Method:
    """The row called `name`, or `name` itself if it is a row.

    Aliases count: "sgd" is `momentum` (scikit-learn's name for it), "steepest_descent" is `gradient_descent`.

    Raises
    ------
    ValueError : for an unknown name, with the nearest one and the list.

    >>> get_method("sgd").name
    'momentum'
    >>> get_method("adm")
    Traceback (most recent call last):
        ...
    ValueError: there is no method 'adm'. Did you mean 'adam'? There are: gradient_descent, momentum, ...
    """
    return name if isinstance(name, Method) else find(METHODS, name, "method")


def check_hyperparameters(row: Method, given: Mapping[str, Any], others: Iterable[str] = ()) -> dict[str, float]:
    """The row's hyperparameters with the given ones in place; unknown names and numbers out of range are errors.

    others : names that the caller takes beside them, so that a misspelling of one is recognised

    >>> check_hyperparameters(get_method("momentum"), {"momentum": 0.5})
    {'step': 0.01, 'momentum': 0.5}
    """
    return with_given(f"the method {row.name!r}", row.defaults, row.ranges, given, others)
