"""Tests that stay valid however often differences are looked at: alpha is spent look by look.

By the look after n differences, n >= `FIRST`, a share ``spent(n)`` of the level alpha has been
spent: under the null, exactly that is the probability that ``|mean| / SE`` has by then reached the
boundary b_n of one of the looks. So it is valid to look after every difference, to leave looks out,
and to stop at any time. Sources: Lan and DeMets 1983, doi 10.1093/biomet/70.3.659 (spending);
Jennison and Turnbull 1999, Group Sequential Methods, chapter 19 (recursion). Why one dimension is
enough, although the variance is unknown: see `half_widths`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.polynomial import chebyshev
from numpy.polynomial.legendre import leggauss
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from scipy.special import gammaln, stdtr, stdtrit

from normscope.stats.mixture import Interval, equal_at_first, intersected, last_of

FIRST = 6  # the first look
LAST = 200  # the last look whose boundary is exact; later ones use the union bound
SMALLEST = 1e-9  # the smallest level that is in the table
KNOTS, STEPS = 81, 16  # levels in the table, and how many steps there are from one to the next

_NODES, _WEIGHTS = leggauss(96)
_TERMS = 64  # of the series that a density is


def spent(n: int | np.ndarray) -> float | np.ndarray:
    """The share of alpha that is spent by look n: 9 % at 6, 36 % at 10, 67 % at 20, 80 % at 30."""
    return 1 - (20 / (n + 15)) ** 2


# -- the boundaries of one level, exactly ----------------------------------------------------------


def half_widths(alpha: float, last: int) -> np.ndarray:
    """The boundaries b_n of the looks n = `FIRST`, ..., `last` at a level, 0 < alpha <= 1.

    With S the sum and V the sum of squares of n differences whose mean is 0, U_n = S / sqrt(V) is a
    Markov chain: with z = t / sqrt(n), where t has Student's distribution with n degrees of freedom
    and is independent of the past (Basu), ``U_{n+1} = (U_n + z) / sqrt(1 + z^2)``. ``|mean| / SE``
    is at least b where ``|U_n| >= c = b sqrt(n / (n - 1 + b^2))``. So the density of U_n over the
    paths that have crossed no boundary is carried from look to look, and c is where as much of it
    crosses as is to be spent. With ``z = tan(theta)`` the step is ``U_{n+1} = U_n cos(theta) +
    sin(theta)``, and theta has a density in proportion to ``cos(theta)^(n-1)``.
    """
    looks = islice(enumerate(_uncrossed(alpha), FIRST), last - FIRST + 1)
    return np.array([_as_width(density.c, n) for n, density in looks])


def crossed_by(alpha: float, effect: float) -> Iterator[float]:
    """The probability that the looks up to n find a mean of `effect` standard deviations, exactly.

    For n = `FIRST`, `FIRST` + 1, ... without end, at a level 0 < alpha <= 1. Given U_n, all U up to
    n are as likely under this mean, against the mean 0, as U_n is itself (S and V suffice, and only
    the scale is left out), which is ``exp(-n effect^2 / 2) E[exp(effect U_n chi)]``, chi with n
    degrees of freedom. So the density of `half_widths` needs but that weight. The crossings of both
    boundaries count.
    """
    for n, density in enumerate(_uncrossed(alpha), FIRST):
        u, weights = _nodes(-density.c, density.c)
        left = float((density(u) * _likelihood_ratio(u, n, effect) * weights).sum())
        yield min(1.0, max(0.0, 1 - left))


def _likelihood_ratio(u: np.ndarray, n: int, effect: float) -> np.ndarray:
    """Of U_n = u under a mean of `effect` standard deviations, against the mean 0: as u."""
    slope = effect * u
    peak = (slope + np.sqrt(slope**2 + 4 * (n - 1))) / 2
    chi, weights = _nodes(np.maximum(0.0, peak - 10), peak + 10)
    logs = slope[..., None] * chi + (n - 1) * np.log(chi) - chi**2 / 2
    logs += (1 - n / 2) * math.log(2) - gammaln(n / 2) - n * effect**2 / 2
    return (np.exp(logs) * weights).sum(axis=-1)


def _uncrossed(alpha: float) -> Iterator["_Density"]:
    """The density of U_n over the paths that have crossed no boundary, n = `FIRST`, ...

    It reaches from -c to c, the boundary of look n.
    """
    n = FIRST
    c = _as_share(-float(stdtrit(n - 1, alpha * spent(n) / 2)), n)
    scale = math.exp(gammaln(n / 2) - gammaln((n - 1) / 2)) / math.sqrt(math.pi * n)
    density = _Density(lambda u: scale * (1 - u * u / n) ** ((n - 3) / 2), c)
    while True:
        yield density
        if n < LAST:
            following = _crossed_by(density, n, float(alpha * (spent(n + 1) - spent(n))))
        else:
            following = _as_share(half_width(n + 1, alpha), n + 1)
        density = _stepped(density, n, following)
        n += 1


def _as_share(boundary: float, n: int) -> float:
    """The c for which ``|U_n| >= c`` where ``|mean| / SE`` is at the boundary or beyond."""
    return boundary * math.sqrt(n / (n - 1 + boundary**2))


def _as_width(c: float, n: int) -> float:
    return c * math.sqrt((n - 1) / (n - c * c))


@dataclass(frozen=True)
class _Density:
    """A symmetric function of u in [-c, c], as a series of Chebyshev polynomials."""

    coefficients: np.ndarray
    c: float

    def __init__(self, function: Callable[[np.ndarray], np.ndarray], c: float):
        places = np.cos(np.pi * (np.arange(_TERMS) + 0.5) / _TERMS)
        fitted = chebyshev.chebfit(places, function(c * places), _TERMS - 1)
        object.__setattr__(self, "coefficients", fitted)
        object.__setattr__(self, "c", c)

    def __call__(self, u: np.ndarray) -> np.ndarray:
        return chebyshev.chebval(u / self.c, self.coefficients)


def _nodes(low: np.ndarray | float, high: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Places and weights of Gauss and Legendre between each low and high, along a new axis."""
    low, half = np.asarray(low)[..., None], ((np.asarray(high) - low) / 2)[..., None]
    return low + half * (_NODES + 1), half * _WEIGHTS


def _crossed_by(density: _Density, n: int, share: float) -> float:
    """The c of look n + 1 beyond which that share of all paths goes from within look n's."""
    c, root = density.c, math.sqrt(n)

    def beyond(following: float) -> float:
        low = math.sqrt(following**2 - 1) if following >= 1 else -c  # from below it none gets there
        if low >= c:
            return 0.0
        w, weights = _nodes(0.0, 1.0)
        u, width = low + (c - low) * w * w, 2 * (c - low) * w
        first = np.arcsin(np.minimum(1, following / np.sqrt(1 + u * u)))
        turn = np.arctan(u)
        start, end = first - turn, np.minimum(math.pi - first - turn, math.pi / 2)
        tail = np.where(end >= math.pi / 2, 0, stdtr(n, -root * np.tan(end)))
        reached = stdtr(n, -root * np.tan(start)) - tail
        return 2 * float((density(u) * reached * width * weights).sum())

    most = math.sqrt(1 + c * c)
    return brentq(lambda at: beyond(at) - share, 1e-6, most, xtol=1e-13)  # type: ignore[return-value]


def _stepped(density: _Density, n: int, following: float) -> _Density:
    """The density of U_{n+1} over the paths that have not crossed, by look n + 1 either."""
    c = density.c
    scale = math.exp(gammaln((n + 1) / 2) - gammaln(n / 2)) / math.sqrt(math.pi)
    reach, turn = min(math.pi / 2, 9 / math.sqrt(n)), math.atan(c)  # beyond it theta has no weight

    def value(v: np.ndarray) -> np.ndarray:
        v = np.abs(v)
        middle = np.arcsin(np.minimum(1, v / math.sqrt(1 + c * c)))
        low = np.maximum(middle - turn, -reach)
        high = np.minimum(np.minimum(turn + middle, math.pi - turn - middle), reach)
        theta, weights = _nodes(low, high)
        u = (v[..., None] - np.sin(theta)) / np.cos(theta)
        inside = density(np.clip(u, -c, c)) * np.cos(theta) ** (n - 2)
        return scale * (inside * weights).sum(axis=-1)

    return _Density(value, following)


# -- the boundaries of all levels, from a table ----------------------------------------------------


def knots() -> np.ndarray:
    """The levels in the table, ascending, denser towards 1: (`KNOTS`,)."""
    return np.exp(_log_levels(KNOTS))


def _log_levels(count: int) -> np.ndarray:
    return math.log(SMALLEST) * np.square(np.linspace(1, 0, count))


def computed_table() -> np.ndarray:
    """What the table holds: (`KNOTS`, `LAST` - `FIRST` + 1). It takes a minute.

    It is the logarithm of the nominal level of each look (that of a t test with its boundary) over
    the level. `write_table` writes it.
    """
    n = np.arange(FIRST, LAST + 1)
    widths = np.array([half_widths(level, LAST) for level in knots()])
    return np.log(2 * stdtr(n - 1, -widths) / knots()[:, None])


@cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    """Log levels, ascending: (L,); and log nominal levels: (`LAST` - `FIRST` + 1, L).

    Between two of them both are taken to be on a line, so that either follows from the other.
    """
    with as_file(files("normscope.stats") / "spending.npy") as path:
        stored = np.load(path, allow_pickle=False)
    places = np.linspace(0, KNOTS - 1, (KNOTS - 1) * STEPS + 1)
    levels = _log_levels(len(places))
    return levels, levels + CubicSpline(np.arange(KNOTS), stored, axis=0)(places).T


def nominal_level(n: int, alpha: float) -> float:
    """The level of a t test whose boundary is that of look n at level alpha, 0 < alpha <= 1."""
    if n < FIRST:
        return 0.0
    if n <= LAST and alpha >= SMALLEST:
        levels, nominal = _table()
        return math.exp(np.interp(math.log(alpha), levels, nominal[n - FIRST]))
    return float(alpha * (spent(n) - (spent(n - 1) if n > FIRST else 0.0)))


def half_width(n: int, alpha: float = 0.05) -> float:
    """b_n, half the width of the confidence sequence after n values, in SE; inf below `FIRST`.

    Beyond the table it is from the union bound, which holds and is wider. It grows as alpha falls.
    """
    level = nominal_level(n, min(alpha, 1.0))
    return -float(stdtrit(n - 1, level / 2)) if level else math.inf


def _levels(n: np.ndarray, nominal: np.ndarray) -> np.ndarray:
    """The level at which each of some looks crosses that is at a nominal level; both (...,)."""
    known, all_nominal = _table()
    gained = spent(n) - np.where(n > FIRST, spent(n - 1), 0.0)
    found = nominal / gained  # by the union bound
    with np.errstate(divide="ignore"):
        logs = np.log(nominal)
    for look in np.unique(n[n <= LAST]):
        own = all_nominal[look - FIRST]
        there = (n == look) & (logs >= own[0])
        found[there] = np.exp(np.interp(logs[there], own, known))
        found[(n == look) & ~there] = np.minimum(SMALLEST, found[(n == look) & ~there])
    return np.minimum(1.0, found)


def levels_reached(differences: Sequence[float] | np.ndarray, shift: float = 0.0) -> np.ndarray:
    """The level that each look crosses at against the mean `shift`: shape (..., n), as given.

    It is 1 before `FIRST`, and at looks at which all differences so far are equal.
    """
    values = np.asarray(differences, dtype=np.float64)
    statistics = t_statistics(values, shift)
    n = np.broadcast_to(np.arange(1, values.shape[-1] + 1), values.shape)
    found = np.ones(values.shape)
    judged = (n >= FIRST) & np.isfinite(statistics)
    looks = n[judged]
    found[judged] = _levels(looks, 2 * stdtr(looks - 1, -np.abs(statistics[judged])))
    return found


def t_statistics(differences: np.ndarray, shift: float = 0.0) -> np.ndarray:
    """(mean - shift) / SE after each of the differences: shape (..., n), as given.

    NaN while all of them are equal, up to rounding.
    """
    n = np.arange(1, differences.shape[-1] + 1)
    first = differences[..., :1]
    rest = differences - first  # of numbers far from 0 the squares would lose the spread
    sums, squares = rest.cumsum(axis=-1), np.square(rest).cumsum(axis=-1)
    range_ = np.maximum.accumulate(rest, axis=-1) - np.minimum.accumulate(rest, axis=-1)
    largest = np.maximum.accumulate(np.abs(differences), axis=-1)
    variance = (squares - np.square(sums) / n) / np.maximum(n - 1, 1)
    judged = (range_ > 1e-12 * largest) & (variance > 0)
    error = np.sqrt(np.where(judged, variance, np.nan) / n)
    return (first + sums / n - shift) / error


# -- tests and intervals ---------------------------------------------------------------------------


def anytime_p_value(differences: Sequence[float]) -> float:
    """The smallest level at which a look so far has crossed its boundary, for shape (n,).

    Under the null, the probability that it has fallen to alpha by look n is alpha times
    ``spent(n)``, so that it never exceeds alpha. It is 1 before `FIRST`; looks at which all
    differences so far are equal do not count.
    """
    return float(levels_reached(differences).min(initial=1.0))


def direction_of_evidence(differences: Sequence[float]) -> int:
    """Where the mean was at the look that crosses at the smallest level: 1 if above 0, -1 if below.

    It is 0 if all differences together do not point the same way, because the looks then contradict
    each other, and where no look counts.
    """
    levels = levels_reached(differences)
    if not (levels < 1).any():
        return 0
    then = int(np.sign(np.sum(differences[: int(levels.argmin()) + 1])))
    return then if then == int(np.sign(np.sum(differences))) else 0


def confidence_sequence(differences: Sequence[float], alpha: float = 0.05) -> Interval:
    """All means that a look at the differences, shape (n,), does not refute, in their unit.

    For independent normal differences, the probability that the intervals after every n all cover
    the true mean is at least 1 - alpha. The interval is infinite for fewer than `FIRST` of them.
    If all are equal, it is a single point, and the caller decides whether to believe it.
    """
    n = len(differences)
    factor = half_width(n, alpha)
    if math.isinf(factor):
        return Interval(n, -math.inf, math.inf)
    mean = float(np.mean(differences))
    reach = factor * float(np.std(differences, ddof=1)) / math.sqrt(n)
    return Interval(n, mean - reach, mean + reach)


def running_intervals(differences: Sequence[float], alpha: float = 0.05) -> list[Interval]:
    """The means that no look so far has refuted, after 1, 2, ..., n differences.

    Each is the intersection of the `confidence_sequence` after each look up to that one. Looks at
    which all differences so far are equal do not count.
    """
    equal = equal_at_first(differences)
    return intersected(
        [
            Interval(n, -math.inf, math.inf)
            if n <= equal
            else confidence_sequence(differences[:n], alpha)
            for n in range(1, len(differences) + 1)
        ]
    )


def running_interval(differences: Sequence[float], alpha: float = 0.05) -> Interval:
    """The means that no look at the differences has refuted: the last of the `running_intervals`.

    It excludes 0 exactly when `anytime_p_value` is at most alpha. It may be empty (low > high); if
    the assumptions hold, the probability of that is at most alpha.
    """
    return last_of(running_intervals(differences, alpha))


def equivalence_p_value(differences: Sequence[float], margin: float) -> float:
    """The smallest level at which two one-sided tests find the mean within +-`margin`.

    Each has been crossed by a look so far, not necessarily the same: the running interval at twice
    that level lies within the margin. If the mean is not within it, the probability that this ever
    falls to alpha is at most alpha. Source: Schuirmann 1987, doi 10.1007/BF01068419.
    """
    return float(equivalence_levels(differences, margin)[-1]) if len(differences) else 1.0


def equivalence_levels(differences: Sequence[float] | np.ndarray, margin: float) -> np.ndarray:
    """The `equivalence_p_value` after each of the differences: shape (..., n), as given."""
    values = np.asarray(differences, dtype=np.float64)
    found = np.zeros(values.shape)
    for edge, side in ((-margin, 1), (margin, -1)):
        beyond = t_statistics(values, edge) * side > 0
        levels = np.where(beyond, levels_reached(values, edge), 1.0)
        found = np.maximum(found, np.minimum.accumulate(levels, axis=-1) / 2)
    return np.where(found < 0.5, found, 1.0)


def write_table() -> None:
    """Compute the table, and write it beside this file, in a source tree."""
    np.save(Path(__file__).with_name("spending.npy"), computed_table())
