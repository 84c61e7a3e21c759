"""Floor 1, data: columns -> numbers; remembers names, kinds, categories, medians.

scikit-learn's ColumnTransformer does the same in memory, but what it has learned cannot be written to a file without
pickle, and it does not count what it has never seen; so what is learned here is plain data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .columns import COLUMNS, Counts, column_from, column_state
from .kinds import LEFT_OUT, Kind, infer_kinds
from .reading import read_table
from .table import Table, TableError, shown, suggestion


@dataclass
class Report:
    """What was met while a table was turned into numbers: counts per column."""

    n_rows: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    unseen: dict[str, tuple[int, str]] = field(default_factory=dict)  # column -> (how many, an example)
    ignored: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """The same in plain words."""
        said = [
            f"{column}: {count} of {self.n_rows} rows hold a value never seen in training (such as {example!r})"
            for column, (count, example) in self.unseen.items()
        ]
        said += [f"{column}: {count} of {self.n_rows} values are missing" for column, count in self.missing.items()]
        if self.ignored:
            said.append(f"not used: {', '.join(self.ignored)}")
        return said


class Features:
    """Named columns as a block of numbers: `learn` from training rows, then `transform` any rows.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"size": [1.0, 2.0, 3.0, 4.0], "colour": ["red", "blue", "red", None]})
    >>> features = Features.learn(frame)
    >>> features.names
    ['size', 'colour=red']
    >>> features.transform(frame)[0][:, 1]
    array([ 1., -1.,  1.,  0.], dtype=float32)
    """

    def __init__(self, kinds: list[Kind], columns: list[Any]):
        self.kinds = kinds  # of every column of the training table
        self.columns = columns  # those that are used, learned

    @classmethod
    def learn(cls, source: Any, *, kinds: Mapping[str, str] | None = None) -> Features:
        """Learn from training rows; `kinds` overrules what is inferred."""
        table = read_table(source)
        found = infer_kinds(table, kinds)
        used = [kind for kind in found if kind.kind not in LEFT_OUT]
        if not used:
            said = "; ".join(f"{k.column} ({k.kind}: {k.reason})" for k in found[:8]) + (" …" if len(found) > 8 else "")
            raise TableError(
                f"{table.name} has no column that can be learned from: {said}. To use one anyway, say its kind "
                "(on the command line --kind COLUMN=KIND)"
            )
        columns = [COLUMNS[k.kind].learn(k.column, table.frame[k.column], _complain(table, k.column)) for k in used]
        return cls(found, columns)

    @property
    def names(self) -> list[str]:
        """The D_0 names of the block's columns."""
        return [name for column in self.columns for name in column.outputs]

    def transform(self, source: Any, dtype: Any = np.float32) -> tuple[np.ndarray, Report]:
        """(block N × D_0, report): columns are found by name, in any order; other columns are ignored and named."""
        table = read_table(source)
        lacking = [column.name for column in self.columns if column.name not in table.frame.columns]
        if lacking:
            raise TableError(
                f"{table.name} lacks the column{'s' * (len(lacking) > 1)} {', '.join(map(repr, lacking[:8]))}"
                f"{' …' if len(lacking) > 8 else ''}, which the model was trained on."
                + suggestion(lacking[0], table.columns)
            )
        known = {kind.column for kind in self.kinds}
        report = Report(len(table), ignored=[c for c in table.columns if c not in known])
        block = np.empty((len(table), len(self.names)), dtype)
        at = 0
        for column in self.columns:
            counts = Counts()
            part = column.encode(table.frame[column.name], _complain(table, column.name), counts)
            block[:, at : at + part.shape[1]] = part
            at += part.shape[1]
            if counts.missing:
                report.missing[column.name] = counts.missing
            if counts.unseen:
                report.unseen[column.name] = (counts.unseen, counts.example)
        return block, report

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(JSON-able, arrays): all that was learned."""
        return {"kinds": [asdict(k) for k in self.kinds], "columns": [column_state(c) for c in self.columns]}, {}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Features:
        """The Features that `state` gave."""
        return cls([Kind(**k) for k in state["kinds"]], [column_from(c) for c in state["columns"]])


def _complain(table: Table, column: str):
    def complaint(row: int, value: Any, what: str) -> TableError:
        return TableError(f"{table.name}: column {column!r}, {table.row(row)}: {shown(value)} {what}")

    return complaint
