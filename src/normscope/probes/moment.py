"""A network at one moment of its training, and the images that probes look at it with."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import nn

from normscope.experiment import Precision
from normscope.probes.maps import LayerLook, look
from normscope.probes.order import is_weighted, visiting
from normscope.probes.precise import has_running_statistics, use_precise_statistics

Batch = tuple[torch.Tensor, torch.Tensor]  # x (N, C, H, W), labels (N,)


@dataclass(frozen=True)
class Moment:
    """What a probe is given.

    `network` is in evaluation mode and computes in float32, and a probe leaves it as it found it.
    `norms` are its norm layers by name, in the order of the forward pass. `test` holds test images,
    the same in every trial, as a network gets them, and `test_pixels` the same as uint8
    (N, H, W, C), which `normalized` turns into the former; `train` holds training batches of the
    recipe's size, not augmented.
    `learning_rate` is that of the next step, per step, and `generators` are those from which
    layers of the network draw. `fastest` makes of a network and a precision one that computes the
    same faster, whose layers may not be called one by one; `precision` is that of the training.
    """

    network: nn.Module
    norms: Mapping[str, nn.Module]
    test: Batch
    test_pixels: np.ndarray
    normalized: Callable[[np.ndarray], torch.Tensor]
    train: Sequence[Batch]
    learning_rate: float
    generators: Sequence[torch.Generator] = ()
    fastest: Callable[[nn.Module, Precision], nn.Module] = lambda network, precision: network
    precision: Precision = "fp32"

    @cached_property
    def has_running_statistics(self) -> bool:
        return any(has_running_statistics(layer) for layer in self.network.modules())

    @cached_property
    def precise(self) -> "Moment":
        """The same with precise statistics in the place of running ones, if it has any.

        Before and early in training the running ones are those of another network.
        """
        if not self.has_running_statistics:
            return self
        return self.with_statistics_of([x for x, _ in self.train])

    def with_statistics_of(self, batches: Sequence[torch.Tensor]) -> "Moment":
        """The same with precise statistics over some batches in the place of running ones."""
        network, device = self.copy(), self.test[0].device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.precision == "bf16"):
            fastest = self.fastest(network.train(), self.precision)
            use_precise_statistics(network, batches, fastest)
        modules = dict(network.named_modules())
        return replace(self, network=network, norms={name: modules[name] for name in self.norms})

    def copy(self) -> nn.Module:
        """The network again, to be changed at will; it draws from the same generators."""
        return copied(self.network, {each: each for each in self.generators})

    @cached_property
    def weighted(self) -> tuple[str, ...]:
        """The names of convolutions and linear layers, in the order of the forward pass."""
        names = {layer: name for name, layer in self.network.named_modules()}
        visits: list[nn.Module] = []
        with torch.no_grad(), visiting(self.network, lambda layer, inputs: visits.append(layer)):
            self.network(self.test[0][:1])
        return tuple(names[each] for each in dict.fromkeys(visits) if is_weighted(each))

    def trained(self) -> nn.Module:
        """The network, computed as it is trained."""
        return self.fastest(self.network, self.precision)

    @cached_property
    def looks(self) -> list[LayerLook]:
        """What the maps of each norm layer are like, from one forward pass of the first images.

        Of `LOOKED_AT` test images, in evaluation mode, with precise statistics.
        """
        return look(self.precise.network, self.precise.norms, self.test[0][:LOOKED_AT])


LOOKED_AT = 500  # images; the sd of a correlation's mean is .005 with 250, and sums cost little


def copied(network: nn.Module, streams: Mapping[torch.Generator, torch.Generator]) -> nn.Module:
    """A copy that shares nothing with the network, and whose layers draw from `streams`.

    These are given by the generator that a layer of the network draws from.
    """
    return copy.deepcopy(
        network, {id(drawn_from): stream for drawn_from, stream in streams.items()}
    )


@torch.no_grad()
def right_answers(
    network: nn.Module, x_NCHW: torch.Tensor, labels: torch.Tensor, size: int
) -> torch.Tensor:
    """Which images a network is right on: bool (N,), in batches of `size`.

    What is left of the images joins the last batch.
    """
    count = max(1, len(x_NCHW) // size)
    answers = [network(some).argmax(dim=1) for some in x_NCHW.tensor_split(count)]
    return torch.cat(answers) == labels


def percent_right(
    network: nn.Module, x_NCHW: torch.Tensor, labels: torch.Tensor, size: int
) -> float:
    """The share of `right_answers`, in percent."""
    return 100 * float(right_answers(network, x_NCHW, labels, size).float().mean())
