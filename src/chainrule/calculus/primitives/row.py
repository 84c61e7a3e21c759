"""Floor 0, calculus: what a row of the table of primitives is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Pullback = Callable[..., Any]


@dataclass(frozen=True)
class Primitive:
    """One NumPy function and how a cotangent goes back through it.

    `pullbacks` has one entry an operand: `pullback(g, out, *operands, **static)` gives the cotangent of that operand,
    written in NumPy's own words (so that it can be differentiated in turn); None where no derivative passes. Where
    operands are broadcast, the walk back undoes it; a rule need not. `signature` lists the operands, then what stays
    fixed with its default; an operand called `*xs` is a sequence of arrays, for which one pullback serves all and
    gets the position as `k`.
    """

    name: str
    function: Callable[..., Any]
    signature: tuple[str, ...]
    pullbacks: tuple[Pullback | None, ...]
    static: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[Callable[..., Any], ...] = ()
    written: str = ""
    elementwise: bool = False

    @property
    def takes_sequence(self) -> bool:
        return self.signature[0].startswith("*")

    def bind(self, args: tuple, kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """(operands, what stays fixed) of a call."""
        names = [*self.signature, *self.static]
        if len(args) > len(names):
            raise TypeError(f"{self.name} takes at most {len(names)} arguments, got {len(args)}")
        given = dict(zip(names, args, strict=False)) | dict(kwargs)
        fixed = {name: given.pop(name) for name in self.static if name in given}
        if self.takes_sequence:
            operands = list(given.pop(self.signature[0], given.pop(self.signature[0][1:], ())))
        else:
            operands = [given.pop(name) for name in self.signature if name in given]
        unknown = {k: v for k, v in given.items() if v is not None and v is not np._NoValue}
        if unknown:
            allowed = ", ".join(self.static) or "none"
            raise NotImplementedError(
                f"the argument {next(iter(unknown))!r} of {self.name} is not differentiated through; "
                f"allowed beside the arrays: {allowed}"
            )
        return operands, {**self.static, **{k: v for k, v in fixed.items() if v is not np._NoValue}}

    def evaluate(self, operands: list[Any], static: Mapping[str, Any]) -> Any:
        """The function itself."""
        if self.takes_sequence:
            return self.function(list(operands), **static)
        return self.function(*operands, **static)

    def pullback(self, k: int) -> Pullback | None:
        """The rule for operand number k."""
        return self.pullbacks[0] if self.takes_sequence else self.pullbacks[k]


@dataclass(frozen=True)
class Composite:
    """One NumPy function that is written out in others: `definition` takes the same arguments."""

    name: str
    function: Callable[..., Any]
    definition: Callable[..., Any]
    also: tuple[Callable[..., Any], ...] = ()


def unary(name: str, rule: Pullback | None, written: str = "", function: Any = None) -> Primitive:
    """An element by element function of one array, `rule(g, out, x)`."""
    return Primitive(name, function or getattr(np, name), ("x",), (rule,), written=written, elementwise=True)


def binary(name: str, left: Pullback | None, right: Pullback | None, written: str = "") -> Primitive:
    """An element by element function of two arrays, broadcast against each other."""
    return Primitive(name, getattr(np, name), ("x", "y"), (left, right), written=written, elementwise=True)


def own(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of ours that is recorded as NumPy's are, by the same protocol on its first argument."""

    def call(x, **static):
        if hasattr(type(x), "__array_function__") and not isinstance(x, np.ndarray | np.generic):
            return x.__array_function__(call, (type(x),), (x,), static)
        return function(x, **static)

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    return call
