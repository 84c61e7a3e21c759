"""Floor 0, calculus: primitives that fold elements together: sums, means, extremes, spreads, running sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .row import Composite, Primitive
from .shapes import concrete, getitem


def _kept(x, axis):
    """The shape of a reduction over `axis` with that axis kept at length 1."""
    axes = range(np.ndim(x)) if axis is None else [a % np.ndim(x) for a in np.atleast_1d(axis)]
    return tuple(1 if k in axes else n for k, n in enumerate(np.shape(x)))


def _sum_rule(g, out, x, axis, keepdims):
    return np.broadcast_to(np.reshape(g, _kept(x, axis)), np.shape(x))


def _extreme_rule(g, out, x, axis, keepdims):
    # ties share equally, as in autograd, JAX and PyTorch's amax; beside a NaN nothing is chosen, and 0/0 is NaN again
    kept = _kept(x, axis)
    chosen = x == np.reshape(out, kept)
    count = np.sum(chosen, axis=None if axis is None else tuple(np.atleast_1d(axis)), keepdims=True)
    return np.where(chosen, np.reshape(g, kept), 0.0) / count


def _tied(fold):
    """Whether several elements share the extreme."""

    def kink(a, axis, keepdims):
        return np.sum(a == fold(a, axis=axis, keepdims=True), axis=axis, keepdims=keepdims) > 1

    return kink


def _cumsum_rule(g, out, x, axis):
    if axis is None:
        return np.reshape(np.flip(np.cumsum(np.flip(g))), np.shape(x))
    return np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis)


def _chosen(a, where, other):
    """a with `other` in place of what `where` leaves out."""
    return a if where is True or where is None else np.where(where, a, other)


def _sum_of_chosen(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=True):
    a = _chosen(a, where, 0.0)
    total = np.sum(a if dtype is None else a.astype(dtype), axis=axis, keepdims=keepdims)
    return total if initial is None else total + initial


def _extreme_of_chosen(fold, pair):
    def definition(a, axis=None, out=None, keepdims=False, initial=None, where=True):
        if where is not True and initial is None:
            raise ValueError(f"np.{fold.__name__} with where= needs initial=, as in NumPy")
        found = fold(_chosen(a, where, initial), axis=axis, keepdims=keepdims)
        return found if initial is None else pair(found, initial)

    return definition


_FOLD = {"axis": None, "keepdims": False}

FOLDS = [
    Primitive("sum", np.sum, ("a",), (_sum_rule,), _FOLD, wider=_sum_of_chosen),
    Primitive(
        "max",
        np.max,
        ("a",),
        (_extreme_rule,),
        _FOLD,
        also=(np.amax,),
        wider=_extreme_of_chosen(np.max, np.maximum),
        kink=_tied(np.max),
    ),
    Primitive(
        "min",
        np.min,
        ("a",),
        (_extreme_rule,),
        _FOLD,
        also=(np.amin,),
        wider=_extreme_of_chosen(np.min, np.minimum),
        kink=_tied(np.min),
    ),
    Primitive("cumsum", np.cumsum, ("a",), (_cumsum_rule,), {"axis": None}),
]


def _count(a, axis, where, keepdims):
    if where is not True:
        chosen = np.broadcast_to(where, np.shape(a)).astype(concrete(a).dtype)
        return np.sum(chosen, axis=axis, keepdims=keepdims)
    return float(np.prod([np.shape(a)[k] for k in (range(np.ndim(a)) if axis is None else np.atleast_1d(axis))]))


def _mean(a, axis=None, dtype=None, out=None, keepdims=False, *, where=True):
    return _sum_of_chosen(a, axis, dtype, None, keepdims, None, where) / _count(a, axis, where, keepdims)


def _var(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True, mean=None, correction=None):
    from_mean = a - (_mean(a, axis, dtype, None, True, where=where) if mean is None else mean)
    squares = _sum_of_chosen(from_mean * from_mean, axis, dtype, None, keepdims, None, where)
    return squares / (_count(a, axis, where, keepdims) - (ddof if correction is None else correction))


def root(squares):
    """√ with derivative 0 at 0: of the subgradients of a length at the origin, the one that points nowhere."""
    at_0 = squares == 0
    return np.where(at_0, 0.0, np.sqrt(np.where(at_0, 1.0, squares)))


def _std(*args, **kwargs):
    return root(_var(*args, **kwargs))


def _average(a, axis=None, weights=None):
    if weights is None:
        return _mean(a, axis)
    if np.shape(weights) != np.shape(a):
        weights = np.reshape(weights, [n if k == axis % np.ndim(a) else 1 for k, n in enumerate(np.shape(a))])
    weights = weights * np.ones(np.shape(a))
    return np.sum(a * weights, axis=axis) / np.sum(weights, axis=axis)


def _prod(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=True):
    """Pairs multiplied until one is left: no division, so that zeros are right to any order."""
    a = _chosen(a if dtype is None else a.astype(dtype), where, 1.0)
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
    product = np.reshape(a, shape) if np.shape(a)[0] else np.ones(shape)
    return product if initial is None else product * initial


SPREADS = [
    Composite("mean", np.mean, _mean),
    Composite("var", np.var, _var),
    Composite("std", np.std, _std),
    Composite("average", np.average, _average),
    Composite("prod", np.prod, _prod),
    Composite("ptp", np.ptp, lambda a, axis=None: np.max(a, axis=axis) - np.min(a, axis=axis)),
]

# What ufuncs can do to an array beside being called, in functions of the table; their axis is 0 unless it is given.
UFUNC_METHODS: dict[tuple[Any, str], Callable[..., Any]] = {
    (np.add, "reduce"): np.sum,
    (np.multiply, "reduce"): np.prod,
    (np.maximum, "reduce"): np.max,
    (np.minimum, "reduce"): np.min,
    (np.add, "accumulate"): np.cumsum,
}
