"""The other end of `processes`: a process that trains the trials it is sent.

It reads the work once and then one trial after the other, all pickled, from standard input, and
writes epoch records and results to standard output, until its input ends.
"""

import os
import pickle
import sys
import traceback

from normscope.executors.processes import Lost
from normscope.experiment import EpochRecord


def main() -> None:
    # Whatever prints meanwhile must not get between the messages.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(message: object) -> None:
        answers.write(pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))  # all or nothing
        try:
            answers.flush()
        except BrokenPipeError:  # the parent is gone
            os._exit(1)

    def on_epoch(record: EpochRecord) -> None:
        send(record)

    work = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the parent process
    while True:
        try:
            trial = pickle.load(sys.stdin.buffer)  # noqa: S301
        except EOFError:
            return
        try:
            send(work(trial, on_epoch=on_epoch))
        except Exception:
            send(Lost(trial, traceback.format_exc()))
