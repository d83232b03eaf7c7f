"""A fleet: networks that differ only in their weights, trained at once as one network.

`fold` lays the channels of the members side by side: member m of M has the channels m*C to (m+1)*C
of every layer, a convolution works in M groups, batch norm over M*C channels, group norm in M times
as many groups. So a GPU, which one small network leaves idle, is filled, and every member computes
what it computes alone: its own initial weights, order of images, dropped elements and running
statistics. `unfold` gives each member its weights back. Members with a layer that cannot be folded
go `SideBySide`: each runs by itself, on a GPU at the same time as the others.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.nn.utils import skip_init

from normscope.errors import UsageError
from normscope.models.layers import Dropout, dropout

Layers = Sequence[nn.Module]  # one and the same layer of every member


class Unfoldable(UsageError):
    """A layer of some type cannot be folded."""


def join(members: Sequence[nn.Sequential]) -> nn.Module:
    """One network for x (N, M*C, H, W) that answers (N, M*K): folded, or else side by side."""
    try:
        return fold(members)
    except Unfoldable:
        return SideBySide(members)


def part(joined: nn.Module, members: Sequence[nn.Sequential]) -> None:
    """Give the members their weights back from the network that `join` made of them."""
    if isinstance(joined, nn.Sequential):
        unfold(joined, members)


def fold(members: Sequence[nn.Sequential]) -> nn.Sequential:
    """One network for x (N, M*C, H, W) that answers (N, M*K), made of copies of the members.

    Raises `Unfoldable` that names a type of layer which cannot be folded.
    """
    return nn.Sequential(*(_fold_layer(layers) for layers in zip(*members, strict=True)))


def unfold(folded: nn.Sequential, members: Sequence[nn.Sequential]) -> None:
    """Copy parameters and buffers of the folded network back into its members."""
    for wide, layers in zip(folded, zip(*members, strict=True), strict=True):
        for name, value in wide.state_dict().items():
            shares = value.chunk(len(members)) if value.dim() else [value] * len(members)
            for layer, share in zip(layers, shares, strict=True):
                layer.state_dict()[name].copy_(share)


class SideBySide(nn.Module):
    """The members themselves, whatever they are made of: x (N, M*C, H, W) to (N, M*K).

    On a GPU each has a stream of its own, so that their kernels may overlap.
    """

    def __init__(self, members: Sequence[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)
        self._streams: list[torch.cuda.Stream] = []

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        inputs = [x.contiguous(memory_format=torch.channels_last)
                  for x in x_NCHW.chunk(len(self.members), dim=1)]  # fmt: skip
        if not x_NCHW.is_cuda:
            return torch.cat([m(x) for m, x in zip(self.members, inputs, strict=True)], dim=1)
        self._streams = self._streams or [torch.cuda.Stream(x_NCHW.device) for _ in inputs]
        current, answers = torch.cuda.current_stream(), []
        for member, x, stream in zip(self.members, inputs, self._streams, strict=True):
            stream.wait_stream(current)
            with torch.cuda.stream(stream):
                answers.append(member(x))
        for stream in self._streams:
            current.wait_stream(stream)
        return torch.cat(answers, dim=1)


class FleetDropout(nn.Module):
    """`Dropout` in which each member draws from its own generator, the elements it draws alone."""

    def __init__(self, p: float, generators: Sequence[torch.Generator]):
        super().__init__()
        self.p = p
        self.generators = generators

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0:
            return x
        return dropout(x, self.p, self.generators)


# -- how each type of layer is folded --------------------------------------------------------------


def _fold_layer(layers: Layers) -> nn.Module:
    kind = type(layers[0])
    if kind not in FOLDS:
        known = ", ".join(known.__name__ for known in FOLDS)
        raise Unfoldable(f"cannot fold the layer {kind.__name__}; known: {known}")
    return FOLDS[kind](layers)


def _joined(wide: nn.Module, layers: Layers) -> nn.Module:
    """`wide`, with the parameters and buffers of the members one after the other."""
    states = [layer.state_dict() for layer in layers]
    for name, value in wide.state_dict().items():
        parts = [state[name] for state in states]
        value.copy_(torch.cat(parts) if value.dim() else parts[0])
    return wide


def _like(wide: nn.Module, weight: torch.Tensor) -> nn.Module:
    return wide.to(weight.device, weight.dtype)


def _convolution(layers: Layers) -> nn.Module:
    conv, members = cast(nn.Conv2d, layers[0]), len(layers)
    # Without torch's own initialization, which would draw from the global random state.
    wide = skip_init(
        nn.Conv2d,
        conv.in_channels * members,
        conv.out_channels * members,
        conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups * members,
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
    )
    return _joined(_like(wide, conv.weight), layers)


def _batch_norm(layers: Layers) -> nn.Module:
    norm = _usual(layers[0])
    wide = nn.BatchNorm2d(norm.num_features * len(layers), norm.eps, norm.momentum)
    return _joined(_like(wide, norm.weight), layers)


def _group_norm(layers: Layers) -> nn.Module:
    norm, members = _usual(layers[0]), len(layers)
    wide = nn.GroupNorm(norm.num_groups * members, norm.num_channels * members, norm.eps)
    return _joined(_like(wide, norm.weight), layers)


def _usual(norm: Any) -> Any:
    """The norm; raises `Unfoldable` if it lacks the affine or the running statistics."""
    if norm.weight is None or not getattr(norm, "track_running_stats", True):
        raise Unfoldable(f"cannot fold {norm}: it must be affine and track its statistics")
    return norm


def _dropout(layers: Layers) -> nn.Module:
    dropouts = [cast(Dropout, layer) for layer in layers]
    return FleetDropout(dropouts[0].p, [dropout.generator for dropout in dropouts])


def _unchanged(layers: Layers) -> nn.Module:
    """A layer without parameters that treats every channel alike."""
    return copy.deepcopy(layers[0])


FOLDS: dict[type[nn.Module], Callable[[Layers], nn.Module]] = {
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _batch_norm,
    nn.GroupNorm: _group_norm,
    Dropout: _dropout,
    nn.ReLU: _unchanged,
    nn.MaxPool2d: _unchanged,
    nn.AvgPool2d: _unchanged,
    nn.AdaptiveAvgPool2d: _unchanged,
    nn.Flatten: _unchanged,
}
