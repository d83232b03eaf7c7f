"""The kernels on tensors: x and y (N, C, H, W) in channels_last, factors and sums (N, C).

The samples are shared among as many threads as torch uses, which changes no bit of the outcome.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np
import torch

from normscope.training.fused import kernels


def channel_sums(x: torch.Tensor) -> torch.Tensor:
    """Sums of relu(x) and of its square over the pixels of each channel: float64, (2, N, C)."""
    sums = torch.empty(2, x.shape[0], x.shape[1], dtype=torch.float64)
    total, squares = sums.numpy()
    _over_samples(kernels.channel_sums, _rows(x), _length(x), total, squares)
    return sums


def affine_relu(
    x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, dropped: torch.Tensor
) -> torch.Tensor:
    """scale * relu(x) + shift, and 0 where `dropped`."""
    y = torch.empty_like(x)
    factors = scale.numpy(), shift.numpy()
    _over_samples(kernels.affine_relu, _rows(x), _length(x), *factors, dropped.numpy(), _rows(y))
    return y


def gradient_sums(
    x: torch.Tensor, gradient_y: torch.Tensor, dropped: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Per sample and channel, the gradients of `affine_relu` with respect to scale and shift."""
    of_scale, of_shift = torch.empty(2, x.shape[0], x.shape[1]).unbind()
    into = of_shift.numpy(), of_scale.numpy()
    arrays = _rows(x), _rows(gradient_y), _length(x), dropped.numpy()
    _over_samples(kernels.gradient_sums, *arrays, *into)
    return of_scale, of_shift


def gradient(
    x: torch.Tensor,
    gradient_y: torch.Tensor,
    scale: torch.Tensor,
    of_sums: torch.Tensor,
    dropped: torch.Tensor,
) -> torch.Tensor:
    """The gradient with respect to x, given that with respect to the `channel_sums`."""
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
    """Call a kernel with as many threads as torch uses, each for some of the samples."""
    threads = min(torch.get_num_threads(), len(x))
    if threads <= 1:
        return kernel(x, *arguments)
    bounds = np.linspace(0, len(x), threads + 1).astype(int)
    calls = [
        [_for_samples(a, len(x), x.shape[1], start, stop) for a in (x, *arguments)]
        for start, stop in pairwise(bounds)
    ]
    list(_pool(threads).map(lambda call: kernel(*call), calls))


def _for_samples(argument, samples: int, row: int, start: int, stop: int):
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
