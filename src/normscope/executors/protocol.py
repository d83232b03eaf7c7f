"""What an executor is. It knows a callable and groups of trials, and nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from normscope.experiment import EpochRecord, Result, Trial
from normscope.observers import Observer

# Makes the result of a trial that left none, from the reason and the epochs that were told of.
WhenLost = Callable[[Trial, str, Sequence[EpochRecord]], Result]


# Those trials of a group that are to be run, asked for when it is their turn; none: it is left out.
Take = Callable[[Sequence[Trial]], Sequence[Trial]]


def all_of(group: Sequence[Trial]) -> Sequence[Trial]:
    """Every trial of a group is to be run."""
    return group


def taken(groups: Iterable[Sequence[Trial]], take: Take) -> Iterator[list[Trial]]:
    """What is to be run of each group in turn, for an executor that asks when it has room."""
    for group in groups:
        if some := list(take(group)):
            yield some


class Work(Protocol):
    def __call__(
        self, trials: Sequence[Trial], *, on_epoch: Callable[[Trial, EpochRecord], None]
    ) -> list[Result]:
        """Train a group of trials that differ only in their seed, and tell of each epoch of each.

        What `on_epoch` raises must pass through.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Executor(ABC):
    """Runs trials in groups of its own choice; at most `at_once` trials run at the same time.

    Each process that it starts computes with `threads` threads; its own process keeps those it has.
    `when_lost` makes a result of a trial whose work raised or whose process ended.
    """

    at_once: int
    threads: int
    when_lost: WhenLost

    @abstractmethod
    def run(
        self, work: Work, trials: Sequence[Trial], observer: Observer, take: Take = all_of
    ) -> Generator[Result]:
        """Run every trial that it may take once, and yield its result as soon as it is there.

        The observer is told when a trial starts and when an epoch of it ends, always in the thread
        of the caller; what it raises is raised here. Closing the generator stops what still runs.
        """
