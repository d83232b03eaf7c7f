"""Whether two measurements put the same things in the same order."""

from collections.abc import Sequence
from typing import Any

from scipy.stats import kendalltau


def kendall(x: Sequence[float], y: Sequence[float]) -> tuple[float | None, float]:
    """Kendall's tau-b of two rows of n numbers, and its two-sided p value.

    Tau is the share of pairs in the same order less that of pairs in the opposite order. The p
    value is exact without ties up to n = 33, asymptotic otherwise. Tau is None, and p 1, if all
    numbers of a row are equal or there are fewer than two. Source: scipy.stats.kendalltau.
    """
    if len({*x}) < 2 or len({*y}) < 2:
        return None, 1.0
    result: Any = kendalltau(x, y)
    return float(result.statistic), float(result.pvalue)
