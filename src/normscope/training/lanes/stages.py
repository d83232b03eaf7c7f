"""Which layers of a network are computed with samples in lanes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from normscope.experiment import Precision
from normscope.norms.by_layer import floor_of
from normscope.training.fused.operation import FusedNorm
from normscope.training.lanes.layers import Convolution

Step = Callable[[torch.Tensor], torch.Tensor]

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class Stage:
    """A convolution and what follows it: 2x2 max pooling, or ReLU, norm and dropout, or nothing."""

    convolution: nn.Conv2d
    norm: FusedNorm | None = None
    relu: bool = False
    max_pool: bool = False

    @property
    def parameters(self) -> list[nn.Parameter]:
        of_norm = [] if self.norm is None else [*self.norm.norm.parameters()]
        return [self.convolution.weight, *of_norm]


def stages_of(steps: Sequence[Step]) -> tuple[list[Stage], int]:
    """The stages that some steps begin with, and how many of the steps these are."""
    stages: list[Stage] = []
    rest = list(steps)
    while rest:
        match rest:
            case [nn.Conv2d() as conv, FusedNorm() as norm, *_] if _is_known(conv) and _fits(norm):
                stages.append(Stage(conv, norm, relu=norm.relu_before))
                del rest[:2]
            case [nn.Conv2d() as conv, nn.MaxPool2d() as pool, *_] if _is_known(conv) and _halves(
                pool
            ):
                stages.append(Stage(conv, max_pool=True))
                del rest[:2]
            case [nn.Conv2d() as conv, nn.ReLU(), *_] if _is_known(conv):
                stages.append(Stage(conv, relu=True))
                del rest[:2]
            case [nn.Conv2d() as conv, *_] if _is_known(conv):
                stages.append(Stage(conv))
                del rest[:1]
            case _:
                break
    return stages, len(steps) - len(rest)


def _is_known(conv: nn.Conv2d) -> bool:
    """Whether it may be computed otherwise, and can be."""
    hooked = any(hooks for name, hooks in vars(conv).items() if name in HOOKS)
    plain = type(conv) is nn.Conv2d and conv.bias is None and conv.groups == 1 and not hooked
    square = all(
        len({*pair}) == 1 for pair in (conv.kernel_size, conv.stride, conv.dilation)
    ) and conv.dilation == (1, 1)
    if not plain or not square or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return False
    (kernel, _), (stride, _), paddings = conv.kernel_size, conv.stride, {*conv.padding}
    return kernel in (1, 3) and stride in (1, 2) and len(paddings) == 1 and max(paddings) < kernel


def _fits(norm: FusedNorm) -> bool:
    """Whether it is a scale and a shift, and a floor at 0 at most."""
    return floor_of(norm.norm) is None


def _halves(pool: nn.MaxPool2d) -> bool:
    size, stride = pool.kernel_size, pool.stride
    usual = pool.padding == 0 and pool.dilation == 1 and not pool.ceil_mode
    return usual and not pool.return_indices and size in (2, (2, 2)) and stride in (2, (2, 2))


def planned(
    stages: Sequence[Stage], shape: tuple[int, ...], precision: Precision, input_gradient: bool
) -> list[Convolution]:
    """What computes each of the stages for images of that shape, (C, H, W).

    `input_gradient`: whether that of the images is wanted.
    """
    layers: list[Convolution] = []
    norm: FusedNorm | None = None
    for stage in stages:
        conv, (channels, height, width) = stage.convolution, shape
        assert not isinstance(conv.padding, str)  # as in all that `stages_of` finds
        layer = Convolution(
            channels,
            height,
            width,
            precision,
            pending=norm is not None,
            floored=norm is not None and norm.relu_after,
            out_channels=conv.out_channels,
            kernel=conv.kernel_size[0],
            stride=conv.stride[0],
            padding=conv.padding[0],
            relu=stage.relu,
            normed=stage.norm is not None,
            max_pool=stage.max_pool,
            input_gradient=input_gradient or bool(layers),
        )
        layers.append(layer)
        shape = layer.output.channels, layer.output.height, layer.output.width
        norm = stage.norm
    return layers
