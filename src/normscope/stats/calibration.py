"""How well the confidence of a network matches its accuracy, as it is and with a temperature."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from normscope.stats.minimum import bounded_minima

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
    sums = ReliabilitySums()
    sums.add(confidences, correct)
    return sums.reliability()


class ReliabilitySums:
    """The `reliability` of images that come a few at a time, of which only sums are kept."""

    def __init__(self):
        self.confidence, self.right = np.zeros(BINS), np.zeros(BINS)
        self.count = np.zeros(BINS, dtype=np.int64)

    def add(self, confidences: np.ndarray, correct: np.ndarray) -> None:
        """Add images, of whatever shape."""
        bins = _bins(confidences)
        np.add.at(self.confidence, bins, confidences)
        np.add.at(self.right, bins, correct)
        np.add.at(self.count, bins, 1)

    def reliability(self) -> Reliability:
        return Reliability(
            _means(self.confidence, self.count), _means(self.right, self.count), self.count
        )


def _bins(confidences: np.ndarray) -> np.ndarray:
    return np.clip(np.ceil(confidences * BINS).astype(int) - 1, 0, BINS - 1)


def _means(sums: np.ndarray, count: np.ndarray) -> np.ndarray:
    """NaN for an empty bin."""
    return np.divide(sums, count, out=np.full(sums.shape, np.nan), where=count > 0)


def calibration_error(confidences: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error, in [0, 1], from the confidence and outcome of each image.

    Both arrays have shape (N,). The error is the absolute difference between the accuracy and the
    mean confidence of a bin, averaged over the bins of `reliability` with their numbers of images
    as weights. Source: Guo et al. 2017, arXiv 1706.04599, equation 3.
    """
    return float(calibration_errors(confidences[None], correct[None])[0])


def calibration_errors(confidences: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """The `calibration_error` of each of T networks: float64 (T,), from arrays of shape (T, N)."""
    networks, images = confidences.shape
    places = (_bins(confidences) + BINS * np.arange(networks)[:, None]).ravel()

    def sums(weights: np.ndarray | None) -> np.ndarray:
        return np.bincount(places, weights, BINS * networks).reshape(networks, BINS)

    count = sums(None)
    gaps = np.abs(_means(sums(correct.ravel()), count) - _means(sums(confidences.ravel()), count))
    return np.nansum(gaps * count, axis=1) / images


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
    return float(fitted_temperatures(logits[None], labels)[0])


def fitted_temperatures(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The `fitted_temperature` of each of T networks on the same images: float64 (T,).

    `logits`: float, (T, N, K), finite. `labels`: int64, (N,).
    """
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=2, keepdims=True)
    of_label = np.ascontiguousarray(wide[:, np.arange(len(labels)), labels]).mean(axis=1)
    end, room = np.log(LARGEST_TEMPERATURE), np.empty_like(wide)

    def losses(networks: np.ndarray, logs: np.ndarray) -> np.ndarray:
        sharpness, own = np.exp(-logs), room[: len(networks)]  # new memory costs more than the sums
        np.take(wide, networks, axis=0, out=own, mode="clip")
        own *= sharpness[:, None, None]
        return np.log(_sums(np.exp(own, out=own))).mean(axis=1) - sharpness * of_label[networks]

    return np.exp(bounded_minima(losses, len(logits), -end, end))


def _sums(values: np.ndarray) -> np.ndarray:
    """Over the last axis of three, which is short: in a fifth of the time of ``sum``."""
    return np.einsum("tnk->tn", values)


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
    return all_temperature_scaled(logits[None], labels)[0]


def all_temperature_scaled(logits: np.ndarray, labels: np.ndarray) -> list[Scaled]:
    """`temperature_scaled` of each of T networks on the same images; `logits`: (T, N >= 2, K)."""
    halves = slice(0, None, 2), slice(1, None, 2)
    even, odd = (fitted_temperatures(logits[:, half], labels[half]) for half in halves)
    scaled = logits.astype(np.float64)
    right = scaled.argmax(axis=2) == labels
    scaled -= scaled.max(axis=2, keepdims=True)
    for half, fitted_elsewhere in zip(halves, (odd, even), strict=True):
        scaled[:, half] /= fitted_elsewhere[:, None, None]
    of_label = scaled[:, np.arange(len(labels)), labels]
    sums = _sums(np.exp(scaled, out=scaled))
    nll = np.ascontiguousarray(np.log(sums) - of_label).mean(axis=1)
    errors = calibration_errors(1 / sums, right)
    found = zip((even + odd) / 2, nll, errors, strict=True)
    return [Scaled(float(t), float(nll), float(error)) for t, nll, error in found]
