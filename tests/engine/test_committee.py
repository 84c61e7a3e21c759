"""Networks side by side: each is moved as if it were alone, and the one network that averages them does."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from chainrule.descent import get_method
from chainrule.engine import Committee, Network, Plan, Run, averaged
from chainrule.network import Layout, get_loss


def members(m, sizes=(3, 8, 5, 2), activation="tanh", dtype="float64"):
    layout = Layout.of(list(sizes), activation, "identity")
    return layout, np.stack([layout.first_weights(np.random.default_rng(k)) + 0.1 for k in range(m)]).astype(dtype)


@pytest.mark.parametrize("sizes", [(3, 2), (3, 8, 2), (3, 8, 5, 1), (2, 4, 4, 4, 3)])
@pytest.mark.parametrize("m", [1, 2, 4])
def test_the_raw_score_is_the_mean(sizes, m):
    layout, W = members(m, sizes)
    X = np.random.default_rng(9).normal(size=(11, sizes[0]))
    wide, w = averaged(layout, W)
    each = [Network.from_layout(layout, own.copy())(X) for own in W]
    assert_allclose(Network.from_layout(wide, w)(X), np.mean(each, axis=0), atol=1e-13)
    assert wide.output == layout.output
    assert wide.sizes == (sizes[0], *(m * D for D in sizes[1:-1]), sizes[-1])


@pytest.fixture
def trained():
    """A committee after two epochs, its members' orders, and what it started from."""
    layout, W = members(3, dtype="float32")
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(50, 3)).astype("float32"), rng.normal(size=(50, 2)).astype("float32")
    plan = Plan(layout, get_loss("squared"), get_method("adam"), batch_size=16)
    orders = np.stack([np.concatenate([rng.permutation(50) for _ in W]) for _ in range(2)])
    start = W.copy()
    with Committee(plan, W, X, Y) as committee:
        tally = [committee.epochs(order[None], 0.01)[0] for order in orders]
        yield committee, tally, orders, start, (plan, X, Y)


def test_each_member_is_moved_as_if_it_were_alone(trained):
    committee, tally, orders, start, (plan, X, Y) = trained
    alone = []
    for k, w in enumerate(start):
        own = w.copy()
        with Run(plan, own, X, Y) as run:
            alone.append([run.epochs(order[None, 50 * k : 50 * (k + 1)], 0.01)[0] for order in orders])
        assert_array_equal(own, committee.w.reshape(start.shape)[k])
    assert_allclose(tally, np.mean(alone, axis=0))


def test_a_committee_goes_on_from_its_snapshot(trained):
    committee, _, orders, _, _ = trained
    before = committee.snapshot()
    committee.epochs(orders[:1], 0.01)
    there = committee.w.copy()
    committee.restore(*before)
    committee.epochs(orders[:1], 0.01)
    assert_array_equal(committee.w, there)
    numbers, arrays = before
    with pytest.raises(ValueError, match="3 networks here, 2 there"):
        committee.restore(numbers, {name: array[:2] for name, array in arrays.items()})
