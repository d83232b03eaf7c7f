"""Cross-validation: which fold of a data set each image is in, and what a trial tests on.

In an experiment with folds a seed is trained without one fold and tested on it: seed 7 of 5 folds
on fold 2, of the second time that the images are dealt out.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from normscope.experiment.trial import Predictions, Result, Trial


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


def images_tested(trial: Trial, images: int) -> int:
    """How many of so many images a trial is tested on."""
    return images if trial.fold is None else len(range(trial.fold, images, trial.folds or 1))


def pooled(results: Sequence[Result], labels: np.ndarray) -> list[Result]:
    """Results whose predictions are of all images, each by the network that did not train on it.

    One for each norm, batch size and time that the images were dealt out, if all its folds have
    finished; the rest is left out. What else it says is that of its first fold. Results without
    folds are given back as they are.
    """
    if not results or results[0].trial.folds is None:
        return list(results)
    together: dict[str, dict[int, Result]] = {}
    for result in results:
        trial = result.trial
        assert trial.folds is not None  # as the first one
        time, fold = divmod(trial.seed, trial.folds)
        if result.status == "finished" and result.predictions is not None:
            key = trial.model_copy(update={"seed": time}).id
            together.setdefault(key, {})[fold] = result
    whole = [some for some in together.values() if len(some) == results[0].trial.folds]
    return [_joined([some[fold] for fold in sorted(some)], labels) for some in whole]


def _joined(results: Sequence[Result], labels: np.ndarray) -> Result:
    first = results[0]
    index = np.concatenate([fold_index(result.trial, labels) for result in results])
    known = [result.predictions for result in results if result.predictions is not None]
    classes = np.concatenate([each.classes for each in known])
    logits = np.concatenate([each.logits for each in known])
    back = np.argsort(index)
    return first.model_copy(update={"predictions": Predictions(classes[back], logits[back])})
