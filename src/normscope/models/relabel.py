"""The channels of a network in another order: the same network, but for who is in a group."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from normscope.errors import UsageError
from normscope.models.layers import Dropout

# What does to each channel the same, whatever its place.
CHANNELWISE = (nn.ReLU, Dropout, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


@torch.no_grad()
def relabel(network: nn.Module, orders: Mapping[nn.Module, torch.Tensor]) -> None:
    """Put the channels of norm layers into other orders, in place.

    `orders` says for each norm which channel takes each place: int64, (C,). The rows of the
    convolution before it change places, its own parameters, and the columns of the convolution
    behind it. What the network computes stays the same, but for norms whose statistics are of some
    channels and not of others, and for sums in another order. Raises `UsageError` if the network is
    no chain of layers, or a norm does not lie between two convolutions.
    """
    chain = _chain(network)
    for norm, order in orders.items():
        place = chain.index(norm) if norm in chain else None
        before = _convolution(chain[:place][::-1], norm) if place is not None else None
        behind = _convolution(chain[place + 1 :], norm) if place is not None else None
        if before is None or behind is None:
            raise UsageError(
                f"the channels of {type(norm).__name__} cannot be put into another order: it does "
                "not lie between two convolutions in a chain of layers"
            )
        before.weight.copy_(before.weight[order])
        if before.bias is not None:
            before.bias.copy_(before.bias[order])
        for parameter in norm.parameters(recurse=False):
            parameter.copy_(parameter[order])
        behind.weight.copy_(behind.weight[:, order])


def _chain(network: nn.Module) -> list[nn.Module]:
    if type(network) is nn.Sequential:
        return [layer for part in network for layer in _chain(part)]
    return [network]


def _convolution(layers: Sequence[nn.Module], norm: nn.Module) -> nn.Conv2d | None:
    """The first convolution, if nothing but channelwise layers lies before it."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            return layer if layer.groups == 1 else None
        if not isinstance(layer, (*CHANNELWISE, type(norm))):
            return None
    return None
