"""Floor 5, console_look: what explain, check, plot and report do on the command line: read, look, print, draw."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chainrule.data import Table, TableError
from chainrule.files import FileError, write_atomically
from chainrule.tables import find
from chainrule.tables import table as by_name

from .console import Say, check_out, load_model, print_json, read, rows_of

# Suffixes of pictures that matplotlib writes everywhere.
_PICTURES = (".png", ".svg", ".pdf", ".jpg")


@dataclass(frozen=True)
class Picture:
    """One thing that `plot` draws: how, from what, and in which words it is offered."""

    name: str
    draw: Callable[[Any, Any, Any, dict[str, Any]], Any]  # (model, X, y, options) -> Axes
    needs: str  # "", "table" or "target"
    words: str
    aliases: tuple[str, ...] = ()


def _history(model: Any, X: Any, y: Any, options: dict[str, Any]) -> Any:
    from chainrule.insight.plots.history import plot_history

    return plot_history(model)


def _network(model: Any, X: Any, y: Any, options: dict[str, Any]) -> Any:
    from chainrule.insight.plots.networks import plot_network

    return plot_network(model, None if X is None else _one(X, options["row"]))


def _importance(model: Any, X: Any, y: Any, options: dict[str, Any]) -> Any:
    from chainrule.insight.inputs import permutation_importance
    from chainrule.insight.plots.inputs import plot_importance

    return plot_importance(permutation_importance(model, X.frame, y.to_numpy(), random_state=0))


def _dependence(model: Any, X: Any, y: Any, options: dict[str, Any]) -> Any:
    from chainrule.insight.inputs import partial_dependence
    from chainrule.insight.plots.inputs import plot_dependence

    if len(options["features"]) != 1:
        raise TableError(f"--what dependence takes one --feature COLUMN; got {len(options['features'])}")
    return plot_dependence(partial_dependence(model, X.frame, options["features"][0]))


def _decision(model: Any, X: Any, y: Any, options: dict[str, Any]) -> Any:
    from chainrule.insight.plots.decision import plot_decision_surface

    return plot_decision_surface(
        model, X.frame, None if y is None else y.to_numpy(), features=options["features"] or None
    )


def _attributions(model: Any, X: Any, y: Any, options: dict[str, Any]) -> Any:
    from chainrule.insight.inputs import integrated_gradients
    from chainrule.insight.plots.inputs import plot_attributions

    return plot_attributions(integrated_gradients(model, _one(X, options["row"])).by_column())


def _of_scores(name: str) -> Callable[[Any, Any, Any, dict[str, Any]], Any]:
    def draw(model: Any, X: Any, y: Any, options: dict[str, Any]) -> Any:
        from chainrule.insight.plots import scores

        return getattr(scores, name)(model, X.frame, y.to_numpy())

    return draw


PICTURES = by_name(
    [
        Picture("history", _history, "", "the error after each epoch of training"),
        Picture("network", _network, "", "units and weighted edges; with a table, the outputs of its --row", ("net",)),
        Picture("importance", _importance, "target", "how much the score falls when a column is shuffled"),
        Picture("dependence", _dependence, "table", "the mean prediction over the values of one --feature"),
        Picture("decision", _decision, "table", "what is predicted over two --feature columns", ("surface",)),
        Picture("attributions", _attributions, "table", "what each column did to the prediction for --row"),
        Picture("confusion", _of_scores("plot_confusion"), "target", "classes that were taken for others"),
        Picture("calibration", _of_scores("plot_calibration"), "target", "whether probabilities come true"),
        Picture("residuals", _of_scores("plot_residuals"), "target", "what predictions of a number miss"),
    ]
)


def _one(table: Table, row: int) -> Table:
    if not 0 <= row < len(table):
        raise TableError(f"--row {row}: {table.name} has {rows_of(len(table))}, numbered from 0 to {len(table) - 1}")
    return table.take(np.array([row]))


def _check_place(path: Path, source: str, model_path: Path) -> None:
    """An error before any work where nothing could be written."""
    check_out(str(path), source, model_path)
    if not path.parent.is_dir():
        raise FileError(f"cannot write {path}: the folder {path.parent} does not exist")


def _target(model: Any, table: Table) -> pd.Series:
    """The target column; a table without it, or with gaps in it, is an error."""
    table.require([model.target_.name])
    y = table.column(model.target_.name)
    if y.isna().any():
        raise TableError(
            f"{table.name}: the target {y.name!r} is missing in {int(y.isna().sum())} of {len(table)} rows "
            f"(first: {table.row(int(np.argmax(y.isna())))}); it is needed in every row that is looked at"
        )
    return y


def weight_of(text: str) -> tuple[Any, ...]:
    """The name of a parameter as it is typed: A2[0,1] is ("A", 2, 0, 1), b2[1] is ("b", 2, 1).

    >>> weight_of("A2[0,1]"), weight_of("b_1[3]")
    (('A', 2, 0, 1), ('b', 1, 3))
    """
    found = re.fullmatch(r"\s*([Ab])_?(\d{1,9})\s*\[\s*(\d{1,9})\s*(?:,\s*(\d{1,9})\s*)?\]\s*", text)
    if not found or (found[1] == "A") != (found[4] is not None):
        raise TableError(
            f"--weight takes A2[0,1], the weight from unit 0 of layer 1 to unit 1 of layer 2, or b2[1], the bias of "
            f"unit 1 of layer 2; got {text!r}"
        )
    return (found[1], int(found[2]), int(found[3]), *([] if found[4] is None else [int(found[4])]))


def explain(
    model_path: Path, source: str, *, row: int, weight: str | None, as_json: bool, latex: bool, say: Say
) -> None:
    """The chain rule of one weight on one row."""
    from chainrule.insight.explain import explain as explain_weight

    if as_json and latex:
        raise TableError("--json and --latex are two ways to print the same; give one of them")
    name = None if weight is None else weight_of(weight)
    model, table = load_model(model_path), read(source)
    one = _one(table, row)
    y = _target(model, one)
    if name is None:
        name = _strongest(model, one, y)
        say(f"note: no --weight was given; of all, this one has the largest slope in row {row}")
    try:
        found = explain_weight(model, one, y, name)
    except IndexError as error:
        raise TableError(f"--weight {weight}: {error}") from None
    if as_json:
        print_json(found.as_dict())
    else:
        print(found.latex() if latex else found.text())


def _strongest(model: Any, one: Table, y: pd.Series) -> tuple[Any, ...]:
    from chainrule.insight.given import given

    seen = given(model, one, y)
    layout, gradient = seen.network.layout, seen.network.gradient(seen.X, seen.Y, seen.loss)
    return layout.where(int(np.argmax(np.abs(gradient[: layout.n_weights]))))


def check(
    model_path: Path, source: str, *, parameters: int | None, rows: int, seed: int, as_json: bool, say: Say
) -> bool:
    """The gradient check of a fitted network on the rows of a table; whether it agrees."""
    from chainrule.insight.check import check_network

    if (parameters is not None and parameters < 1) or rows < 1 or seed < 0:
        raise TableError("--parameters and --rows take whole numbers ≥ 1, --seed one ≥ 0")
    model, table = load_model(model_path), read(source)
    found = check_network(model, table, _target(model, table), n_parameters=parameters, n_rows=rows, seed=seed)
    if as_json:
        print_json(found.as_dict())
    else:
        print(found)
    return found.ok


def plot(
    model_path: Path, source: str | None, *, what: str, out: str | None, row: int, features: list[str], say: Say
) -> None:
    """A picture of a model, in a file."""
    from chainrule.insight.plots.canvas import pyplot

    picture = find(PICTURES, what, "picture")
    path = Path(out) if out is not None else Path(f"{model_path.stem}-{picture.name}.png")
    if path.suffix.lower() not in _PICTURES:
        raise FileError(f"--out {path}: a picture's name ends with {', '.join(_PICTURES)}")
    if picture.needs and source is None:
        target = " with the target column" if picture.needs == "target" else ""
        raise TableError(f"--what {picture.name} needs rows: give a TABLE{target} after the model")
    _check_place(path, "-" if source is None else source, model_path)
    plt = pyplot()
    plt.switch_backend("agg")
    model, table = load_model(model_path), None if source is None else read(source)
    y = None
    if table is not None and (picture.needs == "target" or model.target_.name in table.columns):
        y = _target(model, table)
    axes = picture.draw(model, table, y, {"row": row, "features": features})
    drawn = io.BytesIO()
    axes.figure.savefig(drawn, format=path.suffix[1:].lower(), dpi=150)
    plt.close(axes.figure)
    write_atomically(path, lambda file: file.write(drawn.getvalue()))
    say(f"wrote {path}: {picture.words}")


def report(model_path: Path, source: str, *, out: str | None, row: int, say: Say) -> None:
    """The page on a model and a table."""
    from chainrule.insight.report import page_makers
    from chainrule.insight.report import report as write_report

    path = Path(out) if out is not None else Path(f"{model_path.stem}.html")
    _check_place(path, source, model_path)
    page_makers()[1].switch_backend("agg")
    model, table = load_model(model_path), read(source)
    _one(table, row)
    y = _target(model, table) if model.target_.name in table.columns else None
    if y is None:
        say(f"note: {table.name} has no column {model.target_.name!r}, so the report has no scores")
    write_report(model, table, y, path, row=row, title=f"{model.target_.name}: {model_path.name} on {table.name}")
    say(f"wrote {path}; it opens in any browser, without a network connection")
