"""The report while training goes on: a process of its own writes it anew, block by block."""

import os
import pickle
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen, TimeoutExpired

from normscope import children, stopping
from normscope.data import Dataset
from normscope.errors import NormscopeError
from normscope.experiment import Result
from normscope.observers import Observer, Several
from normscope.store import Store
from normscope.study.comparison import Comparison
from normscope.study.heartbeat import today
from normscope.study.opening import keep_pictures
from normscope.study.rounds import complete_seeds, dropped_norms
from normscope.study.stored import results_stored
from normscope.words import counted, moment

EVERY_S = 30.0  # between two reports and before the first, at the least
PAUSE = 20  # times as long as a report took, so that it takes about a twentieth of the time
ENDS_WITHIN_S = 2.0


@contextmanager
def report_meanwhile(
    store: Store, dataset: Dataset, observer: Observer, every_s: float = EVERY_S
) -> Iterator[Observer]:
    """An observer that also has the report written whenever one block more is complete.

    A report that is still being written when this is left is given up: the caller writes the last.
    """
    report = _Report(store, dataset, observer, every_s)
    try:
        yield Several(observer, report)
    finally:
        report.give_up()


class _Report(Observer):
    """Has it written after a trial, if a block more is complete and the last one was long ago."""

    def __init__(self, store: Store, dataset: Dataset, told: Observer, every_s: float):
        self.store, self.dataset, self.told, self.every_s = store, dataset, told, every_s
        self.seeds = self._complete()
        self.due = time.monotonic() + every_s
        self.pictures_s = 0.0
        self.writer: Popen[bytes] | None = None

    def trial_ended(self, result: Result) -> None:
        self._look()

    def trial_found(self, result: Result) -> None:
        self._look()

    def _look(self) -> None:
        if self.writer is not None:
            self._hear(self.writer)
        if self.writer is None and time.monotonic() >= self.due:
            seeds = self._complete()
            if seeds > self.seeds:
                self.seeds = seeds
                self._begin()

    def _complete(self) -> int:
        results = results_stored(self.store)
        gone = dropped_norms(self.store, self.store.requests[-1].design, results)
        return complete_seeds(self.store.experiment, results, gone)

    def _begin(self) -> None:
        begun = time.monotonic()
        try:
            keep_pictures(self.store, self.dataset)
        except NormscopeError as error:
            self._leave_it(str(error))
            return
        self.pictures_s = time.monotonic() - begun
        self.writer = children.start("normscope.study.meantime", threads=1)
        to_writer, _ = children.streams(self.writer)
        with suppress(BrokenPipeError):  # it has ended already, which is heard next time
            pickle.dump((self.store.folder, self._how_far()), to_writer)
            to_writer.flush()

    def _how_far(self) -> str:
        complete = counted(self.seeds, "seed")
        if not self.store.requests[-1].design.until_decided:
            complete = f"{self.seeds:,} of {counted(self.store.experiment.seeds, 'seed')}"
        return (
            f"Written while training went on, on {moment(today())}, with {complete} complete. "
            "Until that ends it is written anew: reload it for the newest. If it was stopped, "
            f"`normscope report {shlex.quote(str(self.store.folder))}` writes what there is."
        )

    def _hear(self, writer: "Popen[bytes]") -> None:
        """See whether it has ended, and how."""
        if writer.poll() is None:
            return
        answer = children.streams(writer)[1].read()
        children.stop(writer)
        self.writer = None
        took_s, trouble = pickle.loads(answer) if answer else (0.0, "its process ended early")  # noqa: S301
        self.due = time.monotonic() + max(self.every_s, PAUSE * (took_s + self.pictures_s))
        if trouble:
            self._leave_it(trouble)

    def _leave_it(self, trouble: str) -> None:
        self.due = float("inf")
        self.told.noticed(
            f"The report could not be written so far ({trouble}); it is written when the training "
            "has ended."
        )

    def give_up(self) -> None:
        if self.writer is None:
            return
        self.writer.terminate()  # so that it leaves no half of a file
        with suppress(TimeoutExpired):
            self.writer.wait(ENDS_WITHIN_S)
        children.stop(self.writer)


# -- in the other process --------------------------------------------------------------------------


def main(parent: int) -> None:
    """Write the report of the folder that the process with the number `parent` names."""
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.ask(number))
    children.end_with(parent)
    answers = children.answers()
    folder, how_far = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the parent process
    took_s, trouble = 0.0, ""
    try:
        took_s = _write(folder, how_far)
    except NormscopeError as error:
        trouble = str(error)
    except stopping.Stopped as stop:
        os._exit(128 + stop.number)
    pickle.dump((took_s, trouble), answers)
    answers.flush()


def _write(folder: Path, how_far: str) -> float:
    """Returns the seconds that it took, without those in which another process wrote one."""
    with Store.report_lock(folder, waiting=lambda: None):
        begun = time.monotonic()
        Comparison.read(folder).report(how_far=how_far)
        return time.monotonic() - begun
