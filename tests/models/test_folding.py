"""A network with its norms folded answers as it did."""

import pytest
import torch
from torch import nn

from normscope.models import folding
from normscope.models.folding import ConvPlusMap, fold_norms
from normscope.training.forward import with_fastest_forward
from normscope.training.trial import build_model
from tests.small_trials import CPU, some_images, trial

FOLDED = ("bn", "bn:pre", "ghost-bn", "brn", "bn-center", "bn-scale", "bn-scale:pre")


def trained(norm):
    """A float64 network whose running statistics and parameters are not what they began as."""
    images = some_images()
    network = build_model(trial(norm), images, 10)
    x = images.batch(torch.arange(64))[0]
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=rng))
        for _ in range(3):
            with_fastest_forward(network.train(), CPU, "fp32")(x)
    return network.eval().double(), x.double()


@pytest.mark.parametrize("norm", FOLDED)
def test_a_folded_network_answers_as_before(norm):
    network, x = trained(norm)
    folded = fold_norms(network, x[:1])
    assert folded is not None
    with torch.inference_mode():
        expected, found = network(x), folded(x)
    assert torch.isfinite(expected).all()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    kinds = {type(layer).__name__ for layer in folded.modules()}
    own = {type(layer).__name__ for layer in network.modules()} - kinds
    assert len(own) == 1, "the norm's type is gone, and nothing else is"


def test_a_norm_before_the_activation_costs_nothing_at_all():
    network, x = trained("bn:pre")
    folded = fold_norms(network, x[:1])
    assert folded is not None
    assert not any(isinstance(layer, ConvPlusMap) for layer in folded.modules())


def test_the_network_itself_stays_as_it_was():
    network, x = trained("bn")
    with torch.inference_mode():
        before = network(x)
        fold_norms(network, x[:1])
        assert torch.equal(network(x), before)


@pytest.mark.parametrize("norm", ["gn", "ln", "in", "none", "dyt", "switch", "evo-b0", "bin"])
def test_a_norm_that_looks_at_the_image_cannot_be_folded(norm):
    network, x = trained(norm)
    assert fold_norms(network, x[:1]) is None


def test_a_norm_with_no_convolution_beside_it_stays():
    network = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 1))
    assert fold_norms(network, torch.randn(1, 3, 4, 4)) is None
    pooled = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.MaxPool2d(2), nn.Conv2d(3, 4, 1))
    assert fold_norms(pooled, torch.randn(1, 3, 4, 4)) is None


class Tied(nn.Module):
    """A convolution that is used by two sequences, or by one and outside of it."""

    def __init__(self, outside):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.one = nn.Sequential(self.conv, nn.BatchNorm2d(3), nn.ReLU())
        self.other = self.conv if outside else nn.Sequential(self.conv, nn.BatchNorm2d(3))

    def forward(self, x):
        return self.other(self.one(x))


class TwoSizes(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, padding=1))

    def forward(self, x):
        return self.block(nn.functional.avg_pool2d(self.block(x), 2))


def pooled(pool):
    return nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), pool, nn.Conv2d(3, 4, 1))


@pytest.mark.parametrize(
    "network",
    [
        Tied(outside=False),
        Tied(outside=True),
        TwoSizes(),
        pooled(nn.AvgPool2d(3, 1, padding=1)),
        pooled(nn.AvgPool2d(2, divisor_override=1)),
    ],
    ids=["tied", "tied outside", "two sizes", "padded pool", "sum pool"],
)
def test_what_would_answer_otherwise_is_not_folded(network):
    rng = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -2, 2, generator=rng)
            nn.init.uniform_(layer.running_var, 0.5, 3, generator=rng)
    x = torch.randn(2, 3, 8, 8, generator=rng)
    assert fold_norms(network.eval(), x) is None


def test_a_copy_that_answers_otherwise_is_not_handed_out(monkeypatch):
    """Whatever a network does between its layers, this is noticed."""
    monkeypatch.setattr(folding, "_is_passed", lambda layer: True)
    network = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.Sigmoid(), nn.Conv2d(3, 4, 1))
    assert fold_norms(network, torch.randn(2, 3, 8, 8)) is None
