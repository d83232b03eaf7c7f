"""Experiment -> trials, and what running them would cost."""

from dataclasses import dataclass
from pathlib import Path

from normscope.config import Experiment, Trial


def plan(experiment: Experiment) -> list[Trial]:
    """All trials of an experiment, block by block: every norm of seed 0, then of seed 1, ..."""
    return [
        Trial(
            dataset=experiment.dataset,
            train_limit=experiment.train_limit,
            test_limit=experiment.test_limit,
            model=experiment.model,
            norm=norm,
            recipe=experiment.recipe,
            seed=seed,
        )
        for seed in range(experiment.seeds)
        for norm in experiment.norms
    ]


@dataclass(frozen=True)
class Forecast:
    """What `normscope.compare` would do: all trials, those that are not stored, and their cost."""

    folder: Path
    trials: tuple[Trial, ...]
    todo: tuple[Trial, ...]
    seconds: float
    disk_bytes: int
