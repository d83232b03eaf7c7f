"""A network with a norm, whatever kind of network it is: the one place where they are made."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from normscope.errors import UsageError, lookup
from normscope.models import MODELS
from normscope.models.convert import Conversion
from normscope.models.convert.layers import norms_in
from normscope.models.own import Lending, converted_network, original_network
from normscope.norms import Asked, asked
from normscope.own import OwnCode


@dataclass(frozen=True)
class Made:
    """A network, the layers of its norm, and how they came into it if it is a user's own."""

    network: nn.Module
    norms: Sequence[nn.Module]
    conversion: Conversion | None = None


def make_network(
    model: str, norm: str, num_classes: int, init: torch.Generator, dropout: torch.Generator
) -> Made:
    """The network of the table `MODELS` with a norm, for images x (N, C, H, W).

    `init` draws the weights, `dropout` the dropped elements; the latter must live on the device
    that the network runs on. Raises `UsageError` if there is no such network or norm, or the norm
    cannot be put into it.
    """
    make = lookup(MODELS, "model", model)
    if isinstance(make, OwnCode):
        conversion = converted_network(make, norm, num_classes, init, dropout)
        return Made(conversion.module, conversion.layers(), conversion)
    recorded = _Recorded(asked(norm), [])
    return Made(make(recorded, num_classes, init, dropout), recorded.layers)


def original_of(
    model: str, num_classes: int, init: torch.Generator, dropout: torch.Generator
) -> Made:
    """A user's network as it is, with the norm layers that it has.

    Raises `UsageError` if there is no such network, or it is one that asks for a norm.
    """
    make = lookup(MODELS, "model", model)
    if not isinstance(make, OwnCode):
        raise UsageError(f"{model} is made with a norm; say which with --norm")
    network = original_network(make, num_classes, init)
    Lending(dropout).to(network)
    return Made(network, list(norms_in(network)))


@dataclass(frozen=True)
class _Recorded:
    """Makes the layers that `norm` makes, and remembers them in `layers`."""

    norm: Asked
    layers: list[nn.Module]

    def __call__(self, num_channels: int) -> nn.Module:
        layer = self.norm(num_channels)
        if not isinstance(layer, nn.Module):
            raise TypeError(f"it returns a {type(layer).__name__}, and not an nn.Module")
        self.layers.append(layer)
        return layer

    @property
    def placement(self) -> str:
        return self.norm.placement

    @property
    def convolution(self) -> type[nn.Conv2d] | None:
        return self.norm.convolution
