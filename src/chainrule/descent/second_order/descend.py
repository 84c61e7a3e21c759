"""Floor 1, descent: a second-order method walked as the others are, by the same rules of stopping."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..path import DivergenceError
from ..walk import Walk
from . import SecondOrder
from .memory import check_memory
from .view import View


def descend(walk: Walk, x0: Any, row: SecondOrder, hyper: dict[str, float]) -> str:
    """Walk down from x0; the reason why it stopped. ValueError where its matrix would not fit into memory."""
    objective = walk.objective
    row.check_objective(objective)
    if row.keeps_matrix:
        with np.errstate(all="ignore"):
            rows = 0 if objective.has_matrix else np.size(objective.residuals(x0))  # type: ignore[misc]
        check_memory(row.name, np.size(x0), rows)

    def asked() -> None:
        walk.n_calls += 1

    solver = row.solver(View(objective, np.shape(x0), np.asarray(x0).dtype, asked=asked), **hyper)
    walk.keep_last = True  # no step is made to a worse point, and F alone may not tell the best from those before it

    def arrive() -> str | None:
        view, dtype = solver.view, np.asarray(x0).dtype
        g = solver.g.reshape(np.shape(x0)).astype(dtype)[()]
        return walk.arrive(view.shaped(solver.x), solver.value, g, numbers=solver.report(), slope=solver.slope)

    try:
        with np.errstate(all="ignore"):
            solver.start(np.ravel(np.asarray(x0, np.float64)))
            reason = arrive()
            while reason is None:
                reason = solver.step() or arrive()
    except DivergenceError as error:
        if error.path is not None or not walk.values:
            raise
        walk.diverge(str(error))
    return reason
