"""The predictors at initialization, on tensors and networks small enough for a brute-force loop."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity, cross_entropy

from normscope.models import MODELS
from normscope.norms import NORMS
from normscope.probes.initial import mean_cosine, predictors
from normscope.training.seeds import generator


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_mean_cosine_is_that_of_all_pairs():
    x = normal(7, 3, 4, 5)
    pairs = itertools.combinations(x.flatten(1).double(), 2)
    by_hand = [float(cosine_similarity(a, b, dim=0)) for a, b in pairs]
    assert mean_cosine(x) == pytest.approx(sum(by_hand) / 21, abs=1e-12)


def test_mean_cosine_of_known_samples():
    up, side = [1.0, 0.0], [0.0, 2.0]
    assert mean_cosine(torch.tensor([up, [3.0, 0.0]])) == pytest.approx(1)
    assert mean_cosine(torch.tensor([up, side])) == pytest.approx(0)
    assert mean_cosine(torch.tensor([up, [-1.0, 0.0]])) == pytest.approx(-1)
    # A sample of zeros is at right angles to the others: one pair of three is alike.
    assert mean_cosine(torch.tensor([up, up, [0.0, 0.0]])) == pytest.approx(1 / 3)


def test_gradients_and_similarities_are_those_of_the_layers_in_order():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 5)
    )
    x, labels = normal(6, 3, 8, 8), torch.arange(6) % 5
    found = predictors(network, x, labels)
    assert found is not None
    loss = cross_entropy(network(x), labels)
    by_hand = torch.autograd.grad(loss, [network[0].weight, network[4].weight])
    assert found.gradient_norms == pytest.approx([float(g.norm()) for g in by_hand], rel=1e-5)
    assert found.similarity == pytest.approx([mean_cosine(network[:4](x).detach())], abs=1e-6)
    assert found.seeds == 1
    assert not any(layer._forward_pre_hooks for layer in network)


def test_a_loss_that_is_not_finite_has_no_predictors():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    nn.init.constant_(network[1].weight, torch.inf)
    assert predictors(network, normal(2, 3, 2, 2), torch.tensor([0, 1])) is None


def test_a_network_of_one_layer_has_none_to_compare():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    assert predictors(network, normal(2, 3, 2, 2), torch.tensor([0, 1])) is None


def test_larger_groups_make_samples_alike_and_smaller_ones_raise_early_gradients():
    """What the paper found, in S8 with the norm before the ReLU as there."""
    x, labels = normal(64, 3, 32, 32), torch.arange(64) % 10

    def look(norm):
        network = MODELS["s8"](NORMS[norm], 10, generator(0, "init"), generator(0, "dropout"))
        found = predictors(network, x, labels)
        assert found is not None
        return found

    layer, group, instance = look("ln"), look("gn"), look("in")
    assert layer.last_similarity > group.last_similarity > instance.last_similarity
    assert instance.first_gradient_norm > group.first_gradient_norm > layer.first_gradient_norm
