"""What experiments on causes allow to say: made-up accuracies whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from report_fakes import (
    collapsed,
    make_analysis,
    make_costs,
    make_probes,
)
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests

from normscope.analysis.grouping import planned
from normscope.analysis.why import READINGS
from normscope.experiment import Experiment
from normscope.norms import order_of
from normscope.report.as_json import as_json

SIMILAR = "gn:order=similar-scale-initial"
DISSIMILAR = "gn:order=dissimilar-scale-initial"
RANDOM = "gn:order=random"
BN = np.array([76.0, 75.6, 76.2, 75.9, 75.7])  # percent, by seed
NOISE = np.array([0.05, -0.02, 0.03, -0.04, 0.01])  # points


def analysed(finals, change=lambda results: results, gaps=None, **values):
    """Trials that end at those test accuracies, by norm and seed; `gaps` to train accuracy."""

    def ended(results):
        moved = []
        for r in results:
            test = float(finals[r.trial.norm][r.trial.seed])
            gap = gaps[r.trial.norm][r.trial.seed] if gaps else 4.0
            last = {"test_accuracy_percent": test, "train_accuracy_percent": test + gap}
            history = (*r.history[:-1], replace(r.history[-1], **last))
            moved.append(r.model_copy(update={"history": history}))
        return change(moved)

    return make_analysis(
        tuple(finals), len(next(iter(finals.values()))), change=ended,
        probes=make_probes(0.3), **values,
    )  # fmt: skip


def read(name, analysis):
    return READINGS[name](analysis)


# -- what is compared with what --------------------------------------------------------------------


def test_pairs_differ_in_one_thing():
    norms = Experiment(
        norms=["bn", "gn", "ln", SIMILAR, DISSIMILAR, RANDOM, "bn-scale", "bn-center:pre",
               "gn:groups=2:order=random", "gn:order=similar-correlation-trained"],
    ).norms  # fmt: skip
    assert planned(norms) == [
        (SIMILAR, DISSIMILAR), (RANDOM, "gn"), ("bn-scale", "bn")
    ]  # fmt: skip
    assert planned(("bn:pre", "bn-center:pre", "gn:groups=2", "gn:groups=2:order=random")) == [
        ("bn-center:pre", "bn:pre"), ("gn:groups=2:order=random", "gn:groups=2")
    ]  # fmt: skip


def test_the_family_is_corrected_by_holm():
    finals = {
        "bn": BN, "gn": BN - 1.0 + NOISE, SIMILAR: BN - 0.9 - NOISE,
        DISSIMILAR: BN - 1.6 + 2 * NOISE, RANDOM: BN - 1.02 + np.roll(NOISE, 2),
        "bn-scale": BN - 0.1 + NOISE,
    }  # fmt: skip
    analysis = analysed(finals)
    pairs = [(v.norm, v.baseline) for v in analysis.grouping]
    assert sorted(pairs) == sorted([(SIMILAR, DISSIMILAR), (RANDOM, "gn"), ("bn-scale", "bn")])
    p = [scipy_stats.ttest_rel(finals[a], finals[b]).pvalue for a, b in pairs]
    corrected = multipletests(p, method="holm")[1]
    assert [v.judgement.p_value for v in analysis.grouping] == pytest.approx(corrected, rel=1e-6)


# -- who shares a group ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("similar", "random", "outcome"),
    [
        (0.8, 0.0, "supported"),
        (-0.8, 0.0, "contradicted"),
        (0.0, 0.0, "contradicted"),  # within the margin of half a point
        (0.8, 0.8, "not decided"),  # a norm differs from itself
    ],
)
def test_similar_groups_are_better_equal_or_worse(similar, random, outcome):
    gn = BN - 1
    found = read("who shares a group", analysed({
        "bn": BN, "gn": gn, SIMILAR: gn + similar + NOISE, DISSIMILAR: gn,
        RANDOM: gn + random - NOISE,
    }))  # fmt: skip
    assert found.plain.startswith("It matters") == (similar < 0)
    assert found.outcome == outcome
    assert f"{SIMILAR} against {DISSIMILAR}" in found.text
    assert f"A norm against itself: {RANDOM} against gn" in found.text


def test_a_wide_interval_decides_nothing():
    gn, wide = BN - 1, np.array([2.0, -2.0, 1.5, -1.0, 0.5])
    found = read(
        "who shares a group", analysed({"bn": BN, "gn": gn, SIMILAR: gn + wide, DISSIMILAR: gn})
    )
    assert found.outcome == "not decided"
    low, high = scipy_stats.ttest_1samp(wide, 0).confidence_interval()
    assert f"+0.20 points (95 % −{-low:.2f} to +{high:.2f}, 5 seeds), undecided" in found.text
    assert "A norm was not tested against itself" in found.limits


def test_without_groups_of_channels_there_is_no_claim_on_them():
    assert read("who shares a group", analysed({"bn": BN, "gn": BN - 1})) is None
    assert read("the edge", analysed({"bn": BN, "gn": BN - 1})) is None
    assert read("the edge", analysed({"gn": BN, "bn": BN + 1, SIMILAR: BN, DISSIMILAR: BN})) is None


# -- where bn's edge comes from --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ln", "similar", "scale", "center", "outcome"),
    [
        (-1.5, 0.8, -0.05, -1.2, "supported"),
        (-1.5, 0.0, -0.05, -1.2, "contradicted"),  # the groups make no difference
        (-1.5, 0.8, -1.2, -1.2, "not decided"),  # dividing by the channel's own scale is too little
        (-1.5, 0.8, -0.05 + 14 * NOISE, -1.2, "not decided"),  # or may be: it is not equivalent
        (-1.5, -0.8, -0.05, -1.2, "contradicted"),  # dissimilar channels do better together
        (-1.5, 0.8, -0.05, 0.0, "contradicted"),  # and not to divide no harm
        (0.0, 0.8, -0.05, -1.2, "not decided"),  # no edge
        (-1.5, 0.8, None, -1.2, "not decided"),
        (-1.5, 0.8, -0.05, None, "not decided"),
        (-1.5, 0.02, -0.05, -1.2, "contradicted"),  # sure, and far too little to matter
    ],
)
def test_the_edge_needs_all_of_the_chain(ln, similar, scale, center, outcome):
    finals = {
        "bn": BN, "ln": BN + ln + NOISE, SIMILAR: BN - 1 + similar + NOISE, DISSIMILAR: BN - 1
    }  # fmt: skip
    for norm, difference in (("bn-scale", scale), ("bn-center", center)):
        if difference is not None:
            finals[norm] = BN + difference - NOISE
    found = read("the edge", analysed(finals))
    assert found.outcome == outcome
    assert ("no edge to explain" in found.plain) == (ln == 0)


def test_half_of_bn_that_collapsed_is_told_and_decides_nothing():
    def lost(results):
        return [collapsed(r) if r.trial.norm == "bn-center" else r for r in results]

    finals = {"bn": BN, "ln": BN - 1.5 + NOISE, "bn-center": BN - 5, "bn-scale": BN + NOISE}
    found = read("the edge", analysed(finals, change=lost))
    assert found.outcome == "not decided"
    assert "bn-center against bn (5 collapsed; 5 seeds), undecided" in found.text


def test_regrouped_norms_take_nothing_from_those_that_one_chooses_between():
    finals = {"bn": BN, "gn": BN - 1.5 + NOISE, "in": BN - 5 + NOISE}
    regrouped = {SIMILAR: BN - 1 + NOISE, RANDOM: BN - 1.2 + NOISE}
    alone, beside = analysed(finals), analysed({**finals, **regrouped})
    assert [v for v in beside.verdicts if v.norm in finals] == list(alone.verdicts)
    assert [(v.norm, v.judgement.family) for v in beside.verdicts] == [
        ("gn", 2), ("in", 2), (SIMILAR, 2), (RANDOM, 2)
    ]  # fmt: skip
    for family in ("secondary", "calibration"):
        found, expected = ([c.judgement for c in getattr(a, family)] for a in (beside, alone))
        assert found == expected
    assert beside.winners == alone.winners == ("bn",)
    assert [answer.norm for answer in beside.answers] == ["gn", "in", SIMILAR, RANDOM]
    assert "In this family of 2 comparisons" in beside.method
    assert "are a family of their own, of 2 comparisons" in beside.method
    assert "order" not in alone.method
    assert "(all 3 pairs are tested together, without regrouped norms)" in told_of_winners(beside)
    assert "bn; every other norm is beaten by some norm (all 3 pairs" in told_of_winners(alone)
    table = as_json(beside)["design"]
    assert (table["comparisons"], table["comparisons_of_regrouped"]) == (2, 2)


def told_of_winners(analysis):
    return next(str(each) for each in analysis.findings if each.topic == "Winner set")


def test_a_regrouped_norm_that_collapsed_leaves_the_winner_set_as_it_is():
    def lost(results):
        return [collapsed(r) if r.trial.norm == SIMILAR else r for r in results]

    finals = {"bn": BN, "gn": BN - 1.5 + NOISE, "in": BN - 5 + NOISE, SIMILAR: BN}
    assert analysed(finals, change=lost).winners == ("bn",)


def test_an_order_of_another_norm_is_an_option_like_any_other():
    assert order_of("gn:groups=2:order=random") == "random"
    assert order_of("gn") is None
    assert order_of("poly.py:Poly:order=2") is None


def test_regrouped_norms_alone_are_those_that_are_compared():
    analysis = analysed({"gn": BN, RANDOM: BN - 1 + NOISE})
    assert [(v.norm, v.judgement.family) for v in analysis.verdicts] == [(RANDOM, 1)]
    assert {contrast.norm for contrast in analysis.secondary} == {RANDOM}
    assert "family of their own" not in analysis.method


# -- regularization --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behind", "wider", "outcome", "words"),
    [
        (1.5, 2.0, "supported", "because it loses less from training images to new ones"),
        (1.5, -2.0, "contradicted", "because it fits the training images better"),
        (1.5, 0.0, "not decided", "whether it also loses less on new ones is open"),
        (9.0, 1.0, "not decided", "for both reasons"),
        (0.0, 2.0, "not decided", "there is no edge to explain"),
    ],
)
def test_an_edge_lies_in_the_gap_or_not(behind, wider, outcome, words):
    gaps = {"bn": 4 + NOISE, "ln": 4 + wider + np.roll(NOISE, 1)}
    found = read("regularization", analysed({"bn": BN, "ln": BN - behind + NOISE}, gaps=gaps))
    assert found.outcome == outcome
    assert words in found.plain
    gap = np.mean(gaps["ln"] - gaps["bn"])
    fit = np.mean(NOISE) - behind + gap
    for mean in (gap, fit):
        assert f"ln {round(mean, 2) + 0.0:+.2f} points".replace("-", "−") in found.text


def test_a_gap_that_is_undecided_contradicts_nothing():
    """ln trains 3 points worse in every seed; its gap is narrower by 0.4, undecided."""
    gap = 8 * np.array([0.2, -0.1, -0.2, -0.1, -0.05])
    finals, gaps = {"bn": BN, "ln": BN - 3 + NOISE - gap}, {"bn": 0 * BN + 4, "ln": 4 + gap}
    found = read("regularization", analysed(finals, gaps=gaps))
    assert scipy_stats.ttest_1samp(gap, 0).pvalue > 0.05
    assert found.outcome == "not decided"
    assert "bn fits the training images better than ln; whether it also" in found.plain


def test_norms_that_are_behind_for_different_reasons_decide_nothing():
    finals = {"bn": BN, "ln": BN - 1.5 + NOISE, "gn": BN - 1.5 - NOISE}
    gaps = {"bn": 4 + NOISE, "ln": 6 + np.roll(NOISE, 1), "gn": 2 + np.roll(NOISE, 1)}
    found = read("regularization", analysed(finals, gaps=gaps))
    assert found.outcome == "not decided"
    assert found.plain.startswith("Whether bn is ahead of ln and gn because")


# -- small batches ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gn", "large", "outcome"),
    [
        (1.5, -1, "supported"),
        (-0.2, -1, "supported"),  # bn is still ahead, by less
        (-1.5, -1, "contradicted"),
        (-1.0, -1, "contradicted"),
        (3.0, 3, "contradicted"),  # it is ahead, whatever the batch size
    ],
)
def test_another_norm_gains_as_batches_shrink(gn, large, outcome):
    def by_size(results):
        moved = []
        for r in results:
            small = r.trial.recipe.batch_size == 32
            bn = BN[r.trial.seed] - (3 if small else 0)
            own = bn + (gn + NOISE[r.trial.seed] if small else large - NOISE[r.trial.seed])
            last = {"test_accuracy_percent": float(bn if r.trial.norm == "bn" else own)}
            history = (*r.history[:-1], replace(r.history[-1], **last))
            moved.append(r.model_copy(update={"history": history}))
        return moved

    values = {"seeds": 5, "batch_sizes": (32, 512), "change": by_size}
    values["probes"] = make_probes(0.3)
    analysis = make_analysis(("bn", "gn", "gn:order=random"), **values)
    found = read("small batches", analysis)
    assert found.outcome == outcome
    assert "With 32 images: gn against bn" in found.text
    assert "random" not in found.text
    assert read("small batches", make_analysis(("gn", "bn"), **values)) is None


def test_one_batch_size_says_nothing_of_others():
    assert read("small batches", analysed({"bn": BN, "gn": BN})) is None


# -- the forecast ----------------------------------------------------------------------------------

SIX = ("bn", "gn", "ln", "in", "rms", "frn")


def foretold(norms, sign):
    """Costs of norms whose similarity rises, while their accuracy falls if `sign` is 1."""
    costs = make_costs(norms)
    finals = {norm: 70 - sign * place + NOISE for place, norm in enumerate(norms)}
    known = [
        each.model_copy(update={"predictors": each.predictors.model_copy(
            update={"similarity": (0.5, 0.1 * (place + 1))}
        )})
        for place, each in enumerate(costs.norms)
    ]  # fmt: skip
    return analysed(finals, costs=costs.model_copy(update={"norms": tuple(known)}))


@pytest.mark.parametrize(
    ("norms", "sign", "outcome"),
    [
        (SIX, 1, "supported"),
        (SIX, -1, "contradicted"),
        (SIX[:3], 1, "not decided"),  # of three norms every order is likely enough
    ],
)
def test_the_order_of_untrained_networks_comes_true_or_not(norms, sign, outcome):
    found = read("forecast", foretold(norms, sign))
    assert found.outcome == outcome
    assert "least alike first: bn (0.10), gn (0.20)" in found.text
    accuracy = norms if sign == 1 else norms[::-1]
    assert f"By test accuracy: {', '.join(accuracy)}." in found.text
    if len(norms) == 6:
        p = scipy_stats.kendalltau(range(6), range(6)).pvalue
        assert p < 0.05 / 3  # of three forecasts


def test_without_costs_nothing_was_foretold():
    analysis = analysed({"bn": BN, "gn": BN})
    assert read("forecast", analysis) is None
    assert read("forecast", replace(analysis, costs=make_costs(("bn",)))) is None
