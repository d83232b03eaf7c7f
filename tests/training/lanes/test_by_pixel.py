"""Layers that torch computes on lanes, beside themselves on images."""

import pytest
import torch
from lanes_in_float64 import TOLERANCE, assert_close, drawn, rounded, stream_of
from torch import nn

from normscope.norms import asked
from normscope.training.lanes import target
from normscope.training.lanes.by_pixel import ByPixel, as_images, write_images
from normscope.training.lanes.layout import from_lanes, to_lanes

if target() is None:
    pytest.skip("this processor has no vectors to be used", allow_module_level=True)

PRECISIONS = ["fp32", "bf16"] if target().bfloat16 else ["fp32"]
NORMS = ["dyt", "derf", "isru", "arctan", "satursin", "expsign", "ln-channel", "rms"]


@pytest.fixture(params=PRECISIONS)
def precision(request):
    return request.param


@pytest.mark.parametrize("channels", [1, 4, 5])
def test_images_are_written_as_they_are_read(precision, channels):
    layer = ByPixel(channels, 3, 5, precision)
    x = rounded(drawn(19, channels, 3, 5, stream=stream_of(layer, 19)), layer)
    lanes = to_lanes(x, layer.input)
    copy = torch.full(lanes.shape, 7.0).numpy()
    images = as_images(lanes, layer.input)
    assert images.shape == (len(lanes), channels, 3, 5 * layer.lanes)
    write_images(images, copy, layer.input)
    assert copy.tobytes() == lanes.tobytes()


@pytest.mark.parametrize("norm", NORMS)
def test_a_norm_and_its_gradients_are_those_of_the_images(precision, norm):
    layer, module = ByPixel(5, 4, 3, precision), asked(norm)(5)
    stream = stream_of(layer, 19)
    for parameter in module.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5, generator=stream)
    x, g = (rounded(drawn(19, 5, 4, 3, stream=stream), layer) for _ in range(2))
    outputs, passed = layer.forward(to_lanes(x, layer.input), module)
    parameters = list(module.parameters())
    found, of_parameters = layer.backward(to_lanes(g, layer.input), passed, parameters)

    # In bfloat16 it is torch that rounds, here as there.
    kind = torch.float64 if precision == "fp32" else torch.bfloat16
    right = x.to(kind).requires_grad_()
    y = module.double()(right) if precision == "fp32" else module(right)
    of_x, *expected = torch.autograd.grad(y, (right, *module.parameters()), g.to(kind))
    tolerance = 4 * TOLERANCE[precision]
    assert_close(from_lanes(outputs.y, layer.output, 19), y, tolerance)
    assert_close(from_lanes(found.gx, layer.input, 19), of_x, tolerance)
    # A parameter's is a sum over all pixels, whose terms may nearly cancel each other.
    tolerance = 10 * tolerance if precision == "fp32" else tolerance
    for own, other in zip(of_parameters, expected, strict=True):
        assert_close(own, other, tolerance)
    beyond = from_lanes(found.gx, layer.input, len(found.gx) * layer.lanes)[19:]
    assert not beyond.any()


def test_nothing_may_be_pending_before_it():
    with pytest.raises(ValueError, match="nothing may be pending"):
        ByPixel(3, 4, 4, pending=True)
