"""How many mistakes trials have in common: against a loop over sets, and groups that are known."""

from itertools import product

import numpy as np
import pytest

from normscope.stats import shared_mistakes, shared_percent


def dice(a, b):
    return 100 * 2 * len(a & b) / (len(a) + len(b))


def test_the_share_is_that_of_sets():
    """{0, 1, 2} and {2, 3} share one of five mistakes twice: 40 %."""
    wrong = np.zeros((3, 6), dtype=bool)
    wrong[0, [0, 1, 2]] = wrong[1, [2, 3]] = True
    found = shared_percent(wrong)
    assert found[0, 1] == found[1, 0] == pytest.approx(40)
    assert found[0, 0] == 100
    assert found[0, 2] == 0
    assert np.isnan(found[2, 2])


def test_means_are_over_pairs_with_different_seeds_by_a_loop():
    wrong = np.random.default_rng(3).random((3, 4, 200)) < 0.3
    sets = [[set(np.flatnonzero(one)) for one in group] for group in wrong]
    found = shared_mistakes(wrong)
    assert found is not None
    for a, b in product(range(3), repeat=2):
        pairs = [dice(sets[a][i], sets[b][j]) for i, j in product(range(4), repeat=2) if i != j]
        assert found.percent[a, b] == pytest.approx(np.mean(pairs))
    within = [dice(sets[a][i], sets[a][j]) for a in range(3) for i in range(4) for j in range(i)]
    assert found.within == pytest.approx(np.mean(within))
    assert found.by_seed.mean() == pytest.approx(found.within - found.between)
    of_two = [dice(sets[a][2], sets[a][j]) for a in range(3) for j in (0, 1, 3)]
    across = [
        dice(sets[a][2], sets[b][j])
        for a in range(3)
        for b in range(3)
        for j in (0, 1, 3)
        if a != b
    ]
    assert found.by_seed[2] == pytest.approx(np.mean(of_two) - np.mean(across))


def test_groups_that_err_on_images_of_their_own_are_told_apart():
    """Exactly two of the 2**4 ways to swap two groups within four seeds leave them as they are."""
    rng = np.random.default_rng(0)
    own = np.stack([np.arange(300) < 100, np.arange(300) >= 200])
    wrong = own[:, None] & (rng.random((2, 4, 300)) < 0.7)
    found = shared_mistakes(wrong)
    assert found is not None
    assert found.between == 0
    assert found.within > 60
    assert found.p_value == pytest.approx(2 / 16, abs=0.03)


def test_the_p_value_is_uniform_where_groups_make_no_difference():
    """Images differ in how hard they are, for all groups alike: at most 5 % of p values below 5 %.

    Of 200 draws 10 are expected, with a standard deviation of 3.
    """
    rng = np.random.default_rng(5)
    hard = rng.random(150)
    p_values = []
    for _ in range(200):
        found = shared_mistakes(rng.random((3, 4, 150)) < hard, permutations=199)
        assert found is not None
        p_values.append(found.p_value)
    assert sum(p <= 0.05 for p in p_values) <= 20
    assert 0.4 < np.mean(p_values) < 0.6


@pytest.mark.parametrize("shape", [(1, 3, 9), (3, 1, 9)])
def test_one_group_or_seed_says_nothing(shape):
    assert shared_mistakes(np.ones(shape, dtype=bool)) is None


def test_trials_without_a_mistake_share_none():
    assert shared_mistakes(np.zeros((2, 2, 5), dtype=bool)) is None
