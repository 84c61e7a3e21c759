"""Floor 5, interchange: the house's own values in a file: networks, rows, histories, learned columns, one row each."""

from __future__ import annotations

import collections.abc
import itertools
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer

from chainrule.data import KINDS as COLUMN_KINDS
from chainrule.data import Features, Target
from chainrule.descent import METHODS, SCHEDULES, SECOND_ORDER, Schedule
from chainrule.engine import Network
from chainrule.estimators.solvers import Descent
from chainrule.network import (
    ACTIVATIONS,
    INITIALISERS,
    LOSSES,
    Activation,
    Layout,
    Loss,
    get_activation,
    get_initialiser,
    get_loss,
)
from chainrule.network.rows import is_row
from chainrule.training import Event, History, Outcome

from .formula import Formula, is_plain_name
from .plain import PLAIN, Kind, NotPlain, Shelf

# A function given as this parameter is recorded as a formula of these arguments.
ARGUMENTS = {"activation": ["z"], "loss": ["y", "s"]}
# More letters than any name needs; names go into messages and into the names of compiled modules.
_LONGEST_NAME = 100


def require(condition: Any, words: str) -> None:
    """A ValueError with these words unless the condition holds."""
    if not condition:
        raise ValueError(words)


def is_number(value: Any) -> bool:
    """Whether a value is one real number, Python's or NumPy's, and no truth value."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def conforms(value: Any, hint: Any) -> bool:
    """Whether a value is what a dataclass says of its field.

    >>> conforms([1.0, 2], list[float]), conforms(None, float | None), conforms(True, int)
    (True, True, False)
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(conforms(value, part) for part in arguments)
    if origin is list:
        return type(value) is list and all(conforms(item, arguments[0]) for item in value)
    if origin in (dict, collections.abc.Mapping):
        return type(value) is dict and all(
            conforms(k, arguments[0]) and conforms(v, arguments[1]) for k, v in value.items()
        )
    if origin is tuple:
        each = arguments if arguments[-1:] != (Ellipsis,) else (arguments[0],) * len(value)
        return type(value) is tuple and len(value) == len(each) and all(map(conforms, value, each))
    if origin is collections.abc.Callable:
        return callable(value)
    if hint is float:
        return is_number(value)
    if hint in (None, types.NoneType):
        return value is None
    return type(value) is hint if hint in (int, bool, str) else isinstance(value, hint)


def check_fields(record: Any) -> None:
    """An error where a field of a dataclass is not what its annotation says."""
    hints = typing.get_type_hints(type(record))
    for field in fields(record):
        value = getattr(record, field.name)
        words = f"{type(record).__name__}.{field.name} is {value!r:.60}"
        require(conforms(value, hints[field.name]), words)


# ---------------------------------------------------------------- networks


def _under(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def put_network(shelf: Shelf, net: Network, at: str) -> dict[str, Any]:
    """Sizes and activations; the weights as arrays A_1 … A_L, b_1 … b_L, which any reader of safetensors finds."""
    if not np.isfinite(net.w).all():
        raise ValueError("a weight of the network is NaN or infinite; such a network is not saved")
    for letter, views in (("A", net.A), ("b", net.b)):
        for l, view in enumerate(views, 1):
            shelf.add(view, _under(at, f"{letter}_{l}"))
    shelf.n_outputs = net.sizes[-1]
    return {
        "at": at,
        "sizes": list(net.sizes),
        "activations": [shelf.put(row, "activation") for row in net.activations],
    }


def take_network(shelf: Shelf, state: dict[str, Any]) -> Network:
    sizes, at = state["sizes"], state["at"]
    require(type(sizes) is list and all(type(D) is int and D > 0 for D in sizes), "the sizes of a network are none")
    require(isinstance(at, str), "a network has no name")
    rows = [shelf.take(row) for row in state["activations"]]
    require(len(rows) == len(sizes) - 1 >= 1, "the numbers of layers and of activations differ")
    require(all(isinstance(row, Activation) for row in rows), "an activation of a network is none")
    layout = Layout.of(sizes, rows[:-1], rows[-1])
    parts = []
    for letter in "Ab":
        for l, layer in enumerate(layout.layers, 1):
            array = shelf.remove(_under(at, f"{letter}_{l}"))
            shape: tuple[int, ...] = layer.weight_shape if letter == "A" else layer.bias_shape
            require(array.shape == shape and array.dtype.kind == "f", f"{letter}_{l} does not fit the network")
            parts.append(array)
    require(len({part.dtype for part in parts}) == 1, "the weights of a network have several types")
    w = np.concatenate([part.ravel() for part in parts])
    require(np.isfinite(w).all(), "a weight is not finite")
    return Network.from_layout(layout, w)


# ---------------------------------------------------------------- rows: activations and losses

_TABLES: dict[type, dict[str, Any]] = {Activation: ACTIVATIONS, Loss: LOSSES}
_VALUE = {Activation: ["z"], Loss: ["y", "s"]}
_SLOPE = {Activation: ["z", "a"], Loss: ["y", "s"]}
_TARGETS = {row.targets for row in LOSSES.values()}


def _own_fields(kind: type) -> set[str]:
    """What beside its name, functions and parameters makes a row of one's own."""
    return {field.name for field in fields(kind)} - {"name", "value", "slope", "parameters", "aliases"}


def put_row(shelf: Shelf, row: Any, at: str) -> dict[str, Any]:
    """A row of the table as its name and parameters, one of the user's own as its recorded formulas."""
    kind = type(row)
    parameters = {
        name: list(map(float, value)) if isinstance(value, tuple) else float(value)
        for name, value in row.parameters.items()
    }
    if is_row(_TABLES[kind], row):
        return {"name": row.name, "parameters": parameters}
    what, names = f"the {kind.__name__.lower()} {row.name!r}", list(row.parameters)
    require(
        all(map(is_plain_name, names)) and not {"y", "s", "z", "a"} & set(names),
        f"{what} has a parameter that a file does not hold; give it a plain name other than a, s, y, z",
    )

    def formula(function: Any, first: list[str], what: str) -> dict[str, Any]:
        numbers = [name for name in names if not isinstance(row.parameters[name], tuple)]
        return Formula.of(
            function, [*first, *names], what, numbers=numbers, rowwise=row.rowwise, width=shelf.n_outputs
        ).state()

    return {
        "name": row.name[:_LONGEST_NAME], "parameters": parameters,
        "own": {name: getattr(row, name) for name in sorted(_own_fields(kind))},
        "value": formula(row.value, _VALUE[kind], what),
        "slope": None if row.slope is None else formula(row.slope, _SLOPE[kind], f"the slope of {what}"),
    }  # fmt: skip


def _take_row(kind: type, get: Callable[[Any], Any]) -> Callable[[Shelf, dict[str, Any]], Any]:
    def take(shelf: Shelf, state: dict[str, Any]) -> Any:
        name, given = state["name"], state["parameters"]
        require(isinstance(name, str) and len(name) <= _LONGEST_NAME, "a row has no name, or not a short one")
        require(type(given) is dict and all(map(is_plain_name, given)), f"the row {name!r} has no parameters")
        parameters = {key: tuple(value) if type(value) is list else value for key, value in given.items()}
        for value in parameters.values():
            numbers = value if isinstance(value, tuple) else (value,)
            require(all(type(number) is float for number in numbers), f"a parameter of the row {name!r} is no number")
        if "own" not in state:
            return get((name, parameters))
        own = state["own"]
        require(type(own) is dict and set(own) <= _own_fields(kind), f"the row {name!r} is not whole")
        value = Formula.from_state(state["value"])
        slope = None if state["slope"] is None else Formula.from_state(state["slope"])
        row = kind(name, value, slope, parameters=parameters, **own)
        _check_row(row)
        return row

    return take


def _check_row(row: Any) -> None:
    kind, names = type(row), list(row.parameters)
    check_fields(row)
    for formula, first in ((row.value, _VALUE[kind]), (row.slope, _SLOPE[kind])):
        if formula is not None:
            require(formula.names == (*first, *names), f"a formula of {row.name!r} has other arguments")
            require(formula.rowwise == row.rowwise, f"a formula of {row.name!r} is not along the row")
    if kind is Activation:
        get_initialiser(row.initialiser)
    else:
        require(row.targets in _TARGETS and row.link in ACTIVATIONS, f"the loss {row.name!r} has no link or targets")


def _put_function(shelf: Shelf, function: Any, at: str) -> dict[str, Any]:
    parameter = at.split(".")[0]
    if parameter not in ARGUMENTS:
        raise NotPlain(f"{at} is a function, {function!r:.60}, which a file does not hold")
    names = ARGUMENTS[parameter]
    what = f"the {parameter} {getattr(function, '__name__', type(function).__name__)!r}"
    try:
        return {"formula": Formula.of(function, names, what).state()}
    except ValueError:
        if parameter != "loss":
            raise
        # it may want whole rows
        return {"formula": Formula.of(function, names, what, rowwise=True, width=shelf.n_outputs).state()}


# ---------------------------------------------------------------- histories


def _put_history(shelf: Shelf, history: History, at: str) -> dict[str, Any]:
    columns, events = {}, list(history)
    for field in fields(Event):
        values = [getattr(event, field.name) for event in events]
        if field.default_factory is not MISSING:
            optional = [field.default_factory()] * len(values)
        else:
            optional = [field.default] * len(values)
        if not values or values != optional:
            columns[field.name] = shelf.put(values, f"{at}.{field.name}")
    return {"columns": columns}


def _take_history(shelf: Shelf, state: dict[str, Any]) -> History:
    columns = {name: shelf.take(column) for name, column in state["columns"].items()}
    known = {field.name: field for field in fields(Event)}
    require(set(columns) <= set(known), "a history has a column that this release does not know")
    needed = {n for n, field in known.items() if field.default is MISSING and field.default_factory is MISSING}
    require(needed <= set(columns), "a history lacks a column")
    require(all(type(column) is list for column in columns.values()), "a column of a history is no list")
    require(len({len(column) for column in columns.values()}) == 1, "the columns of a history differ in length")
    history = History()
    for values in zip(*columns.values(), strict=True):
        event = Event(**dict(zip(columns, values, strict=True)))
        check_fields(event)
        history.add(event)
    return history


# Records that are written field by field. What an estimator has anyway is left out: its history.
RECORDS: dict[str, type] = {cls.__name__: cls for cls in (Outcome, Descent)}
_LEFT_OUT: dict[str, Callable[[], Any]] = {"history": History}


def _put_record(shelf: Shelf, record: Any, at: str) -> dict[str, Any]:
    names = [field.name for field in fields(record) if field.name not in _LEFT_OUT]
    of = {name: shelf.put(getattr(record, name), f"{at}.{name}") for name in names}
    return {"record": type(record).__name__, "fields": of}


def _take_record(shelf: Shelf, state: dict[str, Any]) -> Any:
    cls = RECORDS[state["record"]]
    given = {name: shelf.take(value) for name, value in state["fields"].items()}
    require(not set(given) & set(_LEFT_OUT), "a record has a part that it cannot have")
    parts = {field.name: _LEFT_OUT[field.name]() for field in fields(cls) if field.name in _LEFT_OUT}
    record = cls(**parts, **given)
    check_fields(record)
    return record


# ---------------------------------------------------------------- schedules


def _is_schedule(value: Any) -> bool:
    row = SCHEDULES.get(value.name) if type(value) is Schedule else None
    return row is not None and row.factor is value.factor


def _put_schedule(shelf: Shelf, row: Schedule, at: str) -> dict[str, Any]:
    return {"name": row.name, "parameters": shelf.put(dict(row.parameters), f"{at}.parameters"), "size": row.size}


def _take_schedule(shelf: Shelf, state: dict[str, Any]) -> Schedule:
    row = SCHEDULES[state["name"]].configured(**shelf.take(state["parameters"]))
    return row if state["size"] is None else row * state["size"]


# ---------------------------------------------------------------- learned columns and targets


def _put_parts(shelf: Shelf, value: Any, at: str) -> tuple[Any, dict[str, str]]:
    state, arrays = value.state()
    return state, {name: shelf.add(array, f"{at}.{name}") for name, array in arrays.items()}


def _take_parts(shelf: Shelf, state: dict[str, Any]) -> tuple[Any, dict[str, np.ndarray]]:
    return shelf.take(state["state"]), {name: shelf.remove(array) for name, array in state["arrays"].items()}


def _put_features(shelf: Shelf, features: Features, at: str) -> dict[str, Any]:
    state, arrays = _put_parts(shelf, features, at)
    return {"state": shelf.put(state, at), "arrays": arrays}


# What a field of a learned column must be beside its type.
_COLUMN_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "middle": (lambda v: abs(v) < float("inf"), "finite"),
    "width": (lambda v: 0 < v < float("inf"), "a finite number > 0"),
    "clip": (lambda v: 0 < v < float("inf"), "a finite number > 0"),
    "categories": (lambda v: len(set(v)) == len(v), "different from each other"),
}


def _take_features(shelf: Shelf, state: dict[str, Any]) -> Features:
    features = Features.from_state(*_take_parts(shelf, state))
    for kind in features.kinds:
        check_fields(kind)
        require(kind.kind in COLUMN_KINDS, f"there is no kind of column {kind.kind!r:.40}")
    for column in features.columns:
        check_fields(column)
        for name, (rule, words) in _COLUMN_RULES.items():
            require(
                not hasattr(column, name) or rule(getattr(column, name)), f"{column.name!r:.60}: {name} must be {words}"
            )
    names = [column.name for column in features.columns]
    require(names and len(set(names)) == len(names), "two columns have one name")
    require(set(names) <= {kind.column for kind in features.kinds}, "a column is used that was not there")
    return features


def _put_target(shelf: Shelf, target: Target, at: str) -> dict[str, Any]:
    state, arrays = _put_parts(shelf, target, at)
    # labels of any type: as an array, where a list would lose what type they have
    state = {**state, "classes": None, "notes": None}
    return {
        "state": shelf.put(state, at), "arrays": arrays, "classes": shelf.put(target.classes, f"{at}.classes"),
        "notes": list(target.notes),
    }  # fmt: skip


def _take_target(shelf: Shelf, state: dict[str, Any]) -> Target:
    target = Target.from_state(*_take_parts(shelf, state))
    target.classes, target.notes = shelf.take(state["classes"]), state["notes"]
    check_fields(target)
    return target


def _put_binarizer(shelf: Shelf, labels: LabelBinarizer, at: str) -> dict[str, Any]:
    if (labels.neg_label, labels.pos_label, labels.sparse_output) != (0, 1, False):
        raise NotPlain(f"{at} has settings of its own, which a file does not hold")
    return {
        "classes": shelf.put(labels.classes_, f"{at}.classes"), "y_type": str(labels.y_type_),
        "sparse_input": bool(labels.sparse_input_),
    }  # fmt: skip


def _take_binarizer(shelf: Shelf, state: dict[str, Any]) -> LabelBinarizer:
    labels = LabelBinarizer()
    labels.classes_, labels.y_type_ = check_classes(shelf.take(state["classes"])), state["y_type"]
    labels.sparse_input_ = state["sparse_input"]
    require(isinstance(labels.sparse_input_, bool), "the labels are not whole")
    # scikit-learn's own: two labels (or one) make one output, more make one each
    few = labels.y_type_ == "binary" and len(labels.classes_) <= 2
    many = labels.y_type_ == "multiclass" and len(labels.classes_) > 2
    require(few or many or labels.y_type_ == "multilabel-indicator", "the labels do not fit their number")
    return labels


def check_classes(classes: Any) -> np.ndarray:
    """The labels of a classifier: one array of different ones, in order."""
    require(isinstance(classes, np.ndarray) and classes.ndim == 1 and len(classes), "the labels are no array")
    listed = classes.tolist()
    require(all(isinstance(label, bool | int | float | str) for label in listed) or classes.dtype.kind in "mM",
            "a label is no number or text")  # fmt: skip
    require(all(a < b for a, b in itertools.pairwise(listed)), "the labels are not in order")
    return classes


def _row_of(kind: str, rows: collections.abc.Mapping[str, Any]) -> Kind:
    """A row of a table, by its name; rows of one's own stay behind."""

    def take(shelf: Shelf, state: dict[str, Any]) -> Any:
        name = state["name"]
        require(isinstance(name, str) and name in rows, f"there is no {kind} {name!r:.60}")
        return rows[name]

    def holds(value: Any) -> bool:
        name = getattr(value, "name", None)
        return isinstance(name, str) and rows.get(name) is value

    return Kind(kind, holds, lambda shelf, row, at: {"name": row.name}, take)


HOUSE: list[Kind] = [
    Kind("network", lambda v: type(v) is Network, put_network, take_network),
    Kind("activation", lambda v: type(v) is Activation, put_row, _take_row(Activation, get_activation)),
    Kind("loss", lambda v: type(v) is Loss, put_row, _take_row(Loss, get_loss)),
    Kind("history", lambda v: type(v) is History, _put_history, _take_history),
    Kind("record", lambda v: type(v) in RECORDS.values(), _put_record, _take_record),
    _row_of("method", METHODS),
    _row_of("second_order", SECOND_ORDER),
    _row_of("initialiser", INITIALISERS),
    Kind("schedule", _is_schedule, _put_schedule, _take_schedule),
    Kind("features", lambda v: type(v) is Features, _put_features, _take_features),
    Kind("target", lambda v: type(v) is Target, _put_target, _take_target),
    Kind("labels", lambda v: type(v) is LabelBinarizer, _put_binarizer, _take_binarizer),
    *PLAIN,
    Kind(
        "function", lambda v: callable(v) and not isinstance(v, type), _put_function,
        lambda shelf, state: Formula.from_state(state["formula"]),
    ),
]  # fmt: skip
