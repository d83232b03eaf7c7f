"""Verdicts of families, in fixed and sequential designs, against the plain tests."""

import re
from dataclasses import replace

import numpy as np
import pytest
from report_fakes import diverged, failed, make_analysis, make_costs
from scipy import stats as scipy_stats

from normscope.analysis.afterwards import Chosen
from normscope.analysis.answers import equivalence_note, forecast_note, standing, verdict_sentence
from normscope.analysis.caveats import _added, _changed_rules
from normscope.analysis.findings import _winners
from normscope.analysis.guessing import Guessing
from normscope.analysis.verdicts import Pairs, Rules, is_sequential, judge, rules_of, verdict_of
from normscope.experiment import RULES, Design, Request
from normscope.report.figures import make_figures
from normscope.report.html import _best
from normscope.report.method import method_paragraph
from normscope.report.tables import network_tables
from normscope.report.write_up import render
from normscope.stats import (
    anytime_p_value,
    equivalence_p_value,
    range_of_seeds,
    running_interval,
    sign_flip_p_value,
    t_equivalence_p_value,
)

FIXED = Rules(sequential=False, alpha=0.05, margin=0.5)
SEQUENTIAL = Rules(sequential=True, alpha=0.05, margin=0.5)
FIRST_FIXED, FIRST_SEQUENTIAL = (replace(rules, version=1) for rules in (FIXED, SEQUENTIAL))
ALL = [FIXED, SEQUENTIAL, FIRST_FIXED, FIRST_SEQUENTIAL]
NOISE = np.array([0.3, -0.2, 0.1, -0.25, 0.15, -0.1, 0.2, -0.3, 0.05, 0.05])  # mean 0


def pairs(differences, norm="gn", **values):
    return Pairs(norm, 512, tuple(differences), tuple(range(len(differences))), **values)


def verdict(differences, rules, others=(), **values):
    family = [pairs(differences, **values), *(pairs(other, "ln") for other in others)]
    return verdict_of(judge(family, rules)[0], "bn", (Guessing(), Guessing()), 0)


# -- the four outcomes -----------------------------------------------------------------------------


@pytest.mark.parametrize("rules", ALL)
@pytest.mark.parametrize(
    ("shift", "outcome"), [(1.0, "better"), (-1.0, "worse"), (0.0, "equivalent")]
)
def test_outcomes(rules, shift, outcome):
    found = verdict(NOISE / 2 + shift, rules)
    assert found.outcome == outcome
    assert found.decided


@pytest.mark.parametrize("rules", ALL)
def test_an_undecided_verdict_says_how_many_seeds_it_would_take(rules):
    found = verdict(NOISE * 4 + 0.4, rules)
    assert not found.decided
    needed = found.judgement.seeds_needed
    sd = np.std(NOISE * 4, ddof=1)
    # Adding seeds after a look makes any design sequential.
    reach = [rules.looks.half_width(n, 0.05) * sd / np.sqrt(n) for n in (needed - 1, needed)]
    assert reach[0] > 0.4 > reach[1]
    low, high = range_of_seeds(needed, 10)
    more = f"about {needed - 10} more seeds ({low - 10} to {high - 10})"
    assert verdict_sentence(found, rules).endswith(f"; {more} would probably decide it.")


def test_an_open_comparison_says_how_many_more_seeds_with_their_range():
    found = verdict(NOISE * 4 + 0.4, SEQUENTIAL)
    needed = found.judgement.seeds_needed
    low, high = range_of_seeds(needed, 10)
    assert found.judgement.more_seeds == (needed - 10, low - 10, high - 10)
    expected = f" undecided, about {needed - 10} more seeds ({low - 10} to {high - 10})"
    assert standing(found).endswith(expected)


@pytest.mark.parametrize("rules", ALL)
def test_few_seeds_foresee_nothing_and_that_is_said_once(rules):
    told = "How many more seeds would decide is foreseen from 6 seeds on."
    for n, early in ((1, False), (2, True), (5, True), (6, False)):
        found = verdict((NOISE * 4 + 0.4)[:n], rules)
        assert not found.decided
        assert (found.judgement.more_seeds is None) == (n < 6)
        assert (found.judgement.seeds_needed is None) == (n < 6)
        assert ("would probably" in verdict_sentence(found, rules)) == (n == 6)
        assert standing(found).endswith(" undecided") == (n < 6)
        assert forecast_note([found], rules) == told * early
    decided = verdict(np.array([1.0, 1.01, 0.99]), FIXED)
    assert forecast_note([decided], FIXED) == ""
    no_spread = verdict(np.full(3, 0.5), rules)
    assert forecast_note([no_spread], rules) == ""
    signs = verdict(NOISE[:3], rules, ordinal=True)
    assert forecast_note([signs], rules) == ""
    assert forecast_note([verdict(NOISE[:3] * 4, rules)], replace(rules, overlap=0.25)) == ""


def test_a_difference_within_the_margin_is_decided_and_said_to_be_small():
    found = verdict(NOISE / 5 + 0.2, SEQUENTIAL)
    assert found.outcome == "better"
    assert verdict_sentence(found, SEQUENTIAL).endswith("10 seeds), which is within the margin.")


def test_a_difference_within_the_margin_by_the_narrower_interval_alone_quotes_that_one():
    """Otherwise an interval that leaves the margin would stand beside "within the margin"."""
    values = NOISE + 0.34
    found = verdict(values, FIXED)
    assert (found.outcome, found.judgement.within_margin) == ("better", True)
    wide, narrow = (
        scipy_stats.ttest_1samp(values, 0).confidence_interval(level) for level in (0.95, 0.9)
    )
    rules = replace(FIXED, margin=(wide.high + narrow.high) / 2)
    assert verdict_sentence(verdict(values, rules), rules) == (
        f"gn is 0.34 points better than bn (95 % interval +{wide.low:.2f} to +{wide.high:.2f}; "
        f"10 seeds), which is within the margin (90 % interval +{narrow.low:.2f} to "
        f"+{narrow.high:.2f})."
    )


def test_without_a_margin_nothing_is_equivalent():
    (found,) = judge([pairs(NOISE / 100)], Rules(True, 0.05, None))
    assert found.claim == "undecided"


# -- the versions of the rules ---------------------------------------------------------------------


def test_the_second_version_spends_alpha_look_by_look():
    several = [NOISE + 0.3, NOISE * 3, NOISE + 1]
    p = [anytime_p_value(values.tolist()) for values in several]
    found = judge([pairs(values) for values in several], SEQUENTIAL)
    assert found[2].p_value == pytest.approx(3 * p[2])
    assert found[0].p_value == pytest.approx(2 * p[0])
    own = running_interval(several[0].tolist(), 0.05 / 2)
    assert (found[0].difference.low, found[0].difference.high) == (own.low, own.high)
    together = running_interval(several[0].tolist(), 0.05 / 3)
    assert found[0].simultaneous == (together.low, together.high)


@pytest.mark.parametrize("rules", [FIXED, SEQUENTIAL])
def test_equivalence_is_a_family_of_its_own_with_holm(rules):
    """Of the first version an interval that holds for all at once, which is wider."""
    close = NOISE + 0.15
    several = [close, NOISE / 10, NOISE / 5]
    p = [
        equivalence_p_value(values.tolist(), 0.5)
        if rules.sequential
        else t_equivalence_p_value(values.tolist(), 0.5)
        for values in several
    ]
    assert sorted(p)[2] == p[0]  # so that it is tested at alpha, the others being rejected
    margin = 1.02 * max(
        np.abs(judge([pairs(close)], rules)[0].equivalence)  # alone, it just is
    )
    found = judge([pairs(values) for values in several], replace(rules, margin=margin))
    assert [each.within_margin for each in found] == [True, True, True]
    low, high = found[0].equivalence
    assert -margin < low < high < margin
    assert not -margin < found[0].simultaneous[0] < found[0].simultaneous[1] < margin
    first = judge([pairs(values) for values in several], replace(rules, margin=margin, version=1))
    assert not first[0].within_margin


def test_equivalence_by_two_t_tests_at_the_level_of_one():
    (found,) = judge([pairs(NOISE + 0.1)], FIXED)
    expected = scipy_stats.ttest_1samp(NOISE + 0.1, 0).confidence_interval(0.9)
    assert found.equivalence == pytest.approx(tuple(expected))
    assert found.claim == "equivalent"
    low, high = expected
    assert verdict_sentence(verdict(NOISE + 0.1, FIXED), FIXED) == (
        f"gn is equivalent to bn: +0.10 points (90 % interval −{-low:.2f} to +{high:.2f}, all of "
        "it within ±0.5; 10 seeds)."
    )
    assert "95 % interval" in verdict_sentence(verdict(NOISE + 0.1, FIRST_FIXED), FIRST_FIXED)


def test_only_where_an_equivalence_is_shown_its_interval_is_told_of():
    told = "Equivalence is judged by a 90 % interval of its own."
    assert equivalence_note(["better", "equivalent"], FIXED) == told
    assert equivalence_note(["better", "equivalent"], replace(FIXED, alpha=0.01)) == (
        told.replace("90", "98")
    )
    assert equivalence_note(["better", "undecided"], FIXED) == ""
    assert equivalence_note(["equivalent"], FIRST_FIXED) == ""


def test_a_folder_is_judged_by_the_rules_of_its_first_request():
    old = Request(date="2026-01-01", command="x", norms=("bn", "gn"), seeds=3)
    new = old.model_copy(update={"rules": RULES})
    assert (rules_of([old]), rules_of([new]), rules_of([])) == (1, 2, 2)
    assert rules_of([old, new]) == 1
    assert rules_of([new, old]) == 2


# -- the tests behind them -------------------------------------------------------------------------


def test_a_fixed_design_is_a_paired_t_test_corrected_by_holm():
    several = [NOISE + 0.16, NOISE + 0.5, NOISE * 2]
    p = [scipy_stats.ttest_1samp(d, 0).pvalue for d in several]
    found = judge([pairs(d) for d in several], FIXED)
    assert found[1].p_value == pytest.approx(3 * p[1])
    assert found[0].p_value == pytest.approx(2 * p[0])
    interval = scipy_stats.ttest_1samp(several[0], 0).confidence_interval(1 - 0.05 / 2)
    assert (found[0].difference.low, found[0].difference.high) == pytest.approx(tuple(interval))
    whole = scipy_stats.ttest_1samp(several[0], 0).confidence_interval(1 - 0.05 / 3)
    assert found[0].simultaneous == pytest.approx(tuple(whole))


@pytest.mark.parametrize("rules", ALL)
def test_intervals_exclude_zero_exactly_where_holm_rejects(rules):
    rng = np.random.default_rng(5)
    seen = set()
    for _ in range(200):
        family = [pairs(rng.normal(shift, 1, 12)) for shift in rng.choice([0, 0.5, 1.2], 4)]
        for found in judge(family, rules):
            low, high = found.difference.low, found.difference.high
            excludes = low > 0 or high < 0
            assert excludes == (found.p_value <= rules.alpha)
            assert excludes == (found.claim in ("higher", "lower"))
            seen.add(found.claim)
    assert seen >= {"higher", "undecided"}


def test_a_larger_family_asks_for_more():
    close = NOISE + 0.16
    assert verdict(close, FIXED).outcome == "better"
    assert verdict(close, FIXED, [NOISE * 3] * 3).outcome != "better"


def test_a_sequential_interval_is_wider_than_a_fixed_one():
    fixed, sequential = (judge([pairs(NOISE + 1)], rules)[0] for rules in (FIXED, SEQUENTIAL))
    assert sequential.difference.low < fixed.difference.low
    assert sequential.difference.high > fixed.difference.high


def test_a_decision_stands_when_later_seeds_are_less_clear():
    """The anytime p value never rises again."""
    clear = NOISE / 10 + 1
    later = np.concatenate([clear, NOISE * 40 + 1])
    assert verdict(clear, SEQUENTIAL).outcome == "better"
    assert verdict(later, SEQUENTIAL).outcome == "better"
    assert verdict(later, FIXED).outcome == "undecided"


def test_looks_that_contradict_each_other_decide_nothing():
    found = verdict(np.concatenate([NOISE / 10 + 1, NOISE / 10 - 1] * 1 + [NOISE / 10 - 1] * 20),
                    SEQUENTIAL)  # fmt: skip
    assert found.outcome == "undecided"
    assert "do not look like draws from one distribution" in verdict_sentence(found, SEQUENTIAL)


@pytest.mark.parametrize(
    "differences",
    [[1, 1.1, 0.9, 1, 1.05, 1.02, -9], [-1, -1.1, -0.9, -1, -1.05, -1.02, 9]],
)
def test_evidence_for_one_side_and_a_mean_on_the_other_decide_nothing(differences):
    found = verdict(differences, SEQUENTIAL)
    assert found.judgement.p_value < 0.05
    assert found.outcome == "undecided"
    assert "do not look like draws" in verdict_sentence(found, SEQUENTIAL)


@pytest.mark.parametrize("minus", [8, 9, 12])
def test_signs_that_turned_decide_nothing(minus):
    found = verdict([1.0] * 9 + [-1.0] * minus, SEQUENTIAL, ordinal=True)
    assert found.judgement.p_value < 0.05
    assert found.outcome == ("better" if minus < 9 else "undecided")


def test_a_norm_without_results_is_in_no_winner_set():
    def change(results):
        return [failed(r, "no") if r.trial.norm == "ln" else r for r in results]

    analysis = make_analysis(seeds=8, change=change, design=Design(until_decided=True))
    assert analysis.winners is None


def test_only_a_baseline_that_beats_all_is_marked_best():
    assert _best(make_analysis(norms=("bn", "gn"), seeds=2).norms) is None  # undecided
    margin = Design(until_decided=True, margin_points=50)
    equivalent = make_analysis(norms=("bn", "gn"), seeds=6, design=margin)
    assert {n.verdict.outcome for n in equivalent.norms if n.verdict} == {"equivalent"}
    assert _best(equivalent.norms) is None


# -- what is not a clean number --------------------------------------------------------------------


@pytest.mark.parametrize("rules", ALL)
@pytest.mark.parametrize(
    ("differences", "words"),
    [
        ([], "no seed in which both finished"),
        ([1.0], "+1.00 points in one run each"),
        ([0.3] * 8, "+0.30 points in every one of 8 seeds"),
        ([0.0] * 8, "+0.00 points in every one of 8 seeds"),
        ([0.1, 0.3], "undecided"),
    ],
)
def test_degenerate_differences_are_undecided(rules, differences, words):
    found = verdict(differences, rules)
    assert found.outcome == "undecided"
    assert words in verdict_sentence(found, rules)
    assert "nan" not in standing(found) + verdict_sentence(found, rules)
    assert "inf" not in standing(found) + verdict_sentence(found, rules)


def test_a_fixed_design_is_not_judged_before_it_is_complete():
    found = verdict(NOISE + 3, FIXED, complete=False)
    assert (found.outcome, found.difference.low) == ("undecided", None)
    assert verdict(NOISE + 3, SEQUENTIAL, complete=False).outcome == "better"


def worse_by_divergence(seeds, design):
    """gn is a little better than bn, but diverges in every seed but the last."""

    def change(results):
        return [
            diverged(r, 2) if r.trial.norm == "gn" and r.trial.seed < seeds - 1 else r
            for r in results
        ]

    return make_analysis(norms=("bn", "gn"), seeds=seeds, change=change, design=design)


def test_divergence_is_an_outcome_and_turns_to_the_signs():
    fixed = worse_by_divergence(9, Design())
    found = fixed.norms[1].verdict
    differences = found.judgement.pairs.differences
    assert differences[0] < -50  # against guessing, at 10 %
    assert found.judgement.p_value == sign_flip_p_value(differences)
    assert (found.outcome, found.difference.mean) == ("worse", None)
    assert found.guessing == (Guessing(9, diverged=8), Guessing(9))
    assert "behind in" in fixed.answers[0].text
    sequential = worse_by_divergence(9, Design(until_decided=True)).norms[1].verdict
    # 2^9 B(10, 1) = 512 / 10 if all signs agree, 512 * 9! 2! / 11! ... for one that does not.
    minus = sum(d < 0 for d in sequential.judgement.pairs.differences)
    evidence = 51.2 if minus == 9 else 512 / 90
    assert sequential.judgement.p_value == pytest.approx(1 / evidence, rel=0.5)


def test_trials_that_guess_are_counted_and_put_into_words():
    statuses = ["collapsed", "finished", "diverged", "collapsed", "failed"]
    found = Guessing.among(statuses, trials=6)
    assert found == Guessing(6, diverged=1, collapsed=2)
    assert (found.total, found.how) == (3, "diverged or collapsed")
    assert found.counts == "1 diverged, 2 collapsed"
    assert found.in_seeds == "diverged in 1 and collapsed in 2 of 6 seeds"
    one = Guessing(6, collapsed=1)
    assert (one.how, one.counts, one.in_seeds) == (
        "collapsed", "1 collapsed", "collapsed in 1 of 6 seeds",
    )  # fmt: skip
    assert found + one == Guessing(12, diverged=1, collapsed=3)
    assert (Guessing(6).total, Guessing(6).how, Guessing(6).counts) == (0, "", "")


def test_failed_trials_leave_their_seed_out():
    def change(results):
        return [
            failed(r, "no") if (r.trial.norm, r.trial.seed) == ("gn", 1) else r for r in results
        ]

    analysis = make_analysis(
        norms=("bn", "gn"), seeds=7, change=change, design=Design(until_decided=True)
    )
    found = analysis.norms[1].verdict.judgement.pairs
    assert found.seeds == (0, 2, 3, 4, 5, 6)
    assert not found.complete


# -- fixed or sequential ---------------------------------------------------------------------------


def request(seeds, before, until_decided=False):
    design = Design(until_decided=until_decided)
    return Request(date="", command="", norms=("bn",), seeds=seeds, design=design,
                   results_before=before)  # fmt: skip


@pytest.mark.parametrize(
    ("requests", "sequential"),
    [
        ([], False),
        ([request(5, 0)], False),
        ([request(5, 0, until_decided=True)], True),
        ([request(3, 0), request(5, 9)], True),
        ([request(3, 0), request(5, 0)], False),  # stopped before the first result
        ([request(3, None), request(5, None)], True),  # recorded before there was the count
        ([request(5, 0), request(5, 15)], False),
        ([request(5, 0), request(3, 15), request(5, 15)], False),
        ([request(6, 0, until_decided=True), request(9, 18)], True),
    ],
)
def test_seeds_that_follow_a_look_make_a_design_sequential(requests, sequential):
    assert is_sequential(requests) is sequential


def test_what_was_changed_or_added_after_a_look_is_a_caveat():
    first = request(3, 0)
    stricter = request(3, 9).model_copy(update={"design": Design(alpha=0.01, margin_points=1.0)})
    wider = request(3, 9).model_copy(update={"norms": ("bn", "in")})
    (caveat,) = _changed_rules([first, stricter])
    assert caveat.text == "The alpha and the margin were changed after a look at results."
    assert _changed_rules([first, wider]) == []
    (caveat,) = _added([first, wider])
    assert caveat.text.startswith("Added after a look at results, which enlarged their family: in.")
    assert _added([first, first]) == []


def test_batch_sizes_that_were_added_after_a_look_are_a_caveat():
    def sized(*sizes, before=9):
        return request(3, before).model_copy(update={"batch_sizes": sizes})

    (caveat,) = _added([sized(32, 64, before=0), sized(16, 64)])
    assert "enlarged their family: batch size 16." in caveat.text
    assert _added([sized(32, before=0), sized(32, 64, before=0)]) == []  # nothing was seen
    assert _added([sized(before=0), sized(32), sized(32)]) == []  # the first did not record them
    (caveat,) = _added([sized(before=0), sized(32), sized(32, 64)])
    assert "batch size 64." in caveat.text


# -- words -----------------------------------------------------------------------------------------


def test_a_mean_that_left_its_interval_is_explained():
    """The interval keeps what earlier looks refuted; the mean of all seeds may move out of it."""
    values = [0.9, 1.1, 1.0, 1.0, 1.05, 0.95, 0.2]
    inside, outside = (verdict([*values, *more], SEQUENTIAL) for more in ([], [0.3, 0.4, 0.3]))
    assert inside.difference.low < inside.difference.mean
    assert outside.difference.mean < outside.difference.low
    words = "which earlier looks narrowed; the mean has moved out of it since"
    assert words not in verdict_sentence(inside, SEQUENTIAL)
    assert words in verdict_sentence(outside, SEQUENTIAL)


def moved(points_by_norm, seeds=12):
    """An analysis in which norms are so many points better than they were."""

    def change(results):
        changed = []
        for r in results:
            last = r.history[-1]
            value = last.test_accuracy_percent + points_by_norm.get(r.trial.norm, 0.0)
            last = replace(last, **{"test_accuracy_percent": value})
            changed.append(r.model_copy(update={"history": (*r.history[:-1], last)}))
        return changed

    return make_analysis(seeds=seeds, change=change, design=Design(until_decided=True))


def winner_words(analysis):
    (remark,) = [remark for remark in analysis.findings if remark.topic == "Winner set"]
    return remark.text


def test_a_winner_set_that_denies_an_answer_says_why():
    """ln is told from bn in the family of 2 comparisons, and not in that of all 3 pairs."""
    analysis = replace(moved({}), winners=("bn", "ln"))
    assert {norm.norm: norm.verdict.outcome for norm in analysis.norms[1:]}["ln"] == "worse"
    (remark,) = _winners(analysis)
    assert remark.text == (
        "bn, ln; every other norm is beaten by some norm. The answers tell ln from bn; the winner "
        "set does not, because all 3 pairs are tested together, which takes more evidence."
    )
    (remark,) = _winners(replace(analysis, winners=("bn", "gn", "ln")))
    assert remark.text.startswith(
        "all norms, as none is shown to beat another. The answers tell gn and ln from bn; the "
    )


def test_an_undecided_norm_that_the_winner_set_leaves_out_or_keeps_is_explained():
    analysis = moved({"gn": -20, "ln": -20})
    unsure = tuple(
        replace(norm, verdict=norm.verdict and replace(norm.verdict, outcome="undecided"))
        for norm in analysis.by_batch_size
    )

    def told(*winners, of=unsure):
        return _winners(replace(analysis, by_batch_size=of, winners=winners))[0].text

    among = "Of those that are undecided against bn, "
    assert told("bn").endswith(
        f"tested together). {among}gn and ln are left out (some norm beats them)."
    )
    assert told("bn", "ln").endswith(
        f"tested together). {among}gn is left out (some norm beats it) and ln is kept (not shown "
        "to be worse, nor to be as good)."
    )
    assert told("gn", "ln").endswith(
        f"tested together). {among}gn and ln are kept (not shown to be worse, nor to be as good)."
    )
    assert "undecided" not in told("bn", "gn", "ln")
    assert "undecided" not in told("bn", of=analysis.by_batch_size)


def test_a_winner_set_that_agrees_with_the_answers_has_nothing_to_explain():
    assert winner_words(moved({"gn": -20, "ln": -20})) == (
        "bn; every other norm is beaten by some norm (all 3 pairs are tested together)."
    )
    assert winner_words(moved({}, seeds=2)) == (
        "all norms, as none is shown to beat another (all 3 pairs are tested together)."
    )


def apart(results):
    """gn is a little worse in every seed; ln is far ahead in one of them, frn far behind."""
    moved = {"gn": (-1.0, -1.1, -1.2, -1.0), "ln": (0, 0, 0, 9), "frn": (0, 0, -30, 0)}
    changed = []
    for r in results:
        by = moved.get(r.trial.norm, (0,) * 4)[r.trial.seed]
        last = replace(r.history[-1], **{"test_accuracy_percent": 60.0 + by})
        changed.append(r.model_copy(update={"history": (*r.history[:-1], last)}))
    return changed


def test_answers_tables_and_figures_have_the_baseline_first_and_then_the_most_accurate():
    asked, order = ("bn", "gn", "frn", "ln"), ("bn", "ln", "gn", "frn")
    analysis = make_analysis(norms=asked, seeds=4, change=apart, costs=make_costs(asked))
    assert analysis.experiment.norms == asked
    assert analysis.order == order
    assert [answer.norm for answer in analysis.answers] == [*order[1:]]
    assert [norm.norm for norm in analysis.norms] == [*order]
    assert [cost.norm for cost in analysis.costs.norms] == [*order]
    assert [contrast.norm for contrast in analysis.secondary[:3]] == [*order[1:]]
    for found in (analysis.models, analysis.mistakes.confusions, analysis.reliability):
        assert [*found] == [*order]
    for figure in make_figures(analysis):
        named = dict.fromkeys(re.findall(r"\b(?:gn|frn|ln)\b", figure.alt))
        assert [*named] == [norm for norm in order if norm in named], figure.name


def test_the_write_up_names_norms_in_that_order():
    analysis = make_analysis(norms=("bn", "gn", "frn", "ln"), seeds=4, change=apart)
    assert "on cifar10 with bn, ln, gn and frn" in method_paragraph(analysis)
    assert "use: bn, ln, gn or frn?" in render(analysis, [])
    (layers,) = network_tables(analysis)
    assert "With ln, gn and frn all shapes" in layers.caption


def test_what_was_promised_is_told_in_that_order_too():
    analysis = make_analysis(
        norms=("bn", "frn", "gn", "ln"), seeds=4, batch_sizes=(8, 512), change=apart,
        chosen=Chosen("gn", 0.05, 0.5),
    )  # fmt: skip
    assert analysis.order == ("gn", "ln", "bn", "frn")
    told = [(v.norm, v.batch_size) for v in analysis.promised.verdicts]
    assert told == [(norm, size) for size in (8, 512) for norm in ("gn", "ln", "frn")]


def test_norms_without_a_finished_trial_are_last_as_they_were_asked_for():
    def change(results):
        return [diverged(r, 1) if r.trial.norm in ("gn", "in") else r for r in results]

    analysis = make_analysis(norms=("bn", "in", "gn", "ln"), epochs=2, change=change)
    assert analysis.order == ("bn", "ln", "in", "gn")


def test_answers_about_several_batch_sizes_come_in_their_order():
    analysis = make_analysis(norms=("bn", "gn"), seeds=3, batch_sizes=(8, 64, 512))
    sizes = [answer.text.split("batch size ")[1].split()[0] for answer in analysis.answers]
    assert [size.rstrip(":") for size in sizes] == ["8", "64", "512"]


def test_an_equivalence_whose_looks_exclude_each_other_is_none():
    rng = np.random.default_rng(40)
    values = [*rng.normal(0.1, 0.05, 6), *rng.normal(-0.056, 0.05, 24)]
    for n in range(6, 31):
        (found,) = judge([pairs(values[:n])], SEQUENTIAL)
        assert found.equivalence is None or found.equivalence[0] <= found.equivalence[1]
        if found.claim == "equivalent":
            assert found.equivalence is not None
