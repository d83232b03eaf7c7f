"""Ten mistakes of each norm, and ten of all, as labelled pictures; the page has its own gallery."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from normscope.analysis import Analysis
from normscope.analysis.mistakes import Mistake, MistakeGroup
from normscope.files import read
from normscope.report.plots.figure import ReportFigure
from normscope.report.plots.style import GRID, MUTED, columns, shorten, styled
from normscope.seals import open_bytes
from normscope.words import number

COLUMNS, ROWS = 5, 2
CELL_INCHES = 1.6  # the width of a picture with its label
LABEL_INCHES, LINE_INCHES = 0.26, 0.13  # the height of a label: around its lines, and of each
TILE_INCHES = 1.28 - 1e-6  # 256 dots, 8 per pixel; a hair less, because sizes are rounded up
GAP_INCHES = 0.1  # at least, between two labels
MARGIN_INCHES, TITLE_INCHES = 0.08, 0.4
NAME_COLUMNS = 16  # longer class names are shortened
LINE_COLUMNS = 25  # a longer label takes two lines
LARGEST = 4096  # pixels on a side; nothing larger is decoded
LABEL_SIZES = 7.5, 6.5, 5.5, 4.5  # the first that fits: names in capitals are wide


@dataclass(frozen=True)
class LabelledMistake:
    """A test image by its `index`, and the words below it: ``cat → dog, 99.1 %``."""

    index: int
    label: str


@dataclass(frozen=True)
class NormMistakes:
    """The most confident mistakes of one norm in most of its `n` finished trials, ranked.

    `number` is the place of the norm among those with a finished trial, as in `confusion_data`.
    """

    number: int
    norm: str
    n: int
    mistakes: tuple[LabelledMistake, ...]


def mistake_figures(analysis: Analysis, pictures: Path) -> list[ReportFigure]:
    """The figures `mistakes_of_all`, and `mistakes_0`, ..., one for each norm of `mistakes_data`.

    `pictures` is the folder that holds the test images as ``INDEX.png``.
    """
    of_all = _figure_of_all(analysis, pictures)
    return of_all + [_mistake_figure(shown, pictures) for shown in mistakes_data(analysis)]


def _figure_of_all(analysis: Analysis, pictures: Path) -> list[ReportFigure]:
    """The same images with the answers of every norm; none where no image is wrong with all."""
    shown = mistakes_of_all(analysis)
    if not shown:
        return []
    images = {one.index: read_picture(pictures, one.index) for one in shown}
    trials = {own[0].trials for own in analysis.mistakes.by_norm.values()}
    n = f"n={min(trials)}" if len(trials) == 1 else f"n={min(trials)} to {max(trials)}"
    first = analysis.mistakes.groups[0].examples  # of them, what most trials of all norms answer
    words = "; ".join(f"{one.true} → {one.predicted}" for one in first)
    alt = f"Test images that every norm gets wrong, {n} of each: {words}."
    caption = (
        "The same images for all norms. Below the true class, for every norm, the class "
        "that it wrongly predicted most often, with its mean confidence."
    )
    title = f"Test images that every norm gets wrong  {n}"
    drawing = partial(draw_grid, title, shown, images)
    return [ReportFigure("mistakes_of_all", drawing, alt, caption)]


def mistakes_of_all(analysis: Analysis) -> tuple[LabelledMistake, ...]:
    """The images that are wrong with every norm; a label has a line for each of the norms."""
    by_norm = analysis.mistakes.by_norm
    return tuple(
        LabelledMistake(
            same[0].index,
            "\n".join(
                [
                    f"true: {shorten(same[0].true, NAME_COLUMNS)}",
                    *(_answer(n, m) for n, m in zip(by_norm, same, strict=True)),
                ]
            ),
        )
        for same in zip(*by_norm.values(), strict=True)
    )


def _answer(norm: str, mistake: Mistake) -> str:
    """``bn → dog, 99.1 %``."""
    return _label(norm, mistake.predicted, mistake.confidence_percent)


def _mistake_figure(shown: NormMistakes, pictures: Path) -> ReportFigure:
    images = {one.index: read_picture(pictures, one.index) for one in shown.mistakes}
    words = "; ".join(one.label for one in shown.mistakes)
    alt = f"Most confident mistakes of {shown.norm}, n {shown.n}: {words}."
    caption = "The true class and, after the arrow, the one predicted, with its mean confidence."
    title = f"Most confident mistakes of {shown.norm}  n={shown.n}"
    drawing = partial(draw_grid, title, shown.mistakes, images)
    return ReportFigure(f"mistakes_{shown.number}", drawing, alt, caption)


def read_picture(pictures: Path, index: int) -> np.ndarray | None:
    """A test image, uint8 (H, W, 3); None if the folder holds none, or it is damaged.

    Raises `RunError` if it cannot be read.
    """
    path = pictures / f"{index}.png"
    try:
        content, _ = open_bytes(read(path), f"{pictures.name}/{path.name}")
        if max(_size(content)) > LARGEST:
            return None
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError):  # what Pillow says of no picture, and `Broken`
        return None


def _size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, as the first chunk of a PNG file gives them."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def png_of(image: np.ndarray) -> bytes:
    """An image, uint8 (H, W, 3), as a PNG file that holds its pixels and nothing else."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="png")
    return file.getvalue()


def mistakes_data(analysis: Analysis) -> tuple[NormMistakes, ...]:
    """The mistakes of every norm that misclassifies any image in most of its finished trials."""
    found = []
    for place, norm in enumerate(analysis.mistakes.confusions):
        group = _group_of(norm, analysis.mistakes.groups)
        if group.examples:
            mistakes = tuple(
                LabelledMistake(one.index, _label(one.true, one.predicted, one.confidence_percent))
                for one in group.examples[: COLUMNS * ROWS]
            )
            found.append(NormMistakes(place, norm, group.examples[0].trials, mistakes))
    return tuple(found)


def _group_of(norm: str, groups: Sequence[MistakeGroup]) -> MistakeGroup:
    """The mistakes of a norm, whatever the others say; a norm alone has another title."""
    titles = f"Most confident mistakes of {norm}", f"Wrong with {norm}"
    return next(group for group in groups if group.title in titles)


def _label(name: str, predicted: str, percent: float) -> str:
    """``cat → dog, 99.1 %``."""
    names = f"{shorten(name, NAME_COLUMNS)} → {shorten(predicted, NAME_COLUMNS)}"
    return f"{names}, {number(percent, 1)} %"


def _broken(label: str) -> str:
    """In two lines, if it is too long for one."""
    long = "\n" not in label and columns(label) > LINE_COLUMNS
    return label.replace("→ ", "→\n", 1) if long else label


@styled
def draw_grid(
    title: str, shown: Sequence[LabelledMistake], images: Mapping[int, np.ndarray | None]
) -> Figure:
    """Five pictures in each of two rows, in true colours, each pixel a square of whole dots.

    `images` holds them by index, uint8 (H, W, 3). Where it holds None, the tile says so.
    """
    labels = [_broken(each.label) for each in shown]
    lines = max(2, *(label.count("\n") + 1 for label in labels))
    cell = TILE_INCHES + LABEL_INCHES + lines * LINE_INCHES
    width = COLUMNS * CELL_INCHES + 2 * MARGIN_INCHES
    height = TITLE_INCHES + ROWS * cell + MARGIN_INCHES
    figure = Figure(figsize=(width, height))  # without a layout: tiles stand at whole dots
    figure.text(MARGIN_INCHES / width, 1 - 0.25 / height, title, fontsize=10, fontweight="bold")
    for place, (mistake, label) in enumerate(zip(shown, labels, strict=True)):
        row, column = divmod(place, COLUMNS)
        left = MARGIN_INCHES + column * CELL_INCHES
        bottom = height - TITLE_INCHES - row * cell - TILE_INCHES
        box = (left / width, bottom / height, TILE_INCHES / width, TILE_INCHES / height)
        _draw_tile(figure.add_axes(box), images[mistake.index], label)
    return figure


def _draw_tile(axes: Axes, image: np.ndarray | None, label: str) -> None:
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    for size in LABEL_SIZES:
        text = axes.set_xlabel(label, loc="left", fontsize=size)
        if text.get_window_extent().width / axes.figure.dpi <= CELL_INCHES - GAP_INCHES:
            break
    if image is not None:
        axes.imshow(image, interpolation="none", aspect="auto")
    else:
        axes.set_facecolor(GRID)
        axes.text(
            0.5, 0.5, "This picture is\nnot in the folder", fontsize=8, color=MUTED,
            ha="center", va="center", transform=axes.transAxes,
        )  # fmt: skip
