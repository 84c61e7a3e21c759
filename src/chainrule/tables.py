"""Floor 0, tables: what every table of rows shares: lookup by name, intervals of parameters, the errors that help."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Protocol, TypeVar


@dataclass(frozen=True)
class Interval:
    """The numbers that a parameter may be; infinity and NaN are in no interval."""

    low: float = float("-inf")
    high: float = float("inf")
    low_included: bool = False
    high_included: bool = False
    whole: bool = False

    def __contains__(self, x: float) -> bool:
        above = self.low < x or (self.low_included and x == self.low)
        below = x < self.high or (self.high_included and x == self.high)
        return above and below and (not self.whole or x == int(x))

    def __str__(self) -> str:
        if self == ANY:
            return "a finite number"
        kind = "a whole number" if self.whole else "a number"
        opens, closes = "[" if self.low_included else "(", "]" if self.high_included else ")"
        return f"{kind} in {opens}{self.low:g}, {self.high:g}{closes}"

    def up_to(self, high: float) -> Interval:
        """The same interval, closed at `high`."""
        return replace(self, high=high, high_included=True)

    def check(self, name: str, value: Any) -> float:
        """`value` as a float if it is a number of this interval; an error that names it otherwise.

        >>> Interval(0.0, 1.0, low_included=True).check("momentum", 1)
        Traceback (most recent call last):
            ...
        ValueError: momentum must be a number in [0, 1), got 1
        """
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name} must be {self}, got {value!r}")
        if float(value) not in self:
            raise ValueError(f"{name} must be {self}, got {value!r}")
        return float(value)


ANY = Interval()
POSITIVE = Interval(0.0)
NOT_NEGATIVE = Interval(0.0, low_included=True)
FRACTION = Interval(0.0, 1.0, low_included=True)  # 0 switches it off, 1 would remember for ever
SHARE = Interval(0.0, 1.0, low_included=True, high_included=True)
INSIDE = Interval(0.0, 1.0)
COUNT = Interval(1.0, low_included=True, whole=True)


class Row(Protocol):
    """What a table needs to know of a row."""

    @property
    def name(self) -> str: ...
    @property
    def aliases(self) -> tuple[str, ...]: ...


R = TypeVar("R", bound=Row)


def table(rows: Iterable[R]) -> dict[str, R]:
    """Rows by name, in the order given; two rows of one name or alias are a mistake in the table."""
    by_name: dict[str, R] = {}
    seen: set[str] = set()
    for row in rows:
        for name in (row.name, *row.aliases):
            if name in seen:
                raise ValueError(f"two rows are called {name!r}")
            seen.add(name)
        by_name[row.name] = row
    return by_name


def nearest(name: str, known: Iterable[str]) -> str:
    """' Did you mean …?' with the known name that is nearest, or nothing."""
    words = list(known)
    near = difflib.get_close_matches(name.lower().replace("-", "_"), words, n=1) or [
        w for w in words if name and w in name
    ]
    return f" Did you mean {near[0]!r}?" if near else ""


def find(rows: Mapping[str, R], name: Any, what: str) -> R:
    """The row called `name` (aliases count); otherwise an error that lists the names and the nearest one."""
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a name or a row, got {name!r}; the names are {', '.join(rows)}")
    for row in rows.values():
        if name == row.name or name in row.aliases:
            return row
    hint = nearest(name, [n for row in rows.values() for n in (row.name, *row.aliases)])
    raise ValueError(f"there is no {what} {name!r}.{hint} There are: {', '.join(rows)}")


def with_given(
    what: str,
    own: Mapping[str, float],
    ranges: Mapping[str, Interval],
    given: Mapping[str, Any],
    others: Iterable[str] = (),
) -> dict[str, float]:
    """The row's own parameters with the given ones in their place, each within its interval.

    `others` are names that the caller takes beside the row's own: a misspelling of one of them is recognised too.
    """
    merged = dict(own)
    for name, value in given.items():
        if name not in own:
            hint = nearest(name, [*own, *others])
            raise ValueError(f"{what} has no {name!r}.{hint} It has: {', '.join(own) or 'no parameters'}")
        merged[name] = ranges[name].check(name, value)
    return merged
