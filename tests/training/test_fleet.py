"""A fleet against its members trained alone."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_trials import SOME_NORMS
from torch import nn

from normscope.errors import UsageError
from normscope.experiment import RECIPES, Experiment
from normscope.experiment.plan import plan
from normscope.models import MODELS
from normscope.models.layers import Dropout
from normscope.norms import NORMS
from normscope.norms import asked as asked_for
from normscope.norms.by_layer import coefficients_of, norm_layers
from normscope.norms.layer import NormLayer
from normscope.training import SideBySide, Splits, fit_fleet, fold, join, separate, unfold
from normscope.training.seeds import generator
from normscope.training.trial import run_fleet, run_trial

CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
SEEDS = range(3)


def members(norm, model="s8", seeds=SEEDS):
    made = [
        MODELS[model](asked_for(norm), 10, generator(seed, "init"), generator(seed, "dropout"))
        for seed in seeds
    ]
    return [network.to(memory_format=torch.channels_last).layers for network in made]


def trials(norms=("bn",), seeds=3, **recipe):
    values = {"epochs": 1, "batch_size": 64, **recipe}
    experiment = Experiment(
        dataset="shapes",
        norms=norms,
        seeds=seeds,
        recipe=RECIPES["quick"].model_copy(update=values),
        train_limit=256,
        test_limit=100,
    )
    return plan(experiment)


def wide(batches):
    """Images (N, 3, H, W) of each member, side by side."""
    return torch.cat(batches, dim=1)


@pytest.mark.parametrize("model", ["s8", "s8-gap", "s8-res"])
@pytest.mark.parametrize("norm", SOME_NORMS)
def test_a_folded_network_computes_what_its_members_compute(norm, model):
    """Outputs, gradients, running statistics, and the elements that dropout hits; in float64."""
    alone = [network.double() for network in members(norm, model)]
    folded = fold([network.double() for network in members(norm, model)])
    batches = [
        torch.randn(8, 3, 32, 32, generator=generator(s, "images"), dtype=torch.float64)
        for s in SEEDS
    ]
    logits = folded(wide(batches)).unflatten(1, (3, 10))
    logits.square().sum().backward()
    back = copy.deepcopy(alone)
    unfold(folded, back)
    for m, (network, images) in enumerate(zip(alone, batches, strict=True)):
        expected = network(images)
        torch.testing.assert_close(logits[:, m], expected)
        expected.square().sum().backward()
        for name, buffer in network.named_buffers():
            torch.testing.assert_close(dict(back[m].named_buffers())[name], buffer)
    for position, layer in enumerate(folded):
        for name, parameter in layer.named_parameters():
            own = [dict(network[position].named_parameters())[name].grad for network in alone]
            torch.testing.assert_close(parameter.grad, torch.cat(own))


@pytest.mark.parametrize("norm", SOME_NORMS)
def test_unfold_gives_the_members_back(norm):
    alone = members(norm)
    before = copy.deepcopy(alone)
    folded = fold(alone)
    for parameter in folded.parameters():
        parameter.data += 1
    unfold(folded, alone)
    for network, original in zip(alone, before, strict=True):
        for parameter, old in zip(network.parameters(), original.parameters(), strict=True):
            assert torch.equal(parameter, old + 1)


def test_folding_copies():
    alone = members("bn")
    before = copy.deepcopy(alone[0].state_dict())
    for parameter in fold(alone).parameters():
        parameter.data += 1
    assert all(torch.equal(before[name], value) for name, value in alone[0].state_dict().items())


def test_folding_neither_reads_nor_sets_the_global_random_state():
    before = torch.get_rng_state()
    fold(members("bn"))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "options",
    [{"dilation": 2}, {"padding": "same"}, {"padding": 1, "padding_mode": "circular"},
     {"stride": 2}, {"groups": 2}],
    ids=str,
)  # fmt: skip
def test_every_kind_of_convolution_is_folded(options):
    with torch.random.fork_rng():
        alone = [nn.Sequential(nn.Conv2d(4, 6, 3, **options)) for _ in range(2)]
    images = [torch.randn(2, 4, 9, 9, generator=generator(s, "images")) for s in range(2)]
    expected = torch.cat([layer(x) for layer, x in zip(alone, images, strict=True)], dim=1)
    torch.testing.assert_close(fold(alone)(wide(images)), expected)


@pytest.mark.parametrize(
    "norm",
    [nn.GroupNorm(2, 4, affine=False), nn.BatchNorm2d(4, track_running_stats=False)],
    ids=repr,
)
def test_a_norm_that_cannot_be_folded_is_named(norm):
    with pytest.raises(UsageError, match="must be affine and track"):
        fold([nn.Sequential(norm)] * 2)


def test_a_layer_that_cannot_be_folded_is_named():
    with pytest.raises(UsageError, match="cannot fold the layer Bilinear; known: Conv2d, "):
        fold([nn.Sequential(nn.Bilinear(1, 1, 1))] * 2)


@pytest.mark.parametrize("norm", SOME_NORMS)
def test_a_member_trains_as_it_does_alone(norm, shapes):
    """Same images in the same order, same initial weights, equal losses within rounding."""
    group = trials((norm,), max_lr=0.02)
    together = run_fleet(group, shapes, CPU)
    for trial, member in zip(group, together, strict=True):
        alone = run_trial(trial, shapes, CPU)
        (found,), (expected,) = member.history, alone.history
        assert found.train_loss_nats == pytest.approx(expected.train_loss_nats, rel=2e-3)
        assert found.test_loss_nats == pytest.approx(expected.test_loss_nats, rel=1e-2)
        assert found.learning_rate == expected.learning_rate
        assert member.weights.keys() == alone.weights.keys()
        for name, value in alone.weights.items():
            if value.ndim == 4:
                error = np.abs(member.weights[name] - value).max()
                assert error < 0.05 * np.abs(value).max()
        assert (member.status, member.environment.fleet) == ("finished", 3)


def test_a_member_trains_as_it_does_alone_by_every_field_of_a_recipe(shapes):
    fields = {
        "optimizer": "sgd-nesterov", "weight_decay": 0.01, "weight_decay_on": "weights",
        "l1": 0.0001, "augmentation": ("flip", "crop", "cutout"), "ema": 0.5,
    }  # fmt: skip
    group = trials(("bn",), max_lr=0.02, **fields)
    for trial, member in zip(group, run_fleet(group, shapes, CPU), strict=True):
        alone = run_trial(trial, shapes, CPU)
        (found,), (expected,) = member.history, alone.history
        assert found.train_loss_nats == pytest.approx(expected.train_loss_nats, rel=2e-3)
        assert found.test_loss_nats == pytest.approx(expected.test_loss_nats, rel=1e-2)
        for name, value in alone.weights.items():
            if value.ndim == 4:
                error = np.abs(member.weights[name] - value).max()
                assert error < 0.05 * np.abs(value).max()


def test_members_differ_by_their_seed(shapes):
    losses = [result.history[0].train_loss_nats for result in run_fleet(trials(), shapes, CPU)]
    assert len(set(losses)) == 3


def test_a_member_that_diverges_leaves_the_others_alone(shapes):
    networks = members("gn")
    with torch.no_grad():
        networks[1][0].weight *= float("inf")
    told = []
    recipe = RECIPES["quick"].model_copy(update={"epochs": 2})
    orders = [generator(seed, "order") for seed in SEEDS]
    outcomes = fit_fleet(
        fold(networks),
        Splits.of(shapes, CPU),
        recipe,
        orders,
        lambda m, r: told.append((m, r.epoch)),
    )
    assert [type(outcome).__name__ for outcome in outcomes] == ["Tensor", "Diverged", "Tensor"]
    assert told == [(0, 1), (2, 1), (0, 2), (2, 2)]
    assert all(outcomes[m].isfinite().all() for m in (0, 2))


def test_what_raises_is_the_outcome_of_all(shapes):
    group = trials(seeds=2)
    broken = [t.model_copy(update={"norm": "nothing"}) for t in group]
    results = run_fleet(broken, shapes, CPU)
    assert [result.status for result in results] == ["failed", "failed"]
    assert "unknown norm 'nothing'" in results[0].error


def test_dropout_hits_each_member_where_it_hits_it_alone():
    layers = [nn.Sequential(Dropout(0.3, generator(s, "dropout"))) for s in SEEDS]
    folded = fold([nn.Sequential(Dropout(0.3, generator(s, "dropout"))) for s in SEEDS])
    x = torch.ones(2, 4, 5, 5)
    together = folded(wide([x] * 3))
    for m, layer in enumerate(layers):
        assert torch.equal(together[:, 4 * m : 4 * (m + 1)], layer(x))


# -- members that cannot be folded ---------------------------------------------------------------


def test_members_are_folded_where_that_is_known():
    assert isinstance(join(members("bn")), nn.Sequential)
    assert isinstance(join(members("lrn")), SideBySide)


@pytest.mark.parametrize("norm", ["bn", "lrn"])
def test_side_by_side_every_member_computes_what_it_computes_alone(norm):
    alone = [network.double() for network in members(norm)]
    beside = SideBySide([network.double() for network in members(norm)])
    batches = [
        torch.randn(8, 3, 32, 32, generator=generator(s, "images"), dtype=torch.float64)
        for s in SEEDS
    ]
    logits = beside(wide(batches)).unflatten(1, (3, 10))
    logits.square().sum().backward()
    for m, (network, images) in enumerate(zip(alone, batches, strict=True)):
        expected = network(images)
        torch.testing.assert_close(logits[:, m], expected)
        expected.square().sum().backward()
        for found, own in zip(beside.members[m].parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(found.grad, own.grad)


def test_members_side_by_side_keep_their_own_weights():
    alone = members("lrn")
    joined = join(alone)
    for parameter in joined.parameters():
        parameter.data += 1
    separate(joined, alone)
    expected = [p + 1 for network in members("lrn") for p in network.parameters()]
    found = [p for network in alone for p in network.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_norm_may_be_folded_without_being_fused_and_the_other_way_round(monkeypatch):
    kind, made = nn.InstanceNorm2d, [nn.InstanceNorm2d(4, affine=True) for _ in range(2)]
    known = NormLayer(
        kind,
        is_usual=lambda layer: layer.affine,
        widened=lambda layer, members: kind(layer.num_features * members, affine=True),
    )
    monkeypatch.setitem(norm_layers(), kind, known)
    made[1].weight.data.fill_(3.0)
    x = torch.randn(2, 4, 5, 5, generator=generator(0, "x"))
    expected = torch.cat([layer(x) for layer in made], dim=1)
    torch.testing.assert_close(fold(made)(wide([x, x])), expected)
    assert coefficients_of(made[0]) is None
    monkeypatch.setitem(norm_layers(), kind, replace(known, widened=None))
    assert isinstance(join(made), SideBySide)


def test_a_norm_that_cannot_be_folded_trains_in_a_fleet_as_it_does_alone(shapes):
    group = trials(("lrn",), max_lr=0.02)
    for trial, member in zip(group, run_fleet(group, shapes, CPU), strict=True):
        alone = run_trial(trial, shapes, CPU)
        assert (member.status, member.environment.fleet) == ("finished", 3)
        expected = alone.history[0].train_loss_nats
        assert member.history[0].train_loss_nats == pytest.approx(expected, rel=1e-4)
        for name, value in alone.weights.items():
            assert member.weights[name] == pytest.approx(value, abs=1e-3)


def test_a_fleet_that_is_too_large_for_the_gpu_says_what_to_do(shapes, monkeypatch):
    def full(*_, **__):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("normscope.training.trial.fit_fleet", full)
    for result in run_fleet(trials(seeds=3), shapes, CPU):
        assert result.status == "failed"
        assert result.error.splitlines()[0].endswith(
            "; 3 trials at once are too many for the memory of this GPU; use --workers 1"
        )
    assert "--workers" not in run_fleet(trials(seeds=1), shapes, CPU)[0].error


# -- on a GPU ------------------------------------------------------------------------------------


@needs_cuda
def test_a_member_that_diverges_on_cuda_leaves_the_others_alone(shapes):
    cuda = torch.device("cuda")
    group = trials(("gn",), max_lr=0.02, epochs=2)
    made = [
        MODELS["s8"](NORMS["gn"], 10, generator(s, "init"), generator(s, "dropout", cuda))
        for s in SEEDS
    ]
    networks = [m.to(cuda, memory_format=torch.channels_last).layers for m in made]
    with torch.no_grad():
        networks[1][0].weight *= float("inf")
    orders = [generator(seed, "order") for seed in SEEDS]
    outcomes = fit_fleet(
        fold(networks), Splits.of(shapes, cuda), group[0].recipe, orders, lambda *_: None
    )
    assert [type(outcome).__name__ for outcome in outcomes] == ["Tensor", "Diverged", "Tensor"]
    assert all(outcomes[m].isfinite().all() for m in (0, 2))


@needs_cuda
def test_members_side_by_side_on_cuda_agree_with_those_alone(shapes):
    cuda = torch.device("cuda")
    group = trials(("lrn",), max_lr=0.02, epochs=3)
    for trial, member in zip(group, run_fleet(group, shapes, cuda), strict=True):
        alone = run_trial(trial, shapes, cuda)
        expected = [record.train_loss_nats for record in alone.history]
        found = [record.train_loss_nats for record in member.history]
        assert found == pytest.approx(expected, rel=5e-3)


@needs_cuda
@pytest.mark.parametrize("norm", SOME_NORMS)
def test_a_fleet_on_cuda_agrees_with_its_members_there(norm, shapes):
    cuda = torch.device("cuda")
    group = trials((norm,), max_lr=0.02)
    for trial, member in zip(group, run_fleet(group, shapes, cuda), strict=True):
        alone = run_trial(trial, shapes, cuda)
        expected = alone.history[0].train_loss_nats
        assert member.history[0].train_loss_nats == pytest.approx(expected, rel=5e-3)
