"""The residual networks of the CIFAR experiments: against published counts, and blocks by hand."""

import pytest
import torch
from small_trials import CPU, trial
from torch import nn
from torch.nn import functional as F

from normscope.data import load_dataset
from normscope.errors import UsageError
from normscope.models import MODELS
from normscope.models.fit import check_fit
from normscope.models.resnet import basic_block, he_normal
from normscope.models.summary import summarize
from normscope.norms import NORMS, asked
from normscope.training.seeds import generator
from normscope.training.trial import run_trial


def build(norm="bn", model="resnet20", seed=0):
    streams = generator(seed, "init"), generator(seed, "dropout")
    return MODELS[model](asked(norm), 10, *streams)


def parameters_by_hand(depth):
    """Of a network with bn and 10 classes: 3x3 weights, a scale and a shift per channel, a head."""
    blocks, total = (depth - 2) // 6, 3 * 16 * 9 + 2 * 16
    for channels, widened in ((16, 16), (16, 32), (32, 64)):
        first, others = channels * widened * 9, (2 * blocks - 1) * widened * widened * 9
        total += first + others + 2 * blocks * 2 * widened
    return total + 64 * 10 + 10


@pytest.mark.parametrize(
    ("model", "parameters"),
    [("resnet20", 269_722), ("resnet56", 853_018), ("resnet110", 1_727_962)],
)
def test_parameters_are_the_published_ones(model, parameters):
    """0.27, 0.85 and 1.7 million in the paper; to the digit those of its usual implementations.

    1,730,714 are those of depth 110 with projections in its two widening shortcuts (option B).
    """
    assert parameters == parameters_by_hand(int(model.removeprefix("resnet")))
    assert 1_730_714 - 1_727_962 == 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert summarize(model, "bn").parameters == parameters
    convolutions = [row for row in summarize(model, "bn").layers if row.type == "Conv2d"]
    assert len(convolutions) + 1 == int(model.removeprefix("resnet"))
    assert [row.output_shape for row in convolutions][:: len(convolutions) // 3] == [
        (16, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8)
    ]  # fmt: skip


@pytest.mark.parametrize(("channels", "widened", "stride"), [(4, 4, 1), (4, 8, 2)])
def test_a_block_by_hand(channels, widened, stride):
    block = basic_block(asked("gn:groups=2"), channels, widened, stride, torch.Generator())
    x = torch.randn(2, channels, 8, 8)
    first, norm, _, second, last = block.inner
    inner = F.group_norm(F.conv2d(x, first.weight, stride=stride, padding=1), 2).relu()
    inner = F.group_norm(F.conv2d(inner, second.weight, padding=1), 2)
    shortcut = torch.zeros_like(inner)
    place = (widened - channels) // 2
    shortcut[:, place : place + channels] = x[:, :, ::stride, ::stride]
    torch.testing.assert_close(block(x), (inner + shortcut).relu())
    assert isinstance(norm, nn.GroupNorm)
    assert norm is not last


def test_weights_start_as_in_the_paper_and_are_equal_whatever_the_norm():
    first, second = build("bn"), build("in")
    pairs = [(a, b) for a, b in zip(first.modules(), second.modules(), strict=True)
             if isinstance(a, nn.Conv2d | nn.Linear)]  # fmt: skip
    assert len(pairs) == 20
    assert all(torch.equal(a.weight, b.weight) for a, b in pairs)
    wide = torch.empty(64, 64, 3, 3)
    he_normal(wide, generator=torch.Generator())
    assert wide.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    before = torch.get_rng_state()
    build()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_fits_and_has_a_gradient_everywhere(norm):
    check_fit("resnet20", norm, 10, (32, 32, 3), least_batch=4)
    network = build(norm)
    network(torch.randn(4, 3, 32, 32)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_a_norm_that_replaces_the_activation_leaves_none():
    network = build("evo-s0")
    assert not any(isinstance(layer, nn.ReLU) for layer in network.modules())
    assert sum(isinstance(layer, nn.ReLU) for layer in build().modules()) == 1 + 9 * 2


def test_another_place_is_refused():
    with pytest.raises(UsageError, match="norms of a resnet are before the activation"):
        check_fit("resnet20", "bn:pre", 10, (32, 32, 3), least_batch=4)


def test_it_trains():
    shapes = load_dataset("shapes", train_limit=128, test_limit=50)
    short = trial("gn", epochs=1, batch_size=64).model_copy(update={"model": "resnet20"})
    result = run_trial(short, shapes, CPU)
    assert result.status == "finished"
    assert result.history[0].train_loss_nats < 3
