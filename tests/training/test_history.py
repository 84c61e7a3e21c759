import json

import numpy as np
import pytest

from chainrule.training import Event, History


def some():
    h = History()
    h.add(Event(1, 9, np.float32(0.5), 0.0, 0.1, 10, 0.01, scores={"validation_accuracy": np.float64(0.25)}))
    h.add(Event(2, 9, float("nan"), float("inf"), 0.2, 20, 0.01, 0.75, float("nan"), True, {"other_loss": 3}))
    return h


def test_columns_are_lists_of_plain_numbers():
    h = some()
    assert h["loss"][0] == 0.5
    assert type(h["loss"][0]) is float
    assert h["validation_accuracy"] == [0.25, None]
    assert h["other_loss"] == [None, 3]
    assert h.columns().keys() == {*h.names}
    assert len(h.rows()) == 2
    assert h.rows()[1]["other_loss"] == 3
    h["loss"].append(1)
    assert len(h["loss"]) == 2


def test_strict_json_and_back():
    h = some()
    text = json.dumps(h.to_json(), allow_nan=False)
    again = History.from_columns(json.loads(text))
    assert repr(again.rows()) == repr(h.rows())
    assert repr(again.events) == repr(h.events)
    assert again.events[0].n_epochs == 9
    assert repr(History.from_columns(h.columns())["penalty"]) == repr(h["penalty"])


def test_an_empty_history_round_trips():
    assert len(History.from_columns(json.loads(json.dumps(History().to_json())))) == 0
    assert repr(History()) == "History(no epochs)"


def test_a_snapshot_does_not_move_on():
    h = some()
    data, arrays = h.snapshot()
    h.add(Event(3, 9, 0.1, 0.0, 0.3, 30, 0.01))
    other = History()
    other.restore(data, arrays)
    assert repr(other.events) == repr(some().events)


def test_bad_names_and_lengths_are_named():
    with pytest.raises(KeyError, match="no 'accuracy'; it has epoch, loss"):
        some()["accuracy"]
    with pytest.raises(ValueError, match="may not be called 'loss'"):
        some().add(Event(3, 9, 0.1, 0.0, 0.3, 30, 0.01, scores={"loss": 1}))
    with pytest.raises(ValueError, match=r"one length, got \[1, 2\]"):
        History.from_columns({"epoch": [1, 2], "loss": [1.0]})
