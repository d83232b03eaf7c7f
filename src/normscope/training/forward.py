"""How a model's forward pass is computed on a device."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import nn

from normscope.errors import UsageError
from normscope.experiment import Precision

if TYPE_CHECKING:
    from normscope.training.fused import Fused
    from normscope.training.lanes.run import Run

KERNELS = "lanes", "numba", "torch"


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
            from normscope.training.lanes.worth import worth_it

            everywhere = _asked() == "lanes"
            model = Fused(model, in_lanes if everywhere else partial(in_lanes, worth=worth_it))
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
    """What may compute a network, or a fleet, on a device.

    "lanes": runs of layers with samples in lanes where that is faster, and norms in fused passes;
    "numba": norms in fused passes alone; "torch". NORMSCOPE_KERNELS asks for one of them; asked
    for, lanes are used wherever they can be. Raises `UsageError` if it asks for something else.
    """
    asked = _asked()
    if asked == "torch" or device.type != "cpu" or members > 1 or find_spec("numba") is None:
        return "torch"
    from numba import config

    # Set by NUMBA_DISABLE_JIT=1; the loops over memory are of no use uncompiled.
    if config.DISABLE_JIT:  # pyright: ignore[reportAttributeAccessIssue]
        return "torch"
    if asked == "numba":
        return "numba"
    from normscope.training.lanes.target import target

    return "numba" if target() is None else "lanes"


def _asked() -> str | None:
    asked = os.environ.get("NORMSCOPE_KERNELS") or None
    if asked not in (None, *KERNELS):
        known = ", ".join(KERNELS)
        raise UsageError(f"NORMSCOPE_KERNELS is {asked}; leave it out, or choose one of {known}")
    return asked


# -- what computes a certain network ---------------------------------------------------------------


def kernels_used(model: nn.Module) -> str:
    """What computed a model of `with_fastest_forward`: "lanes" if any of its layers, and so on."""
    fused = _fused(model)
    if fused is None:
        return "torch"
    return "lanes" if any(run.layers for run in _runs(fused)) else "numba"


@dataclass(frozen=True)
class Planned:
    """What will compute a network, and whether code for it is compiled first."""

    kernels: str
    compiles: bool = False


def plan_kernels(
    model: nn.Module, device: torch.device, precision: Precision, shape: tuple[int, int, int]
) -> Planned:
    """What will compute a model for images of that shape, (C, H, W), on a device.

    The model answers for two images, in evaluation and outside of lanes. If it raises, that is for
    whoever trains it, and what may compute it is returned.
    """
    if kernels_for(device) != "lanes":
        return Planned(kernels_for(device))
    from normscope.training.lanes.compiling import is_compiled
    from normscope.training.lanes.run import only_planned

    modes = [(module, module.training) for module in model.modules()]
    fastest = with_fastest_forward(model, device, precision).eval()
    try:
        # With gradients, since in training a run behind others has one of its input.
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), only_planned():
            fastest(torch.rand(2, *shape))
    except Exception:  # whatever a model of the user's own raises
        return Planned(kernels_for(device))
    finally:
        for module, training in modes:
            module.training = training
    planned = [run.layers for run in _runs(_fused(fastest)) if run.layers]
    return Planned(kernels_used(fastest), not all(map(is_compiled, planned)))


def _fused(model: nn.Module) -> "Fused | None":
    """The `Fused` that a model of `with_fastest_forward` is, if it is one."""
    if "normscope.training.fused" not in sys.modules:  # which is imported for those alone
        return None
    from normscope.training.fused import Fused

    model = model.model if isinstance(model, InBfloat16) else model
    return model if isinstance(model, Fused) else None


def _runs(fused: "Fused | None") -> "Iterator[Run]":
    from normscope.training.lanes.run import Run

    return (
        (step for own in fused.steps for step in own if isinstance(step, Run))
        if fused
        else iter(())
    )
