"""Floor 1, descent: how much memory a method with a matrix would take, said before it starts."""

from __future__ import annotations

import os
from pathlib import Path

# Where a system does not say what is free.
_ASSUMED = 4 << 30
# So little is not asked for: a small fit is over before the system has answered.
_LITTLE = 1 << 24


def free_bytes() -> int:
    """The memory that a process may still take; where the system does not say, 4 GB."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    try:  # not on Windows; macOS tells all there is, of which half is taken to be free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return _ASSUMED


def check_memory(name: str, K: int, N: int = 0) -> None:
    """A ValueError where the matrices of a method called `name` would not fit.

    K : parameters, for three matrices of K × K numbers
    N : rows of J, where J is at hand, and of a copy of it; else the matrix is added up in room of a quarter of it
    """
    takes = 8 * (3 * K * K + (2 * N * K if N else K * K // 4))
    if takes <= _LITTLE or takes <= (free := free_bytes()):
        return
    matrices = "matrices of K × K numbers" + (" and the Jacobian of N × K" if N else "")
    sizes = f"K = {K:,} parameters" + (f", N = {N:,} residuals" if N else "")
    raise ValueError(
        f"{name} needs {matrices}: for {sizes} that is {_gigabytes(takes)}, and {_gigabytes(free)} are free. Use "
        "scaled_conjugate_gradient, newton_cg or lbfgs, which need some vectors of K numbers only"
    )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"
