"""Trials that differ only in their seed, together: as one network that fills a GPU."""

from collections.abc import Callable, Generator, Sequence
from itertools import groupby
from typing import Protocol

from normscope.experiment import EpochRecord, Result, Trial
from normscope.observers import Observer


class FleetWork(Protocol):
    def __call__(
        self, trials: Sequence[Trial], *, on_epoch: Callable[[Trial, EpochRecord], None]
    ) -> list[Result]:
        """Train trials that differ only in their seed, and tell of each epoch of each."""
        ...


class Fleets:
    """Runs fleets of at most `size` trials, one fleet after the other, in this process."""

    def __init__(self, size: int):
        self.size = size

    def run(
        self, work: FleetWork, trials: Sequence[Trial], observer: Observer
    ) -> Generator[Result]:
        for fleet in fleets(trials, self.size):
            for trial in fleet:
                observer.trial_started(trial)
            yield from work(fleet, on_epoch=observer.epoch_ended)


def fleets(trials: Sequence[Trial], size: int) -> list[list[Trial]]:
    """The trials in groups of at most `size` that differ only in their seed."""

    def but_for_seed(trial: Trial) -> str:
        return trial.model_copy(update={"seed": 0}).id

    groups = [list(group) for _, group in groupby(sorted(trials, key=but_for_seed), but_for_seed)]
    return [group[i : i + size] for group in groups for i in range(0, len(group), size)]
