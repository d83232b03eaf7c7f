"""Who is told what happens while an experiment runs."""

from collections.abc import Callable, Sequence

from normscope.experiment import EpochRecord, Result, Trial

Check = Callable[[], None]  # raises if the user wants to stop


def never() -> None:
    """Nobody asks to stop."""


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

    def close(self) -> None:
        for observer in self.observers:
            observer.close()
