"""Tensors to lanes and back, by hand and for any shape."""

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from normscope.training.lanes.block import Block
from normscope.training.lanes.layout import (
    ALIGNMENT,
    dropped_positions,
    factors_to_lanes,
    from_lanes,
    sums_to_samples,
    to_lanes,
)

FEW = settings(max_examples=5, deadline=None, derandomize=True, phases=[Phase.generate])
blocks = st.builds(
    Block,
    channels=st.integers(1, 7),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    lanes=st.sampled_from([4, 8, 16]),
    per_word=st.integers(1, 2),
)


def numbered(samples, block):
    """Whole numbers that bfloat16 holds, in the memory of a channels-last tensor."""
    x = torch.arange(samples * block.channels * block.height * block.width) % 251 + 1.0
    x = x.reshape(samples, block.height, block.width, block.channels)
    return x.permute(0, 3, 1, 2)


@FEW
@given(blocks, st.integers(1, 40))
def test_there_and_back_nothing_changes(block, samples):
    x = numbered(samples, block)
    lanes = to_lanes(x, block)
    assert lanes.shape[1:] == block.shape
    assert len(lanes) % block.per_word == 0
    assert lanes.ctypes.data % ALIGNMENT == 0
    assert torch.equal(from_lanes(lanes, block, samples), x)
    dead = from_lanes(lanes, block, len(lanes) * block.lanes)[samples:]
    assert not dead.any()


def test_a_word_of_bfloat16_has_two_channels_the_even_one_below():
    block = Block(channels=3, height=2, width=1, lanes=4, per_word=2)
    lanes = to_lanes(numbered(5, block), block)
    assert lanes.shape == (2, 2, 2, 1, 4)
    halves = lanes.view(np.uint16).reshape(2, 2, 2, 1, 4, 2).astype(np.uint32) << 16
    values = halves.view(np.float32)
    # Sample 4 is lane 0 of block 1; its numbers are 25 to 30, channel by channel at each pixel.
    assert values[1, :, :, 0, 0].tolist() == [[[25, 26], [27, 0]], [[28, 29], [30, 0]]]


@pytest.mark.parametrize(
    "value", [1.00390625, 1.01171875, -3.14159, 1e-40, float("inf"), 3.4e38], ids=str
)
def test_numbers_are_rounded_as_torch_rounds_them(value):
    """The first two lie midway between neighbours, of which the even one is taken."""
    block = Block(1, 1, 1, lanes=4, per_word=2)
    found = from_lanes(to_lanes(torch.full((1, 1, 1, 1), value), block), block, 1)
    assert found.item() == torch.tensor(value).bfloat16().item()


def test_any_nan_stays_one():
    block = Block(1, 1, 1, lanes=4, per_word=2)
    bits = torch.tensor([0x7FFFFFFF, 0x7FC00000, 0x7F800001, -1], dtype=torch.int32)
    x = bits.view(torch.float32).reshape(4, 1, 1, 1)
    assert from_lanes(to_lanes(x, block), block, 4).isnan().all()


def test_a_tensor_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 3, 2, 2\) does not consist of Block"):
        to_lanes(torch.zeros(1, 3, 2, 2), Block(2, 2, 2, lanes=4, per_word=1))


@FEW
@given(blocks, st.integers(1, 40), st.integers(0, 100))
def test_positions_are_those_of_the_elements(block, samples, first):
    """Marked in the tensor or in the lanes, the same elements are marked."""
    x = torch.zeros(samples, block.height, block.width, block.channels)
    positions = torch.arange(first, x.numel(), 7)
    dropped, starts = dropped_positions(positions, block, samples)
    assert starts[0] == 0
    assert starts[-1] == len(positions)
    x.view(-1)[positions] = 1
    lanes = to_lanes(x.permute(0, 3, 1, 2), block)
    elements = lanes.view(np.float32 if block.per_word == 1 else np.uint16).reshape(len(lanes), -1)
    for b, own in enumerate(elements):
        found = np.sort(dropped[starts[b] : starts[b + 1]])
        assert found.tolist() == np.flatnonzero(own).tolist()


@pytest.mark.parametrize("per_word", [1, 2])
def test_factors_are_of_samples_that_exist(per_word):
    block = Block(channels=3, height=1, width=1, lanes=4, per_word=per_word)
    scale, shift = torch.arange(15.0).reshape(5, 3), torch.tensor([[7.0, 8, 9]])
    factors = factors_to_lanes(scale, shift, None, block, samples=5)
    assert factors.shape == (2, 3, block.stored, 4)
    assert factors[0, 0, :3].tolist() == scale[:4].T.tolist()
    assert factors[1, 0, :3, 0].tolist() == [12, 13, 14]
    assert factors[1, 1, :3, 0].tolist() == [7, 8, 9]
    assert not factors[1, :, :, 1:].any()
    assert not factors[:, 2].any()
    assert not factors[:, :, 3:].any()


def test_sums_are_of_samples_and_channels():
    block = Block(channels=3, height=1, width=1, lanes=4, per_word=2)
    sums = np.arange(2 * 2 * 4 * 4, dtype=np.float32).reshape(2, 2, 4, 4)
    found = sums_to_samples(sums, block, samples=5)
    assert found.shape == (2, 5, 3)
    assert found.dtype == np.float64
    assert found[1, 4].tolist() == sums[1, 1, :3, 0].tolist()
