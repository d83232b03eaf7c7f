"""Where trials run. An executor knows a callable and a list of trials, and nothing else.

Its method `run(work, trials, observer)` yields each trial's result as soon as it is there, in the
order in which trials end, and tells the observer of starts and epochs. Closing the generator stops
what still runs.
"""

from collections.abc import Callable
from typing import Protocol

from normscope.experiment import EpochRecord, Result, Trial


class Work(Protocol):
    def __call__(self, trial: Trial, *, on_epoch: Callable[[EpochRecord], None]) -> Result:
        """Train a trial, and tell of each epoch."""
        ...
