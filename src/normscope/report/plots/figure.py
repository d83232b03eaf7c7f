"""What every figure of a report consists of: a drawing and the words that go with it."""

from dataclasses import dataclass
from functools import cached_property

from matplotlib.figure import Figure

from normscope.report.plots.svg import to_svg

MAX_NORMS_IN_WORDS = 6  # with more norms, a caption names only the lowest and the highest


@dataclass(frozen=True)
class ReportFigure:
    """One figure: `alt` gives its main numbers, `caption` says what to look for.

    `name` is the name of its files, without the ending. `section` is the part of the page that
    shows it; the table in `report.figures` fills it in.
    """

    name: str
    drawing: Figure
    alt: str
    caption: str
    section: str = ""

    @cached_property
    def svg(self) -> str:
        return to_svg(self.drawing, self.name, self.alt)
