"""Norms that mix the statistics of others, in shares that are learned."""

import torch
from torch import nn

from normscope.norms.batch import RunningNorm, batch_statistics
from normscope.norms.layer import Factors, NormLayer, moments, scale_and_shift


class SwitchNorm(RunningNorm):
    """Switchable normalization: instance, layer and batch statistics, mixed by learned weights.

    y = gamma * (x - mean) / sqrt(var + eps) + beta, where mean is the sum of softmax(mean_weight)
    times the means over (H, W), (C, H, W) and (N, H, W), and var likewise of the biased variances
    with softmax(var_weight). Both have shape (3,) and begin at 1, so with equal shares. In
    evaluation the running values stand in for the batch's. `members` counts networks side by side.
    Source: Luo et al. 2018, arXiv:1806.10779.
    """

    def __init__(
        self, num_channels: int, eps: float = 1e-5, momentum: float = 0.1, members: int = 1
    ):
        super().__init__(num_channels, eps, momentum)
        self.members = members
        self.mean_weight = nn.Parameter(torch.ones(3 * members))
        self.var_weight = nn.Parameter(torch.ones(3 * members))

    def coefficients(self, total: torch.Tensor, squares: torch.Tensor, pixels: int) -> Factors:
        images, channels = total.shape
        each = channels // self.members
        instance = moments(total[..., None], squares[..., None], dim=2, count=pixels)
        grouped = images, self.members, each
        layer = moments(total.view(grouped), squares.view(grouped), dim=2, count=each * pixels)
        batch = batch_statistics(self, total, squares, pixels)
        mean, var = (
            self._mixed(weight, i.view(grouped), ln, b.view(1, self.members, each))
            for weight, i, ln, b in zip(
                (self.mean_weight, self.var_weight), instance, layer, batch, strict=True
            )
        )
        return scale_and_shift(mean, var, self.eps, self.weight, self.bias)

    def _mixed(self, weight: torch.Tensor, *statistics: torch.Tensor) -> torch.Tensor:
        """(N, C) from three statistics that are, or expand to, (N, members, C per member)."""
        shares = weight.view(self.members, 3).double().softmax(dim=1)
        mixed = sum(share[None, :, None] * s for share, s in zip(shares.T, statistics, strict=True))
        assert isinstance(mixed, torch.Tensor)  # and not the 0 that `sum` begins with
        return mixed.flatten(1)


class BatchInstanceNorm(RunningNorm):
    """Batch-instance normalization: rho of batch and 1 - rho of instance normalization.

    y = gamma * (rho * bn(x) + (1 - rho) * in(x)) + beta, with a rho per channel that begins at 1
    and is put back into [0, 1] before each step. In evaluation the running values stand in for the
    batch's. Source: Nam & Kim 2018, arXiv:1805.07925.
    """

    def __init__(self, num_channels: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__(num_channels, eps, momentum)
        self.rho = nn.Parameter(torch.ones(num_channels))

    def coefficients(self, total: torch.Tensor, squares: torch.Tensor, pixels: int) -> Factors:
        if self.training:  # not as a change of the graph: an earlier step's has seen these values
            self.rho.data.clamp_(0, 1)
        batch = batch_statistics(self, total, squares, pixels)
        mean, var = moments(total[..., None], squares[..., None], dim=2, count=pixels)
        of_batch = scale_and_shift(*batch, self.eps, self.rho, torch.zeros_like(self.rho))
        of_instance = scale_and_shift(
            mean[..., 0], var[..., 0], self.eps, 1 - self.rho, torch.zeros_like(self.rho)
        )
        scale, shift = (one + other for one, other in zip(of_batch, of_instance, strict=True))
        return self.weight * scale, self.weight * shift + self.bias


def _widened(layer: SwitchNorm, members: int) -> SwitchNorm:
    channels, members = layer.num_channels * members, layer.members * members
    return SwitchNorm(channels, layer.eps, layer.momentum, members)


def _values(layer: nn.Module, shape: torch.Size) -> int:
    """Of the largest statistic: the smaller ones may lose their share."""
    return shape[0] * shape[2] * shape[3]


LAYERS = (
    NormLayer(
        SwitchNorm,
        coefficients=SwitchNorm.coefficients,
        widened=_widened,
        values_per_statistic=_values,
    ),
    NormLayer(
        BatchInstanceNorm,
        coefficients=BatchInstanceNorm.coefficients,
        widened=lambda layer, members: BatchInstanceNorm(
            layer.num_channels * members, layer.eps, layer.momentum
        ),
        values_per_statistic=_values,
    ),
)
