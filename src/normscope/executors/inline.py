"""One trial after the other in this process."""

from collections.abc import Generator, Sequence
from functools import partial

from normscope.executors.protocol import Work
from normscope.experiment import Result, Trial
from normscope.observers import Observer


class Inline:
    def run(self, work: Work, trials: Sequence[Trial], observer: Observer) -> Generator[Result]:
        for trial in trials:
            observer.trial_started(trial)
            yield work(trial, on_epoch=partial(observer.epoch_ended, trial))
