"""Differences found in several settings -> what another setting of that kind would show.

A setting is a data set with a network. The settings are taken as a random draw: the true difference
is another one in each of them, normal around a mean with standard deviation tau. In setting j the
estimate d_j has the standard error s_j on top.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import root_scalar
from scipy.stats import t as student_t


@dataclass(frozen=True)
class RandomEffects:
    """The mean over settings, its standard error, and tau: all in the unit of the differences."""

    settings: int
    mean: float
    standard_error: float
    tau: float

    @property
    def p_value(self) -> float:
        """Two-sided, of the hypothesis that the mean over settings is 0."""
        return float(2 * student_t.sf(abs(self.mean) / self.standard_error, self.settings - 1))

    def equivalence_p_value(self, margin: float) -> float:
        """The larger p value of two one-sided tests: the mean is below -`margin`, or above it.

        It is at most alpha where the interval at 2 alpha lies within +-`margin`.
        """
        room = margin - abs(self.mean)
        return float(student_t.sf(room / self.standard_error, self.settings - 1))

    def interval(self, alpha: float) -> tuple[float, float]:
        """For the mean over settings: Student's t with J - 1 degrees of freedom."""
        half = float(student_t.isf(alpha / 2, self.settings - 1)) * self.standard_error
        return self.mean - half, self.mean + half

    def prediction(self, alpha: float) -> tuple[float, float] | None:
        """For the true difference in one more setting; None for fewer than three settings.

        ``mean +- t(1 - alpha/2, J - 2) * sqrt(tau^2 + standard_error^2)``. Source: Higgins,
        Thompson and Spiegelhalter 2009, doi 10.1111/j.1467-985X.2008.00552.x, equation 12.
        """
        if self.settings < 3:
            return None
        spread = math.hypot(self.tau, self.standard_error)
        half = float(student_t.isf(alpha / 2, self.settings - 2)) * spread
        return self.mean - half, self.mean + half


def paule_mandel(differences: Sequence[float], standard_errors: Sequence[float]) -> float:
    """Tau squared, the variance of the true difference between settings; at least 0.

    The differences d_j and their standard errors s_j > 0 have shape (J,). Tau squared solves
    ``sum w_j (d_j - m)^2 = J - 1``, where w_j = 1 / (s_j^2 + tau^2) and m is the mean with these
    weights. Source: Paule and Mandel 1982, doi 10.6028/jres.087.022.
    """
    d, variances = np.asarray(differences, float), np.square(np.asarray(standard_errors, float))

    def excess(tau_squared: float) -> float:
        weights = 1 / (variances + tau_squared)
        mean = np.average(d, weights=weights)
        return float(weights @ (d - mean) ** 2) - (len(d) - 1)

    if excess(0.0) <= 0:
        return 0.0
    most = len(d) * float(np.ptp(d)) ** 2  # there the sum is below 1 / 4
    return root_scalar(excess, bracket=(0.0, most), xtol=1e-12 * most).root


def random_effects(
    differences: Sequence[float], standard_errors: Sequence[float]
) -> RandomEffects | None:
    """Mean over settings by a random-effects model; None for fewer than two settings.

    The differences d_j and their standard errors s_j > 0 have shape (J,). The mean has the weights
    w_j = 1 / (s_j^2 + tau^2), with tau by `paule_mandel`. Its standard error is
    ``sqrt(sum w_j (d_j - mean)^2 / ((J - 1) sum w_j))``. Source: Hartung and Knapp 2001, doi
    10.1002/sim.791; Sidik and Jonkman 2002, doi 10.1002/sim.1262.

    With few settings that may be far too small, so it has two lower bounds. One is
    ``1 / sqrt(sum w_j)``, what the s_j alone leave open: settings that agree by chance are no proof
    that all do. Source: Knapp and Hartung 2003, doi 10.1002/sim.1482. The other is that of the
    plain mean, ``sd(d) / sqrt(J)``. The s_j come from a few seeds; a setting that looks more
    certain than it is gets too much weight, and the formula takes the weights for known. The plain
    t interval makes no use of them, and at 5 % it covers at least as often as it says, however much
    the settings differ in precision. Source: Bakirov and Szekely 2006, doi
    10.1007/s10958-006-0366-5.
    """
    d, count = np.asarray(differences, float), len(differences)
    if count < 2:
        return None
    tau_squared = paule_mandel(differences, standard_errors)
    weights = 1 / (np.square(np.asarray(standard_errors, float)) + tau_squared)
    mean = float(np.average(d, weights=weights))
    excess = max(1.0, float(weights @ (d - mean) ** 2) / (count - 1))
    squared = max(excess / float(weights.sum()), float(np.var(d, ddof=1)) / count)
    return RandomEffects(count, mean, math.sqrt(squared), math.sqrt(tau_squared))
