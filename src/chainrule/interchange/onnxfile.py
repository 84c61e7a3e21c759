"""Floor 5, interchange: networks, estimators and whole table models as ONNX graphs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from chainrule.data import TableError, read_table
from chainrule.data.columns import keys, numbers
from chainrule.engine import Network
from chainrule.estimators.mlp import MLPClassifier, MLPRegressor
from chainrule.estimators.tabular import TableClassifier, TableRegressor
from chainrule.files import FileError, write_atomically
from chainrule.network import Activation

from .formula import Formula
from .onnxwords import Port, Scribe, Speaker, speak

# Old enough for most runtimes in use, new enough for every word that is needed.
_OPSET, _ML_OPSET, _IR = 18, 3, 8
# protobuf's limit is 2 GiB; some of it is left to the nodes.
_MOST_BYTES = 2**31 - 2**24


def to_onnx(model: Any, path: str | os.PathLike) -> None:
    """Write a model as an ONNX graph, which onnxruntime and other runtimes compute without Python or chainrule.

    A Network and the MLP estimators take one input `X`, N × D_0 in the network's float type. A table model takes every
    column that it uses under its own name, N × 1: numbers, truth values (1 and 0) and dates (days since 1970-01-01 UTC)
    as float64 with NaN where missing; categories as text with "" where missing, or as float64 where they are numbers.
    Each input's doc string says which; `onnx_inputs` makes them of a table. Outputs are `prediction` (N, or N × D_L) of
    regressors and networks, `label` (N) and `probabilities` (N × classes) of classifiers.

    Parameters
    ----------
    model : a Network, or a fitted MLPClassifier, MLPRegressor, TableClassifier or TableRegressor
    path : where to

    Raises
    ------
    ImportError : without onnx: `pip install "chainrule[onnx]"`. TypeError : for another kind of object.
    ValueError : for a model that is not fitted, an activation or labels that ONNX has no words for.
    FileError : where nothing can be written.

    skl2onnx takes a pipeline of scikit-learn apart in the same way; it reads scikit-learn's classes only.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError('export to ONNX needs onnx: pip install "chainrule[onnx]"') from None

    written = _graph(model)
    onnx.checker.check_model(written)
    write_atomically(path, lambda file: file.write(written.SerializeToString()))


def _graph(model: Any) -> Any:
    row = next((row for cls, row in _EXPORTS.items() if type(model) is cls), None)
    if row is None:
        names = ", ".join(cls.__name__ for cls in _EXPORTS)
        raise TypeError(f"to_onnx takes one of {names}, got {type(model).__name__}")
    if not isinstance(model, Network) and not hasattr(model, "network_"):
        raise ValueError(f"this {type(model).__name__} is not fitted yet; to_onnx takes a fitted one")
    scribe = Scribe()
    inputs, outputs = row(scribe, model)
    size = sum(array.nbytes for _, array in scribe.constants.values())
    if size > _MOST_BYTES:
        raise FileError(f"an ONNX file ends at 2 GiB; the weights of this model alone have {size:,} bytes")
    return _assemble(scribe, type(model).__name__, inputs, outputs)


def _assemble(scribe: Scribe, title: str, inputs: list[Port], outputs: list[tuple[Port, str]]) -> Any:
    from onnx import helper, numpy_helper

    def info(port: Port) -> Any:
        text = port.dtype is str
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(object if text else port.dtype))
        return helper.make_tensor_value_info(port.name, kind, list(port.shape), port.doc)

    taken = {name for node in scribe.nodes for name in node.output} | {
        called for called, _ in scribe.constants.values()
    }
    for name in [port.name for port in inputs] + [port.name for port, _ in outputs]:
        if not name or name in taken:
            raise ValueError(f"a column is called {name!r}, which the graph cannot have as an input; rename it")
        taken.add(name)
    scribe.nodes += [helper.make_node("Identity", [value], [port.name]) for port, value in outputs]
    graph = helper.make_graph(
        scribe.nodes, title, [info(port) for port in inputs], [info(port) for port, _ in outputs],
        [numpy_helper.from_array(array, called) for called, array in scribe.constants.values()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="chainrule")
    described = {port.name: port.doc for port in inputs}
    helper.set_model_props(model, {"chainrule.model": title, "chainrule.inputs": json.dumps(described)})
    return model


# ---------------------------------------------------------------- networks


def _activation(s: Speaker, row: Activation, z: str, width: int) -> str:
    what = f"the activation {row.name!r}"
    names = list(row.parameters)
    formula = Formula.of(row.value, ["z", *names], what, numbers=names, rowwise=row.rowwise, width=width)
    return speak(s, formula, {"z": z, **row.parameters}, what)


def _network(scribe: Scribe, net: Network, a: str) -> str:
    """ŷ of the rows a, both in the network's float type."""
    s = Speaker(scribe, net.w.dtype)
    for l, layer in enumerate(net.layout.layers, 1):
        product = scribe.op("MatMul", a, scribe.constant(net.A[l], net.w.dtype))
        z = scribe.op("Add", product, scribe.constant(net.b[l], net.w.dtype))
        a = _activation(s, layer.activation, z, layer.outputs)
    return a


def _bare_network(scribe: Scribe, net: Network) -> tuple[list[Port], list[tuple[Port, str]]]:
    inputs = [Port("X", net.w.dtype, ("N", net.sizes[0]), "rows of numbers")]
    found = _network(scribe, net, "X")
    return inputs, [(Port("prediction", net.w.dtype, ("N", net.sizes[-1])), found)]


# ---------------------------------------------------------------- scikit-learn's estimators


def _inputs_of(model: Any) -> list[Port]:
    names = getattr(model, "feature_names_in_", None)
    columns = "rows of numbers" + ("" if names is None else ": " + ", ".join(names))
    return [Port("X", model.network_.w.dtype, ("N", model.n_features_in_), columns)]


def _flat(scribe: Scribe, column: str) -> str:
    return scribe.op("Reshape", column, scribe.constant([-1], np.int64))


def _mlp_regressor(scribe: Scribe, model: Any) -> tuple[list[Port], list[tuple[Port, str]]]:
    found = _network(scribe, model.network_, "X")
    shape: tuple[Any, ...] = ("N", model.n_outputs_)
    if model.n_outputs_ == 1:
        found, shape = _flat(scribe, found), ("N",)
    return _inputs_of(model), [(Port("prediction", model.network_.w.dtype, shape), found)]


def _mlp_classifier(scribe: Scribe, model: Any) -> tuple[list[Port], list[tuple[Port, str]]]:
    dtype, outputs = model.network_.w.dtype, _network(scribe, model.network_, "X")
    count = len(model.classes_)
    if model._label_binarizer.y_type_ == "multilabel-indicator":
        over = scribe.op("Greater", outputs, scribe.constant(0.5, dtype))
        p = _both(scribe, outputs, dtype) if model.n_outputs_ == 1 else outputs
        labels = (Port("label", np.int64, ("N", count), "1 for each class that a row has"), scribe.cast(over, np.int64))
        return _inputs_of(model), [labels, (Port("probabilities", dtype, ("N", count)), p)]
    if model.n_outputs_ == 1:
        p = _both(scribe, outputs, dtype)
        code = scribe.cast(scribe.op("Greater", _flat(scribe, outputs), scribe.constant(0.5, dtype)), np.int64)
        code = scribe.op("Min", code, scribe.constant(count - 1, np.int64))  # one class alone has no second
    else:
        p, code = outputs, scribe.op("ArgMax", outputs, axis=1, keepdims=0)
    return _inputs_of(model), _labelled(scribe, model.classes_, code, p, dtype, max(count, 2))


def _both(scribe: Scribe, p: str, dtype: Any) -> str:
    """The probabilities of both classes from that of the second."""
    return scribe.op("Concat", scribe.op("Sub", scribe.constant(1.0, dtype), p), p, axis=1)


def _labelled(scribe: Scribe, classes: np.ndarray, code: str, p: str, dtype: Any, count: int) -> list[tuple[Port, str]]:
    listed, kind = _constant_labels(classes)
    label = scribe.op("Gather", scribe.constant(listed, kind), code)
    return [
        (Port("label", str if kind is object else kind, ("N",)), label),
        (Port("probabilities", dtype, ("N", count), "in the order " + ", ".join(map(str, listed))), p),
    ]


def _constant_labels(classes: np.ndarray) -> tuple[list[Any], Any]:
    """Labels as ONNX knows them: text, whole numbers or float64."""
    listed = classes.tolist()
    if all(isinstance(label, str) for label in listed):
        return listed, object
    if all(isinstance(label, int) and abs(label) < 2**63 for label in listed):
        return [int(label) for label in listed], np.int64
    if all(isinstance(label, float) for label in listed):
        return listed, np.float64
    raise ValueError(f"the labels, such as {listed[0]!r}, are neither text nor numbers, which is all that ONNX has")


# ---------------------------------------------------------------- tables


def _squash(s: Speaker, x: str, column: Any) -> tuple[str, str]:
    """(the scaled and smoothly clipped number, 1 where it is missing), as data.columns has it; missing gives 0."""
    gaps = s.ask("IsNaN", x)
    filled = s.where(gaps, s.number(column.middle), x)
    z = s.op("Div", s.op("Sub", filled, s.number(column.middle)), s.number(column.width))
    inner = s.op("Div", z, s.number(column.clip))
    root = s.op("Sqrt", s.op("Add", s.number(1.0), s.op("Mul", inner, inner)))
    return s.op("Div", z, root), s.as_number(gaps)


def _number(s: Speaker, x: str, column: Any) -> list[str]:
    z, gaps = _squash(s, x, column)
    return [z, gaps] if column.marks_missing else [z]


def _matches(s: Speaker, x: str, values: list[float]) -> str:
    """N × values: 1 where x is the value. NaN is none."""
    return s.as_number(s.ask("Equal", x, s.scribe.constant(values, np.float64)))


def _category(s: Speaker, x: str, column: Any) -> list[str]:
    names = column.categories
    count = len(names)
    if _are_numbers(column):
        found = _matches(s, x, [float(name) for name in names])
        rest = s.op("Sub", s.number(1.0), s.along_sum(found))
        other = s.op("Sub", rest, s.as_number(s.ask("IsNaN", x)))
    else:
        codes = dict(zip(names, range(count), strict=True))
        codes.setdefault("", -1)  # missing, unless it was a category of its own
        code = s.scribe.op(
            "LabelEncoder", x, domain="ai.onnx.ml", keys_strings=list(codes), values_int64s=list(codes.values()),
            default_int64=count,
        )  # fmt: skip
        code = s.scribe.cast(code, np.float64)
        found, other = _matches(s, code, [float(k) for k in range(count)]), _matches(s, code, [float(count)])
    if count == 2:
        return [s.scribe.op("MatMul", found, s.scribe.constant([[-1.0], [1.0]], np.float64))]
    return [found, other] if column.has_other else [found]


def _boolean(s: Speaker, x: str, column: Any) -> list[str]:
    return [s.op("Sub", _matches(s, x, [1.0]), _matches(s, x, [0.0]))]


def _date(s: Speaker, x: str, column: Any) -> list[str]:
    """As data.columns has it, from days since 1970: the calendar is arithmetic (Hinnant, 'days_from_civil', 2013)."""
    z, gaps = _squash(s, x, column)
    day = s.where(s.ask("IsNaN", x), s.number(0.0), x)
    whole = s.op("Floor", day)
    turns = [s.op("Div", _month(s, whole), s.number(12.0)), s.op("Div", _weekday(s, whole), s.number(7.0))]
    if column.has_times:
        # minutes, with a hair's breadth for the rounding of day fractions
        minutes = s.op("Mul", s.op("Sub", day, whole), s.number(1440.0))
        minutes = s.op("Floor", s.op("Add", minutes, s.number(1e-6)))
        turns.append(s.op("Div", minutes, s.number(1440.0)))
    columns, present = [z], s.op("Sub", s.number(1.0), gaps)
    for turn in turns:
        angle = s.op("Mul", turn, s.number(2.0 * np.pi))
        columns += [s.op("Mul", present, s.op("Sin", angle)), s.op("Mul", present, s.op("Cos", angle))]
    return [*columns, gaps] if column.marks_missing else columns


def _floor_of(s: Speaker, x: str, divisor: float) -> str:
    return s.op("Floor", s.op("Div", x, s.number(divisor)))


def _rest_of(s: Speaker, x: str, divisor: float) -> str:
    return s.op("Sub", x, s.op("Mul", _floor_of(s, x, divisor), s.number(divisor)))


def _weekday(s: Speaker, day: str) -> str:
    """0 for Monday; 1970-01-01 was a Thursday."""
    return _rest_of(s, s.op("Add", day, s.number(3.0)), 7.0)


def _month(s: Speaker, day: str) -> str:
    """0 for January, of a whole day number: years are counted from March, so that the leap day ends them."""
    of_era = _rest_of(s, s.op("Add", day, s.number(719_468.0)), 146_097.0)
    leaps = s.op("Sub", _floor_of(s, of_era, 1460.0), _floor_of(s, of_era, 36_524.0))
    leaps = s.op("Add", leaps, _floor_of(s, of_era, 146_096.0))
    year = _floor_of(s, s.op("Sub", of_era, leaps), 365.0)
    before = s.op(
        "Sub", s.op("Add", s.op("Mul", year, s.number(365.0)), _floor_of(s, year, 4.0)), _floor_of(s, year, 100.0)
    )
    of_year = s.op("Sub", of_era, before)
    from_march = _floor_of(s, s.op("Add", s.op("Mul", of_year, s.number(5.0)), s.number(2.0)), 153.0)
    return _rest_of(s, s.op("Add", from_march, s.number(2.0)), 12.0)


def _are_numbers(column: Any) -> bool:
    """Whether all categories are numbers as data.columns writes them."""
    try:
        values = [float(name) for name in column.categories]
    except ValueError:
        return False
    written = keys(pd.Series(values, dtype=np.float64))
    return bool(np.isfinite(values).all()) and list(written) == list(column.categories)


# kind of column -> its words, and how it is given
_COLUMNS: dict[str, tuple[Callable[[Speaker, str, Any], list[str]], str]] = {
    "number": (_number, "a number, NaN where missing"),
    "boolean": (_boolean, "1 for true, 0 for false, NaN where missing"),
    "category": (_category, 'text without spaces around it, "" where missing'),
    "date": (_date, "days since 1970-01-01 00:00 UTC, with the time as a fraction; NaN where missing"),
}


def _port(column: Any) -> Port:
    if column.kind not in _COLUMNS:
        raise ValueError(f"the column {column.name!r} is a {column.kind}, which has no translation to ONNX")
    if column.kind == "category" and not _are_numbers(column):
        return Port(column.name, str, ("N", 1), _COLUMNS["category"][1])
    doc = (
        "a number that stands for a category, NaN where missing"
        if column.kind == "category"
        else _COLUMNS[column.kind][1]
    )
    return Port(column.name, np.float64, ("N", 1), doc)


def _table(scribe: Scribe, model: Any) -> tuple[list[Port], str]:
    """The columns, and the network's scores in float64."""
    s = Speaker(scribe, np.float64)
    columns = model.features_.columns
    ports = [_port(column) for column in columns]
    blocks = [block for c in columns for block in _COLUMNS[c.kind][0](s, c.name, c)]
    block = scribe.cast(scribe.op("Concat", *blocks, axis=1), model.network_.w.dtype)
    return ports, scribe.cast(_network(scribe, model.network_, block), np.float64)


def _table_regressor(scribe: Scribe, model: Any) -> tuple[list[Port], list[tuple[Port, str]]]:
    inputs, scores = _table(scribe, model)
    s, (low, high) = Speaker(scribe, np.float64), model.target_range_
    z = s.op("Add", s.op("Mul", _flat(scribe, scores), s.number(model.target_scale_)), s.number(model.target_mean_))
    z = s.op("Min", s.op("Max", z, s.number(low)), s.number(high))
    return inputs, [(Port("prediction", np.float64, ("N",), model.target_.name), z)]


def _table_classifier(scribe: Scribe, model: Any) -> tuple[list[Port], list[tuple[Port, str]]]:
    inputs, scores = _table(scribe, model)
    s, classes = Speaker(scribe, np.float64), model.target_.classes
    p = _both(scribe, scores, np.float64) if len(classes) == 2 else s.op("Div", scores, s.along_sum(scores))
    code = scribe.op("ArgMax", p, axis=1, keepdims=0)
    return inputs, _labelled(scribe, classes, code, p, np.float64, len(classes))


_EXPORTS: dict[type, Callable[[Scribe, Any], tuple[list[Port], list[tuple[Port, str]]]]] = {
    Network: _bare_network,
    MLPClassifier: _mlp_classifier,
    MLPRegressor: _mlp_regressor,
    TableClassifier: _table_classifier,
    TableRegressor: _table_regressor,
}


# ---------------------------------------------------------------- what the graph is fed


def onnx_inputs(model: Any, X: Any) -> dict[str, np.ndarray]:
    """The rows of a table as what the exported graph of a table model takes: one array N × 1 for each column.

    Parameters
    ----------
    model : a fitted TableClassifier or TableRegressor
    X : a table, as for `predict`; dates as datetimes

    >>> import pandas as pd, chainrule as cr
    >>> frame = pd.DataFrame({"size": [1.0, 2.0, None, 4.0], "colour": ["red", "blue", None, "red"]})
    >>> model = cr.TableRegressor((2,), epochs=1, random_state=0).fit(frame, [1.0, 2.0, 3.0, 4.0])
    >>> {name: array.ravel().tolist() for name, array in onnx_inputs(model, frame).items()}
    {'size': [1.0, 2.0, nan, 4.0], 'colour': ['red', 'blue', '', 'red']}
    """
    frame, found = read_table(X).frame, {}
    for column in model.features_.columns:
        values = frame[column.name]
        if _port(column).dtype is str:
            array = np.array(["" if key is None else key for key in keys(values)], dtype=object)
        elif column.kind == "date":
            array = _day_numbers(values)
        elif column.kind == "boolean":
            words = {"true": 1.0, "1": 1.0, "yes": 1.0, "false": 0.0, "0": 0.0, "no": 0.0}
            array = np.array([np.nan if k is None else words.get(str(k).lower(), 2.0) for k in keys(values)])
        else:
            array = numbers(values, _complaint(column.name))
        found[column.name] = array.reshape(-1, 1)
    return found


def _complaint(column: str) -> Callable[[int, Any, str], TableError]:
    return lambda row, value, what: TableError(f"column {column!r}, row {row}: {value!r} {what}")


def _day_numbers(values: pd.Series) -> np.ndarray:
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        raise ValueError(f"the column {values.name!r} must hold datetimes here: pd.to_datetime makes them of text")
    if getattr(values.dt, "tz", None) is not None:
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    micro = values.astype("datetime64[us]").astype("int64").to_numpy(dtype=np.float64)
    return np.where(values.isna().to_numpy(), np.nan, micro / 86_400e6)
