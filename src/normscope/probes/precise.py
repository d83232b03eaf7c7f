"""Other statistics for a norm to be tested with than its running ones: precise, or the batch's."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


def has_running_statistics(layer: nn.Module) -> bool:
    """Whether a layer is tested with a running mean, and a variance or deviation beside it."""
    names = dict(layer.named_buffers(recurse=False))
    return "running_mean" in names and ("running_var" in names or "running_std" in names)


@torch.no_grad()
def use_precise_statistics(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Put precise statistics into the place of running ones, in all layers that have any.

    Every batch x (N, C, H, W) passes the network in training mode, so each norm sees what batch
    statistics make of it. The mean is E[mu_B] over the batches and the variance E[x^2] - E[mu_B]^2,
    all per channel. The network is in evaluation mode afterwards; its dropout draws numbers, and
    other buffers move, so it is for a copy. Source: Wu & Johnson 2021, arXiv:2105.07576.
    """
    layers = [layer for layer in network.modules() if has_running_statistics(layer)]
    moments: dict[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]] = {la: [] for la in layers}

    def record(layer: nn.Module, inputs: tuple) -> None:
        x = inputs[0].double()
        moments[layer].append((x.mean(dim=(0, 2, 3)), x.square().mean(dim=(0, 2, 3))))

    hooks = [layer.register_forward_pre_hook(record) for layer in layers]
    network.train()
    for x_NCHW in batches:
        network(x_NCHW)
    for hook in hooks:
        hook.remove()
    network.eval()
    for layer in layers:
        means, squares = (torch.stack(each).mean(0) for each in zip(*moments[layer], strict=True))
        var = (squares - means.square()).clamp_min(0)
        buffers = dict(layer.named_buffers(recurse=False))
        buffers["running_mean"].copy_(means)
        if "running_var" in buffers:
            buffers["running_var"].copy_(var)
        else:
            buffers["running_std"].copy_((var + layer.eps).sqrt())  # pyright: ignore


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Within it the network is in evaluation mode, but for norms, which use those of the batch.

    Their running statistics stay as they are.
    """
    layers = [layer for layer in network.eval().modules() if has_running_statistics(layer)]
    before = [{n: b.clone() for n, b in layer.named_buffers(recurse=False)} for layer in layers]
    for layer in layers:
        layer.train()
    try:
        yield
    finally:
        for layer, kept in zip(layers, before, strict=True):
            layer.eval()
            with torch.no_grad():
                for name, buffer in layer.named_buffers(recurse=False):
                    buffer.copy_(kept[name])
