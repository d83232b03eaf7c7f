"""What is told beside a verdict and decides nothing: other views of the same differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from normscope.experiment import Experiment
from normscope.stats import (
    Draws,
    Estimate,
    VarianceSplit,
    bca_interval,
    correlation,
    multibootstraps,
    probability_of_superiority,
    sign_flip_p_values,
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
    alike: dict[tuple[int, ...], list[str]] = {}  # norms with the same seeds, which share draws
    for norm in experiment.norms[1:]:
        seeds = tuple(sorted(correct.get(norm, {}).keys() & baseline.keys()))
        alike.setdefault(seeds, []).append(norm)
    found = {}
    for seeds, norms in alike.items():
        own = {norm: correct.get(norm, {}) for norm in norms}
        found |= _evidence_on(own, _stacked(baseline, seeds), seeds)
    return tuple(found[norm] for norm in experiment.norms[1:])


def _evidence_on(correct: Right, baseline: np.ndarray, seeds: Sequence[int]) -> dict[str, Evidence]:
    """The evidence on norms from the same seeds, of the baseline: bool, (n, N)."""
    others = 100 * baseline.mean(axis=1)
    accuracies = [100 * _stacked(own, seeds).mean(axis=1) for own in correct.values()]
    differences = [[round(float(d), 9) for d in own - others] for own in accuracies]
    pairs = ((_stacked(own, seeds), baseline) for own in correct.values())  # memory holds one
    return {
        norm: Evidence(
            norm,
            bca_interval(different),
            probability_of_superiority(own.tolist(), others.tolist()),
            sign_flip_p,
            correlation(own.tolist(), others.tolist()),
            seeds_and_images,
        )
        for norm, own, different, sign_flip_p, seeds_and_images in zip(
            correct,
            accuracies,
            differences,
            sign_flip_p_values(differences),
            multibootstraps(pairs, Draws(len(baseline), baseline.shape[1])),
            strict=True,
        )
    }


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
