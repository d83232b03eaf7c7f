"""Layers in the order in which a forward pass reaches them."""

import pytest
import torch
from torch import nn

from normscope.probes.order import visiting


class Backwards(nn.Module):
    """Runs its layers in another order than it holds them."""

    def __init__(self):
        super().__init__()
        self.last, self.relu, self.first = nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 3)

    def forward(self, x):
        return self.last(input=self.relu(self.first(x)))  # by keyword: no input of a hook


def test_layers_with_parameters_are_visited_as_the_pass_reaches_them():
    network, x, visits = Backwards(), torch.ones(4, 2), []
    with visiting(network, lambda layer, inputs: visits.append((layer, [x.shape for x in inputs]))):
        network(x)
    assert visits == [(network.first, [(4, 2)]), (network.last, [])]
    network(x)
    assert len(visits) == 2


def test_the_hooks_go_if_the_pass_fails():
    network = Backwards()
    with pytest.raises(RuntimeError), visiting(network, lambda layer, inputs: None):
        network(torch.ones(4, 7))
    assert not any(layer._forward_pre_hooks for layer in network.modules())
