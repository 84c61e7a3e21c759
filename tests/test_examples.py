"""The scripts in examples/scikit_learn print the same with either import; the quickstart prints what it says."""

import contextlib
import io
import re
import shlex
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

from chainrule.cli import app

FOLDER = Path(__file__).parents[1] / "examples" / "scikit_learn"
OURS, THEIRS = "from chainrule import", "from sklearn.neural_network import"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))
# The first starts processes, the others fit many models.
SLOW = {
    "pipeline_search", "compare_classifiers", "ensembles", "learning_curves", "regularisation_grid", "training_curves",
}  # fmt: skip
WITH_PICTURE = [name for name in SCRIPTS if "savefig" in (FOLDER / f"{name}.py").read_text(encoding="utf-8")]

ROUNDING = (
    "rounding grows over hundreds of steps: scikit-learn, its gradients nudged in the last bit, prints another line"
)
OBJECTIVE = "with several outputs scikit-learn's lbfgs is given a gradient that is not that of its loss"
# (script, how the line begins) -> why it may differ
DIFFERS = {
    ("compare_classifiers", "  network, tanh, lbfgs"): ROUNDING,
    ("several_targets", "lbfgs: linnerud"): OBJECTIVE,
}


def run(name, theirs=False, arguments=()):
    """(lines printed, warnings) of a script as a user runs it."""
    path = FOLDER / f"{name}.py"
    text = path.read_text(encoding="utf-8")
    assert sum(line.startswith(OURS) for line in text.splitlines()) == 1, "one line is to be changed"
    code = compile(text.replace(OURS, THEIRS) if theirs else text, str(path), "exec")
    printed, argv = io.StringIO(), sys.argv
    with warnings.catch_warnings(record=True) as said, contextlib.redirect_stdout(printed):
        warnings.simplefilter("always")
        sys.argv = [str(path), *arguments]
        try:
            exec(code, {"__name__": "__main__", "__file__": str(path)})
        finally:
            sys.argv = argv
    return printed.getvalue().splitlines(), [(w.category, str(w.message)) for w in said]


@contextlib.contextmanager
def nudged(size=4e-16):
    """SciPy's minimize gets gradients that are off by about so much, relatively: as on another machine."""
    import scipy.optimize

    original, rng = scipy.optimize.minimize, np.random.default_rng(0)

    def minimize(function, *arguments, **named):
        def near(w, *args):
            value, gradient = function(w, *args)
            return value, gradient * (1.0 + size * rng.standard_normal(gradient.shape))

        return original(near, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scipy.optimize, "minimize", minimize)
        yield


def _reason(name, line):
    return next((why for (script, start), why in DIFFERS.items() if script == name and line.startswith(start)), None)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in SCRIPTS])
def test_the_output_is_scikit_learns(name):
    ours, our_words = run(name)
    with threadpool_limits(limits=1, user_api="blas"):  # small products: more threads only make it slow
        theirs, their_words = run(name, theirs=True)
    assert len(ours) > 3
    assert len(ours) == len(theirs)
    excused = {k for k, line in enumerate(theirs) if _reason(name, line)}
    assert {k: line for k, line in enumerate(ours) if k not in excused} == {
        k: line for k, line in enumerate(theirs) if k not in excused
    }
    assert our_words == their_words
    for k in excused:
        assert _reason(name, theirs[k]) is ROUNDING or ours[k] != theirs[k], "no excuse is needed any more"


@pytest.mark.slow
def test_every_excuse_belongs_to_a_script_and_rounding_is_shown_to_be_the_reason():
    for (name, start), why in DIFFERS.items():
        if why is not ROUNDING:
            continue
        with threadpool_limits(limits=1, user_api="blas"):
            usual, _ = run(name, theirs=True)
            with nudged():
                other, _ = run(name, theirs=True)
        lines = [(a, b) for a, b in zip(usual, other, strict=True) if a.startswith(start)]
        assert lines
        assert any(a != b for a, b in lines), f"{name}: scikit-learn prints the same when nudged"
    assert {name for name, _ in DIFFERS} <= set(SCRIPTS)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_lbfgs_departs_from_scikit_learn_no_sooner_than_scikit_learn_from_itself(activation):
    from sklearn.datasets import make_moons
    from sklearn.neural_network import MLPClassifier as Theirs

    from chainrule import MLPClassifier

    X, y = make_moons(72, noise=0.3, random_state=0)

    def losses(cls):
        """The loss after each of some numbers of steps, until it is no longer followed."""
        import scipy.optimize

        original, seen = scipy.optimize.minimize, []

        def minimize(function, *arguments, **named):
            def noted(w, *args):
                found = function(w, *args)
                seen.append(found[0])
                return found

            return original(noted, *arguments, **named)

        with pytest.MonkeyPatch.context() as patch, threadpool_limits(limits=1, user_api="blas"):
            patch.setattr(scipy.optimize, "minimize", minimize)
            cls((20, 10), activation, solver="lbfgs", alpha=0.1, max_iter=1000, random_state=1).fit(X, y)
        return np.array(seen)

    def parting(a, b):
        n = min(len(a), len(b))
        apart = np.flatnonzero(np.abs(a[:n] - b[:n]) > 1e-6 * np.abs(a[:n]))
        return apart[0] if len(apart) else n

    usual = losses(Theirs)
    with nudged():
        itself = parting(usual, losses(Theirs))
    assert parting(usual, losses(MLPClassifier)) > 0.6 * itself


@pytest.mark.parametrize("name", WITH_PICTURE)
def test_a_picture_is_drawn_if_asked_for(name, tmp_path, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    monkeypatch.setattr(matplotlib, "rcParams", matplotlib.rcParams.copy())
    matplotlib.use("Agg")
    path = tmp_path / "picture.png"
    run(name, arguments=[str(path)])
    assert path.read_bytes().startswith(b"\x89PNG")


# ---------------------------------------------------------------- the quickstart, and the map of the docs

DOCS = Path(__file__).parents[1] / "docs"
QUICKSTART = DOCS / "guides" / "quickstart.md"


def _blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", QUICKSTART.read_text(encoding="utf-8"), re.DOTALL)


def _shape(text):
    """The lines with # for every number, each line once: digits and epochs are those of one machine."""
    text = re.sub(r"\d[\d,]*(\.\d+)?(e[-+]?\d+)?", "#", text.replace("← lowest: kept", ""))
    return list(dict.fromkeys(" ".join(line.split()) for line in text.splitlines()))


def test_the_quickstart_prints_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (table,) = _blocks("csv")
    Path("new.csv").write_text(table, encoding="utf-8")
    commands = [part for block in _blocks("console") for part in block.split("$ ") if part]
    for part in commands:
        line, _, printed = part.partition("\n")
        words = shlex.split(line)
        assert words.pop(0) == "chainrule"
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        assert _shape(result.output) == _shape(printed)
    assert len(commands) == 4
    names = {}
    for block in _blocks("python"):
        exec(block, names)
    assert "['Adelie' 'Gentoo' 'Chinstrap']" in capsys.readouterr().out
    assert Path("model.chainrule").exists()


def test_every_printed_line_is_explained():
    (printed,) = [block for block in _blocks("console") if "train" in block]
    explained = QUICKSTART.read_text(encoding="utf-8").partition("### What the lines mean")[2]
    for line in ("note:", "predicts:", "rows of each:", "learns from:", "rows:", "network:", "training:", "stopped because",
                 "score on the", "accuracy", "log-loss", "saved:", "next:"):  # fmt: skip
        assert line in printed
        assert f"| `{line}" in explained


def test_the_map_names_every_page():
    """In docs/index.md, or in the index of the page's own folder; what pictures/ and a built site hold is no page."""
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).as_posix()
        if name == "index.md" or {"pictures", "_build"} & set(page.parts):
            continue
        own = page.with_name("index.md")
        texts = [
            (DOCS / "index.md").read_text(encoding="utf-8"),
            own.read_text(encoding="utf-8") if own.exists() else "",
        ]
        assert f"]({name})" in texts[0] or f"]({page.name})" in texts[1], f"docs/index.md has no line for {name}"
