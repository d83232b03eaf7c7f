"""Cross-validation: which fold of a data set each image is in, and what a trial tests on.

In an experiment with folds a seed is trained without one fold and tested on it: seed 7 of 5 folds
on fold 2, of the second time that the images are dealt out.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from normscope.experiment.trial import Predictions, Trial


def folds_of(labels: np.ndarray, folds: int, time: int) -> np.ndarray:
    """The fold of each image: int64 (N,), from 0 to `folds` - 1.

    Every class is dealt out evenly, in an order that is drawn anew each `time`, so that folds
    differ by one image of a class at most, and by one image in all. `labels`: int64, (N,).
    """
    digest = hashlib.sha256(f"folds/{folds}/{time}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    classes = [rng.permutation(np.flatnonzero(labels == each)) for each in np.unique(labels)]
    order = np.concatenate(classes)
    found = np.empty(len(labels), np.int64)
    found[order] = np.arange(len(labels)) % folds
    return found


def fold_index(trial: Trial, labels: np.ndarray) -> np.ndarray:
    """The index of the test images of a trial among all: int64. Without folds it is all of them."""
    if trial.folds is None:
        return np.arange(len(labels))
    time, fold = divmod(trial.seed, trial.folds)
    return np.flatnonzero(folds_of(labels, trial.folds, time) == fold)


def tested_labels(trial: Trial, labels: np.ndarray) -> np.ndarray:
    """Those of `labels` (N,) that are of the test images of a trial."""
    return labels if trial.folds is None else labels[fold_index(trial, labels)]


def images_tested(trial: Trial, images: int) -> int:
    """How many of so many images a trial is tested on."""
    return images if trial.fold is None else len(range(trial.fold, images, trial.folds or 1))


class Pool:
    """Puts predictions of folds together, each image by the network that did not train on it.

    `labels`: int64, (N,), of all images.
    """

    def __init__(self, labels: np.ndarray):
        self.labels = labels
        self._waiting: dict[str, dict[int, tuple[Trial, Predictions]]] = {}

    def add(self, trial: Trial, predictions: Predictions) -> tuple[int, Predictions] | None:
        """The predictions of a norm of all images, with a number, once its last fold is added.

        The number is that of the time that the images were dealt out; without folds it is the seed,
        and each trial is a whole by itself.
        """
        if trial.folds is None:
            return trial.seed, predictions
        time, fold = divmod(trial.seed, trial.folds)
        key = trial.model_copy(update={"seed": time}).id
        some = self._waiting.setdefault(key, {})
        some[fold] = trial, predictions
        if len(some) < trial.folds:
            return None
        del self._waiting[key]
        return time, self._joined([some[each] for each in range(trial.folds)])

    def _joined(self, folds: Sequence[tuple[Trial, Predictions]]) -> Predictions:
        back = np.argsort(np.concatenate([fold_index(trial, self.labels) for trial, _ in folds]))
        classes = np.concatenate([predictions.classes for _, predictions in folds])
        logits = np.concatenate([predictions.logits for _, predictions in folds])
        return Predictions(classes[back], logits[back])
