"""The weights of a convolution in the order in which its code reads and writes them."""

from collections.abc import Callable
from functools import cache

import numpy as np

from normscope.training.lanes import winograd
from normscope.training.lanes.compiling import compiled_for
from normscope.training.lanes.convolved import Convolved
from normscope.training.lanes.emit import Vectors, emitter, loop
from normscope.training.lanes.layout import empty, rounded_bits
from normscope.training.lanes.weight_gradient import Weights


def packed(weights: np.ndarray, plan: Convolved, backward: bool = False) -> np.ndarray:
    """float32 (out, in, K, K) -> words for `convolve`; `backward`: of the gradient of the input."""
    if winograd.saves(plan):
        return winograd.transformed(_turned(weights) if backward else weights, plan)
    flat = np.append(weights.reshape(-1), np.float32(0))
    values = flat[_order(plan, weights.shape, backward)]
    if plan.input.per_word == 2:
        values = rounded_bits(values).view(np.float32)
    out = empty(values.shape)
    out[:] = values
    return out


def unpacked(sums: np.ndarray, plan: Weights) -> np.ndarray:
    """What `weight_gradient` has added up, lane by lane -> float32 (out, in, K, K)."""
    total = np.empty(plan.size // plan.output.lanes, np.float32)
    _over_lanes(plan.output.lanes)(sums, total)
    return total[_places(plan)]


@cache
def _order(plan: Convolved, shape: tuple[int, ...], backward: bool) -> np.ndarray:
    """Which weight each packed one is: (tile, kernel row, word of inputs, column, output, channel).

    The one behind the last is 0; it stands for those of channels that do not exist.
    """
    indices = np.arange(np.prod(shape)).reshape(shape)
    indices = _turned(indices) if backward else indices
    outputs, inputs, per_word = plan.output.stored, plan.input.stored, plan.input.per_word
    missing = (0, outputs - len(indices)), (0, inputs - indices.shape[1]), (0, 0), (0, 0)
    indices = np.pad(indices, missing, constant_values=int(np.prod(shape)))
    tiles = np.split(indices, np.cumsum(plan.channels)[:-1])
    split_inputs = [
        tile.reshape(len(tile), inputs // per_word, per_word, plan.kernel, plan.kernel)
        for tile in tiles
    ]
    return np.concatenate([tile.transpose(3, 1, 4, 0, 2).reshape(-1) for tile in split_inputs])


def _turned(weights: np.ndarray) -> np.ndarray:
    """From outputs to inputs, the kernel turned round."""
    return weights.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]


@cache
def _places(plan: Weights) -> np.ndarray:
    """Where the sums of each weight are."""
    kernel = plan.kernel, plan.kernel
    where = np.empty((plan.output.stored, plan.input.stored, *kernel), np.int64)
    done = first = 0
    outs, ins = plan.tiles
    for out in outs:
        begin = 0
        for into in ins:
            tile = (out, into, *kernel)
            size = int(np.prod(tile))
            where[first : first + out, begin : begin + into] = done + np.arange(size).reshape(tile)
            done, begin = done + size, begin + into
        first += out
    return where[: plan.output.channels, : plan.input.channels].copy()


@cache
def _over_lanes(lanes: int) -> Callable:
    """The loop that adds up the lanes of each vector of `sums`."""

    @emitter
    def add_up(builder, sums, total, count):
        v = Vectors(builder, lanes, per_word=1)

        def vector(i, carried):
            builder.store(v.sum(v.floats_at(v.at(sums, (i, lanes)))), v.at(total, i))

        loop(builder, count, vector)

    @compiled_for(lanes)
    def over_lanes(sums, total):
        add_up(sums, total, total.size)

    return over_lanes
