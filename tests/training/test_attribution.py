"""Heat maps: against the formula by hand, a loop, and networks that look at one place only."""

import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from small_networks import assert_no_trace, batch, trace, two_blocks
from torch import nn

from normscope.errors import RunError
from normscope.training.attribution import grad_cam, last_map, occlusion

pytest.importorskip("captum")


def test_grad_cam_is_its_formula():
    """Of a norm with a linear layer on the flattened map: the gradient is a row of its weights."""
    network = two_blocks("gn").eval()
    x, classes = batch(5)
    with torch.no_grad():
        maps_NCHW = network[1][:3](network[0](x)).numpy()  # the second norm: (5, 8, 2, 2)
    weights = network[2].weight.detach().numpy().reshape(5, 8, 2, 2)
    expected = [
        np.maximum(sum(weights[c, k].mean() * a[k] for k in range(8)), 0)
        for a, c in zip(maps_NCHW, classes.tolist(), strict=True)
    ]
    layer, found = grad_cam(network, x, classes)
    assert layer.startswith("1.2 (GroupNorm")
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert (found.amax(dim=(1, 2)) > 0).any()


def corner_network():
    """Its first class is the sum of the top left 2 x 2 pixels, its second that of all others."""
    network = nn.Sequential(
        OrderedDict(look=nn.Conv2d(3, 2, 1, bias=False), flat=nn.Flatten(), last=nn.Linear(128, 2))
    )
    with torch.no_grad():
        network.look.weight.fill_(1.0)
        there = torch.zeros(2, 8, 8)
        there[0, :2, :2] = 1.0
        network.last.weight[0] = there.flatten()
        network.last.weight[1] = -there.flatten()
        network.last.bias.zero_()
    return network.eval()


def test_what_looks_at_a_corner_lights_up_there_alone():
    """Windows of 8 // 4 = 2 pixels and no padding: what is covered elsewhere changes nothing."""
    x = torch.full((1, 3, 8, 8), 0.01)
    _, (found,) = occlusion(corner_network(), x, torch.tensor([0]))
    lit = found > 1e-6
    assert lit[:2, :2].all()
    assert not lit[3:].any()
    assert not lit[:, 3:].any()  # a window that moves by one pixel reaches from the corner to 2


def test_grad_cam_of_an_image_with_a_bright_corner_lights_up_there_alone():
    x = torch.zeros(1, 3, 8, 8)
    x[:, :, :2, :2] = 1.0
    layer, (found,) = grad_cam(corner_network(), x, torch.tensor([0]))
    assert layer == "look (Conv2d)"
    assert (found[:2, :2] > 0).all()
    assert found.sum() == found[:2, :2].sum()


def test_occlusion_is_what_a_loop_over_squares_finds():
    """8 x 8 pixels: squares of 2, moved by 1; by a loop that paints one square at a time."""
    generator = torch.Generator().manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(generator=generator).mul_(0.3)
    x, classes = torch.randn(3, 3, 8, 8, generator=generator), torch.tensor([4, 0, 2])
    expected, covered = np.zeros((3, 8, 8)), np.zeros((8, 8))

    def percent(images):
        with torch.no_grad():
            return 100 * network(images).softmax(dim=1)[torch.arange(3), classes].numpy()

    for top in range(7):
        for left in range(7):
            painted = x.clone()
            painted[:, :, top : top + 2, left : left + 2] = 0
            expected[:, top : top + 2, left : left + 2] += (percent(x) - percent(painted))[
                :, None, None
            ]
            covered[top : top + 2, left : left + 2] += 1
    layer, found = occlusion(network, x, classes)
    assert layer == ""
    np.testing.assert_allclose(found, expected / covered, atol=1e-3)
    assert (found < 0).any()


def test_parts_make_the_same_maps_as_all_images_at_once(monkeypatch):
    network, (x, classes) = two_blocks("gn").eval(), batch(5)
    whole = grad_cam(network, x, classes)[1], occlusion(network, x, classes)[1]
    monkeypatch.setattr("normscope.training.attribution.AT_ONCE", 2)
    parts = grad_cam(network, x, classes)[1], occlusion(network, x, classes)[1]
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("look", [grad_cam, occlusion])
def test_a_network_and_the_global_state_stay_as_they_are(look):
    network, (x, classes) = two_blocks("bn").eval(), batch(3)
    before, state = trace(network), torch.random.get_rng_state()
    look(network, x, classes)
    assert_no_trace(before, network)
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_layer_is_found_from_the_network():
    """Not the container that ends with it, nor one that hands on its input or makes one pixel."""
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    unused = nn.Conv2d(4, 4, 1)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.same, self.unused = body, nn.Identity(), unused
            self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 2, 1)

        def forward(self, x):
            x = self.same(self.body(x))
            self.unused(x)
            return self.head(self.pool(x)).flatten(1)

    assert last_map(Network(), torch.zeros(1, 3, 6, 6)) == "body.1"


def test_a_network_without_a_map_is_told_what_to_use():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(RunError, match="use the method occlusion"):
        grad_cam(network, torch.zeros(1, 3, 2, 2), torch.tensor([0]))


def test_without_captum_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(RunError, match=r'pip install "normscope\[explain\]"'):
        occlusion(corner_network(), torch.zeros(1, 3, 8, 8), torch.tensor([0]))
