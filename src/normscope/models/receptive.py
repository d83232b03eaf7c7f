"""How much of the image one value of a map sees: followed through a forward pass."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# Functions with a window, by the name under which torch calls them, and the names of what follows
# the input; the window of a convolution is that of its weight.
CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
AFTER_INPUT = {
    **dict.fromkeys(CONVOLUTIONS, ("weight", "bias", "stride", "padding", "dilation")),
    **dict.fromkeys(
        ("max_pool2d", "max_pool2d_with_indices"), ("kernel_size", "stride", "padding", "dilation")
    ),
    "avg_pool2d": ("kernel_size", "stride", "padding"),
    "lp_pool2d": ("norm_type", "kernel_size", "stride"),
}


@dataclass(frozen=True)
class Field:
    """What one value sees, in pixels of the image along the longer side.

    `size`: the side of the square; `jump`: by how much it moves from one value to the next.
    """

    size: int
    jump: int

    def through(self, window: int, stride: int, dilation: int) -> "Field":
        return Field(self.size + (window - 1) * dilation * self.jump, self.jump * stride)


class Following(TorchFunctionMode):
    """Within it `field` tells what the values of tensors see of an image x (N, C, H, W).

    Every value of a map, but those near its border; padding counts as part of the image, so a field
    may be larger than that. What a norm takes its statistics over is left out. Of a function that
    is not known, a value sees what the same place of its inputs sees, or all of them where the
    output has no such places.
    """

    def __init__(self, image: torch.Tensor) -> None:
        super().__init__()
        self._found = {id(image): (image, Field(1, 1))}  # holding them, so that ids stay theirs

    def field(self, x: torch.Tensor) -> Field | None:
        """None for a tensor that is not made of the image."""
        found = self._found.get(id(x))
        return found[1] if found else None

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        inputs = [x for x in _tensors((args, tuple(kwargs.values()))) if id(x) in self._found]
        if inputs:
            fields = [self._found[id(x)][1] for x in inputs]
            widest = Field(max(f.size for f in fields), max(f.jump for f in fields))
            for made in _tensors(output):
                self._found[id(made)] = (made, _after(func, args, kwargs, inputs[0], made, widest))
        return output


def _after(
    func: Callable,
    args: tuple,
    kwargs: Mapping[str, Any],
    x: torch.Tensor,
    made: torch.Tensor,
    seen: Field,
) -> Field:
    names = AFTER_INPUT.get(getattr(func, "__name__", "").lstrip("_"))
    if names:
        given = dict(zip(names, args[1:], strict=False)) | dict(kwargs)
        window = given["weight"].shape[2:] if "weight" in given else given["kernel_size"]
        stride = given.get("stride")
        if stride is None or stride == []:
            stride = 1 if "weight" in given else window
        return seen.through(_largest(window), _largest(stride), _largest(given.get("dilation", 1)))
    before, after = (max(each.shape[2:], default=1) if each.dim() > 2 else 1 for each in (x, made))
    if x.dim() > 2 and made.dim() != x.dim():  # no places left: each value sees all of them
        return seen.through(before, 1, 1)
    if after == 1 < before:  # means over all
        return seen.through(before, 1, 1)
    return Field(seen.size, seen.jump * before // after) if after < before else seen


def _largest(value: Any) -> int:
    return int(value) if isinstance(value, int) else max(map(int, value))


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, tuple | list):
        return [tensor for each in value for tensor in _tensors(each)]
    return []
