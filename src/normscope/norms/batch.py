"""Norms whose statistics run over the batch."""

import torch
from torch import nn

from normscope.norms.layer import NormLayer, moments, scale_and_shift


def batch_norm(num_channels: int, eps: float = 1e-5, momentum: float = 0.1) -> nn.BatchNorm2d:
    """Batch normalization of x (N, C, H, W); gamma and beta have shape (C,).

    y = gamma * (x - mean_NHW) / sqrt(var_NHW + eps) + beta, with the batch's mean and biased
    variance in training, the running mean and unbiased variance in evaluation; the running values
    move by `momentum` a step. Source: Ioffe & Szegedy 2015, arXiv:1502.03167.
    """
    return nn.BatchNorm2d(num_channels, eps=eps, momentum=momentum)


def _is_usual(layer: nn.BatchNorm2d) -> bool:
    return layer.affine and layer.track_running_stats and layer.momentum is not None


def _coefficients(
    layer: nn.BatchNorm2d, total: torch.Tensor, squares: torch.Tensor, pixels: int
) -> tuple[torch.Tensor, torch.Tensor]:
    running_mean, running_var, momentum = layer.running_mean, layer.running_var, layer.momentum
    assert running_mean is not None  # the layer is usual
    assert running_var is not None
    assert momentum is not None
    if layer.training:
        count = len(total) * pixels
        if count == 1:
            raise ValueError("batch norm cannot train on one value per channel: its variance is 0")
        mean, var = moments(total, squares, dim=0, count=count)
        with torch.no_grad():
            unbiased = var * count / (count - 1)
            running_mean.lerp_(mean[0].float(), momentum)
            running_var.lerp_(unbiased[0].float(), momentum)
            layer.num_batches_tracked += 1  # pyright: ignore[reportOperatorIssue]
    else:
        mean, var = running_mean[None].double(), running_var[None].double()
    scale, shift = scale_and_shift(mean, var, layer.eps, layer.weight, layer.bias)
    return scale.float(), shift.float()


def _widened(layer: nn.BatchNorm2d, members: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(layer.num_features * members, layer.eps, layer.momentum)


LAYERS = (NormLayer(nn.BatchNorm2d, _is_usual, _coefficients, _widened),)
