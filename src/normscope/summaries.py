"""Results -> numbers: what one trial reached, and one norm over its seeds.

The published analysis (final accuracy, speed, smoothness of convergence) is done for every trial,
then summarized over seeds. A norm is compared with the baseline within blocks: by the differences
between trials of the same seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from normscope.config import Experiment, Result, Status
from normscope.stats import Estimate, area_under_curve, drops, epochs_to_level, t_interval

LEVEL_PERCENT = 60.0  # the test accuracy whose first reaching measures speed

ONE_SEED = "one seed: no conclusion about the norm"


@dataclass(frozen=True)
class TrialMetrics:
    """The numbers of one finished trial; points are percentage points.

    `epochs_to_level` is None if the level was never reached, `largest_drop_epoch` if test accuracy
    never fell. `area_percent` is the mean height of the test accuracy curve. `seconds_per_epoch` is
    the median over the epochs, because the first is often slower: it warms up device and caches.
    """

    test_accuracy_percent: float
    train_accuracy_percent: float
    gap_points: float
    epochs_to_level: float | None
    drop_sum_points: float
    largest_drop_points: float
    largest_drop_epoch: int | None
    area_percent: float
    seconds_per_epoch: float


@dataclass(frozen=True)
class TrialSummary:
    """One trial and its outcome; `metrics` is None unless it finished."""

    id: str
    norm: str
    seed: int
    status: Status
    metrics: TrialMetrics | None


Outcome = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """What the paired differences to the baseline allow to say, in percentage points."""

    outcome: Outcome
    difference: Estimate
    sentence: str


@dataclass(frozen=True)
class NormSummary:
    """One norm over its seeds. `verdict` is None for the baseline.

    `reached` is how many finished trials reached the level; `epochs_to_level` is estimated only
    when all of them did, because leaving out those that never arrived would flatter the norm.
    """

    norm: str
    trials: int
    finished: int
    diverged: int
    failed: int
    test_accuracy_percent: Estimate
    train_accuracy_percent: Estimate
    gap_points: Estimate
    epochs_to_level: Estimate
    reached: int
    drop_sum_points: Estimate
    largest_drop_points: Estimate
    area_percent: Estimate
    seconds_per_epoch: Estimate
    verdict: Verdict | None


def summarize_trial(result: Result, level_percent: float) -> TrialSummary:
    """The published analysis of one trial: final accuracy, gap, speed, smoothness, time."""
    trial = result.trial
    metrics = None
    if result.status == "finished":
        metrics = curve_metrics(
            test_percent=[record.test_accuracy_percent for record in result.history],
            train_percent=[record.train_accuracy_percent for record in result.history],
            seconds=[record.train_seconds + record.test_seconds for record in result.history],
            level_percent=level_percent,
        )
    return TrialSummary(trial.id, trial.norm, trial.seed, result.status, metrics)


def curve_metrics(
    test_percent: Sequence[float],
    train_percent: Sequence[float],
    seconds: Sequence[float],
    level_percent: float,
) -> TrialMetrics:
    """Metrics of one trial from its curves, each of shape (E,): accuracies in percent, seconds."""
    fell = drops(test_percent)
    return TrialMetrics(
        test_accuracy_percent=test_percent[-1],
        train_accuracy_percent=train_percent[-1],
        gap_points=train_percent[-1] - test_percent[-1],
        epochs_to_level=epochs_to_level(test_percent, level_percent),
        drop_sum_points=float(fell.sum()),
        largest_drop_points=float(fell.max()),
        largest_drop_epoch=int(fell.argmax()) + 1 if fell.max() > 0 else None,
        area_percent=area_under_curve(test_percent),
        seconds_per_epoch=float(np.median(seconds)),
    )


def summarize_norm(
    norm: str, experiment: Experiment, trials: Sequence[TrialSummary]
) -> NormSummary:
    own = [trial for trial in trials if trial.norm == norm]
    metrics = [trial.metrics for trial in own if trial.metrics]
    statuses = [trial.status for trial in own]
    reached = [m.epochs_to_level for m in metrics if m.epochs_to_level is not None]

    def estimate(name: str) -> Estimate:
        return t_interval([getattr(m, name) for m in metrics])

    return NormSummary(
        norm=norm,
        trials=experiment.seeds,
        finished=statuses.count("finished"),
        diverged=statuses.count("diverged"),
        failed=statuses.count("failed"),
        test_accuracy_percent=estimate("test_accuracy_percent"),
        train_accuracy_percent=estimate("train_accuracy_percent"),
        gap_points=estimate("gap_points"),
        epochs_to_level=t_interval(reached if len(reached) == len(metrics) else []),
        reached=len(reached),
        drop_sum_points=estimate("drop_sum_points"),
        largest_drop_points=estimate("largest_drop_points"),
        area_percent=estimate("area_percent"),
        seconds_per_epoch=estimate("seconds_per_epoch"),
        verdict=None if norm == experiment.baseline else _verdict(norm, experiment, trials),
    )


def paired_differences(
    trials: Sequence[TrialSummary], norm: str, baseline: str, metric: str
) -> list[float]:
    """`metric` of `norm` minus that of `baseline`, for every seed in which both have a value."""
    values = {(t.norm, t.seed): getattr(t.metrics, metric) for t in trials if t.metrics}
    seeds = sorted({trial.seed for trial in trials})
    pairs = [(values.get((norm, seed)), values.get((baseline, seed))) for seed in seeds]
    # Rounded far below one image, so that equal differences are equal.
    return [
        round(mine - other, 9) for mine, other in pairs if mine is not None and other is not None
    ]


def _verdict(norm: str, experiment: Experiment, trials: Sequence[TrialSummary]) -> Verdict:
    baseline = experiment.baseline
    difference = t_interval(paired_differences(trials, norm, baseline, "test_accuracy_percent"))
    finished = sum(t.norm in (norm, baseline) and t.status == "finished" for t in trials)
    unfinished = 2 * experiment.seeds - finished
    against = f"{norm} against {baseline}"
    if difference.mean is None:
        return Verdict("undecided", difference, f"{against}: no seed in which both finished.")
    if difference.low is None or difference.high is None:
        sentence = f"{against}: {difference.mean:+.2f} points in one run each ({ONE_SEED})."
        return Verdict("undecided", difference, sentence)
    interval = (
        f"95 % interval {difference.low:+.2f} to {difference.high:+.2f}; {difference.n} seeds"
    )
    if unfinished:
        sentence = (
            f"{against} is undecided: {unfinished} of their trials have not finished. The seeds "
            f"in which both have differ by {difference.mean:+.2f} points ({interval})."
        )
        return Verdict("undecided", difference, sentence)
    if difference.sd == 0.0:
        sentence = (
            f"{against} is undecided: {difference.mean:+.2f} points in every one of "
            f"{difference.n} seeds, which leaves no spread to judge by."
        )
        return Verdict("undecided", difference, sentence)
    if difference.low > 0 or difference.high < 0:
        outcome = "better" if difference.low > 0 else "worse"
        size = f"{abs(difference.mean):.2f} points {outcome} than {baseline}"
        return Verdict(outcome, difference, f"{norm} is {size} ({interval}).")
    sentence = f"{against} is undecided: {difference.mean:+.2f} points ({interval})."
    return Verdict("undecided", difference, sentence)
