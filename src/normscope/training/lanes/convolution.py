"""The convolution of a block of samples in vector code.

A vector holds the same pixel and channel of as many samples as it has lanes, so a weight is a
number that meets all lanes alike, whatever the number of channels. The code of a tile, some pixels
of a row times some channels, keeps a vector of sums for each in registers over all the weights
that they take part in, and does to them, before they are stored, what follows the convolution.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from llvmlite import ir

from normscope.training.lanes.block import Block
from normscope.training.lanes.emit import I64, WIDE, Vectors, emitter, loop, over_parts, split

TERMS = 32  # most tiles that are added up before their sum is added to that of the block


@dataclass(frozen=True)
class Convolved:
    """How a convolution makes `output` from `input`, in training either the data or a gradient.

    A pixel of the output at o reads the input at (o * stride + k - padding) / spread for each k of
    the kernel where this is a whole number; `spread` is 1 but for the gradient of a convolution
    whose stride it was.

    `bias`: a number of each channel of the output is added. `relu`: negative results become 0.
    `sums`: "squares", of the results and their squares, or "products", of the results and their
    products with another block, r, of the output's shape; `floored`: a result is 0 where scale * r
    + shift is at its floor.
    """

    input: Block
    output: Block
    kernel: int
    padding: int
    stride: int = 1
    spread: int = 1
    relu: bool = False
    sums: str = ""
    floored: bool = False
    bias: bool = False

    @property
    def tile(self) -> tuple[int, int]:
        """Most pixels and channels of a tile, as was fastest on S8's layers."""
        width, lanes, per_word = self.output.width, self.output.lanes, self.output.per_word
        if lanes == WIDE and width == 7 and per_word == 1:
            return self.spread * -(-7 // self.spread), 3
        pixels, accumulators = (5, 20) if lanes == WIDE else (2, 10)
        pixels = min(pixels, width)
        channels = accumulators // pixels
        channels = min(channels - channels % per_word, self.output.stored)
        return pixels + -pixels % self.spread, channels

    @property
    def channels(self) -> list[int]:
        """The channels of each tile."""
        groups = split(self.output.groups, max(1, self.tile[1] // self.output.per_word))
        return [group * self.output.per_word for group in groups]

    @property
    def pixels(self) -> list[int]:
        """The pixels of each tile; all tiles start at a multiple of `spread`."""
        width, spread = self.output.width, self.spread
        parts = split(-(-width // spread), max(1, self.tile[0] // spread))
        starts = np.cumsum([0, *parts]) * spread
        return np.diff(np.minimum(starts, width)).tolist()

    def offset(self, pixel: int, k: int) -> int | None:
        """Which input column, from its tile's first, weight k of a pixel reads; None if none."""
        whole, rest = divmod(pixel * self.stride + k - self.padding, self.spread)
        return None if rest else whole

    @cached_property
    def kinds(self) -> list[tuple[int, int, int]]:
        """Per tile its pixels, and the first and last offset that it reads: the map has edges."""
        kinds, start = [], 0
        for pixels in self.pixels:
            base = start * self.stride // self.spread
            reads = [self.offset(p, k) for p in range(pixels) for k in range(self.kernel)]
            inside = [r for r in reads if r is not None and 0 <= base + r < self.input.width]
            kinds.append((pixels, min(inside, default=0), max(inside, default=-1)))
            start += pixels
        return kinds

    @cached_property
    def rows(self) -> np.ndarray:
        """Per row of the output the first row that it reads, of the input and of the kernel, and
        how many, each `spread` rows of the kernel further: int64 (height, 3).
        """
        found = []
        for row in range(self.output.height):
            reads = [(self.offset(row, k), k) for k in range(self.kernel)]
            inside = [(r, k) for r, k in reads if r is not None and 0 <= r < self.input.height]
            found.append((*min(inside, default=(0, 0)), len(inside)))
        return np.array(found, np.int64)


def convolve(plan: Convolved) -> Callable:
    """The code that convolves one block: see `_Convolution` for its arguments."""

    @emitter
    def convolve_block(
        builder, x, x0, rows, weights, bias, y, y0, r, factors, f0, sums, s0, row_sums
    ):
        v = Vectors(builder, plan.output.lanes, plan.output.per_word)
        begin = v.at(x, x0), v.at(y, y0), v.at(r, y0), v.at(factors, f0), v.at(sums, s0)
        _Convolution(v, plan, rows, weights, bias, row_sums, *begin).emit()

    return convolve_block


class _Convolution:
    """Writes y from x, `rows` being the plan's; `weights` as `weights.packed` makes them.

    sums (2, channels, lanes) are added to after every few rows, from `row_sums`, which is 0 then
    and before: two short sums lose less than a long one. factors (3, channels, lanes) are
    those of r.
    """

    def __init__(self, v, plan, rows, weights, bias, row_sums, x, y, r, factors, sums):
        self.v, self.plan = v, plan
        self.rows, self.weights, self.bias, self.row_sums = rows, weights, bias, row_sums
        self.x, self.y, self.r, self.factors, self.sums = x, y, r, factors, sums

    def emit(self) -> None:
        """Some rows at a time, after which their sums are added to those of the block."""
        b, height = self.v.builder, self.plan.output.height
        together = max(1, TERMS // len(self.plan.pixels)) if self.plan.sums else height

        def some(i, carried):
            first = b.mul(i, I64(together))
            left = b.sub(I64(height), first)
            count = b.select(b.icmp_signed("<", left, I64(together)), left, I64(together))
            loop(b, count, lambda h, carried: self.row(b.add(first, h)))
            if self.plan.sums:
                self.add_row_sums()

        loop(b, -(-height // together), some)

    def row(self, h: ir.Value) -> None:
        v, plan = self.v, self.plan
        table = v.at(self.rows, (h, 3))
        first_row, first_k, count = (v.builder.load(v.at(table, i)) for i in range(3))
        x_row = v.at(self.x, (first_row, plan.input.row))
        out = v.builder.mul(h, I64(plan.output.row))

        def column(start, kind):
            base = v.builder.mul(start, I64(plan.stride * plan.input.lanes))
            xp = v.at(x_row, v.builder.sdiv(base, I64(plan.spread)) if plan.spread > 1 else base)
            to = v.builder.add(out, v.builder.mul(start, I64(plan.output.lanes)))
            over_parts(
                v.builder,
                plan.channels,
                plan.channels,
                lambda first, count_q: self.tile(kind, xp, first_k, count, to, first, count_q),
            )

        over_parts(v.builder, plan.kinds, plan.pixels, column)

    def tile(self, kind, x, first_k, count, to, first, channels: int) -> None:
        """Some pixels of a row, of some channels from `first`; sums[p * channels + q] is theirs."""
        v, plan, pixels = self.v, self.plan, kind[0]
        words = plan.kernel * plan.input.groups  # of the weights of one output channel and row
        weights = v.at(self.weights, (first, plan.kernel * words), (first_k, words * channels))

        def kernel_row(t, sums):
            xr = v.at(x, (t, plan.input.row))
            wr = v.at(weights, (t, plan.spread * words * channels))

            def group(c, sums):
                xc = v.at(xr, (c, plan.input.group))
                wc = v.at(wr, (c, plan.kernel * channels))
                return self.products(kind, xc, wc, channels, sums)

            return loop(v.builder, plan.input.groups, group, sums)

        sums = [v.zero] * (pixels * channels)
        if plan.bias:
            own = v.at(self.bias, first)
            sums = [v.same_float(v.at(own, q)) for q in range(channels)] * pixels
        counts = set(plan.rows[:, 2].tolist())
        stop = count if len(counts) > 1 else counts.pop()  # a known one makes shorter code
        sums = loop(v.builder, stop, kernel_row, sums, may_be_empty=0 in counts)
        place = v.builder.add(to, self._words_of(first))
        self.finish(sums, pixels, channels, place, first)

    def products(self, kind, x, weights, channels: int, sums: list) -> list:
        """Add one row of the kernel, of one word of input channels."""
        v, plan, (pixels, low, high) = self.v, self.plan, kind
        sums = list(sums)
        taps = [(p, k, plan.offset(p, k)) for k in range(plan.kernel) for p in range(pixels)]
        taps = [(p, k, at) for p, k, at in taps if at is not None and low <= at <= high]
        read = sorted({at for _, _, at in taps})
        loaded = {at: v.load(v.at(x, at * plan.input.lanes)) for at in read}
        for k in range(plan.kernel):
            meeting = [(p, loaded[at]) for p, of, at in taps if of == k]
            for q in range(channels if meeting else 0):
                weight = v.splat(v.at(weights, k * channels + q))
                for p, value in meeting:
                    i = p * channels + q
                    sums[i] = v.dot(value, weight, sums[i])
        return sums

    def finish(self, results: list, pixels: int, channels: int, place, first) -> None:
        """ReLU, floor and sums of a tile's results; then they are stored."""
        v, plan = self.v, self.plan
        if plan.relu:
            results = [v.where(v.less(value, v.zero), v.zero, value) for value in results]
        others = results
        if plan.floored or plan.sums == "products":
            others = self.read(v.at(self.r, place), pixels, channels)
        if plan.floored:
            results = self.above_floor(results, others, channels, first)
        if plan.sums:
            self.add_sums(results, others, channels, first)
        for p, g in self._words(pixels, channels):
            i = p * channels + g * plan.output.per_word
            to = v.at(self.y, place, g * plan.output.group + p * plan.output.lanes)
            v.pack(results[i : i + plan.output.per_word], to)

    def read(self, pointer, pixels: int, channels: int) -> list:
        """The values of r where a tile's results belong."""
        output = self.plan.output
        found: list[Any] = [None] * (pixels * channels)
        for p, g in self._words(pixels, channels):
            i = p * channels + g * output.per_word
            at = self.v.at(pointer, g * output.group + p * output.lanes)
            found[i : i + output.per_word] = self.v.unpack(at)
        return found

    def above_floor(self, results: list, others: list, channels: int, first) -> list:
        v, output = self.v, self.plan.output
        kept = list(results)
        for q in range(channels):
            own = v.at(self.factors, (first, output.lanes), q * output.lanes)
            scale, shift, floor = (
                v.floats_at(v.at(own, i * output.stored * output.lanes)) for i in range(3)
            )
            for i in range(q, len(results), channels):
                under = v.at_most(v.fma(others[i], scale, shift), floor)
                kept[i] = v.where(under, v.zero, results[i])
        return kept

    def add_sums(self, results: list, others: list, channels: int, first) -> None:
        v, output = self.v, self.plan.output
        for q in range(channels):
            mine = range(q, len(results), channels)
            total, product = results[q], v.builder.fmul(results[q], others[q])
            for i in mine[1:]:
                total = v.builder.fadd(total, results[i])
                product = v.fma(results[i], others[i], product)
            own = v.at(self.row_sums, (first, output.lanes), q * output.lanes)
            v.add_to(total, own)
            v.add_to(product, v.at(own, output.stored * output.lanes))

    def add_row_sums(self) -> None:
        v, output = self.v, self.plan.output

        def channel(c, carried):
            own = v.at(self.row_sums, (c, output.lanes))
            v.add_to(v.floats_at(own), v.at(self.sums, (c, output.lanes)))
            v.store(v.zero, own)

        loop(v.builder, 2 * output.stored, channel)

    def _words(self, pixels: int, channels: int) -> Iterator[tuple[int, int]]:
        groups = channels // self.plan.output.per_word
        return ((p, g) for p in range(pixels) for g in range(groups))

    def _words_of(self, first):
        """Words in front of a channel within a row."""
        output = self.plan.output
        words = self.v.builder.mul(first, I64(output.group))
        if output.per_word == 1:
            return words
        return self.v.builder.sdiv(words, I64(output.per_word))
