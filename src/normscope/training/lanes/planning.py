"""What computes the stages of a run for images of one shape."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from normscope.experiment import Precision
from normscope.norms.by_layer import floor_of, mixes_channels
from normscope.training.fused.operation import FusedNorm
from normscope.training.lanes.block import Block
from normscope.training.lanes.by_pixel import ByPixel
from normscope.training.lanes.convolving import Convolution
from normscope.training.lanes.layer import PER_WORD
from normscope.training.lanes.pooling import Add, AveragePool, Every, MaxPool
from normscope.training.lanes.stages import (
    AnyStage,
    Branch,
    PixelStage,
    Stage,
    Unnormed,
    side_of,
)

Shape = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True)
class Branched:
    """What computes a `Branch`: the inner layers, and the sum of their outcome and the shortcut.

    `every` takes the shortcut's pixels, if not all. `add_gradients` adds the two of the input.
    """

    inner: tuple["LaneLayer", ...]
    every: Every | None
    add: Add
    add_gradients: Add

    @property
    def output(self) -> Block:
        return self.add.output


LaneLayer = Convolution | MaxPool | AveragePool | ByPixel | Branched


def planned(
    stages: Sequence[AnyStage],
    shape: Shape,
    precision: Precision,
    input_gradient: bool,
    before: FusedNorm | Unnormed | None = None,
) -> list[LaneLayer] | None:
    """What computes each of the stages for images of that shape, (C, H, W); None if nothing can.

    `input_gradient`: whether that of the images is wanted. `before`: what is pending on them.
    """
    layers: list[LaneLayer] = []
    for stage in stages:
        wanted = input_gradient or bool(layers)
        layer = _layer(stage, shape, precision, before, wanted)
        if layer is None:
            return None
        layers.append(layer)
        shape, before = _shape(layer.output), stage.after
    return layers


def _shape(block: Block) -> Shape:
    return block.channels, block.height, block.width


def _layer(
    stage: AnyStage,
    shape: Shape,
    precision: Precision,
    before: FusedNorm | Unnormed | None,
    input_gradient: bool,
) -> LaneLayer | None:
    if isinstance(stage, Branch):
        return _branched(stage, shape, precision, before)
    if isinstance(stage, PixelStage):
        return ByPixel(*shape, precision, mixes=mixes_channels(stage.module))
    if any(_left_of(stage, side) < 1 for side in shape[1:]):
        return None
    module = stage.module
    channels, height, width = shape
    read = channels, height, width, precision, *_pending(before)
    if isinstance(module, nn.Conv2d):
        if module.in_channels != channels:
            return None  # torch says what does not fit
        assert not isinstance(module.padding, str)  # as in all that `stages_of` finds
        return Convolution(
            *read,
            out_channels=module.out_channels,
            kernel=module.kernel_size[0],
            stride=module.stride[0],
            padding=module.padding[0],
            bias=module.bias is not None,
            relu=stage.relu,
            normed=isinstance(stage.after, FusedNorm),
            max_pool=stage.max_pool,
            input_gradient=input_gradient,
        )
    if isinstance(module, nn.MaxPool2d):
        return MaxPool(*read)
    if isinstance(module, nn.AvgPool2d):
        side = side_of(module)
        assert side is not None  # as in all that `stages_of` finds
        return AveragePool(*read, size=side)
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return AveragePool(*read, size=shape[1]) if shape[1] == shape[2] else None
    return AveragePool(*read, size=1)


def _pending(before: FusedNorm | Unnormed | None) -> tuple[bool, bool, bool]:
    """Whether something is pending, whether it has a floor, and whether that is learned."""
    if before is None:
        return False, False, False
    learned = isinstance(before, FusedNorm) and floor_of(before.norm) is not None
    return True, before.relu_after or learned, learned


def _branched(
    stage: Branch, shape: Shape, precision: Precision, before: FusedNorm | Unnormed | None
) -> Branched | None:
    block, per_word = stage.block, PER_WORD[precision]
    inner = planned(stage.inner, shape, precision, True, before)
    if inner is None:
        return None
    every = None
    channels, height, width = shape
    read = channels, height, width, precision, *_pending(before)
    if block.stride > 1 or block.added:
        if block.added < 0 or block.added % (2 * per_word) or shape[0] % per_word:
            return None  # the new channels would part the words of the old ones
        every = Every(*read, size=block.stride, added=block.added)
    output = _shape(inner[-1].output)
    if output != (_shape(every.output) if every else shape):
        return None  # torch says what does not fit
    of_inner, of_shortcut = _pending(stage.inner[-1].after), _pending(None if every else before)
    add = Add(
        *output,
        precision,
        *of_inner,
        other_pending=of_shortcut[0],
        other_floored=of_shortcut[1],
        other_learned=of_shortcut[2],
    )
    return Branched(tuple(inner), every, add, Add(*shape, precision))


def _left_of(stage: Stage, side: int) -> int:
    """The side of what a stage makes of an image with that side."""
    match stage.module:
        case nn.Conv2d(kernel_size=(kernel, _), stride=(stride, _), padding=(padding, _)):
            left = (side + 2 * padding - kernel) // stride + 1
            return left // 2 if stage.max_pool else left
        case nn.MaxPool2d():
            return side // 2
        case nn.AvgPool2d() as pool:
            return side // (side_of(pool) or 1)
    return side
