"""The reference: one page for each public name, written from its docstring, so that a new name needs no new line."""

import inspect
import re
from pathlib import Path

import chainrule

# Room -> heading, in the order in which the handout meets them; the room is where the name is defined.
HEADINGS = {
    "calculus": "Derivatives",
    "descent": "Descent",
    "network": "Rows of one's own",
    "engine": "Networks",
    "estimators": "Models with scikit-learn's interface",
    "data": "Tables",
    "insight": "Inside a fitted network",
    "interchange": "Files",
}
SECTION = re.compile(r"^([A-Z][a-z]+)\n-{3,}$", re.MULTILINE)
_WRAPPED = 100  # a line with so much room left ended on purpose
ENTRY = re.compile(r"^(?P<name>[\w*][\w*, ()]*?) : (?P<what>.*)$")


def names() -> list[str]:
    """The public names that have a page."""
    return [name for name in chainrule.__all__ if not name.startswith("__")]


def room(name: str) -> str:
    return getattr(chainrule, name).__module__.split(".")[1]


def write_pages(folder: Path) -> list[Path]:
    """Write a page for each public name and the list of them; a page that is right already is left alone."""
    folder.mkdir(exist_ok=True)
    texts = {f"{name}.md": _page(name) for name in names()}
    texts["index.md"] = _index()
    for path in folder.glob("*.md"):
        if path.name not in texts:
            path.unlink()
    for file, text in texts.items():
        path = folder / file
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return [folder / file for file in texts]


def _page(name: str) -> str:
    thing = getattr(chainrule, name)
    directive = "autofunction" if inspect.isfunction(thing) else "autoclass"
    members = "" if directive == "autofunction" else "   :members:\n   :inherited-members:\n"
    return f"# {name}\n\n```{{eval-rst}}\n.. {directive}:: chainrule.{name}\n{members}```\n"


def _index() -> str:
    """Headings by room, a line for each name with its first sentence."""
    rooms: dict[str, list[str]] = {}
    for name in names():
        rooms.setdefault(room(name), []).append(name)
    about = "Everything below is `chainrule.NAME`. A page says what goes in, comes out and is refused."
    parts = ["# Public names", about]
    for key in [*HEADINGS, *sorted(set(rooms) - set(HEADINGS))]:
        if key in rooms:
            parts.append(f"## {HEADINGS.get(key, key)}")
            parts.append("\n".join(f"- [{name}]({name}.md): {first_sentence(name)}" for name in rooms[key]))
    return "\n\n".join(parts) + "\n"


def first_sentence(name: str) -> str:
    head = (inspect.getdoc(getattr(chainrule, name)) or "").split("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=[.:]) ", head)[0].rstrip(":")


def is_own(member) -> bool:
    """Whether a member of a class is this package's; what it has from scikit-learn is documented there."""
    function = getattr(member, "fget", None) or getattr(member, "__func__", None) or member
    return (getattr(function, "__module__", None) or "").startswith("chainrule")


def as_rst(lines: list[str]) -> list[str]:
    """A docstring of this package in Sphinx's markup: sections, their entries, examples; all else is plain text."""
    out: list[str] = []
    for part in re.split(r"\n{2,}", SECTION.sub(r"\n\n\1\n---\n\n", "\n".join(lines)).strip("\n")):
        title = SECTION.match(part)
        if title:
            out += [f".. rubric:: {title[1]}", ""]
        elif part.lstrip().startswith(">>>"):
            out += [*part.split("\n"), ""]
        elif ">>>" in part:  # text right above an example
            text, example = part.split(">>>", 1)
            out += [*_paragraph(text.rstrip("\n")), "", *f">>>{example}".rstrip().split("\n"), ""]
        else:
            out += [*_paragraph(part), ""]
    return out


def _paragraph(part: str) -> list[str]:
    """A paragraph, a list, entries of the form `name : what` with their further lines, or indented code."""
    lines = part.split("\n")
    entries = [ENTRY.match(line) for line in lines]
    if not entries[0] or lines[0].startswith(" "):
        if all(line.startswith("    ") for line in lines):
            return ["::", "", *lines]
        return [_plain(line) for line in lines]
    out = []
    for before, line, entry in zip(["", *lines], lines, entries, strict=False):
        if entry:
            out += ["", f"``{entry['name']}``", f"    {_plain(entry['what'])}"]
        else:
            if ENTRY.match(before) and len(before) + len(line.split()[0]) < _WRAPPED:
                out.append("")  # a type, and what is said of it; no line that went on
            out.append(f"    {_plain(line.strip())}")
    return out[1:]


def _plain(text: str) -> str:
    """Words in backticks are code; whatever else means something to the markup is taken literally."""
    pieces = re.split(r"(`+[^`]+`+)", text)
    return "".join(_code(piece) if i % 2 else _escape(piece) for i, piece in enumerate(pieces))


def _code(piece: str) -> str:
    return f"``{piece.strip('`')}``"


def _escape(text: str) -> str:
    return re.sub(r"([\\*|`]|_(?!\w))", r"\\\1", text)
