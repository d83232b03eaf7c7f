"""Trackers, in which people look at runs: what each of them does, and what it is told."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar

from normscope.experiment import EpochRecord, Experiment, Recipe, Result, Trial
from normscope.observers.protocol import NormOutcome, Report
from normscope.words import what_went_wrong

Value = str | int | float | bool

SUMMARY = "summary"  # the run of the experiment as a whole


class Tracker(ABC):
    """Keeps a run for each trial, and one for the experiment as a whole.

    The run of a trial is known by the trial's id, so that there is one, however often a command is
    repeated. `place` is the folder for what the tracker keeps on this disk, `experiment` the name
    that the runs share. Times are seconds since 1970. A method raises whatever the tracker's
    library raises; so does the constructor, if the tracker cannot be used.
    """

    library: ClassVar[str]  # what it imports, which the extra of that name installs
    look: str  # where the runs are seen: a command, or an address

    @abstractmethod
    def __init__(self, place: Path, experiment: str): ...

    @abstractmethod
    def has(self, result: Result) -> bool:
        """Whether the run of a trial is there to its end, and says that it ended so."""

    @abstractmethod
    def begin(self, trial: Trial, at: float) -> int:
        """Open the run of a trial; return how many epochs it has from an earlier time."""

    @abstractmethod
    def epoch(self, trial: Trial, record: EpochRecord, at: float) -> None:
        """Add an epoch to the curves of an open run."""

    @abstractmethod
    def end(self, result: Result, at: float) -> None:
        """Say in its run how a trial ended, and close the run."""

    @abstractmethod
    def summarize(self, report: Report) -> None:
        """Say what came of the experiment, in place of what an earlier report said of it."""

    @abstractmethod
    def close(self) -> None:
        """Close the runs of trials that were stopped."""


# -- what a run says -------------------------------------------------------------------------------


def parameters(trial: Trial) -> dict[str, Value]:
    """What a trial is: its id, its fields, and those of its recipe."""
    own = {name: getattr(trial, name) for name in Trial.model_fields if name != "recipe"}
    return {"trial": trial.id, **_plain(own), **_of_recipe(trial.recipe)}


def settings(experiment: Experiment) -> dict[str, Value]:
    """What an experiment is, by the names of its fields, and those of its recipe."""
    names = ("dataset", "train_limit", "test_limit", "folds", "model", "norms", "seeds")
    own = {name: getattr(experiment, name) for name in (*names, "batch_sizes", "protocol")}
    return {**_of_recipe(experiment.recipe), **_plain(own)}


def _of_recipe(recipe: Recipe) -> dict[str, Value]:
    values = dict(recipe)
    return {"recipe": values.pop("name"), **_plain(values)}


def _plain(values: dict[str, Any]) -> dict[str, Value]:
    return {name: _in_a_word(value) for name, value in values.items()}


def _in_a_word(value: Any) -> Value:
    if value is None or value == ():
        return "none"
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def curves(record: EpochRecord) -> dict[str, float]:
    """What was measured in an epoch, by the columns of `results.csv`."""
    return {each.name: getattr(record, each.name) for each in fields(record)[1:]}  # 0 is the epoch


def ending(result: Result) -> dict[str, str]:
    """How a trial ended, and why, where it did not finish."""
    return {"status": result.status, "reason": what_went_wrong(result.error)}


def final_accuracy(result: Result) -> dict[str, float]:
    """Test accuracy after the last epoch, of a trial that was trained so far."""
    if not result.trained_to_the_end:
        return {}
    return {"final_test_accuracy_percent": result.history[-1].test_accuracy_percent}


def figures(outcome: NormOutcome) -> dict[str, float]:
    """The numbers of an outcome that are defined."""
    texts = ("norm", "batch_size", "verdict")
    return {k: v for k, v in asdict(outcome).items() if k not in texts and v is not None}


def by_name(outcomes: Iterable[NormOutcome]) -> dict[str, NormOutcome]:
    """Outcomes by the norm, with the batch size where there are several."""
    outcomes = list(outcomes)
    several = len({outcome.batch_size for outcome in outcomes}) > 1
    return {f"{o.norm} batch {o.batch_size}" if several else o.norm: o for o in outcomes}
