"""Floor 4, estimators: rows that are watched and not trained on: a part held out, or sets of one's own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split

from chainrule.engine import Network, TotalError, error
from chainrule.training import Watched

from .blocks import row_blocks


@dataclass(frozen=True)
class HeldOut:
    """Rows to look at: X as the network takes it, Y as the loss takes it, y as a scorer takes it."""

    name: str
    X: Any
    Y: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None


def split_off(model: Any, X: Any, Y: np.ndarray, weights: Any) -> tuple[Any, np.ndarray, Any, HeldOut]:
    """(X, Y, weights to train on, rows held out), as scikit-learn's early stopping splits them."""
    stratify = Y if is_classifier(model) and model.n_outputs_ == 1 else None
    arrays = [X, Y] if weights is None else [X, Y, weights]
    parts = train_test_split(
        *arrays, random_state=model._random_state, test_size=model.validation_fraction, stratify=stratify
    )
    if parts[1].shape[0] < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    train_weights, held_weights = (parts[4], parts[5]) if weights is not None else (None, None)
    held = HeldOut("validation", parts[1], parts[3], model._decoded(parts[3]), held_weights)
    return parts[0], parts[2], train_weights, held


def own_sets(model: Any, eval_set: Any) -> list[HeldOut]:
    """The sets of `eval_set`, checked against the model: (X, y), (X, y, sample_weight), a list or a dict of them."""
    if eval_set is None:
        return []
    if isinstance(eval_set, tuple):
        named = {"validation": eval_set}
    elif isinstance(eval_set, Mapping):
        named = {str(name): given for name, given in eval_set.items()}
    else:
        named = {"validation" if k == 0 else f"eval_{k}": given for k, given in enumerate(eval_set)}
    if not named:
        raise ValueError("eval_set is empty; give (X, y), or leave it out")
    return [_checked(model, name, given) for name, given in named.items()]


def _checked(model: Any, name: str, given: Any) -> HeldOut:
    if not isinstance(given, tuple) or len(given) not in (2, 3):
        raise ValueError(
            "eval_set must be (X, y) or (X, y, sample_weight), or a list or dict of such tuples; "
            f"{name!r} is {type(given).__name__}"
        )
    try:
        X, Y = model._validate_input(given[0], given[1], incremental=True, reset=False)
        weights = model._checked_weights(given[2] if len(given) == 3 else None, X)
    except ValueError as error_:
        raise ValueError(f"eval_set {name!r}: {error_}") from error_
    Y = model._spread(Y.reshape(X.shape[0], -1))
    return HeldOut(name, X, Y, model._decoded(Y), weights)


class Watcher:
    """What the held-out rows say of w: their loss and score; the first set's decide, the others' are recorded by name."""

    def __init__(self, model: Any, sets: list[HeldOut]):
        self.model, self.sets = model, sets
        self._scorer: Callable | None = None if model.scoring is None else check_scoring(model, scoring=model.scoring)
        self._kept: dict[str, TotalError] = {}

    def __call__(self, w: np.ndarray) -> Watched:
        loss, score = self._numbers(self.sets[0], w)
        scores: dict[str, float] = {}
        for other in self.sets[1:]:
            scores[f"{other.name}_loss"], scores[f"{other.name}_score"] = self._numbers(other, w)
        return Watched(loss, score, scores, decides=bool(self.model.early_stopping))

    def _numbers(self, held: HeldOut, w: np.ndarray) -> tuple[float, float]:
        score = self._score(held, w)
        mass = float(held.X.shape[0] if held.weights is None else np.sum(held.weights))
        return self._error(held, w) / mass, score

    def _error(self, held: HeldOut, w: np.ndarray) -> float:
        model = self.model
        layout, loss = model.network_.layout, model._loss_row()
        if isinstance(held.X, np.ndarray) and held.X.dtype == w.dtype:
            if held.name not in self._kept:
                whole = TotalError(layout, loss, w.dtype, held.X, held.Y, held.weights, model.n_threads)
                self._kept[held.name] = whole
            return self._kept[held.name].error(w)
        return sum(
            error(layout, loss, w, block, held.Y[rows], _part(held.weights, rows), model.n_threads)
            for rows, block in row_blocks(held.X, w.dtype)
        )

    def _score(self, held: HeldOut, w: np.ndarray) -> float:
        model = self.model
        if self._scorer is None:
            return model._score_of(model._outputs(held.X, w), held.Y, held.weights)
        if not np.isfinite(w).all():
            return float("nan")
        seen = at_weights(model, w)
        more = {} if held.weights is None else {"sample_weight": held.weights}
        return float(self._scorer(seen, held.X, held.y, **more))


def at_weights(model: Any, w: np.ndarray) -> Any:
    """A copy of the model, as far as it is fitted, whose network has these weights; it takes columns without names."""
    seen = copy.copy(model)
    seen.network_ = Network.from_layout(model.network_.layout, w.copy())
    seen.__dict__.pop("feature_names_in_", None)
    return seen


def _part(weights: Any, rows: slice) -> Any:
    return None if weights is None else weights[rows]
