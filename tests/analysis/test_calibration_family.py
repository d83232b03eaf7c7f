"""Confidence with a temperature as a family of its own, against loops, scipy and statsmodels."""

import numpy as np
import pytest
from report_fakes import diverged, make_analysis
from scipy import stats as scipy_stats
from scipy.optimize import brent
from scipy.special import softmax
from statsmodels.stats.multitest import multipletests

from normscope.analysis.metrics import CALIBRATION_FAMILY
from normscope.experiment import Predictions
from normscope.report.as_json import as_json
from normscope.report.csv_files import trials_table
from normscope.report.tables import evidence_tables

NAMES = ("temperature", "scaled_test_loss_nats", "scaled_calibration_error_points")
SEEDS = 5


def sharper(factors):
    """Multiplies the logits of norms, which makes them more sure and changes no class."""

    def change(results):
        changed = []
        for r in results:
            factor = factors.get(r.trial.norm, 1) * (1 + r.trial.seed / 100)
            logits = (factor * r.predictions.logits.astype(float)).astype(np.float16)
            predictions = Predictions(logits.argmax(1), logits)
            changed.append(r.model_copy(update={"predictions": predictions}))
        return changed

    return change


def loss(logits, labels):
    rows = zip(logits, labels, strict=True)
    return -np.mean([np.log(softmax(row)[label]) for row, label in rows])


def fitted(logits, labels):
    return brent(lambda temperature: loss(logits / temperature, labels), brack=(1.0, 2.0))


def by_hand(result, labels):
    """The three numbers of a trial: halves by the parity of an image, errors by a loop."""
    logits = result.predictions.logits.astype(float)
    odd = np.arange(len(labels)) % 2 == 1
    ts = [fitted(logits[half], labels[half]) for half in (~odd, odd)]
    scaled = np.where(odd[:, None], logits / ts[0], logits / ts[1])
    sure, right = softmax(scaled, axis=1).max(1), scaled.argmax(1) == labels
    gaps = 0.0
    for n in range(15):
        inside = (sure > n / 15) & (sure <= (n + 1) / 15)
        gaps += abs(right[inside].sum() - sure[inside].sum())
    return np.mean(ts), loss(scaled, labels), 100 * gaps / len(labels)


def of_seeds(analysis, norm, name):
    return np.array([t.metrics[name] for t in analysis.trials if t.norm == norm and t.metrics])


def said(analysis):
    return [remark.text for remark in analysis.findings if remark.topic == "Calibration"]


def table(analysis):
    return next((t for t in evidence_tables(analysis) if t.title == "Calibration"), None)


def test_the_numbers_of_a_trial():
    analysis = make_analysis(norms=("bn", "gn"), seeds=1, test_size=301, change=sharper({"gn": 2}))
    labels = np.arange(301) * 7 % 10
    for result, trial in zip(analysis.results, analysis.trials, strict=True):
        expected = dict(zip(NAMES, by_hand(result, labels), strict=True))
        for name, value in expected.items():
            assert trial.metrics[name] == pytest.approx(value, rel=1e-4), name
    assert analysis.trials[1].metrics["temperature"] > 1.5


def test_sharper_logits_have_a_higher_temperature_and_are_as_good_once_scaled():
    plain = make_analysis(norms=("bn",), seeds=1)
    sure = make_analysis(norms=("bn",), seeds=1, change=sharper({"bn": 2}))
    (one,), (two,) = plain.trials, sure.trials
    assert two.metrics["temperature"] == pytest.approx(2 * one.metrics["temperature"], rel=1e-3)
    loss_nats, error = (two.metrics[name] - one.metrics[name] for name in NAMES[1:])
    assert loss_nats == pytest.approx(0, abs=1e-3)
    assert error == pytest.approx(0, abs=0.1)  # float16 moves an image from one bin to another
    off = "calibration_error_points"
    assert abs(two.metrics[off] - one.metrics[off]) > 1


def test_the_family_is_paired_t_tests_corrected_by_holm():
    analysis = make_analysis(seeds=SEEDS, change=sharper({"gn": 1.5}))
    found = {(c.metric.name, c.norm): c for c in analysis.calibration}
    keys = [(name, norm) for name in NAMES for norm in ("gn", "ln")]
    assert list(found) == keys
    tests = [
        scipy_stats.ttest_rel(of_seeds(analysis, norm, name), of_seeds(analysis, "bn", name))
        for name, norm in keys
    ]
    holm = multipletests([test.pvalue for test in tests], method="holm")[1]
    assert [found[key].judgement.p_value for key in keys] == pytest.approx(list(holm))
    assert {c.judgement.family for c in analysis.calibration} == {6}
    higher = found["temperature", "gn"]
    assert (higher.judgement.claim, higher.baseline) == ("higher", "bn")
    assert higher.judgement.difference.low == pytest.approx(
        tests[0].confidence_interval(1 - 0.05 / 6).low
    )


def test_nothing_is_tested_twice():
    """Loss and error without a temperature are among the secondary metrics."""
    analysis = make_analysis()
    secondary = {c.metric.name for c in analysis.secondary}
    assert secondary & set(NAMES) == set()
    assert {"test_loss_nats", "calibration_error_points"} < secondary
    assert {c.metric for c in analysis.calibration} == set(CALIBRATION_FAMILY)


def test_a_trial_that_diverged_leaves_its_seed_out():
    def change(rs):
        return [diverged(r, 3) if r.trial.id.startswith("gn-seed2") else r for r in rs]

    analysis = make_analysis(norms=("bn", "gn"), seeds=SEEDS, change=change)
    for contrast in analysis.calibration:
        assert contrast.judgement.pairs.seeds == (0, 1, 3, 4)
        assert contrast.judgement.claim == "undecided"
    assert table(analysis).rows[1][-1].text == "4"


def test_a_single_image_has_no_halves():
    analysis = make_analysis(norms=("bn", "gn"), test_size=1)
    assert analysis.trials[0].metrics["temperature"] is None
    assert not any(c.judgement.pairs.seeds for c in analysis.calibration)
    assert table(analysis) is None


def test_what_is_said_and_shown():
    analysis = make_analysis(norms=("bn", "gn"), seeds=SEEDS, change=sharper({"gn": 1.5}))
    errors, scaled, temperature = (
        {norm: of_seeds(analysis, norm, name) for norm in ("bn", "gn")}
        for name in ("calibration_error_points", NAMES[2], NAMES[0])
    )
    _, trusted, left = said(analysis)
    sure = "too sure" if temperature["bn"].mean() > 1 else "not sure enough"
    assert trusted == (
        f"points by which confidence is off: {errors['bn'].mean():.2f} with bn, "
        f"{errors['gn'].mean():.2f} with gn; with a temperature from other images, "
        f"{scaled['bn'].mean():.2f} with bn, {scaled['gn'].mean():.2f} with gn "
        f"({temperature['bn'].mean():.2f} with bn: {sure})."
    )
    assert left.startswith("compared with bn, the error that a temperature leaves was on average ")
    gn = table(analysis).rows[1]
    assert gn[3].text == f"{temperature['gn'].mean():.2f}"
    more = (temperature["gn"] - temperature["bn"]).mean()
    assert gn[3].detail.startswith(f"+{more:.2f}, +")
    assert gn[3].decided
    assert gn[2].text == f"{errors['gn'].mean():.2f}"
    found = as_json(analysis)["calibration"]
    assert [(each["metric"], each["norm"]) for each in found] == [(name, "gn") for name in NAMES]
    assert found[0]["difference_mean"] == pytest.approx(more)
    frame = trials_table(analysis)
    row = frame[(frame.norm == "gn") & (frame.seed == 3)].iloc[0]
    assert row.temperature == pytest.approx(temperature["gn"][3])
