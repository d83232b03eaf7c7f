"""Kendall's tau and its p value, by counting."""

from itertools import permutations

import pytest

from normscope.stats import kendall


def test_tau_is_the_share_of_pairs_in_order_less_that_of_the_others():
    tau, _ = kendall([1, 2, 3, 4], [10, 30, 20, 40])
    assert tau == pytest.approx((5 - 1) / 6)
    assert kendall([1, 2, 3], [3, 2, 1])[0] == -1


def test_the_p_value_counts_all_orders():
    def agreeing(order):
        return sum(order[i] < order[j] for i in range(5) for j in range(i + 1, 5))

    observed = (0, 1, 3, 2, 4)
    distance = abs(agreeing(observed) - 5)
    as_far = [abs(agreeing(order) - 5) >= distance for order in permutations(range(5))]
    assert kendall(range(5), observed)[1] == pytest.approx(sum(as_far) / 120)


@pytest.mark.parametrize("rows", [([1, 1, 1], [1, 2, 3]), ([1, 2], [5, 5]), ([], []), ([1], [1])])
def test_without_an_order_there_is_none_to_compare(rows):
    assert kendall(*rows) == (None, 1.0)
