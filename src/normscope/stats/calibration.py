"""How well the confidence of a network matches its accuracy, as it is and with a temperature."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

BINS = 15
LARGEST_TEMPERATURE = 100.0  # and 1/100 is the smallest


@dataclass(frozen=True)
class Reliability:
    """What a reliability diagram shows of each bin of confidence: all of shape (`BINS`,).

    `confidence` and `accuracy` are means over the images of a bin, in [0, 1], NaN for an empty one.
    `count` is the number of images, int64.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


def reliability(confidences: np.ndarray, correct: np.ndarray) -> Reliability:
    """Sort images by confidence into `BINS` bins of equal width, (0, 1/15], (1/15, 2/15], ...

    Both arrays have shape (N,): the confidence in the predicted class, and whether it is right.
    Source: Guo et al. 2017, arXiv 1706.04599, section 2.
    """
    bins = np.clip(np.ceil(confidences * BINS).astype(int) - 1, 0, BINS - 1)
    count = np.bincount(bins, minlength=BINS)

    def means(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(bins, weights=values, minlength=BINS)
        return np.divide(sums, count, out=np.full(BINS, np.nan), where=count > 0)

    return Reliability(means(confidences), means(correct), count)


def calibration_error(confidences: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error, in [0, 1], from the confidence and outcome of each image.

    Both arrays have shape (N,). The error is the absolute difference between the accuracy and the
    mean confidence of a bin, averaged over the bins of `reliability` with their numbers of images
    as weights. Source: Guo et al. 2017, arXiv 1706.04599, equation 3.
    """
    bins = reliability(confidences, correct)
    gaps = np.abs(bins.accuracy - bins.confidence)
    return float(np.nansum(gaps * bins.count) / len(confidences))


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean of ``-log softmax(logits)[label]`` over images, in nats per image.

    `logits`: float, (N, K). `labels`: int64, (N,). It is computed in float64.
    """
    logs = log_softmax(logits.astype(np.float64), axis=1)
    return float(-logs[np.arange(len(labels)), labels].mean())


def fitted_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T > 0 with the least `negative_log_likelihood` of ``logits / T``.

    `logits`: float, (N, K), finite. `labels`: int64, (N,). T is above 1 for a network that is too
    sure. There is one minimum, since the negative log likelihood is convex in 1/T; it is sought
    from 1/100 to 100. Where it falls all the way to one of these ends, T is at that end, or where
    the fall is lost in rounding: for images that are all right, T is small and its value means
    nothing. Source: Guo et al. 2017, arXiv 1706.04599, section 4.2.
    """
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    of_label = float(wide[np.arange(len(labels)), labels].mean())
    end = np.log(LARGEST_TEMPERATURE)

    def loss(log: float) -> float:
        sharpness = np.exp(-log)
        return float(np.log(np.exp(sharpness * wide).sum(axis=1)).mean() - sharpness * of_label)

    found = minimize_scalar(loss, bounds=(-end, end), method="bounded")
    return float(np.exp(found.x))


@dataclass(frozen=True)
class Scaled:
    """What a temperature makes of a network: the mean of those fitted on the two halves.

    `nll` is the negative log likelihood in nats per image, and `error` the expected calibration
    error, in [0, 1], both of all images, each with the temperature fitted on the other half.
    """

    temperature: float
    nll: float
    error: float


def temperature_scaled(logits: np.ndarray, labels: np.ndarray) -> Scaled:
    """Temperatures fitted on one half of the images each, and tried on the other half.

    `logits`: float, (N >= 2, K), finite. `labels`: int64, (N,). The halves are the images at even
    and at odd places. Both are scored together, as the calibration error of few images is too
    large: so it may be compared with that of the same images without a temperature.
    """
    halves = slice(0, None, 2), slice(1, None, 2)
    even, odd = (fitted_temperature(logits[half], labels[half]) for half in halves)
    scaled = logits.astype(np.float64)
    for half, fitted_elsewhere in zip(halves, (odd, even), strict=True):
        scaled[half] /= fitted_elsewhere
    confidences = np.exp(log_softmax(scaled, axis=1)).max(axis=1)
    error = calibration_error(confidences, scaled.argmax(axis=1) == labels)
    return Scaled((even + odd) / 2, negative_log_likelihood(scaled, labels), error)
