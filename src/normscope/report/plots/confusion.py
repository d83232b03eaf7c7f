"""Confusion matrices: which classes a norm takes for which, all on one scale."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from normscope.analysis import Analysis
from normscope.report.plots.figure import ReportFigure
from normscope.report.plots.style import (
    COLORS,
    INK,
    MUTED,
    heading_columns,
    is_narrow,
    new_panel,
    panel_inches,
    panels_of,
    shorten,
    styled,
)
from normscope.words import counted, number

FEW_CLASSES, MAX_CLASSES_WITH_COUNTS = 10, 20  # on a phone's screen, on any other
NAME_COLUMNS = 14  # longer class names are shortened, to leave room for the matrix
LEAST_SHOWN = (
    0.5  # images per trial, or percent; a smaller value would be rounded to a misleading 0
)
WHITE_TEXT_FROM = 0.8  # of the scale: from there on white reads better than ink, on any page


@dataclass(frozen=True)
class Confusion:
    """Mean counts per trial of one norm: float64, shape (classes, classes), rows true.

    `most` is the largest value of a mistake in one cell over all norms: the end of the scale.
    `by_class`: whether values are percentages of the true class instead of counts, because classes
    differ in their number of images.
    """

    norm: str
    n: int
    counts: np.ndarray
    class_names: tuple[str, ...]
    most: float
    by_class: bool = False

    @property
    def images(self) -> np.ndarray:
        """The number of test images of each class: float64, (classes,)."""
        return self.counts.sum(axis=1)

    @property
    def cells(self) -> np.ndarray:
        """What is shown; 0 in the row of a class without images."""
        if not self.by_class:
            return self.counts
        return 100 * self.counts / np.maximum(self.images, 1)[:, None]

    @property
    def mistakes(self) -> np.ndarray:
        """The values without those on the diagonal, which are right."""
        return self.cells * (1 - np.eye(len(self.counts)))


def confusion_figures(analysis: Analysis) -> list[ReportFigure]:
    """The figures `confusion_0`, `confusion_1`, ... of the norms with a finished trial."""
    return [
        _confusion_figure(f"confusion_{index}", confusion)
        for index, confusion in enumerate(confusion_data(analysis))
    ]


def _confusion_figure(name: str, confusion: Confusion) -> ReportFigure:
    mistakes, names = confusion.mistakes, confusion.class_names
    true, predicted = divmod(int(mistakes.argmax()), len(mistakes))
    caption = (
        f"{confusion.norm} most often took {names[true]} for {names[predicted]}: "
        f"{number(mistakes.max(), 1)} images per trial."
    )
    if confusion.by_class:
        caption = (
            f"The largest share of mistakes of {confusion.norm}: {number(mistakes.max(), 1)} % of "
            f"{counted(round(confusion.images[true]), 'test image')} of {names[true]} are taken "
            f"for {names[predicted]}."
        )
    if not mistakes.any():
        caption = f"{confusion.norm} made no mistake."
    alt = f"Confusion matrix of {confusion.norm}, n {confusion.n}. {caption}"
    return ReportFigure(name, partial(draw_confusion, confusion), alt, caption)


def confusion_data(analysis: Analysis) -> tuple[Confusion, ...]:
    """The matrix of every norm with a finished trial."""
    finished = {norm.norm: norm.finished for norm in analysis.norms}
    names, by_class = analysis.facts.class_names, analysis.classes.test_imbalanced
    found = [
        Confusion(norm, finished[norm], counts, names, 0.0, by_class)
        for norm, counts in analysis.mistakes.confusions.items()
    ]
    most = max((float(each.mistakes.max()) for each in found), default=0.0)
    return tuple(replace(each, most=most) for each in found)


@styled
def draw_confusion(confusion: Confusion) -> Figure:
    """Colour shows mistakes only; the outlined diagonal is what was right."""
    size = len(confusion.counts)
    inches = 3.9 if size <= FEW_CLASSES else 7.5
    if is_narrow():
        inches = panel_inches()
    with panels_of(inches):
        figure, axes = new_panel(inches * 0.93)
    axes.set_title(f"{shorten(confusion.norm, heading_columns() - 16)}  n={confusion.n}")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    picture = axes.imshow(
        confusion.mistakes,
        cmap=_fading(COLORS[0]),
        vmin=0,
        vmax=max(confusion.most, 1e-9),
        interpolation="none",
    )
    _name_classes(axes, confusion)
    if size <= (FEW_CLASSES if is_narrow() else MAX_CLASSES_WITH_COUNTS):
        _write_values(axes, confusion)
    unit = "(% of the true class)" if confusion.by_class else "per trial (images)"
    _add_scale(figure, axes, picture, f"Mistakes {unit}")
    return figure


def _fading(color: str) -> ListedColormap:
    """From transparent to `color`: a cell without mistakes shows the background of the page."""
    return ListedColormap([(*to_rgb(color), alpha) for alpha in np.linspace(0, 1, 256)])


def _name_classes(axes: Axes, confusion: Confusion) -> None:
    names = confusion.class_names
    every = 1 if len(names) <= MAX_CLASSES_WITH_COUNTS else 10
    ticks = range(0, len(names), every)
    shown = [shorten(names[tick], NAME_COLUMNS) for tick in ticks]
    axes.set_xticks(ticks, shown, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    numbers = [
        f" ({round(confusion.images[tick]):,})" if confusion.by_class else "" for tick in ticks
    ]
    axes.set_yticks(ticks, [a + b for a, b in zip(shown, numbers, strict=True)], fontsize=8)
    axes.tick_params(length=0 if every == 1 else 3)
    axes.set_xlabel("Predicted class")
    axes.set_ylabel("True class (test images)" if confusion.by_class else "True class")


def _write_values(axes: Axes, confusion: Confusion) -> None:
    for (true, predicted), value in np.ndenumerate(confusion.cells):
        right = true == predicted
        recall = right and confusion.by_class and confusion.images[true] > 0
        if value < LEAST_SHOWN and not recall:
            continue
        strong = not right and value >= WHITE_TEXT_FROM * confusion.most
        axes.text(
            predicted,
            true,
            f"{value:.0f}",
            ha="center",
            va="center_baseline",
            fontsize=7.25,
            fontweight="bold" if right else "normal",
            color="#ffffff" if strong else INK,
            in_layout=False,
        )
    for i in range(len(confusion.counts)):
        x, y = [i - 0.5, i + 0.5, i + 0.5, i - 0.5, i - 0.5], [i - 0.5] * 2 + [i + 0.5] * 2
        axes.plot(x, [*y, i - 0.5], color=MUTED, linewidth=0.7, clip_on=False)


def _add_scale(figure: Figure, axes: Axes, picture: AxesImage, label: str) -> None:
    bar = figure.colorbar(picture, ax=axes, shrink=0.5, aspect=25, pad=0.02)
    assert bar.solids is not None  # it is there once drawn
    bar.solids.set_rasterized(True)
    bar.ax.spines[:].set_visible(False)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.ax.grid(visible=False)
