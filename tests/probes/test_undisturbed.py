"""A network that is lent for a measurement, and comes back as it was."""

import pytest
import torch
from small_networks import assert_no_trace, batch, normal, trace, two_blocks
from torch import nn

from normscope.models.layers import Dropout
from normscope.probes.undisturbed import cosine, dot, loss_and_gradients, undisturbed


@pytest.mark.parametrize("norm", ["bn", "brn", "bnn", "bin", "switch", "evo-b0", "iternorm"])
def test_what_is_done_within_leaves_no_trace(norm):
    network, (x, labels) = two_blocks(norm), batch()
    network[0].eval()  # modes may differ from layer to layer
    before = trace(network)
    with undisturbed(network):
        loss_and_gradients(network, x, labels, network.parameters())
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1)
    assert_no_trace(before, network)


def test_nor_if_it_is_interrupted():
    network, (x, _) = two_blocks("bnn").eval(), batch()
    before = trace(network)

    def measure():
        with undisturbed(network):
            network(x)
            network[2].weight.data.zero_()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure()
    assert_no_trace(before, network)


class Counting(nn.Module):
    """Puts a new tensor into the place of its buffer, as norms written by hand often do."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(2), persistent=False)

    def forward(self, x):
        self.seen = self.seen + len(x)
        return x


def test_a_buffer_that_was_replaced_is_put_back():
    network = Counting()
    seen = network.seen
    with undisturbed(network):
        network(normal(3, 2))
        assert network.seen.tolist() == [3, 3]
    assert network.seen is seen
    assert seen.tolist() == [0, 0]


class MyDropoutBlock(nn.Sequential):
    """Not a dropout layer itself: what is in it trains."""


def test_all_is_in_training_but_dropout():
    own = Dropout(0.9, torch.Generator())
    block = MyDropoutBlock(nn.BatchNorm2d(3), nn.Dropout2d(0.9), own)
    network = nn.Sequential(block, nn.Dropout(0.9)).eval()
    with undisturbed(network):
        assert [block[0].training, block[1].training, own.training] == [True, False, False]
        assert network.training
        assert not network[1].training
        x = normal(4, 3, 2, 2).float()
        torch.testing.assert_close(network(x), nn.BatchNorm2d(3)(x))
    assert not any(layer.training for layer in network.modules())


@pytest.mark.parametrize("norm", ["brn", "bnn"])
def test_two_passes_in_contexts_of_their_own_see_the_same(norm):
    """One reads running statistics in training, the other draws noise."""
    network, (x, labels) = two_blocks(norm), batch()
    for layer in network.modules():
        if norm == "brn" and hasattr(layer, "num_batches_tracked"):
            layer.num_batches_tracked.fill_(300)  # of 1,000 steps: the limits are relaxed
    losses, weights = [], [network[2].weight]
    for _ in range(2):
        with undisturbed(network):
            losses += [loss_and_gradients(network, x, labels, weights)[0] for _ in range(2)]
    assert losses[0] == losses[2] != losses[1]


def test_gradients_are_those_of_backward_and_zero_where_nothing_depends():
    network, (x, labels) = two_blocks().eval(), batch()
    unused = nn.Parameter(torch.ones(2))
    value, gradients = loss_and_gradients(network, x, labels, [*network.parameters(), unused])
    loss = nn.functional.cross_entropy(network(x), labels)
    loss.backward()
    assert value == float(loss.detach())
    assert gradients.pop().tolist() == [0, 0]
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


def test_lists_of_tensors_are_long_vectors():
    some, others = [normal(2, 3), normal(4, seed=1)], [normal(2, 3, seed=2), normal(4, seed=3)]
    a, b = (torch.cat([each.flatten() for each in both]) for both in (some, others))
    assert dot(some, others) == pytest.approx(float(a @ b))
    assert cosine(some, others) == pytest.approx(float(nn.functional.cosine_similarity(a, b, 0)))
    assert cosine(some, some) == 1
    assert cosine(some, [-each for each in some]) == -1
    assert str(cosine(some, [0 * each for each in some])) == "nan"
