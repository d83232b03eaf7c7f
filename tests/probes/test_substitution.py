"""Channels that stand in for others: constructed cases, and the slow way with least squares."""

import math

import numpy as np
import pytest
import torch
from small_networks import assert_no_trace, batch, drawn, normal, trace, two_blocks
from torch import nn

from normscope.norms import NORMS
from normscope.probes.substitution import REPLACED, _evenly_spaced, substitution


class Wrapped(nn.Module):
    """The same network, of which nobody can see that it is a chain."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)


class Branched(nn.Sequential):
    """Not a chain, although it is made of one: its input is added to its output."""

    def forward(self, x):
        return x + super().forward(x)


def uncorrelated(channels, samples=16, side=6):
    rows = normal(samples * side * side, channels)
    rows, _ = torch.linalg.qr(rows - rows.mean(0))
    return (rows * 20).view(samples, side, side, channels).permute(0, 3, 1, 2)


def answers(network, x):
    """Labels that the network is sure of, so that to change a channel does harm."""
    return network.eval()(x).argmax(1)


def test_equal_channels_can_all_be_spared():
    """A copy of an equal channel changes nothing, but for the last bit of the least squares."""
    network, (x, _) = two_blocks(), batch()
    with torch.no_grad():
        network[0][0].weight[:] = network[0][0].weight[0]
        network[0][0].bias[:] = network[0][0].bias[0]
        network[0][2].weight[:], network[0][2].bias[:] = 0.7, 0.1
    found = substitution(network, [network[0][2]], x, answers(network, x))
    assert found == pytest.approx([1], abs=1e-12)


def test_so_can_channels_that_are_affine_maps_of_each_other():
    network, (x, _) = two_blocks(), batch()
    with torch.no_grad():
        network[0][0].weight[:] = network[0][0].weight[0]
        network[0][0].bias[:] = network[0][0].bias[0]
        network[0][2].weight[:] = torch.tensor([1.0, -2.0, 0.5, 3.0])
    found = substitution(network, [network[0][2]], x, answers(network, x))
    assert found == pytest.approx([1], abs=1e-9)


def test_a_copy_of_an_uncorrelated_channel_is_its_mean():
    network = drawn(nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(5 * 36, 4)))
    x = uncorrelated(5) + 0.1
    found = substitution(network, [network[0]], x, answers(network, x))
    assert found == pytest.approx([0], abs=1e-9)


def slow(behind, y, labels, replaced=None):
    """For each channel every other one by least squares, and the one that leaves least over.

    `replaced` are the channels that are replaced, of all those that live; none: all of them.
    """

    def nll(y):
        return float(nn.functional.cross_entropy(behind(y), labels))

    with torch.no_grad():
        copies = means = 0.0
        live = {channel for channel in range(y.shape[1]) if y[:, channel].std() > 1e-9}
        for channel in replaced or live:
            target = y[:, channel].numpy().ravel()
            fits = []
            for other in live - {channel}:
                columns = np.stack([y[:, other].numpy().ravel(), np.ones_like(target)], axis=1)
                solution, (rest,), *_ = np.linalg.lstsq(columns, target, rcond=None)
                fits.append((rest, other, columns @ solution))
            copied, meant = y.clone(), y.clone()
            copied[:, channel] = torch.tensor(min(fits)[2]).view_as(y[:, channel])
            meant[:, channel] = target.mean()
            copies += nll(copied) - nll(y)
            means += nll(meant) - nll(y)
    return 1 - copies / means


@pytest.mark.parametrize("norm", ["bn", "ln", "in", "grn"])
def test_agrees_with_the_slow_way(norm):
    network, (x, _) = two_blocks(norm), batch()
    labels = answers(network, x)
    found = substitution(network, [network[0][2], network[1][2]], x, labels)
    with torch.no_grad():
        first = network[0](x)
        second = network[1][:3](first)
    expected = [
        slow(lambda y: network[2](network[1](y)), first, labels),
        slow(lambda y: network[2](y.flatten(1)), second, labels),
    ]
    assert found == pytest.approx(expected, rel=1e-9)
    assert all(abs(1 - value) > 0.001 for value in found)


def test_a_chain_and_full_passes_give_the_same():
    network, (x, _) = two_blocks(), batch()
    labels = answers(network, x)
    layers = [network[1][2], network[0][2]]
    found = substitution(network, layers, x, labels)
    assert substitution(Wrapped(network), layers, x, labels) == pytest.approx(found, rel=1e-12)
    assert found[0] != found[1]


def test_a_layer_inside_a_branch_is_followed_by_the_whole_network():
    inner = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), NORMS["bn"](3))
    network = drawn(nn.Sequential(Branched(*inner), nn.Flatten(), nn.Linear(108, 5)))
    x, _ = batch()
    labels = answers(network, x)
    with torch.no_grad():
        y = inner.eval()(x)
    found = substitution(network, [inner[1]], x, labels)
    expected = slow(lambda y: network[2]((x + y).flatten(1)), y, labels)
    assert found == pytest.approx([expected], rel=1e-9)


def test_passes_begin_with_the_part_that_a_layer_lies_in():
    """What comes before it is run once, although the part changes what it is given."""
    first, seen = nn.Conv2d(3, 4, 3), []
    bent = nn.LeakyReLU(0.5, inplace=True)  # twice is not the same as once
    part = nn.Sequential(bent, nn.Conv2d(4, 4, 3, padding=1), NORMS["bn"](4))
    network = drawn(nn.Sequential(first, Branched(*part), nn.Flatten(), nn.Linear(64, 5)))
    x, _ = batch()
    labels = answers(network, x)
    with torch.no_grad():
        shared = nn.functional.leaky_relu(network[0](x), 0.5)
        y = part[1:](shared)
    first.register_forward_hook(lambda *_: seen.append(1))
    found = substitution(network, [part[2]], x, labels)
    assert len(seen) == 2  # once for all maps, and once for all passes
    expected = slow(lambda y: network[3]((shared + y).flatten(1)), y, labels)
    assert found == pytest.approx([expected], rel=1e-9)


def test_layers_that_work_in_place_and_a_layer_that_comes_twice():
    relu = nn.ReLU(inplace=True)
    network = drawn(
        nn.Sequential(
            nn.Conv2d(3, 4, 3), NORMS["bn"](4), relu, nn.Conv2d(4, 4, 3), relu, nn.Flatten(),
            nn.Linear(16, 5),
        )
    )  # fmt: skip
    x, _ = batch()
    labels = answers(network, x)
    with torch.no_grad():
        y = network[:2](x)
    found = substitution(network, [network[1]], x, labels)
    expected = slow(lambda y: network[6](network[3](y.relu()).relu().flatten(1)), y, labels)
    assert found == pytest.approx([expected], rel=1e-9)


def test_dead_channels_are_no_one_and_nothing_stands_in_for_a_single_one():
    network = drawn(nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(4 * 36, 4)))
    x = uncorrelated(4).clone()
    x[:, 1] = x[:, 0] * 2  # the two have each other
    x[:, 2:] = 5.0
    labels = answers(network, x)
    assert substitution(network, [network[0]], x, labels) == pytest.approx([1], abs=1e-9)
    x[:, 1] = 7.0
    assert math.isnan(*substitution(network, [network[0]], x, labels))


def test_if_means_do_no_harm_there_is_nothing_to_compare_with():
    network, (x, _) = two_blocks(), batch()
    worst = network.eval()(x).argmin(1)
    assert math.isnan(*substitution(network, [network[0][2]], x, worst))


def test_the_mode_does_not_matter_and_no_trace_is_left():
    network, (x, labels) = two_blocks("bnn"), batch()
    layers = [network[0][2], network[1][2]]
    found = substitution(network.eval(), layers, x, labels)
    network.train()
    network[1].eval()
    before = trace(network)
    assert str(substitution(network, layers, x, labels)) == str(found)
    assert str(substitution(Wrapped(network), layers, x, labels)) == str(found)
    assert_no_trace(before, network)


def test_no_trace_is_left_if_the_pass_fails():
    network, (x, labels) = two_blocks(), batch()
    before = trace(network)
    with pytest.raises(RuntimeError):
        substitution(network, [network[0][2]], x[:, :2], labels)
    assert_no_trace(before, network)


def wide(channels):
    """A network of one layer of so many channels, its outputs, and labels that it is sure of."""
    network = drawn(nn.Sequential(nn.Conv2d(3, channels, 3), nn.ReLU(), nn.Flatten(),
                                  nn.Linear(16 * channels, 5)))  # fmt: skip
    x, _ = batch()
    with torch.no_grad():
        y = network.eval()[:2](x)
    return network, x, y, answers(network, x)


def test_of_a_wide_layer_32_channels_are_replaced_by_any_of_all():
    network, x, y, labels = wide(48)
    behind = nn.Sequential(*network[2:])
    spaced = [int(1.5 * place) for place in range(32)]  # 0, 1, 3, 4, 6, ...: two of every three
    assert (y.std(dim=(0, 2, 3)) > 1e-9).all()
    (found,) = substitution(network, [network[1]], x, labels)
    assert found == pytest.approx(slow(behind, y, labels, spaced), rel=1e-9)
    assert abs(found - slow(behind, y, labels)) > 1e-3
    assert abs(found - slow(behind, y, labels, range(32))) > 1e-3


@pytest.mark.parametrize(("channels", "passes"), [(28, 2 * 28), (32, 2 * 32), (48, 2 * 32)])
def test_a_layer_takes_two_passes_for_each_of_32_channels_at_most(channels, passes):
    network, x, _, labels = wide(channels)
    seen = []
    network[3].register_forward_hook(lambda *_: seen.append(1))
    substitution(network, [network[1]], x, labels)
    assert len(seen) == passes + 2  # and one that keeps the maps, one with nothing replaced


@pytest.mark.parametrize("count", range(1, REPLACED + 1))
def test_no_channel_of_a_narrow_layer_is_left_out(count):
    live = list(range(3, 3 + 2 * count, 2))
    assert _evenly_spaced(live, REPLACED) == live


@pytest.mark.parametrize("count", [33, 63, 64, 65, 512, 1280])
def test_channels_of_a_wide_layer_are_different_ones_all_over_it(count):
    found = _evenly_spaced(range(count), REPLACED)
    assert len(found) == REPLACED
    steps = {after - before for before, after in zip([*found], [*found[1:], count], strict=True)}
    assert steps <= {count // REPLACED, -(-count // REPLACED)}
