"""Which layers of a network are computed with samples in lanes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from normscope.experiment import Precision
from normscope.norms.by_layer import floor_of
from normscope.training.fused.fuse import Step, is_hooked
from normscope.training.fused.operation import FusedNorm
from normscope.training.lanes.convolving import Convolution
from normscope.training.lanes.pooling import AveragePool, MaxPool

LaneLayer = Convolution | MaxPool | AveragePool


@dataclass(frozen=True)
class Stage:
    """A convolution or pooling, and what follows it: ReLU, norm and dropout; or nothing.

    Behind a convolution 2x2 max pooling may follow at once. Without a `module` the stage does
    nothing but what is pending.
    """

    module: nn.Module | None
    norm: FusedNorm | None = None
    relu: bool = False
    max_pool: bool = False

    @property
    def weight(self) -> torch.Tensor | None:
        return self.module.weight if isinstance(self.module, nn.Conv2d) else None

    @property
    def parameters(self) -> list[torch.Tensor]:
        of_norm: list[torch.Tensor] = [] if self.norm is None else [*self.norm.norm.parameters()]
        return of_norm if self.weight is None else [self.weight, *of_norm]


def stages_of(steps: Sequence[Step]) -> tuple[list[Stage], int]:
    """The stages that some steps begin with, a convolution first, and how many steps these are.

    They end with a norm's outcome made, so that nothing is pending, and behind average pooling:
    what follows it is small.
    """
    stages: list[Stage] = []
    rest = list(steps)
    while rest and (found := _first(rest)):
        stage, count = found
        if not stages and stage.weight is None:
            break
        stages.append(stage)
        del rest[:count]
        if isinstance(stage.module, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            break
    if stages and stages[-1].norm is not None:
        stages.append(Stage(None))
    return stages, len(steps) - len(rest)


def _first(steps: Sequence[Step]) -> tuple[Stage, int] | None:
    """The stage that the steps begin with, and how many of them it takes; None if there is none."""
    match steps:
        case [nn.Conv2d() as conv, FusedNorm() as norm, *_] if _is_known(conv) and _fits(norm):
            return Stage(conv, norm, relu=norm.relu_before), 2
        case [nn.Conv2d() as conv, nn.MaxPool2d() as pool, *_] if _is_known(conv) and _halves(pool):
            return Stage(conv, max_pool=True), 2
        case [nn.Conv2d() as conv, nn.ReLU(), *_] if _is_known(conv):
            return Stage(conv, relu=True), 2
        case [nn.Conv2d() as conv, *_] if _is_known(conv):
            return Stage(conv), 1
        case [nn.MaxPool2d() as pool, *_] if _halves(pool):
            return Stage(pool), 1
        case [nn.AvgPool2d() as pool, *_] if _is_plain(pool):
            return Stage(pool), 1
        case [nn.AdaptiveAvgPool2d(output_size=1 | (1, 1)) as pool, *_] if not is_hooked(pool):
            return Stage(pool), 1
    return None


def _is_known(conv: nn.Conv2d) -> bool:
    """Whether it may be computed otherwise, and can be."""
    if type(conv) is not nn.Conv2d or conv.bias is not None or is_hooked(conv):
        return False
    if conv.groups != 1 or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return False
    square = (conv.kernel_size, conv.stride, conv.dilation, conv.padding)
    if any(high != wide for high, wide in square):
        return False
    (kernel, stride, dilation, padding) = (pair[0] for pair in square)
    return kernel in (1, 3) and stride in (1, 2) and dilation == 1 and padding < kernel


def _fits(norm: FusedNorm) -> bool:
    """Whether it is a scale and a shift, and a floor at 0 at most."""
    return floor_of(norm.norm) is None


def _halves(pool: nn.MaxPool2d) -> bool:
    plain = pool.padding == 0 and pool.dilation == 1 and not (pool.ceil_mode or pool.return_indices)
    sizes = pool.kernel_size in (2, (2, 2)) and pool.stride in (2, (2, 2))
    return plain and sizes and not is_hooked(pool)


def _is_plain(pool: nn.AvgPool2d) -> bool:
    """Whether its windows are square and lie side by side."""
    plain = pool.padding in (0, (0, 0)) and not pool.ceil_mode and not is_hooked(pool)
    return plain and pool.divisor_override is None and _side(pool) is not None


def _side(pool: nn.AvgPool2d) -> int | None:
    """The side of the windows; None if they are no squares side by side."""
    sides = {
        side
        for sizes in (pool.kernel_size, pool.stride)
        for side in (sizes if isinstance(sizes, tuple) else (sizes,))
    }
    return sides.pop() if len(sides) == 1 else None


# -- for images of one shape -----------------------------------------------------------------------


def planned(
    stages: Sequence[Stage], shape: tuple[int, ...], precision: Precision, input_gradient: bool
) -> list[LaneLayer] | None:
    """What computes each of the stages for images of that shape, (C, H, W); None if nothing can.

    `input_gradient`: whether that of the images is wanted.
    """
    layers: list[LaneLayer] = []
    norm: FusedNorm | None = None
    for stage in stages:
        if any(_left_of(stage, side) < 1 for side in shape[1:]):
            return None
        wanted = input_gradient or bool(layers)
        layer = _layer(stage, shape, precision, norm, wanted)
        if layer is None:
            return None
        layers.append(layer)
        shape = layer.output.channels, layer.output.height, layer.output.width
        norm = stage.norm
    return layers


def _left_of(stage: Stage, side: int) -> int:
    """The side of what a stage makes of an image with that side."""
    match stage.module:
        case nn.Conv2d(kernel_size=(kernel, _), stride=(stride, _), padding=(padding, _)):
            left = (side + 2 * padding - kernel) // stride + 1
            return left // 2 if stage.max_pool else left
        case nn.MaxPool2d():
            return side // 2
        case nn.AvgPool2d() as pool:
            return side // (_side(pool) or 1)
    return side


def _layer(
    stage: Stage,
    shape: tuple[int, ...],
    precision: Precision,
    norm: FusedNorm | None,
    input_gradient: bool,
) -> LaneLayer | None:
    """What computes a stage, of the outcome of that norm if there is one."""
    (channels, height, width), conv = shape, stage.module
    read = (
        channels,
        height,
        width,
        precision,
        norm is not None,
        norm is not None and norm.relu_after,
    )
    if isinstance(conv, nn.Conv2d):
        assert not isinstance(conv.padding, str)  # as in all that `stages_of` finds
        return Convolution(
            *read,
            out_channels=conv.out_channels,
            kernel=conv.kernel_size[0],
            stride=conv.stride[0],
            padding=conv.padding[0],
            relu=stage.relu,
            normed=stage.norm is not None,
            max_pool=stage.max_pool,
            input_gradient=input_gradient,
        )
    if isinstance(stage.module, nn.MaxPool2d):
        return MaxPool(*read)
    if isinstance(stage.module, nn.AvgPool2d):
        side = _side(stage.module)
        assert side is not None  # as in all that `stages_of` finds
        return AveragePool(*read, size=side)
    if isinstance(stage.module, nn.AdaptiveAvgPool2d):
        return AveragePool(*read, size=height) if height == width else None
    return AveragePool(*read, size=1)
