"""Differences between two norms within blocks: between the two trials of the same seed."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from normscope.analysis.metrics import TEST_ACCURACY, Metric
from normscope.analysis.summaries import Trials
from normscope.analysis.verdicts import Pairs
from normscope.experiment import GUESSING, Experiment


def accuracy_pairs(
    experiment: Experiment,
    trials: Trials,
    norm: str,
    baseline: str,
    batch_size: int,
    chance_percent: float,
    of_shared: bool = False,
) -> Pairs:
    """Test accuracy of a norm minus that of the one it is compared with, in points, by seed.

    A trial that diverged or collapsed counts as guessing, and makes the differences ordinal; with
    `of_shared` only in a seed that both have, as one of them may be trained no further. Failed
    trials and those that were not run leave their seed out.
    """
    accuracies: dict[tuple[str, int], float] = {}
    guessing = set[int]()
    for trial in (*trials.of(norm, batch_size), *trials.of(baseline, batch_size)):
        accuracy = trial.metrics[TEST_ACCURACY.name] if trial.metrics else None
        if accuracy is not None:
            accuracies[trial.norm, trial.seed] = accuracy
        elif trial.status in GUESSING:
            accuracies[trial.norm, trial.seed] = chance_percent
            guessing.add(trial.seed)
    pairs = paired(experiment, norm, baseline, batch_size, accuracies)
    if of_shared:
        guessing &= {*pairs.seeds}
    return replace(pairs, ordinal=bool(guessing))


def metric_pairs(
    experiment: Experiment,
    trials: Trials,
    norm: str,
    baseline: str,
    metric: Metric,
) -> Pairs:
    """A metric of a norm minus that of another, by seed, at the main batch size.

    A level that was never reached comes after every one that was, and two that were never reached
    are equal; then the differences are ordinal: +1, 0 and -1. Whatever else is not defined leaves
    its seed out.
    """
    size = experiment.main_batch_size
    values: dict[tuple[str, int], float] = {}
    for trial in (*trials.of(norm, size), *trials.of(baseline, size)):
        value = trial.metrics[metric.name] if trial.metrics else None
        if value is not None:
            values[trial.norm, trial.seed] = value
        elif trial.metrics and metric.level_percent is not None:
            values[trial.norm, trial.seed] = np.inf
    if not any(np.isinf(value) for value in values.values()):
        return paired(experiment, norm, baseline, size, values)
    ranks = {value: rank for rank, value in enumerate(sorted(set(values.values())))}
    ranked = {key: float(ranks[value]) for key, value in values.items()}
    pairs = paired(experiment, norm, baseline, size, ranked)
    signs = tuple(float(np.sign(difference)) for difference in pairs.differences)
    return replace(pairs, differences=signs, ordinal=True)


def paired(
    experiment: Experiment,
    norm: str,
    baseline: str,
    batch_size: int,
    values: dict[tuple[str, int], float],
) -> Pairs:
    """The differences of the values, by norm and seed, of every seed that both have."""
    seeds, differences = differences_of(experiment.seed_numbers, norm, baseline, values)
    complete = len(seeds) == experiment.seeds
    return Pairs(norm, batch_size, differences, seeds, complete=complete)


def differences_of(
    seeds: Iterable[int], norm: str, baseline: str, values: Mapping[tuple[str, int], float]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The seeds that both have a value of, by norm and seed, and the differences in them."""
    both = [seed for seed in seeds if (norm, seed) in values and (baseline, seed) in values]
    # Rounded far below one image, so that equal differences are equal.
    differences = [round(values[norm, seed] - values[baseline, seed], 9) for seed in both]
    return tuple(both), tuple(differences)
