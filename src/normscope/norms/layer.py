"""What a norm's file says of its type of layer: the formula for fused passes, and how it folds.

Whatever a norm takes its statistics over (batch, group, channel), its output is scale * x + shift
with factors per sample and channel, and the statistics follow from two sums per sample and channel.
`normscope.training.fused` relies on that to pass over the activations as rarely as possible, and
a fleet on the fact that norms of several networks, side by side, are one wider norm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Coefficients = Callable[[Any, torch.Tensor, torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class NormLayer:
    """What is known of the layers of one type, subclasses not included.

    `is_usual` says whether the two functions hold for a layer, given its options; both are for
    usual layers only, and either is None if this type of layer has no such form.

    `coefficients` takes the layer, and the sums of x and of x^2 over the `pixels` of a channel,
    `total` and `squares`, each float64 (N, C). It returns scale and shift, float32 of shape (N, C),
    or (1, C) if all samples share them. It is differentiable, and updates the buffers that its
    layer updates.

    `widened` takes the layer and a number of members M. It returns a layer for M*C channels that
    computes on those of member m, m*C to (m+1)*C, what the layer computes on C, when its parameters
    and buffers are those of the members, concatenated along their first axis. A buffer without
    axes is the same for all.
    """

    type: type[nn.Module]
    is_usual: Callable[[Any], bool]
    coefficients: Coefficients | None = None
    widened: Callable[[Any, int], nn.Module] | None = None


def moments(
    total: torch.Tensor, squares: torch.Tensor, dim: int, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and biased variance of `count` values, over `dim` of their sums, which stays as size 1.

    The variance is E[x^2] - E[x]^2 in float64, where the difference loses little.
    """
    mean = total.sum(dim, keepdim=True) / count
    var = squares.sum(dim, keepdim=True) / count - mean**2
    return mean, var.clamp_min(0)


def scale_and_shift(
    mean: torch.Tensor, var: torch.Tensor, eps: float, gamma: torch.Tensor, beta: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The factors of gamma * (x - mean) / sqrt(var + eps) + beta as a function of x."""
    scale = gamma / torch.sqrt(var + eps)
    return scale, beta - mean * scale
