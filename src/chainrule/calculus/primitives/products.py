"""Floor 0, calculus: matrix products and linear algebra."""

from __future__ import annotations

import numpy as np

from . import writing as w
from .reductions import root
from .row import Composite, Primitive, UnsupportedError, own
from .shapes import _diagonal, concrete, unbroadcast


def _t(a):
    return np.swapaxes(a, -1, -2)


def _as_matrices(g, a, b):
    """The two factors and the cotangent of their product with 1-D factors made matrices, as matmul does."""
    left = np.reshape(a, (1, -1)) if np.ndim(a) == 1 else a
    right = np.reshape(b, (-1, 1)) if np.ndim(b) == 1 else b
    shape = np.broadcast_shapes(np.shape(left)[:-2], np.shape(right)[:-2])
    return np.reshape(g, (*shape, np.shape(left)[-2], np.shape(right)[-1])), left, right


def _matmul_left(g, out, a, b):
    g, _, right = _as_matrices(g, a, b)
    found = np.matmul(g, _t(right))
    return found if np.ndim(a) > 1 else np.reshape(_sum_leading(found, 2), np.shape(a))


def _matmul_right(g, out, a, b):
    g, left, _ = _as_matrices(g, a, b)
    found = np.matmul(_t(left), g)
    return found if np.ndim(b) > 1 else np.reshape(_sum_leading(found, 2), np.shape(b))


def _sum_leading(x, keep):
    return np.sum(x, axis=tuple(range(np.ndim(x) - keep))) if np.ndim(x) > keep else x


def _parts(subscripts: str, operands) -> tuple[list[str], str]:
    """The index letters of each operand and of the result; an ellipsis becomes capital letters."""
    text = subscripts.replace(" ", "")
    left, arrow, result = text.partition("->")
    terms = left.split(",")
    spare = "ZYXWVUTSRQPONMLK"
    most = max(
        (np.ndim(x) - len(t.replace("...", "")) for t, x in zip(terms, operands, strict=True) if "..." in t), default=0
    )
    full = [
        t.replace("...", spare[most - (np.ndim(x) - len(t.replace("...", ""))) : most])
        for t, x in zip(terms, operands, strict=True)
    ]
    if not arrow:
        letters = sorted({c for t in full for c in t if c not in spare})
        result = ("..." if most else "") + "".join(c for c in letters if sum(t.count(c) for t in full) == 1)
    for term in full:
        if len(set(term)) < len(term):
            raise UnsupportedError(
                f"einsum {subscripts!r} repeats an index within one operand; use np.diagonal or np.trace for that"
            )
    return full, result.replace("...", spare[:most])


def _einsum(subscripts, *operands, **unknown):
    if not isinstance(subscripts, str) or len(operands) not in (1, 2) or set(unknown) - {"optimize"}:
        raise UnsupportedError("einsum is differentiated for a string of subscripts with one or two operands")
    terms, result = _parts(subscripts, operands)
    lengths = {
        c: n for t, x in zip(terms, operands, strict=True) for c, n in zip(t, np.shape(x), strict=True) if n != 1
    }
    first, second = terms[0], terms[1] if len(terms) > 1 else ""
    summed = [c for c in dict.fromkeys(first + second) if c not in result]
    order = [*result, *summed]

    def spread(x, term):
        x = np.transpose(x, sorted(range(len(term)), key=lambda k: order.index(term[k])))
        return np.reshape(x, [lengths.get(c, 1) if c in term and _long(x, term, order, c) else 1 for c in order])

    left = spread(operands[0], first)
    if len(operands) == 1:
        product = left
    else:
        return _contract(
            left, spread(operands[1], second), len(result), len(summed), [lengths.get(c, 1) for c in order]
        )
    return np.sum(product, axis=tuple(range(len(result), len(order)))) if summed else product


def _long(x, term, order, c):
    place = sorted(range(len(term)), key=lambda k: order.index(term[k]))
    return np.shape(x)[[term[k] for k in place].index(c)] != 1


def _contract(left, right, kept, summed, lengths):
    """Σ over the last axes of left · right, as one matrix product where both have them (no big product in between)."""
    if not summed:
        return left * right
    m = int(np.prod(lengths[kept:]))
    shape = tuple(lengths[:kept])

    def rows(x, column):
        x = np.broadcast_to(x, (*np.shape(x)[:kept], *lengths[kept:]))
        return np.reshape(x, (*np.shape(x)[:kept], m, 1) if column else (*np.shape(x)[:kept], 1, m))

    return np.reshape(np.matmul(rows(left, False), rows(right, True)), shape)


def _dot(a, b):
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    if np.ndim(b) <= 2:
        return np.matmul(a, b)
    return np.tensordot(a, b, axes=((-1,), (-2,)))


def _tensordot(a, b, axes=2):
    if np.ndim(axes) == 0:
        axes = (list(range(np.ndim(a) - axes, np.ndim(a))), list(range(axes)))
    on_a = [k % np.ndim(a) for k in np.atleast_1d(axes[0])]
    on_b = [k % np.ndim(b) for k in np.atleast_1d(axes[1])]
    free_a = [k for k in range(np.ndim(a)) if k not in on_a]
    free_b = [k for k in range(np.ndim(b)) if k not in on_b]
    m = int(np.prod([np.shape(a)[k] for k in on_a]))
    left = np.reshape(np.transpose(a, [*free_a, *on_a]), (-1, m))
    right = np.reshape(np.transpose(b, [*on_b, *free_b]), (m, -1))
    shape = [np.shape(a)[k] for k in free_a] + [np.shape(b)[k] for k in free_b]
    return np.reshape(np.matmul(left, right), shape)


def _inner(a, b):
    return a * b if np.ndim(a) == 0 or np.ndim(b) == 0 else np.tensordot(a, b, axes=((-1,), (-1,)))


def _outer(a, b):
    return np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1))


def _kron(a, b):
    if np.ndim(a) != 2 or np.ndim(b) != 2:
        raise UnsupportedError("np.kron is differentiated for two matrices")
    (m, n), (p, q) = np.shape(a), np.shape(b)
    return np.reshape(np.reshape(a, (m, 1, n, 1)) * np.reshape(b, (1, p, 1, q)), (m * p, n * q))


def _trace(a, offset=0, axis1=0, axis2=1):
    return np.sum(_diagonal(a, offset, axis1, axis2), axis=-1)


def _solve_left(g, out, a, b):
    back = _solve_right(g, out, a, b, whole=True)
    out = _column(out) if np.ndim(b) == 1 else out
    return unbroadcast(-np.matmul(back, _t(out)), np.shape(a))


def _solve_right(g, out, a, b, whole=False):
    """A⁻ᵀ g in the shape of b, or as the (broadcast) matrix that it is; a vector b is one column."""
    back = np.linalg.solve(_t(a), _column(g) if np.ndim(b) == 1 else g)
    if whole:
        return back
    return unbroadcast(np.reshape(back, np.shape(back)[:-1]) if np.ndim(b) == 1 else back, np.shape(b))


def _column(x):
    return np.reshape(x, (*np.shape(x), 1))


@own
def log_abs_det(a):
    """ln |det a|, of the last two axes."""
    return np.linalg.slogdet(a)[1]


def _over_matrix(g):
    return np.reshape(g, (*np.shape(g), 1, 1))


def _slogdet(a):
    return np.linalg.slogdet(concrete(a))[0], log_abs_det(a)


def _cholesky_rule(g, out, a):
    # Murray 2016: L^{-T} Φ(Lᵀ ḡ) L^{-1}, symmetrised; Φ takes the lower triangle with half the diagonal
    n = np.shape(a)[-1]
    half = np.tril(np.ones((n, n))) - 0.5 * np.eye(n)
    middle = np.matmul(_t(out), g) * half
    s = np.linalg.solve(_t(out), _t(np.linalg.solve(_t(out), _t(middle))))
    return 0.5 * (s + _t(s))


def _norm(x, ord=None, axis=None, keepdims=False):
    of_vectors = np.ndim(x) == 1 if axis is None else np.size(axis) == 1
    kind = "vectors" if of_vectors else "matrices"
    if ord is None or ord == {"vectors": 2, "matrices": "fro"}[kind]:
        return root(np.sum(x * x, axis=axis, keepdims=keepdims))
    if of_vectors and ord == 1:
        return np.sum(np.abs(x), axis=axis, keepdims=keepdims)
    if of_vectors and ord in (np.inf, -np.inf):
        return (np.max if ord > 0 else np.min)(np.abs(x), axis=axis, keepdims=keepdims)
    raise UnsupportedError(
        "np.linalg.norm is differentiated for ord 1, 2, inf, -inf of vectors and the Frobenius norm of matrices, "
        f"not for ord={ord!r} of {kind}"
    )


PRODUCTS: list[Primitive | Composite] = [
    Primitive("matmul", np.matmul, ("a", "b"), (_matmul_left, _matmul_right), writing=w.PRODUCT_OF_MATRICES),
    Composite("dot", np.dot, _dot),
    Composite("einsum", np.einsum, _einsum),
    Composite("tensordot", np.tensordot, _tensordot),
    Composite("inner", np.inner, _inner),
    Composite("outer", np.outer, _outer),
    Composite("vdot", np.vdot, lambda a, b: np.sum(np.reshape(a, -1) * np.reshape(b, -1))),
    Composite("vecdot", np.vecdot, lambda x1, x2, axis=-1: np.sum(x1 * x2, axis=axis)),
    Composite("kron", np.kron, _kron),
    Composite("trace", np.trace, _trace),
]

LINEAR_ALGEBRA: list[Primitive | Composite] = [
    Primitive(
        "inv", np.linalg.inv, ("a",), (lambda g, out, a: -np.matmul(np.matmul(_t(out), g), _t(out)),),
        writing=w.INVERSE,
    ),
    Primitive(
        "solve", np.linalg.solve, ("a", "b"), (_solve_left, _solve_right),
    ),
    Primitive("det", np.linalg.det, ("a",), (lambda g, out, a: _over_matrix(g * out) * _t(np.linalg.inv(a)),)),
    Primitive("log_abs_det", log_abs_det, ("a",), (lambda g, out, a: _over_matrix(g) * _t(np.linalg.inv(a)),)),
    Primitive("cholesky", np.linalg.cholesky, ("a",), (_cholesky_rule,)),
    Composite("slogdet", np.linalg.slogdet, _slogdet),
    Composite("norm", np.linalg.norm, _norm),
]  # fmt: skip
