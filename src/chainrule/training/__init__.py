"""Floor 3, training: the loop as a generator of events."""

from .callbacks import ProgressBar
from .history import Event, History
from .loop import Outcome, Training, Watched, events, run
from .stopping import MaxTime, Patience

__all__ = ["Event", "History", "MaxTime", "Outcome", "Patience", "ProgressBar", "Training", "Watched", "events", "run"]
