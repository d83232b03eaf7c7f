"""What a core can multiply: products and sums of vectors that never leave their registers."""

import statistics
import time
from functools import cache

import numba
import numpy as np

from normscope.errors import UsageError
from normscope.experiment import Precision
from normscope.training.lanes.emit import Vectors, emitter, loop
from normscope.training.lanes.layer import PER_WORD
from normscope.training.lanes.layout import zeros
from normscope.training.lanes.target import target

SUMS = 12  # more than an instruction takes cycles, times those that begin in one
TOGETHER = 4  # products of each sum in one round of the loop
ROUNDS = 200_000
TRIES = 9


def peak_rate(precision: Precision) -> float:
    """GFLOP/s of one core, right now: the median of several tries, a product and a sum being two.

    Raises `UsageError` if the processor has no such vectors.
    """
    here = target()
    if here is None or (precision == "bf16" and not here.bfloat16):
        raise UsageError(f"this processor multiplies no vectors in {precision}")
    multiply, numbers = _loop(here.lanes, PER_WORD[precision]), zeros((2 * here.lanes,))
    sums = zeros((SUMS * here.lanes,))
    multiply(numbers, sums, 1)
    per_round = 2 * PER_WORD[precision] * here.lanes * SUMS * TOGETHER
    return statistics.median(
        per_round * ROUNDS / 1e9 / _seconds(multiply, numbers, sums) for _ in range(TRIES)
    )


def _seconds(multiply, numbers: np.ndarray, sums: np.ndarray) -> float:
    started = time.perf_counter()
    multiply(numbers, sums, ROUNDS)
    return time.perf_counter() - started


@cache
def _loop(lanes: int, per_word: int):
    @emitter
    def products(builder, numbers, sums, rounds):
        v = Vectors(builder, lanes, per_word)
        x, y = (v.load(v.at(numbers, k * lanes)) for k in range(2))

        def several(i, carried):
            for _ in range(TOGETHER):
                carried = [v.dot(x, y, total) for total in carried]
            return carried

        for k, total in enumerate(loop(builder, rounds, several, [v.zero] * SUMS)):
            v.store(total, v.at(sums, k * lanes))

    @numba.njit
    def multiply(numbers, sums, rounds):
        products(numbers, sums, rounds)

    return multiply
