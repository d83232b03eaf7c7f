"""Classes that are not equally frequent: what is said of them, what is tested, what guessing is."""

from dataclasses import replace

import numpy as np
import pytest
from report_fakes import collapsed, make_analysis, make_labels

from normscope.analysis.classes import SHOWN, Classes

NAMES = ("cat", "dog", "owl")
LABELS = np.repeat([0, 1, 2], [150, 50, 10])
IMBALANCED = {"class_names": NAMES, "labels": LABELS, "train_counts": (300, 100, 20)}
EVEN = {"class_names": NAMES, "labels": make_labels(210, 3), "train_counts": (140, 140, 140)}


def classes(train, test, names=NAMES):
    return Classes(names[: len(test)], train, test, {})


# -- what is imbalanced ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "test", "in_all", "in_test"),
    [
        ((100, 150, 100), (10, 10, 10), False, False),
        ((100, 151, 100), (10, 10, 10), True, False),
        ((100, 100, 100), (10, 16, 10), True, True),
        (None, (10, 15, 10), False, False),
        (None, (10, 10, 0), True, True),
        ((5, 5, 0), (10, 10, 10), True, False),
    ],
)
def test_classes_are_imbalanced_from_one_and_a_half_times_on(train, test, in_all, in_test):
    found = classes(train, test)
    assert (found.imbalanced, found.test_imbalanced) == (in_all, in_test)


@pytest.mark.parametrize(
    ("test", "equal"), [((5, 5, 5), True), ((334, 333, 333), True), ((5, 4, 3), False)]
)
def test_classes_are_equally_tested_if_their_number_allows_no_better(test, equal):
    assert classes(None, test).equally_tested == equal


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        (
            (730, 400, 100),
            (41, 39, 20),
            "The largest class has 7.3 times as many training images as the smallest (cat 730, "
            "owl 100); always answering cat scores 41.0 % on the test images.",
        ),
        (
            None,
            (10, 1200, 400),
            "The largest class has 120.0 times as many test images as the smallest (dog 1,200, "
            "cat 10); always answering dog scores 74.5 % on the test images.",
        ),
        (
            (100, 101, 100),
            (60, 10, 30),
            "The largest class has 6.0 times as many test images as the smallest (cat 60, dog 10); "
            "always answering cat scores 60.0 % on the test images.",
        ),
        (
            (1000, 500, 0),
            (5, 5, 5),
            "The largest class has 1,000 training images and the smallest none (cat 1,000, owl 0); "
            "always answering cat scores 33.3 % on the test images.",
        ),
    ],
)
def test_one_sentence_tells_how_imbalanced_they_are(train, test, words):
    assert classes(train, test).sentences[0] == words


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ((5, 5, 0), "The class owl has no test images and is left out"),
        ((5, 0, 0), "The classes dog and owl have no test images and are left out"),
        ((3, *[0] * 6), "6 of 7 classes have no test images and are left out"),
    ],
)
def test_classes_without_test_images_are_named(test, words):
    found = classes(None, test, (*NAMES, "a", "b", "c", "d"))
    assert found.sentences[-1] == f"{words} of balanced accuracy and macro F1."


def test_nothing_is_said_of_classes_that_are_about_equally_frequent():
    assert classes((100, 140, 100), (10, 12, 10)).sentences == ()
    assert not {c.kind for c in make_analysis(**EVEN).caveats} & {"imbalanced classes"}


def test_of_many_classes_the_largest_and_the_smallest_are_shown():
    images = tuple(range(1, 101))
    found = classes(images, images, tuple(f"c{i}" for i in images))
    assert [found.names[i] for i in found.shown[:2]] == ["c100", "c99"]
    assert [found.names[i] for i in found.shown[-2:]] == ["c2", "c1"]
    assert [found.names[i] for i in found.shown[19:21]] == ["c81", "c20"]
    assert (len(found.shown), found.hidden) == (SHOWN, 60)
    assert "the 20 with the most and the 20 with the fewest training images" in found.which_shown
    few = classes(None, (3, 9, 5))
    assert (few.shown, few.hidden) == ([1, 2, 0], 0)


# -- what is computed and tested -------------------------------------------------------------------


def right(analysis, norm, seed, label):
    """The share of a class that a trial recognises, by a loop over the images."""
    (found,) = [r for r in analysis.results if (r.trial.norm, r.trial.seed) == (norm, seed)]
    answers = [int(p) for p, t in zip(found.predictions.classes, LABELS, strict=True) if t == label]
    return 100 * answers.count(label) / len(answers)


def test_recalls_and_their_mean_are_of_every_trial():
    analysis = make_analysis(**IMBALANCED)
    for norm in ("bn", "ln"):
        expected = [[right(analysis, norm, seed, c) for c in range(3)] for seed in range(3)]
        np.testing.assert_allclose(analysis.classes.recalls[norm], expected)
        own = [t.metrics for t in analysis.trials if t.norm == norm]
        means = [m["balanced_accuracy_percent"] for m in own]
        assert means == pytest.approx([sum(each) / 3 for each in expected])


def test_with_equally_frequent_classes_balanced_accuracy_is_accuracy():
    analysis = make_analysis(**EVEN)
    for trial, result in zip(analysis.trials, analysis.results, strict=True):
        accuracy = 100 * (result.predictions.classes == EVEN["labels"]).mean()
        assert trial.metrics["balanced_accuracy_percent"] == pytest.approx(accuracy)


def test_balanced_accuracy_is_tested_only_where_test_classes_are_imbalanced():
    names = [c.metric.name for c in make_analysis(**IMBALANCED).secondary if c.norm == "gn"]
    assert names[:2] == ["balanced_accuracy_percent", "epochs_to_60_percent"]
    assert len(names) == 10
    only_training = {**EVEN, "train_counts": (300, 100, 20)}
    for others in (EVEN, only_training):
        found = [c.metric.name for c in make_analysis(**others).secondary if c.norm == "gn"]
        assert found == names[1:]


def test_the_means_are_told_where_test_classes_are_imbalanced():
    for seeds in (1, 3):
        analysis = make_analysis(**IMBALANCED, seeds=seeds)
        table = analysis.table().set_index("norm")["balanced_accuracy_percent_mean"]
        told = next(r.text for r in analysis.findings if r.topic == "Balanced accuracy")
        assert f"{table['bn']:.2f} with bn, {table['gn']:.2f} with gn" in told
    assert "Balanced accuracy" not in {r.topic for r in make_analysis(**EVEN).findings}


def one_collapsed(results):
    """The first trial of gn collapsed, and the same seed of bn reached 60 %."""
    changed = []
    for r in results:
        if (r.trial.norm, r.trial.seed) == ("gn", 0):
            r = collapsed(r)
        if (r.trial.norm, r.trial.seed) == ("bn", 0):
            last = replace(r.history[-1], **{"test_accuracy_percent": 60.0})
            r = r.model_copy(update={"history": (*r.history[:-1], last)})
        changed.append(r)
    return changed


@pytest.mark.parametrize(("counts", "better"), [((300, 100, 20), True), (None, False)])
def test_a_collapsed_trial_counts_as_one_that_answers_with_the_largest_class(counts, better):
    """Which is right on 71.4 % of the test images; uncounted, guessing is 33.3 % as it was."""
    given = {**IMBALANCED, "train_counts": counts}
    analysis = make_analysis(**given, norms=("bn", "gn"), change=one_collapsed)
    pairs = analysis.norms[1].verdict.judgement.pairs
    assert pairs.ordinal
    guessed = 100 * 150 / 210 if better else 100 / 3
    assert pairs.differences[0] == pytest.approx(guessed - 60)


def test_what_hardly_differs_from_the_largest_class_is_near_chance():
    def change(results):
        def last(r):
            return replace(r.history[-1], **{"test_accuracy_percent": 72.0})

        return [r.model_copy(update={"history": (*r.history[:-1], last(r))}) for r in results]

    told = {c.kind: c.text for c in make_analysis(**IMBALANCED, change=change).caveats}
    assert "below 72.9 % in every seed, where guessing gives 71.4 %" in told["near chance"]
    even = make_analysis(**EVEN, change=change)
    assert "near chance" not in {c.kind for c in even.caveats}
