"""The convolution of a block of samples with fewer products than it has: Winograd's F(2x2, 3x3).

A tile of 2 x 2 pixels of the output is made from 4 x 4 of the input. Transformed, each pair of
channels takes 16 products instead of 36, one for each place of the 4 x 4; their sums over the
channels of the input are transformed back (Lavin and Gray 2016, arXiv 1509.09308). Both transforms
are sums and differences of vectors. A row of tiles at a time is worked on, which stays in the
cache.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from normscope.training.lanes.convolved import Convolved, Results
from normscope.training.lanes.emit import I64, WIDE, Vectors, emitter, loop, over_parts, split

READ = 4  # rows and columns of the input that a tile is made from
PLACES = READ**2
LARGEST = 2**18  # words of a row of tiles, transformed
TOGETHER = 4  # most tiles that are transformed back in one round
MOVED = 120  # products that would take as long as one channel of a tile there or back
PAGE, APART = 1024, 80  # words: places that lie whole pages apart would share a few lines of the L1

TRANSFORM = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
BOTH = np.kron(TRANSFORM, TRANSFORM)  # of the weights (9), by rows and by columns


class Tiles:
    """The tiles of a convolution's output: rows of them, `across` in each."""

    def __init__(self, plan: Convolved):
        self.rows, self.across = -(-plan.output.height // 2), -(-plan.output.width // 2)
        self.inputs, self.outputs = plan.input.channels, plan.output.channels
        pixels, accumulators = (5, 20) if plan.output.lanes == WIDE else (2, 10)
        self.pixels = split(self.across, pixels)
        self.channels = split(self.outputs, accumulators // self.pixels[0])

    def place(self, channels: int, lanes: int) -> int:
        """Words from one place of a row of tiles to the next."""
        words = channels * self.across * lanes
        return words + (APART - words) % PAGE

    def size(self, lanes: int) -> int:
        """Words of a row of tiles, of the input and of the output."""
        return PLACES * (self.place(self.inputs, lanes) + self.place(self.outputs, lanes))


@cache
def saves(plan: Convolved) -> bool:
    """Whether a convolution is made from tiles: it can be, and takes fewer products so."""
    if (plan.kernel, plan.stride, plan.spread, plan.output.per_word) != (3, 1, 1, 1):
        return False
    tiles = Tiles(plan)
    if tiles.size(plan.output.lanes) > LARGEST:
        return False
    pairs, count = tiles.inputs * tiles.outputs, tiles.rows * tiles.across
    in_tiles = PLACES * pairs + MOVED * (tiles.inputs + tiles.outputs)
    vertical = _met(plan, plan.output.height, plan.input.height)
    return count * in_tiles < vertical * _met(plan, plan.output.width, plan.input.width) * pairs


def _met(plan: Convolved, outputs: int, inputs: int) -> int:
    """How often a weight meets a row, or column, of the input."""
    places = (o + k - plan.padding for o in range(outputs) for k in range(plan.kernel))
    return sum(0 <= place < inputs for place in places)


def transformed(weights: np.ndarray, plan: Convolved) -> np.ndarray:
    """float32 (out, in, 3, 3) -> float32 (place, tile of outputs, in, out), flat."""
    kernels = weights.transpose(2, 3, 0, 1).reshape(9, -1).astype(np.float64)
    places = (BOTH @ kernels).astype(np.float32).reshape(PLACES, *weights.shape[:2])
    parts = np.split(places, np.cumsum(Tiles(plan).channels)[:-1], axis=1)
    flat = [part.transpose(0, 2, 1).reshape(PLACES, -1) for part in parts]
    return np.concatenate(flat, axis=1).reshape(-1)


def convolve(plan: Convolved) -> Callable:
    """The code that convolves one block, called like that of `convolution.convolve`.

    `scratch` has the words of a row of tiles, of the input and behind that of the output; `nothing`
    is a row of the input of zeros.
    """

    @emitter
    def convolve_block(
        builder, x, x0, _rows, weights, bias, y, y0, r, factors, f0, sums, s0, row_sums, scratch,
        nothing,
    ):  # fmt: skip
        v = Vectors(builder, plan.output.lanes, plan.output.per_word)
        begin = v.at(y, y0), v.at(r, y0), v.at(factors, f0), v.at(sums, s0)
        results = Results(v, plan, *begin, row_sums)
        _Winograd(v, plan, v.at(x, x0), weights, bias, results, scratch, nothing).emit()

    return convolve_block


class _Winograd:
    """Convolves x; `weights` as `transformed` makes them.

    `read` (place, input channel, tile, lanes) and `made` (place, output channel, tile, lanes) are
    a row of tiles.
    """

    def __init__(self, v: Vectors, plan: Convolved, x, weights, bias, results, scratch, nothing):
        self.v, self.plan, self.tiles, self.results = v, plan, Tiles(plan), results
        self.x, self.weights, self.bias, self.nothing = x, weights, bias, nothing
        self.channel = self.tiles.across * v.lanes  # words of one channel of a place
        self.read_place = self.tiles.place(self.tiles.inputs, v.lanes)
        self.made_place = self.tiles.place(self.tiles.outputs, v.lanes)
        self.read, self.made = scratch, v.at(scratch, PLACES * self.read_place)

    def emit(self) -> None:
        def row(t, carried):
            self.transform(t)
            self.multiply()
            self.transform_back(t)
            if self.plan.sums:
                self.results.end_rows()

        loop(self.v.builder, self.tiles.rows, row)

    # -- to tiles ----------------------------------------------------------------------------------

    def transform(self, t) -> None:
        """Row t of the tiles of x."""
        v, b, plan = self.v, self.v.builder, self.plan
        first = b.sub(b.mul(t, I64(2)), I64(plan.padding))
        rows = []
        for k in range(READ):
            row = b.add(first, I64(k))
            inside = b.icmp_unsigned("<", row, I64(plan.input.height))
            rows.append(b.select(inside, v.at(self.x, (row, plan.input.row)), self.nothing))

        def channel(c, carried):
            own = [v.at(row, (c, plan.input.group)) for row in rows]
            self.transform_channel(own, v.at(self.read, (c, self.channel)))

        loop(b, self.tiles.inputs, channel)

    def transform_channel(self, rows: list, to) -> None:
        """Tile after tile; the last two columns of one are the first two of the next."""
        v, b, padding, width = self.v, self.v.builder, self.plan.padding, self.plan.input.width
        whole = max(0, min(self.tiles.across, (width + padding) // 2 - 1))

        def column(place: int) -> list:
            if not 0 <= place < width:
                return [v.zero] * READ
            return self._fourfold([v.floats_at(v.at(row, place * v.lanes)) for row in rows])

        def tile(j, first_two: list) -> list:
            last_two = []
            for k in (2, 3):
                at = (j, 2 * v.lanes), (k - padding) * v.lanes
                values = [v.floats_at(v.at(row, *at)) for row in rows]
                last_two += self._fourfold(values)
            self.store_tile([*first_two, *last_two], v.at(to, (j, v.lanes)))
            return last_two

        columns = [*column(-padding), *column(1 - padding)]
        if whole:
            columns = loop(b, whole, tile, columns)
        for j in range(whole, self.tiles.across):
            last_two = [*column(2 * j + 2 - padding), *column(2 * j + 3 - padding)]
            self.store_tile([*columns, *last_two], v.at(to, j * v.lanes))
            columns = last_two

    def store_tile(self, columns: list, to) -> None:
        """`columns` are the four, each transformed already."""
        for row in range(READ):
            for k, value in enumerate(self._fourfold(columns[row::READ])):
                self.v.store(value, self.v.at(to, (READ * row + k) * self.read_place))

    def _fourfold(self, x: Sequence) -> list:
        """Four vectors transformed: x0 - x2, x1 + x2, x2 - x1, x1 - x3."""
        b = self.v.builder
        return [b.fsub(x[0], x[2]), b.fadd(x[1], x[2]), b.fsub(x[2], x[1]), b.fsub(x[1], x[3])]

    # -- products ----------------------------------------------------------------------------------

    def multiply(self) -> None:
        v, tiles = self.v, self.tiles

        def place(p, carried):
            read, made = (
                v.at(self.read, (p, self.read_place)),
                v.at(self.made, (p, self.made_place)),
            )
            weights = v.at(self.weights, (p, tiles.inputs * tiles.outputs))

            def some(j, pixels):
                at = v.builder.mul(j, I64(v.lanes))
                over_parts(
                    v.builder,
                    tiles.channels,
                    tiles.channels,
                    lambda first, count: self.multiply_tile(
                        v.at(read, at),
                        v.at(weights, (first, tiles.inputs)),
                        v.at(made, (first, self.channel), at),
                        pixels,
                        count,
                    ),
                )

            over_parts(v.builder, tiles.pixels, tiles.pixels, some)

        loop(v.builder, PLACES, place)

    def multiply_tile(self, read, weights, made, pixels: int, channels: int) -> None:
        v = self.v

        def add(c, sums):
            sums, own = list(sums), v.at(read, (c, self.channel))
            values = [v.load(v.at(own, p * v.lanes)) for p in range(pixels)]
            for q in range(channels):
                weight = v.splat(v.at(weights, (c, channels), q))
                for p, value in enumerate(values):
                    i = p * channels + q
                    sums[i] = v.dot(value, weight, sums[i])
            return sums

        sums = loop(v.builder, self.tiles.inputs, add, [v.zero] * (pixels * channels))
        for p in range(pixels):
            for q in range(channels):
                v.store(sums[p * channels + q], v.at(made, q * self.channel + p * v.lanes))

    # -- and back ----------------------------------------------------------------------------------

    def transform_back(self, t) -> None:
        """Row t of the tiles: two rows of the output, or at its end perhaps one."""
        v, b, output = self.v, self.v.builder, self.plan.output
        to = b.mul(t, I64(2 * output.row))
        together = split(self.tiles.across, TOGETHER)
        kinds = [min(2 * count, output.width - 2 * start) for start, count in _starts(together)]
        two = b.icmp_signed("<", b.add(b.mul(t, I64(2)), I64(1)), I64(output.height))

        def channel(c, carried):
            made = v.at(self.made, (c, self.channel))

            def some(j, pixels):
                one, other = self.results_of(v.at(made, (j, v.lanes)), pixels, c)
                at = b.add(to, b.mul(j, I64(2 * v.lanes)))
                self.results.store(one, pixels, 1, at, c)
                below = b.add(at, I64(output.row))
                if output.height % 2 == 0:
                    self.results.store(other, pixels, 1, below, c)
                else:
                    with b.if_then(two, likely=True):
                        self.results.store(other, pixels, 1, below, c)

            over_parts(b, kinds, together, some)

        loop(b, self.tiles.outputs, channel)

    def results_of(self, made, pixels: int, channel) -> tuple[list, list]:
        """Two rows of results, of so many pixels of the output."""
        v, rows = self.v, ([], [])
        for tile in range(-(-pixels // 2)):
            own = v.at(made, tile * v.lanes)
            values = [v.floats_at(v.at(own, place * self.made_place)) for place in range(PLACES)]
            columns = [self._twofold(values[k::READ]) for k in range(READ)]
            for row, parts in zip(rows, zip(*columns, strict=True), strict=True):
                row.extend(self._twofold(parts))
        if self.plan.bias:
            bias = v.same_float(v.at(self.bias, channel))
            for row in rows:
                row[:] = [v.builder.fadd(value, bias) for value in row]
        return rows[0][:pixels], rows[1][:pixels]

    def _twofold(self, x: Sequence) -> list:
        """Four vectors transformed back: x0 + x1 + x2 and x1 - x2 - x3."""
        b = self.v.builder
        return [b.fadd(b.fadd(x[0], x[1]), x[2]), b.fsub(b.fsub(x[1], x[2]), x[3])]


def _starts(parts: list[int]) -> list[tuple[int, int]]:
    """Where each part begins, and the part."""
    return list(zip(np.cumsum([0, *parts]).tolist(), parts, strict=False))
