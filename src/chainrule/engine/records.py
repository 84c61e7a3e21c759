"""Floor 2, engine: what the kernels are given, in bundles; every array is contiguous and of one float width."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Net(NamedTuple):
    """A network and its loss as the kernels read them."""

    w: np.ndarray  # K parameters
    panels: np.ndarray  # the matrices of w, packed for the tiles
    layers: np.ndarray  # one line a layer, see the kernels' names of its columns
    parameters: np.ndarray  # of the activations, one line a layer, float64
    loss: int  # the address of the loss
    loss_parameters: np.ndarray  # float64
    dropout: np.ndarray  # a rate a layer, or nothing, float64
    product: int  # the address of the matrix product, in this float width
    product_across: int  # and of that with Aᵀ; 0 where no gradient is wanted
    product_of_few: int  # and of that for few rows, where there are no panels; else 0
    drop: int  # the address of dropout, in this float width; 0: there is none


class Rows(NamedTuple):
    """The rows that are trained on; `order` says in which order (it is empty where they are taken as they are)."""

    X: np.ndarray  # N × D_0
    Y: np.ndarray  # N × D_L
    weights: np.ndarray  # N, or nothing
    order: np.ndarray  # int64
    names: np.ndarray  # what dropout knows each row by, int64; nothing: its number


class Desk(NamedTuple):
    """Where shards work: a line of `work` each, and what they leave: gradients and sums."""

    work: np.ndarray  # shards × what a shard needs
    tail: np.ndarray  # offsets of what a shard keeps beside its layers, int64
    grads: np.ndarray  # gradients of all of w, one a shard or one in all, × K; or nothing
    sums: np.ndarray  # shards × 8, float64: Σ weight · loss, Σ weight


class Squares(NamedTuple):
    """How JᵀJ is put together, see the kernels' names of the columns, int64."""

    places: np.ndarray  # one line a layer
    columns: np.ndarray  # of each output, where the entries of its lines are in w
    segments: np.ndarray  # of a line
    panels: np.ndarray  # of a line
    widest: int  # the most inputs, with a 1 for the bias, or outputs of a layer with pairs


class Move(NamedTuple):
    """How w moves."""

    method: int  # the address of the method
    hyper: np.ndarray  # its hyperparameters, for biases and for weights, float64
    rules: np.ndarray  # what belongs to no row, see the kernels' names of its entries, float64
    state: np.ndarray  # state vectors × K
    average: np.ndarray  # K, or nothing
    pieces: np.ndarray  # one line a piece of w, see the kernels' names of its columns, int64
    penalties: np.ndarray  # of each piece, float64
    squares: np.ndarray  # Σ g² of each piece, float64
