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
from typing import Any

import llvmlite
import llvmlite.binding
import numpy as np

from chainrule.files import write_atomically

from .machine import load

_HERE = Path(__file__).parent
# The modules of ours that are compiled into a row, and into a kernel.
ROW_DEPENDS_ON = ("jit.py", "elementary.py")
KERNEL_DEPENDS_ON = (
    "jit.py", "kernels.py", "passes.py", "moving.py", "meeting.py", "second_order.py", "normal.py", "damped.py",
    "masks.py", "columns.py", "records.py", "products.py", "tiles.py", "panels.py", "vectors.py", "processor.py",
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


def fingerprint(text: str, depends_on: Sequence[str] = ROW_DEPENDS_ON) -> str:
    """A hash of the text and of all that its machine code depends on."""
    parts = [text, *map(_source, depends_on), _surroundings()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


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


_lock = threading.RLock()
_addresses: dict[str, int] = {}


def machine_function(stem: str, text: str, pattern: str, dtype: str, depends_on: Sequence[str] = ROW_DEPENDS_ON) -> int:
    """The address of the machine code of `function`, which `text` defines; compiled if it is not on disk.

    pattern, dtype : the types of its arguments, see `jit.object_code`
    """
    symbol = f"chainrule_{stem}_{fingerprint(text, depends_on)}"
    with _lock:
        if symbol not in _addresses:
            path = directory() / f"{symbol}.o"
            found = _read(path)
            if found is None:
                found = _compile(symbol, text, pattern, dtype, depends_on)
                write_atomically(path, lambda file: file.write(_packed(*found)))
            _addresses[symbol] = load(symbol, *found)
        return _addresses[symbol]


def _compile(symbol: str, text: str, pattern: str, dtype: str, depends_on: Sequence[str]) -> tuple[bytes, list[str]]:
    if depends_on is KERNEL_DEPENDS_ON:
        _say_once(f"compiling the engine for this processor; it happens once, the result is kept in {directory()}")
    from .jit import object_code

    names: dict[str, Any] = {"__name__": symbol}
    with _no_collection():
        exec(compile(text, f"<{symbol}>", "exec"), names)
        return object_code(names["function"], pattern, dtype, symbol)


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


_say_once = cache(say)


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
