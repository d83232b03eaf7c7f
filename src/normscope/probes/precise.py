"""Other statistics for a norm to be tested with than its running ones: precise, or the batch's."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn

# Layers whose running statistics are means and variances, moved by `momentum`.
STANDARD = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def has_running_statistics(layer: nn.Module) -> bool:
    """Whether a layer is tested with a running mean, and a variance or deviation beside it."""
    names = dict(layer.named_buffers(recurse=False))
    return "running_mean" in names and ("running_var" in names or "running_std" in names)


@torch.no_grad()
def use_precise_statistics(
    network: nn.Module,
    batches: Sequence[torch.Tensor],
    forward: Callable[[torch.Tensor], object] | None = None,
) -> None:
    """Put precise statistics into the place of running ones, in all layers that have any.

    Every batch x (N, C, H, W) passes the network in training mode, so each norm sees what batch
    statistics make of it. The mean is E[mu_B] over the batches and the variance E[x^2] - E[mu_B]^2,
    all per channel. `forward` answers like the network, with its layers, maybe faster.

    The network is in evaluation mode afterwards; its dropout draws numbers, and other buffers move,
    so it is for a copy. Source: Wu & Johnson 2021, arXiv:2105.07576.
    """
    layers = [layer for layer in network.modules() if has_running_statistics(layer)]
    network.train()
    pixels = _pixels(network, layers, batches[0])
    if pixels and all(type(layer) in STANDARD for layer in layers):
        moments = _from_running(pixels, batches, forward or network)
    else:
        moments = _from_inputs(network, layers, batches)
    network.eval()
    for layer, each in moments.items():
        if not each:  # of a layer that is never called
            continue
        means, squares = (torch.stack(some).mean(0) for some in zip(*each, strict=True))
        var = (squares - means.square()).clamp_min(0)
        buffers = dict(layer.named_buffers(recurse=False))
        buffers["running_mean"].copy_(means)
        if "running_var" in buffers:
            buffers["running_var"].copy_(var)
        else:
            buffers["running_std"].copy_((var + layer.eps).sqrt())  # pyright: ignore


# E[x] and E[x^2] of each channel, float64 (C,), in each batch.
Moments = Mapping[nn.Module, Sequence[tuple[torch.Tensor, torch.Tensor]]]


def _from_inputs(
    network: nn.Module, layers: Sequence[nn.Module], batches: Sequence[torch.Tensor]
) -> Moments:
    """From what goes into each layer."""
    moments: dict[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]] = {la: [] for la in layers}

    def record(layer: nn.Module, inputs: tuple) -> None:
        x = inputs[0].double()
        moments[layer].append((x.mean(dim=(0, 2, 3)), x.square().mean(dim=(0, 2, 3))))

    with _before(layers, record):
        for x_NCHW in batches:
            network(x_NCHW)
    return moments


def _pixels(
    network: nn.Module, layers: Sequence[nn.Module], batch: torch.Tensor
) -> dict[nn.Module, int]:
    """The values of a channel in an image at each layer; {} unless each is called exactly once."""
    called: list[tuple[nn.Module, int]] = []

    def count(layer: nn.Module, inputs: tuple) -> None:
        called.append((layer, inputs[0][0, 0].numel()))

    with _before(layers, count):
        network(batch[:2])  # two, since one may be too few for statistics
    pixels = dict(called)
    return pixels if len(pixels) == len(called) == len(layers) else {}


def _from_running(
    pixels: Mapping[nn.Module, int],
    batches: Sequence[torch.Tensor],
    forward: Callable[[torch.Tensor], object],
) -> Moments:
    """From the running statistics of layers that from now on remember nothing but the last batch.

    Their variance has the divisor n - 1, for n values of a channel.
    """
    moments: dict[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]] = {la: [] for la in pixels}
    for layer in pixels:
        layer.momentum = 1.0  # pyright: ignore[reportArgumentType]  # of a module it knows tensors
    for x_NCHW in batches:
        forward(x_NCHW)
        for layer in pixels:
            buffers = (layer.get_buffer(f"running_{each}") for each in ("mean", "var"))
            mean, var = (each.to(torch.float64, copy=True) for each in buffers)
            n = pixels[layer] * len(x_NCHW)
            moments[layer].append((mean, var * (n - 1) / n + mean.square()))
    return moments


@contextmanager
def _before(layers: Sequence[nn.Module], see: Callable[[nn.Module, tuple], None]) -> Iterator[None]:
    """Within it `see(layer, inputs)` is called before each of the layers."""
    hooks = [layer.register_forward_pre_hook(see) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


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
