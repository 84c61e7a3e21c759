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
# AVX-512 has an instruction for x 2^n, which the compiler knows to take for vectors from this version on.
SCALES = VECTOR == 64 and llvmlite.binding.llvm_version_info[0] >= 22
# Vectors side by side in a tile and in a line of a panel, and how many sums a full tile has: what is left of the
# registers holds a line of B and a number of A. Wide tiles read fewer numbers for their multiply-adds than tall ones.
ABREAST, SUMS = {16: (2, 12), 32: (4, 24)}[REGISTERS]
PANEL_BYTES = ABREAST * VECTOR
# Columns of a matrix that are packed side by side, to be read as Aᵀ: a multiple of every full tile's height.
BLOCK_WIDTH = SUMS
# So many blocks are packed at once.
BLOCKS_AT_ONCE = 4
# Aᵀ is packed where lines of A lie a multiple of so many bytes apart. Lines 4096 apart are in the way of one another in
# a first cache of 64 sets; a Zen with 32 registers reads nearer ones from its second cache without a loss.
_IS_ZEN = llvmlite.binding.get_host_cpu_name().startswith("znver")
COLLIDING = 4096 if _IS_ZEN and REGISTERS == 32 else 1024
_TALLEST = 12


def heights(vectors: int) -> list[int]:
    """How many rows tiles so many vectors wide may have, the full tile's first."""
    full = min(_TALLEST, SUMS // vectors)
    return [full, *(rows for rows in (4, 2, 1) if rows < full)]
