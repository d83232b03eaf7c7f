"""Signals that ask a command to stop: Ctrl-C, `kill`, the end of the terminal.

They reach the program through `normscope.stopping`. One that has not ended `DEADLINE_S` seconds
later is ended in the midst of what it does: results are written all or nothing, so none is lost.
"""

import os
import signal
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from types import FrameType

from normscope import stopping

DEADLINE_S = 4.5
SHOW_CURSOR = b"\x1b[?25h"  # bars that move in place hide it


def exit_code(stop: BaseException | None) -> int:
    """128 and the number of the signal, as of a program that the signal ended."""
    return 128 + (stop.number if isinstance(stop, stopping.Stopped) else signal.SIGINT)


@contextmanager
def signals_heard() -> Iterator[None]:
    """Let signals ask the program to stop, and see to it that it does. For the main thread."""
    terminals = [stream for stream in (1, 2) if os.isatty(stream)]  # no longer known once gone

    def handler(number: int, frame: FrameType | None) -> None:
        if number not in (signal.SIGINT, signal.SIGTERM):
            _leave(terminals)
        stopping.ask(number)

    before = {number: signal.signal(number, handler) for number in _signals()}
    try:
        with _deadline(before, terminals):
            yield
    finally:
        for number, its_handler in before.items():
            signal.signal(number, its_handler)
        stopping.forget()


@contextmanager
def _deadline(signals: Collection[int], terminals: list[int]) -> Iterator[None]:
    """End the process some seconds after a signal, unless this is left before.

    The signal's number comes through a socket, and a thread waits for it: Python calls a handler
    only once the main thread returns from what it computes.
    """
    heard, told = socket.socketpair()
    told.setblocking(False)
    over = Event()

    def watch() -> None:
        while number := heard.recv(1):  # of any signal that has a handler; none once `told` closes
            if number[0] in signals and not over.wait(DEADLINE_S):
                _end(number[0], terminals)

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        over.set()
        told.close()
        watcher.join()
        heard.close()


def _end(number: int, terminals: list[int]) -> None:
    """End the process as it is."""
    try:
        if terminals:
            os.write(terminals[0], SHOW_CURSOR)
        os.write(2, b"\nStopped.\n")
    finally:  # there may be nobody to tell
        os._exit(128 + number)


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
