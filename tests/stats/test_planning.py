"""How many seeds a comparison takes: against statsmodels, integrals, tables and a plain loop."""

import math
from itertools import islice

import numpy as np
import pytest
from scipy import integrate
from scipy import stats as scipy_stats
from statsmodels.stats.power import TTestPower

from normscope.analysis.verdicts import Pairs, Rules, judge
from normscope.stats import (
    Course,
    Stopping,
    equivalence_p_value,
    equivalence_times,
    mixture,
    range_of_seeds,
    seeds_for_equivalence,
    seeds_for_power,
    seeds_to_decide,
    simulated_course,
    spending,
    stopping_times,
    t_half_width,
    t_test_power,
)
from normscope.stats.planning import equivalence_power

# -- a number of seeds fixed in advance ----------------------------------------------------------


@pytest.mark.parametrize("effect", [0.4, 1.0, 1.7])
@pytest.mark.parametrize("power", [0.8, 0.9])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
def test_seeds_for_power_agree_with_statsmodels(effect, power, alpha):
    expected = TTestPower().solve_power(effect, power=power, alpha=alpha)
    assert seeds_for_power(3 * effect, 3.0, power, alpha) == math.ceil(expected)
    assert seeds_for_power(-3 * effect, 3.0, power, alpha) == math.ceil(expected)


def power_by_integral(effect, n, alpha):
    """Probability that |t| exceeds its limit, integrated over the distribution of the sample sd."""
    limit, freedom = scipy_stats.t.ppf(1 - alpha / 2, n - 1), n - 1

    def rejected(chi):
        edge = limit * chi / math.sqrt(freedom)
        shift = effect * math.sqrt(n)
        normal = scipy_stats.norm
        return scipy_stats.chi.pdf(chi, freedom) * (
            normal.sf(edge - shift) + normal.cdf(-edge - shift)
        )

    return integrate.quad(rejected, 0, math.sqrt(freedom) + 10)[0]


@pytest.mark.parametrize(("effect", "n"), [(0.0, 5), (0.3, 20), (-0.3, 20), (1.0, 5), (2.0, 3)])
def test_power_agrees_with_an_integral_over_the_spread(effect, n):
    expected = power_by_integral(effect, n, 0.05)
    assert t_test_power(effect, 1.0, n, 0.05) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("effect", "power", "alpha", "seeds"),
    [(3.9, 0.9, 0.05, 4), (3.3, 0.9, 0.05 / 3, 5), (3.8, 0.8, 0.05 / 3, 4)],
)
def test_large_effects_take_few_seeds(effect, power, alpha, seeds):
    assert power_by_integral(effect, seeds, alpha) >= power
    assert power_by_integral(effect, seeds - 1, alpha) < power
    assert seeds_for_power(effect, 1.0, power, alpha) == seeds


def test_more_seeds_than_anybody_trains_are_none():
    # (1.960 + 0.842)^2 / effect^2: 942 and 1163 seeds.
    assert seeds_for_power(1.0, 10.95, 0.8, 0.05) == pytest.approx(942, abs=3)
    assert seeds_for_power(1.0, 12.17, 0.8, 0.05) is None


# -- how many seeds an undecided comparison takes ------------------------------------------------


def decide(mean, sd=1.0, margin=0.0, alpha=0.05, sequential=False, at_least=2):
    width = mixture.half_width if sequential else t_half_width
    return seeds_to_decide(mean, sd, margin, (alpha, alpha), width, at_least)


def test_seeds_to_decide_by_the_table_of_t():
    # 2.571 / sqrt(6) = 1.05 and 2.447 / sqrt(7) = 0.92
    assert decide(1.0) == 7
    assert decide(-1.0) == 7
    assert decide(10.0, sd=10.0) == 7
    # Within +-1: 0.7 is left, and 3.182 / sqrt(4) * 0.5 = 0.80, 2.776 / sqrt(5) * 0.5 = 0.62
    assert decide(0.3, sd=0.5, margin=1.0) == 5
    assert decide(-0.3, sd=0.5, margin=1.0) == 5
    # At 0.05/3 Student's t with 8 and 9 degrees of freedom: 3.016 / sqrt(9), 2.933 / sqrt(10)
    assert decide(1.0, alpha=0.05 / 3) == 10


def test_seeds_to_decide_by_the_published_half_widths():
    # 8.453 / sqrt(5) = 3.78, 3.870 / sqrt(10) = 1.224, 3.425 / sqrt(20) = 0.766
    assert decide(3.79, sequential=True) == 5
    assert decide(3.77, sequential=True) == 6
    assert decide(1.23, sequential=True) == 10
    assert decide(0.77, sequential=True) == 20
    assert decide(0.0, margin=0.77, sequential=True) == 20


def test_seeds_to_decide_is_where_the_confidence_sequence_does_decide():
    mean, sd, margin = 0.35, 1.1, 0.9
    n = decide(mean, sd, margin, 0.05 / 3, sequential=True)
    for count, decided in [(n - 1, False), (n, True)]:
        values = mean + sd * scipy_stats.zscore(np.arange(count), ddof=1)
        found = mixture.confidence_sequence(values, 0.05 / 3)
        assert (found.low > 0 or (found.low > -margin and found.high < margin)) is decided


def test_seeds_to_decide_starts_where_it_is_told():
    assert decide(1.0, at_least=8) == 8
    assert decide(1.0, at_least=0) == 7
    assert decide(0.0, sd=0.0, margin=1.0, at_least=0) == 2
    assert decide(1.0, sd=0.0, sequential=True, at_least=0) == 5


def test_what_would_take_too_many_seeds_is_none():
    assert decide(0.0) is None
    assert decide(0.0, sd=0.0) is None
    assert decide(0.05) is None  # 1.96^2 / 0.05^2 = 1537
    assert decide(0.07) == pytest.approx(787, abs=4)  # 1.96^2 / 0.07^2 = 784
    assert decide(0.5, margin=0.5, sd=100.0) is None


def test_the_range_of_a_forecast_holds_in_four_of_five_comparisons():
    """Of those that are open after 6 to 20 seeds, at two comparisons and a margin of 0.5."""
    rng, looks = np.random.default_rng(0), np.arange(1, 201)
    widths = {level: [spending.half_width(int(n), level) for n in looks] for level in (0.025, 0.05)}
    inside = []
    for _ in range(400):
        values = rng.normal(rng.choice([0, 0.25, 0.5, 1]), rng.choice([0.2, 0.4, 0.7]), 200)
        means = values.cumsum() / looks
        errors = np.array([np.inf, *(values[:n].std(ddof=1) / n**0.5 for n in looks[1:])])
        with np.errstate(invalid="ignore"):
            reach = {level: np.nan_to_num(w * errors, nan=np.inf) for level, w in widths.items()}
        beyond = np.abs(means) > reach[0.025]
        low = np.maximum.accumulate(means - reach[0.05])
        high = np.minimum.accumulate(means + reach[0.05])
        decided = beyond | ((low > -0.5) & (high < 0.5))
        if not decided.any():
            continue
        total = int(decided.argmax()) + 1
        for n in range(6, min(total, 21)):
            own = values[:n]
            needed = seeds_to_decide(
                own.mean(), own.std(ddof=1), 0.5, (0.025, 0.05), spending.half_width, n + 1
            )
            if needed is not None:
                least, most = range_of_seeds(needed, n)
                inside.append(least <= total <= most)
    assert 0.8 < np.mean(inside) < 0.97


def test_a_forecast_asks_for_one_seed_more_at_least():
    assert range_of_seeds(100, 10) == (46, 215)
    assert range_of_seeds(12, 11) == (12, 26)


# -- when a sequential comparison stops ----------------------------------------------------------


# -- sequential designs ----------------------------------------------------------------------------


@pytest.mark.parametrize(("effect", "alpha"), [(0.5, 0.05), (1.2, 0.05 / 3), (-0.5, 0.05)])
def test_what_is_found_by_each_look_agrees_with_simulated_sequences(effect, alpha):
    last, simulated = 60, 20_000
    rng = np.random.default_rng(11)
    found = spending.levels_reached(rng.normal(effect, 1.0, (simulated, last))) <= alpha
    by_look = np.logical_or.accumulate(found, axis=1).mean(axis=0)[spending.FIRST - 1 :]
    exact = np.array([*islice(spending.crossed_by(alpha, effect), len(by_look))])
    error = np.sqrt(exact * (1 - exact) / simulated)
    assert (np.abs(by_look - exact) <= 4 * error + 1e-12).all()
    assert (np.diff(exact) >= 0).all()


def test_without_an_effect_the_looks_find_what_they_spend():
    found = [*islice(spending.crossed_by(0.05, 0.0), 100)]
    spent = [0.05 * spending.spent(n) for n in range(spending.FIRST, spending.FIRST + 100)]
    np.testing.assert_allclose(found, spent, atol=1e-9)


def test_the_first_look_is_a_t_test():
    first = next(spending.crossed_by(0.05, 1.1))
    level = 0.05 * spending.spent(spending.FIRST)
    assert first == pytest.approx(t_test_power(1.1, 1.0, spending.FIRST, level), abs=1e-9)


def test_beyond_the_table_looks_find_what_the_boundaries_of_the_union_bound_let_them():
    """The product's own boundaries beyond 200 seeds are wider than exact ones."""
    simulated = 2_000
    draws = np.random.default_rng(3).normal(0.12, 1.0, (simulated, 500))
    found = (spending.levels_reached(draws) <= 0.05).any(axis=1).mean()
    *_, exact = islice(spending.crossed_by(0.05, 0.12), 500 - spending.FIRST + 1)
    assert abs(found - exact) <= 4 * math.sqrt(exact * (1 - exact) / simulated)


@pytest.mark.parametrize(
    ("difference", "sd", "alpha", "expected"),
    [
        (0.5, 0.56, 0.05 / 2, Stopping(14, 22, 26)),
        (0.5, 0.98, 0.05 / 2, Stopping(36, 65, 83)),
        (-1.3, 0.98, 0.05 / 2, Stopping(9, 12, 14)),
        (1.0, 1e-9, 0.05, Stopping(6, 6, 6)),
        (0.01, 1.0, 0.05, Stopping(None, None, None)),
    ],
)
def test_stopping_times_are_those_of_the_docs(difference, sd, alpha, expected):
    assert stopping_times(difference, sd, alpha) == expected


def test_stopping_times_beyond_all_seeds_are_none():
    found = stopping_times(0.2, 1.0, 0.05)
    assert 400 < found.median < 700
    assert found.of_90_percent is None


# -- equivalence -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "sd"), [(2, 0.05), (5, 0.3), (10, 0.56), (30, 0.9), (200, 3.0)])
def test_the_power_of_two_one_sided_tests_agrees_with_simulated_ones(n, sd):
    simulated = 100_000
    draws = np.random.default_rng(n).normal(0.0, sd, (simulated, n))
    reach = t_half_width(n, 0.1) * draws.std(axis=1, ddof=1) / math.sqrt(n)
    found = (np.abs(draws.mean(axis=1)) + reach < 0.5).mean()
    exact = equivalence_power(0.5, sd, n, 0.05)
    assert abs(found - exact) <= 4 * math.sqrt(exact * (1 - exact) / simulated)


def test_seeds_for_equivalence_are_the_fewest_that_have_the_power():
    seeds = seeds_for_equivalence(0.5, 0.3, 0.8, 0.025)
    assert equivalence_power(0.5, 0.3, seeds, 0.025) >= 0.8
    assert equivalence_power(0.5, 0.3, seeds - 1, 0.025) < 0.8
    assert seeds_for_equivalence(0.0, 0.3, 0.8, 0.025) is None
    assert seeds_for_equivalence(0.5, 30.0, 0.5, 0.05) is None


def test_equivalence_times_agree_with_the_p_values_of_single_sequences():
    """Each of 200 sequences is judged look by look, as an experiment is."""
    rng, alpha = np.random.default_rng(8), 0.05 / 2
    stops = []
    for values in rng.normal(0.0, 0.3, (200, 40)):
        found = [equivalence_p_value(values[:n], 0.5) <= alpha for n in range(6, 41)]
        stops.append(6 + found.index(True))
    ordered, times = sorted(stops), equivalence_times(0.5, 0.3, alpha)
    for share, seeds in ((0.5, times.median), (0.8, times.of_80_percent)):
        low, high = (ordered[round((share + step) * 200)] for step in (-0.1, 0.1))
        assert low <= seeds <= high
    assert equivalence_times(0.5, 1e-9, alpha) == Stopping(6, 6, 6)
    assert equivalence_times(0.5, 30.0, alpha) == Stopping(None, None, None)
    assert equivalence_times(0.0, 0.3, alpha) == Stopping(None, None, None)


# -- whole experiments -----------------------------------------------------------------------------


def test_an_experiment_whose_norms_differ_at_once_takes_the_first_seeds():
    course = simulated_course(1.0, 1e-3, 0.5, 0.05, norms=4, batch_sizes=2, most=30)
    assert course == Course(1.0, (6, 6, 6), (48, 48, 48))


def test_an_experiment_that_decides_nothing_takes_all_seeds():
    course = simulated_course(1e-3, 50.0, 0.5, 0.05, norms=3, batch_sizes=1, most=8)
    assert course.decided < 0.01
    assert course.trials == (24, 24, 24)


def test_what_is_decided_is_trained_no_further():
    """Against one experiment after the other, judged as the product does."""
    rules, most, sd = Rules(True, 0.05, 0.5), 20, 0.5
    rng = np.random.default_rng(5)
    trials = []
    for _ in range(60):
        runs = rng.normal(0.0, sd / math.sqrt(2), (3, most))
        differences = 1.0 + runs[1:] - runs[0]
        stops = [most, most]
        for n in range(most, spending.FIRST - 1, -1):
            family = [Pairs("gn", 1, tuple(d[:n]), tuple(range(n))) for d in differences]
            for place, judgement in enumerate(judge(family, rules)):
                if judgement.claim != "undecided":
                    stops[place] = n
        trials.append(sum(stops) + max(stops))
    course = simulated_course(1.0, sd, 0.5, 0.05, norms=3, batch_sizes=1, most=most)
    ordered = sorted(trials)
    for share, found in zip((0.1, 0.5, 0.9), course.trials, strict=True):
        low, high = (ordered[min(59, max(0, round((share + by) * 60)))] for by in (-0.15, 0.15))
        assert low <= found <= high
    assert course.trials[1] < 3 * course.seeds[1]
