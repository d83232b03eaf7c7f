"""The verdict over several settings: against the formulas by hand, and what it does without."""

import dataclasses

import numpy as np
import pytest
from report_fakes import diverged, failed, make_analysis
from scipy import stats as scipy_stats
from statsmodels.stats.meta_analysis import combine_effects
from suite_fakes import FOUR, NOISE, NORMS, analysis_of, lose, make_four

from normscope.analysis.across import across_settings, method_across
from normscope.experiment import Design


@pytest.fixture(scope="module")
def four():
    return make_four()


def test_over_all_is_what_the_formulas_say(four):
    gn, ln = across_settings(four, NORMS)
    sd = np.std(NOISE, ddof=1)
    oracle = combine_effects(
        np.array([s[0][0] for s in FOUR.values()]),
        np.array([(s[0][1] * sd) ** 2 / 5 for s in FOUR.values()]),
        method_re="iterated",
    )
    assert gn.pooled.mean == pytest.approx(oracle.mean_effect_re)
    assert gn.pooled.tau == pytest.approx(oracle.tau2**0.5)
    plain = np.std([-1.5, -0.9, -2.2, -0.4], ddof=1) / 2
    error = max(oracle.sd_eff_w_re_hksj, oracle.sd_eff_w_re, plain)
    assert gn.pooled.standard_error == pytest.approx(error)
    p = 2 * scipy_stats.t.sf(abs(gn.pooled.mean) / error, 3)
    assert gn.p_value == pytest.approx(2 * p)
    half = scipy_stats.t.ppf(1 - 0.05 / 2 / 2, 3) * error  # two norms, and none is decided
    assert gn.interval == pytest.approx((gn.pooled.mean - half, gn.pooled.mean + half))
    assert gn.simultaneous == gn.interval
    spread = scipy_stats.t.ppf(0.975, 2) * np.hypot(gn.pooled.tau, error)
    assert gn.prediction == pytest.approx((gn.pooled.mean - spread, gn.pooled.mean + spread))
    assert ln.p_value == pytest.approx(max(ln.pooled.p_value, gn.p_value))


def test_each_setting_keeps_the_verdict_of_its_own_report(four):
    gn, _ = across_settings(four, NORMS)
    assert [each.setting for each in gn.found] == ["a", "b", "c", "d"]
    for each in gn.found:
        (own,) = [v for v in four[each.setting].verdicts if v.norm == "gn"]
        assert each.verdict is own
        differences = own.judgement.pairs.differences
        assert each.standard_error == pytest.approx(scipy_stats.sem(differences))


def test_the_sentence_counts_the_verdicts_and_ends_with_the_whole(four):
    gn, ln = across_settings(four, NORMS)
    assert [each.verdict.outcome for each in gn.found] == ["worse", "worse", "worse", "undecided"]
    assert gn.outcome == "undecided"
    low, high = gn.interval
    expected = (
        "gn is worse than bn in 3 of 4 settings, undecided in one; over all undecided: "
        f"{gn.pooled.mean:.2f} points (95 % interval {low:.2f} to {high:+.2f}, p {gn.p_value:.3f})."
    )
    assert gn.sentence == expected.replace("-", "−")
    low, high = gn.prediction
    assert gn.of_another == (
        "The difference of gn varies between settings with an sd of "
        f"{gn.pooled.tau:.2f} points; in another one it is {low:+.2f} to {high:+.2f} "
        "(95 % prediction interval)."
    ).replace("-", "−")
    assert ln.outcome == "equivalent"
    low, high = ln.equivalence
    assert ln.supporting == ln.equivalence
    assert ln.sentence.endswith(
        f"over all equivalent: +{ln.pooled.mean:.2f} points (90 % interval −{-low:.2f} to "
        f"+{high:.2f}, all of it within ±0.5)."
    )
    assert "3 degrees of freedom" in method_across((gn, ln))
    assert (
        "2 comparisons (Holm), and so has one of equivalence within 0.5 points. The settings"
        in method_across((gn, ln))
    )


def test_equivalence_is_two_one_sided_tests_with_holm_and_before_an_interval_for_all(four):
    """ln passes both versions; by a margin that the second one just allows, not the first."""
    _, ln = across_settings(four, NORMS)
    error, mean = ln.pooled.standard_error, ln.pooled.mean
    ends = [mean + side * scipy_stats.t.ppf(1 - 0.05 / 2, 3) * error for side in (-1, 1)]
    assert ln.equivalence == pytest.approx(ends)  # Holm's first step of two, as gn is far off

    def by(version, margin):
        settings = {
            name: dataclasses.replace(
                each, rules=dataclasses.replace(each.rules, version=version, margin=margin)
            )
            for name, each in four.items()
        }
        return across_settings(settings, NORMS)[1]

    just = 1.01 * max(map(abs, ends))
    assert by(2, just).outcome == "equivalent"
    assert by(2, 0.98 * just).outcome == "undecided"
    first = by(1, just)
    assert (first.outcome, first.equivalence, first.supporting) == (
        "undecided", None, first.interval
    )  # fmt: skip
    assert by(1, 1.01 * max(map(abs, first.simultaneous))).outcome == "equivalent"
    assert by(1, 0.99 * max(map(abs, first.simultaneous))).outcome == "undecided"


def test_one_setting_by_the_first_version_of_the_rules_makes_all_be_judged_by_it(four):
    rules = dataclasses.replace(four["c"].rules, version=1)
    mixed = {**four, "c": dataclasses.replace(four["c"], rules=rules)}
    assert across_settings(mixed, NORMS)[0].rules.version == 1
    assert across_settings(four, NORMS)[0].rules.version == 2


def test_what_every_setting_agrees_on_is_decided(four):
    near = {name: analysis_of(m + NOISE, 0.4 * NOISE) for name, m in (("a", -3.0), ("b", -3.2),
                                                                      ("c", -2.9))}  # fmt: skip
    gn, ln = across_settings(near, NORMS)
    assert gn.outcome == "worse"
    assert gn.interval[1] < 0
    # Holm: gn at half of 5 %, then ln at 5 %.
    for each, quantile in ((gn, 0.9875), (ln, 0.975)):
        half = scipy_stats.t.ppf(quantile, 2) * each.pooled.standard_error
        assert each.interval[1] - each.pooled.mean == pytest.approx(half)
    assert ln.simultaneous[1] > ln.interval[1]
    assert gn.sentence.startswith("gn is worse than bn in all 3 settings; over all worse: −3.0")
    # The same over one more setting, which says the opposite, is not.
    mixed = {**near, "d": analysis_of(4.0 + NOISE, 0.4 * NOISE)}
    assert across_settings(mixed, NORMS)[0].outcome == "undecided"


def test_two_settings_have_a_wide_interval_and_no_prediction(four):
    gn, _ = across_settings({name: four[name] for name in ("a", "c")}, NORMS)
    assert gn.interval[1] - gn.interval[0] > 2 * 12.7 * 0.7 / 2
    assert gn.prediction is None
    assert gn.of_another.endswith("two settings allow no prediction for another one.")


def test_one_setting_says_nothing_of_another(four):
    gn, _ = across_settings({"a": four["a"]}, NORMS)
    assert (gn.pooled, gn.interval, gn.outcome, gn.of_another) == (None, None, "undecided", "")
    assert gn.sentence == (
        "gn is worse than bn in the one setting; over all nothing can be said: one setting says "
        "nothing of another."
    )


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        ({"change": lose("gn", lambda r: diverged(r, 3))}, "in d trials diverged"),
        ({"change": lose("gn", lambda r: failed(r, "no room"))}, "in d 1 trial did not finish"),
    ],
)
def test_a_setting_without_a_mean_difference_leaves_no_mean_over_all(four, spoilt, why):
    settings = {**four, "d": analysis_of(-0.4 + NOISE, NOISE / 2, **spoilt)}
    gn, ln = across_settings(settings, NORMS)
    assert gn.pooled is None
    assert gn.sentence.endswith(f"over all nothing can be said: {why}.")
    assert gn.p_value == 1.0
    assert ln.pooled is not None
    assert ln.p_value == pytest.approx(min(1, 2 * ln.pooled.p_value))  # still a family of two


def test_differences_without_spread_have_no_standard_error(four):
    gn, _ = across_settings({**four, "d": analysis_of(np.full(5, -0.5), NOISE)}, NORMS)
    assert gn.lacks == "in d the difference is the same in every seed"
    single = {"a": make_analysis(NORMS, 1), "b": make_analysis(NORMS, 1)}
    assert across_settings(single, NORMS)[0].lacks == "in a there is one seed"


def test_a_look_withholds_the_verdict_and_not_the_numbers():
    near = {"a": -3.0, "b": -3.2, "c": -2.9}
    looked = Design(until_decided=True)
    settings = {n: analysis_of(m + NOISE, NOISE, design=looked) for n, m in near.items()}
    settings["a"] = analysis_of(-3.0 + NOISE, NOISE)
    gn, _ = across_settings(settings, NORMS)
    assert gn.outcome == "undecided"
    assert gn.pooled.p_value < 0.01
    assert "since its interval is for one look, and in b, c seeds were added after a look" in (
        gn.sentence
    )


def test_folds_overlap_in_their_standard_errors(four):
    folds = dataclasses.replace(four["a"].rules, overlap=0.25)
    overlapping = dataclasses.replace(four["a"], rules=folds)
    (gn, _), (before, _) = (across_settings({"a": a}, NORMS) for a in (overlapping, four["a"]))
    ratio = gn.found[0].standard_error / before.found[0].standard_error
    assert ratio == pytest.approx(((1 / 5 + 0.25) * 5) ** 0.5)
