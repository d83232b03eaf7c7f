"""How each comparison came to its verdict: mean difference and interval after every seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from normscope.analysis import Analysis
from normscope.analysis.verdicts import Claim, Rules, Verdict
from normscope.report.plots.differences import (
    MARGIN_ALPHA,
    ROOM,
    Range,
    add_key,
    difference_range,
    margin_patch,
    short_name,
    widened,
)
from normscope.report.plots.figure import MAX_NORMS_IN_WORDS, ReportFigure
from normscope.report.plots.paired import how_guessing, paired_data
from normscope.report.plots.style import (
    BEHIND,
    GRID,
    INK,
    MUTED,
    PAPER,
    NormStyle,
    add_heading,
    epoch_ticks,
    is_narrow,
    new_figure,
    norm_styles,
    shorten,
    styled,
)
from normscope.stats import Interval
from normscope.words import confidence, signed

MAX_STACKED = 4  # more norms than that stand side by side
COLUMNS = 2
BAND_ALPHA = 0.22
DOTS = (0, (2, 2))  # a line where a comparison was decided


@dataclass(frozen=True)
class NormRace:
    """One norm against the baseline after 1, 2, ... seeds: means and intervals, shape (n,), points.

    The intervals hold at every n and for all comparisons at once. They are infinite while nothing
    is known, and where all differences are equal; they are empty once looks contradict each other.
    `decided` is the number of seeds after which they first supported the verdict. It is None as
    long as they do not, even if the verdict was reached at a later, less strict step of Holm's
    procedure.
    """

    norm: str
    means: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    outcome: str
    decided: int | None

    @property
    def note(self) -> str:
        """``worse after 7 seeds``; ``undecided, n 9`` if these intervals have not decided it."""
        if self.decided:
            return f"{self.outcome} after {self.decided} seeds"
        return f"{self.outcome}, n {len(self.means)}"


def race_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figure `race` of a sequential design; none while no interval is finite."""
    races, baseline, rules = race_data(analysis), analysis.experiment.baseline, analysis.rules
    if not races:
        return []
    alt = (
        f"Mean difference to {baseline} and its {confidence(rules.alpha)} interval after every "
        f"seed. {_decisions(races)}"
    )
    draw = partial(draw_race, races, analysis.asked, baseline, rules)
    return [ReportFigure("race", draw, alt, _caption(races, analysis))]


def _decisions(races: Sequence[NormRace]) -> str:
    """When the comparisons were decided; with many norms, how many were, and the first of them."""
    if len(races) <= MAX_NORMS_IN_WORDS:
        return "; ".join(f"{race.norm} {race.note}" for race in races) + "."
    ended = [race for race in races if race.decided]
    words = f"{len(ended)} of {len(races)} norms were decided on the way"
    if not ended:
        return f"{words}."
    first = min(ended, key=lambda race: race.decided or 0)
    return f"{words}, the first {first.norm}: {first.note}."


def _caption(races: Sequence[NormRace], analysis: Analysis) -> str:
    rules, margin = analysis.rules, ""
    if rules.margin:
        own = "" if rules.version == 1 else f"the {confidence(rules.sides_alpha)} interval "
        margin = f" or {own}lies within the shaded margin"
    sentences = [
        "The interval narrows with every seed. The comparison is decided once the interval "
        f"excludes 0{margin}. {_decisions(races)}"
    ]
    late = [race.norm for race in races if race.outcome != "undecided" and not race.decided]
    if late:
        sentences.append(
            f"Decided without a mark ({', '.join(late)}): by Holm's procedure, which tests the "
            "other norms less strictly once it has decided one."
        )
    torn = [race.norm for race in races if race.lows[-1] > race.highs[-1]]
    if torn:
        sentences.append(f"The interval ends where looks contradict each other: {', '.join(torn)}.")
    drawn = {race.norm for race in races}
    absent = [row for row in paired_data(analysis) if row.norm not in drawn]
    if absent:
        names = ", ".join(row.norm for row in absent)
        sentences.append(f"No interval, because trials {how_guessing(absent)}: {names}.")
    return " ".join(sentences)


def race_data(analysis: Analysis) -> tuple[NormRace, ...]:
    """The race of every norm without trials that count as guessing, if the design is sequential.

    Empty while no interval is finite.
    """
    if not analysis.rules.sequential:
        return ()
    verdicts = [(norm.norm, norm.verdict) for norm in analysis.norms if norm.verdict]
    races = [
        _norm_race(norm, verdict, analysis.rules)
        for norm, verdict in verdicts
        if verdict.judgement.pairs.seeds and not verdict.judgement.pairs.ordinal
    ]
    return tuple(races) if any(np.isfinite(race.lows[-1]) for race in races) else ()


def _norm_race(norm: str, verdict: Verdict, rules: Rules) -> NormRace:
    judgement = verdict.judgement
    values = judgement.pairs.differences
    level = rules.alpha / judgement.family
    intervals = rules.looks.running_intervals(values, level)
    lows = np.array([interval.low for interval in intervals])
    highs = np.array([interval.high for interval in intervals])
    means = np.cumsum(values) / np.arange(1, len(values) + 1)
    sides = rules.looks.running_intervals(values, rules.sides_alpha / judgement.family)
    decided = _decided(judgement.claim, intervals, sides, rules.margin or 0.0)
    return NormRace(norm, means, lows, highs, verdict.outcome, decided)


def _decided(
    claim: Claim, intervals: Sequence[Interval], sides: Sequence[Interval], margin: float
) -> int | None:
    """After how many values they first support the claim; None if they never do.

    A difference by the `intervals`, and equivalence by the `sides`.
    """
    if claim == "undecided":
        return None
    supported = [look.low > 0 or look.high < 0 for look in intervals]
    if claim == "equivalent":
        supported = [-margin < look.low and look.high < margin for look in sides]
    return supported.index(True) + 1 if any(supported) else None


@styled
def draw_race(
    races: Sequence[NormRace], norms: Sequence[str], baseline: str, rules: Rules
) -> Figure:
    """A panel per norm, on one scale; a marker where the comparison was decided.

    `norms` are all norms of the experiment, which fix the styles.
    """
    styles, margin = norm_styles(norms), rules.margin or 0.0
    columns = 1 if len(races) <= MAX_STACKED else COLUMNS
    narrow = columns > 1 or is_narrow()
    lines = -(-len(races) // columns)
    height = 1.2 + (1.0 if columns > 1 else 1.3 if narrow else 1.15) * lines
    figure = new_figure(height)
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    add_heading(figure, f"Difference to {short_name(baseline)} after every seed (points)")
    grid[-1, 0].set_xlabel("Seeds")
    _set_scales(grid[0, 0], races, margin, narrow=narrow)
    for number, axes in enumerate(grid.flat):
        axes.set_visible(number < len(races))
        axes.tick_params(labelbottom=number + columns >= len(races))
    for axes, race in zip(grid.flat, races, strict=False):
        _draw_one(axes, race, styles[race.norm], margin)
        _name_one(axes, race, baseline, narrow=narrow)
    _add_key(figure, races, rules)
    return figure


def _set_scales(axes: Axes, races: Sequence[NormRace], margin: float, narrow: bool) -> None:
    """The scales, which all panels share."""
    low, high = _range(races, margin)
    room = ROOM * (high - low)
    axes.set_ylim(low - room, high + room)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    most = max(len(race.means) for race in races)
    axes.set_xlim(1 - ROOM / 4 * most, most + ROOM / 4 * most)
    axes.set_xticks(sorted({1, (most + 1) // 2, most}) if narrow else epoch_ticks(1, most))


def _range(races: Sequence[NormRace], margin: float) -> Range:
    """The range of the means after every seed, and of the last intervals of those shown."""
    shown = difference_range([mean for race in races for mean in race.means], margin)
    near = [race for race in races if shown[0] <= race.means[-1] <= shown[1]]
    ends = [end for race in near for end in (race.lows[-1], race.highs[-1]) if np.isfinite(end)]
    return widened(shown, ends)


def _draw_one(axes: Axes, race: NormRace, style: NormStyle, margin: float) -> None:
    if margin:
        axes.axhspan(-margin, margin, color=GRID, alpha=MARGIN_ALPHA, linewidth=0, zorder=0)
    axes.axhline(0, color=MUTED, linewidth=1, zorder=1)
    n = np.arange(1, len(race.means) + 1)
    edges = axes.get_ylim()  # where nothing is known, the band covers the panel
    lows, highs = np.clip(race.lows, *edges), np.clip(race.highs, *edges)
    held = [bool(one) for one in race.lows <= race.highs]
    axes.fill_between(n, lows, highs, held, color=style.color, alpha=BAND_ALPHA, linewidth=0)
    axes.plot(n, race.means, color=style.color, linewidth=1.8)
    if race.decided:
        axes.axvline(race.decided, color=style.color, linewidth=1, linestyle=DOTS)
        axes.plot(
            race.decided, race.means[race.decided - 1], marker=style.marker, markersize=7,
            color=style.color, markeredgecolor=PAPER, markeredgewidth=0.9,
        )  # fmt: skip


def _name_one(axes: Axes, race: NormRace, baseline: str, narrow: bool) -> None:
    """Name the norm and say how it stands; where there is room, name the line at 0 as well."""
    axes.set_title(shorten(race.norm, 24) if narrow else race.norm, fontsize=8.5,
                   pad=15 if narrow else 4)  # fmt: skip
    place, side = (0, "left") if narrow else (1, "right")
    axes.annotate(
        race.note, (place, 1), xycoords="axes fraction", xytext=(0, 4),
        textcoords="offset points", fontsize=8, ha=side,
    )  # fmt: skip
    if not narrow:
        across = axes.get_yaxis_transform()
        axes.text(1.02, 0, short_name(baseline), transform=across, va="center", fontsize=8.5)
    low, high = axes.get_ylim()
    last = float(race.means[-1])
    if not low <= last <= high:
        edge, side, sign = (0.06, "bottom", "↓") if last < low else (0.94, "top", "↑")
        axes.text(
            0.97, edge, f"{signed(last)} {sign}", transform=axes.transAxes, ha="right", va=side,
            fontsize=8.5, bbox={**BEHIND, "pad": 1},
        )  # fmt: skip


def _add_key(figure: Figure, races: Sequence[NormRace], rules: Rules) -> None:
    label = f"{confidence(rules.alpha)}, all at once"
    band = Patch(facecolor=INK, alpha=BAND_ALPHA, linewidth=0, label=label)
    handles: list[Line2D | Patch] = [band]
    if rules.margin:
        handles.append(margin_patch(rules.margin))
    if any(race.decided for race in races):
        handles.append(Line2D([], [], color=INK, linewidth=1, linestyle=DOTS, label="decided"))
    add_key(figure, handles)
