"""Floor 1, descent: how a point moves; knows nothing of networks."""

from .methods import METHODS, Method, check_hyperparameters, get_method
from .minimize import maximize, minimize
from .objective import Objective
from .path import REASONS, DivergenceError, Path
from .schedules import SCHEDULES, Schedule, get_schedule, warm_up
from .search import Armijo
from .second_order import SECOND_ORDER, SecondOrder, get_second_order

__all__ = [
    "METHODS",
    "REASONS",
    "SCHEDULES",
    "SECOND_ORDER",
    "Armijo",
    "DivergenceError",
    "Method",
    "Objective",
    "Path",
    "Schedule",
    "SecondOrder",
    "check_hyperparameters",
    "get_method",
    "get_schedule",
    "get_second_order",
    "maximize",
    "minimize",
    "warm_up",
]
