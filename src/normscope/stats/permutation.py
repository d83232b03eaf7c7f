"""A test that assumes only that, under the null, each difference has either sign equally often."""

from collections.abc import Sequence

import numpy as np

EXACT = 16  # up to this many differences, all 2^n patterns of signs are tried
DRAWS = 100_000  # number of random patterns for more differences than that


def sign_flip_p_value(differences: Sequence[float]) -> float:
    """Two-sided p value of the mean of paired differences, shape (n,), under flips of their signs.

    This is the share of all 2^n patterns of signs whose mean is at least as far from 0 as the
    observed mean; its smallest value is 2/2^n. For more than `EXACT` differences it is estimated
    from a random sample of patterns, the same on every call, and the observed pattern is counted
    too. Source: Fisher 1935, The Design of Experiments, section 21. It is valid for one look at a
    number of differences that was fixed in advance. It is 1 if there are no differences.
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
    """Whether the sum of each pattern of 0 and 1, (K, n), is as far from 0 as the observed sum."""
    observed = abs(values.sum())
    rounding = 1e-12 * np.abs(values).sum()
    return np.abs((2 * patterns - 1) @ values) >= observed - rounding
