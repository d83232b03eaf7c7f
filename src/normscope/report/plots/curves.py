"""Curves over epochs: every seed thin, the mean of the finished trials thick."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from normscope.analysis import Analysis
from normscope.report.plots.figure import MAX_NORMS_IN_WORDS, ReportFigure
from normscope.report.plots.style import (
    BEHIND,
    INK,
    NormStyle,
    epoch_ticks,
    name_panel,
    names_above,
    new_panel,
    norm_styles,
    styled,
)

MAX_LABELS = 8  # more norms than that are named in a legend below, not at the ends of their lines
MAX_POINTS = 10_000  # of thin curves in one figure; with more, a band spans the seeds instead
LATE = "test_accuracy_late"

METRICS = {
    "test_accuracy_percent": "Test accuracy (%)",
    "train_accuracy_percent": "Train accuracy (%)",
    "test_loss_nats": "Test loss (nats per image)",
    "train_loss_nats": "Train loss (nats per image)",
}


@dataclass(frozen=True)
class SeedCurve:
    """One trial: `values` after `epochs`, both of shape (E,); it may have ended early.

    `finished` is false for a trial that diverged, collapsed or failed.
    """

    seed: int
    finished: bool
    epochs: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class NormCurves:
    """One norm: a curve per seed; `mean` of those finished, or None if there is none."""

    norm: str
    seeds: tuple[SeedCurve, ...]
    mean: SeedCurve | None
    finished: int


def curve_figures(analysis: Analysis) -> list[ReportFigure]:
    """One figure for each of the `METRICS`, and the last third of test accuracy, enlarged."""
    norms, figures = analysis.asked, []
    for metric, title in METRICS.items():
        curves = curves_data(analysis, metric)
        if curves:
            alt = f"{title} by epoch, every seed and the mean. {_ends(curves)}"
            draw = partial(draw_curves, curves, title, norms)
            means = means_of(curves)
            figures.append(ReportFigure(metric, draw, alt, _ends(curves), curves=means))
    return figures + _late_figures(analysis)


def _late_figures(analysis: Analysis) -> list[ReportFigure]:
    epochs = analysis.experiment.recipe.epochs
    late = last_third(curves_data(analysis, "test_accuracy_percent"), epochs)
    if not late or epochs < 3:
        return []
    title = "Test accuracy (%), the last third"
    alt = f"{title} of the epochs, enlarged. {_ends(late)}"
    caption = (
        "The same test accuracy of the finished trials, enlarged to show where the curves "
        "separate, if they do."
    )
    draw = partial(draw_curves, late, title, analysis.asked)
    return [ReportFigure(LATE, draw, alt, caption, curves=means_of(late))]


def means_of(curves: Sequence[NormCurves]) -> dict[str, list[tuple[float, float]]]:
    """By norm, the epochs and values of its mean."""
    return {
        norm.norm: list(zip(norm.mean.epochs.tolist(), norm.mean.values.tolist(), strict=True))
        for norm in curves
        if norm.mean
    }


def _ends(curves: Sequence[NormCurves]) -> str:
    """The mean of every norm at the end of its curve; with many norms, the lowest and highest."""
    ends = [(norm.mean.values[-1], norm) for norm in curves if norm.mean]
    if not ends:
        return "No trial finished."
    joined = ", "
    if len(ends) > MAX_NORMS_IN_WORDS:
        ends.sort(key=lambda end: end[0])
        ends, joined = [ends[0], ends[-1]], " to "
    words = [f"{norm.norm} {value:.2f} (n {norm.finished})" for value, norm in ends]
    return f"Mean after the last epoch: {joined.join(words)}."


def curves_data(analysis: Analysis, metric: str) -> tuple[NormCurves, ...]:
    """The curves of every norm that has any; `metric` is a field of `EpochRecord`."""
    curves = [_norm_curves(analysis, norm, metric) for norm in analysis.order]
    return tuple(norm for norm in curves if norm.seeds)


def _norm_curves(analysis: Analysis, norm: str, metric: str) -> NormCurves:
    value = attrgetter(metric)
    seeds = tuple(
        SeedCurve(
            seed=result.trial.seed,
            finished=result.status == "finished",
            epochs=np.array([record.epoch for record in result.history]),
            values=np.array(list(map(value, result.history))),
        )
        for result in analysis.results_of(norm)
        if result.history
    )
    finished = [curve for curve in seeds if curve.finished]
    mean = None
    if finished:
        mean = replace(finished[0], values=np.mean([curve.values for curve in finished], axis=0))
    return NormCurves(norm, seeds, mean, len(finished))


def last_third(curves: Sequence[NormCurves], epochs: int) -> tuple[NormCurves, ...]:
    """The finished curves, without the epochs before the last third of a run of `epochs` epochs.

    A trial that diverged or collapsed would leave the others no room on an enlarged scale.
    """
    first = epochs - max(2, round(epochs / 3)) + 1
    late = [
        NormCurves(
            norm.norm,
            tuple(_since(curve, first) for curve in norm.seeds if curve.finished),
            norm.mean and _since(norm.mean, first),
            norm.finished,
        )
        for norm in curves
    ]
    return tuple(norm for norm in late if norm.seeds)


def _since(curve: SeedCurve, first: int) -> SeedCurve:
    kept = curve.epochs >= first
    return replace(curve, epochs=curve.epochs[kept], values=curve.values[kept])


@styled
def draw_curves(curves: Sequence[NormCurves], title: str, norms: Sequence[str]) -> Figure:
    """Draw one panel; `norms` are all norms of the experiment, which fix the styles."""
    styles = norm_styles(norms)
    figure, axes = new_panel(height_inches=3.1)
    name_panel(axes, title)
    axes.set_xlabel("Epoch")
    labelled = len(curves) <= MAX_LABELS and not names_above([norm.norm for norm in curves])
    draw_one = _draw_band if seeds_as_bands(curves) else _draw_seeds
    for norm in curves:
        draw_one(axes, norm, styles[norm.norm])
        _cross_unfinished(axes, norm, styles[norm.norm])
    for norm in curves:
        _draw_mean(axes, norm, styles[norm.norm], width=2.0 if labelled else 1.3)
    _fit_epochs(axes, curves)
    if labelled:
        _label_ends(axes, curves, styles)
        _label_unfinished(axes, curves, styles)
    else:
        _add_legend(figure, curves, styles)
    return figure


def seeds_as_bands(curves: Sequence[NormCurves]) -> bool:
    """Whether there are too many curves of single seeds to draw them one by one."""
    return sum(len(seed.values) for norm in curves for seed in norm.seeds) > MAX_POINTS


def _draw_seeds(axes: Axes, norm: NormCurves, style: NormStyle) -> None:
    """All seeds as one line with gaps, which makes a small file."""
    gap = [np.nan]
    x = np.concatenate([part for seed in norm.seeds for part in (seed.epochs, gap)])
    y = np.concatenate([part for seed in norm.seeds for part in (seed.values, gap)])
    single = max(len(seed.values) for seed in norm.seeds) == 1
    axes.plot(x, y, color=style.color, linewidth=0.8, alpha=0.45, marker="." if single else "")


def _cross_unfinished(axes: Axes, norm: NormCurves, style: NormStyle) -> None:
    """Put a cross at the end of a trial that diverged, collapsed or failed."""
    ended = [(seed.epochs[-1], seed.values[-1]) for seed in norm.seeds if not seed.finished]
    if ended:
        axes.plot(*zip(*ended, strict=True), linestyle="", marker="x", color=style.color)


def _draw_band(axes: Axes, norm: NormCurves, style: NormStyle) -> None:
    finished = [seed for seed in norm.seeds if seed.finished]
    if finished:
        values = np.array([seed.values for seed in finished])
        low, high = values.min(axis=0), values.max(axis=0)
        axes.fill_between(finished[0].epochs, low, high, color=style.color, alpha=0.15, linewidth=0)


def _draw_mean(axes: Axes, norm: NormCurves, style: NormStyle, width: float) -> None:
    if norm.mean is None:
        return
    axes.plot(
        norm.mean.epochs,
        norm.mean.values,
        color=style.color,
        linewidth=width,
        dashes=style.dashes or (None, None),
        marker=style.marker,
        markersize=4.5,
        markevery=[-1],
    )


def _fit_epochs(axes: Axes, curves: Sequence[NormCurves]) -> None:
    """From the first epoch to the last, with whole numbers on the axis."""
    epochs = np.concatenate([seed.epochs for norm in curves for seed in norm.seeds])
    room = 0.5 if epochs.min() == epochs.max() else 0.02 * (epochs.max() - epochs.min())
    axes.set_xlim(epochs.min() - room, epochs.max() + room)
    axes.set_xticks(epoch_ticks(int(epochs.min()), int(epochs.max())))


def _label(norm: NormCurves) -> str:
    return f"{norm.norm}  n={norm.finished}"


def _label_ends(axes: Axes, curves: Sequence[NormCurves], styles: dict[str, NormStyle]) -> None:
    """Name each mean to the right of the axes, at the height of its end; names never overlap."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    ended = [norm for norm in curves if norm.mean]
    ends = [norm.mean.values[-1] for norm in ended if norm.mean]
    heights = spread([(end - low) / (high - low) for end in ends], gap=0.075)
    for norm, end, height in zip(ended, ends, heights, strict=True):
        axes.annotate(
            _label(norm),
            xy=(axes.get_xlim()[1], end),
            xytext=(1.045, height),
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            annotation_clip=False,
            arrowprops=leader(styles[norm.norm], 0),
        )


def _label_unfinished(
    axes: Axes, curves: Sequence[NormCurves], styles: dict[str, NormStyle]
) -> None:
    """Name a norm of which no trial finished at the last point that is drawn of it."""
    (first, end), (low, high) = axes.get_xlim(), axes.get_ylim()
    early = [norm for norm in curves if norm.mean is None]
    lasts = [max(norm.seeds, key=lambda seed: len(seed.epochs)) for norm in early]
    heights = spread([(last.values[-1] - low) / (high - low) for last in lasts], gap=0.075)
    for norm, last, height in zip(early, lasts, heights, strict=True):
        epoch = last.epochs[-1]
        side = 1 if epoch < (first + end) / 2 else -1  # where the axes leave room
        axes.annotate(
            _label(norm),
            xy=(epoch, last.values[-1]),
            xytext=(epoch + side * 0.03 * (end - first), low + height * (high - low)),
            ha="left" if side > 0 else "right",
            va="bottom",
            fontsize=8.5,
            arrowprops=leader(styles[norm.norm], 0 if side > 0 else 1),
            bbox={**BEHIND, "pad": 1},
        )


def leader(style: NormStyle, side: float) -> dict[str, Any]:
    """A line in the norm's colour from the left (0) or right (1) of a label to what it names."""
    return {"arrowstyle": "-", "color": style.color, "linewidth": 1.2, "relpos": (side, 0.5),
            "shrinkA": 1, "shrinkB": 0}  # fmt: skip


def spread(places: Sequence[float], gap: float) -> np.ndarray:
    """Move places on [0, 1] apart until neighbours are `gap` or more away; float64, same order."""
    order = np.argsort(places, kind="stable")
    moved = np.array(places, dtype=np.float64)[order]
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    moved = np.minimum(moved, 1.0 - gap * np.arange(len(moved))[::-1])
    for i in range(len(moved) - 2, -1, -1):
        moved[i] = min(moved[i], moved[i + 1] - gap)
    result = np.empty_like(moved)
    result[order] = moved
    return result


def _add_legend(figure: Figure, curves: Sequence[NormCurves], styles: dict[str, NormStyle]) -> None:
    handles = [
        Line2D([], [], color=s.color, linewidth=2, dashes=s.dashes or (None, None), marker=s.marker,
               markersize=4, label=_label(norm))
        for norm in curves
        for s in [styles[norm.norm]]
    ]  # fmt: skip
    look: dict[str, Any] = {"handles": handles, "labelcolor": INK, "handlelength": 2.5,
                            "loc": "outside lower left"}  # fmt: skip
    single = figure.legend(ncols=1, **look)
    space = 2.0 * matplotlib.rcParams["legend.fontsize"] * figure.dpi / 72  # between two columns
    width = single.get_window_extent().width
    single.remove()
    columns = max(1, int((figure.bbox.width + space) / (width + space)))
    figure.set_figheight(figure.get_figheight() + 0.17 * -(-len(handles) // columns))
    figure.legend(ncols=columns, columnspacing=2.0, **look)
