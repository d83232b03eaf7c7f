"""Mean and spread of values, and the inference that a design fixed in advance allows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap
from scipy.stats import t as student_t

CONFIDENCE = 0.95
RESAMPLES = 10_000
AT_ONCE = 2**22  # values drawn: 32 MB; the same are drawn whatever it is


@dataclass(frozen=True)
class Estimate:
    """Mean, standard deviation and number of values, with an interval for the mean.

    All fields but `n` are None where they are undefined: the mean needs one value, the rest two.
    """

    n: int
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None


def t_interval(
    values: Sequence[float], confidence: float = CONFIDENCE, overlap: float = 0.0
) -> Estimate:
    """Mean with Student's t interval, for independent and roughly normal values of shape (n,).

    The interval is ``mean +- t(1 - (1-confidence)/2, n-1) * sd * sqrt(1/n + overlap)``, where sd
    has the divisor n - 1. Source: Student 1908, Biometrika 6. It is valid for one look at a number
    of values that was fixed in advance.

    Values of cross-validation are not independent, since their training sets overlap: `overlap` is
    then the number of test images over that of training images, 1 / (folds - 1). Source: the
    corrected resampled t test of Nadeau and Bengio 2003, Machine Learning 52, doi
    10.1023/A:1024068626366.
    """
    n = len(values)
    if n == 0:
        return Estimate(0, None, None, None, None)
    mean = float(np.mean(values))
    if n == 1:
        return Estimate(1, mean, None, None, None)
    sd = float(np.std(values, ddof=1))
    half_width = float(student_t.ppf((1 + confidence) / 2, n - 1)) * sd * _per_sd(n, overlap)
    return Estimate(n, mean, sd, mean - half_width, mean + half_width)


def all_equal(values: Sequence[float]) -> bool:
    """Whether the values, shape (n,), are equal up to rounding; true for fewer than two values."""
    return len(values) < 2 or bool(np.ptp(values) <= 1e-12 * np.max(np.abs(values)))


def _per_sd(n: int, overlap: float) -> float:
    """The standard error of the mean of n values whose standard deviation is 1."""
    return math.sqrt(1 / n + overlap)


def standard_error(values: Sequence[float], overlap: float = 0.0) -> float:
    """That of the mean of two or more values, shape (n,); `overlap` is that of `t_interval`."""
    return float(np.std(values, ddof=1)) * _per_sd(len(values), overlap)


def t_p_value(differences: Sequence[float], overlap: float = 0.0) -> float:
    """Two-sided p value of Student's t test that the differences, shape (n,), have mean 0.

    It is 1 if no test is possible: with fewer than two differences, or if all are equal. It is
    valid for one look at a number of differences that was fixed in advance. `overlap` is that of
    `t_interval`.
    """
    if all_equal(differences):
        return 1.0
    n, sd = len(differences), float(np.std(differences, ddof=1))
    return float(2 * student_t.sf(abs(np.mean(differences)) / (sd * _per_sd(n, overlap)), n - 1))


def t_equivalence_p_value(
    differences: Sequence[float], margin: float, overlap: float = 0.0
) -> float:
    """The larger p value of two one-sided t tests that the mean lies below -margin, and above it.

    It is at most alpha where the t interval of level 1 - 2 alpha lies within +-`margin`. It is 1 if
    no test is possible; see `t_p_value`. Source: Schuirmann 1987, doi 10.1007/BF01068419.
    """
    if all_equal(differences):
        return 1.0
    n, sd = len(differences), float(np.std(differences, ddof=1))
    room = margin - abs(float(np.mean(differences)))
    return float(student_t.sf(room / (sd * _per_sd(n, overlap)), n - 1))


def bca_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Mean with the BCa bootstrap interval, for independent values of shape (n,).

    BCa means bias-corrected and accelerated: Efron 1987, JASA 82, doi
    10.1080/01621459.1987.10478410. `scipy.stats.bootstrap` computes it, with the same resamples on
    every call. The interval is too narrow for few values. It is None for fewer than three values,
    and if all values are equal.
    """
    plain = t_interval(values, confidence)
    if plain.n < 3 or all_equal(values):
        return Estimate(plain.n, plain.mean, plain.sd, None, None)
    found = bootstrap(
        (np.asarray(values, dtype=np.float64),),
        np.mean,
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        method="BCa",
        batch=max(1, AT_ONCE // plain.n),
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(plain.n, plain.mean, plain.sd, float(found.low), float(found.high))


def probability_of_superiority(values: Sequence[float], others: Sequence[float]) -> float | None:
    """How often one of `values`, shape (n,), is above one of `others`, shape (m,); ties count half.

    This is the share of all n * m pairs. It answers the question: of two single runs, how often
    does the first one win? Source: Mann and Whitney 1947, doi 10.1214/aoms/1177730491. None if
    either array is empty.
    """
    if not len(values) or not len(others):
        return None
    gaps = np.sign(np.subtract.outer(np.asarray(values), np.asarray(others)))
    return float((gaps + 1).mean() / 2)


def correlation(values: Sequence[float], others: Sequence[float]) -> float | None:
    """Pearson's correlation of two arrays of shape (n,); None if n < 3 or either is constant."""
    if len(values) < 3 or all_equal(values) or all_equal(others):
        return None
    return float(np.corrcoef(values, others)[0, 1])
