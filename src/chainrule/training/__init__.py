"""Floor 3, training: the loop as a generator of events."""

from .callbacks import Consumer, ProgressBar, ask, reason_of
from .checkpoint import Checkpointer, CheckpointError, Randomness
from .history import Event, History
from .journal import EvaluationJournal
from .loggers import MLflow, TensorBoard
from .loop import Outcome, Training, events, run
from .progress import Progress, Watched
from .recording import Material, Recorder, Recording
from .stopping import MaxTime, Patience

__all__ = [
    "CheckpointError",
    "Checkpointer",
    "Consumer",
    "EvaluationJournal",
    "Event",
    "History",
    "MLflow",
    "Material",
    "MaxTime",
    "Outcome",
    "Patience",
    "Progress",
    "ProgressBar",
    "Randomness",
    "Recorder",
    "Recording",
    "TensorBoard",
    "Training",
    "Watched",
    "ask",
    "events",
    "reason_of",
    "run",
]
