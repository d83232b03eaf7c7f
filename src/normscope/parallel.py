"""What takes Python all of its time, computed by several processes.

A process gets one core's time.
"""

import os
import pickle
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from subprocess import Popen
from typing import Any, Generic, TypeVar

from normscope import children
from normscope.cores import available_cores

AHEAD = 2  # arguments for each process that are sent before a value is taken: what memory holds
MOST = 8  # processes, each of which imports what it needs in half a second

Argument = TypeVar("Argument")
Value = TypeVar("Value")


def in_order(
    function: Callable[[Argument], Value], arguments: Iterable[Argument], worth_it: bool = True
) -> Generator[Value]:
    """``function(argument)`` for each of the arguments, in their order.

    As many processes compute them as there are cores, eight at most, unless that is not
    `worth_it`. The function
    (of some module), arguments and values are pickled. What a process cannot do, for whatever
    reason, is done here: an error is raised as if there were no other process.
    """
    processes = min(available_cores(), MOST) if worth_it else 1
    if processes == 1:
        yield from map(function, arguments)
        return
    waiting = deque[tuple[Argument, Future[_Value | None]]]()
    with (
        ThreadPoolExecutor(processes) as threads,
        closing(_Helpers(function, processes)) as helpers,
    ):

        def first() -> Value:
            argument, answer = waiting.popleft()
            found = answer.result()
            return function(argument) if found is None else found.value

        try:
            for argument in arguments:
                waiting.append((argument, threads.submit(helpers.ask, argument)))
                if len(waiting) > AHEAD * processes:
                    yield first()
            while waiting:
                yield first()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


@contextmanager
def meanwhile(
    function: Callable[[Argument], Value], arguments: Sequence[Argument], worth_it: bool = True
) -> Iterator[Callable[[], list[Value]]]:
    """``function(argument)`` for each of the arguments, which another process computes meanwhile.

    What this gives waits for all of the values. With one core, or where that is not `worth_it`,
    they are computed when they are waited for. Otherwise as `in_order`.
    """
    if available_cores() == 1 or not worth_it:
        yield lambda: [function(each) for each in arguments]
        return
    with ThreadPoolExecutor(1) as threads, closing(_Helpers(function, 1)) as helpers:
        answers = [threads.submit(helpers.ask, each) for each in arguments]

        def values() -> list[Value]:
            found = zip(arguments, (answer.result() for answer in answers), strict=True)
            return [function(each) if one is None else one.value for each, one in found]

        try:
            yield values
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class _Value(Generic[Value]):
    value: Value


class _Helpers:
    """Up to `most` processes that compute a function, started when they are needed.

    One that ended is not replaced: what ended it may end the next one, too.
    """

    def __init__(self, function: Callable[..., Any], most: int):
        self.function = pickle.dumps(function, protocol=pickle.HIGHEST_PROTOCOL)
        self.free: SimpleQueue[Popen[bytes] | None] = SimpleQueue()  # None: one may be started
        for _ in range(most):
            self.free.put(None)
        self.started: list[Popen[bytes]] = []
        self.closed = False

    def ask(self, argument: Any) -> "_Value[Any] | None":
        """What one of them finds; None if it finds nothing, or there is none any more."""
        try:
            if self.closed:
                return None
            question = pickle.dumps(argument, protocol=pickle.HIGHEST_PROTOCOL)
            helper = self.free.get_nowait() or self._start()
            to_helper, from_helper = children.streams(helper)
            to_helper.write(question)
            to_helper.flush()
            found = pickle.load(from_helper)  # noqa: S301 - from a process of our own
        except Exception:  # it is computed again where an error can be told
            return None
        self.free.put(helper)
        return found

    def _start(self) -> "Popen[bytes]":
        helper = children.start("normscope.parallel", threads=1)
        self.started.append(helper)
        if self.closed:  # meanwhile
            children.stop(helper)
        children.streams(helper)[0].write(self.function)
        return helper

    def close(self) -> None:
        self.closed = True
        for helper in self.started:  # all of them, whatever interrupts the waiting
            helper.kill()
        for helper in self.started:
            children.stop(helper)


def main(parent: int) -> None:
    """Compute for the process with the number `parent` until it asks no more."""
    children.end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    answers, questions = children.answers(), sys.stdin.buffer
    function = pickle.load(questions)  # noqa: S301 - from the parent process
    while True:
        try:
            argument = pickle.load(questions)  # noqa: S301 - from the parent process
        except EOFError:
            os._exit(0)
        try:
            found = _Value(function(argument))
            answer = pickle.dumps(found, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception:  # the parent finds it again
            answer = pickle.dumps(None)
        answers.write(answer)
        answers.flush()
