"""Floor 1, data: one kind of column each: what is learned of it, and how its values become numbers.

Each is plain data: `learn(values)` makes it from training rows, `encode(values)` gives a float64 block of rows ×
outputs, `state()` what JSON can hold. Missing values and values never seen are counted, never guessed silently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from .kinds import is_day_first, parse_dates
from .reading import MISSING
from .table import TableError

# Categories kept apart; the rarer ones share one column.
MOST_CATEGORIES = 64
# The smooth clip x / √(1 + (x/c)²) bends values beyond ±c towards ±c. RealMLP (Holzmüller et al. 2024) has c = 3, which
# loses heavy tails: the few largest orders or delays, on which most of a sum or a squared error hangs. Here it only
# keeps a wild value from wrecking a prediction.
CLIP = 100.0


@dataclass
class Counts:
    """What happened to the values of one column while they were encoded."""

    missing: int = 0
    unseen: int = 0
    example: str = ""


def numbers(values: pd.Series, complain: Callable[[int, Any, str], TableError]) -> np.ndarray:
    """A column as float64 with NaN where missing; text that is no number, and inf, are errors."""
    if pd.api.types.is_timedelta64_dtype(values.dtype):
        return np.asarray(values.dt.total_seconds().to_numpy(dtype=np.float64))
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        raise complain(0, values.iloc[0] if len(values) else "", "is a date where a number is expected")
    if pd.api.types.is_numeric_dtype(values.dtype) and not isinstance(values.dtype, pd.CategoricalDtype):
        found = values.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        text = values.astype("string").str.strip()
        parsed = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        wrong = np.isnan(parsed) & values.notna().to_numpy() & ~text.isin(["", *MISSING]).to_numpy()
        if wrong.any():
            row = int(np.argmax(wrong))
            raise complain(row, values.iloc[row], "is not a number")
        found = parsed
    infinite = np.isinf(found)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise complain(row, values.iloc[row], "is infinite; give a finite number or leave it empty")
    return np.asarray(found)


def _scale(x: np.ndarray) -> tuple[float, float]:
    """(median, width): the interquartile range, or half the whole range where that is 0, or 1 for a constant."""
    present = x[~np.isnan(x)]
    if not present.size:
        return 0.0, 1.0
    low, middle, high = np.quantile(present, [0.25, 0.5, 0.75])
    width = float(high - low) or 0.5 * float(present.max() - present.min()) or 1.0
    return float(middle), width


def _squash(x: np.ndarray, middle: float, width: float, clip: float) -> np.ndarray:
    z = (x - middle) / width
    return z / np.sqrt(1.0 + np.square(z / clip))


@dataclass
class Number:
    """A number: (x − median)/interquartile range, smoothly clipped; missing takes the median's 0."""

    name: str
    middle: float
    width: float
    marks_missing: bool
    clip: float = CLIP
    kind = "number"

    @classmethod
    def learn(cls, name: str, values: pd.Series, complain: Callable) -> Number:
        x = numbers(values, complain)
        return cls(name, *_scale(x), bool(np.isnan(x).any()))

    @property
    def outputs(self) -> list[str]:
        return [self.name, *([f"{self.name} missing"] if self.marks_missing else [])]

    def encode(self, values: pd.Series, complain: Callable, counts: Counts) -> np.ndarray:
        x = numbers(values, complain)
        gaps = np.isnan(x)
        counts.missing = int(gaps.sum())
        z = np.where(gaps, 0.0, _squash(np.where(gaps, self.middle, x), self.middle, self.width, self.clip))
        return np.column_stack([z, gaps]) if self.marks_missing else z[:, None]


def keys(values: pd.Series) -> np.ndarray:
    """Category values as text (None where missing); whole numbers are written alike as int, float or text."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    gaps = values.isna().to_numpy()
    if pd.api.types.is_bool_dtype(values.dtype):
        text = values.astype("string").str.lower().to_numpy(dtype=object)
    elif pd.api.types.is_numeric_dtype(values.dtype):
        x = values.to_numpy(dtype=np.float64, na_value=np.nan)
        text = np.array(
            [str(int(v)) if v.is_integer() else repr(v) for v in np.where(gaps, 0.0, x).tolist()], dtype=object
        )
    else:
        text = values.astype("string").str.strip().to_numpy(dtype=object)
    text[gaps] = None
    return text


@dataclass
class Category:
    """A category: two values are one column of ±1, more are one column each; missing is 0 everywhere."""

    name: str
    categories: list[str]
    has_other: bool
    rare: list[str] = field(default_factory=list)  # those that share "other"
    kind = "category"

    @classmethod
    def learn(cls, name: str, values: pd.Series, complain: Callable) -> Category:
        found = pd.Series(keys(values)).dropna().value_counts()
        ranked = sorted(found.index, key=lambda k: (-found[k], k))
        rare = sorted(ranked[MOST_CATEGORIES:])
        return cls(name, sorted(ranked[:MOST_CATEGORIES]), bool(rare), rare)

    @property
    def outputs(self) -> list[str]:
        if len(self.categories) == 2:
            return [f"{self.name}={self.categories[1]}"]
        return [f"{self.name}={c}" for c in self.categories] + ([f"{self.name}=other"] if self.has_other else [])

    def encode(self, values: pd.Series, complain: Callable, counts: Counts) -> np.ndarray:
        text = keys(values)
        codes = pd.Index(self.categories).get_indexer(pd.Index(text, dtype=object))
        gaps = np.array([k is None for k in text], dtype=bool)
        others = (codes < 0) & ~gaps
        unseen = others & (pd.Index(self.rare).get_indexer(pd.Index(text, dtype=object)) < 0) if self.rare else others
        counts.missing, counts.unseen = int(gaps.sum()), int(unseen.sum())
        if unseen.any():
            counts.example = str(text[int(np.argmax(unseen))])
        if len(self.categories) == 2:
            return np.where(codes < 0, 0.0, 2.0 * codes - 1.0)[:, None]
        if self.has_other:
            codes = np.where(others, len(self.categories), codes)
        block = np.zeros((len(text), len(self.outputs)))
        seen = np.flatnonzero(codes >= 0)
        block[seen, codes[seen]] = 1.0
        return block


_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")


@dataclass
class Boolean:
    """True is 1, false −1, missing 0."""

    name: str
    kind = "boolean"

    @classmethod
    def learn(cls, name: str, values: pd.Series, complain: Callable) -> Boolean:
        return cls(name)

    @property
    def outputs(self) -> list[str]:
        return [self.name]

    def encode(self, values: pd.Series, complain: Callable, counts: Counts) -> np.ndarray:
        text = np.array([None if k is None else str(k).lower() for k in keys(values)], dtype=object)
        true, false = np.isin(text, _TRUE), np.isin(text, _FALSE)
        gaps = np.array([k is None for k in text], dtype=bool)
        unseen = ~(true | false | gaps)
        counts.missing, counts.unseen = int(gaps.sum()), int(unseen.sum())
        if unseen.any():
            counts.example = str(text[int(np.argmax(unseen))])
        return (true.astype(float) - false)[:, None]


_DAY = 86_400.0


@dataclass
class Date:
    """A date: its day number, the month and the weekday as points on a circle, the hour too if there are times."""

    name: str
    middle: float
    width: float
    marks_missing: bool
    has_times: bool
    day_first: bool = False
    clip: float = CLIP
    kind = "date"

    @classmethod
    def learn(cls, name: str, values: pd.Series, complain: Callable) -> Date:
        day_first = is_day_first(values.dropna())
        days = _days(_dates(values, complain, day_first))
        times = bool((np.mod(days[~np.isnan(days)], 1.0) != 0).any())
        return cls(name, *_scale(days), bool(np.isnan(days).any()), times, day_first)

    @property
    def outputs(self) -> list[str]:
        parts = ["day", "month sin", "month cos", "weekday sin", "weekday cos"]
        parts += ["hour sin", "hour cos"] if self.has_times else []
        parts += ["missing"] if self.marks_missing else []
        return [f"{self.name}.{part}" for part in parts]

    def encode(self, values: pd.Series, complain: Callable, counts: Counts) -> np.ndarray:
        dates = _dates(values, complain, self.day_first)
        days = _days(dates)
        gaps = np.isnan(days)
        counts.missing = int(gaps.sum())
        columns = [np.where(gaps, 0.0, _squash(np.where(gaps, self.middle, days), self.middle, self.width, self.clip))]
        turns = [(dates.dt.month - 1) / 12.0, dates.dt.day_of_week / 7.0]
        if self.has_times:
            turns.append((dates.dt.hour + dates.dt.minute / 60.0) / 24.0)
        for turn in turns:
            angle = 2.0 * np.pi * turn.to_numpy(dtype=np.float64, na_value=0.0)
            columns += [np.where(gaps, 0.0, np.sin(angle)), np.where(gaps, 0.0, np.cos(angle))]
        return np.column_stack([*columns, *([gaps] if self.marks_missing else [])])


def _dates(values: pd.Series, complain: Callable, day_first: bool) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values.dtype) and values.notna().any():
        row = int(np.argmax(values.notna().to_numpy()))
        raise complain(row, values.iloc[row], "is a number where a date is expected")
    if not day_first and is_day_first(values):
        row = int(np.argmax([is_day_first(values.iloc[k : k + 1]) for k in range(len(values))]))
        raise complain(row, values.iloc[row], "has the day first, where training had dates with the month first")
    found = parse_dates(values, day_first)
    wrong = (found.isna() & values.notna()).to_numpy()
    if wrong.any():
        row = int(np.argmax(wrong))
        raise complain(row, values.iloc[row], "is not a date")
    return found


def _days(dates: pd.Series) -> np.ndarray:
    """Days since 1970 as float64, NaN where missing."""
    micro = dates.astype("int64").to_numpy(dtype=np.float64)
    return np.where(dates.isna().to_numpy(), np.nan, micro / (1e6 * _DAY))


COLUMNS: dict[str, Any] = {cls.kind: cls for cls in (Number, Category, Boolean, Date)}


def column_state(column: Any) -> dict[str, Any]:
    """A learned column as JSON-able data."""
    return {"kind": column.kind, **asdict(column)}


def column_from(state: dict[str, Any]) -> Any:
    """The column that `column_state` gave."""
    fields = dict(state)
    return COLUMNS[fields.pop("kind")](**fields)
