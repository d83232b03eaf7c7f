"""A convolution in lanes, with norm and dropout before it and ReLU or pooling behind it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import numpy as np

from normscope.training.lanes import convolution, elementwise, weight_gradient, winograd
from normscope.training.lanes.block import Block
from normscope.training.lanes.compiling import compiled_for
from normscope.training.lanes.convolved import Convolved
from normscope.training.lanes.layer import (
    NO_BYTES,
    NO_WORDS,
    Gradients,
    Layer,
    Outputs,
    Pending,
    check,
    drop_of,
    materialise_of,
    output_of,
    places_of,
    places_shape,
    take_out_of,
)
from normscope.training.lanes.layout import zeros
from normscope.training.lanes.threads import SCRATCH, over_blocks
from normscope.training.lanes.weights import packed, unpacked

STRIP = 5 * 2**15  # words of the input and output of a 1x1 convolution that are worked on at a time


@dataclass(frozen=True)
class Convolution(Layer):
    """`torch.nn.Conv2d` without groups, of an input with `channels`.

    `bias`: whether it has one. `relu`: ReLU follows. `normed`: a norm follows, so y has sums, and
    the gradient of what comes behind it is turned into that of y by factors. `max_pool`: 2x2 max
    pooling follows, and nothing between. `input_gradient`: whether that of the input is wanted; the
    first layer's is not.
    """

    out_channels: int = field(kw_only=True)
    kernel: int = field(default=3, kw_only=True)
    stride: int = field(default=1, kw_only=True)
    padding: int = field(default=0, kw_only=True)
    bias: bool = field(default=False, kw_only=True)
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
        if min(self.output.height, self.output.width) < 1:
            raise ValueError(f"there is no pixel left: {self}")

    @cached_property
    def convolved(self) -> Block:
        """The result of the convolution, before pooling."""
        height, width = (
            (size + 2 * self.padding - self.kernel) // self.stride + 1
            for size in (self.height, self.width)
        )
        return self.block(self.out_channels, height, width)

    @cached_property
    def output(self) -> Block:
        own = self.convolved
        return self.block(own.channels, own.height // 2, own.width // 2) if self.max_pool else own

    @cached_property
    def strips(self) -> int:
        """In how many strips of rows the layer goes over a block.

        A 1x1 convolution meets no row that is in another strip. So its strips may be any, and are
        such that one stays in the cache until all is done to it.
        """
        cut_window = self.max_pool and self.height % 2 == 1
        if (self.kernel, self.stride, self.padding) != (1, 1, 0) or cut_window:
            return 1
        most = self.height // (2 if self.max_pool else 1)
        size = self.input.size + self.convolved.size
        fitting = (n for n in range(1, most) if most % n == 0 and size <= n * STRIP)
        return next(fitting, most)

    @cached_property
    def strip(self) -> "Convolution":
        """The layer of one strip."""
        return replace(self, height=self.height // self.strips)

    @property
    def weights_shape(self) -> tuple[int, int, int, int]:
        return self.out_channels, self.channels, self.kernel, self.kernel

    @cached_property
    def forward_plan(self) -> Convolved:
        return Convolved(
            self.input,
            self.convolved,
            self.kernel,
            self.padding,
            stride=self.stride,
            relu=self.relu,
            sums="squares" if self.normed else "",
            bias=self.bias,
        )

    @cached_property
    def backward_plan(self) -> Convolved:
        return Convolved(
            self.convolved,
            self.input,
            self.kernel,
            self.kernel - 1 - self.padding,
            spread=self.stride,
            sums="products" if self.pending and not self.learned else "",
            floored=self.floored and not self.learned,
        )

    @cached_property
    def weights_plan(self) -> weight_gradient.Weights:
        return weight_gradient.Weights(
            self.input, self.convolved, self.kernel, self.padding, self.stride
        )

    def forward(
        self,
        x: np.ndarray,
        weights: np.ndarray,
        pending: Pending | None = None,
        threads: int = 1,
        y: np.ndarray | None = None,
        bias: np.ndarray | None = None,
    ) -> Outputs:
        """Convolve x (blocks, *input.shape) with weights, float32 (out, in, K, K).

        bias, float32 (out,), is given if there is one. The result is written to `y` if it is given.
        Raises `ValueError` for arrays of other shapes.
        """
        if self.strips > 1:
            return self._forward_in_strips(x, weights, pending, threads, y, bias)
        blocks, read = len(x), self.read_by_loops(x, pending)
        y = output_of(y, (blocks, *self.output.shape))
        sums = zeros((blocks, 2, self.output.stored, self.lanes)) if self.normed else None
        places = places_of(blocks, self.output) if self.max_pool else None
        plan, loop = self.forward_plan, _forward(self)
        words = packed(check(weights, self.weights_shape), plan)
        given_bias = self._bias(bias)

        def part(start: int, stop: int) -> None:
            loop(
                *read,
                plan.rows.reshape(-1),
                words,
                given_bias,
                y.reshape(-1),
                NO_BYTES if places is None else places.reshape(-1),
                NO_WORDS if sums is None else sums.reshape(-1),
                SCRATCH.words("values", self.input.size),
                SCRATCH.words("unpooled", self.convolved.size if self.max_pool else 1),
                SCRATCH.words("row sums", 2 * self.output.stored * self.lanes),
                *_tiles_of(plan),
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
        if self.strips > 1:
            return self._backward_in_strips(g, outputs, x, weights, pending, factors, threads, gx)
        blocks, read = len(x), self.read_by_loops(x, pending)
        gx = output_of(gx, (blocks, *self.input.shape)) if self.input_gradient else None
        sums = None
        if self.pending and self.input_gradient:
            sums = zeros((blocks, self.sums_of_pending, self.input.stored, self.lanes))
        plan, loop = self.backward_plan, _backward(self)
        check(weights, self.weights_shape)
        words = packed(weights, plan, backward=True) if self.input_gradient else NO_WORDS
        given = self._given(g, outputs, factors, blocks)
        of_bias = zeros((blocks, self.output.stored, self.lanes)) if self.bias else None

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
                NO_WORDS if of_bias is None else of_bias.reshape(-1),
                NO_WORDS if gx is None else gx.reshape(-1),
                NO_WORDS if sums is None else sums.reshape(-1),
                SCRATCH.words("values", self.per_word * self.input.size),
                SCRATCH.words("slopes", self.per_word * self.convolved.size),
                SCRATCH.words("x pairs", paired[0]),
                SCRATCH.words("g pairs", paired[1]),
                SCRATCH.words("row sums", 2 * self.input.stored * self.lanes),
                *_tiles_of(plan),
                start,
                stop,
            )
            return unpacked(of_weights, self.weights_plan)

        first, *others = over_blocks(part, blocks, self.per_word, threads)
        for other in others:  # in a fixed order, so that the same threads give the same bits
            first += other
        if of_bias is None:
            return Gradients(gx, sums, first)
        own = of_bias.sum((0, 2), np.float64)[: self.out_channels].astype(np.float32)
        return Gradients(gx, sums, first, own)

    def _forward_in_strips(self, x, weights, pending, threads, y, bias) -> Outputs:
        own, n, blocks = self.strip, self.strips, len(x)
        y = output_of(y, (blocks, *self.output.shape))
        check(x, (blocks, *self.input.shape))
        read = None if pending is None else pending.in_strips(self.input, n)
        strips = y.reshape(-1, *own.output.shape)
        found = own.forward(x.reshape(-1, *own.input.shape), weights, read, threads, strips, bias)
        places = found.places
        if places is not None:
            places = places.reshape(places_shape(blocks, self.output))
        return Outputs(y, _of_blocks(found.sums, n), places)

    def _backward_in_strips(
        self, g, outputs: Outputs, x, weights, pending, factors, threads, gx
    ) -> Gradients:
        own, n, blocks = self.strip, self.strips, len(x)
        check(g, (blocks, *self.output.shape))
        check(x, (blocks, *self.input.shape))
        if self.input_gradient:
            gx = output_of(gx, x.shape)
        places = outputs.places
        if places is not None:
            places = places.reshape(places_shape(n * blocks, own.output))
        shape = own.output.shape
        found = own.backward(
            g.reshape(-1, *shape),
            Outputs(outputs.y.reshape(-1, *shape), places=places),
            x.reshape(-1, *own.input.shape),
            weights,
            None if pending is None else pending.in_strips(self.input, n),
            None if factors is None else np.repeat(factors, n, axis=0),
            threads,
            None if gx is None else gx.reshape(-1, *own.input.shape),
        )
        return replace(found, gx=gx, sums=_of_blocks(found.sums, n))

    def _bias(self, bias: np.ndarray | None) -> np.ndarray:
        """The bias as the loop takes it: with zeros for channels that fill up words."""
        if (bias is not None) != self.bias:
            raise ValueError(f"bias {bias} for {self}")
        if bias is None:
            return NO_WORDS
        words = zeros((self.output.stored,))
        words[: self.out_channels] = check(bias, (self.out_channels,))
        return words

    def _given(self, g, outputs: Outputs, factors, blocks: int) -> list[np.ndarray]:
        """g, y, places and factors, as the loop takes them."""
        check(g, (blocks, *self.output.shape))
        y, places, words = NO_WORDS, NO_BYTES, NO_WORDS
        if self.relu or self.normed:
            y = check(outputs.y, g.shape)
        if self.max_pool:
            assert outputs.places is not None  # as `forward` returns them
            places = check(outputs.places, places_shape(blocks, self.output), np.uint8)
        if (factors is not None) != self.normed:
            raise ValueError(f"factors {factors} for {self}")
        if factors is not None:
            words = check(factors, (blocks, 3, self.output.stored, self.lanes))
        return [array.reshape(-1) for array in (g, y, places, words)]


def _convolve(plan: Convolved) -> Callable:
    """The code that convolves one block, in the way that takes fewer products."""
    return (winograd if winograd.saves(plan) else convolution).convolve(plan)


def _tiles_of(plan: Convolved) -> tuple[np.ndarray, np.ndarray]:
    """What `winograd.convolve` works on."""
    if not winograd.saves(plan):
        return NO_WORDS, NO_WORDS
    size = winograd.Tiles(plan).size(plan.output.lanes)
    return SCRATCH.words("tiles", size), SCRATCH.words("nothing", plan.input.row)


def _of_blocks(sums: np.ndarray | None, strips: int) -> np.ndarray | None:
    """Sums of strips -> those of the blocks that they are of."""
    return None if sums is None else sums.reshape(-1, strips, *sums.shape[1:]).sum(1)


# -- loops -----------------------------------------------------------------------------------------


@cache
def _forward(layer: Convolution) -> Callable:
    convolve = _convolve(layer.forward_plan)
    materialise = materialise_of(layer.input, layer.floored)
    pool = elementwise.max_pool(layer.convolved)
    reads_pending, max_pool = layer.pending, layer.max_pool
    x_size, y_size = layer.input.size, layer.output.size
    places_size = y_size * layer.per_word
    sums_size = 2 * layer.output.stored * layer.lanes

    @compiled_for(layer)
    def forward(
        x, factors, dropped, starts, rows, weights, bias, y, places, sums, values, unpooled,
        row_sums, tiles, nothing, start, stop,
    ):  # fmt: skip
        for b in range(start, stop):
            x_from, x0 = x, b * x_size
            if reads_pending:
                materialise(x, b, factors, dropped, starts, values, 0)
                x_from, x0 = values, 0
            if max_pool:
                convolve(
                    x_from, x0, rows, weights, bias, unpooled, 0, x, factors, 0, sums, 0, row_sums,
                    tiles, nothing,
                )  # fmt: skip
                pool(unpooled, 0, y, b * y_size, places, b * places_size)
            else:
                convolve(
                    x_from, x0, rows, weights, bias, y, b * y_size, x, factors, 0, sums,
                    b * sums_size, row_sums, tiles, nothing,
                )  # fmt: skip

    return forward


@cache
def _backward(layer: Convolution) -> Callable:  # noqa: C901 - one loop in full
    convolve = _convolve(layer.backward_plan)
    add_weights = weight_gradient.weight_gradient(layer.weights_plan)
    materialise = materialise_of(layer.input, layer.floored)
    take_out, drop = take_out_of(layer.input), drop_of(layer.input)
    pending_gradient = elementwise.pending_gradient(layer.input, layer.floored, layer.learned)
    unpool = elementwise.max_unpool(layer.convolved)
    slope = elementwise.gradient(layer.convolved, layer.relu, layer.normed)
    add_bias = elementwise.channel_sums(layer.convolved)
    has_bias, bias_size = layer.bias, layer.convolved.stored * layer.lanes
    reads_pending, max_pool, wanted = layer.pending, layer.max_pool, layer.input_gradient
    learned = layer.learned
    changed, per_word = layer.relu or layer.normed, layer.per_word
    x_size, y_size, pooled_size = layer.input.size, layer.convolved.size, layer.output.size
    sums_size = layer.sums_of_pending * layer.input.stored * layer.lanes
    factors_size = 3 * layer.input.stored * layer.lanes
    g_factors_size = 3 * layer.output.stored * layer.lanes

    @compiled_for(layer)
    def backward(
        x, factors, dropped, starts, g, y, places, g_factors, rows, weights, of_weights, of_bias,
        gx, sums, values, slopes, x_pairs, g_pairs, row_sums, tiles, nothing, start, stop,
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
            if has_bias:
                add_bias(g_from, g0, of_bias, b * bias_size)
            if reads_pending:
                x_from, x0 = values, half * x_size
                materialise(x, b, factors, dropped, starts, values, x0)
            if half == per_word - 1:
                x_first, g_first = x0 - half * x_size, g0 - half * y_size
                add_weights(x_from, x_first, g_from, g_first, of_weights, x_pairs, g_pairs)
            if wanted:
                convolve(
                    g_from, g0, rows, weights, of_bias, gx, b * x_size, x, factors,
                    b * factors_size, sums, b * sums_size, row_sums, tiles, nothing,
                )  # fmt: skip
                if learned:
                    drop(gx, b * x_size, b, dropped, starts)
                    pending_gradient(
                        x, b * x_size, factors, b * factors_size, gx, sums, b * sums_size
                    )
                elif reads_pending:
                    take_out(gx, x, b, dropped, starts, sums)

    return backward
