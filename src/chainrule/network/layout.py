"""Floor 1, network: layer sizes -> names, shapes and slices of w; the eager forward pass and error.

The eager functions are plain NumPy: with `chainrule.grad` around them they are the readable second way to every
number that the compiled engine computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .activations import Activation, get_activation
from .initialisers import get_initialiser
from .layers import Dense
from .losses import Loss, uses_link

# (w, l) to the least and the largest value of each input of layer l.
Ranges = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


class Views(Sequence):
    """The matrices A_1 … A_L (or biases b_1 … b_L) of one vector w, counted from 1 as in the handout."""

    def __init__(self, letter: str, views: Sequence[Any]):
        self._letter = letter
        self._views = tuple(views)

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, l):
        if isinstance(l, slice):
            raise TypeError(f"{self._letter}[...] takes one layer; iterate to get them all")
        if not (1 <= l <= len(self) or -len(self) <= l <= -1):
            raise IndexError(
                f"{self._letter}[{l}]: layers count from 1 to {len(self)} as in the handout (A[l] is D_(l-1) × D_l)"
            )
        return self._views[l - 1 if l > 0 else l]

    def __iter__(self) -> Iterator:
        return iter(self._views)

    def __setitem__(self, l, value):
        self[l][...] = value

    def __repr__(self) -> str:
        return f"<{self._letter}_1 … {self._letter}_{len(self)}: {', '.join(str(v.shape) for v in self)}>"


@dataclass(frozen=True)
class Layout:
    """What a network is, without its numbers: layer sizes D_0 … D_L and one activation a layer.

    The parameter vector w holds A_1 … A_L, each row by row, and then b_1 … b_L: a penalty on the weights touches
    one leading slice.

    >>> Layout.of([2, 3, 1], "tanh", "identity").K
    13
    """

    layers: tuple[Dense, ...]

    @classmethod
    def of(cls, sizes: Sequence[int], activation: Any = "relu", output: Any = "identity") -> Layout:
        """The layout of sizes [D_0, …, D_L]; `activation` is one for all hidden layers, or a list with one for each."""
        sizes = _check_sizes(sizes)
        hidden = len(sizes) - 2
        if isinstance(activation, list):
            if len(activation) != hidden:
                raise ValueError(
                    f"activation has {len(activation)} entries for {hidden} hidden layers; give one for each"
                )
            rows = [get_activation(spec) for spec in activation]
        else:
            rows = [get_activation(activation)] * hidden
        for row in rows:
            if row.rowwise:
                raise ValueError(
                    f"the activation {row.name!r} couples the units of a layer; it can only be the output's"
                )
        rows.append(get_activation(output))
        return cls(tuple(Dense(m, n, row) for m, n, row in zip(sizes[:-1], sizes[1:], rows, strict=True)))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return (self.layers[0].inputs, *(layer.outputs for layer in self.layers))

    @property
    def L(self) -> int:
        return len(self.layers)

    @property
    def output(self) -> Activation:
        return self.layers[-1].activation

    @cached_property
    def K(self) -> int:
        return sum(layer.n_parameters for layer in self.layers)

    @cached_property
    def n_weights(self) -> int:
        """How many of the K parameters, the leading ones, are weights and not biases."""
        return sum(layer.inputs * layer.outputs for layer in self.layers)

    @cached_property
    def slices(self) -> Mapping[tuple[str, int], tuple[int, int, tuple[int, ...]]]:
        """(letter, l) -> start, stop, shape of A_l or b_l within w."""
        found: dict[tuple[str, int], tuple[int, int, tuple[int, ...]]] = {}
        start = 0
        for letter in "Ab":
            for l, layer in enumerate(self.layers, 1):
                shape: tuple[int, ...] = layer.weight_shape if letter == "A" else layer.bias_shape
                stop = start + int(np.prod(shape))
                found[letter, l] = (start, stop, shape)
                start = stop
        return found

    def views(self, w: Any) -> tuple[Views, Views]:
        """(A, b): the parts of w under their names; for an array, views into it, writable where w is."""

        def part(letter: str, l: int):
            start, stop, shape = self.slices[letter, l]
            return w[start:stop].reshape(shape)

        layers = range(1, self.L + 1)
        return Views("A", [part("A", l) for l in layers]), Views("b", [part("b", l) for l in layers])

    def where(self, index: int) -> tuple:
        """The name of parameter number `index` of w: ("A", l, i, j) or ("b", l, j).

        >>> Layout.of([2, 3, 1]).where(8)
        ('A', 2, 2, 0)
        """
        for (letter, l), (start, stop, shape) in self.slices.items():
            if start <= index < stop:
                return (letter, l, *(int(i) for i in np.unravel_index(index - start, shape)))
        raise IndexError(f"w has {self.K} parameters, numbered from 0; got {index}")

    def index(self, name: tuple) -> int:
        """The place in w of ("A", l, i, j), the weight from unit i of layer l−1 to unit j of l, or of ("b", l, j)."""
        letter, l, *rest = name
        if (letter, l) not in self.slices or len(rest) != (2 if letter == "A" else 1):
            raise IndexError(f"no parameter {name!r}: give ('A', l, i, j) or ('b', l, j) with l from 1 to {self.L}")
        start, _, shape = self.slices[letter, l]
        for at, size in zip(rest, shape, strict=True):
            if not 0 <= at < size:
                raise IndexError(
                    f"no parameter {name!r}: {letter}_{l} is {' × '.join(map(str, shape))}, counted from 0"
                )
        return start + int(np.ravel_multi_index(rest, shape))

    def first_weights(self, rng: Any, initialiser: Any = "auto", ranges: Ranges | None = None) -> np.ndarray:
        """A starting w (float64): A_l from its initialiser ("auto": the one that its activation names), b_l = 0 but
        where the initialiser makes both.

        rng : a NumPy Generator or RandomState
        ranges : w and l to the least and the largest value of each input of layer l, the layers below it being in w
            already; for initialisers that want them, and a ValueError where these get none
        """
        w = np.zeros(self.K)
        for l, (layer, A, b) in enumerate(zip(self.layers, *self.views(w), strict=True), 1):
            row = get_initialiser(layer.activation.initialiser if initialiser == "auto" else initialiser)
            if row.spread is None or l == self.L:
                A[...] = row.draw(rng, layer.inputs, layer.outputs)
            elif ranges is None:
                raise ValueError(f"the initialiser {row.name!r} lays units over the rows that they are to see: give X")
            else:
                A[...], b[...] = row.spread(rng, *ranges(w, l), layer.outputs)
        return w

    def formula(self) -> str:
        """The composition in the handout's notation, biases included.

        >>> print(Layout.of([2, 3, 1], "sigmoid", "identity").formula())
        ŷ = A_2ᵀ sigmoid(A_1ᵀ x + b_1) + b_2
        """
        inner = "x"
        for l, layer in enumerate(self.layers, 1):
            inner = f"A_{l}ᵀ {inner} + b_{l}"
            if layer.activation.name != "identity":
                inner = f"{layer.activation.name}({inner})"
            elif l < self.L:
                inner = f"({inner})"
        return f"ŷ = {inner}"


def _check_sizes(sizes: Sequence[int]) -> list[int]:
    if isinstance(sizes, str) or not hasattr(sizes, "__iter__"):
        raise TypeError(f"sizes must be a list [D_0, …, D_L] of at least two layer sizes, got {sizes!r}")
    checked = []
    for D in sizes:
        if isinstance(D, bool) or int(D) != D or D < 1:
            raise ValueError(f"each layer size must be a whole number ≥ 1, got {D!r} in sizes {list(sizes)!r}")
        checked.append(int(D))
    if len(checked) < 2:
        raise ValueError(f"sizes needs at least an input and an output, [D_0, …, D_L]; got {checked!r}")
    return checked


def forward(layout: Layout, w: Any, X: Any, keep: Sequence[Any] = ()) -> tuple[Any, Any]:
    """(z_L, ŷ): the raw score and the output of every row of X (N × D_0), eagerly.

    `keep` has what the outputs of each hidden layer are multiplied by (dropout), N × D_l or 1; none by default.
    """
    A, b = layout.views(w)
    a = z = X
    for l, layer in enumerate(layout.layers, 1):
        z = a @ A[l] + b[l]
        a = layer.activation(z)
        if l <= len(keep):
            a = a * keep[l - 1]
    return z, a


def eager_error(
    layout: Layout, loss: Loss, w: Any, X: Any, Y: Any, weights: Any = None, keep: Sequence[Any] = ()
) -> Any:
    """E(w) = Σ_i weight_i L(y_i, ŷ_i(w)), the handout's sum, eagerly; Y is N × D_L, `keep` as in `forward`."""
    z, a = forward(layout, w, X, keep)
    value = loss(Y, z if uses_link(layout.output, loss) else a)
    each = value if loss.rowwise else np.sum(value, axis=-1)
    return np.sum(each if weights is None else weights * each)
