"""Pages whose code runs: what a page prints stands below its code, what it draws is an image that it names.

A page is Markdown. Its ```python blocks run from top to bottom in one namespace and an empty folder. A ```text block
right below one is what it prints: `...` stands for anything, numbers with a point need to agree to four digits. A line
`![what one sees](drawn/name.svg)` right below is the figure that it leaves open. The tests run a page to compare, the
site runs it to draw.
"""

import contextlib
import doctest
import io
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import matplotlib

STEP = re.compile(
    r"^```python\n(?P<code>.*?)^```\n"
    r"(?:\n```text\n(?P<printed>.*?)^```\n)?"
    r"(?:\n!\[(?P<alt>[^\]]*)\]\(drawn/(?P<picture>[\w.-]+)\)\n)?",
    re.DOTALL | re.MULTILINE,
)
PICTURE = re.compile(r"\]\(drawn/([\w.-]+)\)")
# Names of things in a picture stay text; the same page gives the same file.
STYLE = {"svg.hashsalt": "chainrule", "svg.fonttype": "path", "savefig.bbox": "tight", "font.size": 10}
SAME = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]\d+)?")
TOLERANCE = 1e-4  # processors round differently; whole numbers and words must be the same


class PageError(AssertionError):
    """A page that does not print or draw what it says."""


@dataclass(frozen=True)
class Step:
    """One block of code of a page, with what it should print and the picture that it draws."""

    line: int
    code: str
    printed: str | None
    picture: str | None


def steps(text: str) -> list[Step]:
    """The blocks of a page in order; a PageError where a picture has no block that draws it."""
    found = [
        Step(text.count("\n", 0, m.start("code")) + 1, m["code"], m["printed"], m["picture"])
        for m in STEP.finditer(text)
    ]
    orphans = set(PICTURE.findall(text)) - {step.picture for step in found}
    if orphans:
        raise PageError(f"no block of code stands right above {', '.join(sorted(orphans))}")
    return found


def run(page: Path, drawn: Path | None = None) -> dict:
    """Run a page and return its names; its pictures are saved in the folder `drawn`, or only drawn without one."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names: dict = {"__name__": page.stem}
    found = steps(page.read_text(encoding="utf-8"))
    drawn = drawn and drawn.resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), matplotlib.rc_context(STYLE):
        plt.close("all")
        for step in found:
            where = f"{page.name}, line {step.line}"
            _compare(where, step.printed, _printed(where, step.code, names))
            _draw(where, step.picture, drawn, plt)
    return names


def _printed(where: str, code: str, names: dict) -> str:
    """Run the code; its last line, if it is an expression, is shown as a prompt would show it."""
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(code, where, "exec"), names)
    except Exception as error:
        raise PageError(f"{where}: {type(error).__name__}: {error}") from error
    return out.getvalue()


def _compare(where: str, expected: str | None, printed: str) -> None:
    if expected is None and not printed:
        return
    if expected is None or not doctest.OutputChecker().check_output(expected, _rounded_to(expected, printed), SAME):
        raise PageError(f"{where}: the page says\n{expected}\nbut it prints\n{printed}")


def _rounded_to(expected: str, printed: str) -> str:
    """What was printed, with the page's own number wherever the two agree to the tolerance."""
    own = [m[0] for m in NUMBER.finditer(expected)]

    def nearest(m: re.Match) -> str:
        close = [text for text in own if abs(float(text) - float(m[0])) <= TOLERANCE * abs(float(text))]
        return min(close, key=lambda text: (text != m[0], abs(float(text) - float(m[0])))) if close else m[0]

    return NUMBER.sub(nearest, printed)


def _draw(where: str, picture: str | None, drawn: Path | None, plt) -> None:
    if len(plt.get_fignums()) != (picture is not None):
        raise PageError(f"{where}: {len(plt.get_fignums())} figures were left open, the page names {picture}")
    if picture is not None:
        plt.gcf().canvas.draw()
        if drawn is not None:
            drawn.mkdir(exist_ok=True)
            plt.savefig(drawn / picture, dpi=150, metadata={"Date": None} if picture.endswith(".svg") else None)
        plt.close("all")
