"""Floor 2, engine: networks of one plan trained side by side as one trainee, and the one network that averages them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from chainrule.network import Layout

from .plan import Plan
from .run import Run


class Committee:
    """m runs of one plan on the same rows, from first weights and in orders of their own, moved epoch by epoch.

    It has what the training loop asks of a `Run`: `w` has the members' weights one after another, `epochs` takes for
    each epoch one line with the orders of all members one after another.

    plan, X, Y, weights, n_threads : as `Run` takes them
    W : m × K first weights, moved in place
    """

    def __init__(
        self,
        plan: Plan,
        W: np.ndarray,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None = None,
        n_threads: int | None = None,
    ):
        self.plan, self.w = plan, W.reshape(-1)
        self.runs = [Run(plan, w, X, Y, weights, n_threads) for w in W]

    @property
    def at_slice(self) -> Callable[[], None] | None:
        return self.runs[0].at_slice

    @at_slice.setter
    def at_slice(self, function: Callable[[], None] | None) -> None:
        for run in self.runs:
            run.at_slice = function

    @property
    def n_rows(self) -> int:
        return self.runs[0].n_rows

    @property
    def steps_per_epoch(self) -> int:
        return self.runs[0].steps_per_epoch

    def epochs(self, orders: np.ndarray, step_sizes: Sequence[float] | np.ndarray | float) -> np.ndarray:
        """Move every member; returns the mean over members of what `Run.epochs` returns."""
        parts = np.split(np.asarray(orders), len(self.runs), axis=1)
        return np.mean([run.epochs(part, step_sizes) for run, part in zip(self.runs, parts, strict=True)], axis=0)

    def snapshot(self) -> tuple[dict[str, int], dict[str, np.ndarray]]:
        """The members' snapshots, each array with a line a member."""
        numbers, arrays = zip(*(run.snapshot() for run in self.runs), strict=True)
        return numbers[0], {name: np.stack([own[name] for own in arrays]) for name in arrays[0]}

    def restore(self, numbers: dict[str, int], arrays: dict[str, np.ndarray]) -> None:
        """Put back what `snapshot` gave; another number of members is a ValueError."""
        if any(len(array) != len(self.runs) for array in arrays.values()):
            raise ValueError(f"there are {len(self.runs)} networks here, {len(next(iter(arrays.values())))} there")
        for k, run in enumerate(self.runs):
            run.restore(numbers, {name: array[k] for name, array in arrays.items()})

    def close(self) -> None:
        for run in self.runs:
            run.close()

    def __enter__(self) -> Committee:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def averaged(layout: Layout, W: np.ndarray) -> tuple[Layout, np.ndarray]:
    """The one network whose raw score is the mean of those of m networks, as (layout, w).

    Its hidden layers are theirs side by side: the first A stands beside the others, those between are blocks on the
    diagonal with zeros around them, and the last one is each member's A_L divided by m, below one another.

    layout : of every member
    W : m × K

    >>> layout = Layout.of([1, 2, 1], "tanh")
    >>> wide, w = averaged(layout, np.ones((3, layout.K)))
    >>> wide.sizes, wide.views(w)[0][2].ravel().round(2).tolist()
    ((1, 6, 1), [0.33, 0.33, 0.33, 0.33, 0.33, 0.33])
    """
    m, L = len(W), layout.L
    if m == 1 or L == 1:  # without a hidden layer the mean of the weights is the mean of the scores
        return layout, W.mean(axis=0) if m > 1 else W[0]
    D = layout.sizes
    wide = Layout.of(
        [D[0], *(m * n for n in D[1:-1]), D[-1]], [layer.activation for layer in layout.layers[:-1]], layout.output
    )
    w = np.zeros(wide.K, W.dtype)
    A, b = wide.views(w)
    for k, own in enumerate(W):
        own_A, own_b = layout.views(own)
        for l in range(1, L + 1):
            rows = slice(None) if l == 1 else slice(k * D[l - 1], (k + 1) * D[l - 1])
            columns = slice(None) if l == L else slice(k * D[l], (k + 1) * D[l])
            A[l][rows, columns] = own_A[l] / m if l == L else own_A[l]
            b[l][columns] += own_b[l] / m if l == L else own_b[l]
    return wide, w
