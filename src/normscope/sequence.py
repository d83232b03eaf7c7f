"""The order in which trials are run, and when to stop: tuning, then blocks until all is decided."""

import math
import time
from collections.abc import Iterator, Sequence

from normscope.config import LEAST_SEEDS, Design, Result, Trial
from normscope.errors import RunError
from normscope.findings import standing
from normscope.progress import Observer
from normscope.store import Store
from normscope.summaries import summarize_trial, verdicts_on
from normscope.tuning import tuning_plan
from normscope.verdicts import Rules, Verdict


def rounds(
    store: Store, design: Design, budget_s: float | None, workers: int, observer: Observer
) -> Iterator[list[Trial]]:
    """What to run next, until the experiment is done; the caller stores the results in between.

    First what the search for learning rates needs, as it comes to need it; then the blocks. In a
    design until decided, more blocks follow: so many at once that no worker idles. Raises
    `RunError` if trials of the search failed.
    """
    started = time.monotonic()
    if store.experiment.protocol == "tuned":
        yield from _tuning_rounds(store)
    if design.until_decided:  # seeds that were planned once and never run are not asked for now
        begun = max((result.trial.seed + 1 for result in store.results()), default=0)
        store.extend(max(begun, min(LEAST_SEEDS, design.max_seeds)))
    yield store.missing(store.plan())
    while design.until_decided:
        before = time.monotonic()
        reason = _reason_to_stop(store, design)
        if reason is None and budget_s is not None and before - started >= budget_s:
            reason = "the budget of time is used up"
        seeds = store.experiment.seeds
        if reason is not None:
            observer.sequence_ended(f"Stopped after {seeds} seeds: {reason}.")
            return
        store.extend(min(design.max_seeds, seeds + blocks_at_once(store, workers)))
        yield store.missing(store.plan())


def _tuning_rounds(store: Store) -> Iterator[list[Trial]]:
    while todo := store.missing(tuning_plan(store.experiment, store.tuning())):
        yield todo
        failed = [result for result in store.tuning() if result.status == "failed"]
        if failed:
            error = (failed[0].error or "").strip().splitlines()[-1]
            raise RunError(
                f"{len(failed)} trials of the search for learning rates failed ({error}); the same "
                "command tries them again"
            )


def blocks_at_once(store: Store, workers: int) -> int:
    """How many seeds at once leave no worker idle; of many workers, only in the last trials."""
    trials = len(store.experiment.norms) * len(store.experiment.batch_sizes)
    even = workers // math.gcd(workers, trials)
    return even if even <= 3 else math.ceil(workers / trials)


def _reason_to_stop(store: Store, design: Design) -> str | None:
    results, experiment = store.results(), store.experiment
    if any(result.status == "failed" for result in results):
        return "a trial failed"
    verdicts = standing_verdicts(store, design, results)
    if experiment.seeds >= LEAST_SEEDS and all(verdict.decided for verdict in verdicts):
        return "every comparison is decided"
    if experiment.seeds > design.max_seeds:
        return f"they are stored already, and no more than {design.max_seeds} were asked for"
    if experiment.seeds == design.max_seeds:
        return f"that is the most allowed ({design.max_seeds})"
    return None


def standing_verdicts(store: Store, design: Design, results: Sequence[Result]) -> list[Verdict]:
    """The verdicts that the results allow by now."""
    labels, facts = store.test_labels(), store.facts()
    trials = [summarize_trial(result, (50.0,), labels) for result in results]
    rules = Rules(True, design.alpha, design.margin_points)
    chance = 100 / len(facts.class_names)
    return list(verdicts_on(store.experiment, trials, rules, chance).values())


class Watch:
    """Tells the observer how the verdicts stand whenever a block is complete."""

    def __init__(self, store: Store, design: Design, observer: Observer):
        self.store, self.design, self.observer = store, design, observer
        self.results = store.results()
        self.told = self._complete()

    def added(self, result: Result) -> None:
        if not self.design.until_decided or result.trial.validation:
            return
        self.results.append(result)
        complete = self._complete()
        if complete > self.told:
            self.told = complete
            verdicts = standing_verdicts(self.store, self.design, self.results)
            several = len(self.store.experiment.batch_sizes) > 1
            self.observer.block_ended(complete, [standing(v, several) for v in verdicts])

    def _complete(self) -> int:
        """How many seeds have an outcome of every trial."""
        experiment = self.store.experiment
        per_block = len(experiment.norms) * len(experiment.batch_sizes)
        seeds = [r.trial.seed for r in self.results if r.status != "failed"]
        return sum(seeds.count(seed) >= per_block for seed in set(seeds))
