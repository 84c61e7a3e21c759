"""Floor 2, engine: arrays in, arrays out, compiled."""

from .evaluate import TotalError, error, error_and_gradient, predict
from .network import Network
from .plan import Plan
from .run import Run

__all__ = ["Network", "Plan", "Run", "TotalError", "error", "error_and_gradient", "predict"]
