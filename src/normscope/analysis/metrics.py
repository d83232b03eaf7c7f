"""The metrics besides test accuracy: which there are, in what words, and what may be said of them.

They are a family of their own: every metric of every norm against the baseline, at the main batch
size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from normscope.analysis.summaries import TrialSummary, metric_pairs
from normscope.analysis.verdicts import Judgement, Rules, judge
from normscope.experiment import Experiment


@dataclass(frozen=True)
class Metric:
    """A number of a trial, and how the differences of it are put into words.

    `name` is what a table calls it. `greater`, `smaller`, `same`: what a norm is whose value is
    above, below or at the baseline's. `level` is the index of the level that `field` is taken at.
    """

    name: str
    field: str
    title: str
    unit: str
    decimals: int
    greater: str
    smaller: str
    same: str
    level: int | None = None


@dataclass(frozen=True)
class SecondaryFinding:
    """What the tests say of one metric of one norm against the baseline."""

    metric: Metric
    judgement: Judgement

    @property
    def norm(self) -> str:
        return self.judgement.pairs.norm

    @property
    def decided(self) -> bool:
        return self.judgement.finding != "undecided"


def metrics_of(levels_percent: Sequence[float], ran_alike: bool) -> list[Metric]:
    """All secondary metrics, with one for each level.

    Times are among them only where all `ran_alike`. Memory is not: seeds hardly differ in it.
    """
    speeds = [
        Metric(
            f"epochs_to_{level:g}_percent",
            "epochs_to_levels",
            f"Epochs to {level:g} %",
            *("epochs", 1, "later", "earlier", "as early"),
            level=number,
        )
        for number, level in enumerate(levels_percent)
    ]
    others = [
        Metric("area_percent", "area_percent", "Mean of the accuracy curve",
               "points", 2, "higher", "lower", "as high"),
        Metric("drop_sum_points", "drop_sum_points", "Sum of drops",
               "points", 2, "more", "less", "as much"),
        Metric("largest_drop_points", "largest_drop_points", "Largest drop",
               "points", 2, "deeper", "shallower", "as deep"),
        Metric("gap_points", "gap_points", "Train − test accuracy",
               "points", 2, "wider", "narrower", "as wide"),
        Metric("test_loss_nats", "test_loss_nats", "Test loss",
               "nats", 3, "higher", "lower", "as high"),
        Metric("calibration_error_points", "calibration_error_points", "Calibration error",
               "points", 2, "larger", "smaller", "as large"),
    ]  # fmt: skip
    times = [
        Metric("seconds_per_epoch", "seconds_per_epoch", "Time per epoch",
               "s", 1, "longer", "shorter", "as long"),
        Metric("inference_us_per_image", "inference_us_per_image", "Inference time per image",
               "µs", 1, "longer", "shorter", "as long"),
    ]  # fmt: skip
    return [*speeds, *others, *(times if ran_alike else [])]


def secondary_findings(
    experiment: Experiment, trials: Sequence[TrialSummary], metrics: Sequence[Metric], rules: Rules
) -> tuple[SecondaryFinding, ...]:
    """Every metric of every norm but the baseline, judged as one family without a margin."""
    asked = [(metric, norm) for metric in metrics for norm in experiment.norms[1:]]
    family = [
        metric_pairs(experiment, trials, norm, metric.field, metric.level) for metric, norm in asked
    ]
    judgements = judge(family, rules) if family else []
    return tuple(
        SecondaryFinding(metric, judgement)
        for (metric, _), judgement in zip(asked, judgements, strict=True)
    )
