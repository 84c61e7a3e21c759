"""Floor 5, interchange: values as JSON and arrays, one row for each kind of value that a file can hold.

JSON's own words are written as they are; everything else is an object that names its kind. Large or float data go
into named arrays. What is read is checked before it is used: nothing here trusts a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.files import DTYPES

# Lists of numbers from this length on are kept as arrays.
_LONG = 16
# Text arrays take 4 bytes for every letter of the longest: no more than this altogether.
_MOST_TEXT = 256 * 1024**2
_TIME = re.compile(r"(datetime64|timedelta64)\[(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\]")
_LISTED: dict[type, str] = {float: "float64", int: "int64", bool: "bool"}


class NotPlain(TypeError):
    """A value that a file does not hold; the message names it."""


@dataclass(frozen=True)
class Kind:
    """One kind of value: whether a value is of it, how it is written, how it is read back."""

    name: str
    holds: Callable[[Any], bool]
    put: Callable[[Shelf, Any, str], dict[str, Any]]
    take: Callable[[Shelf, dict[str, Any]], Any]


class Shelf:
    """The arrays of one file while values are put into it or taken out, and the kinds of values that it knows.

    >>> shelf = Shelf(PLAIN)
    >>> written = shelf.put({"scores": (0.5, float("nan")), "w": np.arange(3.0)}, "result")
    >>> list(shelf.arrays), shelf.take(written)
    (['result.w'], {'scores': (0.5, nan), 'w': array([0., 1., 2.])})
    """

    def __init__(self, kinds: list[Kind], arrays: dict[str, np.ndarray] | None = None):
        self.kinds = kinds
        self.arrays: dict[str, np.ndarray] = {} if arrays is None else arrays
        self.n_outputs = 3  # of the network whose losses and last activation are put
        self._text = 0  # bytes of text arrays taken so far

    def take_text(self, count: int) -> None:
        """Count the bytes of a text array against what one file may ask for."""
        self._text += count
        if self._text > _MOST_TEXT:
            raise ValueError("text takes more memory than a file may ask for")

    def put(self, value: Any, at: str) -> Any:
        """JSON for a value; its arrays are named after `at`. NotPlain where a file cannot hold it."""
        if value is None or type(value) is bool:
            return value
        if isinstance(value, str):
            return str(value)
        if type(value) is int and abs(value) < 2**63:
            return value
        if type(value) is float and abs(value) < float("inf"):
            return value
        if type(value) is list and not _is_long(value):
            return [self.put(item, f"{at}.{k}") for k, item in enumerate(value)]
        for kind in self.kinds:
            if kind.holds(value):
                return {"kind": kind.name, **kind.put(self, value, at)}
        raise NotPlain(f"{at} is a {type(value).__name__}, {value!r:.60}, which a file does not hold")

    def take(self, state: Any) -> Any:
        """The value that `put` wrote."""
        if isinstance(state, list):
            return [self.take(item) for item in state]
        if not isinstance(state, dict):
            return state
        for kind in self.kinds:
            if kind.name == state["kind"]:
                return kind.take(self, state)
        raise ValueError(f"there is no kind of value {state['kind']!r:.40}")

    def add(self, array: np.ndarray, at: str) -> str:
        """Keep an array under a name of its own, which is returned."""
        if array.dtype not in DTYPES.values():
            raise NotPlain(f"{at} has dtype {array.dtype}, which a file does not hold")
        name, k = at, 1
        while name in self.arrays:
            k += 1
            name = f"{at}~{k}"
        self.arrays[name] = array
        return name

    def remove(self, name: Any) -> np.ndarray:
        """An array of the file, which goes to one place only."""
        if not isinstance(name, str) or name not in self.arrays:
            raise ValueError(f"the array {name!r:.60} is missing, or used twice")
        return self.arrays.pop(name)

    def check_empty(self) -> None:
        """An error where an array was left over."""
        if self.arrays:
            raise ValueError(f"the array {next(iter(self.arrays))!r:.60} belongs to nothing")


def _is_long(values: list[Any]) -> bool:
    """Whether a list is numbers of one type, many or some of them not finite: then it becomes an array."""
    kinds = {type(value) for value in values}
    if len(kinds) != 1 or not kinds <= set(_LISTED):
        return False
    return len(values) >= _LONG and (kinds != {int} or all(abs(value) < 2**63 for value in values))


def _put_numbers(shelf: Shelf, values: list[Any], at: str) -> dict[str, Any]:
    return {"array": shelf.add(np.array(values, _LISTED[type(values[0])]), at)}


def _take_numbers(shelf: Shelf, state: dict[str, Any]) -> list[Any]:
    array = shelf.remove(state["array"])
    if array.ndim != 1 or str(array.dtype) not in _LISTED.values():
        raise ValueError("a list of numbers has another shape")
    return array.tolist()


def _take_number(shelf: Shelf, state: dict[str, Any]) -> float:
    if state["value"] not in ("inf", "-inf", "nan"):
        raise ValueError("a number has no value")
    return float(state["value"])


def _put_dict(shelf: Shelf, value: dict[Any, Any], at: str) -> dict[str, Any]:
    return {"items": [[shelf.put(k, f"{at}.key"), shelf.put(v, f"{at}.{k}")] for k, v in value.items()]}


def _take_dict(shelf: Shelf, state: dict[str, Any]) -> dict[Any, Any]:
    pairs = [(shelf.take(key), shelf.take(value)) for key, value in state["items"]]
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _take_tuple(shelf: Shelf, state: dict[str, Any]) -> tuple[Any, ...]:
    if not isinstance(state["items"], list):
        raise ValueError("a tuple has no items")
    return tuple(shelf.take(item) for item in state["items"])


# ---------------------------------------------------------------- NumPy's values


def _native(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, array.dtype.newbyteorder("="))


def _put_array(shelf: Shelf, value: np.ndarray, at: str) -> dict[str, Any]:
    return {"array": shelf.add(_native(value), at)}


def _put_times(shelf: Shelf, value: np.ndarray, at: str) -> dict[str, Any]:
    value = _native(value)
    return {"array": shelf.add(value.astype(np.int64), at), "dtype": str(value.dtype)}


def _take_times(shelf: Shelf, state: dict[str, Any]) -> np.ndarray:
    array = shelf.remove(state["array"])
    if array.dtype != np.int64 or not _TIME.fullmatch(state["dtype"]):
        raise ValueError("a date has another type")
    return array.view(state["dtype"])


def _put_text(shelf: Shelf, value: np.ndarray, at: str) -> dict[str, Any]:
    if value.nbytes > _MOST_TEXT:
        raise NotPlain(f"{at} is text of {value.nbytes:,} bytes; a file holds {_MOST_TEXT:,}")
    return {"shape": list(value.shape), "letters": value.dtype.itemsize // 4, "items": value.ravel().tolist()}


def _shape(state: dict[str, Any]) -> tuple[int, ...]:
    shape, items = state["shape"], state["items"]
    if not isinstance(shape, list) or not isinstance(items, list) or len(shape) > 8:
        raise ValueError("an array has no shape")
    if not all(type(n) is int and 0 <= n <= len(items) for n in shape):
        raise ValueError("an array has another shape than its content")
    return tuple(shape)


def _take_text(shelf: Shelf, state: dict[str, Any]) -> np.ndarray:
    shape, items, letters = _shape(state), state["items"], state["letters"]
    if type(letters) is not int or letters < 0:
        raise ValueError("text has no width")
    shelf.take_text(letters * 4 * max(len(items), 1))
    if not all(isinstance(item, str) and len(item) <= letters for item in items):
        raise ValueError("text holds something else, or longer words than it says")
    return np.array(items, f"U{letters}").reshape(shape)


def _put_objects(shelf: Shelf, value: np.ndarray, at: str) -> dict[str, Any]:
    items = [shelf.put(item, at) for item in value.ravel().tolist()]
    return {"shape": list(value.shape), "items": items}


def _take_objects(shelf: Shelf, state: dict[str, Any]) -> np.ndarray:
    shape = _shape(state)
    found = np.empty(len(state["items"]), dtype=object)
    for k, item in enumerate(state["items"]):
        found[k] = shelf.take(item)
    return found.reshape(shape)


def _put_scalar(shelf: Shelf, value: np.generic, at: str) -> dict[str, Any]:
    return {"dtype": str(value.dtype), "value": shelf.put(value.item(), at)}


def _take_scalar(shelf: Shelf, state: dict[str, Any]) -> np.generic:
    names = {str(dtype): dtype for dtype in DTYPES.values()}
    value = shelf.take(state["value"])
    if not isinstance(value, bool | int | float):
        raise ValueError("a number is none")
    with np.errstate(over="ignore"):
        found = names[state["dtype"]].type(value)
    if not (found == value or (found != found and value != value)) or type(found.item()) is not type(value):
        raise ValueError("a number does not fit its type")
    return found


# ---------------------------------------------------------------- a stream of random numbers


def _put_random(shelf: Shelf, value: np.random.RandomState, at: str) -> dict[str, Any]:
    _, keys, place, has_gauss, gauss = value.get_state()
    return {
        "array": shelf.add(np.array(keys, np.uint32), at), "place": int(place), "has_gauss": int(has_gauss),
        "gauss": float(gauss),
    }  # fmt: skip


def _take_random(shelf: Shelf, state: dict[str, Any]) -> np.random.RandomState:
    keys, place, has_gauss, gauss = shelf.remove(state["array"]), state["place"], state["has_gauss"], state["gauss"]
    if keys.shape != (624,) or keys.dtype != np.uint32 or type(place) is not int or not 0 <= place <= 624:
        raise ValueError("a stream of random numbers has no state")
    if type(has_gauss) is not int or has_gauss not in (0, 1) or not isinstance(gauss, float):
        raise ValueError("a stream of random numbers has no state")
    found = np.random.RandomState(0)  # the type of scikit-learn's parameter
    found.set_state(("MT19937", keys, place, has_gauss, gauss))
    return found


def _is_random(value: Any) -> bool:
    return type(value) is np.random.RandomState and value.get_state(legacy=False)["bit_generator"] == "MT19937"


def _array_of(kinds: str) -> Callable[[Any], bool]:
    return lambda value: type(value) is np.ndarray and value.dtype.kind in kinds


PLAIN: list[Kind] = [
    Kind("number", lambda v: type(v) is float, lambda shelf, v, at: {"value": str(v)}, _take_number),
    Kind("numbers", lambda v: type(v) is list, _put_numbers, _take_numbers),
    Kind(
        "tuple", lambda v: type(v) is tuple,
        lambda shelf, v, at: {"items": [shelf.put(item, f"{at}.{k}") for k, item in enumerate(v)]}, _take_tuple,
    ),
    Kind("dict", lambda v: type(v) is dict, _put_dict, _take_dict),
    Kind("array", _array_of("fiub"), _put_array, lambda shelf, state: shelf.remove(state["array"])),
    Kind("times", _array_of("mM"), _put_times, _take_times),
    Kind("text", _array_of("U"), _put_text, _take_text),
    Kind("objects", _array_of("O"), _put_objects, _take_objects),
    Kind(
        "scalar", lambda v: isinstance(v, np.generic) and v.dtype in DTYPES.values(), _put_scalar, _take_scalar
    ),
    Kind("random", _is_random, _put_random, _take_random),
]  # fmt: skip
