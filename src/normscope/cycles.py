"""Python's search for cycles, which finds none among hundreds of thousands of records."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def not_searched_for() -> Iterator[None]:
    """Meanwhile no cycle is found: for what makes many objects and no cycles."""
    before = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if before:
            gc.enable()


@contextmanager
def searched_for_in_what_is_new() -> Iterator[None]:
    """Meanwhile those are found that are made meanwhile: for what works on many objects."""
    if gc.get_freeze_count():  # somebody else's, which nothing could tell from ours
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
