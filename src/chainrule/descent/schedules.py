"""Floor 1, descent: schedules, one row each: the factor on the step size over time.

Time is t, the steps already made (0 at the first one), out of T; every factor lies in [0, 1] and is vectorised over t,
so that the step sizes of a whole epoch are one call. `warm_up` puts a linear rise in front of any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule.tables import COUNT, INSIDE, NOT_NEGATIVE, POSITIVE, SHARE, Interval, find, table, with_given


@dataclass(frozen=True)
class Schedule:
    """One schedule: γ_t = γ · factor(t, T), called as `schedule(t, T)`.

    Parameters
    ----------
    name : what it is called
    factor : `factor(t, T, **parameters)`, in NumPy over an array of t; in [0, 1]
    parameters : the numbers that shape it
    source, formula : the paper, and the factor as it is written, with s = t/T
    aliases : other names for it
    ranges : the interval of each parameter
    size : γ, the step size that the factor multiplies; `γ * schedule` sets it. None leaves γ to whoever uses it

    >>> gamma = 0.5 * get_schedule("cosine")
    >>> gamma(0, 10), gamma(5, 10)
    (0.5, 0.25)
    """

    name: str
    factor: Callable[..., Any]
    parameters: Mapping[str, float] = field(default_factory=dict, hash=False)
    source: str = ""
    formula: str = ""
    aliases: tuple[str, ...] = ()
    ranges: Mapping[str, Interval] = field(default_factory=dict, hash=False)
    size: float | None = None

    __array_ufunc__ = None  # a NumPy number times a schedule is left to the schedule

    def __call__(self, t: Any, T: int) -> Any:
        """The factor (times γ, where it is set) at step t of T: a number, or an array for an array of t.

        Raises ValueError when T is not a count or some t lies outside [0, T].

        >>> SCHEDULES["linear"]([0, 1, 2, 3, 4], 4)
        array([1.  , 0.75, 0.5 , 0.25, 0.  ])
        """
        COUNT.check("T, the number of steps,", T)
        times = np.asarray(t, float)
        if not np.all((times >= 0) & (times <= T)):
            raise ValueError(f"t must lie in [0, {T}], the steps of this schedule, got {t!r}")
        found = np.asarray(self.factor(times, T, **self.parameters), float) * (1.0 if self.size is None else self.size)
        return float(found) if found.ndim == 0 else found

    def __mul__(self, size: float) -> Schedule:
        return replace(self, size=POSITIVE.check("the step size of a schedule", size) * (self.size or 1.0))

    __rmul__ = __mul__

    def configured(self, **parameters: float) -> Schedule:
        """The same schedule with other parameters; unknown names and numbers out of range are errors.

        >>> get_schedule("cosine").configured(end=0.1)(10, 10)
        0.1
        """
        merged = with_given(f"the schedule {self.name!r}", self.parameters, self.ranges, parameters)
        return replace(self, parameters=merged)


def _constant(t, T):
    return np.ones_like(t)


def _inverse_scaling(t, T, power):
    return (t + 1.0) ** -power


def _step_decay(t, T, drop, stairs):
    return drop ** np.minimum(np.floor(t * stairs / T), stairs - 1.0)


def _exponential(t, T, end):
    return end ** (t / T)


def _linear(t, T, end):
    return 1.0 - (1.0 - end) * (t / T)


def _cosine(t, T, end):
    return end + (1.0 - end) * 0.5 * (1.0 + np.cos(np.pi * t / T))


def _flat_cos(t, T):
    return 0.5 * (1.0 + np.cos(np.pi * np.maximum(2.0 * t / T - 1.0, 0.0)))


def _coslog(t, T, cycles):
    return 0.5 * (1.0 - np.cos(2.0 * np.pi * np.log2(1.0 + (2.0**cycles - 1.0) * t / T)))


def _one_cycle(t, T, peak, start, end):
    rise = 0.5 * (1.0 - np.cos(np.pi * np.minimum(t / T / peak, 1.0)))
    fall = 0.5 * (1.0 + np.cos(np.pi * np.clip((t / T - peak) / (1.0 - peak), 0.0, 1.0)))
    return np.where(t / T < peak, start + (1.0 - start) * rise, end + (1.0 - end) * fall)


SCHEDULES: dict[str, Schedule] = table([
    Schedule("constant", _constant, formula="1", source="handout 3, one γ for every step"),
    Schedule(
        "inverse_scaling", _inverse_scaling, {"power": 0.5}, "Robbins & Monro 1951", "1/(t + 1)^power",
        ("invscaling",), {"power": NOT_NEGATIVE},
    ),  # scikit-learn's 'invscaling' counts samples instead of steps in t, and so falls much faster
    Schedule(
        "step_decay", _step_decay, {"drop": 0.1, "stairs": 3.0}, "Krizhevsky, Sutskever & Hinton 2012",
        "drop^⌊stairs s⌋", (), {"drop": POSITIVE.up_to(1.0), "stairs": COUNT},
    ),
    Schedule(
        "exponential", _exponential, {"end": 0.01}, "Robbins & Monro 1951; a geometric fall from 1 to end", "end^s",
        (), {"end": POSITIVE.up_to(1.0)},
    ),
    Schedule("linear", _linear, {"end": 0.0}, "Bottou 2012", "1 − (1 − end) s", (), {"end": SHARE}),
    Schedule(
        "cosine", _cosine, {"end": 0.0}, "Loshchilov & Hutter 2017, without restarts",
        "end + (1 − end) ½ (1 + cos π s)", (), {"end": SHARE},
    ),
    Schedule(
        "flat_cos", _flat_cos, {}, "RealMLP: Holzmüller, Grinsztajn & Steinwart 2024",
        "1 until s = ½, then ½ (1 + cos π (2 s − 1))",
    ),
    Schedule(
        "coslog", _coslog, {"cycles": 4.0}, "RealMLP: Holzmüller, Grinsztajn & Steinwart 2024",
        "½ (1 − cos 2π log₂(1 + (2^cycles − 1) s)): each cycle twice as long", ("coslog4",), {"cycles": COUNT},
    ),
    Schedule(
        "one_cycle", _one_cycle, {"peak": 0.3, "start": 0.04, "end": 0.0}, "Smith & Topin 2019",
        "start to 1 until s = peak, then 1 to end, both along half a cosine", (),
        {"peak": INSIDE, "start": SHARE, "end": SHARE},
    ),
])  # fmt: skip


def get_schedule(name: str | Schedule) -> Schedule:
    """The row called `name` (aliases count), or `name` itself if it is a row; an unknown one is a ValueError.

    >>> get_schedule("coslog4").name
    'coslog'
    """
    return name if isinstance(name, Schedule) else find(SCHEDULES, name, "schedule")


def warm_up(schedule: str | Schedule, share: float) -> Schedule:
    """`schedule` with a linear rise in front: over the first W = share · T steps the factor is (t + 1)/(W + 1).

    The schedule then runs whole in the T − W steps that are left. The rise begins above 0, since a step of size 0
    would cost a gradient and move nothing.

    share : the part of all steps that the rise takes, between 0 and 1

    >>> warm_up("constant", 0.5)([0, 1, 2, 3], 4)
    array([0.33333333, 0.66666667, 1.        , 1.        ])

    Source: Goyal et al. 2017. PyTorch's LinearLR starts from a third of the step size instead.
    """
    row = get_schedule(schedule)
    INSIDE.check("share", share)

    def factor(t, T, **parameters):
        W = share * T
        after = row.factor(np.maximum(t - W, 0.0), T - W, **parameters)
        return np.where(t < W, (t + 1.0) / (W + 1.0), after)

    return replace(row, name=f"warm_up({row.name})", factor=factor, aliases=())
