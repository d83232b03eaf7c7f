"""Probes of the maps at the norm layers: what they are like in a network that stands still."""

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import torch

from normscope.probes.maps import shuffled_sums
from normscope.probes.moment import LOOKED_AT, Moment
from normscope.probes.redundancy import (
    Redundancy,
    correlations_of,
    pooled_correlations_of,
    redundancy_of,
)
from normscope.probes.sums import LIVE, Sums
from normscope.probes.variance import (
    shares_of_log_deviations,
    shares_of_means,
    variance_shares_of,
)

Readings = dict[str, np.ndarray]

NOTHING = Redundancy(0, *[float("nan")] * 5)


def redundancy(moment: Moment) -> Readings:
    """`Redundancy` of every norm layer, (L,), in three ways of looking: see `SCALES`."""
    readings: Readings = {}
    for scale, of in SCALES.items():
        rows = [asdict(of(each)) for each in moment.looks]
        readings |= {f"{measure}_{scale}": v for measure, v in by_field(rows).items()}
    return readings


def _of(sums: Sums) -> Redundancy:
    return redundancy_of(correlations_of(sums))


# Per position of the norm's input; of its means over positions, in which brightness and contrast
# of the images count; and before the activation.
SCALES: dict[str, Callable] = {
    "position": lambda look: _of(look.input),
    "pooled": lambda look: redundancy_of(pooled_correlations_of(look.input)),
    "before_activation": lambda look: NOTHING if look.before is None else _of(look.before),
}


def floor(moment: Moment) -> Readings:
    """`Redundancy` per position of maps that are shuffled between images, (L,).

    Per position it cannot be lower: this much comes from what all images share, and from their
    number.
    """
    precise = moment.precise
    sums = shuffled_sums(precise.network, precise.norms, moment.test[0][:LOOKED_AT])
    return by_field([asdict(_of(each)) for each in sums])


def variance(moment: Moment) -> Readings:
    """The four shares of the variance of every norm layer's input, (L,)."""
    return by_field([asdict(variance_shares_of(look.input)) for look in moment.looks])


def features(moment: Moment) -> Readings:
    """Shares of channel, image and interaction, (L,), in means and log deviations of maps."""
    rows = []
    for look in moment.looks:
        means, deviations = shares_of_means(look.input), shares_of_log_deviations(look.input)
        rows.append(
            {f"mean_{name}": value for name, value in asdict(means).items()}
            | {f"log_sd_{name}": value for name, value in asdict(deviations).items()}
        )
    return by_field(rows)


def gap(moment: Moment) -> Readings:
    """The affine gap of every norm layer, (L,)."""
    return {"affine_gap": np.array([look.affine_gap for look in moment.looks])}


def channels(moment: Moment) -> Readings:
    """Mean and sd of every channel that goes into a norm and comes out of it, (L, C).

    A layer with fewer channels than the widest ends in NaN.
    """
    widest = max(look.input.total.shape[1] for look in moment.looks)
    rows = []
    for look in moment.looks:
        both = {"input": look.input, "output": look.output}
        rows.append(
            {f"{where}_mean": _padded(sums.means, widest) for where, sums in both.items()}
            | {
                f"{where}_sd": _padded(sums.variances.sqrt(), widest)
                for where, sums in both.items()
            }
        )
    return by_field(rows)


def dead(moment: Moment) -> Readings:
    """How many channels of every norm's input are dead, (L,): they do not vary over images."""
    rows = [look.input.variances for look in moment.looks]
    return {"dead": np.array([int((var <= LIVE * var.max()).sum()) for var in rows], float)}


def _padded(values: torch.Tensor, width: int) -> np.ndarray:
    return np.pad(values.numpy(force=True), (0, width - len(values)), constant_values=np.nan)


def by_field(rows: list[dict]) -> Readings:
    return {name: np.array([row[name] for row in rows], float) for name in rows[0]}
