"""Floor 1, data: the column to be predicted: what task it poses, labels -> codes and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from .columns import numbers
from .table import TableError

# Whole numbers with no more different values than this are taken as classes.
_MOST_CLASSES = 20
TASKS = ("classification", "regression")


@dataclass
class Target:
    """A target: its task, why, and for classes the labels in sorted order.

    >>> import pandas as pd
    >>> target = Target.learn(pd.Series(["no", "yes", "no"], name="answer"))
    >>> target.task, target.classes.tolist(), target.encode(pd.Series(["yes", "no"])).tolist()
    ('classification', ['no', 'yes'], [1, 0])
    """

    name: str
    task: str
    reason: str
    classes: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def learn(cls, y: pd.Series, task: str = "auto", row: Callable[[int], str] = lambda k: f"row {k}") -> Target:
        """The target of the values y; task "auto" is inferred. `row` names a row in messages.

        Raises
        ------
        TableError : for missing or infinite values, a single class, a constant, numbers that are none.
        """
        name = str(y.name) if y.name is not None else "y"
        if task not in ("auto", *TASKS):
            raise TableError(f"task must be auto, classification or regression, got {task!r}")
        gaps = y.isna().to_numpy()
        if gaps.all():
            raise TableError(
                f"the target {name!r} has no value at all" if len(y) else f"the target {name!r} has no rows"
            )
        if gaps.any():
            raise TableError(
                f"the target {name!r} is missing in {int(gaps.sum())} of {len(y)} rows (first: {row(int(np.argmax(gaps)))}); "
                "fill them in or leave these rows out (on the command line: --drop-missing-target)"
            )
        reason = "you said so"
        if task == "auto":
            task, reason = _infer_task(y)
        if task == "regression":
            return cls._numbers(name, y, reason, row)
        return cls._classes(name, y, reason)

    @classmethod
    def _numbers(cls, name: str, y: pd.Series, reason: str, row: Callable[[int], str]) -> Target:
        values = numbers(y, _complaint(name, row))
        if len(values) > 1 and values.min() == values.max():
            raise TableError(
                f"the target {name!r} has the same value, {values[0]:g}, in every row; there is nothing to learn"
            )
        return cls(name, "regression", reason)

    @classmethod
    def _classes(cls, name: str, y: pd.Series, reason: str) -> Target:
        labels = _labels(y)
        counts = pd.Series(labels).value_counts()
        if len(counts) == 1:
            raise TableError(f"the target {name!r} has one class only, {counts.index[0]!r}; at least two are needed")
        if len(counts) > 0.5 * len(y) and len(counts) > _MOST_CLASSES:
            raise TableError(
                f"the target {name!r} has {len(counts)} different values in {len(y)} rows, too many for classes; "
                "is it a number (task regression), or the wrong column?"
            )
        classes = np.array(sorted(counts.index.tolist()))
        alone = [str(c) for c in counts.index[counts == 1]]
        notes = (
            [f"only one row has the class {', '.join(alone[:5])}: too few to learn from and to test"] if alone else []
        )
        return cls(name, "classification", reason, classes, notes)

    def encode(self, y: pd.Series) -> np.ndarray:
        """Codes 0 … C−1 of the labels (int64), or the numbers (float64)."""
        if self.task == "regression":
            return numbers(y, _complaint(self.name, lambda k: f"row {k}"))
        assert self.classes is not None
        labels = _labels(y)
        codes = pd.Index(self.classes).get_indexer(pd.Index(labels))
        if (codes < 0).any():
            wrong = labels[int(np.argmax(codes < 0))]
            raise TableError(
                f"the target {self.name!r} holds the class {wrong!r}, which was not in training; "
                f"classes: {', '.join(map(str, self.classes[:10]))}"
            )
        return np.asarray(codes, dtype=np.int64)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """The labels of codes."""
        assert self.classes is not None
        return self.classes[codes]

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(JSON-able, arrays)."""
        classes = None if self.classes is None else self.classes.tolist()
        return {"name": self.name, "task": self.task, "reason": self.reason, "classes": classes}, {}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Target:
        classes = None if state["classes"] is None else np.array(state["classes"])
        return cls(state["name"], state["task"], state["reason"], classes)


def _complaint(name: str, row: Callable[[int], str]):
    return lambda k, value, what: TableError(f"the target {name!r}, {row(k)}: {value!r} {what}")


def _labels(y: pd.Series) -> np.ndarray:
    """Labels as plain Python-comparable values: whole numbers, floats, bools or text."""
    if isinstance(y.dtype, pd.CategoricalDtype):
        y = y.astype(y.cat.categories.dtype)
    if pd.api.types.is_bool_dtype(y.dtype):
        return y.to_numpy(dtype=bool)
    if pd.api.types.is_integer_dtype(y.dtype):
        return y.to_numpy(dtype=np.int64)
    if pd.api.types.is_float_dtype(y.dtype):
        return y.to_numpy(dtype=np.float64)
    if pd.api.types.is_numeric_dtype(y.dtype) or pd.api.types.is_datetime64_any_dtype(y.dtype):
        return y.to_numpy()
    values = y.to_numpy(dtype=object)
    if all(isinstance(v, bool | np.bool_) for v in values):
        return values.astype(bool)
    return np.array([str(v) for v in values], dtype=object)


def _infer_task(y: pd.Series) -> tuple[str, str]:
    distinct = int(y.nunique())
    types = pd.api.types
    if types.is_bool_dtype(y.dtype) or isinstance(y.dtype, pd.CategoricalDtype) or not types.is_numeric_dtype(y.dtype):
        if not types.is_numeric_dtype(y.dtype) and not types.is_bool_dtype(y.dtype):
            parsed = pd.to_numeric(y.astype("string"), errors="coerce")
            if parsed.notna().all() and parsed.nunique() > _MOST_CLASSES:
                return "regression", f"{distinct} different numbers"
        return "classification", f"{distinct} labels"
    values = y.to_numpy(dtype=np.float64)
    whole = bool(np.all(values == np.floor(values)))
    if distinct == 2 or (whole and distinct <= _MOST_CLASSES and distinct <= max(2, len(y) // 5)):
        return "classification", f"{distinct} different whole numbers; --task regression predicts a number instead"
    return "regression", f"{distinct} different numbers"
