"""The differences to the baseline of every seed, one dot each, one row per norm."""

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
from normscope.experiment import GUESSING
from normscope.report.plots import differences as shared
from normscope.report.plots.figure import ReportFigure, drawn, drawn_of
from normscope.report.plots.style import (
    INK,
    NormStyle,
    add_heading,
    new_panel,
    norm_styles,
    row_inches,
    set_rows,
    styled,
)
from normscope.words import number, signed

_SIGNS = {-1: "<", 0: "o", 1: ">"}


@dataclass(frozen=True)
class PairedRow:
    """One norm against the baseline: differences of test accuracy by seed, in points.

    `signs`: the seeds in which a trial counts as guessing, with the sign of the outcome; 0 where
    both do. `guessing`: those trials of the norm and of the baseline together. `mean` and `sd` are
    None where they are not defined, and wherever there are `signs`.
    """

    norm: str
    differences: dict[int, float]
    signs: dict[int, int]
    guessing: Guessing
    mean: float | None
    sd: float | None

    @property
    def ahead(self) -> str:
        """In how many seeds the norm is better than the baseline: ``2 of 9``."""
        values = [*self.differences.values(), *self.signs.values()]
        return f"{sum(value > 0 for value in values)} of {len(values)}"


def paired_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figure `paired`; none while no norm has a seed in common with the baseline."""
    rows, baseline = paired_data(analysis), analysis.experiment.baseline
    return [paired_figure(rows, analysis.asked, baseline, analysis.rules)] if rows else []


def paired_figure(
    rows: Sequence[PairedRow],
    norms: Sequence[str],
    baseline: str,
    rules: Rules,
    name: str = "paired",
) -> ReportFigure:
    """The figure of these rows; see `draw_paired` for the arguments."""
    ahead = "; ".join(f"{row.norm} ahead in {row.ahead}" for row in rows)
    alt = f"Difference to {baseline} in test accuracy, seed by seed: {ahead}."
    caption = (
        f"One mark per seed, the first seed at the top, and a bar at their mean. To the right of "
        f"the line the norm was better than {baseline} with the same seed."
    )
    if any(row.signs for row in rows):
        caption += f" Open marks: a trial {how_guessing(rows)}, which counts as guessing."
    caption += drawn_of(max(len(row.differences) for row in rows))
    return ReportFigure(name, partial(draw_paired, rows, norms, baseline, rules), alt, caption)


def how_guessing(rows: Sequence[PairedRow]) -> str:
    """What the trials did that count as guessing: ``diverged or collapsed``."""
    return sum((row.guessing for row in rows), Guessing()).how


def paired_data(analysis: Analysis) -> tuple[PairedRow, ...]:
    """Every norm that has a seed in common with the baseline, at the main batch size."""
    guessing = {(t.norm, t.seed) for t in analysis.trials if t.status in GUESSING}
    verdicts = [(norm.norm, norm.verdict) for norm in analysis.norms if norm.verdict]
    return tuple(
        paired_row(
            norm, verdict, {seed for name, seed in guessing if name in (norm, verdict.baseline)}
        )
        for norm, verdict in verdicts
        if verdict.judgement.pairs.seeds
    )


def paired_row(norm: str, verdict: Verdict, guessing: set[int]) -> PairedRow:
    """The verdict as a row; `guessing` are the seeds in which a trial of the two guesses."""
    pairs = verdict.judgement.pairs
    values = dict(zip(pairs.seeds, pairs.differences, strict=True))
    return PairedRow(
        norm=norm,
        differences={seed: value for seed, value in values.items() if seed not in guessing},
        signs={seed: int(np.sign(value)) for seed, value in values.items() if seed in guessing},
        guessing=verdict.guessing_in_all,
        mean=verdict.difference.mean,
        sd=verdict.difference.sd,
    )


@styled
def draw_paired(
    rows: Sequence[PairedRow], norms: Sequence[str], baseline: str, rules: Rules
) -> Figure:
    """One dot per seed, the mean as a bar, and an arrow at the end of the axis for what is beyond.

    `norms` are all norms of the experiment, which fix the styles.
    """
    styles, margin = norm_styles(norms), rules.margin or 0.0
    most = max(len(row.differences) + len(row.signs) for row in rows)
    inches = row_inches(min(0.6, 0.3 + 0.012 * most), [row.norm for row in rows])
    figure, axes = new_panel(height_inches=1.5 + inches)
    add_heading(figure, f"Difference to {shared.short_name(baseline)}, seed by seed")
    set_rows(axes, [row.norm for row in rows])
    differences = [value for row in rows for value in row.differences.values()]
    shown = shared.difference_range(differences, margin)
    shared.set_difference_axis(axes, shown, baseline, margin)
    for height, row in enumerate(rows):
        _draw_row(axes, row, height, styles[row.norm])
    notes = [(signed(row.mean), number(row.sd, 2), row.ahead) for row in rows]
    shared.add_columns(axes, ("mean", "sd", "ahead in"), notes)
    _add_key(figure, rows, margin)
    return figure


def _draw_row(axes: Axes, row: PairedRow, height: float, style: NormStyle) -> None:
    """The mean, the differences that fit on the axis, and arrows for those that do not."""
    (left, right), heights = axes.get_xlim(), _heights(row, height)
    shown = dict(drawn(sorted(row.differences.items())))
    inside = {seed: value for seed, value in shown.items() if left <= value <= right}
    if row.mean is not None and len(heights) > 1 and left <= row.mean <= right:
        axes.plot([row.mean] * 2, [height - 0.4, height + 0.4], color=style.color, linewidth=2.2)
    axes.plot(
        list(inside.values()), [heights[seed] for seed in inside], linestyle="",
        marker=style.marker, markersize=4.5, color=style.color, alpha=0.8, markeredgewidth=0,
    )  # fmt: skip
    for seed in shown.keys() - inside:
        value = shown[seed]
        shared.add_arrows(axes, (value, value), heights[seed], color=style.color, markersize=4.5)
    ends = {-1: shared.arrows(axes)[0], 0: 0.0, 1: shared.arrows(axes)[1]}
    for seed, sign in row.signs.items():
        axes.plot(
            ends[sign], heights[seed], marker=_SIGNS[sign], markersize=4.5, color=style.color,
            markerfacecolor="none", linestyle="",
        )  # fmt: skip


def _heights(row: PairedRow, height: float) -> dict[int, float]:
    """Where each seed stands in its row: in order from the top."""
    seeds = sorted([*row.differences, *row.signs])
    offsets = np.linspace(-0.28, 0.28, len(seeds)) if len(seeds) > 1 else np.zeros(1)
    return dict(zip(seeds, height + offsets, strict=True))


def _add_key(figure: Figure, rows: Sequence[PairedRow], margin: float) -> None:
    handles: list[Line2D | Patch] = [shared.margin_patch(margin)] if margin else []
    signs = [sign for row in rows for sign in row.signs.values()]
    if signs:
        handles.append(
            Line2D([], [], marker=_SIGNS[signs[0]], linestyle="", color=INK,
                   markerfacecolor="none", label=f"a trial {how_guessing(rows)}")
        )  # fmt: skip
    shared.add_key(figure, handles)
