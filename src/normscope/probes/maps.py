"""What the maps around each norm layer are like: one forward pass, kept as sums."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from normscope.probes.affine_gap import affine_gap_of
from normscope.probes.sums import Rows, Sums

ACTIVATIONS = (nn.ReLU,)
Seen = TypeVar("Seen")
SHUFFLED = 0  # the seed of how maps are shuffled, the same in every trial


@dataclass(frozen=True)
class LayerLook:
    """Of the maps at one norm layer: x (N, C, H, W) goes in and y comes out.

    `input` are the sums of x, `output` those of y, and `before` those of what went into the
    activation whose output is x; None if x comes from none.
    """

    input: Sums
    output: Sums
    before: Sums | None
    affine_gap: float


@torch.no_grad()
def look(
    network: nn.Module, norms: Mapping[str, nn.Module], x_NCHW: torch.Tensor
) -> list[LayerLook]:
    """A look at each of the layers `norms`, in their order, while the network answers x.

    Of a layer that is used several times the last use counts. Raises `ValueError` that names a
    layer which is not used.
    """
    with activations_kept(network) as before:

        def see(x: torch.Tensor, y: torch.Tensor) -> LayerLook:
            rows_x, rows_y, earlier = Rows.of(x), Rows.of(y), before.get(id(x))
            sums_x, sums_y = Sums.of_rows(rows_x), Sums.of_rows(rows_y)
            return LayerLook(
                input=sums_x,
                output=sums_y,
                before=None if earlier is None else Sums.of(earlier),
                affine_gap=affine_gap_of(rows_x, rows_y, sums_x, sums_y),
            )

        return seen(network, norms, x_NCHW, see)


@torch.no_grad()
def shuffled_sums(
    network: nn.Module, norms: Mapping[str, nn.Module], x_NCHW: torch.Tensor
) -> list[Sums]:
    """The sums of what goes into each norm, with the maps of each channel dealt out anew.

    Each channel's maps go to images in an order of their own: what channels still share then is no
    feature of an image.
    """
    order = torch.Generator().manual_seed(SHUFFLED)
    return seen(network, norms, x_NCHW, lambda x, y: Sums.of(_shuffled(x, order)))


def seen(
    network: nn.Module,
    norms: Mapping[str, nn.Module],
    x_NCHW: torch.Tensor,
    see: Callable[[torch.Tensor, torch.Tensor], Seen],
) -> list[Seen]:
    """What `see` makes of input and output of each layer, while the network answers x."""
    found: dict[nn.Module, Seen] = {}

    def keep(layer: nn.Module, inputs: tuple, y: torch.Tensor) -> None:
        found[layer] = see(inputs[0], y)

    hooks = [layer.register_forward_hook(keep) for layer in norms.values()]
    try:
        network(x_NCHW)
    finally:
        for hook in hooks:
            hook.remove()
    unused = [name for name, layer in norms.items() if layer not in found]
    if unused:
        raise ValueError(f"the norm at {unused[0]} is not used by the network")
    return [found[layer] for layer in norms.values()]


def _shuffled(x: torch.Tensor, order: torch.Generator) -> torch.Tensor:
    """x (N, C, H, W) with the N maps of each channel in an order of their own."""
    keys = torch.rand(x.shape[:2], generator=order)
    index = keys.argsort(dim=0).to(x.device)
    return x.gather(0, index[:, :, None, None].expand_as(x))


@contextmanager
def activations_kept(network: nn.Module) -> Iterator[dict[int, torch.Tensor]]:
    """Within it, what went into an activation last, by the id of the tensor that came out of it.

    Only the last one is held, since a norm that follows comes next.
    """
    held: dict[int, torch.Tensor] = {}
    alive: list[torch.Tensor] = []  # so that no other tensor gets the id of an output

    def keep(layer: nn.Module, inputs: tuple) -> None:
        # An activation that works in place overwrites its input.
        alive[:] = [inputs[0].clone() if getattr(layer, "inplace", False) else inputs[0]]

    def enter(layer: nn.Module, inputs: tuple, y: torch.Tensor) -> None:
        held.clear()
        held[id(y)] = alive[0]
        alive.append(y)

    layers = [layer for layer in network.modules() if isinstance(layer, ACTIVATIONS)]
    hooks = [layer.register_forward_pre_hook(keep) for layer in layers]
    hooks += [layer.register_forward_hook(enter) for layer in layers]
    try:
        yield held
    finally:
        for hook in hooks:
            hook.remove()
