"""Numbers that describe a curve of test accuracy over epochs."""

from collections.abc import Sequence

import numpy as np


def epochs_to_level(curve: Sequence[float], level: float) -> float | None:
    """The epoch at which a curve first reaches `level`, interpolated between evaluations.

    `curve`: shape (E,), the value after epoch 1, 2, ..., E. None if the curve never reaches the
    level (right-censored at E). A curve that starts at or above the level gives 1.0, the epoch of
    the first evaluation.
    """
    for epoch, value in enumerate(curve, start=1):
        if value >= level:
            if epoch == 1:
                return 1.0
            before = curve[epoch - 2]
            return epoch - 1 + (level - before) / (value - before)
    return None


def drops(curve: Sequence[float]) -> np.ndarray:
    """How far a curve fell in each epoch, 0 where it rose: float64, shape (E,); the first is 0."""
    heights = np.array(curve, dtype=np.float64)
    falls = np.zeros_like(heights)
    np.maximum(heights[:-1] - heights[1:], 0.0, out=falls[1:])
    return falls


def area_under_curve(curve: Sequence[float]) -> float:
    """The mean height of a curve from its first to its last epoch (trapezoids), in its own unit."""
    if len(curve) == 1:
        return float(curve[0])
    heights = np.asarray(curve, dtype=np.float64)
    return float(((heights[:-1] + heights[1:]) / 2).mean())
