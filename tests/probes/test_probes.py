"""The table of probes: each of its entries on networks that train, which it must not change."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from normscope.data import load_dataset
from normscope.errors import UsageError
from normscope.experiment import Experiment, ProbePlan
from normscope.experiment.plan import plan
from normscope.norms import NORMS
from normscope.norms.table import PACKAGED_NORMS
from normscope.probes import DEFAULT_PROBES, PROBES, probes_named
from normscope.probes.corruptions import CORRUPTIONS, STRENGTHS
from normscope.probes.landscape import EPS
from normscope.study.checks import checked_probes
from normscope.training import probing
from normscope.training.steps import EagerSteps
from normscope.training.trained import probe_trained
from normscope.training.trial import build_model, run_fleet, run_trial

CPU = torch.device("cpu")
SLOW = ("substitution", "corruptions", "similarity", "gradient-shift")
QUICK = tuple(name for name in PROBES if name not in SLOW)


@pytest.fixture(scope="module")
def few():
    return load_dataset("shapes", train_limit=64, test_limit=40)


def trial_of(norm, seed=0, **recipe):
    recipe = {"base": "quick", "epochs": 2, "batch_size": 16, "max_lr": 0.05, **recipe}
    experiment = Experiment(
        norms=(norm,), seeds=(seed,), train_limit=64, test_limit=40, recipe=recipe
    )
    return plan(experiment)[0]


def assert_equal(result, other):
    """To the bit, but for the seconds."""
    assert result.status == other.status
    seconds = {"train_seconds": 0, "test_seconds": 0}
    histories = [[replace(e, **seconds) for e in each.history] for each in (result, other)]
    assert histories[0] == histories[1]
    assert result.weights.keys() == other.weights.keys()
    for name, value in result.weights.items():
        np.testing.assert_array_equal(value, other.weights[name], strict=True)
    np.testing.assert_array_equal(result.predictions.logits, other.predictions.logits)


# -- the training stays what it is -----------------------------------------------------------------


@pytest.mark.parametrize("norm", PACKAGED_NORMS)
def test_probes_change_no_bit_of_a_training(norm, few):
    """With dropout on, and in the middle of an epoch, too."""
    trial = trial_of(norm)
    probed = run_trial(trial, few, CPU, probes=ProbePlan(QUICK, (0, 0.5, 2)))
    assert_equal(run_trial(trial, few, CPU), probed)
    assert not probed.probes.failures
    assert probed.probes.series["variance.channel"].epochs.tolist() == [0, 0.5, 2]


@pytest.mark.parametrize("recipe", [{"ema": 0.5}, {"augmentation": ("flip", "crop")}])
def test_nor_with_averages_and_augmentation(recipe, few):
    trial = trial_of("bn", **recipe)
    probed = run_trial(trial, few, CPU, probes=ProbePlan(QUICK, (0, 0.5, 2)))
    assert_equal(run_trial(trial, few, CPU), probed)
    assert not probed.probes.failures


def test_nor_of_a_fleet_whose_members_are_probed_one_by_one(few):
    trials = [trial_of("bn", seed) for seed in (0, 1)]
    plan_of = ProbePlan(("channels", "eval-gap"), (0, 0.5, 2))
    plain, probed = run_fleet(trials, few, CPU), run_fleet(trials, few, CPU, probes=plan_of)
    for result, other in zip(plain, probed, strict=True):
        assert_equal(result, other)
        later = probe_trained(result.trial, few, CPU, result.weights, plan_of.names)
        for name, series in later.series.items():
            ends = other.probes.series[name].readings[[0, -1]]
            np.testing.assert_allclose(series.readings, ends, rtol=1e-4, err_msg=name)


def test_nor_does_a_norm_that_draws_from_the_global_state(few, monkeypatch):
    class Noisy(nn.GroupNorm):
        def forward(self, x):
            return super().forward(x) + 0.01 * torch.randn_like(x)

    monkeypatch.setitem(NORMS, "noisy", lambda num_channels: Noisy(1, num_channels))
    outcomes = []
    for names in ((), ("redundancy", "landscape", "samples")):
        torch.manual_seed(7)
        outcomes.append(run_trial(trial_of("noisy"), few, CPU, probes=ProbePlan(names)))
    assert_equal(*outcomes)
    assert not outcomes[1].probes.failures


# -- what they leave -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def probed(few):
    """Everything of one trial."""
    return run_trial(trial_of("bn"), few, CPU, probes=ProbePlan(tuple(PROBES))).probes


def test_every_probe_has_readings_along_its_axes(probed):
    assert not probed.failures
    assert {name.partition(".")[0] for name in probed.series} == set(PROBES)
    when = {
        "chosen": [0, 1, 2],
        "four": [0, 0.75, 1.25, 2],
        "start": [0],
        "end": [2],
        "ends": [0, 2],
    }
    for name, series in probed.series.items():
        probe = PROBES[name.partition(".")[0]]
        assert series.epochs.tolist() == when[probe.when], name
        assert series.axes == (() if name == "corruptions.clean_percent" else probe.axes), name
        assert series.readings.shape == (len(series.epochs), *map(len, series.names)), name


def test_layers_are_called_by_their_names(probed, few):
    model = build_model(trial_of("bn"), probing.Splits.of(few, CPU).train, len(few.class_names))
    norms = [n for n, layer in model.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    weighted = [n for n, layer in model.named_modules() if isinstance(layer, nn.Conv2d)]
    assert probed.series["redundancy.sameness_position"].names == (tuple(norms),)
    assert probed.series["weights.weight"].names == (tuple(weighted),)
    assert probed.series["samples.similarity"].names == (tuple(weighted),)


def test_positions_that_the_table_names_are_those_there_are():
    assert PROBES["landscape"].positions["step"] == tuple(f"{eps:g}" for eps in (0, *EPS))
    assert PROBES["corruptions"].positions["corruption"] == tuple(CORRUPTIONS)
    assert len(PROBES["corruptions"].positions["strength"]) == STRENGTHS


def test_static_probes_of_an_untrained_network_are_of_precise_statistics(probed, few):
    """In evaluation an untrained bn is the identity; with precise ones its output has sd 1."""
    outputs = probed.series["channels.output_sd"].first
    inputs = probed.series["channels.input_sd"].first
    assert np.nanmax(np.abs(outputs[0] - 1)) < 0.3
    assert np.nanmax(inputs[0]) < 0.7


def test_readings_before_an_activation_are_of_what_goes_into_it(few):
    """At the first norm: the correlations of the first convolution's output."""
    trial = trial_of("gn")
    splits = probing.Splits.of(few, CPU)
    model = build_model(trial, splits.train, len(few.class_names)).eval()
    probes = run_trial(trial, few, CPU, probes=ProbePlan(("redundancy",), (0,))).probes
    x, _ = splits.test.batch(torch.arange(40))
    maps = model[0][0](x).detach()
    r = torch.corrcoef(maps.transpose(0, 1).flatten(1).double())
    away = ~torch.eye(len(r), dtype=torch.bool)
    found = probes.series["redundancy.mean_abs_r_before_activation"].first[0]
    assert found == pytest.approx(float(r[away].abs().mean()), abs=1e-5)
    rectified = torch.corrcoef(maps.relu().transpose(0, 1).flatten(1).double())
    at_norm = probes.series["redundancy.mean_abs_r_position"].first[0]
    assert at_norm == pytest.approx(float(rectified[away].abs().mean()), abs=1e-5)
    before = run_trial(trial_of("gn:pre"), few, CPU, probes=ProbePlan(("redundancy",), (0,))).probes
    assert np.isnan(before.series["redundancy.mean_abs_r_before_activation"].first).all()


def test_shuffled_maps_share_less_and_an_affine_norm_has_no_gap(probed):
    floor = probed.series["floor.mean_abs_r"].first
    assert (floor < probed.series["redundancy.mean_abs_r_position"].first).all()
    np.testing.assert_allclose(probed.series["affine-gap.affine_gap"].last, 0, atol=1e-5)


def test_accuracies_by_running_statistics_are_those_of_the_test(few):
    trial = trial_of("bn")
    result = run_trial(trial, few, CPU, probes=ProbePlan(("eval-gap",)))
    tested = [record.test_accuracy_percent for record in result.history]
    of = {name: series.readings for name, series in result.probes.series.items()}
    np.testing.assert_allclose(of["eval-gap.running_percent"][1:], tested)
    gained = of["eval-gap.only_precise"] - of["eval-gap.only_running_precise"]
    difference = of["eval-gap.precise_percent"] - of["eval-gap.running_percent"]
    np.testing.assert_allclose(gained / 40 * 100, difference, atol=1e-4)


@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_images_that_are_not_corrupted_are_tested_as_after_the_training(norm, few, monkeypatch):
    kept = dict.fromkeys(CORRUPTIONS, lambda images, strength, rng: images)
    monkeypatch.setattr("normscope.probes.changes.CORRUPTIONS", kept)
    result = run_trial(trial_of(norm), few, CPU, probes=ProbePlan(("corruptions",)))
    tested = result.history[-1].test_accuracy_percent
    of = {name.partition(".")[2]: series for name, series in result.probes.series.items()}
    assert of["clean_percent"].readings == pytest.approx(np.array([tested]))
    assert (of["clean_percent"].axes, of["clean_percent"].names) == ((), ())
    np.testing.assert_allclose(of["tested_percent"].last, tested)
    assert np.isnan(of["adapted_percent"].last).all() == (norm == "gn")


def test_there_is_no_eval_gap_without_running_statistics(few):
    result = run_trial(trial_of("gn"), few, CPU, probes=ProbePlan(("eval-gap", "dead"), (0,)))
    assert set(result.probes.series) == {"dead.dead"}
    assert not result.probes.failures


def test_a_probe_that_raises_leaves_the_trial_and_the_other_probes_alone(few, monkeypatch):
    def raising(moment):
        raise ZeroDivisionError("no such\nluck")

    monkeypatch.setattr("normscope.probes.static.variance", raising)
    result = run_trial(trial_of("gn"), few, CPU, probes=ProbePlan(("variance", "dead")))
    assert result.status == "finished"
    assert set(result.probes.series) == {"dead.dead"}
    assert "ZeroDivisionError" in result.probes.failures["variance"]


def test_nor_does_a_network_that_cannot_be_copied(few, monkeypatch):
    class Lonely(nn.GroupNorm):
        def __deepcopy__(self, memo):
            raise TypeError("there is only one of me")

    monkeypatch.setitem(NORMS, "lonely", lambda num_channels: Lonely(1, num_channels))
    result = run_trial(trial_of("lonely"), few, CPU, probes=ProbePlan(("variance", "dead")))
    assert result.status == "finished"
    assert set(result.probes.failures) == {"variance", "dead"}
    assert "there is only one of me" in result.probes.failures["dead"]


def test_seconds_of_probes_are_not_those_of_the_epochs(few, monkeypatch):
    """On a clock that moves in steps, by 1 second, and while probes are taken, by 100."""
    now, step = [0.0], EagerSteps.__call__

    def passing(seconds, then=lambda *_: None):
        def pass_by(*arguments):
            now[0] += seconds
            return then(*arguments)

        return pass_by

    monkeypatch.setattr("normscope.training.loop.time.perf_counter", lambda: now[0])
    monkeypatch.setattr(EagerSteps, "__call__", passing(1, step))
    monkeypatch.setattr(probing.Probing, "__call__", passing(100))
    looked = run_trial(trial_of("gn"), few, CPU)
    assert [record.train_seconds for record in looked.history] == [4, 4]


# -- names -----------------------------------------------------------------------------------------


def test_names_stand_for_probes_in_the_order_of_the_table():
    assert probes_named(["all"]) == tuple(PROBES)
    assert probes_named(["default"]) == DEFAULT_PROBES
    assert probes_named(["none"]) == ()
    assert probes_named(["variance", "redundancy"]) == ("redundancy", "variance")
    assert probes_named(["default", "corruptions"]) == (*DEFAULT_PROBES, "corruptions")


@pytest.mark.parametrize("names", [["colour"], [""], ["none", "dead"]])
def test_other_names_are_refused(names):
    with pytest.raises(UsageError, match=r"known: all, default, none, redundancy|not beside"):
        probes_named(names)


def test_every_probe_says_what_it_measures():
    for name, probe in PROBES.items():
        assert probe.about, name
        assert inspect.isfunction(probe.function), name


# -- the images ------------------------------------------------------------------------------------


def test_the_images_of_probes_are_the_same_in_every_trial_and_no_block_of_the_split(few):
    splits = probing.Splits.of(few, CPU)
    sets = [probing.ProbeSet.of(splits, trial_of(norm, seed).recipe, ProbePlan())
            for norm, seed in (("bn", 0), ("gn", 5))]  # fmt: skip
    assert sets[0].index.equal(sets[1].index)
    some = probing._some(splits.train, 10)
    assert len(some.unique()) == 10
    assert some.tolist() != list(range(10))


def test_more_images_begin_with_those_of_fewer(few, monkeypatch):
    monkeypatch.setattr(probing, "TEST_IMAGES", 10)
    splits = probing.Splits.of(few, CPU)
    recipe = trial_of("bn", 0).recipe
    usual, more, all_of = (
        probing.ProbeSet.of(splits, recipe, ProbePlan(images=count)).index
        for count in (10, 25, 10**6)
    )
    assert more[:10].equal(usual)
    assert all_of[:10].equal(usual)
    assert len(more.unique()) == 25
    assert all_of.sort().values.tolist() == list(range(len(splits.test)))
    with pytest.raises(UsageError, match="1 test image or more, not 0"):
        checked_probes(ProbePlan(("dead",), images=0))
