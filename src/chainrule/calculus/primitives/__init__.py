"""Floor 0, calculus: the table of primitives, one row each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .elementwise import ELEMENTWISE, erf
from .products import LINEAR_ALGEBRA, PRODUCTS
from .reductions import FOLDS, SPREADS
from .row import Composite, Primitive
from .shapes import MOVES, SHAPES, concrete, getitem, unbroadcast

Row = Primitive | Composite

_rows: list[Row] = [*ELEMENTWISE, *SHAPES, *FOLDS, *PRODUCTS, *LINEAR_ALGEBRA, *MOVES, *SPREADS]
PRIMITIVES: dict[str, Row] = {row.name: row for row in _rows}
BY_FUNCTION: dict[Callable[..., Any], Row] = {f: row for row in _rows for f in (row.function, *row.also)}

__all__ = ["BY_FUNCTION", "PRIMITIVES", "Composite", "Primitive", "Row", "concrete", "erf", "getitem", "unbroadcast"]
