"""What a new norm layer takes over from the one in whose place it comes."""

from typing import Any

import torch
from torch import nn

from normscope.models.convert.layers import (
    ORIGINAL,
    acts,
    acts_by_itself,
    original_of,
    running_statistics,
)


def carry(old: nn.Module, new: nn.Module, like: torch.Tensor | None) -> list[str]:
    """Give the new layer what the old one has; returns the names of what means the same.

    A layer that has nothing of a dtype and a device takes those of `like`.
    """
    carried = [*_carry_parameters(old, new), *_carry_running(old, new)]
    own = [each for each in (*old.parameters(), *old.buffers()) if each.is_floating_point()]
    like = own[0] if own else like
    frozen = [parameter for parameter in old.parameters() if not parameter.requires_grad]
    if frozen and len(frozen) == len(list(old.parameters())):
        new.requires_grad_(False)
    if like is not None:
        new.to(device=like.device, dtype=like.dtype)
    new.train(old.training)
    _carry_hooks(old, new)
    _carry_activation(old, new)
    original = original_of(old) or old
    if original is not new:
        object.__setattr__(new, ORIGINAL, (original,))
    return carried


def _carry_parameters(old: nn.Module, new: nn.Module) -> list[str]:
    """The same objects, so that an optimizer goes on with them."""
    carried = []
    for name in ("weight", "bias"):
        before, after = getattr(old, name, None), getattr(new, name, None)
        if not isinstance(before, nn.Parameter) or not isinstance(after, nn.Parameter):
            continue
        if before.shape == after.shape:
            setattr(new, name, before)
            carried.append(name)
    return carried


def _carry_running(old: nn.Module, new: nn.Module) -> list[str]:
    before, after = running_statistics(old), running_statistics(new)
    if not before or before.keys() != after.keys():
        return []
    for name, value in before.items():
        after[name].copy_(value)
    return ["running statistics"]


def _carry_activation(old: nn.Module, new: nn.Module) -> None:
    """The activation of a layer that is norm and activation in one, and its dropout."""
    if not acts(old):
        return
    for name in ("drop", "act"):
        if isinstance(getattr(old, name, None), nn.Module):
            new.add_module(name, getattr(old, name))
    if not acts_by_itself(new):
        new.register_forward_hook(_then_activation, prepend=True)


def _carry_hooks(old: nn.Module, new: nn.Module) -> None:
    """The hooks on a call and on its gradients, which keep their handles."""
    for name, hooks in vars(old).items():
        if name.startswith(("_forward", "_backward", "_is_full_backward")) and "hook" in name:
            object.__setattr__(new, name, hooks)
    for key, hook in list(new._forward_hooks.items()):
        if hook is _then_activation:
            del new._forward_hooks[key]


def _then_activation(layer: Any, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
    """What follows the norm in a layer that is both."""
    dropped = layer.drop(output) if hasattr(layer, "drop") else output
    return layer.act(dropped)
