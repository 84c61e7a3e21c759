"""The report: one page that asks nobody for anything, in which nothing that was given can become markup."""

import os
import re
import sys
from html.parser import HTMLParser

import matplotlib
import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

import chainrule as cr
from chainrule.files import FileError
from chainrule.insight.report import SECTIONS, report, report_html

matplotlib.use("Agg")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
FRAME = pd.DataFrame(
    {"size": np.where(X[:, 0] > 1.5, np.nan, X[:, 0]), "colour": np.where(X[:, 1] > 0, "red", "blue"), "same": 1.0}
)
NUMBERS = np.nan_to_num(FRAME["size"].to_numpy()) * 3 + 2 * (FRAME["colour"] == "red").to_numpy()
LABELS = pd.Series(np.array(["low", "mid", "high"])[np.digitize(NUMBERS, [0, 2])], name="price")
# Names and values that would be markup, mathematics of a figure, a template, or an address, were they not made harmless.
HOSTILE = [
    "<script>alert(1)</script>", "a\" onmouseover=\"alert(2)", "$\\frac{1}{", "{{ 7 * 7 }}", "]]><svg onload=alert(3)>",
    "--><b>", "http://example.invalid/x.png", "a & b < c",
]  # fmt: skip
VOID = {"meta", "br", "img", "input", "hr", "link"}


class Page(HTMLParser):
    """Tags in order, whether they are closed as they were opened, attributes, and the words between them."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.words, self.open, self.wrong, self.headings = [], [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(autouse=True)
def _closed():
    yield
    assert not matplotlib.pyplot.get_fignums()  # the report leaves no figure open


@pytest.fixture(scope="module")
def models():
    """(model, rows, targets) of one estimator of each kind."""
    mlp = {"hidden_layer_sizes": (5,), "solver": "lbfgs", "random_state": 0, "max_iter": 300, "alpha": 0.1}
    return {
        "table of classes": (cr.TableClassifier((6,), epochs=6, random_state=0).fit(FRAME, LABELS), FRAME, LABELS),
        "table of numbers": (cr.TableRegressor((6,), epochs=6, random_state=0).fit(FRAME, NUMBERS), FRAME, NUMBERS),
        "several numbers": (cr.MLPRegressor(**mlp).fit(X, X[:, :2]), X, X[:, :2]),
        "labels": (cr.MLPClassifier(**mlp).fit(X, X[:, :2] > 0), X, (X[:, :2] > 0).astype(int)),
    }


KINDS = ["table of classes", "several numbers", "labels"]


@pytest.fixture(scope="module")
def pages(models):
    """The pages of some."""
    return {kind: report_html(*models[kind], row=2) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_whole_and_asks_nobody_for_anything(pages, kind):
    text = pages[kind]
    page = Page(text)
    assert (page.wrong, page.open) == ([], [])
    assert text.startswith("<!doctype html>")
    # no address: not of another machine, not of a file; pictures are in the page, links lead within it
    assert not re.search(r"(https?:|ftp:|file:|//[a-z])", re.sub(r"base64,[A-Za-z0-9+/=\s]+", "", text))
    assert not {"script", "link", "iframe", "object", "base", "form"} & set(page.tags)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "xlink:href"):
            assert value.startswith(("#", "data:image/png;base64,")), (tag, name, value[:60])
        assert not name.startswith("on")
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_referred_to_within_the_page_is_there_once(pages, kind):
    attributes = Page(pages[kind]).attributes
    ids = [value for _, name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = {value[1:] for _, name, value in attributes if name in ("href", "xlink:href") and value.startswith("#")}
    used |= {found for _, _, value in attributes for found in re.findall(r"url\(#([^)]+)\)", value)}
    assert used <= set(ids)
    assert len(used) > 5


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_take_the_ink_of_the_page(pages, kind):
    text = pages[kind]
    assert text.count("<svg") >= 3
    assert "currentColor" in text
    assert "#010203" not in text
    ticks = re.findall(r'<g id="[^"]*[xy]tick_1">.*?</g>\s*</g>\s*</g>', text, re.DOTALL)
    assert ticks
    assert all("currentColor" in tick and "#000000" not in tick for tick in ticks)


def test_every_section_is_there_with_its_numbers(models, pages):
    model, page = models["table of classes"][0], Page(pages["table of classes"])
    assert page.headings == [
        "Data",
        "Network",
        "Training",
        "Scores",
        "Health",
        "What the inputs do",
        "Row 2, explained",
    ]
    assert len(page.headings) == len(SECTIONS)
    missing = int(FRAME["size"].isna().sum())
    assert f"size number {60 - missing} different numbers 2 {missing}" in page.text
    assert "same constant every row has 1.0 –" in page.text
    assert f"low {(LABELS == 'low').sum()} " in page.text
    assert model.network_.formula() in page.text
    assert f"The weights of epoch {model.outcome_.best_epoch} were kept" in page.text
    assert f"{model.score(FRAME, LABELS):.4g}" in page.text
    assert f"The network answers {model.predict(FRAME[2:3])[0]}. It is {LABELS[2]}." in page.text
    assert "∂E/∂A_1[" in page.text


def test_a_report_without_targets_has_no_scores(models):
    model = models["table of numbers"][0]
    page = Page(report_html(model, FRAME))
    assert "Scores" not in page.headings
    assert "there are no scores" in page.text
    assert "gradients, which need y" in page.text


def test_a_single_row_is_enough(models):
    model, rows, y = models["table of numbers"]
    page = Page(report_html(model, rows[:1], y[:1]))
    assert (page.wrong, page.open) == ([], [])
    assert "One row cannot be shuffled" in page.text
    assert page.headings[-1] == "Row 0, explained"


def test_the_same_model_gives_the_same_bytes(models, pages):
    assert report_html(*models["labels"], row=2) == pages["labels"]


def test_names_and_values_cannot_become_markup(tmp_path):
    frame = pd.DataFrame({name: X[:, k % 3] + k for k, name in enumerate(HOSTILE)})
    frame["word"] = [HOSTILE[k % len(HOSTILE)] for k in range(60)]
    labels = pd.Series([HOSTILE[k % 3] for k in range(60)], name=HOSTILE[0])
    model = cr.TableClassifier((4,), epochs=2, random_state=0).fit(frame, labels)
    text = report_html(model, frame, labels, title=HOSTILE[4])
    page = Page(text)
    assert (page.wrong, page.open) == ([], [])
    assert "script" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    for name in HOSTILE:
        assert " ".join(name.split()) in page.text
    assert page.headings[-1] == "Row 0, explained"


def test_it_is_written_whole_or_not_at_all(models, pages, tmp_path, monkeypatch):
    (model, rows, y), text = models["labels"], pages["labels"]
    monkeypatch.setattr("chainrule.insight.report.report_html", lambda *given, **named: text)
    path = tmp_path / "page.html"
    assert report(model, rows, y, path) == path
    assert path.read_text(encoding="utf-8") == text

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(FileError, match="cannot write"):
        report(model, rows, y, path)
    assert os.listdir(tmp_path) == ["page.html"]
    assert path.read_text(encoding="utf-8") == text


def test_bad_input_is_one_sentence(models, tmp_path):
    model, rows, y = models["labels"]
    holes = rows.copy()
    holes[1, 0] = np.nan
    for act, error, words in (
        (lambda: report_html(cr.MLPClassifier(), rows, y), NotFittedError, "not fitted yet"),
        (lambda: report_html(cr.Network([3, 1]), rows, y), TypeError, "got a bare Network"),
        (lambda: report_html(model, rows[:, :2], y), ValueError, "X has 2 features"),
        (lambda: report_html(model, holes, y), ValueError, "X has nan in row 1"),
        (lambda: report_html(model, rows, y[:3]), ValueError, "X has 60 rows and y has 3"),
        (lambda: report_html(model, rows, y, row=60), ValueError, "row must be a whole number from 0 to 59, got 60"),
        (lambda: report(model, rows, y, tmp_path / "no" / "page.html"), FileError, "does not exist"),
    ):
        with pytest.raises(error, match=words):
            act()


@pytest.mark.parametrize(("module", "extra"), [("jinja2", "report"), ("matplotlib.pyplot", "report")])
def test_without_an_extra_the_sentence_says_which(models, monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=f"chainrule.{extra}."):
        report_html(*models["labels"])
