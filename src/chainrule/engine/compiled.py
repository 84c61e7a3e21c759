"""Floor 2, engine: the kernels and matrix products as Python has them: compiled when first called, then by address."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from .cache import KERNEL_DEPENDS_ON, machine_function
from .machine import called_from_python

_PRODUCTS = {
    "product": (
        "pnnppnnn",
        "a_, row_stride, k_stride, panels_, out_, M, K, D",
        "a, address(a, 0), row_stride, k_stride, address(array(panels_, 1), 0), address(array(out_, 1), 0), M, K, D",
    ),
    "product_of_few": (
        "ppppnnn",
        "a_, b_, spare_, out_, M, K, D",
        "a, address(a, 0), address(array(b_, 1), 0), address(array(spare_, 1), 0), address(array(out_, 1), 0), M, K, D",
    ),
}


@cache
def product_addresses(dtype: str) -> tuple[int, int]:
    """Where the two matrix products are, compiled apart: their tiles are much code, wanted in one place only."""
    found = []
    for name, (pattern, names, given) in _PRODUCTS.items():
        text = (
            f"from chainrule.engine.jit import address, array\nfrom chainrule.engine.products import {name}\n"
            f"def function({names}):\n    a = array(a_, 1)\n    {name}({given})\n    return 0.0\n"
        )
        found.append(machine_function(f"{name}_{dtype}", text, pattern, dtype, KERNEL_DEPENDS_ON))
    return found[0], found[1]


class Kernel:
    """A function `name` of a module (`kernels`, `second_order`), called with bundles, arrays and whole numbers.

    Its machine code gets one frame: a line of 64-bit numbers, where arrays are named by the address of their object,
    whose memory, axes and type the machine code reads and checks itself. There is one machine code a float width (that
    of the first array, or of the bundle's); no other type of its arguments differs from call to call. A kernel returns
    a float64 ≥ 0.
    """

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name
        self._codes: dict[tuple[bool, Any], Callable] = {}

    def prepared(self, arguments: tuple, counter: np.ndarray | None = None) -> tuple[Callable, array]:
        """(machine code, frame) for these arguments, which must live as long as the call takes.

        counter : of the threads that run it together; such a kernel takes (thread, number of threads, counter) first
        """
        together = counter is not None
        leaves: list[Any] = [counter] if together else []
        for x in arguments:
            leaves.extend(x) if isinstance(x, tuple) else leaves.append(x)
        frame = array("q", [id(x) if type(x) is np.ndarray else x for x in leaves])
        first = next(x for x in arguments if not isinstance(x, int))
        key = together, getattr(first, "w", first).dtype
        if key not in self._codes:
            given = (counter, *arguments) if together else arguments
            self._codes[key] = called_from_python(self._address(given, together, str(key[1])))
        return self._codes[key], frame

    def __call__(self, *arguments: Any) -> float:
        """Run it on this thread."""
        code, frame = self.prepared(arguments)
        return self.checked(code(0, 1, frame.buffer_info()[0]))

    def checked(self, result: float) -> float:
        """What the kernel returned; −1, −2, … say that entry 0, 1, … of its frame is no such array as it knows."""
        if result < 0:
            raise TypeError(f"kernel {self.name}: argument {int(-result) - 1} is an array of another type than before")
        return result

    def _address(self, arguments: tuple, together: bool, dtype: str) -> int:
        text = self._printed(arguments, together)
        return machine_function(f"{self.name}_{dtype}", text, "nnn", "float64", KERNEL_DEPENDS_ON)

    def _printed(self, arguments: tuple, together: bool) -> str:
        """The text of the function that takes the frame apart and calls the kernel."""
        readers: dict[tuple[str, int], str] = {}
        checks: list[str] = []

        def leaf(x: Any) -> str:
            place = f"entry_of(frame, {len(checks)})"
            if not isinstance(x, np.ndarray):
                checks.append("")
                return place
            if not (x.flags.c_contiguous and x.flags.aligned):
                raise TypeError(f"kernel {self.name} wants contiguous arrays, got strides {x.strides}")
            kind = readers.setdefault((str(x.dtype), x.ndim), f"{x.dtype}_{x.ndim}")
            checks.append(f"if not fits_{kind}({place}, {x.dtype.num}):\n        return -{len(checks) + 1}.0")
            return f"read_{kind}({place})"

        def bundle(x: Any) -> str:
            return f"{type(x).__name__}({', '.join(map(leaf, x))})" if isinstance(x, tuple) else leaf(x)

        given = ", ".join([*(["thread", "n_threads"] if together else []), *map(bundle, arguments)])
        makers = [f'read_{k}, fits_{k} = array_reader("{d}", {n})' for (d, n), k in readers.items()]
        body = [*filter(None, checks), f"return kernel({given})"]
        return "\n".join(
            [
                "from chainrule.engine.jit import array_reader, entry_of",
                "from chainrule.engine.records import Desk, Move, Net, Rows",
                f"from {self.module} import {self.name} as kernel",
                *makers,
                "def function(thread, n_threads, frame):",
                *(f"    {line}" for line in body),
                "",
            ]
        )


class _Kernels:
    """The kernels of a module, by their names."""

    def __init__(self, module: str):
        self._module = module

    def __getattr__(self, name: str) -> Kernel:
        kernel = Kernel(self._module, name)
        setattr(self, name, kernel)
        return kernel


KERNELS = _Kernels("chainrule.engine.kernels")
SECOND_ORDER = _Kernels("chainrule.engine.second_order")
