"""What the answers to single test images show beyond their mean."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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


def shared_percent(wrong: np.ndarray) -> np.ndarray:
    """How many of their mistakes each two of T trials have in common: float64, shape (T, T).

    ``100 * 2 |A and B| / (|A| + |B|)``, the coefficient of Dice (1945, Ecology 26), where A and B
    are the images that the two trials misclassify; `wrong` marks them: bool, (T, N). NaN where
    neither makes a mistake.
    """
    counts = wrong.astype(np.float64)
    both, made = counts @ counts.T, counts.sum(axis=1)
    total = made[:, None] + made
    return np.divide(200 * both, total, out=np.full_like(both, np.nan), where=total > 0)


@dataclass(frozen=True)
class SharedMistakes:
    """How many of their mistakes trials of k groups have in common, in percent.

    `percent` (k, k) are means over the pairs of trials with different seeds: of two groups, or, in
    the diagonal, of one. `within` is the mean of the diagonal and `between` that of the rest;
    `by_seed` (n,) is within - between over the pairs that a seed is part of, in points. `p_value`
    is the chance that within - between is as large as it is, or larger, if the group of a trial
    makes no difference to what it gets wrong.
    """

    percent: np.ndarray
    within: float
    between: float
    by_seed: np.ndarray
    p_value: float


def shared_mistakes(
    wrong: np.ndarray, permutations: int = 1999, seed: int = 0
) -> SharedMistakes | None:
    """Compare the mistakes of trials of the same group with those of different groups.

    `wrong` marks the mistakes: bool, (k, n, N) of k groups and the same n seeds in each. Only
    trials of different seeds are paired, so that the two of a pair differ in their seed whether or
    not they differ in their group. The p value is that of a permutation test: the groups are
    permuted within each seed, at random. None for fewer than two groups or seeds, and where two
    trials make no mistake.
    """
    groups, seeds, images = wrong.shape
    if groups < 2 or seeds < 2:
        return None
    shared = shared_percent(wrong.reshape(-1, images)).reshape(groups, seeds, groups, seeds)
    if np.isnan(shared).any():
        return None
    by_seeds = shared.transpose(0, 2, 1, 3)  # groups of the two, then seeds of the two
    apart = ~np.eye(seeds, dtype=bool)
    same = np.eye(groups, dtype=bool)
    percent = by_seeds[:, :, apart].mean(axis=2)
    of_seed = by_seeds.sum(axis=3, where=apart) / (seeds - 1)  # mean over partners; (k, k, n)
    return SharedMistakes(
        percent=percent,
        within=float(percent[same].mean()),
        between=float(percent[~same].mean()),
        by_seed=of_seed[same].mean(axis=0) - of_seed[~same].mean(axis=0),
        p_value=_permuted_within_seeds(shared, permutations, np.random.default_rng(seed)),
    )


def _permuted_within_seeds(
    shared: np.ndarray, permutations: int, rng: np.random.Generator
) -> float:
    """The p value of the sum within groups, which decides, as the sum over all pairs is fixed."""
    groups, seeds = shared.shape[:2]
    asked = np.arange(groups)[None, None].repeat(seeds, axis=1)
    drawn = rng.permuted(asked.repeat(permutations, axis=0), axis=2)
    order = np.concatenate([asked, drawn])  # (permutations, seeds, groups)
    sums = np.zeros(len(order))
    for i in range(seeds):
        for j in range(i):
            sums += shared[order[:, i], i, order[:, j], j].sum(axis=1)
    return float((sums >= sums[0] - 1e-9 * abs(sums[0])).mean())


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
    return _multibootstrap(correct, baseline, Draws(n, images, resamples, seed), confidence)


class Draws:
    """The seeds and images that a bootstrap draws: most of its time, which norms may share.

    Of n seeds and so many images. The images are drawn anew each time, from the same place of the
    stream: of 10,000 they would take a hundred megabytes.
    """

    def __init__(self, n: int, images: int, resamples: int = 2000, seed: int = 0):
        self.n, self.images = n, images
        self._rng = np.random.default_rng(seed)
        self._chunks: list[tuple[np.ndarray, Mapping[str, Any]]] = []
        if n < 2:
            return
        for start in range(0, resamples, CHUNK):
            count = min(CHUNK, resamples - start)
            of_seeds = self._rng.multinomial(n, np.full(n, 1 / n), count).astype(np.float32)
            self._chunks.append((of_seeds, self._rng.bit_generator.state))
            self._images(count)

    def _images(self, count: int) -> np.ndarray:
        return self._rng.integers(0, self.images, (count, self.images))

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """How often each seed, and which images: (resamples, n) and (resamples, N), in parts."""
        for of_seeds, before in self._chunks:
            self._rng.bit_generator.state = before
            yield of_seeds, self._images(len(of_seeds))


def multibootstraps(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], draws: Draws, confidence: float = CONFIDENCE
) -> list[tuple[float, float] | None]:
    """The `multibootstrap` of each of several `pairs` of arrays, all of the shape of the draws."""
    return [_multibootstrap(*pair, draws, confidence) for pair in pairs]


def _multibootstrap(
    correct: np.ndarray, baseline: np.ndarray, draws: Draws, confidence: float
) -> tuple[float, float] | None:
    if draws.n < 2:
        return None
    gain = correct.astype(np.float32)
    gain -= baseline
    found = []
    for of_seeds, drawn in draws:
        by_image = of_seeds @ gain / draws.n
        found.append(100 * np.take_along_axis(by_image, drawn, axis=1).mean(axis=1))
    low, high = np.quantile(np.concatenate(found), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
