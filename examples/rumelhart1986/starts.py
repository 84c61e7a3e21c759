"""What the three experiments share: many networks at once, one row of W each, all sigmoid, trained by whole sweeps.

The error of all starts is the sum of theirs. They share no weight, so the gradient of that sum has the gradient of each
start in its own row, and chainrule's momentum, which is elementwise, moves each as if it were alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

import chainrule as cr


def sigmoid(z: Any) -> Any:
    """y = 1/(1 + e^{−x}), equation 2 of the paper."""
    return 1.0 / (1.0 + np.exp(-z))


def split(W: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """W (S × K) cut into S × shape, one piece for each shape, in this order."""
    pieces, k = [], 0
    for shape in shapes:
        size = int(np.prod(shape))
        pieces.append(np.reshape(W[:, k : k + size], (len(W), *shape)))
        k += size
    return pieces


def perceptron(W: Any, X: np.ndarray, sizes: tuple[int, ...]) -> Any:
    """The outputs (S × N × D_L) of S multilayer perceptrons on the same N rows; W is laid out as `cr.Network` does."""
    joined = list(pairwise(sizes))
    pieces = split(W, joined + [(1, D) for D in sizes[1:]])
    y: Any = X
    for A, b in zip(pieces[: len(joined)], pieces[len(joined) :], strict=True):
        y = sigmoid(y @ A + b)
    return y


def squared(Y: Any, d: np.ndarray) -> Any:
    """E = ½ ΣΣ (y − d)², equation 3, of all starts together."""
    return 0.5 * np.sum(np.square(Y - d))


@dataclass(frozen=True)
class Runs:
    """How S starts ended: the sweep after which each was solved (0: never), its weights then, and those at the end."""

    sweeps: np.ndarray
    solved: np.ndarray
    last: np.ndarray

    @property
    def taken(self) -> np.ndarray:
        """The sweeps of the solved starts, in ascending order."""
        return np.sort(self.sweeps[self.sweeps > 0])

    def __str__(self) -> str:
        n = len(self.taken)
        if n == 0:
            return f"0 of {len(self.sweeps)} solved"
        low, median, high = np.percentile(self.taken, [25, 50, 75])
        return (
            f"{n} of {len(self.sweeps)} solved; sweeps: median {median:,.0f}, quartiles {low:,.0f} and {high:,.0f}, "
            f"from {self.taken[0]:,} to {self.taken[-1]:,}"
        )


def train(
    error: Callable[[Any], Any],
    solved: Callable[[np.ndarray], np.ndarray],
    W: np.ndarray,
    sweeps: int,
    method: Any = "momentum",
    **settings: Any,
) -> Runs:
    """Train all rows of W together until each was solved once, or for `sweeps` sweeps.

    error : W -> one number, in plain NumPy; chainrule derives its gradient
    solved : W -> for each row whether that network does what it should
    method, settings : as `cr.minimize` takes them
    """
    first, then = np.zeros(len(W), int), W.copy()
    made = 0

    def after_a_sweep(W: np.ndarray, value: float) -> bool:
        nonlocal made
        made += 1
        new = solved(W) & (first == 0)
        first[new], then[new] = made, W[new]
        return bool(np.all(first))

    path = cr.minimize(
        error, W, method, max_iter=sweeps, tol_gradient=0.0, callback=after_a_sweep, record="ends", **settings
    )
    return Runs(first, then, path.points[-1])


def arguments(text: str, starts: int, sweeps: int, argv: list[str] | None) -> argparse.Namespace:
    """The options that every script has."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--starts", type=int, default=starts, help="networks, each from its own first weights")
    parser.add_argument("--sweeps", type=int, default=sweeps, help="at most so many updates, each of all cases")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights")
    parser.add_argument("--figure", metavar="FILE", help="draw what was found into this file")
    return parser.parse_args(argv)
