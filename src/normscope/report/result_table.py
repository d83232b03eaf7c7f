"""The result table and the title as text: the same in the page and in Markdown."""

from dataclasses import dataclass

from normscope.analysis import Analysis
from normscope.analysis.summaries import ONE_SEED, NormSummary
from normscope.stats import Estimate
from normscope.words import NONE, number

SECONDS_NOTE = (
    "A trial's seconds per epoch are the median over its epochs, because the first is often slower."
)


def title(analysis: Analysis) -> str:
    """What was compared, and on what."""
    norms = analysis.experiment.norms
    named = norms[0] if len(norms) == 1 else f"{', '.join(norms[:-1])} and {norms[-1]}"
    return f"{named if len(norms) <= 6 else f'{len(norms)} norms'} on {analysis.facts.name}"


def one_seed(analysis: Analysis) -> str | None:
    """The warning that a single seed concludes nothing, if it is among the caveats."""
    return ONE_SEED if ONE_SEED in " ".join(analysis.caveats).lower() else None


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


def headings(analysis: Analysis) -> list[str]:
    """The columns of the result table."""
    return [
        "Norm",
        "n",
        "Test accuracy (%)",
        f"Difference to {analysis.experiment.baseline} (points)",
        "Verdict",
        "Train accuracy (%)",
        "Train − test (points)",
        f"Epochs to {analysis.level_percent:g} %",
        "Sum of drops (points)",
        "Largest drop (points)",
        "Seconds per epoch",
    ]


def result_row(norm: NormSummary) -> list[Cell]:
    """One norm in the order of `headings`."""
    return [
        Cell(norm.norm),
        Cell(f"{norm.finished} of {norm.trials}"),
        mean_sd(norm.test_accuracy_percent, 1),
        _difference(norm),
        Cell(norm.verdict.outcome if norm.verdict else "baseline"),
        mean_sd(norm.train_accuracy_percent, 1),
        mean_sd(norm.gap_points, 1),
        _epochs(norm),
        mean_sd(norm.drop_sum_points, 2),
        mean_sd(norm.largest_drop_points, 2),
        mean_sd(norm.seconds_per_epoch, 1),
    ]


def _difference(norm: NormSummary) -> Cell:
    if norm.verdict is None:
        return Cell("")
    difference = norm.verdict.difference
    mean = number(difference.mean, 2, signed=True)
    if difference.low is None:
        return Cell(mean, f"n {difference.n}" if difference.n else "")
    low, high = number(difference.low, 2, signed=True), number(difference.high, 2, signed=True)
    return Cell(mean, f"{low} to {high}, n {difference.n}")


def _epochs(norm: NormSummary) -> Cell:
    if norm.finished == 0:
        return Cell(NONE)
    if norm.reached < norm.finished:
        return Cell(f"{norm.reached} of {norm.finished}", "the others never")
    return mean_sd(norm.epochs_to_level, 1)
