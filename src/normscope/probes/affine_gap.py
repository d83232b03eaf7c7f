"""How far a norm is from a fixed affine map of each channel."""

import torch

from normscope.probes.sums import LIVE


def affine_gap(x_NCHW: torch.Tensor, y_NCHW: torch.Tensor) -> float:
    """1 less the mean over channels of the squared correlation of a norm's output and its input.

    Correlations are over samples and pixels, and y is best the norm's output without its affine.
    Over channels that live in the input; one whose output is constant counts as 1. NaN if none
    lives. A norm that is one scale and shift per channel, as bn, has 0; where scales s differ by
    sample, with x of mean 0 independent of them, it is 1 - E[s]^2 / E[s^2].
    """
    x, y = (maps.transpose(0, 1).flatten(1).double() for maps in (x_NCHW, y_NCHW))
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    of_x, of_y = x.square().mean(1), y.square().mean(1)
    live = of_x > LIVE * of_x.max()
    moving = live & (of_y > LIVE * of_y.max())
    shared = (x * y).mean(1)[moving].square() / (of_x * of_y)[moving]
    if not live.any():
        return float("nan")
    return float(1 - shared.sum() / live.sum())
