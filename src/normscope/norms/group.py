"""Norms whose statistics run over groups of channels within one sample."""

import torch
from torch import nn

from normscope.norms.layer import (
    Factors,
    NormLayer,
    check_divides,
    moments,
    scale_and_shift,
)

GROUPS = 4  # of the published S8 experiment, whose widths have no divisor 32


def group_norm(
    num_channels: int, groups: int | str = GROUPS, size: int | None = None, eps: float = 1e-5
) -> nn.GroupNorm:
    """Group normalization of x (N, C, H, W); gamma and beta have shape (C,).

    y = gamma * (x - mean) / sqrt(var + eps) + beta, with mean and biased variance over H, W and the
    channels of a group, for each sample, in training and evaluation alike. There are `groups` of
    them, or as many as come out at `size` channels each, or `auto_groups` if `groups` is "auto".
    The paper uses 32 groups. Source: Wu & He 2018, arXiv:1803.08494.

    Raises `ValueError` naming what would work, if groups do not divide C, or if both are given.
    """
    if size is not None:
        if groups != GROUPS:
            raise ValueError("give groups or the size of a group, not both")
        check_divides(size, num_channels, "channels per group")
        groups = num_channels // size
    groups = auto_groups(num_channels) if groups == "auto" else int(groups)
    check_divides(groups, num_channels)
    return nn.GroupNorm(groups, num_channels, eps=eps)


def auto_groups(num_channels: int) -> int:
    """The most groups, 32 at most, that divide the channels and have 4 of them or more; or 1."""
    fitting = [n for n in range(1, 33) if num_channels % n == 0 and num_channels >= 4 * n]
    return max(fitting, default=1)


def layer_norm(num_channels: int, eps: float = 1e-5) -> nn.GroupNorm:
    """Layer normalization as the S8 experiment has it: one group, so over C, H and W together.

    gamma and beta have shape (C,), unlike `torch.nn.LayerNorm`, whose affine is elementwise.
    Sources: Ba et al. 2016, arXiv:1607.06450; as the case G = 1 in Wu & He 2018, arXiv:1803.08494.
    """
    return group_norm(num_channels, groups=1, eps=eps)


def instance_norm(num_channels: int, eps: float = 1e-5) -> nn.InstanceNorm2d:
    """Instance normalization of x (N, C, H, W); gamma and beta have shape (C,).

    y = gamma * (x - mean_HW) / sqrt(var_HW + eps) + beta, for each channel of each sample, in
    training and evaluation alike. torch's own layer has no gamma and beta unless it is asked to.
    Source: Ulyanov et al. 2016, arXiv:1607.08022.
    """
    return nn.InstanceNorm2d(num_channels, eps=eps, affine=True)


class FullLayerNorm(nn.Module):
    """Layer normalization over C, H and W with a gamma and a beta for every element, (C * H * W,).

    y = gamma * (x - mean_CHW) / sqrt(var_CHW + eps) + beta, for each sample. What
    `torch.nn.LayerNorm((C, H, W))` computes, but the size of the map is taken from the first input:
    until then there are no parameters. `members` counts networks side by side, each normalized by
    itself. Source: Ba et al. 2016, arXiv:1607.06450.
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, num_channels: int, eps: float = 1e-5, members: int = 1):
        super().__init__()
        self.num_channels, self.eps, self.members = num_channels, eps, members
        self.weight = self.bias = None

    def take_size(self, elements: int) -> None:
        """Make gamma and beta for maps of so many elements, C * H * W."""
        self.weight = nn.Parameter(torch.ones(elements))
        self.bias = nn.Parameter(torch.zeros(elements))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.weight is None or self.bias is None:
            self.take_size(x[0].numel())
            assert self.weight is not None  # it has just been made
            assert self.bias is not None
            self.to(x.device)
        wide = x.float() if x.dtype == torch.bfloat16 else x
        gamma, beta = self.weight.view(x.shape[1:]), self.bias.view(x.shape[1:])
        if self.members == 1:  # in the layout of the images, which takes a third of the time
            gamma_HWC, beta_HWC = (p.permute(1, 2, 0).to(wide.dtype) for p in (gamma, beta))
            y_NHWC = nn.functional.layer_norm(
                wide.permute(0, 2, 3, 1), gamma_HWC.shape, gamma_HWC, beta_HWC, self.eps
            )
            return y_NHWC.permute(0, 3, 1, 2).to(x.dtype)
        own = wide.unflatten(1, (self.members, -1))
        normalized = nn.functional.layer_norm(own, own.shape[2:], eps=self.eps).flatten(1, 2)
        return (normalized * gamma + beta).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.num_channels}, eps={self.eps}"


def _is_usual(layer: nn.GroupNorm) -> bool:
    return layer.affine


def _coefficients(
    layer: nn.GroupNorm, total: torch.Tensor, squares: torch.Tensor, pixels: int
) -> Factors:
    return grouped_factors(
        layer.num_groups, (total, squares), pixels, layer.eps, (layer.weight, layer.bias)
    )


def grouped_factors(
    groups: int,
    sums: tuple[torch.Tensor, torch.Tensor],
    pixels: int,
    eps: float,
    affine: tuple[torch.Tensor, torch.Tensor],
) -> Factors:
    """The factors of group normalization, from the sums of x and x^2, each (N, C)."""
    total, squares = sums
    per_group = total.shape[1] // groups
    grouped = len(total), groups, per_group
    mean, var = moments(total.view(grouped), squares.view(grouped), dim=2, count=per_group * pixels)
    gamma, beta = (parameter.view(groups, -1) for parameter in affine)
    scale, shift = scale_and_shift(mean, var, eps, gamma, beta)
    return scale.reshape_as(total), shift.reshape_as(total)


def _coefficients_of_instances(
    layer: nn.InstanceNorm2d, total: torch.Tensor, squares: torch.Tensor, pixels: int
) -> Factors:
    affine = layer.weight, layer.bias
    return grouped_factors(layer.num_features, (total, squares), pixels, layer.eps, affine)


def _is_usual_instance(layer: nn.InstanceNorm2d) -> bool:
    return layer.affine and not layer.track_running_stats


def _values(layer: nn.GroupNorm, shape: torch.Size) -> int:
    return layer.num_channels // layer.num_groups * shape[2] * shape[3]


def _widened(layer: nn.GroupNorm, members: int) -> nn.GroupNorm:
    return nn.GroupNorm(layer.num_groups * members, layer.num_channels * members, layer.eps)


def _widened_full(layer: FullLayerNorm, members: int) -> FullLayerNorm:
    wide = FullLayerNorm(layer.num_channels * members, layer.eps, layer.members * members)
    if layer.weight is not None:
        wide.take_size(layer.weight.numel() * members)
    return wide


LAYERS = (
    NormLayer(nn.GroupNorm, _is_usual, _coefficients, None, _widened, _values),
    NormLayer(
        nn.InstanceNorm2d,
        _is_usual_instance,
        _coefficients_of_instances,
        widened=lambda layer, members: instance_norm(layer.num_features * members, layer.eps),
        values_per_statistic=lambda layer, shape: shape[2] * shape[3],
    ),
    NormLayer(
        FullLayerNorm,
        widened=_widened_full,
        values_per_statistic=lambda layer, shape: shape[1:].numel(),
    ),
)
