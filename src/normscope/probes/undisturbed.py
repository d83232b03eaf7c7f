"""A network as it trains, but without dropout, lent for measurements that leave no trace."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.functional import cross_entropy

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # logits, labels -> a scalar


@contextmanager
def same_modes(network: nn.Module) -> Iterator[None]:
    """Afterwards each layer is in training or in evaluation mode as it was before."""
    modes = [(layer, layer.training) for layer in network.modules()]
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Within it the network is in training mode with dropout off, and may be changed at will.

    Afterwards parameters, buffers, modes and the generators that layers hold as `generator` are
    what they were, to the bit. Since norms such as brn and bnn read running statistics or draw
    noise in training, two passes are only comparable if each is made within its own context.
    Dropout is every layer whose class has "Dropout" in its name. A layer that draws from the global
    random state still moves it.
    """
    parameters = [(parameter, parameter.detach().clone()) for parameter in network.parameters()]
    buffers = [
        (layer, name, buffer, buffer.clone())
        for layer in network.modules()
        for name, buffer in layer.named_buffers(recurse=False)
    ]
    held = [getattr(layer, "generator", None) for layer in network.modules()]
    generators = [(g, g.get_state()) for g in held if isinstance(g, torch.Generator)]
    with same_modes(network):
        try:
            for layer in network.train().modules():
                if "Dropout" in type(layer).__name__:
                    layer.training = False  # its own mode alone: it may contain other layers
            yield
        finally:
            with torch.no_grad():
                for parameter, kept in parameters:
                    parameter.copy_(kept)
                for layer, name, buffer, kept in buffers:
                    buffer.copy_(kept)
                    setattr(layer, name, buffer)  # a layer may have put another tensor there
            for generator, state in generators:
                generator.set_state(state)


def loss_and_gradients(
    network: nn.Module,
    x_NCHW: torch.Tensor,
    labels: torch.Tensor,
    parameters: Iterable[torch.Tensor],
    loss: Loss = cross_entropy,
) -> tuple[float, list[torch.Tensor]]:
    """The loss of a batch, and its gradient for each parameter: zeros if it does not matter."""
    value = loss(network(x_NCHW), labels)
    gradients = torch.autograd.grad(value, list(parameters), materialize_grads=True)
    return float(value.detach()), list(gradients)


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that require a gradient."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def dot(some: Iterable[torch.Tensor], others: Iterable[torch.Tensor]) -> float:
    """The inner product of two lists of tensors, each as one long vector, in float64."""
    pairs = zip(some, others, strict=True)
    return float(sum((a.double() * b.double()).sum() for a, b in pairs))


def cosine(some: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    """The cosine between two lists of tensors, each as one long vector; NaN if one has length 0."""
    squares = dot(some, some) * dot(others, others)
    # One root of the product makes the cosine of a vector with itself 1 to the last bit.
    return dot(some, others) / squares**0.5 if squares else float("nan")
