"""The networks, by short name: the table `MODELS`. None asks for a norm by name.

As for `NORMS`, a network's file, and torch with it, is imported when the network is first made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, TypeAlias

from normscope.norms import MakeNorm
from normscope.own import OwnCode

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["MODELS", "PACKAGED_MODELS", "MakeModel", "Model"]

MakeModel: TypeAlias = "Callable[[MakeNorm, int, torch.Generator, torch.Generator], nn.Module]"


@dataclass(frozen=True)
class Model:
    """A network that can be named before it is imported.

    `title` is its full name, for people. `home` says where the function or class that makes it is,
    as ``"module:name"``.
    """

    title: str
    home: str

    def __call__(
        self,
        make_norm: MakeNorm,
        num_classes: int,
        init: "torch.Generator",
        dropout: "torch.Generator",
    ) -> "nn.Module":
        """A network that turns images x (N, C, H, W) into logits (N, num_classes).

        `make_norm(num_channels)` makes each norm. `init` draws the weights, `dropout` the dropped
        elements; the latter must live on the device that the network runs on.
        """
        return resolve_name(self.home)(make_norm, num_classes, init, dropout)


PACKAGED_MODELS: dict[str, Model] = {
    "s8": Model("S8", "normscope.models.s8:s8"),
    "s8-gap": Model("S8 with global average pooling", "normscope.models.s8:s8_gap"),
    "s8-res": Model("S8 with a residual block", "normscope.models.s8:s8_res"),
    "resnet20": Model("ResNet-20 for CIFAR", "normscope.models.resnet:resnet20"),
    "resnet56": Model("ResNet-56 for CIFAR", "normscope.models.resnet:resnet56"),
    "resnet110": Model("ResNet-110 for CIFAR", "normscope.models.resnet:resnet110"),
    "resnet9": Model("ResNet-9 for CIFAR", "normscope.models.resnet9:resnet9"),
    "mobilenetv2": Model(
        "MobileNetV2 for small images", "normscope.models.mobilenetv2:mobilenetv2"
    ),
}

# What can be trained. A script may add any function that takes what a `Model` takes; `OwnCode` is a
# function of the number of classes alone, whose network has norm layers of its own to be swapped.
MODELS: "dict[str, MakeModel | OwnCode]" = {**PACKAGED_MODELS}
