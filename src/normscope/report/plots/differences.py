"""What figures of differences to the baseline share: how far they reach, and their landmarks."""

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Annotation
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Transform

from normscope.report.plots.style import GRID, INK, MUTED, shorten

FAR = 20  # times the next smaller difference: so far out, a difference leaves the axis
BEYOND = 1.5  # times the range of the differences: so far do their intervals widen an axis
LEAST = 0.5  # points that an axis reaches where no margin says what is small
ROOM = 0.06  # of the range that is shown, left free at both ends
MARGIN_ALPHA = 0.55
COLUMN_GAP = 9.0  # between columns of words, in 1/72 inch
ABOVE: dict[str, Any] = {"xytext": (0, 3.5), "va": "bottom"}  # the axes

Range = tuple[float, float]


def points(value: float) -> str:
    """``+0.79``: with sign and two decimals, a true minus, and no negative zero."""
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")


def short_name(norm: str) -> str:
    """The name of a norm for the inside of a title."""
    return shorten(norm, 16)


def reach(sizes: Iterable[float], least: float, far: float = FAR) -> float:
    """The largest of the sizes that is not far beyond the next smaller one, and beyond `least`.

    A norm that learned nothing is tens of points away; an axis up to there would hide the others.
    """
    found = least
    for rank, size in enumerate(sorted(sizes)):
        if rank and size > far * found:
            break
        found = max(found, size)
    return found


def difference_range(differences: Iterable[float], margin: float) -> Range:
    """The least range that holds 0, the margin, and the differences but for those far beyond."""
    values = list(differences)
    most = reach(map(abs, values), margin or LEAST)
    kept = [0.0, -margin, margin, *(value for value in values if abs(value) <= most)]
    low, high = min(kept), max(kept)
    return (low, high) if low < high else (-LEAST, LEAST)


def widened(shown: Range, ends: Iterable[float]) -> Range:
    """The range, wide enough for the ends of intervals too, but not for those far beyond it."""
    (low, high), ends = shown, list(ends)
    room = BEYOND * (high - low)
    return max(low - room, min([low, *ends])), min(high + room, max([high, *ends]))


def set_range(axes: Axes, shown: Range) -> None:
    """Show the range, with a little room at both ends for what is drawn there."""
    room = ROOM * (shown[1] - shown[0])
    axes.set_xlim(shown[0] - room, shown[1] + room)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], min_n_ticks=3))


def set_rows(axes: Axes, norms: Sequence[str]) -> None:
    """One row per norm, from above."""
    axes.set_ylim(len(norms) - 0.4, -0.6)
    axes.set_yticks(range(len(norms)), norms)
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def add_landmarks(axes: Axes, baseline: str, margin: float) -> None:
    """On an axis of differences: a line at 0 that bears a name, and the margin as a band."""
    if margin:
        axes.axvspan(-margin, margin, color=GRID, alpha=MARGIN_ALPHA, linewidth=0, zorder=0)
    axes.axvline(0, color=MUTED, linewidth=1, zorder=1)
    low, high = axes.get_xlim()
    place, name = -low / (high - low), short_name(baseline)
    free = 0.03 * len(name)  # what a centred name takes on either side
    side = "center" if free < place < 1 - free else "left" if place < 0.5 else "right"
    _annotate(axes, name, (0, 1), axes.get_xaxis_transform(), ha=side, **ABOVE)


def add_columns(axes: Axes, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Words at the right of rows 0, 1, ...: numbers flush right, but the last column flush left."""
    across, inch = axes.get_yaxis_transform(), axes.figure.dpi
    edge = 0.0  # of the columns so far, in 1/72 inch right of the axes
    for column, heading in enumerate(headings):
        last = column == len(headings) - 1
        side = "left" if last else "right"
        texts = [
            _annotate(axes, heading, (1, 1), axes.transAxes, ha=side, color=MUTED, **ABOVE),
            *(
                _annotate(axes, words[column], (1, row), across, ha=side)
                for row, words in enumerate(rows)
            ),
        ]
        widths = [text.get_window_extent().width * 72 / inch for text in texts]
        edge += COLUMN_GAP + (0 if last else max(widths))
        for text in texts:
            text.xyann = (edge, text.xyann[1])


def _annotate(
    axes: Axes, words: str, place: tuple[float, float], coordinates: Transform, **look: Any
) -> Annotation:
    look = {"xytext": (0, 0), "va": "center", "fontsize": 8.5, "color": INK, **look}
    return axes.annotate(
        words, place, xycoords=coordinates, textcoords="offset points", annotation_clip=False,
        **look,
    )  # fmt: skip


def arrows(axes: Axes) -> Range:
    """Where on the axis arrows stand for what lies left and right of it."""
    left, right = axes.get_xlim()
    inset = ROOM / 3 * (right - left)
    return left + inset, right - inset


def add_arrows(axes: Axes, low: float, high: float, height: float, **look: Any) -> None:
    """An arrow at each end of the axis beyond which something from `low` to `high` reaches."""
    (left, right), ends = axes.get_xlim(), arrows(axes)
    look = {"markersize": 6, "linestyle": "", **look}
    if low < left:
        axes.plot(ends[0], height, marker="<", **look)
    if high > right:
        axes.plot(ends[1], height, marker=">", **look)


def add_heading(figure: Figure, heading: str) -> None:
    """A title from the left edge of the figure on, where there is most room."""
    figure.suptitle(heading, x=0.01, ha="left", fontsize=10, fontweight="bold")


def margin_patch(margin: float) -> Patch:
    """The margin's entry in a key."""
    label = f"equivalent within {margin:g}"
    return Patch(facecolor=GRID, alpha=MARGIN_ALPHA, linewidth=0, label=label)


def add_key(figure: Figure, handles: Sequence[Line2D | Patch]) -> None:
    """Below all else, in one line, what marks mean."""
    figure.legend(
        handles=handles, ncols=max(1, len(handles)), loc="outside lower left", handlelength=1.5,
        columnspacing=1.4, labelcolor=INK,
    )  # fmt: skip
