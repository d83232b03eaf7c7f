"""Norms whose statistics run over the batch."""

import math
from typing import Any

import torch
from torch import nn

from normscope.norms.layer import (
    Factors,
    NormLayer,
    SumsNorm,
    moments,
    scale_and_shift,
)


def batch_norm(num_channels: int, eps: float = 1e-5, momentum: float = 0.1) -> nn.BatchNorm2d:
    """Batch normalization of x (N, C, H, W); gamma and beta have shape (C,).

    y = gamma * (x - mean_NHW) / sqrt(var_NHW + eps) + beta, with the batch's mean and biased
    variance in training, the running mean and unbiased variance in evaluation; the running values
    move by `momentum` a step. Source: Ioffe & Szegedy 2015, arXiv:1502.03167.
    """
    return nn.BatchNorm2d(num_channels, eps=eps, momentum=momentum)


class RunningNorm(SumsNorm):
    """What the norms of this file share: the batch's statistics, and running ones to test with."""

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor

    def __init__(self, num_channels: int, eps: float, momentum: float):
        super().__init__(num_channels, eps)
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(num_channels))
        self.register_buffer("running_var", torch.ones(num_channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def statistics(self, total: torch.Tensor, squares: torch.Tensor, pixels: int) -> Factors:
        """Mean and variance of each channel, (1, C): the batch's in training, else the running."""
        return batch_statistics(self, total, squares, pixels)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, momentum={self.momentum}"


def batch_statistics(
    layer: Any, total: torch.Tensor, squares: torch.Tensor, pixels: int
) -> Factors:
    """Mean and variance of each channel, float64 (1, C), for a layer with running statistics.

    The batch's mean and biased variance in training, which move the running mean and the unbiased
    running variance; the running ones in evaluation. Raises `ValueError` if there is but one value
    per channel to train on.
    """
    if not layer.training:
        return layer.running_mean[None].double(), layer.running_var[None].double()
    count = len(total) * pixels
    check_count(count)
    mean, var = moments(total, squares, dim=0, count=count)
    with torch.no_grad():
        move(layer.running_mean, mean[0], layer.momentum)
        move(layer.running_var, var[0] * count / (count - 1), layer.momentum)
        layer.num_batches_tracked += 1
    return mean, var


def check_count(count: int) -> None:
    """Raise `ValueError` for a variance over one value, which is 0."""
    if count == 1:
        raise ValueError("batch norm cannot train on one value per channel: its variance is 0")


def move(running: torch.Tensor, value: torch.Tensor, momentum: float) -> None:
    """Move a running average, in place, by `momentum` towards the value."""
    running.lerp_(value.to(running.dtype), momentum)


class GhostBatchNorm(RunningNorm):
    """Batch normalization of sub-batches: images 0 to k-1, k to 2k-1, and so on, each by itself.

    y as in `batch_norm`, for each sub-batch of `size` = k images; the last may be smaller. The
    running values move once for every sub-batch, in order. In evaluation as `batch_norm`.
    Source: Hoffer et al. 2017, arXiv:1705.08741.
    """

    def __init__(self, num_channels: int, size: int = 32, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__(num_channels, eps, momentum)
        if size < 1:
            raise ValueError(f"a sub-batch has 1 image or more, not {size}")
        self.size = size

    def coefficients(self, total: torch.Tensor, squares: torch.Tensor, pixels: int) -> Factors:
        if not self.training:
            mean, var = self.statistics(total, squares, pixels)
            return scale_and_shift(mean, var, self.eps, self.weight, self.bias)
        images = len(total)
        parts = math.ceil(images / self.size)
        part = torch.arange(images, device=total.device) // self.size
        counts = torch.full((parts, 1), self.size * pixels, device=total.device)
        counts[-1] = (images - (parts - 1) * self.size) * pixels
        check_count(min(self.size, images - (parts - 1) * self.size) * pixels)
        into = total.new_zeros(parts, total.shape[1])
        mean = into.index_add(0, part, total) / counts
        var = (into.index_add(0, part, squares) / counts - mean**2).clamp_min(0)
        self._move_running(mean.detach(), var.detach() * counts / (counts - 1))
        scale, shift = scale_and_shift(mean, var, self.eps, self.weight, self.bias)
        return scale[part], shift[part]

    @torch.no_grad()
    def _move_running(self, means: torch.Tensor, variances: torch.Tensor) -> None:
        """As one step after the other would: the last sub-batch weighs most."""
        keep, parts = 1 - self.momentum, len(means)
        powers = torch.arange(parts - 1, -1, -1, device=means.device, dtype=means.dtype)
        weights = self.momentum * keep**powers
        for running, values in ((self.running_mean, means), (self.running_var, variances)):
            running.mul_(keep**parts).add_((weights @ values).to(running.dtype))
        self.num_batches_tracked += parts

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, size={self.size}"


class BatchRenorm(SumsNorm):
    """Batch renormalization: in training, too, the output is about that of the running statistics.

    y = gamma * ((x - mean) / sigma * r + d) + beta, with the batch's mean and sigma = sqrt(var +
    eps), r = sigma / running sigma clipped to [1/r_max, r_max] and d = (mean - running mean) /
    running sigma clipped to [-d_max, d_max], through which no gradient flows. The running values
    move by `momentum` a step and are what evaluation uses.

    The limits begin at r_max = 1, d_max = 0, which is `batch_norm`, and are relaxed to 3 and 5. The
    paper does so from step 5,000 to 40,000 (r) and to 25,000 (d) of some 130,000; these are the
    same shares of `run_steps`, which whoever trains sets. Source: Ioffe 2017, arXiv:1702.03275.
    """

    running_mean: torch.Tensor
    running_std: torch.Tensor
    num_batches_tracked: torch.Tensor

    def __init__(self, num_channels: int, eps: float = 1e-3, momentum: float = 0.01):
        super().__init__(num_channels, eps)
        self.momentum = momentum
        self.run_steps = 1000  # of the whole training
        self.register_buffer("running_mean", torch.zeros(num_channels))
        self.register_buffer("running_std", torch.ones(num_channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def limits(self) -> tuple[torch.Tensor, torch.Tensor]:
        """r_max and d_max at the present step."""
        step = 130_000 * self.num_batches_tracked.double() / self.run_steps
        relaxed = [((step - 5_000) / (end - 5_000)).clamp(0, 1) for end in (40_000, 25_000)]
        return 1 + 2 * relaxed[0], 5 * relaxed[1]

    def coefficients(self, total: torch.Tensor, squares: torch.Tensor, pixels: int) -> Factors:
        running_mean, running_std = (
            self.running_mean[None].double(),
            self.running_std[None].double(),
        )
        if not self.training:
            scale = self.weight / running_std
            return scale, self.bias - running_mean * scale
        count = len(total) * pixels
        check_count(count)
        mean, var = moments(total, squares, dim=0, count=count)
        sigma = torch.sqrt(var + self.eps)
        r_max, d_max = self.limits()
        with torch.no_grad():
            r = (sigma / running_std).clamp(1 / r_max, r_max)
            d = ((mean - running_mean) / running_std).clamp(-d_max, d_max)
            move(self.running_mean, mean[0], self.momentum)
            move(self.running_std, sigma[0], self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * r / sigma
        return scale, self.weight * d + self.bias - mean * scale

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, momentum={self.momentum}"


class BatchCenter(RunningNorm):
    """`batch_norm` that only subtracts the mean: y = gamma * (x - mean_NHW) + beta. An ablation."""

    def __init__(self, num_channels: int, momentum: float = 0.1):
        super().__init__(num_channels, 0.0, momentum)

    def coefficients(self, total: torch.Tensor, squares: torch.Tensor, pixels: int) -> Factors:
        mean, _ = self.statistics(total, squares, pixels)
        scale = self.weight[None].to(mean.dtype)
        return scale, self.bias - mean * scale


class BatchScale(RunningNorm):
    """`batch_norm` that only divides: y = gamma * x / sqrt(var_NHW + eps) + beta. An ablation."""

    def __init__(self, num_channels: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__(num_channels, eps, momentum)

    def coefficients(self, total: torch.Tensor, squares: torch.Tensor, pixels: int) -> Factors:
        _, var = self.statistics(total, squares, pixels)
        scale = self.weight / torch.sqrt(var + self.eps)
        return scale, self.bias[None].to(scale.dtype)


class BatchNormality(nn.Module):
    """Batch normality normalization: `batch_norm`, then a power transform, then noise.

    z = (x - mean) / sqrt(var + eps) as in `batch_norm`; h = the Yeo-Johnson transform of z with a
    lambda per channel, from one Newton step at lambda = 1 towards the most normal h; in training h
    + `noise` * mean_NHW |h - mean_NHW h| * a standard normal number; y = gamma * h + beta. In
    evaluation mean, variance and lambda are running averages, and there is no noise. The noise is
    drawn from `generator`, which whoever trains sets. Source: Eftekhari & Papyan 2025,
    arXiv:2505.00685, and the authors' repository for the Newton step's guard, sqrt(eps).
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    running_lambda: torch.Tensor
    num_batches_tracked: torch.Tensor

    def __init__(
        self, num_channels: int, noise: float = 0.4, eps: float = 1e-5, momentum: float = 0.1
    ):
        super().__init__()
        self.num_channels, self.noise, self.eps, self.momentum = num_channels, noise, eps, momentum
        self.generator: torch.Generator | None = None
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.register_buffer("running_mean", torch.zeros(num_channels))
        self.register_buffer("running_var", torch.ones(num_channels))
        self.register_buffer("running_lambda", torch.ones(num_channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float() if x.dtype == torch.bfloat16 else x
        if self.training:
            check_count(wide[:, 0].numel())
        z = nn.functional.batch_norm(
            wide, self.running_mean, self.running_var, None, None, self.training, self.momentum,
            self.eps,
        )  # fmt: skip
        power = self.running_lambda
        if self.training:
            power = newton_lambda(z, math.sqrt(self.eps))
            with torch.no_grad():
                move(self.running_lambda, power, self.momentum)
                self.num_batches_tracked += 1
        h = yeo_johnson(z, power, math.sqrt(self.eps))
        if self.training and self.noise:
            with torch.no_grad():
                spread = (h - _mean(h)).abs().mean(dim=(0, 2, 3), keepdim=True)
                images, channels, height, width = h.shape  # drawn alike in any memory layout
                drawn_NHWC = h.new_empty(images, height, width, channels)
                drawn = drawn_NHWC.normal_(generator=self.generator).permute(0, 3, 1, 2)
            h = h + self.noise * spread * drawn
        return affine_per_channel(h, self.weight, self.bias).to(x.dtype)

    def extra_repr(self) -> str:
        values = f"noise={self.noise}, eps={self.eps}, momentum={self.momentum}"
        return f"{self.num_channels}, {values}"


def newton_lambda(z: torch.Tensor, guard: float) -> torch.Tensor:
    """One Newton step at lambda = 1 on the Gaussian log-likelihood of the Yeo-Johnson transform.

    z (N, C, H, W) has mean 0 and variance 1 per channel; the result is (C,). The negative
    log-likelihood per value is 1/2 log var(psi) - (lambda - 1) mean(s log(1+a)) for s = sign(z),
    a = |z|. At lambda = 1 psi is z, its first derivative with respect to lambda is d = (1+a)
    log(1+a) - a, and its second s * ((1+a) log^2(1+a) - 2 d).
    """
    sign, size = torch.where(z < 0, -1.0, 1.0).to(z.dtype), z.abs()
    log = torch.log1p(size)
    first = (1 + size) * log - size
    second = sign * ((1 + size) * log.square() - 2 * first)
    variance_slope = 2 * _mean(z * first)
    curvature = 2 * _mean(z * second + (first - _mean(first)).square())
    slope = variance_slope / 2 - _mean(sign * log)
    bend = curvature / 2 - variance_slope.square() / 2
    return (1 - slope / (bend + guard)).flatten()


def yeo_johnson(z: torch.Tensor, power: torch.Tensor, guard: float) -> torch.Tensor:
    """s * ((1 + |z|)^e - 1) / e, e = 1 + s * (power - 1), s = sign(z); s * log(1 + |z|) for e = 0.

    z (N, C, H, W), power (C,). Values of e within `guard` of 0 count as 0. Source: Yeo & Johnson
    2000, Biometrika 87.
    """
    sign, log = torch.where(z < 0, -1.0, 1.0).to(z.dtype), torch.log1p(z.abs())
    exponent = 1 + sign * (power[:, None, None] - 1)
    near_zero = exponent.abs() <= guard
    safe = torch.where(near_zero, torch.ones_like(exponent), exponent)
    return sign * torch.where(near_zero, log, torch.expm1(safe * log) / safe)


def affine_per_channel(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """weight * x + bias, with one of each per channel of x (N, C, H, W)."""
    return torch.addcmul(bias[:, None, None], x, weight[:, None, None])


def _mean(x: torch.Tensor) -> torch.Tensor:
    return x.mean(dim=(0, 2, 3), keepdim=True)


def _is_usual(layer: nn.BatchNorm2d) -> bool:
    return layer.affine and layer.track_running_stats and layer.momentum is not None


def _coefficients(
    layer: nn.BatchNorm2d, total: torch.Tensor, squares: torch.Tensor, pixels: int
) -> Factors:
    mean, var = batch_statistics(layer, total, squares, pixels)
    return scale_and_shift(mean, var, layer.eps, layer.weight, layer.bias)


def _values(layer: nn.Module, shape: torch.Size) -> int:
    return shape[0] * shape[2] * shape[3]


def _values_of_ghost(layer: GhostBatchNorm, shape: torch.Size) -> int:
    return (shape[0] % layer.size or layer.size) * shape[2] * shape[3]


def _widened(layer: nn.BatchNorm2d, members: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(layer.num_features * members, layer.eps, layer.momentum)


def _widened_ghost(layer: GhostBatchNorm, members: int) -> GhostBatchNorm:
    return GhostBatchNorm(layer.num_channels * members, layer.size, layer.eps, layer.momentum)


def _widened_renorm(layer: BatchRenorm, members: int) -> BatchRenorm:
    wide = BatchRenorm(layer.num_channels * members, layer.eps, layer.momentum)
    wide.run_steps = layer.run_steps
    return wide


LAYERS = (
    NormLayer(nn.BatchNorm2d, _is_usual, _coefficients, None, _widened, _values),
    NormLayer(
        GhostBatchNorm,
        coefficients=GhostBatchNorm.coefficients,
        widened=_widened_ghost,
        values_per_statistic=_values_of_ghost,
    ),
    NormLayer(
        BatchRenorm,
        coefficients=BatchRenorm.coefficients,
        widened=_widened_renorm,
        values_per_statistic=_values,
    ),
    NormLayer(
        BatchCenter,
        coefficients=BatchCenter.coefficients,
        widened=lambda layer, members: BatchCenter(layer.num_channels * members, layer.momentum),
        values_per_statistic=_values,
    ),
    NormLayer(
        BatchScale,
        coefficients=BatchScale.coefficients,
        widened=lambda layer, members: BatchScale(
            layer.num_channels * members, layer.eps, layer.momentum
        ),
        values_per_statistic=_values,
    ),
    NormLayer(BatchNormality, values_per_statistic=_values),
)
