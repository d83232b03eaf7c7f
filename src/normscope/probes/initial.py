"""What an untrained network says of its training.

Source of both: Lubana et al. 2021, arXiv:2106.05956. Samples whose activations grow alike with
depth are hard to tell apart, which foresees slow convergence; large gradients in early layers
foresee instability.
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from normscope.experiment import Predictors
from normscope.probes.order import is_weighted, visiting


def predictors(network: nn.Module, x_NCHW: torch.Tensor, labels: torch.Tensor) -> Predictors | None:
    """One forward and backward pass of a network in training mode.

    None if its loss is not finite, or if it has fewer than two convolutions and linear layers.

    The loss is mean cross entropy; similarities are by `mean_cosine`. Running statistics move and
    random numbers are drawn, so it is for a network that is thrown away.
    """
    order: list[nn.Module] = []
    cosines: list[float] = []

    def record(layer: nn.Module, inputs: tuple) -> None:
        if is_weighted(layer):
            if order:
                cosines.append(mean_cosine(inputs[0].detach()))
            order.append(layer)

    with visiting(network, record):
        loss = cross_entropy(network.train()(x_NCHW), labels)
    if not loss.isfinite() or not cosines:
        return None
    weights = [layer.weight for layer in order]
    gradients = torch.autograd.grad(loss, weights, materialize_grads=True)  # pyright: ignore
    norms = tuple(float(gradient.norm()) for gradient in gradients)
    return Predictors(similarity=tuple(cosines), gradient_norms=norms, seeds=1)


def mean_cosine(x: torch.Tensor) -> float:
    """The mean cosine of two different samples of x (N, ...), over all pairs; N is 2 or more.

    A sample of zeros is at right angles to every other.
    """
    units = normalize(x.flatten(1).double(), dim=1)
    count = len(units)
    within = units.square().sum()
    return float((units.sum(0).square().sum() - within) / (count * (count - 1)))
