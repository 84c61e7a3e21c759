"""Floor 2, engine: what the kernels are given, in bundles, and of what kind each entry is; arrays are contiguous."""

from __future__ import annotations

from typing import Annotated, NamedTuple, get_type_hints

import numpy as np

# Kinds of arrays: of the float width that the kernel is compiled for, of float64, of int64; with so many axes.
R1 = Annotated[np.ndarray, "R1"]
R2 = Annotated[np.ndarray, "R2"]
F1 = Annotated[np.ndarray, "F1"]
F2 = Annotated[np.ndarray, "F2"]
I1 = Annotated[np.ndarray, "I1"]
I2 = Annotated[np.ndarray, "I2"]


class Net(NamedTuple):
    """A network and its loss as the kernels read them."""

    w: R1  # K parameters
    panels: R1  # the matrices of w, packed for the tiles
    layers: I2  # one line a layer, see the kernels' names of its columns
    parameters: F2  # of the activations, one line a layer
    loss: int  # the address of the loss
    loss_parameters: F1
    dropout: F1  # a rate a layer, or nothing
    product: int  # the address of the matrix product, in this float width
    product_across: int  # and of that with Aᵀ; 0 where no gradient is wanted
    product_of_few: int  # and of that for few rows, where there are no panels; else 0
    drop: int  # the address of dropout, in this float width; 0: there is none


class Rows(NamedTuple):
    """The rows that are trained on; `order` says in which order (it is empty where they are taken as they are)."""

    X: R2  # N × D_0
    Y: R2  # N × D_L
    weights: R1  # N, or nothing
    order: I1
    names: I1  # what dropout knows each row by; nothing: its number


class Desk(NamedTuple):
    """Where shards work: a line of `work` each, and what they leave: gradients and sums."""

    work: R2  # shards × what a shard needs
    tail: I1  # offsets of what a shard keeps beside its layers
    grads: R2  # gradients of all of w, one a shard or one in all, × K; or nothing
    sums: F2  # shards × 8: Σ weight · loss, Σ weight


class Squares(NamedTuple):
    """How JᵀJ is put together, see the kernels' names of the columns, int64."""

    places: I2  # one line a layer
    columns: I2  # of each output, where the entries of its lines are in w
    segments: I2  # of a line
    panels: I2  # of a line
    widest: int  # the most inputs, with a 1 for the bias, or outputs of a layer with pairs


class Move(NamedTuple):
    """How w moves."""

    method: int  # the address of the method
    hyper: F2  # its hyperparameters, for biases and for weights
    rules: F1  # what belongs to no row, see the kernels' names of its entries
    state: R2  # state vectors × K
    average: R1  # K, or nothing
    pieces: I2  # one line a piece of w, see the kernels' names of its columns
    penalties: F1  # of each piece
    squares: F1  # Σ g² of each piece


def kinds_of(bundle: str) -> tuple[str, ...]:
    """The kind of each entry of a bundle, "n" for a whole number.

    >>> kinds_of("Desk")
    ('R2', 'I1', 'R2', 'F2')
    """
    hints = get_type_hints(globals()[bundle], include_extras=True).values()
    return tuple("n" if hint is int else hint.__metadata__[0] for hint in hints)
