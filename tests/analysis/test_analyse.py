"""Verdicts, sentences and tables against numbers worked out by hand."""

from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from report_fakes import (
    MACHINE,
    collapsed,
    diverged,
    failed,
    make_analysis,
    make_experiment,
    make_labels,
    make_results,
)
from scipy import stats as scipy_stats

from normscope.analysis import Contents, analyse
from normscope.analysis.answers import ONE_SEED, standing, verdict_sentence
from normscope.analysis.metrics import FinishedTrial, metrics_of
from normscope.analysis.mistakes import find_mistakes
from normscope.analysis.tallies import Tallies, answered, scored
from normscope.analysis.verdicts import Rules
from normscope.experiment import Design, EpochRecord, Predictions
from normscope.experiment.tuning import Search
from tests.stats.test_convergence import PUBLISHED


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
            last = replace(result.history[-1], **{"test_accuracy_percent": value})
            changed.append(result.model_copy(update={"history": (*result.history[:-1], last)}))
        return changed

    return make_analysis(norms=tuple(finals), seeds=len(next(iter(finals.values()))), change=change)


def sentence(verdict, margin=0.5):
    return verdict_sentence(verdict, Rules(False, 0.05, margin))


def verdict(analysis, norm):
    return next(n.verdict for n in analysis.norms if n.norm == norm)


def finished(test_percent, train_percent, train_seconds, test_seconds):
    """A finished trial with these curves, which got all of its 1,000 test images right."""
    columns = zip(test_percent, train_percent, train_seconds, test_seconds, strict=True)
    history = tuple(
        EpochRecord(
            epoch=number,
            train_loss_nats=1.0,
            train_accuracy_percent=train,
            test_loss_nats=0.7,
            test_accuracy_percent=test,
            learning_rate=0.01,
            train_seconds=train_s,
            test_seconds=test_s,
        )
        for number, (test, train, train_s, test_s) in enumerate(columns, start=1)
    )
    labels = make_labels(1000)
    (own,) = scored([Predictions(labels, np.zeros((1000, 10)))], labels)
    return FinishedTrial(history, own.scores, None)


def computed(trial):
    return {metric.name: metric.compute(trial) for metric in metrics_of([60.0])}


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
    metrics = computed(finished(curve, [*curve[:-1], train], [13.0] * 15, [2.0] * 15))
    assert round(metrics["epochs_to_60_percent"], 2) == epochs
    assert round(metrics["drop_sum_points"], 2) == drops
    assert round(metrics["gap_points"], 2) == gap
    assert metrics["test_accuracy_percent"] == curve[-1]
    assert metrics["seconds_per_epoch"] == 15.0


# -- verdicts ------------------------------------------------------------------------------------


def test_differences_are_paired_by_seed():
    finals = {"bn": [70.0, 75.0, 72.0], "gn": [69.0, 73.8, 71.1]}
    found = verdict(with_finals(finals), "gn")
    expected = scipy_stats.ttest_rel(finals["gn"], finals["bn"]).confidence_interval(0.95)
    assert found.difference.low == pytest.approx(expected.low)
    assert found.difference.high == pytest.approx(expected.high)
    assert found.outcome == "worse"
    assert sentence(found) == (
        "gn is 1.03 points worse than bn (95 % interval −1.41 to −0.65; 3 seeds)."
    )


def test_better_and_undecided():
    analysis = with_finals(
        {"bn": [70.0, 70.0, 70.0], "gn": [71.0, 71.2, 70.9], "ln": [69, 72, 71.0]}
    )
    assert verdict(analysis, "gn").outcome == "better"
    assert verdict(analysis, "ln").outcome == "undecided"
    assert sentence(verdict(analysis, "ln")).startswith("ln against bn is undecided: +0.67 points")
    assert analysis.norms[0].verdict is None
    # The decided come first.
    assert [answer.norm for answer in analysis.answers] == ["gn", "ln"]


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
    assert all(ONE_SEED in words.text for words in (*analysis.answers, *analysis.findings))
    assert analysis.caveats[0].kind == "one seed"


def test_a_trial_that_diverged_is_an_outcome_and_leaves_only_the_signs():
    def change(results):
        return [diverged(r, 2) if (r.trial.norm, r.trial.seed) == ("gn", 1) else r for r in results]

    analysis = make_analysis(norms=("bn", "gn"), seeds=4, change=change)
    gn = analysis.norms[1]
    assert (gn.trials, gn.finished, gn.failed) == (4, 3, 0)
    assert (gn.guessing.diverged, gn.guessing.collapsed) == (1, 0)
    assert gn.verdict.outcome == "undecided"
    assert gn.verdict.difference.n == 4
    assert gn.verdict.difference.mean is None
    words = "; gn diverged in 1 of 4 seeds, which counts as guessing; sign-flip test, p "
    assert words in sentence(gn.verdict)
    assert texts(analysis, "unfinished trials") == [
        "gn: 3 of 4 trials finished (1 diverged, 0 collapsed, 0 failed, 0 not run)."
    ]


def ended(*trials, by):
    """Changes results: those trials, by norm and seed, ended so."""
    return lambda rs: [by(r) if (r.trial.norm, r.trial.seed) in trials else r for r in rs]


def test_a_trial_that_collapsed_counts_as_one_that_diverged():
    there = ("gn", 1), ("gn", 2)
    one = make_analysis(norms=("bn", "gn"), seeds=5, change=ended(*there, by=collapsed))
    other = make_analysis(
        norms=("bn", "gn"), seeds=5, change=ended(*there, by=lambda r: diverged(r, 2))
    )
    gn, lost = one.norms[1], other.norms[1]
    assert (gn.finished, gn.guessing.collapsed, gn.guessing.diverged) == (3, 2, 0)
    assert gn.verdict.judgement == lost.verdict.judgement
    assert gn.verdict.judgement.pairs.ordinal
    assert gn.estimates == lost.estimates
    assert gn.verdict.unfinished == 0
    assert [c.judgement for c in one.secondary] == [c.judgement for c in other.secondary]
    behind = sum(d < 0 for d in gn.verdict.judgement.pairs.differences)
    assert one.answers[0].text == (
        f"gn against bn is undecided: ahead in {5 - behind} and behind in {behind} of 5 seeds; gn "
        "collapsed in 2 of 5 seeds, which counts as guessing; sign-flip test, "
        f"p {gn.verdict.judgement.p_value:.2g}."
    )
    assert texts(one, "unfinished trials") == [
        "gn: 3 of 5 trials finished (0 diverged, 2 collapsed, 0 failed, 0 not run)."
    ]


def test_there_is_no_winner_set_where_a_trial_collapsed():
    """In a sequential design, where a missing trial alone is no reason."""
    until = Design(until_decided=True)
    whole, missing, lost = (
        make_analysis(seeds=4, design=until, change=change)
        for change in (list, lambda rs: rs[:-1], ended(("ln", 3), by=collapsed))
    )
    assert whole.winners is not None
    assert missing.winners is not None
    assert lost.winners is None


def test_a_norm_that_always_collapses_is_worse():
    """Behind in all of 8 seeds: 2 of the 2^8 patterns of signs are as far from 0."""
    everywhere = [("gn", seed) for seed in range(8)]
    analysis = make_analysis(
        norms=("bn", "gn"), seeds=8, change=ended(*everywhere, by=collapsed), test_size=100
    )
    assert analysis.answers[0].text == (
        "gn is worse than bn: ahead in 0 and behind in 8 of 8 seeds; gn collapsed in 8 of 8 seeds, "
        "which counts as guessing; sign-flip test, p 0.0078."
    )


def test_those_that_diverged_and_those_that_collapsed_are_told_apart():
    def change(results):
        results = ended(("gn", 0), ("bn", 3), by=lambda r: diverged(r, 2))(results)
        return ended(("gn", 1), ("gn", 2), by=collapsed)(results)

    analysis = make_analysis(norms=("bn", "gn"), seeds=4, change=change)
    words = (
        "; gn diverged in 1 and collapsed in 2 of 4 seeds, bn diverged in 1 of 4 seeds, which "
        "counts as guessing; "
    )
    assert words in analysis.answers[0].text
    assert standing(verdict(analysis, "gn")) == (
        "gn: undecided, by signs, since trials diverged or collapsed"
    )
    row = analysis.table().set_index("norm").loc["gn"]
    assert (row["diverged"], row["collapsed"], row["finished"]) == (1, 2, 1)


def test_what_a_collapsed_network_answers_is_no_mistake_of_its_norm():
    there = [("gn", 0), ("gn", 2)]
    one, other = (
        make_analysis(norms=("bn", "gn"), seeds=5, change=ended(*there, by=by))
        for by in (collapsed, lambda r: diverged(r, 2))
    )
    assert one.results[1].predictions is not None
    assert one.mistakes.groups == other.mistakes.groups
    assert np.array_equal(one.mistakes.confusions["gn"], other.mistakes.confusions["gn"])
    assert (one.evidence, one.variances) == (other.evidence, other.variances)


def test_one_norm_alone_that_collapsed():
    some = make_analysis(norms=("bn",), seeds=3, change=ended(("bn", 1), by=collapsed))
    assert some.answers[0].text.endswith(
        " % on the test images (2 seeds), but collapsed in 1 of 3 seeds; there is no other norm to "
        "compare it with."
    )
    all_of_them = make_analysis(
        norms=("bn",), seeds=2, epochs=2, change=lambda rs: [collapsed(r) for r in rs]
    )
    assert all_of_them.answers[0].text == (
        "bn collapsed in 2 of 2 seeds after 196 steps; there is no other norm to compare it with."
    )
    (caveat,) = texts(all_of_them, "short training")
    assert "196 of 1,470 steps" in caveat
    assert not texts(all_of_them, "one seed")


def test_one_outcome_is_one_seed_even_if_it_collapsed():
    one = make_analysis(norms=("bn", "gn"), seeds=1, change=ended(("gn", 0), by=collapsed))
    assert texts(one, "one seed")
    six = make_analysis(
        norms=("bn", "gn"),
        seeds=6,
        change=lambda rs: [collapsed(r) if r.trial.seed else r for r in rs],
    )
    assert not texts(six, "one seed")


def test_trials_that_were_not_run_are_counted():
    analysis = make_analysis(
        norms=("bn", "gn"),
        seeds=3,
        change=lambda results: [r for r in results if (r.trial.norm, r.trial.seed) != ("gn", 2)],
    )
    assert analysis.norms[1].verdict.outcome == "undecided"
    (caveat,) = texts(analysis, "unfinished trials")
    assert "(0 diverged, 0 collapsed, 0 failed, 1 not run)" in caveat


def test_a_norm_without_any_finished_trial():
    def change(results):
        return [
            failed(r, "Traceback\nValueError: no") if r.trial.norm == "gn" else r for r in results
        ]

    analysis = make_analysis(norms=("bn", "gn"), seeds=2, change=change)
    assert (
        sentence(verdict(analysis, "gn"))
        == "gn against bn: there is no seed in which both finished."
    )
    assert analysis.norms[1].test_accuracy_percent.mean is None


def test_a_level_reached_by_some_only_has_no_mean():
    def change(results):
        low = [replace(r, test_accuracy_percent=50.0) for r in results[0].history]
        return [results[0].model_copy(update={"history": tuple(low)}), *results[1:]]

    analysis = make_analysis(norms=("bn",), seeds=3, change=change)
    assert analysis.norms[0].reached == {"epochs_to_60_percent": 2}
    assert analysis.norms[0].estimates["epochs_to_60_percent"].mean is None


def test_seeds_added_after_a_look_are_confessed():
    analysis = make_analysis()
    again = analysis.requests[0].model_copy(update={"seeds": 2})
    requests = [again, *analysis.requests]
    extended = analyse(
        Contents(analysis.experiment, requests, analysis.facts, analysis.models, analysis.results,
                 make_labels(1000))
    )  # fmt: skip
    assert extended.rules.sequential
    assert "since seeds were added after a look at results" in extended.method
    assert analysis.method.startswith("Fixed design, n = 3: paired t intervals. ")
    assert "In this family of 2 comparisons a false claim" in analysis.method


# -- findings ------------------------------------------------------------------------------------


def finding(analysis, topic):
    return [str(remark) for remark in analysis.findings if remark.topic == topic]


def texts(analysis, kind):
    return [caveat.text for caveat in analysis.caveats if caveat.kind == kind]


def with_gaps(points_by_norm):
    """Results whose last train accuracy is so many points above the last test accuracy."""

    def change(results):
        changed = []
        for result in results:
            last = result.history[-1]
            gap = points_by_norm[result.trial.norm][result.trial.seed]
            train = last.test_accuracy_percent + gap
            last = replace(last, **{"train_accuracy_percent": train})
            changed.append(result.model_copy(update={"history": (*result.history[:-1], last)}))
        return changed

    norms, gaps = tuple(points_by_norm), next(iter(points_by_norm.values()))
    return make_analysis(norms=norms, seeds=len(gaps), change=change)


def test_sentences_count_the_seeds_that_agree():
    analysis = make_analysis(norms=("bn", "ln"), seeds=3)
    later = [
        ln.metrics["epochs_to_60_percent"] - bn.metrics["epochs_to_60_percent"]
        for bn, ln in zip(analysis.trials[::2], analysis.trials[1::2], strict=True)
    ]
    word = "later" if np.mean(later) > 0 else "earlier"
    agree = sum(np.sign(later) == np.sign(np.mean(later)))
    assert finding(analysis, "Speed") == [
        "Speed: compared with bn, 60 % test accuracy was on average reached "
        f"{abs(np.mean(later)):.1f} epochs {word} with ln ({word} in {agree} of 3 seeds; "
        "undecided)."
    ]


@pytest.mark.parametrize(
    ("gaps", "words"),
    [
        ([5.0, 4.0, 6.5], "0.17 points wider with gn (wider in 1 of 3 seeds; undecided)"),
        ([5.0, 4.0, 6.0], "as wide with gn (wider in 1, narrower in 1 of 3 seeds; undecided)"),
        ([5.0, 4.999, 5.0], "as wide with gn (wider in 0, narrower in 1 of 3 seeds; undecided)"),
    ],
)
def test_a_mean_difference_that_shows_as_zero_has_no_direction(gaps, words):
    found = finding(with_gaps({"bn": [5.0] * 3, "gn": gaps}), "Gap")
    assert found == [
        f"Gap: compared with bn, the gap between train and test accuracy was on average {words}."
    ]


def test_nothing_is_said_of_what_is_equal_in_every_seed():
    assert finding(with_gaps({"bn": [5.0, 4.0], "gn": [5.0, 4.0]}), "Gap") == []


def test_findings_go_topic_by_topic_and_end_with_a_full_stop():
    several = with_gaps({"bn": [5.0, 4.0], "gn": [5.5, 4.0], "ln": [3.0, 4.0]})
    single = make_analysis(seeds=1)
    for analysis, topics in [
        (
            several,
            [
                *("Winner set", "Speed", "Smoothness", "Gap", "Calibration"),
                *("Time", "Memory", "Mistakes"),
            ],
        ),
        (single, ["Speed", "Smoothness"]),
    ]:
        assert [
            topic for topic, _ in groupby(remark.topic for remark in analysis.findings)
        ] == topics
        texts = [remark.text for remark in analysis.findings]
        assert all(text.endswith(".") and not text.endswith("..") for text in texts)


def test_a_single_run_is_described_and_not_compared():
    def change(results):
        low = [replace(r, **{"test_accuracy_percent": 50.0}) for r in results[1].history]
        return [results[0], results[1].model_copy(update={"history": tuple(low)})]

    analysis = make_analysis(norms=("bn", "gn"), seeds=1, change=change)
    bn = analysis.trials[0].metrics
    assert [str(remark) for remark in analysis.findings] == [
        "Speed: epochs until test accuracy reached 60 %: "
        f"{bn['epochs_to_60_percent']:.1f} with bn ({ONE_SEED}).",
        f"Speed: seeds in which 60 % was never reached: 1 of 1 with gn ({ONE_SEED}).",
        "Smoothness: points by which test accuracy fell in all: "
        f"{bn['drop_sum_points']:.2f} with bn, 0.00 with gn ({ONE_SEED}).",
    ]


@pytest.mark.parametrize("seeds", [1, 2])
def test_of_many_norms_only_the_extremes_are_named(seeds):
    norms = tuple(f"n{i}" for i in range(20))
    analysis = make_analysis(norms=norms, seeds=seeds, test_size=100)
    assert len(analysis.findings) <= 10
    assert max(len(remark.text) for remark in analysis.findings) < 300
    if seeds == 2:
        assert finding(analysis, "Time") == [
            "Time: an epoch took in the median 12.9 s with n0, from 13.9 s with n1 (1.08 times as "
            "long) to 31.9 s with n19 (2.48 times as long), the other 17 norms between; times "
            "vary on a shared machine."
        ]
        assert finding(analysis, "Memory") == [
            "Memory: at its peak, a training step held in the median 240.0 MiB with n0, from "
            "242.0 MiB with n1 (1.01 times as much) to 278.0 MiB with n19 (1.16 times as much), "
            "the other 17 norms between."
        ]


def test_of_many_norms_that_lack_trials_there_is_one_sentence():
    norms = tuple(f"n{i}" for i in range(6))
    analysis = make_analysis(norms=norms, seeds=2, test_size=100, change=lambda rs: rs[:7])
    counts = "7 of 12 trials finished (0 diverged, 0 collapsed, 0 failed, 5 not run)"
    assert texts(analysis, "unfinished trials") == [
        f"5 of 6 norms lack trials; of all norms {counts}."
    ]


def test_seconds_per_epoch_are_the_median_because_the_first_epoch_is_slow():
    metrics = computed(
        finished([50.0] * 4, [50.0] * 4, [55.0, 9.0, 11.0, 8.0], [5.0, 1.0, 2.0, 3.0])
    )
    assert metrics["seconds_per_epoch"] == 12.0
    assert metrics["inference_us_per_image"] == 2500.0


@pytest.mark.parametrize("change", [{"device": "cuda:0"}, {"threads": 8}, {"processor": "M2"}])
def test_times_on_different_machines_are_not_compared(change):
    other = MACHINE.model_copy(update=change)

    def moved(results):
        return [*results[:-1], results[-1].model_copy(update={"environment": other})]

    here, apart = make_analysis(seeds=2), make_analysis(seeds=2, change=moved)
    assert finding(here, "Time")
    assert finding(apart, "Time") == []
    assert texts(here, "different machines") == []
    assert len(texts(apart, "different machines")) == 1


def test_a_newer_library_is_the_same_machine():
    newer = MACHINE.model_copy(update={"normscope": "0.2.0"})

    def updated(results):
        return [*results[:-1], results[-1].model_copy(update={"environment": newer})]

    assert finding(make_analysis(seeds=2, change=updated), "Time")


def test_a_record_of_a_norm_that_was_not_asked_for_changes_no_norm():
    stranger = make_results(
        make_experiment(norms=("bn", "gn", "other"), seeds=2), make_labels(1000)
    )
    analysis = make_analysis(norms=("bn", "gn"), seeds=2)
    more = make_analysis(norms=("bn", "gn"), seeds=2, change=lambda rs: [*rs, stranger[2]])
    assert more.norms == analysis.norms


# -- the table -----------------------------------------------------------------------------------


def test_the_table_has_a_row_per_norm_with_mean_sd_and_n_of_every_metric():
    analysis = make_analysis(seeds=4)
    table = analysis.table().set_index("norm")
    for norm in ("bn", "gn", "ln"):
        values = final(analysis, norm)
        assert table.loc[norm, "test_accuracy_percent_mean"] == pytest.approx(values.mean())
        assert table.loc[norm, "test_accuracy_percent_sd"] == pytest.approx(values.std(ddof=1))
        assert table.loc[norm, "finished"] == 4
    means = [column.removesuffix("_mean") for column in table if column.endswith("_mean")]
    assert len(means) == 18  # seventeen metrics and the difference
    for name in means:
        assert f"{name}_sd" in table
        assert table[f"{name}_n"].tolist() == ([4, 4, 4] if name[:5] != "diffe" else [0, 4, 4])


@pytest.mark.parametrize(("level", "name"), [(60.0, "60"), (75.5, "75.5")])
def test_the_table_names_the_level_and_counts_who_reached_it(level, name):
    analysis = make_analysis(levels_percent=(level,))
    table = analysis.table().set_index("norm")
    for summary in analysis.norms:
        reached = summary.reached[f"epochs_to_{name}_percent"]
        everyone = reached == 3
        assert table.loc[summary.norm, f"reached_{name}_percent"] == reached
        assert table.loc[summary.norm, f"epochs_to_{name}_percent_n"] == (3 if everyone else 0)
    assert f"epochs_to_{name}_percent_mean" in table


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
    return mistakes_of(results, ("bn", "gn"), labels)


def mistakes_of(results, norms, labels):
    tallies = Tallies(norms, np.array(labels), 3)
    for result in results:
        tallies.add(result, *answered([], [result.predictions]))
    return find_mistakes(tallies.by_norm, ("a", "b", "c"), np.array(labels))


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


def find(labels, by_norm):
    """The mistakes of norms whose predictions are given by seed, each a class or (class, logit)."""
    seeds = len(next(iter(by_norm.values())))
    experiment = make_experiment(norms=tuple(by_norm), seeds=seeds)
    results = []
    for result in make_results(experiment, make_labels(len(labels))):
        pairs = [p if isinstance(p, tuple) else (p, 2.0)
                 for p in by_norm[result.trial.norm][result.trial.seed]]  # fmt: skip
        classes, sure = (np.array(column) for column in zip(*pairs, strict=True))
        results.append(result.model_copy(update={"predictions": predicted(classes, sure)}))
    return mistakes_of(results, tuple(by_norm), labels)


def test_mistakes_are_ranked_by_the_confidence_that_is_shown():
    """Image 0 is taken for b once surely and for c twice unsurely, image 1 for b, half surely."""
    runs = [[(1, 9.0), (1, 3.0)], [(2, 1.0), (1, 3.0)], [(2, 1.0), (0, 3.0)]]
    (group,) = find([0, 0], {"bn": runs}).groups
    assert [(m.index, m.predicted) for m in group.examples] == [(1, "b"), (0, "c")]
    shown = [m.confidence_percent for m in group.examples]
    assert shown == pytest.approx([100 * np.exp(x) / (np.exp(x) + 2) for x in (3, 1)], rel=1e-3)


def test_at_a_tie_an_image_is_neither_wrong_nor_right():
    """Two seeds; with ln, image 0 is wrong once, image 1 never and image 2 twice."""
    found = find(
        [0, 0, 0],
        {"bn": [[1, 1, 1], [1, 1, 1]], "ln": [[1, 0, 1], [0, 0, 1]]},
    )
    assert found.wrong_only_for == {"bn": 1, "ln": 0}
    assert found.wrong_for_all == 1
    counts = {group.title: group.count for group in found.groups}
    assert counts == {
        "Wrong with every norm": 1,
        "Wrong only with bn": 1,
        "Wrong only with ln": 0,
        "Most confident mistakes of bn": 3,
        "Most confident mistakes of ln": 1,
    }


def test_where_no_rate_worked_the_remark_names_the_batch_size():
    def search(size, accuracy):
        return Search("gn", size, (0.01, 0.02), (accuracy,) * 2, 0.02, False)

    several = make_analysis(batch_sizes=(64, 512), searches=[search(64, 0.0), search(512, 70.0)])
    found, lost = [remark.text for remark in several.findings if remark.topic == "Tuning"]
    assert found.endswith("0.02 for gn at 512, none of them at an edge of its grid.")
    words = "training diverged or collapsed at every learning rate that was tried."
    assert lost == f"with gn at 64, {words}"
    one = make_analysis(searches=[search(512, 0.0)])
    (lost,) = [str(remark) for remark in one.findings if remark.topic == "Tuning"]
    assert lost == f"Tuning: with gn, {words}"


def test_many_undecided_answers_are_told_in_one_sentence():
    norms = ("bn", *(f"norm{i}" for i in range(1, 16)))

    def with_a_collapse(results):
        return [collapsed(r) if r.trial.id.startswith("norm1-seed0") else r for r in results]

    analysis = make_analysis(norms=norms, seeds=2, change=with_a_collapse)
    undecided = {verdict.norm for verdict in analysis.verdicts if not verdict.decided}
    assert len(undecided) > 10
    assert {answer.norm for answer in analysis.undecided} == undecided
    assert {answer.norm for answer in analysis.leading_answers} == {*norms[1:]} - undecided
    told = analysis.undecided_in_short
    assert told.startswith(f"{len(undecided)} comparisons are undecided: ")
    assert told.endswith(", and, with trials that collapsed or diverged, norm1.")
    few = make_analysis(norms=norms[:11], seeds=2)
    assert few.leading_answers == few.answers
    assert few.undecided_in_short == ""
