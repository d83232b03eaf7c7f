"""Test error against batch size, one line per norm.

This is the figure that introduced group normalization: Wu and He 2018, arXiv 1803.08494, figure 1.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from normscope.analysis import Analysis
from normscope.analysis.guessing import Guessing
from normscope.report.plots.curves import leader, spread
from normscope.report.plots.differences import ROOM, reach
from normscope.report.plots.figure import MAX_NORMS_IN_WORDS, ReportFigure, drawn, drawn_of
from normscope.report.plots.style import (
    BEHIND,
    MUTED,
    NormStyle,
    is_narrow,
    name_panel,
    new_panel,
    norm_styles,
    shorten,
    styled,
)
from normscope.words import signed

LINE_INCHES = 0.155  # from one line of words to the next
# A mean is left off the axis if it is that many times as far above the least error as the next
# lower mean is.
FAR = 5
LEAST = 5.0  # points above the least error that the axis always shows
MANY = 2  # more norms than that are counted, not named


@dataclass(frozen=True)
class NormErrors:
    """One norm: `means` of its test error in percent at the `sizes`, both of shape (S,).

    A mean is NaN where no trial finished, and where one counts as guessing: a mean over the others
    would flatter the norm. `seeds`: batch size and error of every finished trial. `guessing`: the
    trials that count as guessing, for the batch sizes at which there are any.
    """

    norm: str
    sizes: np.ndarray
    means: np.ndarray
    seeds: tuple[tuple[int, float], ...]
    guessing: dict[int, Guessing]


def batch_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figure `batch_sizes`, where there are several."""
    lines = batch_data(analysis)
    if not lines:
        return []
    words = "; ".join(map(_errors, lines))
    if len(lines) > MAX_NORMS_IN_WORDS:
        words = _extremes(lines)
    caption = (
        "Lower is better. Dots are finished trials, and lines join their means "
        f"(n {_counts(lines)}).{_rise(lines)}"
    )
    guessing = sum((found for line in lines for found in line.guessing.values()), Guessing())
    caption += drawn_of(_most(lines), "norm and batch size")
    if guessing.total:
        caption += f" There is no mean where a trial {guessing.how}."
    alt = f"Mean test error in percent by batch size: {words}."
    draw = partial(draw_batch, lines, analysis.asked)
    return [ReportFigure("batch_sizes", draw, alt, caption)]


def _errors(line: NormErrors) -> str:
    """``bn 35.8 at 2, 24.1 at 512``."""
    means = [
        f"{mean:.1f} at {size}" if np.isfinite(mean) else f"none at {size}"
        for size, mean in zip(line.sizes, line.means, strict=True)
    ]
    return f"{line.norm} {', '.join(means)}"


def _extremes(lines: Sequence[NormErrors]) -> str:
    """The lowest and the highest mean at every batch size."""
    words = []
    for place, size in enumerate(lines[0].sizes):
        means = [(line.means[place], line.norm) for line in lines]
        known = [f"{norm} {mean:.1f}" for mean, norm in sorted(filter(_is_known, means))]
        words.append(f"at {size} from {known[0]} to {known[-1]}" if known else f"at {size} none")
    return "; ".join(words)


def _is_known(value: tuple[float, str]) -> bool:
    """Whether a norm's value is a number; NaN must be dropped before values are sorted."""
    return bool(np.isfinite(value[0]))


def _most(lines: Sequence[NormErrors]) -> int:
    """The dots of the norm and batch size that have the most."""
    counts = [Counter(size for size, _ in line.seeds) for line in lines]
    return max((most for one in counts for most in one.values()), default=0)


def _counts(lines: Sequence[NormErrors]) -> str:
    """How many trials of a norm finished at a batch size: ``9``, or ``2 to 9``."""
    counts = [[size for size, _ in line.seeds].count(one) for line in lines for one in line.sizes]
    least, most = min(counts), max(counts)
    return f"{least}" if least == most else f"{least} to {most}"


def _rise(lines: Sequence[NormErrors]) -> str:
    """By how much the error at the smallest batch size exceeds that at the largest."""
    rises = [(line.means[0] - line.means[-1], line.norm) for line in lines]
    known = [f"{norm} {signed(rise, 1)}" for rise, norm in sorted(filter(_is_known, rises))]
    if not known:
        return ""
    words = ", ".join(known)
    if len(known) > MAX_NORMS_IN_WORDS:
        words = f"from {known[0]} to {known[-1]}"
    large, small = lines[0].sizes[-1], lines[0].sizes[0]
    return f" Change of the mean from batch size {large} to {small}, in points: {words}."


def batch_data(analysis: Analysis) -> tuple[NormErrors, ...]:
    """Every norm with an outcome of a trial; none unless there are several batch sizes."""
    experiment = analysis.experiment
    if len(experiment.batch_sizes) < 2:
        return ()
    norms = [_norm_errors(analysis, norm) for norm in analysis.order]
    return tuple(norm for norm in norms if norm.seeds or norm.guessing)


def _norm_errors(analysis: Analysis, norm: str) -> NormErrors:
    own = [summary for summary in analysis.by_batch_size if summary.norm == norm]
    means = [
        np.nan
        if s.guessing.total or not s.finished
        else 100 - (s.test_accuracy_percent.mean or 0.0)
        for s in own
    ]
    seeds = tuple(
        (result.trial.recipe.batch_size, 100 - result.history[-1].test_accuracy_percent)
        for result in analysis.all_results_of(norm)
        if result.status == "finished"
    )
    guessing = {summary.batch_size: summary.guessing for summary in own if summary.guessing.total}
    sizes = np.array([summary.batch_size for summary in own])
    return NormErrors(norm, sizes, np.array(means), seeds, guessing)


@styled
def draw_batch(lines: Sequence[NormErrors], norms: Sequence[str]) -> Figure:
    """Means as lines, seeds as dots; words at the top for means beyond it and trials without one.

    `norms` are all norms of the experiment, which fix the styles.
    """
    styles = norm_styles(norms)
    low, high = _range(lines)
    notes = _notes(lines, high)
    inches = max(2.4, LINE_INCHES * len(lines)) + LINE_INCHES * len(notes)  # about the axes' height
    figure, axes = new_panel(height_inches=inches + 0.8)
    name_panel(axes, "Test error by batch size (%)")
    set_sizes(axes, lines[0].sizes, "Batch size (images, logarithmic)")
    room = ROOM * (high - low)
    axes.set_ylim(low - room, high + room + (high - low) * LINE_INCHES * len(notes) / inches)
    for errors in lines:
        _draw_line(axes, errors, styles[errors.norm])
    for number, (size, words) in enumerate(notes):
        write_note(axes, size, words, 1 - LINE_INCHES / inches * (number + 0.5))
    ends = [_end(errors) for errors in lines if errors.seeds]  # the others are in the notes
    label_ends(axes, ends, styles, LINE_INCHES / inches)
    return figure


def set_sizes(axes: Axes, sizes: Sequence[int] | np.ndarray, label: str) -> None:
    """Make x a logarithmic axis of numbers of images, with a tick at each of them."""
    axes.set_xlabel(label)
    axes.set_xscale("log", base=2)
    axes.set_xlim(sizes[0] / 2**0.3, sizes[-1] * 2**0.3)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())


def _range(lines: Sequence[NormErrors]) -> tuple[float, float]:
    """The least and the greatest error, leaving out a few means that are far above the others.

    Nothing is left out if that would take half of the means or more, or all means of a batch size:
    what remained would say too little.
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
    """Batch sizes, each with words about means above the axis, or about trials that guess."""
    notes = []
    for place, size in enumerate(lines[0].sizes):
        above = {line.norm: line.means[place] for line in lines if line.means[place] > high}
        if above:
            words = f"{len(above)} norms, up to {max(above.values()):.1f}"
            notes.append((size, f"{_each(above, '.1f') or words} ↑"))
        found = {line.norm: line.guessing[size] for line in lines if size in line.guessing}
        if found:
            notes.append((size, guessing_words(found)))
    return notes


def guessing_words(found: Mapping[str, Guessing]) -> str:
    """``collapsed trials: bn 2, ln 1``, by norm; of many norms, how many trials of how many."""
    all_of_them = sum(found.values(), Guessing())
    each = _each({norm: one.total for norm, one in found.items()}, "d")
    return f"{all_of_them.how} trials: {each or f'{all_of_them.total}, in {len(found)} norms'}"


def _each(values: Mapping[str, float], form: str) -> str:
    """``bn 90.0, gn 85.1``; nothing if there are more than `MANY` norms."""
    if len(values) > MANY:
        return ""
    return ", ".join(f"{norm} {value:{form}}" for norm, value in values.items())


def _draw_line(axes: Axes, errors: NormErrors, style: NormStyle) -> None:
    dots = [
        dot for size in errors.sizes for dot in drawn([d for d in errors.seeds if d[0] == size])
    ]
    if dots:
        axes.plot(
            *zip(*dots, strict=True), linestyle="", marker="o", markersize=3,
            color=style.color, alpha=0.45, markeredgewidth=0,
        )  # fmt: skip
    axes.plot(
        errors.sizes, errors.means, color=style.color, linewidth=1.8, marker=style.marker,
        markersize=5, dashes=style.dashes or (None, None),
    )  # fmt: skip


def write_note(axes: Axes, size: int, words: str, height: float) -> None:
    """Write at the batch size, on the side where the axes leave more room."""
    first, last = axes.get_xlim()
    left = size**2 < first * last  # on the logarithmic axis
    axes.annotate(
        words, (size, height), xycoords=axes.get_xaxis_transform(), fontsize=8,
        xytext=(5 if left else -5, 0), textcoords="offset points", va="center",
        ha="left" if left else "right", color=MUTED,
        bbox={**BEHIND, "pad": 0.5},
    )  # fmt: skip


def label_ends(
    axes: Axes,
    ends: Sequence[tuple[str, float, float]],
    styles: dict[str, NormStyle],
    gap: float,
) -> None:
    """Name norms to the right of the axes, each with a line to its x and y."""
    low, high = axes.get_ylim()
    heights = spread([(np.clip(y, low, high) - low) / (high - low) for _, _, y in ends], gap)
    for (norm, x, y), height in zip(ends, heights, strict=True):
        axes.annotate(
            shorten(norm, 14) if is_narrow() else norm,
            xy=(x, np.clip(y, low, high)), xytext=(1.045, height),
            textcoords="axes fraction", va="center", fontsize=8.5, annotation_clip=False,
            arrowprops=leader(styles[norm], 0),
        )  # fmt: skip


def _end(errors: NormErrors) -> tuple[str, float, float]:
    """The norm, with the place of its last mean, or of its last dot."""
    known = np.flatnonzero(np.isfinite(errors.means))
    if len(known):
        return errors.norm, float(errors.sizes[known[-1]]), float(errors.means[known[-1]])
    return errors.norm, *max(errors.seeds)
