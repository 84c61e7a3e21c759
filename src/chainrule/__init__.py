"""chainrule: neural networks from the ground up (the door).

Train a multilayer perceptron on your table, and see every derivative that did it. The names below are all there is;
what is heavy is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# name -> the module that has it
_WHERE = {
    "derivative": "calculus",
    "grad": "calculus",
    "value_and_grad": "calculus",
    "jacobian": "calculus",
    "hessian": "calculus",
    "hvp": "calculus",
    "secant_slope": "calculus",
    "limit_table": "calculus",
    "check_grad": "calculus",
    "trace": "calculus",
    "minimize": "descent",
    "maximize": "descent",
    "Armijo": "descent",
    "DivergenceError": "descent",
    "Objective": "descent",
    "Path": "descent",
    "Activation": "network",
    "Loss": "network",
    "Network": "engine",
    "MLPClassifier": "estimators.mlp",
    "MLPRegressor": "estimators.mlp",
    "TableClassifier": "estimators.tabular",
    "TableRegressor": "estimators.tabular",
    "TableError": "data",
    "datasets": "data",
    "load_dataset": "data",
    "error_surface": "insight.surface",
    "health": "insight.health",
    "integrated_gradients": "insight.inputs",
    "report": "insight.report",
    "load": "interchange",
    "save": "interchange",
    "to_onnx": "interchange",
}

__all__ = sorted([*_WHERE, "__version__"])

if TYPE_CHECKING:
    from .calculus import (
        check_grad,
        derivative,
        grad,
        hessian,
        hvp,
        jacobian,
        limit_table,
        secant_slope,
        trace,
        value_and_grad,
    )
    from .data import TableError, datasets, load_dataset
    from .descent import Armijo, DivergenceError, Objective, Path, maximize, minimize  # type: ignore[no-redef]  # mypy takes the module descent.minimize for it
    from .engine import Network
    from .estimators.mlp import MLPClassifier, MLPRegressor
    from .estimators.tabular import TableClassifier, TableRegressor
    from .insight.health import health
    from .insight.inputs import integrated_gradients
    from .insight.report import report
    from .insight.surface import error_surface
    from .interchange import load, save, to_onnx
    from .network import Activation, Loss


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"chainrule has no {name!r}; it has {', '.join(__all__)}")
    if _WHERE[name].startswith("estimators"):
        # From as few frames as can be: where Python's stack of frames is just full, every call takes 16 kB from the
        # system and gives them back; deeper down the import of scikit-learn, full of calls, took 0.1 s more.
        import sklearn.base
    value = getattr(importlib.import_module(f"chainrule.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
