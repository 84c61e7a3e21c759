"""Floor 6, console: what the commands do and print; reads and shows, computes nothing of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chainrule.data import (
    DATASETS,
    LEFT_OUT,
    Table,
    TableError,
    Target,
    find_dataset,
    read_table,
    split,
)
from chainrule.data import (
    datasets as shipped,
)
from chainrule.estimators.tabular import TableClassifier, TableRegressor
from chainrule.files import FileError, write_atomically
from chainrule.interchange import load, save

Say = Callable[[str], None]
_MODELS = {"classification": TableClassifier, "regression": TableRegressor}
# No more rows than this leave nothing to train on and to score.
_FEWEST_ROWS = 10


def train(
    source: str, target: str | None, *, out: str | None, task: str, test: float, weights: str | None,
    kinds: dict[str, str], exclude: list[str], drop_missing_target: bool, seed: int, options: dict[str, Any], say: Say,
) -> dict[str, Any]:  # fmt: skip
    """Read, show, train, score, save."""
    started = time.perf_counter()
    table, target = _table(source, target)
    path = _model_path(source, out)
    table.require([target, *([weights] if weights else []), *exclude, *kinds])
    if drop_missing_target:
        table = _drop_missing(table, target, say)
    learned = Target.learn(table.column(target), task, table.row)
    if len(table) < _FEWEST_ROWS:
        raise TableError(
            f"{table.name} has {len(table)} row{'s' * (len(table) != 1)}; at least {_FEWEST_ROWS} are needed to train and to score"
        )
    X = table.frame.drop(columns=[c for c in {target, weights, *exclude} if c])
    y = table.column(target)
    row_weights = None if weights is None else _weights(table, weights)
    codes = learned.encode(y)
    strata = codes if learned.task == "classification" else None
    rows, held = split(len(table), test, seed=seed, stratify=strata)
    model = _MODELS[learned.task](**options, kinds=kinds or None, progress=True)
    say(f"{table.name}: {len(table):,} rows, {len(table.columns)} columns")
    for note in [*table.notes, *learned.notes]:
        say(f"  note: {note}")
    part = Table(X.iloc[rows], table.name, first_line=None)
    model.fit(part, y.iloc[rows], None if row_weights is None else row_weights[rows])
    _show_columns(model, say)
    _show_target(model, learned, y, say)
    _show_network(model, say)
    _show_training(model, say)
    result = _scores(
        model, X.iloc[held], y.iloc[held], y.iloc[rows], None if row_weights is None else row_weights[held]
    )
    _show_scores(result, len(held), say)
    save(model, path, extra={"source": str(source), "weights": weights, "scores": result})
    say(f"saved: {path} ({path.stat().st_size / 1024:,.0f} kB), {time.perf_counter() - started:.1f} s in all")
    if source != "-":
        say(f"next:  chainrule predict {path} NEW_TABLE.csv")
    return {
        "model": str(path),
        "task": learned.task,
        "target": target,
        "rows": len(table),
        "epochs": model.n_iter_,
        **result,
    }


def _table(source: str, target: str | None) -> tuple[Table, str]:
    if source in DATASETS and not Path(source).exists():
        row = find_dataset(source)
        return read_table(row.path), target or row.target
    table = read_table(source)
    if target is None:
        raise TableError(
            f"say which column of {table.name} to predict: --target COLUMN. Its columns: {', '.join(table.columns[:12])}"
        )
    return table, target


def _model_path(source: str, out: str | None) -> Path:
    path = (
        Path(out)
        if out
        else Path("model.chainrule" if source == "-" else f"{Path(source).name.split('.')[0]}.chainrule")
    )
    if path.is_dir() or not path.parent.is_dir():
        raise FileError(
            f"cannot save the model as {path}: "
            + ("it is a folder" if path.is_dir() else f"there is no folder {path.parent}")
        )
    return path


def _drop_missing(table: Table, target: str, say: Say) -> Table:
    keep = table.column(target).notna()
    if not keep.all():
        say(f"  note: {int((~keep).sum())} rows without a {target} are left out")
    return Table(table.frame[keep].reset_index(drop=True), table.name, table.notes)


def _weights(table: Table, column: str) -> np.ndarray:
    values = pd.to_numeric(table.column(column), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = ~np.isfinite(values) | (values < 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise TableError(
            f"{table.name}: the weight in column {column!r}, {table.row(row)}, is {table.column(column).iloc[row]!r}; "
            "weights are finite numbers ≥ 0"
        )
    return values


# ---------------------------------------------------------------- what people read


def _show_columns(model: Any, say: Say) -> None:
    used = [k for k in model.features_.kinds if k.kind not in LEFT_OUT]
    outputs = {column.name: column.outputs for column in model.features_.columns}
    width = min(28, max(len(k.column) for k in model.features_.kinds))
    say(f"columns used: {len(used)}, as {len(model.features_.names)} inputs")
    for k in used[:30]:
        gaps = f", {k.n_missing} missing" if k.n_missing else ""
        count = len(outputs[k.column])
        say(f"  {k.column:<{width}}  {k.kind:<9} {k.reason}{gaps}" + (f" → {count} inputs" if count > 1 else ""))
    if len(used) > 30:
        say(f"  … and {len(used) - 30} more")
    left = [k for k in model.features_.kinds if k.kind in LEFT_OUT]
    if left:
        say(f"columns left out: {len(left)} (use one anyway with --kind COLUMN=KIND)")
        for k in left[:15]:
            say(f"  {k.column:<{width}}  {k.kind:<9} {k.reason}")
        if len(left) > 15:
            say(f"  … and {len(left) - 15} more")


def _show_target(model: Any, learned: Target, y: pd.Series, say: Say) -> None:
    say(f"target: {learned.name}, {learned.task} ({learned.reason})")
    if learned.classes is not None:
        counts = np.bincount(learned.encode(y), minlength=len(learned.classes))
        shown = [f"{c} {n}" for c, n in zip(learned.classes[:10], counts, strict=False)]
        say("  rows per class: " + ", ".join(shown) + (" …" if len(learned.classes) > 10 else ""))


def _show_network(model: Any, say: Say) -> None:
    net = model.network_
    sizes = " → ".join(map(str, net.sizes))
    hidden, output = net.activations[:-1], net.activations[-1].name
    names = ", ".join(dict.fromkeys(row.name for row in hidden)) or "no hidden layer"
    say(f"network: {sizes} ({names}; output {output}), {net.K:,} parameters")


def _show_training(model: Any, say: Say) -> None:
    events = model.history_.events
    shown = sorted({0, *(int(round(k)) for k in np.linspace(0, len(events) - 1, 6))}) if events else []
    say("training:  epoch        loss  held-out loss")
    for k in shown:
        e = events[k]
        say(
            f"  {e.epoch:>14}  {e.loss:>10.4f}  {e.validation_loss:>13.4f}"
            + ("  ← kept" if e.epoch == model.outcome_.best_epoch else "")
        )
    seconds = events[-1].seconds if events else 0.0
    say(
        f"  stopped because {model.outcome_.stopped_because}; kept epoch {model.outcome_.best_epoch}, "
        f"{seconds:.1f} s, {events[-1].rows / max(seconds, 1e-9):,.0f} rows/s"
        if events
        else "  no epoch was finished"
    )


def _scores(model: Any, X: pd.DataFrame, y: pd.Series, y_train: pd.Series, weights: Any) -> dict[str, Any]:
    """Scores on held-out rows beside the baseline that ignores the columns."""
    from sklearn import metrics

    true = model.target_.encode(y)
    if model.task == "classification":
        p = model.predict_proba(X)
        codes = np.bincount(model.target_.encode(y_train), minlength=p.shape[1])
        common = int(np.argmax(codes))
        share = codes / codes.sum()
        labels = np.arange(p.shape[1])
        return {
            "accuracy": float(metrics.accuracy_score(true, p.argmax(axis=1), sample_weight=weights)),
            "accuracy_baseline": float(metrics.accuracy_score(true, np.full(len(true), common), sample_weight=weights)),
            "log_loss": _log_loss(true, p, weights),
            "log_loss_baseline": _log_loss(true, np.tile(share, (len(true), 1)), weights),
            **({"roc_auc": float(metrics.roc_auc_score(true, p[:, 1], sample_weight=weights))}
               if len(labels) == 2 and len(np.unique(true)) == 2 else {}),
        }  # fmt: skip
    found = model.predict(X)
    plain = np.full(len(true), float(np.mean(model.target_.encode(y_train))))
    scores = {
        "r2": float(metrics.r2_score(true, found, sample_weight=weights)) if len(true) > 1 else float("nan"),
        "rmse": float(metrics.root_mean_squared_error(true, found, sample_weight=weights)),
        "rmse_baseline": float(metrics.root_mean_squared_error(true, plain, sample_weight=weights)),
        "mae": float(metrics.mean_absolute_error(true, found, sample_weight=weights)),
        "mae_baseline": float(metrics.mean_absolute_error(true, plain, sample_weight=weights)),
    }
    return {key: value for key, value in scores.items() if np.isfinite(value)}


def _log_loss(codes: np.ndarray, p: np.ndarray, weights: Any) -> float:
    chosen = np.maximum(p[np.arange(len(codes)), codes], 1e-15)
    return float(np.average(-np.log(chosen), weights=weights))


_WORDS = {
    "accuracy": "accuracy (share of rows right)",
    "log_loss": "log-loss (lower is better)",
    "roc_auc": "area under the ROC curve",
    "r2": "R² (share of variance explained)",
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
}


def _show_scores(result: dict[str, Any], n: int, say: Say) -> None:
    say(f"score on {n:,} rows that training never saw:")
    for name, words in _WORDS.items():
        if name in result:
            base = result.get(f"{name}_baseline")
            plain = "" if base is None else f"   (without the columns: {base:.4g})"
            say(f"  {words:<33} {result[name]:.4g}{plain}")


# ---------------------------------------------------------------- the other commands


def predict(model_path: Path, source: str, *, out: str, proba: bool, say: Say) -> None:
    """Predictions as CSV."""
    model = _load(model_path)
    table = read_table(source)
    name = model.target_.name
    if proba:
        if model.task != "classification":
            raise TableError(f"--proba needs a model of classes; {model_path} predicts the number {name!r}")
        found = pd.DataFrame(model.predict_proba(table), columns=[f"{name}={c}" for c in model.classes_])
    else:
        found = pd.DataFrame({name: model.predict(table)})
    report = model.last_report_
    report.ignored = [c for c in report.ignored if c != name]
    for sentence in [*table.notes, *report.sentences()]:
        say(f"note: {sentence}")
    text = found.to_csv(index=False, lineterminator="\n")
    if out == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_atomically(out, lambda file: file.write(text.encode("utf-8")))
        say(f"wrote {len(found):,} predictions to {out}")


def _load(path: Path) -> Any:
    model = load(path)
    if not hasattr(model, "features_"):
        raise FileError(f"{path} holds a bare network; predict needs a model that was trained on a table")
    return model


def evaluate(model_path: Path, source: str, *, weights: str | None, say: Say) -> dict[str, Any]:
    """Scores on a table that has the target."""
    model = _load(model_path)
    table = read_table(source)
    table.require([model.target_.name, *([weights] if weights else [])])
    y = table.column(model.target_.name)
    if y.isna().any():
        raise TableError(
            f"the target {model.target_.name!r} is missing in {int(y.isna().sum())} of {len(table)} rows of {table.name}"
        )
    row_weights = None if weights is None else _weights(table, weights)
    result = _scores(model, table.frame, y, y, row_weights)
    for sentence in [*table.notes, *model.last_report_.sentences()]:
        say(f"note: {sentence}")
    say(f"{table.name}: score on {len(table):,} rows:")
    for name, words in _WORDS.items():
        if name in result:
            say(f"  {words:<33} {result[name]:.4g}")
    return {"rows": len(table), **{k: v for k, v in result.items() if not k.endswith("_baseline")}}


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
        print(
            f"{row.name:<10} {len(table):>6,} × {len(table.columns):<3} {row.task:<15} target {row.target:<9} {row.licence:<14} {row.sentence}"
        )
    say("train on one: chainrule train penguins")


def print_json(result: dict[str, Any]) -> None:
    print(json.dumps(result, allow_nan=False))
