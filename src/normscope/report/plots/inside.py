"""What the figures of probes share: readings over the seeds of a norm, and a panel per norm."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normscope.analysis import Analysis
from normscope.experiment import Series
from normscope.report.plots.style import (
    add_heading,
    heading_columns,
    is_narrow,
    new_figure,
    shorten,
)
from normscope.words import counted

MAX_STACKED = 4  # more norms than that stand side by side
NORMS_IN_CAPTIONS = 3  # the table of the section has the means of every norm
LAYER = "Norm layer, from the image on"
BAND_ALPHA = 0.2


@dataclass(frozen=True)
class Band:
    """Readings over `n` seeds: their mean, and the least and the greatest of them.

    All of the readings' own shape; NaN where no seed has a reading.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int

    @classmethod
    def of(cls, readings: Iterable[np.ndarray]) -> "Band | None":
        """Of one array per seed; None if there is none, or nothing in any of them."""
        values = np.array(list(readings), float)
        known = np.ma.masked_invalid(values)
        if not known.count():
            return None
        mean, low, high = (
            np.ma.filled(np.ma.asarray(part), np.nan)
            for part in (known.mean(axis=0), known.min(axis=0), known.max(axis=0))
        )
        return cls(mean, low, high, len(values))


def series_of(analysis: Analysis, norm: str, name: str) -> dict[int, Series]:
    """One measure of each finished trial of a norm in which it was taken, by seed."""
    of_norm = [r.trial for r in analysis.results_of(norm) if r.status == "finished"]
    taken = {t.seed: analysis.probes[t.id].series for t in of_norm if t.id in analysis.probes}
    return {seed: series[name] for seed, series in taken.items() if name in series}


def trained(analysis: Analysis, norm: str, name: str) -> dict[int, np.ndarray]:
    """The readings after the last epoch, by seed."""
    found, end = series_of(analysis, norm, name), analysis.experiment.recipe.epochs
    return {seed: series.last for seed, series in found.items() if series.epochs[-1] == end}


def untrained(analysis: Analysis, norm: str, name: str) -> dict[int, np.ndarray]:
    """The readings before the first step, by seed."""
    found = series_of(analysis, norm, name)
    return {seed: series.first for seed, series in found.items() if series.epochs[0] == 0}


def seeds(least: int, most: int) -> str:
    """``5 seeds``, or ``2 to 5 seeds`` where norms have different numbers of them."""
    return counted(most, "seed") if least == most else f"{least} to {counted(most, 'seed')}"


def first_few(parts: Sequence[str], between: str = "; ") -> str:
    """What a caption tells of the first norms, and where the others are."""
    told = between.join(parts[:NORMS_IN_CAPTIONS])
    return f"{told}{between}more in the table" if len(parts) > NORMS_IN_CAPTIONS else told


def norm_panels(
    names: Sequence[str],
    title: str,
    xlabel: str,
    panel_inches: float,
    most_stacked: int = MAX_STACKED,
) -> tuple[Figure, list[Axes]]:
    """A panel for each name, on the same scales: below each other, or in two columns if many."""
    columns = 1 if len(names) <= most_stacked else 2
    lines = -(-len(names) // columns)
    figure = new_figure(1.1 + panel_inches * lines)
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    add_heading(figure, title)
    grid[-1, 0].set_xlabel(xlabel)
    for place, axes in enumerate(grid.flat):
        axes.set_visible(place < len(names))
        axes.tick_params(labelbottom=place + columns >= len(names))
    for axes, name in zip(grid.flat, names, strict=False):
        axes.set_title(shorten(name, heading_columns() // columns), fontsize=8.5, pad=4)
    return figure, list(grid.flat[: len(names)])


def set_layers(axes: Axes, count: int) -> None:
    """Make x an axis of layers 1, 2, ..., `count`."""
    step = -(-count // (6 if is_narrow() else 12))
    axes.set_xlim(0.5, count + 0.5)
    axes.set_xticks(range(1, count + 1, step))


def layers(values: np.ndarray) -> np.ndarray:
    """1, 2, ...: the places of so many layers on such an axis."""
    return np.arange(1, len(values) + 1)
