"""Floor 1, data: CSV, Parquet, DataFrame, array -> Table; what cannot be read is said with file and line."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .table import Table, TableError, check_has_rows, check_names, refuse_repeated

# What stands for a missing value in text: pandas' list and these.
MISSING = ("?", "-")
# Of all that is read as missing, what could have meant something: said when it occurs.
_DOUBTFUL = ("?", "-", "NA", "N/A", "n/a", "None", "null", "NULL", "nan", "NaN")
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_BINARY = {
    b"PK\x03\x04": "a ZIP or Excel file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip file",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
}
# Lines read to find the delimiter.
_SAMPLE = 200
# 1,234,567.8 and 1.234.567,8
_THOUSANDS = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_DECIMAL_COMMA = r"[-+]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?"


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
        return _from_file(source, name)
    table = Table(_frame(source), name or "the table")
    check_names(table)
    return table


def _frame(source: Any) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return source
    if hasattr(source, "toarray"):
        raise TypeError(f"sparse data ({type(source).__name__}) cannot be read as a table; pass X.toarray()")
    if hasattr(source, "collect") and hasattr(source, "lazy"):  # a lazy polars frame
        source = source.collect()
    if hasattr(source, "to_pandas"):
        frame = source.to_pandas()
        return frame.to_frame() if isinstance(frame, pd.Series) else frame
    if isinstance(source, dict):
        try:
            lengths = {key: len(values) for key, values in source.items()}
        except TypeError:
            raise TableError("a dict of columns needs a list of values for each name") from None
        if len(set(lengths.values())) > 1:
            raise TableError(f"the columns have different lengths: {lengths}")
        return pd.DataFrame(source)
    return _frame_of_array(source)


def _frame_of_array(source: Any) -> pd.DataFrame:
    try:
        array = np.asarray(source)
    except ValueError:
        raise TableError("the rows of the table have different lengths") from None
    if array.ndim != 2:
        raise TableError(
            "a table needs rows and columns: expected a DataFrame or a 2-D array, got "
            f"{type(source).__name__} of shape {array.shape}. Reshape your data: X.reshape(-1, 1) for a single column, "
            "X.reshape(1, -1) for a single row"
        )
    if array.dtype.kind == "c":
        raise TableError("Complex data not supported: give the real and the imaginary part a column each")
    return pd.DataFrame(array, columns=array_names(array.shape[1])).infer_objects()


def array_names(n: int) -> list[str]:
    """What the columns of an array are called."""
    return [f"x{j}" for j in range(n)]


# ---------------------------------------------------------------- files


def _from_file(source: str | Path, called: str | None) -> Table:
    if str(source) == "-":
        return _from_csv(sys.stdin.buffer.read(), called or "standard input")
    path = Path(source)
    name = called or str(path)
    if not path.exists():
        raise TableError(_no_file(path))
    if path.is_dir():
        raise TableError(f"{str(path)!r} is a folder; give the name of a CSV or Parquet file in it")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return _from_parquet(path, name)
        data = path.read_bytes()
    except OSError as error:
        raise TableError(f"cannot read {str(path)!r}: {error.strerror}") from error
    if path.suffix.lower() == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise TableError(f"{str(path)!r} is not a whole gzip file: {error}") from error
    return _from_csv(data, name)


def _no_file(path: Path) -> str:
    folder = path.parent if str(path.parent) else Path()
    names = [p.name for p in folder.iterdir() if p.is_file()] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    hint = f" Did you mean {str(path.parent / near[0])!r}?" if near else ""
    where = "" if folder.is_dir() else f" (there is no folder {str(folder)!r})"
    return f"there is no file {str(path)!r}{where}.{hint}"


def _from_parquet(path: Path, name: str) -> Table:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise TableError(
            f'reading the Parquet file {str(path)!r} needs pyarrow: pip install "chainrule[parquet]"'
        ) from None
    if path.stat().st_size == 0:
        raise TableError(f"{name} is empty")
    try:
        frame = pd.read_parquet(path)
    except Exception as error:
        raise TableError(f"{str(path)!r} is not a whole Parquet file: {str(error).splitlines()[0]}") from error
    table = Table(frame.reset_index(drop=True), name)
    check_names(table)
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
        raise TableError(_zero_byte(data, text, name))
    if "\n" not in text:
        text = text.replace("\r", "\n")
    delimiter = _delimiter(text, name, notes)
    header, lines, doubtful = _check_lines(text, delimiter, name)
    names = _column_names(header, name, notes)
    frame = _parse(text, delimiter, names, name)
    if len(frame) != len(lines):
        raise TableError(
            f"{name} has {len(lines)} rows by its quotes and {len(frame)} by its line ends; mend the quotes"
        )
    _read_commas(frame, delimiter, notes)
    table = Table(frame, name, notes, lines, "line")
    check_names(table)
    check_has_rows(table)
    if doubtful:
        which = " and ".join(repr(word) for word in _DOUBTFUL if word in doubtful)
        notes.append(f"{which} {'was' if len(doubtful) == 1 else 'were'} read as a missing value")
    return table


def _decode(data: bytes, name: str, notes: list[str]) -> str:
    for mark, encoding in ((b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16-LE"), (b"\xfe\xff", "UTF-16-BE")):
        if data.startswith(mark):
            try:
                return data[len(mark) :].decode(encoding)
            except UnicodeDecodeError as error:
                line = data[: len(mark) + error.start].count(b"\n") + 1
                raise TableError(
                    f"{name} begins as {encoding} text but line {line} is not ({error.reason}); save it as UTF-8"
                ) from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        notes.append(f"{name} is not UTF-8 (first seen on line {line}); it was read as Windows-1252 (latin-1)")
        return data.decode("cp1252" if _is_cp1252(data) else "latin-1")


def _is_cp1252(data: bytes) -> bool:
    return not any(byte in data for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D))


def _zero_byte(data: bytes, text: str, name: str) -> str:
    if max(data[:200:2].count(0), data[1:200:2].count(0)) > 0.4 * len(data[:200:2]):
        return f"{name} looks like UTF-16 text without its mark; save it as UTF-8"
    line = text[: text.index("\x00")].count("\n") + 1
    return f"{name} is not text: line {line} holds a zero byte; export the table as CSV"


def _reader(text: str, delimiter: str):
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)


def _delimiter(text: str, name: str, notes: list[str]) -> str:
    """The character that splits the first lines into the same number of fields, more than one; commas win ties."""
    sample = "\n".join(text.splitlines()[:_SAMPLE])
    found: dict[str, tuple[float, int]] = {}
    for delimiter in _DELIMITERS:
        try:
            widths = [len(row) for row in _reader(sample, delimiter) if row]
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


def _is_blank(row: list[str]) -> bool:
    return not row or (len(row) == 1 and not row[0].strip())


def _check_lines(text: str, delimiter: str, name: str) -> tuple[list[str], np.ndarray, set[str]]:
    """(names, the line on which each row begins, words read as missing); a row of another width is an error."""
    words = frozenset(_DOUBTFUL)
    doubtful: set[str] = set()
    reader = _reader(text, delimiter)
    header: list[str] | None = None
    lines: list[int] = []
    begins = at = 1
    try:
        for row in reader:
            if _is_blank(row):
                pass
            elif header is None:
                header, at = row, begins
            elif len(row) != len(header):
                raise TableError(_wrong_width(name, (len(row), len(header), at), (begins, reader.line_num), delimiter))
            else:
                lines.append(begins)
                doubtful |= words.intersection(row)
            begins = reader.line_num + 1
    except csv.Error as error:
        what = "is a quote never closed?" if "field limit" in str(error) else str(error)
        raise TableError(f"{name}: line {begins} cannot be read: {what}") from error
    return header or [], np.array(lines, dtype=np.int64), doubtful


def _wrong_width(name: str, counts: tuple[int, int, int], lines: tuple[int, int], delimiter: str) -> str:
    found, wanted, header = counts
    begins, ends = lines
    where = f"line {begins}" if begins == ends else f"the row from line {begins} to line {ends}"
    if begins != ends:
        hint = "is a quote never closed?"
    elif wanted == 1:
        hint = f"the names of the columns must come first; delete what stands before line {begins}"
    elif found > wanted:
        hint = f"a value with a {_DELIMITERS[delimiter]} in it must stand in quotes"
    else:
        hint = f"a missing value still needs its {_DELIMITERS[delimiter]}"
    fields = f"{found} field{'s' * (found != 1)}"
    return f"{name}: {where} has {fields}, the header (line {header}) has {wanted}; {hint}"


def _column_names(header: list[str], name: str, notes: list[str]) -> list[str]:
    names = [c.strip() or f"column {k + 1}" for k, c in enumerate(header)]
    refuse_repeated(names, name)
    unnamed = [k + 1 for k, c in enumerate(header) if not c.strip()]
    if unnamed:
        which = ", ".join(f"column {k}" for k in unnamed[:8]) + (" …" if len(unnamed) > 8 else "")
        notes.append(f"the header has no name for {which}; that is what it is called here")
    return names


def _parse(text: str, delimiter: str, names: list[str], name: str) -> pd.DataFrame:
    try:
        return pd.read_csv(
            io.StringIO(text, newline=""), sep=delimiter, header=0, names=names, index_col=False,
            na_values=list(MISSING), skipinitialspace=True, low_memory=False, skip_blank_lines=True,
        )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise TableError(f"{name} cannot be read as CSV: {str(error).splitlines()[0]}") from error


def _read_commas(frame: pd.DataFrame, delimiter: str, notes: list[str]) -> None:
    """Columns whose every value is a number with commas in it, as numbers: 1,234.5 or 1.234,5.

    Both readings fit 1,234; it is a thousand where commas separate the columns, else a decimal comma.
    """
    readings = [("thousands separators", _THOUSANDS, ",", ""), ("decimal commas", _DECIMAL_COMMA, ".", ",")]
    changed: dict[str, list[str]] = {}
    for column in frame.columns:
        values = frame[column]
        if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            continue
        text = values.dropna().astype(str).str.strip()
        if not len(text) or not text.iloc[:50].str.fullmatch(r"[-+\d.,]+").all() or not text.str.contains(",").any():
            continue
        for what, pattern, drop, point in readings if delimiter == "," else readings[::-1]:
            if text.str.fullmatch(pattern).all():
                plain = values.astype("string").str.strip().str.replace(drop, "", regex=False)
                plain = plain.str.replace(point, ".", regex=False) if point else plain
                frame[column] = pd.to_numeric(plain).astype("float64")
                changed.setdefault(what, []).append(column)
                break
    notes.extend(f"{what} were read in {', '.join(columns)}" for what, columns in changed.items())
