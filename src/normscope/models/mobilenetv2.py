"""MobileNetV2 for small images: inverted residuals around depthwise convolutions."""

from collections import OrderedDict
from functools import partial

import torch
from torch import nn

from normscope.models.layers import (
    Dropout,
    Residual,
    check_place,
    conv2d,
    linear,
    norm_and_activation,
)
from normscope.norms import MakeNorm

STEM, LAST = 32, 1280  # channels of the first and of the last convolution
STAGES = (  # expansion, channels, blocks, stride of the first block: table 2 but for one stride
    (1, 16, 1, 1),
    (6, 24, 2, 1),  # 2 in the table
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
DROPOUT = 0.2  # the probability that a mean is zeroed before the linear layer

# Normal with variance 2 / fan_in behind a ReLU and 1 / fan_in elsewhere, so that a signal keeps its
# size without a norm: He et al. 2015, arXiv:1502.01852. The fan-in of a depthwise filter is 9.
AFTER_RELU = partial(nn.init.kaiming_normal_, mode="fan_in", nonlinearity="relu")
AFTER_LINEAR = partial(nn.init.kaiming_normal_, mode="fan_in", nonlinearity="linear")


def mobilenetv2(
    make_norm: MakeNorm, num_classes: int, init: torch.Generator, dropout: torch.Generator
) -> nn.Sequential:
    """52 convolutions and a linear layer, for images (N, 3, H, W); logits (N, num_classes).

    A 3x3 convolution to 32 channels, 17 blocks in the seven stages of the paper's table 2 at width
    1.0, a 1x1 convolution to 1280 channels, the mean over the map, dropout of 0.2, a linear layer.
    A block widens its input 6 times by a 1x1 convolution (the first block does not, and has none),
    filters each channel by a 3x3 convolution of its own and narrows the result by another 1x1
    convolution. Its input is added where channels and size stay the same. Every convolution has a
    norm; behind the norm is ReLU6, but for the one that narrows, which is linear. A norm that
    replaces the activation stands in the place of ReLU6, and where there is none it bends what
    would be linear.

    For images of 32x32 two strides of the table are 1 in place of 2: that of the first convolution
    and that of the stage of 24 channels. So maps have 32, 16, 8 and 4 pixels, as in the usual
    networks for CIFAR (github.com/kuangliu/pytorch-cifar, which has convolutions in some of its
    shortcuts besides; here, as in the paper, there are none). 2,236,682 parameters with bn and 10
    classes. The paper trains with dropout and does not say how much; 0.2 is what torchvision has.
    It draws from `dropout`, and a recipe may set it to 0. The paper does not say either how weights
    start: here it is as in He et al. 2015.

    Source: Sandler et al. 2018, arXiv:1801.04381.

    Raises `UsageError` for a norm that is asked for at another place.
    """
    check_place(make_norm, "a mobilenetv2")

    def conv(channels: int, widened: int, kernel_size: int, after_relu: bool, **shape) -> nn.Conv2d:
        return conv2d(
            channels, widened, kernel_size, padding=kernel_size // 2, generator=init,
            make_norm=make_norm, after_relu=after_relu,
            initialize=AFTER_RELU if after_relu else AFTER_LINEAR, **shape,
        )  # fmt: skip

    def norm_and_relu6(channels: int) -> list[nn.Module]:
        return norm_and_activation(make_norm, channels, nn.ReLU6)

    def block(channels: int, narrowed: int, expansion: int, stride: int) -> nn.Module:
        wide = channels * expansion
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [conv(channels, wide, 1, after_relu=False), *norm_and_relu6(wide)]
        layers += [
            conv(wide, wide, 3, after_relu=True, stride=stride, groups=wide),
            *norm_and_relu6(wide),
            conv(wide, narrowed, 1, after_relu=True),
            make_norm(narrowed),
        ]
        inner = nn.Sequential(*layers)
        return Residual(inner) if stride == 1 and channels == narrowed else inner

    parts = OrderedDict[str, nn.Module]()  # the weights are drawn in the order of the layers
    parts["stem"] = nn.Sequential(conv(3, STEM, 3, after_relu=False), *norm_and_relu6(STEM))
    channels = STEM
    for number, (expansion, narrowed, blocks, stride) in enumerate(STAGES, start=1):
        stage: list[nn.Module] = []
        for place in range(blocks):
            stage.append(block(channels, narrowed, expansion, stride if place == 0 else 1))
            channels = narrowed
        parts[f"stage{number}"] = nn.Sequential(*stage)
    parts["last"] = nn.Sequential(conv(channels, LAST, 1, after_relu=False), *norm_and_relu6(LAST))
    parts["head"] = nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        Dropout(DROPOUT, dropout),
        linear(LAST, num_classes, generator=init),
    )
    return nn.Sequential(parts)
