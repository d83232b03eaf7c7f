"""Filters and maps are those of the network, at their places, and nothing where there are none."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from small_networks import batch, two_blocks
from torch import nn

from normscope.probes.views import SEEN_IMAGES, filters, maps


def moment_of(network, norms) -> Any:
    x = batch()[0]
    pixels = np.arange(12 * 6 * 6 * 3).reshape(12, 6, 6, 3) % 256
    found = SimpleNamespace(
        network=network,
        norms=norms,
        test=(x, None),
        test_pixels=pixels.astype(np.uint8),
        weighted=[n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)],
    )
    found.precise = found
    return found


def test_maps_are_what_the_norms_give_in_a_corner_of_their_place():
    network = two_blocks("gn").eval()
    moment = moment_of(network, {name: network.get_submodule(name) for name in ("0.2", "1.2")})
    found = maps(moment)["maps"]
    first = network.get_submodule("0")(moment.test[0])
    last = network.get_submodule("1")(first).reshape(-1, 8, 2, 2)
    assert found.shape == (4, SEEN_IMAGES, 8, 6, 6)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found[0, 1, :3], moment.test_pixels[1].transpose(2, 0, 1))
    np.testing.assert_allclose(found[1, :, :4, :4, :4], first[:2].detach(), atol=5e-3)
    np.testing.assert_allclose(found[2, :, :8, :2, :2], last[:2].detach(), atol=5e-3)
    assert np.isnan(found[1, :, 4:]).all()
    assert np.isnan(found[2, :, :, 2:]).all()
    assert np.isnan(found[3]).all()  # the last of two layers is the middle one


def test_filters_are_the_weights_of_the_first_convolution():
    network = two_blocks()
    found = filters(moment_of(network, {}))["filters"]
    np.testing.assert_allclose(found, network.get_parameter("0.0.weight").detach(), atol=2e-3)
    assert found.dtype == np.float16


def test_there_are_none_without_a_convolution_of_colours():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(108, 4))
    grey = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3))
    assert filters(moment_of(linear, {})) == {}
    assert filters(moment_of(grey, {})) == {}
