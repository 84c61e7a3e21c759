"""Floor 6, cli: train, predict, evaluate, export and more. For people on standard error, data on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import cli_look
from .cli_look import say

_state = {"debug": False}


class _Commands(TyperGroup):
    """A command line that was wrong gets one sentence, as every other bad input."""

    def main(self, *args: Any, **options: Any) -> Any:
        if not options.get("standalone_mode", True):
            return super().main(*args, **options)
        _state["debug"] = False
        try:
            status = super().main(*args, **{**options, "standalone_mode": False})
        except Exception as error:  # typer's own, told by what it has: a sentence and an exit status
            if not hasattr(error, "format_message") or _state["debug"]:
                raise
            text = error.format_message().strip()
            if type(error).__name__ == "NoArgsIsHelpError":
                print(text, file=sys.stderr)
            else:
                context = getattr(error, "ctx", None)
                path = context.command_path if context is not None else "chainrule"
                say(f"chainrule: {text}{'' if text.endswith(('.', '?')) else '.'} See {path} --help")
            sys.exit(getattr(error, "exit_code", 2))
        sys.exit(status if isinstance(status, int) else 0)


app = typer.Typer(
    cls=_Commands,
    help="Train a multilayer perceptron on a table, in one command.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"chainrule {version('chainrule')}")
        raise typer.Exit()


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    _state["debug"] = debug


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Bad input ends with one sentence and status 2, another failure with status 1."""

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except typer.Exit:
            raise
        except BrokenPipeError:  # whoever read has enough, as head does
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise typer.Exit(1) from None
        except KeyboardInterrupt as error:
            say(f"\nchainrule: {str(error) or 'interrupted; nothing was written'}")
            raise typer.Exit(130) from None
        except Exception as error:
            if _state["debug"]:
                raise
            status, text = _judge(error)
            say(f"chainrule: {text}")
            raise typer.Exit(status) from None

    return app.command()(guarded)


def _judge(error: Exception) -> tuple[int, str]:
    """(exit status, sentence): 2 for bad input, 1 for what failed although the input was good."""
    from chainrule.descent import DivergenceError

    if isinstance(error, DivergenceError):
        return 1, str(error)
    if isinstance(error, ValueError):
        return 2, str(error)
    if isinstance(error, ImportError):  # an extra that is not installed; the sentence says how to
        return 1, str(error)
    if isinstance(error, MemoryError):
        return 1, "there is not enough memory for this table and network"
    if isinstance(error, OSError):
        return 1, f"{error.filename or 'the output'}: {error.strerror or error}"
    return 1, f"this should not happen: {type(error).__name__}: {error}. chainrule --debug … shows where"


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    from chainrule.data import TableError

    found = {}
    for text in given or []:
        name, equals, value = text.rpartition("=")
        if not equals or not name:
            raise TableError(f"{option} takes COLUMN=KIND, such as zip=category; got {text!r}")
        found[name] = value
    return found


def _hidden(text: str) -> tuple[int, ...]:
    from chainrule.data import TableError

    try:
        sizes = tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        sizes = (0,)
    if any(size < 1 for size in sizes):
        raise TableError(f"--hidden takes whole numbers ≥ 1 with commas between, such as 100,50; got {text!r}")
    return sizes


@command
def train(
    table: Annotated[str, typer.Argument(help="CSV or Parquet file, - for standard input, or a shipped table's name.")],
    target: Annotated[str | None, typer.Option(help="The column to predict.")] = None,
    out: Annotated[str | None, typer.Option(help="Where to save the model; default TABLE.chainrule here.")] = None,
    task: Annotated[str, typer.Option(help="auto, classification or regression.")] = "auto",
    hidden: Annotated[str, typer.Option(help="Units of each hidden layer.")] = "128,64",
    activation: Annotated[str, typer.Option(help="Activation of the hidden layers.")] = "relu",
    epochs: Annotated[int | None, typer.Option(help="Passes over the rows; default by the number of rows.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows of a minibatch; default by the number.")] = None,
    step_size: Annotated[float, typer.Option(help="AdamW's first step size.")] = 0.004,
    weight_decay: Annotated[
        float | None, typer.Option(help="AdamW's decay of the weights; default by the number of rows.")
    ] = None,
    test: Annotated[float, typer.Option(help="Share of rows held out for the final score.")] = 0.2,
    patience: Annotated[int | None, typer.Option(help="Stop after so many epochs without improvement.")] = None,
    max_time: Annotated[float | None, typer.Option(help="Stop after so many seconds.")] = None,
    weights: Annotated[str | None, typer.Option(help="A column with the weight of each row.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="COLUMN=KIND, to overrule what was inferred.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="A column not to learn from.")] = None,
    drop_missing_target: Annotated[bool, typer.Option(help="Leave out rows without a target.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of everything that is random.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Threads; default all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Train on a table and save the model.

    Shows what was read, trains with a progress bar, scores on held-out rows beside a plain baseline.
    """
    from chainrule import console

    options = {
        "hidden_layer_sizes": _hidden(hidden), "activation": activation,
        "epochs": "auto" if epochs is None else epochs,
        "batch_size": "auto" if batch_size is None else batch_size, "step_size": step_size,
        "weight_decay": "auto" if weight_decay is None else weight_decay,
        "patience": patience, "max_time": max_time, "random_state": seed, "n_threads": threads,
    }  # fmt: skip
    result = console.train(
        table, target, out=out, task=task, test=test, weights=weights, kinds=_pairs(kind, "--kind"),
        exclude=exclude or [], drop_missing_target=drop_missing_target, seed=seed, options=options, say=say,
    )  # fmt: skip
    if as_json:
        console.print_json(result)


@command
def predict(
    model: Annotated[Path, typer.Argument(help="A model file that train saved.")],
    table: Annotated[str, typer.Argument(help="CSV or Parquet file, - for standard input.")],
    out: Annotated[str, typer.Option(help="Where to write the predictions as CSV; - is standard output.")] = "-",
    proba: Annotated[bool, typer.Option("--proba", help="A column with the probability of each class.")] = False,
) -> None:
    """Predict the target for the rows of a table, as CSV."""
    from chainrule import console

    console.predict(model, table, out=out, proba=proba, say=say)


@command
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model file that train saved.")],
    table: Annotated[str, typer.Argument(help="A table with the target column.")],
    weights: Annotated[str | None, typer.Option(help="A column with the weight of each row.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON on standard output.")] = False,
) -> None:
    """Score a model on the rows of a table."""
    from chainrule import console

    result = console.evaluate(model, table, weights=weights, say=say)
    if as_json:
        console.print_json(result)


@command
def datasets(
    export: Annotated[str | None, typer.Option(help="Copy this table to the current folder as CSV.")] = None,
) -> None:
    """List the small tables that ship with chainrule; train takes their names."""
    from chainrule import console

    console.datasets(export, say=say)


@command
def export(
    model: Annotated[Path, typer.Argument(help="A model file that train saved.")],
    onnx: Annotated[Path, typer.Option("--onnx", help="Where to write the ONNX graph.")],
) -> None:
    """Write a model as an ONNX graph, which other programs compute without Python."""
    from chainrule.interchange import load, to_onnx

    to_onnx(load(model), onnx)
    say(f"the graph is in {onnx}; the doc strings of its inputs say how columns are given")


@command
def cache(
    warm: Annotated[bool, typer.Option("--warm", help="Compile everything now, in both float widths.")] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all that was compiled.")] = False,
) -> None:
    """Show where the compiled engine is kept; compile it beforehand, or remove it."""
    from chainrule import console

    console.cache(warm=warm, clear=clear, say=say)


for _look in cli_look.COMMANDS:
    command(_look)


def main() -> None:
    """The entry point."""
    app(prog_name="chainrule")
