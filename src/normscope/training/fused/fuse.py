"""ReLU, norm and dropout of a network as one operation on a CPU.

`fuse` turns a sequence of layers into a function that computes the same, with the same parameters,
buffers and dropped elements, but goes over the activations twice forward and twice backward where
the layers one by one go over them a dozen times. What it does not know it calls as it is.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from normscope.models.layers import Dropout, bernoulli_positions
from normscope.norms.coefficients import COEFFICIENTS, can_be_fused
from normscope.training.fused import kernels
from normscope.training.steps import Forward


def fuse(layers: nn.Sequential) -> Forward:
    """A function of x (N, C, H, W) that computes ``layers(x)``, float32 or bfloat16, on a CPU.

    It follows the layers' parameters, buffers and mode. Fused are ReLU, a norm that `can_be_fused`,
    and `Dropout`, wherever they follow each other. Raises `TypeError` for another type of x.
    """
    steps: list[Forward] = []
    rest = list(layers)
    while rest:
        match rest:
            case [nn.ReLU(), norm, Dropout() as dropout, *_] if can_be_fused(norm):
                steps.append(partial(relu_norm_dropout, norm, dropout))
                del rest[:3]
            case [layer, *_]:
                steps.append(layer)
                del rest[:1]

    def forward(x: torch.Tensor) -> torch.Tensor:
        for step in steps:
            x = step(x)
        return x

    return forward


def relu_norm_dropout(norm: nn.Module, dropout: Dropout, x: torch.Tensor) -> torch.Tensor:
    """``dropout(norm(relu(x)))`` for x (N, C, H, W)."""
    x = x.contiguous(memory_format=torch.channels_last)
    dropped, keep_scale = torch.empty(0, dtype=torch.long), 1.0
    if dropout.training and dropout.p > 0:
        dropped = bernoulli_positions(x.numel(), dropout.p, dropout.generator)
        keep_scale = 1 / (1 - dropout.p)
    if torch.is_grad_enabled():
        return _ReluNormDropout.apply(x, norm, keep_scale, dropped, *norm.parameters())
    scale, shift = _factors(norm, _channel_sums(x), x, keep_scale)
    return _affine_relu(x, scale, shift, dropped)


class _ReluNormDropout(torch.autograd.Function):
    """The passes over the activations, joined by the norm's coefficients.

    The coefficients come from sums of shape (N, C), so their autograd graph costs next to nothing:
    `forward` builds it, and `backward` runs it between its two passes.
    """

    @staticmethod
    def forward(ctx, x, norm, keep_scale, dropped, *parameters):
        sums = _channel_sums(x).requires_grad_()
        with torch.enable_grad():
            scale, shift = _factors(norm, sums, x, keep_scale)
        ctx.save_for_backward(x, dropped)
        ctx.small_graph = (scale, shift), (sums, *parameters)
        return _affine_relu(x, scale.detach(), shift.detach(), dropped)

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, dropped = ctx.saved_tensors
        (scale, shift), inputs = ctx.small_graph
        gradient_y = gradients[0].contiguous(memory_format=torch.channels_last)
        of_scale, of_shift = _gradient_sums(x, gradient_y, dropped)
        of_factors = of_scale.sum_to_size(scale.shape), of_shift.sum_to_size(shift.shape)
        of_sums, *of_parameters = _small_gradients((scale, shift), of_factors, inputs)
        gradient_x = _gradient(x, gradient_y, scale.detach(), of_sums.float(), dropped)
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
    total, squares = sums.unbind()
    scale, shift = COEFFICIENTS[type(norm)](norm, total, squares, x.shape[2] * x.shape[3])
    return scale * keep_scale, shift * keep_scale


# -- the passes, on tensors ------------------------------------------------------------------------


def _channel_sums(x: torch.Tensor) -> torch.Tensor:
    sums = torch.empty(2, x.shape[0], x.shape[1], dtype=torch.float64)
    total, squares = sums.numpy()
    _over_samples(kernels.channel_sums, _rows(x), _length(x), total, squares)
    return sums


def _affine_relu(x, scale, shift, dropped) -> torch.Tensor:
    y = torch.empty_like(x)
    factors = scale.numpy(), shift.numpy()
    _over_samples(kernels.affine_relu, _rows(x), _length(x), *factors, dropped.numpy(), _rows(y))
    return y


def _gradient_sums(x, gradient_y, dropped) -> tuple[torch.Tensor, torch.Tensor]:
    """Per sample and channel (N, C), the gradients with respect to scale and shift."""
    of_scale, of_shift = torch.empty(2, x.shape[0], x.shape[1]).unbind()
    into = of_shift.numpy(), of_scale.numpy()
    arrays = _rows(x), _rows(gradient_y), _length(x), dropped.numpy()
    _over_samples(kernels.gradient_sums, *arrays, *into)
    return of_scale, of_shift


def _gradient(x, gradient_y, scale, of_sums, dropped) -> torch.Tensor:
    gradient_x = torch.empty_like(x)
    of_total, of_squares = of_sums[:, : len(scale)].contiguous().numpy()
    factors = scale.numpy(), of_total, of_squares
    arrays = _rows(x), _rows(gradient_y), _length(x), *factors, dropped.numpy(), _rows(gradient_x)
    _over_samples(kernels.gradient, *arrays)
    return gradient_x


def _rows(x: torch.Tensor) -> np.ndarray:
    """The memory of a channels-last tensor as (N, L): float32, or the bits of bfloat16."""
    if x.dtype not in (torch.float32, torch.bfloat16):
        raise TypeError(f"float32 or bfloat16 can be fused, not {x.dtype}")
    rows = x.detach().permute(0, 2, 3, 1).flatten(1)
    return (rows.view(torch.uint16) if x.dtype == torch.bfloat16 else rows).numpy()


def _length(x: torch.Tensor) -> int:
    return kernels.lanes(x.shape[2] * x.shape[3], x.shape[1])


# -- threads ---------------------------------------------------------------------------------------


def _over_samples(kernel: Callable, x: np.ndarray, *arguments) -> None:
    """Call a kernel with as many threads as torch uses, each for a part of the samples."""
    threads = min(torch.get_num_threads(), len(x))
    if threads <= 1:
        return kernel(x, *arguments)
    bounds = np.linspace(0, len(x), threads + 1).astype(int)
    parts = [
        [_part(a, len(x), x.shape[1], start, stop) for a in (x, *arguments)]
        for start, stop in pairwise(bounds)
    ]
    list(_pool(threads).map(lambda part: kernel(*part), parts))


def _part(argument, samples: int, row: int, start: int, stop: int):
    """What the samples from `start` to `stop` need of an argument of a kernel."""
    if isinstance(argument, int):
        return argument
    if argument.ndim == 1:  # sorted positions in the whole batch
        low, high = np.searchsorted(argument, [start * row, stop * row])
        return argument[low:high] - start * row
    return argument[start:stop] if len(argument) == samples else argument


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)
