"""Where the words of a figure stand."""

from itertools import combinations

from matplotlib.text import Text
from matplotlib.transforms import Bbox


def extents(figure):
    """Where words stand, those of ticks too."""
    figure.draw_without_rendering()
    texts = [text for legend in figure.legends for text in legend.get_texts()]
    texts += [figure._suptitle] if figure._suptitle else []
    for axes in figure.axes:
        if axes.get_visible():
            texts += [*axes.texts, axes._left_title, axes._right_title, axes.xaxis.label]
            for axis, shown in ((axes.xaxis, "labelbottom"), (axes.yaxis, "labelleft")):
                labelled = axes.axison and axis.get_tick_params().get(shown, True)
                ticks = axis.get_major_ticks() if labelled else []
                low, high = sorted(axis.get_view_interval())
                texts += [tick.label1 for tick in ticks if low <= tick.get_loc() <= high]
    shown = [text for text in texts if text.get_text() and text.get_visible()]
    return {text: Text.get_window_extent(text) for text in shown}


def assert_words_fit(figure):
    """No word leaves the figure, and no two overlap."""
    frame, found = figure.bbox, extents(figure)
    for text, extent in found.items():
        assert frame.x0 <= extent.x0 < extent.x1 <= frame.x1, text
        assert frame.y0 <= extent.y0 < extent.y1 <= frame.y1, text
    for one, other in combinations(found, 2):
        shared = Bbox.intersection(found[one], found[other])
        assert shared is None or min(shared.width, shared.height) < 2, (one, other)
