"""explain, check, plot and report on the command line: numbers that agree, files that open, one sentence for bad input."""

import json
import os
import re

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from chainrule import console_look
from chainrule.calculus import grad
from chainrule.cli import app
from chainrule.interchange import load, save
from chainrule.network import eager_error, get_loss

CLASSES = "a,b,c,y\n" + "".join(
    f"{i % 7 * 1.5},{i * 0.3 % 5:.1f},{'uvw'[i % 3]},{'yes' if i * i % 5 % 2 else 'no'}\n" for i in range(40)
)
NUMBERS = "a,b,c,y\n" + "".join(f"{i % 7 * 1.5},{i * 0.3 % 5:.1f},{'uvw'[i % 3]},{i * 0.37:.2f}\n" for i in range(40))


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, models):
    monkeypatch.chdir(tmp_path)
    for path in models.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model of classes and one of numbers, with their tables."""
    folder = tmp_path_factory.mktemp("models")
    for name, text in (("classes", CLASSES), ("numbers", NUMBERS)):
        (folder / f"{name}.csv").write_text(text)
        made = run(
            "train",
            folder / f"{name}.csv",
            "--target",
            "y",
            "--epochs",
            "6",
            "--hidden",
            "5,4",
            "--networks",
            "1",
            "--out",
            folder / f"{name}.chainrule",
        )
        assert made.exit_code == 0, made.stderr
    return folder


def one_sentence(result, words, before):
    lines = result.stderr.splitlines()
    assert (result.exit_code, len(lines)) == (2, 1), result.stderr
    assert lines[0].startswith("chainrule: ")
    assert result.stdout == ""
    for word in [words] if isinstance(words, str) else words:
        assert word in lines[0]
    for foreign in ("np.", "Traceback", "<class", "object at"):
        assert foreign not in lines[0]
    assert sorted(os.listdir()) == before


FILES = ["classes.chainrule", "classes.csv", "numbers.chainrule", "numbers.csv"]


# ---------------------------------------------------------------- explain


@pytest.mark.parametrize("weight", ["A2[0,1]", "A1[3,4]", "b_3[0]"])
@pytest.mark.parametrize("name", ["classes", "numbers"])
def test_the_derivative_is_the_one_of_the_eager_tape(name, weight):
    result = run("explain", f"{name}.chainrule", f"{name}.csv", "--row", "7", "--weight", weight, "--json")
    assert result.exit_code == 0, result.stderr
    model, table = load(f"{name}.chainrule"), pd.read_csv(f"{name}.csv")[7:8]
    block = model.features_.transform(table, dtype=np.float64)[0]
    Y = np.asarray(model._targets(model.target_.encode(table["y"])), float)
    layout, w = model.network_.layout, model.network_.w.astype(float)
    slope = grad(lambda w: eager_error(layout, get_loss(model._loss()), w, block, Y))(w)
    assert json.loads(result.stdout)["derivative"] == pytest.approx(
        slope[layout.index(console_look.weight_of(weight))], rel=1e-4
    )


def test_it_is_told_as_text_and_as_latex():
    said = run("explain", "classes.chainrule", "classes.csv", "--weight", "A2[0,1]")
    assert said.stdout.startswith("∂E/∂A_2[0, 1] = ")
    assert said.stderr == ""
    formula = run("explain", "classes.chainrule", "classes.csv", "--weight", "A2[0,1]", "--latex")
    assert r"\frac{\partial E}{\partial A_{2}[0, 1]}" in formula.stdout


def test_without_a_weight_it_is_the_strongest():
    result = run("explain", "classes.chainrule", "classes.csv", "--row", "3", "--json")
    assert "this one has the largest slope in row 3" in result.stderr
    found = json.loads(result.stdout)
    model, table = load("classes.chainrule"), pd.read_csv("classes.csv")[3:4]
    block = model.features_.transform(table, dtype=np.float32)[0]
    slope = model.network_.gradient(block, model._targets(model.target_.encode(table["y"])), "binary_cross_entropy")
    assert abs(found["derivative"]) == pytest.approx(np.abs(slope[: model.network_.layout.n_weights]).max(), rel=1e-4)


# ---------------------------------------------------------------- check


def test_the_gradient_of_a_fitted_network_agrees():
    result = run("check", "numbers.chainrule", "numbers.csv", "--all")
    assert result.exit_code == 0, result.stdout
    K = load("numbers.chainrule").network_.K
    assert result.stdout.startswith(f"the gradient agrees at {K} of {K} parameters, on 40 rows\nworst: ∂E/∂")
    found = json.loads(
        run("check", "classes.chainrule", "classes.csv", "--parameters", "9", "--rows", "5", "--json").stdout
    )
    assert (found["ok"], found["rows"]) == (True, 5)
    assert found["worst"]["error"] < 1e-5


def test_a_gradient_that_is_wrong_is_found_and_located(monkeypatch):
    """Of one weight of layer 2, by a thousandth."""
    from chainrule.insight import check

    right = check._gradient

    def wrong(layout, *rest):
        gradient = right(layout, *rest)
        gradient[layout.index(("A", 2, 3, 1))] += 1e-3 * np.abs(gradient).max()
        return gradient

    monkeypatch.setattr(check, "_gradient", wrong)
    result = run("check", "classes.chainrule", "classes.csv", "--all")
    assert result.exit_code == 1
    assert "the gradient is WRONG" in result.stdout
    assert "worst: ∂E/∂A_2[3, 1] is" in result.stdout


# ---------------------------------------------------------------- plot and report


@pytest.mark.slow
@pytest.mark.parametrize("name", console_look.PICTURES)
def test_every_picture_is_drawn_into_a_file(name):
    model = "numbers" if name == "residuals" else "classes"
    table = [] if name == "history" else [f"{model}.csv"]
    features = {"dependence": ["--feature", "c"], "decision": ["--feature", "a", "--feature", "b"]}.get(name, [])
    result = run("plot", f"{model}.chainrule", *table, "--what", name, *features)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.startswith(f"wrote {model}-{name}.png: ")
    with open(f"{model}-{name}.png", "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    assert sorted(os.listdir()) == sorted([*FILES, f"{model}-{name}.png"])


def test_the_help_names_every_picture():
    said = run("plot", "--help").stdout
    for name in console_look.PICTURES:
        assert re.search(rf"\b{name}\b", said)


def test_a_picture_is_of_the_kind_that_its_name_says():
    assert run("plot", "classes.chainrule", "--out", "x.svg").exit_code == 0
    with open("x.svg", encoding="utf-8") as file:
        assert "<svg" in file.read()


def test_the_report_of_a_table_with_and_without_targets():
    result = run("report", "classes.chainrule", "classes.csv", "--row", "2", "--out", "page.html")
    assert result.exit_code == 0, result.stderr
    with open("page.html", encoding="utf-8") as file:
        text = file.read()
    assert "<h1>y: classes.chainrule on classes.csv</h1>" in text
    assert "Row 2, explained" in text
    pd.read_csv("classes.csv").drop(columns="y").to_csv("new.csv", index=False)
    result = run("report", "classes.chainrule", "new.csv")
    assert result.exit_code == 0, result.stderr
    assert "has no column 'y', so the report has no scores" in result.stderr
    with open("classes.html", encoding="utf-8") as file:
        assert "Scores" not in re.findall(r"<h2>(.*?)</h2>", file.read())


# ---------------------------------------------------------------- bad input

# what is typed, what the sentence must contain
BAD = [
    ("explain C T --weight A2[0]", ["--weight takes A2[0,1]", "got 'A2[0]'"]),
    ("explain C T --weight W2[0,1]", ["--weight takes A2[0,1]", "got 'W2[0,1]'"]),
    ("explain C T --weight A9[0,1]", ["--weight A9[0,1]", "There are A_1 (5 × 5)"]),
    ("explain C T --weight A2[0,9]", ["--weight A2[0,9]", "5 × 4"]),
    ("explain C T --row 40 --weight A2[0,1]", "--row 40: classes.csv has 40 rows, numbered from 0 to 39"),
    ("explain C T --row -1", "--row -1: classes.csv has 40 rows"),
    ("explain C T --json --latex", "--json and --latex"),
    ("explain C no.csv", "there is no file 'no.csv'"),
    ("explain no.chainrule T", "there is no file no.chainrule"),
    ("explain T T", "classes.csv is not a chainrule model file"),
    ("explain NET T", "holds a bare network"),
    ("explain C X", "x.csv has no column 'y'"),
    ("explain C H", "x.csv: the target 'y' is missing in 1 of 1 rows"),
    ("explain C W", "w.csv lacks the column 'b'"),
    ("check C X", "has no column 'y'"),
    ("check C T --parameters 0", "--parameters and --rows take whole numbers ≥ 1"),
    ("check C T --rows 0", "--parameters and --rows"),
    ("check C T --seed -1", "--seed one ≥ 0"),
    ("plot C --what histroy", "there is no picture 'histroy'. Did you mean 'history'?"),
    ("plot C --what confusion", "--what confusion needs rows: give a TABLE with the target column after the model"),
    ("plot C --what attributions", "--what attributions needs rows: give a TABLE after the model"),
    ("plot C T --what dependence", "--what dependence takes one --feature COLUMN; got 0"),
    ("plot C T --what dependence --feature aa", "there is no feature 'aa'. Did you mean 'a'?"),
    ("plot C T --what decision", "a decision surface needs two features and X has 3"),
    ("plot C T --what decision --feature a --feature c", "the feature 'c' is not of numbers"),
    ("plot C T --what residuals", "needs a model that predicts numbers"),
    ("plot C T --what network --row 99", "--row 99: classes.csv has 40 rows"),
    ("plot C --out x.doc", ["--out x.doc", ".png, .svg, .pdf"]),
    ("plot C --out no/x.png", "the folder no does not exist"),
    ("report C T --row 41", "--row 41: classes.csv has 40 rows"),
    ("report C T --out T", "would overwrite the table"),
    ("report C T --out C", "would overwrite the model"),
    ("report C T --out no/x.html", "the folder no does not exist"),
    ("report C T --nonsense", "No such option"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "words"), BAD, ids=[row[0] for row in BAD])
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(here, command, words):
    names = {
        "C": "classes.chainrule",
        "T": "classes.csv",
        "X": "x.csv",
        "H": "x.csv",
        "W": "w.csv",
        "NET": "net.chainrule",
    }
    if "X" in command.split():
        pd.read_csv("classes.csv").drop(columns="y").to_csv("x.csv", index=False)
    if "H" in command.split():
        (here / "x.csv").write_text("a,b,c,y\n1,2,u,\n")
    if "W" in command.split():
        pd.read_csv("classes.csv").drop(columns="b").to_csv("w.csv", index=False)
    if "NET" in command.split():
        save(load("classes.chainrule").network_, "net.chainrule")
    before = sorted(os.listdir())
    one_sentence(run(*(names.get(word, word) for word in command.split())), words, before)
