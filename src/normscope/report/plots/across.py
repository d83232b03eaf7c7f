"""The differences to the baseline in every setting and over all of them: a panel per norm."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon

from normscope.analysis.across import Across
from normscope.analysis.verdicts import Rules
from normscope.report.plots import differences as shared
from normscope.report.plots.differences import Range
from normscope.report.plots.figure import ReportFigure
from normscope.report.plots.forest import (
    ForestRow,
    draw_row,
    forest_row,
    interval_label,
    range_of,
)
from normscope.report.plots.style import (
    INK,
    NormStyle,
    add_heading,
    columns,
    norm_styles,
    panel_inches,
    set_rows,
    shorten,
    styled,
)
from normscope.words import confidence, signed

OVER_ALL = "over all"
TALL = 0.3  # inches that a row takes, and half of what stands around the rows of a panel
USUAL_COLUMNS, MOST_COLUMNS = 14, 32  # of the name of a setting
WIDE = 0.07  # inches that one more column takes


@dataclass(frozen=True)
class NormPanel:
    """A norm: a row per setting, and over all the mean, its interval and its prediction."""

    norm: str
    settings: tuple[ForestRow, ...]
    mean: float | None
    interval: Range | None
    prediction: Range | None
    outcome: str


def across_figure(across: Sequence[Across]) -> ReportFigure:
    """The figure `suite`."""
    panels, first = across_data(across), across[0]
    alt = " ".join(each.sentence for each in across)
    draw = partial(draw_across, panels, first.baseline, first.rules)
    return ReportFigure("suite", draw, alt, _caption(panels, first))


def _caption(panels: Sequence[NormPanel], first: Across) -> str:
    outcomes = {each.outcome for panel in panels for each in (*panel.settings, panel)}
    sentences = [f"Marks to the right of the line are better than {first.baseline}."]
    if first.rules.version > 1 and "equivalent" in outcomes:
        level = confidence(first.rules.sides_alpha)
        sentences.append(f"Where the verdict is equivalent, the interval is a {level} one.")
    if any(panel.interval for panel in panels):
        sentences.append(
            "The diamond is the mean over settings; its ends are those of the interval, and one "
            "that does not touch 0 is a decided difference."
        )
    if any(panel.prediction for panel in panels):
        sentences.append("The thin line through it is where another setting is expected.")
    return " ".join(sentences)


def across_data(across: Sequence[Across]) -> tuple[NormPanel, ...]:
    """A panel per norm, in their order, with all settings."""
    return tuple(
        NormPanel(
            norm=each.norm,
            settings=tuple(
                replace(forest_row(found.setting, found.verdict), simultaneous=None)
                for found in each.found
            ),
            mean=each.pooled and each.pooled.mean,
            interval=each.supporting,
            prediction=each.prediction,
            outcome=each.outcome,
        )
        for each in across
    )


@styled
def draw_across(panels: Sequence[NormPanel], baseline: str, rules: Rules) -> Figure:
    """One panel below the other, on one axis of differences."""
    styles = norm_styles([baseline, *(panel.norm for panel in panels)])
    rows = len(panels[0].settings) + 1
    inches = 0.9 + len(panels) * TALL * (rows + 3)
    longest = max(columns(row.norm) for row in panels[0].settings)
    wider = WIDE * max(0, min(longest, MOST_COLUMNS) - USUAL_COLUMNS)
    figure = Figure(figsize=(panel_inches() + wider, inches), layout="constrained")
    add_heading(figure, f"Difference to {shared.short_name(baseline)} in {rows - 1} settings")
    shown = _range(panels, rules.margin or 0.0)
    for place, panel in enumerate(panels):
        axes = figure.add_subplot(len(panels), 1, place + 1)
        _draw_panel(axes, panel, baseline, rules, shown, styles[panel.norm])
        if place < len(panels) - 1:
            axes.set_xlabel("")
    _add_key(figure, panels, rules)
    return figure


def _draw_panel(
    axes: Axes, panel: NormPanel, baseline: str, rules: Rules, shown: Range, style: NormStyle
) -> None:
    names = [shorten(row.norm, MOST_COLUMNS) for row in panel.settings]
    set_rows(axes, [*names, OVER_ALL])
    axes.get_yticklabels()[-1].set_fontweight("bold")
    shared.set_difference_axis(axes, shown, baseline, rules.margin or 0.0)
    axes.set_title(shorten(panel.norm, MOST_COLUMNS), pad=18, color=style.color)
    for height, row in enumerate(panel.settings):
        if row.n:
            draw_row(axes, row, height, style)
    last = len(panel.settings)
    axes.axhline(last - 0.5, color=INK, linewidth=0.6)
    _draw_over_all(axes, panel, last, style)
    notes = [(signed(row.mean), str(row.n), row.outcome) for row in panel.settings]
    notes.append((signed(panel.mean), "", panel.outcome))
    shared.add_columns(axes, ("mean", "n", "verdict"), notes)


def _draw_over_all(axes: Axes, panel: NormPanel, height: float, style: NormStyle) -> None:
    """A diamond as wide as the interval, and a thin line as long as the prediction."""
    if panel.mean is None or panel.interval is None:
        return
    reached = panel.prediction or panel.interval
    if panel.prediction:
        ends = np.clip(reached, *shared.arrows(axes))
        axes.plot(ends, [height] * 2, color=style.color, linewidth=1.0, solid_capstyle="butt")
    (low, high), half = panel.interval, 0.28
    sides = [(panel.mean, height - half), (panel.mean, height + half)]
    corners = [(low, height), sides[0], (high, height), sides[1]]
    axes.add_patch(Polygon(corners, closed=True, facecolor=style.color, linewidth=0, zorder=3))
    low, high = min(reached[0], low), max(reached[1], high)
    shared.add_arrows(axes, (low, high), height, color=style.color)


def _range(panels: Sequence[NormPanel], margin: float) -> Range:
    """That of all settings, widened to what is said over all of them."""
    shown = range_of([row for panel in panels for row in panel.settings], margin)
    ends = [end for p in panels for found in (p.interval, p.prediction) if found for end in found]
    return shared.widened(shown, ends)


def _add_key(figure: Figure, panels: Sequence[NormPanel], rules: Rules) -> None:
    words = interval_label([row for panel in panels for row in panel.settings], rules)
    handles: list[Line2D | Patch] = [Line2D([], [], color=INK, linewidth=3.5, label=words)]
    if any(panel.prediction for panel in panels):
        handles.append(Line2D([], [], color=INK, linewidth=1, label="another setting"))
    if rules.margin:
        handles.append(shared.margin_patch(rules.margin))
    shared.add_key(figure, handles)
