"""The title, the setting and the result table as text: the same on the page and in Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from normscope.analysis import Analysis
from normscope.analysis.answers import equivalence_note
from normscope.analysis.metrics import (
    BALANCED_ACCURACY,
    DROP_SUM,
    GAP,
    LARGEST_DROP,
    MACRO_F1,
    SECONDS_PER_EPOCH,
    TRAIN_ACCURACY,
    Metric,
)
from normscope.analysis.summaries import NormSummary
from normscope.analysis.verdicts import Rules, Verdict
from normscope.stats import Estimate
from normscope.words import NONE, confidence, counted, interval, listed, number, signed

SECONDS_NOTE = (
    "A trial's seconds per epoch are the median over its epochs, because the first is often slower."
)


def title(analysis: Analysis) -> str:
    """What was compared, and on what."""
    norms = analysis.order
    return f"{listed(norms) if len(norms) <= 6 else f'{len(norms)} norms'} on {analysis.facts.name}"


def setting(analysis: Analysis) -> str:
    """Model, recipe, seeds, batch size and rate, and which of the images were left out."""
    experiment, facts = analysis.experiment, analysis.facts
    recipes = [experiment.recipe_for(size) for size in experiment.batch_sizes]
    sizes = ", ".join(f"{recipe.batch_size:,}" for recipe in recipes)
    rates = ", ".join(f"{recipe.max_lr:g}" for recipe in recipes)
    several = "s" if analysis.several_sizes else ""
    protocol, rate = "", f"peak learning rate{several} {rates}"
    if experiment.protocol == "tuned":
        protocol, rate = ", protocol tuned", f"peak learning rates searched around {rates}"
    train = f"{'the first' if experiment.train_limit else 'all'} {facts.train_size:,} training"
    test = f"{'the first' if experiment.test_limit else 'all'} {facts.test_size:,} test images"
    images = f"{train} and {test}"
    if experiment.folds:
        times = counted(experiment.seeds // experiment.folds, "time")
        images = (
            f"all {facts.test_size:,} images in {experiment.folds} folds, dealt out {times}: each "
            "seed tests on one fold and trains on the others"
        )
    return (
        f"Model {experiment.model}, recipe {experiment.recipe.name} with "
        f"{counted(experiment.recipe.epochs, 'epoch')}, {seeds_per_norm(analysis)} per "
        f"norm{protocol}, batch size{several} {sizes}, {rate}, "
        f"{images}."
    )


def seeds_per_norm(analysis: Analysis) -> str:
    """``9 seeds``; or ``6 to 9 seeds``, where a norm was trained no further once it was decided."""
    seeds = analysis.experiment.seeds
    fewest = min(norm.trials for norm in analysis.by_batch_size)
    return f"{fewest} to {seeds} seeds" if fewest < seeds else counted(seeds, "seed")


def main_size(analysis: Analysis) -> str:
    """``Batch size 8. ``: which of several a table is for; "" where there is one."""
    if not analysis.several_sizes:
        return ""
    return f"Batch size {analysis.experiment.main_batch_size:,}. "


def full_names(analysis: Analysis) -> str:
    """``bn: BatchNorm; gn: GroupNorm, 4 groups``: the norms whose full names are known."""
    titles = analysis.titles
    return "; ".join(f"{n}: {titles[n]}" for n in analysis.order if n in titles)


@dataclass(frozen=True)
class Cell:
    """A number and, in smaller type, what qualifies it: its sd, or its interval.

    `decided` marks a difference that the statistics carry.
    """

    text: str
    detail: str = ""
    decided: bool = False

    def __str__(self) -> str:
        return f"{self.text} ({self.detail})" if self.detail else self.text


def mean_sd(estimate: Estimate, digits: int) -> Cell:
    """The mean, qualified by the standard deviation where there is one."""
    detail = "" if estimate.sd is None else f"sd {number(estimate.sd, 2)}"
    return Cell(number(estimate.mean, digits), detail)


def of_classes(analysis: Analysis) -> tuple[Metric, ...]:
    """The metrics that count every class alike, where that makes a difference."""
    return () if analysis.classes.equally_tested else (BALANCED_ACCURACY, MACRO_F1)


def headings(analysis: Analysis) -> list[str]:
    """The columns of the result table."""
    return [
        "Norm",
        "n",
        "Test accuracy (%)",
        *(metric.heading for metric in of_classes(analysis)),
        f"Difference to {analysis.experiment.baseline} (points)",
        "Verdict",
        TRAIN_ACCURACY.heading,
        "Train − test (points)",
        analysis.level.title,
        DROP_SUM.heading,
        LARGEST_DROP.heading,
        "Seconds per epoch",
    ]


def result_row(norm: NormSummary, analysis: Analysis) -> list[Cell]:
    """One norm in the order of `headings`."""
    return [
        Cell(norm.norm),
        trials_cell(norm),
        mean_sd(norm.test_accuracy_percent, 1),
        *(mean_sd(norm.estimates[metric.name], 1) for metric in of_classes(analysis)),
        difference(norm.verdict),
        Cell(norm.outcome),
        mean_sd(norm.estimates[TRAIN_ACCURACY.name], 1),
        mean_sd(norm.estimates[GAP.name], 1),
        _epochs(norm, analysis.level),
        mean_sd(norm.estimates[DROP_SUM.name], 2),
        mean_sd(norm.estimates[LARGEST_DROP.name], 2),
        mean_sd(norm.estimates[SECONDS_PER_EPOCH.name], 1),
    ]


def trials_cell(norm: NormSummary) -> Cell:
    """How many trials finished, and how the others ended that count as guessing."""
    return Cell(f"{norm.finished} of {norm.trials}", norm.guessing.counts)


def difference(verdict: Verdict | None) -> Cell:
    """The mean difference in points, with its interval and n; nothing for the baseline."""
    if verdict is None:
        return Cell("")
    found = verdict.difference
    mean = signed(found.mean)
    if found.low is None:
        return Cell(mean, f"n {found.n}" if found.n else "")
    return Cell(mean, f"{interval(found.low, found.high)}, n {found.n}")


def intervals_note(verdicts: Sequence[Verdict], rules: Rules) -> str:
    """What the differences and intervals of a table are; "" where nothing is compared."""
    if not verdicts:
        return ""
    sure = confidence(rules.alpha)
    equal = equivalence_note([verdict.outcome for verdict in verdicts], rules)
    return f"Differences are taken within seeds, with their {sure} interval. {equal}".rstrip()


def _epochs(norm: NormSummary, level: Metric) -> Cell:
    reached = norm.reached[level.name]
    if norm.finished == 0:
        return Cell(NONE)
    if not reached:
        return Cell("never reached")
    if reached < norm.finished:
        return Cell(f"{reached} of {norm.finished} reached it")
    return mean_sd(norm.estimates[level.name], 1)
