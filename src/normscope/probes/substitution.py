"""What the loss says of whether one channel can stand in for another."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from normscope.probes.sums import LIVE
from normscope.probes.undisturbed import same_modes

Change = Callable[[torch.Tensor], torch.Tensor]

REPLACED = 32  # channels of a layer at most, each of which takes two forward passes


@torch.no_grad()
def substitution(
    network: nn.Module,
    layers: Sequence[nn.Module],
    x_NCHW: torch.Tensor,
    labels: torch.Tensor,
) -> list[float]:
    """S1 of each of the layers, by the outputs (N, C, H, W) of each: 1 if channels are alike.

    S1 = 1 - sum_c dNLL(copy) / sum_c dNLL(mean). dNLL is by how much the mean cross entropy rises
    if channel c of the output is replaced: by the affine map of one other channel that is nearest
    to c in least squares, or by its own mean, both over samples and pixels. Sums are over live
    channels; of more than `REPLACED` over so many of them, evenly spaced, while every live one may
    be copied. NaN if there are fewer than two, or if replacing channels by their means does no
    harm.

    The network is in evaluation mode meanwhile and what it was afterwards. A forward pass must
    reach each layer once. It takes two passes per replaced channel; in an `nn.Sequential`, which
    may hold others, they begin behind the layer, or with the part that it lies in.
    """
    with same_modes(network):
        network.eval()
        maps: dict[nn.Module, torch.Tensor] = {}

        def keep(layer: nn.Module, y: torch.Tensor) -> None:
            # A copy, because what follows may work in place; this layout is the fastest.
            maps[layer] = y.clone(memory_format=torch.channels_last)

        with _after(layers, keep):
            network(x_NCHW)
        return [
            _substitution(maps[layer], _rest(network, layer, x_NCHW), labels) for layer in layers
        ]


def _substitution(y: torch.Tensor, rest: Change, labels: torch.Tensor) -> float:
    """S1 of outputs y that `rest` turns into logits."""

    def nll(maps: torch.Tensor) -> float:
        return float(cross_entropy(rest(maps).double(), labels))

    def harm(channel: int, maps: torch.Tensor) -> float:
        changed = y.clone()
        changed[:, channel] = maps.to(y.dtype)
        return nll(changed) - unchanged

    rows = y.transpose(0, 1).flatten(1).double()
    means = rows.mean(1)
    centred = rows - means[:, None]
    covariances = centred @ centred.T / rows.shape[1]
    variances = covariances.diagonal()
    live = (variances > LIVE * variances.max()).nonzero().flatten().tolist()
    if len(live) < 2:
        return float("nan")
    unchanged = nll(y.clone())
    by_copy = by_mean = 0.0
    for channel in _evenly_spaced(live, REPLACED):
        others = [other for other in live if other != channel]
        # The best r^2 of a channel: its own variance is the same for all others.
        best = others[int((covariances[channel].square() / variances)[others].argmax())]
        slope = covariances[channel, best] / variances[best]
        copy = means[channel] + slope * (y[:, best].double() - means[best])
        by_copy += harm(channel, copy)
        by_mean += harm(channel, means[channel].expand(copy.shape))
    return 1 - by_copy / by_mean if by_mean > 0 else float("nan")


def _evenly_spaced(channels: Sequence[int], most: int) -> list[int]:
    """The channels, or `most` of them if there are more, from the first on."""
    count = min(len(channels), most)
    return [channels[place * len(channels) // count] for place in range(count)]


def _rest(network: nn.Module, layer: nn.Module, x_NCHW: torch.Tensor) -> Change:
    """What the network makes of an output of the layer, if its input is x."""
    chain = _chain(network)
    if layer in chain:
        return nn.Sequential(*chain[chain.index(layer) + 1 :])
    part = next(place for place, part in enumerate(chain) if layer in part.modules())
    reached, rest = nn.Sequential(*chain[:part])(x_NCHW), nn.Sequential(*chain[part:])

    def from_part(y: torch.Tensor) -> torch.Tensor:
        with _after([layer], lambda layer, unchanged: y):
            return rest(reached.clone())  # because what follows may work in place

    return from_part


def _chain(network: nn.Module) -> list[nn.Module]:
    """The layers that a network runs one after the other, each on what the last one made."""
    if isinstance(network, nn.Sequential) and type(network).forward is nn.Sequential.forward:
        return [layer for part in network for layer in _chain(part)]
    return [network]


@contextmanager
def _after(
    layers: Sequence[nn.Module], change: Callable[[nn.Module, torch.Tensor], torch.Tensor | None]
) -> Iterator[None]:
    """Within it `change(layer, y)` is called on what a layer makes, and may return another y."""

    def call(layer: nn.Module, inputs: tuple, y: torch.Tensor) -> torch.Tensor | None:
        return change(layer, y)

    hooks = [layer.register_forward_hook(call) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
