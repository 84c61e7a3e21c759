"""Floor 1, data: what kind of thing a column holds, and the reason, in a sentence."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .table import Table, TableError

KINDS = ("number", "boolean", "category", "date", "text", "constant", "identifier", "empty")
# Kinds that a network is not given; the reason is said and `kinds=` overrules.
LEFT_OUT = ("text", "constant", "identifier", "empty")

# A column of strings with more than this share of distinct values is no category …
_DISTINCT_SHARE = 0.5
# … unless it has no more than so many.
_FEW = 50
# Strings longer than this on average, nearly all distinct, are text.
_TEXT_LENGTH = 25
# A string column in which this share parses as numbers was meant as numbers.
_NUMBERS_SHARE = 0.95


@dataclass(frozen=True)
class Kind:
    """What a column is, why, and how many of its values are missing."""

    column: str
    kind: str
    reason: str
    n_missing: int = 0


def infer_kind(table: Table, column: str, given: str | None = None) -> Kind:
    """The kind of one column of a table.

    Missing everywhere: empty; one value: constant; bools: boolean; numbers: number, unless they count the rows
    (identifier); dates and ISO date strings: date; strings: number if (nearly) all parse as numbers, identifier if
    all are distinct and short, text if long and mostly distinct, else category. pandas categoricals: category.
    """
    values = table.frame[column]
    missing = int(values.isna().sum())
    if given is not None:
        if given not in KINDS:
            raise TableError(f"kinds[{column!r}] must be one of {', '.join(KINDS)}, got {given!r}")
        return Kind(column, given, "you said so", missing)
    present = values.dropna()
    if present.empty:
        return Kind(column, "empty", "every value is missing", missing)
    kind, reason = _infer(table, column, values, present)
    return Kind(column, kind, reason, missing)


def _infer(table: Table, column: str, values: pd.Series, present: pd.Series) -> tuple[str, str]:
    types = pd.api.types
    try:
        distinct = int(present.nunique())
    except TypeError:
        raise TableError(
            f"{table.name}: column {column!r} holds {type(present.iloc[0]).__name__} objects; "
            "a column must hold numbers, text, dates or true/false"
        ) from None
    if distinct == 1 and (len(present) == len(values) or not types.is_numeric_dtype(values)) and len(values) > 1:
        if len(present) == len(values):
            return "constant", f"every row has {_short(present.iloc[0])}"
    if types.is_bool_dtype(values.dtype):
        return "boolean", "true or false"
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "category", f"{distinct} categories"
    if types.is_datetime64_any_dtype(values.dtype):
        return "date", "dates"
    if types.is_numeric_dtype(values.dtype):
        return _of_numbers(column, present, distinct)
    if types.is_timedelta64_dtype(values.dtype):
        return "number", "durations, in seconds"
    return _of_strings(table, column, present, distinct)


def _of_numbers(column: str, present: pd.Series, distinct: int) -> tuple[str, str]:
    if len(present) > 20 and distinct == len(present) and pd.api.types.is_integer_dtype(present.dtype):
        steps = np.diff(present.to_numpy(dtype=np.float64))
        if (steps == 1).all():
            return "identifier", "it counts the rows"
        name = column.lower()
        if name in ("id", "row", "index", "key") or name.endswith(("_id", " id", "-id")):
            return "identifier", "every row has another, and its name says so"
    return "number", f"{distinct} different numbers"


def _of_strings(table: Table, column: str, present: pd.Series, distinct: int) -> tuple[str, str]:
    kinds = {type(value) for value in present.array} if present.dtype == object else {str}
    text = present.astype(str).str.strip()
    if kinds <= {bool, np.bool_}:
        return "boolean", "true or false"
    if text.str.lower().isin(["true", "false"]).all():
        return "boolean", "true or false, as text"
    numbers = pd.to_numeric(text, errors="coerce")
    share = float(numbers.notna().mean())
    if share == 1:
        return "number", f"{distinct} different numbers, as text"
    if share >= _NUMBERS_SHARE and numbers.nunique() > 2:
        raise TableError(_mixed(table, column, present, numbers))
    if _are_dates(text):
        return "date", "dates, as text"
    length = float(text.str.len().mean())
    if distinct > _FEW and distinct / len(present) > _DISTINCT_SHARE:
        if length > _TEXT_LENGTH or text.str.contains(" ").mean() > 0.5:
            return "text", f"{distinct} different texts in {len(present)} rows"
        return "identifier", f"{distinct} different values in {len(present)} rows"
    if len(present) >= 10 and distinct == len(present) and length > _TEXT_LENGTH:
        return "text", f"{distinct} different texts in {len(present)} rows"
    return "category", f"{distinct} categories"


def _mixed(table: Table, column: str, present: pd.Series, numbers: pd.Series) -> str:
    odd = present[numbers.isna()]
    places = [int(table.frame.index.get_loc(k)) if table.frame.index.is_unique else 0 for k in odd.index[:3]]
    shown = ", ".join(f"{table.row(p)}: {_short(v)}" for p, v in zip(places, odd.iloc[:3], strict=False))
    return (
        f"{table.name}: column {column!r} holds numbers, but {len(odd)} of its {len(present)} values are not ({shown}). "
        f"Correct or empty them, or say that it is a category: kinds={{{column!r}: 'category'}} "
        f"(on the command line --kind {column}=category)"
    )


def _are_dates(text: pd.Series) -> bool:
    sample = text.iloc[:1000]
    if not sample.str.match(r"\d{4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4}").all():
        return False
    return bool(parse_dates(text).notna().all())


def parse_dates(values: pd.Series) -> pd.Series:
    """Dates (UTC, without zone) of a column of dates or date strings; what is no date becomes missing.

    Day before month where the first number of any value is above 12, as in 31.12.2024; else ISO and month first.
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        found = values
    else:
        text = values.astype("string").str.strip()
        parts = text.str.extract(r"^(\d{1,2})[./-](\d{1,2})[./-]\d{4}")
        day_first = bool((pd.to_numeric(parts[0]) > 12).any()) or bool(text.str.match(r"\d{1,2}\.").any())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = pd.to_datetime(text, errors="coerce", dayfirst=day_first, format="mixed", utc=True)
    if getattr(found.dt, "tz", None) is not None:
        found = found.dt.tz_convert("UTC").dt.tz_localize(None)
    return found.astype("datetime64[us]")


def _short(value: Any) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 40 else text[:37] + "…'"
