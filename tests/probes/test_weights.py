"""Norms of weights and gradients, against those of a copy after `backward`."""

import copy
import math

import pytest
import torch
from small_networks import assert_no_trace, batch, normal, trace, two_blocks
from torch import nn

from normscope.probes.weights import weight_norms


def test_a_linear_layer_by_hand():
    """Zero inputs but one: softmax of (0, 0) less (1, 0), times x, over two samples."""
    layer = nn.Linear(2, 2, bias=False).double()
    layer.weight.data = torch.tensor([[0.0, 3.0], [0.0, 4.0]], dtype=torch.float64)
    x = torch.tensor([[2.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    (found,) = weight_norms(layer, x, torch.tensor([0, 0]), learning_rate=0.5)
    assert found.gradient == pytest.approx(math.sqrt(0.5))
    assert found.weight == pytest.approx(5)
    assert found.effective_rate == pytest.approx(0.02)


def test_each_layer_in_the_order_of_the_pass():
    network, (x, labels) = two_blocks().eval(), batch()
    found = weight_norms(network, x, labels, learning_rate=0.3)
    twin = copy.deepcopy(network).train()
    twin[0][3].eval()
    nn.functional.cross_entropy(twin(x), labels).backward()
    weights = [twin[0][0].weight, twin[1][0].weight, twin[2].weight]
    for row, weight in zip(found, weights, strict=True):
        square = float(weight.detach().square().sum())
        assert row.gradient == pytest.approx(float(weight.grad.norm()), rel=1e-12)
        assert row.weight == pytest.approx(math.sqrt(square), rel=1e-12)
        assert row.effective_rate == pytest.approx(0.3 / square, rel=1e-12)


class Backwards(nn.Module):
    def __init__(self):
        super().__init__()
        self.last, self.first = nn.Linear(3, 2), nn.Linear(2, 3)

    def forward(self, x):
        return self.last(self.first(x))


def test_the_order_is_not_that_of_the_attributes():
    network = Backwards().double()
    found = weight_norms(network, normal(4, 2), torch.tensor([0, 1, 0, 1]), 0.1)
    expected = [float(layer.weight.detach().norm()) for layer in (network.first, network.last)]
    assert [row.weight for row in found] == pytest.approx(expected)


def test_a_weight_of_zeros_turns_at_once():
    layer = nn.Linear(2, 2).double()
    nn.init.zeros_(layer.weight)
    (found,) = weight_norms(layer, normal(4, 2), torch.tensor([0, 1, 0, 1]), 0.1)
    assert (found.weight, found.effective_rate) == (0, math.inf)


def test_the_network_is_what_it_was():
    network, (x, labels) = two_blocks("bnn"), batch()
    network[1].eval()
    before = trace(network)
    assert weight_norms(network, x, labels, 0.1) == weight_norms(network, x, labels, 0.1)
    assert_no_trace(before, network)
