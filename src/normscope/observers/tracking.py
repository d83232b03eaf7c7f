"""Telling a tracker what happens while an experiment runs, for as long as it takes it."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from itertools import accumulate

from normscope.experiment import EpochRecord, Result, Trial
from normscope.observers.progress import Now
from normscope.observers.protocol import Observer, Report
from normscope.observers.tracker import Tracker
from normscope.words import what_went_wrong


class Tracking(Observer):
    """Tells a tracker of trials until the tracker fails, of which the user is told, once.

    So a server that is gone ends no training.
    """

    def __init__(
        self, name: str, tracker: Tracker, noticed: Callable[[str], None], now: Now = time.time
    ):
        self.name, self.tracker, self.tell, self.now = name, tracker, noticed, now
        self.failed = False
        self.found: list[Result] = []  # of trials that other processes trained
        self.epochs: dict[str, int] = {}  # that an open run has, by the trial's id

    def trial_started(self, trial: Trial) -> None:
        self._try(lambda: self._begin(trial, self.now()))

    def epoch_ended(self, trial: Trial, record: EpochRecord) -> None:
        self._try(lambda: self._add(trial, record, self.now()))

    def trial_ended(self, result: Result) -> None:
        self._try(lambda: self._end(result))

    def trial_found(self, result: Result) -> None:
        """The process that trained it may be telling the tracker of it: it is looked for later."""
        self.found.append(result)

    def stored(self, result: Result) -> None:
        """A trial was in the folder already."""
        self._try(lambda: self._end(result))

    def reported(self, report: Report) -> None:
        for result in self.found:
            self.stored(result)
        self._try(lambda: self.tracker.summarize(report))

    def close(self) -> None:
        self._try(self.tracker.close)

    def _try(self, do: Callable[[], None]) -> None:
        if self.failed:
            return
        try:
            do()
        except Exception as error:  # of whatever type: it is the library of somebody else
            self.failed = True
            with suppress(Exception):  # what it holds open; that it failed is told
                self.tracker.close()
            self.tell(
                f"{self.name} failed and is told no more ({reason(error)}). No training ends for "
                "that; the same command adds later what is missing there."
            )

    def _begin(self, trial: Trial, at: float) -> None:
        self.epochs[trial.id] = self.tracker.begin(trial, at)

    def _add(self, trial: Trial, record: EpochRecord, at: float) -> None:
        """An epoch that is there already is told again by a trial that goes on."""
        if record.epoch > self.epochs[trial.id]:
            self.tracker.epoch(trial, record, at)
            self.epochs[trial.id] = record.epoch

    def _end(self, result: Result) -> None:
        trial, now = result.trial, self.now()
        if trial.id in self.epochs:
            times = [now] * len(result.history)  # for those that were not told of, if any
        elif self.tracker.has(result):
            return
        else:  # it did not run here, or some time ago
            start, *times, now = _times(result)
            self._begin(trial, start)
        for record, at in zip(result.history, times, strict=True):
            self._add(trial, record, at)
        self.tracker.end(result, now)
        del self.epochs[trial.id]


def _times(result: Result) -> list[float]:
    """When a trial began, when each of its epochs ended as far as is known, and when it ended."""
    start = datetime.fromisoformat(result.started).timestamp()
    epochs = [record.train_seconds + record.test_seconds for record in result.history]
    return [*accumulate(epochs, initial=start), start + result.seconds]


def reason(error: Exception) -> str:
    """What an error says, in one line."""
    return what_went_wrong(str(error)) or type(error).__name__
