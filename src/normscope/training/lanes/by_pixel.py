"""Layers that torch computes with samples in lanes: those that see each pixel by itself.

To such a layer an array of lanes is a batch of images like any other, as wide as its rows of
vectors: the order of pixels, and whose they are, is nothing to it. So its own code is called, and
differentiated, without a change of layout. Pixels of samples that do not exist pass through it
too; their gradients are 0.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from normscope.training.fused.operation import small_gradients
from normscope.training.lanes.block import Block
from normscope.training.lanes.layer import Gradients, Layer, Outputs, check
from normscope.training.lanes.layout import empty


@dataclass(frozen=True)
class ByPixel(Layer):
    """The place of such a layer in a network; nothing is pending before it.

    `mixes`: whether the channels of a pixel meet in it, which lie far from each other in lanes.
    """

    mixes: bool = field(default=False, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        if self.pending:
            raise ValueError(f"nothing may be pending before a layer that torch computes: {self}")

    @property
    def output(self) -> Block:
        return self.input

    def forward(
        self, x: np.ndarray, call: Callable[[torch.Tensor], torch.Tensor]
    ) -> tuple[Outputs, tuple[torch.Tensor, torch.Tensor]]:
        """``call(x)`` of x (blocks, *input.shape), and the tensors that went in and came out.

        What came out has the graph that `backward` goes through, if gradients are on.
        """
        check(x, (len(x), *self.input.shape))
        image = as_images(x, self.input).detach()
        if torch.is_grad_enabled():
            image.requires_grad_()
        bent = call(image)
        y = empty(x.shape)
        write_images(bent.detach(), y, self.input)
        return Outputs(y), (image, bent)

    def backward(
        self,
        g: np.ndarray,
        passed: tuple[torch.Tensor, torch.Tensor],
        parameters: list[nn.Parameter],
    ) -> tuple[Gradients, list[torch.Tensor]]:
        """The gradient of x and those of the parameters, given g, that of y."""
        image, bent = passed
        slopes = as_images(check(g, (len(g), *self.input.shape)), self.input).to(bent.dtype)
        of_image, *of_parameters = small_gradients((bent,), (slopes,), (image, *parameters))
        gx = empty(g.shape)
        write_images(of_image, gx, self.input)
        return Gradients(gx), of_parameters


def as_images(words: np.ndarray, block: Block) -> torch.Tensor:
    """Lanes as (blocks, C, H, W * lanes): a view in float32, a copy of type bfloat16 of pairs."""
    if block.per_word == 1:
        return torch.from_numpy(words).flatten(3).permute(0, 2, 1, 3)
    shape = len(words), block.height, block.groups, block.width * block.lanes, 2
    pairs = torch.from_numpy(words).view(torch.bfloat16).view(shape)
    return pairs.permute(0, 2, 4, 1, 3).flatten(1, 2)[:, : block.channels]


def write_images(images: torch.Tensor, words: np.ndarray, block: Block) -> None:
    """Write what `as_images` returns to lanes; a channel that fills up a word is 0."""
    if block.per_word == 1:
        as_images(words, block).copy_(images)
        return
    shape = len(words), block.height, block.groups, block.width * block.lanes, 2
    pairs = torch.from_numpy(words).view(torch.bfloat16).view(shape).permute(0, 2, 4, 1, 3)
    whole = block.channels // 2
    pairs[:, :whole].copy_(images[:, : 2 * whole].unflatten(1, (whole, 2)))
    if block.channels % 2:
        pairs[:, whole, 0].copy_(images[:, -1])
        pairs[:, whole, 1].zero_()
