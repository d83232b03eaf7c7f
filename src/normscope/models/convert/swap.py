"""Swapping the norm layers of a network: planned as a whole, and then done or refused."""

import gc
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm

from normscope.errors import UsageError
from normscope.models.convert.carry import carry
from normscope.models.convert.conversion import ALREADY, Conversion, Left, Swap, named, told
from normscope.models.convert.layers import (
    BY_AXES,
    FUSED,
    acts,
    axes_of,
    channels_of,
    kind_of,
    norms_in,
    of_torch,
    original_of,
    refuse,
    running_statistics,
    shapes_of,
    usual_axes,
    why_kept,
)
from normscope.norms import GIVEN, PACKAGED_NORMS, asked, canonical, parse
from normscope.norms.by_layer import norm_layers

ANY_AXES = ("gn", "ln", "none")

# What is added to a variance before its root is taken: one meaning, so that it is carried over.
SAME_EPS = (
    "bn", "gn", "ln", "ln-channel", "ln-full", "in", "ghost-bn", "bn-scale", "switch", "bin", "bnn",
)  # fmt: skip
SAME_MOMENTUM = ("bn", "ghost-bn", "bn-center", "bn-scale", "bnn")


@torch.no_grad()
def convert(
    module: nn.Module, norm: str, inputs: torch.Tensor | Sequence[Any] | None = None
) -> Conversion:
    """Swap every norm layer of a network, in place, for `norm`, such as ``"gn:groups=8"``.

    Norm layers are torch's BatchNorm (1d, 2d, 3d, Sync), GroupNorm, InstanceNorm and those
    LayerNorms that normalize maps, their subclasses, timm's layers of norm and activation, and the
    norms of this package. A layer that is used in several places is swapped once.

    The new layer has the old one's parameters themselves where they mean the same, so that an
    optimizer goes on with them; eps, momentum and running statistics, too; its device, dtype, mode,
    hooks and name. ``gn:auto`` takes as many groups as divide the channels, at least 4 channels
    each and 32 groups at most. A network that is converted back to what it was answers as before:
    the old layer is kept beside the new one, with its running statistics.

    With `inputs`, one input or the arguments of the network, it is run once, in evaluation mode and
    without gradients, to see how large the maps are.

    Raises `UsageError`, naming the layer, before anything is changed: for a norm that does not fit
    (groups that do not divide, a statistic over a single value; the latter needs `inputs`), a lazy
    layer that has not seen an input, a norm function that is called in a `forward`, TorchScript;
    and for norms that need another network around them: those that replace the activation or change
    the convolutions, and ``order=...``.

    >>> from normscope import convert
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU())
    >>> len(convert(network, "gn:groups=4").swapped), network[1].num_groups
    (1, 4)
    """
    if not isinstance(norm, str):
        raise UsageError(f'the norm is a name such as "gn:groups=8", not {norm!r}')
    target = Target.of(norm)
    found = norms_in(module)
    refuse(module, found)
    shapes = shapes_of(module, found, inputs)
    usual = usual_axes(module)
    plans = [
        _plan(layer, names, target, shapes.get(layer), usual) for layer, names in found.items()
    ]
    plans = [_kept_by_its_reader(module, plan) for plan in plans]
    optimized = _optimized(module)
    like = next((p for p in module.parameters() if p.is_floating_point()), None)
    swapped = []
    for plan in plans:
        if isinstance(plan, New):
            carried = (*plan.carried, *carry(plan.old, plan.new, like))
            module = _put(module, plan)
            swapped.append(Swap(plan.names, plan.before, told(plan.new), carried, plan.notes))
    return Conversion(
        module=module,
        norm=target.name,
        swapped=tuple(swapped),
        left=tuple(plan for plan in plans if isinstance(plan, Left)),
        warnings=tuple(_warnings(module, plans, optimized)),
    )


@dataclass(frozen=True)
class Target:
    """The norm that is asked for: its canonical `name`, that of its kind, and its options."""

    name: str
    kind: str
    options: Mapping[str, Any]
    make: Any

    @classmethod
    def of(cls, norm: str) -> "Target":
        name = canonical(norm)
        wanted, kind = asked(name), parse(name).name
        if wanted.order != GIVEN:
            raise UsageError(
                f"{name}: order= also moves the channels of the convolutions around a norm; "
                "convert swaps norm layers alone"
            )
        if wanted.placement != "post":
            raise UsageError(f"{name}: convert leaves a norm where it is; leave the place out")
        packaged = PACKAGED_NORMS.get(kind)
        if packaged is not None and packaged.replaces_activation:
            raise UsageError(
                f"{name} replaces the activation, too, which convert cannot know in a network that "
                "exists; build the network with it"
            )
        if wanted.convolution is not None:
            raise UsageError(f"{name} changes the convolutions, too; build the network with it")
        return cls(name, kind, wanted.options, wanted.make)

    def layer(self, num_channels: int, axes: int, options: Mapping[str, Any]) -> nn.Module:
        """A layer for inputs with so many axes behind the channels."""
        others = BY_AXES.get(self.kind, {})
        if axes == 2 or axes not in others:
            return self.make(num_channels, **options)
        return others[axes](num_channels, affine=True, **options)

    def takes(self, axes: int) -> bool:
        return axes == 2 or self.kind in ANY_AXES or axes in BY_AXES.get(self.kind, {})


@dataclass(frozen=True)
class New:
    """A layer that is to take the place of another, which was `before`, in words."""

    old: nn.Module
    new: nn.Module
    names: tuple[str, ...]
    before: str
    carried: tuple[str, ...]
    notes: tuple[str, ...]


def _plan(
    old: nn.Module,
    names: tuple[str, ...],
    target: Target,
    shape: torch.Size | None,
    usual: int,
) -> New | Left:
    """What becomes of a layer, whose input has the `shape` or, if unknown, the `usual` axes."""
    before, channels, axes = told(old), channels_of(old), axes_of(old, shape, usual)
    if channels is None:
        return Left(names, before, "it normalizes the last axes, features and no maps")
    if reason := why_kept(old):
        return Left(names, before, reason)
    if not target.takes(axes):
        known = ", ".join([*BY_AXES, *ANY_AXES])
        reason = f"{target.name} is for maps of two axes; of others there are {known}"
        return Left(names, before, reason)
    options = _carried_options(old, target)
    try:
        new = target.layer(channels, axes, {**options, **target.options})
    except Exception as error:  # a norm of a user's own raises what it likes
        raise UsageError(f"at {named(names)}: {target.name} does not fit: {error}") from error
    if not getattr(old, "affine", True) and hasattr(new, "affine"):
        setattr(new, "affine", False)  # noqa: B010  # of a module pyright knows tensors only
        new.register_parameter("weight", None)
        new.register_parameter("bias", None)
    _check_values(new, names, target, shape)
    if type(new) is type(old) and new.extra_repr() == old.extra_repr():
        return Left(names, before, ALREADY)
    original = original_of(old)
    if original is not None and _is_again(original, new, target):
        note = "The layer that was there before, with the running statistics of that time."
        notes = (note,) if running_statistics(original) else ()
        return New(old, original, names, before, (), notes)
    carried = tuple(name for name in options if name not in target.options)
    return New(old, new, names, before, carried, tuple(_notes(old, new)))


def _is_again(original: nn.Module, new: nn.Module, target: Target) -> bool:
    """Whether the layer that was there first is of the norm that is asked for, options included."""
    if kind_of(original) != kind_of(new):
        return False
    names = ("num_groups", *target.options)
    both = [name for name in names if hasattr(original, name) and hasattr(new, name)]
    return all(getattr(original, name) == getattr(new, name) for name in both)


def _carried_options(old: nn.Module, target: Target) -> dict[str, Any]:
    """eps and momentum, where they mean the same, of the layer or of the one that was there."""
    found = {}
    for option, kinds in (("eps", SAME_EPS), ("momentum", SAME_MOMENTUM)):
        for layer in (old, original_of(old)) if target.kind in kinds else ():
            value = getattr(layer, option, None)
            if layer is not None and kind_of(layer) in kinds and value is not None:
                found.setdefault(option, value)
    return found


def _notes(old: nn.Module, new: nn.Module) -> Iterator[str]:
    if list(new.parameters()) and not list(old.parameters()):
        yield "It has parameters now, which the layer before had not."
    if of_torch(type(old), "forward") or type(old) in norm_layers():
        return
    if acts(old):
        yield "Its activation follows the new norm."
    else:
        yield f"{type(old).__name__} has a forward of its own, which is not called any more."


def _kept_by_its_reader(module: nn.Module, plan: New | Left) -> New | Left:
    """The plan, or why the layer must stay: a layer around it reads its statistics."""
    if isinstance(plan, Left):
        return plan
    for name in plan.names:
        around = module.get_submodule(name.rpartition(".")[0])
        if type(around).__module__.startswith(FUSED):
            reason = f"{type(around).__name__} around it reads its statistics"
            return Left(plan.names, plan.before, reason)
    return plan


def _check_values(
    new: nn.Module, names: tuple[str, ...], target: Target, shape: torch.Size | None
) -> None:
    """Raise `UsageError` if a statistic of one sample would be taken over a single value."""
    if shape is None:
        return
    pixels = shape[2:].numel()
    values = None
    if isinstance(new, nn.GroupNorm):
        values = new.num_channels // new.num_groups * pixels
    elif isinstance(new, _InstanceNorm):
        values = pixels
    if values == 1:
        raise UsageError(
            f"at {named(names)}: {target.name} would take a statistic over a single value, since "
            f"its input is {tuple(shape)}; take fewer groups"
        )


def _put(module: nn.Module, plan: New) -> nn.Module:
    """The network with the new layer wherever the old one was."""
    for parent in list(module.modules()):
        for name, child in list(parent._modules.items()):
            if child is plan.old:
                parent._modules[name] = plan.new
    return plan.new if module is plan.old else module


def _warnings(module: nn.Module, plans: Sequence[New | Left], optimized: Set[int]) -> Iterator[str]:
    new = [plan for plan in plans if isinstance(plan, New)]
    now = {id(parameter) for parameter in module.parameters()}
    made = {id(parameter) for plan in new for parameter in plan.new.parameters()}
    if optimized and (optimized - now or made - optimized):
        yield (
            "an optimizer was made before the swap: it holds parameters that are gone, or lacks "
            "those that are new; make it anew"
        )
    hooked = [plan for plan in new if getattr(plan.new, "_backward_hooks", None)]
    inplace = [n for n, layer in module.named_modules() if getattr(layer, "inplace", False)]
    if hooked and inplace:
        yield (
            f"{named(hooked[0].names)} has a hook on its gradients, and {inplace[0]} works "
            "in place, which torch refuses if it comes next; make it inplace=False"
        )


def _optimized(module: nn.Module) -> set[int]:
    """The ids of those of the network's parameters that an optimizer holds."""
    own = {id(parameter) for parameter in module.parameters()}
    held = {
        id(parameter)
        for each in gc.get_objects()
        if issubclass(type(each), torch.optim.Optimizer)
        for group in getattr(each, "param_groups", ())
        for parameter in group["params"]
    }
    return own & held
