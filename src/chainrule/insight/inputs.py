"""Floor 5, insight: what the inputs do: importance and dependence by scikit-learn, attributions by the calculus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from sklearn import inspection

from chainrule.calculus import value_and_grad
from chainrule.data import Table, array_names
from chainrule.engine import Network
from chainrule.network import Layout, forward
from chainrule.tables import POSITIVE

from .given import Given, column_groups, given, output_names, position_of

# Rows whose gradients are taken together.
_AT_ONCE = 2_048
# Nodes of the Gauss-Legendre rule on one piece of the path.
_NODES = 8
# A piece is halved at most so often: its length is then near the float's resolution.
_MOST_HALVINGS = 40


# ---------------------------------------------------------------- what belongs to columns


@dataclass(frozen=True)
class Importance:
    """How much the score falls when a column is shuffled, of each column: mean and standard deviation over shuffles."""

    names: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray
    n_repeats: int

    def order(self) -> np.ndarray:
        """Positions of the columns, the most important first."""
        return np.argsort(-self.mean, kind="stable")

    def __str__(self) -> str:
        width = max(map(len, self.names))
        lines = [f"  {self.names[j]:<{width}}  {self.mean[j]:>9.4f} ± {self.std[j]:.4f}" for j in self.order()]
        return "\n".join([f"fall of the score when a column is shuffled ({self.n_repeats} times):", *lines])

    def as_dict(self) -> dict[str, Any]:
        """Plain data, which JSON can hold."""
        return {"names": list(self.names), "mean": self.mean.tolist(), "std": self.std.tolist()}


@dataclass(frozen=True)
class Dependence:
    """The mean prediction over all rows when one column is set to each value of a grid."""

    feature: str
    grid: np.ndarray  # G values
    average: np.ndarray  # outputs × G
    outputs: tuple[str, ...]
    is_number: bool  # of the values of the grid

    def __str__(self) -> str:
        lines = [f"mean prediction where {self.feature} is"]
        for value, means in zip(self.grid, self.average.T, strict=True):
            shown = f"{value:.4g}" if self.is_number else str(value)
            said = "  ".join(f"{name} {mean:.4g}" for name, mean in zip(self.outputs, means, strict=True))
            lines.append(f"  {shown:>12}: {said}")
        return "\n".join(lines)


def permutation_importance(
    model: Any, X: Any, y: Any, *, n_repeats: int = 5, random_state: Any = None, scoring: Any = None
) -> Importance:
    """How much a fitted model needs each column: the fall of its score when the column's values are shuffled.

    Parameters
    ----------
    model : a fitted estimator; of a table model the columns that it learned from are shuffled, as they are
    X, y : rows and targets, best of rows that were not trained on
    n_repeats : shuffles of each column
    random_state : seed of the shuffles
    scoring : as scikit-learn's; None is the estimator's own (accuracy, R²)

    Returns
    -------
    Importance

    Raises
    ------
    TypeError, ValueError : for an unfitted model or rows that it cannot predict.

    >>> import numpy as np, chainrule as cr
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> model = cr.MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", random_state=0).fit(X, X[:, 0])
    >>> found = permutation_importance(model, X, X[:, 0], random_state=0)
    >>> bool(found.mean[0] > 1.5), bool(abs(found.mean[1]) < 0.01)
    (True, True)

    Source: Breiman 2001; the computation is scikit-learn's `sklearn.inspection.permutation_importance`.
    """
    _check_estimator(model)
    frame, names = _columns(model, X)
    found = inspection.permutation_importance(
        model, frame, y, n_repeats=n_repeats, random_state=random_state, scoring=scoring
    )
    return Importance(tuple(names), found.importances_mean, found.importances_std, n_repeats)


def partial_dependence(model: Any, X: Any, feature: Any, *, resolution: int = 50) -> Dependence:
    """The mean prediction of a fitted model over rows, where one column is set to each of some values in turn.

    Parameters
    ----------
    model : a fitted estimator; of a classifier the probability of each class is averaged (of two, of the second)
    X : N rows
    feature : the column's name or position
    resolution : values of a number's grid, evenly from its 5 % to its 95 % quantile; a column with no more different
        values than this, and one of words, is set to each of them

    Returns
    -------
    Dependence

    Raises
    ------
    TypeError, ValueError : for an unfitted model, rows that it cannot predict, a column that does not exist (the
        nearest name is said).

    >>> import numpy as np, chainrule as cr
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> model = cr.MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", random_state=0).fit(X, 3 * X[:, 0])
    >>> found = partial_dependence(model, X, "x0", resolution=3)
    >>> bool(np.allclose(np.diff(found.average[0]) / np.diff(found.grid), 3, atol=0.1))
    True

    Source: Friedman 2001; the computation is scikit-learn's `sklearn.inspection.partial_dependence`, method "brute".
    Columns that go together are set to values that they never have together: read it with that in mind.
    """
    _check_estimator(model)
    if isinstance(resolution, bool) or not isinstance(resolution, int) or resolution < 2:
        raise ValueError(f"resolution must be a whole number ≥ 2, got {resolution!r}")
    frame, names = _columns(model, X)
    j = position_of(feature, names)
    values = pd.Series(frame.iloc[:, j] if isinstance(frame, pd.DataFrame) else frame[:, j]).dropna()
    grid = _grid(values, names[j], resolution)
    # scikit-learn demands floats for a grid of numbers
    if isinstance(frame, pd.DataFrame) and pd.api.types.is_integer_dtype(frame.dtypes.iloc[j]):
        frame = frame.astype({frame.columns[j]: float})
    key = frame.columns[j] if isinstance(frame, pd.DataFrame) else j
    found = inspection.partial_dependence(model, frame, [key], method="brute", custom_values={key: grid})
    average = np.asarray(found["average"])
    return Dependence(names[j], grid, average, _called(model, len(average)), grid.dtype.kind == "f")


def _grid(values: pd.Series, name: str, resolution: int) -> np.ndarray:
    if values.empty:
        raise ValueError(f"the column {name!r} has no value in X; there is nothing to set it to")
    is_number = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype)
    different = np.unique(values.to_numpy(float)) if is_number else values.drop_duplicates().sort_values().to_numpy()
    if not is_number or len(different) <= resolution:
        return different
    low, high = np.quantile(values.to_numpy(float), [0.05, 0.95])
    return np.linspace(low, high, resolution) if low < high else different[:: -(-len(different) // resolution)]


def _check_estimator(model: Any) -> None:
    if isinstance(model, Network):
        raise TypeError("model must be a fitted estimator, which has a score; a Network has none")
    if not hasattr(model, "predict"):
        raise TypeError(f"model must be a fitted estimator, got {type(model).__name__}")


def _columns(model: Any, X: Any) -> tuple[Any, list[str]]:
    """(X as scikit-learn wants it, the names of its columns); of a table model only the columns that it learned."""
    named = getattr(model, "feature_names_in_", None)
    if hasattr(model, "features_") and named is not None:
        table, used = model._rows(X), [column.name for column in model.features_.columns]
        table.require(used)
        return table.frame[used], used
    X = X.frame if isinstance(X, Table) else X
    if isinstance(X, pd.DataFrame):
        return X, [str(c) for c in X.columns]
    block = np.asarray(X.toarray() if hasattr(X, "toarray") else X)
    if block.ndim != 2:
        raise ValueError(f"X must be rows × columns, got shape {block.shape}")
    return block, array_names(block.shape[1]) if named is None else [str(n) for n in named]


def _called(model: Any, n: int) -> tuple[str, ...]:
    """What the n numbers that a model predicts are called."""
    classes = getattr(model, "classes_", None)
    if classes is not None:
        return tuple(str(c) for c in classes[-n:])
    return ("ŷ",) if n == 1 else tuple(f"ŷ[{k}]" for k in range(n))


# ---------------------------------------------------------------- what belongs to rows


@dataclass(frozen=True)
class Attributions:
    """Of each row how much each input did to one output, measured from a baseline."""

    method: str
    names: tuple[str, ...]  # of the inputs, or of the columns
    values: np.ndarray  # N × inputs
    outputs: tuple[str, ...]  # which output was explained, row by row
    change: np.ndarray  # F(x) − F(baseline), row by row
    base: np.ndarray  # F(baseline), row by row
    columns: tuple[str, ...]
    groups: np.ndarray  # of each input its column

    @property
    def gap(self) -> np.ndarray:
        """Sum of the row's values less the change: how far they are from being complete."""
        return np.asarray(self.values.sum(axis=1) - self.change)

    def by_column(self) -> Attributions:
        """The same with the inputs of one column of a table added up."""
        values = np.zeros((len(self.values), len(self.columns)))
        np.add.at(values.T, self.groups, self.values.T)
        n = len(self.columns)
        return Attributions(
            self.method, self.columns, values, self.outputs, self.change, self.base, self.columns, np.arange(n)
        )

    def text(self, row: int = 0) -> str:
        """One row, the inputs that did most first."""
        order, width = np.argsort(-np.abs(self.values[row]), kind="stable"), max(map(len, self.names))
        lines = [f"  {self.names[j]:<{width}}  {self.values[row, j]:>+10.4g}" for j in order[:20]]
        lines += [f"  … and {len(order) - 20} more"] if len(order) > 20 else []
        total = f"  {'sum':<{width}}  {self.values[row].sum():>+10.4g}"
        start = (
            f"{self.method} of {self.outputs[row]}, row {row}: from {self.base[row]:.4g} at the baseline to "
            f"{self.base[row] + self.change[row]:.4g}, a change of {self.change[row]:+.4g}"
        )
        return "\n".join([start, *lines, total])

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.text())}</pre>"

    def as_dict(self) -> dict[str, Any]:
        """Plain data, which JSON can hold."""
        return {
            "method": self.method, "names": list(self.names), "values": self.values.tolist(),
            "outputs": list(self.outputs), "change": self.change.tolist(), "base": self.base.tolist(),
        }  # fmt: skip


@dataclass(frozen=True)
class _Question:
    """F of each row: a weighted sum of outputs or raw scores of the network, which is asked for its slope in x."""

    layout: Layout
    w: np.ndarray
    S: np.ndarray  # N × D_L
    of_scores: bool

    def _sum(self, X: Any, S: np.ndarray) -> Any:
        z, a = forward(self.layout, self.w, X)
        return S * (z if self.of_scores else a)

    def values(self, X: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """F at points X (P × D_0), each a point of the row that `rows` says."""
        return np.asarray(np.sum(self._sum(X, self.S[rows]), axis=1))

    def slopes(self, X: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """∂F/∂x at points X, P × D_0."""
        found = np.empty_like(X)
        for i in range(0, len(X), _AT_ONCE):
            part = slice(i, i + _AT_ONCE)
            S = self.S[rows[part]]
            found[part] = value_and_grad(lambda x, S=S: np.sum(self._sum(x, S)))(X[part])[1]
        return found


def gradient_times_input(
    model: Any, X: Any, *, output: Any = None, of: str = "output", baseline: Any = None
) -> Attributions:
    """How much each input does to one output by the slope at the row alone: `(x_j − x'_j) · ∂F/∂x_j`, row by row.

    Quick, and right where F is a straight line from the baseline x' to x; elsewhere its sum is not the change of F:
    `gap` says by how much, and `integrated_gradients` has none.

    Parameters, returned value and errors : as `integrated_gradients`, without a tolerance.

    >>> import numpy as np, chainrule as cr
    >>> net = cr.Network([2, 1], seed=0)
    >>> net.w[:] = [2.0, -1.0, 0.5]
    >>> gradient_times_input(net, np.array([[3.0, 4.0]])).values
    array([[ 6., -4.]])

    Source: Shrikumar, Greenside, Shcherbina & Kundaje 2016; the slopes are those of the calculus (handout 5).
    """
    found, question, base, shown, scale = _question(model, X, output, of, baseline)
    rows = np.arange(len(found.X))
    values = (found.X - base) * question.slopes(found.X, rows)
    return _attributions("gradient × input", model, found, question, base, shown, scale * values, scale)


def integrated_gradients(
    model: Any, X: Any, *, output: Any = None, of: str = "output", baseline: Any = None, tolerance: float = 1e-4
) -> Attributions:
    """How much each input does to one output, on the straight way from a baseline: its parts add up to the change.

    `(x_j − x'_j) ∫₀¹ ∂F/∂x_j (x' + t (x − x')) dt`, by Gauss-Legendre's rule on pieces of the way. On each piece the
    sum over j must be the change of F from its one end to its other; pieces where it is not are halved until what is
    lacking, added up over all pieces of a row, is at most `tolerance`. Kinks (relu) are found that way.

    Parameters
    ----------
    model : a fitted MLPClassifier, MLPRegressor, TableClassifier or TableRegressor, or a Network
    X : N rows as `predict` takes them
    output : a class or the number of an output; None is the only one, or each row's largest
    of : "output" (the probability, ŷ) or "score" (the raw score z_L before the output's activation)
    baseline : x', one row as X has them; None is 0 for every input, which for a table is the middle of every number
        and no category
    tolerance : the most by which a row's sum may miss the change of F, in the unit of the network's output (for a
        TableRegressor standard deviations of the target)

    Returns
    -------
    Attributions : `.values` (N × inputs), `.change`, `.gap`, `.by_column()`. Of a TableRegressor they are in the
    target's unit, before the clamp to the range of training.

    Raises
    ------
    TypeError, ValueError : for an unfitted model, rows of the wrong width, NaN, a class that does not exist, an
        activation that jumps on the way.

    >>> import numpy as np, chainrule as cr
    >>> net = cr.Network([2, 3, 1], "relu", seed=0)
    >>> X = np.array([[1.0, -2.0]])
    >>> found = integrated_gradients(net, X)
    >>> bool(abs(found.values.sum() - (net(X) - net(0 * X)).item()) < 1e-4)
    True

    Source: Sundararajan, Taly & Yan 2017 (completeness is their axiom). Other libraries take a fixed number of points
    and leave the gap to the reader; here the number follows from the tolerance.
    """
    tolerance = POSITIVE.check("tolerance", tolerance)
    found, question, base, shown, scale = _question(model, X, output, of, baseline)
    values = np.concatenate(
        [
            _integral(question, found.X[i : i + 256], base, np.arange(i, min(i + 256, len(found.X))), tolerance)
            for i in range(0, len(found.X), 256)
        ]
    )
    return _attributions("integrated gradients", model, found, question, base, shown, scale * values, scale)


def _integral(question: _Question, X: np.ndarray, base: np.ndarray, rows: np.ndarray, tolerance: float) -> np.ndarray:
    """(x − x') ∫ ∂F/∂x over the way from x' to x, for each row."""
    owner, low, length = np.arange(len(X)), np.zeros(len(X)), np.ones(len(X))  # the pieces: whose, from where, how long
    parts, lacks = _pieces(question, X, base, rows, owner, low, length)
    for _ in range(_MOST_HALVINGS):
        total, count = np.bincount(owner, lacks, len(X)), np.bincount(owner, minlength=len(X))
        halve = (total > tolerance)[owner] & (lacks > tolerance / (2 * count[owner]))
        if not halve.any():
            break
        half = length[halve] / 2
        new = np.repeat(owner[halve], 2), np.stack([low[halve], low[halve] + half], 1).ravel(), np.repeat(half, 2)
        new_parts, new_lacks = _pieces(question, X, base, rows, *new)
        owner, low, length = (
            np.concatenate([old[~halve], more]) for old, more in zip((owner, low, length), new, strict=True)
        )
        parts, lacks = np.concatenate([parts[~halve], new_parts]), np.concatenate([lacks[~halve], new_lacks])
    else:
        row = int(rows[np.argmax(np.bincount(owner, lacks, len(X)))])
        raise ValueError(
            f"the sum for row {row} cannot be brought within {tolerance:g} of the change: an activation jumps on the "
            "way from the baseline, or the tolerance is below what rounding allows"
        )
    values = np.zeros_like(X)
    np.add.at(values, owner, parts)
    return values


def _pieces(question: _Question, X: Any, base: Any, rows: Any, owner: Any, low: Any, length: Any) -> tuple[Any, Any]:
    """(integral over each piece by the rule, by how much its sum misses the change of F over the piece)."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    way, whose = (X - base)[owner], rows[owner]
    t = low[:, None] + length[:, None] * (nodes + 1) / 2
    points = base + t[:, :, None] * way[:, None, :]
    slopes = question.slopes(points.reshape(-1, X.shape[1]), np.repeat(whose, _NODES)).reshape(points.shape)
    parts = way * length[:, None] * np.einsum("q,pqj->pj", weights / 2, slopes)
    ends = [question.values(base + at[:, None] * way, whose) for at in (low, low + length)]
    return parts, np.abs(parts.sum(axis=1) - (ends[1] - ends[0]))


def _question(model: Any, X: Any, output: Any, of: str, baseline: Any) -> tuple[Given, _Question, Any, Any, float]:
    """(the rows, what is asked of them, the baseline, names of the outputs row by row, the unit of the target)."""
    if of not in ("output", "score"):
        raise ValueError(f"of must be 'output' or 'score', got {of!r}")
    found = given(model, X)
    layout, w, N = found.network.layout, found.network.w, len(found.X)
    names = output_names(model)
    if output is None:
        a = forward(layout, w, found.X)[1]
        chosen = np.argmax(a, axis=1)
        S = np.eye(len(names))[chosen]
        shown = tuple(names[k] for k in chosen)
    else:
        S, name = _chosen(model, output, names)
        S, shown = np.tile(S, (N, 1)), (name,) * N
    base = np.zeros(len(found.names)) if baseline is None else _baseline(model, baseline)
    scale = float(model.target_scale_) if hasattr(model, "target_scale_") else 1.0
    return found, _Question(layout, w, S, of == "score"), base, shown, scale


def _chosen(model: Any, output: Any, names: Sequence[str]) -> tuple[np.ndarray, str]:
    """(weights of the outputs, the name) of a class or of a number of an output."""
    classes = getattr(model, "classes_", None)
    if classes is None:
        k = position_of(output, names, "output")
        return np.eye(len(names))[k], names[k]
    labels = [str(c) for c in classes]
    k = position_of(str(output), labels, "class")
    if len(names) == 1 and len(labels) == 2:  # one output, the probability of the second; the first has the rest
        return np.array([1.0 if k else -1.0]), labels[k]
    return np.eye(len(names))[k], labels[k]


def _baseline(model: Any, baseline: Any) -> np.ndarray:
    values = baseline if hasattr(baseline, "columns") or isinstance(baseline, dict) else np.atleast_2d(baseline)
    try:
        found = given(model, values).X
    except ValueError as error:
        raise ValueError(f"baseline is one row as X has them: {error}") from None
    if len(found) != 1:
        raise ValueError(f"baseline must be one row as X has them, got {len(found)} rows")
    return found[0]


def _attributions(
    method: str, model: Any, found: Given, question: _Question, base: np.ndarray, shown: Any, values: Any, scale: float
) -> Attributions:
    rows = np.arange(len(found.X))
    at_base = question.values(np.broadcast_to(base, found.X.shape), rows)
    change = question.values(found.X, rows) - at_base
    # of the first of two classes: 1 − ŷ where −ŷ was asked; of a standardised target: its mean back again
    rest = (question.S.sum(axis=1) < 0) * (0.0 if question.of_scores else 1.0)
    shift = 0.0 if question.of_scores else float(getattr(model, "target_mean_", 0.0))
    columns, groups = column_groups(model)
    return Attributions(
        method, found.names, values, shown, scale * change, scale * (at_base + rest) + shift, columns, groups
    )
