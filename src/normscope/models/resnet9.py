"""ResNet-9: the wide and shallow residual network of the fast trainings on CIFAR-10."""

from collections import OrderedDict

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

LOGIT_SCALE = 0.125  # what the outputs of the linear layer are multiplied by


class Scale(nn.Module):
    """x times a number that is not learned."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x

    def extra_repr(self) -> str:
        return f"factor={self.factor}"


def resnet9(
    make_norm: MakeNorm, num_classes: int, init: torch.Generator, dropout: torch.Generator
) -> nn.Sequential:
    """Eight 3x3 convolutions and a linear layer, for images (N, 3, H, W); logits (N, num_classes).

    A block consists of convolution, norm and ReLU. The part `prep` is one block of 64 channels.
    The layers 1 to 3 are a block of 128, 256 and 512 channels each and a pooling that halves the
    map; layers 1 and 3 add to that what two more blocks make of it, with no ReLU behind the sum.
    The head takes the maximum over the map, and its linear layer has no bias; the logits are its
    outputs times 0.125. Images of 32x32 lead to maps of 32, 16, 8 and 4 pixels, those of less than
    8x8 to none. 6,573,120 parameters with bn and 10 classes. Nothing is drawn from `dropout`, since
    there is none, and a norm that replaces the activation stands alone.

    Source: Page, "How to Train Your ResNet 4: Architecture" (2018), written for DAWNBench. He
    reports a test accuracy of 94 % on CIFAR-10 after 24 epochs with his recipe. Code: dawn.py of
    github.com/davidcpage/cifar10-fast. Taken from there: the layers, the scale of the logits, and
    how weights start, which is uniform within +-1/sqrt(fan_in). Not taken: the pooling of 4x4 at
    the end, in whose place the whole map is pooled, which is the same for images of 32x32; half
    precision and the training, which are up to the recipe; and the later changes of the series,
    such as CELU, frozen scales of the norms and whitened patches of the image.

    Raises `UsageError` for a norm that is asked for at another place.
    """
    check_place(make_norm, "a resnet9")

    def block(channels: int, widened: int, after_relu: bool = True) -> list[nn.Module]:
        conv = conv2d(
            channels, widened, 3, padding=1, generator=init, make_norm=make_norm,
            after_relu=after_relu,
        )  # fmt: skip
        return [conv, *norm_and_activation(make_norm, widened)]

    def layer(channels: int, widened: int, residual: bool) -> nn.Sequential:
        layers = [*block(channels, widened), nn.MaxPool2d(2)]
        if residual:
            inner = nn.Sequential(*block(widened, widened), *block(widened, widened))
            layers.append(Residual(inner))
        return nn.Sequential(*layers)

    return nn.Sequential(
        OrderedDict(  # the weights are drawn in the order of the layers
            prep=nn.Sequential(*block(3, 64, after_relu=False)),
            layer1=layer(64, 128, residual=True),  # 32 -> 16
            layer2=layer(128, 256, residual=False),  # 16 -> 8
            layer3=layer(256, 512, residual=True),  # 8 -> 4
            head=nn.Sequential(
                nn.AdaptiveMaxPool2d(1),
                nn.Flatten(),
                linear(512, num_classes, generator=init, bias=False),
                Scale(LOGIT_SCALE),
            ),
        )
    )
