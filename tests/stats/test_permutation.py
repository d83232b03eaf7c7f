"""The sign-flip test, against SciPy's permutation test and exact distributions."""

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from normscope.stats import sign_flip_p_value, sign_flip_p_values
from normscope.stats.permutation import DRAWS, EXACT


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_small_samples_agree_with_scipy(n):
    rng = np.random.default_rng(n)
    for values in [*rng.normal(0.5, 1.0, (4, n)), rng.integers(-1, 4, n)]:
        expected = scipy_stats.permutation_test(
            (values,), np.mean, permutation_type="samples", n_resamples=np.inf
        ).pvalue
        assert sign_flip_p_value(values) == pytest.approx(expected)


def test_a_plain_loop_over_all_patterns():
    values = [1.0, 2.0, 4.0, -3.0]
    sums = [sum(np.multiply(signs, values)) for signs in itertools.product([-1, 1], repeat=4)]
    expected = sum(abs(found) >= 4.0 for found in sums) / 16
    assert sign_flip_p_value(values) == expected == 10 / 16


@pytest.mark.parametrize("n", [1, 2, 6, 10, EXACT])
def test_the_smallest_p_value_is_2_of_all_patterns(n):
    values = np.linspace(0.1, 2.0, n)
    assert sign_flip_p_value(values) == 2 / 2**n
    assert sign_flip_p_value(-values) == 2 / 2**n


def test_rounding_does_not_separate_patterns_that_are_equally_far():
    # In binary 0.1 + 0.2 - 0.3 is not 0, and its order matters.
    assert sign_flip_p_value([0.1, 0.2, -0.3]) == 1.0
    assert sign_flip_p_value([0.1, 0.2, 0.3, 0.1, 0.2, -0.3]) == sign_flip_p_value(
        [1, 2, 3, 1, 2, -3]
    )


def test_nothing_to_judge_by_is_1():
    assert sign_flip_p_value([]) == 1.0
    assert sign_flip_p_value([0.0]) == 1.0
    assert sign_flip_p_value([0.0] * 20) == 1.0


def exact_p_value(values):
    """The p value of integers, from the distribution of their sum under random signs."""
    chances = np.ones(1)
    for value in np.abs(values):
        step = np.zeros(2 * value + 1)
        step[0] += 0.5
        step[-1] += 0.5
        chances = np.convolve(chances, step)
    sums = np.arange(len(chances)) - len(chances) // 2
    return chances[np.abs(sums) >= abs(sum(values))].sum()


@pytest.mark.parametrize("n", [EXACT, EXACT + 1, 25])
@pytest.mark.parametrize("shift", [1, 4])
def test_large_samples_come_close_to_the_exact_distribution(n, shift):
    values = np.random.default_rng(n).integers(-10, 11, n) + shift
    expected = exact_p_value(values)
    found = sign_flip_p_value(values)
    if n <= EXACT:
        assert found == pytest.approx(expected)
    else:
        error = np.sqrt(expected * (1 - expected) / DRAWS)
        assert found == pytest.approx(expected, abs=4 * error)
        assert found == sign_flip_p_value(values)


@pytest.mark.parametrize("n", [5, EXACT + 1])
def test_several_together_have_the_p_value_of_each(n):
    several = np.random.default_rng(n).normal(0.3, 1.0, (4, n))
    found = sign_flip_p_values(several)
    assert found == [sign_flip_p_value(each) for each in several]
    assert len(set(found)) == 4


def test_the_observed_pattern_counts_as_one_of_the_sample():
    assert sign_flip_p_value([1.0] * 60) == 1 / (DRAWS + 1)
