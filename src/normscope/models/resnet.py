"""The residual networks of the CIFAR experiments: 20, 56 or more layers deep."""

from functools import partial

import torch
from torch import nn

from normscope.models.layers import (
    Residual,
    check_place,
    conv2d,
    linear,
    norm_and_activation,
)
from normscope.norms import MakeNorm

WIDTHS = (16, 32, 64)  # of the three stages, on maps of 32, 16 and 8 pixels

# Normal with variance 2 / fan_out: He et al. 2015, arXiv:1502.01852.
he_normal = partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu")


def basic_block(
    make_norm: MakeNorm, channels: int, widened: int, stride: int, init: torch.Generator
) -> Residual:
    """Two 3x3 convolutions beside a shortcut without parameters (option A), and ReLU behind both.

    A norm that replaces the activation stands in its place inside, and then there is none behind
    the sum.
    """
    norms = make_norm(widened), make_norm(widened)
    bent = getattr(norms[0], "replaces_activation", False)
    conv = partial(
        conv2d, padding=1, generator=init, make_norm=make_norm, after_relu=True,
        initialize=he_normal,
    )  # fmt: skip
    inner = nn.Sequential(
        conv(channels, widened, 3, stride=stride),
        norms[0],
        *([] if bent else [nn.ReLU()]),
        conv(widened, widened, 3),
        norms[1],
    )
    return Residual(inner, stride, widened - channels, None if bent else nn.ReLU())


def resnet(
    make_norm: MakeNorm,
    num_classes: int,
    init: torch.Generator,
    dropout: torch.Generator,
    depth: int,
) -> nn.Sequential:
    """A residual network for images (N, 3, H, W), 32x32 in the paper; logits (N, num_classes).

    A convolution, three stages of (depth - 2) / 6 blocks each, the mean over the map, a linear
    layer. Norms stand between convolution and activation, as in the paper, and draw nothing from
    `dropout`, since there is none. With bn and 10 classes 269,722 parameters at depth 20, 853,018
    at 56, 1,727,962 at 110. Source: He et al. 2016, arXiv:1512.03385, section 4.2.

    Raises `UsageError` for a norm that is asked for at another place.
    """
    check_place(make_norm, "a resnet")
    first = conv2d(
        3, WIDTHS[0], 3, padding=1, generator=init, make_norm=make_norm, initialize=he_normal
    )
    stem = nn.Sequential(first, *norm_and_activation(make_norm, WIDTHS[0]))
    blocks: list[nn.Module] = []
    channels = WIDTHS[0]
    for width in WIDTHS:
        for _ in range((depth - 2) // 6):
            stride = 2 if width > channels else 1
            blocks.append(basic_block(make_norm, channels, width, stride, init))
            channels = width
    head = linear(channels, num_classes, generator=init)
    return nn.Sequential(
        stem,
        *blocks,
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), head),
    )


def resnet20(*arguments) -> nn.Sequential:
    """`resnet` of 20 layers."""
    return resnet(*arguments, depth=20)


def resnet56(*arguments) -> nn.Sequential:
    """`resnet` of 56 layers."""
    return resnet(*arguments, depth=56)


def resnet110(*arguments) -> nn.Sequential:
    """`resnet` of 110 layers."""
    return resnet(*arguments, depth=110)
