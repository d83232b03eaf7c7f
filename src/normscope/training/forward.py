"""How a model's forward pass is computed on a device."""

import os
from importlib.util import find_spec

import torch
from torch import nn

from normscope.experiment import Precision


def with_fastest_forward(
    model: nn.Module, device: torch.device, precision: Precision, members: int = 1
) -> nn.Module:
    """The model, whose forward pass is computed in the fastest way: float32 logits in any case.

    It shares the model's parameters, buffers and mode. `members` counts those of a fleet.
    """
    kernels = kernels_for(device, members)
    if kernels != "torch":
        from normscope.training.fused import Fused  # it compiles, which takes a while to import

        if kernels == "lanes":
            from normscope.training.lanes.run import in_lanes

            model = Fused(model, in_lanes)
        else:
            model = Fused(model)
    return InBfloat16(model) if precision == "bf16" else model


def fused_norms(model: nn.Module, device: torch.device) -> int | None:
    """How many norm layers are computed in fused passes on a device; None if none ever are."""
    if kernels_for(device) == "torch":
        return None
    from normscope.training.fused.fuse import fused_norms as count

    return count(model)


class InBfloat16(nn.Module):
    """A model with activations and convolutions in bfloat16; its answers are float32."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x_NCHW.device.type, torch.bfloat16):
            return self.model(x_NCHW).float()


def kernels_for(device: torch.device, members: int = 1) -> str:
    """What computes a network, or a fleet, on a device.

    "lanes": runs of layers with samples in lanes, as far as they go, and norms in fused passes,
    where NORMSCOPE_KERNELS=lanes asks for it; "numba": norms in fused passes alone; "torch".
    """
    if device.type != "cpu" or members > 1 or find_spec("numba") is None:
        return "torch"
    from numba import config

    # Set by NUMBA_DISABLE_JIT=1; the loops over memory are of no use uncompiled.
    if config.DISABLE_JIT:  # pyright: ignore[reportAttributeAccessIssue]
        return "torch"
    if os.environ.get("NORMSCOPE_KERNELS") != "lanes":
        return "numba"
    from normscope.training.lanes.target import target

    return "numba" if target() is None else "lanes"
