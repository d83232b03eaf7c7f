"""Inference about several comparisons, against statsmodels, by hand and by simulation."""

import numpy as np
import pytest
from scipy import special
from statsmodels.stats.multitest import multipletests

from normscope.stats import equivalence_p_value, holm, holm_levels, winner_set
from normscope.stats.spending import levels_reached

ALPHA = 0.05


def rounded_p_values(seed, families):
    """Families of 1 to 8 p values, of which many are small and many are tied."""
    rng = np.random.default_rng(seed)
    return [np.round(rng.beta(0.4, 4.0, rng.integers(1, 9)), 2) for _ in range(families)]


# -- Holm ----------------------------------------------------------------------------------------


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.03, 0.01, 0.04]), [0.06, 0.03, 0.06])
    np.testing.assert_allclose(holm([0.6, 0.9]), [1.0, 1.0])
    assert holm([]).shape == (0,)


def test_holm_takes_many_families_at_once():
    p_values = np.random.default_rng(2).uniform(0, 0.1, (4, 5, 3))
    together = holm(p_values)
    for place in np.ndindex(5, 3):
        one = (slice(None), *place)
        np.testing.assert_array_equal(together[one], holm(p_values[one]))


def test_holm_agrees_with_statsmodels():
    for p_values in rounded_p_values(0, 25):  # statsmodels collects garbage each time
        rejected, adjusted, *_ = multipletests(p_values, ALPHA, method="holm")
        np.testing.assert_allclose(holm(p_values), adjusted)
        np.testing.assert_array_equal(holm(p_values) <= ALPHA, rejected)


def test_holm_levels_by_hand():
    # 0.01 <= 0.05/3 and 0.02 <= 0.05/2 are rejected; the last is left to be tested at 0.05.
    np.testing.assert_allclose(holm_levels([0.06, 0.01, 0.02], ALPHA), [0.05, 0.05 / 3, 0.05 / 2])
    # Nothing is rejected: all are tested at 0.05/3, though 0.02 is below 0.05/2.
    np.testing.assert_allclose(holm_levels([0.02, 0.02, 0.9], ALPHA), [0.05 / 3] * 3)
    # A p value at its level is rejected, and the next tested at the next level.
    np.testing.assert_allclose(holm_levels([0.05, 0.025], ALPHA), [0.05, 0.025])
    assert holm_levels([], ALPHA).shape == (0,)


def test_p_values_are_at_most_their_levels_exactly_where_holm_rejects():
    rejections = []
    for p_values in rounded_p_values(1, 300):
        rejected = holm(p_values) <= ALPHA
        np.testing.assert_array_equal(p_values <= holm_levels(p_values, ALPHA), rejected)
        rejections += rejected.tolist()
    assert 0.2 < np.mean(rejections) < 0.8


# -- the error rate of the whole family ------------------------------------------------------------


def differences_to_a_baseline(shifts, correlation=0.0, sequences=4000, looks=60):
    """Shape (R, k, n); results have unit variance, and that correlation with the baseline's."""
    rng = np.random.default_rng(0)
    baseline = rng.normal(size=(sequences, 1, looks))
    own = rng.normal(size=(sequences, len(shifts), looks))
    results = correlation * baseline + np.sqrt(1 - correlation**2) * own
    return results + np.array(shifts)[:, None] - baseline


def anytime_p_values(shifts, **kinds):
    """Anytime p values, after all looks, of norms compared with one baseline: (R, k).

    They never rise from look to look, so a hypothesis that the last look does not reject was not
    rejected at any look.
    """
    return levels_reached(differences_to_a_baseline(shifts, **kinds)).min(axis=2)


NOISE = 3 * np.sqrt(ALPHA * (1 - ALPHA) / 4000)


@pytest.mark.parametrize("norms", [2, 3, 6])
@pytest.mark.parametrize("correlation", [-0.4, 0.0, 0.5])
def test_false_differences_of_families_of_any_size_and_correlation(norms, correlation):
    p_values = anytime_p_values([0.0] * (norms - 1), correlation=correlation)
    rate = np.mean([holm(row).min() <= ALPHA for row in p_values])
    assert 0.6 * ALPHA < rate < ALPHA + NOISE


@pytest.mark.parametrize("norms", [2, 4])
@pytest.mark.parametrize("correlation", [-0.4, 0.5])
def test_false_equivalences_of_families_of_any_size_and_correlation(norms, correlation):
    edges = [0.9 if place % 2 else -0.9 for place in range(norms - 1)]
    families = differences_to_a_baseline(edges, correlation, sequences=1000, looks=40)
    p_values = [[equivalence_p_value(own, 0.9) for own in family] for family in families]
    rate = np.mean([holm(row).min() <= ALPHA for row in p_values])
    assert 0.5 * ALPHA < rate < ALPHA + 2 * NOISE


def test_the_family_errs_at_most_at_its_level_after_all_looks_and_only_thanks_to_holm():
    p_values = anytime_p_values([0.0, 0.0, 0.0])
    corrected = np.array([holm(row).min() <= ALPHA for row in p_values]).mean()
    assert 0.01 < corrected <= ALPHA
    uncorrected = (p_values.min(axis=1) <= ALPHA).mean()
    assert uncorrected > ALPHA + 0.01


def test_a_norm_that_does_differ_does_not_let_the_others_err_more():
    adjusted = np.array([holm(row) for row in anytime_p_values([2.0, 0.0, 0.0])])
    assert (adjusted[:, 0] <= ALPHA).mean() > 0.99
    assert 0.01 < (adjusted[:, 1:].min(axis=1) <= ALPHA).mean() <= ALPHA


# -- the set of winners ----------------------------------------------------------------------------


def always(p_value):
    return lambda differences: p_value


def test_rows_beaten_at_the_level_of_a_pair_are_left_out():
    values = np.array([[3.0, 3.0], [1.0, 1.0], [2.0, 2.0]])
    assert winner_set(values, 0.05 / 3, always(0.05 / 3)) == [0]
    assert winner_set(values, 0.05 / 3, always(0.017)) == [0, 1, 2]


def test_equal_rows_do_not_beat_each_other():
    assert winner_set(np.array([[1.0, 2.0], [2.0, 1.0]]), ALPHA, always(0.0)) == [0, 1]


def test_rows_are_compared_where_both_have_values():
    lacks = np.nan
    values = np.array([[5.0, lacks, 6.0, 1.0], [3.0, 9.0, 5.0, lacks]])
    seen = []

    def p_value(differences):
        seen.append(list(differences))
        return 0.0

    assert winner_set(values, ALPHA, p_value) == [0]
    assert [2.0, 1.0] in seen
    assert all(found in ([2.0, 1.0], [-2.0, -1.0]) for found in seen)


def test_rows_without_values_or_without_a_common_one():
    lacks = np.nan
    assert winner_set(np.array([[1.0, 2.0], [lacks, lacks]]), ALPHA, always(0.0)) == [0]
    assert winner_set(np.array([[1.0, lacks], [lacks, 2.0]]), ALPHA, always(0.0)) == [0, 1]
    assert winner_set(np.array([[1.0, 2.0]]), ALPHA, always(0.0)) == [0]
    assert winner_set(np.full((2, 3), lacks), ALPHA, always(0.0)) == []


def test_one_of_the_best_is_rarely_left_out():
    def p_value(differences):
        n = len(differences)
        t = differences.mean() / differences.std(ddof=1) * np.sqrt(n)
        return 2 * special.stdtr(n - 1, -abs(t))

    families = np.random.default_rng(0).normal(size=(1000, 4, 6))
    left_out = [0 not in winner_set(values, 2 * ALPHA / 3, p_value) for values in families]
    assert ALPHA / 3 < np.mean(left_out) <= ALPHA
    as_strict = [0 not in winner_set(values, ALPHA / 6, p_value) for values in families]
    assert 0 < np.mean(as_strict) < ALPHA / 3
    families[:, 0] += 6.0
    assert (
        np.mean([winner_set(values, 2 * ALPHA / 3, p_value) == [0] for values in families]) > 0.95
    )
