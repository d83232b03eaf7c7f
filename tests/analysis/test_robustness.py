"""Accuracy on corrupted images as a family of its own, checked with scipy and statsmodels."""

import numpy as np
import pytest
from report_fakes import KINDS as IN_FAKES
from report_fakes import collapsed, corrupted_percent, diverged, make_analysis, make_corruptions
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests

from normscope.analysis.robustness import KINDS
from normscope.experiment import Design
from normscope.probes.corruptions import CORRUPTIONS
from normscope.report.as_json import as_json
from normscope.report.csv_files import trials_table
from normscope.report.markdown import render_markdown
from normscope.report.tables import evidence_tables
from normscope.stats import anytime_p_value

MEANS = {"bn": 58.0, "gn": 61.0, "ln": 58.2}
SEEDS = 5


def analysed(norms=("bn", "gn", "ln"), seeds=SEEDS, change=lambda results: results, design=None,
             **values):  # fmt: skip
    probes = make_corruptions(MEANS, **{"adapted": ("bn",), **values})
    return make_analysis(norms, seeds, change=change, probes=probes, design=design or Design())


def read(norm, seeds=SEEDS):
    """What the fakes read, (seeds, kinds, strengths); of an adapted norm with a star."""
    mean = MEANS[norm] if "*" not in norm else MEANS[norm[:-1]] + 10
    return np.array([corrupted_percent(norm, seed, mean) for seed in range(seeds)])


def of_seeds(norm, clean=True, seeds=SEEDS):
    """By metric one number per seed: the kinds, all of them, and what is lost of the clean 80 %."""
    readings = read(norm, seeds)
    return {
        **{f"corrupted_{kind}_percent": readings[:, n].mean(1) for n, kind in enumerate(IN_FAKES)},
        "corrupted_percent": readings.reshape(seeds, -1).mean(1),
        "corrupted_lost_points": 80 + np.arange(seeds) / 10 - readings.mean((1, 2)),
    }


def said(analysis):
    return [remark.text for remark in analysis.findings if remark.topic == "Robustness"]


def table(analysis):
    return next((t for t in evidence_tables(analysis) if t.title == "Robustness"), None)


def test_kinds_are_those_of_the_probe():
    assert tuple(KINDS) == tuple(CORRUPTIONS) == IN_FAKES


def test_values_are_those_of_the_last_moment():
    analysis = analysed()
    arms = {arm.name: arm for arm in analysis.robustness.arms}
    assert list(arms) == ["bn", "bn, adapted", "gn", "ln"]
    for name, key in (("bn", "bn"), ("bn, adapted", "bn*"), ("gn", "gn"), ("ln", "ln")):
        for metric, values in of_seeds(key).items():
            assert arms[name].estimates[metric].mean == pytest.approx(values.mean()), metric
            assert arms[name].estimates[metric].sd == pytest.approx(values.std(ddof=1)), metric


def test_a_fixed_design_is_paired_t_tests_corrected_by_holm_over_the_whole_family():
    analysis = analysed()
    bn = of_seeds("bn")
    expected = {
        (metric, name): scipy_stats.ttest_rel(of_seeds(key)[metric], bn[metric])
        for metric in bn
        for name, key in (("gn", "gn"), ("ln", "ln"), ("bn, adapted", "bn*"))
    }
    found = {(c.metric.name, c.norm): c for c in analysis.robustness.contrasts}
    assert set(found) == set(expected)
    holm = multipletests([test.pvalue for test in expected.values()], method="holm")[1]
    assert len(holm) == 24
    rejected = np.sum(holm <= 0.05)
    assert 0 < rejected < 24
    for (key, test), p in zip(expected.items(), holm, strict=True):
        judgement = found[key].judgement
        assert judgement.p_value == pytest.approx(p)
        assert judgement.family == 24
        assert found[key].decided == (p <= 0.05)
        if p > 0.05:  # the others are at the levels of their own steps
            interval = test.confidence_interval(1 - 0.05 / (24 - rejected))
            assert judgement.difference.low == pytest.approx(interval.low)
            assert judgement.difference.high == pytest.approx(interval.high)
        assert judgement.claim != "equivalent"


def test_it_leaves_the_other_families_as_they_are():
    with_probes, without = analysed(), make_analysis(seeds=SEEDS)
    assert [c.judgement for c in with_probes.secondary] == [c.judgement for c in without.secondary]
    assert with_probes.verdicts == without.verdicts
    assert without.robustness is None
    assert table(without) is None
    assert said(without) == []
    assert as_json(without)["robustness"] is None
    assert not any("corrupted" in name for name in trials_table(without).columns)


def test_an_adapted_norm_is_also_compared_with_itself_where_it_is_not_the_baseline():
    analysis = analysed(norms=("gn", "bn"))
    asked = [(c.norm, c.baseline, c.metric.name) for c in analysis.robustness.contrasts]
    itself = [("bn, adapted", "bn", "corrupted_percent")]
    assert [each for each in asked if each[1] == "bn"] == itself
    assert len(asked) == 8 * 2 + 1
    found = analysis.robustness.contrast("corrupted_percent", "bn, adapted", "bn")
    gained = of_seeds("bn*")["corrupted_percent"] - of_seeds("bn")["corrupted_percent"]
    assert found.judgement.pairs.differences == pytest.approx(tuple(gained))
    assert f": {gained.mean():.1f} points more (95 % interval +" in said(analysis)[2]


def test_a_sequential_design_has_anytime_p_values():
    analysis = analysed(norms=("bn", "gn"), seeds=12, design=Design(until_decided=True))
    bn, gn = of_seeds("bn", seeds=12), of_seeds("gn", seeds=12)
    p = [anytime_p_value(gn[m] - bn[m]) for m in bn]
    adapted = of_seeds("bn*", seeds=12)
    p += [anytime_p_value(adapted[m] - bn[m]) for m in bn]
    corrected = multipletests(p, method="holm")[1]
    found = {(c.metric.name, c.norm): c.judgement for c in analysis.robustness.contrasts}
    keys = [(m, name) for name in ("gn", "bn, adapted") for m in bn]
    assert [found[key].p_value for key in keys] == pytest.approx(list(corrected))


# -- clean images ----------------------------------------------------------------------------------


@pytest.mark.parametrize("clean", [False, [("bn", 0), ("gn", 1)]])
def test_without_a_clean_reading_of_every_trial_test_accuracy_stands_in_for_all(clean):
    analysis = analysed(clean=clean)
    assert not analysis.robustness.same_images
    tested = [r.history[-1].test_accuracy_percent for r in analysis.results if r.trial.norm == "gn"]
    (gn,) = [arm for arm in analysis.robustness.arms if arm.name == "gn"]
    assert gn.estimates["clean_percent"].mean == pytest.approx(np.mean(tested))
    lost = np.array(tested) - read("gn").mean((1, 2))
    assert gn.estimates["corrupted_lost_points"].mean == pytest.approx(lost.mean())
    assert "on all test images as they are" in table(analysis).caption
    assert "on the same images as they are" in table(analysed()).caption


# -- trials that are missing -----------------------------------------------------------------------


@pytest.mark.parametrize("by", [lambda r: diverged(r, 3), collapsed])
def test_a_trial_that_guesses_leaves_its_seed_out(by):
    """As of all secondary metrics: a fixed design is then incomplete, and decides nothing."""

    def change(rs):
        return [by(r) if (r.trial.norm, r.trial.seed) == ("gn", 2) else r for r in rs]

    fixed = analysed(change=change)
    gn = fixed.robustness.contrast("corrupted_percent", "gn", "bn").judgement
    assert gn.pairs.seeds == (0, 1, 3, 4)
    assert (gn.pairs.complete, gn.claim, gn.p_value) == (False, "undecided", 1.0)
    adapted = fixed.robustness.contrast("corrupted_percent", "bn, adapted", "bn").judgement
    assert (adapted.pairs.complete, adapted.claim) == (True, "higher")
    sequential = analysed(seeds=14, change=change, design=Design(until_decided=True))
    gn = sequential.robustness.contrast("corrupted_percent", "gn", "bn").judgement
    assert (len(gn.pairs.seeds), gn.claim) == (13, "higher")


def test_a_trial_that_was_not_looked_into_leaves_its_seed_out():
    analysis = analysed(without=[("gn", 1)])
    assert analysis.robustness.contrast("corrupted_percent", "gn", "bn").judgement.pairs.seeds == (
        *(0, 2, 3, 4),
    )
    found = {arm.name: arm.estimates["corrupted_percent"].n for arm in analysis.robustness.arms}
    assert found == {"bn": 5, "bn, adapted": 5, "gn": 4, "ln": 5}


def test_a_norm_that_was_not_looked_into_has_no_row():
    analysis = analysed(without=[("ln", seed) for seed in range(SEEDS)])
    assert [row[0].text for row in table(analysis).rows] == ["bn", "bn, adapted", "gn"]
    assert analysis.robustness.contrast("corrupted_percent", "ln", "bn") is None
    found = analysis.robustness.contrast("corrupted_percent", "gn", "bn")
    assert found.judgement.family == len(analysis.robustness.contrasts) == 16  # gn, and bn adapted
    assert "with ln" not in " ".join(said(analysis))


def test_a_single_norm_with_running_statistics_is_compared_with_itself():
    analysis = analysed(norms=("bn",))
    assert {(c.norm, c.baseline) for c in analysis.robustness.contrasts} == {("bn, adapted", "bn")}
    assert len(said(analysis)) == 1


def test_norms_without_running_statistics_are_not_adapted():
    analysis = analysed(norms=("gn", "ln"), adapted=())
    assert [arm.name for arm in analysis.robustness.arms] == ["gn", "ln"]
    assert not any("adapted" in metric.name for metric in analysis.metrics)
    assert len(said(analysis)) == 2


# -- what is shown ---------------------------------------------------------------------------------


def test_the_sentences():
    analysis = analysed()
    bn, gn, ln = (of_seeds(norm) for norm in ("bn", "gn", "ln"))
    more = gn["corrupted_percent"] - bn["corrupted_percent"]
    (judgement,) = [c.judgement for c in analysis.robustness.contrasts
                    if (c.metric.name, c.norm) == ("corrupted_percent", "gn")]  # fmt: skip
    low, high = judgement.difference.low, judgement.difference.high
    right, lost, adapted = said(analysis)
    assert right.startswith(
        "of noisy, blurred, pale, bright, pixelated and compressed images, "
        f"{bn['corrupted_percent'].mean():.1f} % are recognized with bn, "
        f"{gn['corrupted_percent'].mean():.1f} % with gn: {more.mean():.1f} points more "
        f"(95 % interval {low:+.1f} to {high:+.1f}; 5 seeds), "
        f"{ln['corrupted_percent'].mean():.1f} % with ln: "
    )
    assert right.endswith(" of 5 seeds; undecided).")
    assert lost.startswith(
        "from clean to corrupted images, "
        f"{bn['corrupted_lost_points'].mean():.1f} points are lost with bn, "
        f"{gn['corrupted_lost_points'].mean():.1f} with gn: {more.mean():.1f} points less (95 % "
    )
    again = of_seeds("bn*")["corrupted_percent"]
    assert adapted.startswith(
        "with statistics of the corrupted images in the place of running ones it is "
        f"{again.mean():.1f} % with bn: "
        f"{(again - bn['corrupted_percent']).mean():.1f} points more (95 % interval +"
    )


def test_page_markdown_json_and_csv_hold_the_numbers():
    analysis = analysed()
    gn, bn = of_seeds("gn"), of_seeds("bn")
    mean, sd = bn["corrupted_blur_percent"].mean(), bn["corrupted_blur_percent"].std(ddof=1)
    rows = {row[0].text: row for row in table(analysis).rows}
    assert table(analysis).headings[3] == "Blurred (%)"
    assert str(rows["bn"][3]) == f"{mean:.1f} (sd {sd:.2f})"
    cell = rows["gn"][8]
    more = (gn["corrupted_percent"] - bn["corrupted_percent"]).mean()
    assert (cell.text, cell.decided) == (f"{gn['corrupted_percent'].mean():.1f}", True)
    assert cell.detail.startswith(f"+{more:.2f}, +")
    assert str(rows["gn"][1]) == "80.2 (sd 0.16)"
    markdown = render_markdown(analysis, [])
    assert "| bn, adapted | 80.2 (sd 0.16) |" in markdown
    assert "Robustness: of noisy" in markdown
    found = as_json(analysis)["robustness"]
    assert [(a["norm"], a["adapted"]) for a in found["arms"]][:2] == [("bn", False), ("bn", True)]
    assert found["arms"][2]["corrupted_percent_mean"] == pytest.approx(
        gn["corrupted_percent"].mean()
    )
    assert len(found["comparisons"]) == 24
    frame = trials_table(analysis)
    row = frame[(frame.norm == "bn") & (frame.seed == 3)].iloc[0]
    assert row.corrupted_percent == pytest.approx(bn["corrupted_percent"][3])
    assert row.adapted_percent == pytest.approx(of_seeds("bn*")["corrupted_percent"][3])
    assert row.clean_percent == pytest.approx(80.3)
    assert frame[frame.norm == "gn"].adapted_percent.isna().all()
