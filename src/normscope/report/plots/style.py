"""How every figure looks: one colour, line style and marker per norm, and one set of inks.

The four inks are names as much as colours: where a figure stands in the report's page, the style
sheet replaces each of them by the page's own, which is light or dark (`templates/report.css`).
"""

import textwrap
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

INK = "#1c1b1a"
MUTED = "#62605c"
GRID = "#dedbd5"
PAPER = "#fefefe"
BEHIND = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8}  # a box that keeps words legible

PANEL_INCHES = 4.7  # two panels make the width of a page
NARROW_INCHES = 3.5  # that of a phone: of 350 pixels, on which words of 7.2 points are 10 high

LONGEST_BESIDE = 10  # columns of the name of a row that stands beside it on a phone
ABOVE_INCHES = 0.2  # what a row's name takes above it
BESIDE_INCHES = 0.5  # what stands to the left of axes, about
HEADING_COLUMNS = 11.5  # columns of words to an inch of a heading

STYLE = {
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "path.simplify_threshold": 0.2,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a class name may hold dollar signs
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
    "ytick.major.size": 0,
}

Parameters = ParamSpec("Parameters")
_panel_inches = ContextVar("panel_inches", default=PANEL_INCHES)


@contextmanager
def in_style(**changes: str) -> Iterator[None]:
    """Work in this style on top of matplotlib's defaults, whatever the process has set.

    A character that matplotlib's font lacks, such as a Chinese one, causes no warning: in SVG text
    stays text, and the reader's browser has the font for it.
    """
    with matplotlib.style.context(["default", {**STYLE, **changes}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        yield


@contextmanager
def panels_of(inches: float) -> Iterator[None]:
    """Draw panels of this width; without it they are `PANEL_INCHES` wide."""
    token = _panel_inches.set(inches)
    try:
        yield
    finally:
        _panel_inches.reset(token)


def panel_inches() -> float:
    """How wide a panel is, which is a figure's width."""
    return _panel_inches.get()


def is_narrow() -> bool:
    """Whether it is drawn for the screen of a phone."""
    return panel_inches() < PANEL_INCHES


def styled(draw: Callable[Parameters, Figure]) -> Callable[Parameters, Figure]:
    """Draw `in_style` and lay the figure out once, so that every file shows the same layout.

    A figure without a layout engine has placed its parts itself, and stays as it is. The engine is
    taken away, and not set to "none": matplotlib would then draw every file twice.
    """

    @wraps(draw)
    def draw_in_style(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Figure:
        with in_style():
            figure = draw(*args, **kwargs)
            if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
                ConstrainedLayoutEngine().execute(figure)
            figure.set_layout_engine(None)
            return figure

    return draw_in_style


@dataclass(frozen=True)
class NormStyle:
    """How a norm is drawn: `dashes` are lengths of dash and gap, in line widths; () is solid."""

    color: str
    dashes: tuple[float, ...]
    marker: str


# Okabe and Ito's palette, with the yellow darkened and the black made grey, because both must show
# on white and on black; then darker and lighter relatives of these colours.
COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8F7A00", "#7A7A7A"),
    *("#5B61C4", "#A8500A", "#1F7A5C", "#A34D7E", "#A8741A", "#2C7FB8", "#B04A4A", "#5E8C31"),
    *("#8A5FB0", "#8C6D5A", "#3D8C95", "#B5651D"),
)
DASHES = ((), (4, 1.5), (6, 1.5, 1.2, 1.5), (1.2, 1.3))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_FIXED = ("bn", "gn", "ln")


def norm_styles(norms: Sequence[str]) -> dict[str, NormStyle]:
    """The style of each norm: bn, gn and ln always have theirs, the others follow in order."""
    others = [norm for norm in norms if norm not in _FIXED]
    numbers = {norm: number for number, norm in enumerate((*_FIXED, *others))}
    return {norm: _style(numbers[norm]) for norm in norms}


def _style(number: int) -> NormStyle:
    return NormStyle(
        color=COLORS[number % len(COLORS)],
        dashes=DASHES[number % len(DASHES)],
        marker=MARKERS[number % len(MARKERS)],
    )


def epoch_ticks(first: int, last: int) -> list[int]:
    """Whole epochs to mark on an axis: the first, the last, and a few round ones between them."""
    steps = [size * 10**power for power in range(5) for size in (1, 2, 5)]
    step = next(step for step in steps if (last - first) / step < 7)
    inner = [epoch for epoch in range(first, last) if epoch % step == 0]
    apart = [epoch for epoch in inner if first + step / 2 <= epoch < last - step / 2]
    return sorted({first, *apart, last})


def columns(text: str) -> int:
    """How wide a text is, in columns: East Asian characters take two each."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def shorten(name: str, most: int) -> str:
    """The name, cut with an ellipsis if it is wider than so many columns."""
    if columns(name) <= most:
        return name
    kept = [sign for i, sign in enumerate(name) if columns(name[: i + 1]) < most]
    return "".join(kept).rstrip() + "…"


def names_above(names: Sequence[str]) -> bool:
    """Whether rows are named above their marks, because there is no room on the left."""
    return is_narrow() and max(map(columns, names)) > LONGEST_BESIDE


def row_inches(inches: float, names: Sequence[str]) -> float:
    """How tall all rows together are: so many inches each, and room for names above them."""
    return (inches + (ABOVE_INCHES if names_above(names) else 0)) * max(2, len(names))


def set_rows(axes: Axes, norms: Sequence[str]) -> None:
    """One row per norm, the first at the top."""
    axes.set_ylim(len(norms) - 0.4, -0.6)
    axes.set_yticks(range(len(norms)), norms)
    if names_above(norms):
        axes.set_yticks(range(len(norms)), [""] * len(norms))
        for row, norm in enumerate(norms):
            axes.text(0, row - 0.5, shorten(norm, 36), transform=axes.get_yaxis_transform(),
                      va="top", fontsize=8.5, bbox={**BEHIND, "pad": 0.5})  # fmt: skip
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def add_heading(figure: Figure, heading: str) -> None:
    """A title that begins at the left edge of the figure, where there is most room."""
    figure.suptitle(in_lines(heading), x=0.01, ha="left", fontsize=10, fontweight="bold")


def in_lines(heading: str, inches: float = 0.0) -> str:
    """A heading in as many lines as it takes; `inches` of the panel's width are not its own."""
    return textwrap.fill(heading, heading_columns(inches))


def heading_columns(inches: float = 0.0) -> int:
    """How many columns of a heading a panel is wide, less so many inches."""
    return int((panel_inches() - inches) * HEADING_COLUMNS)


def name_panel(axes: Axes, title: str, pad: float | None = None) -> None:
    """The title of a figure with one pair of axes, which begins at their left edge."""
    axes.set_title(in_lines(title, inches=BESIDE_INCHES), pad=pad)


def new_figure(height_inches: float) -> Figure:
    """A figure as wide as a panel."""
    return Figure(figsize=(panel_inches(), height_inches), layout="constrained")


def new_panel(height_inches: float) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, in the style of the caller's `styled` context."""
    figure = new_figure(height_inches)
    return figure, figure.add_subplot()
