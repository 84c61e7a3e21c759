"""Floor 5, insight: any step of a recorded fit opened again: its rows, the gradient, the update, before and after."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.engine.inside import Pass, Reopened
from chainrule.engine.plan import Plan
from chainrule.training import Recording

from .given import network_of
from .words import Printed, Sheet, counted, move_sheet, plain, step_sheet

# Of a matrix or the whole of w the words name so many parameters, those that moved most.
_STRONGEST = 5


class ReplayError(ValueError):
    """A step that cannot be opened again, and why, in one sentence."""


@dataclass(frozen=True, eq=False)
class Move(Printed):
    """What one step made of one parameter, or of all of a layer's A_l or b_l: plain numbers, or arrays of that shape.

    The numbers are the engine's own. `data`, `penalty` and `l1` add up to the gradient before it was shortened by
    `clip`: they are taken apart again in the float width of training and agree with `gradient` to rounding.

    Attributes
    ----------
    name : ("A", l, i, j), ("b", l, j), ("A", l) or ("b", l)
    step, epoch : counted from 1 over the fit
    t : the method's own count of steps, which goes on from fit to fit with partial_fit
    n_rows, mass : rows of the batch and the sum of their weights
    before, after : the parameter
    data : Σ_i weight_i ∂E_i/∂w / mass, the slope of the mean loss
    penalty, l1 : α w / mass and λ sign(w) / mass
    clip : the factor that shortened the whole gradient, 1 where it did not
    gradient : g, what the method was given
    step_size : γ
    decay : what the weight was first multiplied by, 1 − γ λ; 1 where nothing decays
    method, formula, hyper : the row of the method, and its numbers
    state_before, state_after : what the method remembers, by name
    corrections : 1 − βᵗ by name, of methods that correct their moments
    twin : `after` by the method's row in NumPy
    average_before, average_after : the running average, where the fit keeps one
    is_frozen : whether this layer is not trained
    """

    name: tuple
    step: int
    epoch: int
    t: int
    n_rows: int
    mass: float
    before: Any
    after: Any
    data: Any
    penalty: Any
    l1: Any
    clip: float
    gradient: Any
    step_size: float
    decay: float
    method: str
    formula: str
    hyper: dict[str, float]
    state_before: dict[str, Any]
    state_after: dict[str, Any]
    corrections: dict[str, float]
    twin: Any
    average_before: Any = None
    average_after: Any = None
    is_frozen: bool = False

    @property
    def change(self) -> Any:
        """after − before."""
        return self.after - self.before

    def sheet(self) -> Sheet:
        return move_sheet(self)


@dataclass(frozen=True, eq=False)
class Step(Printed):
    """One step of a recorded fit, computed again to the bit.

    Attributes
    ----------
    step, epoch, step_in_epoch : counted from 1
    n_steps, n_epochs : of the whole fit
    rows : numbers of the batch's rows among those that were trained on (rows held out are not counted)
    inside : the pass over them: outputs, slopes, the gradient, in the engine's own numbers
    before, after : w, K numbers
    gradient : what the method was given, K numbers
    step_size, t : γ, and the method's count of steps
    state_before, state_after : what the method remembers, by name, K numbers each
    loss, penalty : of the batch before the step, the mean over its rows, and what is added
    """

    step: int
    epoch: int
    step_in_epoch: int
    n_steps: int
    n_epochs: int
    rows: np.ndarray
    plan: Plan
    inside: Pass
    before: np.ndarray
    after: np.ndarray
    step_size: float
    t: int
    state_before: dict[str, np.ndarray]
    state_after: dict[str, np.ndarray]
    average_before: np.ndarray | None = None
    average_after: np.ndarray | None = None

    @property
    def gradient(self) -> np.ndarray:
        return self.inside.gradient

    @property
    def mass(self) -> float:
        """The sum of the weights of the rows."""
        return float(np.sum(self.inside.weights, dtype=np.float64))

    @property
    def loss(self) -> float:
        return self.inside.error / self.mass if self.mass else 0.0

    @property
    def penalty(self) -> float:
        leading = self.before[: self.plan.layout.n_weights].astype(np.float64)
        squares, absolutes = float(leading @ leading), float(np.abs(leading).sum())
        return (0.5 * self.plan.penalty * squares + self.plan.l1 * absolutes) / self.mass if self.mass else 0.0

    def data_gradient(self) -> np.ndarray:
        """The slope of the mean loss, K numbers, from the pass's own outputs and slopes, before any penalty."""
        seen, layout = self.inside, self.plan.layout
        found = np.zeros_like(self.before)
        A, b = layout.views(found)
        if self.mass:
            for l in range(1, layout.L + 1):
                if l not in self.plan.frozen:
                    A[l], b[l] = seen.passed(l - 1).T @ seen.delta[l - 1], seen.delta[l - 1].sum(axis=0)
            found /= found.dtype.type(self.mass)
        return found

    def move(self, name: tuple) -> Move:
        """What the step made of one parameter ("A", l, i, j) or ("b", l, j), or of all of ("A", l) or ("b", l)."""
        return _move(self, name)

    def strongest(self, count: int = _STRONGEST) -> list[tuple[tuple, float]]:
        """(name, after − before) of the parameters that moved most."""
        change = self.after.astype(np.float64) - self.before
        order = np.argsort(-np.abs(change), kind="stable")[:count]
        return [(self.plan.layout.where(int(k)), float(change[k])) for k in order]

    def sheet(self) -> Sheet:
        return step_sheet(self)

    def as_dict(self) -> dict[str, Any]:
        """Plain data: the step's numbers, without the outputs and slopes of its rows (`inside` has them)."""
        named = ("step", "epoch", "step_in_epoch", "n_steps", "n_epochs", "rows", "t", "step_size", "loss", "penalty",
                 "mass", "before", "gradient", "after", "state_before", "state_after", "average_before",
                 "average_after")  # fmt: skip
        return {"method": self.plan.method.name} | {name: plain(getattr(self, name)) for name in named}


def replay(model: Any, step: int, weight: tuple | None = None) -> Any:
    """Open one step of a recorded fit again: from the nearest snapshot by computing on, with the bits of training.

    Parameters
    ----------
    model : an estimator fitted with record=True by a method of minibatches
    step : from 1 to the number of steps of its last fit
    weight : ("A", l, i, j) or ("b", l, j) for one parameter, ("A", l) or ("b", l) for a layer's; None for all

    Returns
    -------
    Step, or with `weight` its Move.

    Raises
    ------
    ReplayError : for a fit that was not recorded, a step that it has not, or rows that were changed since.
    IndexError : for a weight that does not exist.

    >>> import numpy as np, chainrule as cr
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> model = cr.MLPRegressor(solver="sgd", momentum=0.0, learning_rate="cosine", max_iter=2, batch_size=10,
    ...                         random_state=0, record=True)
    >>> move = model.fit(X, X[:, 0]).replay(step=3, weight=("A", 2, 0, 0))
    >>> bool(np.isclose(move.after, move.before - move.step_size * move.gradient))
    True

    Source: handout 3 and 4. Other libraries keep checkpoints, and leave it to their users to find the batch again.
    """
    recording = recording_of(model)
    if isinstance(step, bool) or not isinstance(step, int | np.integer) or not 1 <= step <= recording.n_steps:
        each, epochs = recording.steps_per_epoch, recording.n_epochs
        raise ReplayError(
            f"step must be a whole number from 1 to {recording.n_steps} ({counted(epochs, 'epoch')} of "
            f"{counted(each, 'step')}), got {step!r}"
        )
    if weight is not None:  # before anything is computed
        place(network_of(model).layout, weight)
    epoch, k = divmod(int(step) - 1, recording.steps_per_epoch)
    [found] = _steps(recording, epoch + 1, range(k, k + 1), getattr(model, "n_threads", None))  # to the epoch's end
    return found if weight is None else found.move(weight)


def replay_epoch(model: Any, epoch: int) -> Iterator[Step]:
    """All steps of one epoch (from 1), one after another; errors as for `replay`."""
    recording = recording_of(model)
    if not 1 <= epoch <= recording.n_epochs:
        raise ReplayError(f"epoch must be from 1 to {recording.n_epochs}, got {epoch!r}")
    return _steps(recording, epoch, range(recording.steps_per_epoch), getattr(model, "n_threads", None))


def recording_of(model: Any) -> Recording:
    """The recording of the last fit; a ReplayError where there is none, or none of steps."""
    network_of(model)
    recording = getattr(model, "recording_", None)
    if recording is None:
        raise ReplayError(
            f"this {type(model).__name__} was not recorded; set record=True and fit it (a model file has no recording)"
        )
    if recording.material is None:
        raise ReplayError(f"the steps of this fit cannot be opened again: {recording.why_not}")
    if not recording.n_steps:
        raise ReplayError("the fit ended before its first epoch was done; there is no step to open")
    return recording


def _steps(recording: Recording, epoch: int, wanted: range, n_threads: int | None) -> Iterator[Step]:
    """The wanted steps of an epoch; the epoch is computed to its end, to see that it ends where training did."""
    made = recording.material
    assert made is not None
    at, snapshot = recording.nearest(epoch - 1)
    orders, N, batch = copy.deepcopy(made.orders), made.X.shape[0], made.plan.batch_size

    def order() -> np.ndarray:
        found = orders()
        return found if len(found) else np.arange(N)

    for _ in range(at):
        orders()
    with Reopened(made.plan, made.X, made.Y, made.weights, snapshot, n_threads) as run:
        for passed in range(at + 1, epoch):
            run.move(order(), recording.step_sizes(passed))
            _check(recording, passed, run)
        rows, sizes, first, last = order(), recording.step_sizes(epoch), wanted.start, wanted.stop
        run.move(rows[: first * batch], sizes[:first])
        for k in wanted:
            yield _look(recording, run, epoch, k, rows[k * batch : (k + 1) * batch], float(sizes[k]))
        run.move(rows[last * batch :], sizes[last:])
        _check(recording, epoch, run)


def _check(recording: Recording, epoch: int, run: Reopened) -> None:
    if not recording.is_as_trained(epoch, run.w):
        raise ReplayError(
            f"computed again, epoch {epoch} does not end with the weights that training had: the rows of X or y were "
            "changed since fit, a callback wrote into the weights or drew from fit's random numbers, or the "
            "recording comes from another machine or other versions of the libraries"
        )


def _look(recording: Recording, run: Reopened, epoch: int, k: int, rows: np.ndarray, size: float) -> Step:
    names = run.plan.method.state

    def state() -> dict[str, np.ndarray]:
        return {name: line.copy() for name, line in zip(names, run.state, strict=True)}

    def average() -> np.ndarray | None:
        return None if run.average is None else run.average.copy()

    before, state_before, average_before = run.w.copy(), state(), average()
    inside = run.look(rows, size)
    return Step(
        (epoch - 1) * recording.steps_per_epoch + k + 1, epoch, k + 1, recording.n_steps, recording.n_epochs, rows,
        run.plan, inside, before, run.w.copy(), size, run.t, state_before, state(), average_before, average(),
    )  # fmt: skip


# ---------------------------------------------------------------- one parameter, or a layer's


def place(layout: Any, name: Any) -> tuple[slice, tuple[int, ...]]:
    """(where it is in w, its shape) of ("A", l, i, j), ("b", l, j), ("A", l) or ("b", l); an IndexError says which are.

    >>> from chainrule.network import Layout
    >>> place(Layout.of([2, 3, 1]), ("A", 2, 2, 0)), place(Layout.of([2, 3, 1]), ("b", 1))
    ((slice(8, 9, None), ()), (slice(9, 12, None), (3,)))
    """
    wrong = not isinstance(name, tuple) or len(name) < 2 or name[0] not in ("A", "b")
    if not wrong and all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in name[1:]):
        if len(name) == 2 and tuple(name) in layout.slices:
            start, stop, shape = layout.slices[name]
            return slice(start, stop), shape
        if len(name) > 2:
            try:
                at = layout.index(name)
                return slice(at, at + 1), ()
            except IndexError:
                pass
    shapes = [f"{letter}_{l} ({' × '.join(map(str, s))})" for (letter, l), (_, _, s) in layout.slices.items()]
    shown = ", ".join(shapes if len(shapes) <= 12 else [*shapes[:5], "…", *shapes[-5:]])
    raise IndexError(
        f"there is no weight {name!r}: give ('A', l, i, j), from unit i of layer l − 1 to unit j of layer l, or "
        f"('b', l, j); layers count from 1, units from 0. There are {shown}"
    )


def _move(step: Step, name: tuple) -> Move:
    plan, mass = step.plan, step.mass
    where, shape = place(plan.layout, name)
    name = (str(name[0]), *map(int, name[1:]))
    letter, l = name[:2]
    is_weight, frozen = letter == "A", l in plan.frozen
    stands = frozen or not mass

    def part(vector: np.ndarray) -> Any:
        found = vector[where].reshape(shape)
        return float(found) if shape == () else found.copy()

    data, before = part(step.data_gradient()), part(step.before)
    hyper = dict(
        zip((n for n in plan.method.defaults if n != "step"), plan.hyper_table()[int(is_weight)], strict=False)
    )
    penalty, l1 = (
        (plan.penalty * before / mass, plan.l1 * np.sign(before) / mass)
        if is_weight and not stands
        else (0.0 * before, 0.0 * before)
    )
    gradient = part(step.gradient) if mass else 0.0 * before
    rate = (plan.decay or hyper.get("decay", 0.0)) if is_weight and not stands else 0.0
    betas = {k: v for k, v in hyper.items() if k.startswith("beta_")}
    return Move(
        name, step.step, step.epoch, step.t, len(step.rows), mass, before, part(step.after), data, penalty, l1,
        1.0 if stands else _clip(step), gradient, step.step_size, 1.0 - step.step_size * rate, plan.method.name,
        plan.method.formula, {k: float(v) for k, v in hyper.items()},
        {k: part(v) for k, v in step.state_before.items()}, {k: part(v) for k, v in step.state_after.items()},
        {k.replace("beta", "1 − β").replace("_1", "₁ᵗ").replace("_2", "₂ᵗ"): 1.0 - v**step.t for k, v in betas.items()},
        before if stands else _twin(step, where, shape, is_weight, hyper),
        None if step.average_before is None else part(step.average_before),
        None if step.average_after is None else part(step.average_after), frozen,
    )  # fmt: skip


def _clip(step: Step) -> float:
    """The factor that shortened the gradient."""
    bound = step.plan.clip
    if bound is None:
        return 1.0
    full, n = step.data_gradient().astype(np.float64), step.plan.layout.n_weights
    trained = np.concatenate([np.arange(lo, hi) for lo, hi, *_ in step.plan.pieces()])
    leading = step.before[:n].astype(np.float64)
    full[:n] += (step.plan.penalty * leading + step.plan.l1 * np.sign(leading)) / step.mass
    norm = float(np.linalg.norm(full[trained]))
    return bound / norm if norm > bound else 1.0


def _twin(step: Step, where: slice, shape: tuple[int, ...], is_weight: bool, hyper: dict[str, float]) -> Any:
    """The parameter after the step by the method's row in NumPy, in the float width of training."""
    plan, number = step.plan, step.before.dtype.type
    w = step.before[where]
    if is_weight and plan.decay:
        w = w * number(1.0 - step.step_size * plan.decay)
    state = [line[where] for line in step.state_before.values()]
    numbers = {k: number(v) for k, v in hyper.items()}
    with np.errstate(all="ignore"):
        moved, _ = plan.method.advance(
            w, step.gradient[where], state, t=number(step.t), step=number(step.step_size), **numbers
        )
    found = moved.reshape(shape)
    return float(found) if shape == () else found
