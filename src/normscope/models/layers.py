"""Layers that draw from a generator they are given, where torch's own use the global state."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn
from torch.nn.functional import pad
from torch.nn.utils import skip_init

from normscope.errors import UsageError
from normscope.norms import MakeNorm
from normscope.norms.weight import ScaledConv2d

# Uniform within +-1/sqrt(fan_in), which is torch's default for convolutions and linear layers.
as_torch_does = partial(nn.init.kaiming_uniform_, a=math.sqrt(5))


def conv2d(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    padding: int = 0,
    stride: int = 1,
    groups: int = 1,
    generator: torch.Generator,
    make_norm: "MakeNorm | None" = None,
    after_relu: bool = False,
    initialize: Callable[..., torch.Tensor] = as_torch_does,
) -> nn.Conv2d:
    """`torch.nn.Conv2d` without bias, with weights that `initialize` draws from `generator`.

    It is of the class that `make_norm` asks for, if it is given and asks for one; `after_relu`
    says whether the input is the output of a ReLU.
    """
    kind = getattr(make_norm, "convolution", None) or nn.Conv2d
    shape = {"padding": padding, "stride": stride, "groups": groups, "bias": False}
    layer = skip_init(kind, in_channels, out_channels, kernel_size, **shape)
    assert isinstance(layer, nn.Conv2d)  # skip_init is typed as returning any module
    initialize(layer.weight, generator=generator)
    if isinstance(layer, ScaledConv2d):
        nn.init.ones_(layer.gain)
        layer.after_relu = after_relu
    return layer


def linear(
    in_features: int, out_features: int, *, generator: torch.Generator, bias: bool = True
) -> nn.Linear:
    """`torch.nn.Linear` with weights as torch draws them, from `generator`, and a bias of 0."""
    layer = skip_init(nn.Linear, in_features, out_features, bias=bias)
    assert isinstance(layer, nn.Linear)  # skip_init is typed as returning any module
    as_torch_does(layer.weight, generator=generator)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def relu_and_norm(make_norm: MakeNorm, num_channels: int) -> list[nn.Module]:
    """ReLU and the norm, in the order that the norm asks for; no ReLU if the norm replaces it."""
    norm = make_norm(num_channels)
    if getattr(norm, "replaces_activation", False):
        return [norm]
    if getattr(make_norm, "placement", "post") == "pre":
        return [norm, nn.ReLU()]
    return [nn.ReLU(), norm]


def norm_and_activation(
    make_norm: MakeNorm, num_channels: int, activation: Callable[[], nn.Module] = nn.ReLU
) -> list[nn.Module]:
    """The norm and the activation behind it; no activation if the norm replaces it."""
    norm = make_norm(num_channels)
    return [norm] if getattr(norm, "replaces_activation", False) else [norm, activation()]


def check_place(make_norm: MakeNorm, network: str) -> None:
    """Raise `UsageError` if norms are asked for at a place, in a network that has one for them.

    `network` is its name with an article. The place is between convolution and activation.
    """
    if getattr(make_norm, "placement", "post") == "pre":
        raise UsageError(f"the norms of {network} are before the activation; leave the place out")


class Residual(nn.Module):
    """inner(x) + shortcut(x), and ReLU behind the sum if there is an `activation`.

    The shortcut has no parameters: it is x, or where the inner network halves the map and widens
    it, every `stride`-th pixel of x and `added` channels of zeros, half of them in front.
    """

    def __init__(
        self,
        inner: nn.Module,
        stride: int = 1,
        added: int = 0,
        activation: nn.ReLU | None = None,
    ):
        super().__init__()
        self.inner, self.stride, self.added = inner, stride, added
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.inner(x) + self.shortcut(x)
        return y if self.activation is None else self.activation(y)

    def shortcut(self, x: torch.Tensor) -> torch.Tensor:
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        before = self.added // 2
        return pad(x, (0, 0, 0, 0, before, self.added - before)) if self.added else x


class Dropout(nn.Module):
    """Zeroes each element with probability `p` and scales the rest by 1/(1-p), in training only.

    `generators` is the one that a network draws from; in a fleet there is one for each member.
    Source: Srivastava et al. 2014, JMLR 15. How elements are drawn: see `dropout`.
    """

    def __init__(self, p: float, *generators: torch.Generator):
        super().__init__()
        self.p = p
        self.generators = generators

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0:
            return x
        return dropout(x, self.p, self.generators)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def set_dropout(network: nn.Module, p: float) -> None:
    """Let every dropout layer of a network zero elements with probability `p`.

    That is every layer whose class has "Dropout" in its name, so torch's are among them.
    """
    for layer in dropout_layers(network):
        layer.p = p  # pyright: ignore[reportArgumentType]  # of a module it knows tensors only


def dropout_layers(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.modules() if "Dropout" in type(layer).__name__]


def dropout(x: torch.Tensor, p: float, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """Dropout of x (N, M*C, H, W), M members side by side, each drawing from its own generator.

    A member draws the elements that it draws alone, whose order is that of channels_last in memory.
    For one member x may have any shape.
    """
    if x.dim() == 4:  # one order of elements, whatever layout a layer before chose
        x = x.contiguous(memory_format=torch.channels_last)
    return (drop_by_mask if x.is_cuda else drop_by_position)(x, p, generators)


def drop_by_position(
    x: torch.Tensor, p: float, generators: Sequence[torch.Generator]
) -> torch.Tensor:
    """`dropout` that draws the gaps between dropped elements.

    They are geometric when elements are dropped independently: the same distribution from a share
    of about p of the random numbers.
    """
    members = len(generators)
    if members == 1:
        return drop(x, bernoulli_positions(x.numel(), p, generators[0]), p)
    channels = x.shape[1] // members
    positions = []
    for member, generator in enumerate(generators):
        own = bernoulli_positions(x.numel() // members, p, generator)
        pixel, channel = own // channels, own % channels
        positions.append(pixel * x.shape[1] + member * channels + channel)
    return drop(x, torch.cat(positions), p)


def drop_by_mask(x: torch.Tensor, p: float, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """`dropout` that draws a number for every element.

    On a GPU numbers are cheap, and waiting to hear how many positions there are is not.
    """
    if len(generators) == 1:
        dropped = torch.empty_like(x, dtype=torch.bool).bernoulli_(p, generator=generators[0])
    else:
        n, channels, height, width = x.shape
        own = (n, height, width, channels // len(generators))
        masks_NHWC = [
            torch.empty(own, dtype=torch.bool, device=x.device).bernoulli_(p, generator=each)
            for each in generators
        ]
        dropped = torch.cat(masks_NHWC, dim=3).permute(0, 3, 1, 2)
    return (x / (1 - p)).masked_fill(dropped, 0.0)


def bernoulli_positions(
    n: int, p: float, generator: torch.Generator, round_size: int | None = None
) -> torch.Tensor:
    """Sorted indices of the successes among n independent Bernoulli(p) draws: int64, (K,).

    Draws `round_size` gaps at a time until they pass the end; the default passes it in one round
    but for about 1 in 10^9 times.
    """
    expected = n * p
    size = round_size or int(expected + 6 * math.sqrt(expected) + 16)
    rounds = []
    reached = -1
    while reached < n:
        gaps = torch.empty(size, dtype=torch.float64, device=generator.device)
        rounds.append(reached + gaps.geometric_(p, generator=generator).cumsum(0).long())
        reached = int(rounds[-1][-1])
    positions = torch.cat(rounds)
    return positions[positions < n]


def drop(x: torch.Tensor, positions: torch.Tensor, p: float) -> torch.Tensor:
    """``x / (1 - p)`` with 0 at the positions, which index the elements in memory order."""
    return _DropPositions.apply(x, positions, 1 / (1 - p))


class _DropPositions(torch.autograd.Function):
    """y = scale * x with y[positions] = 0; positions index the elements of y in memory order."""

    @staticmethod
    def forward(ctx, x, positions, scale):
        y = x * scale
        _flat(y).index_fill_(0, positions, 0)
        ctx.save_for_backward(positions)
        ctx.scale, ctx.strides = scale, y.stride()
        return y

    @staticmethod
    def backward(ctx, *grad_outputs):
        (positions,) = ctx.saved_tensors
        # The incoming gradient may be laid out otherwise than y; the positions only fit y's layout.
        grad = torch.empty_strided(
            grad_outputs[0].shape, ctx.strides, dtype=grad_outputs[0].dtype, device=positions.device
        )
        torch.mul(grad_outputs[0], ctx.scale, out=grad)
        _flat(grad).index_fill_(0, positions, 0)
        return grad, None, None


def _flat(x: torch.Tensor) -> torch.Tensor:
    """The elements of a dense tensor in memory order, as a view of shape (numel,)."""
    return x.as_strided((x.numel(),), (1,))
