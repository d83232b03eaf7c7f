"""Which channels go into one group."""

from itertools import combinations

import numpy as np
import pytest

from normscope.probes.grouping import order_by_correlation, order_by_scale


def groups_of(order, groups):
    return [set(map(int, part)) for part in np.split(order, groups)]


def test_similar_scales_share_a_group():
    sds = np.array([5.0, 1.0, 8.0, 2.0, 6.0, 3.0, 7.0, 4.0])
    assert groups_of(order_by_scale(sds, 2, similar=True), 2) == [{1, 3, 5, 7}, {0, 4, 6, 2}]


def test_dissimilar_scales_are_dealt_out():
    sds = np.array([5.0, 1.0, 8.0, 2.0, 6.0, 3.0, 7.0, 4.0])
    found = groups_of(order_by_scale(sds, 4, similar=False), 4)
    assert found == [{1, 0}, {3, 4}, {5, 6}, {7, 2}]  # ranks 1 and 5, 2 and 6, ...


@pytest.mark.parametrize("similar", [True, False])
def test_each_channel_has_one_place(similar):
    rng = np.random.default_rng(0)
    r = np.corrcoef(rng.normal(size=(28, 50)))
    for order in (order_by_scale(rng.random(28), 4, similar), order_by_correlation(r, 4, similar)):
        assert sorted(order) == list(range(28))


def test_blocks_of_correlated_channels_become_groups():
    block = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2])
    r = np.where(block[:, None] == block, -0.9, 0.1)  # the sign says nothing
    np.fill_diagonal(r, 1)
    found = groups_of(order_by_correlation(r, 3, similar=True), 3)
    assert {frozenset(group) for group in found} == {
        frozenset({0, 3, 6}), frozenset({1, 4, 7}), frozenset({2, 5, 8})
    }  # fmt: skip
    for group in groups_of(order_by_correlation(r, 3, similar=False), 3):
        assert {int(block[channel]) for channel in group} == {0, 1, 2}


@pytest.mark.parametrize("similar", [True, False])
def test_against_all_ways_to_group(similar):
    """Of eight channels there are 35 pairs of groups; exchanges find one of the best of them."""
    for seed in range(10):
        r = np.corrcoef(np.random.default_rng(seed).normal(size=(8, 6)))

        def within(groups, r=r):
            return sum(r[a, b] ** 2 for group in groups for a, b in combinations(sorted(group), 2))

        halves = [set(half) for half in combinations(range(8), 4) if 0 in half]
        sums = sorted((within((h, set(range(8)) - h)) for h in halves), reverse=similar)
        found = within(groups_of(order_by_correlation(r, 2, similar), 2))
        assert found == pytest.approx(sums[0]) or found == pytest.approx(sums[1]), seed


def test_what_is_given_stays_as_it_is():
    r = np.corrcoef(np.random.default_rng(0).normal(size=(8, 6)))
    before = r.copy()
    order_by_correlation(r, 2, similar=True)
    np.testing.assert_array_equal(r, before)
