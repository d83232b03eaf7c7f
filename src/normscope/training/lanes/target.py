"""What vectors the processor has that numba compiles for."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from numba.core.registry import cpu_target


@dataclass(frozen=True)
class Target:
    """`lanes`: 32-bit words in a vector. `bfloat16`: whether it multiplies pairs at once.

    `tiles`: whether there are registers for matrices of bfloat16 as well, which torch multiplies.
    """

    lanes: int
    bfloat16: bool
    tiles: bool = False


@cache
def target() -> Target | None:
    """The vectors of this processor; None where multiply-adds of vectors would be slow.

    It is the processor that numba compiles for, so NUMBA_CPU_NAME and NUMBA_CPU_FEATURES together
    choose another one.
    """
    _, _, features = processor()
    return of_features(features)


def processor() -> tuple[str, str, str]:
    """What numba compiles for: system, model, and features as LLVM lists them."""
    context: Any = cpu_target.target_context  # typed as something that numba caches
    return context.codegen().magic_tuple()


def of_features(features: str) -> Target | None:
    """The vectors of a processor with these features, as LLVM lists them: ``+avx2,-avx512f``."""
    there = {feature[1:] for feature in features.split(",") if feature.startswith("+")}
    if "avx512f" in there:
        return Target(lanes=16, bfloat16="avx512bf16" in there, tiles="amx-bf16" in there)
    if {"avx2", "fma"} <= there:
        return Target(lanes=8, bfloat16=False)
    return Target(lanes=4, bfloat16=False) if "neon" in there else None
