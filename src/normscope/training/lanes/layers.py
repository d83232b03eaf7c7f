"""Layers in lanes, forward and backward: loops over blocks of samples that numba compiles.

What a norm and dropout do to an array is `Pending` until the next layer reads it: that layer
applies it to each block while the block is in the cache. So a norm costs no pass of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np

from normscope.errors import UsageError
from normscope.experiment import Precision
from normscope.training.lanes import convolution, elementwise
from normscope.training.lanes.block import Block
from normscope.training.lanes.compiling import compiled_for
from normscope.training.lanes.emit import float_of
from normscope.training.lanes.layout import empty, zeros
from normscope.training.lanes.target import target
from normscope.training.lanes.threads import SCRATCH, over_blocks
from normscope.training.lanes.weights import packed, unpacked

PER_WORD = {"fp32": 1, "bf16": 2}

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


def pending(factors: np.ndarray) -> Pending:
    """`Pending` without dropout."""
    return Pending(factors, np.empty(0, np.int32), np.zeros(len(factors) + 1, np.int64))


@dataclass(frozen=True)
class Outputs:
    """y (blocks, *output.shape); sums of y and y^2 per sample, float32 (blocks, 2, channels,
    lanes), or None; places of the largest, bytes (blocks, height, channels, width, lanes), or None.
    """

    y: np.ndarray
    sums: np.ndarray | None = None
    places: np.ndarray | None = None


@dataclass(frozen=True)
class Gradients:
    """gx (blocks, *input.shape), the gradient of what the layer read after all that was pending,
    0 where that was dropped or at its floor; sums of gx and of gx * x per sample, float32 (blocks,
    2, channels, lanes), None unless something was pending; weights, float32 (out, in, K, K), those
    of a convolution.
    """

    gx: np.ndarray | None
    sums: np.ndarray | None = None
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class Layer:
    """What all layers have in common: the shape of the input, and whether something is pending.

    `floored`: what is pending has a floor, such as the 0 of a ReLU behind a norm.
    """

    channels: int
    height: int
    width: int
    precision: Precision = "fp32"
    pending: bool = False
    floored: bool = False
    lanes: int = field(default_factory=lanes_here)

    def __post_init__(self):
        here = target()
        if self.precision == "bf16" and not (here and here.bfloat16 and self.lanes == here.lanes):
            raise UsageError("this processor does not multiply in bfloat16")
        if self.floored and not self.pending:
            raise ValueError(f"a floor is for what is pending: {self}")

    @cached_property
    def input(self) -> Block:
        return self._block(self.channels, self.height, self.width)

    @property
    def per_word(self) -> int:
        return PER_WORD[self.precision]

    def _block(self, channels: int, height: int, width: int) -> Block:
        return Block(channels, height, width, self.lanes, self.per_word)

    def _read(self, x: np.ndarray, pending: Pending | None) -> list[np.ndarray]:
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


@dataclass(frozen=True)
class Convolution(Layer):
    """`torch.nn.Conv2d` without bias or groups, of an input with `channels`.

    `relu`: ReLU follows. `normed`: a norm follows, so y has sums, and the gradient of what comes
    behind it is turned into that of y by factors. `max_pool`: 2x2 max pooling follows, and nothing
    between. `input_gradient`: whether that of the input is wanted; the first layer's is not.
    """

    out_channels: int = field(kw_only=True)
    kernel: int = field(default=3, kw_only=True)
    stride: int = field(default=1, kw_only=True)
    padding: int = field(default=0, kw_only=True)
    relu: bool = field(default=False, kw_only=True)
    normed: bool = field(default=False, kw_only=True)
    max_pool: bool = field(default=False, kw_only=True)
    input_gradient: bool = field(default=True, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        if self.max_pool and (self.relu or self.normed):
            raise ValueError(f"nothing may be between a convolution and its pooling: {self}")
        if self.padding >= self.kernel:
            raise ValueError(f"the padding is as large as the kernel: {self}")

    @cached_property
    def convolved(self) -> Block:
        """The result of the convolution, before pooling."""
        height, width = (
            (size + 2 * self.padding - self.kernel) // self.stride + 1
            for size in (self.height, self.width)
        )
        return self._block(self.out_channels, height, width)

    @cached_property
    def output(self) -> Block:
        own = self.convolved
        return self._block(own.channels, own.height // 2, own.width // 2) if self.max_pool else own

    @cached_property
    def forward_plan(self) -> convolution.Convolved:
        return convolution.Convolved(
            self.input,
            self.convolved,
            self.kernel,
            self.padding,
            stride=self.stride,
            relu=self.relu,
            sums="squares" if self.normed else "",
        )

    @cached_property
    def backward_plan(self) -> convolution.Convolved:
        return convolution.Convolved(
            self.convolved,
            self.input,
            self.kernel,
            self.kernel - 1 - self.padding,
            spread=self.stride,
            sums="products" if self.pending else "",
            floored=self.floored,
        )

    @cached_property
    def weights_plan(self) -> convolution.Weights:
        return convolution.Weights(
            self.input, self.convolved, self.kernel, self.padding, self.stride
        )

    def forward(
        self,
        x: np.ndarray,
        weights: np.ndarray,
        pending: Pending | None = None,
        threads: int = 1,
        y: np.ndarray | None = None,
    ) -> Outputs:
        """Convolve x (blocks, *input.shape) with weights, float32 (out, in, K, K).

        The result is written to `y` if it is given. Raises `ValueError` for arrays of other shapes.
        """
        blocks, read = len(x), self._read(x, pending)
        y = _output(y, (blocks, *self.output.shape))
        sums = zeros((blocks, 2, self.output.stored, self.lanes)) if self.normed else None
        places = _places(blocks, self.output) if self.max_pool else None
        plan, loop = self.forward_plan, _forward(self)
        words = packed(weights, plan)

        def part(start: int, stop: int) -> None:
            loop(
                *read,
                plan.rows.reshape(-1),
                words,
                y.reshape(-1),
                NO_BYTES if places is None else places.reshape(-1),
                NO_WORDS if sums is None else sums.reshape(-1),
                SCRATCH.words("values", self.input.size),
                SCRATCH.words("unpooled", self.convolved.size if self.max_pool else 1),
                SCRATCH.words("row sums", 2 * self.output.stored * self.lanes),
                start,
                stop,
            )

        over_blocks(part, blocks, self.per_word, threads)
        return Outputs(y, sums, places)

    def backward(
        self,
        g: np.ndarray,
        outputs: Outputs,
        x: np.ndarray,
        weights: np.ndarray,
        pending: Pending | None = None,
        factors: np.ndarray | None = None,
        threads: int = 1,
        gx: np.ndarray | None = None,
    ) -> Gradients:
        """The gradients, given g, that of what the next layer read.

        factors (blocks, 3, channels, lanes), s, a and c of each sample, if `normed`: the gradient
        of y is s * g + a + c * y. It is 0 where ReLU made y 0. Of `outputs` only what these need is
        looked at. The gradient of x is written to `gx` if it is given.
        """
        blocks, read = len(x), self._read(x, pending)
        gx = _output(gx, (blocks, *self.input.shape)) if self.input_gradient else None
        sums = None
        if self.pending and self.input_gradient:
            sums = zeros((blocks, 2, self.input.stored, self.lanes))
        plan, loop = self.backward_plan, _backward(self)
        words = packed(weights, plan, backward=True) if self.input_gradient else NO_WORDS
        given = self._given(g, outputs, factors, blocks)

        def part(start: int, stop: int) -> np.ndarray:
            of_weights = SCRATCH.words("weights", self.weights_plan.size)
            of_weights[: self.weights_plan.size] = 0
            paired = self.weights_plan.paired_words
            loop(
                *read,
                *given,
                plan.rows.reshape(-1),
                words,
                of_weights,
                NO_WORDS if gx is None else gx.reshape(-1),
                NO_WORDS if sums is None else sums.reshape(-1),
                SCRATCH.words("values", self.per_word * self.input.size),
                SCRATCH.words("slopes", self.per_word * self.convolved.size),
                SCRATCH.words("x pairs", paired[0]),
                SCRATCH.words("g pairs", paired[1]),
                SCRATCH.words("row sums", 2 * self.input.stored * self.lanes),
                start,
                stop,
            )
            return unpacked(of_weights, self.weights_plan)

        first, *others = over_blocks(part, blocks, self.per_word, threads)
        for other in others:  # in a fixed order, so that the same threads give the same bits
            first += other
        return Gradients(gx, sums, first)

    def _given(self, g, outputs: Outputs, factors, blocks: int) -> list[np.ndarray]:
        """g, y, places and factors, as the loop takes them."""
        check(g, (blocks, *self.output.shape))
        y, places, words = NO_WORDS, NO_BYTES, NO_WORDS
        if self.relu or self.normed:
            y = check(outputs.y, g.shape)
        if self.max_pool:
            assert outputs.places is not None  # as `forward` returns them
            places = check(outputs.places, _places_shape(blocks, self.output), np.uint8)
        if (factors is not None) != self.normed:
            raise ValueError(f"factors {factors} for {self}")
        if factors is not None:
            words = check(factors, (blocks, 3, self.output.stored, self.lanes))
        return [array.reshape(-1) for array in (g, y, places, words)]


def _output(given: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    return empty(shape) if given is None else check(given, shape)


def _places(blocks: int, pooled: Block) -> np.ndarray:
    return empty(_places_shape(blocks, pooled), np.uint8)


def _places_shape(blocks: int, pooled: Block) -> tuple[int, ...]:
    return blocks, pooled.height, pooled.stored, pooled.width, pooled.lanes


# -- loops -----------------------------------------------------------------------------------------


@cache
def _forward(layer: Convolution) -> Callable:
    convolve = convolution.convolve(layer.forward_plan)
    materialise = _materialise(layer.input, layer.floored)
    pool = elementwise.max_pool(layer.convolved)
    reads_pending, max_pool = layer.pending, layer.max_pool
    x_size, y_size = layer.input.size, layer.output.size
    places_size = y_size * layer.per_word
    sums_size = 2 * layer.output.stored * layer.lanes

    @compiled_for(layer)
    def forward(
        x, factors, dropped, starts, rows, weights, y, places, sums, values, unpooled, row_sums,
        start, stop,
    ):  # fmt: skip
        for b in range(start, stop):
            x_from, x0 = x, b * x_size
            if reads_pending:
                materialise(x, b, factors, dropped, starts, values, 0)
                x_from, x0 = values, 0
            if max_pool:
                convolve(
                    x_from, x0, rows, weights, unpooled, 0, x, factors, 0, sums, 0, row_sums
                )  # fmt: skip
                pool(unpooled, 0, y, b * y_size, places, b * places_size)
            else:
                convolve(
                    x_from, x0, rows, weights, y, b * y_size, x, factors, 0, sums, b * sums_size,
                    row_sums,
                )  # fmt: skip

    return forward


@cache
def _backward(layer: Convolution) -> Callable:
    convolve = convolution.convolve(layer.backward_plan)
    add_weights = convolution.weight_gradient(layer.weights_plan)
    materialise = _materialise(layer.input, layer.floored)
    take_out = _take_out(layer.input)
    unpool = elementwise.max_unpool(layer.convolved)
    slope = elementwise.gradient(layer.convolved, layer.relu, layer.normed)
    reads_pending, max_pool, wanted = layer.pending, layer.max_pool, layer.input_gradient
    changed, per_word = layer.relu or layer.normed, layer.per_word
    x_size, y_size, pooled_size = layer.input.size, layer.convolved.size, layer.output.size
    sums_size = 2 * layer.input.stored * layer.lanes
    factors_size = sums_size // 2 * 3
    g_factors_size = 3 * layer.output.stored * layer.lanes

    @compiled_for(layer)
    def backward(
        x, factors, dropped, starts, g, y, places, g_factors, rows, weights, of_weights, gx, sums,
        values, slopes, x_pairs, g_pairs, row_sums, start, stop,
    ):  # fmt: skip
        for b in range(start, stop):
            half = b % per_word
            x_from, x0, g_from, g0 = x, b * x_size, g, b * y_size
            if max_pool:
                g_from, g0 = slopes, half * y_size
                unpool(g, b * pooled_size, places, b * pooled_size * per_word, slopes, g0)
            elif changed:
                g_from, g0 = slopes, half * y_size
                slope(y, g, b * y_size, g_factors, b * g_factors_size, slopes, g0)
            if reads_pending:
                x_from, x0 = values, half * x_size
                materialise(x, b, factors, dropped, starts, values, x0)
            if half == per_word - 1:
                x_first, g_first = x0 - half * x_size, g0 - half * y_size
                add_weights(x_from, x_first, g_from, g_first, of_weights, x_pairs, g_pairs)
            if wanted:
                convolve(
                    g_from, g0, rows, weights, gx, b * x_size, x, factors, b * factors_size, sums,
                    b * sums_size, row_sums,
                )  # fmt: skip
                if reads_pending:
                    take_out(gx, x, b, dropped, starts, sums)

    return backward


@cache
def _materialise(block: Block, floored: bool) -> Callable:
    """The loop that writes one block, with what is pending applied, to values from v0 on."""
    affine = elementwise.affine(block, floored)
    size, factors_size, per_word = block.size, 3 * block.stored * block.lanes, block.per_word

    @compiled_for(block, floored)
    def materialise(x, b, factors, dropped, starts, values, v0):
        affine(x, b * size, factors, b * factors_size, values, v0)
        if per_word == 1:
            for k in range(starts[b], starts[b + 1]):
                values[v0 + dropped[k]] = 0
        else:
            halves = values.view(np.uint16)
            for k in range(starts[b], starts[b + 1]):
                halves[2 * v0 + dropped[k]] = 0

    return materialise


@cache
def _take_out(block: Block) -> Callable:
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
