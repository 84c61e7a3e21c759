"""Floor 6, console: what the commands do and print; reads and shows, computes nothing of its own."""

from __future__ import annotations

import json
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import InvalidParameterError

from chainrule.data import (
    DATASETS,
    LEFT_OUT,
    Kind,
    Table,
    TableError,
    Target,
    find_dataset,
    infer_kinds,
    read_table,
    shown,
    split,
)
from chainrule.data import (
    datasets as shipped,
)
from chainrule.estimators.parameters import TABLE_PARAMETERS
from chainrule.estimators.tabular import TableClassifier, TableRegressor
from chainrule.files import FileError, write_atomically
from chainrule.interchange import load, save

from . import scores

Say = Callable[[str], None]
_MODELS = {"classification": TableClassifier, "regression": TableRegressor}
# Fewer rows than this leave nothing to train on and to score.
_FEWEST_ROWS = 10
# What an option is called where it is not the parameter's name.
_OPTIONS = {"hidden_layer_sizes": "--hidden", "n_threads": "--threads", "random_state": "--seed"}


def train(
    source: str, target: str | None, *, out: str | None, task: str, test: float, weights: str | None,
    kinds: dict[str, str], exclude: list[str], drop_missing_target: bool, seed: int, options: dict[str, Any], say: Say,
) -> dict[str, Any]:  # fmt: skip
    """Read, show, train, score, save."""
    started = time.perf_counter()
    _check_options(options, test)
    path = _model_path(source, out)
    table, target = _with_target(source, target)
    _check_columns(table, target, weights, exclude, kinds)
    size = f"{table.name}: {rows_of(len(table))}, {len(table.columns):,} columns"
    notes = list(table.notes)
    if drop_missing_target:
        table = _drop_missing(table, target, notes)
    row_weights = None if weights is None else _weights(table, weights)
    if row_weights is not None and not row_weights.all():
        notes.append(f"left out: {rows_of(int((row_weights == 0).sum()))} with the weight 0")
        table, row_weights = table.take(row_weights > 0), row_weights[row_weights > 0]
    if len(table) < _FEWEST_ROWS:
        raise TableError(
            f"{table.name} has {rows_of(len(table))} to use; at least {_FEWEST_ROWS} are needed to train and to score"
        )
    y = table.column(target)
    learned = Target.learn(y, task, table)
    codes = learned.encode(y, table)
    inputs = table.drop([c for c in (target, weights, *exclude) if c])
    if not inputs.columns:
        raise TableError(f"{table.name} has no column left to learn from beside {target!r}")
    found = infer_kinds(inputs, kinds)
    inputs.kinds = {kind.column: kind for kind in found}
    rows, held = split(len(table), test, seed=seed, stratify=codes if learned.task == "classification" else None)
    if len(rows) < _FEWEST_ROWS // 2:
        raise TableError(f"--test {test:g} leaves {rows_of(len(rows))} of {len(table)} to train on; hold out fewer")
    model = _MODELS[learned.task](**options, kinds=kinds or None, progress=True)
    part = inputs.take(rows)
    given = model.prepare(part, y.iloc[rows], None if row_weights is None else row_weights[rows])
    say(size)
    for note in [*notes, *learned.notes]:
        say(f"  note: {note}")
    _show_target(learned, codes, say)
    _show_columns(found, model, say)
    _show_plan(model, given, len(held), say)
    model.train(given)
    if not len(model.history_):
        raise KeyboardInterrupt("interrupted before the first epoch was done; nothing was saved")
    _show_training(model, say)
    guess = scores.plain(model, codes[rows], None if row_weights is None else row_weights[rows])
    held_weights = None if row_weights is None else row_weights[held]
    result = scores.of(model, inputs.take(held), codes[held], held_weights, baseline=guess)
    scores.show(result, f"score on the {rows_of(len(held))} held out", say)
    _compare(result, say)
    save(model, path, extra={"source": table.name, "weights": weights, "scores": result})
    say(f"saved: {path} ({path.stat().st_size / 1024:,.0f} kB), {time.perf_counter() - started:.1f} s in all")
    say(f"next:  chainrule predict {shlex.quote(str(path))} NEW_TABLE.csv")
    said = {"model": str(path), "task": learned.task, "target": target, "rows": len(table), "epochs": model.n_iter_}
    return {**said, "stopped_because": model.outcome_.stopped_because, **result}


def rows_of(n: int) -> str:
    return f"{n:,} row{'s' * (n != 1)}"


# ---------------------------------------------------------------- checks before anything is read


def _check_options(options: dict[str, Any], test: float) -> None:
    if not 0 < test < 1:
        raise TableError(f"--test takes the share of rows to hold out, between 0 and 1, such as 0.2; got {test:g}")
    if options["random_state"] < 0:
        raise TableError(f"--seed takes a whole number ≥ 0; got {options['random_state']}")
    try:
        TableRegressor(**options).check_parameters()
    except InvalidParameterError as error:
        found = re.match(r"The '(\w+)' parameter", str(error))
        if not found:
            raise
        name = found[1]
        words = TABLE_PARAMETERS[name].kind.replace("int", "a whole number").replace("float", "a number")
        words = re.sub(r" or (None|'auto')$", "", words)
        option = _OPTIONS.get(name, "--" + name.replace("_", "-"))
        raise TableError(f"{option} takes {words}; got {options[name]}") from None


def _check_columns(table: Table, target: str, weights: str | None, exclude: list[str], kinds: dict[str, str]) -> None:
    table.require([target, *([weights] if weights else []), *exclude, *kinds])
    if target in exclude:
        raise TableError(f"--exclude {target}: that is the column to predict")
    if target == weights:
        raise TableError(f"--weights {target}: that is the column to predict")
    for column in kinds:
        if column == target:
            raise TableError(f"--kind {column}: that is the column to predict; use --task classification or regression")
        if column in exclude or column == weights:
            raise TableError(f"--kind {column}: that column is not learned from")


def read(source: str) -> Table:
    """A file, standard input or a shipped table's name."""
    if source in DATASETS and not Path(source).is_file():
        return read_table(find_dataset(source).path, name=f"{source} (ships with chainrule)")
    try:
        return read_table(source)
    except TableError as error:
        if source != "-" and not Path(source).exists() and not Path(source).suffix:
            raise TableError(f"{error} Tables that ship with chainrule: {', '.join(DATASETS)}") from None
        raise


def _with_target(source: str, target: str | None) -> tuple[Table, str]:
    table = read(source)
    if target is None and source in DATASETS and not Path(source).is_file():
        target = find_dataset(source).target
    if target is None:
        raise TableError(
            f"say which column of {table.name} to predict: --target COLUMN. "
            f"Its columns: {', '.join(table.columns[:12])}"
            + (f" … ({len(table.columns)} in all)" if len(table.columns) > 12 else "")
        )
    return table, target


def _model_path(source: str, out: str | None) -> Path:
    """Where the model will be saved; an error now rather than after an hour of training."""
    stem = "model" if source == "-" else re.sub(r"\.(csv|tsv|txt|parquet|pq|gz)$", "", Path(source).name, flags=re.I)
    path = Path(out) if out is not None else Path(f"{stem.removesuffix('.csv')}.chainrule")
    if out == "-":
        raise FileError("a model cannot go to standard output; give --out the name of a file")
    if path.is_dir() or not path.name:
        raise FileError(f"cannot save the model as {str(path)!r}: it is a folder")
    if not path.parent.is_dir():
        raise FileError(f"cannot save the model as {path}: there is no folder {path.parent}")
    if path.exists() and path.stat().st_size and not _looks_like_model(path):
        raise FileError(f"{path} is there already and is not a model; it is not overwritten, give --out another name")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise FileError(f"cannot save the model in the folder {path.parent}: {error.strerror}") from None
    return path


def _looks_like_model(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{"


def _drop_missing(table: Table, target: str, notes: list[str]) -> Table:
    keep = table.column(target).notna().to_numpy()
    if not keep.all():
        notes.append(f"left out: {rows_of(int((~keep).sum()))} without a {target}")
    return table.take(keep)


def _weights(table: Table, column: str) -> np.ndarray:
    given = table.column(column)
    values = pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = ~np.isfinite(values) | (values < 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        what = "missing" if pd.isna(given.iloc[row]) else shown(given.iloc[row])
        raise TableError(
            f"{table.name}: the weight in column {column!r}, {table.row(row)}, is {what}; "
            "weights are finite numbers ≥ 0"
        )
    if not values.any():
        raise TableError(f"{table.name}: the weights in column {column!r} are all 0; nothing is left to learn from")
    return np.asarray(values)


# ---------------------------------------------------------------- what people read


def _show_columns(found: list[Kind], model: Any, say: Say) -> None:
    used = [k for k in found if k.kind not in LEFT_OUT]
    left = [k for k in found if k.kind in LEFT_OUT]
    outputs = {column.name: len(column.outputs) for column in model.features_.columns}
    width = min(28, max(len(k.column) for k in found))
    say(f"learns from: {len(used):,} column{'s' * (len(used) != 1)}")
    for k in used[:30]:
        gaps = f", {k.n_missing:,} missing" if k.n_missing else ""
        made = f" → {outputs[k.column]} numbers" if outputs[k.column] > 1 else ""
        say(f"  {k.column:<{width}}  {k.kind:<9} {k.reason}{gaps}{made}")
    if len(used) > 30:
        say(f"  … and {len(used) - 30:,} more")
    if any(k.n_missing for k in used):
        say("  (a missing number or date counts as the middle value and is marked, a missing category as none of them)")
    if left:
        say(f"leaves out: {len(left):,} column{'s' * (len(left) != 1)} (to use one anyway: --kind COLUMN=KIND)")
        for k in left[:15]:
            say(f"  {k.column:<{width}}  {k.kind:<9} {k.reason}")
        if len(left) > 15:
            say(f"  … and {len(left) - 15:,} more")


def _show_target(learned: Target, codes: np.ndarray, say: Say) -> None:
    if learned.classes is None:
        say(f"predicts: {learned.name}, a number from {codes.min():.6g} to {codes.max():.6g} ({learned.reason})")
        return
    say(f"predicts: {learned.name}, one of {len(learned.classes)} classes ({learned.reason})")
    counts = np.bincount(codes, minlength=len(learned.classes))
    some = [f"{c} {n:,}" for c, n in zip(learned.classes[:10], counts, strict=False)]
    say("  rows of each: " + ", ".join(some) + (" …" if len(learned.classes) > 10 else ""))


def _show_plan(model: Any, given: Any, n_held: int, say: Say) -> None:
    say(
        f"rows: {len(given.train):,} to learn from, {len(given.held):,} to choose the best moment to stop, "
        f"{n_held:,} held out for the score"
    )
    net = model.network_
    hidden = ", ".join(dict.fromkeys(row.name for row in net.activations[:-1])) or "no hidden layer"
    sizes = " → ".join(f"{n:,}" for n in net.sizes)
    say(f"network: {sizes} units ({hidden}; output {net.activations[-1].name}), {net.K:,} weights to find")


def _show_training(model: Any, say: Say) -> None:
    events, outcome = model.history_.events, model.outcome_
    picked = {0, outcome.best_epoch - 1, *(round(k) for k in np.linspace(0, len(events) - 1, 6))}
    say("training: error (loss) after each pass over the rows (epoch)")
    say("  epoch   rows learned from   rows to choose by")
    for k in sorted(picked):
        e = events[k]
        kept = "  ← lowest: kept" if e.epoch == outcome.best_epoch else ""
        say(f"  {e.epoch:>5}   {e.loss:>17.4f}   {e.validation_loss:>17.4f}{kept}")
    seconds, rows = events[-1].seconds, events[-1].rows
    say(f"  stopped because {outcome.stopped_because}; {seconds:.1f} s, {rows / max(seconds, 1e-9):,.0f} rows/s")


def _compare(result: dict[str, Any], say: Say) -> None:
    """A plain word where the network is no better than the baseline."""
    main = "log_loss" if "log_loss" in result else "rmse"
    if main in result and f"{main}_baseline" in result and result[main] >= result[f"{main}_baseline"]:
        say(
            "  note: that is no better than the plain guess; these columns may not tell the target, or rows are too few"
        )


# ---------------------------------------------------------------- the other commands


def predict(model_path: Path, source: str, *, out: str, proba: bool, say: Say) -> None:
    """Predictions as CSV."""
    model = load_model(model_path)
    name = model.target_.name
    if proba and model.task != "classification":
        raise TableError(f"--proba needs a model of classes; {model_path} predicts the number {name!r}")
    check_out(out, source, model_path)
    table = read(source)
    if proba:
        found = pd.DataFrame(model.predict_proba(table), columns=[f"{name}={c}" for c in model.classes_])
    else:
        found = pd.DataFrame({name: model.predict(table)})
    _show_report(table, model, say)
    text = found.to_csv(index=False, lineterminator="\n")
    if out == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_atomically(out, lambda file: file.write(text.encode("utf-8")))
        say(f"wrote {len(found):,} predictions to {out}")


def check_out(out: str, source: str, model_path: Path) -> None:
    for other, what in ((source, "table to predict"), (str(model_path), "model")):
        if out != "-" and other != "-" and Path(out).resolve() == Path(other).resolve():
            raise FileError(f"--out {out} would overwrite the {what}; give another name")


def _show_report(table: Table, model: Any, say: Say) -> None:
    report = model.report(table)
    report.ignored = [c for c in report.ignored if c not in (model.target_.name, model.extra_.get("weights"))]
    for sentence in [*table.notes, *report.sentences()]:
        say(f"note: {sentence}")


def load_model(path: Path) -> Any:
    model = load(path)
    if not hasattr(model, "features_"):
        raise FileError(f"{path} holds a bare network; this needs a model that was trained on a table")
    return model


def evaluate(model_path: Path, source: str, *, weights: str | None, say: Say) -> dict[str, Any]:
    """Scores on a table that has the target."""
    model = load_model(model_path)
    table = read(source)
    table.require([model.target_.name, *([weights] if weights else [])])
    y = table.column(model.target_.name)
    if y.isna().any():
        raise TableError(
            f"{table.name}: the target {y.name!r} is missing in {int(y.isna().sum())} of {len(table)} rows "
            f"(first: {table.row(int(np.argmax(y.isna())))}); a score needs it in every row"
        )
    codes = model.target_.encode(y, table)
    row_weights = None if weights is None else _weights(table, weights)
    result = scores.of(model, table, codes, row_weights)
    _show_report(table, model, say)
    scores.show(result, f"{table.name}: score on {rows_of(len(table))}", say)
    return {"rows": len(table), **result}


def datasets(export: str | None, *, say: Say) -> None:
    """The shipped tables, or a copy of one."""
    if export is not None:
        row = find_dataset(export)
        path = Path(f"{row.name}.csv")
        if path.exists():
            raise FileError(f"{path} is there already; it is not overwritten")
        write_atomically(path, lambda file: file.write(row.path.read_bytes()))
        say(f"wrote {path}")
        return
    for row in shipped():
        table = read_table(row.path)
        size = f"{len(table):>6,} × {len(table.columns):<3}"
        print(f"{row.name:<10} {size} {row.task:<15} target {row.target:<9} {row.licence:<14} {row.sentence}")
    say("train on one: chainrule train penguins; copy one here: chainrule datasets --export penguins")


def cache(*, warm: bool, clear: bool, say: Say) -> None:
    """Where the compiled engine is and how large; first removed or completed, if that is asked."""
    from chainrule.engine import cache as kept
    from chainrule.engine.warm import warm as compile_all

    if clear:
        files, size = kept.clear()
        say(f"removed {files} files, {size / 1e6:.1f} MB")
    if warm:
        started = time.perf_counter()
        rows = compile_all(lambda words: say(f"compiling {words}"))
        say(f"compiled: the kernels and {rows} rows, {time.perf_counter() - started:.0f} s")
    files_now = kept.stored()
    size = sum(path.stat().st_size for path in files_now)
    say(f"the compiled engine is kept in {kept.cache_directory()}: {len(files_now)} files, {size / 1e6:.1f} MB")
    if not (warm or clear):
        say("compile everything now: chainrule cache --warm; remove it: chainrule cache --clear")


def print_json(result: dict[str, Any]) -> None:
    """One line of JSON on standard output."""
    print(json.dumps(result, allow_nan=False))
