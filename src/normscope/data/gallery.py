"""A picture of samples, so that a user sees what a data set holds."""

import math
from pathlib import Path
from typing import Literal

import numpy as np

import normscope.drawing  # noqa: F401  before matplotlib

# isort: split
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from normscope.data.dataset import Dataset
from normscope.errors import UsageError

GAP = 2  # white pixels between images
ROWS = 25  # classes below one another before a further column starts
INCHES_PER_PIXEL = 1 / 64  # a 32-pixel image is half an inch wide
DPI = 192  # whole: each image pixel becomes 3 x 3


def save_samples(
    dataset: Dataset,
    path: Path,
    split: Literal["train", "test"] = "test",
    per_class: int | None = None,
) -> None:
    """Write a PNG with the first `per_class` images of every class, in their true colours.

    By default 12 images of each class, or 5 where there are more than `ROWS` classes. A class with
    fewer images leaves its row short. A synthetic data set says so in the title. Raises
    `UsageError` if `path` cannot be written.
    """
    images = dataset.test_images if split == "test" else dataset.train_images
    labels = dataset.test_labels if split == "test" else dataset.train_labels
    names = dataset.class_names
    columns = math.ceil(len(names) / ROWS)
    per_class = per_class or (12 if columns == 1 else 5)
    figure = _figure(columns, min(len(names), ROWS), per_class, images.shape[1])
    title = _title(dataset, f"first {per_class} {split} images of each class")
    figure.suptitle(title, fontsize=12)
    for column, axes in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        classes = range(len(names))[column * ROWS : (column + 1) * ROWS]
        rows = [_row(images[labels == label], per_class) for label in classes]
        axes.imshow(_stack(rows, ROWS if columns > 1 else len(rows)), interpolation="nearest")
        _name_rows(axes, [names[label] for label in classes], images.shape[1])
    try:
        FigureCanvasAgg(figure).print_png(path, metadata={"Title": title})
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror})") from error


def _figure(columns: int, rows: int, per_class: int, side: int) -> Figure:
    """A figure with room for the names on the left of each column, and a title."""
    width = columns * (per_class * (side + GAP) * INCHES_PER_PIXEL + 1.1)
    height = rows * (side + GAP) * INCHES_PER_PIXEL + 0.55
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def _title(dataset: Dataset, what: str) -> str:
    kind = "synthetic, drawn by a program" if dataset.synthetic else "true colours"
    return f"{dataset.name}: {what} ({kind})"


def _row(images: np.ndarray, count: int) -> np.ndarray:
    """The first `count` images (N, H, W, 3) side by side, white where there are fewer."""
    height, width, channels = images.shape[1:]
    row = np.full((height, count, width + GAP, channels), 255, np.uint8)
    shown = images[:count]
    row[:, : len(shown), :width] = shown.transpose(1, 0, 2, 3)
    return row.reshape(height, -1, channels)[:, :-GAP]


def _stack(rows: list[np.ndarray], count: int) -> np.ndarray:
    """Rows (H, W, 3) below one another, as if there were `count` of them."""
    height, width, channels = rows[0].shape
    stack = np.full((count, height + GAP, width, channels), 255, np.uint8)
    stack[: len(rows), :height] = rows
    return stack.reshape(-1, width, channels)[:-GAP]


def _name_rows(axes: Axes, names: list[str], side: int) -> None:
    middles = [(side - 1) / 2 + row * (side + GAP) for row in range(len(names))]
    axes.set_yticks(middles, [name.replace("_", " ") for name in names], fontsize=10)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
