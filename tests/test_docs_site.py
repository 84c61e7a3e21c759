"""The documentation site: every public name has a page, and the site builds without a warning and without a network."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import chainrule

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("docs_site_reference", ROOT / "docs" / "site" / "reference.py")
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)


def test_every_public_name_has_a_page_and_a_line(tmp_path):
    written = {path.name for path in reference.write_pages(tmp_path)}
    assert written == {f"{name}.md" for name in chainrule.__all__ if name != "__version__"} | {"index.md"}
    index = (tmp_path / "index.md").read_text(encoding="utf-8")
    for name in reference.names():
        assert re.search(rf"^- \[{name}\]\({name}\.md\): \S.+$", index, re.MULTILINE), f"{name} has no first sentence"


def test_a_page_of_a_name_that_went_away_goes_too(tmp_path):
    (tmp_path / "gone.md").write_text("old")
    reference.write_pages(tmp_path)
    assert not (tmp_path / "gone.md").exists()


@pytest.mark.parametrize(
    ("docstring", "markup"),
    [
        ("|x| and a_1 and loss_ and *this*.", ["\\|x\\| and a_1 and loss\\_ and \\*this\\*.", ""]),
        ("See `f(*x)`.", ["See ``f(*x)``.", ""]),
        ("A.\n>>> 1 + 1\n2", ["A.", "", ">>> 1 + 1", "2", ""]),
        (
            "Parameters\n----------\nx : float\n    The place.\nh, k : steps\n    that are small",
            [".. rubric:: Parameters", "", "``x``", "    float", "", "    The place.", "", "``h, k``", "    steps", "", "    that are small", ""],
        ),
        (f"x : {'long ' * 20}\n    and on", ["``x``", f"    {'long ' * 20}", "    and on", ""]),
    ],
)  # fmt: skip
def test_a_docstring_as_markup(docstring, markup):
    assert reference.as_rst(docstring.split("\n")) == markup


def test_a_class_shows_its_own_members_only():
    model = chainrule.MLPClassifier
    assert reference.is_own(model.fit)
    assert reference.is_own(chainrule.Path.is_monotone)
    assert not reference.is_own(model.set_fit_request)
    assert not reference.is_own(model.get_params)


@pytest.mark.slow
def test_the_site_builds(tmp_path):
    """What CI builds is what a reader gets: warnings are errors, and nothing is fetched from elsewhere."""
    for package in ["sphinx", "myst_parser", "furo", "sphinx_gallery", "matplotlib"]:
        pytest.importorskip(package)
    html = tmp_path / "html"
    # -E and a tree of its own: nothing that an earlier build left hides a warning
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-E", "-b", "html"]
    environment = {**os.environ, "MPLBACKEND": "Agg", "no_proxy": "", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "trees"), str(ROOT / "docs"), str(html)],
        capture_output=True, text=True, env=environment, cwd=ROOT, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    for name in reference.names():
        page = (html / "reference" / "names" / f"{name}.html").read_text(encoding="utf-8")
        assert f'id="chainrule.{name}"' in page
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r'<(?:script|img|link)[^>]*(?:src|href)="(?:https?:)?//', text), (
            f"{page.name} loads from elsewhere"
        )
        for picture in re.findall(r'<img[^>]* src="([^"#?]+)', text):
            assert (page.parent / picture).exists(), f"{page.name} shows {picture}, which is not there"
    for lesson in sorted((ROOT / "docs" / "course").glob("0*.md")):
        page = (html / "course" / f"{lesson.stem}.html").read_text(encoding="utf-8")
        assert page.count("<img") >= lesson.read_text(encoding="utf-8").count("](drawn/")
