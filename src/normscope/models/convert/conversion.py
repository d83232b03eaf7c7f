"""What a conversion did: the layers that were swapped, those that were left, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Swap:
    """A layer that was swapped: its `names` in the network, what it was and what it is.

    `carried` says what of the old layer the new one has: eps, momentum, weight, bias, running
    statistics. `notes` are sentences on what a user may not expect of it.
    """

    names: tuple[str, ...]
    before: str
    after: str
    carried: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


ALREADY = "it is that already"


@dataclass(frozen=True)
class Left:
    """A norm layer that stayed as it is, and the `reason`."""

    names: tuple[str, ...]
    layer: str
    reason: str


@dataclass(frozen=True)
class Conversion:
    """What `convert` did.

    `module` is the network; a new one only if the network that was given is itself a norm layer.
    `warnings` are sentences on what is to be done, or may go wrong, from now on.
    """

    module: nn.Module
    norm: str
    swapped: tuple[Swap, ...]
    left: tuple[Left, ...]
    warnings: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[Left, ...]:
        """The layers that were of the norm that was asked for before."""
        return tuple(left for left in self.left if left.reason == ALREADY)

    def layers(self) -> list[nn.Module]:
        """The layers of the norm that was asked for, in no particular order."""
        return [self.module.get_submodule(one.names[0]) for one in (*self.swapped, *self.kept)]

    def __str__(self) -> str:
        """A line for every layer, and the warnings."""
        layers = f"{len(self.swapped)} norm layer{'' if len(self.swapped) == 1 else 's'}"
        lines = [f"{layers} swapped for {self.norm}, {len(self.left)} left as they are."]
        for swap in self.swapped:
            carried = f"; carried: {', '.join(swap.carried)}" if swap.carried else ""
            lines.append(f"  {named(swap.names)}: {swap.before} -> {swap.after}{carried}")
            lines += [f"    {note}" for note in swap.notes]
        lines += [f"  {named(one.names)}: {one.layer} left: {one.reason}" for one in self.left]
        return "\n".join([*lines, *(f"Warning: {warning}" for warning in self.warnings)])


def named(names: Sequence[str]) -> str:
    return " = ".join(name or "the network itself" for name in names)


def told(layer: nn.Module) -> str:
    return f"{type(layer).__name__}({layer.extra_repr()})"
