"""What lies around the weights: how loss and gradient change along the gradient.

As in Santurkar et al. 2018, arXiv:1805.11604, figure 4, but by the size of the step, which is
relative to the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from normscope.analysis import Analysis
from normscope.experiment import Series
from normscope.report.plots.curves import leader, spread
from normscope.report.plots.differences import add_key
from normscope.report.plots.figure import MAX_NORMS_IN_WORDS, ReportFigure
from normscope.report.plots.inside import BAND_ALPHA, Band, seeds, series_of
from normscope.report.plots.style import (
    INK,
    NormStyle,
    add_heading,
    name_panel,
    new_figure,
    new_panel,
    norm_styles,
    shorten,
    styled,
)
from normscope.words import number

LOSS, CHANGE = "landscape.loss_nats", "landscape.gradient_change"
COMPARED_STEP = "0.01"  # at which norms are compared: in the middle of those that are taken
MOMENTS = ((1, 1.2), (4, 1.5), (6, 1.5, 1.2, 1.5), ())  # dashes, from the first to the last
MAX_LOSS = 1.0  # nats of change that the axis shows at most: a step too far says no more


@dataclass(frozen=True)
class Surroundings:
    """Around a norm's weights after `epoch`: (S,) by size of step, over its seeds.

    `loss` is the change of the loss in nats, and `gradient` the length of the change of the
    gradient, in lengths of the gradient.
    """

    norm: str
    epoch: float
    steps: np.ndarray
    loss: Band
    gradient: Band


@dataclass(frozen=True)
class AtLoss:
    """A norm: the loss at each moment (S, T) in nats, and `changes` (S, T) of the gradient.

    Over seeds and moments, after a step of `COMPARED_STEP`.
    """

    norm: str
    losses: np.ndarray
    changes: np.ndarray


def landscape_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figures `landscape` and `landscape_at_loss`; none where nothing was measured."""
    found, compared = landscape_data(analysis), at_loss_data(analysis)
    if not found or not compared:
        return []
    return [_around(found, analysis), _at_loss(compared, analysis)]


def _around(found: Sequence[Surroundings], analysis: Analysis) -> ReportFigure:
    last = [each for each in found if each.epoch == max(one.epoch for one in found)]
    told = _changes([(each.norm, _compared(each)) for each in last])
    counts = [each.loss.n for each in found]
    caption = (
        "Can a step be trusted? Training walks against the gradient; here it takes one step of "
        "growing size (0.01 changes the weights by 1 % of their length). Left: how the loss "
        "changes; it should fall (a rise above 1 nat is cut off). Right: by how many of its own "
        "lengths the gradient has changed then; near 0 the landscape is smooth and the old "
        "gradient still points the way, from 1 on "
        f"it says little. At a step of {COMPARED_STEP} after the last moment: {told} "
        f"({seeds(min(counts), max(counts))}; bands span them)."
    )
    alt = (
        f"Change of loss and gradient by size of step. Of the gradient at {COMPARED_STEP}: {told}."
    )
    draw = partial(draw_landscape, found, analysis.asked)
    return ReportFigure("landscape", draw, alt, caption)


def _compared(each: Surroundings) -> float:
    place = int(np.abs(each.steps - float(COMPARED_STEP)).argmin())
    return float(each.gradient.mean[place])


def _changes(changes: Sequence[tuple[str, float]]) -> str:
    """``bn 1.0, gn 2.4``; of many norms, the least and the greatest."""
    if len(changes) > MAX_NORMS_IN_WORDS:
        ordered = sorted(changes, key=lambda each: each[1])
        changes = [ordered[0], ordered[-1]]
    return ", ".join(f"{norm} {number(value, 1)}" for norm, value in changes)


def _at_loss(compared: Sequence[AtLoss], analysis: Analysis) -> ReportFigure:
    ends = [(row.norm, float(row.changes[:, -1].mean())) for row in compared]
    caption = (
        "A norm that has learned more stands elsewhere, so compare norms at the same loss: one "
        "below the others meets a smoother landscape. Each dot is one moment of one seed, and a "
        "line joins their means from the untrained network, at the right, to the last moment."
    )
    alt = (
        f"Change of the gradient at a step of {COMPARED_STEP} against the loss. "
        f"At the last moment: {_changes(ends)}."
    )
    draw = partial(draw_at_loss, compared, analysis.asked)
    return ReportFigure("landscape_at_loss", draw, alt, caption)


def landscape_data(analysis: Analysis) -> tuple[Surroundings, ...]:
    """By norm and moment; the moments are those of the norm's first seed."""
    found = []
    for norm in analysis.order:
        losses, changes = _of(analysis, norm)
        for place, epoch in enumerate(losses[0].epochs if losses else ()):
            moved = [series.readings[place, 1:] - series.readings[place, 0] for series in losses]
            loss = Band.of(moved)
            gradient = Band.of([series.readings[place, 1:] for series in changes])
            if loss is not None and gradient is not None:
                steps = np.array(losses[0].names[0][1:], float)
                found.append(Surroundings(norm, float(epoch), steps, loss, gradient))
    return tuple(found)


def at_loss_data(analysis: Analysis) -> tuple[AtLoss, ...]:
    """Of every norm of which the landscape was measured."""
    rows = []
    for norm in analysis.order:
        losses, changes = _of(analysis, norm)
        if losses:
            place = losses[0].names[0].index(COMPARED_STEP)
            rows.append(
                AtLoss(
                    norm,
                    np.array([series.readings[:, 0] for series in losses]),
                    np.array([series.readings[:, place] for series in changes]),
                )
            )
    return tuple(rows)


def _of(analysis: Analysis, norm: str) -> tuple[list[Series], list[Series]]:
    """Losses and changes of the seeds that were looked at when the first one was."""
    losses, changes = (series_of(analysis, norm, name) for name in (LOSS, CHANGE))
    first = next(iter(losses.values()), None)
    alike = [
        seed
        for seed, series in losses.items()
        if first is not None and np.array_equal(series.epochs, first.epochs)
    ]
    return [losses[seed] for seed in alike], [changes[seed] for seed in alike]


@styled
def draw_landscape(found: Sequence[Surroundings], norms: Sequence[str]) -> Figure:
    """A row per norm: change of the loss and of the gradient, a line per moment."""
    styles = norm_styles(norms)
    rows = list(dict.fromkeys(each.norm for each in found))
    figure = new_figure(1.15 + 1.15 * len(rows))
    grid = figure.subplots(len(rows), 2, sharex=True, sharey="col", squeeze=False)
    add_heading(figure, "Change of loss and gradient after one step")
    epochs = sorted({each.epoch for each in found})
    for each in found:
        panels = grid[rows.index(each.norm)]
        dashes = MOMENTS[-1 - min(epochs[::-1].index(each.epoch), len(MOMENTS) - 1)]
        for axes, band in zip(panels, (each.loss, each.gradient), strict=True):
            _draw_band(axes, each.steps, band, styles[each.norm], dashes)
    for (loss, _), norm in zip(grid, rows, strict=True):
        loss.set_title(shorten(norm, 18), fontsize=8.5, pad=4)
    _set_scales(grid[0, 0], grid[0, 1], found)
    grid[-1, 0].set_xlabel("Size of the step")
    grid[-1, 1].set_xlabel("Size of the step")
    add_key(figure, _key(epochs))
    return figure


def _draw_band(
    axes: Axes, steps: np.ndarray, band: Band, style: NormStyle, dashes: tuple[float, ...]
) -> None:
    last = not dashes
    axes.fill_between(steps, band.low, band.high, color=style.color, alpha=BAND_ALPHA, linewidth=0)
    axes.plot(steps, band.mean, color=style.color, linewidth=2 if last else 1.2,
              dashes=dashes or (None, None))  # fmt: skip


def _set_scales(loss: Axes, gradient: Axes, found: Sequence[Surroundings]) -> None:
    loss.set_xscale("log")
    steps = found[0].steps
    loss.set_xticks(steps, [f"{step:g}" for step in steps])
    loss.xaxis.set_minor_locator(NullLocator())
    low = min(float(np.nanmin(each.loss.low)) for each in found)
    high = min(max(float(np.nanmax(each.loss.high)) for each in found), MAX_LOSS)
    room = 0.08 * (high - low) or 0.1
    loss.set_ylim(low - room, high + room)
    gradient.set_ylim(bottom=0)
    for axes, title in ((loss, "loss (nats)"), (gradient, "gradient (its lengths)")):
        axes.set_title(title, loc="right", fontsize=8.5, fontweight="normal", pad=4)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))


def _key(epochs: Sequence[float]) -> list[Line2D]:
    kept = epochs[-len(MOMENTS) :]
    names = ["untrained" if epoch == 0 else f"epoch {epoch:g}" for epoch in kept]
    return [
        Line2D([], [], color=INK, linewidth=1.2 if dashes else 2, dashes=dashes or (None, None),
               label=name)
        for name, dashes in zip(names, MOMENTS[-len(kept) :], strict=True)
    ]  # fmt: skip


@styled
def draw_at_loss(rows: Sequence[AtLoss], norms: Sequence[str]) -> Figure:
    """One panel: loss to the right, change of the gradient up; `norms` fix the styles."""
    styles = norm_styles(norms)
    figure, axes = new_panel(height_inches=3.1)
    name_panel(axes, f"Change of the gradient at a step of {COMPARED_STEP}")
    axes.set_xlabel("Training loss (nats)")
    for row in rows:
        style = styles[row.norm]
        axes.plot(row.losses.ravel(), row.changes.ravel(), linestyle="", marker=style.marker,
                  markersize=3.5, color=style.color, alpha=0.45, markeredgewidth=0)  # fmt: skip
        axes.plot(row.losses.mean(axis=0), row.changes.mean(axis=0), color=style.color,
                  linewidth=1.8, dashes=style.dashes or (None, None))  # fmt: skip
    axes.set_ylim(bottom=0)
    _name_ends(axes, rows, styles)
    return figure


def _name_ends(axes: Axes, rows: Sequence[AtLoss], styles: dict[str, NormStyle]) -> None:
    """Name each norm to the right of the axes, at the height of its untrained network."""
    high = axes.get_ylim()[1]
    starts = [(float(row.losses[:, 0].mean()), float(row.changes[:, 0].mean())) for row in rows]
    heights = spread([change / high for _, change in starts], gap=0.075)
    for row, start, height in zip(rows, starts, heights, strict=True):
        axes.annotate(
            shorten(row.norm, 20), xy=start, xytext=(1.045, height), va="center",
            textcoords="axes fraction", fontsize=8.5, annotation_clip=False,
            arrowprops=leader(styles[row.norm], 0),
        )  # fmt: skip
