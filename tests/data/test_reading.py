"""What a file may look like and still be read as what was meant, and where each row stands in it."""

import io
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.data import Table, TableError, infer_kinds, read_table, shown
from chainrule.data.reading import _from_csv

PLAIN = 'name,size,when\nÄnne,1.5,2024-01-02\n"Bo, Jr",2,2024-02-03\nCy,-3.25,2024-03-04\n'


def written(tmp_path, data, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_table(path)


# name, the same table written otherwise, a note that must be there (or None for no note at all)
FORMS = [
    ("as it is", PLAIN, None),
    ("UTF-8 with mark", PLAIN.encode("utf-8-sig"), None),
    ("UTF-16", PLAIN.encode("utf-16"), None),
    ("UTF-16 big-endian", b"\xfe\xff" + PLAIN.encode("utf-16-be"), None),
    ("latin-1", PLAIN.encode("latin-1"), "not UTF-8 (first seen on line 2); it was read as Windows-1252"),
    ("CRLF", PLAIN.replace("\n", "\r\n"), None),
    ("CR", PLAIN.replace("\n", "\r"), None),
    ("no last line end", PLAIN.rstrip("\n"), None),
    ("blank lines", "\n\n" + PLAIN.replace("\n", "\n\n") + "\n  \n", None),
    ("spaces after commas", PLAIN.replace(",", ", ").replace("Bo, ", "Bo,"), None),
    ("spaces around names", PLAIN.replace("size", " size "), None),
    ("everything quoted", "\n".join(",".join(f'"{v}"' for v in row) for row in [["name", "size", "when"], ["Änne", "1.5", "2024-01-02"], ["Bo, Jr", "2", "2024-02-03"], ["Cy", "-3.25", "2024-03-04"]]), None),
    ("tabs", PLAIN.replace('"Bo, Jr"', "Bo; Jr").replace(",", "\t").replace("Bo;", "Bo,"), "separated by a tab"),
    ("semicolons", PLAIN.replace('"Bo, Jr"', "Bo# Jr").replace(",", ";").replace("Bo#", "Bo,"), "separated by a semicolon"),
    ("semicolons, decimal commas", PLAIN.replace('"Bo, Jr"', "Bo# Jr").replace(",", ";").replace("Bo#", "Bo,").replace("1.5", "1,5").replace(".25", ",25"), "decimal commas were read in size"),
    ("pipes", PLAIN.replace('"Bo, Jr"', "Bo# Jr").replace(",", "|").replace("Bo#", "Bo,"), "separated by a pipe"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "note"), [row[1:] for row in FORMS], ids=[row[0] for row in FORMS])
def test_the_same_table_written_otherwise_is_the_same_table(tmp_path, text, note):
    table = written(tmp_path, text)
    assert table.columns == ["name", "size", "when"]
    assert table.frame["name"].tolist() == ["Änne", "Bo, Jr", "Cy"]
    assert table.frame["size"].tolist() == [1.5, 2.0, -3.25]
    assert table.frame["when"].tolist() == ["2024-01-02", "2024-02-03", "2024-03-04"]
    assert any(note in found for found in table.notes) if note else table.notes == []


# text, the line on which each row begins
LINES = [
    ("a,b\n1,2\n3,4\n", [2, 3]),
    ("\n\na,b\n\n1,2\n \n3,4\n", [5, 7]),
    ('a,b\n1,"x\ny\n"\n3,4\n', [2, 5]),
    ('"a\nb",c\n1,2\n', [3]),
    ('a,b\r\n1,"x\r\ny"\r\n\r\n3,4\r\n', [2, 5]),
    ('a,b\n1,"say ""hm""\n, ok"\n3,4', [2, 4]),
]


@pytest.mark.parametrize(("text", "lines"), LINES)
def test_rows_know_their_line(tmp_path, text, lines):
    table = written(tmp_path, text)
    assert [table.row(k) for k in range(len(table))] == [f"line {n}" for n in lines]
    assert table.take(np.array([len(table) - 1])).row(0) == f"line {lines[-1]}"


def test_rows_of_a_frame_know_their_position():
    table = read_table(pd.DataFrame({"a": [1, 2, 3]}, index=[7, 7, 7]))
    assert table.take(np.array([False, False, True])).row(0) == "row 2"


# what stands in a column, what is read, what is noted
VALUES = [
    (["1,234", "12", "1,234,567.5"], [1234, 12, 1234567.5], "thousands separators were read in x"),
    (["1,5", "12", "0,25"], [1.5, 12, 0.25], "decimal commas were read in x"),
    (["1.234,5", "12", "-0,25"], [1234.5, 12, -0.25], "decimal commas were read in x"),
    (["1,234", "a", "2"], ["1,234", "a", "2"], None),
    (["?", "1", "2"], [None, 1, 2], "'?' was read as a missing value"),
    (["-", "1", "-2"], [None, 1, -2], "'-' was read as a missing value"),
    (["NA", "?", "2"], [None, None, 2], "'?' and 'NA' were read as a missing value"),
    (["", "1", "2"], [None, 1, 2], None),
    (["2024-01-01T10:00:00+02:00", "", "x"], ["2024-01-01T10:00:00+02:00", None, "x"], None),
]


@pytest.mark.parametrize(("given", "found", "note"), VALUES, ids=[str(row[0]) for row in VALUES])
def test_what_values_mean(tmp_path, given, found, note):
    table = written(tmp_path, "x,other\n" + "".join(f'"{v}",1\n' for v in given))
    read = [None if pd.isna(v) else v for v in table.frame["x"]]
    assert read == found
    assert any(note in n for n in table.notes) if note else table.notes == []


def test_columns_without_a_name_get_one(tmp_path):
    table = written(tmp_path, ",b,\n1,2,3\n")
    assert table.columns == ["column 1", "b", "column 3"]
    assert table.notes == ["the header has no name for column 1, column 3; that is what it is called here"]


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PLAIN.encode())))
    assert read_table("-").name == "standard input"


@pytest.mark.parametrize(
    "source",
    [
        {"a": [1, 2], "b": [3, 4]},
        pd.DataFrame({"a": [1, 2], "b": [3, 4]}),
        pd.DataFrame({"a": [1, 2], "b": [3, 4]}, dtype="int64[pyarrow]"),
        pl.DataFrame({"a": [1, 2], "b": [3, 4]}),
        pl.LazyFrame({"a": [1, 2], "b": [3, 4]}),
        Table(pd.DataFrame({"a": [1, 2], "b": [3, 4]})),
    ],
    ids=lambda source: type(source).__module__.split(".")[0],
)
def test_frames_of_any_kind(source):
    table = read_table(source)
    assert table.columns == ["a", "b"]
    assert table.frame.astype(int).to_numpy().tolist() == [[1, 3], [2, 4]]


def test_an_array_gets_names_and_a_frame_keeps_numbers_as_names():
    assert read_table(np.zeros((2, 3))).columns == ["x0", "x1", "x2"]
    assert read_table(pd.DataFrame(np.zeros((2, 2)))).columns == ["0", "1"]


def test_reading_leaves_the_callers_frame_alone():
    frame = pd.DataFrame({0: ["1,5", "2,5"]})
    before = frame.copy()
    read_table(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_an_unknown_column_names_its_neighbour():
    with pytest.raises(TableError, match=r"no column 'pirce'. Did you mean 'Price'\? Its columns: Price, b"):
        read_table({"Price": [1], "b": [2]}).column("pirce")


def test_values_are_shown_as_people_write_them():
    assert shown(np.int64(3)) == "3"
    assert shown(np.str_("x")) == "'x'"
    assert len(shown("y" * 1000)) <= 40


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('ab1.5,;\t|"\n\r ?-é\x0b\u2028'), max_size=60).map(lambda text: "a,b\n" + text))
def test_any_text_is_a_table_or_one_sentence(text):
    try:
        table = _from_csv(text.encode(), "t.csv")
    except TableError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert len(table.places) == len(table) > 0
    assert (np.diff(table.places) > 0).all()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_table_or_a_sentence(data):
    try:
        infer_kinds(_from_csv(data, "t.csv"))
    except TableError as error:
        assert str(error).startswith("t.csv")  # noqa: PT017
