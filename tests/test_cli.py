"""The command line: every bad input is one sentence with status 2 and leaves nothing behind; good input is understood."""

import gzip
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from chainrule import console
from chainrule.cli import app
from chainrule.data import DATASETS

GOOD = "a,b,y\n" + "".join(f"{i % 7 * 1.5},{'uvw'[i % 3]},{i % 2}\n" for i in range(40))
NUMBERS = "a,b,y\n" + "".join(f"{i % 7 * 1.5},{'uvw'[i % 3]},{i * 0.37}\n" for i in range(40))
WEIGHTED = "a,w,y\n" + "".join(f"{i * 1.1},{i % 3},{i % 2}\n" for i in range(40))
TARGET = ("--target", "y", "--epochs", "2", "--hidden", "4")


def run(*args, stdin=None):
    return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """(a model of classes, a model of numbers), trained once."""
    folder = tmp_path_factory.mktemp("models")
    for name, text in (("classes", GOOD), ("numbers", NUMBERS)):
        (folder / f"{name}.csv").write_text(text)
        result = run("train", folder / f"{name}.csv", *TARGET, "--out", folder / f"{name}.chainrule")
        assert result.exit_code == 0, result.stderr
    return folder


def one_sentence(result, words, folder, before):
    lines = result.stderr.splitlines()
    assert (result.exit_code, len(lines)) == (2, 1), result.stderr
    assert lines[0].startswith("chainrule: ")
    assert result.stdout == ""
    for word in [words] if isinstance(words, str) else words:
        assert word in lines[0]
    for foreign in ("np.", "Traceback", "<class", "Series", "object at"):
        assert foreign not in lines[0]
    assert sorted(os.listdir(folder)) == before


# ---------------------------------------------------------------- tables that cannot be trained on

_rows = GOOD.split("\n", 1)[1]
# name, what the file holds, what the sentence must contain
BAD_TABLES = [
    ("empty", "", "bad.csv is empty"),
    ("blank lines only", "\n\n  \n", "bad.csv is empty"),
    ("header only", "a,b,y\n", "bad.csv has column names but no rows"),
    ("no such target", GOOD.replace("y", "Yy"), ["bad.csv has no column 'y'", "Did you mean 'Yy'?", "a, b, Yy"]),
    ("no such target in a wide table", ",".join(f"c{j}" for j in range(50)) + "\n" + "1," * 49 + "1\n", "… (50 in all)"),
    ("target missing", GOOD.replace("3.0,w,0", "3.0,w,", 1), ["'y' is missing in 1 of 40", "line 4", "--drop-missing-target"]),
    ("target missing everywhere", "a,y\n" + "1,\n" * 20, "the target 'y' has no value at all"),
    ("line after quoted newlines and blanks", 'a,b,y\n\n1,"u\nv",1\n\n2,x,\n' + _rows, ["first: line 6", "1 of 42"]),
    ("line after spaces only", "a,b,y\n   \n1,u,1\n2,u,\n" + _rows, "first: line 4"),
    ("line with CRLF", GOOD.replace("3.0,w,0", "inf,w,0", 1).replace("\n", "\r\n"), "line 4"),
    ("line with CR only", GOOD.replace("3.0,w,0", "inf,w,0", 1).replace("\n", "\r"), "line 4"),
    ("one class", "a,y\n" + "".join(f"{i},x\n" for i in range(30)), "the target 'y' has one class only, 'x'"),
    ("constant target", "a,y\n" + "".join(f"{i},2.5\n" for i in range(30)), "the same value, 2.5, in every row"),
    ("too many classes", "a,y\n" + "".join(f"{i},k{i}\n" for i in range(30)), "30 different values in 30 rows"),
    ("repeated names", "a,a,y\n1,2,3\n", "bad.csv has more than one column called 'a'; rename"),
    ("mixed numbers", "a,b,y\n" + "".join(f"{'oops' if i == 17 else i * 1.1},u,{i % 2}\n" for i in range(40)), ["column 'a'", "1 of its 40 values", "line 19: 'oops'", "--kind a=category"]),
    ("mixed dates", "d,y\n" + "".join(f"{'2024-13-01' if i == 17 else f'2024-01-{i % 28 + 1:02d}'},{i % 2}\n" for i in range(40)), ["column 'd' holds dates", "line 19: '2024-13-01'", "--kind d=category"]),
    ("inf", GOOD.replace("1.5,v", "inf,v", 1), ["column 'a'", "line 3", "infinite", "leave it empty"]),
    ("-inf in the target", NUMBERS.replace("0.37\n", "-inf\n", 1), ["'y', line 3", "infinite"]),
    ("1 row", "a,b,y\n1,2,3\n", "bad.csv has 1 row to use; at least 10"),
    ("3 rows", "a,b,y\n1,2,x\n2,3,y\n3,4,x\n", "bad.csv has 3 rows to use; at least 10"),
    ("nothing but the target", "y\n" + "0\n1\n" * 20, "no column left to learn from"),
    ("identifiers only", "id,p,y\n" + "".join(f"{i + 1},P{i:05d},{i % 2}\n" for i in range(90)), ["id (identifier: it counts the rows)", "p (identifier", "--kind COLUMN=KIND"]),
    ("too many fields", GOOD.replace("1.5,v", "1.5,v,7", 1), ["line 3 has 4 fields", "the header (line 1) has 3", "quotes"]),
    ("too few fields", GOOD.replace("1.5,v,1", "1.5,v", 1), ["line 3 has 2 fields", "still needs its comma"]),
    ("a title first", "Report of 2024\n\n" + GOOD, ["line 3 has 3 fields", "delete what stands before line 3"]),
    ("a quote never closed", GOOD.replace("1.5,v", '1.5,"v', 1), ["the row from line 3", "is a quote never closed?"]),
    ("a long quote never closed", GOOD.replace("1.5,v", '1.5,"v', 1) + _rows * 900, ["line 3", "is a quote never closed?"]),
    ("separated by colons", GOOD.replace(",", ":"), ["single column, 'a:b:y'", "comma, semicolon, tab or pipe"]),
    ("separated by spaces", GOOD.replace(",", " "), ["single column, 'a b y'", "comma, semicolon, tab or pipe"]),
    ("html", "<html><body>\n<p>a</p></body></html>\n", ["no column 'y'", "single column"]),
    ("zero bytes", GOOD.encode()[:60] + b"\0" + GOOD.encode()[60:], "line 8 holds a zero byte"),
    ("UTF-16 without a mark", GOOD.encode("utf-16-le"), ["UTF-16", "save it as UTF-8"]),
    ("UTF-8 mark, other bytes", b"\xef\xbb\xbf" + GOOD.encode() + b"\xff,u,1\n", ["line 42", "save it as UTF-8"]),
    ("a picture", b"\x89PNG\r\n\x1a\n\x00", "is a picture, not CSV"),
    ("Excel", b"PK\x03\x04aaaa", "is a ZIP or Excel file"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), [row[1:] for row in BAD_TABLES], ids=[row[0] for row in BAD_TABLES])
def test_a_table_that_cannot_be_trained_on(here, text, words):
    (here / "bad.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    one_sentence(run("train", "bad.csv", *TARGET), words, here, ["bad.csv"])


# name, file name, bytes, words
BAD_FILES = [
    ("not Parquet", "x.parquet", b"PAR1garbage", "'x.parquet' is not a whole Parquet file"),
    ("empty Parquet", "x.parquet", b"", "x.parquet is empty"),
    ("cut gzip", "x.csv.gz", gzip.compress(GOOD.encode())[:60], "not a whole gzip file"),
    ("no gzip", "x.csv.gz", GOOD.encode(), "not a whole gzip file"),
    ("mistyped name", "xx.csv", GOOD.encode(), "there is no file 'x.csv'. Did you mean 'xx.csv'?"),
]


@pytest.mark.parametrize(("file", "data", "words"), [r[1:] for r in BAD_FILES], ids=[r[0] for r in BAD_FILES])
def test_a_file_that_cannot_be_read(here, file, data, words):
    (here / file).write_bytes(data)
    one_sentence(run("train", "x.csv" if file == "xx.csv" else file, *TARGET), words, here, [file])


# the options after `train good.csv`, what the sentence must contain
BAD_OPTIONS = [
    ("", ["--target COLUMN", "Its columns: a, b, y"]),
    ("--target Y --exclude q", "no column 'Y'. Did you mean 'y'?"),
    ("--target y --hidden abc", ["--hidden", "100,50", "'abc'"]),
    ("--target y --hidden 0", "--hidden"),
    ("--target y --hidden 10,,5", "--hidden"),
    ("--target y --threads 0", "--threads takes a whole number ≥ 1; got 0"),
    ("--target y --epochs 0", "--epochs takes a whole number ≥ 1; got 0"),
    ("--target y --epochs x", "--epochs"),
    ("--target y --batch-size 0", "--batch-size takes a whole number ≥ 1; got 0"),
    ("--target y --patience 0", "--patience takes a whole number ≥ 1; got 0"),
    ("--target y --step-size -1", "--step-size takes a number > 0; got -1"),
    ("--target y --step-size nan", "--step-size takes a number > 0; got nan"),
    ("--target y --weight-decay -1", "--weight-decay takes a number ≥ 0; got -1"),
    ("--target y --max-time 0", "--max-time takes a number > 0; got 0"),
    ("--target y --seed -1", "--seed takes a whole number ≥ 0; got -1"),
    ("--target y --test 0", "--test takes the share of rows to hold out, between 0 and 1"),
    ("--target y --test 1.5", "got 1.5"),
    ("--target y --test 0.99", "--test 0.99 leaves 2 rows of 40"),
    ("--target y --activation relo", "no activation 'relo'. Did you mean 'relu'?"),
    ("--target y --activation softmax", "only be the output's"),
    ("--target y --task regresion", "Did you mean 'regression'?"),
    ("--target y --exclude y", "--exclude y: that is the column to predict"),
    ("--target y --exclude q", "no column 'q'"),
    ("--target y --exclude a --exclude b", "no column left to learn from"),
    ("--target y --weights y", "--weights y: that is the column to predict"),
    ("--target y --weights b", ["weight in column 'b', line 2, is 'u'", "≥ 0"]),
    ("--target y --weights q", "no column 'q'"),
    ("--target y --kind a", "COLUMN=KIND"),
    ("--target y --kind a=numbr", "Did you mean 'number'?"),
    ("--target y --kind q=number", "no column 'q'"),
    ("--target y --kind y=number", "use --task"),
    ("--target y --kind a=date --exclude a", "not learned from"),
    ("--target y --kind b=number", "column 'b', line 2: 'u' is not a number"),
    ("--target y --kind a=date", "column 'a', line 2: 0.0 is a number where a date is expected"),
    ("--target y --kind a=text --kind b=text", "no column that can be learned from: a (text: you said so)"),
    ("--target y --out no/x", "there is no folder no"),
    ("--target y --out .", "it is a folder"),
    ("--target y --out -", "cannot go to standard output"),
    ("--target y --out good.csv", "good.csv is there already and is not a model"),
    ("--target y --bogus", "--bogus"),
]


@pytest.mark.parametrize(("options", "words"), BAD_OPTIONS, ids=[row[0] or "none" for row in BAD_OPTIONS])
def test_an_option_that_is_wrong(here, options, words):
    (here / "good.csv").write_text(GOOD)
    one_sentence(run("train", "good.csv", *options.split()), words, here, ["good.csv"])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("5.5,2,", "5.5,-1,", "the weight in column 'w', line 7, is -1; weights are finite numbers ≥ 0"),
        ("5.5,2,", "5.5,,", "line 7, is missing"),
        ("5.5,2,", "5.5,inf,", "line 7, is inf"),
    ],
)
def test_a_weight_that_is_wrong(here, old, new, words):
    (here / "w.csv").write_text(WEIGHTED.replace(old, new))
    one_sentence(run("train", "w.csv", *TARGET, "--weights", "w"), words, here, ["w.csv"])


def test_weights_that_are_all_0(here):
    (here / "w.csv").write_text("a,w,y\n" + "".join(f"{i},0,{i % 2}\n" for i in range(40)))
    one_sentence(run("train", "w.csv", *TARGET, "--weights", "w"), "column 'w' are all 0", here, ["w.csv"])


def test_a_folder_that_cannot_be_written_is_noticed_before_training(here, monkeypatch):
    def refuse(**kwargs):
        raise PermissionError(13, "Permission denied")

    (here / "good.csv").write_text(GOOD)
    monkeypatch.setattr(console.tempfile, "TemporaryFile", refuse)
    one_sentence(
        run("train", "good.csv", *TARGET), "cannot save the model in the folder .: Permission", here, ["good.csv"]
    )


# ---------------------------------------------------------------- predict and evaluate

BAD_PREDICTION_TABLES = [
    ("a column is lacking", "a\n1\n", ["p.csv lacks the column 'b'", "Its columns: a"]),
    ("a name is mistyped", "A,b\n1,u\n", "lacks the column 'a', which the model was trained on. Did you mean 'A'?"),
    ("text for a number", "a,b\n1,u\n\nx,u\n", "p.csv: column 'a', line 4: 'x' is not a number"),
    ("date for a number", "a,b\n2024-01-01,u\n", "line 2: '2024-01-01' is not a number"),
    ("inf", 'a,b\n1,"u\n"\n-inf,u\n', "p.csv: column 'a', line 4: -inf is infinite"),
    ("no rows", "a,b\n", "no rows"),
]


@pytest.mark.parametrize(
    ("text", "words"), [row[1:] for row in BAD_PREDICTION_TABLES], ids=[row[0] for row in BAD_PREDICTION_TABLES]
)
def test_a_table_that_cannot_be_predicted(here, models, text, words):
    (here / "p.csv").write_text(text)
    one_sentence(run("predict", models / "classes.chainrule", "p.csv", "--out", "o.csv"), words, here, ["p.csv"])


def cut(data):
    return data[: len(data) // 2]


def altered(data):
    return data[:-200] + b"xx" + data[-198:]


def later(data):
    return data.replace(b'"version":"1"', b'"version":"9"')


BAD_MODELS = [
    ("empty", lambda data: b"", "is empty"),
    ("cut", cut, ["m.chainrule was "]),
    ("cut in the header", lambda data: data[:100], "cut short"),
    ("altered", altered, "altered or damaged"),
    ("from the future", later, ["format version 9", "upgrade"]),
    ("a CSV", lambda data: GOOD.encode(), "is not a chainrule model file"),
]


@pytest.mark.parametrize(("change", "words"), [row[1:] for row in BAD_MODELS], ids=[row[0] for row in BAD_MODELS])
@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_a_model_that_cannot_be_read(here, models, verb, change, words):
    data = (models / "classes.chainrule").read_bytes()
    (here / "m.chainrule").write_bytes(change(data))
    assert change(data) != data
    one_sentence(run(verb, "m.chainrule", models / "classes.csv"), words, here, ["m.chainrule"])


# arguments (M: the model of classes, N: of numbers, T: a table), words
BAD_COMMANDS = [
    ("predict no.chainrule T", "there is no file no.chainrule"),
    ("predict . T", "folder"),
    ("predict N T --proba", "--proba needs a model of classes"),
    ("predict M T --out T", "would overwrite the table to predict"),
    ("predict M T --out M", "would overwrite the model"),
    ("predict M T --out no/o.csv", "no/o.csv"),
    ("predict M T --out .", "folder"),
    ("evaluate M T --weights q", "no column 'q'"),
    ("evaluate N penguins", "no column 'y'"),
    ("train pengins", ["there is no file 'pengins'", "penguins, auto-mpg"]),
    ("trian penguins", "Did you mean 'train'?"),
    ("train", "Missing argument"),
    ("datasets --export xro", "Did you mean 'xor'?"),
]


@pytest.mark.parametrize(("command", "words"), BAD_COMMANDS, ids=[row[0] for row in BAD_COMMANDS])
def test_a_command_that_is_wrong(here, models, command, words):
    (here / "t.csv").write_text(GOOD)
    names = {"M": models / "classes.chainrule", "N": models / "numbers.chainrule", "T": "t.csv"}
    one_sentence(run(*(names.get(word, word) for word in command.split())), words, here, ["t.csv"])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1,u,", ["t.csv: the target 'y' is missing in 1 of 1 rows (first: line 2)"]),
        ("1,u,7", "the target 'y', line 2: 7 is a class that training had not; it had 0, 1"),
    ],
)
def test_a_target_that_cannot_be_scored(here, models, row, words):
    (here / "t.csv").write_text(f"a,b,y\n{row}\n")
    one_sentence(run("evaluate", models / "classes.chainrule", "t.csv"), words, here, ["t.csv"])


# ---------------------------------------------------------------- what goes well


@pytest.mark.parametrize("name", DATASETS)
def test_every_shipped_table_trains_by_its_name(here, name):
    result = run("train", name, "--epochs", "2", "--hidden", "4", "--json")
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["task"] == DATASETS[name].task
    assert os.listdir(here) == [f"{name}.chainrule"]
    assert run("evaluate", f"{name}.chainrule", name).exit_code == 0


def test_what_is_read_and_done_is_said(here):
    result = run("train", "penguins", "--epochs", "60")
    said = result.stderr
    assert result.stdout == ""
    for words in (
        "penguins (ships with chainrule): 344 rows, 8 columns",
        "'NA' was read as a missing value",
        "predicts: species, one of 3 classes",
        "rows of each: Adelie 152, Chinstrap 68, Gentoo 124",
        "learns from: 7 columns",
        "body_mass_g        number    94 different numbers, 2 missing → 2 numbers",
        "sex                category  2 different values, 11 missing",
        "234 to learn from, 41 to choose the best moment to stop, 69 held out",
        "network: 13 → 128 → 64 → 3 units",
        "← lowest: kept",
        "score on the 69 rows held out",
        "plain guess (always Adelie)",
        "saved: penguins.chainrule",
        "next:  chainrule predict penguins.chainrule NEW_TABLE.csv",
    ):
        assert words in said


def test_training_twice_writes_the_same_bytes(here):
    (here / "good.csv").write_text(GOOD)
    for name in ("one", "two"):
        assert run("train", "good.csv", *TARGET, "--out", name).exit_code == 0
    one, two = ((console.load(name)) for name in ("one", "two"))
    assert np.array_equal(one.network_.w, two.network_.w)


def test_columns_that_are_left_out_are_said_with_the_reason(here):
    words = "".join(
        f"{i + 1},{i * 1.3},same,,this is the long story of number {i} told by {i * 7},P{i:05d},{i % 2}\n"
        for i in range(80)
    )
    (here / "t.csv").write_text("row,x,c,e,txt,key,y\n" + words)
    said = run("train", "t.csv", *TARGET).stderr
    for line in ("row  identifier it counts the rows", "c    constant  every row has 'same'", "e    empty     every value",
                 "txt  text      80 different texts in 80 rows", "key  identifier 80 different values in 80 rows"):  # fmt: skip
        assert line in said
    assert "row" not in [c.name for c in console.load("t.chainrule").features_.columns]
    assert run("train", "t.csv", *TARGET, "--kind", "key=category").exit_code == 0


def test_standard_input_and_output(here, models):
    assert run("train", "-", *TARGET, stdin=GOOD).exit_code == 0
    assert os.listdir(here) == ["model.chainrule"]
    result = run("predict", "model.chainrule", "-", stdin="b,a\nu,1\nv,2\n")
    assert result.stdout.splitlines()[0] == "y"
    assert len(result.stdout.splitlines()) == 3
    assert result.stderr == ""
    result = run("predict", "model.chainrule", "-", "--proba", stdin="b,a\nu,1\n")
    names, values = result.stdout.splitlines()
    assert names == "y=0,y=1"
    assert sum(map(float, values.split(","))) == pytest.approx(1)


def test_predictions_go_to_a_file(here, models):
    result = run("predict", models / "numbers.chainrule", models / "numbers.csv", "--out", "o.csv")
    assert result.stderr == "wrote 40 predictions to o.csv\n"
    assert pd.read_csv("o.csv")["y"].between(0, 14.43).all()


def test_what_prediction_meets_is_said(here, models):
    (here / "p.csv").write_text("a,b,extra\n1,zz,1\n,u,1\n2,,1\n")
    said = run("predict", models / "classes.chainrule", "p.csv").stderr
    assert "b: 1 of 3 rows hold a value never seen in training (such as 'zz')" in said
    assert "a: 1 of 3 values are missing" in said
    assert "not used: extra" in said


def test_parquet_and_gzip_give_what_csv_gives(here):
    frame = pd.read_csv(DATASETS["titanic"].path)
    frame.to_parquet("t.parquet")
    frame.to_csv("t.csv.gz", index=False)
    scores = []
    for table in ("titanic", "t.parquet", "t.csv.gz"):
        result = run("train", table, "--target", "survived", "--epochs", "2", "--json", "--out", "m")
        scores.append(json.loads(result.stdout) | {"model": ""})
    assert scores[0] == scores[1] == scores[2]


def test_without_pyarrow_parquet_says_which_extra_it_needs(here, monkeypatch):
    pd.DataFrame({"a": [1]}).to_parquet("t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    one_sentence(run("train", "t.parquet", *TARGET), 'pip install "chainrule[parquet]"', here, ["t.parquet"])


def test_weights_are_not_learned_from_and_rows_of_weight_0_are_left_out(here):
    (here / "w.csv").write_text(WEIGHTED)
    result = run("train", "w.csv", *TARGET, "--weights", "w", "--json")
    assert "left out: 14 rows with the weight 0" in result.stderr
    assert json.loads(result.stdout)["rows"] == 26
    assert [k.column for k in console.load("w.chainrule").features_.kinds] == ["a"]
    assert "not used" not in run("evaluate", "w.chainrule", "w.csv", "--weights", "w").stderr


def test_rows_without_a_target_can_be_left_out(here):
    (here / "t.csv").write_text(GOOD.replace("3.0,w,0", "3.0,w,", 1))
    result = run("train", "t.csv", *TARGET, "--drop-missing-target")
    assert result.exit_code == 0
    assert "left out: 1 row without a y" in result.stderr


def test_the_task_can_be_overruled(here):
    (here / "t.csv").write_text(GOOD)
    result = run("train", "t.csv", *TARGET, "--task", "regression", "--json")
    assert json.loads(result.stdout)["task"] == "regression"
    assert "predicts: y, a number from 0 to 1 (you said so)" in result.stderr


def test_max_time_stops(here):
    (here / "t.csv").write_text(GOOD)
    result = run("train", "t.csv", "--target", "y", "--max-time", "0.001")
    assert "the time limit of 0.001 s was reached" in result.stderr


def test_divergence_is_status_1_and_saves_nothing(here):
    (here / "t.csv").write_text(NUMBERS)
    result = run("train", "t.csv", *TARGET, "--step-size", "1e12")
    assert result.exit_code == 1
    assert "try a tenth of it" in result.stderr.splitlines()[-1]
    assert os.listdir(here) == ["t.csv"]


def test_datasets_are_listed_and_exported_once(here):
    result = run("datasets")
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(DATASETS)
    assert run("datasets", "--export", "xor").exit_code == 0
    assert (here / "xor.csv").read_bytes() == DATASETS["xor"].path.read_bytes()
    assert "not overwritten" in run("datasets", "--export", "xor").stderr


def test_debug_shows_the_traceback(here):
    with pytest.raises(ValueError, match="no file"):
        CliRunner().invoke(app, ["--debug", "train", "no.csv"], catch_exceptions=False)


def test_no_command_prints_the_help():
    result = run()
    assert result.exit_code == 2
    assert "train" in result.stderr
    assert not result.stderr.startswith("chainrule:")


def test_an_interruption_before_the_first_epoch_saves_nothing(here, monkeypatch):
    def interrupt(self, given):
        raise KeyboardInterrupt

    (here / "t.csv").write_text(GOOD)
    monkeypatch.setattr(console.TableClassifier, "train", interrupt)
    result = run("train", "t.csv", *TARGET)
    assert result.exit_code == 130
    assert "interrupted" in result.stderr.splitlines()[-1]
    assert os.listdir(here) == ["t.csv"]


# ---------------------------------------------------------------- as a program

PROGRAM = [sys.executable, "-c", "from chainrule.cli import main; main()"]


def test_help_imports_nothing_heavy(here):
    code = (
        "import sys\nfrom chainrule.cli import main\nsys.argv = ['chainrule', '--help']\ntry:\n    main()\nexcept SystemExit:\n"
        "    pass\nprint([m for m in ('numba', 'sklearn', 'pandas', 'scipy', 'numpy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_keeps_the_best_so_far(here):
    rows = "".join(f"{i * 0.37 % 11:.3f},{i % 13},{i * 0.11 % 5:.3f}\n" for i in range(4000))
    (here / "t.csv").write_text("a,b,y\n" + rows)
    code = (
        "import chainrule.training.loop as loop\nfrom chainrule.cli import main\nold = loop.History.add\n"
        "def add(self, event):\n    old(self, event)\n    print(event.epoch, flush=True)\nloop.History.add = add\nmain()"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code, "train", "t.csv", "--target", "y", "--epochs", "100000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while program.stdout.readline().strip() != "3":
        pass
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=60)
    assert program.returncode == 0
    assert "stopped because you interrupted it" in said
    assert "saved: t.chainrule" in said
    assert console.load("t.chainrule").n_iter_ >= 3


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_reader_that_has_enough_is_no_error(here, models):
    (here / "p.csv").write_text("a,b\n" + "1,u\n" * 60_000)
    program = subprocess.Popen(
        [*PROGRAM, "predict", str(models / "numbers.chainrule"), "p.csv"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdout.readline().strip() == b"y"
    program.stdout.close()
    assert program.stderr.read() == b""
    program.stderr.close()
    assert program.wait(60) in (0, 1)


def test_the_cache_command_says_where_and_clears(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    (tmp_path / "chainrule_x.o").write_text("1")
    shown = CliRunner().invoke(app, ["cache", "--clear"])
    assert shown.exit_code == 0
    assert "removed 1 files" in shown.stderr
    assert str(tmp_path) in shown.stderr
    assert not (tmp_path / "chainrule_x.o").exists()
