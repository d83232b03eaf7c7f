"""Recall, balanced accuracy and macro F1: against loops over images, and values of scikit-learn."""

import numpy as np
import pytest

from normscope.stats import (
    balanced_accuracy,
    confusion_counts,
    confusions,
    macro_f1,
    recalls,
)


def by_loops(true, predicted, classes):
    """Recalls by class, balanced accuracy and macro F1, from precision and recall of each class."""
    found, scores = {}, []
    for name in range(classes):
        of_class = [p for t, p in zip(true, predicted, strict=True) if t == name]
        answers = [t for t, p in zip(true, predicted, strict=True) if p == name]
        if not of_class:
            continue
        recall = sum(p == name for p in of_class) / len(of_class)
        precision = sum(t == name for t in answers) / len(answers) if answers else 0
        both = precision + recall
        found[name] = recall
        scores.append(2 * precision * recall / both if both else 0)
    return found, sum(found.values()) / len(found), sum(scores) / len(scores)


@pytest.mark.parametrize("seed", range(30))
def test_they_are_what_loops_over_the_images_give(seed):
    rng = np.random.default_rng(seed)
    classes, images = int(rng.integers(2, 9)), int(rng.integers(1, 200))
    true = rng.choice(classes, images, p=rng.dirichlet(np.full(classes, 0.5)))
    predicted = np.where(rng.random(images) < 0.6, true, rng.integers(0, classes, images))
    counts = confusion_counts(true, predicted, classes)
    found, balanced, f1 = by_loops(true.tolist(), predicted.tolist(), classes)
    assert {i: r for i, r in enumerate(recalls(counts).tolist()) if not np.isnan(r)} == found
    assert balanced_accuracy(counts) == pytest.approx(balanced, rel=1e-12)
    assert macro_f1(counts) == pytest.approx(f1, rel=1e-12)


def test_they_are_what_scikit_learn_gives():
    """Of 1.9.1, the F1 with ``labels=[0, 1, 2]``; class 3 is answered once and has no image."""
    true, predicted = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2], [0, 0, 0, 0, 1, 3, 1, 1, 0, 1]
    counts = confusion_counts(np.array(true), np.array(predicted), 4)
    assert counts.tolist() == [[4, 1, 0, 1], [1, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert balanced_accuracy(counts) == pytest.approx(0.4444444444444444)
    assert macro_f1(counts) == pytest.approx(0.4329004329004329)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_with_equally_frequent_classes_balanced_accuracy_is_accuracy(classes):
    rng = np.random.default_rng(classes)
    true = rng.permutation(np.repeat(np.arange(classes), 40))
    predicted = np.where(rng.random(len(true)) < 0.7, true, rng.integers(0, classes, len(true)))
    accuracy = float((true == predicted).mean())
    assert 0.5 < accuracy < 0.9
    assert balanced_accuracy(confusion_counts(true, predicted, classes)) == pytest.approx(accuracy)


def test_one_answer_for_all_has_the_recall_of_chance():
    """Nine images of ten are right, one class of two; its F1 is 2 * 9 / (9 + 10)."""
    counts = confusion_counts(np.array([0] * 9 + [1]), np.zeros(10, dtype=np.int64), 2)
    assert balanced_accuracy(counts) == 0.5
    assert macro_f1(counts) == pytest.approx(9 / 19)


def test_several_trials_together_have_the_numbers_of_each():
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(1, 4, 60), rng.integers(0, 5, (7, 60))
    together = confusions(true, predicted, 5)
    alone = [confusion_counts(true, each, 5) for each in predicted]
    np.testing.assert_array_equal(together, alone)
    for number in (recalls, balanced_accuracy, macro_f1):
        np.testing.assert_array_equal(number(together), [number(each) for each in alone])


def test_counts_of_several_trials_are_added():
    true, predicted = np.array([0, 1, 1]), np.array([[0, 1, 0], [1, 1, 0]])
    assert confusion_counts(true, predicted, 2).tolist() == [[1, 1], [2, 2]]
