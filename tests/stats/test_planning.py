"""How many seeds a comparison takes: against statsmodels, integrals, tables and a plain loop."""

import math

import numpy as np
import pytest
from scipy import integrate
from scipy import stats as scipy_stats
from statsmodels.stats.power import TTestPower

from normscope.stats import (
    Stopping,
    mixture,
    range_of_seeds,
    seeds_for_power,
    seeds_to_decide,
    spending,
    stopping_times,
    t_half_width,
    t_test_power,
)

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


def slow_stops(effect, alpha, least, most, replications=1500):
    """Sorted numbers of seeds, up to `most`, at which comparisons stop that run one by one."""
    rng = np.random.default_rng(99)
    stops = []
    widths = [math.inf] * 5 + [spending.half_width(n, alpha) for n in range(6, most + 1)]
    for _ in range(replications):
        s = v = 0.0
        stop, crossed = math.inf, False
        for n, value in enumerate(rng.normal(effect, 1.0, most).tolist(), start=1):
            s, v = s + value, v + value * value
            sd = math.sqrt((v - s * s / n) / (n - 1)) if n > 1 else math.inf
            crossed = crossed or abs(s / n) >= widths[n - 1] * sd / math.sqrt(n)
            if n >= least and crossed:
                stop = n
                break
        stops.append(stop)
    return sorted(stops)


@pytest.mark.parametrize(
    ("effect", "alpha", "least", "most"),
    [(1.0, 0.05, 3, 100), (0.5, 0.05 / 3, 3, 200), (1.5, 0.05, 8, 100)],
)
def test_stopping_times_agree_with_a_plain_loop(effect, alpha, least, most):
    stops = slow_stops(effect, alpha, least, most)
    found = stopping_times(2 * effect, 2.0, alpha, least)
    pairs = [(0.5, found.median), (0.8, found.of_80_percent), (0.9, found.of_90_percent)]
    for share, seeds in pairs:
        # Within 4 % of the ranks of the plain loop's stops: three standard errors of both results.
        low, high = (stops[round((share + step) * len(stops))] for step in (-0.04, 0.04))
        assert low <= seeds <= high


def test_stopping_times_of_values_without_spread_are_known():
    assert stopping_times(1.0, 1e-9, 0.05, 2) == Stopping(6, 6, 6)
    assert stopping_times(-1.0, 1e-9, 0.05, 2) == Stopping(6, 6, 6)
    assert stopping_times(1.0, 1e-9, 0.05, 12) == Stopping(12, 12, 12)


def test_stopping_times_beyond_all_seeds_are_none():
    assert stopping_times(0.0, 1.0, 0.05, 3, replications=200) == Stopping(None, None, None)
    # The boundaries beyond 200 seeds are those of a union bound, and so take twice as many.
    found = stopping_times(0.2, 1.0, 0.05, 3, replications=400)
    assert 400 < found.median < 700
    assert found.of_90_percent is None


def test_stopping_times_are_the_same_every_time():
    assert stopping_times(0.6, 1.0, 0.05, 3) == stopping_times(0.6, 1.0, 0.05, 3)
