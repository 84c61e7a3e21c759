"""Kinds of column, and columns as numbers: the kinds are walked, what was learned is plain data."""

import json

import numpy as np
import pandas as pd
import pytest

from chainrule.data import KINDS, LEFT_OUT, Features, TableError, infer_kinds, read_table
from chainrule.data.columns import COLUMNS, MOST_CATEGORIES, Counts

N = 60
_k = np.arange(N)
_text = [f"a long story about number {k} and what it did" for k in range(N)]
# name, values, kind, a word of the reason
COLUMN_KINDS = [
    ("floats", _k * 1.5, "number", "60 different numbers"),
    ("few whole numbers", _k % 3, "number", "3 different numbers"),
    ("numbers as text", (_k * 1.5).astype(str), "number", "as text"),
    ("numbers and a gap", np.where(_k == 3, np.nan, _k % 7), "number", "7"),
    ("durations", pd.to_timedelta(_k, unit="h"), "number", "seconds"),
    ("bools", _k % 2 == 0, "boolean", "true or false"),
    ("bools as text", np.where(_k % 2, "True", "FALSE"), "boolean", "as text"),
    ("bools with a gap", [None, *[True, False] * 29, True], "boolean", "true or false"),
    ("nullable bools", pd.array([None, *[True, False] * 29, True], dtype="boolean"), "boolean", "true or false"),
    ("words", np.array(["u", "v", "w"])[_k % 3], "category", "3 different values"),
    ("categoricals of numbers", pd.Categorical(_k % 4), "category", "4 different values"),
    ("one word and gaps", np.where(_k % 2, "u", None), "category", "1 value"),
    ("mixed objects", [1, "a", 2.5] * 20, "category", "3"),
    ("dates", pd.date_range("2024-01-01", periods=N), "date", "2024-01-01 to 2024-02-29"),
    ("dates with zones", pd.date_range("2024-01-01", periods=N, tz="Asia/Tokyo"), "date", "2024"),
    ("ISO dates", pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d"), "date", "2024-01-01 to 2024-02-29"),
    ("ISO times with zones", [f"2024-01-01T{k % 24:02d}:30:00{'+02:00' if k % 2 else 'Z'}" for k in _k], "date", "2024"),
    ("German dates", [f"{k % 28 + 1}.{k % 12 + 1}.2023" for k in _k], "date", "day first"),
    ("slashes, day above 12", [f"{k % 28 + 1}/{k % 12 + 1}/2023" for k in _k], "date", "day first"),
    ("slashes, ambiguous", [f"{k % 12 + 1}/{k % 5 + 1}/2023" for k in _k], "date", "month first"),
    ("written months", [f"{k % 28 + 1} Mar 2023" for k in _k], "date", "2023-03-01 to 2023-03-28"),
    ("American months", [f"March {k % 28 + 1}, 2023" for k in _k], "date", "2023-03-01 to 2023-03-28"),
    ("stories", _text, "text", "60 different texts in 60 rows"),
    ("keys", [f"P{k:04d}" for k in _k], "identifier", "60 different values in 60 rows"),
    ("counted rows", _k + 1, "identifier", "it counts the rows"),
    ("numbers called id", (_k * 7919) % 997, "identifier", "its name says so"),
    ("the same", np.full(N, 2.5), "constant", "every row has 2.5"),
    ("the same word", ["x"] * N, "constant", "every row has 'x'"),
    ("nothing", [None] * N, "empty", "every value is missing"),
    ("no numbers", np.full(N, np.nan), "empty", "every value is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values", "kind", "reason"), COLUMN_KINDS, ids=[row[0] for row in COLUMN_KINDS])
def test_the_kind_is_inferred_and_the_reason_said(name, values, kind, reason):
    column = "order_id" if name == "numbers called id" else "c"
    frame = pd.DataFrame({column: values})
    found = infer_kinds(read_table(frame))[0]
    assert (found.kind, found.n_missing) == (kind, int(frame[column].isna().sum()))
    assert reason in found.reason


def test_every_kind_is_inferred_by_some_row():
    assert {row[2] for row in COLUMN_KINDS} == set(KINDS)
    assert set(KINDS) - set(LEFT_OUT) == set(COLUMNS)


USED = [row for row in COLUMN_KINDS if row[2] in COLUMNS]


@pytest.mark.parametrize(("values", "kind"), [row[1:3] for row in USED], ids=[row[0] for row in USED])
def test_a_column_becomes_finite_numbers_of_order_1_and_survives_json(values, kind):
    frame = pd.DataFrame({"c": values, "other": _k * 0.5})
    features = Features.learn(frame)
    block, report = features.transform(frame, dtype=np.float64)
    assert block.shape == (N, len(features.names))
    assert np.isfinite(block).all()
    assert np.abs(block).max() <= 3
    assert report.unseen == {}
    assert report.missing == ({"c": int(frame["c"].isna().sum())} if frame["c"].isna().any() else {})
    state, arrays = features.state()
    again = Features.from_state(json.loads(json.dumps(state)), arrays)
    assert again.names == features.names
    assert np.array_equal(again.transform(frame, dtype=np.float64)[0], block)


def test_the_part_of_a_table_keeps_the_kinds_of_the_whole():
    table = read_table({"key": [f"P{k:04d}" for k in range(N)], "x": _k * 1.5})
    table.kinds = {kind.column: kind for kind in infer_kinds(table)}
    part = table.take(np.arange(5))
    assert [k.kind for k in infer_kinds(part)] == ["identifier", "number"]
    assert [k.kind for k in infer_kinds(part, {"key": "category"})] == ["category", "number"]


def encoded(column, values):
    counts = Counts()

    def complain(row, value, what):
        return TableError(f"{row}: {value} {what}")

    return column.encode(pd.Series(values), complain, counts), counts


def test_a_number_is_centred_scaled_and_bent():
    column = COLUMNS["number"].learn("c", pd.Series([0.0, 1.0, 2.0, 3.0, 4.0]), None)
    assert (column.middle, column.width) == (2.0, 2.0)
    block, _ = encoded(column, [2.0, 4.0, 1e9, -1e9])
    assert block[:, 0] == pytest.approx([0, 1 / np.sqrt(1 + 1 / column.clip**2), column.clip, -column.clip])


def test_missing_numbers_are_the_median_and_marked_where_training_had_some():
    column = COLUMNS["number"].learn("c", pd.Series([0.0, 4.0, np.nan]), None)
    block, counts = encoded(column, [2.0, np.nan])
    assert block.tolist() == [[0, 0], [0, 1]]
    assert counts.missing == 1
    unmarked = COLUMNS["number"].learn("c", pd.Series([0.0, 4.0]), None)
    assert encoded(unmarked, [np.nan])[0].tolist() == [[0]]


def test_categories_two_are_one_column_more_are_one_each():
    two = COLUMNS["category"].learn("c", pd.Series(["u", "v", "u"]), None)
    assert encoded(two, ["u", "v", None, "zz"])[0].tolist() == [[-1], [1], [0], [0]]
    three = COLUMNS["category"].learn("c", pd.Series(["u", "v", "w"]), None)
    block, counts = encoded(three, ["w", None, "zz"])
    assert block.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert (counts.missing, counts.unseen, counts.example) == (1, 1, "zz")


def test_rare_categories_share_a_column_and_are_not_unseen():
    values = [f"k{k:03d}" for k in range(100) for _ in range(3 if k < MOST_CATEGORIES else 1)]
    column = COLUMNS["category"].learn("c", pd.Series(values), None)
    assert len(column.outputs) == MOST_CATEGORIES + 1
    block, counts = encoded(column, ["k000", "k099", "never"])
    assert block[:, -1].tolist() == [0, 1, 1]
    assert (counts.unseen, counts.example) == (1, "never")


def test_dates_are_days_and_points_on_circles():
    column = COLUMNS["date"].learn("d", pd.Series(pd.to_datetime(["2024-01-01", "2024-01-08"])), None)
    assert column.outputs == ["d.day", "d.month sin", "d.month cos", "d.weekday sin", "d.weekday cos"]
    block, _ = encoded(column, pd.to_datetime(["2024-01-01", "2024-01-08"]))
    assert block[0, 1:] == pytest.approx(block[1, 1:])  # the same month and weekday
    assert block[0, 0] < 0 < block[1, 0]
    timed = COLUMNS["date"].learn("d", pd.Series(["2024-01-01T06:00", "2024-01-02T18:00"]), None)
    assert encoded(timed, ["2024-01-01T06:00+00:00"])[0][0, -2:] == pytest.approx([1, 0], abs=1e-12)


def test_the_order_of_day_and_month_is_that_of_training():
    days = COLUMNS["date"].learn("d", pd.Series(["31/12/2023", "01/02/2024"]), None)
    assert days.day_first
    one, _ = encoded(days, ["03/04/2024"])
    assert np.array_equal(one, encoded(days, ["2024-04-03"])[0])
    months = COLUMNS["date"].learn("d", pd.Series(["12/31/2023", "01/02/2024"]), None)
    assert np.array_equal(encoded(months, ["03/04/2024"])[0], encoded(months, ["2024-03-04"])[0])
    with pytest.raises(TableError, match="1: 31/12/2024 has the day first, where training had"):
        encoded(months, ["03/04/2024", "31/12/2024"])


@pytest.mark.parametrize(
    ("kind", "learned", "given", "words"),
    [
        ("number", [1.0, 2.0], ["1", "x"], "1: x is not a number"),
        ("number", [1.0, 2.0], [1.0, np.inf], "1: inf is infinite"),
        ("number", [1.0, 2.0], pd.to_datetime(["2024-01-01"]), "is a date where a number is expected"),
        ("date", ["2024-01-01", "2024-01-02"], ["2024-01-01", "soon"], "1: soon is not a date"),
        ("date", ["2024-01-01", "2024-01-02"], [5], "0: 5 is a number where a date is expected"),
    ],
)
def test_a_value_of_another_kind_is_named(kind, learned, given, words):
    with pytest.raises(TableError, match=words):
        encoded(COLUMNS[kind].learn("c", pd.Series(learned), None), given)


def test_a_column_of_2000_is_no_trouble():
    frame = pd.DataFrame(np.arange(20_000.0).reshape(10, 2000) ** 1.5)
    assert Features.learn(frame).transform(frame)[0].shape == (10, 2000)
