"""Test accuracy by the statistics that a network is tested with, in every seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from normscope.analysis import Analysis
from normscope.analysis.why.bump import looked_at
from normscope.analysis.why.reading import probes_of
from normscope.report.plots.differences import add_key
from normscope.report.plots.figure import ReportFigure
from normscope.report.plots.inside import norm_panels, series_of
from normscope.report.plots.style import INK, MUTED, NormStyle, epoch_ticks, norm_styles, styled
from normscope.stats import holm, mcnemar
from normscope.words import counted

MAX_SEEDS = 8  # more seeds than that are counted, not drawn
OTHERS = ("precise", "batch")  # statistics than running ones
EARLY = 1 / 5  # of the training, whose accuracies may lie below the axis


@dataclass(frozen=True)
class SeedGap:
    """One seed: test accuracy in percent after `epochs` (E,), each of which is above 0.

    `percent` (E,) is by name: running, precise, batch. `differs` (E,) says by name of `OTHERS` at
    which epochs it is shown to differ from running: by McNemar's exact test with Holm's correction
    over the epochs of the seed.
    """

    seed: int
    epochs: np.ndarray
    percent: dict[str, np.ndarray]
    differs: dict[str, np.ndarray]


def gap_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figures `eval_gap_0`, ... of the norms that are tested with running statistics."""
    found = {norm: gap_data(analysis, norm) for norm in analysis.order}
    measured = [(norm, rows) for norm, rows in found.items() if rows]
    return [
        _figure(f"eval_gap_{place}", norm, rows, analysis)
        for place, (norm, rows) in enumerate(measured)
    ]


def _figure(name: str, norm: str, rows: Sequence[SeedGap], analysis: Analysis) -> ReportFigure:
    counts = ", ".join(
        f"{other} {sum(int(row.differs[other].sum()) for row in rows)}" for other in OTHERS
    )
    looked = sum(len(row.epochs) for row in rows)
    caption = (
        f"{norm} is tested with averages of means and variances that it kept while training "
        "(running). Was a fall of the accuracy the network's, or theirs? Precise: averages taken "
        "anew from training images by the network as it stands. Batch: those of the test images "
        "themselves. Where the solid line falls and the others do not, the averages were at fault. "
        f"Triangles mark epochs where precise (▲) or batch statistics (△) get "
        "demonstrably more or fewer images right (McNemar's test, corrected by Holm over epochs): "
        f"{counts} of {looked} in {counted(len(rows), 'seed')}. On "
        f"{looked_at(probes_of(norm, analysis)):,} test images; the first epochs may lie below the "
        "axis."
    )
    if len(rows) > MAX_SEEDS:
        caption += f" The first {MAX_SEEDS} seeds are drawn."
    alt = (
        f"Test accuracy of {norm} by epoch and statistics. Epochs that differ from running ones: "
        f"{counts} of {looked}."
    )
    draw = partial(draw_gap, rows, norm, analysis.asked)
    return ReportFigure(name, draw, alt, caption)


def gap_data(analysis: Analysis, norm: str) -> tuple[SeedGap, ...]:
    """Every seed of a norm of which it was measured after the training began."""
    readings = {
        name: series_of(analysis, norm, f"eval-gap.{name}")
        for name in (
            "running_percent", "precise_percent", "batch_percent",
            "only_running_precise", "only_precise", "only_running_batch", "only_batch",
        )
    }  # fmt: skip
    alpha = analysis.rules.alpha
    rows = []
    for seed, running in readings["running_percent"].items():
        trained = running.epochs > 0
        of = {name: by_seed[seed].readings[trained] for name, by_seed in readings.items()}
        if trained.any():
            rows.append(
                SeedGap(
                    seed,
                    running.epochs[trained],
                    {name: of[f"{name}_percent"] for name in ("running", *OTHERS)},
                    {
                        name: differing(of[f"only_running_{name}"], of[f"only_{name}"], alpha)
                        for name in OTHERS
                    },
                )
            )
    return tuple(rows)


def differing(only_one: np.ndarray, only_other: np.ndarray, alpha: float) -> np.ndarray:
    """At which places two are shown to differ, bool (E,), all at once at the level alpha.

    `only_one` and `only_other` (E,) count the images that one of them alone gets right.
    """
    pairs = zip(only_one, only_other, strict=True)
    return holm([mcnemar(round(float(a)), round(float(b))) for a, b in pairs]) <= alpha


@styled
def draw_gap(rows: Sequence[SeedGap], norm: str, norms: Sequence[str]) -> Figure:
    """A panel per seed on one scale; `norms` are all of the experiment, which fix the styles."""
    style, shown = norm_styles(norms)[norm], rows[:MAX_SEEDS]
    names = [f"seed {row.seed}" for row in shown]
    title = f"Test accuracy of {norm} by its statistics (%)"
    figure, panels = norm_panels(names, title, "Epoch", 1.45, most_stacked=1)
    for axes, row in zip(panels, shown, strict=True):
        _draw_seed(axes, row, style)
    _set_scales(panels[0], shown)
    for axes, row in zip(panels, shown, strict=True):
        _mark(axes, row)
    add_key(figure, _key(style))
    return figure


def _draw_seed(axes: Axes, row: SeedGap, style: NormStyle) -> None:
    axes.plot(row.epochs, row.percent["batch"], color=MUTED, linewidth=1, linestyle=":")
    axes.plot(row.epochs, row.percent["precise"], color=INK, linewidth=1, dashes=(4, 1.5))
    axes.plot(row.epochs, row.percent["running"], color=style.color, linewidth=1.6,
              marker="." if len(row.epochs) == 1 else "")  # fmt: skip


def _set_scales(axes: Axes, rows: Sequence[SeedGap]) -> None:
    """From the accuracies after a fifth of the training up; two rows of marks below them."""
    first = min(float(row.epochs[0]) for row in rows)
    last = max(float(row.epochs[-1]) for row in rows)
    late = [values[row.epochs >= last * EARLY] for row in rows for values in row.percent.values()]
    low, high = float(np.concatenate(late).min()), float(np.concatenate(late).max())
    room = max(high - low, 1.0)
    axes.set_ylim(low - 0.3 * room, high + 0.05 * room)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    margin = 0.04 * (last - first) or 0.5
    axes.set_xlim(first - margin, last + margin)
    axes.set_xticks(epoch_ticks(round(first), round(last)))


def _mark(axes: Axes, row: SeedGap) -> None:
    for height, other in zip((0.13, 0.05), OTHERS, strict=True):
        x = row.epochs[row.differs[other]]
        axes.plot(
            x, np.full(len(x), height), transform=axes.get_xaxis_transform(), linestyle="",
            marker="^", markersize=4.5, color=INK, markeredgewidth=0.8,
            markerfacecolor=INK if other == "precise" else "none",
        )  # fmt: skip


def _key(style: NormStyle) -> list[Line2D]:
    return [
        Line2D([], [], color=style.color, linewidth=1.6, label="running"),
        Line2D([], [], color=INK, linewidth=1, dashes=(4, 1.5), marker="^", markersize=4.5,
               label="precise"),
        Line2D([], [], color=MUTED, linewidth=1, linestyle=":", marker="^", markersize=4.5,
               markeredgecolor=INK, markerfacecolor="none", label="batch"),
    ]  # fmt: skip
