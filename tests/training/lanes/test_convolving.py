"""Convolutions in lanes against torch in float64, whatever their shape and what surrounds them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from lanes_in_float64 import (
    TOLERANCE,
    assert_array,
    assert_close,
    assert_gradient_sums,
    assert_sums,
    drawn,
    image,
    read_by,
    rounded,
    stream_of,
)
from torch.nn.functional import conv2d, max_pool2d

from normscope.errors import UsageError
from normscope.training.lanes import Convolution, Outputs, Pending, pending, target, winograd
from normscope.training.lanes.layout import factors_to_lanes, from_lanes, to_lanes

if target() is None:
    pytest.skip("this processor has no vectors to be used", allow_module_level=True)

PRECISIONS = ["fp32", "bf16"] if target().bfloat16 else ["fp32"]
# Every shape is compiled, so there are few; an example that fails is as small as it was drawn.
FEW = settings(max_examples=4, deadline=None, derandomize=True, phases=[Phase.generate])


@st.composite
def convolutions(draw):
    """What a `Convolution` is made of, but for its precision."""
    kernel = draw(st.sampled_from([3, 1, 3, 2, 5]))
    padding = draw(st.integers(0, min(2, kernel - 1)))
    smallest = max(1, kernel - 2 * padding)
    pending = draw(st.booleans())
    floored = pending and draw(st.booleans())
    max_pool = draw(st.sampled_from([False, False, True]))
    return {
        "channels": draw(st.integers(1, 22)),
        "height": draw(st.integers(smallest + max_pool, 9)),
        "width": draw(st.integers(smallest + max_pool, 13)),
        "out_channels": draw(st.integers(1, 24)),
        "kernel": kernel,
        "padding": padding,
        "stride": 1 if max_pool else draw(st.integers(1, 2)),
        "pending": pending,
        "floored": floored,
        "learned": floored and draw(st.booleans()),
        "bias": draw(st.booleans()),
        "max_pool": max_pool,
        "relu": not max_pool and draw(st.booleans()),
        "normed": not max_pool and draw(st.booleans()),
    }


IMAGE = {"channels": 3, "height": 15, "width": 9, "out_channels": 16, "padding": 1}
IMAGE |= {"relu": True, "normed": True}
POOLED = {"channels": 20, "height": 9, "width": 14, "out_channels": 16, "kernel": 1}
POOLED |= {"pending": True, "max_pool": True}
FLOORED = {"channels": 8, "height": 7, "width": 7, "out_channels": 20, "padding": 1}
FLOORED |= {"pending": True, "floored": True, "normed": True}
STEPS = {"channels": 6, "height": 8, "width": 7, "out_channels": 9, "kernel": 1, "stride": 2}
PIXEL = {"channels": 5, "height": 1, "width": 1, "out_channels": 4, "padding": 1, "normed": True}
UNREACHED = {"channels": 4, "height": 7, "width": 5, "out_channels": 7, "kernel": 2, "stride": 2}
# 1x1 convolutions that are worked on in strips
WIDE = {"channels": 20, "height": 8, "width": 120, "out_channels": 16, "kernel": 1}
WIDE |= {"pending": True}
# 3x3 convolutions that take fewer products in tiles
TILED = {"channels": 16, "height": 14, "width": 15, "out_channels": 20, "pending": True}
TILED |= {"relu": True, "normed": True}
BRANCHES = {
    "an image": IMAGE,
    "a pooling behind": POOLED,
    "steps over pixels": STEPS,
    "one pixel": PIXEL,
    "rows that no step reaches": UNREACHED,
    "a bias": {**IMAGE, "bias": True, "channels": 5, "out_channels": 7},
    "a bias before a pooling": {**POOLED, "bias": True},
    "a learned floor": {**FLOORED, "learned": True},
    "strips": {**WIDE, "floored": True, "relu": True, "normed": True, "bias": True},
    "strips of windows": {**WIDE, "max_pool": True},
    "tiles": {**TILED, "padding": 1, "floored": True, "bias": True},
    "tiles both ways without padding": {**TILED, "height": 30, "width": 29},
    "tiles before a pooling": {**TILED, "relu": False, "normed": False, "max_pool": True},
}


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_branch_agrees_with_torch_in_float64(precision, branch):
    assert_agrees(Convolution(precision=precision, **BRANCHES[branch]), samples=18)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_strips_are_such_as_stay_in_the_cache(precision):
    layer = Convolution(precision=precision, **WIDE)
    assert layer.strips > 1
    assert layer.strip.height * layer.strips == layer.height
    assert layer.strip.strips == 1
    for also in ({"kernel": 3}, {"stride": 2}, {"max_pool": True, "height": 9}, {"width": 9}):
        assert Convolution(precision=precision, **{**WIDE, **also}).strips == 1
    windows = Convolution(precision=precision, **{**WIDE, "height": 6, "max_pool": True})
    assert windows.strip.height % 2 == 0
    tall = Convolution(precision=precision, **{**WIDE, "height": 7, "width": 2000})
    assert tall.strips == 7  # a strip has no less than a row


@pytest.mark.parametrize("precision", PRECISIONS)
@FEW
@given(convolutions(), st.integers(1, 40))
def test_any_shape_agrees_with_torch_in_float64(precision, shape, samples):
    assert_agrees(Convolution(precision=precision, **shape), samples)


@pytest.mark.parametrize("padding", [0, 1, 2])
@FEW
@given(*[st.integers(14, 19)] * 2, *[st.integers(18, 24)] * 2, st.integers(1, 20))
def test_any_shape_in_tiles_agrees_with_torch_in_float64(
    padding, height, width, channels, out_channels, samples
):
    shape = {"height": height, "width": width, "channels": channels, "out_channels": out_channels}
    layer = Convolution(**{**TILED, **shape, "padding": padding})
    assert winograd.saves(layer.forward_plan) or winograd.saves(layer.backward_plan)
    assert_agrees(layer, samples)


def test_a_large_map_is_in_tiles_both_ways():
    layer = Convolution(**BRANCHES["tiles both ways without padding"])
    assert winograd.saves(layer.forward_plan)
    assert winograd.saves(layer.backward_plan)


OTHER = [{"kernel": 1}, {"stride": 2}, {"channels": 3}, {"height": 5, "width": 5}]


@pytest.mark.parametrize("other", [*OTHER, {"channels": 200, "out_channels": 200}], ids=str)
def test_tiles_are_for_where_they_save_products(other):
    assert not winograd.saves(Convolution(**{**TILED, **other}).forward_plan)


@pytest.mark.skipif("bf16" not in PRECISIONS, reason="no bfloat16")
def test_there_are_no_tiles_in_bfloat16():
    """Whose sums and differences would be rounded."""
    assert not winograd.saves(Convolution(precision="bf16", **TILED).forward_plan)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("samples", [1, 5, 16, 17, 33, 336])
def test_agrees_for_any_number_of_samples(precision, samples):
    assert_agrees(Convolution(precision=precision, **FLOORED), samples)


def assert_agrees(layer, samples):
    """Forward and backward, each from the arrays that the layer itself got."""
    stream = stream_of(layer, samples)
    read = read_by(layer, samples, stream)
    shape = layer.out_channels, layer.channels, layer.kernel, layer.kernel
    weights = rounded(drawn(*shape, stream=stream), layer)
    bias = drawn(layer.out_channels, stream=stream) if layer.bias else None
    given = None if bias is None else bias.numpy()
    outputs = layer.forward(read.lanes, weights.numpy(), read.pending, bias=given)
    own = weights.double(), None if bias is None else bias.double()
    y = assert_forward(layer, read, own, outputs)
    g = rounded(drawn(*y.shape, stream=stream), layer)
    factors = drawn(3, samples, layer.out_channels, stream=stream) if layer.normed else None
    assert_backward(layer, read, own, outputs, g, factors)


def convolved(layer, values, weights, bias=None):
    y = conv2d(values, weights, bias, stride=layer.stride, padding=layer.padding)
    # The largest is looked for among numbers as they are stored.
    stored = y + (rounded(y, layer) - y).detach()
    return max_pool2d(stored, 2) if layer.max_pool else y


def assert_forward(layer, read, own, outputs):
    y = convolved(layer, read.values, *own)
    y = y.relu() if layer.relu else y
    if not layer.bias:
        assert_array(outputs.y, layer.output, y, TOLERANCE[layer.precision])
    else:  # which is in the samples behind the last, too
        found = from_lanes(outputs.y, layer.output, len(y))
        assert_close(found, y, TOLERANCE[layer.precision])
    assert (outputs.sums is None) == (not layer.normed)
    if layer.normed:
        assert_sums(outputs.sums, layer.output, y, y, 10 * TOLERANCE["fp32"], not layer.bias)
    return y


def assert_backward(layer, read, own, outputs, g, factors):
    samples, tolerance = len(g), TOLERANCE[layer.precision]
    y = from_lanes(outputs.y, layer.output, samples).double()
    of_y, in_lanes = g.double(), None
    if layer.normed:
        s, a, c = map(image, factors)
        of_y = s * of_y + a + c * y
        in_lanes = factors_to_lanes(*factors, layer.output, samples)
    of_y = torch.where(y <= 0, 0, of_y) if layer.relu else of_y
    numbers = own[0].detach().float().numpy()
    found = layer.backward(
        to_lanes(g, layer.output), outputs, read.lanes, numbers, read.pending, in_lanes
    )
    values, weights = read.values.requires_grad_(), own[0].requires_grad_()
    result = convolved(layer, values, weights, own[1])
    of_values, of_weights = torch.autograd.grad(result, (values, weights), rounded(of_y, layer))
    assert_array(found.gx, layer.input, of_values * read.slope, tolerance)
    assert_close(torch.from_numpy(found.weights), of_weights, tolerance)
    assert (found.bias is None) == (not layer.bias)
    if layer.bias:
        of_bias = rounded(of_y, layer).sum((0, 2, 3))
        assert_close(torch.from_numpy(found.bias), of_bias, tolerance)
    assert_gradient_sums(layer, found, read, of_values, tolerance)


# -- what a tolerance does not show ----------------------------------------------------------------


@pytest.fixture(params=PRECISIONS)
def layer(request):
    return Convolution(precision=request.param, **FLOORED)


def outcome(layer, threads, samples=100):
    stream = stream_of(layer, samples)
    read = read_by(layer, samples, stream)
    weights = drawn(layer.out_channels, layer.channels, 3, 3, stream=stream).numpy()
    outputs = layer.forward(read.lanes, weights, read.pending, threads)
    factors = factors_to_lanes(
        *drawn(3, samples, layer.out_channels, stream=stream), layer.output, samples
    )
    gradients = layer.backward(
        outputs.y, outputs, read.lanes, weights, read.pending, factors, threads
    )
    return [outputs.y, outputs.sums, gradients.gx, gradients.sums, gradients.weights]


def bits(arrays):
    return [array.tobytes() for array in arrays]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_threads_give_the_same_bits(layer, threads):
    assert bits(outcome(layer, threads)) == bits(outcome(layer, threads))


def test_threads_change_no_bit_but_of_the_weights_sums(layer):
    *one, of_one = outcome(layer, 1)
    *three, of_three = outcome(layer, 3)
    assert bits(one) == bits(three)
    np.testing.assert_allclose(of_one, of_three, rtol=0, atol=1e-6 * np.abs(of_one).max())


def test_dropped_elements_and_no_others_have_no_gradient(layer):
    layer = Convolution(
        precision=layer.precision, channels=8, height=7, width=7, out_channels=20, pending=True
    )
    read = read_by(layer, 20, stream_of(layer, 20))
    weights = np.ones((20, 8, 3, 3), np.float32)
    g = to_lanes(torch.ones(20, 20, 5, 5), layer.output)
    gradients = layer.backward(g, Outputs(g), read.lanes, weights, read.pending)
    gx = from_lanes(gradients.gx, layer.input, 20).permute(0, 2, 3, 1).reshape(-1)
    assert torch.equal(torch.nonzero(gx == 0).ravel(), read.positions)


def test_arrays_are_written_where_they_are_asked_for(layer):
    read = read_by(layer, 5, stream_of(layer, 5))
    weights = np.ones((20, 8, 3, 3), np.float32)
    y = np.empty((len(read.lanes), *layer.output.shape), np.float32)
    gx = np.empty_like(read.lanes)
    outputs = layer.forward(read.lanes, weights, read.pending, y=y)
    factors = factors_to_lanes(*torch.ones(3, 5, 20), layer.output, 5)
    gradients = layer.backward(y, outputs, read.lanes, weights, read.pending, factors, gx=gx)
    assert outputs.y is y
    assert gradients.gx is gx
    expected = layer.forward(read.lanes, weights, read.pending)
    assert bits([y]) == bits([expected.y])


def test_the_first_layer_has_no_gradient_of_its_input():
    layer = Convolution(**IMAGE, input_gradient=False)
    read = read_by(layer, 3, stream_of(layer, 3))
    weights = np.ones((16, 3, 3, 3), np.float32)
    outputs = layer.forward(read.lanes, weights)
    factors = factors_to_lanes(*torch.ones(3, 3, 16), layer.output, 3)
    found = layer.backward(outputs.y, outputs, read.lanes, weights, factors=factors)
    assert found.gx is None
    assert found.sums is None
    whole = Convolution(**IMAGE).backward(outputs.y, outputs, read.lanes, weights, factors=factors)
    assert bits([found.weights]) == bits([whole.weights])


def test_at_the_floor_there_is_no_gradient(layer):
    """As ReLU has none at 0."""
    x = to_lanes(torch.zeros(3, 8, 7, 7), layer.input)
    factors = factors_to_lanes(torch.ones(1, 8), torch.zeros(1, 8), None, layer.input, 3)
    weights, ones = np.ones((20, 8, 3, 3), np.float32), torch.ones(3, 20, 7, 7)
    g = to_lanes(ones, layer.output)
    s = factors_to_lanes(torch.ones(1, 20), torch.zeros(1, 20), None, layer.output, 3)
    found = layer.backward(g, Outputs(g), x, weights, pending(factors), s)
    assert not found.gx.any()
    assert not found.sums.any()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_nan_passes_through_relu_floor_and_pooling(precision):
    layer = Convolution(precision=precision, **{**POOLED, "floored": True})
    x = torch.zeros(3, 20, 9, 14)
    for k, place in enumerate([(0, 0), (2, 3), (5, 2), (7, 13)]):  # one in each part of a window
        x[(1, k, *place)] = float("nan")
    factors = factors_to_lanes(*torch.ones(3, 3, 20), layer.input, 3)
    y = layer.forward(
        to_lanes(x, layer.input), np.ones((16, 20, 1, 1), np.float32), pending(factors)
    ).y
    expected = max_pool2d(conv2d(x, torch.ones(16, 20, 1, 1)), 2).isnan()
    assert expected.sum() == 4 * 16
    assert torch.equal(from_lanes(y, layer.output, 3).isnan(), expected)

    relu = Convolution(precision=precision, **IMAGE)
    x = torch.full((1, 3, 15, 9), float("nan"))
    y = relu.forward(to_lanes(x, relu.input), np.ones((16, 3, 3, 3), np.float32)).y
    assert from_lanes(y, relu.output, 1).isnan().all()


# -- what is refused -------------------------------------------------------------------------------


def test_arrays_of_other_shapes_and_types_are_refused(layer):
    read = read_by(layer, 5, stream_of(layer, 5))
    weights = np.ones((20, 8, 3, 3), np.float32)
    with pytest.raises(ValueError, match="shape"):
        layer.forward(read.lanes[:, 1:], weights, read.pending)
    with pytest.raises(ValueError, match="float64"):
        layer.forward(read.lanes.astype(np.float64), weights, read.pending)
    with pytest.raises(ValueError, match="contiguous"):
        layer.forward(read.lanes[..., ::2].repeat(2, -1)[..., ::-1], weights, read.pending)
    with pytest.raises(ValueError, match="None for Convolution"):
        layer.forward(read.lanes, weights)
    with pytest.raises(ValueError, match="shape"):
        layer.forward(read.lanes, weights[:, :, :1], read.pending)
    short = Pending(read.pending.factors[:, :2], read.pending.dropped, read.pending.starts)
    with pytest.raises(ValueError, match="shape"):
        layer.forward(read.lanes, weights, short)


@pytest.mark.parametrize("also", [{"relu": True}, {"normed": True}], ids=["relu", "norm"])
def test_nothing_is_between_a_convolution_and_its_pooling(also):
    with pytest.raises(ValueError, match="between a convolution and its pooling"):
        Convolution(**POOLED, **also)


def test_a_padding_as_large_as_the_kernel_is_refused():
    with pytest.raises(ValueError, match="padding"):
        Convolution(channels=1, height=3, width=3, out_channels=1, kernel=1, padding=1)


def test_a_map_that_is_smaller_than_the_kernel_is_refused():
    with pytest.raises(ValueError, match="no pixel left"):
        Convolution(channels=1, height=2, width=3, out_channels=1)


@pytest.mark.parametrize("floor", [{"floored": True}, {"pending": True, "learned": True}], ids=str)
def test_a_floor_of_nothing_is_refused(floor):
    with pytest.raises(ValueError, match="floor"):
        Convolution(channels=1, height=3, width=3, out_channels=1, **floor)


def test_a_bias_is_given_if_there_is_one_and_only_then():
    for has_one, bias in ((True, None), (False, np.ones(16, np.float32))):
        layer = Convolution(**{**IMAGE, "bias": has_one})
        x, weights = to_lanes(torch.zeros(1, 3, 15, 9), layer.input), np.ones((16, 3, 3, 3))
        with pytest.raises(ValueError, match="bias"):
            layer.forward(x, weights.astype(np.float32), bias=bias)


# -- another processor -----------------------------------------------------------------------------


@pytest.mark.skipif(target().lanes != 16, reason="the tests are of AVX2 already, or of no x86")
def test_agrees_with_the_vectors_of_avx2():
    """Some of the tests above, with numba told that the processor has no more."""
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+64bit,+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+cx16,+fxsr,+sse4.2",
    }
    names = "each_branch or any_number or bfloat16_is_refused"
    if os.environ.get("NUMBA_CPU_NAME") == "haswell":
        pytest.skip("these are those tests")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, __file__, "-k", names],
        env=environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "20 passed" in done.stdout


def test_bfloat16_is_refused_where_it_is_not_multiplied():
    if target().bfloat16:
        assert Convolution(precision="bf16", **IMAGE).per_word == 2
        return
    with pytest.raises(UsageError, match="bfloat16"):
        Convolution(precision="bf16", **IMAGE)
