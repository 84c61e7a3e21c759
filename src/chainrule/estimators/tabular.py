"""Floor 4, estimators: TableClassifier and TableRegressor: a DataFrame as it is -> features -> network -> predictions."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from chainrule.data import Features, TableError, Target, read_table, split
from chainrule.descent import get_method
from chainrule.descent.schedules import get_schedule
from chainrule.engine import Network, Plan, Run, error
from chainrule.network import Layout, get_loss
from chainrule.training import MaxTime, Patience, ProgressBar, Training, Watched, run

from .parameters import TABLE_PARAMETERS, constraints, parameters_section, store

# Rows up to which a batch size serves; beyond the last one it is the largest.
_BATCH_SIZES = ((1_000, 32), (8_000, 64), (30_000, 128), (100_000, 256), (400_000, 512))
_LARGEST_BATCH = 1024
# 'auto' epochs: about so many steps in all, within these bounds.
_STEPS = 6_000
_FEWEST_EPOCHS, _MOST_EPOCHS = 24, 100
# 'auto' weight decay: this divided by the rows, within a bound. The pull of a prior on the weights does not grow with
# the rows, as their sum of losses does; so beside the mean loss it falls as 1/rows.
_DECAY_ROWS, _MOST_DECAY = 2_000, 1.0
# A network is trained on no fewer rows than these.
_FEWEST_ROWS = 4


class _TableModel(BaseEstimator):
    """What the two share: rows of a table in, a network that was stopped at its best epoch out."""

    task = ""

    def fit(self, X, y, sample_weight=None):
        """Learn the columns of X and train the network.

        Parameters
        ----------
        X : DataFrame (pandas, polars), 2-D array or dict of columns, N rows
        y : N labels or numbers
        sample_weight : N numbers ≥ 0, optional

        Returns
        -------
        self

        Raises
        ------
        TableError : naming the column and row, for input that cannot be learned from.
        """
        self._validate_params()
        table = read_table(X)
        self.target_ = Target.learn(_named(y), task=self.task)
        codes = self.target_.encode(_named(y))
        weights = _check_weights(sample_weight, len(table))
        if len(codes) != len(table):
            raise TableError(f"X has {len(table)} rows and y has {len(codes)}; they must be of one length")
        if len(table) < _FEWEST_ROWS:
            raise TableError(f"there are {len(table)} rows to train on; at least {_FEWEST_ROWS} are needed")
        seed = _seed(self.random_state)
        train, held = split(len(table), self.validation_fraction, seed=seed, stratify=self._strata(codes))
        frame = table.frame
        self.features_ = Features.learn(frame.iloc[train], kinds=self.kinds)
        self.n_features_in_ = frame.shape[1]
        self.feature_names_in_ = np.array(list(frame.columns), dtype=object)
        blocks, _ = self.features_.transform(frame, dtype=np.float32)
        self._learn_scale(codes[train])
        Y = self._targets(codes)
        self._train(blocks, Y, weights, train, held, seed)
        return self

    def _train(
        self, X: np.ndarray, Y: np.ndarray, weights: Any, train: np.ndarray, held: np.ndarray, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        hidden = [self.hidden_layer_sizes] if np.isscalar(self.hidden_layer_sizes) else list(self.hidden_layer_sizes)
        layout = Layout.of([X.shape[1], *hidden, Y.shape[1]], self.activation, self._output())
        self.network_ = Network.from_layout(layout, layout.first_weights(rng).astype(np.float32))
        loss = get_loss(self._loss())
        batch = self._batch(len(train))
        epochs = self._epochs(len(train), batch)
        plan = Plan(layout, loss, get_method("adamw"), {"decay": self._decay(len(train))}, batch, 0.0, "float32")
        part = None if weights is None else weights[train]
        X_held, Y_held = X[held], Y[held]
        held_weights = None if weights is None else weights[held]
        mass = float(len(held) if held_weights is None else held_weights.sum())

        def watch(w: np.ndarray) -> Watched:
            return Watched(error(layout, loss, w, X_held, Y_held, held_weights, self.n_threads) / mass)

        with Run(plan, self.network_.w, X[train], Y[train], part, self.n_threads) as engine_run:
            total = epochs * engine_run.steps_per_epoch
            schedule = get_schedule("cosine")

            def step_sizes(epoch: int) -> np.ndarray:
                steps = np.arange(engine_run.steps_per_epoch) + epoch * engine_run.steps_per_epoch
                return self.step_size * schedule(steps, total)

            training = Training(engine_run, epochs, lambda: rng.permutation(len(train)), step_sizes, watch)
            bar = ProgressBar() if self.progress else nullcontext()
            rules = [Patience(self.patience)] if self.patience else []
            rules += [MaxTime(self.max_time)] if self.max_time else []
            with bar as drawn:
                self.outcome_ = run(training, drawn or (lambda event: None), rules)
        self.history_ = self.outcome_.history
        self.n_iter_ = len(self.history_)

    def _batch(self, n: int) -> int:
        if self.batch_size != "auto":
            return min(int(self.batch_size), n)
        return min(n, next((size for rows, size in _BATCH_SIZES if n <= rows), _LARGEST_BATCH))

    def _epochs(self, n: int, batch: int) -> int:
        if self.epochs != "auto":
            return int(self.epochs)
        return int(np.clip(_STEPS // -(-n // batch), _FEWEST_EPOCHS, _MOST_EPOCHS))

    def _decay(self, n: int) -> float:
        return min(_MOST_DECAY, _DECAY_ROWS / n) if self.weight_decay == "auto" else float(self.weight_decay)

    def _scores(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "network_")
        block, self.last_report_ = self.features_.transform(read_table(X).frame, dtype=np.float32)
        return self.network_(block).astype(np.float64)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


class TableClassifier(ClassifierMixin, _TableModel):
    __doc__ = (
        """A multilayer perceptron for a table as it is: numbers, categories, dates and missing values; the target a class.

"""
        + parameters_section(TABLE_PARAMETERS.values())
        + """

Attributes
----------
features_ : what was learned of the columns. target_ : of the target. network_ : the Network.
classes_ : the labels in sorted order. history_ : every epoch. outcome_ : why training stopped, the best epoch.

Examples
--------
>>> import chainrule as cr
>>> frame = cr.load_dataset("penguins")
>>> model = cr.TableClassifier(epochs=30, random_state=0).fit(frame.drop(columns="species"), frame["species"])
>>> bool(model.score(frame.drop(columns="species"), frame["species"]) > 0.95)
True

Source: handout 1, 2. scikit-learn's MLPClassifier wants numbers without gaps and a pipeline around it; here the
columns are part of the model, and of its file.
"""
    )

    task = "classification"
    _parameter_constraints = constraints(TABLE_PARAMETERS.values())

    def __init__(
        self,
        hidden_layer_sizes=(128, 64),
        activation="relu",
        *,
        epochs="auto",
        batch_size="auto",
        step_size=0.004,
        weight_decay="auto",
        validation_fraction=0.15,
        patience=None,
        max_time=None,
        kinds=None,
        random_state=None,
        n_threads=None,
        progress=False,
    ):
        store(self, TABLE_PARAMETERS, locals())

    @property
    def classes_(self) -> np.ndarray:
        return self.target_.classes

    def _strata(self, codes: np.ndarray) -> np.ndarray:
        return codes

    def _learn_scale(self, codes: np.ndarray) -> None:
        pass

    def _targets(self, codes: np.ndarray) -> np.ndarray:
        count = len(self.target_.classes)
        if count == 2:
            return codes.astype(np.float32)[:, None]
        return np.eye(count, dtype=np.float32)[codes]

    def _output(self) -> str:
        return "sigmoid" if len(self.target_.classes) == 2 else "softmax"

    def _loss(self) -> str:
        return "binary_cross_entropy" if len(self.target_.classes) == 2 else "softmax_cross_entropy"

    def predict_proba(self, X):
        """The probability of each class, N × classes in the order of `classes_`."""
        p = self._scores(X)
        return np.column_stack([1 - p, p]) if p.shape[1] == 1 else p / p.sum(axis=1, keepdims=True)

    def predict(self, X):
        """The most probable label of each row."""
        return self.target_.decode(self.predict_proba(X).argmax(axis=1))


class TableRegressor(RegressorMixin, _TableModel):
    __doc__ = (
        """A multilayer perceptron for a table as it is: numbers, categories, dates and missing values; the target a number.

The network is trained on the standardised target; predictions are in the target's own unit, kept within the range
seen in training.

"""
        + parameters_section(TABLE_PARAMETERS.values())
        + """

Attributes
----------
As TableClassifier, without classes_.

Examples
--------
>>> import chainrule as cr
>>> frame = cr.load_dataset("auto-mpg")
>>> model = cr.TableRegressor(epochs=60, random_state=0).fit(frame.drop(columns="mpg"), frame["mpg"])
>>> bool(model.score(frame.drop(columns="mpg"), frame["mpg"]) > 0.8)
True

Source: handout 1, 2; the clamp to the training range is RealMLP's (Holzmüller, Grinsztajn & Steinwart 2024).
"""
    )

    task = "regression"
    _parameter_constraints = constraints(TABLE_PARAMETERS.values())

    def __init__(
        self,
        hidden_layer_sizes=(128, 64),
        activation="relu",
        *,
        epochs="auto",
        batch_size="auto",
        step_size=0.004,
        weight_decay="auto",
        validation_fraction=0.15,
        patience=None,
        max_time=None,
        kinds=None,
        random_state=None,
        n_threads=None,
        progress=False,
    ):
        store(self, TABLE_PARAMETERS, locals())

    def _strata(self, codes: np.ndarray) -> None:
        return None

    def _learn_scale(self, codes: np.ndarray) -> None:
        self.target_mean_, self.target_scale_ = float(codes.mean()), float(codes.std()) or 1.0
        self.target_range_ = float(codes.min()), float(codes.max())

    def _targets(self, codes: np.ndarray) -> np.ndarray:
        return ((codes - self.target_mean_) / self.target_scale_).astype(np.float32)[:, None]

    def _output(self) -> str:
        return "identity"

    def _loss(self) -> str:
        return "squared"

    def predict(self, X):
        """ŷ of each row, in the target's unit."""
        z = self._scores(X)[:, 0]
        return np.clip(z * self.target_scale_ + self.target_mean_, *self.target_range_)


def _named(y: Any) -> Any:
    import pandas as pd

    if hasattr(y, "to_pandas"):
        y = y.to_pandas()
    return y if isinstance(y, pd.Series) else pd.Series(np.asarray(y), name="y")


def _check_weights(weights: Any, n: int) -> np.ndarray | None:
    if weights is None:
        return None
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (n,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise TableError(f"sample_weight must be {n} finite numbers ≥ 0, not all 0; got shape {weights.shape}")
    return weights


def _seed(random_state: Any) -> int:
    from sklearn.utils import check_random_state

    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
