"""Whether samples in lanes are the faster way: an estimate from what layers multiply and touch.

Where all channels fill vectors, torch's convolutions reach what a core can multiply, and lanes gain
only what they save of the memory's time. The numbers below were measured on one core of an AMD EPYC
with AVX-512 (docs/performance.md); what counts is their ratios, which differ less from processor to
processor than they do themselves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from normscope.experiment import Precision
from normscope.training.lanes.block import Block
from normscope.training.lanes.by_pixel import ByPixel
from normscope.training.lanes.convolving import Convolution
from normscope.training.lanes.planning import Branched, LaneLayer
from normscope.training.lanes.target import target

VECTOR = 16  # channels that torch's convolutions fill up to
GAIN = 1.05  # what is gained must be more than an estimate may be wrong
LEAST = 2e6  # multiply-adds per image; smaller runs train before their code is compiled


@dataclass(frozen=True)
class _Costs:
    """Of a training step, per image: nanoseconds per multiply-add, and per element of activations.

    `element` is the passes of ReLU, norm and dropout over the result of a convolution; `change` is
    to lanes and back, forward and backward; `call` is what torch's own call of a layer by pixel
    takes more in lanes, and `mixing_call` that of one in which the channels of a pixel meet.
    """

    torch: float
    lanes: float
    torch_element: float
    lanes_element: float
    change: float
    call: float
    mixing_call: float


COSTS: dict[Precision, _Costs] = {
    "fp32": _Costs(0.060, 0.062, 3.8, 1.6, 2.0, 1.5, 3.7),
    "bf16": _Costs(0.031, 0.0335, 4.2, 1.1, 2.5, 1.5, 5.0),
}


def worth_it(layers: Sequence[LaneLayer]) -> bool:
    """Whether layers that follow each other are faster in lanes than by torch and fused passes."""
    own = list(_all(layers))
    convolutions = [layer for layer in own if isinstance(layer, Convolution)]
    if convolutions[0].precision == "bf16" and _torch_has_tiles():
        return False
    multiplied = sum(map(_multiply_adds, convolutions))
    if multiplied < LEAST:
        return False
    costs = COSTS[convolutions[0].precision]
    elements = sum(_elements(layer.convolved) for layer in convolutions)
    elements += sum(_elements(layer.output) for layer in own if isinstance(layer, Branched))
    padded = sum(_multiply_adds(layer) * _filling(layer) for layer in convolutions)
    changed = _elements(convolutions[0].input) + _elements(layers[-1].output)
    by_pixel = [layer for layer in own if isinstance(layer, ByPixel)]
    called = sum(_elements(layer.output) for layer in by_pixel)
    mixed = sum(_elements(layer.output) for layer in by_pixel if layer.mixes)
    # Where torch computes a layer in any case, there are no passes to be saved behind it.
    by_torch = costs.torch * padded + costs.torch_element * (elements - called)
    by_torch += costs.lanes_element * called
    in_lanes = (
        costs.lanes * multiplied
        + costs.lanes_element * elements
        + costs.change * changed
        + costs.call * (called - mixed)
        + costs.mixing_call * mixed
    )
    return by_torch > GAIN * in_lanes


def _torch_has_tiles() -> bool:
    """Whether torch multiplies matrices of bfloat16 as wholes: 8 times as much at once."""
    here = target()
    return here is not None and here.tiles


def _all(layers: Sequence[LaneLayer]) -> Iterator[LaneLayer]:
    for layer in layers:
        yield layer
        if isinstance(layer, Branched):
            yield from _all(layer.inner)


def _multiply_adds(layer: Convolution) -> int:
    """Of the forward pass, per image."""
    pixels = layer.convolved.height * layer.convolved.width
    return pixels * layer.out_channels * layer.channels * layer.kernel**2


def _filling(layer: Convolution) -> float:
    """How many times as much is multiplied where vectors of channels are filled up.

    Forward those of the output are, and backward those of the input: so the mean of both.
    """
    parts = [-(-n // VECTOR) * VECTOR / n for n in (layer.channels, layer.out_channels)]
    return parts[1] if layer.channels <= 4 else sum(parts) / 2  # an image has few, and is known


def _elements(block: Block) -> int:
    return block.channels * block.height * block.width
