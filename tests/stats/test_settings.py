"""What several settings say of another one: against statsmodels, by hand, and by simulation."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.meta_analysis import combine_effects

from normscope.stats import paule_mandel, random_effects, t_interval

# Tuberculosis among the vaccinated and the others, ill and not, in 13 trials of the BCG vaccine:
# Colditz et al. 1994, JAMA 271.
BCG = np.array(
    [
        [4, 119, 11, 128], [6, 300, 29, 274], [3, 228, 11, 209], [62, 13536, 248, 12619],
        [33, 5036, 47, 5761], [180, 1361, 372, 1079], [8, 2537, 10, 619],
        [505, 87886, 499, 87892], [29, 7470, 45, 7232], [17, 1699, 65, 1600],
        [186, 50448, 141, 27197], [5, 2493, 3, 2338], [27, 16886, 29, 17825],
    ]
)  # fmt: skip
ILL, WELL, ILL_OF_OTHERS, OTHERS = BCG.T
LOG_RISKS = np.log(ILL / (ILL + WELL) * (ILL_OF_OTHERS + OTHERS) / ILL_OF_OTHERS)
VARIANCES = 1 / ILL - 1 / (ILL + WELL) + 1 / ILL_OF_OTHERS - 1 / (ILL_OF_OTHERS + OTHERS)


# -- against others --------------------------------------------------------------------------------


def test_the_published_example():
    found = random_effects(LOG_RISKS, np.sqrt(VARIANCES))
    assert found.tau**2 == pytest.approx(0.318, abs=5e-4)
    assert found.mean == pytest.approx(-0.715, abs=5e-4)
    oracle = combine_effects(LOG_RISKS, VARIANCES, method_re="iterated")
    assert found.tau**2 == pytest.approx(oracle.tau2)
    assert found.mean == pytest.approx(oracle.mean_effect_re)
    assert found.standard_error > oracle.sd_eff_w_re_hksj  # 0.181, where 13 means vary by 0.19
    assert found.standard_error == pytest.approx(np.std(LOG_RISKS, ddof=1) / 13**0.5)


@pytest.mark.parametrize("sign", [1, -1])
def test_two_one_sided_tests_are_the_interval_at_twice_alpha_and_scipys(sign):
    """Of the plain mean, where the settings differ so much that their weights are equal."""
    differences = sign * np.array([0.3, -0.2, 0.25, -0.1, 0.05])
    found = random_effects(differences, np.full(5, 0.01))
    for margin in (0.1, 0.2, 0.3, 0.5):
        p = found.equivalence_p_value(margin)
        sides = ((-margin, "greater"), (margin, "less"))
        oracle = [scipy_stats.ttest_1samp(differences, m, alternative=a).pvalue for m, a in sides]
        assert p == pytest.approx(max(oracle), rel=1e-3)
        low, high = found.interval(2 * p)
        assert max(-low, high) == pytest.approx(margin)


@pytest.mark.parametrize("seed", range(20))
def test_random_settings_agree_with_statsmodels_but_for_the_bounds(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 9))
    errors = rng.uniform(0.2, 1.0, count)
    differences = rng.normal(0, rng.choice([0.0, 2.0]), count) + errors * rng.normal(size=count)
    found = random_effects(differences, errors)
    oracle = combine_effects(differences, errors**2, method_re="iterated")
    assert found.tau**2 == pytest.approx(oracle.tau2, rel=1e-5, abs=1e-9)
    assert found.mean == pytest.approx(oracle.mean_effect_re, rel=1e-5)
    bounds = scipy_stats.sem(differences), oracle.sd_eff_w_re
    assert found.standard_error == pytest.approx(max(oracle.sd_eff_w_re_hksj, *bounds), rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_tau_by_trying_all_values(seed):
    rng = np.random.default_rng(seed)
    errors = rng.uniform(0.2, 1.0, 5)
    differences = rng.normal(0, 1.5, 5)
    grid = np.linspace(0, 20, 200_001)
    weights = 1 / (errors**2 + grid[:, None])
    means = (weights * differences).sum(axis=1) / weights.sum(axis=1)
    sums = (weights * (differences - means[:, None]) ** 2).sum(axis=1)
    tried = grid[np.abs(sums - 4).argmin()] if sums[0] > 4 else 0.0
    assert paule_mandel(differences, errors) == pytest.approx(tried, abs=1e-4)


# -- by hand ---------------------------------------------------------------------------------------


def test_equal_errors_give_the_plain_mean_and_its_t_interval():
    differences = [-1.0, -2.0, -4.0, 1.0]
    found = random_effects(differences, [0.5] * 4)
    plain = t_interval(differences)
    assert found.mean == pytest.approx(plain.mean)
    assert found.interval(0.05) == pytest.approx((plain.low, plain.high))
    # With equal weights the equation reads variance / (s^2 + tau^2) = 1.
    assert found.tau**2 == pytest.approx(np.var(differences, ddof=1) - 0.25)
    assert found.p_value == pytest.approx(scipy_stats.ttest_1samp(differences, 0).pvalue)
    # t with 2 degrees of freedom: 4.3027.
    half = 4.3027 * (found.tau**2 + found.standard_error**2) ** 0.5
    ends = found.prediction(0.05)
    assert ends == pytest.approx((found.mean - half, found.mean + half), rel=1e-4)


def test_settings_that_agree_have_no_tau_and_are_weighed_by_their_errors():
    found = random_effects([-1.0, -1.3], [0.5, 1.0])
    assert found.tau == 0
    assert found.mean == pytest.approx((-1.0 * 4 - 1.3 * 1) / 5)
    # The formula would give 0.12, and the plain mean has 0.15; the seeds alone leave 1 / sqrt(5).
    assert found.standard_error == pytest.approx(0.2**0.5)
    assert found.interval(0.05)[1] == pytest.approx(found.mean + 12.7062 * 0.2**0.5, rel=1e-4)


def test_the_plain_mean_bounds_what_one_sure_setting_says():
    found = random_effects([-1.0, -1.9, -1.9], [0.01, 0.9, 0.9])
    assert found.tau == 0
    assert found.mean == pytest.approx(-1.0, abs=1e-3)
    # 0.01 is what the errors alone leave open; the three means have an sd of 0.5196.
    assert found.standard_error == pytest.approx(0.3)


def test_too_few_settings():
    assert random_effects([], []) is None
    assert random_effects([-1.0], [0.5]) is None
    assert random_effects([-1.0, -1.5], [0.5, 0.5]).prediction(0.05) is None


def test_settings_that_are_all_equal_are_as_sure_as_their_errors():
    found = random_effects([-1.0, -1.0], [0.5, 0.25])
    assert (found.mean, found.tau) == (-1.0, 0.0)
    assert found.standard_error == pytest.approx(20**-0.5)


# -- by simulation ---------------------------------------------------------------------------------


def covered(tau, errors, draws=1500, seeds=3):
    """How often intervals hold the mean 0 over settings, and predictions a new true difference."""
    rng = np.random.default_rng(0)
    held = predicted = weighted = 0
    for _ in range(draws):
        true = tau * rng.normal(size=len(errors))
        runs = true[:, None] + np.asarray(errors)[:, None] * rng.normal(size=(len(errors), seeds))
        means, found_errors = runs.mean(axis=1), scipy_stats.sem(runs, axis=1)
        found = random_effects(means, found_errors)
        low, high = found.interval(0.05)
        held += low <= 0 <= high
        ends = found.prediction(0.05)
        predicted += ends[0] <= tau * rng.normal() <= ends[1]
        weights = 1 / (found_errors**2 + found.tau**2)
        spread = (weights @ (means - found.mean) ** 2 / (3 * weights.sum())) ** 0.5
        weighted += abs(found.mean) <= scipy_stats.t.ppf(0.975, 3) * spread
    return held / draws, predicted / draws, weighted / draws


@pytest.mark.parametrize(
    ("tau", "errors"),
    [(0.5, (1.0, 1.0, 1.0, 1.0)), (0.5, (0.25, 0.4, 0.6, 1.0)), (2.0, (0.25, 0.4, 0.6, 1.0))],
)
def test_intervals_over_four_settings_of_three_seeds_cover(tau, errors):
    held, predicted, weighted = covered(tau, errors)
    assert 0.94 < held < 0.98
    assert predicted > 0.93
    assert weighted < held  # what the bounds are for


def test_the_bounds_make_up_for_weights_that_are_mostly_noise():
    held, _, weighted = covered(0.0, (1.0, 1.0, 1.0, 1.0))
    assert weighted < 0.90
    assert 0.95 < held < 0.985
