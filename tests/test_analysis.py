"""Verdicts, sentences and tables against numbers worked out by hand."""

import numpy as np
import pytest
from report_fakes import diverged, failed, make_analysis, make_experiment, make_labels, make_results
from scipy import stats as scipy_stats
from test_stats import PUBLISHED

from normscope.analysis import ONE_SEED, curve_metrics
from normscope.config import Predictions
from normscope.mistakes import find_mistakes


def final(analysis, norm):
    return np.array([
        result.history[-1].test_accuracy_percent
        for result in analysis.results
        if result.trial.norm == norm and result.status == "finished"
    ])  # fmt: skip


def with_finals(finals):
    """Results whose last test accuracies are those given, by norm and seed."""

    def change(results):
        changed = []
        for result in results:
            value = finals[result.trial.norm][result.trial.seed]
            last = result.history[-1].model_copy(update={"test_accuracy_percent": value})
            changed.append(result.model_copy(update={"history": (*result.history[:-1], last)}))
        return changed

    return make_analysis(norms=tuple(finals), seeds=len(next(iter(finals.values()))), change=change)


def verdict(analysis, norm):
    return next(n.verdict for n in analysis.norms if n.norm == norm)


# -- the published runs --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("norm", "epochs", "drops", "gap", "train"),
    [
        ("bn", 3.88, 0.92, 4.72, 80.49),
        ("gn", 4.79, 0.12, 4.41, 78.59),
        ("ln", 4.45, 0.23, 4.57, 79.55),
    ],
)
def test_metrics_of_the_published_runs(norm, epochs, drops, gap, train):
    curve = PUBLISHED[norm]
    metrics = curve_metrics(curve, [*curve[:-1], train], [15.0] * 15)
    assert round(metrics.epochs_to_level, 2) == epochs
    assert round(metrics.drop_sum_points, 2) == drops
    assert round(metrics.gap_points, 2) == gap
    assert metrics.test_accuracy_percent == curve[-1]
    assert metrics.seconds_per_epoch == 15.0


# -- verdicts ------------------------------------------------------------------------------------


def test_differences_are_paired_by_seed():
    finals = {"bn": [70.0, 75.0, 72.0], "gn": [69.0, 73.8, 71.1]}
    found = verdict(with_finals(finals), "gn")
    expected = scipy_stats.ttest_rel(finals["gn"], finals["bn"]).confidence_interval(0.95)
    assert found.difference.low == pytest.approx(expected.low)
    assert found.difference.high == pytest.approx(expected.high)
    assert found.outcome == "worse"
    assert found.sentence == (
        "gn is 1.03 points worse than bn (95 % interval -1.41 to -0.65; 3 seeds)."
    )


def test_better_and_undecided():
    analysis = with_finals(
        {"bn": [70.0, 70.0, 70.0], "gn": [71.0, 71.2, 70.9], "ln": [69, 72, 71.0]}
    )
    assert verdict(analysis, "gn").outcome == "better"
    assert verdict(analysis, "ln").outcome == "undecided"
    assert verdict(analysis, "ln").sentence.startswith("ln against bn is undecided: +0.67 points")
    assert analysis.norms[0].verdict is None
    # The decided come first.
    assert [sentence[:2] for sentence in analysis.answers] == ["gn", "ln"]


@pytest.mark.parametrize("size", [1, 2000])
def test_equal_differences_decide_nothing(size):
    """Accuracies are shares of images, whose differences carry rounding errors."""
    bn = [100 * k / size for k in (1401, 1437, 1460)]
    gn = [100 * (k + 21) / size for k in (1401, 1437, 1460)]
    found = verdict(with_finals({"bn": bn, "gn": gn}), "gn")
    assert found.outcome == "undecided"


def test_one_seed_concludes_nothing():
    analysis = with_finals({"bn": [70.0], "gn": [90.0]})
    assert verdict(analysis, "gn").outcome == "undecided"
    assert all(ONE_SEED in sentence for sentence in (*analysis.answers, *analysis.findings))
    assert any(ONE_SEED in caveat.lower() for caveat in analysis.caveats)


def test_a_trial_that_diverged_is_counted_and_stops_the_verdict():
    def change(results):
        return [diverged(r, 2) if (r.trial.norm, r.trial.seed) == ("gn", 1) else r for r in results]

    analysis = make_analysis(norms=("bn", "gn"), seeds=4, change=change)
    gn = analysis.norms[1]
    assert (gn.trials, gn.finished, gn.diverged, gn.failed) == (4, 3, 1, 0)
    assert gn.verdict.outcome == "undecided"
    assert "1 of their trials have not finished" in gn.verdict.sentence
    assert gn.verdict.difference.n == 3
    assert any("gn: 3 of 4 trials finished (1 diverged, 0 failed, 0 not run)" in c
               for c in analysis.caveats)  # fmt: skip


def test_trials_that_were_not_run_are_counted():
    analysis = make_analysis(
        norms=("bn", "gn"),
        seeds=3,
        change=lambda results: [r for r in results if (r.trial.norm, r.trial.seed) != ("gn", 2)],
    )
    assert analysis.norms[1].verdict.outcome == "undecided"
    assert any("(0 diverged, 0 failed, 1 not run)" in caveat for caveat in analysis.caveats)


def test_a_norm_without_any_finished_trial():
    def change(results):
        return [
            failed(r, "Traceback\nValueError: no") if r.trial.norm == "gn" else r for r in results
        ]

    analysis = make_analysis(norms=("bn", "gn"), seeds=2, change=change)
    assert verdict(analysis, "gn").sentence == "gn against bn: no seed in which both finished."
    assert analysis.norms[1].test_accuracy_percent.mean is None


def test_a_level_reached_by_some_only_has_no_mean():
    def change(results):
        low = [r.model_copy(update={"test_accuracy_percent": 50.0}) for r in results[0].history]
        return [results[0].model_copy(update={"history": tuple(low)}), *results[1:]]

    analysis = make_analysis(norms=("bn",), seeds=3, change=change)
    assert analysis.norms[0].reached == 2
    assert analysis.norms[0].epochs_to_level.mean is None


def test_seeds_added_after_a_look_are_confessed():
    analysis = make_analysis()
    again = analysis.requests[0].model_copy(update={"seeds": 2})
    from normscope.analysis import analyse

    extended = analyse(analysis.experiment, [again, *analysis.requests], analysis.facts,
                       analysis.models, analysis.results, make_labels(1000))  # fmt: skip
    assert any("added after a first look" in caveat for caveat in extended.caveats)
    assert not any("added after a first look" in caveat for caveat in analysis.caveats)


def test_sentences_count_the_seeds_that_agree():
    analysis = make_analysis(norms=("bn", "ln"), seeds=3)
    later = [
        ln.metrics.epochs_to_level - bn.metrics.epochs_to_level
        for bn, ln in zip(analysis.trials[::2], analysis.trials[1::2], strict=True)
    ]
    mean = np.mean(later)
    direction, word = ("after", "later") if mean > 0 else ("before", "earlier")
    agree = sum(np.sign(later) == np.sign(mean))
    assert (
        f"ln reached 60 % {abs(mean):.1f} epochs {direction} bn on average, "
        f"{word} in {agree} of 3 seeds."
    ) in analysis.findings


def test_the_table_has_a_row_per_norm_with_n_beside_each_mean():
    analysis = make_analysis(seeds=4)
    table = analysis.table().set_index("norm")
    for norm in ("bn", "gn", "ln"):
        values = final(analysis, norm)
        assert table.loc[norm, "test_accuracy_percent_mean"] == pytest.approx(values.mean())
        assert table.loc[norm, "test_accuracy_percent_sd"] == pytest.approx(values.std(ddof=1))
        assert table.loc[norm, "finished"] == 4


# -- mistakes ------------------------------------------------------------------------------------


def predicted(classes, sure=2.0):
    logits = np.zeros((len(classes), 3), dtype=np.float16)
    logits[np.arange(len(classes)), classes] = sure
    return Predictions(np.array(classes), logits)


@pytest.fixture
def mistakes():
    """Six images, two norms, three seeds; what is wrong can be counted by hand."""
    labels = np.array([0, 0, 1, 1, 2, 2])
    by_norm = {
        "bn": [[0, 1, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0], [0, 0, 1, 1, 2, 0]],
        "gn": [[0, 1, 2, 1, 2, 2], [0, 1, 2, 1, 2, 2], [1, 1, 2, 1, 2, 2]],
    }
    experiment = make_experiment(norms=("bn", "gn"), seeds=3)
    results = [
        r.model_copy(update={"predictions": predicted(by_norm[r.trial.norm][r.trial.seed])})
        for r in make_results(experiment, make_labels(6))
    ]
    return find_mistakes(results, ("bn", "gn"), ("a", "b", "c"), labels)


def test_most_seeds_decide_which_images_are_wrong(mistakes):
    assert mistakes.wrong_for_all == 1  # image 1: 2 of 3 with bn, 3 of 3 with gn
    assert mistakes.wrong_only_for == {"bn": 1, "gn": 1}  # image 5, image 2
    assert [[m.index for m in group.examples] for group in mistakes.groups[:3]] == [[1], [5], [2]]
    both = mistakes.groups[0].examples[0]
    assert (both.true, both.predicted, both.wrong, both.trials) == ("a", "b", 5, 6)
    assert both.confidence_percent == pytest.approx(100 * np.exp(2) / (np.exp(2) + 2), rel=1e-3)


def test_confusions_are_mean_counts_per_trial(mistakes):
    expected = np.array([[4, 2, 0], [0, 6, 0], [2, 0, 4]]) / 3
    np.testing.assert_allclose(mistakes.confusions["bn"], expected)
    assert mistakes.confusions["gn"].sum() == pytest.approx(6)
    assert mistakes.pictures() == {1, 2, 5}
