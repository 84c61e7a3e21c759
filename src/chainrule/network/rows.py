"""Floor 1, network: what its tables share beside lookup: parameters of a row, and whether a row is a table's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.tables import ANY, Interval


def with_parameters(
    what: str, own: Mapping[str, Any], ranges: Mapping[str, Interval], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The row's parameters with the given ones in their place; an unknown one, or one out of its range, is an error.

    A parameter that is a tuple has one number an output, in ascending order; a single number counts as a tuple of one.
    """
    merged = dict(own)
    for name, value in given.items():
        if name not in own:
            raise ValueError(f"{what} has no parameter {name!r}; its parameters: {', '.join(own) or 'none'}")
        interval = ranges.get(name, ANY)
        if not isinstance(own[name], tuple):
            merged[name] = interval.check(f"{name} of {what}", value)
            continue
        several = list(value) if hasattr(value, "__iter__") else [value]
        numbers = tuple(interval.check(f"each of the {name} of {what}", number) for number in several)
        if not numbers or list(numbers) != sorted(set(numbers)):
            raise ValueError(f"the {name} of {what} must be different numbers in ascending order, got {value!r}")
        merged[name] = numbers
    return merged


def is_row(rows: Mapping[str, Any], candidate: Any) -> bool:
    """Whether it has the functions of the table's row of that name (its parameters may differ)."""
    known = rows.get(candidate.name)
    return known is not None and known.value is candidate.value and known.slope is candidate.slope
