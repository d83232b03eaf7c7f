"""What layers in lanes have in common.

What a norm and dropout do to an array is `Pending` until the next layer reads it: that layer
applies it to each block while the block is in the cache. So a norm costs no pass of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np

from normscope.errors import UsageError
from normscope.experiment import Precision
from normscope.training.lanes import elementwise
from normscope.training.lanes.block import Block
from normscope.training.lanes.compiling import compiled_for
from normscope.training.lanes.emit import float_of
from normscope.training.lanes.layout import dropped_in_strips, empty, zeros
from normscope.training.lanes.target import target

PER_WORD: dict[Precision, int] = {"fp32": 1, "bf16": 2}
OF_WORDS: dict[int, Precision] = {channels: precision for precision, channels in PER_WORD.items()}

NO_WORDS = zeros((1,))
NO_BYTES = zeros((1,), np.uint8)


def lanes_here() -> int:
    """The lanes of this processor's vectors; raises `UsageError` if it has none to be used."""
    here = target()
    if here is None:
        raise UsageError("this processor multiplies and adds no vectors at once")
    return here.lanes


@dataclass(frozen=True)
class Pending:
    """What is done to an array when it is read: max(scale * x + shift, floor), and dropout.

    factors, float32 (blocks, 3, channels, lanes): scale, shift and floor of each sample; 0 for
    samples that do not exist. The floor is read only by layers that are `floored`. dropped, int32
    (K,), and starts, int64 (blocks + 1,): elements that are 0, see `layout.dropped_positions`.
    """

    factors: np.ndarray
    dropped: np.ndarray
    starts: np.ndarray

    def in_strips(self, block: Block, strips: int) -> "Pending":
        """The same for strips of rows, as if each were a block; `block` is one of the former."""
        dropped = dropped_in_strips(self.dropped, self.starts, block, strips)
        return Pending(np.repeat(self.factors, strips, axis=0), *dropped)


def pending(factors: np.ndarray) -> Pending:
    """`Pending` without dropout."""
    return Pending(factors, np.empty(0, np.int32), np.zeros(len(factors) + 1, np.int64))


@dataclass(frozen=True)
class Outputs:
    """y (blocks, *output.shape); sums of y and y^2 per sample, float32 (blocks, 2, channels,
    lanes), or None; places of the largest, bytes (blocks, height, channels, width, lanes), or None.

    With bfloat16 the sums, like those of `Gradients`, are of numbers before they are rounded.
    """

    y: np.ndarray
    sums: np.ndarray | None = None
    places: np.ndarray | None = None


@dataclass(frozen=True)
class Gradients:
    """gx (blocks, *input.shape), the gradient of what the layer read after all that was pending,
    0 where that was dropped or at its floor; sums of gx and of gx * x per sample, float32 (blocks,
    2, channels, lanes), None unless something was pending, and a third, of what is lost at the
    floor, if that is learned; weights, float32 (out, in, K, K), and bias, (out,), of a convolution.
    """

    gx: np.ndarray | None
    sums: np.ndarray | None = None
    weights: np.ndarray | None = None
    bias: np.ndarray | None = None


@dataclass(frozen=True)
class Layer:
    """What all layers have in common: the shape of the input, and whether something is pending.

    `floored`: what is pending has a floor, such as the 0 of a ReLU behind a norm. `learned`: the
    floor has a gradient, so the sum of what is lost at it is wanted.
    """

    channels: int
    height: int
    width: int
    precision: Precision = "fp32"
    pending: bool = False
    floored: bool = False
    learned: bool = False
    lanes: int = field(default_factory=lanes_here)

    def __post_init__(self):
        here = target()
        if self.precision == "bf16" and not (here and here.bfloat16 and self.lanes == here.lanes):
            raise UsageError("this processor does not multiply in bfloat16")
        if self.floored and not self.pending:
            raise ValueError(f"a floor is for what is pending: {self}")
        if self.learned and not self.floored:
            raise ValueError(f"there is no floor to be learned: {self}")

    @cached_property
    def input(self) -> Block:
        return self.block(self.channels, self.height, self.width)

    @property
    def sums_of_pending(self) -> int:
        """How many `Gradients.sums` each channel has."""
        return 3 if self.learned else 2

    @property
    def per_word(self) -> int:
        return PER_WORD[self.precision]

    def block(self, channels: int, height: int, width: int) -> Block:
        return Block(channels, height, width, self.lanes, self.per_word)

    def read_by_loops(self, x: np.ndarray, pending: Pending | None) -> list[np.ndarray]:
        """x and what is pending, as the loops take it."""
        check(x, (len(x), *self.input.shape))
        if (pending is not None) != self.pending:
            raise ValueError(f"{pending} for {self}")
        if pending is None:
            return [x.reshape(-1), NO_WORDS, NO_POSITIONS, NO_POSITIONS.astype(np.int64)]
        check(pending.factors, (len(x), 3, self.input.stored, self.lanes))
        check(pending.starts, (len(x) + 1,), np.int64)
        check(pending.dropped, pending.dropped.shape, np.int32)
        return [x.reshape(-1), pending.factors.reshape(-1), pending.dropped, pending.starts]


NO_POSITIONS = np.empty(0, np.int32)


def check(array: np.ndarray, shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """The array, if compiled code may go over it; raises `ValueError` otherwise."""
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(
            f"an array of shape {array.shape} and type {array.dtype}, where one of {shape} and "
            f"{np.dtype(dtype)} is needed, contiguous"
        )
    return array


def output_of(given: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    return empty(shape) if given is None else check(given, shape)


def places_of(blocks: int, pooled: Block) -> np.ndarray:
    return empty(places_shape(blocks, pooled), np.uint8)


def places_shape(blocks: int, pooled: Block) -> tuple[int, ...]:
    return blocks, pooled.height, pooled.stored, pooled.width, pooled.lanes


# -- loops -----------------------------------------------------------------------------------------


@cache
def materialise_of(block: Block, floored: bool) -> Callable:
    """The loop that writes one block, with what is pending applied, to values from v0 on."""
    affine, drop = elementwise.affine(block, floored), drop_of(block)
    size, factors_size = block.size, 3 * block.stored * block.lanes

    @compiled_for(block, floored)
    def materialise(x, b, factors, dropped, starts, values, v0):
        affine(x, b * size, factors, b * factors_size, values, v0)
        drop(values, v0, b, dropped, starts)

    return materialise


@cache
def drop_of(block: Block) -> Callable:
    """The loop that sets the dropped elements of one block, which begins at v0, to 0."""
    per_word = block.per_word

    @compiled_for(block)
    def drop(values, v0, b, dropped, starts):
        if per_word == 1:
            for k in range(starts[b], starts[b + 1]):
                values[v0 + dropped[k]] = 0
        else:
            halves = values.view(np.uint16)
            for k in range(starts[b], starts[b + 1]):
                halves[2 * v0 + dropped[k]] = 0

    return drop


@cache
def take_out_of(block: Block) -> Callable:
    """The loop that takes the dropped elements of one block out of its gradient and its sums."""
    size, per_word = block.size, block.per_word
    of_sums = block.stored * block.lanes
    # Divisions by numbers of 32 bits that are known when this is compiled are quick ones.
    lanes, group, groups = map(np.uint32, (block.lanes, block.group, block.groups))

    @compiled_for(block)
    def take_out(g, x, b, dropped, starts, sums):
        g_halves, x_halves = g.view(np.uint16), x.view(np.uint16)
        for k in range(starts[b], starts[b + 1]):
            place = np.uint32(dropped[k])
            if per_word == 1:
                word, odd = place, np.uint32(0)
                at = b * size + dropped[k]
                slope, value = g[at], x[at]
                g[at] = 0
            else:
                word, odd = place >> np.uint32(1), place & np.uint32(1)
                at = 2 * b * size + dropped[k]
                slope = float_of(np.uint32(g_halves[at]) << np.uint32(16))
                value = float_of(np.uint32(x_halves[at]) << np.uint32(16))
                g_halves[at] = 0
            channel = word // group % groups * np.uint32(per_word) + odd
            own = 2 * b * of_sums + channel * lanes + word % lanes
            sums[own] -= slope
            sums[own + of_sums] -= slope * value

    return take_out
