"""Signals that ask a command to stop: Ctrl-C and its like, noticed even where Python drops them."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from normscope.observers import Check


class Stopped(KeyboardInterrupt):
    """Raised where the command is when a signal asks it to stop."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def exit_code(stop: KeyboardInterrupt) -> int:
    """128 and the number of the signal, as of a program that the signal ended."""
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


@contextmanager
def stop_noticed() -> Iterator[Check]:
    """Raise `Stopped` at a signal, and give a check that raises it again if one came before.

    Python drops the exception of a signal that comes while it clears up an object; then the check
    raises it again. Only for the main thread.
    """
    noticed: list[int] = []
    terminals = [stream for stream in (1, 2) if os.isatty(stream)]  # no longer known once gone

    def handler(number: int, frame: FrameType | None) -> None:
        noticed.append(number)
        if number not in (signal.SIGINT, signal.SIGTERM):
            _leave(terminals)
        raise Stopped(number)

    def check() -> None:
        if noticed:
            raise Stopped(noticed[0])

    before = {number: signal.signal(number, handler) for number in _signals()}
    try:
        yield check
    finally:
        for number, its_handler in before.items():
            signal.signal(number, its_handler)


def _leave(terminals: list[int]) -> None:
    """Let what is still said go nowhere, since writing to a terminal that is gone would raise."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in terminals:
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _signals() -> list[signal.Signals]:
    """Ctrl-C, what `kill` sends, and the end of the terminal, which Windows does not signal."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)  # not under `nohup`, which ignores it
    return numbers
