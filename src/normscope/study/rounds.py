"""The order in which trials are run, and when to stop: tuning, then blocks until all is decided."""

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

from normscope.analysis.answers import standing
from normscope.analysis.contrasts import candidates, verdicts_on
from normscope.analysis.dropping import Place, dropped, still_wanted
from normscope.analysis.summaries import Trials, summarize_accuracy
from normscope.analysis.verdicts import Rules, Verdict, rules_of
from normscope.errors import RunError
from normscope.experiment import LEAST_SEEDS, Design, Experiment, Result, Trial
from normscope.experiment.tuning import tuning_plan
from normscope.observers import Observer
from normscope.store import Store
from normscope.study.stored import results_stored, search_results, trials_planned
from normscope.words import counted, what_went_wrong

MOST_BLOCKS = 20  # of which a budget of time begins half at once
SHORT = "what is left of the budget of time is too short to go on"


# Trials to be run next, as often as there are any; in the end the reason to stop, if there is one.
Rounds = Generator[list[Trial], None, str | None]


def rounds(
    store: Store,
    design: Design,
    budget_s: float | None,
    workers: int,
    observer: Observer,
    alone: Callable[[], bool] = lambda: True,
    seeds_by_time: bool = False,
) -> Iterator[list[Trial]]:
    """What to run next, until the experiment is done; the caller stores the results in between.

    First what the search for learning rates needs, as it comes to need it; then the blocks. In a
    design until decided, more blocks follow: so many at once that no worker idles. With a budget of
    time every round after the first must fit into what is left. If it does not, and `seeds_by_time`
    says that a fixed design was to have as many seeds as fit, it has those that did. `alone` says
    whether no other process trains what the folder plans. Raises `RunError` if trials of the search
    failed.
    """
    reason = yield from _rounds(store, design, Budget(budget_s), workers, observer, alone)
    if reason == SHORT and seeds_by_time and alone():
        _keep_to(store, complete_seeds(store.experiment, results_stored(store)))
    if reason is not None:
        results = results_stored(store)
        seeds = complete_seeds(store.experiment, results, dropped_norms(store, design, results))
        observer.sequence_ended(f"Stopped after {counted(seeds, 'seed')}: {reason}.")


def _rounds(
    store: Store,
    design: Design,
    budget: "Budget",
    workers: int,
    observer: Observer,
    alone: Callable[[], bool],
) -> Rounds:
    reason = None
    if store.experiment.protocol == "tuned":
        reason = yield from _search(store, budget, workers)
    if design.until_decided and reason is None:
        # Seeds that were planned once and never run are not asked for now.
        with Store.lock(store.folder):
            planned = 0 if alone() else store.experiment.seeds
            store.extend(max(first_seeds(store.newest(), design), planned))
    if reason is None:
        reason = yield from _planned(store, design, budget, workers)
    if design.until_decided and reason is None:
        reason = yield from _until_decided(store, design, budget, workers, observer)
    return reason


def _search(store: Store, budget: "Budget", workers: int) -> Rounds:
    """The search for learning rates, in small rounds where time is limited."""
    for todo in _tuning_rounds(store):
        size = workers if budget.limited else len(todo)
        for some in (todo[i : i + size] for i in range(0, len(todo), size)):
            if not budget.allows(len(some)):
                return f"{SHORT} with the search for learning rates"
            yield from budget.spent_on(some)
    return None


def _planned(store: Store, design: Design, budget: "Budget", workers: int) -> Rounds:
    """The wanted trials that are not stored; a few blocks at a time where time is limited.

    In a design until decided the first blocks come first, as what they decide need not go on: of a
    norm that is added, there may be many.
    """
    at_once = blocks_at_once(trials_per_seed(store.experiment), workers)
    asked = set[str]()
    while True:
        wanted = store.missing(trials_wanted(store, design))
        todo = [trial for trial in wanted if trial.id not in asked]
        if asked and not todo:
            return None
        if budget.limited:
            todo = _by_seeds(todo, budget.blocks(trials_per_seed(store.experiment), at_once))[0]
        elif design.until_decided:
            first = set(store.experiment.seed_numbers[:LEAST_SEEDS])
            begun = [trial for trial in todo if trial.seed in first]
            todo = begun or _by_seeds(todo, at_once)[0]
        if not budget.allows(len(todo)):
            return SHORT
        yield from budget.spent_on(todo)
        if not todo:
            return None
        asked |= {trial.id for trial in todo}


def _until_decided(
    store: Store, design: Design, budget: "Budget", workers: int, observer: Observer
) -> Rounds:
    """More blocks as long as a comparison is open, of the norms that are not dropped."""
    told = frozenset[Place]()
    while (reason := _reason_to_stop(store, design)) is None:
        gone = dropped_norms(store, design, results_stored(store))
        if news := {place for place in gone - told if place[0] != store.experiment.baseline}:
            observer.noticed(_dropped_words(store.experiment, news))
        told, seeds = gone, store.experiment.seeds
        wanted = trials_per_seed(store.experiment) - len(gone)
        more = min(blocks_at_once(wanted, workers), design.max_seeds - seeds)
        if not budget.allows(more * wanted):
            return SHORT
        store.extend(seeds + more)
        yield from budget.spent_on(store.missing(trials_wanted(store, design)))
    return reason


def _keep_to(store: Store, seeds: int) -> None:
    """Let the seeds that are done be the design's number: time chose it, and no result."""
    if seeds > 0:
        store.plan_fewer(seeds)


def _dropped_words(experiment: Experiment, gone: Iterable[Place]) -> str:
    """``Decided, and trained no further: gn, ln at batch size 32.``"""
    several = len(experiment.batch_sizes) > 1
    named = [f"{norm} at batch size {size}" if several else norm for norm, size in sorted(gone)]
    return f"Decided, and trained no further: {', '.join(named)}."


def trials_wanted(store: Store, design: Design) -> list[Trial]:
    """The planned trials, but for those of norms that are dropped."""
    gone = dropped_norms(store, design, results_stored(store))
    return still_wanted(trials_planned(store), store.experiment, gone)


def dropped_norms(store: Store, design: Design, results: Sequence[Result]) -> frozenset[Place]:
    """The norms that are trained no further, by batch size."""
    version = rules_of(store.requests)
    if version == 1 or not design.until_decided or len(store.experiment.norms) < 2:
        return frozenset()
    verdicts = standing_verdicts(store, design, results)
    return dropped(store.experiment, verdicts, design, version)


def trials_of_round(store: Store, todo: Sequence[Trial]) -> list[Trial]:
    """All trials of what a round belongs to: the search for learning rates, or the plan."""
    if todo and todo[0].validation:
        return tuning_plan(store.experiment, search_results(store))
    return trials_planned(store)


class Budget:
    """A limit of time, asked before every round whether the round will fit.

    By the slowest round so far, in seconds per trial; before there was one, everything fits.
    """

    def __init__(self, seconds: float | None):
        self.seconds = seconds
        self.started = time.monotonic()
        self.seconds_per_trial: float | None = None

    @property
    def limited(self) -> bool:
        return self.seconds is not None

    def allows(self, trials: int) -> bool:
        return trials <= self._room()

    def blocks(self, trials: int, at_once: int) -> int:
        """How many blocks of so many trials to begin next: half of those that fit, if that is more.

        Every round starts its workers anew.
        """
        if not self.seconds_per_trial:
            return at_once
        room = min(self._room() / trials, MOST_BLOCKS)
        return max(at_once, int(room / 2) // at_once * at_once)

    def _room(self) -> float:
        """For how many trials."""
        if self.seconds is None or not self.seconds_per_trial:
            return math.inf
        return (self.seconds - (time.monotonic() - self.started)) / self.seconds_per_trial

    def spent_on(self, trials: list[Trial]) -> Iterator[list[Trial]]:
        """Hand out a round, and note how long it takes until the next one is asked for."""
        before = time.monotonic()
        yield trials
        if trials:
            pace = (time.monotonic() - before) / len(trials)
            self.seconds_per_trial = max(pace, self.seconds_per_trial or 0.0)


def _by_seeds(trials: Sequence[Trial], at_once: int) -> list[list[Trial]]:
    """Rounds of so many seeds each; one that is empty if there are no trials."""
    seeds = list(dict.fromkeys(trial.seed for trial in trials))
    rounds_of = [set(seeds[i : i + at_once]) for i in range(0, len(seeds), at_once)] or [set()]
    return [[trial for trial in trials if trial.seed in some] for some in rounds_of]


def _tuning_rounds(store: Store) -> Iterator[list[Trial]]:
    while todo := store.missing(tuning_plan(store.experiment, search_results(store))):
        yield todo
        failed = [result for result in search_results(store) if result.status == "failed"]
        if failed:
            raise RunError(
                f"{counted(len(failed), 'trial')} of the search for learning rates failed "
                f"({what_went_wrong(failed[0].error)}); the same command tries again"
            )


def blocks_at_once(trials: int, workers: int) -> int:
    """How many seeds at once, of so many trials, leave no worker idle; of many, but in the last."""
    even = workers // math.gcd(workers, trials)
    return even if even <= 3 else math.ceil(workers / trials)


def first_seeds(store: Store, design: Design) -> int:
    """The seeds that a design until decided begins with: those that were tried, 6 at least."""
    places = {seed: place for place, seed in enumerate(store.experiment.seed_numbers, start=1)}
    tried = max((places[result.trial.seed] for result in results_stored(store)), default=0)
    return max(tried, min(LEAST_SEEDS, design.max_seeds))


def _reason_to_stop(store: Store, design: Design) -> str | None:
    results, experiment = results_stored(store), store.experiment
    wanted = {trial.id for trial in trials_wanted(store, design)}
    if any(result.status == "failed" and result.trial.id in wanted for result in results):
        return "a trial failed"
    verdicts = standing_verdicts(store, design, results)
    complete = complete_seeds(experiment, results, dropped_norms(store, design, results))
    chosen = [verdict for verdict in verdicts if verdict.norm in candidates(experiment)]
    if complete >= LEAST_SEEDS and all(verdict.decided for verdict in chosen):
        return "every comparison is decided"
    if experiment.seeds > design.max_seeds:
        return f"they are stored already, and no more than {design.max_seeds} were asked for"
    if experiment.seeds == design.max_seeds:
        return f"that is the most allowed ({design.max_seeds})"
    return None


def standing_verdicts(store: Store, design: Design, results: Sequence[Result]) -> list[Verdict]:
    """The verdicts that the results allow by now."""
    chance_percent = store.facts().chance_percent
    trials = Trials(summarize_accuracy(result) for result in results)
    rules = Rules(True, design.alpha, design.margin_points, version=rules_of(store.requests))
    return list(verdicts_on(store.experiment, trials, rules, chance_percent).values())


WITHOUT_ARRAYS = {"predictions": None, "weights": None, "probes": None}


class Watch:
    """Tells the observer how the verdicts stand whenever a block is complete."""

    def __init__(self, store: Store, design: Design, observer: Observer):
        self.store, self.design, self.observer = store, design, observer
        self.results = {result.trial.id: result for result in results_stored(store)}
        self.gone = dropped_norms(store, design, [*self.results.values()])
        self.outcomes = _outcomes(self.results.values())
        self.told = _complete(store.experiment, self.outcomes, self.gone)

    def added(self, result: Result) -> None:
        if not self.design.until_decided or result.trial.validation:
            return
        self.results[result.trial.id] = result.model_copy(update=WITHOUT_ARRAYS)
        if _is_outcome(result):
            self.outcomes.setdefault(result.trial.seed, set()).add(_place(result))
        complete = _complete(self.store.experiment, self.outcomes, self.gone)
        if complete > self.told:
            self.told = complete
            verdicts = standing_verdicts(self.store, self.design, [*self.results.values()])
            version = rules_of(self.store.requests)
            self.gone = dropped(self.store.experiment, verdicts, self.design, version)
            self.told = _complete(self.store.experiment, self.outcomes, self.gone)
            several = len(self.store.experiment.batch_sizes) > 1
            self.observer.block_ended(complete, [standing(v, several) for v in verdicts])


def complete_seeds(
    experiment: Experiment, results: Sequence[Result], gone: frozenset[Place] = frozenset()
) -> int:
    """How many seeds have an outcome of every trial, but for those of norms that are dropped.

    Where all are, those that have one of the baseline.
    """
    return _complete(experiment, _outcomes(results), gone)


def _outcomes(results: Iterable[Result]) -> dict[int, set[Place]]:
    """Of which norms and batch sizes each seed has an outcome."""
    found: dict[int, set[Place]] = {}
    for result in filter(_is_outcome, results):
        found.setdefault(result.trial.seed, set()).add(_place(result))
    return found


def _place(result: Result) -> Place:
    return result.trial.norm, result.trial.recipe.batch_size


def _is_outcome(result: Result) -> bool:
    return result.status != "failed"


def _complete(
    experiment: Experiment, outcomes: Mapping[int, set[Place]], gone: frozenset[Place]
) -> int:
    asked = {(norm, size) for norm in experiment.norms for size in experiment.batch_sizes} - gone
    asked = asked or {(experiment.baseline, experiment.main_batch_size)}
    return sum(asked <= found for found in outcomes.values())


def trials_per_seed(experiment: Experiment) -> int:
    return len(experiment.norms) * len(experiment.batch_sizes)
