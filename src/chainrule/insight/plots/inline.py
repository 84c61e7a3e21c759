"""Floor 5, insight.plots: a figure as SVG that stands inside a page and takes the page's colour of ink."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from .canvas import pyplot

# What is drawn in this colour, which no palette has, takes the page's ink. Black stays black: it is written on white.
_INK = "#010203"
_STYLE = {
    "text.color": _INK, "axes.edgecolor": _INK, "axes.labelcolor": _INK, "axes.titlecolor": _INK, "xtick.color": _INK,
    "ytick.color": _INK, "legend.labelcolor": _INK, "grid.color": _INK, "lines.color": _INK, "patch.edgecolor": _INK,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "legend.facecolor": "none",
    "legend.edgecolor": "none", "svg.fonttype": "path", "font.size": 10.0,
}  # fmt: skip


def inline_svg(draw: Callable[[], Any], name: str) -> str:
    """The figure of the Axes that `draw` returns, as an `<svg>` element without any address in it.

    `name` keeps the marks of one picture apart from those of another in the same page; the same figure gives the same
    text.

    >>> from chainrule.insight.plots.canvas import axes_or_new
    >>> text = inline_svg(lambda: axes_or_new(None), "empty")
    >>> text.startswith("<svg"), "http" in text, "currentColor" in text
    (True, False, True)
    """
    plt = pyplot()
    with plt.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = draw().figure
        try:
            page = io.StringIO()
            figure.savefig(page, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
        finally:
            plt.close(figure)
    text = page.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    # within HTML the parser knows these spaces of names without their addresses
    text = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'(<svg[^>]*?)\s+version="[^"]*"', r"\1", text)
    text = _own_marks(text, name)
    return text.replace(_INK, "currentColor")


def _own_marks(text: str, name: str) -> str:
    """Every id, and what refers to it, with the picture's name before it."""
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
