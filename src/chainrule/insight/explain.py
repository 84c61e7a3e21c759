"""Floor 5, insight: the chain rule of one weight, with the numbers that the backward pass really used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.engine import Network
from chainrule.engine.inside import Pass, backward_pass
from chainrule.network import Layout, Loss

from .chains import Chain, NumericalCheck, Paths, chain_of, numerical_check, strongest_paths
from .given import given, input_names, network_of, output_names
from .replay import Move, Step, place, replay
from .words import Printed, Sheet


@dataclass(frozen=True, eq=False)
class Explanation(Printed):
    """∂E/∂w of one weight or bias, taken apart.

    Attributes
    ----------
    weight : ("A", l, i, j) or ("b", l, j)
    index, value : its place in w, and the parameter itself
    derivative : ∂E/∂w of E = Σ_i E_i over the rows, the engine's number
    contributions : ∂E_i/∂w, one for each row
    error : E
    n_rows : N
    mass : what the mean divides by: N, or the sum of the weights of the rows
    mean, penalty, l1 : derivative / mass, and what the penalties add: α w / mass and λ sign(w) / mass
    total : mean + penalty + l1, the slope of what training goes down
    row : the row whose chain is shown, the one that contributes most
    chain : its factors, from the error to the weight
    paths : the strongest of the paths from the weight to the outputs, in that row, and the rest
    check : the limit: central differences in float64
    is_of_training : whether the rows are those of the step's batch, as the step had them
    update : what the method made of it in the step asked for, or None
    names : what the unit's input, the rows and the network's outputs are called
    """

    weight: tuple
    index: int
    value: float
    dtype: str
    loss: str
    loss_formula: str
    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    derivative: float
    contributions: np.ndarray
    error: float
    n_rows: int
    mass: float
    mean: float
    penalty: float
    l1: float
    row: int
    chain: Chain
    paths: Paths
    check: NumericalCheck
    is_of_training: bool
    update: Move | None
    input_name: str
    output_names: tuple[str, ...]

    @property
    def total(self) -> float:
        return self.mean + self.penalty + self.l1

    def sheet(self) -> Sheet:
        from .sheets import explanation_sheet

        return explanation_sheet(self)

    def latex(self) -> str:
        """The chain as LaTeX, symbols and numbers (an `align*` environment, for amsmath)."""
        from .sheets import explanation_latex

        return explanation_latex(self)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, texts, lists and dicts, as JSON takes them."""
        return super().as_dict() | {"total": self.total}


def explain(
    model: Any, X: Any, y: Any, weight: tuple, step: int | None = None, *, loss: Any = None, paths: int = 5
) -> Explanation:
    """The derivative of the error in one weight: every factor of the chain rule, the paths, the limit, the update.

    Parameters
    ----------
    model : a fitted MLPClassifier, MLPRegressor, TableClassifier or TableRegressor, or a Network
    X, y : rows and targets as `fit` takes them; for a Network also one sample. E is the sum over these rows, each of
        weight 1, without dropout. With `step` they may be None: then they are the rows of that step's batch, with the
        weights and the dropout that they had in it
    weight : ("A", l, i, j), from unit i of layer l − 1 to unit j of layer l, or ("b", l, j); layers count from 1, units
        from 0
    step : a step of a fit with record=True, from 1: the weights are then those before the step, and `update` says what
        the method made of the gradient
    loss : of a Network, by default "squared"; an estimator has its own
    paths : so many paths are listed

    Returns
    -------
    Explanation : plain data; print it, or let a notebook show it; `latex()`, `as_dict()`

    Raises
    ------
    IndexError : for a weight that does not exist, with those that do. ValueError : for rows that do not fit.
    ReplayError : for a step of a fit that was not recorded.

    >>> import numpy as np, chainrule as cr
    >>> net = cr.Network([1, 1, 1], "tanh")
    >>> net.w[:] = [0.5, 2.0, 0.0, 0.0]
    >>> found = explain(net, [1.0], [0.0], ("A", 1, 0, 0))  # (ŷ − y) · A_2 · (1 − tanh² z_1) · x
    >>> z = 0.5
    >>> bool(np.isclose(found.derivative, 2 * np.tanh(z) * 2.0 * (1 - np.tanh(z) ** 2) * 1.0))
    True
    >>> found.check.digits > 8
    True

    Source: handout 4 and its Remark 2. The outputs, the δ_l and the gradient are the engine's own buffers in training's
    float width; `check` goes another way, by the eager forward pass in float64.
    """
    if paths < 1:
        raise ValueError(f"paths must be a whole number ≥ 1, got {paths!r}")
    layout = network_of(model).layout
    at, shape = place(layout, weight)
    if shape != ():
        raise IndexError(f"explain takes one weight, got {weight!r}, which are {np.prod(shape)}; add its unit numbers")
    name = (str(weight[0]), *map(int, weight[1:]))
    opened = None if step is None else replay(model, step)
    seen, w, row_loss = _pass(model, X, y, loss, opened)
    return _explained(model, layout, row_loss, name, at.start, seen, w, opened, paths)


def _pass(model: Any, X: Any, y: Any, loss: Any, opened: Step | None) -> tuple[Pass, np.ndarray, Loss]:
    """(the engine's pass, the weights it was made at, the loss)."""
    net = network_of(model)
    w = net.w if opened is None else opened.before
    if X is None and y is None:
        if opened is None:
            raise ValueError(
                "X and y are missing: give rows to explain, or a step of a recorded fit, whose rows it takes"
            )
        return opened.inside, w, opened.plan.loss
    if X is None or y is None:
        raise ValueError(f"{'X' if X is None else 'y'} is missing: the error needs rows and their targets")
    if isinstance(model, Network):
        X, y = np.atleast_2d(np.asarray(X)), np.asarray(y)
        y = y.reshape(1, -1) if len(X) == 1 and y.ndim <= 1 and y.size == net.sizes[-1] else y
    elif loss is not None:
        raise ValueError("loss is for a Network; an estimator is explained with the loss that it was fitted with")
    rows = given(model, X, y, loss)
    assert rows.loss is not None
    assert rows.Y is not None
    Y = model._smoothed(rows.Y) if hasattr(model, "_smoothed") else rows.Y
    return backward_pass(net.layout, rows.loss, w, rows.X, Y), w, rows.loss


def _explained(
    model: Any, layout: Layout, loss: Loss, name: tuple, index: int, seen: Pass, w: np.ndarray, opened: Step | None,
    count: int,
) -> Explanation:  # fmt: skip
    letter, l, *rest = name
    delta = seen.delta[l - 1][:, rest[-1]]
    inputs = seen.passed(l - 1)[:, rest[0]] if letter == "A" else np.ones_like(delta)
    contributions = inputs * delta
    in_training = opened is not None and seen is opened.inside
    derivative = float(contributions.sum()) if in_training else float(seen.gradient[index])
    row = int(np.argmax(np.abs(contributions)))
    chain = chain_of(layout, loss, w, seen, name, row)
    mass = float(np.sum(seen.weights, dtype=np.float64))
    value = float(w[index])
    alpha, l1 = _penalties(model, opened) if letter == "A" and mass else (0.0, 0.0)
    return Explanation(
        name, index, value, str(w.dtype), loss.name, loss.formula, layout.sizes,
        tuple(layer.activation.name for layer in layout.layers), derivative, contributions, seen.error, len(seen.X),
        mass, derivative / mass if mass else 0.0, alpha * value / mass if alpha else 0.0,
        l1 * float(np.sign(value)) / mass if l1 else 0.0, row, chain,
        strongest_paths(layout, w, chain, count), numerical_check(layout, loss, w, index, seen, derivative),
        in_training, None if opened is None else opened.move(name), _input_name(model, name), output_names(model),
    )  # fmt: skip


def _penalties(model: Any, opened: Step | None) -> tuple[float, float]:
    """(α, λ) of the penalties of training; a Network by itself, and the table models, have none."""
    if opened is not None:
        return opened.plan.penalty, opened.plan.l1
    return float(getattr(model, "alpha", 0.0)), float(getattr(model, "l1", 0.0))


def _input_name(model: Any, name: tuple) -> str:
    if name[0] == "b":
        return "1, what a bias is multiplied by"
    return input_names(model)[name[2]] if name[1] == 1 else f"unit {name[2]} of layer {name[1] - 1}"
