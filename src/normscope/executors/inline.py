"""One trial after the other in this process."""

import traceback
from collections import defaultdict
from collections.abc import Generator, Sequence

from normscope.executors.protocol import Executor, Take, WhenLost, Work, all_of, taken
from normscope.experiment import EpochRecord, Result, Trial
from normscope.observers import Observer


class Inline(Executor):
    """Runs one trial at a time, in this process, however many are allowed at once."""

    def run(
        self, work: Work, trials: Sequence[Trial], observer: Observer, take: Take = all_of
    ) -> Generator[Result]:
        for group in taken(([trial] for trial in trials), take):
            yield from run_group(work, group, observer, self.when_lost)


def run_group(
    work: Work, group: Sequence[Trial], observer: Observer, when_lost: WhenLost
) -> list[Result]:
    """The results of a group that runs in this process; what its work raises is its outcome."""
    telling = _Telling(observer)
    for trial in group:
        observer.trial_started(trial)
    try:
        return work(group, on_epoch=telling)
    except Exception:
        if telling.failed:  # no outcome of a trial: a closed terminal, a full disk
            raise
        reason = traceback.format_exc()
    return [when_lost(trial, reason, telling.histories[trial.id]) for trial in group]


class _Telling:
    """Passes epochs on to the observer, keeps them, and knows whether the observer raised."""

    def __init__(self, observer: Observer):
        self.observer = observer
        self.histories: dict[str, list[EpochRecord]] = defaultdict(list)
        self.failed = False

    def __call__(self, trial: Trial, record: EpochRecord) -> None:
        self.histories[trial.id].append(record)
        self.failed = True
        self.observer.epoch_ended(trial, record)
        self.failed = False
