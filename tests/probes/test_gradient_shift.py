"""How the earlier layers' step changes a layer's gradient: a linear net by hand, and a copy."""

import copy
import math

import numpy as np
import pytest
import torch
from small_networks import assert_no_trace, batch, normal, trace, two_blocks
from torch import nn

from normscope.probes.gradient_shift import gradient_shift
from normscope.probes.order import WEIGHTED
from normscope.probes.weights import weight_norms


def test_a_linear_net_of_two_layers_by_hand():
    """logits = W2 W1 x; with p = softmax - one-hot: G1 = W2' p' x / N, G2 = p' (x W1') / N."""
    network = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False)).double()
    first, second, x = (normal(4, 3).numpy(), normal(2, 4, seed=1).numpy(), normal(6, 3, seed=2))
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    network[0].weight.data, network[1].weight.data = torch.tensor(first), torch.tensor(second)

    def gradients(first, second):
        hidden = x.numpy() @ first.T
        odds = np.exp(hidden @ second.T)
        error = odds / odds.sum(1, keepdims=True) - np.eye(2)[labels]
        return second.T @ error.T @ x.numpy() / 6, error.T @ hidden / 6

    of_first, before = gradients(first, second)
    _, after = gradients(first - 0.7 * of_first, second)
    distance = np.linalg.norm(after - before)
    cosine = (after * before).sum() / (np.linalg.norm(after) * np.linalg.norm(before))
    found = gradient_shift(network, x, labels, learning_rate=0.7)
    assert found[0] == (0, 1)
    assert found[1] == pytest.approx((distance, cosine), rel=1e-11)
    assert distance > 0.01


@pytest.mark.parametrize("norm", ["bn", "gn", "frn"])
def test_agrees_with_a_copy_whose_earlier_layers_step(norm):
    network, (x, labels) = two_blocks(norm).eval(), batch()
    layers = [network[0][0], network[0][2], network[1][0], network[1][2], network[2]]

    def gradients(network):
        network = copy.deepcopy(network).train()
        network[0][3].eval()
        nn.functional.cross_entropy(network(x), labels).backward()
        return {name: parameter.grad for name, parameter in network.named_parameters()}

    names = {parameter: name for name, parameter in network.named_parameters()}
    before, expected = gradients(network), []
    for number, layer in enumerate(layers):
        if not isinstance(layer, WEIGHTED):
            continue
        earlier = {names[p] for la in layers[:number] for p in la.parameters()}
        moved = copy.deepcopy(network)
        for name, parameter in moved.named_parameters():
            if name in earlier:
                parameter.data -= 0.3 * before[name]
        g, after = before[names[layer.weight]], gradients(moved)[names[layer.weight]]
        cosine = nn.functional.cosine_similarity(g.flatten(), after.flatten(), dim=0)
        expected.append((float((g - after).norm()), float(cosine)))
    found = gradient_shift(network, x, labels, learning_rate=0.3)
    assert found[0] == (0, 1)
    assert np.array(found) == pytest.approx(np.array(expected), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("norm", ["bn", "brn", "bnn"])
def test_without_a_step_nothing_shifts(norm):
    """Although some norms read running statistics, or draw noise, in training."""
    network, (x, labels) = two_blocks(norm), batch()
    for layer in network.modules():
        if norm == "brn" and hasattr(layer, "num_batches_tracked"):
            layer.num_batches_tracked.fill_(300)
    assert gradient_shift(network, x, labels, learning_rate=0.0) == [(0, 1)] * 3


class NormFirst(nn.Module):
    """Holds its layers in another order than it runs them, the norm of its input first."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 2, bias=False), nn.LayerNorm(3)

    def forward(self, x):
        return self.linear(self.norm(x))


def test_a_norm_before_the_first_layer_is_earlier_and_the_layer_itself_is_not():
    network, x, labels = NormFirst().double(), normal(6, 3), torch.arange(6) % 2
    network.linear.weight.data = normal(2, 3, seed=1)  # as drawn by torch, it differs by process
    ((distance, _),) = gradient_shift(network, x, labels, learning_rate=1.0)
    assert distance > 1e-3
    for parameter in network.norm.parameters():
        parameter.requires_grad_(False)  # what does not train does not step
    assert gradient_shift(network, x, labels, learning_rate=1.0) == [(0, 1)]


def test_without_a_gradient_there_is_no_cosine():
    network = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    nn.init.constant_(network[0].bias, -100.0)
    found = gradient_shift(network, normal(4, 3), torch.tensor([0, 1, 0, 1]), 0.1)
    assert [distance for distance, _ in found] == [0, 0]
    assert all(math.isnan(cosine) for _, cosine in found)


def test_the_network_is_what_it_was():
    network, (x, labels) = two_blocks("bnn"), batch()
    network[1].eval()
    before = trace(network)
    assert gradient_shift(network, x, labels, 0.1) == gradient_shift(network, x, labels, 0.1)
    assert_no_trace(before, network)


def test_a_parametrized_or_frozen_weight_is_no_weight_that_a_step_changes():
    """Weight norm trains a length and a direction instead; the others are told of as before."""
    layers = [nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)]
    network = nn.Sequential(*layers).double()
    nn.utils.parametrizations.weight_norm(network[1])
    network[2].requires_grad_(False)
    x, labels = normal(6, 3), torch.tensor([0, 1, 1, 0, 1, 0])
    assert len(gradient_shift(network, x, labels, learning_rate=0.1)) == 2
    assert len(weight_norms(network, x, labels, learning_rate=0.1)) == 2
