"""How well each class is recognised: recall, and means over classes that count every one alike."""

import numpy as np


def confusion_counts(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How many images of each class are taken for which: int64 (classes, classes), rows are true.

    `true`: int, (N,). `predicted`: int, (N,), or (T, N) for the sum over T trials.
    """
    cells = true * classes + predicted
    return np.bincount(cells.ravel(), minlength=classes**2).reshape(classes, classes)


def confusions(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """The `confusion_counts` of each of T trials, from (T, N) answers: (T, classes, classes)."""
    trials, cells = len(predicted), true * classes + predicted
    cells += classes**2 * np.arange(trials)[:, None]
    counts = np.bincount(cells.ravel(), minlength=trials * classes**2)
    return counts.reshape(trials, classes, classes)


# What follows takes the `counts` of `confusion_counts`, or of several trials, of shape (..., K, K)
# for K classes; then there is a number, or an array of recalls, of each.


def recalls(counts: np.ndarray) -> np.ndarray:
    """The share of each class that is recognised, in [0, 1]: float64 (..., K).

    NaN for a class without images.
    """
    images, right = counts.sum(axis=-1), counts.diagonal(axis1=-2, axis2=-1)
    return np.divide(right, images, out=np.full(images.shape, np.nan), where=images > 0)


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """The mean of the recalls of all classes that have images, in [0, 1]: float64 (...,).

    Where all of these classes have equally many images it is the accuracy. Source: Brodersen et al.
    2010, doi 10.1109/ICPR.2010.764.
    """
    return np.nanmean(recalls(counts), axis=-1)


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """The mean of the F1 of all classes that have images, in [0, 1]: float64 (...,).

    F1 is the harmonic mean of precision and recall,

        F1 = 2 TP / (2 TP + FN + FP)

    where TP + FN are the images of the class, and TP + FP those that were taken for it. It is 0 for
    a class that is never answered, whose precision is not defined.
    """
    images, answers = counts.sum(axis=-1), counts.sum(axis=-2)
    right = counts.diagonal(axis1=-2, axis2=-1)
    nothing = np.full(images.shape, np.nan)
    f1 = np.divide(2 * right, images + answers, out=nothing, where=images > 0)
    return np.nanmean(f1, axis=-1)
