"""How many seeds to plan for, before anything is trained."""

from dataclasses import dataclass

from normscope.errors import UsageError
from normscope.experiment import LEAST_SEEDS
from normscope.stats import seeds_for_power, stopping_times

POWERS = (0.5, 0.8, 0.9)


@dataclass(frozen=True)
class SeedPlan:
    """Seeds per norm by which a share of all comparisons with such a difference finds it.

    `fixed`, `sequential`: by share, as in `POWERS`; None where 1,000 seeds would not do.
    """

    difference_points: float
    sd_points: float
    norms: int
    alpha: float
    fixed: dict[float, int | None]
    sequential: dict[float, int | None]

    @property
    def comparisons(self) -> int:
        return self.norms - 1


def plan_seeds(difference: float, sd: float, norms: int, alpha: float) -> SeedPlan:
    """Seeds for a true difference to the baseline, in points, at that sd of paired differences.

    Every comparison is tested at alpha over their number, Holm's first and strictest step. Fixed:
    exact power of a paired t test. Sequential: simulated, a look after every seed, stopping after 6
    at the earliest. Raises `UsageError` on values that make no plan.
    """
    for name, value in (("difference", difference), ("sd", sd)):
        if not 0 < value < float("inf"):
            raise UsageError(f"the {name} must be above 0 points, not {value:g}")
    if norms < 2:
        raise UsageError("a comparison needs two norms or more")
    if not 1e-6 <= alpha < 0.5:
        raise UsageError(f"alpha must lie between 0.000001 and 0.5, not {alpha:g}")
    level = alpha / (norms - 1)
    stops = stopping_times(difference, sd, level, LEAST_SEEDS)
    return SeedPlan(
        difference,
        sd,
        norms,
        alpha,
        {power: seeds_for_power(difference, sd, power, level) for power in POWERS},
        dict(zip(POWERS, (stops.median, stops.of_80_percent, stops.of_90_percent), strict=True)),
    )
