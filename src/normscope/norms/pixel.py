"""Norms whose statistics run over the channels of each pixel by itself."""

import torch
from torch import nn

from normscope.norms.layer import NormLayer


class ChannelLayerNorm(nn.Module):
    """Layer normalization over C at each pixel, as in ConvNeXt; gamma and beta have shape (C,).

    y = gamma * (x - mean_C) / sqrt(var_C + eps) + beta, with the biased variance, in training and
    evaluation alike. `members` counts networks side by side, each normalized by itself.
    Source: Liu et al. 2022, arXiv:2201.03545.
    """

    def __init__(self, num_channels: int, eps: float = 1e-6, members: int = 1):
        super().__init__()
        self.num_channels, self.eps, self.members = num_channels, eps, members
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        own_NHWMC = members_last(x, self.members)
        # On a CPU torch adds up the gradients of gamma and beta in the type of its input: beyond
        # 256 a sum in bfloat16 takes no number of the size of 1 any more.
        own_NHWMC = own_NHWMC.float() if x.dtype == torch.bfloat16 else own_NHWMC
        shape = own_NHWMC.shape[4:]
        if self.members == 1:
            y = nn.functional.layer_norm(own_NHWMC, shape, self.weight, self.bias, self.eps)
            return y.to(x.dtype).flatten(3).permute(0, 3, 1, 2)
        y = nn.functional.layer_norm(own_NHWMC, shape, eps=self.eps).flatten(3)
        return (y * self.weight + self.bias).to(x.dtype).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        return f"{self.num_channels}, eps={self.eps}"


class ChannelRMSNorm(nn.Module):
    """Root mean square normalization over C at each pixel; gamma has shape (C,), there is no beta.

    y = gamma * x / sqrt(mean_C x^2 + eps), in training and evaluation alike. `members` as above.
    Source: Zhang & Sennrich 2019, arXiv:1910.07467.
    """

    def __init__(self, num_channels: int, eps: float = 1e-6, members: int = 1):
        super().__init__()
        self.num_channels, self.eps, self.members = num_channels, eps, members
        self.weight = nn.Parameter(torch.ones(num_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        own_NHWMC = members_last(x, self.members)
        wide = own_NHWMC.float() if x.dtype == torch.bfloat16 else own_NHWMC
        rms = torch.sqrt(wide.square().mean(dim=4, keepdim=True) + self.eps)
        return ((wide / rms).flatten(3) * self.weight).to(x.dtype).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        return f"{self.num_channels}, eps={self.eps}"


def members_last(x: torch.Tensor, members: int) -> torch.Tensor:
    """x (N, M*C, H, W) as (N, H, W, M, C), a view where x is in channels_last."""
    return x.permute(0, 2, 3, 1).unflatten(3, (members, -1))


def _widened(layer, members: int) -> nn.Module:
    return type(layer)(layer.num_channels * members, layer.eps, layer.members * members)


def _values(layer, shape: torch.Size) -> int:
    return shape[1] // layer.members


LAYERS = (
    NormLayer(ChannelLayerNorm, widened=_widened, values_per_statistic=_values, by_pixel=True),
    NormLayer(ChannelRMSNorm, widened=_widened, values_per_statistic=_values, by_pixel=True),
)
