"""Pooling and sums of two arrays in lanes against torch in float64."""

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from lanes_in_float64 import (
    TOLERANCE,
    assert_array,
    assert_gradient_sums,
    drawn,
    read_by,
    rounded,
    stream_of,
)
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from normscope.training.lanes import Add, AveragePool, MaxPool, Outputs, pending, target
from normscope.training.lanes.layout import factors_to_lanes, from_lanes, to_lanes
from normscope.training.lanes.pooling import Every

if target() is None:
    pytest.skip("this processor has no vectors to be used", allow_module_level=True)

PRECISIONS = ["fp32", "bf16"] if target().bfloat16 else ["fp32"]
FEW = settings(max_examples=4, deadline=None, derandomize=True, phases=[Phase.generate])
POOLED = {MaxPool: max_pool2d, AveragePool: avg_pool2d}


@st.composite
def shapes(draw):
    """What a layer is made of, but for its precision."""
    pending = draw(st.booleans())
    floored = pending and draw(st.booleans())
    return {
        "channels": draw(st.integers(1, 9)),
        "height": draw(st.integers(4, 9)),
        "width": draw(st.integers(4, 9)),
        "pending": pending,
        "floored": floored,
        "learned": floored and draw(st.booleans()),
    }


@pytest.mark.parametrize("kind", POOLED, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("precision", PRECISIONS)
@FEW
@given(shapes(), st.integers(1, 40))
def test_pooling_agrees_with_torch_in_float64(precision, kind, shape, samples):
    assert_pooling_agrees(kind(precision=precision, **shape), samples)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_the_mean_of_any_square_agrees(size):
    """1 reads what is pending, and 7 the whole map."""
    for learned in (False, True):
        layer = AveragePool(5, 7, 8, pending=True, floored=True, learned=learned, size=size)
        assert_pooling_agrees(layer, samples=18)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("stride", "added"), [(2, 8), (1, 4), (2, 0)])
def test_every_second_pixel_beside_channels_of_zeros_agrees(precision, stride, added):
    assert_pooling_agrees(Every(4, 7, 6, precision, size=stride, added=added), samples=18)
    pending = {"pending": True, "floored": True, "size": stride, "added": added}
    assert_pooling_agrees(Every(4, 7, 6, precision, **pending), samples=18)


def every(x, layer):
    before = layer.added // 2
    return pad(x[:, :, :: layer.size, :: layer.size], (0, 0, 0, 0, before, layer.added - before))


@pytest.mark.skipif("bf16" not in PRECISIONS, reason="no bfloat16")
def test_channels_that_would_part_words_are_refused():
    for channels, added in ((3, 4), (4, 2)):
        with pytest.raises(ValueError, match="fill no words"):
            Every(channels, 4, 4, "bf16", added=added)


def pooled(x, layer):
    return POOLED[type(layer)](x, layer.size)


def assert_pooling_agrees(layer, samples):
    stream, tolerance = stream_of(layer, samples), TOLERANCE[layer.precision]
    read = read_by(layer, samples, stream)
    values = read.values.requires_grad_()
    y = every(values, layer) if isinstance(layer, Every) else pooled(values, layer)
    outputs = layer.forward(read.lanes, read.pending)
    assert_array(outputs.y, layer.output, y.detach(), tolerance)
    g = rounded(drawn(*y.shape, stream=stream), layer)
    found = layer.backward(to_lanes(g, layer.output), outputs, read.lanes, read.pending)
    (gx,) = torch.autograd.grad(y, values, g.double())
    assert_array(found.gx, layer.input, gx * read.slope, tolerance)
    assert_gradient_sums(layer, found, read, gx, tolerance)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_first_of_equal_values_is_the_largest(precision):
    layer = MaxPool(2, 2, 4, precision)
    x = torch.zeros(1, 2, 2, 4)
    outputs = layer.forward(to_lanes(x, layer.input))
    g = to_lanes(torch.ones(1, 2, 1, 2), layer.output)
    gx = layer.backward(g, outputs, to_lanes(x, layer.input)).gx
    expected = torch.tensor([[1.0, 0, 1, 0], [0, 0, 0, 0]]).expand(1, 2, 2, 4)
    assert torch.equal(from_lanes(gx, layer.input, 1), expected)


def test_at_the_floor_there_is_no_gradient():
    layer = AveragePool(3, 4, 4, pending=True, floored=True, size=1)
    x = to_lanes(torch.zeros(2, 3, 4, 4), layer.input)
    factors = factors_to_lanes(torch.ones(1, 3), torch.zeros(1, 3), None, layer.input, 2)
    g = to_lanes(torch.ones(2, 3, 4, 4), layer.output)
    found = layer.backward(g, Outputs(g), x, pending(factors))
    assert not found.gx.any()
    assert not found.sums.any()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_threads_change_no_bit(precision, threads):
    layer = MaxPool(3, 6, 6, precision, pending=True)
    read = read_by(layer, 100, stream_of(layer, 100))
    one, some = (
        (outputs, layer.backward(outputs.y, outputs, read.lanes, read.pending, count))
        for count in (1, threads)
        for outputs in [layer.forward(read.lanes, read.pending, count)]
    )
    for name in ("y", "places"):
        assert vars(one[0])[name].tobytes() == vars(some[0])[name].tobytes()
    for name in ("gx", "sums"):
        assert vars(one[1])[name].tobytes() == vars(some[1])[name].tobytes()


def test_the_largest_of_other_squares_is_refused():
    with pytest.raises(ValueError, match="2 x 2"):
        MaxPool(3, 6, 6, size=3)


def test_a_map_that_is_smaller_than_the_window_is_refused():
    with pytest.raises(ValueError, match="no pixel left"):
        AveragePool(3, 6, 6, size=7)


def test_pooling_checks_its_arrays():
    layer = MaxPool(3, 6, 6)
    x = to_lanes(torch.zeros(1, 3, 6, 6), layer.input)
    outputs = layer.forward(x)
    with pytest.raises(ValueError, match="shape"):
        layer.backward(x, outputs, x)
    with pytest.raises(ValueError, match="uint8"):
        layer.backward(outputs.y, Outputs(outputs.y, places=outputs.y), x)


# -- sums ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other_pending", [True, False], ids=["both pending", "one pending"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_sum_agrees_with_torch_in_float64(precision, other_pending):
    first = {"pending": True, "floored": True, "learned": True}
    layer = Add(5, 4, 7, precision, **first, other_pending=other_pending)
    tolerance, stream = TOLERANCE[precision], stream_of(layer, 18)
    one, two = (read_by(term, 18, stream) for term in layer.terms)
    arrays = one.lanes, two.lanes, one.pending, two.pending
    y = layer.forward(*arrays).y
    assert_array(y, layer.output, one.values + two.values, tolerance)
    g = rounded(drawn(18, 5, 4, 7, stream=stream), layer)
    gradients = layer.backward(to_lanes(g, layer.output), *arrays)
    for term, read, found in zip(layer.terms, (one, two), gradients, strict=True):
        assert_array(found.gx, layer.input, g * read.slope, tolerance)
        assert_gradient_sums(term, found, read, g.double(), tolerance)


def test_a_sum_of_arrays_of_two_shapes_is_refused():
    layer = Add(5, 4, 7)
    x = to_lanes(torch.zeros(1, 5, 4, 7), layer.input)
    with pytest.raises(ValueError, match="shape"):
        layer.forward(x, np.concatenate([x, x]))
