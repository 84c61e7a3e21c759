"""Floor 1, data: the small tables that ship, one row each."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pandas as pd

from .reading import read_table
from .table import TableError


@dataclass(frozen=True)
class Dataset:
    """One table that ships: its file's name, what to predict, a sentence, its licence."""

    name: str
    target: str
    task: str
    sentence: str
    licence: str

    @property
    def path(self) -> Path:
        return Path(str(files("chainrule.data") / "shipped" / f"{self.name}.csv"))


_rows = [
    Dataset("penguins", "species", "classification", "three species of penguins, with missing values", "CC0 1.0"),
    Dataset("auto-mpg", "mpg", "regression", "fuel consumption of cars of 1970-82, in miles per gallon", "CC0 1.0"),
    Dataset("titanic", "survived", "classification", "passengers of the Titanic, with missing ages", "public domain"),
    Dataset(
        "xor", "xor", "classification", "points of a square whose class is the exclusive or of two signs", "CC0 1.0"
    ),
]
DATASETS: dict[str, Dataset] = {row.name: row for row in _rows}


def datasets() -> list[Dataset]:
    """The tables that ship with chainrule.

    >>> [d.name for d in datasets()]
    ['penguins', 'auto-mpg', 'titanic', 'xor']
    """
    return list(DATASETS.values())


def find_dataset(name: str) -> Dataset:
    """The shipped table of that name; an unknown one is an error that names the nearest."""
    if name in DATASETS:
        return DATASETS[name]
    near = difflib.get_close_matches(name, DATASETS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise TableError(f"no table {name!r} ships with chainrule.{hint} There are: {', '.join(DATASETS)}")


def load_dataset(name: str) -> pd.DataFrame:
    """A shipped table as a DataFrame.

    >>> load_dataset("xor").shape
    (200, 3)
    """
    return read_table(find_dataset(name).path).frame
