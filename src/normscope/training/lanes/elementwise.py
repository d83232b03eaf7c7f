"""What is done to each element of a block, and pooling, in vector code.

factors (3, channels, lanes) are a scale, a shift and a floor, or those of a gradient.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from normscope.training.lanes.block import Block
from normscope.training.lanes.emit import I8, Vectors, emitter, loop

UNROLLED = 8  # most vectors that are worked on in one round


def affine(block: Block, floored: bool) -> Callable:
    """The code of y = scale * x + shift, no less than the floor if `floored`."""

    @emitter
    def affine_block(builder, x, x0, factors, f0, y, y0):
        v = Vectors(builder, block.lanes, block.per_word)

        def value(channel, factors):
            scale, shift, floor = factors
            scaled = v.fma(channel, scale, shift)
            return v.where(v.less(scaled, floor), floor, scaled) if floored else scaled

        def vector(place, factors):
            channels = v.unpack(v.at(x, x0, *place))
            results = [value(c, f) for c, f in zip(channels, factors, strict=True)]
            v.pack(results, v.at(y, y0, *place))

        _over_vectors(v, block, v.at(factors, f0), vector)

    return affine_block


def gradient(block: Block, relu: bool, normed: bool) -> Callable:
    """The code of z = s * g + a + c * y, factors being s, a and c, or g unless `normed`.

    With `relu` it is 0 where y is not above 0.
    """

    @emitter
    def gradient_block(builder, y, g, y0, factors, f0, z, z0):
        v = Vectors(builder, block.lanes, block.per_word)

        def value(result, slope, factors):
            if normed:
                s, a, c = factors
                slope = v.fma(slope, s, v.fma(result, c, a))
            return v.where(v.at_most(result, v.zero), v.zero, slope) if relu else slope

        def vector(place, factors):
            results, slopes = (v.unpack(v.at(p, y0, *place)) for p in (y, g))
            out = [value(*each) for each in zip(results, slopes, factors, strict=True)]
            v.pack(out, v.at(z, z0, *place))

        _over_vectors(v, block, v.at(factors, f0), vector)

    return gradient_block


def channel_sums(block: Block) -> Callable:
    """The code that adds the sums of x over its pixels to sums (channels, lanes)."""

    @emitter
    def channel_sums_block(builder, x, x0, sums, s0):
        v = Vectors(builder, block.lanes, block.per_word)

        def row(h, carried):
            def group(c, carried):
                place = (h, block.row), (c, block.group)

                def vector(w, totals):
                    values = v.unpack(v.at(x, x0, *place, (w, block.lanes)))
                    return [builder.fadd(*each) for each in zip(totals, values, strict=True)]

                totals = loop(builder, block.width, vector, [v.zero] * block.per_word)
                for m, total in enumerate(totals):
                    to = (c, block.per_word * block.lanes), m * block.lanes
                    v.add_to(total, v.at(sums, s0, *to))

            loop(builder, block.groups, group)

        loop(builder, block.height, row)

    return channel_sums_block


def every(block: Block, taken: Block, stride: int) -> Callable:
    """The code of every `stride`-th pixel of x, with as many channels of 0 before as behind.

    The arguments are those of `max_pool`, whose places are left as they are.
    """

    @emitter
    def every_block(builder, x, x0, y, y0, places, p0):
        v = Vectors(builder, block.lanes, block.per_word)
        _clear(v, v.at(y, y0), taken.size)
        _over_taken(
            v,
            block,
            taken,
            stride,
            lambda at, to: v.store(v.load(v.at(x, x0, *at)), v.at(y, y0, *to)),
        )

    return every_block


def every_back(block: Block, taken: Block, stride: int) -> Callable:
    """The code of the gradient of `every`: z from g."""

    @emitter
    def every_back_block(builder, g, g0, places, p0, z, z0):
        v = Vectors(builder, block.lanes, block.per_word)
        _clear(v, v.at(z, z0), block.size)
        _over_taken(
            v,
            block,
            taken,
            stride,
            lambda at, to: v.store(v.load(v.at(g, g0, *to)), v.at(z, z0, *at)),
        )

    return every_back_block


def pending_gradient(block: Block, floored: bool, learned: bool) -> Callable:
    """The code that makes g, that of what `affine` returned, 0 at the floor, and adds its sums.

    sums (2, channels, lanes): those of g and of g * x; a third, if the floor is `learned`, of what
    g was at the floor.
    """
    kinds = 3 if learned else 2

    @emitter
    def pending_block(builder, x, x0, factors, f0, g, sums, s0):
        v = Vectors(builder, block.lanes, block.per_word)

        def vector(place, factors, totals):
            values, slopes = (v.unpack(v.at(p, x0, *place)) for p in (x, g))
            under = [v.zero] * block.per_word
            if floored:
                parts = zip(slopes, values, factors, strict=True)
                parted = [_at_floor(v, slope, value, own) for slope, value, own in parts]
                under, slopes = map(list, zip(*parted, strict=True))
                v.pack(slopes, v.at(g, x0, *place))
            plain, of_products, lost = (
                totals[k * block.per_word : (k + 1) * block.per_word] for k in range(3)
            )
            plain = [builder.fadd(*each) for each in zip(plain, slopes, strict=True)]
            products = zip(slopes, values, of_products, strict=True)
            found = plain + [v.fma(*each) for each in products]
            if learned:
                found += [builder.fadd(*each) for each in zip(lost, under, strict=True)]
            return found

        def row(h, carried):
            def group(c, carried):
                own = _factors_of(v, block, v.at(factors, f0), c)
                place = (h, block.row), (c, block.group)
                totals = loop(
                    v.builder,
                    block.width,
                    lambda w, totals: vector((*place, (w, block.lanes)), own, totals),
                    [v.zero] * (kinds * block.per_word),
                )
                for m in range(block.per_word):
                    to = v.at(sums, s0, (c, block.per_word * block.lanes), m * block.lanes)
                    for k in range(kinds):
                        own = v.at(to, k * block.stored * block.lanes)
                        v.add_to(totals[k * block.per_word + m], own)

            loop(v.builder, block.groups, group)

        loop(v.builder, block.height, row)

    return pending_block


def _at_floor(v: Vectors, slope, value, factors) -> tuple[Any, Any]:
    """The slope where what was made of a value is at its floor, and where it is above, else 0."""
    scale, shift, floor = factors
    under = v.at_most(v.fma(value, scale, shift), floor)
    return v.where(under, slope, v.zero), v.where(under, v.zero, slope)


def add(block: Block) -> Callable:
    """The code of z = x + y."""

    @emitter
    def add_block(builder, x, x0, y, y0, z, z0):
        v = Vectors(builder, block.lanes, block.per_word)

        def vector(i, carried):
            place = (i, block.lanes)
            pairs = zip(v.unpack(v.at(x, x0, place)), v.unpack(v.at(y, y0, place)), strict=True)
            v.pack([v.builder.fadd(*pair) for pair in pairs], v.at(z, z0, place))

        loop(v.builder, block.size // block.lanes, vector)

    return add_block


# -- pooling ---------------------------------------------------------------------------------------


def max_pool(block: Block) -> Callable:
    """The code of the largest of each 2x2 pixels of x, and of where it is: `places`, bytes.

    places (height / 2, channels, width / 2, lanes) are 0 to 3, row by row; the first counts among
    equals. A NaN is the largest. An odd row or column at the end is left out.
    """
    height, width = block.height // 2, block.width // 2

    @emitter
    def max_pool_block(builder, x, x0, y, y0, places, p0):
        v = Vectors(builder, block.lanes, block.per_word)

        def window(h, c, w):
            corner = v.at(x, x0, (h, 2 * block.row), (c, block.group), (w, 2 * block.lanes))
            quarters = [v.unpack(v.at(corner, at)) for at in _window(block)]
            largest = []
            for m in range(block.per_word):
                value, place = _largest(v, [quarter[m] for quarter in quarters])
                to = _place(v, block, v.at(places, p0), h, c, m, w)
                v.store(builder.trunc(place, ir.VectorType(I8, block.lanes)), to)
                largest.append(value)
            to = (h, block.groups * width * block.lanes), (c, width * block.lanes)
            v.pack(largest, v.at(y, y0, *to, (w, block.lanes)))

        _over_windows(v, height, block.groups, width, window)

    return max_pool_block


def _largest(v: Vectors, values: list) -> tuple[Any, Any]:
    """The largest of four vectors, lane by lane, and which it is; a NaN is larger than all."""
    value, place = values[0], v.same(0)
    for k, other in enumerate(values[1:], 1):
        more = v.less(value, other)
        value, place = v.where(more, other, value), v.where(more, v.same(k), place)
    some_nan = v.builder.or_(v.either_nan(*values[:2]), v.either_nan(*values[2:]))
    return v.where(some_nan, v.nan, value), place


def max_unpool(block: Block) -> Callable:
    """The code that puts g, the gradient of `max_pool`, where the largest were, else 0."""
    height, width = block.height // 2, block.width // 2

    @emitter
    def max_unpool_block(builder, g, g0, places, p0, z, z0):
        v = Vectors(builder, block.lanes, block.per_word)
        _clear_edges(v, block, v.at(z, z0), 2)

        def window(h, c, w):
            of = (h, block.groups * width * block.lanes), (c, width * block.lanes)
            slopes = v.unpack(v.at(g, g0, *of, (w, block.lanes)))
            found = []
            for m in range(block.per_word):
                at = _place(v, block, v.at(places, p0), h, c, m, w)
                found.append(builder.zext(v.load(at, ir.VectorType(I8, block.lanes)), v.words))
            corner = v.at(z, z0, (h, 2 * block.row), (c, block.group), (w, 2 * block.lanes))
            for k, at in enumerate(_window(block)):
                out = [
                    v.where(builder.icmp_signed("==", place, v.same(k)), slope, v.zero)
                    for place, slope in zip(found, slopes, strict=True)
                ]
                v.pack(out, v.at(corner, at))

        _over_windows(v, height, block.groups, width, window)

    return max_unpool_block


def average_pool(block: Block, size: int) -> Callable:
    """The code of the mean of each size x size pixels; what is left at the end is left out.

    The arguments are those of `max_pool`, whose places are left as they are.
    """
    height, width = block.height // size, block.width // size

    @emitter
    def average_pool_block(builder, x, x0, y, y0, places, p0):
        v = Vectors(builder, block.lanes, block.per_word)
        share = ir.Constant(v.floats, [1 / size**2] * block.lanes)

        def window(h, c, w):
            corner = (h, size * block.row), (c, block.group), (w, size * block.lanes)

            def row(i, totals):
                def pixel(j, totals):
                    at = v.at(x, x0, *corner, (i, block.row), (j, block.lanes))
                    return [builder.fadd(*e) for e in zip(totals, v.unpack(at), strict=True)]

                return loop(builder, size, pixel, totals)

            totals = loop(builder, size, row, [v.zero] * block.per_word)
            to = (h, block.groups * width * block.lanes), (c, width * block.lanes)
            out = v.at(y, y0, *to, (w, block.lanes))
            v.pack([builder.fmul(total, share) for total in totals], out)

        _over_windows(v, height, block.groups, width, window)

    return average_pool_block


def average_unpool(block: Block, size: int) -> Callable:
    """The code of the gradient of `average_pool`: z from g."""
    height, width = block.height // size, block.width // size

    @emitter
    def average_unpool_block(builder, g, g0, places, p0, z, z0):
        v = Vectors(builder, block.lanes, block.per_word)
        share = ir.Constant(v.floats, [1 / size**2] * block.lanes)
        _clear_edges(v, block, v.at(z, z0), size)

        def window(h, c, w):
            of = (h, block.groups * width * block.lanes), (c, width * block.lanes)
            slopes = v.unpack(v.at(g, g0, *of, (w, block.lanes)))
            slopes = [builder.fmul(slope, share) for slope in slopes]
            corner = v.at(z, z0, (h, size * block.row), (c, block.group), (w, size * block.lanes))

            def row(i, carried):
                def pixel(j, carried):
                    v.pack(slopes, v.at(corner, (i, block.row), (j, block.lanes)))

                loop(builder, size, pixel)

            loop(builder, size, row)

        _over_windows(v, height, block.groups, width, window)

    return average_unpool_block


# -- loops over a block ----------------------------------------------------------------------------


def _over_vectors(v: Vectors, block: Block, factors, vector: Callable) -> None:
    """``vector(place, factors)`` for every vector, with the factors of its channels."""
    step = max(k for k in range(1, UNROLLED + 1) if block.width % k == 0)

    def row(h, carried):
        def group(c, carried):
            own = _factors_of(v, block, factors, c)

            def some(w, carried):
                place = (h, block.row), (c, block.group), (w, step * block.lanes)
                for k in range(step):
                    vector((*place, k * block.lanes), own)

            loop(v.builder, block.width // step, some)

        loop(v.builder, block.groups, group)

    loop(v.builder, block.height, row)


def _factors_of(v: Vectors, block: Block, factors, group) -> list[list]:
    """The three factors of each channel of a group."""
    own = v.at(factors, (group, block.per_word * block.lanes))
    return [
        [v.floats_at(v.at(own, (i * block.stored + m) * block.lanes)) for i in range(3)]
        for m in range(block.per_word)
    ]


def _over_windows(v: Vectors, height: int, groups: int, width: int, window: Callable) -> None:
    """``window(row, group, column)`` for every window of a pooling."""

    def row(h, carried):
        def group(c, carried):
            loop(v.builder, width, lambda w, carried: window(h, c, w))

        loop(v.builder, groups, group)

    loop(v.builder, height, row)


def _window(block: Block) -> list[int]:
    """Where the 2x2 pixels of a window are, from its first."""
    return [row * block.row + column * block.lanes for row in range(2) for column in range(2)]


def _place(v: Vectors, block: Block, places, h, c, m: int, w):
    channel = block.width // 2 * block.lanes
    groups = (h, block.stored * channel), (c, block.per_word * channel)
    return v.at(places, *groups, m * channel, (w, block.lanes))


def _over_taken(v: Vectors, block: Block, taken: Block, stride: int, move: Callable) -> None:
    """``move(at, to)`` for the places of every vector that `every` takes, in x and in y."""
    before = (taken.groups - block.groups) // 2 * taken.group

    def window(h, c, w):
        at = (h, stride * block.row), (c, block.group), (w, stride * block.lanes)
        move(at, ((h, taken.row), (c, taken.group), (w, taken.lanes), before))

    _over_windows(v, taken.height, block.groups, taken.width, window)


def _clear(v: Vectors, z, size: int) -> None:
    """Set `size` words to 0."""
    nothing = ir.Constant(v.words, [0] * v.lanes)
    loop(v.builder, size // v.lanes, lambda i, c: v.store(nothing, v.at(z, (i, v.lanes))))


def _clear_edges(v: Vectors, block: Block, z, size: int) -> None:
    """Set to 0 what no window of a pooling reaches."""
    nothing = ir.Constant(v.words, [0] * block.lanes)
    rows = block.height // size * size
    if rows < block.height:
        rest = (block.height - rows) * block.row // block.lanes
        below = v.at(z, rows * block.row)
        loop(v.builder, rest, lambda i, c: v.store(nothing, v.at(below, (i, block.lanes))))
    columns = block.width // size * size
    if columns < block.width:

        def run(i, carried):
            for w in range(columns, block.width):
                v.store(nothing, v.at(z, (i, block.group), w * block.lanes))

        loop(v.builder, rows * block.groups, run)
