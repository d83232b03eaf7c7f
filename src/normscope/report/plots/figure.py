"""What every figure of a report consists of: a drawing and the words that go with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from matplotlib.figure import Figure

from normscope.report.plots.style import NARROW_INCHES, panels_of
from normscope.report.plots.svg import to_svg, with_axes
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

    `name` is the name of its files, without the ending. `draw` draws it, as wide as panels are at
    that moment. `section` is the part of the page that shows it; the table in `report.figures`
    fills it in. `curves` are what it draws in its first axes, where a page may tell single values:
    by norm, points of x and y.
    """

    name: str
    draw: Callable[[], Figure]
    alt: str
    caption: str
    section: str = ""
    curves: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)

    @cached_property
    def drawing(self) -> Figure:
        return self.draw()

    @cached_property
    def svg(self) -> str:
        return self._svg(self.drawing, self.name)

    @cached_property
    def narrow_svg(self) -> str:
        """The same for the screen of a phone, on which no word of it is too small to read."""
        with panels_of(NARROW_INCHES):
            return self._svg(self.draw(), f"{self.name}-narrow")

    def _svg(self, drawing: Figure, name: str) -> str:
        svg = to_svg(drawing, name, self.alt)
        return with_axes(svg, drawing) if self.curves else svg
