"""Floor 0, calculus: primitives that move elements: shapes, indexing, joining, ordering, triangles."""

from __future__ import annotations

import itertools

import numpy as np

from . import writing as w
from .row import Composite, Primitive, UnsupportedError, own


@own
def getitem(x, *, index):
    """x[index], as a function."""
    return x[index]


@own
def positions(x):
    """The place of each element along the last axis, counted from 0, in x's float type.

    >>> positions(np.zeros((2, 3)))
    array([[0., 1., 2.],
           [0., 1., 2.]])
    """
    x = np.asarray(x)
    return np.broadcast_to(np.arange(x.shape[-1], dtype=x.dtype), x.shape)


@own
def scatter_add(x, *, index, shape):
    """Zeros of `shape` with x added at `index`, once for every time that an element is named."""
    x = np.asarray(x)
    out = np.zeros(shape, x.dtype if x.dtype.kind == "f" else float)
    np.add.at(out, index, x)
    return out


@own
def cast(x, *, dtype):
    """x in another float type."""
    return np.asarray(x, dtype)[()]


def _cast_rule(g, out, x, dtype):
    return cast(g, dtype=concrete(x).dtype)


def _transpose_rule(g, out, x, axes):
    return np.transpose(g, None if axes is None else tuple(np.argsort([a % np.ndim(x) for a in axes])))


def _concatenate_rule(g, out, *xs, axis, k):
    if axis is None:
        sizes = [int(np.size(x)) for x in xs]
        start = sum(sizes[:k])
        return np.reshape(getitem(g, index=slice(start, start + sizes[k])), np.shape(xs[k]))
    axis = axis % np.ndim(g)
    start = sum(np.shape(x)[axis] for x in xs[:k])
    index = (slice(None),) * axis + (slice(start, start + np.shape(xs[k])[axis]),)
    return getitem(g, index=index)


def _broadcast_rule(g, out, x, shape):
    return unbroadcast(g, np.shape(x))


def unbroadcast(g, shape):
    """The cotangent of an array of `shape` that was broadcast to g's shape: the sum over the repeated elements."""
    if np.shape(g) == tuple(shape):
        return g
    extra = np.ndim(g) - len(shape)
    axes = tuple(range(extra)) + tuple(
        extra + k for k, size in enumerate(shape) if size == 1 and np.shape(g)[extra + k] != 1
    )
    return np.reshape(np.sum(g, axis=axes), shape) if axes else np.reshape(g, shape)


def _column_first(order):
    """Whether elements are counted column by column; orders that depend on how an array lies in memory are refused."""
    if order not in ("C", "F", None):
        raise UnsupportedError(f"order must be 'C' or 'F' for a recorded value, got {order!r}")
    return order == "F"


def _reshape(a, shape, order="C", copy=None):
    if not _column_first(order):
        return np.reshape(a, shape)
    return np.transpose(np.reshape(np.transpose(a), tuple(np.atleast_1d(shape))[::-1]))


def _ravel(a, order="C"):
    return np.reshape(np.transpose(a) if _column_first(order) else a, -1)


SHAPES = [
    Primitive(
        "reshape", np.reshape, ("x",), (lambda g, out, x, shape: np.reshape(g, np.shape(x)),), {"shape": None},
        moves=True, wider=_reshape,
    ),
    Primitive("cast", cast, ("x",), (_cast_rule,), {"dtype": None}, moves=True),
    Primitive("transpose", np.transpose, ("x",), (_transpose_rule,), {"axes": None}, writing=w.transposed, moves=True),
    Primitive(
        "expand_dims", np.expand_dims, ("x",), (lambda g, out, x, axis: np.reshape(g, np.shape(x)),), {"axis": None},
        moves=True,
    ),
    Primitive("squeeze", np.squeeze, ("x",), (lambda g, out, x, axis: np.reshape(g, np.shape(x)),), {"axis": None},
        moves=True,
    ),
    Primitive("positions", positions, ("x",), (None,)),
    Primitive("broadcast_to", np.broadcast_to, ("x",), (_broadcast_rule,), {"shape": None}, moves=True),
    Primitive("concatenate", np.concatenate, ("*xs",), (_concatenate_rule,), {"axis": 0}, moves=True),
    Primitive(
        "getitem", getitem, ("x",), (lambda g, out, x, index: scatter_add(g, index=index, shape=np.shape(x)),),
        {"index": None}, writing=w.ENTRY, moves=True,
    ),
    Primitive(
        "scatter_add", scatter_add, ("x",), (lambda g, out, x, index, shape: getitem(g, index=index),),
        {"index": None, "shape": None},
    ),
]  # fmt: skip


def _swapaxes(a, axis1, axis2):
    axes = list(range(np.ndim(a)))
    axes[axis1], axes[axis2] = axes[axis2], axes[axis1]
    return np.transpose(a, axes)


def _moveaxis(a, source, destination):
    src = [s % np.ndim(a) for s in np.atleast_1d(source)]
    dst = [d % np.ndim(a) for d in np.atleast_1d(destination)]
    axes = [k for k in range(np.ndim(a)) if k not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        axes.insert(d, s)
    return np.transpose(a, axes)


def _stack(arrays, axis=0):
    return np.concatenate([np.expand_dims(x, axis) for x in arrays], axis=axis)


def _vstack(tup):
    return np.concatenate([np.reshape(x, (1, -1)) if np.ndim(x) < 2 else x for x in tup], axis=0)


def _hstack(tup):
    parts = [np.reshape(x, (1,)) if np.ndim(x) == 0 else x for x in tup]
    return np.concatenate(parts, axis=0 if np.ndim(parts[0]) == 1 else 1)


def _dstack(tup):
    parts = [np.reshape(x, (1, -1)) if np.ndim(x) < 2 else x for x in tup]
    return np.concatenate([np.expand_dims(x, 2) if np.ndim(x) == 2 else x for x in parts], axis=2)


def _column_stack(tup):
    return np.concatenate([np.reshape(x, (-1, 1)) if np.ndim(x) < 2 else x for x in tup], axis=1)


def _array_split(ary, indices_or_sections, axis=0):
    n = np.shape(ary)[axis]
    pieces = np.array_split(np.arange(n), indices_or_sections)
    before = (slice(None),) * (axis % np.ndim(ary))
    starts = np.cumsum([0] + [len(piece) for piece in pieces])
    if not np.isscalar(indices_or_sections):
        starts = np.array([0, *indices_or_sections, n])
    return [getitem(ary, index=(*before, slice(int(a), int(b)))) for a, b in itertools.pairwise(starts)]


def _split(ary, indices_or_sections, axis=0):
    if np.isscalar(indices_or_sections) and np.shape(ary)[axis] % indices_or_sections:
        raise ValueError("array split does not result in an equal division")
    return _array_split(ary, indices_or_sections, axis)


def _flip(m, axis=None):
    axes = range(np.ndim(m)) if axis is None else [a % np.ndim(m) for a in np.atleast_1d(axis)]
    return getitem(m, index=tuple(slice(None, None, -1) if k in axes else slice(None) for k in range(np.ndim(m))))


def _roll(a, shift, axis=None):
    # where each element of the result comes from
    places = np.roll(np.arange(np.size(a)).reshape(np.shape(a)), shift, axis)
    return np.reshape(getitem(np.reshape(a, -1), index=places.ravel()), np.shape(a))


def _take(a, indices, axis=None):
    if axis is None:
        return getitem(np.reshape(a, -1), index=np.asarray(indices))
    return getitem(a, index=(slice(None),) * (axis % np.ndim(a)) + (np.asarray(indices),))


def _by_places(name):
    """A function that only moves elements: its places are found on a table of numbers, then taken."""

    def definition(a, *args, **kwargs):
        places = getattr(np, name)(np.arange(np.size(a)).reshape(np.shape(a)), *args, **kwargs)
        return np.reshape(getitem(np.reshape(a, -1), index=places.ravel()), places.shape)

    return definition


def _pad(array, pad_width, mode="constant", constant_values=0.0):
    if mode != "constant" or np.ndim(constant_values) != 0:
        raise UnsupportedError("np.pad is differentiated for mode='constant' with one constant value")
    widths = np.broadcast_to(pad_width, (np.ndim(array), 2))
    shape = tuple(int(n + w.sum()) for n, w in zip(np.shape(array), widths, strict=True))
    inside = tuple(slice(int(w[0]), int(w[0]) + n) for n, w in zip(np.shape(array), widths, strict=True))
    frame = np.full(shape, float(constant_values))
    frame[inside] = 0.0
    return scatter_add(array, index=inside, shape=shape) + frame


def concrete(x):
    """The plain numbers of a value that may be recorded."""
    while hasattr(x, "_chainrule_value"):
        x = x._chainrule_value
    return np.asarray(x)


def _sort(a, axis=-1, kind=None):
    if axis is None:
        a, axis = np.reshape(a, -1), 0
    order = np.argsort(concrete(a), axis=axis, kind="stable")
    return _take_along_axis(a, order, axis)


def _take_along_axis(arr, indices, axis):
    grid = list(np.ogrid[tuple(slice(0, n) for n in np.shape(indices))])
    grid[axis] = np.asarray(indices)
    return getitem(arr, index=tuple(grid))


def _diagonal(a, offset=0, axis1=0, axis2=1):
    axis1, axis2 = axis1 % np.ndim(a), axis2 % np.ndim(a)
    a = np.transpose(a, [k for k in range(np.ndim(a)) if k not in (axis1, axis2)] + [axis1, axis2])
    rows = np.arange(np.diagonal(np.empty(np.shape(a)[-2:]), offset).size) + max(-offset, 0)
    return getitem(a, index=(Ellipsis, rows, rows + offset))


def _diag(v, k=0):
    if np.ndim(v) == 2:
        return _diagonal(v, k)
    rows = np.arange(np.size(v)) + max(-k, 0)
    n = np.size(v) + abs(k)
    return scatter_add(v, index=(rows, rows + k), shape=(n, n))


def _triangle(which):
    def definition(m, k=0):
        return np.where(which(np.ones(np.shape(m)[-2:], bool), k), m, 0.0)

    return definition


def _diff(a, n=1, axis=-1):
    for _ in range(n):
        before = (slice(None),) * (axis % np.ndim(a))
        a = getitem(a, index=(*before, slice(1, None))) - getitem(a, index=(*before, slice(None, -1)))
    return a


MOVES = [
    Composite("swapaxes", np.swapaxes, _swapaxes),
    Composite("moveaxis", np.moveaxis, _moveaxis),
    Composite("ravel", np.ravel, _ravel),
    Composite("stack", np.stack, _stack),
    Composite("vstack", np.vstack, _vstack),
    Composite("hstack", np.hstack, _hstack),
    Composite("column_stack", np.column_stack, _column_stack),
    Composite("split", np.split, _split),
    Composite("array_split", np.array_split, _array_split),
    Composite("flip", np.flip, _flip),
    Composite("flipud", np.flipud, lambda m: _flip(m, 0)),
    Composite("fliplr", np.fliplr, lambda m: _flip(m, 1)),
    Composite("roll", np.roll, _roll),
    Composite("take", np.take, _take),
    Composite("take_along_axis", np.take_along_axis, _take_along_axis),
    Composite("repeat", np.repeat, _by_places("repeat")),
    Composite("tile", np.tile, _by_places("tile")),
    Composite("rot90", np.rot90, _by_places("rot90")),
    Composite("pad", np.pad, _pad),
    Composite("sort", np.sort, _sort),
    Composite("diagonal", np.diagonal, _diagonal),
    Composite("diag", np.diag, _diag),
    Composite("triu", np.triu, _triangle(np.triu)),
    Composite("tril", np.tril, _triangle(np.tril)),
    Composite("diff", np.diff, _diff),
    Composite("atleast_1d", np.atleast_1d, lambda x: np.reshape(x, (1,)) if np.ndim(x) == 0 else x),
    Composite("atleast_2d", np.atleast_2d, lambda x: np.reshape(x, (1, -1)) if np.ndim(x) < 2 else x),
    Composite("dstack", np.dstack, _dstack),
    Composite("append", np.append, lambda arr, values, axis=None: np.concatenate([arr, values], axis=axis)),
    Composite(
        "matrix_transpose", np.matrix_transpose, lambda x: _swapaxes(x, -1, -2), also=(np.linalg.matrix_transpose,)
    ),
    Composite("copy", np.copy, lambda a, order="K": +a),
]
