"""Floor 2, engine: products of second order by the R-operator: H v, and JᵀH_L J v of Gauss and Newton.

Neither matrix is ever made: a product costs about as much as two gradients, whatever K is (Pearlmutter 1994).
"""

from __future__ import annotations

import threading

import numpy as np

from chainrule.network import Layout, Loss

from .compiled import KERNELS, SECOND_ORDER, Kernel
from .evaluate import _NOBODY, _nothing, _shards, _threads
from .plan import _ALIGN, ROWS_AT_A_TIME, Wiring, aligned, desk
from .records import Net, Rows
from .run import _block
from .source import bend_address, bent_loss_address
from .threads import Crew

_WIDTH = np.dtype(np.float64)


class Curvature:
    """Products with the second derivatives of E(w) = Σ_i weight_i L(y_i, ŷ_i(w)), for rows that stay, in float64.

    Parameters
    ----------
    layout, loss : any whose formulas the calculus can differentiate twice
    X, Y : N × D_0 and N × D_L
    weights : N numbers ≥ 0, or None
    n_threads : None for all available; bits do not depend on it

    Raises
    ------
    ValueError : for an output and a loss that do not go together, shapes that do not fit, a second derivative that has
        no compiled words; each named.

    >>> from chainrule.network import LOSSES
    >>> rows = Curvature(Layout.of([1, 1]), LOSSES["squared"], np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]]))
    >>> rows.hvp(np.array([3.0, 0.5]), np.array([1.0, 0.0]))     # H = Σ (x, 1)(x, 1)ᵀ
    array([5., 3.])

    Source: Pearlmutter 1994 for H v; Schraudolph 2002 for JᵀH_L J v. PyTorch and JAX differentiate the gradient's
    graph to the same end.
    """

    def __init__(
        self,
        layout: Layout,
        loss: Loss,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None = None,
        n_threads: int | None = None,
    ):
        self.K, width = layout.K, str(_WIDTH)
        X, Y = _block(X, _WIDTH, layout.sizes[0], "X"), _block(Y, _WIDTH, layout.sizes[-1], "Y")
        self._rows = Rows(X, Y, _nothing(_WIDTH) if weights is None else np.array(weights, _WIDTH), _NOBODY, _NOBODY)
        self._begins = _shards(len(X))
        self._at_once = max(1, min(ROWS_AT_A_TIME, len(X)))
        wiring = Wiring(layout, loss, self._at_once, _WIDTH)
        layers, tail, size, panels_size = wiring.for_training()
        self._net = wiring.net(_nothing(_WIDTH), layers, panels_size)
        self._along = self._net._replace(panels=aligned((panels_size,), _WIDTH))
        self._turned, self._spare, size = _places(wiring, size)
        self._bent_loss = bent_loss_address(loss, width, layout.sizes[-1])
        S = len(self._begins) - 1
        self._desk = desk(S, size, tail, (S, layout.K), _WIDTH)
        self._crew = Crew(_threads(layout, len(X), n_threads, S))
        self._lock = threading.Lock()

    def hvp(self, w: np.ndarray, v: np.ndarray) -> np.ndarray:
        """H v, H = ∂²E/∂w², exactly; v and the product are laid out as w."""
        return self._product(SECOND_ORDER.hessian_product, w, v)

    def gauss_newton(self, w: np.ndarray, v: np.ndarray) -> np.ndarray:
        """JᵀH_L J v: J of the scores that the loss is written in, H_L its second derivatives there.

        It is H without the curvature of the network itself; where the loss is convex it has no negative eigenvalue.
        For the squared loss it is JᵀJ of its residuals.
        """
        return self._product(SECOND_ORDER.gauss_newton_product, w, v)

    def _product(self, kernel: Kernel, w: np.ndarray, v: np.ndarray) -> np.ndarray:
        for name, vector in (("w", w), ("v", v)):
            if np.shape(vector) != (self.K,):  # the machine code trusts it
                raise ValueError(f"{name} must have shape ({self.K},), got {np.shape(vector)}")
        with self._lock:
            net, along = (self._packed(net, vector) for net, vector in ((self._net, w), (self._along, v)))
            fixed = (self._bent_loss, self._rows, self._desk, self._turned, self._spare, self._begins, self._at_once)
            self._crew.run(kernel, (net, along, *fixed))
            return self._desk.grads[:, : self.K].sum(axis=0)

    @staticmethod
    def _packed(net: Net, vector: np.ndarray) -> Net:
        net = net._replace(w=np.ascontiguousarray(vector, _WIDTH))
        KERNELS.prepare(net)
        return net


def _places(wiring: Wiring, size: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The kernels' tables `turned` and `spare`, and how long a shard's line is with what they name."""
    layout, at = wiring.layout, size

    def take(numbers: int) -> int:
        nonlocal at
        start = at
        at += -(-numbers // _ALIGN) * _ALIGN
        return start

    turned = []
    for row, layer in zip(wiring.activations, layout.layers, strict=True):
        places = [take(wiring.rows * layer.outputs) for _ in range(3)]
        turned.append([*places, bend_address(row, wiring.dtype)])
    spare = [take(wiring.rows * max(layout.sizes)), take(layout.K)]
    return np.array(turned, np.int64), np.array(spare, np.int64), at
