"""The kernels on tensors: x and y (N, C, H, W) in channels_last, factors and sums (N, C).

The samples are shared among as many threads as torch uses, which changes no bit of the outcome.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch

from normscope.training.fused import kernels


@dataclass(frozen=True)
class Factors:
    """What the passes do to each channel: scale and shift, (N, C) or (1, C), and floor, (1, C).

    Also the gradients with respect to them, all (N, C).
    """

    scale: torch.Tensor
    shift: torch.Tensor
    floor: torch.Tensor

    def numpy(self) -> list[np.ndarray]:
        factors = self.scale, self.shift, self.floor
        return [each.detach().contiguous().numpy() for each in factors]


@dataclass(frozen=True)
class FusedPasses:
    """The passes of one kind of operation: r is ReLU if `relu`, else nothing; see `kernels`."""

    relu: bool
    floored: bool

    def channel_sums(self, x: torch.Tensor) -> torch.Tensor:
        """Sums of r(x) and of its square over the pixels of each channel: float64, (2, N, C)."""
        sums = torch.empty(2, x.shape[0], x.shape[1], dtype=torch.float64)
        total, squares = sums.numpy()
        _over_samples(self._kernels.channel_sums, _rows(x), _length(x), total, squares)
        return sums

    def affine(self, x: torch.Tensor, factors: Factors, dropped: torch.Tensor) -> torch.Tensor:
        """scale * r(x) + shift, no less than the floor, and 0 where `dropped`."""
        y = torch.empty_like(x)
        arrays = _rows(x), _length(x), *factors.numpy(), dropped.numpy(), _rows(y)
        _over_samples(self._kernels.affine, *arrays)
        return y

    def gradient_sums(
        self, x: torch.Tensor, gradient_y: torch.Tensor, factors: Factors, dropped: torch.Tensor
    ) -> Factors:
        """Per sample and channel, the gradients of `affine` with respect to its factors."""
        shape = 3, x.shape[0], x.shape[1]
        of_scale, of_shift, of_floor = torch.empty(shape).unbind()
        into = of_shift.numpy(), of_scale.numpy(), of_floor.numpy()
        arrays = _rows(x), _rows(gradient_y), _length(x), *factors.numpy(), dropped.numpy()
        _over_samples(self._kernels.gradient_sums, *arrays, *into)
        return Factors(of_scale, of_shift, of_floor)

    def gradient(
        self,
        x: torch.Tensor,
        gradient_y: torch.Tensor,
        factors: Factors,
        of_sums: torch.Tensor,
        dropped: torch.Tensor,
    ) -> torch.Tensor:
        """The gradient with respect to x, given that with respect to the `channel_sums`."""
        gradient_x = torch.empty_like(x)
        # Where all samples share the factors, they share these gradients as well.
        of_sums = of_sums[:, : len(factors.scale)].contiguous()
        arrays = _rows(x), _rows(gradient_y), _length(x), *factors.numpy(), *of_sums.numpy()
        _over_samples(self._kernels.gradient, *arrays, dropped.numpy(), _rows(gradient_x))
        return gradient_x

    @property
    def _kernels(self) -> kernels.Passes:
        return kernels.passes_for(self.relu, self.floored)


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
