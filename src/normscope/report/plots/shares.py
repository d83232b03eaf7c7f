"""Where a layer's variance comes from, and how far its norm is from a fixed map, by layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from normscope.analysis import Analysis
from normscope.analysis.contrasts import to_choose
from normscope.analysis.why.reading import layer_mean
from normscope.report.plots.differences import add_key
from normscope.report.plots.figure import ReportFigure
from normscope.report.plots.inside import (
    LAYER,
    Band,
    first_few,
    layers,
    seeds,
    set_layers,
    trained,
)
from normscope.report.plots.style import (
    COLORS,
    GRID,
    PAPER,
    add_heading,
    new_figure,
    norm_styles,
    shorten,
    styled,
)
from normscope.words import number

# The parts of a bar from the bottom: the measure, its name, its colour.
PARTS = (
    ("channel", "channel", COLORS[16]),
    ("sample", "image", COLORS[4]),
    ("interaction", "both together", COLORS[5]),
    ("spatial", "pixels", GRID),
)


@dataclass(frozen=True)
class NormShares:
    """A norm's trained networks, means over `n` seeds.

    `shares` (4, L): of the variance of what enters each norm layer, in the order of `PARTS`; they
    add up to 1. `gap` (L,): the affine gap of the layers, None where it was not measured.
    """

    norm: str
    shares: np.ndarray
    gap: np.ndarray | None
    n: int


def share_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figure `variance_shares`; none while no trained network was looked into."""
    rows = shares_data(analysis)
    if not rows:
        return []
    told = first_few([_told(row) for row in rows])
    counts = [row.n for row in rows]
    caption = (
        "Why do the numbers that enter a normalization layer differ? Because they belong to "
        "different channels, to different images, to a channel that this image excites "
        "(both together), or to different pixels of one map. Each bar is the whole of a layer. "
        "By subtracting its mean a bn layer removes the channel's part, an ln layer the image's, "
        "and a layer of in all but that of the pixels. On the right: how far the layer is from "
        "treating every image alike, one fixed scale and shift per channel (the affine gap); 0 for "
        "bn. "
        f"Means over layers: {told} ({seeds(min(counts), max(counts))})."
    )
    alt = f"Shares of the variance by layer and norm after training. Means over layers: {told}."
    draw = partial(draw_shares, rows, analysis.asked)
    return [ReportFigure("variance_shares", draw, alt, caption)]


def _told(row: NormShares) -> str:
    """``bn channel 7 %, image 1 %, both 10 %, affine gap 0.00``."""
    parts = [
        f"{name} {number(100 * layer_mean(share), 0)} %"
        for (_, name, _), share in zip(PARTS[:3], row.shares, strict=False)
    ]
    gap = [] if row.gap is None else [f"affine gap {number(layer_mean(row.gap), 2)}"]
    return f"{row.norm} {', '.join(parts + gap)}"


def shares_data(analysis: Analysis) -> tuple[NormShares, ...]:
    """Of every norm of which the shares were measured in a trained network.

    But not of regrouped ones beside others, which would be a row each: the table has them.
    """
    rows = []
    chosen = to_choose(analysis.experiment)
    for norm in (norm for norm in analysis.order if norm in chosen):
        bands = [
            Band.of(trained(analysis, norm, f"variance.{measure}").values())
            for measure, *_ in PARTS
        ]
        known = [band for band in bands if band is not None]
        if len(known) == len(PARTS):
            gap = Band.of(trained(analysis, norm, "affine-gap.affine_gap").values())
            shares = np.array([band.mean for band in known])
            rows.append(NormShares(norm, shares, None if gap is None else gap.mean, known[0].n))
    return tuple(rows)


@styled
def draw_shares(rows: Sequence[NormShares], norms: Sequence[str]) -> Figure:
    """A row per norm: its bars on the left, its gap on the right, on scales that all share."""
    styles = norm_styles(norms)
    height = 1.25 + 0.95 * len(rows)
    figure = new_figure(height)
    grid = figure.subplots(
        len(rows), 2, sharex=True, sharey="col", squeeze=False, width_ratios=(1.6, 1)
    )
    add_heading(figure, "Where the variance of a layer comes from")
    most = max(row.n for row in rows)
    for (bars, gaps), row in zip(grid, rows, strict=True):
        _draw_bars(bars, row)
        fewer = f" (n={row.n})" if row.n < most else ""
        bars.set_title(f"{shorten(row.norm, 30)}{fewer}", fontsize=8.5, pad=4)
        if row.gap is not None:
            gaps.bar(layers(row.gap), row.gap, width=0.8, color=styles[row.norm].color)
    grid[0, 1].set_title("affine gap", fontsize=8.5, pad=4, fontweight="normal")
    _set_scales(grid[0, 0], grid[0, 1], rows)
    grid[-1, 0].set_xlabel(LAYER)
    handles = [Patch(facecolor=color, label=name) for _, name, color in reversed(PARTS)]
    add_key(figure, handles)
    return figure


def _draw_bars(axes: Axes, row: NormShares) -> None:
    below = np.zeros(row.shares.shape[1])
    for (_, _, color), share in zip(PARTS, row.shares, strict=True):
        axes.bar(layers(share), share, bottom=below, width=0.8, color=color, edgecolor=PAPER,
                 linewidth=0.3)  # fmt: skip
        below = below + np.nan_to_num(share)


def _set_scales(bars: Axes, gaps: Axes, rows: Sequence[NormShares]) -> None:
    bars.set_ylim(0, 1)
    bars.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    set_layers(bars, max(row.shares.shape[1] for row in rows))
    highest = max((float(np.nanmax(row.gap)) for row in rows if row.gap is not None), default=0)
    gaps.set_ylim(0, max(1.1 * highest, 0.05))
    gaps.yaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10], min_n_ticks=3))
