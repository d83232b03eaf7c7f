"""How a network's forward pass is computed on a device."""

from importlib.util import find_spec

import torch
from torch import nn

from normscope.experiment import Precision
from normscope.training.steps import Forward


def fastest_forward(layers: nn.Module, device: torch.device, precision: Precision) -> Forward:
    """The fastest way to compute ``layers(x)`` on a device: float32 logits, whatever is inside.

    On a CPU a sequence of layers is fused, where numba is installed (`normscope.training.fused`).
    """
    forward: Forward = layers
    if isinstance(layers, nn.Sequential) and kernels_for(device) == "numba":
        from normscope.training.fused.fuse import fuse

        forward = fuse(layers)
    if precision == "fp32":
        return forward

    def in_bfloat16(x_NCHW: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return forward(x_NCHW).float()

    return in_bfloat16


def kernels_for(device: torch.device) -> str:
    """What computes the norms on a device: "numba" or "torch"."""
    return "numba" if device.type == "cpu" and find_spec("numba") else "torch"
