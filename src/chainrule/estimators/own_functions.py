"""Floor 4, estimators: activations and losses of one's own, tried out and compiled before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from chainrule.engine.source import activation_address, loss_address, slope_address
from chainrule.network import ACTIVATIONS, LOSSES, Activation, Layout, Loss
from chainrule.network.rows import is_row


def check_functions(layout: Layout, loss: Loss, dtype: Any) -> None:
    """A ValueError that names the function where one cannot be recorded and compiled; the engine keeps what it made.

    What passes can also be saved: a file holds the same recorded formulas.
    """
    dtype = str(np.dtype(dtype))
    for layer in layout.layers[:-1]:
        row = layer.activation
        if not is_row(ACTIVATIONS, row):
            what = f"the activation {row.name!r}"
            _try(what, _check_elementwise, row)
            _try(what, activation_address, row, dtype, 1)
            _try(what, slope_address, row, dtype)
    if not is_row(LOSSES, loss):
        _try(f"the loss {loss.name!r}", loss_address, loss, dtype, layout.sizes[-1])


def _try(what: str, step: Callable[..., Any], *given: Any) -> None:
    try:
        step(*given)
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        last = " (it is recorded for one row: write axis=-1 for axis=1)" if isinstance(error, AxisError) else ""
        raise ValueError(f"{what} cannot be recorded as a formula of NumPy: {error}{last}") from error


def _check_elementwise(row: Activation) -> None:
    z = np.linspace(-2.0, 2.0, 6).reshape(2, 3)
    with np.errstate(all="ignore"):
        block = np.asarray(row(z))
        single = np.array([float(row(number)) for number in z.ravel()])
    if block.shape != z.shape or not np.allclose(block.ravel(), single, rtol=1e-9, atol=0.0, equal_nan=True):
        raise ValueError("it must give one number for each element of z, whatever the other elements are")
