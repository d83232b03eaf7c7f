"""What the networks make of an image: first filters, and maps in three places, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normscope.analysis import Analysis
from normscope.report.plots.figure import ReportFigure
from normscope.report.plots.inside import trained
from normscope.report.plots.style import add_heading, new_figure, shorten, styled

MAX_NORMS = 5  # more would make a file too large
SIDE = 3  # tiles to a side of a square of them
GAP = 1  # pixels between two tiles
PLACES = ("first norm", "middle norm", "last norm")


@dataclass(frozen=True)
class NormMaps:
    """A norm's network of one seed: `filters` (F, h, w, 3), and `maps` (C, h, w) by place.

    Of one image, whose `picture` (H, W, 3) is in uint8 values. What is lacking is None.
    """

    norm: str
    seed: int
    picture: np.ndarray
    filters: np.ndarray | None
    maps: tuple[np.ndarray | None, ...]


def map_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figures `maps_0`, ..., one per image; none where no maps were kept."""
    figures = []
    for image, rows in enumerate(maps_data(analysis)):
        seen = ", ".join(f"{row.norm} (seed {row.seed})" for row in rows)
        caption = (
            "One test image and what each network makes of it. Left: filters of the first layer, "
            "in the colours that they answer to. Then one grey tile per channel, white where it "
            "answers most, after the first, the middle and the last norm: edges and colours first, "
            "then ever coarser places. Tiles that look alike are channels that say the same. The "
            f"first {SIDE * SIDE} channels of {seen}; each tile has a scale of its own. Networks "
            "of one seed begin with the same filters, so the first tiles may still show the same."
        )
        alt = f"A test image, first filters, and channels after three norms, of {seen}."
        figures.append(ReportFigure(f"maps_{image}", partial(draw_maps, rows), alt, caption))
    return figures


def maps_data(analysis: Analysis) -> list[list[NormMaps]]:
    """By image: the first `MAX_NORMS` norms of which maps were kept, each with its first seed."""
    by_image: dict[int, list[NormMaps]] = {}
    for norm in analysis.order:
        kept = trained(analysis, norm, "maps.maps")
        for seed, places in list(kept.items())[:1]:
            filters = trained(analysis, norm, "filters.filters").get(seed)
            colours = None if filters is None else filters.transpose(0, 2, 3, 1)
            for image in range(places.shape[1]):
                picture, *maps = (without_padding(place[image]) for place in places)
                if picture is not None:
                    row = NormMaps(norm, seed, picture.transpose(1, 2, 0), colours, tuple(maps))
                    by_image.setdefault(image, []).append(row)
    return [rows[:MAX_NORMS] for rows in by_image.values()]


def without_padding(values: np.ndarray) -> np.ndarray | None:
    """The part of (C, H, W) that is not NaN, which begins at its first corner; None if all is."""
    known = np.argwhere(~np.isnan(values))
    return values[tuple(map(slice, known.max(axis=0) + 1))] if len(known) else None


def tiles(images: np.ndarray) -> np.ndarray:
    """The first images of (N, h, w) or (N, h, w, 3) as a square of `SIDE` by `SIDE` of them.

    Each is scaled to go from 0 to 1, and is 0.5 where it is the same all over. NaN between them.
    """
    height, width = images.shape[1:3]
    rows, columns = SIDE * (height + GAP) - GAP, SIDE * (width + GAP) - GAP
    square = np.full((rows, columns, *images.shape[3:]), np.nan)
    for place, image in enumerate(images[: SIDE * SIDE].astype(float)):
        top, left = (part * (size + GAP) for part, size in
                     zip(divmod(place, SIDE), (height, width), strict=True))  # fmt: skip
        low, high = image.min(), image.max()
        scaled = (image - low) / (high - low) if high > low else np.full_like(image, 0.5)
        square[top : top + height, left : left + width] = scaled
    return square


@styled
def draw_maps(rows: Sequence[NormMaps]) -> Figure:
    """The image at the top, and a row of squares of tiles per norm."""
    height = 0.75 + 1.25 * (len(rows) + 1)
    figure = new_figure(height)
    grid = figure.subplots(len(rows) + 1, 1 + len(PLACES), squeeze=False)
    add_heading(figure, "What the networks make of an image")
    for axes in grid.flat:
        axes.set_axis_off()
    grid[0, 0].imshow(rows[0].picture.astype(np.uint8), interpolation="none")
    for panels, row in zip(grid[1:], rows, strict=True):
        for axes, images in zip(panels, (row.filters, *row.maps), strict=True):
            if images is not None:
                _draw_tiles(axes, images)
        panels[0].set_title(shorten(row.norm, 14), fontsize=8.5, pad=4)
    for axes, title in zip(grid[1, 1:], PLACES, strict=True):
        axes.set_title(title, fontsize=8.5, fontweight="normal", pad=4)
    return figure


def _draw_tiles(axes: Axes, images: np.ndarray) -> None:
    square = tiles(images)
    known = ~np.isnan(square).reshape(*square.shape[:2], -1).any(axis=2)
    colours = square if square.ndim == 3 else np.repeat(square[:, :, None], 3, axis=2)
    axes.imshow(np.dstack([np.nan_to_num(colours), known]), interpolation="none")
