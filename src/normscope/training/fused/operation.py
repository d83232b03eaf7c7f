"""ReLU, norm and dropout as one operation, differentiable once."""

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from normscope.models.layers import Dropout, bernoulli_positions
from normscope.norms.by_layer import coefficients_of
from normscope.training.fused import passes


def relu_norm_dropout(norm: nn.Module, dropout: Dropout, x: torch.Tensor) -> torch.Tensor:
    """``dropout(norm(relu(x)))`` for x (N, C, H, W), float32 or bfloat16.

    The norm is one that `coefficients_of` knows, and dropout draws from one generator. Raises
    `TypeError` for another type of x.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    dropped, keep_scale = torch.empty(0, dtype=torch.long), 1.0
    if dropout.training and dropout.p > 0:
        dropped = bernoulli_positions(x.numel(), dropout.p, dropout.generators[0])
        keep_scale = 1 / (1 - dropout.p)
    if torch.is_grad_enabled():
        return _ReluNormDropout.apply(x, norm, keep_scale, dropped, *norm.parameters())
    scale, shift = _factors(norm, passes.channel_sums(x), x, keep_scale)
    return passes.affine_relu(x, scale, shift, dropped)


class _ReluNormDropout(torch.autograd.Function):
    """The passes over the activations, joined by the norm's coefficients.

    The coefficients come from sums of shape (N, C), so their autograd graph costs next to nothing:
    `forward` builds it, and `backward` runs it between its two passes.
    """

    @staticmethod
    def forward(ctx, x, norm, keep_scale, dropped, *parameters):
        sums = passes.channel_sums(x).requires_grad_()
        with torch.enable_grad():
            scale, shift = _factors(norm, sums, x, keep_scale)
        ctx.save_for_backward(x, dropped)
        ctx.small_graph = (scale, shift), (sums, *parameters)
        return passes.affine_relu(x, scale.detach(), shift.detach(), dropped)

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, dropped = ctx.saved_tensors
        (scale, shift), inputs = ctx.small_graph
        gradient_y = gradients[0].contiguous(memory_format=torch.channels_last)
        of_scale, of_shift = passes.gradient_sums(x, gradient_y, dropped)
        of_factors = of_scale.sum_to_size(scale.shape), of_shift.sum_to_size(shift.shape)
        of_sums, *of_parameters = _small_gradients((scale, shift), of_factors, inputs)
        gradient_x = passes.gradient(x, gradient_y, scale.detach(), of_sums.float(), dropped)
        return gradient_x, None, None, None, *of_parameters


def _small_gradients(outputs, of_outputs, inputs) -> list[torch.Tensor]:
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


def _factors(norm, sums, x, keep_scale) -> tuple[torch.Tensor, torch.Tensor]:
    """The norm's scale and shift, with the scale of the elements that dropout keeps in them."""
    coefficients = coefficients_of(norm)
    assert coefficients is not None  # what the caller promises
    total, squares = sums.unbind()
    scale, shift = coefficients(norm, total, squares, x.shape[2] * x.shape[3])
    return scale * keep_scale, shift * keep_scale
