"""Inference about several comparisons at once."""

from collections.abc import Callable, Sequence

import numpy as np


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's adjusted p values, shape (m, ...): at most alpha where the family rejects at alpha.

    The j-th smallest of the m p values is multiplied by m - j + 1, and no adjusted value is smaller
    than the one before it. The tests may depend on each other in any way. Source: Holm 1979,
    Scand. J. Statist. 6.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, axis=0, kind="stable")
    steps = np.arange(len(p), 0, -1).reshape(-1, *[1] * (p.ndim - 1))
    raised = np.maximum.accumulate(np.take_along_axis(p, order, 0) * steps, axis=0)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(1.0, raised), 0)
    return adjusted


def holm_levels(p_values: Sequence[float], alpha: float) -> np.ndarray:
    """The level at which Holm's procedure finally tests each of m hypotheses: shape (m,).

    The level is ``alpha / (m - r)``, where r hypotheses were rejected before this one. An interval
    at that level excludes 0 exactly where the adjusted p value is at most alpha.
    """
    p = np.asarray(p_values, dtype=np.float64)
    rejected = holm(p_values) <= alpha
    before = np.where(rejected, np.argsort(np.argsort(p, kind="stable")), rejected.sum())
    return alpha / (len(p) - before)


def winner_set(
    values: np.ndarray, level: float, p_value: Callable[[Sequence[float]], float]
) -> list[int]:
    """Indices of the rows of `values` that no other row beats: (k, n), NaN for a missing value.

    Row i beats row j if their paired differences have a positive mean and a two-sided `p_value` of
    at most the level of a pair. The best row is left out only if one of the k - 1 others beats it,
    so at a level of 2 alpha / (k - 1) the probability of that is at most alpha. Rows without any
    value are left out.
    """
    k = len(values)

    def beats(i: int, j: int) -> bool:
        differences = values[i] - values[j]
        differences = differences[~np.isnan(differences)]
        return len(differences) > 0 and differences.mean() > 0 and p_value(differences) <= level

    present = [j for j in range(k) if not np.isnan(values[j]).all()]
    return [j for j in present if not any(beats(i, j) for i in present if i != j)]
