"""Where the variance of a layer's maps comes from: channels, samples, both together, or pixels."""

from dataclasses import dataclass

import torch

from normscope.probes.sums import Sums


@dataclass(frozen=True)
class VarianceShares:
    """Four shares of the variance of x (N, C, H, W) that add up to 1; NaN if it does not vary.

    `channel` is that of the channels' means over samples and pixels, `sample` that of the samples'
    means over channels and pixels, `interaction` what is left of the means of single maps, and
    `spatial` the variance over the pixels of a map. The mean of ln removes the sample's share
    alone, that of in the interaction too, and that of bn the channel's.
    """

    channel: float
    sample: float
    interaction: float
    spatial: float


def variance_shares_of(sums: Sums) -> VarianceShares:
    means = sums.total / sums.pixels
    channel, sample, interaction = two_way(means)
    spatial = float((sums.squares / sums.pixels - means.square()).mean().clamp_min(0))
    parts = channel, sample, interaction, spatial
    whole = sum(parts)
    return VarianceShares(*(part / whole if whole else float("nan") for part in parts))


def two_way(table: torch.Tensor) -> tuple[float, float, float]:
    """The variance of a table (N, C): of its columns' means, of its rows' means, and the rest."""
    columns, rows = table.mean(0), table.mean(1)
    rest = table - columns - rows[:, None] + table.mean()
    return tuple(float(part.var(correction=0)) for part in (columns, rows, rest.flatten()))  # pyright: ignore


@dataclass(frozen=True)
class StatisticShares:
    """Shares of the variance of a statistic of single maps, (N, C), that add up to 1.

    If one channel is one feature wherever it looks, its statistics belong to the channel.
    """

    channel: float
    image: float
    interaction: float


def shares_of_means(sums: Sums) -> StatisticShares:
    """Of the maps' means."""
    return _statistic_shares(sums.total / sums.pixels)


def shares_of_log_deviations(sums: Sums) -> StatisticShares:
    """Of the logarithms of the maps' standard deviations, over channels that vary in all maps."""
    means = sums.total / sums.pixels
    variances = sums.squares / sums.pixels - means.square()
    varying = (variances > 0).all(0)
    return _statistic_shares(variances[:, varying].log() / 2)


def _statistic_shares(table: torch.Tensor) -> StatisticShares:
    if not table.numel():
        return StatisticShares(*[float("nan")] * 3)
    parts = two_way(table)
    whole = sum(parts)
    return StatisticShares(*(part / whole if whole else float("nan") for part in parts))
