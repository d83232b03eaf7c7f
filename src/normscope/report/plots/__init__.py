"""Figures: their data first, as plain values, then how they are drawn.

Every ``*_data`` function turns an `Analysis` into numbers that can be checked, and every ``draw_*``
function turns those into a matplotlib `Figure`; `svg` turns that into files and page content.
"""

from normscope.report.plots.batch_sizes import NormErrors, batch_data, draw_batch
from normscope.report.plots.confusion import Confusion, confusion_data, draw_confusion
from normscope.report.plots.curves import (
    METRICS,
    NormCurves,
    curves_data,
    draw_curves,
    last_third,
    seeds_as_bands,
)
from normscope.report.plots.dots import (
    Row,
    draw_dots,
    epochs_to_level_data,
    final_accuracy_data,
    seeds_joined,
)
from normscope.report.plots.drops import NormDrops, draw_drops, drops_data
from normscope.report.plots.forest import ForestRow, draw_forest, forest_data
from normscope.report.plots.paired import PairedRow, draw_paired, paired_data
from normscope.report.plots.race import NormRace, draw_race, race_data
from normscope.report.plots.style import NormStyle, norm_styles
from normscope.report.plots.svg import for_page, to_png, to_svg

__all__ = [
    "METRICS",
    "Confusion",
    "ForestRow",
    "NormCurves",
    "NormDrops",
    "NormErrors",
    "NormRace",
    "NormStyle",
    "PairedRow",
    "Row",
    "batch_data",
    "confusion_data",
    "curves_data",
    "draw_batch",
    "draw_confusion",
    "draw_curves",
    "draw_dots",
    "draw_drops",
    "draw_forest",
    "draw_paired",
    "draw_race",
    "drops_data",
    "epochs_to_level_data",
    "final_accuracy_data",
    "for_page",
    "forest_data",
    "last_third",
    "norm_styles",
    "paired_data",
    "race_data",
    "seeds_as_bands",
    "seeds_joined",
    "to_png",
    "to_svg",
]
