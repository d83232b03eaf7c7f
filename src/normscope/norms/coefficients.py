"""Norms as a scale and a shift of each channel, from sums over the pixels of each sample.

Whatever a norm takes its statistics over (batch, group, channel), its output is scale * x + shift
with factors per sample and channel, and the statistics follow from two sums per sample and channel.
`normscope.training.fused` relies on that to pass over the activations as rarely as possible.

A function of `COEFFICIENTS` takes the layer, and the sums of x and of x^2 over the `pixels` of a
channel, `total` and `squares`, each float64 (N, C). It returns scale and shift, float32 of shape
(N, C), or (1, C) if all samples share them. It is differentiable, and updates the buffers that its
layer updates. The variance is E[x^2] - E[x]^2 in float64, where the difference loses little.
`can_be_fused` says whether a layer is of a type and a kind that these functions know.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Coefficients = Callable[[Any, torch.Tensor, torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]]


def _moments(
    total: torch.Tensor, squares: torch.Tensor, dim: int, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and biased variance in float64, over `dim` of the sums, which stays with size 1."""
    mean = total.sum(dim, keepdim=True) / count
    var = squares.sum(dim, keepdim=True) / count - mean**2
    return mean, var.clamp_min(0)


def _affine(layer, mean, var, weight, bias) -> tuple[torch.Tensor, torch.Tensor]:
    scale = weight / torch.sqrt(var + layer.eps)
    return scale, bias - mean * scale


def batch_norm_coefficients(
    layer: nn.BatchNorm2d, total: torch.Tensor, squares: torch.Tensor, pixels: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """See `normscope.norms.batch.batch_norm`, whose layers have affine and running statistics."""
    running_mean, running_var, momentum = layer.running_mean, layer.running_var, layer.momentum
    assert running_mean is not None
    assert running_var is not None
    assert momentum is not None
    if layer.training:
        count = len(total) * pixels
        if count == 1:
            raise ValueError("batch norm cannot train on one value per channel: its variance is 0")
        mean, var = _moments(total, squares, dim=0, count=count)
        with torch.no_grad():
            unbiased = var * count / (count - 1)
            running_mean.lerp_(mean[0].float(), momentum)
            running_var.lerp_(unbiased[0].float(), momentum)
            layer.num_batches_tracked += 1  # pyright: ignore[reportOperatorIssue]
    else:
        mean, var = running_mean[None].double(), running_var[None].double()
    scale, shift = _affine(layer, mean, var, layer.weight, layer.bias)
    return scale.float(), shift.float()


def group_norm_coefficients(
    layer: nn.GroupNorm, total: torch.Tensor, squares: torch.Tensor, pixels: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """See `normscope.norms.group.group_norm`."""
    grouped = len(total), layer.num_groups, layer.num_channels // layer.num_groups
    count = layer.num_channels // layer.num_groups * pixels
    mean, var = _moments(total.view(grouped), squares.view(grouped), dim=2, count=count)
    per_group = layer.num_groups, -1
    scale, shift = _affine(
        layer, mean, var, layer.weight.view(per_group), layer.bias.view(per_group)
    )
    return scale.reshape_as(total).float(), shift.reshape_as(total).float()


COEFFICIENTS: dict[type[nn.Module], Coefficients] = {
    nn.BatchNorm2d: batch_norm_coefficients,
    nn.GroupNorm: group_norm_coefficients,
}


def can_be_fused(layer: nn.Module) -> bool:
    """Whether `COEFFICIENTS` holds for the layer: affine, and with the usual running statistics."""
    if type(layer) not in COEFFICIENTS or layer.weight is None:
        return False
    if isinstance(layer, nn.BatchNorm2d):
        return layer.track_running_stats and layer.momentum is not None
    return True
