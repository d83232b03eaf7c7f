"""Norms that weigh the channels of a sample against each other."""

import torch
from torch import nn

from normscope.norms.layer import Factors, NormLayer, SumsNorm


class GlobalResponseNorm(SumsNorm):
    """Global response normalization, as in ConvNeXt V2; gamma and beta, (C,), begin at 0.

    y = x + gamma * x * g / (mean_C g + eps) + beta, with g = sqrt(sum_HW x^2) for each channel of
    each sample, in training and evaluation alike. Source: Woo et al. 2023, arXiv:2301.00808.
    `members` counts networks side by side.
    """

    def __init__(self, num_channels: int, eps: float = 1e-6, members: int = 1):
        super().__init__(num_channels, eps)
        self.members = members
        nn.init.zeros_(self.weight)

    def coefficients(self, total: torch.Tensor, squares: torch.Tensor, pixels: int) -> Factors:
        # The slope of a root is infinite at 0, where a channel is dead; there it counts as 0.
        dead = squares <= 0
        g = torch.where(dead, torch.ones_like(squares), squares).sqrt().masked_fill(dead, 0.0)
        own = g.unflatten(1, (self.members, -1))
        share = (own / (own.mean(dim=2, keepdim=True) + self.eps)).flatten(1)
        scale = 1 + self.weight * share
        return scale, self.bias.to(scale.dtype).expand_as(scale)


class LocalResponseNorm(nn.LocalResponseNorm):
    """torch's layer, with an output of the type of its input under autocast, too."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input).to(input.dtype)


def local_response_norm(
    num_channels: int, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> LocalResponseNorm:
    """Local response normalization over `size` neighbouring channels; it has no parameters.

    y = x / (k + alpha * mean of x^2 over the neighbours)^beta at each pixel. The paper sums where
    torch, and so this, takes the mean over `size`. Source: Krizhevsky et al. 2012, NeurIPS 25.
    """
    return LocalResponseNorm(size, alpha, beta, k)


LAYERS = (
    NormLayer(
        GlobalResponseNorm,
        coefficients=GlobalResponseNorm.coefficients,
        widened=lambda layer, members: GlobalResponseNorm(
            layer.num_channels * members, layer.eps, layer.members * members
        ),
    ),
    NormLayer(LocalResponseNorm),
)
