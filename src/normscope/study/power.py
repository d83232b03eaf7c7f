"""How many seeds to plan for, before anything is trained."""

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from normscope.errors import UsageError
from normscope.experiment import LEAST_SEEDS, Experiment
from normscope.stats import seeds_for_power, stopping_times
from normscope.store import Store
from normscope.study.comparison import Comparison
from normscope.words import counted, number

POWERS = (0.5, 0.8, 0.9)

# The sd of paired differences in points, pooled over norms: of which data set and network, and
# where it was measured (docs/statistics.md, section 9).
TYPICAL = {
    ("cifar10", "s8"): (0.96, "ten float32 seeds of gn and ln against bn, 15 epochs"),
}


@dataclass(frozen=True)
class Known:
    """What a plan may start from; `words` say where the sd is from, or of what none is known.

    `sd`: of paired differences in points. `seconds_per_trial`: None where it must be timed.
    """

    experiment: Experiment
    words: str
    sd: float | None
    norms: int
    seconds_per_trial: float | None


def pilot_in(folder: Path) -> Known:
    """What the experiment in a folder says.

    Its sd is pooled over the norms: the root of the mean variance of their differences, each with
    the weight of its seeds less one. Raises `UsageError` if there is no experiment.
    """
    if not Store.exists(folder):
        raise UsageError(f"{folder} holds no normscope experiment")
    analysis = Comparison.read(folder).analysis
    found = [
        (verdict.norm, verdict.difference)
        for verdict in (norm.verdict for norm in analysis.norms)
        if verdict and verdict.difference.sd is not None
    ]
    freedom = sum(difference.n - 1 for _, difference in found)
    pooled, of_norms = None, ""
    if freedom:
        squares = ((d.n - 1) * (d.sd or 0.0) ** 2 for _, d in found)
        pooled = math.sqrt(math.fsum(squares) / freedom)
        each = (f"{norm} {number(d.sd, 2)} ({counted(d.n, 'seed')})" for norm, d in found)
        of_norms = f", pooled over {', '.join(each)}"
    seconds = [r.seconds for r in analysis.results if r.status == "finished"]
    return Known(
        analysis.experiment,
        f"the paired differences in {folder}{of_norms}",
        pooled,
        len(analysis.experiment.norms),
        mean(seconds) if seconds else None,
    )


def typical(experiment: Experiment) -> Known:
    """What was measured of such a data set and network before."""
    what = f"{experiment.dataset} with {experiment.model}"
    sd, source = TYPICAL.get((experiment.dataset, experiment.model), (None, ""))
    words = f"{what} in the recorded results: {source}" if source else what
    return Known(experiment, words, sd, 3, None)


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
