"""How far a norm is from a fixed affine map of each channel."""

import torch

from normscope.probes.sums import LIVE, Sums, rows_of


def affine_gap(x_NCHW: torch.Tensor, y_NCHW: torch.Tensor) -> float:
    """`affine_gap_of` the sums of a norm's input x and output y."""
    return affine_gap_of(Sums.of(x_NCHW), Sums.of(y_NCHW), x_NCHW, y_NCHW)


def affine_gap_of(x: Sums, y: Sums, x_NCHW: torch.Tensor, y_NCHW: torch.Tensor) -> float:
    """1 less the mean over channels of the squared correlation of a norm's output and its input.

    Correlations are over samples and pixels, and y is best the norm's output without its affine.
    Over channels that live in the input; one whose output is constant counts as 1. NaN if none
    lives. A norm that is one scale and shift per channel, as bn, has 0; where scales s differ by
    sample, with x of mean 0 independent of them, it is 1 - E[s]^2 / E[s^2].
    """
    of_x, of_y = x.variances, y.variances
    live = of_x > LIVE * of_x.max()
    if not live.any():
        return float("nan")
    moving = live & (of_y > LIVE * of_y.max())
    both = _covariances(x_NCHW, y_NCHW)
    shared = both[moving].square() / (of_x * of_y)[moving]
    return float(1 - shared.sum() / live.sum())


def _covariances(x_NCHW: torch.Tensor, y_NCHW: torch.Tensor) -> torch.Tensor:
    """Of each channel of x and the same of y, over samples and pixels: float64, (C,)."""
    x, y = rows_of(x_NCHW), rows_of(y_NCHW)
    x, y = x - x.mean(dim=(0, 1)), y - y.mean(dim=(0, 1))
    products = torch.diagonal(x.transpose(1, 2) @ y, dim1=1, dim2=2).double().sum(0)
    count = x.shape[0] * x.shape[1]
    left = x.sum(1).double().sum(0) * y.sum(1).double().sum(0)
    return products / count - left / count**2
