"""Trials that differ only in their seed, together: as one network that fills a GPU."""

from collections.abc import Generator, Sequence

from normscope.executors.inline import run_group
from normscope.executors.protocol import Executor, Take, Work, all_of, taken
from normscope.experiment import Result, Trial
from normscope.observers import Observer


class Fleets(Executor):
    """Runs fleets of at most `at_once` trials, one fleet after the other, in this process."""

    def run(
        self, work: Work, trials: Sequence[Trial], observer: Observer, take: Take = all_of
    ) -> Generator[Result]:
        for fleet in taken(fleets(trials, self.at_once), take):
            yield from run_group(work, fleet, observer, self.when_lost)


def fleets(trials: Sequence[Trial], size: int) -> list[list[Trial]]:
    """The trials in groups of at most `size` that differ only in their seed.

    Those of a group see the same images, so that a fold is by itself. The groups come in the order
    of their first trials.
    """
    alike: dict[tuple[str, int | None], list[Trial]] = {}
    places = {trial.id: place for place, trial in enumerate(trials)}
    for trial in trials:
        images = None if trial.folds is None else trial.seed  # each time others are dealt out
        key = trial.model_copy(update={"seed": 0}).id, images
        alike.setdefault(key, []).append(trial)
    groups = [some[i : i + size] for some in alike.values() for i in range(0, len(some), size)]
    return sorted(groups, key=lambda group: places[group[0].id])
