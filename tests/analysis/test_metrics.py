"""The metrics besides accuracy: a family of their own, censored where a level was never reached."""

from dataclasses import replace

import numpy as np
import pytest
from report_fakes import make_analysis

from normscope.experiment import Design
from normscope.report.tables import evidence_tables
from normscope.stats.mixture import log_e_value_of_signs

SEQUENTIAL = Design(until_decided=True)


def shifted(by_norm):
    """Test accuracies of whole curves moved by so many points."""

    def change(results):
        changed = []
        for r in results:
            by = by_norm.get(r.trial.norm, 0.0) * (1 + 0.01 * r.trial.seed)
            history = tuple(
                replace(e, test_accuracy_percent=e.test_accuracy_percent + by) for e in r.history
            )
            changed.append(r.model_copy(update={"history": history}))
        return changed

    return change


def found(analysis, name, norm="gn"):
    return next(f for f in analysis.secondary if (f.metric.name, f.norm) == (name, norm))


def test_every_metric_of_every_norm_is_in_one_family():
    analysis = make_analysis(levels_percent=(50.0, 60.0, 70.0))
    names = [f.metric.name for f in analysis.secondary if f.norm == "ln"]
    assert names == [
        "epochs_to_50_percent", "epochs_to_60_percent", "epochs_to_70_percent", "area_percent",
        "drop_sum_points", "largest_drop_points", "gap_points", "test_loss_nats",
        "calibration_error_points", "seconds_per_epoch", "inference_us_per_image",
    ]  # fmt: skip
    assert {f.judgement.family for f in analysis.secondary} == {22}


def test_differences_are_paired_and_have_no_margin():
    analysis = make_analysis(seeds=8, design=SEQUENTIAL)
    area = found(analysis, "area_percent")
    values = {(t.norm, t.seed): t.metrics["area_percent"] for t in analysis.trials}
    expected = [values["gn", s] - values["bn", s] for s in range(8)]
    assert area.judgement.pairs.differences == pytest.approx(tuple(expected))
    assert all(f.judgement.claim != "equivalent" for f in analysis.secondary)


def test_a_norm_that_never_reaches_the_level_is_later_and_not_dropped():
    """gn stays below 60 %, bn reaches it in every seed: every sign is plus."""
    seeds = 30
    analysis = make_analysis(
        norms=("bn", "gn"), seeds=seeds, change=shifted({"gn": -30.0}), design=SEQUENTIAL
    )
    speed = found(analysis, "epochs_to_60_percent")
    assert speed.judgement.pairs.differences == (1.0,) * seeds
    assert speed.judgement.pairs.ordinal
    assert speed.judgement.claim == "higher"
    family = speed.judgement.family
    evidence = np.exp(log_e_value_of_signs([1.0] * seeds))
    assert speed.judgement.p_value <= family / evidence * 1.001
    words = "later with gn (later in 30, earlier in 0 of 30 seeds; p"
    assert any(words in remark.text for remark in analysis.findings)


def test_two_that_never_reach_the_level_are_equal():
    analysis = make_analysis(
        norms=("bn", "gn"), seeds=6, change=shifted({"gn": -30.0, "bn": -30.0})
    )
    speed = found(analysis, "epochs_to_60_percent").judgement
    assert speed.pairs.differences == (0.0,) * 6
    assert speed.claim == "undecided"


def test_a_decided_metric_is_told_with_its_interval():
    analysis = make_analysis(norms=("bn", "gn"), seeds=20, change=shifted({"gn": -8.0}),
                             design=SEQUENTIAL)  # fmt: skip
    gap = found(analysis, "gap_points")
    assert gap.decided
    low, high = gap.judgement.difference.low, gap.judgement.difference.high
    words = f"wider with gn (95 % interval {low:+.2f} to {high:+.2f})".replace("-", "−")
    assert any(words in remark.text for remark in analysis.findings)


def test_a_single_norm_has_no_family():
    assert make_analysis(norms=("bn",)).secondary == ()


def without_memory(seeds):
    return lambda results: [
        r.model_copy(update={"peak_memory_mib": None}) if r.trial.seed in seeds else r
        for r in results
    ]


def test_memory_that_was_not_always_measured_is_told_of_the_seeds_in_which_it_was():
    analysis = make_analysis(seeds=4, change=without_memory([1]))
    assert analysis.norms[0].estimates["peak_memory_mib"].n == 3
    assert "Memory" in {remark.topic for remark in analysis.findings}
    never = make_analysis(change=without_memory(range(3)))
    assert never.norms[0].estimates["peak_memory_mib"].n == 0
    assert "Memory" not in {remark.topic for remark in never.findings}


def test_costs_on_different_machines_are_no_metrics():
    def moved(results):
        other = results[-1].environment.model_copy(update={"processor": "M2"})
        return [*results[:-1], results[-1].model_copy(update={"environment": other})]

    costs = {"seconds_per_epoch", "inference_us_per_image"}
    assert not costs & {f.metric.name for f in make_analysis(change=moved).secondary}
    assert costs < {f.metric.name for f in make_analysis().secondary}


def test_a_difference_without_spread_says_so_in_the_table():
    analysis = make_analysis(seeds=10, design=SEQUENTIAL)
    table = next(t for t in evidence_tables(analysis) if t.title == "Secondary metrics")
    cells = {row[0].text: row[1] for row in table.rows}
    time = cells["Inference time per image (µs)"]
    assert (time.text, time.detail, time.decided) == ("+0.00", "in each of 10 seeds", False)
    assert " to " in cells["Epochs to 60 % (epochs)"].detail
