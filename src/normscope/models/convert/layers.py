"""The norm layers of a network: which there are, what kind they are, and what is in the way."""

from collections.abc import Iterator, Mapping
from inspect import signature
from pkgutil import resolve_name
from types import CodeType
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.parameter import is_lazy

from normscope.errors import UsageError
from normscope.models.convert.conversion import named
from normscope.norms import PACKAGED_NORMS
from normscope.norms.by_layer import norm_layers

# Norms of torch that also take (N, C), (N, C, L) and (N, C, D, H, W): by the axes behind C.
BY_AXES: Mapping[str, Mapping[int, type[nn.Module]]] = {
    "bn": {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d},
    "in": {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d},
}

# Functions that normalize maps; called in a forward method, they are no layer to be swapped.
FUNCTIONAL = ("batch_norm", "group_norm", "instance_norm")

# Layers of a convolution and a norm that read the statistics of the norm inside.
FUSED = "torch.ao.nn.intrinsic"

# Where the layer that was swapped first is kept, for the way back. It is in a tuple, and so no part
# of the network: neither of its state nor of its parameters.
ORIGINAL = "_normscope_original"

RUNNING = ("running_mean", "running_var", "num_batches_tracked")


def norms_in(module: nn.Module) -> dict[nn.Module, tuple[str, ...]]:
    """Every norm layer with all of its names, in the order of the network."""
    found: dict[nn.Module, list[str]] = {}
    inside: tuple[str, ...] = ()
    for name, layer in module.named_modules(remove_duplicate=False):
        if inside and name.startswith(inside):
            continue
        if is_norm(layer):
            found.setdefault(layer, []).append(name)
            inside = (*inside, f"{name}." if name else "")
            if not name:
                break
    return {layer: tuple(names) for layer, names in found.items()}


def is_norm(layer: nn.Module) -> bool:
    torchs = (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
    ours = type(layer) in norm_layers() and not isinstance(layer, nn.Conv2d | nn.Identity)
    return isinstance(layer, torchs) or ours or hasattr(layer, ORIGINAL)


def refuse(module: nn.Module, found: Mapping[nn.Module, tuple[str, ...]]) -> None:
    """Raise `UsageError` for what cannot be swapped, naming it."""
    for name, layer in module.named_modules():
        where = f"at {named((name,))}"
        if isinstance(layer, torch.jit.ScriptModule):
            raise UsageError(
                f"{where}: compiled by TorchScript, whose layers are fixed; convert the network "
                "before it is compiled"
            )
        if any(map(is_lazy, _own(layer))):
            raise UsageError(
                f"{where}: {type(layer).__name__} has not seen an input yet; run the network once"
            )
        if layer in found or _inside_norm(name, found):
            continue
        called = [
            each
            for each in _called(type(layer))
            if each in FUNCTIONAL and not any(hasattr(part, each) for part in layer.modules())
        ]
        if called:
            raise UsageError(
                f"{where}: {type(layer).__name__} calls {called[0]}() in its forward, which is no "
                "layer that could be swapped; make it a layer of the network"
            )


def _own(layer: nn.Module) -> list[torch.Tensor]:
    return [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]


def _inside_norm(name: str, found: Mapping[nn.Module, tuple[str, ...]]) -> bool:
    norms = (f"{each}." for names in found.values() for each in names)
    return any(name.startswith(norm) for norm in norms)


def _called(kind: type[nn.Module]) -> Iterator[str]:
    """The names that a layer's forward and the methods of its class that it calls look up."""
    seen: set[str] = set()
    names = ["forward"]
    while names:
        name = names.pop()
        code = getattr(getattr(kind, name, None), "__code__", None)
        if name in seen or not isinstance(code, CodeType) or of_torch(kind, name):
            continue
        seen.add(name)
        yield from code.co_names
        names += [each for each in code.co_names if callable(getattr(kind, each, None))]


def of_torch(kind: type[nn.Module], method: str) -> bool:
    """Whether the method is torch's own, whose layers are known by their class."""
    module = getattr(getattr(kind, method), "__module__", "") or ""
    return module == "torch" or module.startswith("torch.")


def shapes_of(
    module: nn.Module, found: Mapping[nn.Module, tuple[str, ...]], inputs: Any
) -> dict[nn.Module, torch.Size]:
    """The shape of what goes into each norm layer; {} without `inputs`."""
    if inputs is None:
        return {}
    arguments = (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs)
    shapes: dict[nn.Module, torch.Size] = {}

    def keep(layer: nn.Module, received: tuple, named_ones: dict) -> None:
        (x, *_) = (*received, *named_ones.values())
        known = shapes.get(layer)  # of several uses the smallest map decides
        if known is None or x.shape[2:].numel() < known[2:].numel():
            shapes[layer] = x.shape

    hooks = [layer.register_forward_pre_hook(keep, with_kwargs=True) for layer in found]
    modes = {layer: layer.training for layer in module.modules()}
    try:
        module.eval()(*arguments)
    finally:
        for hook in hooks:
            hook.remove()
        for layer, mode in modes.items():
            layer.training = mode
    return shapes


def channels_of(layer: nn.Module) -> int | None:
    """The channels of the maps that a layer normalizes; None if it normalizes no maps."""
    if isinstance(layer, nn.LayerNorm):
        shape = layer.normalized_shape
        # Over (C, H, W) it is torch's own; those for maps (N, C, H, W) go by this name everywhere.
        spatial = len(shape) >= 3 or type(layer).__name__.startswith("LayerNorm2d")
        return next(iter(shape)) if spatial else None
    if isinstance(layer, nn.RMSNorm):
        return None
    if isinstance(layer, nn.Identity):
        original = original_of(layer)
        return channels_of(original) if original is not None else None
    names = ("num_features", "num_channels")
    return next((getattr(layer, name) for name in names if hasattr(layer, name)), None)


def why_kept(layer: nn.Module) -> str | None:
    """Why a layer of torch's, or a subclass of one, is more than a norm that could be swapped."""
    if type(layer) in norm_layers() and type(layer).__module__.startswith("normscope."):
        return None
    own = [name for name, _ in layer.named_parameters(recurse=False)]
    own += [f"parametrizations.{name}" for name in getattr(layer, "parametrizations", ())]
    others = [name for name in own if name not in ("weight", "bias")]
    if others:
        return f"it has parameters of its own or a parametrization: {', '.join(others)}"
    if not of_torch(type(layer), "forward") and len(signature(type(layer).forward).parameters) > 2:
        return "its forward takes more than an input"
    return None


def axes_of(layer: nn.Module, shape: torch.Size | None, usual: int) -> int:
    """How many axes there are behind the channels: 1 for (N, C) and (N, C, L), 2 for maps, 3."""
    if shape is not None:
        return max(1, len(shape) - 2)
    if isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) > 1:
        return len(layer.normalized_shape) - 1
    known = [each for each in (layer, original_of(layer)) if each is not None]
    for axes in (1, 2, 3):
        kinds = tuple(by_axes[axes] for by_axes in BY_AXES.values())
        if any(isinstance(each, kinds) for each in known):
            return axes
    return usual


def usual_axes(module: nn.Module) -> int:
    """Those of the network's convolutions, if all have the same; 1 with linear layers alone."""
    kinds = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}
    found = {axes for layer in module.modules() for kind, axes in kinds.items()
             if isinstance(layer, kind)}  # fmt: skip
    if not found and any(isinstance(layer, nn.Linear) for layer in module.modules()):
        return 1
    return found.pop() if len(found) == 1 else 2


def original_of(layer: nn.Module) -> nn.Module | None:
    """The layer that was swapped for this one, or for the one before it; None if there is none."""
    kept = vars(layer).get(ORIGINAL)
    return kept[0] if kept else None


def kind_of(layer: nn.Module) -> str | None:
    """The short name of a layer's norm, whatever its options; ln counts as gn."""
    if isinstance(layer, nn.LayerNorm):
        return "ln-full" if len(layer.normalized_shape) > 1 else "ln-channel"
    kinds = {_BatchNorm: "bn", nn.GroupNorm: "gn", _InstanceNorm: "in"}
    for kind, name in kinds.items():
        if isinstance(layer, kind):
            return name
    for name, norm in PACKAGED_NORMS.items():
        if resolve_name(norm.home) is type(layer):
            return name
    return None


def running_statistics(layer: nn.Module) -> dict[str, torch.Tensor]:
    buffers = dict(layer.named_buffers(recurse=False))
    return {name: buffers[name] for name in RUNNING if name in buffers}


def acts(layer: nn.Module) -> bool:
    """Whether a layer is a norm and an activation in one, as timm has them."""
    return isinstance(getattr(layer, "act", None), nn.Module)


def acts_by_itself(layer: nn.Module) -> bool:
    return acts(layer) and not of_torch(type(layer), "forward") and type(layer) not in norm_layers()
