"""One dot per trial, one row per norm: final test accuracy, and epochs to the level."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from normscope.analysis import Analysis
from normscope.report.plots.figure import ReportFigure, drawn, drawn_of
from normscope.report.plots.style import (
    INK,
    MUTED,
    NormStyle,
    name_panel,
    new_panel,
    norm_styles,
    row_inches,
    set_rows,
    styled,
)
from normscope.stats import Estimate
from normscope.words import number

ABOVE_EDGE = 20  # points below a title that leave room for the words above the edge
MAX_JOINED = 60  # more trials than that are not joined by seed: the lines would hide the dots


@dataclass(frozen=True)
class Row:
    """One norm: `values` of its finished trials by seed, None where the level was never reached.

    `mean` is None where it is not defined; `note` puts it into words, with sd and n.
    """

    norm: str
    values: dict[int, float | None]
    mean: float | None
    note: str


def final_accuracy_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figure `final_accuracy`; none while no trial has finished."""
    rows = final_accuracy_data(analysis)
    norms = analysis.asked
    return [final_accuracy_figure(rows, norms)] if any(row.values for row in rows) else []


def final_accuracy_figure(
    rows: Sequence[Row],
    norms: Sequence[str],
    title: str = "Test accuracy after the last epoch",
    name: str = "final_accuracy",
) -> ReportFigure:
    """The figure of these rows, of which one has values; `norms` fix the styles."""
    caption = f"One dot per seed, the mean as a bar.{drawn_of(_most(rows))}"
    if seeds_joined(rows):
        caption += " A thin line joins the trials of one seed."
    draw = partial(draw_dots, rows, title, "Test accuracy (%)", norms)
    return ReportFigure(name, draw, f"Final test accuracy: {_told(rows)}", caption)


def _most(rows: Sequence[Row]) -> int:
    """The dots of the norm that has the most."""
    return max(len(row.values) for row in rows)


def epochs_to_level_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figure `epochs_to_level`; none while no trial has finished."""
    rows, level = epochs_to_level_data(analysis), f"{analysis.level_percent:g} %"
    if not any(row.values for row in rows):
        return []
    title, epochs = f"Epochs until test accuracy reached {level}", analysis.experiment.recipe.epochs
    norms = analysis.asked
    draw = partial(draw_dots, rows, title, "Epochs", norms, never_after=float(epochs))
    alt = f"Epochs to {level}: {_told(rows)}"
    caption = f"Interpolated between evaluations. Further left means that {level} came earlier."
    caption += drawn_of(_most(rows))
    return [ReportFigure("epochs_to_level", draw, alt, caption)]


def _told(rows: Sequence[Row]) -> str:
    return "; ".join(f"{row.norm} {row.note}" for row in rows) + "."


def final_accuracy_data(analysis: Analysis) -> tuple[Row, ...]:
    """Test accuracy after the last epoch, in percent."""
    return tuple(
        Row(
            norm.norm,
            _values(analysis, norm.norm, "test_accuracy_percent"),
            norm.test_accuracy_percent.mean,
            note_of(norm.test_accuracy_percent, norm.finished),
        )
        for norm in analysis.norms
    )


def epochs_to_level_data(analysis: Analysis) -> tuple[Row, ...]:
    """Epochs until test accuracy first reached the level; no mean unless every trial reached it."""
    rows = []
    for norm in analysis.norms:
        level = analysis.level.name
        estimate, reached = norm.estimates[level], norm.reached[level]
        note = f"reached in {reached} of {norm.finished}"
        if reached == norm.finished:
            note = note_of(estimate, norm.finished, 1)
        values = _values(analysis, norm.norm, level)
        rows.append(Row(norm.norm, values, estimate.mean, note))
    return tuple(rows)


def _values(analysis: Analysis, norm: str, metric: str) -> dict[int, float | None]:
    trials = analysis.trials.of(norm, analysis.experiment.main_batch_size)
    return {trial.seed: trial.metrics[metric] for trial in trials if trial.metrics}


def note_of(found: Estimate, finished: int, decimals: int = 2) -> str:
    """``75.9 (sd 0.42, n 10)``, the sd with so many decimals."""
    if found.mean is None:
        return "no trial finished"
    spread = "" if found.sd is None else f"sd {number(found.sd, decimals)}, "
    return f"{number(found.mean, 1)} ({spread}n {finished})"


@styled
def draw_dots(
    rows: Sequence[Row],
    title: str,
    xlabel: str,
    norms: Sequence[str],
    never_after: float | None = None,
) -> Figure:
    """Draw the rows from the top; what is None stands to the right of `never_after`.

    `norms` are all norms of the experiment, which fix the styles.
    """
    styles = norm_styles(norms)
    figure, axes = new_panel(height_inches=0.95 + row_inches(0.34, [row.norm for row in rows]))
    axes.set_xlabel(xlabel)
    set_rows(axes, [row.norm for row in rows])
    edge = _add_edge(axes, never_after, rows)
    name_panel(axes, title, pad=None if np.isnan(edge) else ABOVE_EDGE)
    places = [_places(row, height, edge) for height, row in enumerate(rows)]
    if seeds_joined(rows):
        _join_seeds(axes, rows, places)
    for height, row in enumerate(rows):
        _draw_row(axes, row, height, places[height], styles[row.norm])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    return figure


def seeds_joined(rows: Sequence[Row]) -> bool:
    """Whether thin lines join the trials of a seed: with several norms, and not too many trials."""
    return len(rows) > 1 and sum(len(row.values) for row in rows) <= MAX_JOINED


def _add_edge(axes: Axes, never_after: float | None, rows: Sequence[Row]) -> float:
    """Add a strip at the right for levels never reached, if any; return its x, else NaN."""
    values = [value for row in rows for value in row.values.values()]
    if never_after is None or None not in values:
        return np.nan
    first = min((value for value in values if value is not None), default=never_after)
    width = 0.08 * (never_after - first + 1)
    axes.set_xlim(first - width, never_after + 2 * width)
    axes.axvline(never_after + 0.4 * width, color=MUTED, linewidth=0.8, linestyle=":")
    axes.text(
        1.0, 1.03, "not reached", transform=axes.transAxes, ha="right", fontsize=8, color=MUTED
    )
    return never_after + 1.3 * width


def _places(row: Row, height: float, edge: float) -> dict[int, tuple[float, float]]:
    """Where the dot of each seed goes: seeds are a little apart, so that equal values show."""
    shown = drawn(sorted(row.values.items()))
    offsets = np.linspace(-0.16, 0.16, len(shown)) if len(shown) > 1 else [0.0] * len(shown)
    return {
        seed: (edge if value is None else value, height + offset)
        for (seed, value), offset in zip(shown, offsets, strict=True)
    }


def _join_seeds(
    axes: Axes, rows: Sequence[Row], places: Sequence[dict[int, tuple[float, float]]]
) -> None:
    for seed in sorted({seed for row in rows for seed in row.values}):
        path = [place[seed] for place in places if seed in place]
        axes.plot(*zip(*path, strict=True), color=MUTED, linewidth=0.7, alpha=0.55, zorder=1)


def _draw_row(
    axes: Axes, row: Row, height: float, places: dict[int, tuple[float, float]], style: NormStyle
) -> None:
    for reached in (True, False):
        dots = [
            place for seed, place in places.items() if (row.values[seed] is not None) == reached
        ]
        if dots:
            axes.plot(
                *zip(*dots, strict=True),
                linestyle="",
                marker=style.marker,
                markersize=5,
                color=style.color,
                alpha=0.8,
                markerfacecolor=style.color if reached else "none",
                clip_on=False,
            )
    if row.mean is not None and len(row.values) > 1:
        axes.plot([row.mean] * 2, [height - 0.34, height + 0.34], color=style.color, linewidth=2.2)
    axes.text(
        1.02, height, row.note, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5,
        color=INK,
    )  # fmt: skip
