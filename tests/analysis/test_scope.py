"""How far the trials were trained: what is said of it, and where nothing is."""

from dataclasses import replace
from pathlib import Path

import pytest
from report_fakes import make_analysis, make_experiment, make_facts, make_labels, make_results

from normscope.analysis.scope import scopes_of
from normscope.experiment import RECIPES, Experiment
from normscope.study.comparison import Comparison
from normscope.training.schedule import rates_and_momenta

TRAINING = {"short training", "near chance", "running statistics", "loss still falling"}
RESULTS = Path(__file__).parents[2] / "docs" / "results"


def changed_last(norms, **values):
    """Results of these norms with other values in their last epoch."""

    def change(results):
        return [
            r.model_copy(update={"history": (*r.history[:-1], replace(r.history[-1], **values))})
            if r.trial.norm in norms
            else r
            for r in results
        ]

    return change


def training_caveats(analysis):
    return {c.kind: c.text for c in analysis.caveats if c.kind in TRAINING}


def scope_of(experiment, train_size=50_000, whole=50_000, change=lambda results: results):
    results = change(make_results(experiment, make_labels(100)))
    facts = make_facts(test_size=100, train_size=train_size)
    return scopes_of(experiment, facts, results, whole)


# -- few steps -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("epochs", "limit", "steps"), [(4, 4000, 32), (5, 10_000, 100)])
def test_a_short_training_is_a_caveat_and_in_every_answer(epochs, limit, steps):
    analysis = make_analysis(epochs=epochs, train_limit=limit)
    text = training_caveats(analysis)["short training"]
    assert f"recipe s8 on the whole training set: {steps} of 1,470 steps." in text  # 15 * 98
    for answer in analysis.answers:
        assert f" bn after {steps} steps" in answer.text
    alone = make_analysis(norms=("bn",), epochs=epochs, train_limit=limit)
    assert f"% on the test images after {steps} steps (3 seeds)" in alone.answers[0].text


def test_results_whose_recipe_has_another_name_by_now_are_no_short_training():
    analysis = Comparison.read(RESULTS / "cifar10-resnet20-fast").analysis
    assert analysis.experiment.recipe.name == "fast"
    assert (analysis.scopes[0].steps, analysis.scopes[0].usual_steps) == (1955, 1955)
    fast = Experiment(dataset="cifar10", recipe=RECIPES["fast"])
    assert scope_of(fast)[0].usual_steps == 18 * 196


@pytest.mark.parametrize(("epochs", "short"), [(7, True), (8, False), (15, False)])
def test_a_training_is_short_below_half_of_the_recipes_steps(epochs, short):
    assert scope_of(make_experiment(epochs=epochs))[0].short is short


def test_where_nothing_was_trained_no_length_is_named():
    experiment = make_experiment(epochs=4, train_limit=4000)
    assert scope_of(experiment, train_size=4000, change=lambda results: [])[0].limited is False
    analysis = make_analysis(
        epochs=4,
        train_limit=4000,
        change=lambda results: [
            r.model_copy(update={"status": "failed", "history": (), "predictions": None})
            for r in results
        ],
    )
    assert "short training" not in training_caveats(analysis)
    assert not any("steps" in answer.text for answer in analysis.answers)


def test_a_full_training_has_no_such_caveat_and_its_answers_no_scope():
    analysis = make_analysis()
    assert training_caveats(analysis) == {}
    assert not any("steps" in answer.text for answer in analysis.answers)


def test_three_epochs_are_the_full_training_of_the_quick_recipe():
    (scope,) = scope_of(Experiment(), train_size=5000, whole=5000)
    assert (scope.steps, scope.usual_steps, scope.limited) == (237, 237, False)


def test_a_batch_size_whose_learning_rate_is_scaled_is_no_shorter_training():
    experiment = make_experiment(batch_sizes=(128, 512, 2048))
    assert [(s.steps, s.usual_steps) for s in scope_of(experiment)] == [
        (15 * 391, 15 * 391), (15 * 98, 15 * 98), (15 * 25, 15 * 25),
    ]  # fmt: skip
    larger = Experiment(dataset="cifar10", recipe={"name": "s8", "batch_size": 2048})
    (scope,) = scope_of(larger)
    assert (scope.steps, scope.usual_steps, scope.limited) == (375, 375, False)


def test_what_is_usual_is_not_known_of_a_recipe_without_a_name_or_a_set_without_a_size():
    own = RECIPES["s8"].model_copy(update={"name": "mine", "epochs": 1})
    assert scope_of(Experiment(dataset="cifar10", recipe=own))[0].usual_steps is None
    assert not scope_of(make_experiment(epochs=1), whole=None)[0].short


def test_every_batch_size_of_a_short_training_is_named():
    analysis = make_analysis(epochs=4, train_limit=4000, batch_sizes=(128, 512))
    text = training_caveats(analysis)["short training"]
    assert "128 of 5,865 steps at batch size 128, 32 of 1,470 steps at batch size 512." in text
    assert "bn at batch size 128 after 128 steps" in analysis.answers[0].text


# -- accuracy near chance, statistics that lag -----------------------------------------------------


def test_all_seeds_of_a_norm_near_chance_are_a_caveat_though_training_went_on():
    change = changed_last(("bn",), test_accuracy_percent=10.0, train_accuracy_percent=24.0)
    analysis = make_analysis(epochs=4, train_limit=4000, change=change)
    found = training_caveats(analysis)
    assert found["near chance"] == (
        "Test accuracy is near chance with bn: below 14.5 % in every seed, where guessing gives "
        "10.0 %, although train accuracy is 24.0 % with bn."
    )
    assert found["running statistics"] == (
        "bn is tested with running statistics, which probably lag behind the network after only "
        "32 steps: test accuracy is 10.0 %, train accuracy 24.0 %."
    )


@pytest.mark.parametrize(("percent", "near"), [(14.4, ("gn",)), (14.6, ())])
def test_what_is_near_chance(percent, near):
    change = changed_last(("gn",), test_accuracy_percent=percent)
    assert scope_of(make_experiment(), change=change)[0].near_chance == near


def test_near_chance_alone_limits_an_answer():
    change = changed_last(("bn", "gn"), test_accuracy_percent=11.0)
    analysis = make_analysis(norms=("bn", "gn"), change=change)
    assert set(training_caveats(analysis)) == {"near chance"}
    assert "after 1,470 steps" in analysis.answers[0].text


@pytest.mark.parametrize(
    ("norm", "epochs", "gap", "lags"),
    [("bn", 1, 6.0, True), ("bn", 1, 4.0, False), ("gn", 1, 6.0, False), ("bn", 2, 6.0, False)],
)
def test_only_running_statistics_lag_and_only_within_the_first_steps(norm, epochs, gap, lags):
    """Epochs of 98 steps."""
    change = changed_last((norm,), test_accuracy_percent=30.0, train_accuracy_percent=30.0 + gap)
    (scope,) = scope_of(make_experiment(epochs=epochs), change=change)
    assert scope.lagging == ((norm,) if lags else ())


# -- a loss that still falls -----------------------------------------------------------------------


def with_losses(losses, rates):
    def change(results):
        return [
            r.model_copy(
                update={
                    "history": tuple(
                        replace(e, **{"train_loss_nats": loss, "learning_rate": rate})
                        for e, loss, rate in zip(r.history, losses, rates, strict=True)
                    )
                }
            )
            for r in results
        ]

    return change


@pytest.mark.parametrize(
    ("losses", "rates", "falls"),
    [
        ([2.0, 1.5, 1.0, 0.5], [0.1] * 4, True),  # a straight line
        ([2.0, 1.1, 0.9, 0.85], [0.1] * 4, False),  # 0.05, less than half of 1.15 / 3
        ([2.0, 1.5, 1.0, 0.5], [0.1, 0.1, 0.05, 1e-6], False),  # the learning rate has annealed
        ([0.5, 0.6, 0.7, 0.65], [0.1] * 4, False),  # it rose on the whole
    ],
)
def test_a_loss_that_still_falls_at_a_full_learning_rate_is_a_caveat(losses, rates, falls):
    analysis = make_analysis(epochs=4, change=with_losses(losses, rates))
    found = training_caveats(analysis)
    assert ("loss still falling" in found) is falls
    if falls:
        assert (
            "in the last epoch with bn, gn and ln: a longer training" in found["loss still falling"]
        )


@pytest.mark.parametrize(
    ("schedule", "falls"),
    [("constant", True), ("one-cycle", False), ("cosine", False), ("linear", False)],
)
def test_only_a_learning_rate_that_has_come_down_ends_the_fall_of_a_loss(schedule, falls):
    """The rates that are recorded, those of the last of 98 steps of each epoch."""
    recipe = RECIPES["s8"].model_copy(update={"epochs": 4, "schedule": schedule})
    rates, _ = rates_and_momenta(recipe, 50_000)
    change = with_losses([2.0, 1.5, 1.0, 0.5], rates[97::98])
    assert bool(scope_of(make_experiment(epochs=4), change=change)[0].falling) is falls


def test_one_epoch_has_no_loss_to_compare_with():
    assert scope_of(make_experiment(epochs=1))[0].falling == ()


# -- the results in docs/ --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cifar10-s8-s8", "cifar10-s8-s8-batchsizes"])
def test_the_published_results_have_no_caveat_of_training(name):
    analysis = Comparison.read(RESULTS / name).analysis
    assert training_caveats(analysis) == {}
    assert not any("steps" in answer.text for answer in analysis.answers)
    assert len(repr(Comparison(RESULTS / name, analysis))) - len(str(RESULTS)) < 300
