"""Floor 1, data: CSV, Parquet, DataFrame, array -> named columns; every complaint about input is written here."""

from __future__ import annotations

import csv
import difflib
import io
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# What stands for a missing value in text: pandas' list and these.
MISSING = ("?",)
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_BINARY = {
    b"PK\x03\x04": "a ZIP or Excel file",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip file",
    b"%PDF": "a PDF",
}
# Lines read to find the delimiter.
_SAMPLE = 200


class TableError(ValueError):
    """Something about a table that stops the work: which table, which column, which row, and what would be right."""


@dataclass
class Table:
    """Named columns and where they came from; `notes` are sentences on what was noticed while reading."""

    frame: pd.DataFrame
    name: str = "the table"
    notes: list[str] = field(default_factory=list)
    first_line: int | None = None  # the line of the file on which row 0 stands

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
        for name in names:
            if name not in self.frame.columns:
                raise TableError(f"{self.name} has no column {name!r}.{suggestion(name, self.columns)}")

    def row(self, position: int) -> str:
        """How to name a row to a person: the line of the file, or the position in a frame."""
        if self.first_line is None:
            return f"row {position}"
        return f"line {self.first_line + position}"


def suggestion(name: str, columns: Iterable[Any]) -> str:
    """' Did you mean …? Its columns: …'"""
    columns = [str(c) for c in columns]
    lower = {c.lower(): c for c in columns}
    near = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.5)
    hint = f" Did you mean {lower[near[0]]!r}?" if near else ""
    shown = ", ".join(columns[:12]) + (f" … ({len(columns)} in all)" if len(columns) > 12 else "")
    return f"{hint} Its columns: {shown}"


def read_table(source: Any, *, name: str | None = None) -> Table:
    """Read rows from wherever they are.

    Parameters
    ----------
    source : a path to CSV (`.csv`, `.tsv`, `.txt`, also `.gz`) or Parquet (`.parquet`, `.pq`), "-" for standard
        input, a DataFrame (pandas, polars, or anything with `to_pandas`), a 2-D array, or a dict of columns
    name : what to call it in messages

    Returns
    -------
    Table

    Raises
    ------
    TableError : with the file, column and line, for anything that cannot be read as a table.

    >>> read_table({"a": [1, 2], "b": ["x", "y"]}).columns
    ['a', 'b']
    """
    if isinstance(source, Table):
        return source
    if isinstance(source, str | Path):
        return _from_file(source)
    table = Table(_frame(source), name or "the table")
    _check_names(table)
    return table


def _frame(source: Any) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return source
    if hasattr(source, "to_pandas"):
        return source.to_pandas()
    if isinstance(source, dict):
        lengths = {key: len(values) for key, values in source.items()}
        if len(set(lengths.values())) > 1:
            raise TableError(f"the columns have different lengths: {lengths}")
        return pd.DataFrame(source)
    array = np.asarray(source)
    if array.ndim != 2:
        raise TableError(
            f"a table needs rows and columns: expected a DataFrame or a 2-D array, got {type(source).__name__} of shape "
            f"{array.shape}"
        )
    return pd.DataFrame(array, columns=[f"x{j}" for j in range(array.shape[1])])


def _check_names(table: Table) -> None:
    columns = table.frame.columns
    if isinstance(columns, pd.MultiIndex):
        raise TableError(f"{table.name} has column names of several levels; join them into one level")
    if not all(isinstance(c, str) for c in columns):
        table.frame = table.frame.set_axis([str(c) for c in columns], axis=1)
    repeated = [str(c) for c, n in Counter(table.frame.columns).items() if n > 1]
    if repeated:
        raise TableError(f"{table.name} has more than one column called {', '.join(map(repr, repeated))}; rename them")
    if table.frame.shape[1] == 0:
        raise TableError(f"{table.name} has no columns")


def check_has_rows(table: Table) -> None:
    """An error for a table with names but no rows."""
    if not len(table):
        raise TableError(f"{table.name} has column names but no rows")


# ---------------------------------------------------------------- files


def _from_file(source: str | Path) -> Table:
    if str(source) == "-":
        return _from_csv(sys.stdin.buffer.read(), "standard input")
    path = Path(source)
    if not path.exists():
        folder = path.parent if str(path.parent) else Path()
        names = [p.name for p in folder.iterdir() if p.is_file()] if folder.is_dir() else []
        near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
        hint = f" Did you mean {str(path.parent / near[0])!r}?" if near else ""
        where = "" if folder.is_dir() else f" (there is no folder {folder})"
        raise TableError(f"there is no file {str(path)!r}{where}.{hint}")
    if path.is_dir():
        raise TableError(f"{str(path)!r} is a folder; give the name of a CSV or Parquet file in it")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return _from_parquet(path)
        data = path.read_bytes()
    except OSError as error:
        raise TableError(f"cannot read {str(path)!r}: {error.strerror}") from error
    if path.suffix.lower() == ".gz":
        import gzip

        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise TableError(f"{str(path)!r} is not a whole gzip file: {error}") from error
    return _from_csv(data, str(path))


def _from_parquet(path: Path) -> Table:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise TableError(
            f'reading the Parquet file {str(path)!r} needs pyarrow: pip install "chainrule[parquet]"'
        ) from None
    try:
        frame = pd.read_parquet(path)
    except Exception as error:
        raise TableError(f"{str(path)!r} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    table = Table(frame.reset_index(drop=True), str(path))
    _check_names(table)
    check_has_rows(table)
    return table


def _from_csv(data: bytes, name: str) -> Table:
    notes: list[str] = []
    for start, what in _BINARY.items():
        if data.startswith(start):
            raise TableError(f"{name} is {what}, not CSV text; give it its usual ending or export it as CSV")
    text = _decode(data, name, notes)
    if not text.strip():
        raise TableError(f"{name} is empty")
    if "\x00" in text:
        raise TableError(f"{name} is not text: line {text[: text.index(chr(0))].count(chr(10)) + 1} holds a zero byte")
    delimiter = _delimiter(text, name, notes)
    header = _check_lines(text, delimiter, name)
    frame = _parse(text, delimiter, name)
    if delimiter == ";":
        _read_decimal_commas(frame, notes)
    table = Table(frame, name, notes, first_line=header + 1)
    _check_names(table)
    check_has_rows(table)
    _note_question_marks(text, notes)
    return table


def _decode(data: bytes, name: str, notes: list[str]) -> str:
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                raise TableError(f"{name} begins as {encoding} text but is not: {error.reason}") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        notes.append(f"{name} is not UTF-8 (first seen on line {line}); it was read as Windows-1252 (latin-1)")
        return data.decode("cp1252", errors="replace") if _is_cp1252(data) else data.decode("latin-1")


def _is_cp1252(data: bytes) -> bool:
    return not any(byte in data for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D))


def _rows(text: str, delimiter: str) -> Iterable[list[str]]:
    return csv.reader(io.StringIO(text), delimiter=delimiter)


def _delimiter(text: str, name: str, notes: list[str]) -> str:
    """The character that splits the first lines into the same number of fields, more than one; commas win ties."""
    sample = "\n".join(text.splitlines()[:_SAMPLE])
    found: dict[str, tuple[float, int]] = {}
    for delimiter in _DELIMITERS:
        try:
            widths = [len(row) for row in _rows(sample, delimiter) if row]
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            found[delimiter] = (sum(w == widths[0] for w in widths) / len(widths), widths[0])
    if not found:
        return ","
    best = max(found, key=lambda d: (round(found[d][0], 1), d == ",", found[d][1]))
    if best != ",":
        notes.append(f"the columns of {name} are separated by a {_DELIMITERS[best]}")
    return best


def _check_lines(text: str, delimiter: str, name: str) -> int:
    """The line of the header; a row with more or fewer fields than names is an error that names its line."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    header: list[str] | None = None
    at = 0
    try:
        for row in reader:
            if not row:
                continue
            if header is None:
                header, at = row, reader.line_num
                _check_header(header, name)
            elif len(row) != len(header):
                raise TableError(
                    f"{name}: line {reader.line_num} has {len(row)} fields, the header has {len(header)} "
                    f"({_DELIMITERS[delimiter]}-separated); a field with the separator in it must be quoted"
                )
    except csv.Error as error:
        raise TableError(f"{name}: line {reader.line_num} cannot be read: {error}") from error
    return at


def _check_header(header: list[str], name: str) -> None:
    repeated = [c for c, n in Counter(header).items() if n > 1]
    if repeated:
        raise TableError(f"{name} has more than one column called {', '.join(map(repr, repeated))}; rename them")
    unnamed = [k for k, c in enumerate(header) if not c.strip()]
    if len(unnamed) > 1:
        raise TableError(f"{name}: columns {', '.join(str(k + 1) for k in unnamed)} have no name in the header")


def _parse(text: str, delimiter: str, name: str) -> pd.DataFrame:
    try:
        return pd.read_csv(
            io.StringIO(text), sep=delimiter, na_values=list(MISSING), skipinitialspace=True, low_memory=False,
            skip_blank_lines=True,
        ).rename(columns=lambda c: "row" if c == "Unnamed: 0" else c)  # fmt: skip
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise TableError(f"{name} cannot be read as CSV: {str(error).splitlines()[0]}") from error


def _read_decimal_commas(frame: pd.DataFrame, notes: list[str]) -> None:
    changed = []
    for column in frame.columns:
        values = frame[column]
        if not (pd.api.types.is_object_dtype(values) or pd.api.types.is_string_dtype(values)):
            continue
        text = values.dropna().astype(str)
        if len(text) and text.str.fullmatch(r"\s*[-+]?\d{1,3}(\.\d{3})*,\d+\s*|\s*[-+]?\d+(,\d+)?\s*").all():
            swapped = values.astype("string").str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
            frame[column] = pd.to_numeric(swapped).astype("float64")
            changed.append(column)
    if changed:
        notes.append(f"decimal commas were read in {', '.join(changed)}")


def _note_question_marks(text: str, notes: list[str]) -> None:
    if any(f"{a}?{b}" in text for a in ",;\t|" for b in (",", ";", "\t", "|", "\n", "\r")):
        notes.append("'?' was read as a missing value")
