"""ResNet-9 against its description: counts, what each value sees, and the network by hand."""

import pytest
import torch
from small_trials import CPU, trial
from torch import nn
from torch.nn import functional as F

from normscope.data import load_dataset
from normscope.errors import UsageError
from normscope.models import MODELS
from normscope.models.fit import check_fit
from normscope.models.summary import summarize
from normscope.norms import NORMS, asked
from normscope.training import SideBySide, join
from normscope.training.fused import Fused
from normscope.training.seeds import generator
from normscope.training.trial import run_trial


def build(norm="bn", seed=0):
    streams = generator(seed, "init"), generator(seed, "dropout")
    return MODELS["resnet9"](asked(norm), 10, *streams)


def images(*shape):
    return torch.randn(*shape, generator=generator(0, "images"))


def test_parameters_by_hand():
    """6,573,120: 6,563,520 in convolutions, 5,120 in the linear layer, 4,480 in norms.

    9 (3 * 64 + 64 * 128 + 2 * 128^2 + 128 * 256 + 256 * 512 + 2 * 512^2) = 6,563,520; 512 * 10
    without a bias; gamma and beta of 64 + 3 * 128 + 256 + 3 * 512 = 2,240 channels.
    """
    assert summarize("resnet9", "bn").parameters == 6_563_520 + 5_120 + 2 * 2_240
    assert summarize("resnet9", "none").parameters == 6_563_520 + 5_120
    assert summarize("resnet9", "gn", num_classes=3).parameters == 6_563_520 + 1_536 + 4_480


def test_multiply_adds_and_what_each_value_sees_by_hand():
    """Each pooling halves the map and doubles the channels, so a convolution costs as much again.

    9 * 3 * 64 * 32^2 = 1,769,472 for the first; 9 * 64 * 128 * 32^2 = 75,497,472 for each that
    widens, and as much for each pair that does not.
    """
    summary = summarize("resnet9", "bn")
    assert summary.multiply_adds == 1_769_472 + 5 * 75_497_472
    kinds = "Conv2d", "MaxPool2d", "AdaptiveMaxPool2d"
    rows = [row for row in summary.layers if row.type in kinds]
    assert [row.receptive_field for row in rows] == [3, 5, 6, 10, 14, 18, 20, 28, 32, 48, 64, 88]
    assert [row.output_shape[1] for row in rows] == [32, 32, 16, 16, 16, 16, 8, 8, 4, 4, 4, 1]


def test_the_network_by_hand():
    network, x = build("gn").eval(), images(2, 3, 32, 32)
    found = network(x)
    weights = iter([each.weight for each in network.modules() if isinstance(each, nn.Conv2d)])
    head = network.get_parameter("head.2.weight")

    def block(x):
        return F.group_norm(F.conv2d(x, next(weights), padding=1), 4).relu()

    x = block(x)
    x = F.max_pool2d(block(x), 2)
    x = x + block(block(x))
    x = F.max_pool2d(block(x), 2)
    x = F.max_pool2d(block(x), 2)
    x = x + block(block(x))
    torch.testing.assert_close(found, x.amax((2, 3)) @ head.T / 8)


def test_weights_start_as_in_the_source():
    """Uniform within +-1/sqrt(fan_in)."""
    for weight in (each.weight for each in build().modules() if isinstance(each, nn.Conv2d)):
        bound = weight[0].numel() ** -0.5
        assert 0.99 * bound < weight.abs().max() <= bound
    head = build().get_parameter("head.2.weight")
    assert 0.99 / 512**0.5 < head.abs().max() <= 1 / 512**0.5


@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_fits_and_has_a_gradient_everywhere(norm):
    check_fit("resnet9", norm, 10, (32, 32, 3), least_batch=4)
    network = build(norm)
    network(images(4, 3, 16, 16)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_a_norm_that_replaces_the_activation_leaves_none():
    assert not any(isinstance(layer, nn.ReLU) for layer in build("frn").modules())
    assert sum(isinstance(layer, nn.ReLU) for layer in build().modules()) == 8


def test_another_place_and_images_that_it_pools_to_nothing_are_refused():
    with pytest.raises(UsageError, match="norms of a resnet9 are before the activation; leave"):
        check_fit("resnet9", "bn:pre", 10, (32, 32, 3), least_batch=4)
    with pytest.raises(UsageError, match="bn cannot be used in resnet9"):
        check_fit("resnet9", "bn", 10, (7, 7, 3), least_batch=4)
    check_fit("resnet9", "bn", 10, (9, 15, 3), least_batch=4)


@pytest.mark.parametrize("norm", ["bn", "gn", "frn"])
def test_every_block_is_fused(norm, monkeypatch):
    network, x = build(norm).eval(), images(2, 3, 16, 16)
    expected = network(x)
    for kind in (nn.ReLU, type(asked(norm)(64))):
        monkeypatch.setattr(kind, "forward", lambda self, x: pytest.fail("was called"))
    torch.testing.assert_close(Fused(network)(x), expected, rtol=1e-4, atol=1e-5)


def test_members_of_a_fleet_go_side_by_side():
    members = [build("gn", seed).eval() for seed in (0, 1)]
    x = images(2, 3, 16, 16)
    alone = torch.cat([member(x) for member in members], dim=1)
    joined = join(members)
    assert isinstance(joined, SideBySide)
    torch.testing.assert_close(joined(torch.cat([x, x], dim=1)), alone)


def test_it_trains():
    shapes = load_dataset("shapes", train_limit=32, test_limit=10)
    short = trial("bn", epochs=2, batch_size=16, max_lr=0.02)
    result = run_trial(short.model_copy(update={"model": "resnet9"}), shapes, CPU)
    assert result.status == "finished"
    assert result.history[1].train_loss_nats < result.history[0].train_loss_nats < 5
