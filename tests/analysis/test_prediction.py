"""Whether untrained networks foresaw the order of the norms."""

import pytest
from report_fakes import failed, make_analysis, make_costs

from normscope.analysis.prediction import GRADIENT, SIMILARITY

SIX = ("bn", "gn", "ln", "in", "rms", "frn")


def test_an_order_that_is_foreseen_in_every_pair():
    """In the fakes, each norm is worse than the one before it, and its samples are more alike."""
    analysis = make_analysis(norms=SIX, seeds=8, costs=make_costs(SIX))
    _, accuracy, drops = analysis.predictions
    assert (accuracy.predictor, accuracy.metric.name) == (SIMILARITY, "test_accuracy_percent")
    assert accuracy.norms == 6
    assert accuracy.tau == pytest.approx(1)
    # 2 of 720 orders are as far from chance; Holm takes it three times.
    assert accuracy.p_value == pytest.approx(3 * 2 / 720)
    assert drops.predictor == GRADIENT
    assert drops.tau is None, "all gradients are equal there"
    (said,) = [str(remark) for remark in analysis.findings if remark.topic == "Forecast"]
    assert (
        "test accuracy by the similarity of samples (Kendall's tau 1.00, p 0.008; foreseen)" in said
    )
    assert "sum of drops by the gradient norm of the first layer (no order to compare)" in said


def test_the_opposite_order():
    costs = make_costs(SIX[::-1])
    accuracy = make_analysis(norms=SIX, seeds=8, costs=costs).predictions[1]
    assert accuracy.tau == pytest.approx(-1)


def test_a_norm_with_a_trial_that_did_not_finish_is_not_counted():
    def without_rms(results):
        return [failed(r, "no") if r.trial.id.startswith("rms-seed0") else r for r in results]

    seven = (*SIX, "brn")
    analysis = make_analysis(norms=seven, costs=make_costs(seven), change=without_rms)
    assert {found.norms for found in analysis.predictions} == {6}


def test_few_norms_foresee_nothing():
    assert make_analysis(norms=SIX[:5], costs=make_costs(SIX[:5])).predictions == ()
    assert make_analysis(norms=SIX).predictions == ()
