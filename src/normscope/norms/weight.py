"""Convolutions whose weights are standardized: norms that sit in the weights.

They take the place of a network's convolutions; its last one, the classifier, stays as it is.
"""

import math

import torch
from torch import nn

from normscope.norms.layer import NormLayer

# With it the output of ReLU has variance 1 where its input is standard normal.
GAMMA_RELU = math.sqrt(2 / (1 - 1 / math.pi))


class StandardizedConv2d(nn.Conv2d):
    """A convolution whose weights W are (W - mean) / sqrt(var + eps).

    Mean and biased variance are over the fan-in of each output channel.
    Source: Qiao et al. 2019, arXiv:1903.10520.
    """

    eps = 1e-6

    def effective_weight(self) -> torch.Tensor:
        """What the input is convolved with: (C_out, C_in, kH, kW)."""
        return standardized(self.weight, self.eps)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(input, self.effective_weight(), self.bias)


class ScaledConv2d(nn.Conv2d):
    """Scaled weight standardization: gain * gamma_act * (W - mean) / (std * sqrt(fan-in)).

    mean and the biased std are over the fan-in of each output channel; the gain, (C,), begins at 1.
    gamma_act is that of ReLU if the input is the output of one (`after_relu`), else 1, so that the
    variance of a signal stays what it is. Source: Brock et al. 2021, arXiv:2101.08692.
    """

    eps = 1e-6

    def __init__(self, *arguments, device: torch.device | None = None, **options):
        super().__init__(*arguments, device=device, **options)
        self.gain = nn.Parameter(torch.ones(self.out_channels, device=device))
        self.after_relu = False

    def effective_weight(self) -> torch.Tensor:
        """What the input is convolved with: (C_out, C_in, kH, kW)."""
        fan_in = self.weight[0].numel()
        gamma = GAMMA_RELU if self.after_relu else 1.0
        scale = self.gain[:, None, None, None] * (gamma / math.sqrt(fan_in))
        return scale * standardized(self.weight, self.eps)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(input, self.effective_weight(), self.bias)


def standardized(weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Weights (C_out, C_in, kH, kW) with mean 0 and variance 1 over the fan-in."""
    var, mean = torch.var_mean(weight, dim=(1, 2, 3), correction=0, keepdim=True)
    return (weight - mean) / torch.sqrt(var + eps)


def _widened(layer: nn.Conv2d, members: int) -> nn.Conv2d:
    wide = type(layer)(
        layer.in_channels * members,
        layer.out_channels * members,
        layer.kernel_size,  # pyright: ignore[reportArgumentType]  # of two numbers, as it came
        stride=layer.stride,  # pyright: ignore[reportArgumentType]
        padding=layer.padding,  # pyright: ignore[reportArgumentType]
        dilation=layer.dilation,  # pyright: ignore[reportArgumentType]
        groups=layer.groups * members,
        bias=layer.bias is not None,
        padding_mode=layer.padding_mode,
        device="meta",
    ).to_empty(device="cpu")
    if isinstance(layer, ScaledConv2d) and isinstance(wide, ScaledConv2d):
        wide.after_relu = layer.after_relu
    return wide


LAYERS = (
    NormLayer(StandardizedConv2d, widened=_widened),
    NormLayer(ScaledConv2d, widened=_widened),
)
