"""How numbers are written, and the result table as text: the same in the page and in Markdown."""

from normscope.analysis import Analysis, NormSummary
from normscope.stats import Estimate

NONE = "–"  # what stands where a number is not defined


def number(value: float | None, digits: int, signed: bool = False) -> str:
    """A number with so many decimals; a true minus sign, and thousands separated."""
    if value is None:
        return NONE
    return f"{value:{'+' if signed else ''},.{digits}f}".replace("-", "−")


def mean_sd(estimate: Estimate, digits: int) -> str:
    """``75.8 (sd 0.12)``; the mean alone for one value."""
    spread = "" if estimate.sd is None else f" (sd {number(estimate.sd, digits + 1)})"
    return number(estimate.mean, digits) + spread


def headings(analysis: Analysis) -> list[str]:
    """The columns of the result table."""
    return [
        "Norm",
        "n",
        "Test accuracy (%)",
        f"Points to {analysis.experiment.baseline} (95 % interval)",
        "Train accuracy (%)",
        "Train − test (points)",
        f"Epochs to {analysis.level_percent:.0f} %",
        "Sum of drops (points)",
        "Largest drop (points)",
        "Seconds per epoch",
        "Verdict",
    ]


def result_row(norm: NormSummary) -> list[str]:
    """One norm in the order of `headings`."""
    return [
        norm.norm,
        f"{norm.finished} of {norm.trials}",
        mean_sd(norm.test_accuracy_percent, 1),
        _difference(norm),
        mean_sd(norm.train_accuracy_percent, 1),
        mean_sd(norm.gap_points, 1),
        _epochs(norm),
        mean_sd(norm.drop_sum_points, 2),
        mean_sd(norm.largest_drop_points, 2),
        mean_sd(norm.seconds_per_epoch, 1),
        norm.verdict.outcome if norm.verdict else "baseline",
    ]


def _difference(norm: NormSummary) -> str:
    if norm.verdict is None:
        return ""
    difference = norm.verdict.difference
    mean = number(difference.mean, 2, signed=True)
    if difference.low is None:
        return mean
    low, high = number(difference.low, 2, signed=True), number(difference.high, 2, signed=True)
    return f"{mean} ({low} to {high})"


def _epochs(norm: NormSummary) -> str:
    if norm.finished == 0:
        return NONE
    if norm.reached < norm.finished:
        return f"reached in {norm.reached} of {norm.finished}"
    return mean_sd(norm.epochs_to_level, 1)
