"""How many images there are of each class, where classes are not about equally frequent."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normscope.analysis import Analysis
from normscope.analysis.classes import Classes
from normscope.report.plots.figure import ReportFigure
from normscope.report.plots.style import INK, MUTED, add_heading, new_figure, shorten, styled

NAME_COLUMNS = 22  # longer class names are shortened, to leave room for the bars
ROOM = 1.35  # times the longest bar: what its number needs


@dataclass(frozen=True)
class CountRow:
    """One class and its images; `train` is None where they were not counted."""

    name: str
    train: int | None
    test: int


def class_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figure `class_counts`; none where classes are about equally frequent."""
    classes = analysis.classes
    if not classes.imbalanced:
        return []
    rows = class_rows(classes)
    split = "test" if classes.train is None else "training"
    caption = f"The number of images of each class, that with the most {split} images first."
    if classes.hidden:
        caption += f" {classes.which_shown}"
    told = "; ".join(_told(row) for row in (rows[0], rows[-1]))
    alt = (
        f"Images of each of {len(classes.names)} classes, from the largest to the smallest: {told}."
    )
    draw = partial(draw_class_counts, rows, classes.hidden)
    return [ReportFigure("class_counts", draw, alt, caption)]


def _told(row: CountRow) -> str:
    """``cat 730 training and 146 test images``."""
    train = "" if row.train is None else f"{row.train:,} training and "
    return f"{row.name} {train}{row.test:,} test images"


def class_rows(classes: Classes) -> tuple[CountRow, ...]:
    """The classes that are shown, that with the most training images first."""
    train = classes.train or [None] * len(classes.names)
    return tuple(CountRow(classes.names[i], train[i], classes.test[i]) for i in classes.shown)


@styled
def draw_class_counts(rows: Sequence[CountRow], hidden: int) -> Figure:
    """A row per class, with a bar per split; `hidden` classes are left out in the middle."""
    counts = {"Training": [row.train for row in rows], "Test": [row.test for row in rows]}
    known = {title: each for title, each in counts.items() if None not in each}
    places = [i + (hidden > 0 and i >= len(rows) // 2) for i in range(len(rows))]
    figure = new_figure(0.75 + 0.21 * (places[-1] + 1))
    panels = figure.subplots(1, len(known), sharey=True, squeeze=False)[0]
    add_heading(figure, "Images of each class")
    for panel, (title, images) in zip(panels, known.items(), strict=True):
        panel.set_title(title, fontsize=8.5, pad=4, fontweight="normal")
        _draw_bars(panel, places, images)
    panels[0].set_ylim(places[-1] + 0.6, -0.6)
    panels[0].set_yticks(places, [shorten(row.name, NAME_COLUMNS) for row in rows])
    if hidden:
        _write(panels[0], f"… {hidden:,} more", 0, len(rows) // 2, MUTED)
    return figure


def _draw_bars(axes: Axes, places: Sequence[int], images: Sequence[int | None]) -> None:
    """Grey bars, as a colour stands for a norm; each number is written, so there is no scale."""
    widths = [count or 0 for count in images]
    axes.barh(places, widths, height=0.68, color=MUTED, linewidth=0)
    axes.set_xlim(0, ROOM * max(widths))
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    for place, count in zip(places, widths, strict=True):
        _write(axes, f"{count:,}", count, place, INK)


def _write(axes: Axes, words: str, x: float, y: float, color: str) -> None:
    """Words that begin a little to the right of a place."""
    axes.annotate(
        words, (x, y), xytext=(3, 0), textcoords="offset points", va="center_baseline", fontsize=8,
        color=color,
    )  # fmt: skip
