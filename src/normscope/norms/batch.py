"""Norms whose statistics run over the batch."""

from torch import nn


def batch_norm(num_channels: int, eps: float = 1e-5, momentum: float = 0.1) -> nn.BatchNorm2d:
    """Batch normalization of x (N, C, H, W); gamma and beta have shape (C,).

    y = gamma * (x - mean_NHW) / sqrt(var_NHW + eps) + beta, with the batch's mean and biased
    variance in training, the running mean and unbiased variance in evaluation; the running values
    move by `momentum` a step. Source: Ioffe & Szegedy 2015, arXiv:1502.03167.
    """
    return nn.BatchNorm2d(num_channels, eps=eps, momentum=momentum)
