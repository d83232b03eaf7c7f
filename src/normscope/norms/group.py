"""Norms whose statistics run over groups of channels within one sample."""

import torch
from torch import nn

from normscope.norms.layer import NormLayer, moments, scale_and_shift


def group_norm(num_channels: int, num_groups: int = 4, eps: float = 1e-5) -> nn.GroupNorm:
    """Group normalization of x (N, C, H, W); gamma and beta have shape (C,).

    y = gamma * (x - mean) / sqrt(var + eps) + beta, with mean and biased variance over H, W and the
    C / num_groups channels of a group, for each sample, in training and evaluation alike. The paper
    uses 32 groups; 4 is the published S8 experiment's count, since its widths have no divisor 32.
    Source: Wu & He 2018, arXiv:1803.08494.

    Raises `ValueError` naming the counts that would work, if `num_groups` does not divide C.
    """
    if num_channels % num_groups:
        counts = [count for count in range(1, num_channels + 1) if num_channels % count == 0]
        raise ValueError(
            f"{num_groups} groups do not divide {num_channels} channels; possible: {counts}"
        )
    return nn.GroupNorm(num_groups, num_channels, eps=eps)


def layer_norm(num_channels: int, eps: float = 1e-5) -> nn.GroupNorm:
    """Layer normalization as the S8 experiment has it: one group, so over C, H and W together.

    gamma and beta have shape (C,), unlike `torch.nn.LayerNorm`, whose affine is elementwise.
    Sources: Ba et al. 2016, arXiv:1607.06450; as the case G = 1 in Wu & He 2018, arXiv:1803.08494.
    """
    return group_norm(num_channels, num_groups=1, eps=eps)


def _is_usual(layer: nn.GroupNorm) -> bool:
    return layer.affine


def _coefficients(
    layer: nn.GroupNorm, total: torch.Tensor, squares: torch.Tensor, pixels: int
) -> tuple[torch.Tensor, torch.Tensor]:
    groups, per_group = layer.num_groups, layer.num_channels // layer.num_groups
    grouped = len(total), groups, per_group
    mean, var = moments(total.view(grouped), squares.view(grouped), dim=2, count=per_group * pixels)
    gamma, beta = layer.weight.view(groups, -1), layer.bias.view(groups, -1)
    scale, shift = scale_and_shift(mean, var, layer.eps, gamma, beta)
    return scale.reshape_as(total).float(), shift.reshape_as(total).float()


def _widened(layer: nn.GroupNorm, members: int) -> nn.GroupNorm:
    return nn.GroupNorm(layer.num_groups * members, layer.num_channels * members, layer.eps)


LAYERS = (NormLayer(nn.GroupNorm, _is_usual, _coefficients, _widened),)
