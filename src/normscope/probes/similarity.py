"""What two layers are compared by: how far each pair of samples is alike in one of them."""

import numpy as np
import torch

from normscope.probes.sums import LIVE


def gram(y: torch.Tensor) -> np.ndarray:
    """Inner products of the features of N samples, y (N, ...): float32, (N, N).

    Features are flattened and centred, and divided by the root of the mean squared length, so that
    the diagonal has mean 1. Both leave `unbiased_cka` what it is, and a float32 has room for it.
    All are 0 if the samples are alike but for rounding.
    """
    rows = y.detach().flatten(1).double()
    centred = rows - rows.mean(0)
    square = centred.square().sum()
    if square <= LIVE * rows.square().sum():
        return np.zeros((len(rows), len(rows)), np.float32)
    unit = (centred / (square / len(rows)).sqrt()).float()
    return (unit @ unit.T).cpu().numpy()
