"""Floor 2, engine: printed modules kept on disk with their machine code, so that each is compiled once a processor.

A module is named by a hash of its text and of every version that its machine code depends on, so a changed row, kernel,
processor or library never meets stale code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

import llvmlite
import llvmlite.binding
import numba
import numpy as np
import scipy

from chainrule.files import write_atomically

_HERE = Path(__file__).parent
# The modules of ours that are compiled into a row.
ROW_DEPENDS_ON = ("jit.py", "elementary.py")


def fingerprint(text: str, depends_on: Sequence[str] = ROW_DEPENDS_ON) -> str:
    """A hash of the text and of all that its machine code depends on."""
    modules = [(_HERE / name).read_text(encoding="utf-8") for name in depends_on]
    versions = [numba.__version__, llvmlite.__version__, np.__version__, scipy.__version__, sys.version]
    target = [llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten()]
    return hashlib.sha256("\0".join([text, *modules, *versions, *target]).encode()).hexdigest()[:20]


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
_modules: dict[str, ModuleType] = {}


def load_module(stem: str, text: str, depends_on: Sequence[str] = ROW_DEPENDS_ON) -> ModuleType:
    """The module of this text, written to the cache directory if it is not there."""
    name = f"chainrule_{stem}_{fingerprint(text, depends_on)}"
    with _lock:
        if name not in _modules:
            path = directory() / f"{name}.py"
            if not path.exists():
                write_atomically(path, lambda file: file.write(text.encode("utf-8")))
            spec = importlib.util.spec_from_file_location(name, path)
            if spec is None or spec.loader is None:
                raise ImportError(f"the compiled engine cannot be loaded from {path}")
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module  # so that the compiler finds the module of its functions
            spec.loader.exec_module(module)
            _modules[name] = module
        return _modules[name]


def stored() -> list[Path]:
    """What is in the cache directory: printed modules and their machine code, nothing else that may lie there."""
    folder = cache_directory()
    return sorted([*folder.glob("chainrule_*.py"), *folder.glob("__pycache__/chainrule_*.*")])


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
