"""What is told beside the verdicts: other views of the same differences."""

from dataclasses import replace

import numpy as np
import pytest
from report_fakes import diverged, make_analysis, make_labels

from normscope.experiment import Design
from normscope.stats import bca_interval, multibootstrap, sign_flip_p_value, variance_split


def correct(analysis, norm):
    labels = make_labels(1000)
    return np.stack(
        [r.predictions.classes == labels for r in analysis.results if r.trial.norm == norm]
    )


def test_evidence_is_taken_from_the_predictions_of_each_seed():
    analysis = make_analysis(seeds=6)
    gn, ln = analysis.evidence
    assert (gn.norm, ln.norm) == ("gn", "ln")
    for each in (gn, ln):
        own, baseline = correct(analysis, each.norm), correct(analysis, "bn")
        assert each.seeds_and_images == multibootstrap(own, baseline)
        differences = (100 * (own.mean(axis=1) - baseline.mean(axis=1))).round(9)
        assert each.sign_flip_p == sign_flip_p_value(differences)
    assert gn.seeds_and_images != ln.seeds_and_images
    mine, other = correct(analysis, "gn"), correct(analysis, "bn")
    differences = 100 * (mine.mean(axis=1) - other.mean(axis=1))
    expected = bca_interval(differences.round(9))
    assert gn.bootstrap.mean == pytest.approx(expected.mean)
    assert gn.bootstrap.low == pytest.approx(expected.low)
    gaps = mine.sum(axis=1)[:, None] - other.sum(axis=1)
    assert gn.superiority == pytest.approx((gaps > 0).mean() + (gaps == 0).mean() / 2)
    assert gn.correlation == pytest.approx(np.corrcoef(mine.mean(1), other.mean(1))[0, 1])


def test_the_variance_of_every_norm_is_split():
    analysis = make_analysis(seeds=5)
    assert list(analysis.variances) == ["bn", "gn", "ln"]
    assert analysis.variances["ln"] == variance_split(correct(analysis, "ln"))


def test_only_seeds_of_both_are_compared():
    def change(results):
        return [diverged(r, 2) if (r.trial.norm, r.trial.seed) == ("gn", 0) else r for r in results]

    analysis = make_analysis(norms=("bn", "gn"), seeds=4, change=change)
    assert analysis.evidence[0].bootstrap.n == 3
    assert analysis.winners is None


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_leave_out_what_they_cannot_tell(seeds):
    (gn,) = make_analysis(norms=("bn", "gn"), seeds=seeds).evidence
    assert gn.bootstrap.low is None
    assert gn.correlation is None
    assert (gn.seeds_and_images is None) == (seeds == 1)


def test_a_norm_without_any_finished_trial_has_no_evidence():
    def change(results):
        return [diverged(r, 1) if r.trial.norm == "gn" else r for r in results]

    (gn,) = make_analysis(norms=("bn", "gn"), seeds=3, change=change).evidence
    assert (gn.bootstrap.n, gn.superiority, gn.sign_flip_p) == (0, None, 1.0)


def test_the_winner_set_leaves_out_who_is_beaten():
    def change(results):
        worse = []
        for r in results:
            last = r.history[-1]
            by = 5.0 if r.trial.norm == "ln" else 0.0
            update = {"test_accuracy_percent": last.test_accuracy_percent - by}
            history = (*r.history[:-1], replace(last, **update))
            worse.append(r.model_copy(update={"history": history}))
        return worse

    analysis = make_analysis(seeds=12, change=change, design=Design(until_decided=True))
    assert "ln" not in analysis.winners
    assert "bn" in analysis.winners
