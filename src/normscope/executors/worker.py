"""The other end of `processes`: a process that calls the work on the groups it is sent.

It reads the work once and then one group after the other, all pickled, from standard input. To
standard output it writes a pair of trial and record for each epoch, and for each group the list of
its results, or `Lost`. It ends when its input ends, whatever it is doing: then its parent is gone.
SIGTERM asks it to stop (`normscope.stopping`).
"""

import os
import pickle
import signal
import sys
import traceback
from queue import SimpleQueue
from threading import Thread

from normscope import children, stopping
from normscope.executors.processes import Lost
from normscope.experiment import EpochRecord, Trial


def main(parent: int) -> None:
    """Work for the process with the id `parent`."""
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.ask(number))
    children.end_with(parent)
    try:
        _work()
    except stopping.Stopped as stop:
        os._exit(128 + stop.number)  # what the threads wait for will not come


def _work() -> None:
    answers = children.answers()

    def send(message: object) -> None:
        answers.write(pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))  # all or nothing
        try:
            answers.flush()
        except BrokenPipeError:  # the parent is gone
            os._exit(1)

    def on_epoch(trial: Trial, record: EpochRecord) -> None:
        send((trial, record))

    work = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the parent process
    groups: SimpleQueue[list[Trial]] = SimpleQueue()
    Thread(target=_receive, args=(groups,), daemon=True).start()
    while True:
        group = groups.get()
        try:
            send(work(group, on_epoch=on_epoch))
            stopping.answer()  # a request that came after the last step
        except Exception:
            send(Lost(traceback.format_exc()))


def _receive(groups: SimpleQueue[list[Trial]]) -> None:
    """Read groups until the input ends, then end the process in the midst of its work."""
    try:
        while True:
            groups.put(pickle.load(sys.stdin.buffer))  # noqa: S301 - from the parent process
    finally:
        os._exit(1)
