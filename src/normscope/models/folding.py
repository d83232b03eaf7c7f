"""Norms that are fixed maps in evaluation, folded into the convolutions beside them."""

import copy
from typing import TypeGuard

import torch
from torch import nn

from normscope.models.layers import Dropout
from normscope.norms.by_layer import coefficients_of

NEAR = 1e-3  # of the largest output: a folded network that is farther off is no use


def fold_norms(network: nn.Module, x_NCHW: torch.Tensor) -> nn.Module | None:
    """A copy of a network for evaluation without the norms that are fixed there, or None.

    A norm whose evaluation is one scale and shift per channel, as BatchNorm's, disappears into the
    convolution before it, or else into the one after it. Where the latter pads its input, zeros
    come after the shift, so what the shift adds differs along the border: it is kept as a map of
    the size that `x_NCHW`, an example of an input, leads to, and the copy is for that size alone.
    Norm and convolution are found where they follow each other in an `nn.Sequential`, and each is
    used once. None if none is found, or if the copy would answer otherwise than the network.
    """
    folded = copy.deepcopy(network).eval()
    used: dict[nn.Module, list[torch.Size]] = {}
    hooks = [
        layer.register_forward_pre_hook(
            lambda of, inputs: used.setdefault(of, []).append(inputs[0].shape)
        )
        for layer in folded.modules()
        if not list(layer.children())
    ]
    with torch.no_grad():
        expected = folded(x_NCHW)
        for hook in hooks:
            hook.remove()
        shapes = {layer: inputs[0] for layer, inputs in used.items() if len(inputs) == 1}
        sequences = [layer for layer in folded.modules() if type(layer) is nn.Sequential]
        found = [_fold(layers, shapes) for layers in sequences]
        error = (folded(x_NCHW) - expected).abs().max()
    return folded if any(found) and error <= NEAR * expected.abs().max() else None


def fixed_factors(norm: nn.Module, num_channels: int) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Scale and shift of a norm in evaluation mode, float64 (C,), if all images share them."""
    coefficients = coefficients_of(norm)
    if coefficients is None:
        return None
    device = next(norm.parameters()).device
    ones = torch.ones(2, num_channels, dtype=torch.float64, device=device)  # two images, one pixel
    scale, shift = coefficients(norm, ones, ones, 1)
    return (scale[0], shift[0]) if len(scale) == 1 else None


def _fold(layers: nn.Sequential, shapes: dict[nn.Module, torch.Size]) -> bool:
    """Fold what can be folded of one sequence, in place; say whether there was anything."""
    found = False
    for place, norm in enumerate(layers):
        if norm not in shapes or (factors := fixed_factors(norm, shapes[norm][1])) is None:
            continue
        before = layers[place - 1] if place else None
        after = place + 1
        while after < len(layers) and _is_passed(layers[after]):
            after += 1
        if type(before) is nn.Conv2d and before in shapes:
            _scale_output(before, *factors)
        elif after < len(layers) and _takes(conv := layers[after]) and conv in shapes:
            layers[after] = _with_scaled_input(conv, *factors, shapes[conv])
        else:
            continue
        layers[place] = nn.Identity()
        found = True
    return found


def _is_passed(layer: nn.Module) -> bool:
    """Whether a scale and a shift per channel come to the same before and after it, evaluated."""
    if isinstance(layer, nn.AvgPool2d):
        return layer.padding in (0, (0, 0)) and layer.divisor_override is None
    return isinstance(layer, Dropout | nn.Dropout | nn.AdaptiveAvgPool2d)


def _takes(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    return type(layer) is nn.Conv2d and layer.groups == 1


def _scale_output(conv: nn.Conv2d, scale: torch.Tensor, shift: torch.Tensor) -> None:
    """Make a convolution compute scale * y + shift where it computed y."""
    bias = shift if conv.bias is None else scale * conv.bias + shift
    conv.weight.mul_(scale[:, None, None, None])
    conv.bias = nn.Parameter(bias.to(conv.weight.dtype))


class ConvPlusMap(nn.Module):
    """A convolution, and a map (1, C, H, W) that is added to its output."""

    def __init__(self, conv: nn.Conv2d, added: torch.Tensor):
        super().__init__()
        self.conv = conv
        self.register_buffer("added", added)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + self.added


def _with_scaled_input(
    conv: nn.Conv2d, scale: torch.Tensor, shift: torch.Tensor, shape: torch.Size
) -> nn.Module:
    """A convolution of scale * x + shift, as a function of x."""
    constant = shift.to(conv.weight.dtype)[None, :, None, None].expand(1, *shape[1:])
    added = conv(constant)
    conv.weight.mul_(scale[None, :, None, None])
    conv.bias = None
    if conv.padding in ((0, 0), 0, "valid"):
        conv.bias = nn.Parameter(added[0, :, 0, 0])
        return conv
    return ConvPlusMap(conv, added.contiguous(memory_format=torch.channels_last))
