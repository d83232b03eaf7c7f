"""A test that assumes nothing but that under the null each difference may as well be reversed."""

from collections.abc import Sequence

import numpy as np

EXACT = 16  # up to so many differences all 2^n patterns of signs are tried
DRAWS = 100_000  # beyond that, so many


def sign_flip_p_value(differences: Sequence[float]) -> float:
    """Two-sided p value of the mean of paired differences, shape (n,), under flips of their signs.

    The share of all 2^n patterns of signs whose mean is as far from 0 as the observed one; its
    smallest value is 2/2^n. Beyond `EXACT` differences a sample of patterns, always the same, of
    which the observed one counts as one. Source: Fisher 1935, The Design of Experiments, section
    21. Valid for one look at a number of differences that was fixed in advance; 1 for none.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n <= EXACT:
        patterns = np.arange(2**n)[:, None] >> np.arange(n) & 1
        return float(_as_far(patterns, values).mean())
    rng = np.random.default_rng(0)
    found = sum(_as_far(rng.integers(0, 2, (1000, n)), values).sum() for _ in range(DRAWS // 1000))
    return float((found + 1) / (DRAWS + 1))


def _as_far(patterns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For each pattern of 0 and 1, (K, n): whether its sum is as far from 0 as the observed one."""
    observed = abs(values.sum())
    rounding = 1e-12 * np.abs(values).sum()
    return np.abs((2 * patterns - 1) @ values) >= observed - rounding
