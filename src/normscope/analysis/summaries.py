"""Results -> numbers: what one trial reached, and one norm over its seeds.

The published analysis (final accuracy, speed, smoothness of convergence) is done for every trial,
then summarized over seeds. A norm is compared with the baseline within blocks: by the differences
between trials of the same seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from normscope.analysis.verdicts import Pairs, Rules, Verdict, judge, verdict_of
from normscope.experiment import Experiment, Result, Status
from normscope.stats import (
    Estimate,
    area_under_curve,
    calibration_error,
    drops,
    epochs_to_level,
    t_interval,
)

ONE_SEED = "one seed: no conclusion about the norm"


@dataclass(frozen=True)
class TrialMetrics:
    """The numbers of one finished trial; points are percentage points.

    `epochs_to_levels` has an entry per level, None where it was never reached. `largest_drop_epoch`
    is None if test accuracy never fell. `area_percent` is the mean height of the test accuracy
    curve. `test_loss_nats` and `calibration_error_points` are those after the last epoch.
    `seconds_per_epoch` is the median over the epochs, because the first is often slower: it warms
    up device and caches; `inference_us_per_image` likewise, for evaluation in batches.
    `peak_memory_mib` is what a training step needs beside weights and data; None in old records.
    """

    test_accuracy_percent: float
    train_accuracy_percent: float
    gap_points: float
    epochs_to_levels: tuple[float | None, ...]
    drop_sum_points: float
    largest_drop_points: float
    largest_drop_epoch: int | None
    area_percent: float
    test_loss_nats: float
    calibration_error_points: float
    seconds_per_epoch: float
    inference_us_per_image: float
    peak_memory_mib: float | None

    @property
    def epochs_to_level(self) -> float | None:
        """Of the first level."""
        return self.epochs_to_levels[0]


@dataclass(frozen=True)
class TrialSummary:
    """One trial and its outcome; `metrics` is None unless it finished."""

    id: str
    norm: str
    seed: int
    batch_size: int
    status: Status
    metrics: TrialMetrics | None


@dataclass(frozen=True)
class NormSummary:
    """One norm over its seeds, at one batch size. `verdict` is None for the baseline.

    `reached` is how many finished trials reached the level; `epochs_to_level` is estimated only
    when all of them did, because leaving out those that never arrived would flatter the norm.
    """

    norm: str
    batch_size: int
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
    test_loss_nats: Estimate
    calibration_error_points: Estimate
    seconds_per_epoch: Estimate
    inference_us_per_image: Estimate
    peak_memory_mib: Estimate
    verdict: Verdict | None


def summarize_trial(
    result: Result, levels_percent: Sequence[float], test_labels: np.ndarray
) -> TrialSummary:
    """The published analysis of one trial: final accuracy, gap, speed, smoothness, time.

    `test_labels`: int64, shape (N_test,).
    """
    trial, metrics = result.trial, None
    if result.status == "finished" and result.predictions is not None:
        confidences = result.predictions.confidences()
        correct = result.predictions.classes == test_labels
        metrics = curve_metrics(
            test_percent=[record.test_accuracy_percent for record in result.history],
            train_percent=[record.train_accuracy_percent for record in result.history],
            train_seconds=[record.train_seconds for record in result.history],
            test_seconds=[record.test_seconds for record in result.history],
            test_size=len(correct),
            levels_percent=levels_percent,
            test_loss_nats=result.history[-1].test_loss_nats,
            calibration_error_points=100 * calibration_error(confidences, correct),
            peak_memory_mib=result.peak_memory_mib,
        )
    size = trial.recipe.batch_size
    return TrialSummary(trial.id, trial.norm, trial.seed, size, result.status, metrics)


def curve_metrics(
    test_percent: Sequence[float],
    train_percent: Sequence[float],
    train_seconds: Sequence[float],
    test_seconds: Sequence[float],
    test_size: int,
    levels_percent: Sequence[float],
    test_loss_nats: float,
    calibration_error_points: float,
    peak_memory_mib: float | None = None,
) -> TrialMetrics:
    """Metrics of one trial from its curves, each of shape (E,): accuracies in percent, seconds."""
    fell = drops(test_percent)
    return TrialMetrics(
        test_accuracy_percent=test_percent[-1],
        train_accuracy_percent=train_percent[-1],
        gap_points=train_percent[-1] - test_percent[-1],
        epochs_to_levels=tuple(epochs_to_level(test_percent, level) for level in levels_percent),
        drop_sum_points=float(fell.sum()),
        largest_drop_points=float(fell.max()),
        largest_drop_epoch=int(fell.argmax()) + 1 if fell.max() > 0 else None,
        area_percent=area_under_curve(test_percent),
        test_loss_nats=test_loss_nats,
        calibration_error_points=calibration_error_points,
        seconds_per_epoch=float(np.median(np.add(train_seconds, test_seconds))),
        inference_us_per_image=1e6 * float(np.median(test_seconds)) / test_size,
        peak_memory_mib=peak_memory_mib,
    )


def summarize_norms(
    experiment: Experiment, trials: Sequence[TrialSummary], rules: Rules, chance_percent: float
) -> tuple[NormSummary, ...]:
    """Every norm at every batch size, the batch sizes ascending, with verdicts of one family.

    `chance_percent` is the accuracy of guessing, which stands in for that of a diverged trial.
    """
    verdicts = verdicts_on(experiment, trials, rules, chance_percent)
    return tuple(
        _summarize_norm(norm, size, experiment, trials, verdicts.get((norm, size)))
        for size in experiment.batch_sizes
        for norm in experiment.norms
    )


def verdicts_on(
    experiment: Experiment, trials: Sequence[TrialSummary], rules: Rules, chance_percent: float
) -> dict[tuple[str, int], Verdict]:
    """The verdict on every norm but the baseline at every batch size: one family."""
    family = [
        accuracy_pairs(experiment, trials, norm, size, chance_percent)
        for size in experiment.batch_sizes
        for norm in experiment.norms[1:]
    ]
    found = {}
    for judgement in judge(family, rules) if family else []:
        norm, size = judgement.pairs.norm, judgement.pairs.batch_size
        counts = [
            [t.status for t in trials if (t.norm, t.batch_size) == (name, size)]
            for name in (norm, experiment.baseline)
        ]
        diverged = (counts[0].count("diverged"), counts[1].count("diverged"))
        ended = sum(statuses.count("finished") + statuses.count("diverged") for statuses in counts)
        found[norm, size] = verdict_of(
            judgement, experiment.baseline, diverged, 2 * experiment.seeds - ended
        )
    return found


def _summarize_norm(
    norm: str,
    batch_size: int,
    experiment: Experiment,
    trials: Sequence[TrialSummary],
    verdict: Verdict | None,
) -> NormSummary:
    own = [trial for trial in trials if (trial.norm, trial.batch_size) == (norm, batch_size)]
    metrics = [trial.metrics for trial in own if trial.metrics]
    statuses = [trial.status for trial in own]
    reached = [m.epochs_to_level for m in metrics if m.epochs_to_level is not None]

    def estimate(name: str) -> Estimate:
        values = [getattr(m, name) for m in metrics]
        return t_interval([value for value in values if value is not None])

    return NormSummary(
        norm=norm,
        batch_size=batch_size,
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
        test_loss_nats=estimate("test_loss_nats"),
        calibration_error_points=estimate("calibration_error_points"),
        seconds_per_epoch=estimate("seconds_per_epoch"),
        inference_us_per_image=estimate("inference_us_per_image"),
        peak_memory_mib=estimate("peak_memory_mib"),
        verdict=verdict,
    )


def accuracy_pairs(
    experiment: Experiment,
    trials: Sequence[TrialSummary],
    norm: str,
    batch_size: int,
    chance_percent: float,
) -> Pairs:
    """Test accuracy of a norm minus that of the baseline, in points, by seed.

    A diverged trial is an outcome: it counts as guessing, and the differences as ordinal. Failed
    trials and those that were not run leave their seed out.
    """
    outcomes: dict[tuple[str, int], float] = {}
    ordinal = False
    for trial in trials:
        if trial.batch_size == batch_size and trial.norm in (norm, experiment.baseline):
            if trial.metrics:
                outcomes[trial.norm, trial.seed] = trial.metrics.test_accuracy_percent
            elif trial.status == "diverged":
                outcomes[trial.norm, trial.seed] = chance_percent
                ordinal = True
    return _pairs(experiment, norm, batch_size, outcomes, ordinal)


def _pairs(
    experiment: Experiment,
    norm: str,
    batch_size: int,
    outcomes: dict[tuple[str, int], float],
    ordinal: bool,
) -> Pairs:
    seeds = [
        seed
        for seed in range(experiment.seeds)
        if (norm, seed) in outcomes and (experiment.baseline, seed) in outcomes
    ]
    # Rounded far below one image, so that equal differences are equal.
    differences = [
        round(outcomes[norm, seed] - outcomes[experiment.baseline, seed], 9) for seed in seeds
    ]
    complete = len(seeds) == experiment.seeds
    return Pairs(norm, batch_size, tuple(differences), tuple(seeds), ordinal, complete)


def metric_pairs(
    experiment: Experiment,
    trials: Sequence[TrialSummary],
    norm: str,
    metric: str,
    level: int | None = None,
) -> Pairs:
    """A metric of a norm minus that of the baseline, by seed, at the main batch size.

    With `level`, the index of a level, epochs to it: one never reached comes after every one that
    was, and two that were never reached are equal; then the differences are ordinal, +1, 0 and -1.
    """
    size = experiment.main_batch_size
    values: dict[tuple[str, int], float] = {}
    for trial in trials:
        if trial.metrics and trial.batch_size == size:
            value = getattr(trial.metrics, metric)
            value = value if level is None else value[level]
            values[trial.norm, trial.seed] = np.inf if value is None else value
    compared = {key: v for key, v in values.items() if key[0] in (norm, experiment.baseline)}
    censored = any(np.isinf(value) for value in compared.values())
    if not censored:
        return _pairs(experiment, norm, size, compared, False)
    ranks = {value: rank for rank, value in enumerate(sorted(set(compared.values())))}
    ranked = {key: float(ranks[value]) for key, value in compared.items()}
    pairs = _pairs(experiment, norm, size, ranked, True)
    signs = tuple(float(np.sign(difference)) for difference in pairs.differences)
    return Pairs(norm, size, signs, pairs.seeds, True, pairs.complete)
