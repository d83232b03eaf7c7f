"""A test that assumes only that, under the null, each difference has either sign equally often."""

from collections.abc import Sequence

import numpy as np

EXACT = 16  # up to this many differences, all 2^n patterns of signs are tried
DRAWS = 100_000  # number of random patterns for more differences than that
AT_ONCE = 1000  # of them


def sign_flip_p_value(differences: Sequence[float]) -> float:
    """Two-sided p value of the mean of paired differences, shape (n,), under flips of their signs.

    This is the share of all 2^n patterns of signs whose mean is at least as far from 0 as the
    observed mean; its smallest value is 2/2^n. For more than `EXACT` differences it is estimated
    from a random sample of patterns, the same on every call, and the observed pattern is counted
    too. Source: Fisher 1935, The Design of Experiments, section 21. It is valid for one look at a
    number of differences that was fixed in advance. It is 1 if there are no differences.
    """
    return sign_flip_p_values([differences])[0]


def sign_flip_p_values(several: Sequence[Sequence[float]]) -> list[float]:
    """The `sign_flip_p_value` of each of `several` sequences of equally many differences."""
    values = np.array(several, dtype=np.float64).T  # (n, several)
    n = len(values)
    if n <= EXACT:
        patterns = np.arange(2**n)[:, None] >> np.arange(n) & 1
        return _as_far(patterns, values).mean(axis=0).tolist()
    rng = np.random.default_rng(0)
    found = np.zeros(values.shape[1], dtype=np.int64)
    for _ in range(DRAWS // AT_ONCE):
        found += _as_far(rng.integers(0, 2, (AT_ONCE, n)), values).sum(axis=0)
    return ((found + 1) / (DRAWS + 1)).tolist()


def _as_far(patterns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Whether the sum of each pattern of 0 and 1 is as far from 0 as the observed sum.

    `patterns`: int, (K, n). `values`: float64, (n, T), of which each column is summed for itself.
    """
    observed = np.abs(values.sum(axis=0))
    rounding = 1e-12 * np.abs(values).sum(axis=0)
    signs = patterns.astype(np.float64)
    signs *= 2
    signs -= 1
    return np.abs(signs @ values) >= observed - rounding
