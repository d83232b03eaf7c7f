"""How far the channels of a layer resemble each other."""

from dataclasses import dataclass

import torch

from normscope.probes.sums import LIVE, Sums

CORRELATED = 1e-6  # a ridge for the inverse of a correlation matrix that has none


@dataclass(frozen=True)
class Redundancy:
    """Of the C live channels of a layer, from their correlations r over samples and pixels.

    `mean_abs_r` is over pairs, `best_r2` the mean over channels of the largest r^2 with another,
    `effective_rank` exp of the entropy of the normalized eigenvalues of the correlation matrix, and
    `sameness` (C - effective_rank) / (C - 1): 0 for uncorrelated channels, 1 for equal ones.
    `r2_from_others` is the mean share of a channel's variance that all others together predict. All
    but `live`, the number C, are NaN with fewer than two live channels.
    """

    live: int
    mean_abs_r: float
    best_r2: float
    effective_rank: float
    sameness: float
    r2_from_others: float


def redundancy_of(correlations: torch.Tensor) -> Redundancy:
    """From the correlation matrix of live channels, float64 (C, C)."""
    live = len(correlations)
    if live < 2:
        return Redundancy(live, *[float("nan")] * 5)
    off_diagonal = correlations - torch.diag(torch.diagonal(correlations))
    eigenvalues = torch.linalg.eigvalsh(correlations).clamp_min(0)
    shares = eigenvalues / eigenvalues.sum()
    rank = float(torch.exp(torch.special.entr(shares).sum()))
    ridge = CORRELATED * torch.eye(live, dtype=correlations.dtype)
    inverse = torch.linalg.inv(correlations + ridge)
    return Redundancy(
        live=live,
        mean_abs_r=float(off_diagonal.abs().sum() / (live * (live - 1))),
        best_r2=float(off_diagonal.square().amax(1).mean()),
        effective_rank=rank,
        sameness=(live - rank) / (live - 1),
        r2_from_others=float((1 - 1 / torch.diagonal(inverse)).clamp(0, 1).mean()),
    )


def correlations_of(sums: Sums) -> torch.Tensor:
    """Correlations of the live channels over samples and pixels: float64, (C_live, C_live)."""
    return _correlations(sums.products, sums.total.sum(0), sums.count)


def pooled_correlations_of(sums: Sums) -> torch.Tensor:
    """Correlations over samples of the channels' means over pixels: float64, (C_live, C_live)."""
    means = sums.total / sums.pixels
    return _correlations(means.T @ means, means.sum(0), len(means))


def _correlations(products: torch.Tensor, total: torch.Tensor, count: int) -> torch.Tensor:
    covariance = products / count - torch.outer(total, total) / count**2
    variances = torch.diagonal(covariance)
    live = variances > LIVE * variances.max()
    deviations = variances[live].sqrt()
    return covariance[live][:, live] / torch.outer(deviations, deviations)
