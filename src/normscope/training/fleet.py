"""A fleet: networks that differ only in their weights, trained at once as one network.

`fold` lays the channels of the members side by side: member m of M has the channels m*C to (m+1)*C
of every layer, a convolution works in M groups, batch norm over M*C channels, group norm in M times
as many groups. So a GPU, which one small network leaves idle, is filled, and every member computes
what it computes alone: its own initial weights, order of images, dropped elements and running
statistics. `unfold` gives each member its weights back. Members with a layer that cannot be folded,
or with a forward pass of their own, go `SideBySide`: each runs by itself, on a GPU at the same time
as the others.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import nn
from torch.nn.utils import skip_init

from normscope.errors import UsageError
from normscope.models.layers import Dropout, Residual
from normscope.norms.by_layer import norm_layers

Layers = Sequence[nn.Module]  # one and the same layer of every member


class Unfoldable(UsageError):
    """A layer of some type cannot be folded."""


def join(members: Sequence[nn.Module]) -> nn.Module:
    """One network for x (N, M*C, H, W) that answers (N, M*K): folded, or else side by side."""
    try:
        return fold(members)
    except Unfoldable:
        return SideBySide(members)


def separate(joined: nn.Module, members: Sequence[nn.Module]) -> None:
    """Give the members their weights back from the network that `join` made of them."""
    if not isinstance(joined, SideBySide):  # side by side they have kept them
        unfold(joined, members)


def fold(members: Layers) -> nn.Module:
    """One network for x (N, M*C, H, W) that answers (N, M*K), made of copies of the members.

    Raises `Unfoldable` that names a type of layer which cannot be folded.
    """
    kind = type(members[0])
    folds = FOLDS | {norm: _norm for norm, known in norm_layers().items() if known.widened}
    if kind not in folds:
        known = ", ".join(known.__name__ for known in folds)
        raise Unfoldable(f"cannot fold the layer {kind.__name__}; known: {known}")
    return folds[kind](members)


def unfold(folded: nn.Module, members: Sequence[nn.Module]) -> None:
    """Copy parameters and buffers of the folded network back into its members."""
    states = [member.state_dict() for member in members]
    for name, value in folded.state_dict().items():
        shares = value.chunk(len(members)) if value.dim() else [value] * len(members)
        for state, share in zip(states, shares, strict=True):
            state[name].copy_(share)


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


# -- how each type of layer is folded; what is known of norms is in their files --------------------


def _sequence(sequences: Layers) -> nn.Module:
    members = [cast(nn.Sequential, sequence) for sequence in sequences]
    with_parameters = [layer for layer in members[0] if list(layer.parameters())]
    if len(set(with_parameters)) < len(with_parameters):
        raise Unfoldable("cannot fold a layer with parameters that is used twice")
    folded = [fold(layers) for layers in zip(*members, strict=True)]
    return nn.Sequential(OrderedDict(zip(members[0]._modules, folded, strict=True)))


def _norm(norms: Layers) -> nn.Module:
    known = norm_layers()[type(norms[0])]
    assert known.widened is not None  # or `fold` would not have come here
    if not known.is_usual(norms[0]):
        raise Unfoldable(f"cannot fold {norms[0]}: it must be affine and track its statistics")
    return _with_states_of(norms, known.widened(norms[0], len(norms)))


def _convolution(convolutions: Layers) -> nn.Module:
    conv, members = cast(nn.Conv2d, convolutions[0]), len(convolutions)
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
    return _with_states_of(convolutions, wide)


def _with_states_of(layers: Layers, wide: nn.Module) -> nn.Module:
    """`wide`, with the parameters and buffers of the members one after the other."""
    first = next(layers[0].parameters())
    wide.to(first.device, first.dtype)
    states = [layer.state_dict() for layer in layers]
    for name, value in wide.state_dict().items():
        members = [state[name] for state in states]
        value.copy_(torch.cat(members) if value.dim() else members[0])
    return wide


def _dropout(dropouts: Layers) -> nn.Module:
    layers = [cast(Dropout, layer) for layer in dropouts]
    return Dropout(layers[0].p, *(generator for layer in layers for generator in layer.generators))


def _unchanged(layers: Layers) -> nn.Module:
    """A layer without parameters that treats every channel alike."""
    return copy.deepcopy(layers[0])


def _residual(members: Layers) -> Residual:
    blocks = [cast(Residual, member) for member in members]
    first = blocks[0]
    if first.added:
        raise Unfoldable("cannot fold a block whose shortcut adds channels")
    activation = copy.deepcopy(first.activation)
    return Residual(fold([block.inner for block in blocks]), first.stride, 0, activation)


FOLDS: dict[type[nn.Module], Callable[[Layers], nn.Module]] = {
    nn.Conv2d: _convolution,
    Dropout: _dropout,
    nn.Identity: _unchanged,
    nn.ReLU: _unchanged,
    nn.MaxPool2d: _unchanged,
    nn.AvgPool2d: _unchanged,
    nn.AdaptiveAvgPool2d: _unchanged,
    nn.Flatten: _unchanged,
    nn.Sequential: _sequence,
    Residual: _residual,
}
