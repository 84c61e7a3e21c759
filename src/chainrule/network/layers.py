"""Floor 1, network: kinds of layer and the shape of their parameters.

Networks are sequences of layers. Today there is one kind; scaling layers, embeddings and skips come as further
kinds with shapes of their own, and `Layout` only asks a layer what is asked here.
"""

from __future__ import annotations

from dataclasses import dataclass

from .activations import Activation


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: `z = Aᵀ a + b`, then its activation; A is inputs × outputs, b has an entry an output."""

    inputs: int
    outputs: int
    activation: Activation

    kind = "dense"

    @property
    def weight_shape(self) -> tuple[int, int]:
        return (self.inputs, self.outputs)

    @property
    def bias_shape(self) -> tuple[int]:
        return (self.outputs,)

    @property
    def n_parameters(self) -> int:
        return self.inputs * self.outputs + self.outputs
