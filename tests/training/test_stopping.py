"""The rules, walked: what they are shown, and the epoch in which they stop (None: never)."""

import time

import numpy as np
import pytest

from chainrule.training import Event, MaxTime, Patience

NAN, INF = float("nan"), float("inf")
FALLING = [1 / k for k in range(1, 40)]
# rule, losses shown, epoch in which it stops, words of the reason
PATIENCE = [
    (Patience(3), [5, 4, 3, 3, 3, 3, 3], 7, "since epoch 3"),
    (Patience(0), [5, 4, 4], 3, "since epoch 2"),
    (Patience(3), FALLING, None, ""),
    (Patience(2, factor=0.5), [5, 4, 3, 2, *[2] * 9], 9, "since epoch 4"),
    (Patience(20, factor=0.5), [*FALLING[:30], *[9] * 40], 66, "since epoch 30"),
    (Patience(2, min_delta=0.5), [5, 4, 3.9, 3.8, 3.7], 5, "by more than 0.5 since epoch 2"),
    (Patience(2, min_delta=0.5), [5, 4.8, 4.4, 4.2, 3.8, 3.3, 3.3], None, ""),
    (Patience(2, start_from_epoch=4), [1, 9, 9, 9, 9, 9, 9], 8, "since epoch 5"),
    (Patience(2), [NAN, NAN, NAN, NAN], 4, "since epoch 1"),
    (Patience(2), [NAN, NAN, 3, NAN, 2, NAN, NAN, NAN], 8, "since epoch 5"),
    (Patience(1), [INF, 5, 4, 4, 4], 5, "since epoch 3"),
]


def event(k, loss, kind):
    return Event(
        k, 99, loss if kind == "loss" else 1.0 / k, 0.0, 0.0, 0, 0.1,
        validation_loss={"validation_loss": loss, "score": 1.0 / k}.get(kind),
        validation_score=-loss if kind == "score" else None,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["loss", "validation_loss", "score"])
@pytest.mark.parametrize(("rule", "losses", "stop", "words"), PATIENCE)
def test_patience(rule, losses, stop, words, kind):
    rule.restore(*Patience().snapshot())  # rules of the table are used three times
    found = None
    for k, loss in enumerate(losses + losses[-1:] * (3 if stop else 0), 1):
        if reason := rule(event(k, loss, kind)):
            found = k
            break
        # Stopped and resumed after any epoch, it waits as if nothing had been.
        again = Patience(rule.epochs, rule.factor, rule.min_delta, rule.start_from_epoch)
        again.restore(*rule.snapshot())
        assert repr(again) == repr(rule)
        rule = again
    assert found == stop
    if stop:
        assert words in reason
        assert ("training loss" in reason) == (kind == "loss")


def test_a_second_training_is_waited_for_anew():
    rule = Patience(2)
    for losses in ([1, 2, 2], [9, 8, 7, 6], [5, 1, 1, 1]):
        assert [rule(event(k, loss, "loss")) for k, loss in enumerate(losses, 1)] == [None] * len(losses)
    late = Patience(0, start_from_epoch=1)
    late(event(2, 1, "loss"))
    assert [late(event(k, 9 - k, "loss")) for k in (1, 2, 3)] == [None] * 3


def test_keras_counts_one_less():
    """Keras stops p epochs after the best: Patience(p − 1)."""
    losses, best, waited, stop = [5, 4, 3, 3, 3, 3, 3], np.inf, 0, None
    for k, loss in enumerate(losses, 1):
        waited, best = (0, loss) if loss < best else (waited + 1, best)
        if waited >= 3 and stop is None:
            stop = k
    rule = Patience(2)
    assert stop == next(k for k, loss in enumerate(losses, 1) if rule(event(k, loss, "loss")))


def test_max_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    rule = MaxTime(5)
    assert rule(event(1, 1, "loss")) is None
    now[0] = 105.0
    assert rule(event(2, 1, "loss")) == "the time limit of 5 s was reached"


@pytest.mark.parametrize(("make", "words"), [
    (lambda: Patience(-1), "epochs of Patience must be a number ≥ 0, got -1"),
    (lambda: Patience(min_delta=NAN), "min_delta of Patience"),
    (lambda: Patience(factor=-0.5), "factor of Patience"),
    (lambda: Patience(start_from_epoch=-3), "start_from_epoch of Patience"),
    (lambda: MaxTime(0), "seconds > 0, got 0"),
    (lambda: MaxTime(NAN), "seconds > 0, got nan"),
])  # fmt: skip
def test_bad_settings_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
