"""The convolution of a block of samples in vector code.

A vector holds the same pixel and channel of as many samples as it has lanes, so a weight is a
number that meets all lanes alike, whatever the number of channels. The code of a tile, some pixels
of a row times some channels, keeps a vector of sums for each in registers over all the weights
that they take part in, and does to them, before they are stored, what follows the convolution.
"""

from collections.abc import Callable

from llvmlite import ir

from normscope.training.lanes.convolved import Convolved, Results
from normscope.training.lanes.emit import I64, Vectors, emitter, loop, over_parts

TERMS = 32  # most tiles that are added up before their sum is added to that of the block


def convolve(plan: Convolved) -> Callable:
    """The code that convolves one block: see `_Convolution` and `Results` for its arguments.

    The last two are for `winograd.convolve` alone.
    """

    @emitter
    def convolve_block(
        builder, x, x0, rows, weights, bias, y, y0, r, factors, f0, sums, s0, row_sums, _tiles,
        _nothing,
    ):  # fmt: skip
        v = Vectors(builder, plan.output.lanes, plan.output.per_word)
        begin = v.at(y, y0), v.at(r, y0), v.at(factors, f0), v.at(sums, s0)
        results = Results(v, plan, *begin, row_sums)
        _Convolution(v, plan, v.at(x, x0), rows, weights, bias, results).emit()

    return convolve_block


class _Convolution:
    """Convolves x, `rows` being the plan's; `weights` as `weights.packed` makes them."""

    def __init__(self, v, plan, x, rows, weights, bias, results: Results):
        self.v, self.plan, self.results = v, plan, results
        self.x, self.rows, self.weights, self.bias = x, rows, weights, bias

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
                self.results.end_rows()

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
        """Some pixels of a row, of some channels from `first`."""
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
        self.results.store(sums, pixels, channels, to, first)

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
