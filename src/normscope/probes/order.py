"""The order in which a forward pass reaches the layers of a network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn

WEIGHTED = (nn.Conv2d, nn.Linear)


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
