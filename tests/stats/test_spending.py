"""Looks that spend alpha: known boundaries, the table recomputed, error rates by simulation."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from normscope.stats import Interval, mixture, running_interval, running_intervals, spending
from normscope.stats.spending import (
    FIRST,
    LAST,
    SMALLEST,
    anytime_p_value,
    confidence_sequence,
    direction_of_evidence,
    equivalence_p_value,
    half_width,
    half_widths,
    levels_reached,
    nominal_level,
    spent,
    t_statistics,
)

RESULTS = Path(__file__).parents[2] / "docs" / "results"

# Half-widths in standard errors, by level and look.
LOOKS = (6, 7, 8, 10, 15, 20, 30, 60, 100)
KNOWN = {
    0.1: (4.1063, 3.4775, 3.1913, 2.9162, 2.6982, 2.6553, 2.6880, 2.9042, 3.1391),
    0.05: (4.8562, 4.1025, 3.7529, 3.4103, 3.1250, 3.0532, 3.0559, 3.2304, 3.4367),
    0.025: (5.6974, 4.7824, 4.3490, 3.9160, 3.5398, 3.4299, 3.3952, 3.5238, 3.7025),
    0.05 / 3: (6.2385, 5.2100, 4.7170, 4.2197, 3.7797, 3.6437, 3.5841, 3.6844, 3.8473),
    0.01: (6.9787, 5.7842, 5.2039, 4.6129, 4.0809, 3.9080, 3.8144, 3.8777, 4.0209),
}
SIX_SEEDS = [-1.6, -1.2, -1.9, -1.5, -1.4, -1.4]


# -- boundaries ------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", KNOWN)
def test_known_boundaries_to_their_digits(alpha):
    exact = half_widths(alpha, max(LOOKS))
    for n, known in zip(LOOKS, KNOWN[alpha], strict=True):
        assert exact[n - FIRST] == pytest.approx(known, abs=5.001e-5)
        assert half_width(n, alpha) == pytest.approx(known, abs=5.1e-5)


def test_what_is_spent_by_a_look():
    assert [round(100 * spent(n)) for n in (6, 10, 20, 30)] == [9, 36, 67, 80]
    assert half_width(6, 0.05) == pytest.approx(scipy_stats.t.isf(0.025 * spent(6), 5), rel=1e-6)


@pytest.mark.parametrize("knot", [0, 31, 57, 80])
def test_the_table_is_what_is_computed(knot):
    level, last = spending.knots()[knot], 40
    for n, width in enumerate(half_widths(level, last), start=FIRST):
        assert half_width(n, level) == pytest.approx(width, rel=1e-10)


@pytest.mark.parametrize("alpha", [2e-9, 3e-7, 1e-4, 0.007, 0.033, 0.3, 0.9])
def test_between_the_levels_of_the_table(alpha):
    for n, width in enumerate(half_widths(alpha, 60), start=FIRST):
        assert half_width(n, alpha) == pytest.approx(width, rel=1e-5)


@pytest.mark.soak
def test_the_whole_table_is_what_is_computed():
    np.testing.assert_allclose(spending._table()[1][:, :: spending.STEPS].T, np.log(
        spending.knots())[:, None] + spending.computed_table(), rtol=0, atol=1e-9)  # fmt: skip


@pytest.mark.parametrize("n", [*range(6, 40), 100, LAST, LAST + 1, 500])
def test_boundaries_are_nested_in_the_level(n):
    levels = [1e-12, 1e-10, SMALLEST, 1.01 * SMALLEST, *np.geomspace(1e-8, 1, 200)]
    widths = [half_width(n, float(level)) for level in levels]
    assert (np.diff(widths) < 0).all()


def test_the_union_bound_beyond_the_table():
    n, alpha = LAST + 1, 0.05
    step = alpha * (spent(n) - spent(LAST))
    assert half_width(n, alpha) == pytest.approx(scipy_stats.t.isf(step / 2, n - 1))
    assert half_width(n, alpha) > half_width(LAST, alpha)
    below = 1e-12 * (spent(10) - spent(9))
    assert half_width(10, 1e-12) == pytest.approx(scipy_stats.t.isf(below / 2, 9))


def test_no_look_before_the_first():
    assert math.isinf(half_width(5, 0.05))
    assert nominal_level(5, 0.05) == 0
    assert anytime_p_value([1.0, 1.1, 0.9, 1.05, 0.95]) == 1.0
    assert confidence_sequence([1.0, 1.1, 0.9, 1.05, 0.95]) == Interval(5, -math.inf, math.inf)


# -- error rates, by simulation --------------------------------------------------------------------


def crossed(sequences, alpha, shrink=1.0):
    """The share that has crossed by each look, by the boundaries alone."""
    n = np.arange(1, sequences.shape[1] + 1)
    means, squares = sequences.cumsum(axis=1) / n, np.square(sequences).cumsum(axis=1)
    sd = np.sqrt((squares - n * means**2)[:, FIRST - 1 :] / (n[FIRST - 1 :] - 1))
    widths = [shrink * half_width(int(look), alpha) for look in n[FIRST - 1 :]]
    beyond = np.abs(means[:, FIRST - 1 :]) >= widths * sd / np.sqrt(n[FIRST - 1 :])
    return np.logical_or.accumulate(beyond, axis=1).mean(axis=0)


@pytest.mark.parametrize("alpha", [0.05, 0.025])
@pytest.mark.parametrize("sequences", [20_000, pytest.param(10**6, marks=pytest.mark.soak)])
def test_exactly_what_is_spent_has_crossed(alpha, sequences):
    rng = np.random.default_rng(1)
    parts = [rng.normal(size=(min(sequences, 20_000), 60)) for _ in range(-(-sequences // 20_000))]
    rates = np.mean([crossed(part, alpha) for part in parts], axis=0)
    expected = alpha * spent(np.arange(FIRST, 61))
    assert (np.abs(rates - expected) < 4 * np.sqrt(expected / sequences)).all()
    assert expected[-1] == pytest.approx({0.05: 0.0464, 0.025: 0.0232}[alpha], abs=5e-5)
    # And boundaries that are too narrow by a twentieth would be found.
    narrow = np.mean([crossed(part, alpha, 0.95) for part in parts], axis=0)[-1]
    assert narrow > expected[-1] + 4 * math.sqrt(expected[-1] / sequences)


def test_levels_of_many_sequences_are_those_of_each():
    sequences = np.random.default_rng(2).normal(0.4, 1, (5, 30))
    together = levels_reached(sequences)
    for own, levels in zip(sequences, together, strict=True):
        np.testing.assert_array_equal(levels_reached(own), levels)
        assert anytime_p_value(own) == levels.min()


def test_a_difference_at_the_margin_is_found_equivalent_at_most_at_the_level():
    sequences = np.random.default_rng(3).normal(0.5, 0.6, (4000, 40))
    rate = np.mean([equivalence_p_value(own, 0.5) <= 0.05 for own in sequences])
    assert 0.03 < rate < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 4000)


# -- p values and intervals ------------------------------------------------------------------------


def test_six_seeds_by_hand():
    found = confidence_sequence(SIX_SEEDS)
    assert (found.low, found.high) == pytest.approx((-1.969, -1.031), abs=5e-4)
    # sd 0.23664, SE 0.09661: t = -15.5265, of which the nominal level is 2.033e-5 = p times 9.3 %
    assert anytime_p_value(SIX_SEEDS) == pytest.approx(2.0136e-5 / spent(6), rel=2e-3)


@pytest.mark.parametrize("alpha", [0.05, 0.004, 0.2])
def test_the_running_interval_excludes_0_exactly_where_the_p_value_is_at_most_alpha(alpha):
    sequences = np.random.default_rng(4).normal(0.45, 1.0, (300, 25))
    excluded = []
    for own in sequences:
        found = running_interval(own.tolist(), alpha)
        excluded.append(found.low > 0 or found.high < 0)
        assert excluded[-1] == (anytime_p_value(own) <= alpha)
    assert 0.05 < np.mean(excluded) < 0.95


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_equivalence_is_the_running_interval_at_twice_the_level_within_the_margin(alpha):
    sequences = np.random.default_rng(5).normal(0.1, 0.5, (300, 20))
    within = []
    for own in sequences:
        found = running_interval(own.tolist(), 2 * alpha)
        within.append(found.low > -0.5 and found.high < 0.5)
        assert within[-1] == (equivalence_p_value(own.tolist(), 0.5) <= alpha)
    assert 0.05 < np.mean(within) < 0.95


def test_the_unit_does_not_matter_nor_does_the_sign():
    values = np.random.default_rng(6).normal(0.5, 1.0, 12)
    for scale in (1e-9, -7.0, 1e9):
        assert anytime_p_value(values * scale) == pytest.approx(anytime_p_value(values), rel=1e-6)
    assert equivalence_p_value(values * 3, 6.0) == pytest.approx(equivalence_p_value(values, 2.0))
    far = confidence_sequence(values + 1e6)
    near = confidence_sequence(values)
    assert (far.low - 1e6, far.high - 1e6) == pytest.approx((near.low, near.high), abs=1e-6)


@pytest.mark.parametrize("first", [0.0, 0.3])
def test_looks_without_any_spread_do_not_count(first):
    values = [first] * 8
    assert anytime_p_value(values) == equivalence_p_value(values, 1.0) == 1.0
    assert direction_of_evidence(values) == 0
    assert running_interval(values) == Interval(8, -math.inf, math.inf)
    assert [look.n for look in running_intervals(values)] == [*range(1, 9)]
    assert math.isfinite(running_interval([*values, first + 0.1]).low)


def test_a_p_value_never_rises():
    values = np.random.default_rng(7).normal(0.3, 1.0, 40)
    for p_value in (anytime_p_value, lambda own: equivalence_p_value(own, 0.9)):
        found = [p_value(values[:n]) for n in range(41)]
        assert (np.diff(found) <= 0).all()
        assert found[-1] < 1


def test_the_direction_is_that_of_the_strongest_look():
    clear = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02]
    assert direction_of_evidence(clear) == 1
    assert direction_of_evidence([-value for value in clear]) == -1
    assert direction_of_evidence([*clear, -9.0, -9.0]) == 0  # it has since turned
    assert direction_of_evidence(clear[:5]) == 0


def test_it_decides_sooner_than_the_first_version_from_six_values_on():
    for n in (*range(6, 60),):
        assert half_width(n, 0.05) < mixture.half_width(n, 0.05)


@pytest.mark.parametrize("norm", ["gn", "ln"])
def test_on_real_differences_it_errs_no_more_than_a_fixed_t_test(norm):
    """Of six seeds; drawn with replacement from the recorded experiment's, less their mean."""
    trials = pd.read_csv(RESULTS / "cifar10-s8-s8" / "trials.csv").set_index(["norm", "seed"])
    accuracy = trials["test_accuracy_percent"]
    real = (accuracy[norm] - accuracy["bn"]).to_numpy()
    drawn = np.random.default_rng(9).choice(real - real.mean(), (20_000, 30))
    looked = (levels_reached(drawn).min(axis=1) <= 0.05).mean()
    six = np.nan_to_num(t_statistics(drawn[:, :6])[:, 5])
    fixed = (np.abs(six) >= scipy_stats.t.isf(0.025, 5)).mean()
    assert 0.03 < looked < fixed
