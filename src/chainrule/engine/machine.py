"""Floor 2, engine: object code into memory, by the linker that the compiler uses too; and how Python calls it."""

from __future__ import annotations

import ctypes
import importlib
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import llvmlite.binding as llvm

# Machine code for Python: (thread, number of threads, frame) -> a float64; the interpreter is let go meanwhile.
_CALLED = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64, ctypes.c_int64, ctypes.c_char_p)
_lock = threading.Lock()


@cache
def _ready() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def target_machine() -> Any:
    """What writes machine code for this very processor."""
    _ready()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, codemodel="jitdefault",
        jit=True,
    )  # fmt: skip


@cache
def _linker() -> Any:
    module = llvm.parse_assembly("")
    module.triple = llvm.get_process_triple()
    return llvm.create_mcjit_compiler(module, target_machine())


def load(symbol: str, code: bytes, outer: Sequence[str]) -> int:
    """The address of function `symbol` of an object file, which calls the functions `outer` from elsewhere.

    Raises
    ------
    OSError : if this process has no such function. The linker itself would end the process.
    """
    with _lock:
        linker = _linker()
        if any(llvm.address_of_symbol(name) is None for name in outer):
            importlib.import_module("numba")  # brings those that are the compiler's own
        missing = [name for name in outer if llvm.address_of_symbol(name) is None]
        if missing:
            raise OSError(f"the compiled engine needs functions that this process does not have: {', '.join(missing)}")
        linker.add_object_file(llvm.ObjectFileRef.from_data(code))
        linker.finalize_object()
        return linker.get_function_address(symbol)


def called_from_python(address: int) -> Callable[[int, int, bytes], float]:
    """The function of kernels at this address, as Python calls it."""
    return _CALLED(address)
