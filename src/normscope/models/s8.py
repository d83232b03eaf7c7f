"""The S8 network: the 31,216-parameter CNN of the published experiment."""

from collections import OrderedDict

import torch
from torch import nn

from normscope.models.layers import Dropout, Residual, conv2d, relu_and_norm
from normscope.norms import MakeNorm

DROPOUT = 0.01  # the probability that an element is zeroed


def s8(
    make_norm: MakeNorm,
    num_classes: int,
    init: torch.Generator,
    dropout: torch.Generator,
    pool_whole_map: bool = False,
    residual: bool = False,
) -> nn.Sequential:
    """Three stages of 3x3 convolutions for images (N, 3, 32, 32); returns logits (N, num_classes).

    A block consists of convolution, ReLU, norm and dropout, in this order, unless the norm asks for
    another place or replaces the ReLU. No layer has a bias. The map shrinks from 32 to 30, 28, 14,
    7 and 1. The last pooling, AvgPool2d(4) on a 7x7 map, sees only the top-left 4x4 corner. The
    experiment was run that way, so this network does the same. With `pool_whole_map`, the whole map
    is averaged instead. If `residual`, the last block of the second stage has as many channels as
    the one before it, 24 instead of 28, and its output is added to its input.

    `make_norm(num_channels)` makes each norm. `init` draws the convolution weights, in order, so
    two networks with equal `init` and different norms start from the same convolutions. `dropout`
    draws the dropped elements and must be on the device that the network runs on.
    """

    def block(in_channels: int, out_channels: int, padding: int, first: bool = False) -> list:
        """`first` of a stage, its input is an image or what a narrow layer made."""
        return [
            conv2d(
                in_channels, out_channels, 3, padding=padding, generator=init,
                make_norm=make_norm, after_relu=not first,
            ),
            *relu_and_norm(make_norm, out_channels),
            Dropout(DROPOUT, dropout),
        ]  # fmt: skip

    def narrow(in_channels: int, out_channels: int) -> nn.Module:
        return conv2d(
            in_channels, out_channels, 1, generator=init, make_norm=make_norm, after_relu=True
        )

    def second_stage() -> list:
        """On maps of 14x14; the weights are drawn in the order of the layers."""
        first = [*block(16, 20, padding=1, first=True), *block(20, 24, padding=1)]
        if residual:
            return [*first, Residual(nn.Sequential(*block(24, 24, padding=1))), narrow(24, 16)]
        return [*first, *block(24, 28, padding=1), narrow(28, 16)]

    layers = nn.Sequential(
        *block(3, 16, padding=0, first=True),  # 32 -> 30
        *block(16, 20, padding=0),  # 30 -> 28
        narrow(20, 16),
        nn.MaxPool2d(2),  # 28 -> 14
        *second_stage(),
        nn.MaxPool2d(2),  # 14 -> 7
        *block(16, 20, padding=1, first=True),
        *block(20, 24, padding=1),
        *block(24, 28, padding=1),
        nn.AdaptiveAvgPool2d(1) if pool_whole_map else nn.AvgPool2d(4),  # 7 -> 1
        conv2d(28, num_classes, 1, generator=init),
        nn.Flatten(),
    )
    # Stored weights have names such as layers.0.weight.
    return nn.Sequential(OrderedDict(layers=layers))


def s8_gap(
    make_norm: MakeNorm, num_classes: int, init: torch.Generator, dropout: torch.Generator
) -> nn.Sequential:
    """`s8` with global average pooling: its last pooling sees the whole 7x7 map."""
    return s8(make_norm, num_classes, init, dropout, pool_whole_map=True)


def s8_res(
    make_norm: MakeNorm, num_classes: int, init: torch.Generator, dropout: torch.Generator
) -> nn.Sequential:
    """`s8` with a residual block, as its author's last version: 30,280 parameters with bn."""
    return s8(make_norm, num_classes, init, dropout, residual=True)
