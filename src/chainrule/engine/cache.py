"""Floor 2, engine: object code kept on disk, so that each function is compiled once a processor.

A file is named by a hash of the function's text and of everything that its machine code depends on, so a changed row,
kernel, processor or library never meets stale code. It has a line of JSON, then the object code; a damaged one is
compiled anew.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import llvmlite.binding
import numpy as np

from chainrule.files import write_atomically

from .cores import available_threads
from .helpers import Helpers
from .machine import load

_HERE = Path(__file__).parent
# The modules of ours that are compiled into a row, and into a kernel.
ROW_DEPENDS_ON = ("jit.py", "elementary.py", "processor.py")
KERNEL_DEPENDS_ON = (
    "jit.py", "kernels.py", "passes.py", "moving.py", "meeting.py", "second_order.py", "normal.py", "damped.py",
    "units.py", "masks.py", "columns.py", "records.py", "products.py", "tiles.py", "panels.py", "matvec.py",
    "vectors.py", "processor.py",
)  # fmt: skip


@cache
def _surroundings() -> str:
    """What machine code depends on beside its text."""
    versions = [metadata.version("numba"), llvmlite.__version__, np.__version__, sys.version]
    target = [llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten()]
    return "\0".join([*versions, *target])


@cache
def _source(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def _digest(depends_on: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join([*map(_source, depends_on), _surroundings()]).encode()).hexdigest()


def fingerprint(text: str, depends_on: tuple[str, ...] = ROW_DEPENDS_ON) -> str:
    """A hash of the text and of all that its machine code depends on."""
    return hashlib.sha256(f"{text}\0{_digest(depends_on)}".encode()).hexdigest()[:20]


def cache_directory() -> Path:
    """Where compiled engines are kept: `CHAINRULE_CACHE_DIR`, else the user's cache directory."""
    given = os.environ.get("CHAINRULE_CACHE_DIR")
    if given:
        return Path(given)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "chainrule"


@cache
def directory() -> Path:
    """The cache directory, made if need be; one of this process's own, with a warning, where it cannot be written."""
    wanted = cache_directory()
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted
    except OSError as error:
        warnings.warn(
            f"the cache directory {wanted} cannot be written ({error.strerror}); the engine is compiled anew in this "
            "process. Set CHAINRULE_CACHE_DIR to a directory that can be written.",
            RuntimeWarning,
            stacklevel=2,
        )
        return Path(tempfile.mkdtemp(prefix="chainrule-"))


def say(sentence: str) -> None:
    """One line on standard error, for what takes long enough to be wondered at."""
    print(f"chainrule: {sentence}", file=sys.stderr, flush=True)


class Printed(NamedTuple):
    """A function called `function` as a text that defines it, named `stem` with a hash of all that it depends on; the
    types of its arguments are a pattern and a dtype, see `jit.object_code`."""

    stem: str
    text: str
    pattern: str
    dtype: str
    depends_on: tuple[str, ...] = ROW_DEPENDS_ON

    @property
    def symbol(self) -> str:
        return f"chainrule_{self.stem}_{fingerprint(self.text, self.depends_on)}"


_lock = threading.RLock()
_addresses: dict[str, int] = {}
_helpers = Helpers("from chainrule.engine.cache import help_out; help_out()")
_asked: dict[str, Printed] = {}


def machine_function(*printed: Any) -> int:
    """The address of the machine code of a `Printed` function; compiled if it is not on disk."""
    function = Printed(*printed)
    symbol = function.symbol
    with _lock:
        if symbol not in _addresses:
            path = _path(symbol)
            found = _read(path)
            if found is None:
                _helpers.settle(symbol, lambda other: _compile_to(_path(other), other, _asked[other]))
                found = _read(path) or _compile_to(path, symbol, function)
            _addresses[symbol] = load(symbol, *found)
        return _addresses[symbol]


def ask_for(functions: Sequence[Printed]) -> None:
    """Have those of these functions that are not on disk compiled by other processes, if there are processors for
    them; `machine_function` waits for what one of them is at, and compiles what none has begun."""
    most = available_threads() - 1
    if most < 1:
        return
    missing = {f.symbol: f for f in functions if f.symbol not in _addresses and not _path(f.symbol).exists()}
    if len(missing) > 1:  # one alone would only be waited for
        _announce()
        _asked.update(missing)
        _helpers.ask({name: json.dumps([str(_path(name)), name, *f]).encode() for name, f in missing.items()}, most)


def help_out() -> None:
    """What a helper does: compile the function that its standard input tells, to a file."""
    path, symbol, *printed = json.load(sys.stdin)
    _compile_to(Path(path), symbol, Printed(*printed))


def _path(symbol: str) -> Path:
    return directory() / f"{symbol}.o"


def _compile_to(path: Path, symbol: str, function: Printed) -> tuple[bytes, list[str]]:
    """(object code, the outer functions that it calls), kept in a file."""
    found = _compile(symbol, function)
    write_atomically(path, lambda file: file.write(_packed(*found)))
    return found


def _compile(symbol: str, function: Printed) -> tuple[bytes, list[str]]:
    if function.depends_on is KERNEL_DEPENDS_ON:
        _announce()
    from .jit import object_code

    names: dict[str, Any] = {"__name__": symbol}
    with _no_collection():
        exec(compile(function.text, f"<{symbol}>", "exec"), names)
        return object_code(names["function"], function.pattern, function.dtype, symbol)


@cache
def _announce() -> None:
    say(f"compiling the engine for this processor; it happens once, the result is kept in {directory()}")


@contextmanager
def _no_collection() -> Iterator[None]:
    """The compiler makes so many objects that looking for garbage among them takes a tenth of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _packed(code: bytes, outer: list[str]) -> bytes:
    return json.dumps({"outer": outer, "sha256": hashlib.sha256(code).hexdigest()}).encode() + b"\n" + code


def _read(path: Path) -> tuple[bytes, list[str]] | None:
    """(object code, the outer functions that it calls); None where there is no such file, or one that is damaged."""
    try:
        head, _, code = path.read_bytes().partition(b"\n")
        about = json.loads(head)
        if about["sha256"] != hashlib.sha256(code).hexdigest():
            return None
        return code, [str(name) for name in about["outer"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def stored() -> list[Path]:
    """What is in the cache directory of the engine's object code, nothing else that may lie there."""
    return sorted(cache_directory().glob("chainrule_*.o"))


def clear() -> tuple[int, int]:
    """Remove what is stored; (files, bytes) that went. What runs now goes on, the next process compiles anew."""
    files, size = 0, 0
    for path in stored():
        try:
            bytes_ = path.stat().st_size
            path.unlink()
        except FileNotFoundError:  # another process clears too
            continue
        files, size = files + 1, size + bytes_
    return files, size
