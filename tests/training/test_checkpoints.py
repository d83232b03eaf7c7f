"""A trial that is stopped, or killed, goes on to the bits of one that was not."""

import random
import shutil
from dataclasses import replace

import pytest
import torch
from small_trials import CPU, trial

from normscope import stopping
from normscope.data import load_dataset
from normscope.experiment import Keeping, ProbePlan
from normscope.models import MODELS
from normscope.norms.table import PACKAGED_NORMS
from normscope.own import find
from normscope.training import checkpoints, loop, steps
from normscope.training.steps import DeviceSteps
from normscope.training.trial import run_fleet, run_trial

SHORT = {"epochs": 2, "batch_size": 16}  # three steps an epoch, the last of 8 images
PROBES = ProbePlan(("variance", "eval-gap"), (0, 0.5, 1))


@pytest.fixture(scope="module")
def few():
    return load_dataset("shapes", train_limit=40, test_limit=20)


@pytest.fixture
def keeping(tmp_path):
    return Keeping(tmp_path / "states")


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch):
    """And no memory is measured, which takes as long as the few steps."""
    monkeypatch.setattr("normscope.training.trial.step_memory_mib", lambda *_: None)
    yield
    stopping.forget()


@pytest.fixture
def stopped(monkeypatch):
    """Runs something that is asked to stop within its step number `step`, or `when` that is so."""

    def run(train, step=0, when=""):
        taken = []

        def objective(self, index):
            taken.append(len(index))
            if len(taken) == step:
                stopping.ask()
            return usual(self, index)

        def ask(*_, **__):
            stopping.ask()

        usual = steps.Steps._objective
        with monkeypatch.context() as patch:
            patch.setattr(steps.Steps, "_objective", objective)
            with pytest.raises(stopping.Stopped):
                train(ask) if when == "an epoch ends" else train()
        stopping.forget()
        return len(taken)

    return run


def without_seconds(history):
    return [replace(record, train_seconds=0, test_seconds=0) for record in history]


def assert_equal(result, other):
    """To the bit, but for the seconds."""
    assert (result.status, result.error, result.notices) == (other.status, other.error, ())
    assert without_seconds(result.history) == without_seconds(other.history)
    assert result.weights.keys() == other.weights.keys()
    for name, value in result.weights.items():
        assert value.tobytes() == other.weights[name].tobytes(), name
    assert result.predictions.logits.tobytes() == other.predictions.logits.tobytes()
    if other.probes is not None:
        assert result.probes.failures == other.probes.failures == {}
        assert result.probes.series.keys() == other.probes.series.keys()
        for name, series in other.probes.series.items():
            assert result.probes.series[name].epochs.tolist() == series.epochs.tolist()
            assert result.probes.series[name].readings.tobytes() == series.readings.tobytes()


def goes_on(asked, few, keeping, stopped, probes=PROBES):
    """Stopped in the middle of an epoch and after it: the same in the end."""
    whole = run_trial(asked, few, CPU, probes=probes)
    assert whole.status == "finished", whole.error

    def train(on_epoch=lambda record: None):
        return run_trial(asked, few, CPU, on_epoch, probes, keeping)

    assert stopped(train, step=2) == 2
    assert stopped(train, when="an epoch ends") == 1
    assert_equal(train(), whole)


@pytest.mark.parametrize("norm", [*PACKAGED_NORMS, "gn:pre"])
def test_every_norm_goes_on_to_the_same_bits(norm, few, keeping, stopped):
    goes_on(trial(norm, **SHORT), few, keeping, stopped, ProbePlan())


RECIPES = {
    "an average": {"ema": 0.8},
    "augmentation": {"augmentation": ("flip", "crop", "cutout")},
    "adamw and l1": {"optimizer": "adamw", "l1": 1e-4, "weight_decay": 0.1, "schedule": "cosine"},
    "nesterov": {"optimizer": "sgd-nesterov", "weight_decay": 0.01, "schedule": "step"},
    "bfloat16": {"precision": "bf16"},
    "a warm-up": {"schedule": "linear", "warmup": 0.3, "dropout": 0.2, "label_smoothing": 0.1},
}


@pytest.mark.parametrize("what", RECIPES)
def test_every_recipe_does(what, few, keeping, stopped):
    goes_on(trial("bn", **SHORT, **RECIPES[what]), few, keeping, stopped)


def test_so_do_torchs_own_layers(few, keeping, stopped, monkeypatch):
    monkeypatch.setattr("normscope.training.forward.kernels_for", lambda *_: "torch")
    goes_on(trial("bn", **SHORT), few, keeping, stopped, ProbePlan())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_so_do_the_steps_of_a_gpu(optimizer, few, keeping, stopped, monkeypatch):
    monkeypatch.setattr("normscope.training.loop.EagerSteps", DeviceSteps)
    goes_on(trial("bn", **SHORT, optimizer=optimizer, ema=0.8), few, keeping, stopped)


def test_a_trial_that_is_killed_goes_on_from_any_step(few, keeping, monkeypatch):
    """From the file that was there then, with nothing else of the process that wrote it."""
    asked, at_each = trial("bn", batch_size=8, epochs=4), []

    def write(path, checkpoint):
        usual(path, checkpoint)
        at_each.append(shutil.copy(path, keeping.folder / f"{len(at_each)}.copy"))

    usual = checkpoints.write
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write", write)
        whole = run_trial(asked, few, CPU, probes=PROBES, keeping=Keeping(keeping.folder, 0))
    assert len(at_each) == 4 * (5 + 1)  # after the test of each epoch, too
    for file in random.Random(0).sample(at_each, 20):
        shutil.copy(file, keeping.folder / f"{asked.id}.safetensors")
        assert_equal(run_trial(asked, few, CPU, probes=PROBES, keeping=keeping), whole)


def test_a_trial_that_is_stopped_in_the_middle_of_a_test_repeats_it(
    few, keeping, stopped, monkeypatch
):
    monkeypatch.setattr(loop, "EVALUATION_PIXELS", 8 * 32 * 32)
    asked, tested = trial("bn", **SHORT, ema=0.8), []
    whole = run_trial(asked, few, CPU)

    def evaluate(model, split, members, before_batch):
        def ask_in_the_second():
            tested.append(None)
            if len(tested) == 2:
                stopping.ask()
            before_batch()

        return usual(model, split, members, ask_in_the_second)

    usual = loop.evaluate_fleet
    monkeypatch.setattr(loop, "evaluate_fleet", evaluate)
    assert stopped(lambda: run_trial(asked, few, CPU, keeping=keeping)) == 3
    assert len(tested) == 2
    assert_equal(run_trial(asked, few, CPU, keeping=keeping), whole)


def test_what_is_left_to_do_after_the_last_epoch_takes_no_step(few, keeping, stopped):
    asked = trial("bn", **SHORT, ema=0.8)
    whole = run_trial(asked, few, CPU)

    def stop_at_the_end(on_epoch):
        def told(record):
            if record.epoch == 2:
                on_epoch()

        return run_trial(asked, few, CPU, told, keeping=keeping)

    assert stopped(stop_at_the_end, when="an epoch ends") == 6
    assert_equal(run_trial(asked, few, CPU, keeping=keeping), whole)


def test_its_observer_is_told_of_all_epochs_and_its_seconds_add_up(few, keeping, stopped):
    asked, told = trial("gn", **SHORT), []
    stopped(lambda: run_trial(asked, few, CPU, keeping=keeping), step=5)
    kept = checkpoints.read(keeping.folder / f"{asked.id}.safetensors")
    result = run_trial(asked, few, CPU, told.append, keeping=keeping)
    assert tuple(told) == result.history
    assert [record.epoch for record in told] == [1, 2]
    assert result.started == kept.started
    assert result.seconds > kept.seconds > told[0].train_seconds > 0


def test_seconds_of_keeping_are_not_those_of_the_epochs(few, keeping, monkeypatch):
    """On a clock that moves in steps, by 1 second, and while states are written, by 100."""
    now, step, write = [0.0], steps.EagerSteps.__call__, checkpoints.write

    def passing(seconds, then):
        def pass_by(*arguments):
            now[0] += seconds
            return then(*arguments)

        return pass_by

    monkeypatch.setattr("normscope.training.loop.time.perf_counter", lambda: now[0])
    monkeypatch.setattr(steps.EagerSteps, "__call__", passing(1, step))
    monkeypatch.setattr(checkpoints, "write", passing(100, write))
    result = run_trial(trial("gn", **SHORT), few, CPU, keeping=Keeping(keeping.folder, 0))
    assert [record.train_seconds for record in result.history] == [3, 3]
    assert result.seconds == 6 + 8 * 100


# -- fleets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["bn", "lrn"])  # folded, and side by side
def test_a_fleet_goes_on_with_all_its_members(norm, few, keeping, stopped):
    trials = [trial(norm, seed, **SHORT) for seed in (0, 1)]
    recipe = trials[0].recipe.model_copy(update={"augmentation": ("flip", "crop")})
    trials = [each.model_copy(update={"recipe": recipe}) for each in trials]
    whole = run_fleet(trials, few, CPU, probes=PROBES)
    told = []

    def train():
        return run_fleet(trials, few, CPU, lambda t, r: told.append(t.seed), PROBES, keeping)

    stopped(train, step=5)
    assert [path.name[:6] for path in keeping.folder.iterdir()] == ["fleet-"]
    told.clear()
    for result, other in zip(train(), whole, strict=True):
        assert_equal(result, other)
    assert told == [0, 1, 0, 1]


def test_a_member_that_diverged_stays_so(few, keeping, stopped, monkeypatch):
    trials = [trial("gn", seed, **SHORT) for seed in (0, 1)]
    build = run_fleet.__globals__["build"]

    def one_is_broken(asked, *rest):
        built = build(asked, *rest)
        if asked.seed == 1:
            built.model.layers[0].weight.data *= float("inf")
        return built

    monkeypatch.setattr("normscope.training.trial.build", one_is_broken)
    whole = run_fleet(trials, few, CPU)
    assert [each.status for each in whole] == ["finished", "diverged"]
    stopped(lambda: run_fleet(trials, few, CPU, keeping=keeping), step=5)
    again = run_fleet(trials, few, CPU, keeping=keeping)
    assert_equal(again[0], whole[0])
    assert (again[1].status, again[1].error) == ("diverged", whole[1].error)


# -- networks that are built otherwise -------------------------------------------------------------

NET = """
import random
import numpy as np
import torch
from torch import nn
from torch.nn.functional import dropout

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 4, 4), nn.BatchNorm2d(8)
        self.head, self.drop = nn.Linear(8, num_classes), nn.Dropout(0.1)
        self.register_buffer("seen", torch.zeros(3), persistent=False)
        self.calls, self.sizes, self.mean = 0, [], None
        self.drawn = np.random.default_rng(0), random.Random(1)
        self.numpys, self.pythons, self.legacy = *self.drawn, np.random.RandomState(2)
        self.torchs = torch.Generator().manual_seed(3)
        del self.drawn
        self.act = nn.functional.relu

    def forward(self, x):
        self.calls += 1
        self.seen += 1
        x = self.act(self.norm(self.conv(x))).mean(dim=(2, 3))
        if self.training:
            self.sizes.append(len(x))
            new = x.detach().mean(dim=0)
            self.mean = new if self.mean is None else 0.5 * self.mean + new
        noise = torch.rand(1) + np.random.rand() + random.random() + float(self.numpys.random())
        noise += self.pythons.random() + self.legacy.rand() + torch.rand(1, generator=self.torchs)
        x = dropout(x, 0.2, self.training) * noise * (1 + 0.01 * self.calls + self.seen[0])
        if self.mean is not None:
            x = x + 0.01 * self.mean + 0.001 * sum(self.sizes)
        return self.head(self.drop(x))
"""


def own(tmp_path, monkeypatch, source):
    (tmp_path / "net.py").write_text(source)
    code = find(f"{tmp_path / 'net.py'}:Net")
    monkeypatch.setitem(MODELS, "net.Net", code)
    update = {"model": "net.Net", "model_source": code.fingerprint}
    return trial("bn", **SHORT).model_copy(update=update)


def test_a_network_of_a_users_own_does_whatever_it_draws_and_holds(
    few, keeping, stopped, tmp_path, monkeypatch
):
    goes_on(own(tmp_path, monkeypatch, NET), few, keeping, stopped, ProbePlan())


OBJECTS = """

class Sizes(list):
    pass

class Held:
    def __init__(self):
        self.width = 8
"""


def test_a_network_that_holds_objects_which_change_begins_anew(
    few, keeping, stopped, tmp_path, monkeypatch
):
    source = NET.replace("self.sizes, self.mean = 0, []", "self.sizes, self.mean = 0, Sizes()")
    asked = own(tmp_path, monkeypatch, source + OBJECTS)
    stopped(lambda: run_trial(asked, few, CPU, keeping=keeping), step=2)
    assert not keeping.folder.exists()
    result = run_trial(asked, few, CPU, keeping=Keeping(keeping.folder, 0))
    assert (result.status, result.error) == ("finished", None)
    assert result.notices == (
        "No state of this training can be kept, because of sizes of model, a Sizes.",
    )


def test_objects_that_stay_what_they_are_need_not_be_kept(
    few, keeping, stopped, tmp_path, monkeypatch
):
    source = NET.replace("self.act =", "self.held = Held()\n        self.act =")
    goes_on(own(tmp_path, monkeypatch, source + OBJECTS), few, keeping, stopped, ProbePlan())


def test_a_regrouped_network_goes_on_without_its_twin(few, keeping, stopped):
    asked = trial("gn:order=similar-scale-trained", **SHORT)
    whole = run_trial(asked, few, CPU)

    def train(on_epoch=lambda record: None):
        return run_trial(asked, few, CPU, on_epoch, keeping=keeping)

    assert stopped(train, step=3) == 3  # in the training of the twin, of which nothing is kept
    assert not keeping.folder.exists()
    assert stopped(train, step=6 + 2) == 6 + 2
    assert stopped(train, when="an epoch ends") == 1  # which was the last step of it
    assert_equal(train(), whole)


def test_a_search_for_rates_keeps_and_probes_nothing_in_the_end(few, keeping, stopped):
    asked = trial("bn", **SHORT).model_copy(update={"validation": True})
    whole = run_trial(asked, few, CPU)
    stopped(lambda: run_trial(asked, few, CPU, keeping=keeping), step=2)
    again = run_trial(asked, few, CPU, probes=PROBES, keeping=keeping)
    assert again.history[-1].test_loss_nats == whole.history[-1].test_loss_nats
    assert (again.weights, again.probes, again.notices) == (None, None, ())


def test_nothing_is_kept_where_nobody_asked_for_it(few, monkeypatch):
    monkeypatch.setattr(checkpoints, "write", lambda *_: pytest.fail("was written"))
    for seed in (0, 1):
        run_trial(trial("bn", seed, **SHORT), few, CPU)
    told = []

    def ask(record):
        told.append(record.epoch)
        stopping.ask()

    with pytest.raises(stopping.Stopped):  # and a request is answered at once
        run_trial(trial("bn", **SHORT), few, CPU, ask)
    assert told == [1]


def test_a_second_request_waits_for_no_step(few, keeping, monkeypatch):
    def objective(self, index):
        stopping.ask()
        stopping.ask()
        pytest.fail("went on")

    monkeypatch.setattr(steps.Steps, "_objective", objective)
    with pytest.raises(stopping.Stopped):
        run_trial(trial("bn", **SHORT), few, CPU, keeping=keeping)
    assert not keeping.folder.exists()


def test_global_random_states_are_left_alone(few, keeping, stopped, tmp_path, monkeypatch):
    before = torch.get_rng_state()
    goes_on(own(tmp_path, monkeypatch, NET), few, keeping, stopped, ProbePlan())
    assert torch.equal(torch.get_rng_state(), before)
