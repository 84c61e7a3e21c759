"""Floor 0, calculus: derivatives of functions written in plain NumPy."""

from .check import GradientCheck, check_grad
from .differentiate import derivative, grad, hessian, hvp, jacobian, slope, value_and_grad, vjp
from .graph import Graph, UnsupportedError, record
from .limits import LimitTable, central_difference, limit_table, secant_slope
from .primitives import PRIMITIVES, erf, positions
from .traced import Trace, trace

__all__ = [
    "PRIMITIVES",
    "GradientCheck",
    "Graph",
    "LimitTable",
    "Trace",
    "UnsupportedError",
    "central_difference",
    "check_grad",
    "derivative",
    "erf",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "limit_table",
    "positions",
    "record",
    "secant_slope",
    "slope",
    "trace",
    "value_and_grad",
    "vjp",
]
