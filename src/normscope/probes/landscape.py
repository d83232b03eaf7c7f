"""How the loss and its gradient change along the gradient: the landscape that an optimizer meets.

Source: Santurkar et al. 2018, arXiv:1805.11604, whose steps are of lengths that depend on the
learning rate. Here they are relative to each tensor, because a norm makes the loss independent of
the length of the weights before it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from normscope.probes.undisturbed import (
    Loss,
    cosine,
    dot,
    loss_and_gradients,
    trainable,
    undisturbed,
)

EPS = (0.003, 0.01, 0.03, 0.1)  # lengths of the steps, relative to each tensor's own


@dataclass(frozen=True)
class Landscape:
    """The `loss` and the norm of its gradient g at the parameters w, and at steps away from them.

    Of each step in `EPS`, float64 (4,): `losses`; `gradient_changes`, norm(g' - g) / norm(g); and
    `cosines` between g' and g, where g' is the gradient after the step. Norms and cosines are over
    all parameters together. Both are NaN if g is 0.
    """

    loss: float
    gradient_norm: float
    losses: np.ndarray
    gradient_changes: np.ndarray
    cosines: np.ndarray


def landscape(
    network: nn.Module, x_NCHW: torch.Tensor, labels: torch.Tensor, loss: Loss = cross_entropy
) -> Landscape:
    """Along w - eps * norm(w) * g / norm(g), each tensor by itself, for eps in `EPS`.

    All on one batch, with `loss(logits, labels)`, in training mode without dropout. A tensor whose
    gradient is 0 stays where it is. The network is what it was afterwards. It takes five forward
    and backward passes.
    """
    parameters = trainable(network)
    with undisturbed(network):
        value, gradients = loss_and_gradients(network, x_NCHW, labels, parameters, loss)
    norm = dot(gradients, gradients) ** 0.5
    losses, changes, cosines = [], [], []
    for eps in EPS:
        with undisturbed(network):
            _step(parameters, gradients, eps)
            there, moved = loss_and_gradients(network, x_NCHW, labels, parameters, loss)
        change = [after - before for after, before in zip(moved, gradients, strict=True)]
        losses.append(there)
        changes.append(dot(change, change) ** 0.5 / norm if norm else float("nan"))
        cosines.append(cosine(moved, gradients))
    return Landscape(value, norm, np.array(losses), np.array(changes), np.array(cosines))


@torch.no_grad()
def _step(parameters: list[nn.Parameter], gradients: list[torch.Tensor], eps: float) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        length = gradient.norm()
        if length > 0:
            parameter.sub_(gradient * (eps * parameter.norm() / length))
