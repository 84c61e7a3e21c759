"""Floor 0, calculus: what a row of the table of primitives is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .writing import Writing

Pullback = Callable[..., Any]


class UnsupportedError(TypeError):
    """Something that cannot be recorded; the message shows the way around it."""


@dataclass(frozen=True)
class Primitive:
    """One NumPy function and how a cotangent goes back through it.

    `pullbacks` has one entry an operand: `pullback(g, out, *operands, **static)` gives the cotangent of that operand,
    written in NumPy's own words (so that it can be differentiated in turn); None where no derivative passes. Where
    operands are broadcast, the walk back undoes it; a rule need not. `signature` lists the operands, then what stays
    fixed with its default; an operand called `*xs` is a sequence of arrays, for which one pullback serves all and
    gets the position as `k`. `wider` takes the calls that go beyond the signature (`where=`, a bound of None) and
    writes them in calls that do not. `writing` is how a formula shows it; without one it is `name(operands)`. `kink`
    says of which operands the derivative is a choice, because the slopes on both sides differ. `elementwise` rows
    work on each element alone, rows with `moves` only put elements elsewhere.
    """

    name: str
    function: Callable[..., Any]
    signature: tuple[str, ...]
    pullbacks: tuple[Pullback | None, ...]
    static: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[Callable[..., Any], ...] = ()
    writing: Writing | Callable[[Mapping[str, Any]], Writing | None] | None = None
    elementwise: bool = False
    moves: bool = False
    wider: Callable[..., Any] | None = None
    kink: Callable[..., Any] | None = None

    def is_wider(self, args: tuple, kwargs: Mapping[str, Any]) -> bool:
        """Whether a call is one for `wider`."""
        names = [*self.signature, *self.static]
        return self.wider is not None and (
            len(args) > len(names)
            or any(x is None for x in args[: len(self.signature)])
            or any(is_given(v) if k not in names else k in self.signature and v is None for k, v in kwargs.items())
        )

    @cached_property
    def takes_sequence(self) -> bool:
        return self.signature[0].startswith("*")

    def bind(self, args: tuple, kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """(operands, what stays fixed) of a call."""
        if not kwargs and not self.static and len(args) == len(self.signature):
            return list(args), {}
        names = [*self.signature, *self.static]
        if len(args) > len(names):
            raise TypeError(f"{self.name} takes at most {len(names)} arguments, got {len(args)}")
        given = dict(zip(names, args, strict=False)) | dict(kwargs)
        fixed = {name: given.pop(name) for name in self.static if name in given}
        if self.takes_sequence:
            operands = list(given.pop(self.signature[0], given.pop(self.signature[0][1:], ())))
        else:
            operands = [given.pop(name) for name in self.signature if name in given]
        unknown = [k for k, v in given.items() if is_given(v)]
        if unknown:
            raise not_allowed(self.name, unknown[0], self.static)
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

    def call(self, args: tuple, kwargs: Mapping[str, Any]) -> Any:
        """The definition applied; arguments at NumPy's "not given" are left out, unknown ones are an error."""
        given = {k: v for k, v in kwargs.items() if v is not np._NoValue and (k != "out" or v is not None)}
        try:
            return self.definition(*args, **given)
        except TypeError:
            allowed = inspect.signature(self.definition).parameters
            unknown = [k for k, v in given.items() if k not in allowed]
            if not unknown:
                raise
            if any(is_given(given[k]) for k in unknown):
                raise not_allowed(self.name, unknown[0], allowed) from None
            return self.definition(*args, **{k: v for k, v in given.items() if k in allowed})


def is_given(value: Any) -> bool:
    """Whether an argument says anything: None and NumPy's own mark mean that it was left out."""
    return value is not None and value is not np._NoValue


def not_allowed(name: str, argument: str, allowed: Iterable[str]) -> UnsupportedError:
    """The error for an argument that no derivative knows of."""
    return UnsupportedError(
        f"the argument {argument!r} of np.{name} is not differentiated through; known: {', '.join(allowed) or 'none'}"
    )


def unary(
    name: str, rule: Pullback | None, writing: Writing | None = None, function: Any = None, kink: Any = None
) -> Primitive:
    """An element by element function of one array, `rule(g, out, x)`."""
    return Primitive(name, function or getattr(np, name), ("x",), (rule,), writing=writing, elementwise=True, kink=kink)


def binary(
    name: str, left: Pullback | None, right: Pullback | None, writing: Writing | None = None, kink: Any = None
) -> Primitive:
    """An element by element function of two arrays, broadcast against each other."""
    return Primitive(name, getattr(np, name), ("x", "y"), (left, right), writing=writing, elementwise=True, kink=kink)


def own(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of ours that is recorded as NumPy's are, by the same protocol on its first argument."""

    def call(x, **static):
        if hasattr(type(x), "__array_function__") and not isinstance(x, np.ndarray | np.generic):
            return x.__array_function__(call, (type(x),), (x,), static)
        return function(x, **static)

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    return call
