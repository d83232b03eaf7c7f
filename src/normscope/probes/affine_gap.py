"""How far a norm is from a fixed affine map of each channel."""

import torch

from normscope.probes.sums import LIVE, Rows, Sums


def affine_gap(x_NCHW: torch.Tensor, y_NCHW: torch.Tensor) -> float:
    """`affine_gap_of` the sums of a norm's input x and output y."""
    x, y = Rows.of(x_NCHW), Rows.of(y_NCHW)
    return affine_gap_of(x, y, Sums.of_rows(x), Sums.of_rows(y))


def affine_gap_of(x: Rows, y: Rows, sums_x: Sums, sums_y: Sums) -> float:
    """1 less the mean over channels of the squared correlation of a norm's output and its input.

    Correlations are over samples and pixels, and y is best the norm's output without its affine.
    Over channels that live in the input; one whose output is constant counts as 1. NaN if none
    lives. A norm that is one scale and shift per channel, as bn, has 0; where scales s differ by
    sample, with x of mean 0 independent of them, it is 1 - E[s]^2 / E[s^2].
    """
    of_x, of_y = sums_x.variances, sums_y.variances
    live = of_x > LIVE * of_x.max()
    if not live.any():
        return float("nan")
    moving = live & (of_y > LIVE * of_y.max())
    both = _covariances(x, y)
    shared = both[moving].square() / (of_x * of_y)[moving]
    return float(1 - shared.sum() / live.sum())


def _covariances(x: Rows, y: Rows) -> torch.Tensor:
    """Of each channel of x and the same of y, over samples and pixels: float64, (C,)."""
    # All pairs of channels, of which the matched ones are wanted: faster than a product of each.
    pairs = x.values.transpose(1, 2) @ y.values
    products = torch.diagonal(pairs, dim1=1, dim2=2).double().sum(0)
    count = x.values.shape[0] * x.values.shape[1]
    left = x.values.sum(1).double().sum(0) * y.values.sum(1).double().sum(0)
    return products / count - left / count**2
