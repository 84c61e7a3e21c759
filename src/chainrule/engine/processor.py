"""Floor 2, engine: what this processor's vectors are, which the compiled products are made for."""

from __future__ import annotations

import llvmlite.binding


def vector_unit() -> tuple[int, int]:
    """(bytes of a vector, number of vector registers) of this processor."""
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    if features.get("avx"):
        return 32, 16
    return 16, 32 if llvmlite.binding.get_process_triple().startswith(("aarch64", "arm64")) else 16


VECTOR, REGISTERS = vector_unit()
# Rows of a tile, two vectors each; what is left of the registers holds two vectors of B and the number of A.
ROWS = {16: 6, 32: 12}[REGISTERS]
# A line of a panel: two vectors.
PANEL_BYTES = 2 * VECTOR
# Blocks of ROWS columns of a matrix that are packed at once, to be read as Aᵀ.
BLOCKS_AT_ONCE = 8
