"""Running, precise and batch statistics of a network with two norms."""

import pytest
import torch
from torch import nn

from normscope.norms import NORMS
from normscope.probes.precise import batch_statistics, use_precise_statistics


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(norm="bn"):
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), NORMS[norm](4), nn.Conv2d(4, 8, 3), nn.ReLU(), NORMS[norm](8)
    )
    return layers.double()


def test_precise_statistics_of_one_batch_are_those_of_the_batch():
    layers, x = network(), normal(8, 3, 9, 9)
    expected = layers.train()(x)
    use_precise_statistics(layers, [x])
    assert not layers.training
    torch.testing.assert_close(layers(x), expected, rtol=1e-9, atol=1e-9)


def test_of_two_batches_they_are_the_moments_of_both_each_normalized_by_itself():
    layers, batches = network(), [normal(8, 3, 9, 9, seed=s) * (s + 1) for s in range(2)]
    inputs = torch.cat([layers[:5].train()(x) for x in batches])  # of the second norm
    use_precise_statistics(layers, batches)
    mean = inputs.mean((0, 2, 3))
    torch.testing.assert_close(layers[5].running_mean, mean, rtol=1e-9, atol=1e-9)
    var = inputs.var((0, 2, 3), correction=0)
    torch.testing.assert_close(layers[5].running_var, var, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("norm", "times"), [("bn", 2), ("ghost-bn", 0)])
def test_a_faster_way_to_answer_is_taken_where_layers_record_what_they_see(norm, times):
    layers, batches = network(norm), [normal(8, 3, 9, 9, seed=s) for s in range(2)]
    asked = []

    def forward(x):
        asked.append(x)
        return layers(x)

    use_precise_statistics(layers, batches, forward)
    assert len(asked) == times
    other = network(norm)
    use_precise_statistics(other, batches)
    torch.testing.assert_close(layers(batches[0]), other(batches[0]))


@pytest.mark.parametrize("norm", ["ghost-bn", "brn", "bn-center", "bn-scale"])
def test_norms_like_bn_have_them_too(norm):
    layers, x = network(norm), normal(8, 3, 9, 9)
    expected = layers.train()(x)  # one sub-batch, and brn's first step: as the batch has it
    use_precise_statistics(layers, [x])
    torch.testing.assert_close(layers(x), expected, rtol=1e-6, atol=1e-6)


def test_batch_statistics_are_lent_and_leave_no_trace():
    layers, x = network(), normal(8, 3, 9, 9)
    expected = layers.train()(x)
    before = {name: value.clone() for name, value in layers.state_dict().items()}
    with batch_statistics(layers):
        assert not layers.training
        torch.testing.assert_close(layers(x), expected)
    assert not layers[2].training
    after = layers.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_network_without_running_statistics_is_only_put_into_evaluation():
    layers, x = network("gn"), normal(8, 3, 9, 9)
    expected = layers.eval()(x)
    use_precise_statistics(layers, [x])
    torch.testing.assert_close(layers(x), expected)


class Twice(nn.Module):
    """Calls its norm twice, and has one that it never calls."""

    def __init__(self):
        super().__init__()
        self.norm, self.never = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(3 * self.norm(x) + 1)


def test_a_layer_that_is_called_twice_has_the_moments_of_both_calls():
    layers, x = Twice().double(), normal(8, 3, 2, 2)
    both = torch.cat([x, 3 * Twice().double().train().norm(x) + 1])
    use_precise_statistics(layers, [x])
    torch.testing.assert_close(layers.norm.running_mean, both.mean((0, 2, 3)))
    torch.testing.assert_close(layers.norm.running_var, both.var((0, 2, 3), correction=0))
    assert layers.never.running_var.eq(1).all()


def test_batches_of_one_image_have_statistics_too():
    layers, batches = nn.Sequential(nn.BatchNorm2d(3)).double(), normal(2, 3, 2, 2).split(1)
    use_precise_statistics(layers, batches)
    expected = torch.cat(batches).var((0, 2, 3), correction=0)
    torch.testing.assert_close(layers[0].running_var, expected)
