"""Ctrl-C, noticed even where Python drops it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from normscope.observers import Check


@contextmanager
def ctrl_c_noticed() -> Iterator[Check]:
    """Give a check that raises KeyboardInterrupt if Ctrl-C was pressed before.

    Python drops the exception of a signal that comes while it clears up an object; then the check
    raises it again. Only for the main thread.
    """
    pressed = False

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.default_int_handler(number, frame)

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
