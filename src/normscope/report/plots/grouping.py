"""Who shares statistics with whom: each pair of networks that differ in nothing else, in a row."""

from collections.abc import Sequence
from functools import partial

from normscope.analysis import Analysis
from normscope.analysis.grouping import DISSIMILAR, SIMILAR, order_of
from normscope.analysis.verdicts import Verdict
from normscope.report.plots.figure import ReportFigure
from normscope.report.plots.forest import ForestRow, by_sign, draw_forest, forest_row
from normscope.words import confidence, interval, signed

SAME = "no difference"  # what the line at 0 stands for


def grouping_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figure `grouping`; none without a pair whose mean difference is known."""
    rows = grouping_data(analysis)
    if not any(row.mean is not None for row in rows):
        return []
    told = "; ".join(
        f"{row.norm} {signed(row.mean)} points ({interval(*(row.interval or (None, None)))})"
        for row in rows
    )
    draw = partial(
        draw_forest,
        rows,
        [SAME, *(row.norm for row in rows)],
        SAME,
        analysis.rules,
        heading="Who shares statistics with whom",
    )
    caption = (
        "Each row is one change to a network, everything else equal: to its right the change made "
        "it better. If channels that differ in scale are what matters, groups of similar channels "
        "are better than groups of dissimilar ones. What is similar is told by the untrained "
        "network (initial), or by its trained twin (trained). Random against the order given is a "
        "norm against itself and should show no difference. Lines are "
        f"{confidence(analysis.rules.alpha)} intervals; the band is what counts as no difference. "
        + "".join(by_sign(rows))
    ).strip()
    return [ReportFigure("grouping", draw, f"Differences in test accuracy: {told}.", caption)]


def grouping_data(analysis: Analysis) -> tuple[ForestRow, ...]:
    """A row for every pair that has a seed in common."""
    return tuple(
        forest_row(label, verdict)
        for label, verdict in zip(labels(analysis.grouping), analysis.grouping, strict=True)
        if verdict.difference.n
    )


def labels(verdicts: Sequence[Verdict]) -> list[str]:
    """What is compared with what, such as similar with dissimilar groups, by scale and twin."""
    found = []
    for verdict in verdicts:
        order = order_of(verdict.norm) or ""
        name = f"{verdict.norm} − {verdict.baseline}"
        if order.startswith(SIMILAR):
            by = ", ".join(order.removeprefix(SIMILAR).split("-"))
            name = f"{SIMILAR[:-1]} − {DISSIMILAR[:-1]} ({by})"
        elif order:
            name = f"{order} − given"
        # Of another norm with the same order: its whole name.
        found.append(name if name not in found else f"{verdict.norm} − {verdict.baseline}")
    return found
