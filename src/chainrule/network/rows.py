"""Floor 1, network: what every table of rows shares: lookup by name or alias, and the error that helps."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar


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


def find(rows: Mapping[str, R], name: Any, what: str) -> R:
    """The row called `name` (aliases count); otherwise an error that lists the names and the nearest one."""
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a name or a row, got {name!r}; names are {', '.join(rows)}")
    for row in rows.values():
        if name == row.name or name in row.aliases:
            return row
    known = [n for row in rows.values() for n in (row.name, *row.aliases)]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"there is no {what} {name!r}.{hint} There are: {', '.join(rows)}")


def with_parameters(what: str, name: str, own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The row's parameters with the given ones in their place; an unknown or non-finite one is an error."""
    merged = dict(own)
    for key, value in given.items():
        if key not in own:
            allowed = ", ".join(own) or "none"
            raise ValueError(f"{what} {name!r} has no parameter {key!r}; its parameters: {allowed}")
        several = isinstance(own[key], tuple)
        numbers = (
            tuple(float(v) for v in (value if hasattr(value, "__iter__") else [value])) if several else (float(value),)
        )
        if not all(abs(number) < float("inf") for number in numbers):
            raise ValueError(f"{what} {name!r}: {key} must be finite, got {value!r}")
        merged[key] = numbers if several else numbers[0]
    return merged


def is_row(rows: Mapping[str, Any], candidate: Any) -> bool:
    """Whether it has the functions of the table's row of that name (its parameters may differ)."""
    known = rows.get(candidate.name)
    return known is not None and known.value is candidate.value and known.slope is candidate.slope
