"""The documentation site. Build it with: python -m sphinx -W -b html docs docs/_build/html

Nothing is fetched: no inventories of other projects, no fonts, no scripts from elsewhere.
"""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "site"))

import pages  # noqa: E402
import reference  # noqa: E402
from pygments.lexers.special import TextLexer  # noqa: E402
from sphinx.util import logging  # noqa: E402

import chainrule  # noqa: E402

logger = logging.getLogger(__name__)
project = "chainrule"
author = "The chainrule developers"
version = release = chainrule.__version__
html_title = "chainrule"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_gallery.gen_gallery", "mathml"]
exclude_patterns = ["_build", "site", "gallery", "pictures"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
default_role = "literal"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say what is meant, with shapes and units
nitpicky = False

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "gallery_built",
    "filename_pattern": r"plot_",
    "matplotlib_animations": False,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "write_computation_times": False,  # a page that loads scripts from elsewhere
    "abort_on_example_error": True,
    "copyfile_regex": r"",
    "reference_url": {},
}

LINK = re.compile(r"^(?:-|\d+\.) \[[^\]]+\]\(([^)#]+\.(?:md|rst))\)", re.MULTILINE)
GALLERY = "gallery/GALLERY_HEADER.rst", "gallery_built/index.rst"  # what a reader of the files finds, what is built


def with_contents(text: str, drop: str = "") -> str:
    """An index with a hidden table of contents for each heading, made of the links that start the lines below it."""
    head, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    parts = [head + _toctree(LINK.findall(head))]
    for section in sections:
        caption = section.split("\n", 1)[0]
        parts.append(f"## {section}{_toctree(LINK.findall(section), caption)}")
    return "".join(parts)


def _toctree(links: list[str], caption: str = "") -> str:
    if not links:
        return ""
    title = f":caption: {caption}\n" if caption else ""
    return "\n```{toctree}\n:hidden:\n" + title + "\n" + "\n".join(links) + "\n```\n\n"


def on_source(app, docname: str, source: list[str]) -> None:
    if docname.split("/")[-1] == "index" and app.env.doc2path(docname).suffix == ".md":
        source[0] = with_contents(source[0].replace(*GALLERY))
    if pages.PICTURE.search(source[0]):
        page = DOCS / f"{docname}.md"
        try:
            pages.run(page, drawn=page.parent / "drawn")
        except pages.PageError as error:
            logger.warning("%s", error, location=docname)


def on_docstring(app, what, name, thing, options, lines: list[str]) -> None:
    lines[:] = reference.as_rst(lines)


def on_member(app, what, name, member, skip, options) -> bool | None:
    return None if skip or reference.is_own(member) else True


def setup(app) -> None:
    reference.write_pages(DOCS / "reference" / "names")
    app.add_lexer("csv", TextLexer)
    app.connect("source-read", on_source)
    app.connect("autodoc-process-docstring", on_docstring)
    app.connect("autodoc-skip-member", on_member)
