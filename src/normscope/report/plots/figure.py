"""What every figure of a report consists of: a drawing and the words that go with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from matplotlib.figure import Figure

from normscope.report.plots.svg import to_svg
from normscope.words import chosen_of, evenly

MAX_NORMS_IN_WORDS = 6  # with more norms, a caption names only the lowest and the highest
MOST_DOTS = 300  # side by side; more than that are a solid row, and megabytes

Dot = TypeVar("Dot")


def drawn(dots: Sequence[Dot]) -> Sequence[Dot]:
    """All of the dots, or `MOST_DOTS` of them, spread evenly."""
    return evenly(dots, MOST_DOTS)


def drawn_of(most: int, each: str = "norm") -> str:
    """The sentence that says which seeds are drawn, where `each` has more than `MOST_DOTS`."""
    if most <= MOST_DOTS:
        return ""
    return f" Drawn for each {each}: {chosen_of(MOST_DOTS, most, 'seed')}; the mean is that of all."


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
