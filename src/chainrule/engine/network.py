"""Floor 2, engine: Network, a layout and its w; outputs, error, gradient and objective by the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.descent import Objective
from chainrule.network import Activation, Layout, Loss, Views, check_targets, get_loss

from . import evaluate
from .objective import objective
from .ranges import input_ranges


class Network:
    """A multilayer perceptron `ŷ = σ_L(A_Lᵀ … σ_1(A_1ᵀ x + b_1) … + b_L)` and its parameters, one vector w ∈ R^K.

    Parameters
    ----------
    sizes : sequence of int
        Layer sizes [D_0, …, D_L]: inputs, hidden layers, outputs.
    activation : str, Activation, (name, parameters) or NumPy function, or a list of one for each hidden layer
        σ of the hidden layers.
    output : the same, for the output layer
        "identity" for regression, "sigmoid" or "softmax" for probabilities, "exp" for rates.
    seed : int, numpy Generator or None
        Where the first weights are drawn from; None takes fresh entropy.
    initialiser : str or Initialiser, default "auto"
        "auto" takes the one that each layer's activation names; biases start at 0. "nguyen_widrow" lays the units of
        hidden layers over the ranges of what comes to them for the rows of X, by A_l and b_l.
    X : N × D_0, looked at by such an initialiser alone
    dtype : "float64" (default) or "float32"

    Attributes
    ----------
    w : the vector of all K parameters; writing into it, or into the views `A[l]` (D_{l-1} × D_l) and `b[l]`,
        changes the network. Layers count from 1 as in the handout, units from 0.

    Raises
    ------
    ValueError, TypeError : for sizes, activations, an initialiser, X or a dtype that make no network; it is named.

    Examples
    --------
    >>> import numpy as np
    >>> net = Network([2, 1], output="identity", seed=0)
    >>> net.w[:] = [2.0, -1.0, 0.5]          # A_1 = [[2], [-1]], b_1 = [0.5]
    >>> net(np.array([[1.0, 3.0]]))
    array([[-0.5]])
    >>> net.error(np.array([[1.0, 3.0]]), [0.5], loss="squared")
    0.5
    >>> net.gradient(np.array([[1.0, 3.0]]), [0.5], loss="squared")
    array([-1., -3., -1.])

    Source: handout 2, with the biases that its formula lacks. PyTorch and Keras keep a tensor for each layer; here
    they are views of one vector, so that any method of descent can move them.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Any = "relu",
        output: Any = "identity",
        *,
        seed: int | np.random.Generator | None = None,
        initialiser: Any = "auto",
        dtype: str = "float64",
        X: Any = None,
    ):
        layout = Layout.of(sizes, activation, output)
        rng = np.random.default_rng(seed)
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise ValueError(f"dtype must be 'float64' or 'float32', got {dtype!r}")
        self._set(layout, np.zeros(layout.K, dtype))
        rows = None if X is None else np.atleast_2d(self._rows(X))
        ranges = None if rows is None else lambda w, l: input_ranges(layout, w, rows, l)
        self._w[...] = layout.first_weights(rng, initialiser, ranges)

    @classmethod
    def from_layout(cls, layout: Layout, w: np.ndarray) -> Network:
        """The network of a layout over an existing w (not copied): both see what is written to either."""
        if w.shape != (layout.K,) or w.dtype not in (np.float32, np.float64):
            raise ValueError(f"w must be a float vector of {layout.K} parameters, got {w.dtype}{w.shape}")
        net = cls.__new__(cls)
        net._set(layout, w)
        return net

    def _set(self, layout: Layout, w: np.ndarray) -> None:
        self.layout = layout
        self._w = w
        self._A, self._b = layout.views(w)

    @property
    def w(self) -> np.ndarray:
        return self._w

    @w.setter
    def w(self, values: Any) -> None:
        values = np.asarray(values)
        if values.shape != self._w.shape:
            raise ValueError(f"w must have shape ({self.K},), got {values.shape}")
        self._w[...] = values  # in place: the views stay views

    @property
    def A(self) -> Views:
        return self._A

    @property
    def b(self) -> Views:
        return self._b

    @property
    def K(self) -> int:
        return self.layout.K

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.layout.sizes

    @property
    def activations(self) -> tuple[Activation, ...]:
        return tuple(layer.activation for layer in self.layout.layers)

    def formula(self, numbers: bool = False) -> Any:
        """The composition as the handout writes it, a str: see `chainrule.insight.formula.formula`.

        >>> Network([2, 3, 3, 1], activation="sigmoid", seed=0).formula()
        'ŷ = A_3ᵀ sigmoid(A_2ᵀ sigmoid(A_1ᵀ x + b_1) + b_2) + b_3'
        """
        from chainrule.insight.formula import formula

        return formula(self, numbers)

    def summary(self) -> Any:
        """Layers, shapes, parameters, memory: see `chainrule.insight.formula.summary`."""
        from chainrule.insight.formula import summary

        return summary(self)

    def explain(self, x: Any, y: Any, weight: Any, loss: Any = "squared") -> Any:
        """∂E/∂w of one weight, factor by factor, with numbers: see `chainrule.insight.explain.explain`."""
        from chainrule.insight.explain import explain

        return explain(self, x, y, weight, loss=loss)

    def plot_network(self, x: Any = None, ax: Any = None) -> Any:
        """Units and weighted edges: see `chainrule.insight.plots.networks.plot_network`."""
        from chainrule.insight.plots.networks import plot_network

        return plot_network(self, x, ax)

    def __call__(self, X: Any) -> np.ndarray:
        """ŷ (N × D_L) of the rows of X (N × D_0); one sample x of D_0 numbers gives one ŷ of D_L numbers."""
        X = self._rows(X)
        if X.ndim == 1:
            return evaluate.predict(self.layout, self._w, X[None])[0]
        return evaluate.predict(self.layout, self._w, X)

    def error(self, X: Any, y: Any, loss: Any = "squared", weights: Any = None) -> float:
        """E(w) = Σ_i weight_i L(y_i, ŷ_i(w)): the handout's sum over samples (most software has the mean).

        X is N × D_0 (or one sample), y is N × D_L, or N numbers for one output, or N class numbers for a softmax;
        `loss` a row's name, a row or a NumPy function of (y, ŷ); `weights` N numbers ≥ 0.
        """
        row, X, Y, weights = self._checked(X, y, loss, weights)
        return evaluate.error(self.layout, row, self._w, X, Y, weights)

    def gradient(self, X: Any, y: Any, loss: Any = "squared", weights: Any = None) -> np.ndarray:
        """∇E(w), laid out as w, by backpropagation (handout 4); arguments as in `error`."""
        row, X, Y, weights = self._checked(X, y, loss, weights)
        return evaluate.error_and_gradient(self.layout, row, self._w, X, Y, weights)[1]

    def objective(self, X: Any, y: Any, loss: Any = "squared", weights: Any = None) -> Objective:
        """E as a function of w, with all its derivatives by the engine: what `minimize` walks down. The network stays.

        It computes in float64 and has the gradient, `hvp` (H v) and `gauss_newton`; for a loss that is a square also
        `residuals` and `jacobian`, rows in the order of X, outputs within a row; `normal` is (JᵀJ, Jᵀe), and for other
        losses (JᵀH_L J, ∇E) with J of the raw scores.

        >>> import chainrule as cr
        >>> net = Network([1, 1], seed=0)
        >>> path = cr.minimize(net.objective([[0.0], [1.0]], [1.0, 3.0]), net.w, method="lbfgs")
        >>> path.x.round(4)
        array([2., 1.])
        """
        row, X, Y, weights = self._checked(X, y, loss, weights)
        return objective(self.layout, row, X, Y, weights)

    def _rows(self, X: Any) -> np.ndarray:
        X = np.asarray(X)
        if X.dtype.kind not in "fiub":
            raise TypeError(f"X must hold numbers, got dtype {X.dtype}")
        if X.ndim not in (1, 2) or X.shape[-1] != self.sizes[0]:
            raise ValueError(f"X must be N × {self.sizes[0]} (or one sample of {self.sizes[0]} numbers), got {X.shape}")
        return np.ascontiguousarray(X, self._w.dtype)

    def _checked(self, X: Any, y: Any, loss: Any, weights: Any) -> tuple[Loss, np.ndarray, np.ndarray, Any]:
        row = get_loss(loss)
        X = np.atleast_2d(self._rows(X))
        Y = self._targets(row, np.asarray(y), len(X))
        check_targets(row, Y)
        if weights is not None:
            weights = np.asarray(weights, self._w.dtype)
            if weights.shape != (len(X),) or not np.all(np.isfinite(weights) & (weights >= 0)):
                raise ValueError(
                    f"weights must be {len(X)} finite numbers ≥ 0, one a row of X; got shape {weights.shape}"
                )
        return row, X, Y, weights

    def _targets(self, row: Loss, y: np.ndarray, N: int) -> np.ndarray:
        D = self.sizes[-1]
        if y.dtype.kind not in "fiub":
            raise TypeError(f"y must hold numbers (class labels as 0 … {D - 1}), got dtype {y.dtype}")
        if row.targets == "distribution" and y.dtype.kind in "iu" and y.shape == (N,) and D > 1:
            if y.min() < 0 or y.max() >= D:
                raise ValueError(f"class numbers in y must be from 0 to {D - 1}, got {y.min()} to {y.max()}")
            return np.eye(D, dtype=self._w.dtype)[y]
        if (y.shape == (N,) and D == 1) or (y.shape == (D,) and N == 1):
            y = y.reshape(N, D)
        if y.shape != (N, D):
            raise ValueError(f"y must be {N} × {D}, one row for each row of X, got shape {y.shape}")
        return np.ascontiguousarray(y, self._w.dtype)

    def __reduce__(self):
        return Network.from_layout, (self.layout, self._w)

    def __repr__(self) -> str:
        names = ", ".join(row.name for row in self.activations)
        return f"Network({list(self.sizes)}: {names}; K = {self.K} parameters, {self._w.dtype})"
