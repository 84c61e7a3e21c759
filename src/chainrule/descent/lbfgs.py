"""Floor 1, descent: L-BFGS, which is SciPy's; it is walked as our own methods are, by the same rules of stopping."""

from __future__ import annotations

from typing import Any

import numpy as np

from .walk import UNBOUNDED, Walk


class _Arrived(Exception):
    """Ends SciPy's loop: our rules say that the walk is over."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


def _too_far(flat: np.ndarray, walk: Walk) -> tuple[float, np.ndarray]:
    """F and ∇F at a trial point of the parabola that leaves the last point as F does and has risen again by as much.

    Along the step, t from 0 to 1, it is F + s (2t² − t) with the slope s = |∇F·d|; its lowest point is t = ¼.
    """
    d = flat - np.ravel(np.asarray(walk.points[-1], np.float64))
    s = abs(float(np.ravel(walk.gradients[-1]) @ d))
    return walk.values[-1] + s, 3.0 * s * d / float(d @ d)


def lbfgs(walk: Walk, x0: Any) -> str:
    """Walk down from x0 by limited-memory BFGS; the reason why it stopped.

    The steps come from a line search that wants both Armijo's fall and a flatter slope (Wolfe). It cannot handle trial
    points where F is not finite (beyond a logarithm's edge, say), so these are given a finite height that sends it
    back. SciPy's own tolerances are switched off.

    Source: Byrd, Lu, Nocedal & Zhu 1995, by scipy.optimize.minimize(method="L-BFGS-B") with 10 remembered steps.
    """
    from scipy.optimize import minimize as scipy_minimize

    shape, dtype = np.shape(x0), np.asarray(x0).dtype
    seen: dict[bytes, tuple[float, Any]] = {}  # the trial points since the last step: one of them is the next point

    def shaped(flat: np.ndarray) -> Any:
        return np.array(flat.reshape(shape), dtype)[()]

    def trial(flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = shaped(flat)
        value, g = seen[flat.tobytes()] = walk.look(x)
        if value == -np.inf:
            walk.diverge(UNBOUNDED)
        if walk.values and not (np.isfinite(value) and np.isfinite(g).all()):
            return _too_far(flat, walk)
        return value, np.ravel(np.asarray(g, np.float64))

    def step(intermediate_result: Any) -> None:
        flat = intermediate_result.x
        value, g = seen[flat.tobytes()] if flat.tobytes() in seen else walk.look(shaped(flat))
        seen.clear()
        if reason := walk.arrive(shaped(flat), value, g):
            raise _Arrived(reason)

    flat0 = np.ravel(np.asarray(x0, np.float64))
    try:
        trial(flat0)
        if reason := walk.arrive(x0, *seen[flat0.tobytes()]):
            return reason
        options = {"maxiter": walk.stopping.max_iter + 1, "maxfun": 2**31 - 1, "gtol": 0.0, "ftol": 0.0}
        found = scipy_minimize(trial, flat0, jac=True, method="L-BFGS-B", callback=step, options=options)
    except _Arrived as end:
        return end.reason
    if not np.isfinite(found.fun) or not np.isfinite(found.x).all():
        walk.diverge("the value or the point became NaN or infinite")
    return "lbfgs"
