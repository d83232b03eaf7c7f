"""The report while training goes on: a process of its own writes it anew, block by block."""

import pickle
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen

from normscope import children
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
PAUSE = 20  # times as long as a report took, so that it takes a core a twentieth of the time


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
        keep_pictures(self.store, self.dataset)
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
            f"Written while training went on, on {moment(today())}, with {complete} complete. It "
            "is written anew as more are complete: reload it for the newest."
        )

    def _hear(self, writer: "Popen[bytes]") -> None:
        """See whether it has ended, and how."""
        if writer.poll() is None:
            return
        answer = children.streams(writer)[1].read()
        children.stop(writer)
        self.writer = None
        took_s, trouble = pickle.loads(answer) if answer else (0.0, "its process ended early")  # noqa: S301
        self.due = time.monotonic() + max(self.every_s, PAUSE * took_s)
        if trouble:
            self.due = float("inf")
            self.told.noticed(
                f"The report could not be written so far ({trouble}); it is written when the "
                "training has ended."
            )

    def give_up(self) -> None:
        if self.writer is not None:
            children.stop(self.writer)


# -- in the other process --------------------------------------------------------------------------


def main(parent: int) -> None:
    """Write the report of the folder that the process with the number `parent` names."""
    children.end_with(parent)
    answers = children.answers()
    folder, how_far = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the parent process
    begun, trouble = time.monotonic(), ""
    try:
        _write(folder, how_far)
    except NormscopeError as error:
        trouble = str(error)
    pickle.dump((time.monotonic() - begun, trouble), answers)
    answers.flush()


def _write(folder: Path, how_far: str) -> None:
    with Store.report_lock(folder, waiting=lambda: None):
        Comparison.read(folder).report(how_far=how_far)
