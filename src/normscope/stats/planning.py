"""How many seeds a comparison takes: before the first seed, and while it is undecided."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.special import ndtr
from scipy.stats import chi2, nct
from scipy.stats import t as student_t

from normscope.stats.spending import FIRST, crossed_by, half_width, t_statistics

MAX_SEEDS = 1000  # nobody trains more; the answer is None if more are needed
SHARES = (0.5, 0.8, 0.9)  # of comparisons, by which stopping times are told
SIMULATED = 100_000  # comparisons, where nothing exact is known
COURSES, CHUNK = 2_000, 2_000_000  # experiments, and how many differences of them at a time
LARGEST_EFFECT = 30.0  # in sd: larger ones are found just as soon
TRUE_OVER_PREDICTED = (0.46, 2.15)

_NODES, _WEIGHTS = leggauss(200)


def t_half_width(n: int, alpha: float) -> float:
    """Half the width of a t interval of level 1 - alpha, in standard errors; inf for n < 2."""
    return float(student_t.ppf(1 - alpha / 2, n - 1)) if n > 1 else math.inf


def seeds_to_decide(
    mean: float,
    sd: float,
    margin: float,
    levels: tuple[float, float],
    half_width: Callable[[int, float], float],
    at_least: int,
) -> int | None:
    """How many seeds would probably decide a comparison if mean and sd stayed as they are.

    This is the smallest n, from `at_least` on, at which the interval around `mean` at the first of
    the `levels` excludes 0, or the one at the second lies within +-`margin`. `mean`, `sd` and
    `margin` have the same unit; `half_width` is that of n values at a level, in standard errors.
    None if `MAX_SEEDS` seeds are too few.
    """
    for n in range(max(2, at_least), MAX_SEEDS + 1):
        error = sd / math.sqrt(n)
        for level, room in zip(levels, (abs(mean), margin - abs(mean)), strict=True):
            if half_width(n, level) * error < room:
                return n
    return None


def range_of_seeds(needed: int, n: int) -> tuple[int, int]:
    """Between which totals of seeds it is decided with a probability of 80 %.

    `needed`: the total that `seeds_to_decide` gave after n seeds. In simulated comparisons that
    were open after 6 to 20 seeds, the true total was 0.46 to 2.15 times it from the 10 to the 90 %
    quantile, or nearer. At least one seed more is needed.
    """
    low, high = (math.ceil(factor * needed) for factor in TRUE_OVER_PREDICTED)
    return max(n + 1, low), max(n + 1, high)


def seeds_for_power(difference: float, sd: float, power: float, alpha: float) -> int | None:
    """How many seeds, fixed in advance, a t test needs to find a true mean `difference`.

    The test is two-sided at level alpha, on paired differences with standard deviation `sd`, and
    finds the difference with probability `power`. The result is exact, from the noncentral t
    distribution. None if `MAX_SEEDS` seeds are too few.
    """
    for n in range(2, MAX_SEEDS + 1):
        if t_test_power(difference, sd, n, alpha) >= power:
            return n
    return None


def t_test_power(difference: float, sd: float, n: int, alpha: float) -> float:
    """Probability that a two-sided t test on n >= 2 paired differences rejects mean 0; sd > 0."""
    limit, shift = t_half_width(n, alpha), abs(difference) / sd * math.sqrt(n)
    # Far from the null, scipy returns NaN for the other tail, which is empty there.
    return float(nct.sf(limit, n - 1, shift) + np.nan_to_num(nct.cdf(-limit, n - 1, shift)))


def seeds_for_equivalence(margin: float, sd: float, power: float, alpha: float) -> int | None:
    """How many seeds, fixed in advance, two one-sided t tests need where the true mean is 0.

    Each is at level alpha; together they find the mean within +-`margin` with probability `power`.
    The result is exact. None if `MAX_SEEDS` seeds are too few.
    """
    for n in range(2, MAX_SEEDS + 1):
        if equivalence_power(margin, sd, n, alpha) >= power:
            return n
    return None


def equivalence_power(margin: float, sd: float, n: int, alpha: float) -> float:
    """Probability that n >= 2 paired differences with mean 0 are found within +-`margin`; sd > 0.

    By two one-sided t tests at level alpha: the t interval of level 1 - 2 alpha lies within it. It
    is the integral, over the estimated sd, of the probability that the mean has that much room.
    """
    root, limit = margin * math.sqrt(n) / sd, t_half_width(n, 2 * alpha)
    # The estimate over the true sd: beyond these there is no room, or no weight.
    low, high = (1 + side * 10 / math.sqrt(n - 1) for side in (-1, 1))
    low, high = max(0.0, low), min(root / limit, high)
    if low >= high:
        return 0.0
    estimate = low + (high - low) * (_NODES + 1) / 2
    density = 2 * (n - 1) * estimate * chi2.pdf((n - 1) * estimate**2, n - 1)
    found = density * (2 * ndtr(root - limit * estimate) - 1)
    return float((found * _WEIGHTS).sum() * (high - low) / 2)


@dataclass(frozen=True)
class Stopping:
    """When sequential comparisons stop: seeds by which half, 80 % and 90 % of them are decided."""

    median: int | None
    of_80_percent: int | None
    of_90_percent: int | None

    @classmethod
    def of(cls, decided: Iterable[float], first: int) -> "Stopping":
        """From the share that is decided by `first`, `first` + 1, ... seeds, up to `MAX_SEEDS`."""
        found: list[int | None] = []
        for n, share in enumerate(decided, first):
            if n > MAX_SEEDS:
                break
            found += [n] * sum(share >= each for each in SHARES[len(found) :])
            if len(found) == len(SHARES):
                break
        return cls(*found, *[None] * (len(SHARES) - len(found)))


def stopping_times(difference: float, sd: float, alpha: float) -> Stopping:
    """When a sequential comparison finds a true mean `difference` of paired differences, exactly.

    There is a look after every seed, at level alpha, from the first one that may decide.
    """
    effect = min(abs(difference) / sd, LARGEST_EFFECT)
    if t_test_power(effect, 1.0, MAX_SEEDS, alpha) < SHARES[0]:
        return Stopping(None, None, None)  # looks do not find more than one look at all seeds
    return Stopping.of(crossed_by(alpha, effect), FIRST)


def equivalence_times(margin: float, sd: float, alpha: float) -> Stopping:
    """When two one-sided sequential tests find a true mean of 0 to lie within +-`margin`.

    Each is at level alpha, with a look after every seed. Simulated, with the same random numbers on
    every call: the standard error of a share is 0.16 % at most.
    """
    if equivalence_power(margin, sd, MAX_SEEDS, alpha) < SHARES[0]:
        return Stopping(None, None, None)
    return Stopping.of(_found_equivalent(sd / margin, alpha), FIRST)


def _found_equivalent(spread: float, alpha: float) -> Iterator[float]:
    """The share that is found within +-1 by `FIRST`, `FIRST` + 1, ... values with that sd."""
    rng = np.random.default_rng(0)
    mean, squares = np.zeros((2, SIMULATED))  # of those that are open, as are these two
    above, below = np.zeros((2, SIMULATED), dtype=bool)
    for n in count(1):
        values = rng.normal(0.0, spread, len(mean))
        before = values - mean
        mean = mean + before / n
        squares = squares + before * (values - mean)
        if n < FIRST:
            continue
        reach = half_width(n, 2 * alpha) * np.sqrt(squares / (n * (n - 1)))
        above, below = above | (mean - reach > -1), below | (mean + reach < 1)
        open_ = ~(above & below)
        mean, squares, above, below = (each[open_] for each in (mean, squares, above, below))
        yield 1 - len(mean) / SIMULATED


@dataclass(frozen=True)
class Course:
    """How families of sequential comparisons go on, as shares and quantiles of simulated ones.

    `decided`: the share in which every comparison is decided by the most seeds allowed. `seeds`,
    `trials`: how many are trained until then, by 10, 50 and 90 % of them.
    """

    decided: float
    seeds: tuple[int, int, int]
    trials: tuple[int, int, int]


def simulated_course(
    difference: float,
    sd: float,
    margin: float,
    alpha: float,
    norms: int,
    batch_sizes: int,
    most: int,
) -> Course:
    """How an experiment goes on until decided, or until there are `most` seeds, at least `FIRST`.

    All `norms` but the baseline are truly `difference` away from it at every batch size, by paired
    differences with that sd, whose correlation is 1/2 as they share the baseline. All comparisons
    are a family by Holm, for a difference and for equivalence within the `margin`. What is decided
    is trained no further, and so is the baseline of a batch size where all is. The same random
    numbers are drawn on every call.
    """
    rng, comparisons = np.random.default_rng(0), batch_sizes * (norms - 1)
    differing, equal = (_boundaries(sides * alpha, comparisons, most) for sides in (1, 2))
    at_once = max(1, CHUNK // (comparisons * most))
    found = []
    for done in range(0, COURSES, at_once):
        simulated = min(at_once, COURSES - done)
        runs = rng.normal(0.0, sd / math.sqrt(2), (batch_sizes, norms, simulated, most))
        values = (difference + runs[:, 1:] - runs[:, :1]).reshape(-1, simulated, most)
        rejected = _rejected(_steps(np.abs(t_statistics(values)), differing))
        if margin:
            above = _steps(t_statistics(values, -margin), equal)
            below = _steps(-t_statistics(values, margin), equal)
            rejected |= _rejected(np.minimum(above, below))
        found.append(rejected)
    decided = np.concatenate(found, axis=1)
    stops = np.where(decided.any(axis=-1), decided.argmax(axis=-1) + 1, most)
    per_place = stops.reshape(batch_sizes, norms - 1, COURSES)
    trials = (per_place.sum(axis=1) + per_place.max(axis=1)).sum(axis=0)
    return Course(
        float(decided[..., -1].all(axis=0).mean()),
        _quantiles(stops.max(axis=0)),
        _quantiles(trials),
    )


def _boundaries(alpha: float, comparisons: int, most: int) -> np.ndarray:
    """Those of looks 1 to `most`, in SE, at alpha, alpha / 2, ..., alpha / comparisons.

    Of shape (comparisons, most), ascending in each look.
    """
    levels = [alpha / (step + 1) for step in range(comparisons)]
    return np.array([[half_width(n, level) for n in range(1, most + 1)] for level in levels])


def _steps(statistics: np.ndarray, boundaries: np.ndarray) -> np.ndarray:
    """At how many of the levels a look so far has crossed its boundary: as statistics (..., looks).

    They are those of the steps of Holm's procedure, so nothing is lost of the p value.
    """
    found = np.empty(statistics.shape, dtype=np.int64)
    for look, of_look in enumerate(boundaries.T):
        own = np.nan_to_num(statistics[..., look], nan=-math.inf)
        found[..., look] = np.searchsorted(of_look, own, side="right")
    return np.maximum.accumulate(found, axis=-1)


def _rejected(steps: np.ndarray) -> np.ndarray:
    """What Holm's procedure rejects, of the comparisons along the first axis: as `steps`."""
    comparisons = len(steps)
    needed = np.arange(comparisons, 0, -1).reshape(-1, *[1] * (steps.ndim - 1))
    in_turn = np.logical_and.accumulate(-np.sort(-steps, axis=0) >= needed, axis=0)
    return steps > comparisons - in_turn.sum(axis=0)


def _quantiles(values: np.ndarray) -> tuple[int, int, int]:
    low, middle, high = np.quantile(values, (0.1, 0.5, 0.9), method="inverted_cdf")
    return int(low), int(middle), int(high)
