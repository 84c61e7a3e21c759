"""Floor 1, network: initialisers, one row each: the distribution that first weights are drawn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.tables import find, table

# (generator, the least and the largest value of each input, units) to (A_l, b_l).
Spread = Callable[[Any, np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Initialiser:
    """One initialiser: A_l has independent entries of standard deviation `deviation(fan_in, fan_out)`; biases are 0.

    One with `spread` makes A_l and b_l of hidden layers together instead, from the ranges of what comes to them; the
    output layer, which has nothing to spread, is drawn.
    """

    name: str
    deviation: Callable[[int, int], float]
    uniform: bool = False
    source: str = ""
    aliases: tuple[str, ...] = ()
    spread: Spread | None = None

    def draw(self, rng: Any, fan_in: int, fan_out: int) -> np.ndarray:
        """A matrix of D_{l-1} × D_l = fan_in × fan_out weights from `rng`.

        >>> get_initialiser("zeros").draw(np.random.default_rng(0), 1, 2)
        array([[0., 0.]])
        """
        s = self.deviation(fan_in, fan_out)
        shape = (fan_in, fan_out)
        if self.uniform:
            bound = s * np.sqrt(3.0)  # U(−bound, bound) has variance bound²/3
            return rng.uniform(-bound, bound, shape)
        return s * rng.standard_normal(shape)


def _glorot(fan_in: int, fan_out: int) -> float:
    return float(np.sqrt(2.0 / (fan_in + fan_out)))


def _he(fan_in: int, fan_out: int) -> float:
    return float(np.sqrt(2.0 / fan_in))


def _lecun(fan_in: int, fan_out: int) -> float:
    return float(np.sqrt(1.0 / fan_in))


def _nguyen_widrow(rng: Any, low: np.ndarray, high: np.ndarray, units: int) -> tuple[np.ndarray, np.ndarray]:
    """h units over the box of n inputs, low … high: together they bend everywhere in it.

    With x' = (x − middle)/half, whose box is −1 … 1, unit j has the score s (u_j · x' + t_j): u_j a random direction of
    length 1, s = 0.7 h^{1/n} the steepness, t_1 … t_h even steps from −1 to 1, with the sign of u_j's first number.
    An input that never changes counts for nothing: its half is taken as 1.

    >>> A, b = _nguyen_widrow(np.random.default_rng(0), np.array([0.0]), np.array([8.0]), 5)
    >>> np.sort(-b / A[0]).tolist()
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    middle = low / 2 + high / 2
    half = np.where(high > low, high / 2 - low / 2, 1.0)
    steepness = 0.7 * units ** (1 / len(low))
    A = rng.standard_normal((len(low), units))  # of normal numbers every direction is as likely
    A *= steepness / np.linalg.norm(A, axis=0)
    b = steepness * np.sign(A[0]) * (np.linspace(-1, 1, units) if units > 1 else 0.0)
    A /= half[:, None]
    return A, b - middle @ A


INITIALISERS = table(
    [
        Initialiser("glorot_uniform", _glorot, True, "Glorot & Bengio 2010", ("glorot", "xavier_uniform")),
        Initialiser("glorot_normal", _glorot, False, "Glorot & Bengio 2010", ("xavier_normal",)),
        Initialiser("he_uniform", _he, True, "He, Zhang, Ren & Sun 2015", ("kaiming_uniform",)),
        Initialiser("he_normal", _he, False, "He, Zhang, Ren & Sun 2015", ("he", "kaiming_normal")),
        Initialiser("lecun_uniform", _lecun, True, "LeCun, Bottou, Orr & Müller 1998"),
        Initialiser("lecun_normal", _lecun, False, "LeCun, Bottou, Orr & Müller 1998", ("lecun",)),
        Initialiser(
            "nguyen_widrow", _glorot, True,
            "Nguyen & Widrow 1990, over each input's range; MATLAB's is twice as steep",
            ("initnw",), _nguyen_widrow,
        ),
        Initialiser("zeros", lambda fan_in, fan_out: 0.0, True, "never breaks symmetry: for a last layer, or none"),
    ]
)  # fmt: skip


def get_initialiser(spec: str | Initialiser) -> Initialiser:
    """The row that `spec` names."""
    return spec if isinstance(spec, Initialiser) else find(INITIALISERS, spec, "initialiser")
