"""Floor 1, data: what kind of thing a column holds, and the reason, in a sentence."""

from __future__ import annotations

import difflib
import re
import shlex
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .table import Table, TableError, shown

KINDS = ("number", "boolean", "category", "date", "text", "constant", "identifier", "empty")
# Kinds that a network is not given; the reason is said and `kinds=` overrules.
LEFT_OUT = ("text", "constant", "identifier", "empty")

# A column of strings with more than this share of distinct values is no category …
_DISTINCT_SHARE = 0.5
# … unless it has no more than so many.
_FEW = 50
# Strings longer than this on average, nearly all distinct, are text.
_TEXT_LENGTH = 25
# A string column in which this share are numbers (or dates) was meant as numbers (or dates).
_MEANT_SHARE = 0.95


@dataclass(frozen=True)
class Kind:
    """What a column is, why, and how many of its values are missing."""

    column: str
    kind: str
    reason: str
    n_missing: int = 0


def infer_kinds(table: Table, given: Mapping[str, str] | None = None) -> list[Kind]:
    """The kind of every column of a table; `given` overrules, and what the table knows already is kept."""
    given = dict(given or {})
    table.require(given)
    for column, kind in given.items():
        if kind not in KINDS:
            near = difflib.get_close_matches(str(kind), KINDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TableError(f"the kind of {column!r} must be one of {', '.join(KINDS)}; got {kind!r}.{hint}")
    found = []
    for column in table.columns:
        if column in given and (column not in table.kinds or table.kinds[column].kind != given[column]):
            missing = int(table.frame[column].isna().sum())
            found.append(Kind(column, given[column], "you said so", missing))
        else:
            found.append(table.kinds[column] if column in table.kinds else infer_kind(table, column))
    return found


def infer_kind(table: Table, column: str) -> Kind:
    """The kind of one column of a table.

    Missing everywhere: empty; one value: constant; bools: boolean; numbers: number, unless they count the rows
    (identifier); dates and date strings: date; strings: number if (nearly) all parse as numbers, identifier if
    nearly all are distinct and short, text if long and mostly distinct, else category. pandas categoricals: category.
    """
    values = table.frame[column]
    gaps = values.isna().to_numpy()
    missing = int(gaps.sum())
    present = values[~gaps] if missing else values
    if present.empty:
        return Kind(column, "empty", "every value is missing", missing)
    kind, reason = _infer(table, column, values, present)
    return Kind(column, kind, reason, missing)


def _infer(table: Table, column: str, values: pd.Series, present: pd.Series) -> tuple[str, str]:
    types = pd.api.types
    try:
        distinct = len(pd.unique(present.array))
    except (TypeError, ValueError):
        distinct = -1
    if distinct < 0 or isinstance(present.iloc[0], list | dict | tuple | set | np.ndarray):
        raise TableError(
            f"{table.name}: column {column!r} holds {type(present.iloc[0]).__name__} objects; "
            "a column must hold numbers, text, dates or true/false"
        )
    if types.is_complex_dtype(values.dtype):
        raise TableError(f"{table.name}: column {column!r} holds complex numbers. Complex data not supported")
    if distinct == 1 and len(present) == len(values) > 1:
        return "constant", f"every row has {shown(present.iloc[0])}"
    if types.is_bool_dtype(values.dtype):
        return "boolean", "true or false"
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "category", _different(distinct, "value")
    if types.is_datetime64_any_dtype(values.dtype):
        return "date", f"{_short(present.min())} to {_short(present.max())}"
    if types.is_timedelta64_dtype(values.dtype):
        return "number", "durations, in seconds"
    if types.is_numeric_dtype(values.dtype):
        return _of_numbers(column, present, distinct)
    return _of_strings(table, column, present, distinct)


def _different(n: int, what: str) -> str:
    return f"1 {what}" if n == 1 else f"{n:,} different {what}s"


def _of_numbers(column: str, present: pd.Series, distinct: int) -> tuple[str, str]:
    if len(present) > 20 and distinct == len(present) and pd.api.types.is_integer_dtype(present.dtype):
        steps = np.diff(present.to_numpy(dtype=np.float64))
        if (steps == 1).all():
            return "identifier", "it counts the rows"
        name = column.lower()
        if name in ("id", "row", "index", "key") or name.endswith(("_id", " id", "-id")):
            return "identifier", "every row has another, and its name says so"
    return "number", _different(distinct, "number")


def _of_strings(table: Table, column: str, present: pd.Series, distinct: int) -> tuple[str, str]:
    types = {type(value) for value in present.array} if present.dtype == object else {str}
    if types <= {bool, np.bool_}:
        return "boolean", "true or false"
    text = present.astype(str).str.strip()
    if distinct <= 8 and text.str.lower().isin(["true", "false"]).all():
        return "boolean", "true or false, as text"
    if types <= {str}:
        odd = text.drop_duplicates()
        numbers = pd.to_numeric(odd, errors="coerce")
        share = float(text.isin(odd[numbers.notna()]).mean()) if numbers.notna().any() else 0.0
    else:
        share = float(pd.to_numeric(text, errors="coerce").notna().mean())
    if share == 1:
        return "number", _different(distinct, "number") + ", as text"
    if share >= _MEANT_SHARE and distinct > 3:
        raise TableError(_mixed(table, column, pd.to_numeric(text, errors="coerce"), "numbers"))
    looks = text.drop_duplicates()
    looks = looks[looks.str.match(_DATE.pattern)]
    if len(looks) and text.isin(looks).mean() >= _MEANT_SHARE:
        return _of_dates(table, column, text)
    length = float(text.str.len().mean())
    if distinct > _FEW and distinct / len(present) > _DISTINCT_SHARE:
        if length > _TEXT_LENGTH or text.str.contains(" ").mean() > 0.5:
            return "text", f"{distinct:,} different texts in {len(present):,} rows"
        partly = f", {share:.0%} of them numbers" if share > 0.1 else ""
        return "identifier", f"{distinct:,} different values in {len(present):,} rows{partly}"
    if len(present) >= 10 and distinct == len(present) and length > _TEXT_LENGTH:
        return "text", f"{distinct:,} different texts in {len(present):,} rows"
    return "category", _different(distinct, "value")


def _of_dates(table: Table, column: str, text: pd.Series) -> tuple[str, str]:
    dates = parse_dates(text)
    if dates.isna().any():
        raise TableError(_mixed(table, column, dates, "dates"))
    order = "day" if is_day_first(text) else "month"
    how = f" (read as {order} first)" if _AMBIGUOUS.match(text.iloc[0]) else ""
    return "date", f"{_short(dates.min())} to {_short(dates.max())}{how}"


def _mixed(table: Table, column: str, parsed: pd.Series, what: str) -> str:
    values = table.frame[column]
    wrong = values.notna().to_numpy(copy=True)
    wrong[wrong] = parsed.isna().to_numpy()
    places = np.flatnonzero(wrong)
    some = ", ".join(f"{table.row(p)}: {shown(values.iloc[p])}" for p in places[:3]) + (
        ", …" if len(places) > 3 else ""
    )
    return (
        f"{table.name}: column {column!r} holds {what}, but {len(places)} of its {len(parsed)} values "
        f"{'is none' if len(places) == 1 else 'are none'} ({some}). Correct or empty "
        f"{'it' if len(places) == 1 else 'them'}, or say that the column is a category: "
        f"kinds={{{column!r}: 'category'}} "
        f"(on the command line --kind {shlex.quote(f'{column}=category')})"
    )


_AMBIGUOUS = re.compile(r"(\d{1,2})([./-])\d{1,2}[./-]\d{4}")
_DATE = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4}"
    r"|\d{1,2}\.?[ -][A-Za-z]{3,9}\.?[ -]\d{4}|[A-Za-z]{3,9}\.? \d{1,2},? \d{4}"
)


def is_day_first(values: pd.Series) -> bool:
    """Whether dates such as 31/12/2024 have the day before the month: points, or a first number above 12, say so."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return False
    found = (_AMBIGUOUS.match(str(value).strip()) for value in values.dropna().unique())
    return any(m[2] == "." or int(m[1]) > 12 for m in found if m)


def parse_dates(values: pd.Series, day_first: bool | None = None) -> pd.Series:
    """Dates (UTC, without zone) of a column of dates or date strings; what is no date becomes missing.

    `day_first` is what `is_day_first` says of the values where it is not given.
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        found = values
    else:
        text = values.astype("string").str.strip()
        day_first = is_day_first(text) if day_first is None else day_first
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = _to_datetime(text, False)
            if day_first:  # pandas would turn ISO dates around as well
                found = _to_datetime(text.where(text.str.match(_AMBIGUOUS.pattern)), True).fillna(found)
    if getattr(found.dt, "tz", None) is not None:
        found = found.dt.tz_convert("UTC").dt.tz_localize(None)
    return found.astype("datetime64[us]")


def _to_datetime(text: pd.Series, day_first: bool) -> pd.Series:
    return pd.to_datetime(text, errors="coerce", dayfirst=day_first, format="mixed", utc=True)


def _short(date: Any) -> str:
    return str(date)[:10]
