"""A request to stop, which whoever is in the midst of something answers in good order.

The handler of a signal asks. Most code is simply left, by an exception; what wants to keep its work
first says so, and looks for a request where it can be kept::

    with postponed():
        for batch in batches:
            step(batch)
            if asked():
                keep(...)
                answer()  # raises `Stopped`

A second request does not wait for that. State of the process, as signals are.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Stopped(KeyboardInterrupt):
    """Raised where the program is when a signal asks it to stop; `number` is the signal's."""

    def __init__(self, number: int = signal.SIGINT):
        super().__init__(number)
        self.number = number


class _State:
    def __init__(self):
        self.requests: list[int] = []
        self.postponing = 0
        self.uninterrupted = 0


_state = _State()


def ask(number: int = signal.SIGINT) -> None:
    """Ask the program to stop, because of the signal `number`: for the handler of a signal.

    Raises `Stopped` at once, unless that is `postponed` and this is the first request, or the
    program is `uninterrupted`.
    """
    _state.requests.append(number)
    if _state.uninterrupted or (_state.postponing and len(_state.requests) == 1):
        return
    answer()


def asked() -> bool:
    """Whether the program has been asked to stop."""
    return bool(_state.requests)


def answer() -> None:
    """Raise `Stopped` if the program has been asked to stop."""
    if _state.requests:
        raise Stopped(_state.requests[0])


def check() -> None:
    """The same, unless that is `postponed`: for what may be called in the midst of anything."""
    if not _state.postponing and not _state.uninterrupted:
        answer()


@contextmanager
def postponed() -> Iterator[None]:
    """Within it, the first request to stop raises nothing; the code looks for it by `asked`."""
    _state.postponing += 1
    try:
        yield
    finally:
        _state.postponing -= 1


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Within it, no request raises; one that came is answered at its end. For a moment's work."""
    _state.uninterrupted += 1
    try:
        yield
    finally:
        _state.uninterrupted -= 1
    check()


def forget() -> None:
    """No request is open any more: what was asked to stop has ended."""
    _state.requests.clear()
