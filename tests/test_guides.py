"""The pages of the documentation run as they are printed, one block after the other."""

import importlib.util
import math
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
GUIDES = DOCS / "guides"
# Guide -> what it needs beside the package itself.
NEEDS = {
    "beyond-scikit-learn": [],
    "descent-pictures": ["matplotlib"],
    "explain": ["matplotlib"],
    "derivatives": [],
    "look-inside": ["matplotlib", "jinja2"],
    "model-files": ["onnx", "onnxruntime"],
    "which-method-when": [],
}
COURSE = sorted((DOCS / "course").glob("*.md"))
LESSONS = [page for page in COURSE if page.stem[0].isdigit()]


def of_the_site(name):
    """A module of docs/site, which is not installed."""
    spec = importlib.util.spec_from_file_location(f"docs_site_{name}", DOCS / "site" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages = of_the_site("pages")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", NEEDS)
def test_the_guide_runs(name, elsewhere):
    for module in NEEDS[name]:
        pytest.importorskip(module)
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", (GUIDES / f"{name}.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 2
    for block in blocks:
        exec(block, names)


@pytest.mark.parametrize("page", COURSE, ids=lambda page: page.stem)
def test_a_page_of_the_course_prints_and_draws_what_it_says(page, elsewhere):
    pytest.importorskip("matplotlib")
    pages.run(page)


@pytest.mark.parametrize("page", LESSONS, ids=lambda page: page.stem)
def test_a_lesson_ends_with_three_exercises_and_their_checked_solutions(page):
    exercises = page.read_text(encoding="utf-8").split("\n## Exercises\n")[1]
    asked, solved = exercises.split("<summary>Solutions</summary>")
    for text in (asked, solved):
        assert re.findall(r"^(\d)\. ", text, re.MULTILINE) == ["1", "2", "3"]
    for solution in re.split(r"^\d\. ", solved, flags=re.MULTILINE)[1:]:
        code = "".join(step.code for step in pages.steps(solution))
        assert "assert " in code, f"a solution of {page.name} is not checked"


@pytest.mark.parametrize("page", COURSE, ids=lambda page: page.stem)
def test_a_sum_in_a_table_is_right_to_its_last_digit(page):
    """A row that ends with `| `code` | number |` is a sum done by hand: the code must give the number."""
    text = page.read_text(encoding="utf-8")
    rows = re.findall(r"\| `([^`|]*)` \| (−?\d+(?:\.\d+)?) \|$", text, re.MULTILINE)
    assert bool(rows) == ("| in numbers |" in text)
    for code, number in rows:
        number = number.replace("−", "-")
        digits = len(number.partition(".")[2])
        value = eval(code.replace("−", "-"), {"exp": math.exp})
        assert f"{value:.{digits}f}" == number, f"{page.name}: {code} is {value}"


def test_a_page_that_says_something_else_fails(tmp_path):
    page = tmp_path / "page.md"
    for text, what in [
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "the page says"),
        ("```python\nprint(1)\n```\n", "but it prints"),
        ("```python\n1 / 0\n```\n", "line 2: ZeroDivisionError"),
        ("```python\nx = 1\n```\n\n![x](drawn/x.svg)\n", "0 figures"),
        ("Nothing.\n\n![x](drawn/x.svg)\n", "no block"),
    ]:
        page.write_text(text)
        with pytest.raises(pages.PageError, match=what):
            pages.run(page)
