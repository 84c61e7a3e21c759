"""Floor 2, engine: recorded rows -> printed Python modules -> the addresses of compiled functions.

Every activation, slope, loss and method is printed as one small module for one float width and compiled once; the
kernels make one more. A row of the user's own takes the same path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from chainrule.calculus.differentiate import slope as derived_slope
from chainrule.calculus.graph import Graph, record
from chainrule.descent.methods import Method
from chainrule.network import Activation, Loss

from .cache import directory, load_module, say
from .elementary import WRITTEN
from .emit import Block, Writer, loop

_HERE = Path(__file__).parent


def _function(
    pattern: str, dtype: str, arrays: Sequence[tuple[str, str, str]], scalars: str, lines: Sequence[str]
) -> str:
    """A module with one row function: arrays are (name, letter, shape), then the scalar arguments."""
    names = [f"{name}_" for name, _, _ in arrays] + scalars.split()
    views = [f"{name} = carray({name}_, {shape})" for name, _, shape in arrays]
    widths = [f"dt = np.{dtype}", "one, zero, inf, width = dt(1.0), dt(0.0), dt(np.inf), dt(D)"]
    body = [*views, *widths, *lines]
    if not body[-1].startswith("return"):
        body.append("return 0.0")
    return "\n".join(
        [
            '"""Printed by chainrule: one recorded row, compiled."""',
            "import math",
            "import numpy as np",
            "from numba import carray",
            "from chainrule.engine.jit import row_function",
            *_elementary(lines, dtype),
            f'@row_function("{pattern}", "{dtype}")',
            f"def function({', '.join(names)}):",
            *("    " + line for line in body),
            "",
        ]
    )


def _elementary(lines: Sequence[str], dtype: str) -> list[str]:
    """The imports of functions that we have written out for this float width."""
    text = "\n".join(lines)
    used = [name for name in WRITTEN if re.search(rf"(?<![.\w]){name}\(", text)]
    return [f"from chainrule.engine.elementary import {name}_{dtype} as {name}" for name in used]


def _parameter_lines(parameters: Sequence[str], source: str) -> list[str]:
    return [text for k, name in enumerate(parameters)
            for text in (f"p_{name}_ = {source}[{k}]", f"p_{name} = dt(p_{name}_)")]  # fmt: skip


def _uniform(parameters: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"p_{name}", "uniform") for name in parameters]


# ---------------------------------------------------------------- activations


def _example(D: int, low: float, high: float) -> Any:
    """D different numbers: a formula that couples the outputs is recorded, and printed, for their number."""
    return low + (high - low) * (np.arange(D) + 0.5) / D


def _record_value(row: Activation, D: int) -> Graph:
    names = list(row.parameters)
    examples = [row.parameters[k] for k in names]
    z = _example(D, -0.2, 0.7) if row.rowwise else 0.3
    return record(lambda z, *p: row.value(z, **dict(zip(names, p, strict=True))), z, *examples)


def _record_slope(row: Activation) -> Graph:
    names = list(row.parameters)
    examples = [row.parameters[k] for k in names]
    a = float(np.asarray(row(np.float64(0.3))))

    def stated(z, a, *p):
        return row.slope(z, a, **dict(zip(names, p, strict=True)))  # type: ignore[misc]

    def derived(z, a, *p):
        return derived_slope(lambda t: row.value(t, **dict(zip(names, p, strict=True))))(z)

    return record(stated if row.slope is not None else derived, 0.3, a, *examples)


def _value_block(row: Activation, D: int) -> Block:
    inputs = [("z0", "element"), *_uniform(list(row.parameters))]
    return Writer(_record_value(row, D), inputs, f"the activation {row.name!r}").run()


def _slope_block(row: Activation) -> Block:
    inputs = [("z0", "element"), ("a0", "element"), *_uniform(list(row.parameters))]
    return Writer(_record_slope(row), inputs, f"the slope of the activation {row.name!r}").run()


def _reads(block: Block, name: str) -> bool:
    texts = [s.text for s in block.steps] + [s.name for s in block.outputs]
    return any(re.search(rf"\b{name}\b", text) for text in texts)


@cache
def needs_z(row: Activation) -> bool:
    """Whether the slope is written with z: then z is kept beside a during the forward pass."""
    return not row.rowwise and _reads(_slope_block(row), "z0")


def print_activation(row: Activation, dtype: str, D: int) -> str:
    """a = σ(z + b) over an n × D block, z overwritten by z + b where the slope reads it."""
    block, parameters = _value_block(row, D), list(row.parameters)
    head = _parameter_lines(parameters, "p")
    # In place where z is not needed again: one array, which the compiler can vectorise without an overlap check.
    if row.rowwise:
        head += ["for i in range(n):", "    for j in range(D):", "        a[i, j] = a[i, j] + b[j]"]
        lines = loop(block, {"z0": "a[i, j]"}, lambda out: [f"a[i, j] = {out[0]}"])
    elif needs_z(row):
        lines = loop(block, {"z0": "z[i, j] + b[j]"}, lambda out: ["z[i, j] = z0", f"a[i, j] = {out[0]}"])
    else:
        lines = loop(block, {"z0": "a[i, j] + b[j]"}, lambda out: [f"a[i, j] = {out[0]}"])
    arrays = [("z", "p", "(n, D)"), ("a", "p", "(n, D)"), ("b", "p", "D"), ("p", "P", f"{len(parameters) + 1}")]
    return _function("pppPnn", dtype, arrays, "n D", head + lines)


def print_slope(row: Activation, dtype: str, D: int) -> str:
    """delta *= σ'(z), where a = σ(z), over a flat run of D numbers."""
    parameters = list(row.parameters)
    loads = {"z0": "z[j]", "a0": "a[j]"}
    lines = loop(_slope_block(row), loads, lambda out: [f"delta[j] = delta[j] * {out[0]}"])
    arrays = [(name, "p", "D") for name in ("delta", "z", "a")] + [("p", "P", f"{len(parameters) + 1}")]
    return _function("pppPn", dtype, arrays, "D", ["n = 1", *_parameter_lines(parameters, "p"), *lines])


# ---------------------------------------------------------------- losses


def _record_loss(row: Loss, D: int) -> Graph:
    names = list(row.parameters)
    examples = [_example(D, 0.1, 0.9) if k in row.vectors else row.parameters[k] for k in names]
    y, s = (_example(D, 0.2, 0.5), _example(D, -0.2, 0.7)) if row.rowwise else (0.2, 0.3)

    def both(y, s, *p):
        keywords = dict(zip(names, p, strict=True))
        value = row.value(y, s, **keywords)
        if row.slope is not None:
            return value, row.slope(y, s, **keywords)
        return value, derived_slope(lambda v: row.value(y, v, **keywords))(s)

    return record(both, y, s, *examples)


def print_loss(row: Loss, dtype: str, D: int) -> str:
    """Σ weight · L over n rows, with weight · dL/ds into delta. p has the scalar parameters, then D of each vector."""
    inputs = [("y0", "element"), ("s0", "element")]
    inputs += [(f"p_{name}", "element" if name in row.vectors else "uniform") for name in row.parameters]
    block = Writer(_record_loss(row, D), inputs, f"the loss {row.name!r}").run()
    add = "total += np.float64(weights[i] * {})"
    slope = "delta[i, j] = weights[i] * {}"
    if block.outputs[0].kind == "row":
        after, stores = add.format(block.outputs[0].name), lambda out: [slope.format(out[1])]
    else:
        after, stores = None, lambda out: [slope.format(out[1]), add.format(out[0])]
    count = len(row.scalars)
    loads = {"y0": "y[i, j]", "s0": "s[i, j]"}
    loads |= {f"p_{name}": f"dt(p[{count} + {k} * D + j])" for k, name in enumerate(row.vectors)}
    lines = loop(block, loads, stores, after)
    head = [*_parameter_lines(row.scalars, "p"), "total = 0.0"]
    arrays = [(name, "p", "(n, D)") for name in ("y", "s", "delta")]
    arrays += [("weights", "p", "n"), ("p", "P", f"{count + 1} + {len(row.vectors)} * D")]
    return _function("ppppPnn", dtype, arrays, "n D", [*head, *lines, "return total"])


# ---------------------------------------------------------------- methods


def print_method(row: Method, dtype: str, D: int) -> str:
    """One step of the method on D numbers of w; its state vectors lie `stride` numbers apart."""
    names = [name for name in row.defaults if name != "step"]
    count = len(row.state)

    def update(w, g, t, step, *rest):
        return row.update(w, g, *rest[:count], t=t, step=step, **dict(zip(names, rest[count:], strict=True)))

    examples = [0.3, 0.2, 3.0, row.defaults["step"], *[0.1] * count, *(row.defaults[name] for name in names)]
    inputs = [("w0", "element"), ("g0", "element"), ("t", "uniform"), ("step", "uniform")]
    inputs += [(f"s{m}", "element") for m in range(count)] + _uniform(names)
    block = Writer(record(update, *examples), inputs, f"the method {row.name!r}").run()
    vectors = [f"state_{m}" for m in range(count)]
    loads = {"w0": "w[j]", "g0": "g[j]"} | {f"s{m}": f"{name}[j]" for m, name in enumerate(vectors)}
    targets = ["w[j]", *(f"{name}[j]" for name in vectors)]
    lines = ["n = 1", "t, step = dt(t_), dt(step_)", *_parameter_lines(names, "h")]
    lines += [f"{name} = state[{m} * stride : {m} * stride + D]" for m, name in enumerate(vectors)]
    lines += loop(block, loads, lambda out: [f"{at} = {x}" for at, x in zip(targets, out, strict=True)])
    arrays = [("w", "p", "D"), ("g", "p", "D"), ("state", "p", f"{max(count - 1, 0)} * stride + D")]
    arrays += [("h", "P", f"{len(names) + 1}")]
    return _function("pppPxxnn", dtype, arrays, "t_ step_ stride D", lines)


# ---------------------------------------------------------------- addresses


_addresses: dict[tuple, int] = {}


def _address(kind: str, row: Any, formula: tuple, text: Callable[[Any, str, int], str], dtype: str, D: int = 1) -> int:
    key = (kind, row.name, formula, dtype, D)
    if key not in _addresses:
        stem = re.sub(r"\W", "_", f"{row.name}_{kind}_{dtype}")
        _addresses[key] = load_module(stem, text(row, dtype, D)).function.address
    return _addresses[key]


def activation_address(row: Activation, dtype: str, D: int) -> int:
    """Where the machine code of this activation is, for a layer of D units."""
    return _address("value", row, (row.value,), print_activation, dtype, D if row.rowwise else 1)


def slope_address(row: Activation, dtype: str) -> int:
    return _address("slope", row, (row.value, row.slope), print_slope, dtype)


def loss_address(row: Loss, dtype: str, D: int) -> int:
    """Where the machine code of this loss is, for D outputs."""
    return _address("loss", row, (row.value, row.slope), print_loss, dtype, D if row.rowwise else 1)


def method_address(row: Method, dtype: str) -> int:
    return _address("method", row, (row.update,), print_method, dtype)


@cache
def kernels() -> ModuleType:
    """The kernels as a module that is compiled when first called, and kept for this processor."""
    text = (_HERE / "kernels.py").read_text(encoding="utf-8")
    module = load_module("kernels", text, ("jit.py", "tiles.py", "records.py"))
    if not any(directory().glob(f"__pycache__/{module.__name__}*.nbi")):
        say(f"compiling the engine for this processor; it happens once, the result is kept in {directory()}")
    return module
