"""How many seeds to plan for, before anything is trained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from normscope.analysis.contrasts import to_choose
from normscope.errors import UsageError
from normscope.experiment import LEAST_SEEDS, Design, Experiment, Result
from normscope.stats import (
    MAX_SEEDS,
    SHARES,
    Course,
    Stopping,
    equivalence_times,
    seeds_for_equivalence,
    seeds_for_power,
    simulated_course,
    stopping_times,
)
from normscope.store import Store
from normscope.study.comparison import Comparison
from normscope.words import counted, number

# The sd of paired differences in points, pooled over gn and ln against bn: of which data set,
# network and recipe, and in which of the recorded results (docs/statistics.md, section 9).
TYPICAL = {
    ("cifar10", "s8", "s8"): (0.96, "cifar10-s8-s8", 10),
    ("cifar10", "s8", "course"): (0.76, "cifar10-s8-course", 3),
    ("cifar10", "s8", "s8-modern"): (0.30, "cifar10-s8-s8-modern", 3),
    ("cifar10", "s8-res", "s8"): (0.60, "cifar10-s8-res", 3),
}


@dataclass(frozen=True)
class Known:
    """What a plan may start from; `words` say where the sd is from, or of what none is known.

    `sd`: of paired differences in points. `norms`: those between which one chooses, the baseline
    among them. `seconds_per_trial`: None where it must be timed.
    """

    experiment: Experiment
    words: str
    sd: float | None
    norms: int
    design: Design
    seconds_per_trial: float | None


def pilot_in(folder: Path) -> Known:
    """What the experiment in a folder says.

    Its sd is pooled over norms and batch sizes: the root of the mean variance of their differences,
    each with the weight of its seeds less one. Raises `UsageError` if there is no experiment.
    """
    if not Store.exists(folder):
        raise UsageError(f"{folder} holds no normscope experiment")
    analysis = Comparison.read(folder).analysis
    experiment, several = analysis.experiment, len(analysis.experiment.batch_sizes) > 1
    names = to_choose(experiment)
    found = [
        (f"{norm.norm} at {norm.batch_size}" if several else norm.norm, norm.verdict.difference)
        for norm in analysis.by_batch_size
        if norm.verdict and norm.norm in names and norm.verdict.difference.sd is not None
    ]
    freedom = sum(difference.n - 1 for _, difference in found)
    pooled, of_norms = None, ""
    if freedom:
        squares = ((d.n - 1) * (d.sd or 0.0) ** 2 for _, d in found)
        pooled = math.sqrt(math.fsum(squares) / freedom)
        each = (f"{name} {number(d.sd, 2)} ({counted(d.n, 'seed')})" for name, d in found)
        of_norms = f", pooled over {', '.join(each)}"
    return Known(
        experiment,
        f"the paired differences in {folder}{of_norms}",
        pooled,
        len(names),
        Design(alpha=analysis.rules.alpha, margin_points=analysis.rules.margin or 0.0),
        pace([r for r in analysis.results if r.status == "finished"]),
    )


def pace(results: Sequence[Result]) -> float | None:
    """Seconds per trial as they ran: the time in which any was training, over how many there are.

    So of two at once each counts with half the time that it took. None where there are none.
    """
    if not results:
        return None
    spans = sorted(
        (begun, begun + timedelta(seconds=result.seconds))
        for result in results
        for begun in [datetime.fromisoformat(result.started)]
    )
    busy, until = 0.0, spans[0][0]
    for begun, ended in spans:
        busy += max(0.0, (ended - max(begun, until)).total_seconds())
        until = max(until, ended)
    return busy / len(results)


def typical(experiment: Experiment) -> Known:
    """What was measured before of such a data set, network and recipe."""
    recipe, norms = experiment.recipe.name, len(experiment.norms)
    words = f"{experiment.dataset} with {experiment.model} and recipe {recipe}"
    found = TYPICAL.get((experiment.dataset, experiment.model, recipe))
    if found is None:
        return Known(experiment, words, None, norms, Design(), None)
    sd, source, seeds = found
    words += f" in docs/results/{source}, of {seeds} seeds of gn and ln against bn"
    return Known(experiment, words, sd, norms, Design(), None)


@dataclass(frozen=True)
class SeedPlan:
    """Seeds per norm by which a share of comparisons is decided, and how a whole experiment goes.

    `fixed`, `sequential`: seeds that find such a difference, by share, as in `SHARES`; None where
    1,000 would not do. `fixed_equivalent`, `sequential_equivalent`: those that find two norms
    without any difference to be within the margin. `course`: how an experiment goes on until
    decided, where all norms differ from the baseline by as much, with `max_seeds` at most.
    """

    difference_points: float
    sd_points: float
    norms: int
    batch_sizes: int
    alpha: float
    margin_points: float
    max_seeds: int
    fixed: dict[float, int | None]
    sequential: dict[float, int | None]
    fixed_equivalent: dict[float, int | None]
    sequential_equivalent: dict[float, int | None]
    course: Course

    @property
    def comparisons(self) -> int:
        return (self.norms - 1) * self.batch_sizes

    @property
    def trials_per_seed(self) -> int:
        return self.norms * self.batch_sizes


def plan_seeds(
    difference: float, sd: float, norms: int, batch_sizes: int = 1, design: Design | None = None
) -> SeedPlan:
    """Seeds for a true difference to the baseline, in points, at that sd of paired differences.

    The norms are the baseline and those between which one chooses. Seeds by share are those of one
    comparison at alpha over their number, Holm's first and strictest step, and exact, but for
    equivalence in a sequential design, which is simulated, like the course of the experiment.
    Raises `UsageError` on values that make no plan.
    """
    for name, value in (("difference", difference), ("sd", sd)):
        if not 0 < value < float("inf"):
            raise UsageError(f"the {name} must be above 0 points, not {value:g}")
    if norms < 2:
        raise UsageError("a comparison needs two norms or more")
    if batch_sizes < 1:
        raise UsageError(f"an experiment has one batch size or more, not {batch_sizes}")
    design = design or Design()
    if not LEAST_SEEDS <= design.max_seeds <= MAX_SEEDS:
        raise UsageError(
            f"nothing is decided before {LEAST_SEEDS} seeds, and nothing is planned beyond "
            f"{MAX_SEEDS:,}: --max-seeds {design.max_seeds} is not between them"
        )
    margin, level = design.margin_points, design.alpha / ((norms - 1) * batch_sizes)
    most = design.max_seeds
    return SeedPlan(
        difference,
        sd,
        norms,
        batch_sizes,
        design.alpha,
        margin,
        most,
        {share: seeds_for_power(difference, sd, share, level) for share in SHARES},
        _by_share(stopping_times(difference, sd, level)),
        {share: seeds_for_equivalence(margin, sd, share, level) for share in SHARES},
        _by_share(equivalence_times(margin, sd, level)),
        simulated_course(difference, sd, margin, design.alpha, norms, batch_sizes, most),
    )


def _by_share(stops: Stopping) -> dict[float, int | None]:
    found = (stops.median, stops.of_80_percent, stops.of_90_percent)
    return dict(zip(SHARES, found, strict=True))
