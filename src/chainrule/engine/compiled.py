"""Floor 2, engine: the kernels and matrix products as Python has them: compiled when first called, then by address."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import Any

import numpy as np

from .cache import KERNEL_DEPENDS_ON, Printed, ask_for, machine_function
from .machine import called_from_python
from .records import kinds_of

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


def _product(name: str, dtype: str) -> Printed:
    """A row of `_BY_ADDRESS` as a function of its own."""
    module, pattern, names, given = _BY_ADDRESS[name]
    text = (
        "import numpy as np\nfrom chainrule.engine.jit import address, array\n"
        f"from chainrule.engine.{module} import {name}\n"
        f"def function({names}):\n    a = array(a_, 1)\n    {name}({given})\n    return 0.0\n"
    )
    return Printed(f"{name}_{dtype}", text, pattern, dtype, KERNEL_DEPENDS_ON)


@cache
def address_of(name: str, dtype: str) -> int:
    """Where the machine code of a row of `_BY_ADDRESS` is: compiled apart, as much code that is wanted in one place
    only, or by few networks."""
    return machine_function(*_product(name, dtype))


# What each kernel is given, by module: "together" is (thread, number of threads, counter), for those that a crew runs;
# the rest are kinds of arrays (see `records`), bundles of them, and n for whole numbers.
_GIVEN = {
    "kernels": {
        "wait_for_task": "I1 n",
        "train_steps": "together Net Rows Desk Move n n n n n F1 F1 F2",
        "prepare": "Net",
        "total_gradient": "together Net Rows Desk I1 n",
        "total_error": "together Net Rows Desk I1 n",
        "predict_rows": "together Net Rows n R2 I1 R2",
    },
    "units": {"train_by_units": "together Net Net Rows Desk Move n n n n n F1 F1 F2"},
    "second_order": {
        "hessian_product": "together Net Net n Rows Desk I2 I1 I1 n",
        "gauss_newton_product": "together Net Net n Rows Desk I2 I1 I1 n",
    },
    "normal": {
        "jacobian_lines": "together Net Rows Desk n n n Squares R3 R1 R2 R2",
        "add_squares": "together Net R3 R1 Squares R2 n n R1 R2 R1 R2 R1",
        "normal_matrix": "together Net Rows Desk I1 n R4 R2 Squares R2 R2 R2 R2 R3 R2 R1",
        "finish": "Net Squares R2 R1 R2",
    },
    "damped": {
        "residual_rows": "together Net R1 Rows Desk n R2",
        "pull_back": "together Net R1 Rows Desk n R2 R2 R1",
        "damped_trial": "together Net Rows Desk n R1 R2 R2 R1 R1 R1 R1 R2 R1 R1 R1 R1 R2 R2",
    },
}
_DTYPES = {"F": "float64", "I": "int64"}


class Kernel:
    """A function `name` of a module (`kernels`, `normal`, …), called with bundles, arrays and whole numbers.

    Its machine code gets one frame: a line of 64-bit numbers, where arrays are named by the address of their object,
    whose memory, axes and type the machine code reads and checks itself. There is one machine code a float width (that
    of the first array, or of the bundle's). A kernel returns a float64 ≥ 0.

    given : what it is given, as `_GIVEN` says it
    """

    def __init__(self, module: str, name: str, given: str):
        self.module, self.name = module, name
        words = given.split()
        self._together = words[0] == "together"
        # (the bundle, or "" for an entry that stands alone; the kinds of its entries)
        self._parts = [
            (w, kinds_of(w)) if w[-1].islower() and w != "n" else ("", (w,)) for w in words if w != "together"
        ]
        self._codes: dict[Any, tuple[Callable, Callable]] = {}

    def prepared(self, arguments: tuple, counter: np.ndarray | None = None) -> tuple[Callable, bytes]:
        """(machine code, frame) for these arguments, which must live as long as the call takes.

        counter : of the threads that run it together
        """
        try:
            dtype = arguments[0].w.dtype
        except AttributeError:
            first = next(x for x in arguments if not isinstance(x, int))
            dtype = getattr(first, "w", first).dtype
        if dtype.char not in self._codes:
            address = machine_function(*self.printed(str(dtype)))
            self._codes[dtype.char] = called_from_python(address), self._packer()
        code, packed = self._codes[dtype.char]
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

    def printed(self, dtype: str) -> Printed:
        """The function that takes the frame apart and calls the kernel."""
        readers: set[tuple[str, str]] = set()
        checks, count = [], 0

        def leaf(kind: str) -> str:
            nonlocal count
            place, count = f"entry_of(frame, {count})", count + 1
            if kind == "n":
                return place
            width, axes = _DTYPES.get(kind[0], dtype), kind[1]
            readers.add((width, axes))
            checks.append(f"if not fits_{width}_{axes}({place}, {np.dtype(width).num}):\n        return -{count}.0")
            return f"read_{width}_{axes}({place})"

        handed = ["thread", "n_threads", leaf("I1")] if self._together else []
        for bundle, kinds in self._parts:
            leaves = ", ".join(map(leaf, kinds))
            handed.append(f"{bundle}({leaves})" if bundle else leaves)
        lines = [
            "from chainrule.engine.jit import array_reader, entry_of",
            "from chainrule.engine.records import Desk, Move, Net, Rows, Squares",
            f"from {self.module} import {self.name} as kernel",
            *(f'read_{d}_{n}, fits_{d}_{n} = array_reader("{d}", {n})' for d, n in sorted(readers)),
            "def function(thread, n_threads, frame):",
            *(f"    {line}" for line in [*checks, f"return kernel({', '.join(handed)})"]),
        ]
        return Printed(f"{self.name}_{dtype}", "\n".join([*lines, ""]), "nnn", "float64", KERNEL_DEPENDS_ON)

    def _packer(self) -> Callable[..., bytes]:
        """The function (counter, *arguments) -> frame, as fast as Python has it."""
        names: list[str] = []
        entries = ["id(counter)"] if self._together else []
        for bundle, kinds in self._parts:
            inner = [f"x{len(entries) + k}" for k in range(len(kinds))]
            names.append(f"({', '.join(inner)},)" if bundle else inner[0])
            entries += [x if kind == "n" else f"id({x})" for x, kind in zip(inner, kinds, strict=True)]
        lines = ["def packed(counter, *arguments):", f"    {', '.join(names)}, = arguments",
                 f"    return pack({', '.join(entries)})"]  # fmt: skip
        space: dict[str, Any] = {"pack": Struct(f"{len(entries)}q").pack}
        exec("\n".join(lines), space)
        return space["packed"]


class _Kernels:
    """The kernels of a module, by their names."""

    def __init__(self, module: str):
        self._module = module

    def __getattr__(self, name: str) -> Kernel:
        if name not in _GIVEN[self._module]:
            raise AttributeError(f"there is no kernel {name!r} in {self._module}")
        kernel = Kernel(f"chainrule.engine.{self._module}", name, _GIVEN[self._module][name])
        setattr(self, name, kernel)
        return kernel


KERNELS = _Kernels("kernels")
UNITS = _Kernels("units")
SECOND_ORDER = _Kernels("second_order")
NORMAL = _Kernels("normal")
DAMPED = _Kernels("damped")


@cache
def ahead(wanted: tuple[Kernel | str, ...], dtype: str) -> None:
    """Have these kernels, and products by their name in `_BY_ADDRESS`, compiled by other processes while this one
    compiles something else; what takes longest stands first."""
    ask_for([_product(one, dtype) if isinstance(one, str) else one.printed(dtype) for one in wanted])
