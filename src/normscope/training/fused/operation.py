"""ReLU, norm and dropout as one operation, differentiable once."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from normscope.models.layers import Dropout, bernoulli_positions
from normscope.norms.by_layer import coefficients_of, floor_of, from_sums_of
from normscope.training.fused.passes import Factors, FusedPasses


@dataclass(frozen=True)
class FusedNorm:
    """``dropout(after(norm(before(x))))`` for x (N, C, H, W), float32 or bfloat16.

    before is ReLU if `relu_before`, after is ReLU if `relu_after`; else they are nothing. The norm
    is one that `coefficients_of` knows, and dropout, if there is any, draws from one generator. For
    x of other axes the layers are called one by one. Raises `TypeError` for another type of x.
    """

    norm: nn.Module
    dropout: Dropout | None = None
    relu_before: bool = False
    relu_after: bool = False

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() != 4:
            return self._one_by_one(x)
        x = x.contiguous(memory_format=torch.channels_last)
        dropped, keep_scale = self.draw(x.numel())
        if torch.is_grad_enabled():
            return _FusedNorm.apply(x, self, keep_scale, dropped, *self.norm.parameters())
        factors = self.factors(self.passes.channel_sums(x), x.shape, keep_scale)
        return self.passes.affine(x, factors, dropped)

    def draw(self, elements: int) -> tuple[torch.Tensor, float]:
        """Positions that dropout drops among so many elements, and the scale of those it keeps."""
        return drawn(self.dropout, elements)

    def _one_by_one(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x.relu() if self.relu_before else x)
        y = y.relu() if self.relu_after else y
        return y if self.dropout is None else self.dropout(y)

    @property
    def passes(self) -> FusedPasses:
        floored = self.relu_after or floor_of(self.norm) is not None
        return FusedPasses(self.relu_before, floored)

    def factors(self, sums: torch.Tensor, shape: torch.Size, keep_scale: float) -> Factors:
        """The norm's factors, with the scale of the elements that dropout keeps in them.

        From the sums (2, N, C) of x and of its squares, x being of that shape, (N, C, H, W).
        """
        coefficients = coefficients_of(self.norm)
        assert coefficients is not None  # what the caller promises
        total, squares = sums.unbind()
        scale, shift = coefficients(self.norm, total, squares, shape[2] * shape[3])
        floor = floor_of(self.norm)
        floor = torch.zeros(shape[1]) if floor is None else floor
        if self.relu_after:
            floor = floor.relu()  # at a floor of 0 nothing reaches what it is learned from
        return Factors(
            scale.float() * keep_scale, shift.float() * keep_scale, floor[None].float() * keep_scale
        )


def drawn(dropout: Dropout | None, elements: int) -> tuple[torch.Tensor, float]:
    """Positions that dropout drops among so many elements, and the scale of those it keeps."""
    if dropout is None or not dropout.training or dropout.p == 0:
        return torch.empty(0, dtype=torch.long), 1.0
    dropped = bernoulli_positions(elements, dropout.p, dropout.generators[0])
    return dropped, 1 / (1 - dropout.p)


@dataclass(frozen=True)
class NormOfSums:
    """A norm that `from_sums_of` knows, of x (N, C, H, W), its sums taken in one pass.

    Raises `TypeError` unless x is float32 or bfloat16.
    """

    norm: nn.Module

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        from_sums = from_sums_of(self.norm)
        assert from_sums is not None  # what the caller promises
        x = x.contiguous(memory_format=torch.channels_last)
        total, squares = _ChannelSums.apply(x)
        return from_sums(self.norm, x, total, squares)


class _ChannelSums(torch.autograd.Function):
    """Sums of x and of x^2 over the pixels of each channel: two of (N, C), float64."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return FusedPasses(relu=False, floored=False).channel_sums(x).unbind()

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        of_total, of_squares = (g.float()[:, :, None, None] for g in gradients)
        return torch.addcmul(of_total, x.float(), of_squares, value=2).to(x.dtype)


class _FusedNorm(torch.autograd.Function):
    """The passes over the activations, joined by the norm's coefficients.

    The coefficients come from sums of shape (N, C), so their autograd graph costs next to nothing:
    `forward` builds it, and `backward` runs it between its two passes.
    """

    @staticmethod
    def forward(ctx, x, fused, keep_scale, dropped, *parameters):
        sums = fused.passes.channel_sums(x).requires_grad_()
        with torch.enable_grad():
            factors = fused.factors(sums, x.shape, keep_scale)
        ctx.save_for_backward(x, dropped)
        ctx.passes, ctx.small_graph = fused.passes, (factors, (sums, *parameters))
        return fused.passes.affine(x, factors, dropped)

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, dropped = ctx.saved_tensors
        factors, inputs = ctx.small_graph
        gradient_y = gradients[0].contiguous(memory_format=torch.channels_last)
        found = ctx.passes.gradient_sums(x, gradient_y, factors, dropped)
        outputs = factors.scale, factors.shift, factors.floor
        of_outputs = [
            of.sum_to_size(output.shape)
            for of, output in zip((found.scale, found.shift, found.floor), outputs, strict=True)
        ]
        of_sums, *of_parameters = small_gradients(outputs, of_outputs, inputs)
        gradient_x = ctx.passes.gradient(x, gradient_y, factors, of_sums.float(), dropped)
        return gradient_x, None, None, None, *of_parameters


def small_gradients(outputs, of_outputs, inputs) -> list[torch.Tensor]:
    """The gradients with respect to all inputs; 0 for those that are frozen or have no part."""
    pairs = [(o, g) for o, g in zip(outputs, of_outputs, strict=True) if o.requires_grad]
    wanted = [i for i in inputs if i.requires_grad]
    found = iter(
        torch.autograd.grad(
            [output for output, _ in pairs],
            wanted,
            [of_output for _, of_output in pairs],
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        if pairs
        else [torch.zeros_like(i) for i in wanted]
    )
    return [next(found) if i.requires_grad else torch.zeros_like(i) for i in inputs]
