"""Norms that also take the correlation between channels away."""

import torch
from torch import nn

from normscope.norms.batch import check_count, move
from normscope.norms.layer import NormLayer, check_divides


class IterativeNorm(nn.Module):
    """Iterative normalization: channels are decorrelated over the batch; affine of shape (C,).

    y = gamma * W (x - mean_NHW) + beta, where W is the inverse square root of the covariance of the
    channels of a group plus eps, by `steps` Newton iterations: P <- (3 P - P^3 S) / 2 from the
    identity, with S the covariance over its trace, and W = P / sqrt(trace). A group has up to
    `size` channels. In evaluation mean and W are running averages, which move by `momentum` a step.
    Source: Huang et al. 2019, arXiv:1904.03441.
    """

    running_mean: torch.Tensor
    running_whitening: torch.Tensor
    num_batches_tracked: torch.Tensor

    def __init__(
        self,
        num_channels: int,
        size: int = 64,
        steps: int = 5,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ):
        super().__init__()
        size = min(size, num_channels)
        check_divides(size, num_channels, "channels per group")
        self.num_channels, self.size, self.steps = num_channels, size, steps
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        groups = num_channels // size
        self.register_buffer("running_mean", torch.zeros(num_channels))
        self.register_buffer("running_whitening", torch.eye(size).repeat(groups, 1, 1))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float() if x.dtype == torch.bfloat16 else x
        groups = self.num_channels // self.size
        grouped = wide.transpose(0, 1).reshape(groups, self.size, -1)  # G, C per group, N*H*W
        if self.training:
            check_count(grouped.shape[2])
            mean = grouped.mean(dim=2, keepdim=True)
            whitening = self.whitening(grouped - mean)
            with torch.no_grad():
                move(self.running_mean, mean.flatten(), self.momentum)
                move(self.running_whitening, whitening, self.momentum)
                self.num_batches_tracked += 1
        else:
            mean = self.running_mean.view(groups, self.size, 1).to(wide.dtype)
            whitening = self.running_whitening.to(wide.dtype)
        white = torch.bmm(whitening, grouped - mean)
        y = white.view(self.num_channels, x.shape[0], *x.shape[2:]).transpose(0, 1)
        return (y * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    def whitening(self, centred: torch.Tensor) -> torch.Tensor:
        """The matrices W, (G, C, C), of centred values (G, C, N*H*W)."""
        identity = torch.eye(self.size, dtype=centred.dtype, device=centred.device)
        products = torch.bmm(centred, centred.transpose(1, 2))
        covariance = products / centred.shape[2] + self.eps * identity
        trace = covariance.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None, None]
        root = identity.expand_as(covariance)
        for _ in range(self.steps):
            root = (3 * root - torch.bmm(root @ root @ root, covariance / trace)) / 2
        return root / trace.sqrt()

    def extra_repr(self) -> str:
        return f"{self.num_channels}, size={self.size}, steps={self.steps}, eps={self.eps}"


def _widened(layer: IterativeNorm, members: int) -> IterativeNorm:
    channels = layer.num_channels * members
    return IterativeNorm(channels, layer.size, layer.steps, layer.eps, layer.momentum)


LAYERS = (
    NormLayer(
        IterativeNorm,
        widened=_widened,
        values_per_statistic=lambda layer, shape: shape[0] * shape[2] * shape[3],
    ),
)
