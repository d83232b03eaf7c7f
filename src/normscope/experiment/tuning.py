"""The protocol "tuned": the learning rate of every norm, searched on held-out training images.

A grid of factors around the recipe's learning rate is trained with seeds that no verdict uses, on
nine tenths of the training images, and scored on the rest. Where the best rate lies at the edge of
the grid, the grid is widened.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from normscope.experiment.experiment import Experiment
from normscope.experiment.plan import Rates, make_trial, plan
from normscope.experiment.trial import Result, Trial

GRID: tuple[int, ...] = (-2, -1, 0, 1, 2)  # powers of two times the recipe's learning rate
WIDEST = 5  # powers of two away from the recipe's, at which the search gives up
SEEDS = (1_000_000, 1_000_001)  # thrown away afterwards: above all that an experiment may have


@dataclass(frozen=True)
class Search:
    """The rates tried for one norm at one batch size, ascending, and the best so far.

    `accuracy_percent`: mean accuracy on the held-out images over the tuning seeds, 0 for a trial
    that diverged or collapsed; None while trials are missing. `best` is None until all rates have
    one. `at_edge`: no rate beyond the best was tried.
    """

    norm: str
    batch_size: int
    rates: tuple[float, ...]
    accuracy_percent: tuple[float | None, ...]
    best: float | None
    at_edge: bool


def tuning_plan(experiment: Experiment, results: Sequence[Result]) -> list[Trial]:
    """Every trial that the search is known to need, given the results of those that were run."""
    return [
        trial
        for norm, size in _pairs(experiment)
        for power in _powers(experiment, norm, size, results)
        for trial in _trials(experiment, norm, size, power)
    ]


def searches(experiment: Experiment, results: Sequence[Result]) -> tuple[Search, ...]:
    """How the search stands for every norm and batch size."""
    found = []
    for norm, size in _pairs(experiment):
        powers = _powers(experiment, norm, size, results)
        scores = [_score(_trials(experiment, norm, size, power), results) for power in powers]
        rates = tuple(_rate(experiment, size, power) for power in powers)
        best, at_edge = _best(scores), False
        if best is not None:
            at_edge = best in (0, len(powers) - 1)
        rate = None if best is None else rates[best]
        found.append(Search(norm, size, rates, tuple(scores), rate, at_edge))
    return tuple(found)


def chosen_rates(experiment: Experiment, results: Sequence[Result]) -> Rates:
    """The learning rates of the norms whose search is over."""
    return {
        (search.norm, search.batch_size): search.best
        for search in searches(experiment, results)
        if search.best is not None
    }


def planned_trials(experiment: Experiment, results: Sequence[Result]) -> list[Trial]:
    """The trials of an experiment; with tuned rates, of those norms whose search is over.

    `results`: those of the search, so none where rates are not tuned.
    """
    if experiment.protocol == "drop-in":
        return plan(experiment)
    return plan(experiment, chosen_rates(experiment, results))


def possible_trials(experiment: Experiment, results: Sequence[Result]) -> list[Trial]:
    """The planned trials; where a search lacks a result, those at any rate that it may find."""
    if experiment.protocol == "drop-in":
        return plan(experiment)
    chosen = chosen_rates(experiment, results)
    return [
        trial
        for power in range(-WIDEST, WIDEST + 1)
        for trial in plan(experiment, {**rates_at(experiment, power), **chosen})
    ]


def rates_at(experiment: Experiment, power: int) -> Rates:
    """The rate at one place of the grid, for every norm and batch size."""
    return {(norm, size): _rate(experiment, size, power) for norm, size in _pairs(experiment)}


def all_tuning_trials(experiment: Experiment) -> list[Trial]:
    """Every trial that a search could ever ask for."""
    return [
        trial
        for norm, size in _pairs(experiment)
        for power in range(-WIDEST, WIDEST + 1)
        for trial in _trials(experiment, norm, size, power)
    ]


def _pairs(experiment: Experiment) -> list[tuple[str, int]]:
    return [(norm, size) for size in experiment.batch_sizes for norm in experiment.norms]


def _rate(experiment: Experiment, batch_size: int, power: int) -> float:
    return experiment.recipe_for(batch_size).max_lr * 2.0**power


def _trials(experiment: Experiment, norm: str, batch_size: int, power: int) -> list[Trial]:
    rate = _rate(experiment, batch_size, power)
    recipe = experiment.recipe_for(batch_size).model_copy(update={"max_lr": rate})
    return [make_trial(experiment, norm, recipe, seed, validation=True) for seed in SEEDS]


def _powers(
    experiment: Experiment, norm: str, batch_size: int, results: Sequence[Result]
) -> list[int]:
    """The grid, widened by one step at a time while its best rate lies at an edge."""
    powers = list(GRID)
    while True:
        scores = [_score(_trials(experiment, norm, batch_size, p), results) for p in powers]
        best = _best(scores)
        if best == 0 and powers[0] > -WIDEST:
            powers.insert(0, powers[0] - 1)
        elif best == len(powers) - 1 and powers[-1] < WIDEST:
            powers.append(powers[-1] + 1)
        else:
            return powers


def _score(trials: Sequence[Trial], results: Sequence[Result]) -> float | None:
    """Mean accuracy in percent over the trials; None while one of them has no outcome."""
    ended = {result.trial: result for result in results if result.status != "failed"}
    if any(trial not in ended for trial in trials):
        return None
    finals = [
        ended[trial].history[-1].test_accuracy_percent if ended[trial].status == "finished" else 0.0
        for trial in trials
    ]
    return sum(finals) / len(finals)


def _best(scores: Sequence[float | None]) -> int | None:
    """Index of the highest score, of equal ones the first; None while one is missing."""
    known = [score for score in scores if score is not None]
    return known.index(max(known)) if len(known) == len(scores) else None
