"""Estimates for a design fixed in advance, against SciPy's own tests and by counting."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.weightstats import ttost_paired

from normscope.stats import (
    bca_interval,
    correlation,
    probability_of_superiority,
    t_equivalence_p_value,
    t_interval,
    t_p_value,
)

# -- Student's t ---------------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [0.95, 0.5])
def test_t_interval_agrees_with_scipy(confidence):
    values = [-0.8, -1.6, -0.3, 0.4]
    expected = scipy_stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    estimate = t_interval(values, confidence)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert (estimate.n, estimate.mean, estimate.sd) == pytest.approx((4, -0.575, 0.8421203397773))


def test_t_interval_covers_at_its_rate():
    rng = np.random.default_rng(0)
    covered = 0
    for sample in rng.normal(3.0, 2.0, (2000, 3)):
        estimate = t_interval(sample)
        covered += estimate.low <= 3.0 <= estimate.high
    assert abs(covered / 2000 - 0.95) < 0.02


def test_what_is_not_defined_is_none():
    assert t_interval([]).mean is None
    one = t_interval([5.0])
    assert (one.mean, one.sd, one.low, one.high) == (5.0, None, None, None)


def test_t_p_value_agrees_with_scipy_and_with_a_table():
    values = [-0.8, -1.6, -0.3, 0.4]
    assert t_p_value(values) == pytest.approx(scipy_stats.ttest_1samp(values, 0.0).pvalue)
    # Mean 4.303, standard error 1: the 97.5 % point of t with 2 degrees of freedom.
    assert t_p_value(4.303 + np.sqrt(3) * np.array([-1, 0, 1])) == pytest.approx(0.05, abs=1e-5)


def test_t_p_value_is_below_the_level_exactly_where_the_interval_excludes_0():
    outcomes = set()
    for sample in np.random.default_rng(0).normal(1.0, 1.0, (200, 4)):
        estimate = t_interval(sample)
        excluded = not estimate.low <= 0 <= estimate.high
        assert excluded is (t_p_value(sample) <= 0.05)
        outcomes.add(excluded)
    assert outcomes == {True, False}


@pytest.mark.parametrize("values", [[], [3.0], [0.0, 0.0], [2.0, 2.0, 2.0]])
def test_t_p_value_is_1_where_there_is_nothing_to_judge_by(values):
    assert t_p_value(values) == 1.0


# -- bootstrap -----------------------------------------------------------------------------------

SKEWED = np.array([0.1, 0.2, 0.2, 0.3, 0.5, 0.6, 0.9, 1.1, 1.6, 2.4, 4.0, 7.5])


def scipy_interval(method, confidence=0.95):
    return scipy_stats.bootstrap(
        (SKEWED,), np.mean, confidence_level=confidence, n_resamples=20_000, method=method,
        rng=np.random.default_rng(7),
    ).confidence_interval  # fmt: skip


@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_bca_interval_agrees_with_scipy_on_other_resamples(confidence):
    expected = scipy_interval("BCa", confidence)
    estimate = bca_interval(SKEWED, confidence)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=0.1)
    assert estimate.mean == pytest.approx(SKEWED.mean())
    assert (estimate.n, estimate.sd) == (12, pytest.approx(SKEWED.std(ddof=1)))


def test_bca_interval_leans_to_the_long_tail_as_percentiles_do_not():
    assert bca_interval(SKEWED).high > scipy_interval("percentile").high + 0.3


def test_bca_interval_is_the_same_every_time():
    assert bca_interval(SKEWED) == bca_interval(SKEWED)


@pytest.mark.parametrize("values", [[], [3.0], [1.0, 2.0], [2.0, 2.0, 2.0, 2.0]])
def test_bca_interval_is_none_for_fewer_than_three_and_for_equal_values(values):
    estimate, plain = bca_interval(values), t_interval(values)
    assert (estimate.low, estimate.high) == (None, None)
    assert (estimate.n, estimate.mean, estimate.sd) == (plain.n, plain.mean, plain.sd)


# -- two samples ---------------------------------------------------------------------------------


def test_probability_of_superiority_is_mann_whitneys_u_per_pair():
    rng = np.random.default_rng(0)
    for n, m in [(1, 1), (3, 5), (10, 4), (30, 30)]:
        values, others = rng.integers(0, 8, n), rng.integers(0, 6, m)  # many ties
        u = scipy_stats.mannwhitneyu(values, others, method="asymptotic").statistic
        assert probability_of_superiority(values, others) == pytest.approx(u / (n * m))


def test_probability_of_superiority_by_counting():
    assert probability_of_superiority([2.0, 3.0], [1.0, 2.0, 9.0]) == pytest.approx(3.5 / 6)
    assert probability_of_superiority([5.0], [5.0]) == 0.5
    assert probability_of_superiority([5.0, 6.0], [1.0]) == 1.0
    assert probability_of_superiority([], [1.0]) is None
    assert probability_of_superiority([1.0], []) is None


def test_correlation_agrees_with_scipy():
    x, y = np.random.default_rng(0).normal(size=(2, 9))
    assert correlation(x, y) == pytest.approx(scipy_stats.pearsonr(x, y).statistic)
    assert correlation([1.0, 2.0, 3.0], [9.0, 7.0, 5.0]) == pytest.approx(-1.0)


def test_correlation_needs_three_pairs_and_some_spread():
    assert correlation([1.0, 2.0], [3.0, 5.0]) is None
    assert correlation([1.0, 1.0, 1.0], [3.0, 5.0, 6.0]) is None
    assert correlation([3.0, 5.0, 6.0], [1.0, 1.0, 1.0]) is None


# -- values whose training sets overlap ------------------------------------------------------------

FOLDS = [1.5, -0.5, 2.0, 0.7, 1.1]  # of 5 folds: 80 % trained on, so that the overlap is 1/4


def test_the_corrected_interval_is_that_of_nadeau_and_bengio():
    """Their equation: mean +- t sqrt((1/J + n2/n1) S2), here J = 5 and n2/n1 = 20/80."""
    estimate = t_interval(FOLDS, 0.95, overlap=1 / 4)
    variance = np.var(FOLDS, ddof=1) * (1 / 5 + 20 / 80)
    half = scipy_stats.t.ppf(0.975, 4) * np.sqrt(variance)
    assert (estimate.low, estimate.high) == pytest.approx((0.96 - half, 0.96 + half))
    statistic = 0.96 / np.sqrt(variance)
    expected = 2 * scipy_stats.t.sf(statistic, 4)
    assert t_p_value(FOLDS, overlap=1 / 4) == pytest.approx(expected)
    assert t_p_value(FOLDS) < t_p_value(FOLDS, overlap=1 / 4)


def test_with_overlap_an_interval_keeps_its_rate_where_the_plain_one_does_not():
    """Values with the correlation 1/folds that the correction is made for."""
    rng, folds, times = np.random.default_rng(0), 5, 4000
    shared = rng.normal(size=(times, 1)) * np.sqrt(1 / folds)
    values = shared + rng.normal(size=(times, folds)) * np.sqrt(1 - 1 / folds)
    covered = dict.fromkeys((0.0, 1 / (folds - 1)), 0)
    for row in values:
        for overlap in covered:
            found = t_interval(row, 0.95, overlap)
            covered[overlap] += found.low <= 0 <= found.high
    assert covered[0.0] / times < 0.90
    assert covered[1 / (folds - 1)] / times == pytest.approx(0.95, abs=0.012)


# -- two one-sided tests ---------------------------------------------------------------------------


def test_equivalence_agrees_with_statsmodels():
    rng = np.random.default_rng(8)
    for _ in range(20):
        n, margin = int(rng.integers(2, 12)), float(rng.uniform(0.2, 2))
        values = rng.normal(rng.uniform(-1, 1), 0.7, n)
        expected, _, _ = ttost_paired(values, np.zeros(n), -margin, margin)
        assert t_equivalence_p_value(values.tolist(), margin) == pytest.approx(expected)


def test_equivalence_is_the_interval_of_twice_the_level_within_the_margin():
    values = [0.1, 0.3, -0.2, 0.15, 0.4]
    for overlap in (0.0, 0.25):
        found = t_interval(values, 1 - 2 * 0.05, overlap)
        edge = max(abs(found.low), abs(found.high))
        assert t_equivalence_p_value(values, 0.999 * edge, overlap) > 0.05
        assert t_equivalence_p_value(values, 1.001 * edge, overlap) <= 0.05


@pytest.mark.parametrize("values", [[], [0.1], [0.1, 0.1, 0.1]])
def test_without_a_spread_nothing_is_equivalent(values):
    assert t_equivalence_p_value(values, 1.0) == 1.0
