"""Floor 1, network: what its tables share beside lookup: parameters of a row, and whether a row is a table's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def with_parameters(what: str, name: str, own: Mapping[str, float], given: Mapping[str, Any]) -> dict[str, float]:
    """The row's parameters with the given ones in their place; an unknown or non-finite one is an error."""
    merged = dict(own)
    for key, value in given.items():
        if key not in own:
            allowed = ", ".join(own) or "none"
            raise ValueError(f"{what} {name!r} has no parameter {key!r}; its parameters: {allowed}")
        number = float(value)
        if not abs(number) < float("inf"):
            raise ValueError(f"{what} {name!r}: {key} must be a finite number, got {value!r}")
        merged[key] = number
    return merged


def is_row(rows: Mapping[str, Any], candidate: Any) -> bool:
    """Whether it has the functions of the table's row of that name (its parameters may differ)."""
    known = rows.get(candidate.name)
    return known is not None and known.value is candidate.value and known.slope is candidate.slope
