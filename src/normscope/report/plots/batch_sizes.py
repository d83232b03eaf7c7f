"""Test error against batch size, one line per norm.

The figure in which group normalization was introduced: Wu and He 2018, arXiv 1803.08494, figure 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from normscope.analysis import Analysis
from normscope.report.plots.curves import leader, spread
from normscope.report.plots.differences import ROOM, reach
from normscope.report.plots.style import MUTED, PAPER, NormStyle, new_panel, norm_styles, styled

LINE_INCHES = 0.155  # from one line of words to the next
FAR = 5  # times as far above the least error as the next lower one: beyond the axis
LEAST = 5.0  # points above the least error that are never beyond it
MANY = 2  # more norms than that are counted, not named


@dataclass(frozen=True)
class NormErrors:
    """One norm: `means` of its test error in percent at the `sizes`, both of shape (S,).

    A mean is NaN where a trial diverged, for leaving that out would flatter the norm, and where
    none finished. `seeds`: batch size and error of every finished trial. `diverged`: trials by
    batch size, of those where there are any.
    """

    norm: str
    sizes: np.ndarray
    means: np.ndarray
    seeds: tuple[tuple[int, float], ...]
    diverged: dict[int, int]


def batch_data(analysis: Analysis) -> tuple[NormErrors, ...]:
    """Every norm with a finished or diverged trial; none unless there are several batch sizes."""
    experiment = analysis.experiment
    if len(experiment.batch_sizes) < 2:
        return ()
    norms = [_norm_errors(analysis, norm) for norm in experiment.norms]
    return tuple(norm for norm in norms if norm.seeds or norm.diverged)


def _norm_errors(analysis: Analysis, norm: str) -> NormErrors:
    own = [summary for summary in analysis.by_batch_size if summary.norm == norm]
    means = [
        np.nan if s.diverged or not s.finished else 100 - (s.test_accuracy_percent.mean or 0.0)
        for s in own
    ]
    seeds = tuple(
        (result.trial.recipe.batch_size, 100 - result.history[-1].test_accuracy_percent)
        for result in analysis.all_results
        if result.trial.norm == norm and result.status == "finished"
    )
    diverged = {summary.batch_size: summary.diverged for summary in own if summary.diverged}
    sizes = np.array([summary.batch_size for summary in own])
    return NormErrors(norm, sizes, np.array(means), seeds, diverged)


@styled
def draw_batch(lines: Sequence[NormErrors], norms: Sequence[str]) -> Figure:
    """Means as lines, seeds as dots; words at the top for what is beyond it, or diverged.

    `norms` are all norms of the experiment, which fix the styles.
    """
    styles = norm_styles(norms)
    low, high = _range(lines)
    notes = _notes(lines, high)
    inches = max(2.4, LINE_INCHES * len(lines)) + LINE_INCHES * len(notes)  # of the axes, nearly
    figure, axes = new_panel(height_inches=inches + 0.8)
    axes.set_title("Test error by batch size (%)")
    axes.set_xlabel("Batch size (images, logarithmic)")
    sizes = lines[0].sizes
    axes.set_xscale("log", base=2)
    axes.set_xlim(sizes[0] / 2**0.3, sizes[-1] * 2**0.3)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    room = ROOM * (high - low)
    axes.set_ylim(low - room, high + room + (high - low) * LINE_INCHES * len(notes) / inches)
    for errors in lines:
        _draw_line(axes, errors, styles[errors.norm])
    for number, (size, words) in enumerate(notes):
        _write_note(axes, size, words, 1 - LINE_INCHES / inches * (number + 0.5))
    _label_ends(axes, lines, styles, LINE_INCHES / inches)
    return figure


def _range(lines: Sequence[NormErrors]) -> tuple[float, float]:
    """From the least error to the greatest, but for a few means far beyond the others.

    Few are less than half of them, and at no batch size all: the others would not be a figure.
    """
    errors = [error for line in lines for _, error in line.seeds]
    if not errors:
        return 0.0, 100.0
    means = np.array([line.means for line in lines])  # (norms, sizes)
    known = np.isfinite(means)
    least = min(errors)
    far = least + reach(means[known] - least, LEAST, FAR)
    beyond = known & (means > far)
    few = beyond.sum() < known.sum() / 2
    if not beyond.any() or not few or (beyond.sum(0) == known.sum(0))[known.any(0)].any():
        return _not_flat(least, max(errors))
    kept = [
        error
        for line, off in zip(lines, beyond, strict=True)
        for size, error in line.seeds
        if size not in line.sizes[off]
    ]
    return _not_flat(least, max(kept))


def _not_flat(low: float, high: float) -> tuple[float, float]:
    return low, max(high, low + 1.0)


def _notes(lines: Sequence[NormErrors], high: float) -> list[tuple[int, str]]:
    """For each batch size, in words: the means above the axis, and the trials that diverged."""
    notes = []
    for number, size in enumerate(lines[0].sizes):
        above = [line for line in lines if line.means[number] > high]
        words = ", ".join(f"{line.norm} {line.means[number]:.1f}" for line in above)
        if len(above) > MANY:
            words = f"{len(above)} norms, up to {max(line.means[number] for line in above):.1f}"
        if above:
            notes.append((size, f"{words} ↑"))
        diverged = [line for line in lines if line.diverged.get(size)]
        words = ", ".join(f"{line.norm} {line.diverged[size]}" for line in diverged)
        if len(diverged) > MANY:
            words = f"{sum(line.diverged[size] for line in diverged)}, in {len(diverged)} norms"
        if diverged:
            notes.append((size, f"diverged trials: {words}"))
    return notes


def _draw_line(axes: Axes, errors: NormErrors, style: NormStyle) -> None:
    if errors.seeds:
        axes.plot(
            *zip(*errors.seeds, strict=True), linestyle="", marker="o", markersize=3,
            color=style.color, alpha=0.45, markeredgewidth=0,
        )  # fmt: skip
    axes.plot(
        errors.sizes, errors.means, color=style.color, linewidth=1.8, marker=style.marker,
        markersize=5, dashes=style.dashes or (None, None),
    )  # fmt: skip


def _write_note(axes: Axes, size: int, words: str, height: float) -> None:
    """At its batch size, on the side where the axes leave room."""
    first, last = axes.get_xlim()
    left = size**2 < first * last  # on the logarithmic axis
    axes.annotate(
        words, (size, height), xycoords=axes.get_xaxis_transform(), fontsize=8,
        xytext=(5 if left else -5, 0), textcoords="offset points", va="center",
        ha="left" if left else "right", color=MUTED,
        bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
    )  # fmt: skip


def _label_ends(
    axes: Axes, lines: Sequence[NormErrors], styles: dict[str, NormStyle], gap: float
) -> None:
    """Name each norm right of the axes, joined to its last mean, or to its last dot."""
    low, high = axes.get_ylim()
    named = [errors for errors in lines if errors.seeds]  # the others are in the notes
    ends = [_end(errors) for errors in named]
    heights = spread([(np.clip(y, low, high) - low) / (high - low) for _, y in ends], gap)
    for errors, (size, error), height in zip(named, ends, heights, strict=True):
        axes.annotate(
            errors.norm, xy=(size, np.clip(error, low, high)), xytext=(1.045, height),
            textcoords="axes fraction", va="center", fontsize=8.5, annotation_clip=False,
            arrowprops=leader(styles[errors.norm], 0),
        )  # fmt: skip


def _end(errors: NormErrors) -> tuple[float, float]:
    known = np.flatnonzero(np.isfinite(errors.means))
    if len(known):
        return float(errors.sizes[known[-1]]), float(errors.means[known[-1]])
    return max(errors.seeds)
