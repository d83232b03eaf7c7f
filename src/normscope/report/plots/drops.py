"""Where and how deep test accuracy fell from one epoch to the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from normscope.analysis import Analysis
from normscope.report.plots.figure import ReportFigure
from normscope.report.plots.style import (
    NormStyle,
    add_heading,
    epoch_ticks,
    is_narrow,
    new_figure,
    norm_styles,
    styled,
)
from normscope.stats import drops
from normscope.words import counted


@dataclass(frozen=True)
class NormDrops:
    """One norm: `depths` in points, float64 (finished trials, epochs), 0 where accuracy rose.

    `note` gives the sum of drops of the average trial, and the deepest drop.
    """

    norm: str
    seeds: tuple[int, ...]
    depths: np.ndarray
    note: str


def drop_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figure `drops`; none where no trial has finished or no test accuracy ever fell."""
    rows = drops_data(analysis)
    if not any(row.depths.any() for row in rows):
        return []
    alt = "Falls of test accuracy: " + "; ".join(f"{row.norm} {row.note}" for row in rows) + "."
    caption = (
        "Every fall of a trial's test accuracy hangs down at its epoch. Fewer and shorter falls "
        "mean smoother training."
    )
    draw = partial(draw_drops, rows, analysis.asked)
    return [ReportFigure("drops", draw, alt, caption)]


def never_fell(analysis: Analysis) -> str:
    """The sentence in place of the figure; "" where it is drawn, or nothing can have fallen."""
    rows = drops_data(analysis)
    trials = sum(len(row.seeds) for row in rows)
    if analysis.experiment.recipe.epochs < 2 or not rows or any(row.depths.any() for row in rows):
        return ""
    return (
        "Test accuracy never fell from one epoch to the next, in "
        f"{counted(trials, 'finished trial')}."
    )


def drops_data(analysis: Analysis) -> tuple[NormDrops, ...]:
    """The drops of every norm with a finished trial."""
    return tuple(_norm_drops(analysis, norm.norm) for norm in analysis.norms if norm.finished)


def _norm_drops(analysis: Analysis, norm: str) -> NormDrops:
    finished = [r for r in analysis.results_of(norm) if r.status == "finished"]
    depths = np.array([drops([e.test_accuracy_percent for e in r.history]) for r in finished])
    seeds = tuple(result.trial.seed for result in finished)
    note = "never fell"
    if depths.any():
        trial, epoch = np.unravel_index(depths.argmax(), depths.shape)
        deepest = f"deepest {depths.max():.2f} (epoch {epoch + 1}, seed {seeds[trial]})"
        note = f"{depths.sum(axis=1).mean():.2f} per trial (n {len(seeds)}), {deepest}"
    return NormDrops(norm, seeds, depths, note)


@styled
def draw_drops(rows: Sequence[NormDrops], norms: Sequence[str]) -> Figure:
    """A row per norm, on one scale: every drop of every trial hangs down at its epoch.

    `norms` are all norms of the experiment, which fix the styles.
    """
    styles = norm_styles(norms)
    figure = new_figure(0.75 + (0.95 if is_narrow() else 0.8) * len(rows))
    panels = figure.subplots(len(rows), sharex=True, sharey=True, squeeze=False)[:, 0]
    deepest = max(float(row.depths.max()) for row in rows)
    panels[0].set_ylim(deepest * 1.08 or 1.0, 0)
    panels[0].set_xlim(0.5, rows[0].depths.shape[1] + 0.5)
    panels[0].yaxis.set_major_locator(MaxNLocator(nbins=2, min_n_ticks=2))
    panels[-1].set_xticks(epoch_ticks(1, rows[0].depths.shape[1]))
    panels[-1].set_xlabel("Epoch")
    add_heading(figure, "Fall of test accuracy since the epoch before (points)")
    for panel, row in zip(panels, rows, strict=True):
        _draw_row(panel, row, styles[row.norm])
    return figure


def _draw_row(panel: Axes, row: NormDrops, style: NormStyle) -> None:
    panel.spines["top"].set_visible(True)
    panel.spines["bottom"].set_visible(False)
    panel.tick_params(axis="x", length=0)
    trials, epochs = np.nonzero(row.depths)
    step = min(0.12, 0.6 / len(row.seeds))
    x = epochs + 1 + step * (trials - (len(row.seeds) - 1) / 2)
    y = row.depths[trials, epochs]
    nothing = np.full_like(y, np.nan)
    panel.plot(
        np.column_stack([x, x, nothing]).ravel(),
        np.column_stack([np.zeros_like(y), y, nothing]).ravel(),
        color=style.color,
        linewidth=max(0.8, min(2.5, 18 * step)),
        solid_capstyle="butt",
    )
    panel.set_title(row.norm, fontsize=8.5, pad=15 if is_narrow() else 4)
    side = "left" if is_narrow() else "right"
    panel.annotate(row.note, (float(side == "right"), 1), xycoords="axes fraction", ha=side,
                   xytext=(0, 4), textcoords="offset points", fontsize=8.5)  # fmt: skip
