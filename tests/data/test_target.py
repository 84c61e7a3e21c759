"""The task a column poses, its labels as codes and back, and splits that keep the share of each class."""

import json

import numpy as np
import pandas as pd
import pytest

from chainrule.data import DATASETS, TableError, Target, load_dataset, split

k = np.arange(200)
# values, task that is inferred
TASKS = [
    (k * 0.5, "regression"),
    (k, "regression"),
    (k % 2, "classification"),
    (k % 2 + 0.5, "classification"),
    (k % 10, "classification"),
    (k % 30, "regression"),
    ((k * 1.5).astype(str), "regression"),
    ((k % 3).astype(str), "classification"),
    (k % 2 == 0, "classification"),
    (np.array(["u", "v"])[k % 2], "classification"),
    (pd.Categorical(k % 50), "classification"),
    (pd.array(k % 3, dtype="Int64"), "classification"),
    (pd.array(k % 2 == 0, dtype="boolean"), "classification"),
]


@pytest.mark.parametrize(("values", "task"), TASKS)
def test_the_task_is_inferred_and_codes_lead_back(values, task):
    y = pd.Series(values)
    target = Target.learn(y)
    assert target.task == task
    assert "different" in target.reason
    codes = target.encode(y)
    if task == "classification":
        assert [str(v) for v in target.decode(codes)] == [str(v) for v in y]
        state, arrays = target.state()
        again = Target.from_state(json.loads(json.dumps(state)), arrays)
        assert again.classes.dtype == target.classes.dtype
        assert again.classes.tolist() == target.classes.tolist()
    else:
        assert codes == pytest.approx(y.astype(float))


def test_the_task_can_be_overruled():
    assert Target.learn(pd.Series(k % 2), "regression").task == "regression"
    assert Target.learn(pd.Series(k % 30), "classification").classes.tolist() == list(range(30))
    with pytest.raises(TableError, match="Did you mean 'classification'"):
        Target.learn(pd.Series(k), "clasification")


@pytest.mark.parametrize("same", [["0", "1"], [0.0, 1.0], pd.Categorical([0, 1])])
def test_labels_read_as_another_type_are_the_same_labels(same):
    target = Target.learn(pd.Series([0, 1, 0]))
    assert target.encode(pd.Series(same)).tolist() == [0, 1]


def test_a_class_of_one_row_is_noted():
    notes = Target.learn(pd.Series(["a"] * 9 + ["b"] * 9 + ["rare"], name="y")).notes
    assert notes == ["only one row has the y rare: too few to learn from"]


@pytest.mark.parametrize("n", [2, 3, 10, 101])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_a_split_parts_the_rows(n, fraction):
    rows, held = split(n, fraction, seed=0)
    assert sorted([*rows, *held]) == list(range(n))
    assert len(held) == min(max(1, round(fraction * n)), n - 1)
    assert [part.tolist() for part in split(n, fraction, seed=0)] == [rows.tolist(), held.tolist()]


def test_a_stratified_split_keeps_the_shares_and_no_class_is_lost_to_training():
    labels = np.repeat([0, 1, 2, 3], [500, 300, 199, 1])
    rows, held = split(1000, 0.2, seed=1, stratify=labels)
    assert np.bincount(labels[held]).tolist() == [100, 60, 40]
    assert np.bincount(labels[rows]).tolist() == [400, 240, 159, 1]


@pytest.mark.parametrize(("n", "fraction", "words"), [(1, 0.5, "1 row cannot be split"), (9, 1.0, "between 0 and 1")])
def test_a_split_that_cannot_be(n, fraction, words):
    with pytest.raises(TableError, match=words):
        split(n, fraction, seed=0)


@pytest.mark.parametrize("row", DATASETS.values(), ids=list(DATASETS))
def test_shipped_tables_have_their_target_task_and_licence(row):
    frame = load_dataset(row.name)
    assert Target.learn(frame[row.target]).task == row.task
    assert row.licence in ("CC0 1.0", "public domain")
    assert row.path.parent.joinpath("README.md").read_text().count(row.name)
