"""Arrays -> estimates; pure, and without any knowledge of trials or norms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """Mean, standard deviation and number of values, with a t interval for the mean.

    Everything but `n` is None where it is not defined: the mean needs one value, the rest two.
    """

    n: int
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Mean with Student's t interval, for independent values, roughly normal: shape (n,).

    ``mean +- t(1 - (1-confidence)/2, n-1) * sd / sqrt(n)``, sd with n - 1. Source: Student 1908,
    Biometrika 6. Valid for one look at a number of values that was fixed in advance.
    """
    n = len(values)
    if n == 0:
        return Estimate(0, None, None, None, None)
    mean = float(np.mean(values))
    if n == 1:
        return Estimate(1, mean, None, None, None)
    sd = float(np.std(values, ddof=1))
    half_width = float(student_t.ppf((1 + confidence) / 2, n - 1)) * sd / math.sqrt(n)
    return Estimate(n, mean, sd, mean - half_width, mean + half_width)


def epochs_to_level(curve: Sequence[float], level: float) -> float | None:
    """The epoch at which a curve first reaches `level`, interpolated between evaluations.

    `curve`: shape (E,), the value after epoch 1, 2, ..., E. None if it never gets there
    (right-censored at E). A curve that starts at or above the level gives 1.0, the first moment it
    was looked at.
    """
    for epoch, value in enumerate(curve, start=1):
        if value >= level:
            if epoch == 1:
                return 1.0
            before = curve[epoch - 2]
            return epoch - 1 + (level - before) / (value - before)
    return None


def drops(curve: Sequence[float]) -> np.ndarray:
    """By how much a curve fell in each epoch, 0 where it rose: float64, shape (E,), first 0."""
    rises = np.diff(np.asarray(curve, dtype=np.float64), prepend=curve[0])
    return np.maximum(-rises, 0.0)


def area_under_curve(curve: Sequence[float]) -> float:
    """The mean height of a curve from its first to its last epoch (trapezoids), in its own unit."""
    if len(curve) == 1:
        return float(curve[0])
    heights = np.asarray(curve, dtype=np.float64)
    return float(((heights[:-1] + heights[1:]) / 2).mean())
