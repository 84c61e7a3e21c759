"""Floor 5, cli_look: explain, check, plot and report as they are typed; the commands that look into a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[Path, typer.Argument(help="A model file that train saved.")]
Row = Annotated[int, typer.Option(help="The row of the table, from 0.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
_PICTURES = "history, network, importance, dependence, decision, attributions, confusion, calibration, residuals."


def say(text: str = "") -> None:
    """One line for people."""
    print(text, file=sys.stderr, flush=True)


def explain(
    model: Model,
    table: Annotated[str, typer.Argument(help="A table with the target column.")],
    row: Row = 0,
    weight: Annotated[
        str | None, typer.Option(help="A2[0,1]: layer 2, from unit 0 to unit 1; b2[1]: a bias. Default: the strongest.")
    ] = None,
    as_json: Json = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX.")] = False,
) -> None:
    """Take the derivative of one weight apart: the factors of the chain rule, with numbers and a numerical check."""
    from chainrule import console_look

    console_look.explain(model, table, row=row, weight=weight, as_json=as_json, latex=latex, say=say)


def check(
    model: Model,
    table: Annotated[str, typer.Argument(help="A table with the target column.")],
    parameters: Annotated[int, typer.Option(help="How many weights and biases to check, at random.")] = 300,
    everything: Annotated[bool, typer.Option("--all", help="Check every weight and bias.")] = False,
    rows: Annotated[int, typer.Option(help="Rows of the table to use, at most.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the choice of weights.")] = 0,
    as_json: Json = False,
) -> None:
    """Check the network's gradient against differences of its error; status 1 where they part."""
    from chainrule import console_look

    count = None if everything else parameters
    if not console_look.check(model, table, parameters=count, rows=rows, seed=seed, as_json=as_json, say=say):
        raise typer.Exit(1)


def plot(
    model: Model,
    table: Annotated[str | None, typer.Argument(help="A table of rows, for pictures that need some.")] = None,
    what: Annotated[str, typer.Option(help=_PICTURES)] = "history",
    out: Annotated[str | None, typer.Option(help="Where to; default MODEL-WHAT.png here. Also .svg, .pdf.")] = None,
    row: Row = 0,
    feature: Annotated[list[str] | None, typer.Option(help="A column, for dependence and (two) decision.")] = None,
) -> None:
    """Draw a picture of a model into a file."""
    from chainrule import console_look

    console_look.plot(model, table, what=what, out=out, row=row, features=feature or [], say=say)


def report(
    model: Model,
    table: Annotated[str, typer.Argument(help="A table, best of rows that were not trained on.")],
    out: Annotated[str | None, typer.Option(help="Where to write the page; default MODEL.html here.")] = None,
    row: Row = 0,
) -> None:
    """Write one HTML page on a model: data, network, curves, scores, health, one row explained."""
    from chainrule import console_look

    console_look.report(model, table, out=out, row=row, say=say)


COMMANDS = (explain, check, plot, report)
