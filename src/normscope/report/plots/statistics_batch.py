"""Test accuracy against the number of images in bn's statistics, all else equal.

Group normalization was introduced by how bn falls at 2 and 4 images per worker: Wu and He 2018,
arXiv 1803.08494, figure 1. Here the images that gradients are averaged over stay as many.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normscope.analysis import Analysis
from normscope.analysis.guessing import Guessing
from normscope.analysis.statistics_batch import SubBatches, sub_batches_of
from normscope.analysis.summaries import NormSummary
from normscope.report.plots.batch_sizes import (
    LINE_INCHES,
    guessing_words,
    label_ends,
    set_sizes,
    write_note,
)
from normscope.report.plots.differences import ROOM, widened
from normscope.report.plots.figure import MAX_NORMS_IN_WORDS, ReportFigure
from normscope.report.plots.style import NormStyle, name_panel, new_panel, norm_styles, styled
from normscope.stats import Estimate
from normscope.words import counted, number

NOTHING = Estimate(0, None, None, None, None)


@dataclass(frozen=True)
class Point:
    """Test accuracy in percent of one norm: its estimate, and the finished trials.

    There is no mean where no trial finished, and where one counts as guessing: a mean over the
    others would flatter the norm.
    """

    accuracy: Estimate
    seeds: tuple[float, ...]
    guessing: Guessing


@dataclass(frozen=True)
class Curve:
    """One bn, by the number of images in its statistics, ascending."""

    norm: str
    points: dict[int, Point]


@dataclass(frozen=True)
class Lines:
    """The curves of bn, and the norms that have one point, whatever that number is."""

    curves: tuple[Curve, ...]
    levels: dict[str, Point]


def statistics_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figure `statistics_batch`, where some bn has several sizes of its statistics."""
    lines = statistics_data(analysis)
    if not lines.curves:
        return []
    alt = f"Mean test accuracy in percent by the images in bn's statistics: {_told(lines)}."
    draw = partial(draw_statistics, lines, analysis.asked)
    return [ReportFigure("statistics_batch", draw, alt, _caption(lines, analysis))]


def _told(lines: Lines) -> str:
    """``bn 35.8 at 2, 75.9 at 512; at any, gn 74.4``; of many norms the lowest and the highest."""
    parts = []
    for curve in lines.curves:
        means = [f"{_mean(point)} at {size}" for size, point in curve.points.items()]
        parts.append(f"{curve.norm} {', '.join(means)}")
    known = sorted(_known(lines.levels.values()))
    if len(lines.levels) > MAX_NORMS_IN_WORDS and known:
        parts.append(f"{len(lines.levels)} other norms {known[0]:.1f} to {known[-1]:.1f}")
    elif lines.levels:
        levels = [f"{norm} {_mean(point)}" for norm, point in lines.levels.items()]
        parts.append(f"beside them {', '.join(levels)}")
    return "; ".join(parts)


def _mean(point: Point) -> str:
    return "none" if point.accuracy.mean is None else number(point.accuracy.mean, 1)


def _caption(lines: Lines, analysis: Analysis) -> str:
    experiment, batch = analysis.experiment, analysis.experiment.main_batch_size
    rate = f"the peak learning rate is {experiment.recipe_for(batch).max_lr:g} everywhere"
    if experiment.protocol == "tuned":
        rate = "every norm has a learning rate of its own"
    points = [*(p for c in lines.curves for p in c.points.values()), *lines.levels.values()]
    counts = sorted(len(point.seeds) for point in points)
    n = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    others = " Level lines are the other norms, bands their intervals."
    caption = (
        f"Higher is better. Mean and variance of bn run over whole batches of {batch} images, or "
        f"over sub-batches of so many (ghost-bn). Gradients are averaged over {batch} images and "
        f"{rate}. Dots are finished trials, marks their means (n {n}, "
        f"{counted(experiment.recipe.epochs, 'epoch')}), upright lines 95 % intervals of single "
        f"means.{others if lines.levels else ''}"
    )
    guessing = sum((point.guessing for point in points), Guessing())
    if guessing.total:
        caption += f" There is no mean where a trial {guessing.how}."
    return caption


def statistics_data(analysis: Analysis) -> Lines:
    """The curves, and the levels of all other norms; without curves neither."""
    found = sub_batches_of(analysis)
    on_curves = {member.norm for one in found for member in one.members.values()}
    others = [summary for summary in analysis.norms if found and summary.norm not in on_curves]
    return Lines(
        tuple(_curve(one, analysis) for one in found),
        {summary.norm: _point(summary, analysis) for summary in others},
    )


def _curve(found: SubBatches, analysis: Analysis) -> Curve:
    points = {size: _point(member, analysis) for size, member in found.members.items()}
    return Curve(found.norm, points)


def _point(summary: NormSummary, analysis: Analysis) -> Point:
    seeds = tuple(
        result.history[-1].test_accuracy_percent
        for result in analysis.results_of(summary.norm)
        if result.status == "finished"
    )
    accuracy = NOTHING if summary.guessing.total else summary.test_accuracy_percent
    return Point(accuracy, seeds, summary.guessing)


@styled
def draw_statistics(lines: Lines, norms: Sequence[str]) -> Figure:
    """Means as lines with their intervals, seeds as dots; words at the top for trials that guess.

    `norms` are all norms of the experiment, which fix the styles.
    """
    styles = norm_styles(list(dict.fromkeys([*norms, *(curve.norm for curve in lines.curves)])))
    sizes = sorted({size for curve in lines.curves for size in curve.points})
    notes = _notes(lines.curves, sizes)
    named = len(lines.curves) + len(lines.levels)
    inches = max(2.4, LINE_INCHES * named) + LINE_INCHES * len(notes)  # about the axes' height
    low, high = _range(lines)
    figure, axes = new_panel(height_inches=inches + 0.8)
    name_panel(axes, "Test accuracy by statistics batch (%)")
    set_sizes(axes, sizes, "Images in the statistics of bn (logarithmic)")
    room = ROOM * (high - low)
    axes.set_ylim(low - room, high + room + (high - low) * LINE_INCHES * len(notes) / inches)
    for norm, point in lines.levels.items():
        _draw_level(axes, point, styles[norm])
    for curve in lines.curves:
        _draw_curve(axes, curve, styles[curve.norm])
    for place, (size, words) in enumerate(notes):
        write_note(axes, size, words, 1 - LINE_INCHES / inches * (place + 0.5))
    label_ends(axes, _ends(lines, axes.get_xlim()[1]), styles, LINE_INCHES / inches)
    return figure


def _range(lines: Lines) -> tuple[float, float]:
    """The range of all means and dots of curves, widened to intervals that are not far wider."""
    points = [point for curve in lines.curves for point in curve.points.values()]
    shown = [*(seed for point in points for seed in point.seeds)]
    shown += _known([*points, *lines.levels.values()])
    if not shown:
        return 0.0, 100.0
    every = [point.accuracy for point in (*points, *lines.levels.values())]
    ends = [end for accuracy in every for end in (accuracy.low, accuracy.high) if end is not None]
    low, high = min(shown), max(shown)
    return widened((low, max(high, low + 1.0)), ends)


def _known(points: Iterable[Point]) -> list[float]:
    return [point.accuracy.mean for point in points if point.accuracy.mean is not None]


def _notes(curves: Sequence[Curve], sizes: Sequence[int]) -> list[tuple[int, str]]:
    """Sizes, each with words about the trials that guess there."""
    notes = []
    for size in sizes:
        points = {curve.norm: curve.points[size] for curve in curves if size in curve.points}
        found = {norm: point.guessing for norm, point in points.items() if point.guessing.total}
        if found:
            notes.append((size, guessing_words(found)))
    return notes


def _draw_level(axes: Axes, point: Point, style: NormStyle) -> None:
    """A line across, with its interval as a band; nothing where there is no mean."""
    found = point.accuracy
    if found.mean is None:
        return
    axes.axhline(found.mean, color=style.color, linewidth=1.4, dashes=style.dashes or (None, None))
    if found.low is not None and found.high is not None:
        axes.axhspan(found.low, found.high, color=style.color, alpha=0.1, linewidth=0, zorder=0)


def _draw_curve(axes: Axes, curve: Curve, style: NormStyle) -> None:
    dots = [(size, seed) for size, point in curve.points.items() for seed in point.seeds]
    if dots:
        axes.plot(
            *zip(*dots, strict=True), linestyle="", marker="o", markersize=3,
            color=style.color, alpha=0.45, markeredgewidth=0,
        )  # fmt: skip
    for size, point in curve.points.items():
        if point.accuracy.low is not None and point.accuracy.high is not None:
            ends = (point.accuracy.low, point.accuracy.high)
            axes.plot([size] * 2, ends, color=style.color, linewidth=1.1, solid_capstyle="butt")
    means = [point.accuracy.mean for point in curve.points.values()]
    axes.plot(
        list(curve.points), [np.nan if mean is None else mean for mean in means],
        color=style.color, linewidth=1.8, marker=style.marker, markersize=5,
        dashes=style.dashes or (None, None),
    )  # fmt: skip


def _ends(lines: Lines, right: float) -> list[tuple[str, float, float]]:
    """Norm, x and y of the last mean of every curve, and of every level at the `right` edge."""
    ends = []
    for curve in lines.curves:
        known = [(size, p.accuracy.mean) for size, p in curve.points.items()]
        known = [(curve.norm, size, mean) for size, mean in known if mean is not None]
        ends += known[-1:]
    levels = [(norm, right, point.accuracy.mean) for norm, point in lines.levels.items()]
    return ends + [(norm, x, mean) for norm, x, mean in levels if mean is not None]
