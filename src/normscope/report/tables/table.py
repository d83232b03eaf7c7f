"""The form of a table, and how a difference stands in a cell of it."""

from dataclasses import dataclass

from normscope.analysis.contrasts import Contrast
from normscope.report.result_table import Cell, mean_sd
from normscope.stats import Estimate
from normscope.words import NONE, counted, interval, number, signed


@dataclass(frozen=True)
class Table:
    """`rows` begin with the name of what they are about; `norms` has the norm of each row."""

    title: str
    caption: str
    headings: list[str]
    rows: list[list[Cell]]
    norms: list[str | None]


def contrast_cell(contrast: Contrast | None) -> Cell:
    """The mean difference within seeds and its interval, or only its order where only that counts.

    Without a contrast, nothing.
    """
    if contrast is None:
        return Cell(NONE)
    metric, judgement, decided = contrast.metric, contrast.judgement, contrast.decided
    difference, digits = judgement.difference, max(2, metric.decimals)
    if judgement.pairs.ordinal:
        signs = judgement.pairs.differences
        later, earlier = sum(v > 0 for v in signs), sum(v < 0 for v in signs)
        text = f"{metric.greater} {later}, {metric.smaller} {earlier}"
        return Cell(text, f"of {counted(len(signs), 'seed')}", decided)
    mean = signed(difference.mean, digits)
    if difference.n > 1 and not judgement.spread:
        return Cell(mean, f"in each of {difference.n} seeds", decided)
    if difference.low is None:
        return Cell(mean, f"n {difference.n}", decided)
    return Cell(mean, interval(difference.low, difference.high, digits), decided)


def compared(estimate: Estimate, contrast: Contrast | None, digits: int = 1) -> Cell:
    """The mean with the difference to the baseline and its interval; without one, its sd."""
    if contrast is None:
        return mean_sd(estimate, digits)
    found = contrast_cell(contrast)
    return Cell(number(estimate.mean, digits), f"{found.text}, {found.detail}", found.decided)
