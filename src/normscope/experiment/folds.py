"""Cross-validation: which fold of a data set each image is in, and what a trial tests on.

In an experiment with folds a seed is trained without one fold and tested on it: seed 7 of 5 folds
on fold 2, of the second time that the images are dealt out.
"""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from normscope.experiment.trial import Trial


class Tested(Protocol):
    """What tells on which images a trial is tested, as the trial itself does."""

    @property
    def seed(self) -> int: ...
    @property
    def folds(self) -> int | None: ...


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


def fold_index(trial: Tested, labels: np.ndarray) -> np.ndarray:
    """The index of the test images of a trial among all: int64. Without folds it is all of them."""
    if trial.folds is None:
        return np.arange(len(labels))
    time, fold = divmod(trial.seed, trial.folds)
    return np.flatnonzero(folds_of(labels, trial.folds, time) == fold)


def tested_labels(trial: Tested, labels: np.ndarray) -> np.ndarray:
    """Those of `labels` (N,) that are of the test images of a trial."""
    return labels if trial.folds is None else labels[fold_index(trial, labels)]


def images_tested(trial: Trial, images: int) -> int:
    """How many of so many images a trial is tested on."""
    return images if trial.fold is None else len(range(trial.fold, images, trial.folds or 1))


class Pool:
    """Puts together what networks say of folds, of each image by the one that did not train on it.

    What they say are `arrays` with a row for each image that is at one of the places `where`.
    """

    def __init__(self):
        self._waiting: dict[str, dict[int, tuple[np.ndarray, ...]]] = {}

    def add(
        self, trial: Trial, where: np.ndarray, arrays: Sequence[np.ndarray]
    ) -> tuple[int, tuple[np.ndarray, ...]] | None:
        """The arrays of a norm of all images, with a number, once its last fold is added.

        The number is that of the time that the images were dealt out; without folds it is the seed,
        and each trial is a whole by itself.
        """
        if trial.folds is None:
            return trial.seed, tuple(arrays)
        time, fold = divmod(trial.seed, trial.folds)
        key = trial.model_copy(update={"seed": time}).id
        some = self._waiting.setdefault(key, {})
        some[fold] = where, *arrays
        if len(some) < trial.folds:
            return None
        del self._waiting[key]
        whole = [np.concatenate(each) for each in zip(*some.values(), strict=True)]
        order = np.argsort(whole[0])
        return time, tuple(each[order] for each in whole[1:])
