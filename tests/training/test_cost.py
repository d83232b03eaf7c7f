"""What norms cost: who is timed when, and that what is measured is what it is called."""

import time

import pytest
import torch

from normscope.data import load_dataset
from normscope.probes.initial import predictors
from normscope.training.cost import LEAST_S, PREDICTOR_IMAGES, alternating, measure_costs
from normscope.training.split import Splits
from normscope.training.trial import build_model, run_trial
from tests.small_trials import CPU, trial


def test_calls_alternate_and_every_other_round_runs_in_reverse():
    called = []

    def call(name):
        called.append(name)
        time.sleep(LEAST_S)

    names = ("a", "b", "c")
    times = alternating({name: lambda name=name: call(name) for name in names}, 3, CPU)
    assert "".join(called[6:]) == "abccbaabc"
    assert {name: len(found) for name, found in times.items()} == dict.fromkeys(names, 3)
    assert all(seconds >= LEAST_S for found in times.values() for seconds in found)


def test_a_quick_call_is_repeated_and_counts_with_its_mean():
    calls = []
    (times,) = alternating(
        {"quick": lambda: calls.append(time.sleep(LEAST_S / 8))}, 2, CPU
    ).values()
    repeats = (len(calls) - 2) / 2
    assert 2 <= repeats <= 8
    assert all(seconds >= LEAST_S / 8 for seconds in times)


@pytest.fixture(scope="module")
def dataset():
    return load_dataset("shapes", train_limit=256, test_limit=100)


@pytest.fixture(scope="module")
def costs(dataset):
    return measure_costs([trial("bn"), trial("gn")], dataset, CPU, threads=1, rounds=2)


def test_only_bn_can_be_folded_and_the_spread_holds_the_median(costs):
    bn, gn = costs.norms
    assert (bn.norm, gn.norm) == ("bn", "gn")
    assert gn.folded_ms is None
    assert bn.folded_ms is not None
    assert [*bn.folded_ms] == [*bn.inference_ms] == [*gn.inference_ms] == [1, 128]
    for spread in (bn.step_ms, *bn.inference_ms.values(), *bn.folded_ms.values()):
        assert 0 < spread.low <= spread.median <= spread.high
    assert bn.inference_ms[128].median > bn.inference_ms[1].median
    assert (costs.batch_size, costs.rounds, costs.environment.threads) == (64, 2, 1)
    assert (bn.parameters, bn.multiply_adds) == (31_216, 6_231_448)


def test_memory_is_that_of_a_trial(costs, dataset):
    ran = run_trial(trial("gn", epochs=1), dataset, CPU)
    assert costs.norms[1].peak_memory_mib == pytest.approx(ran.peak_memory_mib, rel=0.02)


def test_predictors_are_the_mean_of_three_seeds(costs, dataset):
    train = Splits.of(dataset, CPU).train
    batch = train.batch(torch.arange(PREDICTOR_IMAGES))
    seen = [predictors(build_model(trial("bn", seed), train, 10), *batch) for seed in range(3)]
    by_hand = sum(found.similarity[-1] for found in seen) / 3
    found = costs.norms[0].predictors
    assert found.seeds == 3
    assert found.last_similarity == pytest.approx(by_hand, rel=1e-6)
    assert len(found.gradient_norms) == len(found.similarity) + 1 == 11


def test_a_training_of_two_steps_can_be_timed_for_longer(dataset):
    """OneCycleLR has as many steps as the training, and refuses more."""
    short = trial("bn", epochs=1, batch_size=128)
    costs = measure_costs([short], dataset, CPU, threads=1, rounds=3)
    assert costs.norms[0].step_ms.median > 0
