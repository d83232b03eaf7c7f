"""Blocks of samples shared among threads, and the memory that each thread keeps."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import numpy as np

from normscope.training.lanes.layout import zeros

Outcome = TypeVar("Outcome")


def over_blocks(
    work: Callable[[int, int], Outcome], blocks: int, together: int, threads: int
) -> list[Outcome]:
    """``work(start, stop)`` for ranges of blocks, one for each thread; what they return, in order.

    `together` blocks are never parted. With one thread it is the caller's.
    """
    parts = min(threads, blocks // together)
    if parts <= 1:
        return [work(0, blocks)]
    bounds = np.linspace(0, blocks // together, parts + 1).astype(int) * together
    return list(_pool(parts).map(work, *zip(*pairwise(bounds.tolist()), strict=True)))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


class Scratch(threading.local):
    """Arrays that a thread works in, which are kept from call to call and shared by all layers."""

    def __init__(self):
        self._arrays: dict[str, np.ndarray] = {}

    def words(self, name: str, size: int) -> np.ndarray:
        """The float32 array of this name, of at least `size`; 0 when it is new."""
        array = self._arrays.get(name)
        if array is None or array.size < size:
            array = self._arrays[name] = zeros((size,))
        return array


SCRATCH = Scratch()
