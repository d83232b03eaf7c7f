"""How often a norm's networks are right when they are so sure, and how often they are so sure."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from normscope.analysis import Analysis
from normscope.report.plots.differences import add_key
from normscope.report.plots.figure import MAX_NORMS_IN_WORDS, ReportFigure
from normscope.report.plots.inside import norm_panels
from normscope.report.plots.style import GRID, INK, MUTED, NormStyle, norm_styles, styled
from normscope.stats import BINS, Reliability
from normscope.words import signed

LEAST_IMAGES = 10  # in a bin; the accuracy of fewer is noise, and no dot is drawn


def calibration_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figure `calibration`; none while no trial has finished."""
    found = analysis.reliability
    if not found:
        return []
    told = ", ".join(
        f"{norm} {signed(100 * surplus(bins), 1)}"
        for norm, bins in list(found.items())[:MAX_NORMS_IN_WORDS]
    )
    images = sum(int(bins.count.sum()) for bins in found.values())
    caption = (
        "When a network says that it is 80 % sure, is it right in 80 % of such cases? On the "
        "diagonal it is. Below it the network is too sure of itself, above it too modest. Grey "
        "bars: how many of the images it is so sure about. Mean confidence minus accuracy, in "
        f"points: {told}. All seeds of a norm together, {images:,} predictions; no dot for fewer "
        f"than {LEAST_IMAGES}."
    )
    alt = f"Accuracy by confidence. Mean confidence minus accuracy, in points: {told}."
    draw = partial(draw_calibration, found, analysis.asked)
    return [ReportFigure("calibration", draw, alt, caption)]


def surplus(bins: Reliability) -> float:
    """Mean confidence minus accuracy over all images, in [-1, 1]."""
    there = bins.count > 0
    gaps = bins.confidence[there] - bins.accuracy[there]
    return float(np.average(gaps, weights=bins.count[there]))


@styled
def draw_calibration(found: Mapping[str, Reliability], norms: tuple[str, ...]) -> Figure:
    """A panel per norm on one scale; `norms` are all of the experiment, which fix the styles."""
    styles, names = norm_styles(norms), list(found)
    title = "How sure, and how often right (%)"
    figure, panels = norm_panels(names, title, "Confidence (%)", 1.7, most_stacked=1)
    for axes, norm in zip(panels, names, strict=True):
        _draw_norm(axes, found[norm], styles[norm])
    panels[0].set_xlim(0, 100)
    panels[0].set_ylim(0, 102)
    panels[0].set_xticks([0, 25, 50, 75, 100])
    panels[0].set_yticks([0, 50, 100])
    add_key(figure, _key())
    return figure


def _draw_norm(axes: Axes, bins: Reliability, style: NormStyle) -> None:
    share = 100 * bins.count / bins.count.sum()
    middle = 100 * (np.arange(BINS) + 0.5) / BINS
    axes.bar(middle, share, width=100 / BINS, color=GRID, linewidth=0)
    axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=":")
    kept = bins.count >= LEAST_IMAGES
    if kept.any():  # a line without points would leave the panels no room
        axes.plot(100 * bins.confidence[kept], 100 * bins.accuracy[kept], color=style.color,
                  linewidth=1.6, marker=style.marker, markersize=4, clip_on=False)  # fmt: skip


def _key() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=INK, linewidth=1.6, marker="o", markersize=4, label="accuracy"),
        Line2D([], [], color=MUTED, linewidth=1, linestyle=":", label="as sure as right"),
        Patch(color=GRID, linewidth=0, label="share of images"),
    ]
