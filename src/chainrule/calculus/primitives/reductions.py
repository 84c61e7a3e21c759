"""Floor 0, calculus: primitives that fold elements together: sums, means, extremes, spreads, running sums."""

from __future__ import annotations

import numpy as np

from .row import Composite, Primitive
from .shapes import getitem


def _kept(x, axis):
    """The shape of a reduction over `axis` with that axis kept at length 1."""
    axes = range(np.ndim(x)) if axis is None else [a % np.ndim(x) for a in np.atleast_1d(axis)]
    return tuple(1 if k in axes else n for k, n in enumerate(np.shape(x)))


def _sum_rule(g, out, x, axis, keepdims):
    return np.broadcast_to(np.reshape(g, _kept(x, axis)), np.shape(x))


def _extreme_rule(g, out, x, axis, keepdims):
    # ties share equally, as in autograd, JAX and PyTorch's amax
    kept = _kept(x, axis)
    chosen = x == np.reshape(out, kept)
    count = np.sum(chosen, axis=None if axis is None else tuple(np.atleast_1d(axis)), keepdims=True)
    return np.where(chosen, np.reshape(g, kept) / count, 0.0)


def _cumsum_rule(g, out, x, axis):
    if axis is None:
        return np.reshape(np.flip(np.cumsum(np.flip(g))), np.shape(x))
    return np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis)


_FOLD = {"axis": None, "keepdims": False}

FOLDS = [
    Primitive("sum", np.sum, ("a",), (_sum_rule,), _FOLD),
    Primitive("max", np.max, ("a",), (_extreme_rule,), _FOLD, also=(np.amax,)),
    Primitive("min", np.min, ("a",), (_extreme_rule,), _FOLD, also=(np.amin,)),
    Primitive("cumsum", np.cumsum, ("a",), (_cumsum_rule,), {"axis": None}),
]


def _count(a, axis):
    return float(np.prod([np.shape(a)[k] for k in (range(np.ndim(a)) if axis is None else np.atleast_1d(axis))]))


def _mean(a, axis=None, keepdims=False):
    return np.sum(a, axis=axis, keepdims=bool(keepdims is True)) / _count(a, axis)


def _var(a, axis=None, ddof=0, keepdims=False):
    from_mean = a - _mean(a, axis, True)
    return np.sum(from_mean * from_mean, axis=axis, keepdims=bool(keepdims is True)) / (_count(a, axis) - ddof)


def _std(a, axis=None, ddof=0, keepdims=False):
    return np.sqrt(_var(a, axis, ddof, keepdims))


def _average(a, axis=None, weights=None):
    if weights is None:
        return _mean(a, axis)
    if np.shape(weights) != np.shape(a):
        weights = np.reshape(weights, [n if k == axis % np.ndim(a) else 1 for k, n in enumerate(np.shape(a))])
    weights = weights * np.ones(np.shape(a))
    return np.sum(a * weights, axis=axis) / np.sum(weights, axis=axis)


def _prod(a, axis=None, keepdims=False):
    """Pairs multiplied until one is left: no division, so that zeros are right to any order."""
    kept = _kept(a, axis)
    axes = list(range(np.ndim(a))) if axis is None else [k % np.ndim(a) for k in np.atleast_1d(axis)]
    others = [k for k in range(np.ndim(a)) if k not in axes]
    a = np.reshape(np.transpose(a, [*axes, *others]), (-1, *(np.shape(a)[k] for k in others)))
    while np.shape(a)[0] > 1:
        n = np.shape(a)[0]
        half = n // 2
        pairs = getitem(a, index=slice(0, half)) * getitem(a, index=slice(half, 2 * half))
        a = np.concatenate([pairs, getitem(a, index=slice(2 * half, n))]) if n % 2 else pairs
    shape = kept if keepdims is True else tuple(n for k, n in enumerate(kept) if k not in axes)
    return np.reshape(a, shape) if np.shape(a)[0] else np.ones(shape)


SPREADS = [
    Composite("mean", np.mean, _mean),
    Composite("var", np.var, _var),
    Composite("std", np.std, _std),
    Composite("average", np.average, _average),
    Composite("prod", np.prod, _prod),
    Composite("ptp", np.ptp, lambda a, axis=None: np.max(a, axis=axis) - np.min(a, axis=axis)),
]
