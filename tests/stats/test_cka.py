"""Unbiased alignment against its definition as a sum over quadruples, and on known cases."""

import itertools
import math

import numpy as np
import pytest

from normscope.stats import cka_matrix, unbiased_cka


def features(rng, samples, width):
    return rng.normal(size=(samples, width))


def products(rows):
    return rows @ rows.T


def hsic_by_quadruples(a, b):
    """The U-statistic: the mean over ordered quadruples of different samples.

    Source: Song et al. 2012, JMLR 13, theorem 3.
    """
    terms = [
        a[i, j] * (b[i, j] + b[q, r] - 2 * b[i, q])
        for i, j, q, r in itertools.permutations(range(len(a)), 4)
    ]
    return np.mean(terms)


def test_agrees_with_the_sum_over_quadruples():
    rng = np.random.default_rng(0)
    y = features(rng, 7, 3)
    a, b = products(y), products(y[:, :2] + features(rng, 7, 2))
    by_hand = hsic_by_quadruples(a, b) / math.sqrt(
        hsic_by_quadruples(a, a) * hsic_by_quadruples(b, b)
    )
    assert unbiased_cka(a, b) == pytest.approx(by_hand, rel=1e-10)


def test_equal_but_for_rotation_scale_and_shift_is_one():
    rng = np.random.default_rng(1)
    y = features(rng, 20, 6)
    turned, _ = np.linalg.qr(features(rng, 6, 6))
    assert unbiased_cka(products(y), products(5 * y @ turned + 2)) == pytest.approx(1, abs=1e-12)


def test_scales_do_not_matter():
    rng = np.random.default_rng(2)
    a, b = products(features(rng, 12, 5)), products(features(rng, 12, 8))
    assert unbiased_cka(1e6 * a, 1e-6 * b) == pytest.approx(unbiased_cka(a, b), rel=1e-9)


def biased_cka(a, b):
    centre = np.eye(len(a)) - 1 / len(a)
    a, b = centre @ a @ centre, centre @ b @ centre
    return (a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum())


def test_independent_features_are_zero_where_the_biased_one_is_far_off():
    rng = np.random.default_rng(3)
    pairs = [
        (products(features(rng, 16, 200)), products(features(rng, 16, 200))) for _ in range(200)
    ]
    found = np.array([unbiased_cka(a, b) for a, b in pairs])
    assert abs(found.mean()) < 3 * found.std(ddof=1) / math.sqrt(len(found))
    assert found.min() < 0 < found.max()
    assert np.mean([biased_cka(a, b) for a, b in pairs]) > 0.9


def test_where_all_pairs_are_alike_there_is_nothing_to_align():
    rng = np.random.default_rng(4)
    assert math.isnan(unbiased_cka(np.zeros((6, 6)), products(features(rng, 6, 3))))


def test_what_it_is_given_stays_as_it_is():
    a = products(features(np.random.default_rng(5), 6, 3))
    before = a.copy()
    unbiased_cka(a, a)
    assert (a == before).all()


def test_all_pairs_at_once_are_the_pairs_one_by_one():
    rng = np.random.default_rng(3)
    grams = np.array([products(features(rng, 9, width)) for width in (1, 4, 30)])
    pairs = [[unbiased_cka(a, b) for b in grams] for a in grams]
    np.testing.assert_allclose(cka_matrix(grams), pairs, atol=1e-12)


def test_a_network_to_which_all_images_are_alike_has_no_similarity_to_any():
    rng = np.random.default_rng(3)
    found = cka_matrix(np.array([np.ones((6, 6)), products(features(rng, 6, 2))]))
    assert np.isnan(found[0]).all()
    assert found[1, 1] == pytest.approx(1)
