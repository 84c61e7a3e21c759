"""Floor 1, data: the only room that knows a DataFrame or a file of rows."""

from .batches import split
from .features import Features, Report, training_frame
from .kinds import KINDS, LEFT_OUT, Kind
from .library import DATASETS, Dataset, datasets, find_dataset, load_dataset
from .table import Table, TableError, read_table, suggestion
from .target import Target

__all__ = [
    "DATASETS",
    "KINDS",
    "LEFT_OUT",
    "Dataset",
    "Features",
    "Kind",
    "Report",
    "Table",
    "TableError",
    "Target",
    "datasets",
    "find_dataset",
    "load_dataset",
    "read_table",
    "split",
    "suggestion",
    "training_frame",
]
