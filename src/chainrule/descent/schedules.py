"""Floor 1, descent: schedules, one row each: the factor on the step size over time.

Time is the share of the training that is done, 0 at the first step and towards 1 at the last; every factor is at
most 1 and vectorised over steps. `warm_up` puts a linear rise in front of any of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Schedule:
    """One schedule: `factor(share, **parameters)` of the share of training done; call it with (step, total)."""

    name: str
    factor: Callable[..., Any]
    parameters: Mapping[str, float] = field(default_factory=dict, hash=False)
    source: str = ""
    formula: str = ""

    def __call__(self, step: Any, total: int) -> Any:
        """The factor at `step` (from 0; a number or an array) of `total` steps.

        >>> SCHEDULES["cosine"](0, 10), SCHEDULES["cosine"](5, 10)
        (1.0, 0.5)
        """
        share = np.clip(np.asarray(step, float) / max(total, 1), 0.0, 1.0)
        found = np.asarray(self.factor(share, **self.parameters), float)
        return float(found) if found.ndim == 0 else found

    def configured(self, **parameters: float) -> Schedule:
        """The same schedule with other parameters."""
        unknown = set(parameters) - set(self.parameters)
        if unknown:
            raise ValueError(
                f"the schedule {self.name!r} has no {sorted(unknown)[0]!r}; it has {', '.join(self.parameters) or 'none'}"
            )
        return replace(self, parameters={**self.parameters, **parameters})


def _constant(share):
    return np.ones_like(share)


def _stairs(share, drop, stairs):
    return drop ** np.floor(share * stairs)


def _exponential(share, end):
    return end**share


def _linear(share, end):
    return 1.0 - (1.0 - end) * share


def _cosine(share, end):
    return end + (1.0 - end) * 0.5 * (1.0 + np.cos(np.pi * share))


def _flat_cos(share):
    return np.where(share < 0.5, 1.0, 0.5 * (1.0 + np.cos(np.pi * (2.0 * share - 1.0))))


def _coslog(share, cycles):
    return 0.5 * (1.0 - np.cos(2.0 * np.pi * np.log2(1.0 + (2.0**cycles - 1.0) * share)))


def _one_cycle(share, peak, start, end):
    up = start + (1.0 - start) * 0.5 * (1.0 - np.cos(np.pi * np.minimum(share / peak, 1.0)))
    down = end + (1.0 - end) * 0.5 * (1.0 + np.cos(np.pi * np.clip((share - peak) / (1.0 - peak), 0.0, 1.0)))
    return np.where(share < peak, up, down)


_rows = [
    Schedule("constant", _constant, {}, "", "1"),
    Schedule("stairs", _stairs, {"drop": 0.1, "stairs": 3}, "", "drop^⌊stairs · share⌋"),
    Schedule("exponential", _exponential, {"end": 0.01}, "", "end^share"),
    Schedule("linear", _linear, {"end": 0.0}, "", "1 − (1 − end) share"),
    Schedule("cosine", _cosine, {"end": 0.0}, "Loshchilov & Hutter 2017", "½ (1 + cos π share)"),
    Schedule("flat_cos", _flat_cos, {}, "RealMLP, Holzmüller et al. 2024", "1 until half time, then a half cosine to 0"),
    Schedule(
        "coslog", _coslog, {"cycles": 4}, "RealMLP, Holzmüller et al. 2024", "½ (1 − cos 2π log₂(1 + (2^cycles − 1) share))"
    ),
    Schedule(
        "one_cycle", _one_cycle, {"peak": 0.3, "start": 0.04, "end": 0.0}, "Smith & Topin 2019", "a rise to the peak, then down"
    ),
]
SCHEDULES: dict[str, Schedule] = {row.name: row for row in _rows}


def get_schedule(name: str | Schedule) -> Schedule:
    """The row called `name`."""
    if isinstance(name, Schedule):
        return name
    if name in SCHEDULES:
        return SCHEDULES[name]
    near = difflib.get_close_matches(str(name), SCHEDULES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"there is no schedule {name!r}.{hint} There are: {', '.join(SCHEDULES)}")


def warm_up(schedule: str | Schedule, share: float) -> Schedule:
    """`schedule` with a linear rise from 0 over the first `share` of training in front; the rest of it is compressed.

    >>> warm_up("constant", 0.5)([0, 1, 2, 3], 4)
    array([0. , 0.5, 1. , 1. ])
    """
    row = get_schedule(schedule)
    if not 0 < share < 1:
        raise ValueError(f"share must be between 0 and 1, got {share!r}")

    def factor(s, **parameters):
        rest = np.clip((s - share) / (1.0 - share), 0.0, 1.0)
        return np.where(s < share, s / share, row.factor(rest, **parameters))

    return replace(row, name=f"warm_up {row.name}", factor=factor)
