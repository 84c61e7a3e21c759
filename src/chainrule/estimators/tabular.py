"""Floor 4, estimators: TableClassifier and TableRegressor: a table as it is -> features -> network -> predictions."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from chainrule.data import (
    Features,
    Report,
    Table,
    TableError,
    Target,
    array_names,
    infer_kinds,
    read_table,
    shown,
    split,
)
from chainrule.engine import Network, averaged
from chainrule.network import Layout
from chainrule.training import (
    Randomness,
)

from .kept import keep_table
from .looks import LooksMixin
from .parameters import TABLE_PARAMETERS, constraints, parameters_section, store
from .table_training import Prepared, train_table

# Rows up to which a batch size serves; beyond the last one it is the largest.
_BATCH_SIZES = ((1_000, 32), (8_000, 64), (30_000, 128), (100_000, 256), (400_000, 512))
_LARGEST_BATCH = 1024
# 'auto' epochs: about so many steps in all, within these bounds.
_STEPS = 6_000
_FEWEST_EPOCHS, _MOST_EPOCHS = 24, 100
# 'auto' weight decay: this divided by the rows, within a bound. The pull of a prior on the weights does not grow with
# the rows, as their sum of losses does; so beside the mean loss it falls as 1/rows.
_DECAY_ROWS, _MOST_DECAY = 2_000, 1.0
# 'auto' networks: so many where there are at most so many rows and, with all inputs, so many numbers; their mean is
# steadier, and one is quick to train.
_NETWORKS, _FEW_ROWS, _FEW_NUMBERS = 4, 25_000, 2_000_000
# A network is trained on no fewer rows than these.
_FEWEST_ROWS = 4


# scikit-learn's sentences, by whether the model has seen names.
_NAMES = {
    True: "X does not have valid feature names, but {} was fitted with feature names; columns are taken by their place",
    False: "X has feature names, but {} was fitted without feature names; columns are taken by their place",
}


class _TableModel(LooksMixin, BaseEstimator):
    """What the two share: rows of a table in, a network that was stopped at its best epoch out."""

    task = ""

    def fit(self, X, y, sample_weight=None, *, checkpoint=None, every=1, resume=True):
        """Learn the columns of X and train the network.

        Parameters
        ----------
        X : DataFrame (pandas, polars), 2-D array or dict of columns, N rows
        y : N labels or numbers
        sample_weight : N numbers ≥ 0, optional
        checkpoint : path, optional
            A file from which this fit goes on if it is killed, with the same bits as if it had not been.
        every : int ≥ 1
            Epochs between two checkpoints.
        resume : bool
            Whether to go on from the checkpoint if there is one; other data or parameters are then refused.

        Returns
        -------
        self

        Raises
        ------
        TableError : naming the column and row, for input that cannot be learned from.
        CheckpointError : for a checkpoint that is damaged or belongs to another fit.
        """
        return self.train(self.prepare(X, y, sample_weight, checkpoint=checkpoint, every=every, resume=resume))

    def check_parameters(self) -> None:
        """An error for a parameter outside its range, or an activation that does not exist."""
        self._validate_params()
        Layout.of([1, *self._hidden(), 1], self.activation, "identity")

    def prepare(
        self, X: Any, y: Any, sample_weight: Any = None, *, checkpoint: Any = None, every: Any = 1, resume: bool = True
    ) -> Prepared:
        """What `fit` does before the first step: learn columns and target, make the untrained network; for `train`."""
        self.check_parameters()
        was_text = np.asarray(y).dtype.kind == "U" if isinstance(y, np.ndarray | list) else False
        table, y = read_table(X), _named(y)
        _check_lengths(table, y)
        weights = _check_weights(sample_weight, len(table))
        if weights is not None and not weights.all():  # a row of weight 0 is no row
            keep = np.flatnonzero(weights)
            table, y, weights = table.take(keep), y.iloc[keep], weights[keep]
            _check_lengths(table, y)
        self.target_ = Target.learn(y, self.task, table)
        if was_text and self.target_.classes is not None:  # as NumPy has them
            self.target_.classes = self.target_.classes.astype(str)
        codes = self.target_.encode(y, table)
        random_state, kept = self.random_state, None
        if checkpoint is not None:
            random_state, kept = keep_table(self, table, y, weights, path=checkpoint, every=every, resume=resume)
        self.seed_ = _seed(random_state)
        train, held = split(len(table), self.validation_fraction, seed=self.seed_, stratify=self._strata(codes))
        table = replace(table, kinds={kind.column: kind for kind in infer_kinds(table, self.kinds)})
        self.features_ = Features.learn(table.take(train), kinds=self.kinds)
        self._remember_names(X, table)
        block, _ = self.features_.transform(table, dtype=np.float32)
        self._learn_scale(codes[train])
        rng = np.random.default_rng(self.seed_)
        Y = self._targets(codes)
        layout = Layout.of([block.shape[1], *self._hidden(), Y.shape[1]], self.activation, self._output())
        first = np.stack([layout.first_weights(rng) for _ in range(self._networks(len(train), block.shape[1]))]).astype(
            np.float32
        )
        self.network_ = Network.from_layout(*averaged(layout, first))
        if kept is not None:
            kept.follow(order=Randomness(rng))
        return Prepared(block, Y, weights, train, held, rng, layout, first, kept)

    def _hidden(self) -> list[Any]:
        sizes: Any = self.hidden_layer_sizes
        return [sizes] if np.isscalar(sizes) else list(sizes)

    def train(self, given: Prepared):
        """What `fit` does after `prepare`: descend, watch the held-out rows, put the best weights back."""
        train_table(self, given)
        return self

    def _remember_names(self, X: Any, table: Table) -> None:
        """scikit-learn's attributes: names only where X had names."""
        self.n_features_in_ = len(table.columns)
        if _has_names(X):
            self.feature_names_in_ = np.array(table.columns, dtype=object)
        else:
            self.__dict__.pop("feature_names_in_", None)

    def _batch(self, n: int) -> int:
        if self.batch_size != "auto":
            return min(int(self.batch_size), n)
        return min(n, next((size for rows, size in _BATCH_SIZES if n <= rows), _LARGEST_BATCH))

    def _epochs(self, n: int, batch: int) -> int:
        if self.epochs != "auto":
            return int(self.epochs)
        return int(np.clip(_STEPS // -(-n // batch), _FEWEST_EPOCHS, _MOST_EPOCHS))

    def _networks(self, n: int, inputs: int) -> int:
        if self.networks != "auto":
            return int(self.networks)
        return _NETWORKS if n <= _FEW_ROWS and n * inputs <= _FEW_NUMBERS else 1

    def _decay(self, n: int) -> float:
        return min(_MOST_DECAY, _DECAY_ROWS / n) if self.weight_decay == "auto" else float(self.weight_decay)

    def _scores(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "network_")
        block, _ = self.features_.transform(self._rows(X), dtype=np.float32)
        return self.network_(block).astype(np.float64)

    def report(self, X: Any) -> Report:
        """What `predict` meets in the rows of X: missing values, values never seen in training, columns not used."""
        check_is_fitted(self, "network_")
        return self.features_.transform(self._rows(X), dtype=np.float32)[1]

    def _rows(self, X: Any) -> Table:
        """The table to predict: columns by name where both sides have names, else by place."""
        table = read_table(X)
        if not len(table):
            raise TableError(
                f"Found array with 0 sample(s) (shape={table.frame.shape}) while a minimum of 1 is required."
            )
        learned = [kind.column for kind in self.features_.kinds]
        here, there = _has_names(X), learned != array_names(len(learned))
        if here and there:
            return table
        if len(table.columns) != len(learned):
            raise TableError(
                f"X has {len(table.columns)} features, but {type(self).__name__} is expecting {len(learned)} features "
                "as input"
            )
        if here != there:
            warnings.warn(_NAMES[there].format(type(self).__name__), UserWarning, stacklevel=4)
        return replace(table, frame=table.frame.set_axis(learned, axis=1))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


class TableClassifier(ClassifierMixin, _TableModel):
    __doc__ = (
        """A multilayer perceptron for a table as it is (numbers, categories, dates, gaps); the target a class.

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
        networks="auto",
        max_time=None,
        kinds=None,
        random_state=None,
        n_threads=None,
        progress=False,
        record=False,
        audit=False,
    ):
        store(self, TABLE_PARAMETERS, locals())

    @property
    def classes_(self) -> np.ndarray:
        """The labels in sorted order."""
        return self._classes()

    def _classes(self) -> np.ndarray:
        classes = self.target_.classes
        assert classes is not None  # a classifier's target always has them
        return classes

    def _strata(self, codes: np.ndarray) -> np.ndarray | None:
        return codes

    def _learn_scale(self, codes: np.ndarray) -> None:
        pass

    def _targets(self, codes: np.ndarray) -> np.ndarray:
        count = len(self._classes())
        if count == 2:
            return codes.astype(np.float32)[:, None]
        return np.eye(count, dtype=np.float32)[codes]

    def _output(self) -> str:
        return "sigmoid" if len(self._classes()) == 2 else "softmax"

    def _loss(self) -> str:
        return "binary_cross_entropy" if len(self._classes()) == 2 else "softmax_cross_entropy"

    def predict_proba(self, X):
        """The probability of each class, N × classes in the order of `classes_`."""
        p = self._scores(X)
        return np.column_stack([1 - p, p]) if p.shape[1] == 1 else p / p.sum(axis=1, keepdims=True)

    def predict(self, X):
        """The most probable label of each row."""
        codes = self.predict_proba(X).argmax(axis=1)
        return self.target_.decode(codes)


class TableRegressor(RegressorMixin, _TableModel):
    __doc__ = (
        """A multilayer perceptron for a table as it is (numbers, categories, dates, gaps); the target a number.

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
        networks="auto",
        max_time=None,
        kinds=None,
        random_state=None,
        n_threads=None,
        progress=False,
        record=False,
        audit=False,
    ):
        store(self, TABLE_PARAMETERS, locals())

    def _strata(self, codes: np.ndarray) -> np.ndarray | None:
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


def _has_names(X: Any) -> bool:
    return isinstance(X, Table | dict) or hasattr(X, "to_pandas") or hasattr(X, "columns") or hasattr(X, "collect")


def _named(y: Any) -> pd.Series:
    """y as a Series; its index means nothing here, rows belong together by their place."""
    if y is None:
        raise TableError("requires y to be passed, but the target y is None")
    if hasattr(y, "to_pandas"):
        y = y.to_pandas()
    if isinstance(y, pd.Series):
        return y
    name = "y"
    if isinstance(y, pd.DataFrame):
        name = str(y.columns[0]) if y.shape[1] else name
        if y.shape[1] == 1:
            return y.iloc[:, 0].rename(name)
    values = np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected; it is taken as one target. "
            "Change the shape of y to (n_samples,), for example using ravel().",
            DataConversionWarning,
            stacklevel=4,
        )
        values = values[:, 0]
    if values.ndim != 1:
        raise TableError(
            f"y should be a 1d array, one label or number for each row, got an array of shape {values.shape} instead"
        )
    if values.dtype.kind == "c":
        raise TableError("Complex data not supported: y must hold labels or real numbers")
    return pd.Series(values, name=name)


def _check_lengths(table: Table, y: pd.Series) -> None:
    if len(y) != len(table):
        raise TableError(
            f"X has {len(table)} rows and y has {len(y)}: inconsistent numbers of samples; they must be of one length"
        )
    if not len(table):
        raise TableError(f"Found array with 0 sample(s) (shape={table.frame.shape}) while a minimum of 1 is required.")
    if len(table) < _FEWEST_ROWS:
        raise TableError(f"too few rows to train on: n_samples = {len(table)}, at least {_FEWEST_ROWS} are needed")


def _check_weights(weights: Any, n: int) -> np.ndarray | None:
    """Weights of mean 1: only their ratios matter."""
    if weights is None:
        return None
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (n,):
        raise TableError(f"sample_weight must be {n} numbers, one a row of X; got shape {weights.shape}")
    wrong = ~np.isfinite(weights) | (weights < 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise TableError(f"sample_weight must be finite numbers ≥ 0; in row {row} it is {shown(weights[row])}")
    if not weights.any():
        raise TableError("sample_weight is zero in every row; nothing is left to learn from")
    return weights / weights[weights > 0].mean()


def _seed(random_state: Any) -> int:
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
