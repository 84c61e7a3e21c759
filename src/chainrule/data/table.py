"""Floor 1, data: a table: named columns, where each row came from, and the words for what is wrong with it."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from .kinds import Kind


class TableError(ValueError):
    """Something about a table that stops the work: which table, which column, which row, and what would be right."""


@dataclass
class Table:
    """Named columns and where they came from.

    `notes` are sentences on what was noticed while reading. `places` has one number a row, the line of the file on
    which it begins (`unit` is "line") or its position in a frame ("row"); parts of a table keep those of the whole,
    and the kinds of column that were inferred from the whole.
    """

    frame: pd.DataFrame
    name: str = "the table"
    notes: list[str] = field(default_factory=list)
    places: np.ndarray | None = None
    unit: str = "row"
    kinds: dict[str, Kind] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def columns(self) -> list[str]:
        return list(self.frame.columns)

    def column(self, name: str) -> pd.Series:
        """The column of that name; an unknown one is an error that names the nearest."""
        self.require([name])
        return self.frame[name]

    def require(self, names: Iterable[str]) -> None:
        """An error for the first of these names that is no column."""
        for name in names:
            if name not in self.frame.columns:
                raise TableError(f"{self.name} has no column {name!r}.{suggestion(name, self.columns)}")

    def row(self, position: int) -> str:
        """How to name a row to a person: the line of the file, or the position in a frame (from 0)."""
        return f"{self.unit} {position if self.places is None else self.places[position]}"

    def take(self, rows: np.ndarray) -> Table:
        """Some rows (positions, or a mask) as a table that still knows where they came from."""
        places = (np.arange(len(self)) if self.places is None else self.places)[rows]
        return Table(self.frame.iloc[rows], self.name, self.notes, places, self.unit, self.kinds)

    def drop(self, names: Iterable[str]) -> Table:
        """The table without these columns."""
        left = set(names)
        keep = [c for c in self.columns if c not in left]
        return Table(self.frame[keep], self.name, self.notes, self.places, self.unit, self.kinds)


def check_names(table: Table) -> None:
    """Names become text, once each; an error where that cannot be."""
    columns = table.frame.columns
    if isinstance(columns, pd.MultiIndex):
        raise TableError(
            f"{table.name} has column names of {columns.nlevels} levels; join them into one: "
            "df.columns = ['_'.join(map(str, c)) for c in df.columns]"
        )
    if not all(type(c) is str for c in columns):
        table.frame = table.frame.set_axis([str(c) for c in columns], axis=1)
    refuse_repeated(table.frame.columns, table.name)
    if table.frame.shape[1] == 0:
        raise TableError(
            f"{table.name} has no columns: 0 feature(s) (shape={table.frame.shape}) while a minimum of 1 is required."
        )


def refuse_repeated(names: Iterable[str], table: str) -> None:
    """An error where a name occurs twice."""
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        raise TableError(f"{table} has more than one column called {', '.join(map(repr, repeated))}; rename them")


def check_has_rows(table: Table) -> None:
    """An error for a table with names but no rows."""
    if not len(table):
        raise TableError(f"{table.name} has column names but no rows")


def suggestion(name: str, columns: Iterable[Any]) -> str:
    """' Did you mean …? Its columns: …'"""
    columns = [str(c) for c in columns]
    if len(columns) == 1 and re.search(r"\W", columns[0]):
        return (
            f" It has a single column, {shown(columns[0])}: "
            "columns must be separated by a comma, semicolon, tab or pipe"
        )
    lower = {c.lower(): c for c in columns}
    near = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.5)
    hint = f" Did you mean {lower[near[0]]!r}?" if near else ""
    some = ", ".join(columns[:12]) + (f" … ({len(columns)} in all)" if len(columns) > 12 else "")
    return f"{hint} Its columns: {some}"


def shown(value: Any) -> str:
    """A value as a person would write it, not too long.

    >>> shown(np.float64(2.5)), shown("a" * 99)
    ('2.5', "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…'")
    """
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 40 else text[:37] + "…'"
