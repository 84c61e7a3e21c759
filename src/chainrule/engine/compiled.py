"""Floor 2, engine: the kernels and matrix products as Python has them: compiled when first called, then by address."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import Any

import numpy as np

from .cache import KERNEL_DEPENDS_ON, machine_function
from .machine import called_from_python

# What kernels call by its address: its module, the types of its arguments (see `jit.object_code`), their names, and how
# the function of that module is called with them.
_BY_ADDRESS = {
    "product": (
        "products",
        "pppnnn",
        "a_, panels_, out_, M, K, D",
        "a, address(a, 0), address(array(panels_, 1), 0), address(array(out_, 1), 0), M, K, D",
    ),
    "product_across": (
        "products",
        "pnpppnnnn",
        "a_, a_stride, spare_, panels_, out_, M, K, D, more",
        "a, address(a, 0), a_stride, address(array(spare_, 1), 0), address(array(panels_, 1), 0), "
        "address(array(out_, 1), 0), M, K, D, more",
    ),
    "product_of_few": (
        "products",
        "ppppnnn",
        "a_, b_, spare_, out_, M, K, D",
        "a, address(a, 0), address(array(b_, 1), 0), address(array(spare_, 1), 0), address(array(out_, 1), 0), M, K, D",
    ),
    "drop": (
        "masks",
        "pppnnnxnnn",
        "a_, keep_, passed_, n, D, key, rate, order, names, lo",
        "array(a_, n * D), array(keep_, n * D), array(passed_, n * D), n, D, np.uint32(key), rate, order, names, lo",
    ),
}


@cache
def address_of(name: str, dtype: str) -> int:
    """Where the machine code of a row of `_BY_ADDRESS` is: compiled apart, as much code that is wanted in one place
    only, or by few networks."""
    module, pattern, names, given = _BY_ADDRESS[name]
    text = (
        "import numpy as np\nfrom chainrule.engine.jit import address, array\n"
        f"from chainrule.engine.{module} import {name}\n"
        f"def function({names}):\n    a = array(a_, 1)\n    {name}({given})\n    return 0.0\n"
    )
    return machine_function(f"{name}_{dtype}", text, pattern, dtype, KERNEL_DEPENDS_ON)


class Kernel:
    """A function `name` of a module (`kernels`, `second_order`), called with bundles, arrays and whole numbers.

    Its machine code gets one frame: a line of 64-bit numbers, where arrays are named by the address of their object,
    whose memory, axes and type the machine code reads and checks itself. There is one machine code a float width (that
    of the first array, or of the bundle's); no other type of its arguments differs from call to call. A kernel returns
    a float64 ≥ 0.
    """

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name
        self._codes: dict[tuple[bool, Any], tuple[Callable, Callable]] = {}

    def prepared(self, arguments: tuple, counter: np.ndarray | None = None) -> tuple[Callable, bytes]:
        """(machine code, frame) for these arguments, which must live as long as the call takes.

        counter : of the threads that run it together; such a kernel takes (thread, number of threads, counter) first
        """
        try:
            dtype = arguments[0].w.dtype
        except AttributeError:
            first = next(x for x in arguments if not isinstance(x, int))
            dtype = getattr(first, "w", first).dtype
        key = counter is not None, dtype.char
        if key not in self._codes:
            given = arguments if counter is None else (counter, *arguments)
            self._codes[key] = self._made(given, counter is not None, str(dtype))
        code, packed = self._codes[key]
        return code, packed(counter, *arguments)

    def __call__(self, *arguments: Any) -> float:
        """Run it on this thread."""
        code, frame = self.prepared(arguments)
        return self.checked(code(0, 1, frame))

    def checked(self, result: float) -> float:
        """What the kernel returned; −1, −2, … say that entry 0, 1, … of its frame is no such array as it knows."""
        if result < 0:
            which = int(-result) - 1
            raise TypeError(f"kernel {self.name}: entry {which} is no contiguous array of the type that it is made for")
        return result

    def _made(self, given: tuple, together: bool, dtype: str) -> tuple[Callable, Callable]:
        """(machine code, the function that packs frames) for arguments of these types."""
        address = machine_function(
            f"{self.name}_{dtype}", self._printed(given, together), "nnn", "float64", KERNEL_DEPENDS_ON
        )
        return called_from_python(address), _packer(given, together)

    def _printed(self, given: tuple, together: bool) -> str:
        """The text of the function that takes the frame apart and calls the kernel."""
        readers: dict[tuple[str, int], str] = {}
        checks, count = [], 0

        def leaf(x: Any) -> str:
            nonlocal count
            place, count = f"entry_of(frame, {count})", count + 1
            if not isinstance(x, np.ndarray):
                return place
            kind = readers.setdefault((str(x.dtype), x.ndim), f"{x.dtype}_{x.ndim}")
            checks.append(f"if not fits_{kind}({place}, {x.dtype.num}):\n        return -{count}.0")
            return f"read_{kind}({place})"

        def bundle(x: Any) -> str:
            return f"{type(x).__name__}({', '.join(map(leaf, x))})" if isinstance(x, tuple) else leaf(x)

        handed = ", ".join([*(["thread", "n_threads"] if together else []), *map(bundle, given)])
        lines = [
            "from chainrule.engine.jit import array_reader, entry_of",
            "from chainrule.engine.records import Desk, Move, Net, Rows, Squares",
            f"from {self.module} import {self.name} as kernel",
            *(f'read_{kind}, fits_{kind} = array_reader("{d}", {n})' for (d, n), kind in readers.items()),
            "def function(thread, n_threads, frame):",
            *(f"    {line}" for line in [*checks, f"return kernel({handed})"]),
        ]
        return "\n".join([*lines, ""])


def _packer(given: tuple, together: bool) -> Callable[..., bytes]:
    """The function (counter, *arguments) -> frame for arguments of these types, as fast as Python has it."""
    names: list[str] = []
    entries: list[str] = []
    for part in given:
        inner = [f"x{len(entries) + k}" for k in range(len(part) if isinstance(part, tuple) else 1)]
        names.append(f"({', '.join(inner)},)" if isinstance(part, tuple) else inner[0])
        leaves = part if isinstance(part, tuple) else (part,)
        entries += [f"id({x})" if isinstance(y, np.ndarray) else x for x, y in zip(inner, leaves, strict=True)]
    counter, names = (names[0], names[1:]) if together else ("_", names)
    lines = [f"def packed({counter}, *arguments):", f"    {', '.join(names)}, = arguments",
             f"    return pack({', '.join(entries)})"]  # fmt: skip
    space: dict[str, Any] = {"pack": Struct(f"{len(entries)}q").pack}
    exec("\n".join(lines), space)
    return space["packed"]


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
NORMAL = _Kernels("chainrule.engine.normal")
DAMPED = _Kernels("chainrule.engine.damped")
