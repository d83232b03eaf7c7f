"""Where trials run. An executor knows a callable and a list of trials, and nothing else."""

from collections.abc import Callable, Generator, Sequence
from typing import Protocol

from normscope.config import EpochRecord, Result, Trial
from normscope.progress import Observer


class Work(Protocol):
    def __call__(self, trial: Trial, *, on_epoch: Callable[[EpochRecord], None]) -> Result:
        """Train a trial, and tell of each epoch."""
        ...


class Executor(Protocol):
    def run(self, work: Work, trials: Sequence[Trial], observer: Observer) -> Generator[Result]:
        """Yield each trial's result as soon as it is there; tell `observer` of starts and epochs.

        Results come in the order in which trials end. Closing the iterator stops what still runs.
        """
        ...
