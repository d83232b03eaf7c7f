"""How well the confidence of a network matches its accuracy."""

import numpy as np

BINS = 15


def calibration_error(confidences: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error, in [0, 1], from the confidence and outcome of each image.

    Both arrays have shape (N,). Images are sorted by confidence into `BINS` bins of equal width,
    (0, 1/15], (1/15, 2/15], ... The error is the absolute difference between the accuracy and the
    mean confidence of a bin, averaged over the bins with their numbers of images as weights.
    Source: Guo et al. 2017, arXiv 1706.04599, equation 3.
    """
    bins = np.clip(np.ceil(confidences * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, weights=confidences - correct, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidences))
