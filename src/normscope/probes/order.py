"""The order in which a forward pass reaches the layers of a network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeGuard

from torch import nn

WEIGHTED = (nn.Conv2d, nn.Linear)


def is_weighted(layer: nn.Module) -> TypeGuard[nn.Conv2d | nn.Linear]:
    """Whether it is a convolution or linear layer whose weight is trained as it is.

    A parametrized one, as weight norm makes it, has other parameters instead.
    """
    weight = layer._parameters.get("weight")
    return isinstance(layer, WEIGHTED) and weight is not None and weight.requires_grad


@contextmanager
def visiting(network: nn.Module, visit: Callable[[nn.Module, tuple], None]) -> Iterator[None]:
    """Within it `visit(layer, inputs)` is called before a layer with parameters of its own runs."""
    hooks = [
        layer.register_forward_pre_hook(visit)
        for layer in network.modules()
        if next(layer.parameters(recurse=False), None) is not None
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
