"""Tensors to samples in lanes and back, and where dropped elements are there.

An array of lanes has shape (blocks, height, channels / per_word, width, lanes) and holds 32-bit
words: lane l of block b is sample b * lanes + l. The lanes behind the last sample begin as 0, and
are 0 in every gradient. With bfloat16, whose products take blocks by two, the number of blocks is
even.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch

from normscope.training.lanes.block import Block
from normscope.training.lanes.compiling import compiled_for

ALIGNMENT = 64  # bytes, torch's own: a vector of 16 words, and a line of the cache
TYPES = {np.float32: torch.float32, np.uint8: torch.uint8}


def blocks_for(samples: int, block: Block) -> int:
    """How many blocks hold so many samples.

    >>> blocks_for(336, Block(3, 32, 32, lanes=16, per_word=2))
    22
    """
    return -(-samples // (block.lanes * block.per_word)) * block.per_word


def empty(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """An array that begins where a vector may be loaded at once; what is in it is undefined.

    Its memory is torch's, which is aligned so, and counted where the memory of a step is measured.
    """
    return torch.empty(shape, dtype=TYPES[dtype]).numpy()


def zeros(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    array = empty(shape, dtype)
    array.fill(0)
    return array


def to_lanes(x: torch.Tensor, block: Block, out: np.ndarray | None = None) -> np.ndarray:
    """x (N, C, H, W) -> (blocks, *block.shape); rounded to bfloat16 if that is what it holds."""
    x_NHWC = x.detach().float().permute(0, 2, 3, 1).contiguous().numpy()
    if x_NHWC.shape[1:] != (block.height, block.width, block.channels):
        raise ValueError(f"{tuple(x.shape)} does not consist of {block}")
    out = empty((blocks_for(len(x), block), *block.shape)) if out is None else out
    _to_words(block)(x_NHWC.view(np.uint32).reshape(-1), out.reshape(-1).view(np.uint32), len(x))
    return out


def from_lanes(
    lanes: np.ndarray, block: Block, samples: int, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """What `to_lanes` was given: (N, C, H, W), channels_last in memory."""
    x_NHWC = np.empty((samples, block.height, block.width, block.channels), np.float32)
    words = lanes.reshape(-1).view(np.uint32)
    _from_words(block)(words, x_NHWC.view(np.uint32).reshape(-1), samples)
    return torch.from_numpy(x_NHWC).permute(0, 3, 1, 2).to(dtype)


def dropped_positions(
    positions: torch.Tensor, block: Block, samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted positions in the memory of a channels-last tensor -> those in each block.

    Returns `dropped`, int32 (K,), elements of a block counted in its memory, which are float32 or
    bfloat16, and `starts`, int64 (blocks + 1,): those of block b are from starts[b] on.
    """
    dropped = np.empty(positions.numel(), np.int32)
    starts = np.empty(blocks_for(samples, block) + 1, np.int64)
    _to_blocks(block)(positions.numpy(), dropped, starts)
    return dropped, starts


def dropped_in_strips(
    dropped: np.ndarray, starts: np.ndarray, block: Block, strips: int
) -> tuple[np.ndarray, np.ndarray]:
    """What `dropped_positions` returned, for blocks that are strips of rows of the former ones.

    `block` is one of the former, which has a multiple of `strips` rows.
    """
    found, own_starts = np.empty_like(dropped), np.empty(strips * (len(starts) - 1) + 1, np.int64)
    _to_strips(block, strips)(dropped, starts, found, own_starts)
    return found, own_starts


def factors_to_lanes(
    scale: torch.Tensor,
    shift: torch.Tensor,
    floor: torch.Tensor | None,
    block: Block,
    samples: int,
) -> np.ndarray:
    """Factors (N, C), or (1, C) for those that all samples share -> (blocks, 3, channels, lanes).

    Those of samples that do not exist are 0, so that nothing comes of them. They may as well be the
    three of a gradient.
    """
    count = blocks_for(samples, block)
    factors = zeros((count, 3, block.stored, block.lanes))
    per_lane = np.zeros((3, count * block.lanes, block.channels), np.float32)
    for own, given in zip(per_lane, (scale, shift, floor), strict=True):
        if given is not None:
            own[:samples] = given.detach().float().numpy()
    per_lane = per_lane.reshape(3, count, block.lanes, block.channels)
    factors[:, :, : block.channels] = per_lane.transpose(1, 0, 3, 2)
    return factors


def sums_to_samples(sums: np.ndarray, block: Block, samples: int) -> np.ndarray:
    """Sums (blocks, K, channels, lanes) -> float64 (K, N, C)."""
    per_sample = sums.transpose(1, 0, 3, 2).reshape(sums.shape[1], -1, block.stored)
    return per_sample[:, :samples, : block.channels].astype(np.float64)


# -- bfloat16, the upper half of a float32 ---------------------------------------------------------


def rounded_bits(values: np.ndarray) -> np.ndarray:
    """float32 -> the bits of bfloat16, uint16: the nearest, ties to even."""
    tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))
    return tensor.bfloat16().view(torch.uint16).numpy()


@compiled_for("rounded")
def _rounded(bits):
    """The bits of bfloat16 from those of a float32; a NaN stays one."""
    if (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000):
        return np.uint32(0x7FC0)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return (bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)


# -- loops -----------------------------------------------------------------------------------------


@cache
def _to_words(block: Block) -> Callable:  # noqa: C901 - one loop in full
    """The loop of `to_lanes`, from and to the bits of float32 numbers."""
    height, width, channels = block.height, block.width, block.channels
    groups, lanes, per_word = block.groups, block.lanes, block.per_word
    sample_size = height * width * channels

    @compiled_for(block)
    def word(x, at, c):
        if per_word == 1:
            return x[at + c]
        low = _rounded(x[at + 2 * c])
        if 2 * c + 1 < channels:
            return low | (_rounded(x[at + 2 * c + 1]) << np.uint32(16))
        return low

    @compiled_for(block)
    def to_words(x, out, samples):
        for b in range(out.size // (height * groups * width * lanes)):
            there = min(lanes, max(0, samples - b * lanes))
            for h in range(height):
                for c in range(groups):
                    for w in range(width):
                        to = (((b * height + h) * groups + c) * width + w) * lanes
                        of = b * lanes * sample_size + (h * width + w) * channels
                        if there == lanes:  # as many as the compiler knows of are quicker
                            for i in range(lanes):
                                out[to + i] = word(x, of + i * sample_size, c)
                        else:
                            for i in range(there):
                                out[to + i] = word(x, of + i * sample_size, c)
                            out[to + there : to + lanes] = 0

    return to_words


@cache
def _from_words(block: Block) -> Callable:
    """The loop of `from_lanes`, from and to the bits of float32 numbers."""
    height, width, channels = block.height, block.width, block.channels
    groups, lanes, per_word = block.groups, block.lanes, block.per_word

    @compiled_for(block)
    def wide(word, c):
        if per_word == 1:
            return word
        return word & np.uint32(0xFFFF0000) if c % 2 == 1 else word << np.uint32(16)

    @compiled_for(block)
    def from_words(words, x, samples):
        for n in range(samples):
            b, i = n // lanes, n % lanes
            for h in range(height):
                for w in range(width):
                    to = ((n * height + h) * width + w) * channels
                    for c in range(channels):
                        of = ((b * height + h) * groups + c // per_word) * width + w
                        x[to + c] = wide(words[of * lanes + i], c)

    return from_words


@cache
def _to_blocks(block: Block) -> Callable:
    """The loop of `dropped_positions`."""
    # Divisions by numbers of 32 bits that are known when this is compiled are quick ones.
    size, row = map(np.uint32, (block.height * block.width * block.channels, block.width))
    channels, groups = map(np.uint32, (block.channels, block.groups))
    lanes, per_word = map(np.uint32, (block.lanes, block.per_word))
    block_size = int(size) * int(lanes)

    @compiled_for(block)
    def to_blocks(positions, dropped, starts):
        b = 0
        starts[0] = 0
        for k in range(positions.size):
            while positions[k] >= (b + 1) * block_size:
                b += 1
                starts[b] = k
            at = np.uint32(positions[k] - b * block_size)
            sample = at // size
            at -= sample * size
            pixel = at // channels
            channel = at - pixel * channels
            h = pixel // row
            w = pixel - h * row
            group = channel // per_word
            word = ((h * groups + group) * row + w) * lanes + sample
            dropped[k] = word * per_word + (channel - group * per_word)
        starts[b + 1 :] = positions.size

    return to_blocks


@cache
def _to_strips(block: Block, strips: int) -> Callable:
    """The loop of `dropped_in_strips`: it counts what each strip has, and puts it there."""
    size = np.int32(block.size * block.per_word // strips)

    @compiled_for(block, strips)
    def to_strips(dropped, starts, found, own_starts):
        free = np.empty(strips, np.int64)
        for b in range(starts.size - 1):
            free[:] = 0
            for k in range(starts[b], starts[b + 1]):
                free[dropped[k] // size] += 1
            at = starts[b]
            for strip in range(strips):
                own_starts[b * strips + strip] = at
                at, free[strip] = at + free[strip], at
            for k in range(starts[b], starts[b + 1]):
                strip = dropped[k] // size
                found[free[strip]] = dropped[k] - strip * size
                free[strip] += 1
        own_starts[-1] = dropped.size

    return to_strips
