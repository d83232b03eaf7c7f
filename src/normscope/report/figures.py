"""The table of the figures of a report, `FIGURES`, in the order of the page."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from normscope.analysis import Analysis
from normscope.errors import lookup
from normscope.report.plots.batch_sizes import batch_figures
from normscope.report.plots.calibration import calibration_figures
from normscope.report.plots.class_counts import class_figures
from normscope.report.plots.confusion import confusion_figures
from normscope.report.plots.curves import LATE, METRICS, curve_figures
from normscope.report.plots.dots import epochs_to_level_figures, final_accuracy_figures
from normscope.report.plots.drops import drop_figures
from normscope.report.plots.eval_gap import gap_figures
from normscope.report.plots.figure import ReportFigure
from normscope.report.plots.forest import forest_figures
from normscope.report.plots.grouping import grouping_figures
from normscope.report.plots.landscape import landscape_figures
from normscope.report.plots.maps import map_figures
from normscope.report.plots.paired import paired_figures
from normscope.report.plots.pictures import mistake_figures
from normscope.report.plots.race import race_figures
from normscope.report.plots.sameness import sameness_figures
from normscope.report.plots.shares import share_figures
from normscope.report.plots.similarity import similarity_figures
from normscope.report.plots.statistics_batch import statistics_figures

ANSWER = "answer"
BATCH = "batch"
STATISTICS = "statistics"
CURVES = "curves"
CONVERGENCE = "convergence"
CLASSES = "classes"
MISTAKES = "mistakes"
CALIBRATION = "calibration"
WHY = "why"


@dataclass(frozen=True)
class Entry:
    """Figures that are made together: `names` are patterns of regular expressions."""

    names: tuple[str, ...]
    section: str
    make: Callable[[Analysis], list[ReportFigure]]

    def has(self, name: str) -> bool:
        """Whether a figure of this name is made here, if there is something to draw."""
        return any(re.fullmatch(own, name) for own in self.names)


FIGURES = (
    Entry(("differences",), ANSWER, forest_figures),
    Entry(("race",), ANSWER, race_figures),
    Entry(("paired",), ANSWER, paired_figures),
    Entry(("batch_sizes",), BATCH, batch_figures),
    Entry(("statistics_batch",), STATISTICS, statistics_figures),
    Entry((*METRICS, LATE), CURVES, curve_figures),
    Entry(("final_accuracy",), CURVES, final_accuracy_figures),
    Entry(("epochs_to_level",), CONVERGENCE, epochs_to_level_figures),
    Entry(("drops",), CONVERGENCE, drop_figures),
    Entry(("class_counts",), CLASSES, class_figures),
    Entry((r"confusion_\d+",), MISTAKES, confusion_figures),
    Entry(("calibration",), CALIBRATION, calibration_figures),
    Entry(("grouping",), WHY, grouping_figures),
    Entry(("sameness_layers", "sameness_epochs"), WHY, sameness_figures),
    Entry(("variance_shares",), WHY, share_figures),
    Entry((r"eval_gap_\d+",), WHY, gap_figures),
    Entry(("landscape", "landscape_at_loss"), WHY, landscape_figures),
    Entry(("similarity",), WHY, similarity_figures),
    Entry((r"maps_\d+",), WHY, map_figures),
)

SECTIONS = tuple(dict.fromkeys(entry.section for entry in FIGURES))

# `plots.pictures` makes files only: the page has a gallery of its own.
FILES_ONLY = ("mistakes_of_all", r"mistakes_\d+")

# The names of all files that reports put into their folder of figures.
_NAMES = (*(name for entry in FIGURES for name in entry.names), *FILES_ONLY)
FIGURE_FILE = re.compile(rf"({'|'.join(_NAMES)})\.(png|svg)")


def figures_named(analysis: Analysis, names: Collection[str]) -> list[ReportFigure]:
    """The figures of these names for which there is something to draw; no others are drawn."""
    entries = [entry for entry in FIGURES if any(map(entry.has, names))]
    made = [figure for entry in entries for figure in entry.make(analysis)]
    return [figure for figure in made if figure.name in names]


def figure_named(analysis: Analysis, pictures: Path, name: str) -> ReportFigure:
    """The figure of that name, or the first of the section of that name.

    `pictures` is the folder of the test images. Raises `UsageError`, which lists the figures, if
    there is nothing of that name to draw.
    """
    for entry in FIGURES:  # and no other figure is drawn
        if entry.section == name or entry.has(name):
            for figure in entry.make(analysis):
                if name in (entry.section, figure.name):
                    return figure
    figures = [*make_figures(analysis), *mistake_figures(analysis, pictures)]
    return lookup({figure.name: figure for figure in figures}, "figure", name)


def make_figures(analysis: Analysis, sections: Collection[str] = SECTIONS) -> list[ReportFigure]:
    """Every figure of these sections for which there is something to draw, in their order."""
    return [
        replace(figure, section=entry.section)
        for entry in FIGURES
        if entry.section in sections
        for figure in entry.make(analysis)
    ]
