"""Floor 3, training: what a training was started with, so that a resumed one is known to be the same."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse

from .history import from_json, to_json


@dataclass(frozen=True)
class Fingerprint:
    """Data by their hashes, parameters as they are (what is not plain data by its hash).

    >>> mine = Fingerprint.of({"X": np.zeros(3)}, {"alpha": 0.1, "step": 0.5})
    >>> mine.differences(Fingerprint.of({"X": np.ones(3)}, {"alpha": 0.2, "step": 0.5}))
    'other data (X) and other parameters (alpha was 0.1 and is 0.2)'
    """

    data: Mapping[str, str]
    parameters: Mapping[str, Any]

    @classmethod
    def of(cls, data: Mapping[str, Any], parameters: Mapping[str, Any]) -> Fingerprint:
        """Hash the arrays of `data` (None where there are none), note the values of `parameters`."""
        return cls({k: digest(v) for k, v in data.items()}, {k: _noted(v) for k, v in parameters.items()})

    def to_json(self) -> dict[str, Any]:
        """Plain data that the constructor takes as keywords."""
        return {"data": dict(self.data), "parameters": dict(self.parameters)}

    def differences(self, now: Fingerprint) -> str:
        """What differs in `now`, as the end of a sentence; '' where nothing does."""
        data = [k for k in {**self.data, **now.data} if self.data.get(k) != now.data.get(k)]
        absent = "not given"
        changed = [
            f"{k} was {_short(self.parameters.get(k, absent))} and is {_short(now.parameters.get(k, absent))}"
            for k in {**self.parameters, **now.parameters}
            if self.parameters.get(k, absent) != now.parameters.get(k, absent)
        ]
        parts = [f"other data ({', '.join(data)})"] * bool(data)
        parts += [f"other parameters ({', '.join(changed)})"] * bool(changed)
        return " and ".join(parts)


def digest(value: Any) -> str:
    """A hash of what `value` is: of its bits, dtype and shape for an array, of its code for a function."""
    found = hashlib.sha256()
    _feed(found, value, ())
    return found.hexdigest()


def _feed(found: Any, value: Any, within: tuple[int, ...]) -> None:
    """Feed a tagged, unambiguous description of `value` to the hash; `within` are the ids of what it is a part of."""
    name = type(value).__qualname__
    if isinstance(value, np.ndarray) and value.dtype != object:
        found.update(f"array {value.dtype} {value.shape} ".encode())
        found.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data if value.size else b"")
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        found.update(f"{name} {value!r} ".encode())
    elif id(value) in within:
        found.update(b"itself ")
    else:
        parts = _parts(value)
        found.update(f"{name} {len(parts)} ".encode())
        for part in parts:
            _feed(found, part, (*within, id(value)))


def _parts(value: Any) -> list[Any]:
    """What an object is made of, as a list whose order is the same in every process."""
    match value:
        case np.random.RandomState():
            return [value.get_state(legacy=False)]
        case np.random.Generator():
            return [value.bit_generator.state]
        case Mapping():
            return [entry for item in value.items() for entry in item]
        case list() | tuple() | np.ndarray():
            return list(value)
        case set() | frozenset():  # the order of their entries is another one in every process
            return sorted(digest(entry) for entry in value)
        case _ if issparse(value):
            rows = value.tocsr(copy=True)
            rows.sum_duplicates()
            return [rows.shape, rows.data, rows.indices.astype(np.int64), rows.indptr.astype(np.int64)]
        case _ if hasattr(value, "__array__"):  # a DataFrame's own attributes do not hold its numbers
            return [list(getattr(value, "columns", [])), np.asarray(value)]
        case types.FunctionType():
            cells = [cell.cell_contents for cell in value.__closure__ or ()]
            return [value.__code__, value.__defaults__, value.__kwdefaults__, cells]
        case types.CodeType():
            return [value.co_code, value.co_consts, value.co_names]
        case types.MethodType():
            return [value.__func__, value.__self__]
        case functools.partial():
            return [value.func, value.args, value.keywords]
        case type() | np.ufunc() | types.BuiltinFunctionType():
            return [getattr(value, "__qualname__", value.__name__)]
        case _:
            return [vars(value)] if hasattr(value, "__dict__") else _reduced(value)


def _reduced(value: Any) -> list[Any]:
    """What pickle would write down of an object without attributes, such as one with slots or a Decimal."""
    try:
        parts = value.__reduce_ex__(4)
    except TypeError as error:
        name = type(value).__name__
        raise TypeError(f"a checkpoint cannot tell whether two objects of the class {name} are the same") from error
    return [parts] if isinstance(parts, str) else [list(part) if isinstance(part, Iterator) else part for part in parts]


def _noted(value: Any) -> Any:
    try:
        return to_json(value)
    except TypeError:
        return f"{type(value).__name__} {digest(value)[:16]}"


def _short(value: Any) -> str:
    said = repr(from_json(value))
    return said if len(said) <= 60 else said[:57] + "…"
