"""Floor 5, insight: the report: one page of HTML on a fitted model, which needs no network connection to be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier

from chainrule import scores
from chainrule.data import LEFT_OUT, read_table
from chainrule.engine import Network
from chainrule.files import write_atomically

from .given import Given, given, input_names, network_of
from .health import Health, health
from .inputs import integrated_gradients, permutation_importance

# Rows that pictures and importance are made of, at most; columns and values that a table of the page lists.
_MOST_ROWS, _MOST_COLUMNS = 2_000, 30
# Classes above which no confusion matrix is drawn.
_MOST_CLASSES = 30


@dataclass
class Section:
    """One section of the page: a heading and parts in order, each a dict that the template knows by its kind."""

    name: str
    heading: str
    parts: list[dict[str, Any]] = field(default_factory=list)

    def say(self, text: str, soft: bool = False) -> None:
        self.parts.append({"kind": "words", "text": text, "soft": soft})

    def head(self, text: str) -> None:
        self.parts.append({"kind": "heading", "text": text})

    def table(
        self, head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = (), rest: str = ""
    ) -> None:
        self.parts.append({"kind": "table", "head": head, "rows": rows, "numbers": list(numbers), "rest": rest})

    def text(self, text: str) -> None:
        self.parts.append({"kind": "text", "text": text})

    def findings(self, sentences: Sequence[str]) -> None:
        self.parts.append({"kind": "findings", "sentences": list(sentences)})

    def draw(self, *drawn: tuple[str, Callable[[], Any]]) -> None:
        """Pictures side by side: (what it shows, what draws it)."""
        from .plots.inline import inline_svg

        found = []
        for k, (words, draw) in enumerate(drawn):
            svg = inline_svg(draw, f"{self.name}-{len(self.parts)}-{k}")
            found.append({"words": words, "svg": _safe(svg)})
        self.parts.append({"kind": "pictures", "drawn": found})


def _safe(svg: str) -> Any:
    """Markup that is our own: everything else is escaped by the template."""
    from markupsafe import Markup

    return Markup(svg)


@dataclass
class _About:
    """What the sections are written from."""

    model: Any
    X: Any  # as it was given, or a table
    y: Any
    seen: Given
    row: int
    health: Health
    codes: np.ndarray | None  # of y: the numbers of its classes, or the numbers themselves


def report(
    model: Any, X: Any, y: Any = None, path: Any = "report.html", *, row: int = 0, title: str | None = None
) -> Path:
    """Write one page of HTML on a fitted model: data, network, curves, scores, health, inputs, one row explained.

    The page has its pictures inside, asks no other machine for anything, runs no script and follows the reader's
    choice of light or dark. It is written beside its place and renamed.

    Parameters
    ----------
    model : a fitted MLPClassifier, MLPRegressor, TableClassifier or TableRegressor
    X, y : rows and targets, best those that were not trained on; without y there are no scores
    path : where to
    row : the row of X that is explained, from 0
    title : of the page

    Returns
    -------
    The path.

    Raises
    ------
    TypeError, ValueError : for an unfitted model, rows that do not fit it, a row that does not exist.
    FileError : where nothing can be written. ModuleNotFoundError : without jinja2 and matplotlib.

    >>> import chainrule as cr, tempfile, os
    >>> frame = cr.load_dataset("xor")
    >>> model = cr.MLPClassifier((4,), solver="lbfgs", random_state=0).fit(frame[["a", "b"]], frame["xor"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = report(model, frame[["a", "b"]], frame["xor"], os.path.join(folder, "xor.html")).read_text("utf-8")
    >>> page.startswith("<!doctype html>"), "://" in page
    (True, False)
    """
    text = report_html(model, X, y, row=row, title=title)
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))
    return Path(path)


def report_html(model: Any, X: Any, y: Any = None, *, row: int = 0, title: str | None = None) -> str:
    """The page of `report` as a string."""
    environment = _environment()
    about = _about(model, X, y, row)
    sections = [make(about) for make in SECTIONS]
    net = about.seen.network
    target = getattr(getattr(model, "target_", None), "name", None)
    kind = type(model).__name__
    template = environment.from_string(Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        title=title or (f"{kind}: {target}" if target else kind),
        subtitle=f"{kind} of chainrule, a network of {' → '.join(f'{n:,}' for n in net.sizes)} units, on "
        f"{len(about.seen.X):,} rows",
        tiles=_tiles(about),
        sections=[section for section in sections if section.parts],
    )


def page_makers() -> tuple[Any, Any]:
    """(jinja2, pyplot), or the sentence that names the extra which brings them."""
    from .plots.canvas import pyplot

    try:
        import jinja2

        return jinja2, pyplot()
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("a report needs jinja2 and matplotlib: pip install 'chainrule[report]'") from error


def _environment() -> Any:
    jinja2, _ = page_makers()  # before anything is computed
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _about(model: Any, X: Any, y: Any, row: int) -> _About:
    if isinstance(model, Network):
        raise TypeError("a report is on a fitted estimator, which has a training and a score; got a bare Network")
    network_of(model)
    if y is not None:
        y = _targets(y)
    X = read_table(X) if hasattr(model, "features_") and hasattr(model, "feature_names_in_") else X
    seen = given(model, X, y)
    if isinstance(row, bool) or not isinstance(row, int | np.integer) or not 0 <= row < len(seen.X):
        raise ValueError(f"row must be a whole number from 0 to {len(seen.X) - 1}, got {row!r}")
    return _About(model, X, y, seen, int(row), health(model, X, y), _codes(model, y))


def _targets(y: Any) -> Any:
    """One target a row as a Series, which knows its name; several as an array."""
    if isinstance(y, pd.Series):
        return y
    values = np.asarray(y)
    return values if values.ndim > 1 and values.shape[1] > 1 else pd.Series(values.ravel().tolist(), name="y")


def _codes(model: Any, y: Any) -> np.ndarray | None:
    """Codes of the classes, or numbers, where there is one target and one answer a row."""
    if not isinstance(y, pd.Series) or (network_of(model).sizes[-1] > 1 and not is_classifier(model)):
        return None
    if hasattr(model, "target_"):
        return np.asarray(model.target_.encode(y))
    if not is_classifier(model):
        return y.to_numpy(float)
    return np.searchsorted(model.classes_, np.asarray(y.tolist()))


def _rows_of(X: Any, rows: np.ndarray) -> Any:
    """Some rows of X, whatever it is."""
    if hasattr(X, "take") and hasattr(X, "frame"):
        return X.take(rows)
    return X.iloc[rows] if hasattr(X, "iloc") else np.asarray(X.toarray() if hasattr(X, "toarray") else X)[rows]


def _some(about: _About) -> tuple[Any, Any]:
    """(X, y) of at most so many rows, evenly."""
    n = len(about.seen.X)
    rows = np.unique(np.linspace(0, n - 1, min(n, _MOST_ROWS)).astype(int))
    return _rows_of(about.X, rows), None if about.y is None else _rows_of(about.y, rows)


# ---------------------------------------------------------------- the sections


def _tiles(about: _About) -> list[dict[str, str]]:
    """The few numbers at the head of the page."""
    net, n = about.seen.network, len(about.health.findings)
    tiles = [{"value": f"{len(about.seen.X):,}", "words": "rows that were looked at"}]
    found = _scores(about)
    if found:
        name = "accuracy" if "accuracy" in found else "r2"
        base = found.get(f"{name}_baseline")
        beside = "" if base is None else f"; the plain guess: {base:.3g}"
        words = scores.WORDS[name].split(":")[0] + beside
        if name in found:
            tiles.append({"value": f"{found[name]:.3g}", "words": words})
    tiles.append({"value": f"{net.K:,}", "words": "parameters (weights and biases)"})
    epochs = getattr(about.model, "n_iter_", None)
    if epochs:
        words = "iterations of training" if getattr(about.model, "solver", "") == "lbfgs" else "epochs of training"
        tiles.append({"value": f"{epochs:,}", "words": words})
    mood = "good" if not n else "bad"
    tiles.append(
        {"value": "nothing wrong" if not n else f"{n} finding{'s' * (n > 1)}", "words": "health", "mood": mood}
    )
    return [{"mood": "", **tile} for tile in tiles]


def _data(about: _About) -> Section:
    section, model = Section("data", "Data"), about.model
    if hasattr(model, "features_"):
        made = {column.name: len(column.outputs) for column in model.features_.columns}
        report = model.report(about.X)
        rows = [
            [
                kind.column, kind.kind, kind.reason, "–" if kind.kind in LEFT_OUT else str(made[kind.column]),
                f"{report.missing.get(kind.column, 0):,}" if kind.column in made else "–",
                f"{report.unseen[kind.column][0]:,}" if kind.column in report.unseen else "",
            ]
            for kind in model.features_.kinds
        ]  # fmt: skip
        section.say(f"{len(made)} of {len(rows)} columns were learned from. Kinds and reasons are those of training.")
        head = ["column", "kind", "why", "inputs", "missing here", "never seen before"]
        section.table(head, rows[:_MOST_COLUMNS], (3, 4, 5), _rest(len(rows), "columns"))
        if report.ignored:
            section.say(
                "Not used: " + ", ".join(report.ignored[:20]) + (" …" if len(report.ignored) > 20 else ""), True
            )
    else:
        X, names = about.seen.X, about.seen.names
        rows = [[n, f"{c.min():.4g}", f"{np.median(c):.4g}", f"{c.max():.4g}"] for n, c in zip(names, X.T, strict=True)]
        section.say(f"{len(names)} columns of numbers, none missing.")
        section.table(
            ["column", "least", "median", "greatest"], rows[:_MOST_COLUMNS], (1, 2, 3), _rest(len(rows), "columns")
        )
    _target(about, section)
    return section


def _rest(n: int, what: str) -> str:
    return f"… and {n - _MOST_COLUMNS:,} more {what}" if n > _MOST_COLUMNS else ""


def _target(about: _About, section: Section) -> None:
    if about.y is None:
        section.say("No target was given with these rows, so there are no scores.")
        return
    name = getattr(about.y, "name", "y")
    section.head(f"Target: {'y' if name is None else name}")
    if about.codes is not None and is_classifier(about.model):
        labels = about.model.classes_
        counts = np.bincount(about.codes, minlength=len(labels))
        rows = [[str(c), f"{n:,}", f"{n / counts.sum():.1%}"] for c, n in zip(labels, counts, strict=True)]
        section.table(["class", "rows", "share"], rows[:_MOST_COLUMNS], (1, 2), _rest(len(rows), "classes"))
    elif about.codes is not None:
        c = about.codes
        section.say(f"A number from {c.min():.6g} to {c.max():.6g}, on average {c.mean():.6g}.")
    else:
        section.say(f"{about.y.shape[-1] if about.y.ndim > 1 else 1} targets a row.")


def _network(about: _About) -> Section:
    from .formula import summary
    from .plots.networks import plot_network

    section = Section("network", "Network")
    section.say(about.seen.network.formula())
    section.text(str(summary(about.model)))
    one = _rows_of(about.X, np.array([about.row]))
    words = f"The network on row {about.row}: units and edges, those with the strongest weights where there are many."
    section.draw((words, partial(plot_network, about.model, one)))
    return section


def _training(about: _About) -> Section:
    from .plots.history import plot_history

    section, model = Section("training", "Training"), about.model
    history = getattr(model, "history_", None)
    if not history:
        section.say("No epochs were recorded, so there is no curve.")
        return section
    outcome = getattr(model, "outcome_", None)
    because = outcome.stopped_because if outcome is not None else getattr(model, "stopped_because_", "")
    kept = f" The weights of epoch {outcome.best_epoch} were kept." if outcome is not None else ""
    section.say(
        f"{len(history)} epochs in {history['seconds'][-1]:.1f} s."
        + (f" It stopped because {because}." if because else "")
        + kept
    )
    drawn = [("The mean error after each epoch.", partial(plot_history, model))]
    if "validation_score" in history.columns():
        words = "The score on rows to choose by."
        drawn.append((words, partial(plot_history, model, columns="validation_score")))
    section.draw(*drawn)
    return section


def _scores(about: _About) -> dict[str, Any]:
    if about.codes is None:
        return {}
    guess = scores.plain(about.model, about.codes, None)
    return scores.of(about.model, about.X, about.codes, None, baseline=guess)


def _quality(about: _About) -> Section:
    from .plots.scores import plot_calibration, plot_confusion, plot_residuals

    section = Section("scores", "Scores")
    if about.y is None:
        return section
    found = _scores(about)
    if not found:
        section.say(f"Score on these rows: {about.model.score(about.X, np.asarray(about.y)):.4g}")
        return section
    rows = [
        [words, f"{found[name]:.4g}", f"{found[f'{name}_baseline']:.4g}" if f"{name}_baseline" in found else ""]
        for name, words in scores.WORDS.items()
        if name in found
    ]
    section.table(["score on these rows", "network", f"plain guess ({found['baseline']})"], rows, (1, 2))
    section.say("Rows that the network was trained on flatter it: give rows that it has never seen.", True)
    X, y = _some(about)
    if not is_classifier(about.model):
        section.draw(
            ("What the predictions miss, over the prediction.", partial(plot_residuals, about.model, X, y)),
            ("Targets over predictions.", partial(plot_residuals, about.model, X, y, kind="actual_vs_predicted")),
        )
        return section
    drawn = [
        (
            "How often a class came true over the probability that it was given.",
            partial(plot_calibration, about.model, X, y),
        )
    ]
    if len(about.model.classes_) <= _MOST_CLASSES:
        drawn.insert(
            0, ("How many rows of each class were taken for each class.", partial(plot_confusion, about.model, X, y))
        )
    section.draw(*drawn)
    return section


def _of_health(about: _About) -> Section:
    section, found = Section("health", "Health"), about.health
    if found.ok:
        section.say("Nothing is wrong in what was looked at.")
    else:
        section.findings([str(finding) for finding in found.findings])
    head, cells = found.cells()
    section.table(head, cells, (0, *range(2, len(head))))
    section.say(
        "Dead: slope 0 on every row. Saturated: flat on nearly every row. Flat slopes: the share of slopes, over units "
        "and rows, below a hundredth of the activation's greatest. Gradient: the root mean square of ∂E/∂z of a layer. "
        "Weights: the root mean square of A. Update: the median change in an epoch, as a share of the weights' length.",
        True,
    )
    for sentence in found.not_seen:
        section.say(f"Not looked at: {sentence}.", True)
    return section


def _inputs(about: _About) -> Section:
    from .plots.inputs import plot_importance

    section = Section("inputs", "What the inputs do")
    if about.y is None:
        return section
    if len(about.seen.X) < 2:
        section.say("One row cannot be shuffled; give more, and the importance of each column is drawn here.")
        return section
    X, y = _some(about)
    X = getattr(X, "frame", X)
    importance = permutation_importance(about.model, X, np.asarray(y), random_state=0)
    words = "How much the score falls when the values of one column are shuffled, five times, on these rows."
    section.draw((words, partial(plot_importance, importance)))
    return section


def _one_row(about: _About) -> Section:
    from .plots.inputs import plot_attributions

    section, model = Section("row", f"Row {about.row}, explained"), about.model
    one = _rows_of(about.X, np.array([about.row]))
    answer = np.asarray(model.predict(one))[0]
    true = "" if about.y is None else f" It is {np.asarray(about.y)[about.row]}."
    section.say(
        f"The network answers {answer if np.ndim(answer) or isinstance(answer, str) else f'{answer:.6g}'}.{true}"
    )
    found = integrated_gradients(model, one).by_column()
    where = dict(zip(found.names, _values(about, found.names), strict=True))
    order = np.argsort(-np.abs(found.values[0]), kind="stable")[:_MOST_COLUMNS]
    rows = [[found.names[j], where[found.names[j]], f"{found.values[0, j]:+.4g}"] for j in order]
    section.draw(
        ("What each column did to the output, on the straight way from the baseline (the middle of a table's columns, "
         "0 of plain numbers); together they are the whole change.", partial(plot_attributions, found))
    )  # fmt: skip
    section.table(
        ["column", "value in this row", f"effect on {found.outputs[0]}"], rows, (2,), _rest(len(found.names), "columns")
    )
    if about.y is not None:
        _one_weight(about, section, one)
    return section


def _values(about: _About, names: Sequence[str]) -> list[str]:
    """The row's own values of these columns."""
    if hasattr(about.X, "frame"):
        return [_shown(about.X.frame[name].iloc[about.row]) for name in names]
    if len(names) == len(about.seen.names):
        return [_shown(v) for v in about.seen.X[about.row]]
    return ["" for _ in names]


def _shown(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "missing" if np.isnan(value) else f"{value:.6g}"
    return "missing" if value is None or value is pd.NaT or value is pd.NA else str(value)


def _one_weight(about: _About, section: Section, one: Any) -> None:
    """The chain rule of the weight of the first layer that this row pulls at most."""
    from .explain import explain

    seen, net = about.seen, about.seen.network
    assert seen.Y is not None  # y was given
    slope = net.layout.views(net.gradient(seen.X[[about.row]], seen.Y[[about.row]], seen.loss))[0][1]
    i, j = (int(k) for k in np.unravel_index(int(np.argmax(np.abs(slope))), slope.shape))
    section.head(f"The chain rule of one weight: A_1[{i}, {j}], from {input_names(about.model)[i]} to unit {j}")
    section.say("Of the weights of layer 1 it is the one at which this row pulls most.", True)
    section.text(explain(about.model, one, _rows_of(about.y, np.array([about.row])), ("A", 1, i, j)).text())


SECTIONS: tuple[Callable[[_About], Section], ...] = (
    _data, _network, _training, _quality, _of_health, _inputs, _one_row,
)  # fmt: skip
