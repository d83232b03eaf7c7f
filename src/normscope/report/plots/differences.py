"""What the figures of differences to the baseline share: their axis, its landmarks, their keys."""

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Annotation
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Transform

from normscope.report.plots.style import GRID, INK, MUTED, is_narrow, shorten

FAR = 20  # a difference of more than that many times the next smaller one is left off the axis
BEYOND = 1.5  # intervals widen an axis by at most that many times the range of the means
LEAST = 0.5  # points that an axis reaches at least where there is no margin
ROOM = 0.06  # of the range, left free at both ends
MARGIN_ALPHA = 0.55
LINE_INCHES = 0.17  # that one more line of a key takes
COLUMN_GAP = 9.0  # between columns of words, in points of 1/72 inch
ABOVE: dict[str, Any] = {"xytext": (0, 3.5), "va": "bottom"}  # the axes

Range = tuple[float, float]


def short_name(norm: str) -> str:
    """The name of a norm, short enough for the inside of a title."""
    return shorten(norm, 16)


def reach(sizes: Iterable[float], least: float, far: float = FAR) -> float:
    """The largest size that is at most `far` times the next smaller one; never below `least`.

    A norm that learned nothing is tens of points away. An axis up to there would hide the others.
    """
    found = least
    for rank, size in enumerate(sorted(sizes)):
        if rank and size > far * found:
            break
        found = max(found, size)
    return found


def difference_range(differences: Iterable[float], margin: float) -> Range:
    """The least range that holds 0, the margin and all differences except those far beyond."""
    values = list(differences)
    most = reach(map(abs, values), margin or LEAST)
    kept = [0.0, -margin, margin, *(value for value in values if abs(value) <= most)]
    low, high = min(kept), max(kept)
    return (low, high) if low < high else (-LEAST, LEAST)


def widened(shown: Range, ends: Iterable[float]) -> Range:
    """The range, widened to the ends of intervals, but by `BEYOND` times itself at most."""
    (low, high), ends = shown, list(ends)
    room = BEYOND * (high - low)
    return max(low - room, min([low, *ends])), min(high + room, max([high, *ends]))


def set_difference_axis(axes: Axes, shown: Range, baseline: str, margin: float) -> None:
    """Make x an axis of differences over a range, with a line at 0 and the margin as a band."""
    axes.set_xlabel(f"Difference{'' if is_narrow() else ' in test accuracy'} (points)")
    room = ROOM * (shown[1] - shown[0])
    axes.set_xlim(shown[0] - room, shown[1] + room)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], min_n_ticks=3))
    if margin:
        axes.axvspan(-margin, margin, color=GRID, alpha=MARGIN_ALPHA, linewidth=0, zorder=0)
    axes.axvline(0, color=MUTED, linewidth=1, zorder=1)
    _name_line(axes, short_name(baseline))


def _name_line(axes: Axes, name: str) -> None:
    """Write the name of the baseline above the line at 0, on the side where there is room."""
    low, high = axes.get_xlim()
    place = -low / (high - low)
    free = 0.03 * len(name)  # what a centred name takes on either side
    side = "center" if free < place < 1 - free else "left" if place < 0.5 else "right"
    _annotate(axes, name, (0, 1), axes.get_xaxis_transform(), ha=side, **ABOVE)


def add_columns(axes: Axes, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Words to the right of rows 0, 1, ...: all flush right but the last column."""
    across, inch = axes.get_yaxis_transform(), axes.figure.dpi
    edge = 0.0  # of the columns so far, in points of 1/72 inch right of the axes
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
    """Where on the axis an arrow stands for what lies to its left, and to its right."""
    left, right = axes.get_xlim()
    inset = ROOM / 3 * (right - left)
    return left + inset, right - inset


def add_arrows(axes: Axes, reached: Range, height: float, **look: Any) -> None:
    """An arrow at each end of the axis that a range goes beyond."""
    (left, right), ends = axes.get_xlim(), arrows(axes)
    look = {"markersize": 6, "linestyle": "", **look}
    if reached[0] < left:
        axes.plot(ends[0], height, marker="<", **look)
    if reached[1] > right:
        axes.plot(ends[1], height, marker=">", **look)


def margin_patch(margin: float) -> Patch:
    """The margin's entry in a key."""
    label = f"equivalent within {margin:g}"
    return Patch(facecolor=GRID, alpha=MARGIN_ALPHA, linewidth=0, label=label)


def add_key(figure: Figure, handles: Sequence[Line2D | Patch]) -> None:
    """What the marks mean, below everything else, in as few lines as fit."""
    look: dict[str, Any] = {"handles": handles, "labelcolor": INK, "handlelength": 1.5,
                            "columnspacing": 1.4, "loc": "outside lower left"}  # fmt: skip
    columns = max(1, len(handles))
    key = figure.legend(ncols=columns, **look)
    while columns > 1 and key.get_window_extent().width > figure.bbox.width:
        key.remove()
        columns -= 1
        key = figure.legend(ncols=columns, **look)
    figure.set_figheight(figure.get_figheight() + LINE_INCHES * (-(-len(handles) // columns) - 1))
