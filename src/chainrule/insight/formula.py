"""Floor 5, insight: the network as one formula, in symbols and in numbers, and what it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.engine import Network
from chainrule.network import Layout

from .given import input_names, network_of, output_names
from .words import Printed, Section, Sheet, counted, number

# A matrix with more rows or columns is written by its corners.
_EDGE = 3
_SHOWN = 2 * _EDGE
# How activations are written in LaTeX, where that is not their name.
_LATEX = {"tanh": r"\tanh", "exp": r"\exp", "sine": r"\sin", "sigmoid": r"\sigma"}


class Formula(str):
    """The composition that a network is: a text, which knows itself in other writings.

    Attributes
    ----------
    symbols : with σ_l for the activations, as the handout writes it
    matrices : the same text with every A_l and b_l in numbers; large ones by their corners
    """

    symbols: str
    matrices: str
    _layout: Layout
    _net: Network

    def __new__(cls, net: Network, numbers: bool = False) -> Formula:
        text = net.layout.formula()
        matrices = "\n".join([text, "with", *_text_of_matrices(net)])
        found = super().__new__(cls, matrices if numbers else text)
        found.symbols, found.matrices = _symbols(net.layout), matrices
        found._layout, found._net = net.layout, net
        return found

    def latex(self, numbers: bool = False) -> str:
        """As LaTeX, without dollar signs; with `numbers` an `aligned` environment that has the matrices (amsmath)."""
        inner = "x"
        for l, layer in enumerate(self._layout.layers, 1):
            inner = rf"A_{{{l}}}^\top {inner} + b_{{{l}}}"
            name = layer.activation.name
            if name != "identity":
                written = _LATEX.get(name, rf"\operatorname{{{name.replace('_', ' ')}}}")
                inner = rf"{written}\!\left({inner}\right)"
            elif l < self._layout.L:
                inner = rf"\left({inner}\right)"
        first = rf"\hat y = {inner}"
        if not numbers:
            return first
        lines = [first.replace("=", "&=", 1)]
        for l in range(1, self._layout.L + 1):
            matrix, bias = _pmatrix(self._net.A[l]), _pmatrix(self._net.b[l][:, None])
            lines.append(rf"A_{{{l}}} &= {matrix}, \quad b_{{{l}}} = {bias}")
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"${self.latex()}$"

    def __reduce__(self) -> Any:
        return Formula, (self._net, str(self) == self.matrices)


def formula(model: Any, numbers: bool = False) -> Formula:
    """The composition ŷ = σ_L(A_Lᵀ … σ_1(A_1ᵀ x + b_1) … + b_L) of a network, biases included.

    Parameters
    ----------
    model : a Network or a fitted estimator
    numbers : whether the text goes on with every matrix and bias in numbers, large ones abbreviated

    Returns
    -------
    Formula : a str; `symbols` writes σ_l for the activations, `latex()` is for a page

    >>> net = Network([2, 3, 1], "sigmoid", seed=0)
    >>> formula(net)
    'ŷ = A_2ᵀ sigmoid(A_1ᵀ x + b_1) + b_2'
    >>> formula(net).symbols
    'ŷ = σ_2(A_2ᵀ σ_1(A_1ᵀ x + b_1) + b_2)'
    >>> print(formula(net).latex())
    \\hat y = A_{2}^\\top \\sigma\\!\\left(A_{1}^\\top x + b_{1}\\right) + b_{2}

    Source: handout 2, with the biases that its formula lacks.
    """
    return Formula(network_of(model), numbers)


def _symbols(layout: Layout) -> str:
    inner = "x"
    for l in range(1, layout.L + 1):
        inner = f"σ_{l}(A_{l}ᵀ {inner} + b_{l})"
    return f"ŷ = {inner}"


def _text_of_matrices(net: Network) -> list[str]:
    lines = []
    for l in range(1, net.layout.L + 1):
        for letter, array in (("A", net.A[l]), ("b", net.b[l])):
            head = f"{letter}_{l} = "
            size = " × ".join(map(str, array.shape))
            cut = max(array.shape) > _SHOWN
            shown = np.array2string(
                array, precision=4, suppress_small=False, threshold=0 if cut else array.size + 1, edgeitems=_EDGE,
                prefix=head, formatter={"float_kind": lambda v: f"{v:8.4g}"},
            )  # fmt: skip
            lines.append(f"{head}{shown}" + (f"   ({size})" if cut else ""))
    return lines


def _pmatrix(array: np.ndarray) -> str:
    rows, columns = (_picked(size) for size in array.shape)
    lines = []
    for i in rows:
        if i is None:
            lines.append(" & ".join(r"\vdots" if j is not None else r"\ddots" for j in columns))
        else:
            lines.append(" & ".join(r"\cdots" if j is None else _tex(array[i, j]) for j in columns))
    return r"\begin{pmatrix}" + r" \\ ".join(lines) + r"\end{pmatrix}"


def _picked(size: int) -> list[int | None]:
    """Which rows or columns are written; None where some are left out."""
    if size <= _SHOWN:
        return list(range(size))
    return [*range(_EDGE), None, *range(size - _EDGE, size)]


def _tex(value: float) -> str:
    written = number(value, 4)
    if "e" not in written:
        return written
    mantissa, power = written.split("e")
    return rf"{mantissa} \cdot 10^{{{int(power)}}}"


# ---------------------------------------------------------------- summary


@dataclass(frozen=True)
class LayerSummary:
    """One layer: inputs × outputs, its activation, and how many parameters it has."""

    layer: int
    inputs: int
    outputs: int
    activation: str
    weights: int
    biases: int

    @property
    def parameters(self) -> int:
        return self.weights + self.biases


@dataclass(frozen=True)
class Summary(Printed):
    """What a network is made of.

    layers : one after another. K : all parameters. dtype : their float width
    weights_bytes : what w takes. training_bytes : what w, its gradient and the method's state take while it is trained
    by `method` (None where no method is known: w and the gradient). inputs, outputs : what goes in and comes out
    averaged : how many networks were trained side by side, of which this is the average
    """

    layers: tuple[LayerSummary, ...]
    K: int
    dtype: str
    weights_bytes: int
    training_bytes: int
    method: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    averaged: int = 1

    def sheet(self) -> Sheet:
        table = Section("")
        for row in self.layers:
            table.rows.append(
                (f"layer {row.layer}: {row.inputs} → {row.outputs}  {row.activation}", f"{row.parameters:,}",
                 f"parameters: A_{row.layer} {row.inputs} × {row.outputs}, b_{row.layer} {row.outputs}")
            )  # fmt: skip
        by = "by a method without state" if self.method is None else f"by {self.method}"
        table.rows.append(("all", f"{self.K:,}", f"K, in {self.dtype}"))
        memory = f"memory: {_bytes(self.weights_bytes)} of weights; {_bytes(self.training_bytes)} in training {by}"
        ends = [f"{what}: {', '.join(names[:8])}{' …' if len(names) > 8 else ''}"
                for what, names in (("inputs", self.inputs), ("outputs", self.outputs))]  # fmt: skip
        table.notes += [memory, *ends]
        if self.averaged > 1:
            table.notes.append(f"it averages {self.averaged} networks that were trained side by side")
        sizes = " → ".join(map(str, (self.layers[0].inputs, *(row.outputs for row in self.layers))))
        return Sheet(f"{sizes}: {counted(len(self.layers), 'layer')}, {counted(self.K, 'parameter')}", [table])


def summary(model: Any) -> Summary:
    """Layers, shapes, parameters and memory of a Network or a fitted estimator.

    >>> print(summary(Network([2, 3, 1], "tanh", seed=0)))
    2 → 3 → 1: 2 layers, 13 parameters
    <BLANKLINE>
      layer 1: 2 → 3  tanh       9  parameters: A_1 2 × 3, b_1 3
      layer 2: 3 → 1  identity   4  parameters: A_2 3 × 1, b_2 1
      all                       13  K, in float64
      memory: 104 bytes of weights; 208 bytes in training by a method without state
      inputs: x0, x1
      outputs: ŷ
    """
    net = network_of(model)
    layers = tuple(
        LayerSummary(l, layer.inputs, layer.outputs, layer.activation.name, layer.inputs * layer.outputs, layer.outputs)
        for l, layer in enumerate(net.layout.layers, 1)
    )
    name, vectors = _method(model)
    size = net.w.nbytes
    return Summary(
        layers, net.K, str(net.w.dtype), size, size * (2 + vectors), name, input_names(model), output_names(model),
        getattr(model, "n_networks_", 1),
    )  # fmt: skip


def _method(model: Any) -> tuple[str | None, int]:
    """(the method that trained it, how many state vectors it has)."""
    recording = getattr(model, "recording_", None)
    descent = getattr(model, "_descent", None)
    if recording is not None and recording.material is not None:
        method = recording.material.plan.method
    elif descent is not None:
        method = descent.method
    elif hasattr(model, "outcome_"):
        from chainrule.descent import get_method

        method = get_method("adamw")
    else:
        return None, 0
    return method.name, len(method.state)


def _bytes(size: int) -> str:
    if size < 10_000:
        return f"{size:,} bytes"
    return f"{size / 1e3:,.0f} kB" if size < 10_000_000 else f"{size / 1e6:,.0f} MB"
