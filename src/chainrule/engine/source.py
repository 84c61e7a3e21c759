"""Floor 2, engine: recorded rows -> printed Python functions -> the addresses of their machine code.

Every activation, slope, loss and method is printed as one function for one float width and compiled once. A row of the
user's own takes the same path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from chainrule.calculus.differentiate import slope as derived_slope
from chainrule.calculus.differentiate import vjp
from chainrule.calculus.graph import Graph, record
from chainrule.descent.methods import Method
from chainrule.network import Activation, Loss

from .cache import machine_function
from .emit import WRITTEN, Block, Writer, loop
from .processor import VECTOR


class Printed(NamedTuple):
    """A function's text and the types of its arguments, see `jit.object_code`."""

    text: str
    pattern: str


def _function(
    pattern: str, dtype: str, arrays: Sequence[tuple[str, str, str]], scalars: str, lines: Sequence[str],
    wide: bool = True,
) -> Printed:  # fmt: skip
    """A row function: arrays are (name, letter, shape), then the scalar arguments; it always returns a float64.

    wide : whether it gains by the widest vectors; roots and quotients, of which methods are made, do not.
    """
    names = [f"{name}_" for name, _, _ in arrays] + scalars.split()
    views = [f"{name} = array({name}_, {shape})" for name, _, shape in arrays]
    widths = [f"dt = np.{dtype}", "one, zero, inf, width = dt(1.0), dt(0.0), dt(np.inf), dt(D)"]
    body = [*(["widest()"] if wide else []), *views, *widths, *lines]
    if not body[-1].startswith("return"):
        body.append("return 0.0")
    text = [
        "import math",
        "import numpy as np",
        "from chainrule.engine.jit import array, given_back, local, taken, widest",
        *_elementary(lines, dtype),
        f"def function({', '.join(names)}):",
        *("    " + line for line in body),
        "",
    ]
    return Printed("\n".join(text), pattern)


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


def _record_bend(row: Activation) -> Graph:
    """(σ', σ'') at z, where a = σ(z): a stated slope is differentiated along z and along a, which moves with z."""
    names = list(row.parameters)
    a = float(np.asarray(row(np.float64(0.3))))

    def both(z, a, *p):
        keywords = dict(zip(names, p, strict=True))
        if row.slope is None:
            slope = derived_slope(lambda t: row.value(t, **keywords))
            return slope(z), derived_slope(slope)(z)

        def stated(z, a):
            return row.slope(z, a, **keywords)  # type: ignore[misc]

        slope = stated(z, a)
        return slope, derived_slope(stated, 0)(z, a) + derived_slope(stated, 1)(z, a) * slope

    return record(both, 0.3, a, *row.parameters.values())


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


def print_activation(row: Activation, dtype: str, D: int) -> Printed:
    """a = σ(z + b) over an n × D block, z overwritten by z + b where the slope reads it."""
    block, parameters = _value_block(row, D), list(row.parameters)
    # In place where z is not needed again: one array, which the compiler can vectorise without an overlap check.
    z = "z" if needs_z(row) else "a"
    add_b = ["for i in range(n):", "    for j in range(D):", f"        {z}[i, j] = {z}[i, j] + b[j]"]
    if row.rowwise:
        lines = add_b + loop(block, {"z0": "a[i, j]"}, lambda out: [f"a[i, j] = {out[0]}"])
    else:
        keeps = ["z[i, j] = z0"] if z == "z" else []
        lines = loop(block, {"z0": f"{z}[i, j] + b[j]"}, lambda out: [*keeps, f"a[i, j] = {out[0]}"])
        if _elementary(lines, dtype):
            lines = _by_width(lines, [*add_b, *_flat(block, z)], dtype)
    arrays = [("z", "p", "(n, D)"), ("a", "p", "(n, D)"), ("b", "p", "D"), ("p", "P", f"{len(parameters) + 1}")]
    return _function("pppPnn", dtype, arrays, "n D", [*_parameter_lines(parameters, "p"), *lines])


def _by_width(fitting: Sequence[str], other: Sequence[str], dtype: str) -> list[str]:
    """Lines for rows of whole vectors (or one row), and those for others, where what is left behind the last vector of
    each row would be computed number by number: with exponentials a pass more that adds b costs less."""
    fits = f"if D % {VECTOR // np.dtype(dtype).itemsize} == 0 or n == 1:"
    return [fits, *("    " + line for line in fitting), "else:", *("    " + line for line in other)]


def _flat(block: Block, z: str) -> list[str]:
    """a = σ(z), all rows as one."""
    lines = loop(block, {"z0": f"flat_{z}[j]"}, lambda out: [f"flat_a[j] = {out[0]}"])
    return ["flat_z, flat_a = array(z_, n * D), array(a_, n * D)", "n, D = 1, n * D", *lines]


def print_slope(row: Activation, dtype: str, D: int) -> Printed:
    """delta *= σ'(z), where a = σ(z), over a flat run of D numbers."""
    parameters = list(row.parameters)
    loads = {"z0": "z[j]", "a0": "a[j]"}
    lines = loop(_slope_block(row), loads, lambda out: [f"delta[j] = delta[j] * {out[0]}"])
    arrays = [(name, "p", "D") for name in ("delta", "z", "a")] + [("p", "P", f"{len(parameters) + 1}")]
    return _function("pppPn", dtype, arrays, "D", ["n = 1", *_parameter_lines(parameters, "p"), *lines])


def print_bend(row: Activation, dtype: str, D: int) -> Printed:
    """The slope's own turn, R{delta σ'} = R{delta} σ' + delta σ'' R{z}, over a flat run of D numbers; delta *= σ'."""
    parameters = list(row.parameters)
    inputs = [("z0", "element"), ("a0", "element"), *_uniform(parameters)]
    block = Writer(_record_bend(row), inputs, f"the second derivative of the activation {row.name!r}").run()
    turned = "r_delta[j] = r_delta[j] * {0} + delta[j] * {1} * r_z[j]"
    stores = [turned, "delta[j] = delta[j] * {0}"]
    lines = loop(block, {"z0": "z[j]", "a0": "a[j]"}, lambda out: [text.format(*out) for text in stores])
    arrays = [(name, "p", "D") for name in ("delta", "z", "a", "r_z", "r_delta")]
    arrays += [("p", "P", f"{len(parameters) + 1}")]
    return _function("pppppPn", dtype, arrays, "D", ["n = 1", *_parameter_lines(parameters, "p"), *lines])


# ---------------------------------------------------------------- losses


def _loss_examples(row: Loss, D: int) -> tuple[Any, Any, list[Any]]:
    """(y, s, parameters) that a loss is recorded with."""
    parameters = [_example(D, 0.1, 0.9) if k in row.vectors else v for k, v in row.parameters.items()]
    y, s = (_example(D, 0.2, 0.5), _example(D, -0.2, 0.7)) if row.rowwise else (0.2, 0.3)
    return y, s, parameters


def _loss_inputs(row: Loss) -> list[tuple[str, str]]:
    return [(f"p_{name}", "element" if name in row.vectors else "uniform") for name in row.parameters]


def _loss_loads(row: Loss) -> dict[str, str]:
    """Where element (i, j) of a loss's inputs is read; p has the scalar parameters, then D of each vector."""
    count = len(row.scalars)
    vectors = {f"p_{name}": f"dt(p[{count} + {k} * D + j])" for k, name in enumerate(row.vectors)}
    return {"y0": "y[i, j]", "s0": "s[i, j]"} | vectors


def _loss_arrays(row: Loss, names: Sequence[str]) -> list[tuple[str, str, str]]:
    blocks = [(name, "p", "(n, D)") for name in names]
    return [*blocks, ("weights", "p", "n"), ("p", "P", f"{len(row.scalars) + 1} + {len(row.vectors)} * D")]


def _record_loss(row: Loss, D: int) -> Graph:
    names = list(row.parameters)
    y, s, examples = _loss_examples(row, D)

    def both(y, s, *p):
        keywords = dict(zip(names, p, strict=True))
        value = row.value(y, s, **keywords)
        if row.slope is not None:
            return value, row.slope(y, s, **keywords)
        return value, derived_slope(lambda v: row.value(y, v, **keywords))(s)

    return record(both, y, s, *examples)


def print_loss(row: Loss, dtype: str, D: int) -> Printed:
    """Σ weight · L over n rows, with weight · dL/ds into delta. p has the scalar parameters, then D of each vector."""
    inputs = [("y0", "element"), ("s0", "element"), *_loss_inputs(row)]
    block = Writer(_record_loss(row, D), inputs, f"the loss {row.name!r}").run()
    add = "total += np.float64(weights[i] * {})"
    slope = "delta[i, j] = weights[i] * {}"
    if block.outputs[0].kind == "row":
        after, stores = add.format(block.outputs[0].name), lambda out: [slope.format(out[1])]
    else:
        after, stores = None, lambda out: [slope.format(out[1]), add.format(out[0])]
    lines = loop(block, _loss_loads(row), stores, after)
    # A row-wise formula is printed for its number of outputs: known, its short loops are unrolled.
    head = [f"D = {D}"] if row.rowwise else []
    head += [*_parameter_lines(row.scalars, "p"), "total = 0.0"]
    arrays = _loss_arrays(row, ("y", "s", "delta"))
    return _function("ppppPnn", dtype, arrays, "n D", [*head, *lines, "return total"])


def _record_bent_loss(row: Loss, D: int) -> Graph:
    """H u, where H is the (symmetric) matrix of second derivatives of L by the scores s: the slope's pullback of u."""
    names = list(row.parameters)
    y, s, examples = _loss_examples(row, D)
    u = _example(D, 0.4, 0.6) if row.rowwise else 0.5

    def bent(y, s, u, *p):
        keywords = dict(zip(names, p, strict=True))
        stated = row.slope or (lambda y, v, **k: derived_slope(lambda t: row.value(y, t, **k))(v))
        return vjp(lambda v: stated(y, v, **keywords), s)[1](u)[0]

    return record(bent, y, s, u, *examples)


def print_bent_loss(row: Loss, dtype: str, D: int) -> Printed:
    """weight · H u into out, H the second derivatives of L by the scores; arguments as in `print_loss`."""
    inputs = [("y0", "element"), ("s0", "element"), ("u0", "element"), *_loss_inputs(row)]
    block = Writer(_record_bent_loss(row, D), inputs, f"the second derivative of the loss {row.name!r}").run()
    loads = _loss_loads(row) | {"u0": "u[i, j]"}
    lines = loop(block, loads, lambda out: [f"out[i, j] = weights[i] * {out[0]}"])
    arrays = _loss_arrays(row, ("y", "s", "u", "out"))
    return _function("pppppPnn", dtype, arrays, "n D", [*_parameter_lines(row.scalars, "p"), *lines])


def _record_residual(row: Loss, D: int) -> Graph:
    names = list(row.parameters)
    y, s, examples = _loss_examples(row, D)

    def both(y, s, *p):
        def residual(v):
            return row.residual(y, v, **dict(zip(names, p, strict=True)))  # type: ignore[misc]

        return residual(s), derived_slope(residual)(s)

    return record(both, y, s, *examples)


def print_residual(row: Loss, dtype: str, D: int) -> Printed:
    """weight · r into out and weight · dr/ds into delta, where L = ½ r²; the weights are roots of rows' weights."""
    inputs = [("y0", "element"), ("s0", "element"), *_loss_inputs(row)]
    block = Writer(_record_residual(row, D), inputs, f"the residual of the loss {row.name!r}").run()
    stores = ["out[i, j] = weights[i] * {0}", "delta[i, j] = weights[i] * {1}"]
    lines = loop(block, _loss_loads(row), lambda out: [text.format(*out) for text in stores])
    arrays = _loss_arrays(row, ("y", "s", "out", "delta"))
    return _function("pppppPnn", dtype, arrays, "n D", [*_parameter_lines(row.scalars, "p"), *lines])


# ---------------------------------------------------------------- methods


def print_method(row: Method, dtype: str, D: int) -> Printed:
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
    return _function("pppPxxnn", dtype, arrays, "t_ step_ stride D", lines, wide=False)


# ---------------------------------------------------------------- addresses


_addresses: dict[tuple, int] = {}


def _address(
    kind: str, row: Any, formula: tuple, printed: Callable[[Any, str, int], Printed], dtype: str, D: int = 1
) -> int:
    key = (kind, row.name, formula, dtype, D)
    if key not in _addresses:
        stem = re.sub(r"\W", "_", f"{row.name}_{kind}_{dtype}")
        text, pattern = printed(row, dtype, D)
        _addresses[key] = machine_function(stem, text, pattern, dtype)
    return _addresses[key]


def activation_address(row: Activation, dtype: str, D: int) -> int:
    """Where the machine code of this activation is, for a layer of D units."""
    return _address("value", row, (row.value,), print_activation, dtype, D if row.rowwise else 1)


def slope_address(row: Activation, dtype: str) -> int:
    return _address("slope", row, (row.value, row.slope), print_slope, dtype)


def loss_address(row: Loss, dtype: str, D: int) -> int:
    """Where the machine code of this loss is, for D outputs."""
    return _address("loss", row, (row.value, row.slope), print_loss, dtype, D if row.rowwise else 1)


def bend_address(row: Activation, dtype: str) -> int:
    return _address("bend", row, (row.value, row.slope), print_bend, dtype)


def bent_loss_address(row: Loss, dtype: str, D: int) -> int:
    """Where the machine code of this loss's second derivative is, for D outputs."""
    return _address("bent_loss", row, (row.value, row.slope), print_bent_loss, dtype, D if row.rowwise else 1)


def residual_address(row: Loss, dtype: str, D: int) -> int:
    """Where the machine code of this loss's residual is."""
    return _address("residual", row, (row.residual,), print_residual, dtype, D if row.rowwise else 1)


def method_address(row: Method, dtype: str) -> int:
    return _address("method", row, (row.update,), print_method, dtype)
