"""What a convolution of a block of samples makes of what, and what is done to its results."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from normscope.training.lanes.block import Block
from normscope.training.lanes.emit import I64, WIDE, Vectors, loop, split


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
        pixels, accumulators = (5, 24) if lanes == WIDE else (2, 10)
        pixels = min(pixels, width)
        pixels += -pixels % self.spread
        channels = max(per_word, accumulators // pixels)
        return pixels, min(channels - channels % per_word, self.output.stored)

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


class Results:
    """Stores the results of a block's convolution in y, after all that `plan` says is done to them.

    sums (2, channels, lanes) are added to after every few rows, from `row_sums`, which is 0 then
    and before: two short sums lose less than a long one. factors (3, channels, lanes) are
    those of r.
    """

    def __init__(self, v: Vectors, plan: Convolved, y, r, factors, sums, row_sums):
        self.v, self.plan, self.y, self.r = v, plan, y, r
        self.factors, self.sums, self.row_sums = factors, sums, row_sums

    def store(self, results: list, pixels: int, channels: int, to, first) -> None:
        """ReLU, floor and sums of a tile's results; then they are stored.

        `to` is where the tile begins in its row, were `first`, its first channel, the first of all.
        results[p * channels + q] is that of pixel p and channel q.
        """
        v, plan = self.v, self.plan
        place = v.builder.add(to, self._words_of(first))
        if plan.relu:
            results = [v.where(v.less(value, v.zero), v.zero, value) for value in results]
        others = results
        if plan.floored or plan.sums == "products":
            others = self._read(v.at(self.r, place), pixels, channels)
        if plan.floored:
            results = self._above_floor(results, others, channels, first)
        if plan.sums:
            self._add_sums(results, others, channels, first)
        for p, g in self._words(pixels, channels):
            i = p * channels + g * plan.output.per_word
            to = v.at(self.y, place, g * plan.output.group + p * plan.output.lanes)
            v.pack(results[i : i + plan.output.per_word], to)

    def _read(self, pointer, pixels: int, channels: int) -> list:
        """The values of r where a tile's results belong."""
        output = self.plan.output
        found: list[Any] = [None] * (pixels * channels)
        for p, g in self._words(pixels, channels):
            i = p * channels + g * output.per_word
            at = self.v.at(pointer, g * output.group + p * output.lanes)
            found[i : i + output.per_word] = self.v.unpack(at)
        return found

    def _above_floor(self, results: list, others: list, channels: int, first) -> list:
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

    def _add_sums(self, results: list, others: list, channels: int, first) -> None:
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

    def end_rows(self) -> None:
        """Add the sums of the last few rows to those of the block."""
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
