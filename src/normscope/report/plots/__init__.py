"""Figures: a file for each, or for a few that are drawn alike.

In such a file, ``*_data`` turns an `Analysis` into plain values that can be checked, ``draw_*``
turns these into a matplotlib `Figure`, and ``*_figures`` adds the words: an alternative text and a
caption. The table `FIGURES` in `report.figures` lists them all. `svg` turns a drawing into files
and into content for a page.
"""

import normscope.drawing  # noqa: F401  before any file here imports matplotlib
from normscope.report.plots.curves import curves_data, seeds_as_bands
from normscope.report.plots.drops import never_fell
from normscope.report.plots.figure import ReportFigure
from normscope.report.plots.style import norm_styles
from normscope.report.plots.svg import for_page, to_png

__all__ = [
    "ReportFigure",
    "curves_data",
    "for_page",
    "never_fell",
    "norm_styles",
    "seeds_as_bands",
    "to_png",
]
