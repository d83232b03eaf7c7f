"""The minima of many functions of one variable at once, each to the bits that scipy finds alone."""

from collections.abc import Callable

import numpy as np

TOLERANCE = 1e-5  # of the place of a minimum
MOST_CALLS = 500

# Values of the functions with these numbers, both of shape (A,), at places of that shape.
Functions = Callable[[np.ndarray, np.ndarray], np.ndarray]

_GOLDEN = 0.5 * (3.0 - np.sqrt(5.0))
_ROUNDING = np.sqrt(2.2e-16)


def bounded_minima(functions: Functions, count: int, low: float, high: float) -> np.ndarray:
    """Where each of `count` functions is least between `low` and `high`: float64 (count,).

    Brent's method of golden sections and parabolas (1973, Algorithms for Minimization without
    Derivatives, chapter 5), step by step that of ``scipy.optimize.minimize_scalar`` with the method
    "bounded", for all functions together: those that are done are not called again.
    """
    a, b = np.full(count, low), np.full(count, high)
    best = a + _GOLDEN * (b - a)
    second, third = best.copy(), best.copy()
    step, before = np.zeros(count), np.zeros(count)
    f_best = functions(np.arange(count), best)
    f_second, f_third = f_best.copy(), f_best.copy()
    for _ in range(MOST_CALLS - 1):
        middle = 0.5 * (a + b)
        least = _ROUNDING * np.abs(best) + TOLERANCE / 3.0
        open_ = np.abs(best - middle) > 2.0 * least - 0.5 * (b - a)
        i = np.flatnonzero(open_)
        if not len(i):
            break
        step[i], before[i] = _next_step(
            *(each[i] for each in (a, b, best, second, third, f_best, f_second, f_third)),
            *(each[i] for each in (step, before, middle, least)),
        )
        x = best[i] + _sign(step[i]) * np.maximum(np.abs(step[i]), least[i])
        f_x = functions(i, x)
        better = f_x <= f_best[i]
        inner = np.where(better, best[i], x)  # what bounds the minimum from now on
        above = np.where(better, x >= best[i], x < best[i])
        a[i], b[i] = np.where(above, inner, a[i]), np.where(above, b[i], inner)
        runner_up = ~better & ((f_x <= f_second[i]) | (second[i] == best[i]))
        last = ~better & ~runner_up
        last &= (f_x <= f_third[i]) | (third[i] == best[i]) | (third[i] == second[i])
        moved = better | runner_up
        third[i] = np.where(moved, second[i], np.where(last, x, third[i]))
        f_third[i] = np.where(moved, f_second[i], np.where(last, f_x, f_third[i]))
        second[i] = np.where(better, best[i], np.where(runner_up, x, second[i]))
        f_second[i] = np.where(better, f_best[i], np.where(runner_up, f_x, f_second[i]))
        best[i], f_best[i] = np.where(better, x, best[i]), np.where(better, f_x, f_best[i])
    return best


def _next_step(
    a: np.ndarray,
    b: np.ndarray,
    best: np.ndarray,
    second: np.ndarray,
    third: np.ndarray,
    f_best: np.ndarray,
    f_second: np.ndarray,
    f_third: np.ndarray,
    step: np.ndarray,
    before: np.ndarray,
    middle: np.ndarray,
    least: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The step from the best place, and the one that the next parabola is held against: (A,)."""
    r = (best - second) * (f_best - f_third)
    q = (best - third) * (f_best - f_second)
    p = (best - third) * q - (best - second) * r
    q = 2.0 * (q - r)
    p, q = np.where(q > 0.0, -p, p), np.abs(q)
    fits = np.abs(before) > least
    fits &= (np.abs(p) < np.abs(0.5 * q * before)) & (p > q * (a - best)) & (p < q * (b - best))
    parabola = np.divide(p, q, out=np.zeros_like(p), where=fits)
    x = best + parabola
    at_edge = (x - a < 2.0 * least) | (b - x < 2.0 * least)
    parabola = np.where(at_edge, least * _sign(middle - best), parabola)
    section = np.where(best >= middle, a - best, b - best)
    return np.where(fits, parabola, _GOLDEN * section), np.where(fits, step, section)


def _sign(values: np.ndarray) -> np.ndarray:
    """1 or -1; 1 for 0."""
    return np.where(values >= 0, 1.0, -1.0)
