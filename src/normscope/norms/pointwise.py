"""Layers in a norm's place that take no statistics: each value is bent by itself, or left alone."""

import math
from collections.abc import Callable

import torch
from torch import nn

from normscope.norms.layer import NormLayer


def identity(num_channels: int) -> nn.Identity:
    """No norm at all: y = x."""
    return nn.Identity()


def _isru(z: torch.Tensor) -> torch.Tensor:
    return z * torch.rsqrt(z.square() + 1)


def _arctan(z: torch.Tensor) -> torch.Tensor:
    return torch.atan(z) * (2 / math.pi)


def _satursin(z: torch.Tensor) -> torch.Tensor:
    return torch.sin(z.clamp(-math.pi / 2, math.pi / 2))


def _expsign(z: torch.Tensor) -> torch.Tensor:
    return torch.sign(z) * -torch.expm1(-z.abs())


BENDS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "erf": torch.erf,
    "isru": _isru,
    "arctan": _arctan,
    "satursin": _satursin,
    "expsign": _expsign,
}


class Bend(nn.Module):
    """y = gamma * f(alpha * x + s) + beta with a bounded f; gamma and beta have shape (C,).

    alpha, and s if `shifted`, are one number each for the layer. They begin at `alpha` and 0. f is
    one of `BENDS`: tanh z; erf z; isru z / sqrt(z^2 + 1); arctan (2/pi) atan z; satursin sin of z
    clipped to +-pi/2; expsign sign(z) (1 - exp(-|z|)). `members` counts networks side by side.
    Sources: Zhu et al. 2025, arXiv:2503.10622 (tanh, unshifted); Chen et al. 2025,
    arXiv:2512.10938, and its repository (the others).
    """

    def __init__(
        self,
        num_channels: int,
        bend: str,
        alpha: float = 0.5,
        shifted: bool = True,
        members: int = 1,
    ):
        super().__init__()
        self.num_channels, self.bend, self.members = num_channels, bend, members
        self.alpha = nn.Parameter(torch.full((members,), float(alpha)))
        self.s = nn.Parameter(torch.zeros(members)) if shifted else None
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float() if x.dtype == torch.bfloat16 else x
        z = self._each(self.alpha) * wide
        if self.s is not None:
            z = z + self._each(self.s)
        y = self.weight[:, None, None] * BENDS[self.bend](z) + self.bias[:, None, None]
        return y.to(x.dtype)

    def _each(self, value: torch.Tensor) -> torch.Tensor:
        """A member's number for each of its channels, to be multiplied by x (N, M*C, H, W)."""
        if self.members == 1:
            return value
        return value.repeat_interleave(self.num_channels // self.members)[:, None, None]

    def extra_repr(self) -> str:
        return f"{self.num_channels}, {self.bend}"


def dyt(num_channels: int, alpha: float = 0.5) -> Bend:
    """Dynamic tanh: see `Bend`."""
    return Bend(num_channels, "tanh", alpha, shifted=False)


def derf(num_channels: int, alpha: float = 0.5) -> Bend:
    """Dynamic erf: see `Bend`."""
    return Bend(num_channels, "erf", alpha)


def isru(num_channels: int, alpha: float = 0.5) -> Bend:
    """Dynamic inverse square root unit: see `Bend`."""
    return Bend(num_channels, "isru", alpha)


def arctan(num_channels: int, alpha: float = 0.5) -> Bend:
    """Dynamic arc tangent: see `Bend`."""
    return Bend(num_channels, "arctan", alpha)


def satursin(num_channels: int, alpha: float = 0.5) -> Bend:
    """Dynamic saturating sine: see `Bend`."""
    return Bend(num_channels, "satursin", alpha)


def expsign(num_channels: int, alpha: float = 0.5) -> Bend:
    """Dynamic signed exponential: see `Bend`."""
    return Bend(num_channels, "expsign", alpha)


def _widened(layer: Bend, members: int) -> Bend:
    return Bend(
        layer.num_channels * members,
        layer.bend,
        shifted=layer.s is not None,
        members=layer.members * members,
    )


LAYERS = (NormLayer(Bend, widened=_widened, by_pixel=True),)
