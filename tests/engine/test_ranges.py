"""First weights that are laid over the rows: where the planes of units lie, of any columns, sparse, on any threads."""

import numpy as np
import pytest
from scipy.sparse import csc_array, csr_array
from threadpoolctl import threadpool_limits

from chainrule.engine import Network, ranges
from chainrule.engine.ranges import input_ranges
from chainrule.network import INITIALISERS, Layout

SPREADING = pytest.mark.parametrize(
    "name", [name for name, row in INITIALISERS.items() if name == row.name and row.spread]
)
RNG = np.random.default_rng(3)


def network(sizes, name, X, activation="tanh", **settings):
    return Network(sizes, activation, seed=0, initialiser=name, X=X, **settings)


@SPREADING
def test_units_follow_the_rows(name):
    """Other units of measure change A and b so that every unit gives the same on the same rows."""
    X = RNG.normal(size=(40, 3))
    other = X * [1e-3, 7.0, 500.0] + [5.0, -2.0, 1e4]
    one, two = network([3, 12, 6, 2], name, X), network([3, 12, 6, 2], name, other)
    np.testing.assert_allclose(other @ two.A[1] + two.b[1], X @ one.A[1] + one.b[1], atol=1e-10)
    for l in (2, 3):
        np.testing.assert_allclose(two.A[l], one.A[l], rtol=1e-9)
    assert not one.b[3].any()  # the output is drawn
    z = X @ one.A[1] + one.b[1]
    assert ((z.min(0) < 0) & (z.max(0) > 0)).sum() > 8  # most units bend among the rows


def test_nguyen_and_widrows_planes_lie_evenly_about_the_middle_of_what_comes():
    X = RNG.uniform(-3, 9, (50, 2))
    net = network([2, 7, 4, 1, 1], "nguyen_widrow", X, "sigmoid")
    a = X
    for l, (n, h) in enumerate([(2, 7), (7, 4), (4, 1)], 1):
        low, high = a.min(0), a.max(0)
        steepness = 0.7 * h ** (1 / n)
        np.testing.assert_allclose(np.linalg.norm(net.A[l] * ((high - low) / 2)[:, None], axis=0), steepness)
        levels = np.linspace(-steepness, steepness, h) if h > 1 else np.zeros(1)
        np.testing.assert_allclose(np.abs((low + high) / 2 @ net.A[l] + net.b[l]), np.abs(levels), atol=1e-12)
        a = 1 / (1 + np.exp(-(a @ net.A[l] + net.b[l])))


@SPREADING
@pytest.mark.parametrize(
    "column",
    [[3.0, 3.0, 3.0], [0.3, 0.1 + 0.2, 0.3], [0.0, 1e-310, 5e-324], [1e15, 1e15 + 0.125, 1e15], [0.0, 0.0, 0.0]],
    ids=["constant", "rounding", "denormal", "large", "zero"],
)
def test_a_column_that_changes_by_rounding_alone_counts_for_nothing(name, column):
    X = np.column_stack([[0.0, 2.0, 4.0], column])
    net = network([2, 5, 1], name, X)
    assert np.abs(net.A[1]).max() < 10
    steepness = np.linalg.norm(net.A[1] * [[2.0], [1.0]], axis=0)
    np.testing.assert_allclose(steepness, steepness[0])


@SPREADING
def test_columns_may_be_huge_and_rows_one(name):
    assert np.isfinite(network([2, 5, 1], name, np.array([[-1e308, 0.0], [1e308, 1.0]])).w).all()
    assert np.isfinite(network([2, 5, 5, 1], name, np.array([[7.0, -2.0]])).w).all()
    narrow = network([1, 4, 1], name, np.float32([[1.0], [1.0 + 1e-7]]), dtype="float32")
    assert np.abs(narrow.w).max() < 10


@SPREADING
def test_bits_hang_neither_on_threads_of_blas_nor_on_sparseness(name, monkeypatch):
    X = RNG.normal(size=(700, 60)) * (RNG.uniform(size=(700, 60)) < 0.3)
    layout, found = Layout.of([60, 33, 20, 1], "tanh"), []
    for rows in (X, csr_array(X), csc_array(X)):
        for threads in (1, 2):
            with threadpool_limits(threads):
                w = layout.first_weights(
                    np.random.default_rng(0), name, lambda w, l, of=rows: input_ranges(layout, w, of, l)
                )
            found.append(w.tobytes())
    monkeypatch.setattr(ranges, "_NUMBERS_AT_ONCE", 6_000)  # a hundred rows at a time
    found.append(network([60, 33, 20, 1], name, X).w.tobytes())
    assert len(set(found)) == 1


@SPREADING
def test_what_is_wanted_is_said(name):
    for X, words in (
        (None, "give X"),
        (np.zeros((4, 3)), r"X must be N × 2 .*got \(4, 3\)"),
        (np.zeros((0, 2)), r"X must have a row"),
        (np.array([[0.0, np.nan]]), "X must be finite"),
        (np.array([[0.0, np.inf], [1.0, 1.0]]), "X must be finite"),
    ):
        with pytest.raises(ValueError, match=words):
            network([2, 5, 1], name, X)
    with pytest.raises(TypeError, match="X must hold numbers"):
        network([2, 5, 1], name, [["a", "b"]])
    with pytest.raises(ValueError, match="values of layer 1 that are infinite"):
        network([1, 1200, 5, 1], name, np.array([[-1.0], [1.0]]), "exp")
