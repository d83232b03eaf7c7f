"""What the answers to single test images show beyond their mean."""

from dataclasses import dataclass

import numpy as np

from normscope.stats.estimates import CONFIDENCE

CHUNK = 100  # resamples at once; this bounds the memory: 100 x 10,000 images take 12 MB


@dataclass(frozen=True)
class VarianceSplit:
    """Variance of the test accuracy over seeds, in squared points: ``total = noise + between``.

    `noise` comes from single images whose answers change at random from run to run. `between` is
    the variance of the networks' true accuracies, over all images there could be. It is an unbiased
    estimate and may be negative.
    """

    total: float
    noise: float
    between: float


def variance_split(correct: np.ndarray) -> VarianceSplit | None:
    """Split the variance over n >= 2 seeds; `correct` marks the right answers: bool, (n, N >= 2).

    ``between = N/(N-1) [Var(accuracy) - sum_i Var(error_i) / N^2]``, where the variances are over
    seeds and have the divisor n - 1. Source: Jordan 2023, arXiv 2304.01910, theorem 2. The theorem
    is for exact variances, and the sample variances estimate these without bias. None for a single
    seed or a single image.
    """
    n, images = correct.shape
    if n < 2 or images < 2:
        return None
    percent = 100 * correct.mean(axis=1)
    total = float(np.var(percent, ddof=1))
    flips = float(100**2 * np.var(correct, axis=0, ddof=1).sum() / images**2)
    between = images / (images - 1) * (total - flips)
    return VarianceSplit(total, total - between, between)


def multibootstrap(
    correct: np.ndarray,
    baseline: np.ndarray,
    confidence: float = CONFIDENCE,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Interval for the difference of accuracies over new seeds *and* new images, in points.

    `correct` and `baseline` mark the right answers: bool, (n, N), with a row for each seed, in the
    same order. Seeds and images are both drawn with replacement, and each draw is used for both
    arrays. The interval is between percentiles of the mean difference. Source: Sellam et al. 2021,
    arXiv 2106.16163. None for fewer than two seeds.
    """
    n, images = correct.shape
    if n < 2:
        return None
    gain = correct.astype(np.float32) - baseline.astype(np.float32)
    rng = np.random.default_rng(seed)
    found = []
    for start in range(0, resamples, CHUNK):
        count = min(CHUNK, resamples - start)
        of_seeds = rng.multinomial(n, np.full(n, 1 / n), count).astype(np.float32)
        by_image = of_seeds @ gain / n
        drawn = rng.integers(0, images, (count, images))
        found.append(100 * np.take_along_axis(by_image, drawn, axis=1).mean(axis=1))
    low, high = np.quantile(np.concatenate(found), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
