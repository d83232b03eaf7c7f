"""How alike the channels of a layer are: by layer after the training, and over the training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from normscope.analysis import Analysis
from normscope.analysis.why.reading import layer_mean
from normscope.report.plots.curves import NormCurves, SeedCurve, draw_curves, means_of
from normscope.report.plots.differences import add_key
from normscope.report.plots.figure import ReportFigure
from normscope.report.plots.inside import (
    BAND_ALPHA,
    LAYER,
    Band,
    first_few,
    layers,
    norm_panels,
    seeds,
    series_of,
    set_layers,
    trained,
    untrained,
)
from normscope.report.plots.style import INK, MUTED, NormStyle, norm_styles, styled
from normscope.words import number

POSITION = "redundancy.sameness_position"
UNTRAINED_ALPHA = 0.3


@dataclass(frozen=True)
class NormSameness:
    """Sameness in each norm layer (L,) of a norm's networks, from 0 to 1, over its seeds.

    `position` is that of trained networks at each position, and `floor` the same of maps that are
    shuffled between images; `pooled` is of means over positions. `untrained` is `position` before
    the training. Only the first is always there.
    """

    norm: str
    position: Band
    pooled: Band | None
    untrained: Band | None
    floor: Band | None


def sameness_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figures `sameness_layers` and `sameness_epochs`, each where it was measured."""
    return [*_layers_figure(analysis), *_epochs_figure(analysis)]


def _layers_figure(analysis: Analysis) -> list[ReportFigure]:
    rows = sameness_data(analysis)
    if not rows:
        return []
    means = first_few(
        [f"{row.norm} {number(layer_mean(row.position.mean), 2)}" for row in rows], ", "
    )
    counts = [row.position.n for row in rows]
    caption = (
        "Do the channels of a layer say the same? At 0 every channel says something of its own, "
        "at 1 all say the same thing. Thick: pixel by pixel, after training. Dashed: when each "
        "channel's map is first averaged to a single number, which lets the brightness of whole "
        "images count. Grey: pixel by pixel, before training. What lies above the dotted line is "
        "there because channels see the same image. "
        f"Means over layers, pixel by pixel: {means} ({seeds(min(counts), max(counts))}; bands "
        "span them)."
    )
    alt = f"Sameness of the channels in each layer after training. Means over layers: {means}."
    draw = partial(draw_sameness, rows, analysis.asked)
    return [ReportFigure("sameness_layers", draw, alt, caption)]


def sameness_data(analysis: Analysis) -> tuple[NormSameness, ...]:
    """Of every norm of which it was measured in a trained network."""
    rows = []
    for norm in analysis.order:
        position = Band.of(trained(analysis, norm, POSITION).values())
        if position is not None:
            rows.append(
                NormSameness(
                    norm,
                    position,
                    Band.of(trained(analysis, norm, "redundancy.sameness_pooled").values()),
                    Band.of(untrained(analysis, norm, POSITION).values()),
                    Band.of(trained(analysis, norm, "floor.sameness").values()),
                )
            )
    return tuple(rows)


@styled
def draw_sameness(rows: Sequence[NormSameness], norms: Sequence[str]) -> Figure:
    """A panel per norm on one scale; `norms` are all of the experiment, which fix the styles."""
    styles, names = norm_styles(norms), [row.norm for row in rows]
    title = "How alike the channels of a layer are"
    figure, panels = norm_panels(names, title, LAYER, 1.2)
    panels[0].set_ylim(0, 1)
    panels[0].set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    for axes, row in zip(panels, rows, strict=True):
        _draw_norm(axes, row, styles[row.norm])
    set_layers(panels[-1], max(len(row.position.mean) for row in rows))
    add_key(figure, _key(rows))
    return figure


def _draw_norm(axes: Axes, row: NormSameness, style: NormStyle) -> None:
    if row.untrained is not None:
        _fill(axes, row.untrained, MUTED, UNTRAINED_ALPHA)
    if row.floor is not None:
        axes.plot(layers(row.floor.mean), row.floor.mean, color=MUTED, linewidth=1.2, linestyle=":")
    if row.pooled is not None:
        _fill(axes, row.pooled, style.color, BAND_ALPHA)
        axes.plot(layers(row.pooled.mean), row.pooled.mean, color=style.color, linewidth=1.3,
                  dashes=(4, 1.5))  # fmt: skip
    _fill(axes, row.position, style.color, BAND_ALPHA)
    axes.plot(layers(row.position.mean), row.position.mean, color=style.color, linewidth=2,
              marker=style.marker, markersize=4.5)  # fmt: skip


def _fill(axes: Axes, band: Band, color: str, alpha: float) -> None:
    """The range over seeds; of one seed, a line as thick as a range might be."""
    x = layers(band.mean)
    if band.n > 1:
        axes.fill_between(x, band.low, band.high, color=color, alpha=alpha, linewidth=0)
    else:
        axes.plot(x, band.mean, color=color, alpha=alpha, linewidth=4)


def _key(rows: Sequence[NormSameness]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=INK, linewidth=2, marker="o", markersize=4, label="per pixel")
    ]
    if any(row.pooled for row in rows):
        handles.append(Line2D([], [], color=INK, linewidth=1.3, dashes=(4, 1.5), label="map means"))
    if any(row.untrained for row in rows):
        handles.append(Patch(color=MUTED, alpha=UNTRAINED_ALPHA, linewidth=0, label="untrained"))
    if any(row.floor for row in rows):
        handles.append(
            Line2D([], [], color=MUTED, linewidth=1.2, linestyle=":", label="shuffled images")
        )
    return handles


def _epochs_figure(analysis: Analysis) -> list[ReportFigure]:
    curves = sameness_over_epochs(analysis)
    if not curves:
        return []
    told = first_few(
        [
            f"{norm.norm} from {number(norm.mean.values[0], 2)} to "
            f"{number(norm.mean.values[-1], 2)}"
            for norm in curves
            if norm.mean is not None
        ],
        ", ",
    )
    caption = (
        "The same over the training, pixel by pixel, averaged over layers. Where a line "
        "falls, channels come to say different things; the first epoch often makes them more "
        f"alike. From the first moment to the last: {told}."
    )
    alt = f"Mean sameness of the channels by epoch: {told}."
    draw = partial(draw_epochs, curves, analysis.asked)
    return [ReportFigure("sameness_epochs", draw, alt, caption, curves=means_of(curves))]


def draw_epochs(curves: Sequence[NormCurves], norms: Sequence[str]) -> Figure:
    """One panel, with round numbers on its axis; `norms` fix the styles."""
    figure = draw_curves(curves, "How alike channels are, by epoch", norms)
    figure.axes[0].yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    return figure


def sameness_over_epochs(analysis: Analysis) -> tuple[NormCurves, ...]:
    """Means over layers of every norm that was looked into at two moments or more.

    The mean over seeds is at the moments that all of them have.
    """
    found = []
    for norm in analysis.order:
        curves = [
            SeedCurve(seed, True, series.epochs, np.array([layer_mean(r) for r in series.readings]))
            for seed, series in series_of(analysis, norm, POSITION).items()
            if len(series.epochs) > 1
        ]
        if curves:
            found.append(NormCurves(norm, tuple(curves), _mean(curves), len(curves)))
    return tuple(found)


def _mean(curves: Sequence[SeedCurve]) -> SeedCurve | None:
    epochs = sorted(set.intersection(*(set(curve.epochs) for curve in curves)))
    values = [curve.values[np.isin(curve.epochs, epochs)] for curve in curves]
    if not epochs:
        return None
    return replace(curves[0], epochs=np.array(epochs), values=np.mean(values, axis=0))
