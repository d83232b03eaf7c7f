"""What a norm's file says of its type of layer: the formula for fused passes, and how it folds.

Whatever a norm takes its statistics over (batch, group, channel), its output is scale * x + shift
with factors per sample and channel, and the statistics follow from two sums per sample and channel.
`normscope.training.fused` relies on that to pass over the activations as rarely as possible, and
a fleet on the fact that norms of several networks, side by side, are one wider norm.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

# Scale and shift, each (N, C), or (1, C) if all samples share them.
Factors = tuple[torch.Tensor, torch.Tensor]
Coefficients = Callable[[Any, torch.Tensor, torch.Tensor, int], Factors]
FromSums = Callable[[Any, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class NormLayer:
    """What is known of the layers of one type, subclasses not included.

    `is_usual` says whether the functions hold for a layer, given its options; they are for usual
    layers only, and any is None if this type of layer has no such form.

    `coefficients` takes the layer, and the sums of x and of x^2 over the `pixels` of a channel,
    `total` and `squares`, each float64 (N, C). It returns scale and shift, float64 of shape (N, C),
    or (1, C) if all samples share them. It is differentiable, and updates the buffers that its
    layer updates.

    `floor` takes the layer and returns a threshold per channel, (C,), below which no output of
    scale * x + shift may fall; None if there is none.

    `widened` takes the layer and a number of members M. It returns a layer for M*C channels that
    computes on those of member m, m*C to (m+1)*C, what the layer computes on C, when its parameters
    and buffers are those of the members, concatenated along their first axis. A buffer without
    axes is the same for all.

    `values_per_statistic` takes the layer and the shape (N, C, H, W) of an input in training, and
    returns how many values the smallest of its statistics is taken over.

    `from_sums` takes the layer, x (N, C, H, W), and `total` and `squares` as above. It returns the
    layer's output, and is for layers that need the sums, but are no scale and shift.

    `by_pixel` says that the output at a pixel follows from the channels of this pixel of this
    sample alone, in training and evaluation alike, so that the layer may be called for pixels in
    any order, some of them of samples that do not exist.
    """

    type: type[nn.Module]
    is_usual: Callable[[Any], bool] = lambda layer: True
    coefficients: Coefficients | None = None
    floor: Callable[[Any], torch.Tensor] | None = None
    widened: Callable[[Any, int], nn.Module] | None = None
    values_per_statistic: Callable[[Any, torch.Size], int] | None = None
    from_sums: FromSums | None = None
    by_pixel: bool = False


class SumsNorm(nn.Module, ABC):
    """A norm whose output is scale * x + shift, with factors from sums over each channel's pixels.

    Subclasses have `coefficients`, as `NormLayer` describes them; the layer itself and the fused
    passes compute with the same.
    """

    def __init__(self, num_channels: int, eps: float):
        super().__init__()
        self.num_channels = num_channels
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    @abstractmethod
    def coefficients(self, total: torch.Tensor, squares: torch.Tensor, pixels: int) -> Factors:
        """Scale and shift from the sums of x and of x^2."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total, squares = channel_sums(x)
        scale, shift = self.coefficients(total, squares, x.shape[2] * x.shape[3])
        return affine(x, scale, shift)

    def extra_repr(self) -> str:
        return f"{self.num_channels}, eps={self.eps}"


def check_divides(count: int, num_channels: int, what: str = "groups") -> None:
    """Raise `ValueError`, naming the numbers that would do, if a number does not divide C."""
    divisors = [n for n in range(1, num_channels + 1) if num_channels % n == 0]
    if count not in divisors:
        raise ValueError(
            f"{count} {what} do not divide {num_channels} channels; possible: {divisors}"
        )


def channel_sums(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums of x (N, C, H, W) and of its square over the pixels: float64, (N, C).

    Added up around the mean of each channel, so that a large mean does not drown the variance.
    """
    pixels = x.shape[2] * x.shape[3]
    wide = x.float() if x.dtype == torch.bfloat16 else x
    centre = wide.detach().mean(dim=(0, 2, 3), keepdim=True)
    centred = wide - centre
    total = centred.sum(dim=(2, 3), dtype=torch.float64)
    squares = centred.square().sum(dim=(2, 3), dtype=torch.float64)
    c = centre.double().view(1, -1)
    # Of a map of zeros beside others, rounding may leave less than nothing.
    return total + pixels * c, (squares + c * (2 * total + pixels * c)).clamp_min(0)


def affine(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """scale * x + shift for x (N, C, H, W) and factors (N or 1, C), in the type of x."""
    wide = torch.promote_types(x.dtype, torch.float32)
    scale, shift = scale.to(wide)[:, :, None, None], shift.to(wide)[:, :, None, None]
    return torch.addcmul(shift, x.to(wide), scale).to(x.dtype)


def moments(
    total: torch.Tensor, squares: torch.Tensor, dim: int | tuple[int, ...], count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and biased variance of `count` values, over `dim` of their sums, which stays as size 1.

    The variance is E[x^2] - E[x]^2 in float64, where the difference loses little.
    """
    mean = total.sum(dim, keepdim=True) / count
    var = squares.sum(dim, keepdim=True) / count - mean**2
    return mean, var.clamp_min(0)


def scale_and_shift(
    mean: torch.Tensor, var: torch.Tensor, eps: float, gamma: torch.Tensor, beta: torch.Tensor
) -> Factors:
    """The factors of gamma * (x - mean) / sqrt(var + eps) + beta as a function of x."""
    scale = gamma / torch.sqrt(var + eps)
    return scale, beta - mean * scale
