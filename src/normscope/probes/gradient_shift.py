"""How far a layer's gradient is changed by the step that all layers before it take.

Source: Santurkar et al. 2018, arXiv:1805.11604, definition 2.1: internal covariate shift as an
optimizer would notice it.
"""

import torch
from torch import nn

from normscope.probes.order import is_weighted, visiting
from normscope.probes.undisturbed import (
    cosine,
    dot,
    loss_and_gradients,
    trainable,
    undisturbed,
)


def gradient_shift(
    network: nn.Module, x_NCHW: torch.Tensor, labels: torch.Tensor, learning_rate: float
) -> list[tuple[float, float]]:
    """norm(G' - G) and the cosine between G' and G, of each convolution and linear layer.

    G is the gradient of the mean cross entropy for the layer's weight, and G' the same after the
    parameters of all layers that the forward pass reaches earlier, norms included, took one step of
    plain SGD on the same batch. Layers are in the order of the forward pass; for a first one the
    two are 0 and 1. A cosine is NaN if G or G' is 0.

    In training mode without dropout; the network is what it was afterwards. It takes a forward and
    backward pass for each of the layers.
    """
    visits: list[nn.Module] = []
    parameters = trainable(network)
    with undisturbed(network), visiting(network, lambda layer, inputs: visits.append(layer)):
        _, gradients = loss_and_gradients(network, x_NCHW, labels, parameters)
    of: dict[torch.Tensor, torch.Tensor] = dict(zip(parameters, gradients, strict=True))
    shifts = []
    earlier: dict[nn.Parameter, None] = {}  # in the order of the forward pass, each once
    for layer in dict.fromkeys(visits):
        if is_weighted(layer):
            before = after = [of[layer.weight]]
            if earlier:
                with undisturbed(network):
                    with torch.no_grad():
                        for parameter in earlier:
                            parameter.sub_(learning_rate * of[parameter])
                    _, after = loss_and_gradients(network, x_NCHW, labels, [layer.weight])
            change = [after[0] - before[0]]
            shifts.append((dot(change, change) ** 0.5, cosine(after, before)))
        earlier.update(dict.fromkeys(p for p in layer.parameters(recurse=False) if p in of))
    return shifts
