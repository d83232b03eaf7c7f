"""Whether a network is right as often as it is sure."""

import numpy as np

BINS = 15


def calibration_error(confidences: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error, in [0, 1], from each image's confidence and outcome: (N,), (N,).

    Images are put into `BINS` equal bins of confidence, (0, 1/15], (1/15, 2/15], ...; the mean
    over bins, weighted by their images, of how far their accuracy is from their mean confidence.
    Source: Guo et al. 2017, arXiv 1706.04599, equation 3.
    """
    bins = np.clip(np.ceil(confidences * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, weights=confidences - correct, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidences))
