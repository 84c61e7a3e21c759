"""Floor 1, data: the column to be predicted: what task it poses, labels -> codes and back."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from .columns import keys, numbers
from .table import Table, TableError, shown

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
    def learn(cls, y: pd.Series, task: str = "auto", table: Table | None = None) -> Target:
        """The target of the values y; task "auto" is inferred. `table` is where y is from, for messages.

        Raises
        ------
        TableError : for missing or infinite values, a single class, a constant, numbers that are none.
        """
        name = str(y.name) if y.name is not None else "y"
        where = _Where(name, table)
        if task not in ("auto", *TASKS):
            near = difflib.get_close_matches(str(task), TASKS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TableError(f"task must be auto, classification or regression, got {task!r}.{hint}")
        gaps = y.isna().to_numpy()
        if gaps.all():
            raise TableError(f"{where} has no {'value at all' if len(y) else 'rows'}")
        if gaps.any():
            raise TableError(
                f"{where} is missing in {int(gaps.sum())} of {len(y)} rows (first: {where.row(int(np.argmax(gaps)))}); "
                "fill them in or leave these rows out (on the command line: --drop-missing-target)"
            )
        reason = "you said so"
        if task == "auto":
            task, reason = _infer_task(y)
        return cls._numbers(where, y, reason) if task == "regression" else cls._classes(where, y, reason)

    @classmethod
    def _numbers(cls, where: _Where, y: pd.Series, reason: str) -> Target:
        values = numbers(y, where.complain)
        if len(values) > 1 and values.min() == values.max():
            raise TableError(f"{where} has the same value, {values[0]:g}, in every row; there is nothing to learn")
        return cls(where.name, "regression", reason)

    @classmethod
    def _classes(cls, where: _Where, y: pd.Series, reason: str) -> Target:
        labels = _labels(y)
        counts = pd.Series(labels).value_counts()
        if len(counts) == 1:
            raise TableError(f"{where} has one class only, {shown(counts.index[0])}; at least two are needed")
        if len(counts) > 0.5 * len(y) and len(counts) > _MOST_CLASSES:
            number = pd.api.types.is_numeric_dtype(y.dtype)
            raise TableError(
                f"{where} has {len(counts)} different values in {len(y)} rows, too many for classes; "
                + (
                    "it looks continuous: predict it as a number (task regression)"
                    if number
                    else "is it the wrong column?"
                )
            )
        classes = np.array(sorted(counts.index.tolist()), dtype=labels.dtype)
        alone = [str(c) for c in counts.index[counts == 1]]
        notes = [f"only one row has the {where.name} {', '.join(alone[:5])}: too few to learn from"] if alone else []
        return cls(where.name, "classification", reason, classes, notes)

    def encode(self, y: pd.Series, table: Table | None = None) -> np.ndarray:
        """Codes 0 … C−1 of the labels (int64), or the numbers (float64)."""
        where = _Where(self.name, table)
        if self.task == "regression":
            return numbers(y, where.complain)
        assert self.classes is not None
        labels = _labels(y)
        codes = pd.Index(self.classes).get_indexer(pd.Index(labels))
        if (codes < 0).any():  # the same labels may have been read as another type: 1, 1.0 and "1"
            codes = pd.Index(keys(pd.Series(self.classes))).get_indexer(pd.Index(keys(pd.Series(labels))))
        if (codes < 0).any():
            row = int(np.argmax(codes < 0))
            raise where.complain(
                row, labels[row], f"is a class that training had not; it had {', '.join(map(str, self.classes[:10]))}"
            )
        return np.asarray(codes, dtype=np.int64)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """The labels of codes."""
        assert self.classes is not None
        return self.classes[codes]

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(JSON-able, arrays)."""
        state: dict[str, Any] = {"name": self.name, "task": self.task, "reason": self.reason, "classes": None}
        if self.classes is not None:
            state |= {"classes": self.classes.tolist(), "dtype": self.classes.dtype.str}
        return state, {}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Target:
        """The Target that `state` gave."""
        classes = None
        if state["classes"] is not None:
            classes = np.array(state["classes"], dtype=state.get("dtype"))
        return cls(state["name"], state["task"], state["reason"], classes)


@dataclass(frozen=True)
class _Where:
    """The words for a place in the target."""

    name: str
    table: Table | None

    def __str__(self) -> str:
        return f"{self.table.name}: the target {self.name!r}" if self.table else f"the target {self.name!r}"

    def row(self, position: int) -> str:
        return self.table.row(position) if self.table else f"row {position}"

    def complain(self, position: int, value: Any, what: str) -> TableError:
        return TableError(f"{self}, {self.row(position)}: {shown(value)} {what}")


def _labels(y: pd.Series) -> np.ndarray:
    """Labels as plain comparable values, of y's own type where that is bool, integer, float or text."""
    if isinstance(y.dtype, pd.CategoricalDtype):
        y = y.astype(y.cat.categories.dtype)
    types = pd.api.types
    if types.is_bool_dtype(y.dtype):
        return y.to_numpy(dtype=bool)
    if types.is_numeric_dtype(y.dtype):
        own = (
            y.dtype
            if isinstance(y.dtype, np.dtype)
            else np.dtype(np.int64 if types.is_integer_dtype(y.dtype) else float)
        )
        return y.to_numpy(dtype=own)
    values = y.to_numpy(dtype=object)
    kinds = {type(v) for v in values}
    if kinds <= {bool, np.bool_}:
        return values.astype(bool)
    if kinds <= {int}:
        return values.astype(np.int64)
    return np.array([str(v) for v in values], dtype=object)


def _infer_task(y: pd.Series) -> tuple[str, str]:
    distinct = int(y.nunique())
    types = pd.api.types
    if isinstance(y.dtype, pd.CategoricalDtype) or types.is_bool_dtype(y.dtype):
        return "classification", f"{distinct:,} different values"
    if not types.is_numeric_dtype(y.dtype):
        if not types.is_datetime64_any_dtype(y.dtype):
            parsed = pd.to_numeric(y.astype("string"), errors="coerce")
            if parsed.notna().all() and parsed.nunique() > _MOST_CLASSES:
                return "regression", f"{distinct:,} different numbers"
        return "classification", f"{distinct:,} different values"
    values = y.to_numpy(dtype=np.float64)
    whole = bool(np.all(values == np.floor(values)))
    if distinct == 2 or (whole and distinct <= _MOST_CLASSES and distinct <= max(2, len(y) // 5)):
        return "classification", f"{distinct} different numbers; with task regression it is taken as a number"
    return "regression", f"{distinct:,} different numbers"
