"""How well each class is recognised: recall, and means over classes that count every one alike."""

import numpy as np


def confusion_counts(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How many images of each class are taken for which: int64 (classes, classes), rows are true.

    `true`: int, (N,). `predicted`: int, (N,), or (T, N) for the sum over T trials.
    """
    cells = true * classes + predicted
    return np.bincount(cells.ravel(), minlength=classes**2).reshape(classes, classes)


def recalls(counts: np.ndarray) -> np.ndarray:
    """The share of each class that is recognised, in [0, 1]: float64 (classes,).

    `counts`: those of `confusion_counts`. NaN for a class without images.
    """
    images = counts.sum(axis=1)
    return np.divide(counts.diagonal(), images, out=np.full(len(counts), np.nan), where=images > 0)


def balanced_accuracy(counts: np.ndarray) -> float:
    """The mean of the recalls of all classes that have images, in [0, 1].

    `counts`: those of `confusion_counts`. Where all of these classes have equally many images it is
    the accuracy. Source: Brodersen et al. 2010, doi 10.1109/ICPR.2010.764.
    """
    return float(np.nanmean(recalls(counts)))


def macro_f1(counts: np.ndarray) -> float:
    """The mean of the F1 of all classes that have images, in [0, 1].

    `counts`: those of `confusion_counts`. F1 is the harmonic mean of precision and recall,

        F1 = 2 TP / (2 TP + FN + FP)

    where TP + FN are the images of the class, and TP + FP those that were taken for it. It is 0 for
    a class that is never answered, whose precision is not defined.
    """
    images, answers = counts.sum(axis=1), counts.sum(axis=0)
    there = images > 0
    return float(np.mean(2 * counts.diagonal()[there] / (images + answers)[there]))
