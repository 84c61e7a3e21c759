"""The floors test: imports inside chainrule point downward only, imports within a function included."""

import ast
from pathlib import Path

import chainrule

HOUSE = Path(chainrule.__file__).parent

# Which floor a room stands on, and which rooms of the same floor it may import.
FLOORS = {
    "blas": 0,
    "files": 0,
    "tables": 0,
    "calculus": 0,
    "network": 1,
    "descent": 1,
    "data": 1,
    "engine": 2,
    "training": 3,
    "estimators": 4,
    "scores": 4.5,
    "insight": 5,
    "interchange": 5,
    "console": 5.5,
    "console_look": 5.7,
    "cli_look": 5.8,
    "cli": 6,
    "": 7,  # the door, __init__.py
}

# A method that hands itself to a higher room: (module, function, imported room). One line each, nothing else.
UPWARD: set[tuple[str, str, str]] = {
    ("calculus.limits", "plot", "insight"),
    ("calculus.traced", "plot", "insight"),
    ("descent.path", "animate", "insight"),
    ("descent.path", "plot", "insight"),
    ("engine.network", "explain", "insight"),
    ("engine.network", "formula", "insight"),
    ("engine.network", "plot_network", "insight"),
    ("engine.network", "summary", "insight"),
    ("estimators.looks", "explain", "insight"),
    ("estimators.looks", "health", "insight"),
    ("estimators.looks", "plot_surface", "insight"),
    ("estimators.looks", "write_report", "insight"),
    ("estimators.looks", "formula", "insight"),
    ("estimators.looks", "plot_history", "insight"),
    ("estimators.looks", "plot_network", "insight"),
    ("estimators.looks", "replay", "insight"),
    ("estimators.looks", "summary", "insight"),
}


def room_of(parts: tuple[str, ...]) -> str:
    return parts[0] if parts and parts[0] != "__init__" else ""


def imports_of(path: Path):
    """Yield (enclosing function, room imported, line) for every import of chainrule within a file."""
    package = ("chainrule", *path.relative_to(HOUSE).with_suffix("").parts[:-1])

    def visit(node, function):
        for child in ast.iter_child_nodes(node):
            inside = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
            if isinstance(child, ast.Import):
                targets = [tuple(alias.name.split(".")) for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else ()
                stem = base + tuple(child.module.split(".") if child.module else ())
                # `from chainrule import data` names rooms; `from chainrule.data import table` is within one.
                targets = [(*stem, alias.name) for alias in child.names] if len(stem) == 1 else [stem]
            else:
                targets = []
            for target in targets:
                if target[0] == "chainrule":
                    yield function, room_of(target[1:]), child.lineno
            yield from visit(child, inside)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), "")


def test_imports_point_downward():
    wrong = []
    for path in sorted(HOUSE.rglob("*.py")):
        module = path.relative_to(HOUSE).with_suffix("").parts
        room = room_of(module)
        assert room in FLOORS, f"{path.name} stands in a room, {room!r}, that has no floor"
        for function, target, line in imports_of(path):
            if target == room or room == "":
                continue
            if (".".join(module), function, target) in UPWARD:
                continue
            if target not in FLOORS or FLOORS[target] >= FLOORS[room]:
                wrong.append(f"{'/'.join(module)}.py:{line} imports {target or 'the door'}")
    assert not wrong, "\n".join(wrong)


def test_every_module_says_what_room_it_is():
    bare = [str(path) for path in sorted(HOUSE.rglob("*.py")) if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not bare


def test_no_module_outgrows_the_house():
    long = {path.name: n for path in HOUSE.rglob("*.py") if (n := len(path.read_text().splitlines())) > 500}
    assert not long


def test_the_floors_test_sees_an_upward_import(tmp_path, monkeypatch):
    (tmp_path / "calculus").mkdir()
    (tmp_path / "calculus" / "bad.py").write_text('"""x"""\ndef f():\n    from chainrule.engine import network\n')
    monkeypatch.setitem(globals(), "HOUSE", tmp_path)
    found = list(imports_of(tmp_path / "calculus" / "bad.py"))
    assert found == [("f", "engine", 3)]
