"""Norms that bring their own activation: a network has no ReLU beside them."""

import torch
from torch import nn

from normscope.norms.batch import check_count, move
from normscope.norms.layer import (
    Factors,
    NormLayer,
    SumsNorm,
    channel_sums,
    check_divides,
    moments,
)


class FilterResponseNorm(SumsNorm):
    """Filter response normalization with its thresholded linear unit, which replaces ReLU.

    y = max(gamma * x / sqrt(mean_HW x^2 + eps) + beta, tau), for each channel of each sample;
    gamma, beta and tau, which begins at 0, have shape (C,). In training and evaluation alike.
    Source: Singh & Krishnan 2019, arXiv:1911.09737.
    """

    replaces_activation = True

    def __init__(self, num_channels: int, eps: float = 1e-6):
        super().__init__(num_channels, eps)
        self.tau = nn.Parameter(torch.zeros(num_channels))

    def coefficients(self, total: torch.Tensor, squares: torch.Tensor, pixels: int) -> Factors:
        scale = self.weight / torch.sqrt(squares / pixels + self.eps)
        return scale, self.bias.to(scale.dtype).expand_as(scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        return torch.maximum(y, self.tau.to(y.dtype)[:, None, None])


class EvoNormS0(nn.Module):
    """EvoNorm-S0, which replaces ReLU.

    y = gamma * x * sigmoid(v * x) / sqrt(var + eps) + beta, with the biased variance over H, W and
    the channels of a group, for each sample; gamma, beta and v, which begins at 1, have shape (C,).
    In training and evaluation alike. The paper has 32 groups.
    Source: Liu et al. 2020, arXiv:2004.02967.

    Raises `ValueError` naming the counts that would work, if `groups` does not divide C.
    """

    replaces_activation = True

    def __init__(self, num_channels: int, groups: int = 4, eps: float = 1e-5):
        super().__init__()
        check_divides(groups, num_channels)
        self.num_channels, self.groups, self.eps = num_channels, groups, eps
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.v = nn.Parameter(torch.ones(num_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.from_sums(x, *channel_sums(x))

    def from_sums(
        self, x: torch.Tensor, total: torch.Tensor, squares: torch.Tensor
    ) -> torch.Tensor:
        wide = x.float() if x.dtype == torch.bfloat16 else x
        per_group = self.num_channels // self.groups
        sums = (each.unflatten(1, (self.groups, per_group)) for each in (total, squares))
        _, var = moments(*sums, dim=2, count=per_group * x.shape[2] * x.shape[3])
        scale = (self.weight.view(self.groups, -1) / torch.sqrt(var + self.eps)).flatten(1)
        v, beta = self.v[:, None, None], self.bias[:, None, None]
        y = wide * torch.sigmoid(v * wide) * scale.to(wide.dtype)[:, :, None, None] + beta
        return y.to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.groups}, {self.num_channels}, eps={self.eps}"


class EvoNormB0(nn.Module):
    """EvoNorm-B0, which replaces ReLU.

    y = gamma * x / max(sqrt(var_NHW + eps), v * x + sqrt(var_HW + eps)) + beta, with biased
    variances; gamma, beta and v, which begins at 1, have shape (C,). In evaluation the running,
    unbiased variance stands in for the batch's. Source: Liu et al. 2020, arXiv:2004.02967.
    """

    replaces_activation = True
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor

    def __init__(self, num_channels: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.num_channels, self.eps, self.momentum = num_channels, eps, momentum
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.v = nn.Parameter(torch.ones(num_channels))
        self.register_buffer("running_var", torch.ones(num_channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.from_sums(x, *channel_sums(x))

    def from_sums(
        self, x: torch.Tensor, total: torch.Tensor, squares: torch.Tensor
    ) -> torch.Tensor:
        wide = x.float() if x.dtype == torch.bfloat16 else x
        pixels = x.shape[2] * x.shape[3]
        var = self.running_var
        if self.training:
            count = len(x) * pixels
            check_count(count)
            _, var = moments(total, squares, dim=0, count=count)
            with torch.no_grad():
                move(self.running_var, var[0] * count / (count - 1), self.momentum)
                self.num_batches_tracked += 1
        mean = total / pixels
        of_instance = torch.sqrt((squares / pixels - mean**2).clamp_min(0) + self.eps)
        of_instance = of_instance.to(wide.dtype)[:, :, None, None]
        of_batch = torch.sqrt(var + self.eps).to(wide.dtype).view(-1, 1, 1)
        divisor = torch.maximum(of_batch, self.v[:, None, None] * wide + of_instance)
        y = self.weight[:, None, None] * wide / divisor + self.bias[:, None, None]
        return y.to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.num_channels}, eps={self.eps}, momentum={self.momentum}"


LAYERS = (
    NormLayer(
        FilterResponseNorm,
        coefficients=FilterResponseNorm.coefficients,
        floor=lambda layer: layer.tau,
        widened=lambda layer, members: FilterResponseNorm(layer.num_channels * members, layer.eps),
        values_per_statistic=lambda layer, shape: shape[2] * shape[3],
    ),
    NormLayer(
        EvoNormS0,
        from_sums=EvoNormS0.from_sums,
        widened=lambda layer, members: EvoNormS0(
            layer.num_channels * members, layer.groups * members, layer.eps
        ),
        values_per_statistic=lambda layer, shape: (
            layer.num_channels // layer.groups * shape[2] * shape[3]
        ),
    ),
    NormLayer(
        EvoNormB0,
        from_sums=EvoNormB0.from_sums,
        widened=lambda layer, members: EvoNormB0(
            layer.num_channels * members, layer.eps, layer.momentum
        ),
        values_per_statistic=lambda layer, shape: shape[0] * shape[2] * shape[3],
    ),
)
