"""Whether untrained networks foresaw the order of the norms."""

import pytest
from report_fakes import failed, make_analysis, make_costs

from normscope.analysis.prediction import GRADIENT, SIMILARITY

FIVE = ("bn", "gn", "ln", "in", "rms")


def test_an_order_that_is_foreseen_in_every_pair():
    """In the fakes, each norm is worse than the one before it, and its samples are more alike."""
    analysis = make_analysis(norms=FIVE, seeds=8, costs=make_costs(FIVE))
    _, accuracy, drops = analysis.predictions
    assert (accuracy.predictor, accuracy.metric.name) == (SIMILARITY, "test_accuracy_percent")
    assert accuracy.norms == 5
    assert accuracy.tau == pytest.approx(1)
    # 2 of 120 orders are as far from chance; Holm takes it three times.
    assert accuracy.p_value == pytest.approx(3 * 2 / 120)
    assert drops.predictor == GRADIENT
    assert drops.tau is None, "all gradients are equal there"
    (said,) = [str(remark) for remark in analysis.findings if remark.topic == "Forecast"]
    assert (
        "test accuracy by the similarity of samples (Kendall's tau 1.00, p 0.050; foreseen)" in said
    )
    assert "sum of drops by the gradient norm of the first layer (no order to compare)" in said


def test_the_opposite_order():
    costs = make_costs(FIVE[::-1])
    accuracy = make_analysis(norms=FIVE, seeds=8, costs=costs).predictions[1]
    assert accuracy.tau == pytest.approx(-1)


def test_a_norm_without_a_finished_trial_is_not_counted():
    def without_rms(results):
        return [failed(r, "no") if r.trial.norm == "rms" else r for r in results]

    six = (*FIVE, "frn")
    analysis = make_analysis(norms=six, costs=make_costs(six), change=without_rms)
    assert {found.norms for found in analysis.predictions} == {5}


def test_few_norms_foresee_nothing():
    assert make_analysis(norms=FIVE[:4], costs=make_costs(FIVE[:4])).predictions == ()
    assert make_analysis(norms=FIVE).predictions == ()
