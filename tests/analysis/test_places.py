"""A norm before its activation against the same norm after it, checked with scipy and by hand."""

from dataclasses import replace

import numpy as np
import pytest
from report_fakes import collapsed, diverged, failed, make_analysis
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests

from normscope.analysis.answers import ONE_SEED
from normscope.analysis.places import at_both_places
from normscope.experiment import Design, Experiment
from normscope.experiment.reading import read_experiment
from normscope.norms.table import PACKAGED_NORMS
from normscope.report.as_json import as_json
from normscope.report.tables import evidence_tables

UNTIL_DECIDED = Design(until_decided=True)
BN = np.array([70.0, 75.0, 72.0, 71.0, 74.0, 73.0])  # percent, by seed
GN = np.array([68.5, 74.0, 71.5, 70.0, 72.5, 73.5])
# The six differences that docs/statistics.md works by hand, and six that are less clear.
CLEAR = np.array([-1.6, -1.2, -1.9, -1.5, -1.4, -1.4])
UNCLEAR = np.array([0.4, -0.9, 0.2, -0.7, 0.1, -0.3])
FACTORIAL = {"bn": BN, "gn": GN, "bn:pre": BN + UNCLEAR, "gn:pre": GN + CLEAR}


def analysed(finals, change=lambda results: results, **values):
    """An analysis of trials that end at those test accuracies, by norm and seed."""

    def ended(results):
        moved = []
        for r in results:
            last = {"test_accuracy_percent": float(finals[r.trial.norm][r.trial.seed])}
            history = (*r.history[:-1], replace(r.history[-1], **last))
            moved.append(r.model_copy(update={"history": history}))
        return change(moved)

    seeds = len(next(iter(finals.values())))
    return make_analysis(tuple(finals), seeds, change=ended, **values)


def lost(norm, seeds, by):
    """Changes results: the trials of a norm with those seeds ended so."""
    return lambda rs: [by(r) if r.trial.norm == norm and r.trial.seed in seeds else r for r in rs]


def said(analysis):
    return [remark.text for remark in analysis.findings if remark.topic == "Placement"]


def table(analysis):
    """The rows under the headings, as text; None without a table."""
    found = [t for t in evidence_tables(analysis) if t.title == "Placement"]
    return [[str(cell) for cell in row] for row in found[0].rows] if found else None


# -- which norms have both places ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("norms", "pairs"),
    [
        (("bn", "gn", "bn:pre", "gn:pre"), [("bn:pre", "bn"), ("gn:pre", "gn")]),
        (("gn:pre", "bn", "gn"), [("gn:pre", "gn")]),
        (("gn:groups=2", "gn:pre:groups=2"), [("gn:groups=2:pre", "gn:groups=2")]),
        (("GroupNorm", "gn:groups=4:pre"), [("gn:pre", "gn")]),  # 4 groups are the default
        (("gn", "gn:groups=2:pre"), []),
        (("bn", "gn:pre"), []),
        (("bn", "gn"), []),
        (("mine:scale=0.5", "mine:scale=0.5:pre"), [("mine:scale=0.5:pre", "mine:scale=0.5")]),
    ],
)
def test_a_pair_is_the_same_norm_with_the_same_options(norms, pairs):
    assert at_both_places(Experiment(norms=norms).norms) == pairs


def test_of_all_norms_those_without_a_place_have_no_pair():
    placed = [
        n for n, norm in PACKAGED_NORMS.items() if norm.placed and not norm.replaces_activation
    ]
    assert 0 < len(placed) < len(PACKAGED_NORMS)
    norms = read_experiment(norms=list(PACKAGED_NORMS), placement="both").norms
    assert at_both_places(norms) == [(f"{norm}:pre", norm) for norm in placed]


# -- the verdicts ----------------------------------------------------------------------------------


def test_a_fixed_design_is_a_paired_t_test_corrected_by_holm_over_the_pairs():
    analysis = analysed(FACTORIAL)
    tests = [scipy_stats.ttest_rel(FACTORIAL[f"{n}:pre"], FACTORIAL[n]) for n in ("bn", "gn")]
    bn, gn = analysis.places
    p = multipletests([test.pvalue for test in tests], method="holm")[1]
    assert [bn.judgement.p_value, gn.judgement.p_value] == pytest.approx(p)
    # gn is tested first, at alpha / 2, and rejected; then bn at alpha.
    for verdict, test, level in ((gn, tests[1], 0.975), (bn, tests[0], 0.95)):
        interval = test.confidence_interval(level)
        assert verdict.difference.low == pytest.approx(interval.low)
        assert verdict.difference.high == pytest.approx(interval.high)
    assert (bn.outcome, gn.outcome) == ("undecided", "worse")
    assert {verdict.judgement.family for verdict in analysis.places} == {2}
    assert {verdict.judgement.family for verdict in analysis.verdicts} == {3}
    assert " placement are a family of their own, of 2 comparisons. Protocol" in analysis.method
    assert said(analysis)[1] == (
        "gn:pre is 1.50 points worse than gn (95 % interval −1.81 to −1.19; 6 seeds)."
    )
    assert said(analysis)[0].startswith("bn:pre against bn is undecided: −0.20 points (95 % ")
    assert "answers" not in said(analysis)[0]  # which say the same


def test_before_can_be_better_or_as_good():
    noise = UNCLEAR - UNCLEAR.mean()
    analysis = analysed(
        {"bn": BN, "gn": GN, "bn:pre": BN - CLEAR, "gn:pre": GN + noise / 10}
    )  # fmt: skip
    assert [verdict.outcome for verdict in analysis.places] == ["better", "equivalent"]
    assert "bn:pre is 1.50 points better than bn" in said(analysis)[0]
    assert "gn:pre is equivalent to gn: +0.00 points" in said(analysis)[1]


def test_a_design_until_decided_has_intervals_that_hold_at_every_look():
    """The p value and the interval for two comparisons are those of docs/statistics.md."""
    bn, gn = analysed(FACTORIAL, design=UNTIL_DECIDED).places
    assert gn.judgement.p_value == pytest.approx(2 * 0.000217, rel=1e-2)
    assert (gn.difference.low, gn.difference.high) == pytest.approx((-2.05, -0.95), abs=0.005)
    assert (bn.outcome, gn.outcome) == ("undecided", "worse")


def test_an_arm_that_diverges_is_judged_by_signs():
    """Behind in all of 8 seeds: 2 of the 2^8 patterns of signs are as far from 0; Holm doubles."""
    eight = {norm: np.concatenate([values, values[:2] + 0.3]) for norm, values in FACTORIAL.items()}
    change = lost("gn:pre", range(8), by=lambda r: diverged(r, 2))
    analysis = analysed(eight, change)
    bn, gn = analysis.places
    assert gn.judgement.p_value == pytest.approx(2 * 2 / 2**8)
    assert (gn.outcome, gn.difference.mean, gn.unfinished) == ("worse", None, 0)
    assert [g.diverged for g in gn.guessing] == [8, 0]
    assert bn.difference.mean is not None
    assert said(analysis)[1] == (
        "gn:pre is worse than gn: ahead in 0 and behind in 8 of 8 seeds; gn:pre diverged in 8 of 8 "
        "seeds, which counts as guessing; sign-flip test, p 0.016."
    )
    assert table(analysis)[1][3:] == ["– (n 8)", "0.016", "worse (8 diverged)"]


def test_an_arm_that_collapses_counts_as_one_that_diverges():
    one, other = (
        analysed(FACTORIAL, lost("gn", {1, 2}, by=by))
        for by in (collapsed, lambda r: diverged(r, 2))
    )
    assert one.places[1].judgement == other.places[1].judgement
    assert [g.collapsed for g in one.places[1].guessing] == [0, 2]
    assert "; gn collapsed in 2 of 6 seeds, which counts as guessing; " in said(one)[1]


def test_a_fixed_design_waits_for_every_trial_and_a_sequential_one_leaves_the_seed_out():
    change = lost("gn:pre", {5}, by=lambda r: failed(r, "no"))
    _, fixed = analysed(FACTORIAL, change).places
    assert (fixed.outcome, fixed.difference.low, fixed.unfinished) == ("undecided", None, 1)
    _, sequential = analysed(FACTORIAL, change, design=UNTIL_DECIDED).places
    assert sequential.judgement.pairs.seeds == (0, 1, 2, 3, 4)


def test_an_arm_without_any_finished_trial_is_said_to_have_none():
    analysis = analysed(FACTORIAL, lost("gn:pre", range(6), by=lambda r: failed(r, "no")))
    assert said(analysis)[1] == "gn:pre against gn: there is no seed in which both finished."
    assert table(analysis)[1][2:] == ["–", "–", "1.000", "undecided"]


def test_one_seed_concludes_nothing():
    analysis = analysed({norm: values[:1] for norm, values in FACTORIAL.items()})
    assert {verdict.outcome for verdict in analysis.places} == {"undecided"}
    assert said(analysis)[1] == f"gn:pre against gn: −1.60 points in one run each ({ONE_SEED})."


def test_several_batch_sizes_are_judged_at_the_main_one():
    norms = ("bn", "gn", "bn:pre", "gn:pre")
    several, main = (make_analysis(norms, 6, batch_sizes=sizes) for sizes in ((8, 512), (512,)))
    assert several.places == main.places
    assert all(" at batch size 512 (95 % interval " in text for text in said(several))


# -- what is said ----------------------------------------------------------------------------------


def test_without_a_pair_nothing_is_said():
    analysis = make_analysis(("bn", "gn", "ln:pre"))
    assert analysis.places == ()
    assert (said(analysis), table(analysis)) == ([], None)
    assert "placement" not in analysis.method
    assert as_json(analysis)["placement"] == []


def test_what_is_an_answer_already_is_no_finding_too():
    analysis = analysed({"bn": BN, "bn:pre": BN + CLEAR})
    assert analysis.places == analysis.verdicts
    assert said(analysis) == []
    assert "placement" not in analysis.method
    assert len(table(analysis)) == 1


def test_a_finding_that_denies_an_answer_says_why():
    """Its p is enough for Holm's second step of the 2 places, and too much for the first of 3."""
    d = np.array([-0.1, -0.9, -0.1, -0.8, -0.3, -0.5])
    assert 0.05 / 3 < scipy_stats.ttest_1samp(d, 0).pvalue < 0.05
    far = BN + 10 * UNCLEAR
    analysis = analysed({"bn": BN, "gn": far, "bn:pre": BN + d, "gn:pre": far + CLEAR})
    outcomes = {verdict.norm: verdict.outcome for verdict in analysis.verdicts}
    assert (outcomes["bn:pre"], analysis.places[0].outcome) == ("undecided", "worse")
    assert said(analysis)[0].endswith(
        " Among the answers it is undecided, because it is tested with other comparisons there."
    )
    assert not said(analysis)[1].endswith("there.")


def test_of_many_norms_the_extremes_are_told_and_the_table_has_them_all():
    posts = dict.fromkeys(("bn", "gn", "ln", "in", "rms"), BN)
    shifts = (-CLEAR, UNCLEAR, 2 * CLEAR, CLEAR, UNCLEAR)
    pres = {f"{norm}:pre": BN + d for norm, d in zip(posts, shifts, strict=True)}
    analysis = analysed({**posts, **pres})
    (text,) = said(analysis)
    assert text.startswith(
        "before the activation instead of after it, bn is better; gn and rms are undecided; ln and "
        "in are worse. The mean differences are from −3.00 points with ln (95 % interval "
    )
    assert " to +1.50 points with bn (95 % interval " in text
    assert text.endswith("; 6 seeds), the other 3 norms between.")
    assert [row[0] for row in table(analysis)] == list(posts)


def test_the_table_and_json_hold_the_numbers():
    analysis = analysed(FACTORIAL)
    sd = scipy_stats.tstd(FACTORIAL["gn:pre"])
    assert table(analysis)[1][:4] == [
        *("gn", f"{GN.mean():.1f} (sd {scipy_stats.tstd(GN):.2f})"),
        *(f"{(GN + CLEAR).mean():.1f} (sd {sd:.2f})", "−1.50 (−1.81 to −1.19, n 6)"),
    ]
    _, gn = as_json(analysis)["placement"]
    assert (gn["norm"], gn["baseline"], gn["outcome"]) == ("gn:pre", "gn", "worse")
    assert gn["difference_points_mean"] == pytest.approx(-1.5)
    assert (gn["difference_points_n"], gn["family"], gn["batch_size"]) == (6, 2, 512)
