"""ReLU, norm and dropout in single passes over a channels-last batch, compiled by numba for a CPU.

A norm such as batch or group norm multiplies and shifts each channel of each sample; what differs
is where the two factors come from. So there are four passes for all of them: `channel_sums` and
`affine` forward, `gradient_sums` and `gradient` backward. Each is there in several `Passes`, with
or without ReLU before the norm, and with or without a floor after it: a value per channel below
which no output falls, such as 0 for a ReLU that comes after the norm.

Every array of activations has shape (N, L), L = pixels x channels as they lie in memory, in float32
or in the bits of bfloat16 (uint16); sums and factors have shape (N, C) or, for factors shared by
all samples, (1, C). `dropped` holds sorted indices into the flat array, all within the
samples given.

The inner loops run over slices of fixed length with one factor per lane, because that is what the
compiler turns into vector instructions. A NaN passes through, so that divergence is seen.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from normscope.training.fused.cache import cache_folder
from normscope.training.fused.kept import compiled

folder = Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder())
kernel = compiled(folder, nogil=True, fastmath={"contract"}, error_model="numpy")

TWO = np.float32(2)  # the integer 2 would turn the loop to float64
LANES = 1024  # values worked on at a time: a few such slices fit the first-level cache


def lanes(pixels: int, channels: int) -> int:
    """The slice length for a sample: a multiple of `channels` that divides it, near `LANES`."""
    fitting = [k for k in range(1, pixels + 1) if pixels % k == 0 and k * channels <= LANES]
    return channels * max(fitting, default=1)


# -- bfloat16, which numba does not know: the upper half of a float32 ------------------------------


@intrinsic
def _float_of(typing_context, bits):
    """The float32 that these 32 bits are."""
    return types.float32(
        types.uint32
    ), lambda context, builder, signature, arguments: builder.bitcast(arguments[0], ir.FloatType())


@intrinsic
def _bits_of(typing_context, value):
    """The 32 bits of a float32."""
    return types.uint32(
        types.float32
    ), lambda context, builder, signature, arguments: builder.bitcast(arguments[0], ir.IntType(32))


def _wide(stored):
    """A stored value as float32."""
    raise NotImplementedError("numba compiles the overload below")


@overload(_wide)
def _wide_of_type(stored):
    if stored == types.float32:
        return lambda stored: stored
    # An intrinsic is called without its first argument, which pyright does not know.
    return lambda stored: _float_of(np.uint32(stored) << np.uint32(16))  # pyright: ignore[reportCallIssue]


def _narrow(value, array):
    """A float32 as `array` stores it; bfloat16 rounds to the nearest, ties to even."""
    raise NotImplementedError("numba compiles the overload below")


@overload(_narrow)
def _narrow_to_type(value, array):
    if array.dtype == types.float32:
        return lambda value, array: value

    def rounded(value, array):
        bits = _bits_of(value)  # pyright: ignore[reportCallIssue]
        odd = (bits >> np.uint32(16)) & np.uint32(1)
        return np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))

    return rounded


@kernel
def _relu(value):
    return np.float32(0) if value < 0 else value


# -- the passes ------------------------------------------------------------------------------------


@kernel
def _tile(factors, tiled):
    """Repeat one factor per channel along the lanes."""
    for start in range(0, tiled.size, factors.size):
        for c in range(factors.size):
            tiled[start + c] = factors[c]


@kernel
def _fold(lane_sums, sums):
    """Add the lanes of each channel."""
    sums[:] = 0
    for start in range(0, lane_sums.size, sums.size):
        for c in range(sums.size):
            sums[c] += lane_sums[start + c]


@dataclass(frozen=True)
class Passes:
    """The four passes for one kind of operation; their arguments are told where they are made."""

    channel_sums: Callable
    affine: Callable
    gradient_sums: Callable
    gradient: Callable


@cache
def passes_for(relu: bool, floored: bool) -> Passes:  # noqa: C901 - four loops in full
    """The passes with ReLU before the norm if `relu`, and with a floor after it if `floored`."""

    @kernel
    def channel_sums(x, length, total, squares):
        """`total`, `squares`, float64 (N, C): sums of r(x) and of its square over the pixels.

        r is ReLU or nothing, in all passes. Added up in float32 around the first pixel, so that a
        large mean does not drown the variance.
        """
        lane_total, lane_squares = np.empty(length, np.float32), np.empty(length, np.float32)
        lane_first = np.empty(length, np.float32)
        channels = total.shape[1]
        pixels = x.shape[1] // channels
        for n in range(x.shape[0]):
            lane_total[:] = 0
            lane_squares[:] = 0
            for start in range(0, length, channels):
                for c in range(channels):
                    lane_first[start + c] = _relu(_wide(x[n, c])) if relu else _wide(x[n, c])
            for start in range(0, x.shape[1], length):
                row = x[n, start : start + length]
                for j in range(length):
                    r = _relu(_wide(row[j])) if relu else _wide(row[j])
                    r -= lane_first[j]
                    lane_total[j] += r
                    lane_squares[j] += r * r
            _fold(lane_total, total[n])
            _fold(lane_squares, squares[n])
            for c in range(channels):
                first = np.float64(lane_first[c])
                squares[n, c] += first * (2 * total[n, c] + pixels * first)
                total[n, c] += pixels * first

    @kernel
    def affine(x, length, scale, shift, floor, dropped, y):
        """y = scale * r(x) + shift, no less than `floor` where there is one, 0 where `dropped`.

        `floor` has shape (1, C).
        """
        lane_scale, lane_shift = np.empty(length, np.float32), np.empty(length, np.float32)
        lane_floor = np.empty(length, np.float32)
        if floored:
            _tile(floor[0], lane_floor)
        flat_y = y.reshape(-1)
        done = 0
        for n in range(x.shape[0]):
            if n == 0 or scale.shape[0] > 1:
                _tile(scale[n], lane_scale)
                _tile(shift[n], lane_shift)
            for start in range(0, x.shape[1], length):
                row, out = x[n, start : start + length], y[n, start : start + length]
                for j in range(length):
                    r = _relu(_wide(row[j])) if relu else _wide(row[j])
                    value = r * lane_scale[j] + lane_shift[j]
                    if floored:
                        value = lane_floor[j] if value < lane_floor[j] else value
                    out[j] = _narrow(value, out)
            end = (n + 1) * x.shape[1]  # the sample is still in the cache
            while done < dropped.size and dropped[done] < end:
                flat_y[dropped[done]] = 0
                done += 1

    @kernel
    def gradient_sums(  # noqa: C901 - a call inside its loops would keep them from being vectors
        x, gradient_y, length, scale, shift, floor, dropped, total, products, below
    ):
        """Per sample and channel, (N, C), sums of the gradient of y where y is above its floor:

        of the gradient, `total`, and of the gradient times r(x), `products`, which are the
        gradients with respect to shift and scale; and `below`, its sum where y is at its floor,
        which is the gradient with respect to that.
        """
        lane_total, lane_products = np.empty(length, np.float32), np.empty(length, np.float32)
        lane_below, lane_floor = np.empty(length, np.float32), np.empty(length, np.float32)
        lane_scale, lane_shift = np.empty(length, np.float32), np.empty(length, np.float32)
        if floored:
            _tile(floor[0], lane_floor)
        flat_x, flat_g = x.reshape(-1), gradient_y.reshape(-1)
        channels = np.uint32(total.shape[1])
        done = 0
        for n in range(x.shape[0]):
            lane_total[:] = 0
            lane_products[:] = 0
            if floored:
                lane_below[:] = 0
                if n == 0 or scale.shape[0] > 1:
                    _tile(scale[n], lane_scale)
                    _tile(shift[n], lane_shift)
            for start in range(0, x.shape[1], length):
                row, g_row = x[n, start : start + length], gradient_y[n, start : start + length]
                for j in range(length):
                    g = _wide(g_row[j])
                    r = _relu(_wide(row[j])) if relu else _wide(row[j])
                    if floored:
                        under = r * lane_scale[j] + lane_shift[j] <= lane_floor[j]
                        lane_below[j] += g if under else np.float32(0)
                        g = np.float32(0) if under else g
                    lane_total[j] += g
                    lane_products[j] += g * r
            _fold(lane_total, total[n])
            _fold(lane_products, products[n])
            if floored:
                _fold(lane_below, below[n])
            end = (n + 1) * x.shape[1]
            while done < dropped.size and dropped[done] < end:
                i = dropped[done]
                c = np.uint32(i) % channels
                g = _wide(flat_g[i])
                r = _relu(_wide(flat_x[i])) if relu else _wide(flat_x[i])
                if floored and r * lane_scale[c] + lane_shift[c] <= lane_floor[c]:
                    below[n, c] -= g
                else:
                    total[n, c] -= g
                    products[n, c] -= g * r
                done += 1

    @kernel
    def gradient(  # noqa: C901 - likewise
        x, gradient_y, length, scale, shift, floor, of_total, of_squares, dropped, gradient_x
    ):
        """The gradient of the whole with respect to x, times the slope of r:

        scale * gradient_y (0 where `dropped` or at the floor) + of_total + 2 * r(x) * of_squares,
        where `of_total` and `of_squares` are the gradients with respect to the two `channel_sums`.
        """
        lane_scale, lane_total = np.empty(length, np.float32), np.empty(length, np.float32)
        lane_squares, lane_shift = np.empty(length, np.float32), np.empty(length, np.float32)
        lane_floor = np.empty(length, np.float32)
        if floored:
            _tile(floor[0], lane_floor)
        flat_x, flat_out = x.reshape(-1), gradient_x.reshape(-1)
        channels = np.uint32(scale.shape[1])
        done = 0
        for n in range(x.shape[0]):
            if n == 0 or scale.shape[0] > 1:
                _tile(scale[n], lane_scale)
                _tile(shift[n], lane_shift)
            if n == 0 or of_total.shape[0] > 1:
                _tile(of_total[n], lane_total)
                _tile(of_squares[n], lane_squares)
            for start in range(0, x.shape[1], length):
                row, g_row = x[n, start : start + length], gradient_y[n, start : start + length]
                out = gradient_x[n, start : start + length]
                for j in range(length):
                    value = _wide(row[j])
                    of_sums = lane_total[j] + TWO * value * lane_squares[j]
                    g = _wide(g_row[j])
                    if floored:
                        r = _relu(value) if relu else value
                        under = r * lane_scale[j] + lane_shift[j] <= lane_floor[j]
                        g = np.float32(0) if under else g
                    slope = g * lane_scale[j] + of_sums
                    if relu:
                        slope = np.float32(0) if value <= 0 else slope
                    out[j] = _narrow(slope, out)
            end = (n + 1) * x.shape[1]
            while done < dropped.size and dropped[done] < end:
                i = dropped[done]
                c = np.uint32(i) % channels
                value = _wide(flat_x[i])
                if not relu or value > 0:
                    slope = lane_total[c] + TWO * value * lane_squares[c]
                    flat_out[i] = _narrow(slope, flat_out)
                done += 1

    return Passes(channel_sums, affine, gradient_sums, gradient)
