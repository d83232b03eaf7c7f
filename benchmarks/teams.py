"""Worker processes that do the same thing at the same time, set up like the program they time."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from normscope.cores import available_cores
from normscope.executors.processes import ALLOCATOR


class Team:
    """`size` processes, each with `threads` threads and these environment variables."""

    def __init__(self, size: int, threads: int, **variables: str):
        self.size = size
        with _environment(OMP_NUM_THREADS=str(threads), **variables):
            self.pool = ProcessPoolExecutor(
                size,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_processes_by,
                initargs=(multiprocessing.get_start_method(),),
            )
            wait([self.pool.submit(time.sleep, 1.0) for _ in range(size)])  # starts all of them

    def together(self, function: Callable, *arguments: Any) -> list[Any]:
        """Call `function` in all processes at the same time; return the result of each."""
        futures = [self.pool.submit(function, *arguments) for _ in range(self.size)]
        return [future.result() for future in futures]

    def __enter__(self) -> "Team":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.pool.shutdown(cancel_futures=True)


def one_for_all_cores() -> Team:
    """One process that has all cores, as the published loop runs."""
    return Team(1, available_cores())


def one_for_each_core() -> Team:
    """One single-threaded process per core, with `compare`'s allocator, as the tool runs."""
    return Team(available_cores(), 1, GLIBC_TUNABLES=ALLOCATOR)


def _start_processes_by(method: str) -> None:
    """Make a worker start processes of its own in the way that a script does.

    By default, a spawned process spawns its children too. Every DataLoader would then start its
    workers by importing torch anew and pickling all images in every epoch. A script on Linux does
    not do that.
    """
    multiprocessing.set_start_method(method, force=True)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
