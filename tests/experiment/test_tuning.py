"""The search for learning rates, on made-up scores."""

import pytest
from report_fakes import MACHINE, failed, make_experiment

from normscope.experiment import GUESSING, EpochRecord, Result
from normscope.experiment.plan import plan
from normscope.experiment.tuning import (
    GRID,
    SEEDS,
    WIDEST,
    chosen_rates,
    searches,
    tuning_plan,
)

EXPERIMENT = make_experiment(norms=("bn", "gn"), seeds=2, protocol="tuned")
RATE = EXPERIMENT.recipe.max_lr


def result(trial, accuracy, status="finished"):
    record = EpochRecord(
        epoch=1, train_loss_nats=1, train_accuracy_percent=50, test_loss_nats=1,
        test_accuracy_percent=accuracy, learning_rate=0.1, train_seconds=1, test_seconds=1,
    )  # fmt: skip
    return Result(trial=trial, status=status, history=(record,), started="", seconds=1,
                  environment=MACHINE)  # fmt: skip


def search(score, experiment=EXPERIMENT):
    """Run what is planned until nothing is missing; `score` gives accuracy by norm and rate."""
    results = []
    for _ in range(20):
        done = {r.trial.id for r in results}
        todo = [t for t in tuning_plan(experiment, results) if t.id not in done]
        if not todo:
            return results
        results += [result(t, score(t.norm, t.recipe.max_lr / RATE) + t.seed % 2) for t in todo]
    raise AssertionError("the search does not end")


def test_the_grid_is_five_rates_around_the_recipes_with_two_seeds_of_their_own():
    trials = tuning_plan(EXPERIMENT, [])
    assert len(trials) == 2 * 5 * 2
    assert {t.recipe.max_lr / RATE for t in trials} == {0.25, 0.5, 1, 2, 4}
    assert all(t.validation for t in trials)
    assert {t.seed for t in trials} == set(SEEDS)
    assert not {t.id for t in trials} & {t.id for t in plan(EXPERIMENT)}
    assert chosen_rates(EXPERIMENT, []) == {}


def test_the_best_mean_over_the_tuning_seeds_is_chosen():
    best = {"bn": 2, "gn": 0.5}
    results = search(lambda norm, factor: 70 - abs(factor - best[norm]))
    assert len(results) == 2 * 5 * 2
    assert chosen_rates(EXPERIMENT, results) == {("bn", 512): 2 * RATE, ("gn", 512): RATE / 2}
    bn, gn = searches(EXPERIMENT, results)
    assert (bn.best, bn.at_edge) == (2 * RATE, False)
    assert gn.accuracy_percent[gn.rates.index(RATE / 2)] == 70.5


def test_a_best_rate_at_the_edge_widens_the_grid():
    results = search(lambda norm, factor: 70 - abs(factor - 16))
    bn, _ = searches(EXPERIMENT, results)
    assert bn.rates[-1] == 32 * RATE
    assert (bn.best, bn.at_edge) == (16 * RATE, False)
    smaller = search(lambda norm, factor: 70 - abs(factor - 0.125))
    assert searches(EXPERIMENT, smaller)[0].best == RATE / 8


@pytest.mark.parametrize("sign", [1, -1])
def test_a_rate_that_is_best_beyond_all_widening_is_said_to_lie_at_the_edge(sign):
    results = search(lambda norm, factor: 50 + sign * factor / 10)
    bn, _ = searches(EXPERIMENT, results)
    assert (bn.best, bn.at_edge) == (RATE * 2.0 ** (sign * WIDEST), True)
    assert len(bn.rates) == len(GRID) + WIDEST - max(GRID)


@pytest.mark.parametrize("status", GUESSING)
def test_a_trial_that_guesses_scores_nothing_and_a_failed_one_is_missing(status):
    results = search(lambda norm, factor: 70 - abs(factor - 1.9))
    chosen = chosen_rates(EXPERIMENT, results)
    assert chosen["bn", 512] == 2 * RATE
    one = next(r for r in results if r.trial.norm == "bn" and r.trial.recipe.max_lr == 2 * RATE)
    others = [r for r in results if r is not one]
    after = [*others, one.model_copy(update={"status": status})]
    assert chosen_rates(EXPERIMENT, after)["bn", 512] == RATE
    assert ("bn", 512) not in chosen_rates(EXPERIMENT, [*others, failed(one, "no")])


def test_every_batch_size_is_searched_around_its_own_scaled_rate():
    experiment = make_experiment(norms=("bn",), batch_sizes=(128, 512), protocol="tuned")
    rates = {(t.recipe.batch_size, t.recipe.max_lr) for t in tuning_plan(experiment, [])}
    assert {rate for size, rate in rates if size == 128} == {RATE / 4 * 2.0**p for p in GRID}


def test_the_plan_uses_the_rates_and_leaves_out_what_has_none():
    trials = plan(EXPERIMENT, {("bn", 512): 0.08})
    assert [(t.norm, t.seed, t.recipe.max_lr) for t in trials] == [("bn", 0, 0.08), ("bn", 1, 0.08)]
