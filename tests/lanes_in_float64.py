"""Layers in lanes beside torch in float64, on numbers drawn for one layer."""

from dataclasses import dataclass

import numpy as np
import torch

from normscope.models.layers import bernoulli_positions
from normscope.training.lanes import Pending
from normscope.training.lanes.layout import (
    dropped_positions,
    factors_to_lanes,
    from_lanes,
    sums_to_samples,
    to_lanes,
)
from normscope.training.seeds import generator

# Of the largest value. Half a unit in the last place of bfloat16 is 2e-3; a number that is rounded
# to the other of two neighbours on its way adds a little.
TOLERANCE = {"fp32": 1e-6, "bf16": 4e-3}


def rounded(x, layer):
    """x as the arrays of a layer hold it."""
    return x.bfloat16().to(x.dtype) if layer.precision == "bf16" else x.float().to(x.dtype)


def drawn(*shape, stream):
    return torch.randn(*shape, generator=stream)


def image(factor):
    return factor.double()[:, :, None, None]


@dataclass
class Read:
    """An array x of some samples, in lanes and as a tensor, and what its reader makes of it.

    `values` is what is read, float64; `slope` is 0 where nothing of its gradient reaches x, and
    `lost` is 1 where that is because of the floor.
    """

    x: torch.Tensor
    lanes: np.ndarray
    pending: Pending | None
    positions: torch.Tensor
    values: torch.Tensor
    slope: torch.Tensor
    lost: torch.Tensor


def read_by(layer, samples, stream):
    """An array for a layer to read, with what is pending if it reads that: each sample its own."""
    block = layer.input
    channels_last = torch.channels_last
    x = rounded(drawn(samples, block.channels, block.height, block.width, stream=stream), layer)
    x = x.contiguous(memory_format=channels_last)
    if not layer.pending:
        everywhere, nowhere = torch.ones_like(x, dtype=torch.float64), torch.empty(0).long()
        return Read(x, to_lanes(x, block), None, nowhere, x.double(), everywhere, 0 * everywhere)
    scale, shift, floor = (drawn(samples, block.channels, stream=stream) for _ in range(3))
    positions = bernoulli_positions(x.numel(), 0.1, stream)
    kept = torch.ones_like(x, dtype=torch.float64, memory_format=channels_last)
    kept.permute(0, 2, 3, 1).view(-1)[positions] = 0
    values = image(scale) * x.double() + image(shift)
    slope, lost = kept, 0 * kept
    if layer.floored:
        slope, lost = kept * (values > image(floor)), kept * (values <= image(floor))
        values = values.maximum(image(floor))
    factors = factors_to_lanes(scale, shift, floor, block, samples)
    pending = Pending(factors, *dropped_positions(positions, block, samples))
    values = rounded(values * kept, layer)
    return Read(x, to_lanes(x, block), pending, positions, values, slope, lost)


def assert_close(found, expected, tolerance):
    error = (found.double() - expected).abs().max() / expected.abs().max().clamp_min(1e-30)
    assert error < tolerance, f"off by {error:.1e} of the largest value"


def assert_array(lanes, block, expected, tolerance):
    """What an array holds, and that the samples behind the last are 0."""
    whole = from_lanes(lanes, block, len(lanes) * block.lanes)
    assert_close(whole[: len(expected)], expected, tolerance)
    assert not whole[len(expected) :].any()


def assert_sums(sums, block, y, other, tolerance, only=True):
    """That they are those of y and of y * other over the pixels of each channel, and that the
    samples behind the last have none, unless they may."""
    expected = torch.stack([y.sum((2, 3)), (y * other).sum((2, 3))])
    total, product = torch.from_numpy(sums_to_samples(sums, block, len(y)))
    assert_close(total, expected[0], tolerance)
    assert_close(product, expected[1], tolerance)
    if only:
        assert not sums_to_samples(sums, block, len(sums) * block.lanes)[:, len(y) :].any()


def assert_gradient_sums(layer, found, read, g, tolerance):
    """That the sums are those of g, the gradient of what was read, that reaches x; None if none."""
    assert (found.sums is None) == (not layer.pending)
    if layer.pending:
        assert found.sums.shape[1] == (3 if layer.learned else 2)
        assert_sums(found.sums[:, :2], layer.input, g * read.slope, read.x.double(), tolerance)
    if layer.learned:
        (lost,) = torch.from_numpy(sums_to_samples(found.sums[:, 2:], layer.input, len(g)))
        assert_close(lost, (g * read.lost).sum((2, 3)), tolerance)


def stream_of(layer, samples):
    return generator(samples, f"{layer}")
