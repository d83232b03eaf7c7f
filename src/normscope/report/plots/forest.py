"""The differences to the baseline, one row per norm: mean, interval, verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from normscope.analysis import Analysis
from normscope.analysis.guessing import Guessing
from normscope.analysis.verdicts import Rules, Verdict
from normscope.report.plots import differences as shared
from normscope.report.plots.differences import Range
from normscope.report.plots.figure import ReportFigure
from normscope.report.plots.style import (
    BEHIND,
    INK,
    MUTED,
    PAPER,
    NormStyle,
    add_heading,
    new_panel,
    norm_styles,
    row_inches,
    set_rows,
    styled,
)
from normscope.words import confidence, interval, signed


@dataclass(frozen=True)
class ForestRow:
    """One norm against the baseline: differences of test accuracy, in points, over `n` seeds.

    `interval` is that of the verdict, `simultaneous` the one that holds for all of its family at
    once; None where there is none. `mean` is None where trials count as guessing, and only signs
    are known; `guessing`: such trials of the norm and of the baseline together.
    """

    norm: str
    n: int
    mean: float | None
    interval: Range | None
    simultaneous: Range | None
    outcome: str
    guessing: Guessing


def forest_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figure `differences`; none while no mean difference is known."""
    rows, baseline = forest_data(analysis), analysis.experiment.baseline
    return [forest_figure(rows, analysis.asked, baseline, analysis.rules)] if rows else []


def forest_figure(
    rows: Sequence[ForestRow],
    norms: Sequence[str],
    baseline: str,
    rules: Rules,
    name: str = "differences",
) -> ReportFigure:
    """The figure of these rows; see `draw_forest` for the arguments."""
    alt = f"Difference to {baseline} in test accuracy: {'; '.join(map(_standing, rows))}."
    caption = _caption(rows, baseline, rules)
    return ReportFigure(name, partial(draw_forest, rows, norms, baseline, rules), alt, caption)


def _standing(row: ForestRow) -> str:
    """``gn +0.79 points (+0.13 to +1.45), n 9, better``."""
    if row.mean is None:
        return f"{row.norm} {row.outcome}, n {row.n}, trials {row.guessing.how}"
    known = f" ({interval(*row.interval)})" if row.interval else ""
    return f"{row.norm} {signed(row.mean)} points{known}, n {row.n}, {row.outcome}"


def _caption(rows: Sequence[ForestRow], baseline: str, rules: Rules) -> str:
    sentences = [f"Marks to the right of the line are better than {baseline}."]
    if any(row.interval for row in rows):
        sentences.append("A thick line that does not touch 0 is a decided difference.")
        if rules.margin:
            if rules.version > 1:
                level = confidence(rules.sides_alpha)
                line = f"thick line inside the shaded band is equivalence, and then a {level}"
                sentences.append(f"A {line} interval.")
            else:
                thin = any(row.simultaneous != row.interval for row in rows)
                line = f"{'thin' if thin else 'thick'} line inside the shaded band"
                sentences.append(f"A {line} is equivalence.")
    decided = sum(row.outcome != "undecided" for row in rows)
    sentences.append(f"Decided: {decided or 'none'} of {len(rows)}.")
    if any(row.mean is not None and row.interval is None for row in rows):
        sentences.append("A mark without a line has no interval.")
    sentences += by_sign(rows)
    return " ".join(sentences)


def by_sign(rows: Sequence[ForestRow]) -> list[str]:
    """What a row without a mark means, if there is one."""
    if all(row.mean is not None for row in rows):
        return []
    return ["Where trials diverged or collapsed, only which of the two is ahead counts."]


def forest_data(analysis: Analysis) -> tuple[ForestRow, ...]:
    """Every norm that has a seed in common with the baseline; none if no mean is known."""
    verdicts = [(norm.norm, norm.verdict) for norm in analysis.norms if norm.verdict]
    rows = [forest_row(norm, verdict) for norm, verdict in verdicts if verdict.difference.n]
    return tuple(rows) if any(row.mean is not None for row in rows) else ()


def forest_row(norm: str, verdict: Verdict) -> ForestRow:
    """The verdict as a row of that name."""
    found, judgement = verdict.difference, verdict.judgement
    return ForestRow(
        norm,
        found.n,
        found.mean,
        judgement.supporting,
        judgement.simultaneous,
        verdict.outcome,
        verdict.guessing_in_all,
    )


@styled
def draw_forest(
    rows: Sequence[ForestRow],
    norms: Sequence[str],
    baseline: str,
    rules: Rules,
    heading: str | None = None,
) -> Figure:
    """A marker for the mean, a thick line for the verdict's interval, a thin one for all at once.

    `norms` are all that have a style, which their order fixes; the line at 0 is the `baseline`, and
    the `heading` says so by default.
    """
    styles, margin = norm_styles(norms), rules.margin or 0.0
    figure, axes = new_panel(height_inches=1.5 + row_inches(0.3, [row.norm for row in rows]))
    add_heading(figure, heading or f"Difference to {shared.short_name(baseline)}")
    set_rows(axes, [row.norm for row in rows])
    shared.set_difference_axis(axes, range_of(rows, margin), baseline, margin)
    for height, row in enumerate(rows):
        draw_row(axes, row, height, styles[row.norm])
    notes = [(signed(row.mean), str(row.n), row.outcome) for row in rows]
    shared.add_columns(axes, ("mean", "n", "verdict"), notes)
    _add_key(figure, rows, rules)
    return figure


def range_of(rows: Sequence[ForestRow], margin: float) -> Range:
    """The range of the means, and of the intervals around those means that are shown."""
    shown = shared.difference_range([row.mean for row in rows if row.mean is not None], margin)
    near = [row for row in rows if row.mean is not None and shown[0] <= row.mean <= shown[1]]
    intervals = [found for row in near for found in (row.interval, row.simultaneous)]
    return shared.widened(shown, [end for found in intervals if found for end in found])


def draw_row(axes: Axes, row: ForestRow, height: float, style: NormStyle) -> None:
    """A row at this height; without a mean it says how many trials did not learn, and how."""
    if row.mean is None:
        axes.text(
            0.5, height, f"{row.guessing.total} {row.guessing.how}", fontsize=8,
            color=MUTED, ha="center", va="center", transform=axes.get_yaxis_transform(),
            bbox={**BEHIND, "pad": 1},
        )  # fmt: skip
        return
    together = None if row.simultaneous == row.interval else row.simultaneous
    for found, width in ((together, 1.0), (row.interval, 3.5)):
        if found and _crosses(found, axes):
            ends = np.clip(found, *shared.arrows(axes))
            look = {"linewidth": width, "solid_capstyle": "butt", "color": style.color}
            axes.plot(ends, [height] * 2, **look)
    reached = [row.mean, *(together or ()), *(row.interval or ())]
    shared.add_arrows(axes, (min(reached), max(reached)), height, color=style.color)
    axes.plot(
        row.mean, height, marker=style.marker, markersize=7.5, color=style.color,
        markeredgecolor=PAPER, markeredgewidth=0.9,
    )  # fmt: skip


def _crosses(found: Range, axes: Axes) -> bool:
    left, right = axes.get_xlim()
    return found[0] < right and found[1] > left


def interval_label(rows: Sequence[ForestRow], rules: Rules) -> str:
    """What a thick line is called in the key; the caption has the level of equivalence."""
    if rules.version > 1 and any(row.outcome == "equivalent" for row in rows):
        return "interval of the verdict"
    return f"{confidence(rules.alpha)} interval"


def _add_key(figure: Figure, rows: Sequence[ForestRow], rules: Rules) -> None:
    """What the lines and the band mean; an entry only for what is drawn."""
    handles: list[Line2D | Patch] = []
    level = confidence(rules.alpha)
    if any(row.interval for row in rows):
        words = interval_label(rows, rules)
        handles.append(Line2D([], [], color=INK, linewidth=3.5, label=words))
    if any(row.simultaneous and row.simultaneous != row.interval for row in rows):
        handles.append(Line2D([], [], color=INK, linewidth=1, label=f"{level}, all at once"))
    if rules.margin:
        handles.append(shared.margin_patch(rules.margin))
    shared.add_key(figure, handles)
