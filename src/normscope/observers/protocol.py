"""Who is told what happens while an experiment runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from normscope.experiment import EpochRecord, Experiment, Result, Trial

Check = Callable[[], None]  # raises if the user wants to stop


def never() -> None:
    """Nobody asks to stop."""


@dataclass(frozen=True)
class NormOutcome:
    """What came of a norm at one batch size; the names are columns of `Comparison.table()`.

    The difference is that in test accuracy to the baseline, which has none: mean, interval, number
    of seeds.
    """

    norm: str
    batch_size: int
    verdict: str
    test_accuracy_percent_mean: float | None
    difference_points_mean: float | None
    difference_points_low: float | None
    difference_points_high: float | None
    difference_points_n: int


@dataclass(frozen=True)
class Report:
    """What came of an experiment; `page` and `summary` are files: the report, and it in short."""

    experiment: Experiment
    recommendation: str
    outcomes: tuple[NormOutcome, ...]
    page: Path
    summary: Path


class Observer:
    """Told what happens while an experiment runs, and does nothing about it.

    A subclass overrides the methods it cares about, so it still works when a later version tells
    of more. What a method raises ends the experiment; the trials that ended before are kept.
    """

    def downloaded(self, received: int, total: int) -> None:
        """`received` of `total` bytes of the data set are here."""

    def images_read(self, count: int, total: int) -> None:
        """`count` of `total` images of the user's own are read."""

    def started(self, todo: list[Trial], stored: int, how: str) -> None:
        """The trials to be run, how many more are stored already, and how they are run."""

    def noticed(self, sentence: str) -> None:
        """Something that the user may not expect."""

    def trial_started(self, trial: Trial) -> None:
        """Several may run at once."""

    def trial_retried(self, trial: Trial, reason: str) -> None:
        """What computed a trial ended, for that reason; the trial begins anew, or goes on."""

    def epoch_ended(self, trial: Trial, record: EpochRecord) -> None:
        """One of the trials that run has an epoch more."""

    def trial_ended(self, result: Result) -> None:
        """A trial ended, finished or not, and its result is stored."""

    def trial_found(self, result: Result) -> None:
        """A trial ended that another process trained into the folder; it did not start here."""

    def block_ended(self, seeds: int, verdicts: Sequence[str]) -> None:
        """So many seeds are complete, and this is how the comparisons stand."""

    def sequence_ended(self, sentence: str) -> None:
        """Why no more seeds are added."""

    def reported(self, report: Report) -> None:
        """The report of the experiment is written."""

    def close(self) -> None:
        """Nothing more will come, because the experiment ended or was stopped."""


class Several(Observer):
    """Tells several observers, in their order."""

    def __init__(self, *observers: Observer):
        self.observers = observers

    def downloaded(self, received: int, total: int) -> None:
        for observer in self.observers:
            observer.downloaded(received, total)

    def images_read(self, count: int, total: int) -> None:
        for observer in self.observers:
            observer.images_read(count, total)

    def started(self, todo: list[Trial], stored: int, how: str) -> None:
        for observer in self.observers:
            observer.started(todo, stored, how)

    def noticed(self, sentence: str) -> None:
        for observer in self.observers:
            observer.noticed(sentence)

    def trial_started(self, trial: Trial) -> None:
        for observer in self.observers:
            observer.trial_started(trial)

    def trial_retried(self, trial: Trial, reason: str) -> None:
        for observer in self.observers:
            observer.trial_retried(trial, reason)

    def epoch_ended(self, trial: Trial, record: EpochRecord) -> None:
        for observer in self.observers:
            observer.epoch_ended(trial, record)

    def trial_ended(self, result: Result) -> None:
        for observer in self.observers:
            observer.trial_ended(result)

    def trial_found(self, result: Result) -> None:
        for observer in self.observers:
            observer.trial_found(result)

    def block_ended(self, seeds: int, verdicts: Sequence[str]) -> None:
        for observer in self.observers:
            observer.block_ended(seeds, verdicts)

    def sequence_ended(self, sentence: str) -> None:
        for observer in self.observers:
            observer.sequence_ended(sentence)

    def reported(self, report: Report) -> None:
        for observer in self.observers:
            observer.reported(report)

    def close(self) -> None:
        for observer in self.observers:
            observer.close()
