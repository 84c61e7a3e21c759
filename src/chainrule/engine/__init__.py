"""Floor 2, engine: arrays in, arrays out, compiled."""

from .committee import Committee, averaged
from .evaluate import TotalError, error, error_and_gradient, predict
from .network import Network
from .plan import Plan
from .run import Run

__all__ = ["Committee", "Network", "Plan", "Run", "TotalError", "averaged", "error", "error_and_gradient", "predict"]
