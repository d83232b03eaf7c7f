"""The metrics of a trial: what each is called, how it is computed, and how it is put into words.

`metrics_of` is the one table of them. The columns of the CSV files and of `Analysis.table`, the
headings, and the family of secondary metrics follow from it: a new metric is a function and
an entry here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from statistics import median
from typing import Literal

import numpy as np

from normscope.analysis.tallies import Scores
from normscope.experiment import EpochRecord, Probes
from normscope.stats import (
    area_under_curve,
    drops,
    epochs_to_level,
)

Values = Mapping[str, float | None]  # a metric's name -> its value; None where it is not defined


@dataclass(frozen=True)
class FinishedTrial:
    """What the metrics are computed from: E epochs, and the scores of the predictions.

    `peak_memory_mib`: what a training step needs beside weights and data; None in records from
    before it was measured. `probes`: what was measured inside the network; None if nothing was.
    """

    history: tuple[EpochRecord, ...]
    scores: Scores
    peak_memory_mib: float | None
    probes: Probes | None = None

    @cached_property
    def test_curve(self) -> list[float]:
        """Test accuracy in percent after each epoch, shape (E,)."""
        return [epoch.test_accuracy_percent for epoch in self.history]

    @cached_property
    def drops(self) -> np.ndarray:
        """By how many points test accuracy fell in each epoch: float64, shape (E,)."""
        return drops(self.test_curve)


@dataclass(frozen=True)
class Metric:
    """A number of a trial; `name` is its column, with the unit; `unit` is the word for it.

    `better`: which way is better; None where neither is. `words`: what a norm is whose value is
    above, below or at the baseline's. `decimals` are those of sentences.
    `family_place`: its place in the family of secondary metrics; None if it is not tested.
    `averaged`: whether its mean over trials says anything. `is_time`: comparable only among trials
    that ran in the same way. `needs_imbalance`: tested only where test classes are imbalanced.
    `level_percent`: the test accuracy whose first reaching it measures; then None means never
    reached, which is later than every number. `topic` and `lead`: how its finding begins; a metric
    without them is in tables only.
    """

    name: str
    title: str
    unit: str
    decimals: int
    better: Literal["higher", "lower"] | None
    words: tuple[str, str, str]
    compute: Callable[[FinishedTrial], float | None]
    family_place: int | None = None
    averaged: bool = True
    is_time: bool = False
    needs_imbalance: bool = False
    level_percent: float | None = None
    topic: str = ""
    lead: str = ""

    @property
    def greater(self) -> str:
        return self.words[0]

    @property
    def smaller(self) -> str:
        return self.words[1]

    @property
    def same(self) -> str:
        return self.words[2]

    @property
    def heading(self) -> str:
        """``Sum of drops (points)``."""
        return f"{self.title} ({self.unit})"


def test_accuracy(trial: FinishedTrial) -> float:
    """In percent, after the last epoch: the primary metric."""
    return trial.history[-1].test_accuracy_percent


def mean_recall(trial: FinishedTrial) -> float:
    """Balanced accuracy: the mean of the recalls of all classes with test images, in percent."""
    return 100 * trial.scores.balanced_accuracy


def mean_f1(trial: FinishedTrial) -> float:
    """Macro F1: the mean of the F1 of all classes with test images, in percent."""
    return 100 * trial.scores.macro_f1


def train_accuracy(trial: FinishedTrial) -> float:
    """In percent: the running mean over the last epoch."""
    return trial.history[-1].train_accuracy_percent


def gap(trial: FinishedTrial) -> float:
    """Train minus test accuracy after the last epoch, in points."""
    return train_accuracy(trial) - test_accuracy(trial)


def speed(trial: FinishedTrial, level_percent: float) -> float | None:
    """Epochs until test accuracy first reached the level; None if it never did."""
    return epochs_to_level(trial.test_curve, level_percent)


def drop_sum(trial: FinishedTrial) -> float:
    """By how many points test accuracy fell, all drops together."""
    return float(trial.drops.sum())


def largest_drop(trial: FinishedTrial) -> float:
    """The deepest fall of test accuracy from one epoch to the next, in points."""
    return float(trial.drops.max())


def largest_drop_epoch(trial: FinishedTrial) -> int | None:
    """The epoch of the deepest fall; None if test accuracy never fell."""
    place = int(trial.drops.argmax())
    return place + 1 if trial.drops[place] > 0 else None


def area(trial: FinishedTrial) -> float:
    """The mean height of the test accuracy curve, in percent."""
    return area_under_curve(trial.test_curve)


def test_loss(trial: FinishedTrial) -> float:
    """In nats per image, after the last epoch."""
    return trial.history[-1].test_loss_nats


def calibration(trial: FinishedTrial) -> float:
    """Expected calibration error after the last epoch, in points."""
    return 100 * trial.scores.calibration_error


def temperature(trial: FinishedTrial) -> float | None:
    """That by which logits are to be divided: above 1 for a network that is too sure."""
    return trial.scores.scaled.temperature if trial.scores.scaled else None


def scaled_loss(trial: FinishedTrial) -> float | None:
    """Test loss in nats per image, of logits divided by a temperature fitted on other images."""
    return trial.scores.scaled.nll if trial.scores.scaled else None


def scaled_calibration(trial: FinishedTrial) -> float | None:
    """Calibration error in points, of logits divided by a temperature fitted on other images."""
    return 100 * trial.scores.scaled.error if trial.scores.scaled else None


def seconds_per_epoch(trial: FinishedTrial) -> float:
    """The median over the epochs: the first is often slower, as it warms up device and caches."""
    return median(epoch.train_seconds + epoch.test_seconds for epoch in trial.history)


def inference_time(trial: FinishedTrial) -> float:
    """Microseconds per image of an evaluation in batches, the median over the epochs."""
    seconds = median(epoch.test_seconds for epoch in trial.history)
    return 1e6 * seconds / trial.scores.images


def peak_memory(trial: FinishedTrial) -> float | None:
    """What a training step needs beside weights and data, in MiB; None in old records."""
    return trial.peak_memory_mib


# fmt: off
TEST_ACCURACY = Metric(
    "test_accuracy_percent", "Test accuracy", "%", 2, "higher",
    ("higher", "lower", "as high"), test_accuracy)
BALANCED_ACCURACY = Metric(
    "balanced_accuracy_percent", "Balanced accuracy", "%", 2, "higher",
    ("higher", "lower", "as high"), mean_recall, family_place=0, needs_imbalance=True,
    topic="Balanced accuracy", lead="the mean of the recalls of all classes was on average")
MACRO_F1 = Metric(
    "macro_f1_percent", "Macro F1", "%", 2, "higher",
    ("higher", "lower", "as high"), mean_f1)
TRAIN_ACCURACY = Metric(
    "train_accuracy_percent", "Train accuracy", "%", 2, None,
    ("higher", "lower", "as high"), train_accuracy)
GAP = Metric(
    "gap_points", "Train − test accuracy", "points", 2, None,
    ("wider", "narrower", "as wide"), gap, family_place=5,
    topic="Gap", lead="the gap between train and test accuracy was on average")
DROP_SUM = Metric(
    "drop_sum_points", "Sum of drops", "points", 2, "lower",
    ("more", "less", "as much"), drop_sum, family_place=3,
    topic="Smoothness", lead="all drops of test accuracy together were on average")
LARGEST_DROP = Metric(
    "largest_drop_points", "Largest drop", "points", 2, "lower",
    ("deeper", "shallower", "as deep"), largest_drop, family_place=4)
LARGEST_DROP_EPOCH = Metric(
    "largest_drop_epoch", "Epoch of the largest drop", "epoch", 0, None,
    ("later", "earlier", "as early"), largest_drop_epoch, averaged=False)
AREA = Metric(
    "area_percent", "Mean of the accuracy curve", "points", 2, "higher",
    ("higher", "lower", "as high"), area, family_place=2)
TEST_LOSS = Metric(
    "test_loss_nats", "Test loss", "nats", 3, "lower",
    ("higher", "lower", "as high"), test_loss, family_place=6)
CALIBRATION = Metric(
    "calibration_error_points", "Calibration error", "points", 2, "lower",
    ("larger", "smaller", "as large"), calibration, family_place=7,
    topic="Calibration", lead="the calibration error was on average")
TEMPERATURE = Metric(
    "temperature", "Temperature", "factor", 2, None,
    ("higher", "lower", "as high"), temperature)
SCALED_LOSS = Metric(
    "scaled_test_loss_nats", "Test loss, scaled", "nats", 3, "lower",
    ("higher", "lower", "as high"), scaled_loss)
SCALED_CALIBRATION = Metric(
    "scaled_calibration_error_points", "Calibration error, scaled", "points", 2, "lower",
    ("larger", "smaller", "as large"), scaled_calibration,
    topic="Calibration", lead="the error that a temperature leaves was on average")
SECONDS_PER_EPOCH = Metric(
    "seconds_per_epoch", "Time per epoch", "s", 1, "lower",
    ("longer", "shorter", "as long"), seconds_per_epoch, family_place=8, is_time=True)
INFERENCE_TIME = Metric(
    "inference_us_per_image", "Inference time per image", "µs", 1, "lower",
    ("longer", "shorter", "as long"), inference_time, family_place=9, is_time=True)
PEAK_MEMORY = Metric(  # not tested: seeds hardly differ in it
    "peak_memory_mib", "Memory of a step", "MiB", 1, "lower",
    ("more", "less", "as much"), peak_memory)
# fmt: on

# A family of their own; without a temperature, loss and error are among the secondary metrics.
CALIBRATION_FAMILY = (TEMPERATURE, SCALED_LOSS, SCALED_CALIBRATION)


def speed_metric(level_percent: float) -> Metric:
    """Epochs until test accuracy first reaches a level."""
    level = f"{level_percent:g}"
    return Metric(
        f"epochs_to_{level}_percent", f"Epochs to {level} %", "epochs", 1, "lower",
        ("later", "earlier", "as early"), partial(speed, level_percent=level_percent),
        family_place=1, level_percent=level_percent,
        topic="Speed", lead=f"{level} % test accuracy was on average reached",
    )  # fmt: skip


def metrics_of(levels_percent: Sequence[float]) -> tuple[Metric, ...]:
    """Every metric in the order of the columns, with one for each level."""
    return (
        *(TEST_ACCURACY, TRAIN_ACCURACY, GAP),
        *map(speed_metric, levels_percent),
        *(DROP_SUM, LARGEST_DROP, LARGEST_DROP_EPOCH, AREA, TEST_LOSS, CALIBRATION),
        *CALIBRATION_FAMILY,
        *(SECONDS_PER_EPOCH, INFERENCE_TIME, PEAK_MEMORY),
        *(BALANCED_ACCURACY, MACRO_F1),
    )


def secondary_family(
    metrics: Sequence[Metric], ran_alike: bool, test_imbalanced: bool
) -> list[Metric]:
    """The metrics that are tested besides test accuracy.

    Times only where all `ran_alike`, and balanced accuracy only where the test classes are
    imbalanced: where they are not it says what test accuracy says, and would take from the others.
    """
    tested = [
        (metric.family_place, metric)
        for metric in metrics
        if metric.family_place is not None
        and (ran_alike or not metric.is_time)
        and (test_imbalanced or not metric.needs_imbalance)
    ]
    return [metric for _, metric in sorted(tested, key=lambda place: place[0])]
