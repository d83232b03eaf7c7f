"""Predictions -> what they come to: the scores of each trial, and sums over those of a norm.

Predictions of many trials do not fit into memory. All that is said of them follows from what is
kept here, in one pass over the trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from normscope.experiment import Predictions, Result, Told
from normscope.experiment.folds import Pool, fold_index, tested_labels
from normscope.stats import (
    ReliabilitySums,
    Scaled,
    all_temperature_scaled,
    balanced_accuracy,
    calibration_errors,
    confusion_counts,
    confusions,
    macro_f1,
    recalls,
)

MERGED = 2**16  # wrong answers that are collected before they are added up


@dataclass(frozen=True)
class Scores:
    """What the predictions of one trial come to: of how many `images`, and in [0, 1] all the rest.

    `scaled`: what a temperature makes of it; None for one image, which has no halves.
    """

    images: int
    balanced_accuracy: float
    macro_f1: float
    calibration_error: float
    scaled: Scaled | None


@dataclass(frozen=True)
class Answered:
    """What a tally needs of predictions: the classes, int64, (N,), and the confidence in each."""

    classes: np.ndarray
    confidences: np.ndarray


def answered(_told: Sequence[Told], predictions: Sequence[Predictions]) -> list[Answered]:
    """`Summarise` predictions."""
    return [Answered(each.classes, each.confidences()) for each in predictions]


@dataclass(frozen=True)
class Scored(Answered):
    """The same, with the scores of the trial."""

    scores: Scores


def scored(predictions: Sequence[Predictions], labels: np.ndarray) -> list[Scored]:
    """The scores of trials that are tested on the same images; `labels`: int64, (N,)."""
    classes = np.stack([each.classes for each in predictions])
    logits = np.stack([each.logits for each in predictions])
    flat = Predictions(classes.ravel(), logits.reshape(-1, logits.shape[2]))
    confidences = flat.confidences().reshape(classes.shape)
    errors = calibration_errors(confidences, classes == labels)
    enough = len(labels) > 1
    scaled = all_temperature_scaled(logits, labels) if enough else [None] * len(logits)
    counts = confusions(labels, classes, logits.shape[2])
    balanced, f1 = balanced_accuracy(counts), macro_f1(counts)
    numbers = zip(balanced.tolist(), f1.tolist(), errors.tolist(), scaled, strict=True)
    scores = [Scores(len(labels), *own) for own in numbers]
    return list(map(Scored, classes, confidences, scores))


@dataclass(frozen=True)
class Scoring:
    """`Summarise` predictions as `Scored`; of folds, each by itself.

    `labels`: int64, those of all test images; of folds, of all images.
    """

    labels: np.ndarray

    def __call__(self, told: Sequence[Told], predictions: Sequence[Predictions]) -> list[Scored]:
        if not any(each.folds for each in told):
            return scored(predictions, self.labels)
        return [
            scored([own], tested_labels(each, self.labels))[0]
            for each, own in zip(told, predictions, strict=True)
        ]


class WrongAnswers:
    """Wrong answers to test images, counted by image and class, with the sum of their confidences.

    Only those that somebody gave take memory.
    """

    def __init__(self, classes: int):
        self.classes = classes
        self.keys = np.zeros(0, dtype=np.int64)  # image * classes + class, ascending
        self.counts, self.sums = np.zeros(0, dtype=np.int64), np.zeros(0)
        self._new: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._held = 0

    def add(self, images: np.ndarray, answers: np.ndarray, confidences: np.ndarray) -> None:
        """Add the wrong answers of a trial, all of shape (A,)."""
        keys = images * self.classes + answers
        self._collect(keys, np.ones(len(keys), dtype=np.int64), confidences)

    def _collect(self, keys: np.ndarray, counts: np.ndarray, sums: np.ndarray) -> None:
        self._new.append((keys, counts, sums))
        self._held += len(keys)
        if self._held >= MERGED:
            self._merge()

    def _merge(self) -> None:
        parts = [(self.keys, self.counts, self.sums), *self._new]
        keys, counts, sums = (np.concatenate(each) for each in zip(*parts, strict=True))
        self.keys, places = np.unique(keys, return_inverse=True)
        self.counts = np.bincount(places, counts, len(self.keys)).astype(np.int64)
        self.sums = np.bincount(places, sums, len(self.keys))
        self._new, self._held = [], 0

    @classmethod
    def together(cls, several: "Sequence[WrongAnswers]") -> "WrongAnswers":
        """Those of several norms."""
        found = cls(several[0].classes)
        for each in several:
            each._merge()
            found._collect(each.keys, each.counts, each.sums)
        return found

    def usual(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The wrong class that was answered most often to each image, and the mean confidence.

        `images` must each have a wrong answer. int64 and float64, both of shape (I,). The lowest
        class decides a tie.
        """
        self._merge()
        owners = self.keys // self.classes
        order = np.lexsort(
            (self.keys, -self.counts, owners)
        )  # of an image, the most frequent first
        first = order[np.searchsorted(owners[order], images)]
        return self.keys[first] % self.classes, self.sums[first] / self.counts[first]


@dataclass
class Tally:
    """The finished trials of one norm, image by image: N test images, K classes.

    `right`: by seed, which images it got right, bool (N,). `wrong`: how many trials misclassify
    each, int64 (N,). `confusion`: how many images of each class were taken for which, over all
    trials. `recalls`: those of each trial, float64 (K,).
    """

    wrong: np.ndarray
    confusion: np.ndarray
    wrong_answers: WrongAnswers
    right: dict[int, np.ndarray] = field(default_factory=dict)
    recalls: list[np.ndarray] = field(default_factory=list)
    reliability: ReliabilitySums = field(default_factory=ReliabilitySums)

    @property
    def trials(self) -> int:
        return len(self.recalls)

    @property
    def usually_wrong(self) -> np.ndarray:
        """Misclassified by more than half of the trials: bool, shape (N,)."""
        return 2 * self.wrong > self.trials

    @property
    def usually_right(self) -> np.ndarray:
        """Classified correctly by more than half of the trials: bool, shape (N,)."""
        return 2 * self.wrong < self.trials

    def add(
        self, seed: int, classes: np.ndarray, confidences: np.ndarray, labels: np.ndarray
    ) -> None:
        """Add a trial that finished: the classes that it predicts, and its confidence in them."""
        right = classes == labels
        wrong = np.flatnonzero(~right)
        counts = confusion_counts(labels, classes, len(self.confusion))
        self.right[seed] = right
        self.wrong[wrong] += 1
        self.confusion += counts
        self.recalls.append(100 * recalls(counts))
        self.wrong_answers.add(wrong, classes[wrong], confidences[wrong])
        self.reliability.add(confidences, right)


class Tallies:
    """A `Tally` of every norm, in the order given, from the results of one batch size.

    `labels`: int64, (N,), of all test images, which are of so many `classes`.
    """

    def __init__(self, norms: Sequence[str], labels: np.ndarray, classes: int):
        self.labels, self.pool = labels, Pool()
        self._all = {
            norm: Tally(
                wrong=np.zeros(len(labels), dtype=np.int64),
                confusion=np.zeros((classes, classes), dtype=np.int64),
                wrong_answers=WrongAnswers(classes),
            )
            for norm in norms
        }

    def add(self, result: Result, own: Answered | None) -> None:
        """Add a trial, if it finished; of folds, once all have finished that make up a whole.

        Those of other norms are left out.
        """
        tally = self._all.get(result.trial.norm)
        if tally is None or result.status != "finished" or own is None:
            return
        where = fold_index(result.trial, self.labels)
        whole = self.pool.add(result.trial, where, (own.classes, own.confidences))
        if whole is not None:
            number, (classes, confidences) = whole
            tally.add(number, classes, confidences, self.labels)

    @property
    def by_norm(self) -> dict[str, Tally]:
        """Those of the norms with a finished trial."""
        return {norm: tally for norm, tally in self._all.items() if tally.trials}
