"""The differences to the baseline, one row per norm: mean, interval, verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from normscope.analysis import Analysis
from normscope.analysis.verdicts import Rules, Verdict
from normscope.report.plots.differences import (
    Range,
    add_arrows,
    add_columns,
    add_heading,
    add_key,
    add_landmarks,
    arrows,
    difference_range,
    margin_patch,
    points,
    set_range,
    set_rows,
    short_name,
    widened,
)
from normscope.report.plots.style import (
    INK,
    MUTED,
    PAPER,
    NormStyle,
    new_panel,
    norm_styles,
    styled,
)


@dataclass(frozen=True)
class ForestRow:
    """One norm against the baseline: differences of test accuracy, in points, over `n` seeds.

    `interval` is that of the verdict, `simultaneous` the one that holds for all comparisons at
    once; None where there is none. `mean` is None where trials diverged, and only signs are known.
    """

    norm: str
    n: int
    mean: float | None
    interval: Range | None
    simultaneous: Range | None
    outcome: str
    diverged: int


def forest_data(analysis: Analysis) -> tuple[ForestRow, ...]:
    """Every norm that has a seed in common with the baseline; none if no mean is known."""
    verdicts = [(norm.norm, norm.verdict) for norm in analysis.norms if norm.verdict]
    rows = [_row(norm, verdict) for norm, verdict in verdicts if verdict.difference.n]
    return tuple(rows) if any(row.mean is not None for row in rows) else ()


def _row(norm: str, verdict: Verdict) -> ForestRow:
    found, together, interval = verdict.difference, verdict.judgement.simultaneous, None
    if found.low is not None and found.high is not None:
        interval = (found.low, found.high)
    diverged = sum(verdict.diverged)
    return ForestRow(norm, found.n, found.mean, interval, together, verdict.outcome, diverged)


@styled
def draw_forest(rows: Sequence[ForestRow], norms: Sequence[str], rules: Rules) -> Figure:
    """A marker for the mean, a thick line for the verdict's interval, a thin one for all at once.

    `norms` are all norms of the experiment, which fix the styles; the first is the baseline.
    """
    styles, margin = norm_styles(norms), rules.margin or 0.0
    figure, axes = new_panel(height_inches=1.5 + 0.3 * max(2, len(rows)))
    add_heading(figure, f"Difference to {short_name(norms[0])}")
    axes.set_xlabel("Difference in test accuracy (points)")
    set_rows(axes, [row.norm for row in rows])
    set_range(axes, _range(rows, margin))
    add_landmarks(axes, norms[0], margin)
    for height, row in enumerate(rows):
        _draw_row(axes, row, height, styles[row.norm])
    notes = [
        ("–" if row.mean is None else points(row.mean), str(row.n), row.outcome) for row in rows
    ]
    add_columns(axes, ("mean", "n", "verdict"), notes)
    _add_key(figure, rows, rules)
    return figure


def _range(rows: Sequence[ForestRow], margin: float) -> Range:
    """That of the means, and of the intervals around those that are shown."""
    shown = difference_range([row.mean for row in rows if row.mean is not None], margin)
    near = [row for row in rows if row.mean is not None and shown[0] <= row.mean <= shown[1]]
    intervals = [interval for row in near for interval in (row.interval, row.simultaneous)]
    return widened(shown, [end for interval in intervals if interval for end in interval])


def _draw_row(axes: Axes, row: ForestRow, height: float, style: NormStyle) -> None:
    if row.mean is None:
        trials = f"{row.diverged} trial{'s' if row.diverged > 1 else ''} diverged"
        axes.text(
            0.5, height, f"{trials}: signs compared", fontsize=8, color=MUTED,
            ha="center", va="center", transform=axes.get_yaxis_transform(),
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )  # fmt: skip
        return
    together = None if row.simultaneous == row.interval else row.simultaneous
    for interval, width in ((together, 1.0), (row.interval, 3.5)):
        if interval and _crosses(interval, axes):
            ends = np.clip(interval, *arrows(axes))
            look = {"linewidth": width, "solid_capstyle": "butt", "color": style.color}
            axes.plot(ends, [height] * 2, **look)
    reached = [row.mean, *(together or ()), *(row.interval or ())]
    add_arrows(axes, min(reached), max(reached), height, color=style.color)
    axes.plot(
        row.mean, height, marker=style.marker, markersize=7.5, color=style.color,
        markeredgecolor=PAPER, markeredgewidth=0.9,
    )  # fmt: skip


def _crosses(interval: Range, axes: Axes) -> bool:
    left, right = axes.get_xlim()
    return interval[0] < right and interval[1] > left


def _add_key(figure: Figure, rows: Sequence[ForestRow], rules: Rules) -> None:
    """What the lines and the band mean; only of those there are."""
    handles: list[Line2D | Patch] = []
    level = f"{100 * (1 - rules.alpha):g} %"
    if any(row.interval for row in rows):
        handles.append(Line2D([], [], color=INK, linewidth=3.5, label=f"{level} interval"))
    if any(row.simultaneous and row.simultaneous != row.interval for row in rows):
        handles.append(Line2D([], [], color=INK, linewidth=1, label=f"{level}, all at once"))
    if rules.margin:
        handles.append(margin_patch(rules.margin))
    add_key(figure, handles)
