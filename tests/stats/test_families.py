"""Inference about several comparisons, against statsmodels, by hand and by simulation."""

import numpy as np
from scipy import special
from statsmodels.stats.multitest import multipletests

from normscope.stats import holm, holm_levels, log_e_values, winner_set

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


def anytime_p_values(shifts, sequences=4000, looks=100):
    """Anytime p values, after all looks, of norms compared with one baseline: (R, k - 1).

    They never rise from look to look, so a hypothesis that the last look does not reject was not
    rejected at any look.
    """
    shape = (sequences, len(shifts) + 1, looks)
    results = np.random.default_rng(0).normal(size=shape)
    results[:, 1:] += np.array(shifts)[:, None]
    evidence = log_e_values(results[:, 1:] - results[:, :1])
    return np.minimum(1.0, np.exp(-evidence.max(axis=2)))


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


def test_rows_beaten_at_the_level_of_all_pairs_are_left_out():
    values = np.array([[3.0, 3.0], [1.0, 1.0], [2.0, 2.0]])
    assert winner_set(values, ALPHA, always(0.05 / 3)) == [0]
    assert winner_set(values, ALPHA, always(0.017)) == [0, 1, 2]  # 3 pairs: 0.017 > 0.05/3
    assert winner_set(values[:2], ALPHA, always(0.017)) == [0]  # 1 pair
    four = np.array([[4.0], [3.0], [2.0], [1.0]])
    assert winner_set(four, ALPHA, always(0.05 / 6)) == [0]
    assert winner_set(four, ALPHA, always(0.009)) == [0, 1, 2, 3]


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
    left_out = [0 not in winner_set(values, ALPHA, p_value) for values in families]
    assert 0 < np.mean(left_out) <= ALPHA
    families[:, 0] += 6.0
    assert np.mean([winner_set(values, ALPHA, p_value) == [0] for values in families]) > 0.95
