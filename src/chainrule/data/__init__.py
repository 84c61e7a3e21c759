"""Floor 1, data: the only room that knows a DataFrame or a file of rows."""

from .batches import split
from .features import Features, Report
from .kinds import KINDS, LEFT_OUT, Kind, infer_kinds
from .library import DATASETS, Dataset, datasets, find_dataset, load_dataset
from .reading import array_names, read_table
from .table import Table, TableError, shown, suggestion
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
    "array_names",
    "datasets",
    "find_dataset",
    "infer_kinds",
    "load_dataset",
    "read_table",
    "shown",
    "split",
    "suggestion",
]
