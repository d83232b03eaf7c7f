"""What is told beside a verdict and decides nothing: other views of the same differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from normscope.experiment import Experiment
from normscope.stats import (
    Estimate,
    VarianceSplit,
    bca_interval,
    correlation,
    multibootstrap,
    probability_of_superiority,
    sign_flip_p_value,
    variance_split,
)

# Norm -> seed -> which test images a finished trial got right: bool, (N,).
Right = Mapping[str, Mapping[int, np.ndarray]]


@dataclass(frozen=True)
class Evidence:
    """One norm against the baseline, over the seeds in which both finished; differences in points.

    `bootstrap` has the BCa interval. `superiority` is the chance that a single run of the norm
    beats a single run of the baseline. `seeds_and_images` is the interval over new seeds and new
    test images. `correlation` is that of the two accuracies within blocks. None where undefined.
    """

    norm: str
    bootstrap: Estimate
    superiority: float | None
    sign_flip_p: float
    correlation: float | None
    seeds_and_images: tuple[float, float] | None


def evidence_of(experiment: Experiment, correct: Right) -> tuple[Evidence, ...]:
    """The evidence on every norm but the baseline, from the trials of one batch size."""
    baseline = correct.get(experiment.baseline, {})
    found = []
    for norm in experiment.norms[1:]:
        own = correct.get(norm, {})
        seeds = sorted(own.keys() & baseline.keys())
        mine, other = _stacked(own, seeds), _stacked(baseline, seeds)
        accuracies, others = 100 * mine.mean(axis=1), 100 * other.mean(axis=1)
        differences = [round(float(d), 9) for d in accuracies - others]
        found.append(
            Evidence(
                norm,
                bca_interval(differences),
                probability_of_superiority(accuracies.tolist(), others.tolist()),
                sign_flip_p_value(differences),
                correlation(accuracies.tolist(), others.tolist()),
                multibootstrap(mine, other),
            )
        )
    return tuple(found)


def variances_of(correct: Right) -> dict[str, VarianceSplit]:
    """The variance between seeds of every norm with two or more of them, split; points squared."""
    found = {
        norm: variance_split(_stacked(by_seed, sorted(by_seed)))
        for norm, by_seed in correct.items()
    }
    return {norm: split for norm, split in found.items() if split}


def _stacked(by_seed: Mapping[int, np.ndarray], seeds: Sequence[int]) -> np.ndarray:
    """(n, N); (0, 1) without any seed."""
    return np.stack([by_seed[seed] for seed in seeds]) if seeds else np.zeros((0, 1), dtype=bool)
