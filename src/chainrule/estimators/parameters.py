"""Floor 4, estimators: one row per parameter: range, default, sentence -> checks and docstrings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions


@dataclass(frozen=True)
class Parameter:
    """One constructor parameter: its name, default, the constraints that scikit-learn's validator checks, a sentence."""

    name: str
    default: Any
    constraints: list[Any] = field(hash=False)
    sentence: str
    kind: str = "number"

    def numpydoc(self) -> str:
        """The entry of a docstring's Parameters section."""
        return f"{self.name} : {self.kind}, default={self.default!r}\n    {self.sentence}"


def _number(low: float, high: float | None = None, closed: str = "left", integer: bool = False) -> Interval:
    return Interval(Integral if integer else Real, low, high, closed=closed)


_SCIKIT_LEARN = [
    Parameter("hidden_layer_sizes", (100,), ["array-like", _number(1, integer=True)],
              "Units of each hidden layer, D_1 … D_{L-1}; () is a linear model.", "array-like of int"),
    Parameter("activation", "relu", [StrOptions({"identity", "logistic", "tanh", "relu"}), str, list, tuple, callable],
              "σ of the hidden layers: a name, a NumPy function, or a list with one for each layer.", "str"),
    Parameter("solver", "adam", [StrOptions({"lbfgs", "sgd", "adam"})],
              "The method of descent.", "{'lbfgs', 'sgd', 'adam'}"),
    Parameter("alpha", 0.0001, [_number(0)],
              "α of the penalty ½ α Σ‖A_l‖², divided by the weight of the batch; biases are not penalised.", "float ≥ 0"),
    Parameter("batch_size", "auto", [StrOptions({"auto"}), _number(1, integer=True)],
              "Rows of a minibatch; 'auto' is min(200, N). Not used by lbfgs.", "int ≥ 1 or 'auto'"),
    Parameter("learning_rate", "constant", [StrOptions({"constant", "invscaling", "adaptive"})],
              "How sgd's step size goes on: constant, learning_rate_init / t^power_t with t the rows seen, or a fifth "
              "whenever tol is not met.", "{'constant', 'invscaling', 'adaptive'}"),
    Parameter("learning_rate_init", 0.001, [_number(0, closed="neither")],
              "The first step size γ.", "float > 0"),
    Parameter("power_t", 0.5, [_number(0)], "The exponent of 'invscaling'.", "float ≥ 0"),
    Parameter("max_iter", 200, [_number(1, integer=True)], "At most so many epochs (lbfgs: iterations).", "int ≥ 1"),
    Parameter("shuffle", True, ["boolean"], "Whether rows are put in a new order before every epoch.", "bool"),
    Parameter("random_state", None, ["random_state"],
              "Seed of first weights, hold-out and order of rows; None follows NumPy's global state.",
              "int, RandomState or None"),
    Parameter("tol", 1e-4, [_number(0)],
              "An epoch must be better by tol to count as progress; lbfgs: the largest gradient entry at the end.",
              "float ≥ 0"),
    Parameter("verbose", False, ["verbose"], "Print a line for every epoch on standard output.", "bool"),
    Parameter("warm_start", False, ["boolean"], "Whether fit goes on from the weights of the last fit.", "bool"),
    Parameter("momentum", 0.9, [_number(0, 1, closed="both")], "μ of sgd.", "float in [0, 1]"),
    Parameter("nesterovs_momentum", True, ["boolean"], "Whether sgd's momentum is Nesterov's.", "bool"),
    Parameter("early_stopping", False, ["boolean"],
              "Hold out validation_fraction of the rows, stop when their score no longer rises, keep the best weights.",
              "bool"),
    Parameter("validation_fraction", 0.1, [_number(0, 1)], "The share of rows held out.", "float in [0, 1)"),
    Parameter("beta_1", 0.9, [_number(0, 1)], "Adam's decay of the first moment.", "float in [0, 1)"),
    Parameter("beta_2", 0.999, [_number(0, 1)], "Adam's decay of the second moment.", "float in [0, 1)"),
    Parameter("epsilon", 1e-8, [_number(0, closed="neither")],
              "Added to Adam's √v (scikit-learn's form: not bias-corrected).", "float > 0"),
    Parameter("n_iter_no_change", 10, [_number(1, integer=True), Options(Real, {np.inf})],
              "Stop after more than so many epochs without progress.", "int ≥ 1"),
    Parameter("max_fun", 15000, [_number(1, integer=True)], "lbfgs: at most so many evaluations of E.", "int ≥ 1"),
]  # fmt: skip

_OWN = [
    Parameter("n_threads", None, [None, _number(1, integer=True)],
              "Threads of the engine; None: all that are available. The result has the same bits for any number.",
              "int ≥ 1 or None"),
    Parameter("progress", False, ["boolean"], "Draw a progress bar on standard error.", "bool"),
]  # fmt: skip

_LOSS = Parameter("loss", "squared_error", [StrOptions({"squared_error", "poisson"})],
                  "½(ŷ − y)² with the identity as output, or half the Poisson deviance with exp.",
                  "{'squared_error', 'poisson'}")  # fmt: skip

PARAMETERS: dict[str, Parameter] = {row.name: row for row in [_LOSS, *_SCIKIT_LEARN, *_OWN]}


_TABLE = [
    Parameter("hidden_layer_sizes", (128, 64), ["array-like", _number(1, integer=True)],
              "Units of each hidden layer.", "array-like of int"),
    Parameter("activation", "relu", [str, list, tuple, callable],
              "σ of the hidden layers: a name, a NumPy function, or a list with one for each layer.", "str"),
    Parameter("epochs", "auto", [StrOptions({"auto"}), _number(1, integer=True)],
              "Passes over the training rows; the weights of the best one are kept. 'auto': by the number of rows.",
              "int ≥ 1 or 'auto'"),
    Parameter("batch_size", "auto", [StrOptions({"auto"}), _number(1, integer=True)],
              "Rows of a minibatch; 'auto': by the number of rows.", "int ≥ 1 or 'auto'"),
    Parameter("step_size", 0.004, [_number(0, closed="neither")],
              "AdamW's first step size γ; it falls to 0 along a cosine.", "float > 0"),
    Parameter("weight_decay", "auto", [StrOptions({"auto"}), _number(0)],
              "Every step multiplies the weights (not the biases) by 1 − γ · weight_decay; 'auto': as 1/rows.",
              "float ≥ 0 or 'auto'"),
    Parameter("validation_fraction", 0.15, [_number(0, 1, closed="neither")],
              "The share of rows held out to find the best epoch.", "float in (0, 1)"),
    Parameter("patience", None, [None, _number(1, integer=True)],
              "Stop when the held-out loss has not fallen for more than so many epochs; None: train to the end.",
              "int ≥ 1 or None"),
    Parameter("max_time", None, [None, _number(0, closed="neither")],
              "Stop after so many seconds, at the end of an epoch.", "float > 0 or None"),
    Parameter("kinds", None, [None, dict],
              "What a column is, where the inferred kind is wrong: {'zip': 'category'}.", "dict or None"),
    Parameter("random_state", None, ["random_state"], "Seed of hold-out, first weights and order of rows.",
              "int, RandomState or None"),
    *_OWN,
]  # fmt: skip

TABLE_PARAMETERS: dict[str, Parameter] = {row.name: row for row in _TABLE}


def constraints(rows: Iterable[Parameter]) -> dict[str, list[Any]]:
    """What scikit-learn's validator wants: name -> constraints."""
    return {row.name: row.constraints for row in rows}


def parameters_section(rows: Iterable[Parameter]) -> str:
    """The Parameters section of a docstring, written from the rows."""
    return "Parameters\n----------\n" + "\n".join(row.numpydoc() for row in rows)


def store(estimator: Any, rows: Mapping[str, Parameter], given: Mapping[str, Any]) -> None:
    """What a scikit-learn constructor does: keep every parameter under its name, unchanged."""
    for name in rows:
        if name in given:
            setattr(estimator, name, given[name])
