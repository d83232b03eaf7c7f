"""The gradient of a convolution's weights in vector code.

It is a sum over samples, rows and columns. A vector of sums for each weight of a tile, some output
times some input channels, stays in registers over a strip of rows; the lanes are added up last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from normscope.training.lanes.block import Block
from normscope.training.lanes.emit import I64, WIDE, Vectors, emitter, loop, over_parts, split


@dataclass(frozen=True)
class Weights:
    """The gradient of the weights of the convolution of `input` to `output`.

    In bfloat16 multiplications add two products, so they take two samples of one channel in a word
    where the arrays hold two channels of one sample: a strip of rows of two blocks is changed to
    that, which stays in the cache until all tiles have used it.
    """

    input: Block
    output: Block
    kernel: int
    padding: int
    stride: int

    @property
    def tile(self) -> tuple[int, int]:
        """Most output and input channels of a tile, as was fastest on S8's layers."""
        wide = self.output.lanes == WIDE
        if self.kernel == 1:
            return (4, 5 if self.input.stored % 5 == 0 else 4) if wide else (3, 4)
        return max(1, (27 if wide else 9) // self.kernel**2), 1

    @property
    def tiles(self) -> tuple[list[int], list[int]]:
        """The output and input channels of the tiles."""
        return split(self.output.stored, self.tile[0]), split(self.input.stored, self.tile[1])

    @property
    def size(self) -> int:
        """Words that the sums of all weights take."""
        return self.output.stored * self.input.stored * self.kernel**2 * self.output.lanes

    @property
    def strips(self) -> list[int]:
        """The rows of the output that are worked on at a time."""
        if self.kernel == 1:
            return [1] * self.output.height
        return split(self.output.height, 7 if self.output.height > 14 else 14)

    def taps(self, place: int, size: int) -> tuple[int, int]:
        """The kernel rows, or columns, that meet an input of `size` rows at a row of the output."""
        start = place * self.stride - self.padding
        return max(0, -start), min(self.kernel, size - start)

    def runs(self, start: int, stop: int, size: int) -> tuple[tuple[int, tuple[int, int]], ...]:
        """Rows, or columns, from start to stop: how many in turn have the same taps."""
        runs: list[tuple[int, tuple[int, int]]] = []
        for place in range(start, stop):
            taps = self.taps(place, size)
            if runs and runs[-1][1] == taps:
                runs[-1] = (runs[-1][0] + 1, taps)
            else:
                runs.append((1, taps))
        return tuple(runs)

    @property
    def strip_kinds(self) -> list[tuple]:
        starts = np.cumsum([0, *self.strips]).tolist()
        return [self.runs(start, stop, self.input.height) for start, stop in pairwise(starts)]

    @property
    def paired_words(self) -> tuple[int, int]:
        """How many words of the input and the output a strip of pairs takes at most."""
        if self.output.per_word == 1:
            return 0, 0
        rows = max(self.strips)
        reads = min(self.input.height, (rows - 1) * self.stride + self.kernel)
        return 2 * reads * self.input.row, 2 * rows * self.output.row


def weight_gradient(plan: Weights) -> Callable:
    """The code that adds what one block contributes, or two in bfloat16: see `_WeightGradient`."""

    @emitter
    def add_weight_gradient(builder, x, x0, g, g0, weights, x_pairs, g_pairs):
        v = Vectors(builder, plan.output.lanes, plan.output.per_word)
        _WeightGradient(v, plan, v.at(x, x0), v.at(g, g0), weights, x_pairs, g_pairs).emit()

    return add_weight_gradient


class _WeightGradient:
    """Adds to `weights` (tile, output channel, input channel, row, column, lanes).

    x and g, the input and the gradient of the output, are one block each, or two that lie one
    behind the other.
    """

    def __init__(self, v, plan, x, g, weights, x_pairs, g_pairs):
        self.v, self.plan, self.x, self.g, self.weights = v, plan, x, g, weights
        self.x_pairs, self.g_pairs = x_pairs, g_pairs
        # Words in a row of what is multiplied: one channel in each.
        self.x_row = plan.input.stored * plan.input.group
        self.g_row = plan.output.stored * plan.output.group

    def emit(self) -> None:
        over_parts(self.v.builder, self.plan.strip_kinds, self.plan.strips, self.strip)

    def strip(self, start, runs) -> None:
        """`start` is its first row of g, and x_row0 that of x which meets the kernel's first."""
        v, plan = self.v, self.plan
        first_row = v.builder.sub(v.builder.mul(start, I64(plan.stride)), I64(plan.padding))
        if plan.output.per_word == 1:
            x, g = v.at(self.x, (first_row, self.x_row)), v.at(self.g, (start, self.g_row))
        else:
            x, g = self.paired(first_row, start, runs)
        outs, ins = plan.tiles

        def tile(out, out_count, into, in_count):
            xp, gp = v.at(x, (into, plan.input.group)), v.at(g, (out, plan.output.group))
            sums = self.sums_of(xp, gp, out_count, in_count, runs)
            tile = v.builder.add(
                v.builder.mul(out, I64(plan.input.stored)), v.builder.mul(into, I64(out_count))
            )
            to = v.at(self.weights, (tile, plan.kernel**2 * plan.output.lanes))
            for i, value in enumerate(sums):
                v.add_to(value, v.at(to, i * plan.output.lanes))

        over_parts(
            v.builder,
            outs,
            outs,
            lambda out, q: over_parts(v.builder, ins, ins, lambda i, r: tile(out, q, i, r)),
        )

    def paired(self, first_row, start, runs) -> tuple[Any, Any]:
        """The rows of a strip as pairs of samples."""
        v, plan = self.v, self.plan
        rows = sum(count for count, _ in runs)
        (_, (first_tap, _)), (_, (_, last_tap)) = runs[0], runs[-1]
        reads = (rows - 1) * plan.stride + last_tap - first_tap
        there = v.builder.add(first_row, I64(first_tap))
        _pair(v, v.at(self.x, (there, plan.input.row)), plan.input, reads, self.x_pairs)
        _pair(v, v.at(self.g, (start, plan.output.row)), plan.output, rows, self.g_pairs)
        return v.at(self.x_pairs, -first_tap * self.x_row), self.g_pairs

    def sums_of(self, x, g, outs: int, ins: int, runs) -> list:
        """What a strip contributes to a tile: a vector for each of its weights."""
        v, plan = self.v, self.plan
        sums: list = [v.zero] * (outs * ins * plan.kernel**2)
        done = 0
        for count, (low, high) in runs:
            taps = range(low, high)

            def row(h, sums, done=done, taps=taps):
                xr = v.at(x, done * plan.stride * self.x_row, (h, plan.stride * self.x_row))
                return self.row(xr, v.at(g, done * self.g_row, (h, self.g_row)), outs, taps, sums)

            sums = loop(v.builder, count, row, sums) if count > 1 else row(I64(0), sums)
            done += count
        return sums

    def row(self, x, g, outs: int, rows: range, sums: list) -> list:
        v, plan, done = self.v, self.plan, 0
        for count, (low, high) in plan.runs(0, plan.output.width, plan.input.width):
            columns = range(low, high)

            def pixel(w, sums, done=done, columns=columns):
                off = v.builder.mul(v.builder.add(w, I64(done)), I64(plan.output.lanes))
                xp = v.at(x, (off, plan.stride), -plan.padding * plan.input.lanes)
                return self.pixel(xp, v.at(g, off), outs, rows, columns, sums)

            sums = loop(v.builder, count, pixel, sums) if count > 1 else pixel(I64(0), sums)
            done += count
        return sums

    def pixel(self, x, g, outs: int, rows: range, columns: range, sums: list) -> list:
        """Add one pixel of g, times all that it was made from."""
        v, plan, sums = self.v, self.plan, list(sums)
        gs = [v.load(v.at(g, q * plan.output.group)) for q in range(outs)]
        taps = plan.kernel**2
        ins = len(sums) // (outs * taps)
        for r in range(ins):
            for kh in rows:
                for kw in columns:
                    off = kh * self.x_row + r * plan.input.group + kw * plan.input.lanes
                    value = v.load(v.at(x, off))
                    for q in range(outs):
                        i = (q * ins + r) * taps + kh * plan.kernel + kw
                        sums[i] = v.dot(gs[q], value, sums[i])
        return sums


def _pair(v: Vectors, first, block: Block, rows: int, out) -> None:
    """Words of two channels, of rows of two blocks -> words of two samples, channel by channel."""
    builder, second = v.builder, v.at(first, block.size)
    low, high, half = v.same(0xFFFF), v.same(0xFFFF0000), v.same(16)

    def group(i, carried):
        def pixel(j, carried):
            place = (i, block.group), (j, block.lanes)
            one, other = v.load(v.at(first, *place)), v.load(v.at(second, *place))
            to = v.at(out, (i, 2 * block.group), (j, block.lanes))
            even = builder.or_(builder.and_(one, low), builder.shl(other, half))
            odd = builder.or_(builder.lshr(one, half), builder.and_(other, high))
            v.store(even, to)
            v.store(odd, v.at(to, block.group))

        loop(builder, block.width, pixel)

    loop(builder, rows * block.groups, group)
