"""How large the weights of each layer and their gradients are."""

from dataclasses import dataclass

import torch
from torch import nn

from normscope.probes.order import is_weighted, visiting
from normscope.probes.undisturbed import loss_and_gradients, undisturbed


@dataclass(frozen=True)
class WeightNorms:
    """Of a layer's weight w: Frobenius norms, and the learning rate over norm(w)^2.

    Where a norm follows, the loss does not depend on the length of w, and plain SGD turns its
    direction as if w had length 1 and the learning rate were `effective_rate`.
    Source: van Laarhoven 2017, arXiv:1706.05350.
    """

    gradient: float
    weight: float
    effective_rate: float


def weight_norms(
    network: nn.Module, x_NCHW: torch.Tensor, labels: torch.Tensor, learning_rate: float
) -> list[WeightNorms]:
    """Of each convolution and linear layer, in the order of the forward pass.

    The gradient is that of the mean cross entropy in training mode without dropout. The network is
    what it was afterwards. It takes one forward and backward pass.
    """
    visits: list[nn.Module] = []
    weights = [la.weight for la in network.modules() if is_weighted(la)]
    with undisturbed(network), visiting(network, lambda layer, inputs: visits.append(layer)):
        _, gradients = loss_and_gradients(network, x_NCHW, labels, weights)
    of = dict(zip(weights, gradients, strict=True))
    return [
        _norms(layer.weight.detach(), of[layer.weight], learning_rate)
        for layer in dict.fromkeys(visits)
        if is_weighted(layer)
    ]


def _norms(weight: torch.Tensor, gradient: torch.Tensor, learning_rate: float) -> WeightNorms:
    norm = weight.double().norm()
    return WeightNorms(
        gradient=float(gradient.double().norm()),
        weight=float(norm),
        effective_rate=float(learning_rate / norm.square()),  # infinite for a weight of zeros
    )
