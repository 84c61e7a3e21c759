"""Floor 4, estimators: rows that are watched and not trained on: a part held out, or sets of one's own."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split

from chainrule.engine import Network, TotalError, error
from chainrule.training import Watched

from .blocks import dense_if_small, row_blocks

# The set that decides: what is held out, or the first of one's own; history_ has it as validation_loss and _score.
FIRST = "validation"
_FORMS = "eval_set must be (X, y) or (X, y, sample_weight), or a list or dict of such tuples"


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
    X_held = dense_if_small(parts[1], parts[1].dtype)
    held = HeldOut(FIRST, X_held, parts[3], model._decoded(parts[3]), held_weights)
    return parts[0], parts[2], train_weights, held


def own_sets(model: Any, eval_set: Any) -> list[HeldOut]:
    """The sets of `eval_set`, checked against the model: (X, y), (X, y, sample_weight), a list or a dict of them."""
    if eval_set is None:
        return []
    if isinstance(eval_set, tuple):
        named: dict[str, Any] = {FIRST: eval_set}
    elif isinstance(eval_set, Mapping):
        named = {str(name): given for name, given in eval_set.items()}
    elif isinstance(eval_set, list):
        named = {FIRST if k == 0 else f"eval_{k}": given for k, given in enumerate(eval_set)}
    else:
        raise ValueError(f"{_FORMS}; got {type(eval_set).__name__}")
    if not named:
        raise ValueError(f"{_FORMS}; it is empty")
    if FIRST in list(named)[1:]:
        raise ValueError(
            f"of eval_set only the first may be called {FIRST!r}: history_ has a column of that name for it"
        )
    return [_checked(model, name, given) for name, given in named.items()]


def _checked(model: Any, name: str, given: Any) -> HeldOut:
    if not isinstance(given, tuple) or len(given) not in (2, 3):
        raise ValueError(f"{_FORMS}; {name!r} is {type(given).__name__}")
    try:
        X, Y = model._watched_input(given[0], given[1])
        weights = model._checked_weights(given[2] if len(given) == 3 else None, X)
    except ValueError as error_:
        raise ValueError(f"eval_set {name!r}: {error_}") from error_
    if X.shape[0] < 2:
        raise ValueError(f"eval_set {name!r} has one row; a score needs at least two")
    if weights is not None and not np.any(weights):
        raise ValueError(f"eval_set {name!r}: all its weights are 0")
    Y = model._spread(Y.reshape(X.shape[0], -1))
    return HeldOut(name, dense_if_small(X, X.dtype), Y, model._decoded(Y), weights)


class Watcher:
    """What the held-out rows say of w: their loss and score; the first set's decide, the others' are recorded by name.

    A scorer is tried out on the weights as they are, so that one that cannot score these rows says so before training.
    """

    def __init__(self, model: Any, sets: list[HeldOut]):
        self.model, self.sets = model, sets
        self._kept: dict[str, TotalError] = {}
        self._scorer: Callable | None = None
        if model.scoring is not None:
            self._scorer = check_scoring(model, scoring=model.scoring)
            for held in sets:
                self._try_out(held)

    def _try_out(self, held: HeldOut) -> None:
        cannot = f"scoring={self.model.scoring!r} cannot score the rows of {held.name!r}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of weights that are not trained yet
                score = self._score(held, self.model.network_.w)
        except (AttributeError, TypeError, ValueError) as error_:
            with_weights = "" if held.weights is None else " (it is given their sample_weight)"
            raise ValueError(f"{cannot}{with_weights}: {error_}") from error_
        if np.isnan(score):
            raise ValueError(f"{cannot}: the score is not a number")

    def __call__(self, w: np.ndarray) -> Watched:
        found = {held.name: self._numbers(held, w) for held in self.sets}
        first = self.sets[0].name
        scores = {
            f"{name}_{what}": number
            for name, numbers in found.items()
            for what, number in zip(("loss", "score"), numbers, strict=True)
            if name != FIRST
        }
        return Watched(*found[first], scores, decides=bool(self.model.early_stopping))

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
