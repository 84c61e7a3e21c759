"""Floor 1, network: what is trained, as rows and plain data."""

from .activations import ACTIVATIONS, Activation, get_activation
from .initialisers import INITIALISERS, Initialiser, get_initialiser
from .layers import Dense
from .layout import Layout, Views, eager_error, forward
from .losses import LOSSES, Loss, check_targets, get_loss, own_loss, uses_link

__all__ = [
    "ACTIVATIONS",
    "INITIALISERS",
    "LOSSES",
    "Activation",
    "Dense",
    "Initialiser",
    "Layout",
    "Loss",
    "Views",
    "check_targets",
    "eager_error",
    "forward",
    "get_activation",
    "get_initialiser",
    "get_loss",
    "own_loss",
    "uses_link",
]
