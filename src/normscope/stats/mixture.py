"""Evidence that stays valid however often it is looked at: e-processes and confidence sequences.

These are the tests of the first version of the rules of verdicts, and those of signs of both
versions; the second judges means by `spending`.

An e-process is a bet against the null hypothesis. It starts at 1, and under the null the
probability that it ever reaches 1/alpha is at most alpha (Ville's inequality). It is therefore
valid to look after every seed and to stop at any time. A confidence sequence consists of all values
that the bets against them have not refuted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaln

from normscope.stats.estimates import all_equal

MIXTURE = 1.0  # c^2: the bet is on means that are normally distributed with variance sd^2 / c^2


@dataclass(frozen=True)
class Interval:
    """The range of a mean after n values; `low` and `high` are infinite while nothing is known."""

    n: int
    low: float
    high: float


def log_e_values(differences: Sequence[float] | np.ndarray) -> np.ndarray:
    """Log evidence against mean 0 after each of the differences: shape (..., n), as given.

    This is the Gaussian-mixture t e-process, for independent normal differences of unknown
    variance. With the sum S, the sum of squares V and c2 = `MIXTURE`::

        log E_n = 1/2 ln(c2 / (n + c2)) + n/2 ln((n + c2) V / ((n + c2) V - S^2))

    Sources: Wang and Ramdas 2023, arXiv 2310.03722; Lindon et al. 2022, arXiv 2210.08589. The
    second term is 0 if all differences are 0. The result does not depend on the unit of the
    differences.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = np.arange(1, values.shape[-1] + 1)
    sums, squares = values.cumsum(axis=-1), np.square(values).cumsum(axis=-1)
    scale = (n + MIXTURE) * squares
    share = np.divide(np.square(sums), scale, out=np.zeros_like(scale), where=scale > 0)
    return 0.5 * np.log(MIXTURE / (n + MIXTURE)) - n / 2 * np.log1p(-share)


def log_e_value(differences: Sequence[float]) -> float:
    """Log evidence against mean 0 after all differences, shape (n,): see `log_e_values`.

    It is 0 (no evidence) for no differences and for a single one, and below 0 if all are 0.
    """
    return float(log_e_values(differences)[-1]) if len(differences) else 0.0


def log_e_value_of_signs(differences: Sequence[float]) -> float:
    """Log evidence that one sign is more frequent among the differences, shape (n,).

    Zeros are left out. It is used where only the sign of a difference is known, because a trial
    guesses or never reached a level. It is a uniform mixture of bets on the probability of a plus,
    against 1/2. With a pluses and b minuses, E = 2^(a+b) B(a+1, b+1). Source: Robbins 1970, doi
    10.1214/aoms/1177696786.
    """
    return float(_log_e_values_of_signs(differences)[-1]) if len(differences) else 0.0


def _log_e_values_of_signs(differences: Sequence[float]) -> np.ndarray:
    """The same after each of the differences: shape (n,), as given."""
    signs = np.sign(differences)
    plus, minus = np.cumsum(signs == 1), np.cumsum(signs == -1)
    return (plus + minus) * math.log(2) + betaln(plus + 1, minus + 1)


def anytime_p_value(differences: Sequence[float]) -> float:
    """``min(1, 1 / max E)``, with the maximum over a look after each difference, shape (n,).

    Under the null, the probability that it ever falls to alpha is at most alpha. Looks at which all
    differences so far are equal do not count: without a spread the t e-process cannot judge.
    """
    return _p_value(log_e_values(differences)[equal_at_first(differences) :])


def anytime_p_value_of_signs(differences: Sequence[float]) -> float:
    """The same with the E of `log_e_value_of_signs`."""
    return _p_value(_log_e_values_of_signs(differences))


def _p_value(logs: np.ndarray) -> float:
    return float(min(1.0, math.exp(-max(logs)))) if len(logs) else 1.0


def direction_of_evidence(differences: Sequence[float]) -> int:
    """Where the mean was at the look with the most evidence: 1 if above 0, -1 if below.

    It is 0 if all differences together do not point the same way, because the looks then contradict
    each other, and where no look counts.
    """
    return _direction(log_e_values(differences), differences, equal_at_first(differences))


def direction_of_signs(differences: Sequence[float]) -> int:
    """The same for the signs: which of the two was more frequent at the look with most evidence."""
    return _direction(_log_e_values_of_signs(differences), np.sign(differences), 0)


def _direction(logs: np.ndarray, values: Sequence[float] | np.ndarray, first: int) -> int:
    if first >= len(values):
        return 0
    most = first + int(np.argmax(logs[first:])) + 1
    then, now = int(np.sign(np.sum(values[:most]))), int(np.sign(np.sum(values)))
    return then if then == now else 0


def equal_at_first(differences: Sequence[float]) -> int:
    """The number of differences before the first one that differs from those before it.

    All of them if none does.
    """
    looks = range(2, len(differences) + 1)
    unlike = (n for n in looks if not all_equal(differences[:n]))
    return next(unlike, len(differences) + 1) - 1


def half_width(n: int, alpha: float = 0.05) -> float:
    """Half the width of the confidence sequence after n values, in standard errors; may be inf.

    It is ``sqrt((n-1) (1-k) / (k-r))`` with r = c2/(n+c2) and k = (r alpha^2)^(1/n) if k > r, and
    infinite otherwise.
    """
    r = MIXTURE / (n + MIXTURE)
    k = (r * alpha**2) ** (1 / n)
    return math.sqrt((n - 1) * (1 - k) / (k - r)) if k > r else math.inf


def confidence_sequence(differences: Sequence[float], alpha: float = 0.05) -> Interval:
    """All means that the differences, shape (n,), do not refute, in the unit of the differences.

    For independent normal differences, the probability that the intervals after every n all cover
    the true mean is at least 1 - alpha. The interval is infinite for few differences (up to 4 at
    5 %). If all differences are equal, the formula gives a single point, and the caller decides
    whether to believe it.
    """
    n = len(differences)
    factor = half_width(n, alpha) if n else math.inf
    if math.isinf(factor):
        return Interval(n, -math.inf, math.inf)
    mean = float(np.mean(differences))
    reach = factor * float(np.std(differences, ddof=1)) / math.sqrt(n)
    return Interval(n, mean - reach, mean + reach)


def confidence_sequences(differences: Sequence[float], alpha: float = 0.05) -> list[Interval]:
    """The confidence sequence after 1, 2, ..., n differences."""
    return [confidence_sequence(differences[:n], alpha) for n in range(1, len(differences) + 1)]


def running_intervals(differences: Sequence[float], alpha: float = 0.05) -> list[Interval]:
    """The means that no look so far has refuted, after 1, 2, ..., n differences.

    Each is the intersection of the `confidence_sequences` up to that look. Looks at which all
    differences so far are equal do not count.
    """
    equal = equal_at_first(differences)
    looks = [
        Interval(look.n, -math.inf, math.inf) if look.n <= equal else look
        for look in confidence_sequences(differences, alpha)
    ]
    return intersected(looks)


def intersected(looks: Sequence[Interval]) -> list[Interval]:
    """The intersection of the intervals up to each look; empty ones have low > high."""
    lows = np.maximum.accumulate([look.low for look in looks])
    highs = np.minimum.accumulate([look.high for look in looks])
    return [
        Interval(look.n, float(low), float(high))
        for look, low, high in zip(looks, lows, highs, strict=True)
    ]


def running_interval(differences: Sequence[float], alpha: float = 0.05) -> Interval:
    """The means that no look at the differences has refuted: the last of the `running_intervals`.

    It excludes 0 exactly when `anytime_p_value` is at most alpha. It may be empty (low > high); if
    the assumptions hold, the probability of that is at most alpha.
    """
    return last_of(running_intervals(differences, alpha))


def last_of(running: Sequence[Interval]) -> Interval:
    """The last of the intervals; before the first difference nothing is known."""
    return running[-1] if running else Interval(0, -math.inf, math.inf)
