"""Looks after every seed: error rates by simulation, evidence against integrals, roots and tables.

The rates are those of sequences with a look after every value up to 100.
"""

import math

import numpy as np
import pytest
from scipy import integrate, optimize
from scipy import stats as scipy_stats

from normscope.stats import Interval, mixture
from normscope.stats.mixture import (
    anytime_p_value,
    anytime_p_value_of_signs,
    confidence_sequence,
    confidence_sequences,
    half_width,
    log_e_value,
    log_e_value_of_signs,
    log_e_values,
    running_interval,
)

LOOKS = 100
SEQUENCES = 10_000
VALUES = [0.3, -1.2, 2.5, 0.9, 1.7, 0.2]


def crossing_rate(sequences, alpha=0.05):
    """The share of the sequences, (R, n), in which the evidence ever reaches 1/alpha."""
    return (log_e_values(sequences).max(axis=1) >= math.log(1 / alpha)).mean()


def intervals(sequences, alpha):
    """Both ends of the confidence sequences of the sequences, (R, n), after each value: two (R, n).

    Of the code under test, this uses only `half_width`.
    """
    n = np.arange(1, sequences.shape[1] + 1)
    means = sequences.cumsum(axis=1) / n
    squares = np.square(sequences).cumsum(axis=1) - n * means**2
    sds = np.sqrt(np.maximum(squares, 0) / np.maximum(n - 1, 1))
    widths = np.array([half_width(int(count), alpha) for count in n])
    known = np.isfinite(widths)
    reach = np.full(sequences.shape, np.inf)
    reach[:, known] = widths[known] * sds[:, known] / np.sqrt(n[known])
    return means - reach, means + reach


# -- the guarantees, by simulation ----------------------------------------------------------------


def test_a_t_test_looked_at_after_every_seed_errs_five_times_too_often():
    values = np.random.default_rng(0).normal(size=(SEQUENCES, 30))
    wrong = np.zeros(SEQUENCES, dtype=bool)
    for n in range(3, 31):
        head = values[:, :n]
        t = head.mean(axis=1) / head.std(axis=1, ddof=1) * math.sqrt(n)
        wrong |= np.abs(t) > scipy_stats.t.ppf(0.975, n - 1)
    assert 0.24 < wrong.mean() < 0.30


def test_the_t_e_process_errs_at_most_at_its_level():
    values = np.random.default_rng(0).normal(0.0, 3.0, (SEQUENCES, LOOKS))
    assert 0.015 < crossing_rate(values) <= 0.05
    assert 0.004 < crossing_rate(values, 0.05 / 3) <= 0.05 / 3


def test_heavy_tails_only_make_the_t_e_process_more_careful():
    values = np.random.default_rng(0).standard_t(3, (SEQUENCES, LOOKS))
    assert 0.01 < crossing_rate(values) <= 0.05


def test_the_t_e_process_needs_symmetry():
    # The guarantee is for normal differences only; this case shows that the assumption matters.
    values = np.random.default_rng(0).exponential(1.0, (SEQUENCES, LOOKS)) - 1.0
    assert crossing_rate(values) > 0.10


def test_the_evidence_of_signs_errs_at_most_at_its_level_for_a_fair_coin():
    # Exact: the probability of each number of pluses among n while the threshold is not crossed.
    crossed, alive = 0.0, {0: 1.0}
    for n in range(1, LOOKS + 1):
        after = {}
        for plus, share in alive.items():
            after[plus] = after.get(plus, 0.0) + share / 2
            after[plus + 1] = after.get(plus + 1, 0.0) + share / 2
        alive = {}
        for plus, share in after.items():
            if log_e_value_of_signs([1] * plus + [-1] * (n - plus)) >= math.log(20):
                crossed += share
            else:
                alive[plus] = share
    assert crossed + sum(alive.values()) == pytest.approx(1.0)
    assert 0.015 < crossed <= 0.05


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
def test_the_confidence_sequence_covers_the_mean_after_all_looks_at_once(alpha):
    low, high = intervals(np.random.default_rng(1).normal(1.3, 2.0, (SEQUENCES, LOOKS)), alpha)
    missed = ((low > 1.3) | (high < 1.3)).any(axis=1).mean()
    assert 0.2 * alpha < missed <= alpha


def test_a_difference_at_the_margin_is_rarely_taken_for_equivalence():
    margin = 0.5

    def called_equivalent(difference):
        values = np.random.default_rng(2).normal(difference, 0.3, (SEQUENCES, LOOKS))
        low, high = intervals(values, 0.05)
        low, high = np.maximum.accumulate(low, axis=1), np.minimum.accumulate(high, axis=1)
        return ((low > -margin) & (high < margin)).any(axis=1).mean()

    assert 0.005 < called_equivalent(margin) <= 0.05
    assert 0.005 < called_equivalent(-margin) <= 0.05
    assert called_equivalent(0.0) > 0.95


def test_the_simulated_intervals_are_those_of_the_package():
    values = np.random.default_rng(3).normal(1.3, 2.0, (5, 30))
    for row, low, high in zip(values, *intervals(values, 0.05), strict=True):
        for n, found in enumerate(confidence_sequences(row), start=1):
            assert found == Interval(n, pytest.approx(low[n - 1]), pytest.approx(high[n - 1]))


# -- the t e-process ------------------------------------------------------------------------------


@pytest.mark.parametrize("c2", [1.0, 4.0])
def test_log_e_values_follow_their_formula(monkeypatch, c2):
    monkeypatch.setattr(mixture, "MIXTURE", c2)
    for n, found in enumerate(log_e_values(VALUES), start=1):
        s, v = sum(VALUES[:n]), sum(value**2 for value in VALUES[:n])
        ratio = (n + c2) * v / ((n + c2) * v - s**2)
        expected = 0.5 * np.log(c2 / (n + c2)) + n / 2 * np.log(ratio)
        assert found == pytest.approx(expected)
        assert log_e_value(VALUES[:n]) == pytest.approx(expected)


@pytest.mark.parametrize("c2", [1.0, 4.0])
def test_the_evidence_is_a_ratio_of_integrals_over_scale_and_effect(monkeypatch, c2):
    # Mean = effect * sd with effects ~ N(0, 1/c2), against mean 0. In both, ln sd is uniform, so
    # the unit of the values does not matter.
    monkeypatch.setattr(mixture, "MIXTURE", c2)
    values = np.array(VALUES[:4])

    def likelihood(effect, log_sd):
        return math.exp(-np.square(values / math.exp(log_sd) - effect).sum() / 2 - 4 * log_sd)

    def bet(effect, log_sd):
        prior = math.sqrt(c2 / (2 * math.pi)) * math.exp(-c2 * effect**2 / 2)
        return likelihood(effect, log_sd) * prior

    against, _ = integrate.dblquad(bet, -4, 8, -6, 6, epsabs=1e-6)
    null, _ = integrate.quad(lambda log_sd: likelihood(0.0, log_sd), -4, 8)
    assert log_e_value(values) == pytest.approx(math.log(against / null), abs=1e-4)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_under_the_null_the_bet_is_fair(n):
    # n values with mean t / sqrt(n) and sd 1, where t follows Student's distribution.
    residuals = scipy_stats.zscore(np.arange(n), ddof=1)

    def stake(t):
        return math.exp(log_e_value(residuals + t / math.sqrt(n))) * scipy_stats.t.pdf(t, n - 1)

    mean = 2 * integrate.quad(stake, 0, np.inf)[0]
    assert mean == pytest.approx(1.0, abs=1e-5)


def test_the_unit_and_the_sign_do_not_matter():
    for factor in (-1.0, 1e-6, 1e6):
        rescaled = log_e_values(np.array(VALUES) * factor)
        np.testing.assert_allclose(rescaled, log_e_values(VALUES), rtol=1e-12)


def test_evidence_of_many_sequences_is_that_of_each():
    values = np.random.default_rng(0).normal(size=(2, 3, 7))
    found = log_e_values(values)
    assert found.shape == (2, 3, 7)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(found[index], log_e_values(values[index]))


def test_without_a_spread_and_without_a_mean_the_evidence_is_known():
    np.testing.assert_allclose(log_e_values([0.0] * 3), -0.5 * np.log([2, 3, 4]))
    n = np.arange(1, 7)
    np.testing.assert_allclose(log_e_values([2.0] * 6), (n - 1) / 2 * np.log(n + 1), atol=1e-12)
    assert log_e_value([]) == 0.0
    assert log_e_value([5.0]) == pytest.approx(0.0)


# -- the evidence of signs ------------------------------------------------------------------------


def test_evidence_of_signs_is_a_uniform_mixture_of_bets():
    for plus, minus in [(0, 0), (1, 0), (5, 0), (3, 4), (0, 9), (12, 2)]:
        expected, _ = integrate.quad(lambda p: (2 * p) ** plus * (2 - 2 * p) ** minus, 0, 1)  # noqa: B023
        signs = [0.1] * plus + [-7.0] * minus
        assert math.exp(log_e_value_of_signs(signs)) == pytest.approx(expected)
        assert log_e_value_of_signs([0.0, *signs, 0.0]) == log_e_value_of_signs(signs)
    assert math.exp(log_e_value_of_signs([1.0] * 5)) == pytest.approx(32 / 6)


# -- anytime p values -----------------------------------------------------------------------------


def test_anytime_p_value_is_the_inverse_of_the_largest_evidence_so_far():
    values = [1.0, 1.1, 0.9, 1.0, 1.05, -3.0, 2.0]
    evidence = [math.exp(log_e_value(values[:n])) for n in range(1, 8)]
    assert max(evidence) == evidence[4] > 1
    assert anytime_p_value(values) == pytest.approx(1 / evidence[4])
    assert anytime_p_value([1.0, -1.0, 1.0]) == 1.0


def test_anytime_p_value_by_sign_by_hand():
    assert anytime_p_value_of_signs([1.0] * 7) == pytest.approx(8 / 128)
    assert anytime_p_value_of_signs([0.3] * 7 + [-9.0] * 7) == pytest.approx(8 / 128)
    assert anytime_p_value_of_signs([1.0, -1.0]) == 1.0


@pytest.mark.parametrize("p_value", [anytime_p_value, anytime_p_value_of_signs])
@pytest.mark.parametrize("values", [[], [0.0], [1.0], [0.0] * 12])
def test_nothing_is_no_evidence(values, p_value):
    assert p_value(values) == 1.0


# -- confidence sequences -------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "width"), [(5, 8.5), (10, 3.9), (20, 3.4), (30, 3.3)])
def test_published_half_widths(n, width):
    assert half_width(n) == pytest.approx(width, abs=0.06)


def test_half_widths_are_infinite_while_no_mean_can_be_refuted():
    # Equal values give the largest possible evidence, E = (n + 1)^((n - 1) / 2).
    for level in (20, 60, 1000):
        few = [n for n in range(1, 20) if (n + 1) ** (n - 1) <= level**2]
        assert [n for n in range(1, 20) if math.isinf(half_width(n, 1 / level))] == few
    assert math.isinf(half_width(4))
    assert half_width(10, 0.05 / 3) > half_width(10, 0.05)


@pytest.mark.parametrize("c2", [1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
@pytest.mark.parametrize("n", [6, 7, 40])
def test_a_confidence_sequence_ends_where_the_evidence_reaches_1_over_alpha(
    monkeypatch, n, alpha, c2
):
    monkeypatch.setattr(mixture, "MIXTURE", c2)
    values = np.random.default_rng(n).normal(5.0, 2.0, n)
    mean, far = values.mean(), 1000.0

    def excess(m):
        return log_e_value(values - m) - math.log(1 / alpha)

    found = confidence_sequence(values, alpha)
    if excess(mean - far) < 0:  # too few values for this level
        assert found == Interval(n, -math.inf, math.inf)
        return
    assert found.low == pytest.approx(optimize.brentq(excess, mean - far, mean))
    assert found.high == pytest.approx(optimize.brentq(excess, mean, mean + far))


def test_confidence_sequences_are_those_after_each_value():
    found = confidence_sequences(VALUES, 0.2)
    assert found == [confidence_sequence(VALUES[:n], 0.2) for n in range(1, 7)]
    assert [look.n for look in found] == [1, 2, 3, 4, 5, 6]
    assert confidence_sequences([]) == []


def test_the_running_interval_is_what_no_look_has_refuted():
    values = np.random.default_rng(4).normal(1.0, 1.0, 25)
    looks = confidence_sequences(values)
    expected = Interval(25, max(look.low for look in looks), min(look.high for look in looks))
    assert running_interval(values) == expected
    assert expected.high < looks[-1].high or expected.low > looks[-1].low


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
def test_the_running_interval_excludes_0_exactly_where_the_p_value_is_at_most_alpha(alpha):
    rng = np.random.default_rng(5)
    decisions = []
    for _ in range(200):
        values = rng.normal(1.0, 1.0, rng.integers(1, 25))
        found = running_interval(values, alpha)
        decisions.append(not found.low <= 0 <= found.high)
        assert decisions[-1] is (anytime_p_value(values) <= alpha)
    assert 0.2 < np.mean(decisions) < 0.8


def test_intervals_of_nothing_and_of_equal_values_are_defined():
    everything = (-math.inf, math.inf)
    for values in ([], [3.0], [0.0, 0.0], [1.0] * 4):
        assert confidence_sequence(values) == Interval(len(values), *everything)
        assert running_interval(values) == Interval(len(values), *everything)
    for value in (0.0, 2.0):
        assert confidence_sequence([value] * 5) == Interval(5, value, value)
        assert running_interval([value] * 9) == Interval(9, *everything)


@pytest.mark.parametrize("first", [0.0, 1.0])
def test_looks_without_any_spread_do_not_count(first):
    """Otherwise six equal differences would leave a single point, whatever follows."""
    values = [first] * 6 + [first + 3.0, first - 2.5, first + 2.0, first + 4.0]
    spread = [confidence_sequence(values[:n]) for n in range(7, 11)]
    found = running_interval(values)
    assert (found.low, found.high) == (max(s.low for s in spread), min(s.high for s in spread))
    assert found.high - found.low > 1
    evidence = max(log_e_value(values[:n]) for n in range(7, 11))
    assert anytime_p_value(values) == pytest.approx(min(1.0, math.exp(-evidence)))
    assert anytime_p_value([first] * 8) == 1.0
